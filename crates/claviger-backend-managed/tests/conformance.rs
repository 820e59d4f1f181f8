//! The conformance suite on the managed vault over a real SQLite store, and false claims that make it red.

#![expect(clippy::expect_used, reason = "a failed set-up is a failed test")]

use std::sync::Arc;

use claviger_backend::{Backend, testkit};
use claviger_backend_managed::Managed;
use claviger_core::SystemClock;
use claviger_seal::RootKey;
use claviger_store::{Records, SqliteStore};

async fn managed(dir: &tempfile::TempDir) -> Managed {
    let store =
        SqliteStore::open(&dir.path().join("store.db"), Arc::new(SystemClock)).expect("opens");
    let records = Records::open(Arc::new(store), &RootKey::generate(), &[])
        .await
        .expect("opens");
    Managed::new(Arc::new(records), Arc::new(SystemClock))
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
