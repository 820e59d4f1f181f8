//! One vault of Key Vault's, as its reads and writes see it.

use std::collections::BTreeSet;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime};

use claviger_core::{Clock, Error, Reason, Result, Uid};

use crate::AzureSettings;
use crate::client::Client;
use crate::error::Failure;
use crate::name::SecretName;
use crate::shapes::Version;

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

    /// A vault that marks its secrets with `store_id`. Asks nobody: the settings are those that
    /// [`AzureSettings::problems`] finds nothing wrong with, and Azure may be down. `timeout` is
    /// how long a call may take, of which a write waits half at most for a deleted secret to come
    /// back.
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

    /// The connections of [`Self::new`], for a test that leads them elsewhere.
    ///
    /// # Errors
    /// As [`Self::new`].
    #[cfg(feature = "testkit")]
    pub fn connections(timeout: Duration) -> Result<Arc<dyn azure_core::http::HttpClient>> {
        crate::transport::connections(timeout, false)
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

    pub(crate) fn credentials(&self) -> &str {
        &self.credentials
    }

    /// How long a call may take.
    pub(crate) fn timeout(&self) -> Duration {
        self.timeout
    }

    pub(crate) fn now(&self) -> SystemTime {
        self.clock.now()
    }

    /// Tells the meaning of a 404. Asks only then, and a reader that may not see more gets the
    /// answer that is true in any case.
    pub(crate) async fn absent(
        &self,
        name: SecretName<'_>,
        failure: Failure,
        is_pinned: bool,
    ) -> Error {
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

    pub(crate) async fn all_versions(&self, secret: &str) -> Result<Vec<Version>> {
        let name = SecretName::parse(secret)?;
        let versions = self.client.versions(name).await;
        versions.map_err(Failure::into_read_error)
    }
}

impl fmt::Debug for Azure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Azure")
            .field("vault", &self.client.url())
            .finish_non_exhaustive()
    }
}
