//! Secret values: read, stored, and their versions.

use std::fmt;
use std::sync::Arc;

use claviger_access::{Authorized, Call, Permission};
use claviger_audit::Facts;
use claviger_backend::{Reading, Vaults, VersionInfo, VersionState};
use claviger_core::{
    DefinitionName, Detail, Error, Format, Id, Kind, Reason, Resource, Result, SecretBytes,
    VersionName,
};
use claviger_stripe::{Settings, Verdict};
use serde::{Deserialize, Serialize};

use crate::document;
use crate::idempotency::Replay;
use crate::route::Route;
use crate::writes::{Fence, NewValue, Target, version_mismatch};
use crate::{Broker, Definition, Page, PageRequest, Payload, Project, RequestId, Warning, context};

/// A read.
#[derive(Clone, Debug)]
pub struct GetSecret {
    /// The definition.
    pub name: DefinitionName,
    /// Where the project declares environments.
    pub environment: Option<Id>,
    /// A version, if not the current one.
    pub version: Option<Id>,
}

/// A value that was read.
pub struct Served {
    /// Its version.
    pub version: Id,
    /// Its bytes; UTF-8 if the format is TEXT.
    pub value: SecretBytes,
    /// How they are meant.
    pub format: Format,
    /// What it is.
    pub kind: Kind,
    /// The vault it came from.
    pub vault: Id,
    /// Of a Stripe credential: what it is, and what goes with it.
    pub stripe: Option<(Verdict, Settings)>,
}

impl fmt::Debug for Served {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Served")
            .field("version", &self.version)
            .finish_non_exhaustive()
    }
}

/// A new value.
#[derive(Debug)]
pub struct PutValue {
    /// The definition.
    pub name: DefinitionName,
    /// Where the project declares environments.
    pub environment: Option<Id>,
    /// The value.
    pub payload: Payload,
    /// Write only while this is the current version.
    pub if_version: Option<Id>,
    /// Makes a repeat return the first answer.
    pub request_id: Option<RequestId>,
    /// Whether a secret may be written that the definition did not create.
    pub is_adopting: bool,
}

/// What a put of a value did.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub struct PutValueOutcome {
    /// The version that is current now.
    pub version: Id,
    /// The vault it went to.
    pub vault: Id,
    /// What deserves a look.
    pub warnings: Vec<Warning>,
}

/// A version without its value.
#[derive(Clone, Debug)]
pub struct SecretVersion {
    /// What the vault says.
    pub info: VersionInfo,
    /// Whether an unpinned read returns it.
    pub is_current: bool,
}

impl Broker {
    /// Reads a value.
    ///
    /// # Errors
    /// See the RPC `GetSecret`.
    pub async fn get_secret(&self, call: &Arc<Call>, get: &GetSecret) -> Result<Served> {
        let resource = Resource::Definition(get.name.clone());
        let permissions = &[Permission::SecretsGet];
        let authorized = self
            .authorize(call, permissions, resource, get.environment.as_ref())
            .await?;
        let result = self.read(&authorized, get).await;
        self.audit
            .conclude(authorized, result, |served| Facts {
                vault: Some(served.vault.clone()),
                version: Some(served.version.clone()),
                ..Facts::default()
            })
            .await
    }

    /// From the proof to the value: what is registered, where it leads, the vault, the format, and
    /// whether the caller may still have it.
    async fn read(&self, authorized: &Authorized, get: &GetSecret) -> Result<Served> {
        let definition = self.definition(authorized).await?.record;
        let definition = definition.live()?;
        let project = self.project(authorized).await?.record;
        let environment = get.environment.as_ref();
        let route = definition.route(environment, get.version.as_ref(), &project, &self.vaults)?;

        let reading = self.read_route(authorized, &route).await;
        let named = |error| about(error, &get.name, route.version.as_deref());
        let reading = reading.map_err(named)?;
        let format = definition.content.format;
        let value = present(reading.value, format, &route).map_err(named)?;
        let content = &definition.content;
        let verdict = content.judge(&value, project.stripe_mode(environment));
        if let Some(refusal) = verdict.as_ref().and_then(|v| v.refusal(content.kind, None)) {
            return Err(named(refusal));
        }

        // Revoked or deleted while the vault was asked.
        authorized.still_valid(self).await?;
        let vault = route.place.vault;
        Ok(Served {
            version: reading.version,
            value,
            format,
            kind: content.kind,
            vault,
            stripe: verdict.map(|verdict| (verdict, content.stripe.clone())),
        })
    }

    /// Asks the vault: the managed one, which answers from memory, at once.
    pub(crate) async fn read_route(
        &self,
        authorized: &Authorized,
        route: &Route,
    ) -> Result<Reading> {
        let cx = context(authorized);
        if !route.vault.is_remote() {
            let version = route.version.as_deref();
            return route.vault.read(&cx, &route.address, version).await;
        }
        let route = route.clone();
        self.call_out(async move {
            let version = route.version.as_deref();
            route.vault.read(&cx, &route.address, version).await
        })
        .await
    }

    /// Stores a new value.
    ///
    /// # Errors
    /// See the RPC `PutSecretValue`.
    pub async fn put_value(
        self: &Arc<Self>,
        call: &Arc<Call>,
        put: PutValue,
    ) -> Result<PutValueOutcome> {
        let resource = Resource::Definition(put.name.clone());
        let permissions = &[Permission::SecretsPut];
        let authorized = self
            .authorize(call, permissions, resource, put.environment.as_ref())
            .await?;
        let facts = |outcome: &PutValueOutcome| Facts {
            vault: Some(outcome.vault.clone()),
            version: Some(outcome.version.clone()),
            ..Facts::default()
        };
        self.finish_detached(authorized, facts, |broker, authorized| async move {
            broker.put_value_authorized(&authorized, put).await
        })
        .await
    }

    async fn put_value_authorized(
        &self,
        authorized: &Authorized,
        put: PutValue,
    ) -> Result<PutValueOutcome> {
        let name = &put.name;
        let shape = serde_json::to_vec(&(
            name,
            &put.environment,
            &put.if_version,
            put.payload.format,
            put.is_adopting,
            // A re-made name inherits nothing, no answers either.
            authorized.resolved().definition,
        ))
        .map_err(|error| Error::new(Reason::Internal).caused_by(error))?;
        let parts: [&[u8]; 2] = [&shape, put.payload.value.expose()];
        let request = match self.replay(authorized, put.request_id, &parts).await? {
            Replay::Answered(outcome) => return Ok(outcome),
            Replay::Fresh(request) => request,
        };

        let definition = self.definition(authorized).await?.record;
        let definition = definition.live()?;
        let project = self.project(authorized).await?.record;
        let route = definition.place_of(put.environment.as_ref(), &project, &self.vaults)?;
        check_shared(authorized, definition, &project, &self.vaults, &route)?;
        self.settle_place(&context(authorized), definition, &route.place)
            .await?;
        let format = definition.content.format;
        let defaults = definition.defaults(&project, &self.vaults);
        let (value, mut warnings) = put.payload.admit(
            &definition.content,
            &definition.content.stripe_modes(defaults, &route.place),
            route.vault.capabilities().value_bytes_max,
        )?;

        if definition.content.rotates_by(self.clock.now()) {
            warnings.push(Warning::ROTATION_DUE);
        }

        let vault = route.place.vault.clone();
        let target = Facts {
            vault: Some(vault.clone()),
            ..Facts::default()
        };
        self.audit.intent(authorized, target).await?;
        let fence = self
            .fence(authorized, definition, &route, put.if_version.as_ref())
            .await?;
        let value = NewValue {
            bytes: &value,
            format,
            is_adopting: put.is_adopting,
            base: None,
        };
        // The version is filled in when the write is finished.
        let answer = serde_json::json!({ "vault": vault, "warnings": warnings });
        let request = request.as_ref().map(|request| (request, &answer));
        let target = Target::Existing(fence);
        let written = self
            .store(authorized, target, &route, value, request)
            .await?;
        warnings.extend(Warning::of_write(&written));
        Ok(PutValueOutcome {
            version: written.version,
            vault,
            warnings,
        })
    }

    /// What has to hold for our own record when a write with `if_version` begins. A vault that
    /// others write to as well is asked for its latest version: a rotation in its console counts.
    async fn fence(
        &self,
        authorized: &Authorized,
        definition: &Definition,
        route: &Route,
        if_version: Option<&Id>,
    ) -> Result<Fence> {
        let Some(wanted) = if_version else {
            return Ok(Fence::None);
        };
        if !route.vault.capabilities().latest {
            return Ok(Fence::Current(Some(wanted.clone())));
        }
        let cx = context(authorized);
        let latest = route.vault.read(&cx, &route.address, None).await;
        let latest = latest
            .map_err(|error| about(error, &definition.name, None))?
            .version;
        match latest == *wanted {
            true => Ok(Fence::Latest {
                latest,
                current: definition.current(&route.place).cloned(),
            }),
            false => Err(version_mismatch(&definition.name)),
        }
    }

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
        let resource = Resource::Definition(name.clone());
        let authorized = self
            .authorize(call, &[Permission::VersionsList], resource, environment)
            .await?;
        let result = self
            .list_versions_authorized(&authorized, environment, request)
            .await;
        self.decided(authorized, result).await
    }

    async fn list_versions_authorized(
        &self,
        authorized: &Authorized,
        environment: Option<&Id>,
        request: &PageRequest,
    ) -> Result<Page<SecretVersion>> {
        let definition = self.definition(authorized).await?.record;
        let definition = definition.live()?;
        let project = self.project(authorized).await?.record;
        let route = definition.place_of(environment, &project, &self.vaults)?;
        let after = request
            .after
            .as_deref()
            .map(|token| Id::parse("page_token", token))
            .transpose()?;
        let cx = context(authorized);
        let current = definition.current(&route.place).cloned();
        let size = request.size;
        let versions = self
            .call_out(async move {
                let (vault, address) = (route.vault, route.address);
                vault.versions(&cx, &address, after.as_ref(), size).await
            })
            .await?;
        let versions = versions
            .into_iter()
            .map(|info| {
                let is_current = Some(&info.version) == current.as_ref();
                (info.version.to_string(), SecretVersion { info, is_current })
            })
            .collect();
        Ok(Page::of(versions, request))
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
        let resource = Resource::Definition(name.definition().clone());
        let permissions = &[Permission::VersionsChange];
        let authorized = self
            .authorize(call, permissions, resource, environment.as_ref())
            .await?;
        let facts = |version: &SecretVersion| Facts {
            version: Some(version.info.version.clone()),
            ..Facts::default()
        };
        self.finish_detached(authorized, facts, move |broker, authorized| async move {
            let definition = broker.definition(&authorized).await?.record;
            let definition = definition.live()?;
            let project = broker.project(&authorized).await?.record;
            let route = definition.place_of(environment.as_ref(), &project, &broker.vaults)?;
            check_shared(&authorized, definition, &project, &broker.vaults, &route)?;
            let version = name.version();
            let target = Facts {
                vault: Some(route.place.vault.clone()),
                version: Some(version.clone()),
                ..Facts::default()
            };
            broker.audit.intent(&authorized, target).await?;
            let cx = context(&authorized);
            let info = route
                .vault
                .set_state(&cx, &route.address, version, state)
                .await;
            let info = info.map_err(|e| about(e, name.definition(), Some(version.as_str())))?;
            let is_current = Some(&info.version) == definition.current(&route.place);
            Ok(SecretVersion { info, is_current })
        })
        .await
    }
}

/// What a reader gets of a vault's value: the property, in the definition's format.
///
/// # Errors
/// `PROPERTY_*`, `VALUE_NOT_JSON`, `VALUE_NOT_TEXT`.
pub(crate) fn present(value: SecretBytes, format: Format, route: &Route) -> Result<SecretBytes> {
    let has_properties = route.vault.capabilities().property && format == Format::Text;
    let value = match has_properties {
        true => document::extract(value, route.property.as_deref())?,
        false => value,
    };
    match format {
        Format::Text if std::str::from_utf8(value.expose()).is_err() => {
            Err(Error::new(Reason::ValueNotText))
        }
        Format::Binary | Format::Text => Ok(value),
    }
}

/// A change at a place that several environments share needs the permission in all of them: else a
/// grant on `dev` could rotate what `prod` reads.
fn check_shared(
    authorized: &Authorized,
    definition: &Definition,
    project: &Project,
    vaults: &Vaults,
    route: &Route,
) -> Result<()> {
    let defaults = definition.defaults(project, vaults);
    let content = &definition.content;
    let mut environments = content.environments_at(defaults, &route.place);
    match environments.find(|environment| !authorized.allows_in(environment)) {
        None => Ok(()),
        Some(environment) => Err(authorized.denied_in(environment)),
    }
}

/// Names in an error what the vault, which knows no names, could not.
fn about(error: Error, name: &DefinitionName, version: Option<&str>) -> Error {
    match version.and_then(|version| Id::parse("version", version).ok()) {
        Some(version) => error.with(Detail::Resource, VersionName::new(name.clone(), version)),
        None => error.with(Detail::Resource, name),
    }
}
