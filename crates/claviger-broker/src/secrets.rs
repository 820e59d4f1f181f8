//! Secret values: how a read goes.

pub(crate) mod put;
pub(crate) mod versions;

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use claviger_access::{Call, Permission};
use claviger_audit::Facts;
use claviger_core::{
    DefinitionName, Detail, Error, Format, Id, Kind, Result, SecretBytes, VersionName,
};
use claviger_stripe::{Settings, Verdict};

use crate::broker::Broker;
use crate::engine::found::{Asked, OnDefinition};
use crate::engine::reads::{Found, is_unreadable};
use crate::model::freshness::Age;

/// A read.
#[derive(Clone, Debug)]
pub struct GetSecret {
    /// The definition.
    pub name: DefinitionName,
    /// Where the project declares environments.
    pub environment: Option<Id>,
    /// A version, if not the current one.
    pub version: Option<Id>,
    /// The caller wants it no older.
    pub max_age: Option<Duration>,
}

/// A value that was read.
pub struct Served {
    /// Its version.
    pub version: Id,
    /// How old it is.
    pub age: Age,
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

impl Broker {
    /// Reads a value.
    ///
    /// # Errors
    /// See the RPC `GetSecret`.
    pub async fn get_secret(&self, call: &Arc<Call>, get: &GetSecret) -> Result<Served> {
        let permissions = &[Permission::SecretsGet];
        let environment = get.environment.as_ref();
        let asked = self
            .catalog
            .ask_definition(call, permissions, &get.name, environment)
            .await?;
        let mut result = self.read(&asked, get).await;
        if result.is_err() {
            // Nor may it hear why, if it was revoked meanwhile.
            let standing = asked.proof.still_valid(&*self.catalog).await;
            result = standing.and(result);
        }
        let facts = |(served, facts): &(Served, Facts)| Facts {
            version: Some(served.version.clone()),
            ..facts.clone()
        };
        let (served, _) = self.concluded(asked, result, facts).await?;
        Ok(served)
    }

    /// From the proof to the value: what is registered, where it leads, the document there, the part
    /// that is meant, and whether the caller may still have it.
    async fn read(&self, asked: &Asked<OnDefinition>, get: &GetSecret) -> Result<(Served, Facts)> {
        let registered = asked.found.live(&self.vaults)?;
        let environment = get.environment.as_ref();
        let route = registered.route(environment, get.version.as_ref())?;

        let named = |error| naming(error, &get.name, route.version.as_deref());
        let read = self.reads.read(&asked.proof, &route, get.max_age).await;
        let Found { document, age } = match read {
            Err(error)
                if is_unreadable(&error)
                    && route.version.is_none()
                    && registered.definition.has_newest(&route.place) =>
            {
                // The one to enable has to be named.
                let newest = self.reads.latest(&asked.proof, &route).await?;
                let newest = newest.as_ref().map(Id::as_str);
                return Err(naming(error, &get.name, newest));
            }
            read => read.map_err(named)?,
        };
        let content = &registered.definition.content;
        let value = route.present(&document, content.format).map_err(named)?;
        let verdict = content.judge(&value, registered.project.stripe_mode(environment));
        if let Some(refusal) = verdict.as_ref().and_then(|v| v.refusal(content.kind, None)) {
            return Err(named(refusal));
        }

        // Revoked or deleted while the vault was asked.
        asked.proof.still_valid(&*self.catalog).await?;
        let facts = route.facts();
        let served = Served {
            version: document.version.clone(),
            age,
            value,
            format: content.format,
            kind: content.kind,
            stripe: verdict.map(|verdict| (verdict, content.stripe.clone())),
            vault: route.place.vault,
        };
        Ok((served, facts))
    }
}

/// Names in an error what the vault, which knows no names, could not.
fn naming(error: Error, name: &DefinitionName, version: Option<&str>) -> Error {
    match version.and_then(|version| Id::parse("version", version).ok()) {
        Some(version) => error.with(Detail::Resource, VersionName::new(name.clone(), version)),
        None => error.with(Detail::Resource, name),
    }
}
