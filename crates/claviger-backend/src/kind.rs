//! The face of a backend's crate to the daemon: it reads its table and opens a vault.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use claviger_core::{Clock, Id, Result};
use claviger_seal::Keyring;
use claviger_settings::{SettingsProblem, Table};

use crate::{Allow, Backend};

/// A kind of vault.
#[derive(Clone, Copy, Debug)]
pub struct BackendKind {
    /// As written in the configuration.
    pub name: &'static str,
    /// Reads `[vaults.<id>.settings]`; everything wrong goes to the table's problems. Any other key in
    /// there is a problem too.
    pub read: fn(&mut Table<'_>) -> Box<dyn BackendSettings>,
}

/// The settings of one vault.
#[async_trait]
pub trait BackendSettings: fmt::Debug + Send + Sync {
    /// Settings that work, but may not be meant; `allow` is that of the vault.
    fn warnings(&self, _allow: &Allow) -> Vec<SettingsProblem> {
        Vec::new()
    }

    /// Opens the vault without asking it anything: it may be down. The settings are those that no
    /// problem was found with.
    ///
    /// # Errors
    /// `INTERNAL` for settings with problems, or a machine without certificates to trust.
    async fn open(&self, opening: Opening) -> Result<Arc<dyn Backend>>;
}

/// The daemon's part in a vault that it opens.
pub struct Opening {
    /// The vault's id.
    pub id: Id,
    /// The keys of Claviger's store, and the store's id.
    pub keyring: Arc<Keyring>,
    /// How long a call may take.
    pub timeout: Duration,
    /// The time.
    pub clock: Arc<dyn Clock>,
}
