//! The contract that an engine keeps: rows of bytes by key, and commits on terms.

use std::collections::HashSet;
use std::fmt;
use std::time::SystemTime;

use async_trait::async_trait;
use claviger_core::{Error, Reason, Result};

/// One key's bytes, and the commit that put them there.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Row {
    /// Revision of the commit that wrote this row.
    pub revision: u64,
    /// The bytes, sealed before they came here.
    pub bytes: Vec<u8>,
}

/// The state of a row that a commit relies on.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Expect {
    /// There is no row.
    Absent,
    /// Anything goes.
    Any,
    /// The row has this revision.
    Revision(u64),
}

/// One key's part of a commit.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Change {
    /// The key; not empty.
    pub key: String,
    /// The new bytes; `None` deletes the row.
    pub bytes: Option<Vec<u8>>,
    /// Must hold before, else the whole commit is refused.
    pub expect: Expect,
}

/// A row that must be as expected although this commit does not change it.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Condition {
    /// The key.
    pub key: String,
    /// Must hold before, else the whole commit is refused.
    pub expect: Expect,
}

/// Changes, and the terms on which they are done.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Commit {
    /// The changes; each key once.
    pub changes: Vec<Change>,
    /// Must hold beside the expectations of the changes, whose keys may be named here too.
    pub conditions: Vec<Condition>,
    /// From this time on the commit is refused, however long it waited in line.
    pub end: Option<SystemTime>,
    /// Is kept exactly if the commit is done, in one row with the notes of others.
    pub note: Option<Vec<u8>>,
    /// Deletes the rows of notes that hold none of a later revision, the first few thousand of them.
    pub forgets_notes: Option<u64>,
}

/// The outcome of a commit.
#[must_use]
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Committed {
    /// Done and durable, as this revision.
    At(u64),
    /// Nothing was done: the row of `key` is not as expected.
    Conflict {
        /// The first key that differed, conditions before changes.
        key: String,
    },
    /// Nothing was done: the commit's end had come when its turn did.
    Ended,
}

/// An engine that keeps rows.
///
/// Implementations are shared between tasks and never block one. Revisions belong to the whole
/// store: each commit that is done takes the next number, without gaps, across restarts and deletes.
/// A read that begins after a commit returned sees it. Failures are `STORE_UNAVAILABLE`, and
/// `STORE_NOT_WRITABLE` while there is no disk to write to; after one the outcome of a commit is
/// unknown, but final.
#[async_trait]
pub trait Store: fmt::Debug + Send + Sync + 'static {
    /// The row of `key`.
    async fn get(&self, key: &str) -> Result<Option<Row>>;

    /// At most `limit` rows whose keys begin with `prefix` and come after `after`, in byte order.
    async fn scan(
        &self,
        prefix: &str,
        after: Option<&str>,
        limit: usize,
    ) -> Result<Vec<(String, Row)>>;

    /// Does all changes or none; durable when it returns.
    ///
    /// The end, the conditions and all expectations are judged when the commit's turn comes, after
    /// the commits before it and before its own first change; no other commit comes in between. A
    /// future that is dropped leaves the outcome open.
    async fn commit(&self, commit: Commit) -> Result<Committed>;

    /// Returns once no file of the store holds the bytes that were deleted before the call.
    ///
    /// To be called again after a failure, which leaves them deleted.
    async fn erase(&self) -> Result<()>;

    /// Whether reads and commits can work, and go on to: commits may still work when there is little
    /// disk left.
    async fn health(&self) -> Result<()>;
}

/// Why a store is not opened although it could be read: trying again does not help.
#[derive(Debug)]
pub struct OpenRefused(pub(crate) String);

impl fmt::Display for OpenRefused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for OpenRefused {}

/// Every engine refuses such a commit alike, so that "as expected" has one meaning.
pub(crate) fn refuse_repeated_keys(changes: &[Change]) -> Result<()> {
    let mut seen = HashSet::with_capacity(changes.len());
    if changes.iter().all(|change| seen.insert(&change.key)) {
        return Ok(());
    }
    Err(Error::new(Reason::Internal).caused_by("a commit names a key twice"))
}

pub(crate) fn not_writable(source: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> Error {
    Error::new(Reason::StoreNotWritable).caused_by(source)
}

pub(crate) fn unavailable(source: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> Error {
    Error::new(Reason::StoreUnavailable).caused_by(source)
}
