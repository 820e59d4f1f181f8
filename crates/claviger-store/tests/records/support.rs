//! A store that a test can hold or fail, and records over it.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use async_trait::async_trait;
use claviger_core::{Error, ManualClock, Reason, Result};
use claviger_seal::RootKey;
use claviger_store::{Batch, Commit, Committed, Expect, Record, Records, Row, SqliteStore, Store};
use serde::{Deserialize, Serialize};
use tempfile::TempDir;
use tokio::sync::{Semaphore, SemaphorePermit};

#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
pub(crate) struct Fruit {
    pub(crate) colour: String,
}

impl Record for Fruit {
    const KIND: &'static str = "fruits/";
    const FORM: u32 = 2;
}

pub(crate) fn fruit(colour: &str) -> Fruit {
    Fruit {
        colour: colour.to_owned(),
    }
}

/// A store whose verbs a test can hold or fail.
#[derive(Debug)]
pub(crate) struct Faulty {
    pub(crate) inner: SqliteStore,
    pub(crate) reads: AtomicU64,
    /// One for each call that reached the place where it is held.
    pub(crate) arrived: Semaphore,
    /// Permits to go on; none exist while a hold is set.
    pub(crate) gate: Semaphore,
    /// One for each commit that has ended.
    pub(crate) landed: Semaphore,
    pub(crate) hold_reads: AtomicBool,
    pub(crate) hold_commits: AtomicBool,
    /// Of commits that are done.
    pub(crate) hold_outcomes: AtomicBool,
    pub(crate) fail_commits: AtomicBool,
}

impl Faulty {
    async fn pass(&self, hold: &AtomicBool) {
        if hold.load(Ordering::SeqCst) {
            self.arrived.add_permits(1);
            self.gate.acquire().await.map(SemaphorePermit::forget).ok();
        }
    }

    pub(crate) async fn arrival(&self) {
        self.arrived
            .acquire()
            .await
            .map(SemaphorePermit::forget)
            .expect("is open");
    }
}

#[async_trait]
impl Store for Faulty {
    async fn get(&self, key: &str) -> Result<Option<Row>> {
        self.reads.fetch_add(1, Ordering::SeqCst);
        let row = self.inner.get(key).await;
        self.pass(&self.hold_reads).await;
        row
    }

    async fn scan(
        &self,
        prefix: &str,
        after: Option<&str>,
        limit: usize,
    ) -> Result<Vec<(String, Row)>> {
        self.inner.scan(prefix, after, limit).await
    }

    async fn commit(&self, commit: Commit) -> Result<Committed> {
        self.pass(&self.hold_commits).await;
        let committed = self.inner.commit(commit).await;
        self.landed.add_permits(1);
        self.pass(&self.hold_outcomes).await;
        if self.fail_commits.load(Ordering::SeqCst) {
            return Err(Error::new(Reason::StoreUnavailable));
        }
        committed
    }

    async fn erase(&self) -> Result<()> {
        self.inner.erase().await
    }

    async fn health(&self) -> Result<()> {
        self.inner.health().await
    }
}

pub(crate) const NOW: Duration = Duration::from_secs(1000);

/// Memory in front of a store in a directory.
pub(crate) type Fixture = (TempDir, Arc<Faulty>, Arc<Records>);

pub(crate) fn root() -> &'static RootKey {
    static ROOT: OnceLock<RootKey> = OnceLock::new();
    ROOT.get_or_init(RootKey::generate)
}

/// The store of this directory, whose clock stands at `NOW`.
pub(crate) fn sqlite(directory: &TempDir) -> SqliteStore {
    let clock = Arc::new(ManualClock::at(NOW));
    SqliteStore::open(&directory.path().join("store.db"), clock).expect("opens")
}

pub(crate) async fn fixture() -> Fixture {
    let directory = tempfile::tempdir().expect("a directory");
    open(directory).await
}

pub(crate) async fn open(directory: TempDir) -> Fixture {
    let store = Arc::new(Faulty {
        inner: sqlite(&directory),
        reads: AtomicU64::new(0),
        arrived: Semaphore::new(0),
        gate: Semaphore::new(0),
        landed: Semaphore::new(0),
        hold_reads: AtomicBool::new(false),
        hold_commits: AtomicBool::new(false),
        hold_outcomes: AtomicBool::new(false),
        fail_commits: AtomicBool::new(false),
    });
    let records = Records::open(Arc::clone(&store) as _, root(), &[])
        .await
        .expect("opens");
    (directory, store, Arc::new(records))
}

/// An apple of this colour, which nobody remembers.
pub(crate) async fn stored(colour: &str) -> Fixture {
    let (directory, store, records) = fixture().await;
    put(&records, "apple", colour).await;
    drop((records, store));
    open(directory).await
}

pub(crate) async fn put(records: &Records, id: &str, colour: &str) -> u64 {
    let batch = Batch::new().put(id, &fruit(colour), Expect::Any);
    match records.commit(batch).await.expect("commits") {
        Committed::At(revision) => revision,
        Committed::Conflict { .. } | Committed::Ended => 0,
    }
}

pub(crate) async fn colour(records: &Records, id: &str) -> Option<String> {
    let stored = records.get::<Fruit>(id).await.expect("reads");
    stored.map(|stored| stored.record.colour.clone())
}
