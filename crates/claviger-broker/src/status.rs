//! The daemon's own state.

use std::collections::BTreeMap;
use std::sync::Arc;

use claviger_access::{Call, Permission};
use claviger_audit::Health;
use claviger_backend::Vault;
use claviger_core::{Error, Reason, Resource, Result, Uid, VaultName};

use crate::broker::Broker;

/// The part that holds the tokens of installs.
pub const INSTALLS: &str = "installs";

/// The state of one part of the daemon.
#[derive(Debug)]
pub struct PartStatus {
    /// `store`, `audit`, `installs` or `vaults/{id}`.
    pub name: String,
    /// Well, or what calls would fail with.
    pub check: Result<()>,
    /// How many values it holds that are sealed under each key, by the key's id.
    pub sealed_values: BTreeMap<u32, u64>,
}

impl Broker {
    /// The state of every part of the daemon.
    ///
    /// # Errors
    /// `ACCESS_DENIED`.
    pub async fn status(&self, call: &Arc<Call>) -> Result<Vec<PartStatus>> {
        let permission = Permission::DaemonStatus;
        let asked = self
            .catalog
            .ask_resource(call, permission, Resource::Daemon)
            .await?;
        let id = asked.proof.call().id;
        // This is what one asks when the log fails, and the answer holds nothing secret: the one
        // call that goes on without its record.
        let audit = match self.decided(asked, Ok(())).await {
            Err(error) if error.reason() != Reason::AuditUnavailable => return Err(error),
            Ok(()) if self.audit.health() == Health::Short => {
                Err(Error::new(Reason::AuditDiskNearlyFull))
            }
            recorded => recorded,
        };
        let store = self.catalog.health().await;
        let mut parts = vec![
            PartStatus {
                name: "store".to_owned(),
                check: store,
                sealed_values: BTreeMap::new(),
            },
            PartStatus {
                name: "audit".to_owned(),
                check: audit,
                sealed_values: BTreeMap::new(),
            },
            PartStatus {
                name: INSTALLS.to_owned(),
                check: self.installs.health(),
                sealed_values: BTreeMap::new(),
            },
        ];
        parts.extend(self.check_vaults(id).await);
        Ok(parts)
    }

    /// Asks all vaults at once, so that one that hangs holds up no other.
    async fn check_vaults(&self, id: Uid) -> Vec<PartStatus> {
        let vaults = self.vaults.iter().map(Arc::clone);
        let mut checks = self.outside.all(id, vaults.map(check_vault)).await;
        checks.sort_by(|one, other| one.name.cmp(&other.name));
        checks
    }
}

async fn check_vault(vault: Arc<Vault>) -> PartStatus {
    let held = match vault.check().await {
        Ok(()) => vault.holders().await,
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
}
