//! The conformance suite on the managed vault over a real SQLite store.

use std::sync::Arc;

use claviger_backend::testkit;
use claviger_backend_managed::Managed;
use claviger_core::SystemClock;
use claviger_seal::RootKey;
use claviger_store::{Records, SqliteStore};

#[tokio::test]
async fn managed_vault_keeps_the_contract() {
    let dir = tempfile::tempdir().expect("temp dir");
    let store = SqliteStore::open(&dir.path().join("store.db")).expect("opens");
    let records = Records::open(Arc::new(store), &RootKey::generate())
        .await
        .expect("opens");
    let managed = Managed::new(Arc::new(records), Arc::new(SystemClock));
    testkit::conformance(Arc::new(managed)).await;
}
