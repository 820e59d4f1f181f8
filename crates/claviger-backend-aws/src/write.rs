//! The steps of a write: creating a secret, marking one as a project's, storing a version.

use aws_sdk_secretsmanager::operation::describe_secret::DescribeSecretOutput;
use aws_sdk_secretsmanager::types::{SecretVersionsListEntry, Tag};
use claviger_backend::{Address, VersionInfo, Write, Written};
use claviger_core::{Error, Id, Reason, Result};

use crate::error::{Failure, WRONG_STATE};
use crate::name::SecretName;
use crate::shapes::{
    CURRENT, Content, PREVIOUS, TAG_STORE, has_tag, labelled, stored_version, tag, version_info,
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
        let created = self.client.sdk_of(name).create_secret();
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
                let version = stored_version(created.version_id(), unconfirmed)?;
                Ok(Written::new(version).replacing(Some(Vec::new())))
            }
            Err(failure) => Err(self.write_error(name, failure).await),
        }
    }

    /// Comes before the value: a secret that is ours without a new value is what it was before.
    pub(crate) async fn adopt(&self, name: SecretName<'_>, address: &Address) -> Result<()> {
        let tagged = self.client.sdk_of(name).tag_resource();
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
        let put = self.client.sdk_of(name).put_secret_value();
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
                Ok(self.written(name, version).await)
            }
            Err(failure) => Err(self.write_error(name, failure).await),
        }
    }

    /// AWS moves a label when it stores a version, so what was replaced is exact even if another
    /// writer came in between; the version that was current before the write would not be. Once
    /// there is a later version the times have to tell.
    async fn written(&self, name: SecretName<'_>, version: Id) -> Written {
        let secret = self.describe(name).await.ok().flatten();
        let label = |label| secret.as_ref().and_then(|secret| labelled(secret, label));
        let is_current = label(CURRENT).map(|current| current == version.as_str());
        let replaced = match is_current {
            Some(true) => {
                let previous = label(PREVIOUS).map(|previous| Id::parse("version", previous));
                previous.transpose().ok().map(Vec::from_iter)
            }
            Some(false) => match self.all_versions(name).await {
                Ok(all) => Some(before(&all, &version)),
                Err(_) => None,
            },
            None => None,
        };
        Written::new(version)
            .replacing(replaced)
            .followed(is_current == Some(false))
    }
}

/// The version that was the latest before this one, of all there are.
fn before(newest_first: &[SecretVersionsListEntry], version: &Id) -> Vec<Id> {
    let infos = newest_first.iter().filter_map(version_info).collect();
    let older = VersionInfo::page(infos, Some(version), 1);
    older.into_iter().map(|older| older.version).collect()
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
