//! Secrets Manager in one account and region, as its reads and writes see it.

use std::cmp::Reverse;
use std::collections::BTreeMap;
use std::error::Error as StdError;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use aws_sdk_secretsmanager::config::http::HttpResponse;
use aws_sdk_secretsmanager::error::{ProvideErrorMetadata, SdkError};
use aws_sdk_secretsmanager::operation::describe_secret::DescribeSecretOutput;
use aws_sdk_secretsmanager::operation::get_secret_value::GetSecretValueOutput;
use aws_sdk_secretsmanager::types::SecretVersionsListEntry;
use claviger_core::{Clock, Error, Reason, Result, Uid};

use crate::AwsSettings;
use crate::client::Client;
use crate::error::{Failure, NOT_FOUND, WRONG_STATE};
use crate::name::SecretName;
use crate::shapes::{CURRENT, PREVIOUS};

/// Most entries AWS gives per page.
pub(crate) const PAGE: i32 = 100;

/// Which version of a secret.
pub(crate) enum Selector<'a> {
    Label(&'a str),
    Version(&'a str),
}

/// The backend of kind `aws`.
pub struct Aws {
    pub(crate) client: Client,
    pub(crate) store_id: String,
    pub(crate) credentials: String,
    pub(crate) account_id: Option<String>,
    own_account: Option<String>,
    pub(crate) kms_key_id: Option<String>,
    pub(crate) tags: BTreeMap<String, String>,
    clock: Arc<dyn Clock>,
}

impl Aws {
    /// The kind, as in the configuration.
    pub const KIND: &'static str = "aws";

    /// A vault that marks its secrets with `store_id`. Asks nobody: the settings are those that
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
            own_account: settings.own_account().map(str::to_owned),
            kms_key_id: settings.kms_key_id.clone(),
            tags: settings.tags.clone(),
            clock,
        }
    }

    /// The account that its plain names are in, as far as the settings tell.
    pub(crate) fn own_account(&self) -> Option<&str> {
        self.own_account.as_deref()
    }

    pub(crate) fn failure<E>(&self, error: &SdkError<E, HttpResponse>) -> Failure
    where
        E: ProvideErrorMetadata + StdError + 'static,
    {
        Failure::of(error, self.clock.now())
    }

    pub(crate) async fn get(
        &self,
        name: SecretName<'_>,
        selector: Selector<'_>,
    ) -> Result<GetSecretValueOutput, Failure> {
        let get = self.client.sdk_of(name).get_secret_value();
        let get = get.secret_id(name.as_str());
        let get = match selector {
            Selector::Label(label) => get.version_stage(label),
            Selector::Version(version) => get.version_id(version),
        };
        get.send().await.map_err(|error| self.failure(&error))
    }

    /// All that AWS says of a secret besides its value; also of one scheduled for deletion.
    pub(crate) async fn describe(
        &self,
        name: SecretName<'_>,
    ) -> Result<Option<DescribeSecretOutput>> {
        let sdk = self.client.sdk_of(name);
        let described = sdk.describe_secret().secret_id(name.as_str()).send().await;
        match described.map_err(|error| self.failure(&error)) {
            Ok(found) => {
                let is_it = name.answered(found.arn(), found.name()) == Some(name.as_str());
                Ok(is_it.then_some(found))
            }
            Err(failure) if failure.has_code(NOT_FOUND) => Ok(None),
            Err(failure) => Err(failure.into_read_error()),
        }
    }

    pub(crate) async fn is_deleted(&self, name: SecretName<'_>) -> bool {
        let described = self.describe(name).await;
        described.is_ok_and(|found| found.is_some_and(|secret| secret.deleted_date.is_some()))
    }

    /// Tells the meaning of a failed read where one code stands for several things. Asks only then,
    /// and a reader that may not describe the secret gets the answer that is true in any case.
    pub(crate) async fn read_error(
        &self,
        name: SecretName<'_>,
        failure: Failure,
        is_pinned: bool,
    ) -> Error {
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
    pub(crate) async fn all_versions(
        &self,
        name: SecretName<'_>,
    ) -> Result<Vec<SecretVersionsListEntry>> {
        let listed = self.client.sdk_of(name).list_secret_version_ids();
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

impl fmt::Debug for Aws {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Aws")
            .field("region", &self.client.region())
            .finish_non_exhaustive()
    }
}
