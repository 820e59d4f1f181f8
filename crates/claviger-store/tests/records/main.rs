//! The promise of the memory in front of the store: never older than a commit that has returned.

#![expect(clippy::expect_used, reason = "helpers of tests fail as tests do")]
#![expect(
    clippy::disallowed_methods,
    reason = "tests wait for the tasks they spawn"
)]

mod notes;
mod stamps;
mod support;
mod written;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Waker};
use std::time::{Duration, SystemTime};

use claviger_core::{Error, Reason, SecretBytes};
use claviger_seal::RootKey;
use claviger_store::{Batch, Change, Commit, Committed, Expect, Record, Records, Store};
use serde::{Deserialize, Serialize};
use tempfile::TempDir;
use tokio::sync::SemaphorePermit;

use crate::support::{Fruit, NOW, colour, fixture, fruit, open, put, root, sqlite, stored};

fn only(change: Change) -> Commit {
    Commit {
        changes: vec![change],
        ..Commit::default()
    }
}

#[tokio::test]
async fn a_record_reads_as_it_was_put_and_is_read_from_the_store_once() {
    let (_directory, store, records) = stored("green").await;
    let before = store.reads.load(Ordering::SeqCst);
    for _ in 0..3 {
        let stored = records
            .get::<Fruit>("apple")
            .await
            .expect("reads")
            .expect("is there");
        assert_eq!((stored.revision, &*stored.record), (2, &fruit("green")));
    }
    assert_eq!(store.reads.load(Ordering::SeqCst), before + 1);
    assert_eq!(colour(&records, "pear").await, None);
    put(&records, "pear", "yellow").await;
    assert_eq!(colour(&records, "pear").await.as_deref(), Some("yellow"));
    records.health().await.expect("is well");
}

#[tokio::test]
async fn a_scan_gives_ids_in_order_and_pages() {
    let (_directory, _store, records) = fixture().await;
    for id in ["a/3", "a/1", "b/1", "a/2"] {
        put(&records, id, id).await;
    }
    let secret = SecretBytes::new(b"x".to_vec());
    let batch = Batch::new().put_secret("values/a/1", &secret, Expect::Absent);
    drop(records.commit(batch).await.expect("commits"));
    let page = records
        .scan::<Fruit>("a/", Some("a/1"), 9)
        .await
        .expect("scans");
    let ids: Vec<_> = page
        .iter()
        .map(|(id, stored)| (id.as_str(), stored.record.colour.as_str()))
        .collect();
    assert_eq!(ids, [("a/2", "a/2"), ("a/3", "a/3")]);
    assert_eq!(
        records
            .scan::<Fruit>("", None, 9)
            .await
            .expect("scans")
            .len(),
        4
    );
}

#[tokio::test]
async fn a_batch_is_all_or_nothing_and_a_conflict_names_the_key() {
    let (_directory, _store, records) = fixture().await;
    let revision = put(&records, "apple", "green").await;
    let batch = Batch::new()
        .put("pear", &fruit("yellow"), Expect::Absent)
        .delete::<Fruit>("apple", Expect::Revision(revision + 1));
    let key = "fruits/apple".to_owned();
    assert_eq!(
        records.commit(batch).await.expect("commits"),
        Committed::Conflict { key }
    );
    assert_eq!(colour(&records, "pear").await, None);
    let batch = Batch::new().delete::<Fruit>("apple", Expect::Revision(revision));
    drop(records.commit(batch).await.expect("commits"));
    assert_eq!(colour(&records, "apple").await, None);
}

#[tokio::test]
async fn a_batch_is_committed_on_its_terms_or_not_at_all() {
    let (_directory, _store, records) = fixture().await;
    let revision = put(&records, "apple", "green").await;
    let pear = || Batch::new().put("pear", &fruit("yellow"), Expect::Absent);
    let later = |seconds| SystemTime::UNIX_EPOCH + NOW + Duration::from_secs(seconds);

    let batch = pear().require::<Fruit>("apple", Expect::Revision(revision + 1));
    let key = "fruits/apple".to_owned();
    let committed = records.commit(batch).await.expect("commits");
    assert_eq!(committed, Committed::Conflict { key });
    for ends in [[0, 1], [1, 0]] {
        let batch = pear().before(later(ends[0])).before(later(ends[1]));
        let committed = records.commit(batch).await.expect("answers");
        assert_eq!(committed, Committed::Ended);
    }
    assert_eq!(colour(&records, "pear").await, None);

    let batch = pear()
        .require::<Fruit>("apple", Expect::Revision(revision))
        .before(later(1));
    let committed = records.commit(batch).await.expect("commits");
    assert_eq!(committed, Committed::At(revision + 1));
    assert_eq!(colour(&records, "pear").await.as_deref(), Some("yellow"));
    assert_eq!(colour(&records, "apple").await.as_deref(), Some("green"));
}

#[tokio::test]
async fn what_a_commit_replaced_is_not_remembered_by_a_reader_that_was_slower() {
    let (_directory, store, records) = stored("green").await;
    store.hold_reads.store(true, Ordering::SeqCst);
    let slow = tokio::spawn({
        let records = Arc::clone(&records);
        async move { colour(&records, "apple").await }
    });
    store.arrival().await;
    store.hold_reads.store(false, Ordering::SeqCst);
    put(&records, "apple", "red").await;
    store.gate.add_permits(1);
    assert_eq!(slow.await.expect("ran").as_deref(), Some("green"));
    assert_eq!(colour(&records, "apple").await.as_deref(), Some("red"));
}

#[tokio::test]
async fn nothing_is_remembered_while_a_commit_of_its_key_is_under_way() {
    let (_directory, store, records) = fixture().await;
    put(&records, "apple", "green").await;
    assert_eq!(colour(&records, "apple").await.as_deref(), Some("green"));
    store.hold_commits.store(true, Ordering::SeqCst);
    let commit = tokio::spawn({
        let records = Arc::clone(&records);
        async move { put(&records, "apple", "red").await }
    });
    store.arrival().await;
    let before = store.reads.load(Ordering::SeqCst);
    for reads in 1..3 {
        assert_eq!(colour(&records, "apple").await.as_deref(), Some("green"));
        assert_eq!(store.reads.load(Ordering::SeqCst), before + reads);
    }
    store.gate.add_permits(1);
    commit.await.expect("ran");
    assert_eq!(colour(&records, "apple").await.as_deref(), Some("red"));
}

#[tokio::test]
async fn a_commit_whose_caller_left_is_seen_through_and_not_hidden_by_the_memory() {
    let (directory, store, records) = fixture().await;
    put(&records, "apple", "green").await;
    store.landed.forget_permits(usize::MAX);
    store.hold_commits.store(true, Ordering::SeqCst);
    {
        let mut commit = Box::pin(put(&records, "apple", "red"));
        let mut cx = Context::from_waker(Waker::noop());
        assert!(commit.as_mut().poll(&mut cx).is_pending());
    }
    assert_eq!(colour(&records, "apple").await.as_deref(), Some("green"));
    store.gate.add_permits(1);
    store
        .landed
        .acquire()
        .await
        .map(SemaphorePermit::forget)
        .expect("is open");
    assert_eq!(colour(&records, "apple").await.as_deref(), Some("red"));
    drop((records, store));
    let (_directory, _store, records) = open(directory).await;
    assert_eq!(colour(&records, "apple").await.as_deref(), Some("red"));
}

#[tokio::test]
async fn after_a_failed_commit_the_memory_shows_what_the_store_has() {
    let (_directory, store, records) = fixture().await;
    put(&records, "apple", "green").await;
    assert_eq!(colour(&records, "apple").await.as_deref(), Some("green"));
    store.fail_commits.store(true, Ordering::SeqCst);
    let batch = Batch::new().put("apple", &fruit("red"), Expect::Any);
    let error = records.commit(batch).await.expect_err("fails");
    assert_eq!(error.reason(), Reason::StoreUnavailable);
    let row = store
        .inner
        .get("fruits/apple")
        .await
        .expect("reads")
        .expect("is there");
    let stored = records
        .get::<Fruit>("apple")
        .await
        .expect("reads")
        .expect("is there");
    assert_eq!(
        (stored.revision, stored.record.colour.as_str()),
        (row.revision, "red")
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn readers_never_see_less_than_the_last_commit_that_returned() {
    let (_directory, _store, records) = fixture().await;
    let returned = Arc::new(AtomicU64::new(put(&records, "apple", "green").await));
    let readers: Vec<_> = (0..4)
        .map(|_| {
            let (records, returned) = (Arc::clone(&records), Arc::clone(&returned));
            tokio::spawn(async move {
                let mut seen = 0;
                while seen < 200 {
                    let at_least = returned.load(Ordering::SeqCst).max(seen);
                    let stored = records.get::<Fruit>("apple").await.expect("reads");
                    seen = stored.expect("is there").revision;
                    assert!(seen >= at_least, "{seen} after {at_least}");
                    tokio::task::yield_now().await;
                }
            })
        })
        .collect();
    for number in 0..300 {
        let revision = put(&records, "apple", &number.to_string()).await;
        returned.store(revision, Ordering::SeqCst);
    }
    for reader in readers {
        reader.await.expect("ran");
    }
}

#[tokio::test]
async fn a_secret_survives_a_restart_and_is_nowhere_in_the_files() {
    let (directory, store, records) = fixture().await;
    let canary = b"canary-of-the-record-51H8Zx";
    let secret = SecretBytes::new(canary.to_vec());
    let batch = Batch::new()
        .put_secret("values/a/1", &secret, Expect::Absent)
        .put("apple", &fruit("canary-green"), Expect::Absent);
    drop(records.commit(batch).await.expect("commits"));
    let mut last = None;
    for _ in 0..2 {
        let (value, sealed) = records
            .secret("values/a/1")
            .await
            .expect("reads")
            .expect("is there");
        assert_eq!(value.expose(), canary);
        let again = sealed.open().expect("is remembered");
        assert_eq!(again.expose(), canary);
        last = Some(sealed);
    }
    assert!(records.secret("values/a/2").await.expect("reads").is_none());
    let absent = |directory: &TempDir| {
        for entry in std::fs::read_dir(directory.path()).expect("lists") {
            let bytes = std::fs::read(entry.expect("lists").path()).expect("reads");
            assert!(!bytes.windows(7).any(|window| window == b"canary-"));
        }
    };
    absent(&directory);
    drop((records, store));
    assert!(
        last.and_then(|sealed| sealed.open()).is_none(),
        "nobody remembers it"
    );
    absent(&directory);

    let (directory, _store, records) = open(directory).await;
    let (value, _) = records
        .secret("values/a/1")
        .await
        .expect("reads")
        .expect("is there");
    assert_eq!(value.expose(), canary);
    assert_eq!(
        colour(&records, "apple").await.as_deref(),
        Some("canary-green")
    );
    let batch = Batch::new().delete_secret("values/a/1", Expect::Any);
    drop(records.commit(batch).await.expect("commits"));
    assert!(records.secret("values/a/1").await.expect("reads").is_none());
    absent(&directory);
}

#[tokio::test]
async fn another_root_key_or_a_lost_keyring_opens_nothing() {
    let (directory, store, records) = fixture().await;
    put(&records, "apple", "green").await;
    drop((records, store));
    let store = sqlite(&directory);
    let store: Arc<dyn Store> = Arc::new(store);
    let refusal = |error: Error| {
        assert_eq!(error.reason(), Reason::IntegrityFailure);
        format!("{error:?}")
    };
    let error = Records::open(Arc::clone(&store), &RootKey::generate(), &[])
        .await
        .expect_err("refused");
    assert!(refusal(error).contains("root key is not"));
    let change = Change {
        key: "keyring".to_owned(),
        bytes: None,
        expect: Expect::Any,
    };
    drop(store.commit(only(change)).await.expect("commits"));
    let error = Records::open(store, root(), &[])
        .await
        .expect_err("refused");
    assert!(refusal(error).contains("no keyring"));
}

#[tokio::test]
async fn rows_that_were_swapped_in_the_store_do_not_open() {
    let (directory, store, records) = fixture().await;
    put(&records, "apple", "green").await;
    put(&records, "pear", "yellow").await;
    drop((records, store));
    let (_directory, store, records) = open(directory).await;
    let apple = store
        .get("fruits/apple")
        .await
        .expect("reads")
        .expect("is there");
    let change = Change {
        key: "fruits/pear".to_owned(),
        bytes: Some(apple.bytes),
        expect: Expect::Any,
    };
    drop(store.commit(only(change)).await.expect("commits"));
    let error = records.get::<Fruit>("pear").await.expect_err("refused");
    assert_eq!(error.reason(), Reason::IntegrityFailure);
    let error = records
        .scan::<Fruit>("", None, 9)
        .await
        .expect_err("refused");
    assert_eq!(error.reason(), Reason::IntegrityFailure);
}

/// Fruit as another program would store it.
#[derive(Clone, Debug, Deserialize, Serialize)]
struct OtherFruit {
    colour: u8,
}

impl Record for OtherFruit {
    const KIND: &'static str = "fruits/";
    const FORM: u32 = 7;
}

#[tokio::test]
async fn a_record_is_stored_in_an_envelope_with_its_form() {
    let (_directory, store, records) = fixture().await;
    put(&records, "apple", "green").await;
    let row = store.get("fruits/apple").await.expect("reads");
    let sealed = row.expect("is there").bytes;
    let stored = records.keyring().open_record("fruits/apple", &sealed);
    let golden = include_str!("../golden/record.json").trim_end();
    assert_eq!(stored.expect("opens").expose(), golden.as_bytes());
    let read = Fruit::decode("fruits/apple", golden.as_bytes()).expect("reads");
    assert_eq!(read, fruit("green"));
}

#[tokio::test]
async fn a_record_of_another_form_is_refused_by_name_and_not_quoted() {
    let (_directory, _store, records) = fixture().await;
    let other = OtherFruit { colour: 5 };
    let bare = SecretBytes::new(br#"{"colour":"canary"}"#.to_vec());
    let batch = Batch::new()
        .put("apple", &other, Expect::Absent)
        .put_secret("fruits/pear", &bare, Expect::Absent);
    drop(records.commit(batch).await.expect("commits"));
    let refusal = |error: Error| {
        assert_eq!(error.reason(), Reason::IntegrityFailure);
        format!("{error:?}")
    };
    let named = "record fruits/apple has form 7, this program reads form 2";
    let error = records.get::<Fruit>("apple").await.expect_err("refused");
    assert!(refusal(error).contains(named));
    let error = records.scan::<Fruit>("", None, 9).await;
    assert!(refusal(error.expect_err("refused")).contains(named));
    let error = refusal(records.get::<Fruit>("pear").await.expect_err("refused"));
    assert!(error.contains("record fruits/pear"));
    assert!(!error.contains("canary"));
}

#[tokio::test]
async fn a_memory_without_room_still_answers() {
    let directory = tempfile::tempdir().expect("a directory");
    let store = sqlite(&directory);
    let records = Records::open_with_memory(Arc::new(store), root(), &[], 1)
        .await
        .expect("opens");
    for id in ["apple", "pear", "plum"] {
        put(&records, id, id).await;
        assert_eq!(colour(&records, id).await.as_deref(), Some(id));
    }
}
