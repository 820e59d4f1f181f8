//! The configured vaults, checks of definitions, and the daemon's own state.

use std::collections::BTreeMap;
use std::sync::Arc;

use claviger_access::{Authorized, Directory};
use claviger_access::{Call, Permission, Principal, Question, evaluate};
use claviger_audit::Facts;
use claviger_backend::{Capabilities, ListedSecret, Vault};
use claviger_core::{
    DefinitionName, Detail, Error, Id, ProjectName, Reason, Resource, Result, VaultName,
};

use claviger_stripe::Verdict;

use crate::secrets::present;
use crate::{Broker, Page, PageRequest, context};

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

/// One thing that was looked at: well, or the error a read would fail with.
pub type Check = Result<()>;

/// What [`Broker::check_definition`] found.
#[derive(Debug)]
pub struct CheckReport {
    /// The vault a read goes to.
    pub vault: Id,
    /// The secret's name there.
    pub secret: String,
    /// The key of its document that is meant.
    pub property: Option<String>,
    /// The version that is pinned.
    pub pin: Option<String>,
    /// The environment that was checked.
    pub environment: Option<Id>,
    /// Whether there is a readable value; its version.
    pub existence: Result<Id>,
    /// Whether the value fits the format; `None` without a value.
    pub format: Option<Check>,
    /// Whether it is what the kind says; `None` for kinds that are not judged.
    pub kind: Option<Check>,
    /// What it is, of a Stripe credential.
    pub stripe: Option<Verdict>,
    /// Whether the principal may read it.
    pub access: Check,
    /// Whose access was judged.
    pub principal: Principal,
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
            self.ask_vault(async move { vault.list(&cx, &project, after.as_deref(), size).await });
        let keyed = listed.await?.into_iter();
        let keyed = keyed.map(|secret| (secret.name.clone(), secret)).collect();
        Ok(Page::of(keyed, request))
    }

    /// Says where a definition leads and whether a read would work.
    ///
    /// # Errors
    /// See the RPC `CheckSecretDefinition`.
    pub async fn check_definition(
        &self,
        call: &Arc<Call>,
        name: &DefinitionName,
        environment: Option<&Id>,
        principal: Option<Principal>,
    ) -> Result<CheckReport> {
        let resource = Resource::Definition(name.clone());
        let is_own = principal
            .as_ref()
            .is_none_or(|other| *other == call.caller.principal);
        let permissions: &[Permission] = if is_own {
            &[Permission::DefinitionsCheck]
        } else {
            &[Permission::DefinitionsCheck, Permission::GrantsGet]
        };
        let authorized = self
            .authorize(call, permissions, resource, environment)
            .await?;
        let principal = principal.unwrap_or_else(|| call.caller.principal.clone());
        let result = self
            .check_authorized(&authorized, environment, principal)
            .await;
        self.decided(authorized, result).await
    }

    async fn check_authorized(
        &self,
        authorized: &Authorized,
        environment: Option<&Id>,
        principal: Principal,
    ) -> Result<CheckReport> {
        let definition = self.definition(authorized).await?.record;
        let definition = definition.live()?;
        let project = self.project(authorized).await?.record;
        let place = definition.place_of(environment, &project, &self.vaults)?;
        let route = definition.route(environment, None, &project, &self.vaults);
        let (existence, value) = match route {
            Ok(route) => match self.read_route(authorized, &route).await {
                Ok(reading) => {
                    let value = present(reading.value, definition.content.format, &route);
                    (Ok(reading.version), Some(value))
                }
                Err(error) => (Err(error), None),
            },
            Err(error) => (Err(error), None),
        };
        let named = |error: Error| error.with(Detail::Resource, &definition.name);
        let content = &definition.content;
        let readable = value.as_ref().and_then(|value| value.as_ref().ok());
        let stripe =
            readable.and_then(|value| content.judge(value, project.stripe_mode(environment)));
        let kind = stripe
            .as_ref()
            .map(|verdict| match verdict.refusal(content.kind, None) {
                Some(refusal) => Err(named(refusal)),
                None => Ok(()),
            });
        Ok(CheckReport {
            vault: place.place.vault,
            secret: place.address.secret,
            property: place.property,
            pin: place.pin,
            environment: environment.cloned(),
            existence: existence.map_err(named),
            format: value.map(|value| value.map(drop).map_err(named)),
            kind,
            stripe,
            access: self
                .check_access(authorized, environment, &principal)
                .await?,
            principal,
        })
    }

    async fn check_access(
        &self,
        authorized: &Authorized,
        environment: Option<&Id>,
        principal: &Principal,
    ) -> Result<Check> {
        let resolved = authorized.resolved();
        let question = Question {
            permission: Permission::SecretsGet,
            project: resolved.project,
            definition: resolved.definition,
            environment,
            purpose: authorized.call().purpose.as_ref(),
            now: self.clock.now(),
        };
        if evaluate(&self.grants(principal).await?, &question).is_some() {
            return Ok(Ok(()));
        }
        Ok(Err(Error::new(Reason::AccessDenied)
            .with(Detail::Principal, principal)
            .with(Detail::Permission, Permission::SecretsGet)
            .with(Detail::Resource, authorized.resource())))
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
