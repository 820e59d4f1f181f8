//! The configured vaults: listed, checked, browsed.

pub(crate) mod inspect;

use std::collections::BTreeSet;
use std::sync::Arc;

use claviger_access::{Authorized, Call, Directory, Permission, Scope};
use claviger_audit::Facts;
use claviger_backend::{Capabilities, ListedSecret, Vault, Vaults};
use claviger_core::{ProjectName, Resource, Result, Uid, VaultName};

use crate::broker::Broker;
use crate::engine::found::{Asked, OnProject};
use crate::model::page::{Page, PageRequest};

/// A configured vault.
#[derive(Clone, Debug)]
pub struct VaultView {
    /// Its name.
    pub name: VaultName,
    /// Which backend serves it.
    pub kind: &'static str,
    /// What it can do.
    pub capabilities: Capabilities,
    /// What Claviger is to it.
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

impl Broker {
    /// Lists the configured vaults.
    ///
    /// # Errors
    /// `ACCESS_DENIED`.
    pub async fn list_vaults(&self, call: &Arc<Call>) -> Result<Vec<VaultView>> {
        let permission = Permission::VaultsGet;
        let asked = self.catalog.ask_anywhere(call, permission).await?;
        let known = self.known_vaults(&asked.proof).await;
        let views = known.map(|known| known.iter().map(|vault| VaultView::of(vault)).collect());
        self.decided(asked, views).await
    }

    /// The vaults that the caller may know of: those that the projects of its grants may use. Which
    /// others there are, and as whom they are called, is nothing for it.
    async fn known_vaults(&self, proof: &Authorized) -> Result<Vaults> {
        let mut projects = BTreeSet::new();
        for scope in proof.scopes() {
            let name = match scope {
                Scope::Daemon => return Ok(self.vaults.clone()),
                Scope::Definition { name, .. } => name.project(),
                Scope::Profile { name, .. } => name.project(),
                Scope::Project { name, .. } => name,
            };
            let resource = Resource::Project(name.clone());
            let (resolved, _) = self.catalog.resolve(&resource).await?;
            if resolved.project == scope.project() {
                projects.insert(name.id());
            }
        }
        let is_known = |vault: &Vault| projects.iter().any(|project| vault.serves(project));
        Ok(self.vaults.only(is_known))
    }

    /// Asks a vault whether it is well.
    ///
    /// # Errors
    /// `ACCESS_DENIED`, `VAULT_UNKNOWN`.
    pub async fn check_vault(
        &self,
        call: &Arc<Call>,
        name: &VaultName,
    ) -> Result<(VaultView, Result<()>)> {
        let permission = Permission::VaultsGet;
        let asked = self.catalog.ask_anywhere(call, permission).await?;
        let result = self.check_vault_asked(&asked.proof, name).await;
        let facts = Facts {
            vault: Some(name.id().clone()),
            ..Facts::default()
        };
        self.concluded(asked, result, |_| facts).await
    }

    async fn check_vault_asked(
        &self,
        proof: &Authorized,
        name: &VaultName,
    ) -> Result<(VaultView, Result<()>)> {
        let known = self.known_vaults(proof).await?;
        let vault = known.find(name.id()).map_err(|error| error.at("name"))?;
        let check = self.ask_whether_well(proof.call().id, vault).await;
        Ok((VaultView::of(vault), check))
    }

    /// Lists the secrets of a vault that definitions of a project may point at.
    ///
    /// # Errors
    /// See the RPC `ListVaultSecrets`.
    pub async fn list_vault_secrets(
        &self,
        call: &Arc<Call>,
        vault: &VaultName,
        project: &ProjectName,
        request: &PageRequest,
    ) -> Result<Page<ListedSecret>> {
        let permission = Permission::VaultsBrowse;
        let asked = self.catalog.ask_project(call, permission, project).await?;
        let result = self.browse(&asked, vault, request).await;
        let facts = Facts {
            vault: Some(vault.id().clone()),
            ..Facts::default()
        };
        self.concluded(asked, result, |_| facts).await
    }

    async fn browse(
        &self,
        asked: &Asked<OnProject>,
        vault: &VaultName,
        request: &PageRequest,
    ) -> Result<Page<ListedSecret>> {
        let project = asked.found.project()?.record.name.id().clone();
        let found = self.vaults.find_for(&project, vault.id());
        let vault = found.map_err(|error| error.at("parent"))?;
        let of = [vault.id().to_string(), project.to_string()];
        let listing = self.catalog.listing(&asked.proof, of);
        let (after, size) = (listing.after(request)?, request.size);
        let asked_of = Arc::clone(vault);
        let list = async move { asked_of.list(&project, after.as_deref(), size).await };
        let keyed = self.reads.call(&asked.proof, vault, "", list);
        let keyed = keyed.await?.into_iter();
        let keyed = keyed.map(|secret| (secret.name.clone(), secret)).collect();
        Ok(listing.page(keyed, request))
    }

    /// Asks a vault whether it is well, for a call or for the daemon.
    pub(crate) async fn ask_whether_well(&self, id: Uid, vault: &Arc<Vault>) -> Result<()> {
        let vault = Arc::clone(vault);
        let ask = async move { vault.check().await };
        self.outside.call(id, ask).await
    }
}
