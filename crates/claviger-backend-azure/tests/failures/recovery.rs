//! Deleted secrets that a write may not bring back, and those that take their time.

use std::sync::Arc;

use claviger_core::{Reason, Uid};

use crate::stub::{Reply, Stub};
use crate::support::*;

const LISTED: &str = "GET /deletedsecrets";

fn deleted(deleted: Reply, listed_as: String) -> Arc<Stub> {
    Stub::new(vec![
        (VERSIONS, vec![Reply::json(200, listed(&[]))]),
        (GET, vec![Reply::absent()]),
        (DELETED, vec![deleted]),
        (LISTED, vec![Reply::json(200, listed_as)]),
        (RECOVER, vec![Reply::json(200, bundle(VERSION, ""))]),
    ])
}

#[tokio::test(start_paused = true)]
async fn secret_that_could_not_be_written_afterwards_stays_deleted() {
    let disabled = || Reply::error(403, "Forbidden", "SecretDisabled");
    let tags: Vec<String> = (0..13).map(|n| format!(r#""t{n}":"x""#)).collect();
    let full = bundle(VERSION, &format!(r#","tags":{{{}}}"#, tags.join(",")));
    let managed = bundle("", r#","managed":true"#);
    for (left, listed_as, reason) in [
        (
            Reply::json(200, full),
            listed(&[]),
            Reason::VaultCapabilityMissing,
        ),
        (disabled(), listed(&[managed]), Reason::LocationInvalid),
        // Whose it is, and what, is not known.
        (disabled(), listed(&[]), Reason::WriteInProgress),
    ] {
        let stub = deleted(left, listed_as);
        let error = write_fails(&azure(&stub, LONG)).await;
        assert_eq!(error.reason(), reason);
        assert_eq!((stub.count(RECOVER), stub.count(PUT)), (0, 0), "{reason}");
    }
}

#[tokio::test(start_paused = true)]
async fn write_that_ends_what_another_began_says_that_the_secret_was_deleted() {
    let new = "fedcba9876543210fedcba9876543210";
    let stub = deleted(Reply::json(200, bundle(VERSION, "")), listed(&[]));
    let azure = azure(&stub, LONG);
    let error = write_fails(&azure).await;
    assert_eq!(error.reason(), Reason::WriteInProgress);
    stub.play(vec![
        (
            VERSIONS,
            vec![Reply::json(200, listed(&[bundle(VERSION, "")]))],
        ),
        (GET, vec![Reply::json(200, bundle(VERSION, ""))]),
        (PUT, vec![Reply::json(200, bundle(new, ""))]),
    ]);
    for recovered in [true, false] {
        let written = write(&azure, Uid::random()).await.expect("written");
        assert_eq!(written.recovered, recovered);
    }
}
