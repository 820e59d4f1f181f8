//! What a commit wrote is remembered, and nothing but what the store has.

use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use claviger_core::{Reason, SecretBytes};
use claviger_store::{Batch, Committed, Expect, Records};

use crate::support::{Faulty, Fruit, colour, fixture, fruit, put, root};

fn reads(store: &Faulty) -> u64 {
    store.reads.load(Ordering::SeqCst)
}

async fn secret(records: &Records, key: &str) -> Option<Vec<u8>> {
    let secret = records.secret(key).await.expect("reads");
    secret.map(|(value, _)| value.expose().to_vec())
}

#[tokio::test]
async fn what_a_commit_wrote_is_not_read_again() {
    let (_directory, store, records) = fixture().await;
    let value = SecretBytes::new(b"one".to_vec());
    let batch = Batch::new()
        .put("apple", &fruit("green"), Expect::Absent)
        .put("pear", &fruit("yellow"), Expect::Absent)
        .put_secret("values/a/1", &value, Expect::Absent);
    let committed = records.commit(batch).await.expect("commits");
    let before = reads(&store);
    let stored = records.get::<Fruit>("apple").await.expect("reads");
    let stored = stored.expect("is there");
    assert_eq!(Committed::At(stored.revision), committed);
    assert_eq!(*stored.record, fruit("green"));
    assert_eq!(colour(&records, "pear").await.as_deref(), Some("yellow"));
    let read = secret(&records, "values/a/1").await;
    assert_eq!(read.as_deref(), Some(&b"one"[..]));
    assert_eq!(reads(&store), before);
}

#[tokio::test]
async fn what_is_opened_again_and_again_is_kept() {
    const COLD: usize = 200;
    let (_directory, store, _) = fixture().await;
    let records = Records::open_with_memory(Arc::clone(&store) as _, root(), &[], 64 * 1024)
        .await
        .expect("opens");
    let value = SecretBytes::new(vec![b'v'; 512]);
    let cold = |number: usize| format!("values/cold/{number}");
    for number in 0..COLD {
        let batch = Batch::new().put_secret(&cold(number), &value, Expect::Any);
        drop(records.commit(batch).await.expect("commits"));
    }
    let batch = Batch::new().put_secret("values/hot", &value, Expect::Absent);
    drop(records.commit(batch).await.expect("commits"));
    let opened = records.secret("values/hot").await.expect("reads");
    let (_, hot) = opened.expect("is there");
    for number in 0..COLD {
        assert!(secret(&records, &cold(number)).await.is_some());
        for _ in 0..32 {
            assert!(hot.open().is_some(), "after {number} others");
        }
    }
    assert!(reads(&store) >= COLD as u64 / 2, "the others found no room");
}

#[tokio::test]
async fn what_a_commit_deleted_is_forgotten() {
    let (_directory, store, records) = fixture().await;
    let value = SecretBytes::new(b"one".to_vec());
    let batch = Batch::new()
        .put("apple", &fruit("green"), Expect::Absent)
        .put_secret("values/a/1", &value, Expect::Absent);
    drop(records.commit(batch).await.expect("commits"));
    let batch = Batch::new()
        .delete::<Fruit>("apple", Expect::Any)
        .delete_secret("values/a/1", Expect::Any);
    drop(records.commit(batch).await.expect("commits"));
    let before = reads(&store);
    assert_eq!(colour(&records, "apple").await, None);
    assert_eq!(secret(&records, "values/a/1").await, None);
    assert_eq!(reads(&store), before + 2);
}

#[tokio::test]
async fn what_was_not_committed_or_may_not_have_been_is_not_remembered() {
    let (_directory, store, records) = fixture().await;
    put(&records, "apple", "green").await;
    let red = |expect| Batch::new().put("apple", &fruit("red"), expect);
    let over = red(Expect::Any).before(std::time::SystemTime::UNIX_EPOCH);
    for batch in [red(Expect::Absent), over] {
        let committed = records.commit(batch).await.expect("answers");
        assert!(!matches!(committed, Committed::At(_)));
        let before = reads(&store);
        assert_eq!(colour(&records, "apple").await.as_deref(), Some("green"));
        assert_eq!(reads(&store), before + 1);
    }
    store.fail_commits.store(true, Ordering::SeqCst);
    let error = records.commit(red(Expect::Any)).await.expect_err("fails");
    assert_eq!(error.reason(), Reason::StoreUnavailable);
    let before = reads(&store);
    assert_eq!(colour(&records, "apple").await.as_deref(), Some("red"));
    assert_eq!(reads(&store), before + 1);
}

#[tokio::test]
async fn of_two_commits_under_way_the_one_before_does_not_hide_the_last() {
    let (_directory, store, records) = fixture().await;
    store.hold_outcomes.store(true, Ordering::SeqCst);
    let mut first = pin!(put(&records, "apple", "green"));
    let mut second = pin!(put(&records, "apple", "red"));
    for commit in [&mut first, &mut second] {
        tokio::select! {
            biased;
            _ = commit => panic!("it is held"),
            () = store.arrival() => {}
        }
    }
    store.gate.add_permits(2);
    let second = second.await;
    assert!(first.await < second);
    let stored = records.get::<Fruit>("apple").await.expect("reads");
    let stored = stored.expect("is there");
    assert_eq!((stored.revision, &*stored.record), (second, &fruit("red")));
}

#[tokio::test]
async fn a_batch_that_is_duplicated_is_remembered_as_well() {
    let (_directory, store, records) = fixture().await;
    let batch = Batch::new().put("apple", &fruit("green"), Expect::Any);
    for batch in [batch.duplicate(), batch] {
        drop(records.commit(batch).await.expect("commits"));
        let before = reads(&store);
        assert_eq!(colour(&records, "apple").await.as_deref(), Some("green"));
        assert_eq!(reads(&store), before);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn commits_side_by_side_leave_what_the_store_has() {
    let (_directory, store, records) = fixture().await;
    let mut writers = tokio::task::JoinSet::new();
    for writer in 0..8 {
        let records = Arc::clone(&records);
        writers.spawn(async move {
            for number in 0..40 {
                put(&records, &(number % 2).to_string(), &writer.to_string()).await;
            }
        });
    }
    while let Some(writer) = writers.join_next().await {
        writer.expect("ran");
    }
    for id in ["0", "1"] {
        let stored = records.get::<Fruit>(id).await.expect("reads");
        let key = format!("fruits/{id}");
        let row = claviger_store::Store::get(&store.inner, &key).await;
        let row = row.expect("reads").expect("is there");
        assert_eq!(stored.expect("is there").revision, row.revision);
    }
}
