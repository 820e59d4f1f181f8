//! The versions of a value: listed, disabled, enabled, destroyed.

use std::sync::Arc;

use claviger_access::{Call, Permission};
use claviger_audit::Facts;
use claviger_backend::{VersionInfo, VersionState};
use claviger_core::{DefinitionName, Detail, Error, Id, Reason, Result, VersionName};
use claviger_store::Batch;

use crate::broker::Broker;
use crate::engine::forms::definition_id;
use crate::engine::found::{Asked, OnDefinition, expect};
use crate::engine::steps::not_owned;
use crate::model::definition::Definition;
use crate::model::page::{Page, PageRequest};
use crate::model::project::Project;
use crate::model::registered::Registered;
use crate::model::route::Route;

/// How often a change of a version looks again when the definition or project was edited.
const CONFIRM_ATTEMPTS: usize = 8;

/// The request has no `adopt`.
const TAKE_OVER: &str = "make it the project's by a PutSecretValue with adopt, or change the version in the vault's own \
                         console";

/// A version without its value.
#[derive(Clone, Debug)]
pub struct SecretVersion {
    /// What the vault says.
    pub info: VersionInfo,
    /// Whether a read that names no version asks for it.
    pub is_current: bool,
}

impl Broker {
    /// Lists versions, newest first.
    ///
    /// # Errors
    /// See the RPC `ListSecretVersions`.
    pub async fn list_versions(
        &self,
        call: &Arc<Call>,
        name: &DefinitionName,
        environment: Option<&Id>,
        request: &PageRequest,
    ) -> Result<Page<SecretVersion>> {
        let permissions = &[Permission::VersionsList];
        let asked = self
            .catalog
            .ask_definition(call, permissions, name, environment)
            .await?;
        let result = self.list_versions_asked(&asked, environment, request).await;
        self.decided(asked, result).await
    }

    async fn list_versions_asked(
        &self,
        asked: &Asked<OnDefinition>,
        environment: Option<&Id>,
        request: &PageRequest,
    ) -> Result<Page<SecretVersion>> {
        let registered = asked.found.live(&self.vaults)?;
        registered.definition.readable()?;
        let route = registered.write_route(environment)?;
        let of = [
            registered.definition.uid.to_string(),
            environment.map(Id::to_string).unwrap_or_default(),
        ];
        let listing = self.catalog.listing(&asked.proof, of);
        let after = listing.after(request)?;
        let after = after.map(|version| Id::parse("page_token", &version));
        let after = after.transpose()?;
        // First: what comes in between is listed and not marked.
        let proof = &asked.proof;
        let current = self
            .reads
            .current(proof, registered.definition, &route)
            .await?;
        let size = request.size;
        let (vault, address) = (Arc::clone(&route.vault), route.address.clone());
        let list = async move { vault.versions(&address, after.as_ref(), size).await };
        let list = self
            .reads
            .call(proof, &route.vault, &route.address.secret, list);
        let versions = list.await?.into_iter();
        let versions = versions.map(|info| {
            let is_current = Some(&info.version) == current.as_ref();
            (info.version.to_string(), SecretVersion { info, is_current })
        });
        Ok(listing.page(versions.collect(), request))
    }

    /// Enables, disables or destroys a version.
    ///
    /// # Errors
    /// See the RPCs `EnableSecretVersion`, `DisableSecretVersion` and `DestroySecretVersion`.
    pub async fn change_version(
        self: &Arc<Self>,
        call: &Arc<Call>,
        name: VersionName,
        environment: Option<Id>,
        state: VersionState,
    ) -> Result<SecretVersion> {
        let permissions = &[Permission::VersionsChange];
        let definition = name.definition();
        let asked = self
            .catalog
            .ask_definition(call, permissions, definition, environment.as_ref())
            .await?;
        let facts = |version: &SecretVersion| Facts {
            version: Some(version.info.version.clone()),
            ..Facts::default()
        };
        self.finish_detached(asked, facts, move |broker, asked| async move {
            let environment = environment.as_ref();
            broker
                .change_version_asked(&asked, &name, environment, state)
                .await
        })
        .await
    }

    async fn change_version_asked(
        &self,
        asked: &Asked<OnDefinition>,
        name: &VersionName,
        environment: Option<&Id>,
        state: VersionState,
    ) -> Result<SecretVersion> {
        let registered = asked.found.live(&self.vaults)?;
        registered.definition.readable()?;
        let route = registered.write_route(environment)?;
        self.claim_shared(asked, registered, &route).await?;
        let version = name.version();
        let target = Facts {
            version: Some(version.clone()),
            ..route.facts()
        };
        self.audit.intent(&asked.proof, target).await?;
        self.confirm(asked, environment, &route).await?;
        let info = route.vault.set_state(&route.address, version, state).await;
        // Also if that failed: whoever switches a version off wants it served no longer.
        self.reads.forget(&route.vault, &route.place);
        let info =
            info.map_err(|error| not_owned(error, TAKE_OVER).with(Detail::Resource, name))?;
        let current = self
            .reads
            .current(&asked.proof, registered.definition, &route)
            .await;
        // A leaked version is switched off also where Claviger may not read it.
        let is_current = current.is_ok_and(|current| current.as_ref() == Some(&info.version));
        Ok(SecretVersion { info, is_current })
    }

    /// Has the store confirm what a change of a version rests on, because it commits no record of
    /// ours: the caller's permission, and that the definition still leads to this place.
    async fn confirm(
        &self,
        asked: &Asked<OnDefinition>,
        environment: Option<&Id>,
        route: &Route,
    ) -> Result<()> {
        let name = &asked.found.name;
        let conflict = || Error::new(Reason::Conflict).with(Detail::Resource, name);
        for _ in 0..CONFIRM_ATTEMPTS {
            let project = self.catalog.project_again(asked).await?;
            let definition = self.catalog.again(asked).await?;
            let registered = Registered {
                definition: definition.record.live()?,
                project: &project.record,
                vaults: &self.vaults,
            };
            if registered.write_route(environment)?.place != route.place {
                return Err(conflict());
            }
            self.claim_shared(asked, registered, route).await?;
            let unchanged = Batch::new()
                .require::<Definition>(&definition_id(name), expect(Some(&definition)))
                .require::<Project>(name.project().id().as_str(), expect(Some(&project)));
            let confirmed = self.catalog.commit(&asked.proof, &unchanged).await?;
            if confirmed.is_some() {
                return Ok(());
            }
        }
        Err(conflict())
    }
}
