//! The cache as its readers see it.

use std::fmt;
use std::sync::{Arc, Mutex, Weak};
use std::time::{Duration, SystemTime};

use claviger_access::Authorized;
use claviger_core::{Clock, Error, Reason, Result, Uid};
use moka::notification::RemovalCause;
use moka::policy::EvictionPolicy;
use moka::sync::Cache as Index;
use tokio::runtime::Handle;
use tokio::sync::watch;
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::entries::{Asked, Entry, Flight, Indexed, Inner, Key, Landing, Limits, Weigh, lost};
use crate::shares::Shares;
use crate::slot::{Answer, Failure, Held, Known, Meaning, Policy, Slot, State, Ticket, Wait};
use crate::stats::Stats;

/// How much a cache holds.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Sizes {
    /// All values together, in bytes; an entry counts as the least that it may take.
    pub bytes: u64,
    /// Entries, those without a value too.
    pub entries: u64,
}

/// A value that was served.
#[derive(Debug)]
pub struct Served<V> {
    /// The value.
    pub value: Arc<V>,
    /// Whether the vault was asked for it, for this reader or another one at the same time.
    pub is_fetched: bool,
    /// When the vault was asked for it.
    pub fetch_time: SystemTime,
    /// Time since then.
    pub age: Duration,
    /// Why it is older than wanted.
    pub stale: Option<Arc<Error>>,
    /// The way back to it.
    pub lease: Lease<V>,
}

/// The way back to what was served, for whoever reads it often. Keeps nothing.
pub struct Lease<V>(Weak<Entry<V>>);

impl<V> fmt::Debug for Lease<V> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Lease").finish_non_exhaustive()
    }
}

impl<V> Clone for Lease<V> {
    fn clone(&self) -> Self {
        Self(Weak::clone(&self.0))
    }
}

/// Places for flights, of which each reader gets its own.
pub trait Places: Sync {
    /// One of them, until it is dropped.
    type Place: Send + 'static;

    /// One, if there is one.
    fn try_take(&self) -> Option<Self::Place>;

    /// One, when there is one.
    ///
    /// # Errors
    /// `OVERLOADED` if that takes too long.
    fn take(&self) -> impl Future<Output = Result<Self::Place>> + Send;
}

/// What a reader asks for.
#[derive(Debug)]
pub struct Request<'a, K, P> {
    /// Why it may.
    pub proof: &'a Authorized,
    /// The document.
    pub key: K,
    /// Whose share a new entry is counted in.
    pub owner: Option<Uid>,
    /// How old a value may be.
    pub policy: Policy,
    /// Its places for flights.
    pub places: P,
    /// Whether the vault is asked now: at most once a second, together with others that want the
    /// same.
    pub is_refresh: bool,
}

/// Entries by key, for all readers.
pub struct Cache<K, V>(Arc<Inner<K, V>>);

impl<K, V> Clone for Cache<K, V> {
    fn clone(&self) -> Self {
        Self(Arc::clone(&self.0))
    }
}

impl<K, V> fmt::Debug for Cache<K, V> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Cache").finish_non_exhaustive()
    }
}

impl<K, V> Cache<K, V>
where
    K: Key,
    V: Weigh,
{
    /// An empty cache whose flights run on `runtime`.
    pub fn new(limits: Limits, clock: Arc<dyn Clock>, runtime: Handle) -> Self {
        let shares = Arc::new(Shares::new(limits.bytes));
        let given_back = Arc::clone(&shares);
        let stats = Arc::new(Stats::default());
        let evicted = Arc::clone(&stats);
        let index = Index::builder()
            .max_capacity(limits.bytes)
            .weigher(|_, indexed: &Indexed<V>| indexed.weight)
            // Not by frequency: what a job at the top of the hour reads is read once an hour.
            .eviction_policy(EvictionPolicy::lru())
            .eviction_listener(move |_, gone, cause| {
                given_back.remove(gone.entry.owner, gone.weight);
                // SECURITY: not when the index drops the entry, which may be much later.
                if cause != RemovalCause::Replaced {
                    gone.entry.slot().empty();
                }
                if cause == RemovalCause::Size {
                    evicted.evict();
                }
            })
            .build();
        Self(Arc::new(Inner {
            index,
            asked: Mutex::default(),
            shares,
            stats,
            limits,
            clock,
            runtime,
            flights: TaskTracker::new(),
            stop: CancellationToken::new(),
        }))
    }

    /// A value: what is held if it is fresh, else what `fetch` brings, which is started unless it is
    /// under way already.
    ///
    /// # Errors
    /// What the vault said, now or a moment ago, with the time after which it may be asked again;
    /// what [`Places::take`] says.
    pub async fn read<P: Places, F>(
        &self,
        request: Request<'_, K, P>,
        fetch: impl Fn(P::Place) -> F,
    ) -> Result<Served<V>>
    where
        F: Future<Output = Result<V, Failure>> + Send + 'static,
    {
        let Request { policy, places, .. } = request;
        let asked = self.0.ask(request.key, request.owner);
        let since = request.is_refresh.then(|| asked.entry.slot().begun());
        // To a refresh what is held is no answer.
        let usable = since.map_or(policy.usable, |_| Duration::ZERO);
        let fallback = Policy { usable, ..policy };
        let mut place = None;
        loop {
            let launched = asked.entry.launched.notified();
            let mut is_launched = false;
            let launch = |ticket| {
                let place = place.take().or_else(|| places.try_take())?;
                is_launched = true;
                Some(self.launch(&asked, ticket, fetch(place)))
            };
            let answer = match since {
                None => Ok(asked.entry.slot().ask(self.0.now(), &policy, launch)),
                Some(since) => {
                    let mut slot = asked.entry.slot();
                    slot.refresh(self.0.now(), since, &policy, launch)
                }
            };
            match answer {
                Ok(Answer::Crowded) => match wait_for(&places, launched).await {
                    Ok(taken) => place = taken,
                    Err(error) => {
                        let failure = Failure {
                            error: Arc::new(error),
                            meaning: Meaning::Unasked,
                        };
                        return self.fall_back(&asked.entry, &fallback, &failure);
                    }
                },
                Ok(answer) => {
                    // Others may need it while this one waits for somebody else's flight.
                    drop(place);
                    if since.is_none() {
                        self.0.stats.meet(&answer, is_launched);
                    }
                    return self.conclude(&asked.entry, &fallback, answer).await;
                }
                Err(Wait::Landing(mut flight)) => {
                    // Whatever it brings, and even if it is lost.
                    let _landed = flight.wait_for(Option::is_some).await;
                }
                Err(Wait::Until(next)) => sleep(next.saturating_sub(self.0.now())).await,
            }
        }
    }

    /// The value that was served before, if [`read`](Self::read) would serve it as it is and have
    /// nothing else to do. Once a second it has: the memory must learn what is used.
    pub fn again(&self, lease: &Lease<V>, policy: &Policy) -> Option<Served<V>> {
        let entry = lease.0.upgrade()?;
        let now = self.0.now();
        let held = entry.slot().again(now, policy)?;
        self.0.stats.hit();
        Some(Served {
            is_fetched: false,
            fetch_time: held.fetch_time,
            age: held.age(now),
            value: held.value,
            stale: None,
            lease: lease.clone(),
        })
    }

    /// How an entry is for a reader.
    pub fn state(&self, key: &K, policy: &Policy) -> State {
        let entry = self.0.find(key);
        entry.map_or(State::Absent, |entry| {
            entry.slot().state(self.0.now(), policy)
        })
    }

    /// Forgets what is known of the documents that `is_changed`. Flights to them that began before
    /// fill nothing, and the next reader asks the vault.
    pub fn forget(&self, is_changed: impl Fn(&K) -> bool) {
        self.0.each(is_changed, Slot::bump);
    }

    /// As [`forget`](Self::forget), where they may have changed: until a vault that fails answers
    /// again, what is known of them is served and marked.
    pub fn doubt(&self, may_have_changed: impl Fn(&K) -> bool) {
        self.0.each(may_have_changed, Slot::doubt);
    }

    /// Drops what can no longer be served; to be called now and then.
    pub fn maintain(&self) {
        let now = self.0.now();
        for (key, indexed) in &self.0.index {
            if indexed.entry.slot().sweep(now) {
                self.0.index.invalidate(&*key);
            }
        }
        self.0.index.run_pending_tasks();
        let is_alive = |_: &K, entry: &mut Weak<Entry<V>>| entry.strong_count() > 0;
        self.0.asked().retain(is_alive);
    }

    /// What was counted so far.
    pub fn stats(&self) -> &Stats {
        &self.0.stats
    }

    /// How much there is.
    pub fn sizes(&self) -> Sizes {
        self.0.index.run_pending_tasks();
        Sizes {
            bytes: self.0.index.weighted_size(),
            entries: self.0.index.entry_count(),
        }
    }

    /// Ends the flights under way. Nothing is lost with a read.
    pub async fn drain(&self) {
        self.0.stop.cancel();
        self.0.flights.close();
        self.0.flights.wait().await;
    }

    fn launch<F>(&self, asked: &Asked<'_, K, V>, ticket: Ticket, fetch: F) -> Flight<V>
    where
        F: Future<Output = Result<V, Failure>> + Send + 'static,
    {
        let (sender, flight) = watch::channel(None);
        self.0.stats.launch();
        let landing = Landing {
            inner: Arc::clone(&self.0),
            key: asked.key.clone(),
            entry: Arc::clone(&asked.entry),
            ticket,
            fetch_time: self.0.clock.now(),
            sender: Some(sender),
        };
        let task = async move { landing.land(fetch.await) };
        let task = self.0.stop.clone().run_until_cancelled_owned(task);
        self.0.flights.spawn_on(task, &self.0.runtime);
        asked.entry.launched.notify_waiters();
        flight
    }

    async fn conclude(
        &self,
        entry: &Arc<Entry<V>>,
        policy: &Policy,
        answer: Answer<V, Flight<V>>,
    ) -> Result<Served<V>> {
        let mut flight = match answer {
            Answer::Flight(flight) => flight,
            Answer::Known(known) => return self.tell(entry, known),
            Answer::Crowded => return Err(Error::new(Reason::Internal)),
        };
        // A flight lands even if its task ends early.
        let landed = flight.wait_for(Option::is_some).await;
        let outcome = landed.ok().and_then(|outcome| outcome.clone());
        match outcome.unwrap_or_else(|| Err(lost())) {
            Ok(held) => Ok(self.served(entry, held, true, None)),
            Err(failure) => self.fall_back(entry, policy, &failure),
        }
    }

    fn fall_back(
        &self,
        entry: &Arc<Entry<V>>,
        policy: &Policy,
        failure: &Failure,
    ) -> Result<Served<V>> {
        let known = entry.slot().fall_back(self.0.now(), policy, failure);
        if let Known::Held(..) = known {
            self.0.stats.fall_back();
        }
        self.tell(entry, known)
    }

    fn tell(&self, entry: &Arc<Entry<V>>, known: Known<V>) -> Result<Served<V>> {
        match known {
            Known::Held(held, stale) => Ok(self.served(entry, held, false, stale)),
            Known::Refused(error, rest) if rest.is_zero() => Err(error.again()),
            Known::Refused(error, rest) => Err(error.again().retry_after(rest)),
        }
    }

    fn served(
        &self,
        entry: &Arc<Entry<V>>,
        held: Held<V>,
        is_fetched: bool,
        stale: Option<Arc<Error>>,
    ) -> Served<V> {
        Served {
            is_fetched,
            fetch_time: held.fetch_time,
            age: held.age(self.0.now()),
            value: held.value,
            stale,
            lease: Lease(Arc::downgrade(entry)),
        }
    }
}

/// A place for a flight, unless somebody else begins one meanwhile.
async fn wait_for<P: Places>(
    places: &P,
    launched: impl Future<Output = ()>,
) -> Result<Option<P::Place>> {
    tokio::select! {
        place = places.take() => place.map(Some),
        () = launched => Ok(None),
    }
}
