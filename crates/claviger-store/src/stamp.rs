//! What a read rested on, so that its answer can be remembered as long as it holds.
//!
//! Whatever is read while a future runs in [`Changes::collecting`] is collected where it is looked
//! up: nobody lists keys by hand, so none can be left out.

use std::cell::RefCell;
use std::hash::{BuildHasher, RandomState};
use std::slice;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// Few keys share a slot, so few commits end a stamp that they do not concern.
const SLOTS: usize = 1 << 14;
/// Counts up what has ended; what is under way is in the lower half.
const ENDED: u64 = 1 << 32;
/// No records have this number.
const NOBODYS: u64 = 0;

tokio::task_local! {
    /// Of the read that is under way.
    static STAMP: RefCell<Stamp>;
}

/// What a read rested on. While it holds, the same read would find the same records.
#[derive(Clone, Debug)]
pub struct Stamp {
    /// Which records were read.
    records: u64,
    /// The commits of all keys before the read, if none was under way.
    all: Option<u64>,
    /// What was looked at; `None` if that is not known, or was changing.
    keys: Option<Vec<Seen>>,
}

#[derive(Clone, Copy, Debug)]
struct Seen {
    slot: usize,
    /// The commits of the slot before the row was read.
    commits: u64,
}

/// Counts the commits, of all keys and of the slot that a key is in.
///
/// INVARIANT: a commit is under way here before the memory or the store change, and until both
/// have. A count that is the same before a row is read and later, with nothing under way, therefore
/// says that the row is the same too.
pub(crate) struct Changes {
    records: u64,
    all: Commits,
    slots: Box<[Commits]>,
    hasher: RandomState,
}

#[derive(Default)]
struct Commits(AtomicU64);

impl Changes {
    pub(crate) fn new() -> Self {
        static LAST: AtomicU64 = AtomicU64::new(NOBODYS);
        Self {
            records: LAST.fetch_add(1, Ordering::Relaxed) + 1,
            all: Commits::default(),
            slots: (0..SLOTS).map(|_| Commits::default()).collect(),
            hasher: RandomState::new(),
        }
    }

    pub(crate) fn begin(&self, keys: &[Arc<str>]) {
        self.all.begin();
        self.commits_of(keys).for_each(Commits::begin);
    }

    pub(crate) fn end(&self, keys: &[Arc<str>]) {
        self.commits_of(keys).for_each(Commits::end);
        self.all.end();
    }

    /// Differs from an earlier answer if any record may have changed since.
    pub(crate) fn count(&self) -> u64 {
        self.all.count()
    }

    /// To be called before anything is read of this key.
    pub(crate) fn look_at(&self, key: &str) {
        self.collect(|| {
            let slot = self.slot(key);
            let commits = self.slots.get(slot)?.count_at_rest()?;
            Some(Seen { slot, commits })
        });
    }

    /// To be called before anything is read of keys that are not known yet.
    pub(crate) fn look_at_all(&self) {
        self.collect(|| None);
    }

    pub(crate) async fn collecting<F: Future>(&self, read: F) -> (F::Output, Stamp) {
        let stamp = RefCell::new(Stamp {
            records: self.records,
            all: self.all.count_at_rest(),
            keys: Some(Vec::new()),
        });
        let read = async {
            let answer = read.await;
            (answer, STAMP.with(|stamp| stamp.borrow().clone()))
        };
        let (answer, stamp) = STAMP.scope(stamp, read).await;
        // A read within another one is part of it.
        let around = |around: &RefCell<Stamp>| {
            around
                .borrow_mut()
                .add(stamp.records, stamp.keys.as_deref());
        };
        STAMP.try_with(around).ok();
        (answer, stamp)
    }

    pub(crate) fn hold(&self, stamp: &Stamp) -> bool {
        let is_same = |seen: &Seen| {
            let commits = self.slots.get(seen.slot);
            commits.is_some_and(|commits| commits.count() == seen.commits)
        };
        // The counts never come back, so all that hold one after another held when the first did.
        stamp.records == self.records
            && (stamp.all == Some(self.all.count())
                || stamp
                    .keys
                    .as_ref()
                    .is_some_and(|keys| keys.iter().all(is_same)))
    }

    fn collect(&self, look: impl FnOnce() -> Option<Seen>) {
        let add = |stamp: &RefCell<Stamp>| {
            let seen = look();
            let keys = seen.as_ref().map(slice::from_ref);
            stamp.borrow_mut().add(self.records, keys);
        };
        // Most reads are not remembered.
        STAMP.try_with(add).ok();
    }

    fn commits_of<'a>(&'a self, keys: &'a [Arc<str>]) -> impl Iterator<Item = &'a Commits> {
        keys.iter().filter_map(|key| self.slots.get(self.slot(key)))
    }

    #[expect(clippy::cast_possible_truncation, reason = "the low bits are enough")]
    fn slot(&self, key: &str) -> usize {
        self.hasher.hash_one(key) as usize % SLOTS
    }
}

impl Stamp {
    fn add(&mut self, records: u64, keys: Option<&[Seen]>) {
        if records != self.records {
            self.records = NOBODYS;
        }
        match (&mut self.keys, keys) {
            (Some(all), Some(more)) => all.extend_from_slice(more),
            _ => self.keys = None,
        }
    }
}

impl Commits {
    fn begin(&self) {
        self.0.fetch_add(1, Ordering::SeqCst);
    }

    fn end(&self) {
        self.0.fetch_add(ENDED - 1, Ordering::SeqCst);
    }

    fn count(&self) -> u64 {
        self.0.load(Ordering::SeqCst)
    }

    /// `None` while a commit is under way: its change may be seen by one reader and not yet by
    /// another.
    fn count_at_rest(&self) -> Option<u64> {
        Some(self.count()).filter(|count| count % ENDED == 0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn stamp_of(changes: &Changes, keys: &[&str]) -> Stamp {
        let read = async {
            for key in keys {
                changes.look_at(key);
                tokio::task::yield_now().await;
            }
        };
        changes.collecting(read).await.1
    }

    #[tokio::test]
    async fn a_read_collects_what_it_looks_at_itself() {
        let changes = Changes::new();
        let (first, second) = tokio::join!(
            stamp_of(&changes, &["a", "b", "c"]),
            stamp_of(&changes, &["d"])
        );
        changes.look_at("e");
        assert_eq!(first.keys.map(|keys| keys.len()), Some(3));
        assert_eq!(second.keys.map(|keys| keys.len()), Some(1));
    }

    #[tokio::test]
    async fn a_key_is_at_rest_once_all_its_commits_have_ended() {
        let changes = Changes::new();
        let key = ["a".into()];
        let before = stamp_of(&changes, &["a"]).await;
        changes.begin(&key);
        changes.begin(&key);
        for _ in 0..2 {
            let under_way = stamp_of(&changes, &["a"]).await;
            assert!(!changes.hold(&before) && !changes.hold(&under_way));
            changes.end(&key);
            assert!(!changes.hold(&before) && !changes.hold(&under_way));
        }
        let after = stamp_of(&changes, &["a"]).await;
        assert!(changes.hold(&after));
    }
}
