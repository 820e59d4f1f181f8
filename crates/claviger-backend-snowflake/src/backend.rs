//! The contract of `claviger-backend`, kept with a Snowflake schema.

use std::collections::BTreeMap;
use std::error::Error as StdError;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use claviger_backend::{
    Address, Backend, Capabilities, ListedSecret, Listing, NameWarning, Reading, Site, VersionInfo,
    VersionState, Write, Written,
};
use claviger_core::{Clock, Error, Id, Reason, Result, Uid};
use claviger_seal::Keyring;

use crate::guard::{Bounds, Guard, Places, Way};
use crate::objects::Objects;
use crate::place::Place;
use crate::sealed::Sealed;
use crate::session::Sessions;
use crate::shared::{Shared, VALUE_BYTES_MAX};
use crate::sql;
use crate::{SnowflakeSettings, Storage};

/// The backend of kind `snowflake`.
pub struct Snowflake {
    kept: Kept,
    /// Where its secrets are.
    schema: Site,
    account: String,
    credentials: String,
}

/// The form of the values in the schema.
enum Kept {
    Objects(Objects),
    Sealed(Sealed),
}

impl Snowflake {
    /// The kind, as in the configuration.
    pub const KIND: &'static str = "snowflake";

    /// The vault `id`, which marks or seals its values with the store's keys. Asks nobody: the
    /// settings are those that [`SnowflakeSettings::problems`] finds nothing wrong with, and
    /// Snowflake may be down. `timeout` is how long a call may take. The connector's way to the
    /// network is on the runtime that this is called on, which has to outlive the vault.
    ///
    /// # Errors
    /// `INTERNAL` for settings with problems, no free port, or a proxy in the environment that
    /// cannot be used.
    pub fn new(
        id: Id,
        settings: &SnowflakeSettings,
        keyring: Arc<Keyring>,
        timeout: Duration,
        clock: Arc<dyn Clock>,
    ) -> Result<Self> {
        let Some(storage) = settings.storage.filter(|_| settings.problems().is_empty()) else {
            return Err(internal("the settings have problems"));
        };
        let way = Way::of_environment();
        let places =
            Places::of(settings).ok_or_else(|| internal("the settings name no account"))?;
        if let Some(fault) = way.fault(&places) {
            return Err(internal(fault));
        }
        let guard = Guard::start(places, way, Bounds::of_calls(timeout)).map_err(internal)?;
        let store = keyring.store_id();
        let shared = Shared {
            sessions: Sessions::new(settings.clone(), guard, timeout, Arc::clone(&clock)),
            place: Place::of(settings, keyring.store_id()),
            vault: id,
            keyring,
            clock,
        };
        Ok(Self {
            kept: match storage {
                Storage::SealedTable => Kept::Sealed(Sealed::new(shared)),
                Storage::SecretObjects => {
                    Kept::Objects(Objects::new(shared, settings.grantee.clone()))
                }
            },
            schema: Site {
                system: format!("snowflake {}", Place::of(settings, store).schema),
                account: account_name(&settings.account),
                secret: String::new(),
            },
            account: settings.account.clone(),
            credentials: format!("key pair of user {}, role {}", settings.user, settings.role),
        })
    }
}

fn internal(cause: impl Into<Box<dyn StdError + Send + Sync>>) -> Error {
    Error::new(Reason::Internal).caused_by(cause)
}

/// One spelling of `ORGANIZATION-ACCOUNT`. `None` for an older locator, which does not tell whether
/// another identifier is of the same account.
fn account_name(identifier: &str) -> Option<String> {
    let name = identifier.to_ascii_uppercase().replace('_', "-");
    (name.contains('-') && !name.contains('.')).then_some(name)
}

#[async_trait]
impl Backend for Snowflake {
    fn kind(&self) -> &'static str {
        Self::KIND
    }

    fn capabilities(&self) -> Capabilities {
        let is_sealed = matches!(self.kept, Kept::Sealed(_));
        Capabilities {
            secret: true,
            // Snowflake changes a secret without saying which value it had before.
            property: false,
            version: false,
            latest: !is_sealed,
            list: true,
            disable_version: is_sealed,
            destroy_version: is_sealed,
            value_bytes_max: VALUE_BYTES_MAX,
        }
    }

    fn check_name(&self, secret: &str) -> Result<Option<NameWarning>> {
        sql::check_name(secret).map(|()| None)
    }

    fn derived_name(&self, project: &str, id: &str, hash: &str) -> String {
        sql::derived(project, id, hash)
    }

    fn site(&self, secret: &str) -> Option<Site> {
        match &self.kept {
            // By the definition that they belong to.
            Kept::Sealed(_) => None,
            Kept::Objects(_) => Some(Site {
                secret: secret.to_owned(),
                ..self.schema.clone()
            }),
        }
    }

    fn credentials(&self) -> String {
        self.credentials.clone()
    }

    async fn check(&self) -> Result<()> {
        match &self.kept {
            Kept::Objects(objects) => objects.check().await,
            Kept::Sealed(sealed) => sealed.check().await,
        }
    }

    async fn read(&self, address: &Address, version: Option<&str>) -> Result<Reading> {
        sql::check_name(&address.secret)?;
        match &self.kept {
            Kept::Objects(objects) => objects.read(&address.secret, version).await,
            Kept::Sealed(sealed) => sealed.read(address, version).await,
        }
    }

    async fn write(&self, address: &Address, write: &Write<'_>) -> Result<Written> {
        sql::check_name(&address.secret)?;
        match &self.kept {
            Kept::Objects(objects) => objects.write(address, write).await,
            Kept::Sealed(sealed) => sealed.write(address, write).await,
        }
    }

    async fn find_write(&self, address: &Address, write_id: Uid) -> Result<Option<Id>> {
        sql::check_name(&address.secret)?;
        match &self.kept {
            Kept::Objects(objects) => objects.find_write(&address.secret, write_id).await,
            Kept::Sealed(sealed) => sealed.find_write(address, write_id).await,
        }
    }

    async fn list(
        &self,
        is_wanted: &(dyn for<'n> Fn(&'n str) -> bool + Sync),
        after: Option<&str>,
        limit: usize,
    ) -> Result<Vec<ListedSecret>> {
        let listed = match &self.kept {
            Kept::Objects(objects) => objects.list().await?,
            Kept::Sealed(sealed) => sealed.list().await?,
        };
        let mut found = Listing::new(is_wanted, after, limit);
        listed.into_iter().for_each(|secret| found.add(secret));
        Ok(found.into_page())
    }

    async fn versions(
        &self,
        address: &Address,
        after: Option<&Id>,
        limit: usize,
    ) -> Result<Vec<VersionInfo>> {
        sql::check_name(&address.secret)?;
        let infos = match &self.kept {
            Kept::Objects(objects) => objects.versions(&address.secret).await?,
            Kept::Sealed(sealed) => sealed.versions(address).await?,
        };
        Ok(VersionInfo::page(infos, after, limit))
    }

    async fn latest(&self, address: &Address) -> Result<Option<Id>> {
        // There is one, and without a reader nobody can read it to learn which.
        let versions = self.versions(address, None, 1).await?;
        Ok(versions.into_iter().next().map(|info| info.version))
    }

    async fn set_state(
        &self,
        address: &Address,
        version: &Id,
        state: VersionState,
    ) -> Result<VersionInfo> {
        sql::check_name(&address.secret)?;
        match &self.kept {
            Kept::Objects(_) => Err(state.unsupported()),
            Kept::Sealed(sealed) => sealed.set_state(address, version, state).await,
        }
    }

    async fn holders(&self) -> Result<BTreeMap<u32, u64>> {
        match &self.kept {
            Kept::Objects(_) => Ok(BTreeMap::new()),
            Kept::Sealed(sealed) => sealed.holders().await,
        }
    }

    async fn purge(&self, address: &Address) -> Result<()> {
        match &self.kept {
            Kept::Objects(_) => Ok(()),
            Kept::Sealed(sealed) => sealed.purge(address).await,
        }
    }
}

impl fmt::Debug for Snowflake {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Snowflake")
            .field("account", &self.account)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_account_has_one_name_and_a_locator_none() {
        let name = Some("ACME-DATA-EU".to_owned());
        for spelled in ["ACME-DATA-EU", "acme-data_eu"] {
            assert_eq!(account_name(spelled), name);
        }
        for locator in ["xy12345", "xy12345.eu-central-1.aws"] {
            assert_eq!(account_name(locator), None);
        }
    }
}
