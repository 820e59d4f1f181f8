//! The conformance suite on the vault of kind `newkind`, and what makes it red.

use std::sync::Arc;

use claviger_backend::{Backend, testkit};
use claviger_backend_newkind::{Newkind, NewkindSettings};

/// Its emulator belongs here, and what somebody does in it past Claviger: the suite's `Console`.
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
    for (name, claimed) in testkit::flips(backend.capabilities()) {
        let flipped = testkit::Flipped {
            backend: Arc::clone(&backend),
            claimed,
        };
        let mut suite = tokio::task::JoinSet::new();
        suite.spawn(testkit::conformance(Arc::new(flipped), None));
        let outcome = suite.join_next().await.expect("one suite");
        assert!(
            outcome.is_err_and(|error| error.is_panic()),
            "the suite is green although `{name}` is a false claim"
        );
    }
}
