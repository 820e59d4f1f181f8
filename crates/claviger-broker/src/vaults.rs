//! The configured vaults, and the daemon's own state.

use std::collections::BTreeMap;
use std::sync::Arc;

use claviger_access::{Authorized, Call, Permission};
use claviger_audit::Facts;
use claviger_backend::{Capabilities, ListedSecret, Vault};
use claviger_core::{ProjectName, Reason, Resource, Result, VaultName};

use crate::{Broker, Check, Page, PageRequest, context};

/// Id and kind of Claviger's own vault, which is always there.
pub(crate) const MANAGED: &str = "managed";

/// A configured vault.
#[derive(Clone, Debug)]
pub struct VaultView {
    /// Its name.
    pub name: VaultName,
    /// Which backend serves it.
    pub kind: &'static str,
    /// What it can do.
    pub capabilities: Capabilities,
    /// Who Claviger is to it.
    pub credentials: String,
}

impl VaultView {
    fn of(vault: &Vault) -> Self {
        Self {
            name: VaultName::new(vault.id().clone()),
            kind: vault.kind(),
            capabilities: vault.capabilities(),
            credentials: vault.credentials(),
        }
    }
}

/// The state of one part of the daemon.
#[derive(Debug)]
pub struct PartStatus {
    /// `store`, `audit` or `vaults/{id}`.
    pub name: String,
    /// Well, or what calls would fail with.
    pub check: Check,
    /// How many values it holds that are sealed under each key, by the key's id.
    pub sealed_values: BTreeMap<u32, u64>,
}

impl Broker {
    /// Lists the configured vaults.
    ///
    /// # Errors
    /// `ACCESS_DENIED`.
    pub async fn list_vaults(&self, call: &Arc<Call>) -> Result<Vec<VaultView>> {
        let authorized = self.authorize_anywhere(call, Permission::VaultsGet).await?;
        let vaults = self
            .vaults
            .iter()
            .map(|vault| VaultView::of(vault))
            .collect();
        self.decided(authorized, Ok(vaults)).await
    }

    /// Asks a vault whether it is well.
    ///
    /// # Errors
    /// `ACCESS_DENIED`, `VAULT_UNKNOWN`.
    pub async fn check_vault(
        &self,
        call: &Arc<Call>,
        name: &VaultName,
    ) -> Result<(VaultView, Check)> {
        let authorized = self.authorize_anywhere(call, Permission::VaultsGet).await?;
        let result = match self.vaults.find(name.id()) {
            Ok(vault) => {
                let check = self.ask_whether_well(vault, context(&authorized)).await;
                Ok((VaultView::of(vault), check))
            }
            Err(error) => Err(error.at("name")),
        };
        let facts = Facts {
            vault: Some(name.id().clone()),
            ..Facts::default()
        };
        self.audit.conclude(authorized, result, |_| facts).await
    }

    /// Lists the secrets of a vault that definitions of a project may point at.
    ///
    /// # Errors
    /// See the RPC `ListVaultSecrets`.
    pub async fn list_vault_secrets(
        &self,
        call: &Arc<Call>,
        vault: &VaultName,
        project: ProjectName,
        request: &PageRequest,
    ) -> Result<Page<ListedSecret>> {
        let resource = Resource::Project(project);
        let permissions = &[Permission::VaultsBrowse];
        let authorized = self.authorize(call, permissions, resource, None).await?;
        let result = self.browse(&authorized, vault, request).await;
        let facts = Facts {
            vault: Some(vault.id().clone()),
            ..Facts::default()
        };
        self.audit.conclude(authorized, result, |_| facts).await
    }

    async fn browse(
        &self,
        authorized: &Authorized,
        vault: &VaultName,
        request: &PageRequest,
    ) -> Result<Page<ListedSecret>> {
        let project = self.project(authorized).await?.record.name.id().clone();
        let found = self.vaults.find(vault.id());
        let vault = Arc::clone(found.map_err(|error| error.at("parent"))?);
        let (cx, after, size) = (context(authorized), request.after.clone(), request.size);
        let listed =
            self.call_out(async move { vault.list(&cx, &project, after.as_deref(), size).await });
        let keyed = listed.await?.into_iter();
        let keyed = keyed.map(|secret| (secret.name.clone(), secret)).collect();
        Ok(Page::of(keyed, request))
    }

    /// The state of every part of the daemon.
    ///
    /// # Errors
    /// `ACCESS_DENIED`.
    pub async fn status(&self, call: &Arc<Call>) -> Result<Vec<PartStatus>> {
        let permissions = &[Permission::DaemonStatus];
        let authorized = self
            .authorize(call, permissions, Resource::Daemon, None)
            .await?;
        let cx = context(&authorized);
        // This is what one asks when the log fails, and the answer holds nothing secret: the one
        // call that goes on without its record.
        let audit = match self.decided(authorized, Ok(())).await {
            Err(error) if error.reason() != Reason::AuditUnavailable => return Err(error),
            recorded => recorded,
        };
        let store = self.records.health().await;
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
        ];
        parts.extend(self.check_vaults(cx).await);
        Ok(parts)
    }

    /// Whether calls can be served at all: for the health service, which knows no caller.
    pub async fn is_serving(&self) -> bool {
        self.audit.is_healthy() && self.records.health().await.is_ok()
    }
}
