//! Puts on names that somebody deleted in Azure.

use claviger_e2e::{assert_refused, reason, tools};
use claviger_proto::v1;
use tonic::Code;

use crate::caller::{Caller, definition, put_of, reasons};
use crate::peers::azure;
use crate::stage::{Peer, Stage};

/// The reasons of a writer that came too late.
const LOST: [&str; 2] = ["VERSION_MISMATCH", "WRITE_IN_PROGRESS"];

const RECOVERED: &str = "SECRET_RECOVERED";

#[tokio::test]
async fn a_put_on_a_deleted_name_recovers_it_and_says_so_and_purges_nothing() {
    let stage = Stage::start(Box::new(azure())).await;
    let runner = stage.runner().await;
    let Stage { caller, peer, .. } = &stage;
    let first = caller
        .created("gone", peer.place("gone"), "one")
        .await
        .version;
    peer.delete("gone");
    assert_refused(runner.text("gone").await, "SECRET_DELETED");

    let put = caller.store("gone", "two").await.expect("recovered");
    assert_eq!(reasons(&put.warnings), [RECOVERED]);
    assert_eq!(runner.text("gone").await.expect("read"), "two");
    runner.get("gone", &first).await.expect("it came back too");
    assert_eq!(peer.portal().versions("gone").len(), 2);
    assert_eq!(peer.portal().purges(), 0);
}

#[tokio::test]
async fn a_definition_put_on_a_deleted_foreign_name_needs_adopt_and_tells_too() {
    let peer = Box::new(azure());
    peer.set("theirs", "theirs");
    peer.delete("theirs");
    let stage = Stage::start(peer).await;
    let Stage { caller, peer, .. } = &stage;
    let put = || put_of(definition("mine", peer.place("theirs")), Some("mine"));
    assert_refused(caller.put(put()).await, "SECRET_NOT_OWNED");
    let writes = peer.portal().requests().into_iter();
    assert_eq!(writes.filter(|seen| seen.method != "GET").count(), 0);

    let adopting = v1::PutSecretDefinitionRequest {
        adopt: true,
        ..put()
    };
    let put = caller.put(adopting).await.expect("adopted");
    assert_eq!(reasons(&put.warnings), [RECOVERED]);
    let runner = stage.runner().await;
    assert_eq!(runner.text("mine").await.expect("read"), "mine");
    assert_eq!(peer.portal().purges(), 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_puts_that_race_for_a_deleted_name_one_value_wins_and_the_recovery_is_told() {
    let rounds = 5 * tools::volume();
    println!("{rounds} rounds");
    let stage = Stage::start(Box::new(azure())).await;
    let runner = stage.runner().await;
    let (caller, peer, daemon) = (&stage.caller, &stage.peer, &stage.daemon);
    let other = Caller::of(daemon).await;
    caller.created("raced", peer.place("raced"), "first").await;
    for round in 0..rounds {
        peer.delete("raced");
        let values = ["a", "b"].map(|who| format!("{round} {who}"));
        let outcomes = tokio::join!(
            caller.store("raced", &values[0]),
            other.store("raced", &values[1])
        );
        let mut stored = Vec::new();
        let mut is_told = false;
        for (value, outcome) in values.into_iter().zip([outcomes.0, outcomes.1]) {
            match outcome {
                Ok(put) => {
                    is_told |= reasons(&put.warnings).contains(&RECOVERED);
                    stored.push((put.version, value));
                }
                Err(status) => {
                    assert_eq!(status.code(), Code::Aborted, "{status:?}");
                    let reason = reason(&status).unwrap_or_default();
                    assert!(LOST.contains(&reason.as_str()), "{status:?}");
                }
            }
        }
        assert!(is_told, "round {round}: nobody says that it was deleted");
        let (version, value, _) = peer.portal().versions("raced").pop().expect("there");
        assert!(stored.contains(&(version, value.clone())), "round {round}");
        assert_eq!(runner.text("raced").await.expect("read"), value);
    }
    assert_eq!(peer.portal().purges(), 0);
}
