//! Puts on names that somebody deleted in Azure.

use claviger_e2e::{Home, reason, tools};
use tonic::Code;

use super::support::{Caller, Cloud, assert_refused, location};

/// The reasons of a writer that came too late.
const LOST: [&str; 2] = ["VERSION_MISMATCH", "WRITE_IN_PROGRESS"];

const RECOVERED: &str = "SECRET_RECOVERED";

#[tokio::test]
async fn a_put_on_a_deleted_name_recovers_it_and_says_so_and_purges_nothing() {
    let (home, cloud) = (Home::new(), Cloud::start());
    let vault = cloud.handle();
    let daemon = cloud.daemon(&home);
    let caller = Caller::of(&daemon).await;
    let put = caller.put("gone", location("gone", ""), Some("one")).await;
    let first = put.expect("created").version;
    vault.delete("gone");
    let runner = Caller::runner(&daemon).await;
    assert_refused(runner.text("gone").await, "SECRET_DELETED");

    let put = caller.store("gone", "two", false).await.expect("recovered");
    let [warning] = put.warnings.try_into().expect("one");
    assert_eq!(warning.reason, RECOVERED);
    assert_eq!(runner.text("gone").await.expect("read"), "two");
    runner.get("gone", &first).await.expect("it came back too");
    assert_eq!(vault.versions("gone").len(), 2);
    assert_eq!(vault.purges(), 0);
}

#[tokio::test]
async fn a_definition_put_on_a_deleted_foreign_name_needs_adopt_and_tells_too() {
    let (home, cloud) = (Home::new(), Cloud::start());
    let vault = cloud.handle();
    vault.set("theirs", "theirs", &[]);
    vault.delete("theirs");
    let daemon = cloud.daemon(&home);
    let caller = Caller::of(&daemon).await;
    let refused = caller.put("mine", location("theirs", ""), Some("mine"));
    assert_refused(refused.await, "SECRET_NOT_OWNED");
    let writes = vault.requests().into_iter();
    assert_eq!(writes.filter(|seen| seen.method != "GET").count(), 0);

    let put = caller.put_with(claviger_proto::v1::PutSecretDefinitionRequest {
        adopt: true,
        payload: Some(claviger_proto::v1::Payload {
            value: Some(claviger_proto::v1::payload::Value::Text("mine".to_owned())),
            crc32c: None,
        }),
        definition: Some(claviger_proto::v1::SecretDefinition {
            name: super::support::name("mine"),
            location: Some(location("theirs", "")),
            ..Default::default()
        }),
        ..Default::default()
    });
    let warnings = put.await.expect("adopted").warnings.into_iter();
    let reasons: Vec<String> = warnings.map(|warning| warning.reason).collect();
    assert_eq!(reasons, [RECOVERED]);
    let runner = Caller::runner(&daemon).await;
    assert_eq!(runner.text("mine").await.expect("read"), "mine");
    assert_eq!(vault.purges(), 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_puts_that_race_for_a_deleted_name_one_value_wins_and_the_recovery_is_told() {
    let rounds = 5 * tools::volume();
    println!("{rounds} rounds");
    let (home, cloud) = (Home::new(), Cloud::start());
    let vault = cloud.handle();
    let daemon = cloud.daemon(&home);
    let callers = [Caller::of(&daemon).await, Caller::of(&daemon).await];
    let put = callers[0].put("raced", location("raced", ""), Some("first"));
    put.await.expect("created");
    let runner = Caller::runner(&daemon).await;
    for round in 0..rounds {
        vault.delete("raced");
        let values = ["a", "b"].map(|who| format!("{round} {who}"));
        let outcomes = tokio::join!(
            callers[0].store("raced", &values[0], false),
            callers[1].store("raced", &values[1], false)
        );
        let mut stored = Vec::new();
        let mut is_told = false;
        for (value, outcome) in values.into_iter().zip([outcomes.0, outcomes.1]) {
            match outcome {
                Ok(put) => {
                    is_told |= put.warnings.iter().any(|one| one.reason == RECOVERED);
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
        let (version, value, _) = vault.versions("raced").pop().expect("there");
        assert!(stored.contains(&(version, value.clone())), "round {round}");
        assert_eq!(runner.text("raced").await.expect("read"), value);
    }
    assert_eq!(vault.purges(), 0);
}
