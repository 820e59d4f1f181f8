//! What was destroyed is in no file of the store, whatever key the reader of the files has.

#![expect(
    clippy::expect_used,
    clippy::indexing_slicing,
    reason = "helpers of tests fail as tests do"
)]

use std::collections::HashSet;
use std::path::Path;
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use claviger_core::{ManualClock, Reason, SecretBytes};
use claviger_seal::RootKey;
use claviger_store::{Batch, Change, Commit, Committed, Expect, Records, SqliteStore, Store};
use tempfile::TempDir;
use tokio::task::JoinSet;

const TAG_LEN: usize = 16;

fn sqlite(directory: &Path) -> Arc<SqliteStore> {
    let clock = Arc::new(ManualClock::at(Duration::ZERO));
    Arc::new(SqliteStore::open(&directory.join("store.db"), clock).expect("opens"))
}

async fn records(store: &Arc<SqliteStore>) -> Records {
    let store = Arc::clone(store) as _;
    let records = Records::open(store, &RootKey::generate(), &[]).await;
    records.expect("opens")
}

/// Numbers in no order, the same in each run.
struct Numbers(u64);

impl Iterator for Numbers {
    type Item = u64;

    fn next(&mut self) -> Option<u64> {
        self.0 = self.0.wrapping_mul(0x5851_f42d_4c95_7f2d).wrapping_add(1);
        Some(self.0.rotate_left(31).wrapping_mul(0x9e37_79b9_7f4a_7c15))
    }
}

/// Secrets of 32 to 287 bytes, in one commit.
async fn put(records: &Records, numbers: &mut Numbers, count: usize) -> Vec<String> {
    let mut keys = Vec::with_capacity(count);
    let mut batch = Batch::new();
    for number in numbers.take(count) {
        let key = format!("values/{number:016x}/1");
        let secret = SecretBytes::new(vec![b'x'; 32 + usize::from(number.to_be_bytes()[7])]);
        batch = batch.put_secret(&key, &secret, Expect::Absent);
        keys.push(key);
    }
    let committed = records.commit(batch).await.expect("commits");
    assert!(matches!(committed, Committed::At(_)));
    keys
}

async fn delete(records: &Records, keys: &[String]) -> claviger_core::Result<Committed> {
    let delete = |batch: Batch, key: &String| batch.delete_secret(key, Expect::Any);
    records.commit(keys.iter().fold(Batch::new(), delete)).await
}

/// What is stored of some secrets: who has the root key needs a block of it to know a block.
struct Blocks(HashSet<[u8; 16]>);

impl Blocks {
    async fn of(store: &dyn Store, records: &Records, keys: &[String]) -> Self {
        let mut blocks = HashSet::new();
        for key in keys {
            let row = store.get(key).await.expect("reads").expect("is there");
            let secret = records.secret(key).await.expect("reads");
            let len = secret.expect("is there").0.len();
            let sealed = &row.bytes[row.bytes.len() - TAG_LEN - len..];
            let whole = sealed.chunks_exact(16);
            blocks.extend(whole.map(|block| <[u8; 16]>::try_from(block).expect("is whole")));
        }
        Self(blocks)
    }

    /// How many are in the files of the directory.
    fn found_in(&self, directory: &Path) -> usize {
        let copy = copy(directory);
        let mut is_first = vec![false; 1 << 16];
        for [first, second, ..] in &self.0 {
            is_first[usize::from(u16::from_be_bytes([*first, *second]))] = true;
        }
        let is_one = |window: &&[u8]| {
            is_first[usize::from(u16::from_be_bytes([window[0], window[1]]))]
                && self.0.contains(*window)
        };
        let entries = std::fs::read_dir(&copy).expect("lists");
        let files =
            entries.map(|entry| std::fs::read(entry.expect("lists").path()).expect("reads"));
        files
            .map(|file| file.windows(16).filter(is_one).count())
            .sum()
    }
}

/// The files as they are now. Another program copies them: a file of a database that this one
/// closes is no longer locked by it.
fn copy(directory: &Path) -> TempDir {
    let copy = tempfile::tempdir().expect("a directory");
    let mut command = Command::new("cp");
    command.arg("-r").arg(directory.join(".")).arg(copy.path());
    assert!(command.status().expect("runs").success());
    copy
}

/// Of so many secrets, SQLite moves some from page to page, and leaves copies behind.
#[tokio::test]
async fn a_raw_scan_finds_nothing_of_what_was_destroyed() {
    let directory = tempfile::tempdir().expect("a directory");
    let store = sqlite(directory.path());
    let records = records(&store).await;
    let mut numbers = Numbers(7);
    let mut keys = Vec::new();
    for _ in 0..150 {
        keys.extend(put(&records, &mut numbers, 20).await);
    }
    let kept = keys.split_off(1500);
    let blocks = Blocks::of(&*store, &records, &keys).await;
    assert!(blocks.found_in(directory.path()) >= blocks.0.len());
    for some in keys.chunks(100) {
        let deleted = delete(&records, some).await.expect("commits");
        assert!(matches!(deleted, Committed::At(_)));
    }
    assert_eq!(blocks.found_in(directory.path()), 0);
    for key in kept {
        assert!(records.secret(&key).await.expect("reads").is_some());
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_destroyed_is_gone_at_the_answer_while_others_read_and_write() {
    let directory = tempfile::tempdir().expect("a directory");
    let store = sqlite(directory.path());
    let records = records(&store).await;
    let keys = put(&records, &mut Numbers(7), 20).await;
    let is_done = Arc::new(AtomicBool::new(false));
    let mut others = JoinSet::new();
    for _ in 0..4 {
        let (store, is_done) = (Arc::clone(&store), Arc::clone(&is_done));
        others.spawn(async move {
            while !is_done.load(Ordering::SeqCst) {
                store.scan("values/", None, 256).await.expect("reads");
            }
        });
    }
    let mut numbers = Numbers(8);
    for some in keys.chunks(1) {
        let blocks = Blocks::of(&*store, &records, some).await;
        assert!(blocks.found_in(directory.path()) > 0);
        let (deleted, _) = tokio::join!(delete(&records, some), put(&records, &mut numbers, 5));
        assert!(matches!(deleted, Ok(Committed::At(_))));
        assert_eq!(blocks.found_in(directory.path()), 0);
    }
    is_done.store(true, Ordering::SeqCst);
    while let Some(other) = others.join_next().await {
        other.expect("ran");
    }
}

#[tokio::test]
async fn another_programs_reading_is_named_and_the_next_call_erases() {
    let directory = tempfile::tempdir().expect("a directory");
    let store = sqlite(directory.path());
    let records = records(&store).await;
    let keys = put(&records, &mut Numbers(7), 1).await;
    let blocks = Blocks::of(&*store, &records, &keys).await;
    let path = directory.path().join("store.db");
    let other_program = rusqlite::Connection::open(path).expect("opens");
    other_program
        .execute_batch("BEGIN; SELECT count(*) FROM records")
        .expect("reads");
    let error = delete(&records, &keys).await.expect_err("cannot erase");
    assert_eq!(error.reason(), Reason::StoreUnavailable);
    let text = format!("{error:?}");
    assert!(text.contains("end it and repeat the call"), "{text}");
    // It is deleted all the same, and others go on.
    assert!(records.secret(&keys[0]).await.expect("reads").is_none());
    put(&records, &mut Numbers(8), 1).await;
    assert!(blocks.found_in(directory.path()) > 0);

    other_program.execute_batch("COMMIT").expect("ends");
    assert!(matches!(
        delete(&records, &keys).await,
        Ok(Committed::At(_))
    ));
    assert_eq!(blocks.found_in(directory.path()), 0);
}

#[tokio::test]
async fn what_a_crash_left_deleted_is_erased_by_the_next_start() {
    let directory = tempfile::tempdir().expect("a directory");
    let store = sqlite(directory.path());
    let records = records(&store).await;
    let keys = put(&records, &mut Numbers(7), 1).await;
    let blocks = Blocks::of(&*store, &records, &keys).await;
    let change = Change {
        key: keys[0].clone(),
        bytes: None,
        expect: Expect::Any,
    };
    let deletion = Commit {
        changes: vec![change],
        ..Commit::default()
    };
    assert!(matches!(store.commit(deletion).await, Ok(Committed::At(_))));
    let crashed = copy(directory.path());
    assert!(blocks.found_in(crashed.path()) > 0);
    let store = sqlite(crashed.path());
    assert_eq!(blocks.found_in(crashed.path()), 0);
    assert!(store.get(&keys[0]).await.expect("reads").is_none());
}
