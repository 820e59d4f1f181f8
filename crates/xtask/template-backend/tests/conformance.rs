//! The conformance suite on the vault of kind `newkind`, and false claims that make it red.

use std::sync::Arc;

use claviger_backend::{Backend, testkit};
use claviger_backend_newkind::{Newkind, NewkindSettings};

/// Its emulator belongs here, and the acts of others in it past Claviger: the suite's `Console`.
fn newkind() -> Newkind {
    let settings = NewkindSettings {
        endpoint_url: "https://127.0.0.1".to_owned(),
    };
    assert_eq!(settings.problems(), []);
    Newkind::new(&settings)
}

#[tokio::test]
async fn newkind_keeps_the_contract() {
    testkit::conformance(Arc::new(newkind()), None).await;
}

#[tokio::test]
async fn every_false_claim_fails_the_suite() {
    let backend: Arc<dyn Backend> = Arc::new(newkind());
    // A suite that fails in any case would prove nothing of the claims.
    testkit::conformance(Arc::clone(&backend), None).await;
    testkit::every_false_claim_fails(backend, None).await;
}
