//! When a value is due for rotation, and the labels by which definitions are found.

use std::collections::HashMap;
use std::time::{Duration, SystemTime};

use claviger_core::Clock as _;
use claviger_integration::{Client, Options, Server};
use claviger_proto::v1;
use prost_types::{FieldMask, Timestamp};
use tonic::Code;

use crate::support::{check, defining, fails, reasons, secret};

const PROJECT: &str = "projects/acme";
const DAY: Duration = Duration::from_secs(24 * 60 * 60);

fn labelled(name: &str, labels: &[(&str, &str)]) -> v1::PutSecretDefinitionRequest {
    let mut put = defining(name);
    let labels = labels
        .iter()
        .map(|(k, v)| ((*k).to_owned(), (*v).to_owned()));
    put.definition.as_mut().unwrap().labels = labels.collect();
    put
}

fn to_rotate_by(name: &str, time: SystemTime) -> v1::PutSecretDefinitionRequest {
    let mut put = defining(name);
    put.definition.as_mut().unwrap().rotate_by = Some(Timestamp::from(time));
    put
}

async fn listed(client: &Client, request: v1::ListSecretDefinitionsRequest) -> Vec<String> {
    let request = v1::ListSecretDefinitionsRequest {
        parent: PROJECT.to_owned(),
        ..request
    };
    let reply = client.definitions().list_secret_definitions(request).await;
    let definitions = reply.unwrap().into_inner().definitions;
    definitions.into_iter().map(|found| found.id).collect()
}

fn of_label(label: &str) -> v1::ListSecretDefinitionsRequest {
    v1::ListSecretDefinitionsRequest {
        label: label.to_owned(),
        ..Default::default()
    }
}

#[tokio::test]
async fn definitions_are_found_by_a_label_or_its_value() {
    let (_server, client) = Server::prepared(Options::default()).await;
    for (id, labels) in [
        ("a", [("team", "payments"), ("tier", "1=a")].as_slice()),
        ("b", &[("team", "growth")]),
        ("c", &[("Team", "payments")]),
        ("d", &[("team", "")]),
        ("e", &[]),
    ] {
        let put = labelled(&secret(id), labels);
        let definition = client.put_definition(put).await.unwrap().definition;
        let kept = definition.unwrap().labels;
        assert_eq!(kept.len(), labels.len(), "{kept:?}");
        assert!(
            labels.iter().all(|(key, value)| kept[*key] == *value),
            "{kept:?}"
        );
    }
    for (label, wanted) in [
        ("", ["a", "b", "c", "d", "e"].as_slice()),
        ("team", &["a", "b", "d"]),
        ("team=payments", &["a"]),
        ("team=", &["d"]),
        ("tier=1=a", &["a"]),
        ("none", &[]),
    ] {
        assert_eq!(listed(&client, of_label(label)).await, wanted, "{label}");
    }
}

#[tokio::test]
async fn labels_outside_their_rules_are_refused_by_the_field() {
    let (_server, client) = Server::prepared(Options::default()).await;
    let many: HashMap<_, _> = (0..51).map(|n| (format!("k{n}"), String::new())).collect();
    let one = |key: &str, value: &str| HashMap::from([(key.to_owned(), value.to_owned())]);
    let twice = HashMap::from(["team", " team "].map(|key| (key.to_owned(), String::new())));
    for (labels, reason) in [
        (many, "FIELD_INVALID"),
        (one("team", &"x".repeat(129)), "FIELD_INVALID"),
        (one("team", "a\nb"), "FIELD_INVALID"),
        (one("te am", "x"), "NAME_INVALID"),
        (twice, "FIELD_INVALID"),
    ] {
        let mut put = defining(&secret("labelled"));
        put.definition.as_mut().unwrap().labels = labels;
        let refused = client.put_definition(put).await;
        let status = fails(refused, Code::InvalidArgument, reason);
        assert!(
            format!("{status:?}").contains("definition.labels"),
            "{status:?}"
        );
    }
    let kept = labelled(&secret("labelled"), &[("team", &"é".repeat(128))]);
    client.put_definition(kept).await.unwrap();

    let request = v1::ListSecretDefinitionsRequest {
        parent: PROJECT.to_owned(),
        ..of_label("te am=x")
    };
    let refused = client.definitions().list_secret_definitions(request).await;
    fails(refused, Code::InvalidArgument, "NAME_INVALID");
}

#[tokio::test]
async fn what_is_to_be_rotated_by_a_time_is_listed_and_warned_about_once_it_has_passed() {
    let (server, client) = Server::prepared(Options::default()).await;
    let start = server.clock.now();
    let name = secret("due");
    let put = client
        .put_definition(to_rotate_by(&name, start + DAY))
        .await
        .unwrap();
    assert_eq!(reasons(put.warnings), [""; 0]);
    assert_eq!(
        put.definition.unwrap().rotate_by,
        Some((start + DAY).into())
    );
    client
        .put_definition(to_rotate_by(&secret("later"), start + 9 * DAY))
        .await
        .unwrap();
    client
        .put_definition(defining(&secret("never")))
        .await
        .unwrap();
    assert_eq!(
        reasons(client.rotate(&name, "first").await.unwrap().warnings),
        [""; 0]
    );
    assert_eq!(reasons(check(&client, &name).await.warnings), [""; 0]);

    let by = |time: SystemTime| v1::ListSecretDefinitionsRequest {
        rotate_by: Some(time.into()),
        ..Default::default()
    };
    assert_eq!(listed(&client, by(start)).await, [""; 0]);
    assert_eq!(listed(&client, by(start + DAY)).await, ["due"]);
    assert_eq!(listed(&client, by(start + 9 * DAY)).await, ["due", "later"]);

    server.clock.advance(DAY);
    assert_eq!(
        reasons(check(&client, &name).await.warnings),
        ["ROTATION_DUE"]
    );
    let rotated = client.rotate(&name, "second").await.unwrap();
    assert_eq!(reasons(rotated.warnings), ["ROTATION_DUE"]);
    let late = client
        .put_definition(to_rotate_by(&secret("late"), start))
        .await
        .unwrap();
    assert_eq!(reasons(late.warnings), ["ROTATION_DUE"]);

    let mut next = to_rotate_by(&name, start + 90 * DAY);
    let paths = vec!["rotate_by".to_owned()];
    next.update_mask = Some(FieldMask { paths });
    assert_eq!(
        reasons(client.put_definition(next).await.unwrap().warnings),
        [""; 0]
    );
    assert_eq!(
        reasons(client.rotate(&name, "third").await.unwrap().warnings),
        [""; 0]
    );
}

#[tokio::test]
async fn a_time_that_no_record_can_keep_is_refused() {
    let (_server, client) = Server::prepared(Options::default()).await;
    let before = SystemTime::UNIX_EPOCH - DAY;
    let refused = client
        .put_definition(to_rotate_by(&secret("old"), before))
        .await;
    let status = fails(refused, Code::InvalidArgument, "FIELD_INVALID");
    assert!(
        format!("{status:?}").contains("definition.rotate_by"),
        "{status:?}"
    );
}

#[tokio::test]
async fn labels_are_changed_by_their_mask() {
    let (_server, client) = Server::prepared(Options::default()).await;
    let name = secret("masked");
    client
        .put_definition(labelled(&name, &[("team", "a")]))
        .await
        .unwrap();
    let mut put = labelled(&name, &[("tier", "2")]);
    let paths = vec!["labels".to_owned()];
    put.update_mask = Some(FieldMask { paths });
    let changed = client
        .put_definition(put)
        .await
        .unwrap()
        .definition
        .unwrap();
    assert_eq!(
        changed.labels,
        HashMap::from([("tier".to_owned(), "2".to_owned())])
    );
}
