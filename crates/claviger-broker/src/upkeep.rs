//! What the daemon asks on its own, without a caller: whether the vaults are well, and which
//! definitions lead nowhere.

use std::collections::BTreeMap;
use std::sync::Arc;

use claviger_backend::{CallContext, Vault};
use claviger_core::{DefinitionName, Result, Uid, VaultName};
use tokio::task::JoinSet;

use crate::{Broker, Check, Definition, PartStatus};

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
    pub async fn is_vault_well(&self, name: &VaultName) -> Check {
        let vault = self.vaults.find(name.id())?;
        self.ask_whether_well(vault, own_context()).await
    }

    /// Asks all vaults at once, so that one that hangs holds up no other.
    pub(crate) async fn check_vaults(&self, cx: CallContext) -> Vec<PartStatus> {
        let mut checks = JoinSet::new();
        for vault in self.vaults.iter().map(Arc::clone) {
            checks.spawn_on(
                async move {
                    let held = match vault.check(&cx).await {
                        Ok(()) => vault.holders(&cx).await,
                        Err(error) => Err(error),
                    };
                    let (check, sealed_values) = match held {
                        Ok(held) => (Ok(()), held),
                        Err(error) => (Err(error), BTreeMap::new()),
                    };
                    PartStatus {
                        name: VaultName::new(vault.id().clone()).to_string(),
                        check,
                        sealed_values,
                    }
                },
                &self.runtime,
            );
        }
        let mut checks = checks.join_all().await;
        checks.sort_by(|one, other| one.name.cmp(&other.name));
        checks
    }

    pub(crate) async fn ask_whether_well(&self, vault: &Arc<Vault>, cx: CallContext) -> Check {
        let vault = Arc::clone(vault);
        self.call_out(async move { vault.check(&cx).await }).await
    }

    /// The definitions whose vault is not configured any more, by the vault they lead to.
    ///
    /// # Errors
    /// `STORE_UNAVAILABLE`, `INTEGRITY_FAILURE`.
    pub async fn orphans(&self) -> Result<BTreeMap<String, Vec<DefinitionName>>> {
        let mut orphans: BTreeMap<String, Vec<DefinitionName>> = BTreeMap::new();
        let mut after: Option<String> = None;
        loop {
            let page = self
                .records
                .scan::<Definition>("", after.as_deref(), PAGE)
                .await?;
            let Some((last, _)) = page.last() else {
                return Ok(orphans);
            };
            after = Some(last.clone());
            for (_, stored) in page {
                let definition = &stored.record;
                let project = self.find_project(definition.name.project()).await?;
                let Some(project) = project.filter(|_| definition.live().is_ok()) else {
                    continue;
                };
                let defaults = definition.defaults(&project.record, &self.vaults);
                for vault in definition.content.missing_vaults(defaults) {
                    let orphans = orphans.entry(vault).or_default();
                    orphans.push(definition.name.clone());
                }
            }
        }
    }
}

/// The context of calls that the daemon makes on its own.
pub(crate) fn own_context() -> CallContext {
    CallContext {
        call_id: Uid::random(),
    }
}
