//! What a read rested on, so that its answer can be remembered as long as it holds.
//!
//! Whatever is read while a future runs in [`Changes::collecting`] is collected where it is looked
//! up: nobody lists keys by hand, so none can be left out.

use std::cell::RefCell;
use std::hash::{BuildHasher, RandomState};
use std::slice;
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

/// What a read rested on. While it holds, the same read would find the same records. The default one
/// never holds.
#[derive(Clone, Debug, Default)]
pub struct Stamp {
    /// Which records were read.
    records: u64,
    /// The commits of all keys before the read, if none was under way.
    all: Option<u64>,
    /// What was looked at; `None` if that is not known, or was changing.
    keys: Option<Vec<Seen>>,
}

/// The commits that a slot had when somebody looked.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Seen {
    pub(crate) slot: usize,
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

    /// Marks a commit of these keys as under way.
    pub(crate) fn begin<'a>(&self, keys: impl Iterator<Item = &'a str>) -> Vec<Seen> {
        self.all.begin();
        let begin = |key| {
            let slot = self.slot(key);
            let commits = self.slots.get(slot).map_or(0, Commits::begin);
            Seen { slot, commits }
        };
        keys.map(begin).collect()
    }

    /// To be called with what [`Self::begin`] returned.
    pub(crate) fn end(&self, begun: &[Seen]) {
        for begun in begun {
            if let Some(commits) = self.slots.get(begun.slot) {
                commits.end();
            }
        }
        self.all.end();
    }

    /// What is seen of a key, unless a commit of it is under way.
    pub(crate) fn at_rest(&self, key: &str) -> Option<Seen> {
        let slot = self.slot(key);
        let commits = self.slots.get(slot)?.count_at_rest()?;
        Some(Seen { slot, commits })
    }

    /// Whether no commit has begun or ended since.
    pub(crate) fn is_same(&self, seen: &Seen) -> bool {
        let commits = self.slots.get(seen.slot);
        commits.is_some_and(|commits| commits.count() == seen.commits)
    }

    /// Whether this commit, which is under way, has had no company.
    pub(crate) fn is_alone(&self, begun: &Seen) -> bool {
        begun.commits % ENDED == 1 && self.is_same(begun)
    }

    /// Differs from an earlier answer if any record may have changed since.
    pub(crate) fn count(&self) -> u64 {
        self.all.count()
    }

    /// To be called before anything is read of this key.
    pub(crate) fn look_at(&self, key: &str) {
        self.collect(|| self.at_rest(key));
    }

    /// To be called before anything is read of keys that are not known yet.
    pub(crate) fn look_at_all(&self) {
        self.collect(|| None);
    }

    pub(crate) fn collecting<F: Future>(
        &self,
        read: F,
    ) -> impl Future<Output = (F::Output, Stamp)> + use<F> {
        let stamp = Stamp {
            records: self.records,
            all: self.all.count_at_rest(),
            keys: Some(Vec::new()),
        };
        // On the heap, so that whoever seldom has to read does not carry the read with it.
        let mut read = Box::pin(STAMP.scope(RefCell::new(stamp), read));
        async move {
            let answer = read.as_mut().await;
            let stamp = read.as_mut().take_value();
            let stamp = stamp.map_or_else(Stamp::default, RefCell::into_inner);
            // A read within another one is part of it.
            let around = |around: &RefCell<Stamp>| {
                let keys = stamp.keys.as_deref();
                around.borrow_mut().add(stamp.records, keys);
            };
            STAMP.try_with(around).ok();
            (answer, stamp)
        }
    }

    pub(crate) fn hold(&self, stamp: &Stamp) -> bool {
        let all_same = |keys: &Vec<Seen>| keys.iter().all(|seen| self.is_same(seen));
        // The counts never come back, so all that hold one after another held when the first did.
        stamp.records == self.records
            && (stamp.all == Some(self.all.count()) || stamp.keys.as_ref().is_some_and(all_same))
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
    fn begin(&self) -> u64 {
        self.0.fetch_add(1, Ordering::SeqCst) + 1
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
    async fn who_may_have_to_read_does_not_carry_the_read() {
        let changes = Changes::new();
        let read = async {
            let large = [7_u8; 4096];
            tokio::task::yield_now().await;
            large[4095]
        };
        assert!(size_of_val(&read) > 4096);
        let read = changes.collecting(read);
        assert!(size_of_val(&read) < 128);
        assert_eq!(read.await.0, 7);
    }

    #[tokio::test]
    async fn a_key_is_at_rest_once_all_its_commits_have_ended() {
        let changes = Changes::new();
        let before = stamp_of(&changes, &["a"]).await;
        let begun = [(); 2].map(|()| changes.begin(["a"].into_iter()));
        for begun in begun {
            let under_way = stamp_of(&changes, &["a"]).await;
            assert!(!changes.hold(&before) && !changes.hold(&under_way));
            changes.end(&begun);
            assert!(!changes.hold(&before) && !changes.hold(&under_way));
        }
        let after = stamp_of(&changes, &["a"]).await;
        assert!(changes.hold(&after));
    }

    #[test]
    fn a_commit_is_alone_that_no_other_of_the_key_overlaps() {
        let changes = Changes::new();
        let begin = || changes.begin(["a"].into_iter());
        let is_alone = |begun: &[Seen]| begun.iter().all(|begun| changes.is_alone(begun));
        let first = begin();
        assert!(is_alone(&first));
        let second = begin();
        assert!(!is_alone(&first) && !is_alone(&second));
        changes.end(&first);
        assert!(!is_alone(&second));
        changes.end(&second);
        let third = begin();
        assert!(is_alone(&third));
    }
}
