//! What the daemon does on its own, without a caller: it asks whether the vaults are well and which
//! definitions lead nowhere, and settles and sweeps what calls left behind.

use std::collections::BTreeMap;

use claviger_audit::Health;
use claviger_core::{DefinitionName, Result, Uid, VaultName};

use crate::broker::Broker;
use crate::model::registered::Registered;

/// Definitions looked at per page.
const PAGE: usize = 500;

impl Broker {
    /// The configured vaults.
    pub fn vault_names(&self) -> impl Iterator<Item = VaultName> {
        let vaults = self.vaults.iter();
        vaults.map(|vault| VaultName::new(vault.id().clone()))
    }

    /// Asks a vault whether it is well.
    ///
    /// # Errors
    /// `VAULT_UNKNOWN`, and what a read would fail with.
    pub async fn is_vault_well(&self, name: &VaultName) -> Result<()> {
        let vault = self.vaults.find(name.id())?;
        self.ask_whether_well(Uid::random(), vault).await
    }

    /// Whether the store can be read and written, and goes on to be: for the health service, which
    /// knows no caller.
    ///
    /// # Errors
    /// `STORE_UNAVAILABLE`, `STORE_NOT_WRITABLE`.
    pub async fn is_store_well(&self) -> Result<()> {
        self.catalog.health().await
    }

    /// The same of the audit log.
    pub fn is_audit_well(&self) -> bool {
        self.audit.health() == Health::Well
    }

    /// Settles what a crash left behind; returns how many writes could not be settled because their
    /// vault does not answer: the next writer tries again.
    ///
    /// # Errors
    /// `STORE_UNAVAILABLE`, `INTEGRITY_FAILURE`.
    pub async fn settle_all(&self) -> Result<usize> {
        self.installs.settle_all().await?;
        self.writes.settle_all().await
    }

    /// Removes the answers that no repeat gets any longer.
    ///
    /// # Errors
    /// `STORE_UNAVAILABLE`; the next sweep goes on.
    pub async fn sweep_requests(&self) -> Result<()> {
        self.writes.sweep_requests().await
    }

    /// Writes down who resolved which profile last.
    ///
    /// # Errors
    /// `STORE_UNAVAILABLE`; the next time goes on.
    pub async fn keep_consumers(&self) -> Result<()> {
        self.consumers.keep().await
    }

    /// Removes the exchanged tokens that have ended.
    ///
    /// # Errors
    /// `STORE_UNAVAILABLE`; the next sweep goes on.
    pub async fn sweep_tokens(&self) -> Result<()> {
        self.catalog.sweep_tokens().await
    }

    /// Refreshes the tokens of installs that nobody uses, before they end, and repeats exchanges
    /// whose answer was lost.
    ///
    /// # Errors
    /// `STORE_UNAVAILABLE`, `INTEGRITY_FAILURE`; the next sweep goes on.
    pub async fn sweep_installs(&self) -> Result<()> {
        self.installs.sweep().await
    }

    /// Whether all tokens that were fetched are stored.
    pub fn are_installs_well(&self) -> bool {
        self.installs.health().is_ok()
    }

    /// Drops remembered values that can no longer be served.
    pub fn forget_old_values(&self) {
        self.reads.maintain();
    }

    /// The definitions whose vault is no longer configured, by the vault they lead to.
    ///
    /// # Errors
    /// `STORE_UNAVAILABLE`, `INTEGRITY_FAILURE`.
    pub async fn orphans(&self) -> Result<BTreeMap<String, Vec<DefinitionName>>> {
        let mut orphans: BTreeMap<String, Vec<DefinitionName>> = BTreeMap::new();
        let mut after: Option<String> = None;
        loop {
            let page = self
                .catalog
                .definitions_for_upkeep(after.as_deref(), PAGE)
                .await?;
            let Some((last, ..)) = page.last() else {
                return Ok(orphans);
            };
            after = Some(last.clone());
            for (_, stored, project) in page {
                let definition = &*stored.record;
                let Some(project) = project.filter(|_| definition.live().is_ok()) else {
                    continue;
                };
                let registered = Registered {
                    definition,
                    project: &project.record,
                    vaults: &self.vaults,
                };
                for vault in registered.missing_vaults() {
                    let orphans = orphans.entry(vault).or_default();
                    orphans.push(definition.name.clone());
                }
            }
        }
    }
}
