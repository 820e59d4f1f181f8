//! The only way to a vault's values. What other systems hold is remembered for a while.

use std::sync::Arc;
use std::time::Duration;

use claviger_access::Authorized;
use claviger_backend::{Reading, Site, Vault};
use claviger_cache::{
    Cache, Failure, Lease, Limits, Places as _, Request, Served, Sizes, State, Stats, Weigh,
};
use claviger_core::{Clock, Error, Id, Reason, Result, SecretBytes, Uid};
use claviger_store::Sealed;
use tokio::sync::OwnedSemaphorePermit;
use tracing::Instrument as _;

use crate::engine::lanes::{Lanes, Turn};
use crate::engine::outside::{Outside, span};
use crate::engine::tally::Tally;
use crate::model::definition::Definition;
use crate::model::document::Document;
use crate::model::freshness::Age;
use crate::model::location::Place;
use crate::model::route::Route;

/// What is remembered, by what the vault was asked for: a property, a format and a kind are judged
/// afterwards, so that all definitions that lead there share it.
///
/// SECURITY: with the name as it was asked, which may tell more than the place does: the end of an
/// ARN tells a secret from the one that was made again under its name.
#[derive(Clone, Debug, Eq, Hash, PartialEq)]
struct Key {
    place: Place,
    asked: String,
    /// The definition, where values are found by it and not by name.
    owner: Option<Uid>,
    version: Option<String>,
    site: Option<Site>,
}

/// A document, and how old it is.
pub(crate) struct Found {
    pub(crate) document: Arc<Document>,
    pub(crate) age: Age,
    /// The way back to it.
    pub(crate) again: Option<Again>,
}

/// The way back to a value that was read before.
#[derive(Clone, Debug)]
pub(crate) enum Again {
    /// To what is remembered of another system.
    Leased(Lease<Document>),
    /// To a record of Claviger's own store.
    Sealed(Sealed),
}

/// A value that nobody had to be waited for.
pub(crate) enum Ready {
    /// What another system holds, remembered.
    Found(Found),
    /// The whole value of a record that is as it was read.
    Opened(SecretBytes),
}

impl Weigh for Document {
    fn weight(&self) -> usize {
        self.value.len()
    }
}

/// The owner of the way to values.
#[derive(Debug)]
pub(crate) struct Reads {
    outside: Arc<Outside>,
    clock: Arc<dyn Clock>,
    cache: Cache<Key, Document>,
    lanes: Lanes,
    tally: Tally,
}

impl Reads {
    pub(crate) fn new(
        outside: Arc<Outside>,
        clock: Arc<dyn Clock>,
        limits: Limits,
        tells_projects: bool,
    ) -> Self {
        let cache = Cache::new(limits, Arc::clone(&clock), outside.runtime().clone());
        Self {
            outside,
            lanes: Lanes::new(Arc::clone(&clock)),
            clock,
            cache,
            tally: Tally::new(tells_projects),
        }
    }

    /// The document that a route leads to, no older than the definition and the reader want it.
    /// The managed vault answers from memory, at once.
    ///
    /// # Errors
    /// What the vault says, or said a moment ago.
    pub(crate) async fn read(
        &self,
        proof: &Authorized,
        route: &Route,
        wanted: Option<Duration>,
    ) -> Result<Found> {
        match route.vault.is_remote() {
            false => self.ask(proof, route).await,
            true => self.remembered(proof, route, wanted, false).await,
        }
    }

    /// The value that was read by this way before, if it is there and still good. The records that
    /// it was read from are as they were.
    pub(crate) fn again(
        &self,
        again: &Again,
        route: &Route,
        wanted: Option<Duration>,
    ) -> Option<Ready> {
        match again {
            Again::Sealed(sealed) => sealed.open().map(Ready::Opened),
            Again::Leased(lease) => {
                let served = self.cache.again(lease, &route.policy(wanted)?)?;
                Some(Ready::Found(Found {
                    again: None,
                    ..served.into()
                }))
            }
        }
    }

    /// As [`Self::read`], but asks the vault now: at most once a second, together with others.
    ///
    /// # Errors
    /// As [`Self::read`].
    pub(crate) async fn refresh(&self, proof: &Authorized, route: &Route) -> Result<Found> {
        self.remembered(proof, route, None, true).await
    }

    async fn remembered(
        &self,
        proof: &Authorized,
        route: &Route,
        wanted: Option<Duration>,
        is_refresh: bool,
    ) -> Result<Found> {
        let Some(policy) = route.policy(wanted) else {
            return self.ask(proof, route).await;
        };
        let request = Request {
            proof,
            key: Key::of(route),
            // The project's share of the memory.
            owner: proof.resolved().project,
            policy,
            places: self.turn(proof, &route.vault),
            is_refresh,
        };
        let fetch = |place| self.fetch(proof, place, route);
        self.cache.read(request, fetch).await.map(Found::from)
    }

    /// Asks the vault for a version, past everything that is remembered: for writes, which must not
    /// build on what was there a while ago. `None` is the latest.
    ///
    /// # Errors
    /// What the vault says.
    pub(crate) async fn read_around(
        &self,
        proof: &Authorized,
        route: &Route,
        version: Option<&str>,
    ) -> Result<Document> {
        self.reading(proof, route, version)
            .await
            .map(Document::from)
    }

    async fn reading(
        &self,
        proof: &Authorized,
        route: &Route,
        version: Option<&str>,
    ) -> Result<Reading> {
        // The managed vault, without another thread.
        if !route.vault.is_remote() {
            return route.vault.read(&route.address, version).await;
        }
        let (vault, address) = (Arc::clone(&route.vault), route.address.clone());
        let version = version.map(str::to_owned);
        let read = async move { vault.read(&address, version.as_deref()).await };
        // In the caller's turn, and also while the vault is left alone: a change must not wait for
        // readers that do not.
        let asking = async {
            let _place = self.turn(proof, &route.vault).take().await?;
            self.outside.call(proof.call().id, read).await
        };
        // Apart: it is no part of what a read of the managed vault waits in.
        Box::pin(asking).await
    }

    /// Asks a vault for a document, or for the list of them with none, past everything that is
    /// remembered: in the caller's turn, and not while the
    /// vault fails for everybody. Changes do not come this way: a version must be switched off
    /// although its vault hardly answers.
    ///
    /// # Errors
    /// Those of the call; what the vault said to others; `OVERLOADED`.
    pub(crate) async fn call<T: Send + 'static>(
        &self,
        proof: &Authorized,
        vault: &Vault,
        document: &str,
        call: impl Future<Output = Result<T>> + Send + 'static,
    ) -> Result<T> {
        let call = self.outside.call(proof.call().id, call);
        if !vault.is_remote() {
            return call.await;
        }
        let _place = self.turn(proof, vault).take().await?;
        let answer = self.lanes.of(vault).run(document, call).await;
        answer
            .map_err(|failure| Arc::try_unwrap(failure.error).unwrap_or_else(|error| error.again()))
    }

    fn turn<'a>(&'a self, proof: &'a Authorized, vault: &'a Vault) -> Turn<'a> {
        Turn {
            lanes: &self.lanes,
            vault,
            caller: &proof.call().caller.principal,
        }
    }

    async fn ask(&self, proof: &Authorized, route: &Route) -> Result<Found> {
        let age = Age::fetched(self.clock.now());
        let reading = self.reading(proof, route, route.version.as_deref());
        let mut reading = reading.await?;
        Ok(Found {
            age,
            again: reading.sealed.take().map(Again::Sealed),
            document: Arc::new(reading.into()),
        })
    }

    /// The call that brings a document, whoever waits for it.
    fn fetch(
        &self,
        proof: &Authorized,
        place: OwnedSemaphorePermit,
        route: &Route,
    ) -> impl Future<Output = Result<Document, Failure>> + Send + use<> {
        let (vault, address) = (Arc::clone(&route.vault), route.address.clone());
        let (lane, version) = (self.lanes.of(&vault), route.version.clone());
        let fetch = async move {
            let _place = place;
            let read = vault.read(&address, version.as_deref());
            let read = lane.run(&address.secret, read).await;
            read.map(Document::from).inspect_err(|failure| {
                tracing::info!(error = ?failure.error, "the vault did not give a value");
            })
        };
        fetch.instrument(span(proof.call().id))
    }

    /// Forgets what is remembered of a secret, whichever vault and name lead there, because it was
    /// changed: the next reader asks.
    pub(crate) fn forget(&self, vault: &Vault, place: &Place) {
        let site = vault.site(&place.secret);
        self.cache.forget(|key| key.is_of(place, site.as_ref()));
    }

    /// As [`Self::forget`], because it may have been changed.
    pub(crate) fn doubt(&self, vault: &Vault, place: &Place) {
        let site = vault.site(&place.secret);
        self.cache.doubt(|key| key.is_of(place, site.as_ref()));
    }

    /// What is remembered of what a route leads to.
    pub(crate) fn state(&self, route: &Route) -> State {
        match route.policy(None) {
            Some(policy) => self.cache.state(&Key::of(route), &policy),
            None => State::Absent,
        }
    }

    /// How readers were answered.
    pub(crate) fn stats(&self) -> &Stats {
        self.cache.stats()
    }

    /// How much is remembered.
    pub(crate) fn sizes(&self) -> Sizes {
        self.cache.sizes()
    }

    /// Whether a vault is left alone just now.
    pub(crate) fn is_left_alone(&self, vault: &Id) -> bool {
        self.lanes.is_open(vault)
    }

    /// How reads ended.
    pub(crate) fn tally(&self) -> &Tally {
        &self.tally
    }

    /// Drops what can no longer be served.
    pub(crate) fn maintain(&self) {
        self.cache.maintain();
    }

    /// Ends the calls for values that are under way.
    pub(crate) async fn drain(&self) {
        self.cache.drain().await;
    }

    /// The version that a read of the definition gets that names none, also while it cannot be
    /// read: the pinned one, else the vault's latest where others write to it as well, else ours.
    /// `None` if there is none.
    ///
    /// # Errors
    /// What the vault says.
    pub(crate) async fn current(
        &self,
        proof: &Authorized,
        definition: &Definition,
        route: &Route,
    ) -> Result<Option<Id>> {
        match &route.pin {
            // It may be another name of a version.
            Some(pin) => match self.read_around(proof, route, Some(pin)).await {
                Ok(document) => Ok(Some(document.version)),
                // Nor does a list need the right to read values.
                Err(error)
                    if is_unreadable(&error) || error.reason() == Reason::VaultAccessDenied =>
                {
                    Ok(Id::parse("version", pin).ok())
                }
                Err(error) if is_absent(&error) => Ok(None),
                Err(error) => Err(error),
            },
            None if route.vault.capabilities().latest || definition.has_newest(&route.place) => {
                self.latest(proof, route).await
            }
            None => Ok(definition.current(&route.place).cloned()),
        }
    }

    /// The vault's latest version, also while it cannot be read.
    ///
    /// # Errors
    /// What the vault says.
    pub(crate) async fn latest(&self, proof: &Authorized, route: &Route) -> Result<Option<Id>> {
        let (vault, address) = (Arc::clone(&route.vault), route.address.clone());
        let asked = async move { vault.latest(&address).await };
        self.call(proof, &route.vault, &route.address.secret, asked)
            .await
    }

    /// Up to `limit` versions before this one, newest first.
    ///
    /// # Errors
    /// What the vault says.
    pub(crate) async fn older(
        &self,
        proof: &Authorized,
        route: &Route,
        version: &Id,
        limit: usize,
    ) -> Result<Vec<Id>> {
        let (vault, address) = (Arc::clone(&route.vault), route.address.clone());
        let version = version.clone();
        let asked = async move { vault.versions(&address, Some(&version), limit).await };
        let older = self.call(proof, &route.vault, &route.address.secret, asked);
        let older = older.await?.into_iter();
        Ok(older.map(|info| info.version).collect())
    }
}

/// Whether there is a version, and its value is not given out.
pub(crate) fn is_unreadable(error: &Error) -> bool {
    matches!(
        error.reason(),
        Reason::IntegrityFailure
            | Reason::ValueExpired
            | Reason::ValueNotReadable
            | Reason::ValueNotYetValid
            | Reason::ValueTooLong
            | Reason::VersionDestroyed
            | Reason::VersionDisabled
    )
}

/// Whether there is no such version, or none at all.
pub(crate) fn is_absent(error: &Error) -> bool {
    matches!(
        error.reason(),
        Reason::SecretDeleted | Reason::SecretNotFound | Reason::VersionNotFound
    )
}

impl Key {
    fn of(route: &Route) -> Self {
        let site = route.vault.site(&route.address.secret);
        Self {
            place: route.place.clone(),
            asked: route.address.secret.clone(),
            owner: site.is_none().then_some(route.address.owner),
            version: route.version.clone(),
            site,
        }
    }

    /// Whether it may be of the same secret, whichever vault and name lead there.
    fn is_of(&self, place: &Place, site: Option<&Site>) -> bool {
        let sites = self.site.as_ref().zip(site);
        self.place == *place || sites.is_some_and(|(one, other)| one.may_be(other))
    }
}

impl claviger_cache::Key for Key {
    fn falls_with(&self, other: &Self) -> bool {
        self.is_of(&other.place, other.site.as_ref())
    }
}

impl From<Reading> for Document {
    fn from(Reading { version, value, .. }: Reading) -> Self {
        Self { version, value }
    }
}

impl From<Served<Document>> for Found {
    fn from(served: Served<Document>) -> Self {
        Self {
            document: served.value,
            age: Age {
                is_remembered: !served.is_fetched,
                fetch_time: served.fetch_time,
                age: served.age,
                stale: served.stale,
            },
            again: Some(Again::Leased(served.lease)),
        }
    }
}
