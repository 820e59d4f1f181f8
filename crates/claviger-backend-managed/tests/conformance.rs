//! The conformance suite on the managed vault over a real SQLite store, and false claims that make it red.

#![expect(clippy::expect_used, reason = "a failed set-up is a failed test")]

use std::sync::Arc;

use claviger_backend::{Address, Backend, Staged, Write, testkit};
use claviger_backend_managed::Managed;
use claviger_core::{Format, SecretBytes, SystemClock, Uid};
use claviger_seal::RootKey;
use claviger_store::{Committed, Records, SqliteStore};

async fn managed(dir: &tempfile::TempDir) -> Managed {
    over(records(dir).await)
}

fn over(records: Arc<Records>) -> Managed {
    Managed::new(records, Arc::new(SystemClock))
}

async fn records(dir: &tempfile::TempDir) -> Arc<Records> {
    let store =
        SqliteStore::open(&dir.path().join("store.db"), Arc::new(SystemClock)).expect("opens");
    let records = Records::open(Arc::new(store), &RootKey::generate(), &[])
        .await
        .expect("opens");
    Arc::new(records)
}

#[tokio::test]
async fn managed_vault_keeps_the_contract() {
    let dir = tempfile::tempdir().expect("temp dir");
    testkit::conformance(Arc::new(managed(&dir).await), None).await;
}

#[tokio::test]
async fn every_false_claim_fails_the_suite() {
    let dir = tempfile::tempdir().expect("temp dir");
    let backend: Arc<dyn Backend> = Arc::new(managed(&dir).await);
    testkit::every_false_claim_fails(Arc::clone(&backend), None).await;
    testkit::conformance(backend, None).await;
}

async fn staged(managed: &Managed, address: &Address, write_id: Uid, text: &str) -> Staged {
    let write = Write {
        write_id,
        value: &SecretBytes::new(text.into()),
        format: Format::Text,
        adopt: false,
    };
    let staged = managed.stage(address, &write).await.expect("staged");
    staged.expect("it lives in the store")
}

#[tokio::test]
async fn what_was_staged_is_there_once_its_caller_has_committed_it() {
    let dir = tempfile::tempdir().expect("temp dir");
    let records = records(&dir).await;
    let managed = over(Arc::clone(&records));
    let address = testkit::address("acme");
    let (id, other) = (Uid::random(), Uid::random());
    let first = staged(&managed, &address, id, "first").await;
    let rival = staged(&managed, &address, other, "rival").await;
    assert_eq!(managed.find_write(&address, id).await.expect("asked"), None);

    let version = first.version;
    let committed = records.commit(first.batch).await.expect("committed");
    assert!(matches!(committed, Committed::At(_)));
    let read = managed.read(&address, Some(version.as_str())).await;
    assert_eq!(read.expect("read").value.expose(), b"first");
    let found = managed.find_write(&address, id).await.expect("asked");
    assert_eq!(found.as_ref(), Some(&version));

    let refused = records.commit(rival.batch).await.expect("answered");
    assert!(matches!(refused, Committed::Conflict { .. }), "{refused:?}");
    let rival = staged(&managed, &address, other, "rival").await;
    assert_ne!(rival.version, version);
    let repeat = staged(&managed, &address, id, "first").await;
    assert_eq!(repeat.version, version);
    let listed = managed.versions(&address, None, 10).await.expect("listed");
    assert_eq!(listed.len(), 1, "{listed:?}");
}

/// It has no peer: what lies in the store is sealed, so that nothing but the length could be a lie.
#[tokio::test]
async fn value_longer_than_declared_is_not_served() {
    let dir = tempfile::tempdir().expect("temp dir");
    let managed = Arc::new(managed(&dir).await);
    let (address, long) = (testkit::address("acme"), "x".repeat(65_537));
    // Past the layer that would refuse it.
    let written = testkit::put(&*managed, &address, &long, false).await;
    let version = written.expect("stored").version;
    testkit::hostile_answers(async |lie| {
        (lie == testkit::Lie::LongValue).then(|| testkit::Facing {
            backend: Arc::clone(&managed) as Arc<dyn Backend>,
            address: address.clone(),
            version: Some(version.clone()),
            sent: Box::new(|| 0),
            strayed: Box::new(|| 0),
        })
    })
    .await;
}
