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
