//! A managed vault that an older program wrote, opened by this one:
//! `golden/store-form-2/README.md` lists what it holds.

use std::path::PathBuf;
use std::time::Duration;

use claviger_integration::{Client, Options, Server, own_uid};
use claviger_proto::v1;
use claviger_proto::v1::secret_version::State;
use tonic::{Code, Status};

use crate::support::{fails, opened_golden, reading, storing, undelete, versions};

/// Moments after the store was written, in seconds since the epoch.
const AFTER: Duration = Duration::from_secs(1_796_023_320);

const MANY: &str = "projects/plain/secrets/many";

async fn opened() -> (Server, Client) {
    let dir = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/golden/store-form-2");
    // Its audit log was left behind.
    let options = Options {
        accept_audit_gap: true,
        ..Options::default()
    };
    opened_golden(|file| PathBuf::from(dir).join(file), AFTER, options).await
}

async fn version(client: &Client, name: &str, number: usize) -> Result<String, Status> {
    let request = v1::GetSecretRequest {
        version: number.to_string(),
        ..reading(name)
    };
    match client.get_secret(request).await?.value {
        Some(v1::get_secret_response::Value::Text(text)) => Ok(text),
        other => panic!("{other:?}"),
    }
}

fn states(versions: &[v1::SecretVersion]) -> Vec<(usize, State)> {
    let state = |one: &v1::SecretVersion| (one.version.parse().unwrap(), one.state());
    versions.iter().map(state).collect()
}

fn expected(newest: usize) -> Vec<(usize, State)> {
    let state = |number| match number {
        5 => State::Destroyed,
        6 | 40 => State::Disabled,
        _ => State::Enabled,
    };
    (1..=newest).rev().map(|n| (n, state(n))).collect()
}

#[tokio::test]
async fn write_that_was_left_half_done_is_settled() {
    let (_server, client) = opened().await;
    let name = "projects/plain/secrets/lost";
    assert_eq!(client.text(name).await, "lost two");
    assert_eq!(version(&client, name, 1).await.unwrap(), "lost one");
    let put = v1::PutSecretValueRequest {
        request_id: "33333333-3333-4333-8333-333333333333".to_owned(),
        ..storing(name, "lost two")
    };
    if own_uid() == 0 {
        assert_eq!(client.put_value(put).await.unwrap().version, "2");
    }
    assert_eq!(client.rotate(name, "three").await.unwrap().version, "3");
    assert_eq!(client.text(name).await, "three");
    assert_eq!(versions(&client, name).await.len(), 3);
}

#[tokio::test]
async fn old_versions_are_read_listed_and_changed_beside_new_ones() {
    let (mut server, client) = opened().await;
    fails(
        client.get(MANY).await,
        Code::FailedPrecondition,
        "VERSION_DISABLED",
    );
    assert_eq!(states(&versions(&client, MANY).await), expected(40));
    let newest = 90;
    for number in 41..=newest {
        let put = client.rotate(MANY, &format!("many {number}")).await;
        assert_eq!(put.unwrap().version, number.to_string());
    }
    for client in [client, {
        server.restart().await;
        server.unix()
    }] {
        assert_eq!(states(&versions(&client, MANY).await), expected(newest));
    }
    let client = server.unix();
    for number in 1..=newest {
        let read = version(&client, MANY, number).await;
        match number {
            5 => drop(fails(read, Code::FailedPrecondition, "VERSION_DESTROYED")),
            6 | 40 => drop(fails(read, Code::FailedPrecondition, "VERSION_DISABLED")),
            _ => assert_eq!(read.unwrap(), format!("many {number}")),
        }
    }
    let of = |number: usize| format!("{MANY}/versions/{number}");
    for number in [1, 40, 41, 60, newest] {
        let mut secrets = client.secrets();
        let name = of(number);
        let request = v1::DestroySecretVersionRequest {
            name,
            ..Default::default()
        };
        secrets.destroy_secret_version(request).await.unwrap();
        let read = version(&client, MANY, number).await;
        fails(read, Code::FailedPrecondition, "VERSION_DESTROYED");
    }
    let request = v1::EnableSecretVersionRequest {
        name: of(6),
        ..Default::default()
    };
    client
        .secrets()
        .enable_secret_version(request)
        .await
        .unwrap();
    assert_eq!(version(&client, MANY, 6).await.unwrap(), "many 6");
}

#[tokio::test]
async fn the_rest_is_as_it_was() {
    let (_server, client) = opened().await;
    let opaque = "projects/plain/secrets/opaque";
    assert_eq!(client.text(opaque).await, "opaque four");
    let (enabled, disabled) = (State::Enabled, State::Disabled);
    assert_eq!(
        states(&versions(&client, opaque).await),
        [
            (4, enabled),
            (3, enabled),
            (2, disabled),
            (1, State::Destroyed)
        ]
    );
    if own_uid() == 0 {
        let repeat = v1::PutSecretValueRequest {
            request_id: "22222222-2222-4222-8222-222222222222".to_owned(),
            ..storing(opaque, "opaque two")
        };
        assert_eq!(client.put_value(repeat).await.unwrap().version, "2");
    }
    let fenced = v1::PutSecretValueRequest {
        if_version: "4".to_owned(),
        ..storing(opaque, "opaque five")
    };
    assert_eq!(client.put_value(fenced).await.unwrap().version, "5");
    let deleted = "projects/plain/secrets/deleted";
    undelete(&client, deleted).await.unwrap();
    assert_eq!(client.text(deleted).await, "deleted one");
    for absent in ["empty", "purged"] {
        let read = client
            .get(&format!("projects/plain/secrets/{absent}"))
            .await;
        read.expect_err(absent);
    }
    let put = client.rotate("projects/plain/secrets/empty", "first").await;
    assert_eq!(put.unwrap().version, "1");
}
