//! The contract of `claviger-backend`, kept with AWS Secrets Manager.

use std::cmp::Reverse;
use std::collections::BTreeMap;
use std::error::Error as StdError;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use aws_sdk_secretsmanager::config::http::HttpResponse;
use aws_sdk_secretsmanager::error::{ProvideErrorMetadata, SdkError};
use aws_sdk_secretsmanager::operation::describe_secret::DescribeSecretOutput;
use aws_sdk_secretsmanager::operation::get_secret_value::GetSecretValueOutput;
use aws_sdk_secretsmanager::types::SecretVersionsListEntry;
use claviger_backend::{
    Address, Backend, Capabilities, ListedSecret, Listing, NameWarning, Reading, VersionInfo,
    VersionState, Write, Written,
};
use claviger_core::{Clock, Error, Id, Reason, Result, Uid};

use crate::AwsSettings;
use crate::client::Client;
use crate::error::Failure;
use crate::name::SecretName;
use crate::shapes::{Content, has_tag, may_be_version_id, reading, time, version_info};

/// Which store a secret belongs to.
pub(crate) const TAG_STORE: &str = "claviger:store";

/// A secret that need not be there, for asking whether AWS answers.
const PROBE: &str = "claviger/check";

/// The label of the version that readers get.
pub(crate) const CURRENT: &str = "AWSCURRENT";

/// The label of the one it replaced.
pub(crate) const PREVIOUS: &str = "AWSPREVIOUS";

/// Longest value, in bytes.
const VALUE_BYTES_MAX: usize = 65_536;

/// AWS's quota of GetSecretValue and DescribeSecret together, per account and region.
const CALLS_PER_SECOND: u32 = 10_000;

/// Longest staging label, in characters.
const LABEL_CHARS_MAX: usize = 256;

/// Most entries AWS gives per page.
const PAGE: i32 = 100;

const NOT_FOUND: &str = "ResourceNotFoundException";
pub(crate) const WRONG_STATE: &str = "InvalidRequestException";
const DENIED: &str = "AccessDeniedException";

/// Which version of a secret.
enum Selector<'a> {
    Label(&'a str),
    Version(&'a str),
}

/// The backend of kind `aws`.
pub struct Aws {
    pub(crate) client: Client,
    pub(crate) store_id: String,
    credentials: String,
    account_id: Option<String>,
    pub(crate) kms_key_id: Option<String>,
    pub(crate) tags: BTreeMap<String, String>,
    clock: Arc<dyn Clock>,
}

impl Aws {
    /// The kind, as in the configuration.
    pub const KIND: &'static str = "aws";

    /// A vault that marks what it creates with `store_id`. Asks nobody: the settings are those that
    /// [`AwsSettings::problems`] finds nothing wrong with, and AWS may be down.
    pub async fn new(
        settings: &AwsSettings,
        store_id: Uid,
        timeout: Duration,
        clock: Arc<dyn Clock>,
    ) -> Self {
        let client = Client::new(settings, None, timeout).await;
        Self::over(client, settings, store_id, clock)
    }

    /// As [`Self::new`], with an access key and its secret instead of the SDK's own chain.
    #[cfg(feature = "testkit")]
    pub async fn with_credentials(
        settings: &AwsSettings,
        (key_id, secret): (&str, &str),
        store_id: Uid,
        timeout: Duration,
        clock: Arc<dyn Clock>,
    ) -> Self {
        use aws_credential_types::Credentials;
        use aws_sdk_secretsmanager::config::SharedCredentialsProvider;

        let credentials = Credentials::new(key_id, secret, None, None, "testkit");
        let credentials = SharedCredentialsProvider::new(credentials);
        let client = Client::new(settings, Some(credentials), timeout).await;
        Self::over(client, settings, store_id, clock)
    }

    fn over(client: Client, settings: &AwsSettings, store_id: Uid, clock: Arc<dyn Clock>) -> Self {
        Self {
            client,
            store_id: store_id.to_string(),
            credentials: match (&settings.role_arn, &settings.profile) {
                (Some(role), _) => format!("role {role}"),
                (None, Some(profile)) => format!("profile {profile}"),
                (None, None) => "what the AWS SDK's own chain finds".to_owned(),
            },
            account_id: settings.account_id.clone(),
            kms_key_id: settings.kms_key_id.clone(),
            tags: settings.tags.clone(),
            clock,
        }
    }

    pub(crate) fn failure<E>(&self, error: &SdkError<E, HttpResponse>) -> Failure
    where
        E: ProvideErrorMetadata + StdError + 'static,
    {
        Failure::of(error, self.clock.now())
    }

    async fn get(
        &self,
        name: SecretName<'_>,
        selector: Selector<'_>,
    ) -> Result<GetSecretValueOutput, Failure> {
        let get = self.client.reads_of(name).get_secret_value();
        let get = get.secret_id(name.as_str());
        let get = match selector {
            Selector::Label(label) => get.version_stage(label),
            Selector::Version(version) => get.version_id(version),
        };
        get.send().await.map_err(|error| self.failure(&error))
    }

    /// What AWS says of a secret besides its value; also of one scheduled for deletion.
    pub(crate) async fn describe(
        &self,
        name: SecretName<'_>,
    ) -> Result<Option<DescribeSecretOutput>> {
        let sdk = self.client.reads_of(name);
        let described = sdk.describe_secret().secret_id(name.as_str()).send().await;
        match described.map_err(|error| self.failure(&error)) {
            // AWS completes what it takes for a partial ARN.
            Ok(described) => Ok(Some(described).filter(|found| name.is_of(found.arn()))),
            Err(failure) if failure.has_code(NOT_FOUND) => Ok(None),
            Err(failure) => Err(failure.into_read_error()),
        }
    }

    pub(crate) async fn is_deleted(&self, name: SecretName<'_>) -> bool {
        let described = self.describe(name).await;
        described.is_ok_and(|found| found.is_some_and(|secret| secret.deleted_date.is_some()))
    }

    /// Says what a failed read means where one code stands for several things. Asks only then, and
    /// a reader who may not describe the secret gets the answer that is true in any case.
    async fn read_error(&self, name: SecretName<'_>, failure: Failure, is_pinned: bool) -> Error {
        if failure.has_code(WRONG_STATE) && self.is_deleted(name).await {
            return Error::new(Reason::SecretDeleted).caused_by(failure);
        }
        if failure.has_code(NOT_FOUND) && is_pinned {
            let reason = match self.describe(name).await {
                Ok(None) => Reason::SecretNotFound,
                Ok(Some(secret)) if secret.deleted_date.is_some() => Reason::SecretDeleted,
                Ok(Some(_)) => Reason::VersionNotFound,
                Err(error) if error.reason() == Reason::VaultAccessDenied => {
                    Reason::VersionNotFound
                }
                Err(error) => return error,
            };
            return Error::new(reason).caused_by(failure);
        }
        failure.into_read_error()
    }

    /// Every version AWS still has, those without a label included; newest first.
    async fn all_versions(&self, name: SecretName<'_>) -> Result<Vec<SecretVersionsListEntry>> {
        let listed = self.client.reads_of(name).list_secret_version_ids();
        let mut pages = listed
            .secret_id(name.as_str())
            .include_deprecated(true)
            .max_results(PAGE)
            .into_paginator()
            .send();
        let mut versions = Vec::new();
        while let Some(page) = pages.next().await {
            let page = page.map_err(|error| self.failure(&error).into_read_error())?;
            versions.extend(page.versions.unwrap_or_default());
        }
        // Later entries count as newer where the dates do not tell.
        versions.reverse();
        versions.sort_by_key(|version| {
            let has = |label: &str| version.version_stages().iter().any(|stage| stage == label);
            Reverse((has(CURRENT), has(PREVIOUS), version.created_date))
        });
        Ok(versions)
    }
}

#[async_trait]
impl Backend for Aws {
    fn kind(&self) -> &'static str {
        Self::KIND
    }

    fn capabilities(&self) -> Capabilities {
        Capabilities {
            secret: true,
            property: true,
            version: true,
            latest: true,
            list: true,
            disable_version: false,
            destroy_version: false,
            value_bytes_max: VALUE_BYTES_MAX,
        }
    }

    fn calls_per_second(&self) -> Option<u32> {
        Some(CALLS_PER_SECOND)
    }

    fn check_name(&self, secret: &str) -> Result<Option<NameWarning>> {
        Ok(SecretName::parse(secret)?.warning(self.client.region()))
    }

    fn derived_name(&self, project: &str, id: &str, hash: &str) -> String {
        // Ids have parentheses, AWS's names do not; the hash tells apart what becomes the same.
        format!("{project}/{id}-{hash}").replace(['(', ')'], "-")
    }

    fn credentials(&self) -> String {
        self.credentials.clone()
    }

    fn check_version(&self, version: &str) -> Result<()> {
        let is_label = (1..=LABEL_CHARS_MAX).contains(&version.chars().count())
            && !version.contains(char::is_control);
        match is_label {
            true => Ok(()),
            false => Err(Error::new(Reason::LocationInvalid).violation(
                "location.version",
                "is neither the id of a version nor a staging label, which has 1 to 256 characters",
            )),
        }
    }

    /// Not a label: whoever may move one, or make one, would choose what a caller gets who relies
    /// on a version never to change.
    fn check_caller_version(&self, version: &Id) -> Result<()> {
        match may_be_version_id(version.as_str()) {
            true => Ok(()),
            false => Err(Error::new(Reason::VersionNotFound)),
        }
    }

    fn plain_name<'a>(&self, secret: &'a str) -> Option<&'a str> {
        let name = SecretName::parse(secret).ok()?;
        name.plain(self.client.region(), self.account_id.as_deref())
    }

    async fn check(&self) -> Result<()> {
        // Counts against the same quota as reads do, which `calls_per_second` is a share of.
        let asked = self.client.reads().describe_secret().secret_id(PROBE);
        match asked.send().await.map_err(|error| self.failure(&error)) {
            Ok(_) => Ok(()),
            // Who is told so has credentials that AWS takes.
            Err(failure) if failure.has_code(NOT_FOUND) || failure.has_code(DENIED) => Ok(()),
            Err(failure) => Err(failure.into_read_error()),
        }
    }

    async fn read(&self, address: &Address, version: Option<&str>) -> Result<Reading> {
        let name = SecretName::parse(&address.secret)?;
        let by_id = version.filter(|version| may_be_version_id(version));
        let label = version.unwrap_or(CURRENT);
        let read = match by_id {
            Some(version) => match self.get(name, Selector::Version(version)).await {
                // A label may be as long as the id of a version.
                Err(failure) if failure.has_code(NOT_FOUND) => {
                    self.get(name, Selector::Label(label)).await
                }
                read => read,
            },
            None => self.get(name, Selector::Label(label)).await,
        };
        match read {
            // AWS completes what it takes for a partial ARN.
            Ok(found) if !name.is_of(found.arn()) => Err(Error::new(Reason::SecretNotFound)),
            Ok(found) => reading(found),
            Err(failure) => Err(self.read_error(name, failure, version.is_some()).await),
        }
    }

    async fn write(&self, address: &Address, write: &Write<'_>) -> Result<Written> {
        let name = SecretName::parse(&address.secret)?;
        let content = Content::of(write)?;
        let Some(secret) = self.describe(name).await? else {
            return self.create(name, address.owner, write, content).await;
        };
        if secret.deleted_date.is_some() {
            return Err(Error::new(Reason::SecretDeleted));
        }
        if !self.owns(&secret, address.owner) {
            if !write.adopt {
                return Err(Error::new(Reason::SecretNotOwned));
            }
            self.adopt(name, address.owner).await?;
        }
        self.put(name, write, content).await
    }

    async fn find_write(&self, address: &Address, write_id: Uid) -> Result<Option<Id>> {
        let name = SecretName::parse(&address.secret)?;
        let Some(secret) = self.describe(name).await? else {
            return Ok(None);
        };
        let write_id = write_id.to_string();
        let is_labelled = secret
            .version_ids_to_stages()
            .is_some_and(|versions| versions.contains_key(&write_id));
        let is_there = is_labelled || {
            let versions = self.all_versions(name).await?;
            versions
                .iter()
                .any(|version| version.version_id() == Some(&write_id))
        };
        match is_there {
            true => Id::parse("version", &write_id).map(Some),
            false => Ok(None),
        }
    }

    async fn list(
        &self,
        is_wanted: &(dyn for<'n> Fn(&'n str) -> bool + Sync),
        after: Option<&str>,
        limit: usize,
    ) -> Result<Vec<ListedSecret>> {
        let listed = self.client.reads().list_secrets().max_results(PAGE);
        let mut pages = listed.into_paginator().send();
        // AWS has an order of its own, so all pages are looked at.
        let mut found = Listing::new(is_wanted, after, limit);
        while let Some(page) = pages.next().await {
            let page = page.map_err(|error| self.failure(&error).into_read_error())?;
            for secret in page.secret_list() {
                let Some(name) = secret.name() else { continue };
                found.add(ListedSecret {
                    name: name.to_owned(),
                    is_ours: has_tag(secret.tags(), TAG_STORE, &self.store_id),
                    change_time: time(secret.last_changed_date().or(secret.created_date())),
                });
            }
        }
        Ok(found.into_page())
    }

    async fn versions(
        &self,
        address: &Address,
        after: Option<&Id>,
        limit: usize,
    ) -> Result<Vec<VersionInfo>> {
        let name = SecretName::parse(&address.secret)?;
        // Asked first: for an absent secret emulators answer the listing with 500.
        if self.describe(name).await?.is_none() {
            return Ok(Vec::new());
        }
        let versions = self.all_versions(name).await?;
        let infos = versions.iter().filter_map(version_info).collect();
        Ok(VersionInfo::page(infos, after, limit))
    }

    async fn set_state(&self, _: &Address, _: &Id, state: VersionState) -> Result<VersionInfo> {
        Err(state.unsupported())
    }

    async fn purge(&self, _: &Address) -> Result<()> {
        Ok(())
    }
}

impl fmt::Debug for Aws {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Aws")
            .field("region", &self.client.region())
            .finish_non_exhaustive()
    }
}
