//! The bounded memory of records, and the rule that keeps it true.

use std::any::Any;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use claviger_seal::Opener;
use moka::sync::Cache;

use crate::stamp::{Changes, Seen};

/// Few slots share a stripe, so few wait for each other.
const STRIPES: usize = 64;
/// The cost of an entry beside its key and content.
const ENTRY_OVERHEAD: usize = 256;

/// Records by key, as last read from the store or written to it.
///
/// INVARIANT: an entry is the store's row of its key as long as no commit of that key is under way.
/// While one is, there is no entry: [`Memory::begin`] counts the commit and then removes what there
/// is, and under the stripe's lock [`Memory::remember`] takes only a load that no commit overlapped,
/// and [`UnderWay::done`] only what a commit wrote that was alone, for of two nobody knows here
/// which was the last. So a record that a commit replaced cannot come back after it returned, and
/// reads cannot go back and forth between old and new while it runs.
pub(crate) struct Memory {
    cache: Cache<Arc<str>, Entry>,
    stripes: [Mutex<()>; STRIPES],
    changes: Changes,
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
    Sealed(Arc<Opener>),
}

/// What a commit does to a key.
pub(crate) struct Written {
    pub(crate) key: Arc<str>,
    /// Nothing, if it deletes it.
    pub(crate) content: Option<Content>,
    /// Length of the sealed bytes.
    pub(crate) len: usize,
}

/// A commit under way: its keys are not remembered until this is dropped.
pub(crate) struct UnderWay {
    memory: Arc<Memory>,
    written: Vec<Written>,
    begun: Vec<Seen>,
}

impl Memory {
    pub(crate) fn new(bytes_max: u64) -> Self {
        let weigh = |key: &Arc<str>, entry: &Entry| {
            let more = match entry.content {
                Content::Decoded(_) => 0,
                Content::Sealed(_) => Opener::<Box<[u8]>>::OVERHEAD,
            };
            u32::try_from(key.len() + entry.len + more + ENTRY_OVERHEAD).unwrap_or(u32::MAX)
        };
        Self {
            cache: Cache::builder()
                .max_capacity(bytes_max)
                .weigher(weigh)
                .build(),
            stripes: std::array::from_fn(|_| Mutex::default()),
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

    /// Notes that somebody uses the entry of a key.
    pub(crate) fn notice(&self, key: &str) {
        drop(self.cache.get(key));
    }

    /// To be called before the row is read from the store.
    pub(crate) fn load(&self, key: &str) -> Option<Seen> {
        self.changes.at_rest(key)
    }

    /// Takes the row that a load read, unless a commit of the key overlapped it.
    pub(crate) fn remember(&self, key: String, load: Option<Seen>, entry: Entry) {
        if let Some(seen) = load {
            let _stripe = self.stripe(&seen);
            if self.changes.is_same(&seen) {
                self.cache.insert(key.into(), entry);
            }
        }
    }

    /// To be called before the store begins the commit.
    pub(crate) fn begin(self: &Arc<Self>, written: Vec<Written>) -> UnderWay {
        let begun = self
            .changes
            .begin(written.iter().map(|written| &*written.key));
        for (written, begun) in written.iter().zip(&begun) {
            let _stripe = self.stripe(begun);
            self.cache.invalidate(&*written.key);
        }
        UnderWay {
            memory: Arc::clone(self),
            written,
            begun,
        }
    }

    #[expect(clippy::indexing_slicing, reason = "the index is a remainder")]
    fn stripe(&self, seen: &Seen) -> MutexGuard<'_, ()> {
        self.stripes[seen.slot % STRIPES]
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }
}

impl UnderWay {
    /// Takes what was written, now that the store has it as this revision.
    pub(crate) fn done(mut self, revision: u64) {
        for (written, begun) in self.written.drain(..).zip(&self.begun) {
            let Some(content) = written.content else {
                continue;
            };
            let entry = Entry {
                content,
                revision,
                len: written.len,
            };
            let _stripe = self.memory.stripe(begun);
            if self.memory.changes.is_alone(begun) {
                self.memory.cache.insert(written.key, entry);
            }
        }
    }
}

impl Drop for UnderWay {
    fn drop(&mut self) {
        self.memory.changes.end(&self.begun);
    }
}
