//! The bounded memory of records, and the rule that keeps it true.

use std::any::Any;
use std::hash::{BuildHasher, RandomState};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use moka::sync::Cache;

use crate::stamp::Changes;

/// Few commits share a stripe, so few loads are turned away because of another key.
const STRIPES: usize = 64;
/// The cost of an entry beside its key and content.
const ENTRY_OVERHEAD: usize = 256;

/// Records by key, as last read from the store.
///
/// INVARIANT: an entry is the store's row of its key as long as no commit of that key is under way.
/// While one is, there is no entry: [`Memory::begin`] removes it, and [`Memory::remember`] takes
/// only a load that no commit of its key overlapped. Under the stripe's lock it checks both ways to
/// overlap: a commit that is still under way is in `under_way`; one that ended since the load began
/// has moved `ended`. So a record that a commit replaced cannot come back after it returned, and
/// reads cannot go back and forth between old and new while it runs.
pub(crate) struct Memory {
    cache: Cache<Arc<str>, Entry>,
    stripes: [Mutex<Stripe>; STRIPES],
    hasher: RandomState,
    changes: Changes,
}

#[derive(Default)]
struct Stripe {
    ended: u64,
    under_way: Vec<Arc<str>>,
}

#[derive(Clone)]
pub(crate) struct Entry {
    pub(crate) content: Content,
    pub(crate) revision: u64,
    /// Length of the sealed bytes, which stands for the size of either content.
    pub(crate) len: usize,
}

#[derive(Clone)]
pub(crate) enum Content {
    Decoded(Arc<dyn Any + Send + Sync>),
    /// SECURITY: secret values stay sealed here and are opened at each call.
    Sealed(Arc<[u8]>),
}

/// The state of a stripe when a load began.
#[derive(Clone, Copy)]
pub(crate) struct Load {
    ended: u64,
}

/// A commit under way: its keys are not remembered until this is dropped.
pub(crate) struct UnderWay {
    memory: Arc<Memory>,
    keys: Vec<Arc<str>>,
}

impl Memory {
    pub(crate) fn new(bytes_max: u64) -> Self {
        let weigh = |key: &Arc<str>, entry: &Entry| {
            u32::try_from(key.len() + entry.len + ENTRY_OVERHEAD).unwrap_or(u32::MAX)
        };
        Self {
            cache: Cache::builder()
                .max_capacity(bytes_max)
                .weigher(weigh)
                .build(),
            stripes: std::array::from_fn(|_| Mutex::default()),
            hasher: RandomState::new(),
            changes: Changes::new(),
        }
    }

    pub(crate) fn changes(&self) -> &Changes {
        &self.changes
    }

    /// The way into every read of a key.
    pub(crate) fn get(&self, key: &str) -> Option<Entry> {
        self.changes.look_at(key);
        self.cache.get(key)
    }

    /// To be called before the row is read from the store.
    pub(crate) fn load(&self, key: &str) -> Load {
        Load {
            ended: self.stripe(key).ended,
        }
    }

    /// Takes the row that a load read, unless a commit of the key overlapped it.
    pub(crate) fn remember(&self, key: String, load: Load, entry: Entry) {
        let stripe = self.stripe(&key);
        if stripe.ended == load.ended && !stripe.under_way.iter().any(|other| **other == *key) {
            self.cache.insert(key.into(), entry);
        }
    }

    /// To be called before the store begins the commit.
    pub(crate) fn begin(self: &Arc<Self>, keys: Vec<Arc<str>>) -> UnderWay {
        self.changes.begin(&keys);
        for key in &keys {
            let mut stripe = self.stripe(key);
            stripe.under_way.push(Arc::clone(key));
            self.cache.invalidate(&**key);
        }
        UnderWay {
            memory: Arc::clone(self),
            keys,
        }
    }

    #[expect(clippy::indexing_slicing, reason = "the index is a remainder")]
    #[expect(clippy::cast_possible_truncation, reason = "the low bits are enough")]
    fn stripe(&self, key: &str) -> MutexGuard<'_, Stripe> {
        let index = self.hasher.hash_one(key) as usize % STRIPES;
        self.stripes[index]
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for UnderWay {
    fn drop(&mut self) {
        for key in &self.keys {
            let mut stripe = self.memory.stripe(key);
            stripe.ended += 1;
            if let Some(index) = stripe.under_way.iter().position(|other| other == key) {
                stripe.under_way.swap_remove(index);
            }
        }
        self.memory.changes.end(&self.keys);
    }
}
