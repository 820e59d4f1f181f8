//! The steps of a write: creating a secret, marking one as a project's, storing a version.

use aws_sdk_secretsmanager::operation::describe_secret::DescribeSecretOutput;
use aws_sdk_secretsmanager::types::Tag;
use claviger_backend::{Address, Write, Written};
use claviger_core::{Error, Id, Reason, Result};

use crate::error::{Failure, WRONG_STATE};
use crate::name::SecretName;
use crate::shapes::{
    CURRENT, Content, PREVIOUS, TAG_STORE, has_tag, labelled, stored_version, tag,
};
use crate::vault::Aws;

/// Which project of its store a secret belongs to.
const TAG_PROJECT: &str = "claviger:project";

/// Which definition has created or adopted it; for people.
const TAG_DEFINITION: &str = "claviger:definition";

impl Aws {
    async fn write_error(&self, name: SecretName<'_>, failure: Failure) -> Error {
        if failure.has_code(WRONG_STATE) && self.is_deleted(name).await {
            return Error::new(Reason::SecretDeleted).caused_by(failure);
        }
        failure.into_write_error()
    }

    /// Whether the secret is the project's. Marks of before told the definition only.
    pub(crate) fn owns(&self, secret: &DescribeSecretOutput, address: &Address) -> bool {
        let tags = secret.tags();
        let is_own = match tags.iter().any(|tag| tag.key() == Some(TAG_PROJECT)) {
            true => has_tag(tags, TAG_PROJECT, &project_tag(&address.project)),
            false => has_tag(tags, TAG_DEFINITION, &address.owner.to_string()),
        };
        is_own && has_tag(tags, TAG_STORE, &self.store_id)
    }

    fn own_tags(&self, address: &Address) -> [Tag; 3] {
        [
            tag(TAG_STORE, &self.store_id),
            tag(TAG_PROJECT, &project_tag(&address.project)),
            tag(TAG_DEFINITION, &address.owner.to_string()),
        ]
    }

    pub(crate) async fn create(
        &self,
        name: SecretName<'_>,
        address: &Address,
        write: &Write<'_>,
        content: Content,
    ) -> Result<Written> {
        if name.region().is_some() {
            return Err(Error::new(Reason::LocationInvalid).violation(
                "location.secret",
                "is the ARN of no secret there is; give a plain name to have one created",
            ));
        }
        let configured = self.tags.iter().map(|(key, value)| tag(key, value));
        let tags = configured.chain(self.own_tags(address)).collect();
        let created = self.client.writes_of(name).create_secret();
        let created = created
            .name(name.as_str())
            .client_request_token(write.write_id.to_string())
            .set_kms_key_id(self.kms_key_id.clone())
            .set_tags(Some(tags))
            .set_secret_string(content.text)
            .set_secret_binary(content.binary)
            .send()
            .await;
        match created.map_err(|error| self.failure(&error)) {
            Ok(created) => {
                check_same(name, created.arn(), created.name())?;
                stored_version(created.version_id(), unconfirmed).map(Written::new)
            }
            Err(failure) => Err(self.write_error(name, failure).await),
        }
    }

    /// Comes before the value: a secret that is ours without a new value is what it was before.
    pub(crate) async fn adopt(&self, name: SecretName<'_>, address: &Address) -> Result<()> {
        let tagged = self.client.writes_of(name).tag_resource();
        let tagged = tagged
            .secret_id(name.as_str())
            .set_tags(Some(self.own_tags(address).into()))
            .send()
            .await;
        match tagged.map_err(|error| self.failure(&error)) {
            Ok(_) => Ok(()),
            Err(failure) => Err(failure.into_read_error()),
        }
    }

    pub(crate) async fn put(
        &self,
        name: SecretName<'_>,
        write: &Write<'_>,
        content: Content,
    ) -> Result<Written> {
        let put = self.client.writes_of(name).put_secret_value();
        let put = put
            .secret_id(name.as_str())
            .client_request_token(write.write_id.to_string())
            .set_secret_string(content.text)
            .set_secret_binary(content.binary)
            .send()
            .await;
        match put.map_err(|error| self.failure(&error)) {
            Ok(put) => {
                check_same(name, put.arn(), put.name())?;
                let version = stored_version(put.version_id(), unconfirmed)?;
                let replaced = self.replaced(name, &version).await;
                Ok(Written::new(version).replacing(replaced))
            }
            Err(failure) => Err(self.write_error(name, failure).await),
        }
    }

    /// The version that `version` replaced. AWS moves a label when it stores a version, so this is
    /// exact even if another writer came in between; the version that was current before the write
    /// would not be.
    async fn replaced(&self, name: SecretName<'_>, version: &Id) -> Option<Id> {
        let secret = self.describe(name).await.ok().flatten()?;
        if labelled(&secret, CURRENT)? != version.as_str() {
            return None;
        }
        Id::parse("version", labelled(&secret, PREVIOUS)?).ok()
    }
}

/// Ids have parentheses, the values of AWS's tags do not; and those have characters that ids do not.
fn project_tag(project: &Id) -> String {
    project.as_str().replace('(', ":").replace(')', "=")
}

/// An answer for another secret says nothing of this one.
fn check_same(name: SecretName<'_>, arn: Option<&str>, found: Option<&str>) -> Result<()> {
    match name.answered(arn, found) == Some(name.as_str()) {
        true => Ok(()),
        false => {
            Err(Error::new(Reason::WriteOutcomeUnknown)
                .caused_by("AWS answered for another secret"))
        }
    }
}

/// A success that does not say what it stored.
fn unconfirmed() -> Error {
    Error::new(Reason::WriteOutcomeUnknown)
}
