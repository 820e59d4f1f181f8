//! What the use cases are made of, and what all of them do around their own steps.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use claviger_access::{Authorizer, Caller, DecisionLog, Directory as _, Principal};
use claviger_audit::{Audit, Facts};
use claviger_backend::Vaults;
use claviger_cache::Limits;
use claviger_core::{Clock, Detail, Error, Id, Reason, Resource, Result};
use claviger_store::Records;
use claviger_stripe::live::LiveClient;
use claviger_stripe::oauth::OauthClient;
use tokio::runtime::Handle;

use crate::engine::catalog::Catalog;
use crate::engine::consumers::Consumers;
use crate::engine::found::Asked;
use crate::engine::installs::Installs;
use crate::engine::outside::Outside;
use crate::engine::reads::Reads;
use crate::engine::writes::Writes;
use crate::model::definition::Definition;
use crate::model::exchanges::Exchanges;
use crate::model::identity::{Identities, Identity};
use crate::model::registered::Registered;

/// The parts of a broker.
#[derive(Debug)]
pub struct Parts {
    /// The sealed records.
    pub records: Arc<Records>,
    /// The configured vaults.
    pub vaults: Vaults,
    /// The audit log.
    pub audit: Arc<Audit>,
    /// The way to Stripe.
    pub stripe: LiveClient,
    /// The way to its token endpoints.
    pub oauth: OauthClient,
    /// The time.
    pub clock: Arc<dyn Clock>,
    /// Bounds of what is remembered of other systems' values.
    pub cache: Limits,
    /// Whether reads are counted by project.
    pub tells_projects: bool,
    /// How long a soft-deleted definition keeps its name.
    pub deleted_retention: Duration,
    /// The uid that is admin by itself: the daemon's own.
    pub first_admin: u32,
    /// Who vouches for callers of other systems, by the name that their principals have in grants.
    pub identities: BTreeMap<Id, Identity>,
    /// Where writes run, so that they finish although their caller left.
    pub runtime: Handle,
}

/// The use cases.
#[derive(Debug)]
pub struct Broker {
    pub(crate) catalog: Arc<Catalog>,
    pub(crate) reads: Arc<Reads>,
    pub(crate) installs: Arc<Installs>,
    pub(crate) consumers: Consumers,
    pub(crate) writes: Writes,
    pub(crate) vaults: Vaults,
    pub(crate) outside: Arc<Outside>,
    pub(crate) audit: Arc<Audit>,
    pub(crate) stripe: Arc<LiveClient>,
    pub(crate) exchanges: Exchanges,
}

impl Broker {
    /// Puts the parts together.
    pub fn new(parts: Parts) -> Self {
        let log: Arc<dyn DecisionLog> = Arc::<Audit>::clone(&parts.audit);
        let catalog = Arc::new(Catalog::new(
            parts.records,
            Authorizer::new(log, Arc::clone(&parts.clock)),
            Arc::clone(&parts.clock),
            parts.first_admin,
            parts.deleted_retention,
            Identities::new(parts.identities),
        ));
        let outside = Arc::new(Outside::new(parts.runtime));
        let installs = Arc::new(Installs::new(
            Arc::clone(&catalog),
            Arc::clone(&outside),
            parts.oauth,
            Arc::clone(&parts.clock),
        ));
        let reads = Arc::new(Reads::new(
            Arc::clone(&outside),
            parts.clock,
            parts.cache,
            parts.tells_projects,
        ));
        let writes = Writes::new(
            Arc::clone(&catalog),
            Arc::clone(&reads),
            parts.vaults.clone(),
        );
        Self {
            installs,
            consumers: Consumers::new(Arc::clone(&catalog)),
            catalog,
            reads,
            writes,
            vaults: parts.vaults,
            outside,
            audit: parts.audit,
            stripe: Arc::new(parts.stripe),
            exchanges: Exchanges::default(),
        }
    }

    /// The audit log, for what happens before a caller is known.
    pub fn audit(&self) -> &Audit {
        &self.audit
    }

    /// Waits until the writes that were begun have ended.
    pub async fn drain(&self) {
        self.outside.drain().await;
        self.reads.drain().await;
    }

    /// Finds out whose token this is.
    ///
    /// # Errors
    /// `TOKEN_INVALID`, `TOKEN_EXPIRED`, `TOKEN_REVOKED`, `STORE_UNAVAILABLE`.
    pub async fn authenticate(&self, token: &str) -> Result<Caller> {
        self.catalog.authenticate(token).await
    }

    /// Whether a principal has a grant that has not ended, whatever it allows.
    ///
    /// # Errors
    /// `STORE_UNAVAILABLE`.
    pub async fn has_grants(&self, principal: &Principal) -> Result<bool> {
        let grants = self.catalog.grants(principal).await?;
        let now = self.catalog.now();
        Ok(grants.iter().any(|grant| grant.is_standing(now)))
    }

    /// Has what is remembered of all places that a definition leads to asked for again. Kept until
    /// then: other definitions may lead there, and it may be all that there is during an outage.
    pub(crate) fn doubt(&self, registered: Registered<'_>) {
        for place in registered.places() {
            if let Ok(vault) = self.vaults.find(&place.vault) {
                self.reads.doubt(vault, &place);
            }
        }
    }

    /// When a soft-deleted definition's name becomes free.
    pub fn purge_time(&self, definition: &Definition) -> Option<SystemTime> {
        self.catalog.purge_time(definition)
    }

    /// Writes the one record of a call that changed nothing.
    pub(crate) async fn decided<F, T>(&self, asked: Asked<F>, result: Result<T>) -> Result<T> {
        self.concluded(asked, result, |_| Facts::default()).await
    }

    /// As [`Self::decided`], with what the call turned out to be about.
    pub(crate) async fn concluded<F, T>(
        &self,
        asked: Asked<F>,
        result: Result<T>,
        facts: impl FnOnce(&T) -> Facts,
    ) -> Result<T> {
        let result = result.map_err(|error| named(error, asked.proof.resource()));
        self.audit.conclude(asked.proof, result, facts).await
    }

    /// Runs a change to its end and writes its last record, even if the caller leaves meanwhile.
    pub(crate) async fn finish_detached<F, T, C>(
        self: &Arc<Self>,
        asked: Asked<F>,
        facts: impl FnOnce(&T) -> Facts + Send + 'static,
        change: impl FnOnce(Arc<Self>, Arc<Asked<F>>) -> C + Send + 'static,
    ) -> Result<T>
    where
        F: Send + Sync + 'static,
        T: Send + 'static,
        C: Future<Output = Result<T>> + Send + 'static,
    {
        let broker = Arc::clone(self);
        let id = asked.proof.call().id;
        let finish = async move {
            let asked = Arc::new(asked);
            let result = change(Arc::clone(&broker), Arc::clone(&asked)).await;
            let asked = Arc::into_inner(asked).ok_or_else(|| Error::new(Reason::Internal))?;
            broker.concluded(asked, result, facts).await
        };
        self.outside.finish(id, finish).await
    }
}

/// Whoever knew nothing nearer spoke of what was asked for.
fn named(error: Error, resource: &Resource) -> Error {
    match error.unsaid() {
        Some(Detail::Resource) => error.with(Detail::Resource, resource),
        Some(_) | None => error,
    }
}
