//! The contract of `claviger-backend`, kept with Azure Key Vault.

use std::collections::BTreeSet;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use claviger_backend::{
    Address, Backend, Capabilities, ListedSecret, Listing, NameWarning, Reading, VersionInfo,
    VersionState, Write, Written,
};
use claviger_core::{Clock, Error, Id, Reason, Result, Uid};
use tokio::time::timeout;

use crate::AzureSettings;
use crate::client::Client;
use crate::error::Failure;
use crate::name::{self, SecretName, check_version};
use crate::shapes::{self, TAG_STORE, VALUE_BYTES_MAX, Version, has_tag, time};
use crate::write::{PAGES_AFTER, check_managed};

/// Azure's quota of transactions on secrets, 4,000 in ten seconds, per vault and region.
const CALLS_PER_SECOND: u32 = 400;

/// The backend of kind `azure`.
pub struct Azure {
    client: Client,
    credentials: String,
    store_id: String,
    timeout: Duration,
    clock: Arc<dyn Clock>,
    /// Deleted secrets whose recovery this process began and no write has told of yet.
    recovering: Mutex<BTreeSet<String>>,
}

impl Azure {
    /// The kind, as in the configuration.
    pub const KIND: &'static str = "azure";

    /// A vault that marks what it creates with `store_id`. Asks nobody: the settings are those that
    /// [`AzureSettings::problems`] finds nothing wrong with, and Azure may be down. `timeout` is how
    /// long a call may take, of which a write waits half at most for a deleted secret to come back.
    ///
    /// # Errors
    /// `INTERNAL` for settings with problems, or a machine without certificates to trust.
    pub fn new(
        settings: &AzureSettings,
        store_id: Uid,
        timeout: Duration,
        clock: Arc<dyn Clock>,
    ) -> Result<Self> {
        let client = Client::new(settings, None, timeout, Arc::clone(&clock))?;
        Ok(Self::over(client, settings, store_id, timeout, clock))
    }

    /// As [`Self::new`], with a transport of the test's own, for the vault and for logins.
    ///
    /// # Errors
    /// As [`Self::new`].
    #[cfg(feature = "testkit")]
    pub fn with_transport(
        settings: &AzureSettings,
        http: Arc<dyn azure_core::http::HttpClient>,
        store_id: Uid,
        timeout: Duration,
        clock: Arc<dyn Clock>,
    ) -> Result<Self> {
        let client = Client::new(settings, Some(http), timeout, Arc::clone(&clock))?;
        Ok(Self::over(client, settings, store_id, timeout, clock))
    }

    fn over(
        client: Client,
        settings: &AzureSettings,
        store_id: Uid,
        timeout: Duration,
        clock: Arc<dyn Clock>,
    ) -> Self {
        let credential = settings.credential.as_ref();
        Self {
            client,
            credentials: credential.map(ToString::to_string).unwrap_or_default(),
            store_id: store_id.to_string(),
            timeout,
            clock,
            recovering: Mutex::default(),
        }
    }

    pub(crate) fn client(&self) -> &Client {
        &self.client
    }

    pub(crate) fn store_id(&self) -> &str {
        &self.store_id
    }

    pub(crate) fn recovering(&self) -> MutexGuard<'_, BTreeSet<String>> {
        let recovering = self.recovering.lock();
        recovering.unwrap_or_else(PoisonError::into_inner)
    }

    /// How long a write asks, and waits for a deleted secret, before it sends its value.
    pub(crate) fn patience(&self) -> Duration {
        self.timeout / 2
    }

    /// Says what a 404 means. Asks only then, and a reader who may not see more gets the answer that
    /// is true in any case.
    async fn absent(&self, name: SecretName<'_>, failure: Failure, is_pinned: bool) -> Error {
        let is_deleted = match self.client.deleted(name).await {
            Ok(_) => true,
            Err(failure) => failure.is_disabled(),
        };
        let reason = match is_deleted {
            true => Reason::SecretDeleted,
            false if is_pinned => match self.client.history(name, 1).await {
                Ok(history) if history.versions.is_empty() => Reason::SecretNotFound,
                Ok(_) | Err(_) => Reason::VersionNotFound,
            },
            false => Reason::SecretNotFound,
        };
        Error::new(reason).caused_by(failure)
    }

    async fn all_versions(&self, address: &Address) -> Result<Vec<Version>> {
        let name = SecretName::parse(&address.secret)?;
        let versions = self.client.versions(name).await;
        versions.map_err(Failure::into_read_error)
    }
}

#[async_trait]
impl Backend for Azure {
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
            disable_version: true,
            destroy_version: false,
            value_bytes_max: VALUE_BYTES_MAX,
        }
    }

    fn calls_per_second(&self) -> Option<u32> {
        Some(CALLS_PER_SECOND)
    }

    fn check_name(&self, secret: &str) -> Result<Option<NameWarning>> {
        SecretName::parse(secret).map(|_| None)
    }

    fn check_version(&self, version: &str) -> Result<()> {
        match check_version(version) {
            Ok(_) => Ok(()),
            Err(_) => Err(Error::new(Reason::LocationInvalid).violation(
                "location.version",
                "is no version of Key Vault's; they have 32 characters of 0-9 a-f",
            )),
        }
    }

    fn derived_name(&self, project: &str, id: &str, hash: &str) -> String {
        name::derived(project, id, hash)
    }

    fn place_name(&self, secret: &str) -> String {
        secret.to_ascii_lowercase()
    }

    fn credentials(&self) -> String {
        self.credentials.clone()
    }

    async fn check(&self) -> Result<()> {
        match self.client.ask().await {
            Ok(()) => Ok(()),
            // Who may only read single secrets has credentials that Azure takes.
            Err(failure) if failure.is_denied() => Ok(()),
            Err(failure) => Err(failure.into_read_error()),
        }
    }

    async fn read(&self, address: &Address, version: Option<&str>) -> Result<Reading> {
        let name = SecretName::parse(&address.secret)?;
        let version = version.map(check_version).transpose()?;
        match self.client.get(name, version).await {
            Ok(secret) => shapes::reading(secret, self.clock.now()),
            Err(failure) if failure.is_absent() => {
                Err(self.absent(name, failure, version.is_some()).await)
            }
            Err(failure) => Err(failure.into_read_error()),
        }
    }

    async fn write(&self, address: &Address, write: &Write<'_>) -> Result<Written> {
        self.store(address, write).await
    }

    async fn find_write(&self, address: &Address, write_id: Uid) -> Result<Option<Id>> {
        self.find(SecretName::parse(&address.secret)?, write_id)
            .await
    }

    async fn list(
        &self,
        is_wanted: &(dyn for<'n> Fn(&'n str) -> bool + Sync),
        after: Option<&str>,
        limit: usize,
    ) -> Result<Vec<ListedSecret>> {
        // No promise of an order, so all pages are looked at.
        let mut found = Listing::new(is_wanted, after, limit);
        let listed = self.client.list(|secret| {
            let Some(name) = shapes::secret_name(secret.id.as_deref()) else {
                return;
            };
            let attributes = secret.attributes.unwrap_or_default();
            let tags = secret.tags.unwrap_or_default();
            found.add(ListedSecret {
                name: name.to_owned(),
                is_ours: has_tag(&tags, TAG_STORE, &self.store_id),
                change_time: time(attributes.updated.or(attributes.created)),
            });
        });
        let listed = listed.await;
        listed.map_err(Failure::into_read_error)?;
        Ok(found.into_page())
    }

    async fn versions(
        &self,
        address: &Address,
        after: Option<&Id>,
        limit: usize,
    ) -> Result<Vec<VersionInfo>> {
        let versions = self.all_versions(address).await?;
        let infos = versions.iter().map(Version::info).collect();
        Ok(VersionInfo::page(infos, after, limit))
    }

    async fn replaced(&self, address: &Address, version: &Id) -> Result<Option<Id>> {
        let name = SecretName::parse(&address.secret)?;
        // A write is settled whether this can be told or not.
        let history = self.client.history(name, PAGES_AFTER);
        let Ok(history) = timeout(self.timeout / 2, history).await else {
            return Ok(None);
        };
        let history = history.map_err(Failure::into_read_error)?;
        let found = history.versions.iter().find(|one| one.id == *version);
        Ok(found.and_then(|found| history.predecessor(found)))
    }

    async fn set_state(
        &self,
        address: &Address,
        version: &Id,
        state: VersionState,
    ) -> Result<VersionInfo> {
        let is_enabled = match state {
            VersionState::Destroyed => return Err(state.unsupported()),
            VersionState::Disabled => false,
            VersionState::Enabled => true,
        };
        let name = SecretName::parse(&address.secret)?;
        let id = check_version(version.as_str())?;
        let versions = self.all_versions(address).await?;
        let found = versions.iter().find(|one| one.id == *version);
        let found = found.ok_or_else(|| Error::new(Reason::VersionNotFound))?;
        check_managed(found.is_managed)?;
        if !self.owns(&versions, None, address.owner) {
            return Err(Error::new(Reason::SecretNotOwned));
        }
        let enabled = self.client.enable(name, id, is_enabled).await;
        enabled.map_err(Failure::into_read_error)?;
        Ok(VersionInfo {
            state,
            ..found.info()
        })
    }

    async fn purge(&self, _: &Address) -> Result<()> {
        Ok(())
    }
}

impl fmt::Debug for Azure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Azure")
            .field("vault", &self.client.url())
            .finish_non_exhaustive()
    }
}
