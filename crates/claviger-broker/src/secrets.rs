//! Secret values: how a read goes.

pub(crate) mod put;
pub(crate) mod versions;

use std::fmt;
use std::sync::Arc;

use claviger_access::{Authorized, Call, Permission};
use claviger_audit::Facts;
use claviger_core::{
    DefinitionName, Detail, Error, Format, Id, Kind, Reason, Result, SecretBytes, VersionName,
};
use claviger_stripe::{Settings, Verdict};

use crate::broker::Broker;
use crate::engine::found::{Asked, OnDefinition};
use crate::engine::reads::{Found, is_unreadable};
use crate::engine::ways::Way;
use crate::model::freshness::Age;
use crate::model::get_secret::GetSecret;

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
        let (proof, way) = match self.catalog.known_way(call, get) {
            Some(known) => known,
            // Apart, as all that is seldom needed: what a read waits in is moved at each one.
            None => Box::pin(self.find_way(call, get)).await?,
        };
        let mut result = self.read(&proof, &way, get).await;
        if result.is_err() {
            // Nor may it hear why, if it was revoked meanwhile.
            let standing = proof.still_valid(&*self.catalog).await;
            result = standing.and(result);
        }
        let result = self.conclude_read(proof, &way, get, result).await;
        self.count(&way.found, result.as_ref().err());
        result
    }

    /// Asks whether the caller may, and looks up where the read leads.
    async fn find_way(&self, call: &Arc<Call>, get: &GetSecret) -> Result<(Authorized, Arc<Way>)> {
        let permissions = &[Permission::SecretsGet];
        let environment = get.environment.as_ref();
        let asked = self
            .catalog
            .ask_definition(call, permissions, &get.name, environment)
            .await?;
        let Asked { proof, found } = asked;
        let found = Arc::new(found);
        match Way::new(&proof, &found, get, &self.vaults) {
            Ok(way) => Ok((proof, Arc::new(way))),
            Err(error) => {
                let asked = Asked { proof, found: () };
                let refused = self.concluded(asked, Err(error), |_: &()| Facts::default());
                let error = refused.await.err();
                self.count(&found, error.as_ref());
                Err(error.unwrap_or_else(|| Error::new(Reason::Internal)))
            }
        }
    }

    /// From the proof to the value: the document that the way leads to, the part that is meant, and
    /// whether the caller may still have it.
    async fn read(&self, proof: &Authorized, way: &Way, get: &GetSecret) -> Result<Served> {
        let Way { found, route, .. } = way;
        let registered = found.live(&self.vaults)?;

        let named = |error| naming(error, &get.name, route.version.as_deref());
        let read = self.reads.read(proof, route, get.max_age).await;
        let Found { document, age } = match read {
            Err(error)
                if is_unreadable(&error)
                    && route.version.is_none()
                    && registered.definition.has_newest(&route.place) =>
            {
                // The one to enable has to be named.
                let newest = self.reads.latest(proof, route).await?;
                let newest = newest.as_ref().map(Id::as_str);
                return Err(naming(error, &get.name, newest));
            }
            read => read.map_err(named)?,
        };
        let content = &registered.definition.content;
        let value = route.present(&document, content.format).map_err(named)?;
        let mode = registered.project.stripe_mode(get.environment.as_ref());
        let verdict = content.judge(&value, mode);
        if let Some(refusal) = verdict.as_ref().and_then(|v| v.refusal(content.kind, None)) {
            return Err(named(refusal));
        }

        // Revoked or purged while the vault was asked.
        proof.still_valid(&*self.catalog).await?;
        Ok(Served {
            version: document.version.clone(),
            age,
            value,
            format: content.format,
            kind: content.kind,
            stripe: verdict.map(|verdict| (verdict, content.stripe.clone())),
            vault: route.place.vault.clone(),
        })
    }

    /// Writes down how a read ended, and remembers the way of one that was served.
    async fn conclude_read(
        &self,
        proof: Authorized,
        way: &Way,
        get: &GetSecret,
        result: Result<Served>,
    ) -> Result<Served> {
        let served = match result {
            Ok(served) => served,
            Err(error) => {
                let asked = Asked { proof, found: () };
                return self
                    .concluded(asked, Err(error), |_| Facts::default())
                    .await;
            }
        };
        let version = served.version.clone();
        if let Some(tail) = way.tail(&version) {
            self.audit.repeat(proof, tail).await?;
            return Ok(served);
        }
        let call = Arc::clone(proof.call());
        let facts = Facts {
            version: Some(version.clone()),
            ..way.route.facts()
        };
        let concluding = self.audit.conclude_repeatable(proof, served, facts);
        let (served, tail) = Box::pin(concluding).await?;
        if let Some(tail) = tail {
            self.catalog.remember_way(&call, get, way, version, tail);
        }
        Ok(served)
    }

    fn count(&self, found: &OnDefinition, failure: Option<&Error>) {
        let project = found.project().ok();
        let project = project.map(|project| project.record.name.id());
        self.reads.tally().add(project, failure.map(Error::reason));
    }
}

/// Names in an error what the vault, which knows no names, could not.
fn naming(error: Error, name: &DefinitionName, version: Option<&str>) -> Error {
    match version.and_then(|version| Id::parse("version", version).ok()) {
        Some(version) => error.with(Detail::Resource, VersionName::new(name.clone(), version)),
        None => error.with(Detail::Resource, name),
    }
}
