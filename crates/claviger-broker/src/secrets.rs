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

use crate::broker::Broker;
use crate::engine::found::{Asked, OnDefinition};
use crate::engine::reads::{Again, Found, Ready, is_unreadable};
use crate::engine::ways::{Last, Way};
use crate::model::freshness::Age;
use crate::model::get_secret::{Credential, GetSecret};

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
    pub credential: Option<Arc<Credential>>,
    /// The way back to it, if that is new.
    again: Option<Again>,
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
        // Apart, as all that is seldom needed: what a read waits in is moved at each one.
        let Some((proof, way)) = self.catalog.known_way(call, get) else {
            return Box::pin(self.get_anew(call, get)).await;
        };
        let Some(result) = self.ready(&way, get) else {
            return Box::pin(self.get_by(proof, &way, get)).await;
        };
        let served = result.as_ref().ok();
        let Some(last) = served.and_then(|served| way.last(&served.version)) else {
            return Box::pin(self.conclude_read(proof, &way, get, result)).await;
        };
        let result = self.audit.repeat(proof, &last.tail).await.and(result);
        self.count(&way.found, result.as_ref().err());
        result
    }

    /// Reads a value by a way that is known.
    async fn get_by(&self, proof: Authorized, way: &Way, get: &GetSecret) -> Result<Served> {
        let result = self.read(&proof, way, get).await;
        self.conclude_read(proof, way, get, result).await
    }

    /// The value that was served by this way before, if nobody has to be waited for: then the proof
    /// holds as it was made.
    fn ready(&self, way: &Way, get: &GetSecret) -> Option<Result<Served>> {
        let last = way.last.as_ref()?;
        let again = last.again.as_ref()?;
        match self.reads.again(again, &way.route, get.max_age)? {
            Ready::Found(found) => Some(self.present(way, get, found)),
            // It was judged when it was read.
            Ready::Opened(value) => {
                let content = &way.found.definition().ok()?.record.content;
                Some(Ok(Served {
                    version: last.version.clone(),
                    age: Age::fetched(self.catalog.now()),
                    value,
                    format: content.format,
                    kind: content.kind,
                    credential: last.credential.clone(),
                    vault: way.route.place.vault.clone(),
                    again: None,
                }))
            }
        }
    }

    /// Reads a value as if nobody had before.
    async fn get_anew(&self, call: &Arc<Call>, get: &GetSecret) -> Result<Served> {
        let read = async {
            let (proof, way) = self.find_way(call, get).await?;
            let result = self.read(&proof, &way, get).await;
            Ok((way, (proof, result)))
        };
        let (way, (proof, result)) = self.catalog.collecting(read).await?;
        self.conclude_read(proof, &way, get, result).await
    }

    /// Asks whether the caller may, and looks up where the read leads.
    async fn find_way(&self, call: &Arc<Call>, get: &GetSecret) -> Result<(Authorized, Way)> {
        let permissions = &[Permission::SecretsGet];
        let environment = get.environment.as_ref();
        let asked = self
            .catalog
            .ask_definition(call, permissions, &get.name, environment)
            .await?;
        let Asked { proof, found } = asked;
        let found = Arc::new(found);
        match Way::new(&proof, &found, get, &self.vaults) {
            Ok(way) => Ok((proof, way)),
            Err(error) => {
                let asked = Asked { proof, found: () };
                let refused = self.concluded(asked, Err(error), |_: &()| Facts::default());
                let error = refused.await.err();
                self.count(&found, error.as_ref());
                Err(error.unwrap_or_else(|| Error::new(Reason::Internal)))
            }
        }
    }

    /// From the proof to the value. A caller that was revoked meanwhile may not even hear why there
    /// is none.
    async fn read(&self, proof: &Authorized, way: &Way, get: &GetSecret) -> Result<Served> {
        let found = self.find(proof, way, get).await;
        let result = found.and_then(|found| self.present(way, get, found));
        proof.still_valid(&*self.catalog).await?;
        result
    }

    /// The document that the way leads to.
    async fn find(&self, proof: &Authorized, way: &Way, get: &GetSecret) -> Result<Found> {
        let Way { found, route, .. } = way;
        let registered = found.live(&self.vaults)?;
        match self.reads.read(proof, route, get.max_age).await {
            Err(error)
                if is_unreadable(&error)
                    && route.version.is_none()
                    && registered.definition.has_newest(&route.place) =>
            {
                // The one to enable has to be named.
                let newest = self.reads.latest(proof, route).await?;
                let newest = newest.as_ref().map(Id::as_str);
                Err(naming(error, &get.name, newest))
            }
            read => read.map_err(|error| naming(error, &get.name, route.version.as_deref())),
        }
    }

    /// The part of a document that is meant.
    fn present(&self, way: &Way, get: &GetSecret, found: Found) -> Result<Served> {
        let Found {
            document,
            age,
            again,
        } = found;
        let route = &way.route;
        let registered = way.found.live(&self.vaults)?;
        let named = |error| naming(error, &get.name, route.version.as_deref());
        let content = &registered.definition.content;
        let value = route.present(&document, content.format).map_err(named)?;
        let mode = registered.project.stripe_mode(get.environment.as_ref());
        let verdict = content.judge(&value, mode);
        if let Some(refusal) = verdict.as_ref().and_then(|v| v.refusal(content.kind, None)) {
            return Err(named(refusal));
        }
        Ok(Served {
            version: document.version.clone(),
            age,
            value,
            format: content.format,
            kind: content.kind,
            credential: verdict.map(|verdict| Arc::new(Credential::of(&verdict, &content.stripe))),
            vault: route.place.vault.clone(),
            again,
        })
    }

    /// Writes down how a read ended, and counts it.
    async fn conclude_read(
        &self,
        proof: Authorized,
        way: &Way,
        get: &GetSecret,
        result: Result<Served>,
    ) -> Result<Served> {
        let result = match result {
            Ok(served) => match way.last(&served.version) {
                Some(last) => self.conclude_again(proof, way, get, last, served).await,
                None => Box::pin(self.conclude_first(proof, way, get, served)).await,
            },
            Err(error) => {
                let asked = Asked { proof, found: () };
                let refused = self.concluded(asked, Err(error), |_| Facts::default());
                Box::pin(refused).await
            }
        };
        self.count(&way.found, result.as_ref().err());
        result
    }

    /// Writes down that the same was served as before.
    async fn conclude_again(
        &self,
        proof: Authorized,
        way: &Way,
        get: &GetSecret,
        last: &Last,
        mut served: Served,
    ) -> Result<Served> {
        if let Some(again) = served.again.take() {
            let again = Some(again);
            let last = Last {
                again,
                ..last.clone()
            };
            self.catalog.remember_way(proof.call(), get, way, last);
        }
        self.audit.repeat(proof, &last.tail).await?;
        Ok(served)
    }

    /// Writes down that a value was served, and remembers the way to it.
    async fn conclude_first(
        &self,
        proof: Authorized,
        way: &Way,
        get: &GetSecret,
        served: Served,
    ) -> Result<Served> {
        let call = Arc::clone(proof.call());
        let facts = Facts {
            version: Some(served.version.clone()),
            ..way.route.facts()
        };
        let concluding = self.audit.conclude_repeatable(proof, served, facts);
        let (mut served, tail) = concluding.await?;
        if let Some(tail) = tail {
            let last = Last {
                version: served.version.clone(),
                credential: served.credential.clone(),
                again: served.again.take(),
                tail: Arc::new(tail),
            };
            self.catalog.remember_way(&call, get, way, last);
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
