//! The contract every vault backend keeps, and the layers around it.
//!
//! A backend moves bytes and reports failures by reason. It never retries beyond its SDK, caches,
//! logs a value, checks access or sees the caller: those are done once, for all of them. What it
//! can do is declared in [`Capabilities`] and proved by the suite in `testkit`.
#![forbid(unsafe_code)]

#[cfg(feature = "testkit")]
pub mod testkit;
mod vaults;

use std::fmt;
use std::time::SystemTime;

use async_trait::async_trait;
use claviger_core::{Id, Result, SecretBytes, Uid};

pub use vaults::{Vault, Vaults};

/// What a backend may know about the call it works for: not the caller, because a backend that can
/// see callers grows policy.
#[derive(Clone, Copy, Debug)]
pub struct CallContext {
    /// Ties its log lines to the call.
    pub call_id: Uid,
}

/// Which secret of a vault.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Address {
    /// The definition it belongs to; the managed vault knows its secrets by it, the others mark
    /// what they create with it.
    pub owner: Uid,
    /// Its name in the vault.
    pub secret: String,
}

/// What a vault can do. Every field is exercised by the conformance suite, so a false claim is red.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Capabilities {
    /// `location.secret` can be set.
    pub secret: bool,
    /// `location.property` can be set.
    pub property: bool,
    /// `location.version` can be set.
    pub version: bool,
    /// An unpinned read asks the vault for its latest version; else Claviger's own record of the
    /// current version decides.
    pub latest: bool,
    /// Versions can be enabled and disabled.
    pub disable_version: bool,
    /// Versions can be destroyed.
    pub destroy_version: bool,
    /// Longest value, in bytes.
    pub value_bytes_max: usize,
}

/// A value that was read.
pub struct Reading {
    /// The version it is.
    pub version: Id,
    /// Its bytes.
    pub value: SecretBytes,
}

impl fmt::Debug for Reading {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Reading")
            .field("version", &self.version)
            .finish_non_exhaustive()
    }
}

/// What can be done with a version.
#[derive(Clone, Copy, Debug, Eq, PartialEq, serde::Deserialize, serde::Serialize)]
pub enum VersionState {
    /// Its bytes are gone for good.
    Destroyed,
    /// Not readable until enabled.
    Disabled,
    /// Readable.
    Enabled,
}

/// A version without its value.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct VersionInfo {
    /// Its name in the vault.
    pub version: Id,
    /// What can be done with it.
    pub state: VersionState,
    /// When it was stored.
    pub create_time: SystemTime,
}

/// A place where secret values live.
///
/// Shared between tasks; must not block. A call that is dropped half-way leaves nothing half done.
#[async_trait]
pub trait Backend: fmt::Debug + Send + Sync + 'static {
    /// As in the configuration, `managed` for example.
    fn kind(&self) -> &'static str;

    /// What this vault can do; never changes.
    fn capabilities(&self) -> Capabilities;

    /// Asks whether the vault answers and takes our credentials.
    ///
    /// # Errors
    /// `VAULT_UNREACHABLE`.
    async fn check(&self, cx: &CallContext) -> Result<()>;

    /// Reads a version; `None` is the latest, and asked only where [`Capabilities::latest`] is set.
    ///
    /// # Errors
    /// `SECRET_NOT_FOUND`, `VERSION_NOT_FOUND`, `VERSION_DISABLED`, `VERSION_DESTROYED`,
    /// `INTEGRITY_FAILURE`, `VAULT_UNREACHABLE`.
    async fn read(
        &self,
        cx: &CallContext,
        address: &Address,
        version: Option<&Id>,
    ) -> Result<Reading>;

    /// Stores a value as a new version and returns its name. A repeat with the same `write_id`
    /// returns the same version and stores nothing.
    ///
    /// # Errors
    /// `WRITE_IN_PROGRESS` if another writer came in between, `WRITE_OUTCOME_UNKNOWN` if the answer
    /// was lost, `VAULT_UNREACHABLE` if nothing was stored.
    async fn write(
        &self,
        cx: &CallContext,
        address: &Address,
        write_id: Uid,
        value: &SecretBytes,
    ) -> Result<Id>;

    /// The version that the newest write stored, if that write was `write_id`.
    ///
    /// # Errors
    /// `VAULT_UNREACHABLE`.
    async fn find_write(
        &self,
        cx: &CallContext,
        address: &Address,
        write_id: Uid,
    ) -> Result<Option<Id>>;

    /// Up to `limit` versions, newest first, starting after `after`. An unknown secret has none.
    ///
    /// # Errors
    /// `VAULT_UNREACHABLE`.
    async fn versions(
        &self,
        cx: &CallContext,
        address: &Address,
        after: Option<&Id>,
        limit: usize,
    ) -> Result<Vec<VersionInfo>>;

    /// Enables, disables or destroys a version; doing it again changes nothing.
    ///
    /// # Errors
    /// `VERSION_NOT_FOUND`, `VERSION_DESTROYED`, `VAULT_CAPABILITY_MISSING`, `VAULT_UNREACHABLE`.
    async fn set_state(
        &self,
        cx: &CallContext,
        address: &Address,
        version: &Id,
        state: VersionState,
    ) -> Result<VersionInfo>;

    /// Forgets everything this vault holds for a purged definition. A vault that others use too
    /// keeps its secrets and does nothing.
    ///
    /// # Errors
    /// `VAULT_UNREACHABLE`; a repeat goes on where it stopped.
    async fn purge(&self, cx: &CallContext, address: &Address) -> Result<()>;
}
