//! The entries by key, and what fills them.

use std::collections::HashMap;
use std::hash::Hash;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::{Duration, SystemTime};

use claviger_core::{Clock, Error, Reason, Uid};
use moka::sync::Cache as Index;
use tokio::runtime::Handle;
use tokio::sync::{Notify, watch};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::shares::Shares;
use crate::slot::{Failure, Held, Meaning, Moment, Slot, Ticket};
use crate::stats::Stats;

/// The size of a value, in bytes.
pub trait Weigh: Send + Sync + 'static {
    /// Its size.
    fn weight(&self) -> usize;
}

/// Bounds of a cache.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Limits {
    /// All values together, in bytes.
    pub bytes: u64,
    /// Entries, those without a value too.
    pub entries: u64,
    /// How long a vault's refusal counts.
    pub negative: Duration,
}

type Outcome<V> = Option<Result<Held<V>, Failure>>;

pub(crate) type Flight<V> = watch::Receiver<Outcome<V>>;

/// What stands for a document.
pub trait Key: Clone + Eq + Hash + Send + Sync + 'static {
    /// Whether the vault's no to one is a no to the other.
    fn falls_with(&self, other: &Self) -> bool;
}

/// What is known of one document, and whose share it is counted in.
pub(crate) struct Entry<V> {
    pub(crate) slot: Mutex<Slot<V, Flight<V>>>,
    pub(crate) owner: Option<Uid>,
    /// Woken when a flight begins: those that wait for a place of their own need none then.
    pub(crate) launched: Notify,
}

/// An entry that is being asked: kept although the index has no room for it, so that nobody makes
/// another one.
pub(crate) struct Asked<'a, K: Key, V> {
    pub(crate) inner: &'a Inner<K, V>,
    pub(crate) key: K,
    pub(crate) entry: Arc<Entry<V>>,
}

impl<K: Key, V> Drop for Asked<'_, K, V> {
    fn drop(&mut self) {
        // The last one, and nothing came of it. Without the lock first: what is held is in the index.
        let is_last = || Arc::strong_count(&self.entry) == 1;
        if is_last() {
            let mut asked = locked(&self.inner.asked);
            if is_last() {
                asked.remove(&self.key);
            }
        }
    }
}

/// An entry with what it weighs in the index.
pub(crate) struct Indexed<V> {
    pub(crate) entry: Arc<Entry<V>>,
    pub(crate) weight: u32,
}

impl<V> Clone for Indexed<V> {
    fn clone(&self) -> Self {
        Self {
            entry: Arc::clone(&self.entry),
            ..*self
        }
    }
}

impl<V> Entry<V> {
    pub(crate) fn slot(&self) -> MutexGuard<'_, Slot<V, Flight<V>>> {
        locked(&self.slot)
    }
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

pub(crate) struct Inner<K, V> {
    pub(crate) index: Index<K, Indexed<V>>,
    /// All entries that were made since the last clearing and are still there: in the index, asked
    /// or with a flight. There is no other one of the same key.
    pub(crate) asked: Mutex<HashMap<K, Weak<Entry<V>>>>,
    pub(crate) shares: Arc<Shares>,
    pub(crate) stats: Arc<Stats>,
    pub(crate) limits: Limits,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) runtime: Handle,
    pub(crate) flights: TaskTracker,
    /// Ends the flights: at a drain nobody needs them.
    pub(crate) stop: CancellationToken,
}

impl<K, V> Inner<K, V>
where
    K: Key,
    V: Weigh,
{
    pub(crate) fn now(&self) -> Moment {
        self.clock.uptime()
    }

    pub(crate) fn asked(&self) -> MutexGuard<'_, HashMap<K, Weak<Entry<V>>>> {
        locked(&self.asked)
    }

    pub(crate) fn find(&self, key: &K) -> Option<Arc<Entry<V>>> {
        let indexed = self.index.get(key).map(|indexed| indexed.entry);
        indexed.or_else(|| self.asked().get(key).and_then(Weak::upgrade))
    }

    /// The entry of a key, made if there is none. It comes into the index when something is known.
    pub(crate) fn ask(&self, key: K, owner: Option<Uid>) -> Asked<'_, K, V> {
        let entry = self.index.get(&key).map(|indexed| indexed.entry);
        let entry = entry.unwrap_or_else(|| {
            let mut asked = self.asked();
            let known = asked.get(&key).and_then(Weak::upgrade);
            known.unwrap_or_else(|| {
                let entry = Arc::new(Entry {
                    slot: Mutex::new(Slot::new(self.now())),
                    owner,
                    launched: Notify::new(),
                });
                asked.insert(key.clone(), Arc::downgrade(&entry));
                entry
            })
        });
        Asked {
            inner: self,
            key,
            entry,
        }
    }

    pub(crate) fn each(
        &self,
        is_wanted: impl Fn(&K) -> bool,
        act: impl Fn(&mut Slot<V, Flight<V>>),
    ) {
        let wanted: Vec<_> = {
            let asked = self.asked();
            let wanted = asked.iter().filter(|(key, _)| is_wanted(key));
            wanted.filter_map(|(_, entry)| entry.upgrade()).collect()
        };
        for entry in wanted {
            act(&mut entry.slot());
        }
    }

    /// Puts an entry into the index, weighed by what it holds; again if there was no room for it
    /// before.
    ///
    /// Never called with a slot locked: others than this entry may be dropped.
    fn put(&self, key: &K, entry: &Arc<Entry<V>>, held: usize) {
        let least = self.limits.bytes / self.limits.entries.max(1);
        let weight = u32::try_from(least.max(held as u64)).unwrap_or(u32::MAX);
        let owner = entry.owner;
        let too_much = self.shares.add(owner, weight);
        let entry = Arc::clone(entry);
        self.index.insert(key.clone(), Indexed { entry, weight });
        if let Some(too_much) = too_much {
            self.make_room(owner, too_much);
        }
    }

    /// Takes so many bytes from an owner: entries without a value first, then those that were not
    /// used for the longest time.
    fn make_room(&self, owner: Option<Uid>, mut bytes: u64) {
        let owned = self.index.iter();
        let owned = owned.filter(|(_, indexed)| indexed.entry.owner == owner);
        let mut owned: Vec<_> = owned
            .map(|(key, indexed)| {
                let slot = indexed.entry.slot();
                ((slot.held().is_some(), slot.used()), key, indexed.weight)
            })
            .collect();
        owned.sort_by_key(|(order, ..)| *order);
        for (_, key, weight) in owned {
            if bytes == 0 {
                break;
            }
            bytes = bytes.saturating_sub(weight.into());
            self.index.invalidate(&*key);
            self.stats.evict_for_share();
        }
    }
}

/// A flight that has not landed yet. It lands whatever becomes of its task: those that wait for it
/// must hear of it, and the next reader must be able to start another one.
pub(crate) struct Landing<K, V>
where
    K: Key,
    V: Weigh,
{
    pub(crate) inner: Arc<Inner<K, V>>,
    pub(crate) key: K,
    pub(crate) entry: Arc<Entry<V>>,
    pub(crate) ticket: Ticket,
    pub(crate) fetch_time: SystemTime,
    pub(crate) sender: Option<watch::Sender<Outcome<V>>>,
}

impl<K, V> Landing<K, V>
where
    K: Key,
    V: Weigh,
{
    pub(crate) fn land(mut self, result: Result<V, Failure>) {
        self.settle(result);
    }

    fn settle(&mut self, result: Result<V, Failure>) {
        let Some(sender) = self.sender.take() else {
            return;
        };
        let result = result.map(|value| (Arc::new(value), self.fetch_time));
        let (inner, entry) = (&self.inner, &self.entry);
        let (outcome, is_for_more, known) = {
            let mut slot = entry.slot();
            let (outcome, is_for_more) =
                slot.land(inner.now(), self.ticket, inner.limits.negative, result);
            (
                outcome,
                is_for_more,
                slot.known().map(|held| held.map_or(0, Weigh::weight)),
            )
        };
        if let Some(weight) = known {
            inner.put(&self.key, entry, weight);
        }
        if is_for_more {
            let key = &self.key;
            let falls = |other: &K| other != key && other.falls_with(key);
            // What they were refused stands, or each would send the other one to the vault again.
            inner.each(falls, |slot| {
                if slot.held().is_some() {
                    slot.bump();
                }
            });
        }
        sender.send_replace(Some(outcome));
    }
}

impl<K, V> Drop for Landing<K, V>
where
    K: Key,
    V: Weigh,
{
    fn drop(&mut self) {
        self.settle(Err(lost()));
    }
}

/// The failure of a flight that ended without an answer.
pub(crate) fn lost() -> Failure {
    Failure {
        error: Arc::new(Error::new(Reason::Internal)),
        meaning: Meaning::Lost,
    }
}
