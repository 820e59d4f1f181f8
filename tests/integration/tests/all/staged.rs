//! Writes to the vault that lives in the store: each is one commit, of which others see all or
//! nothing, whatever comes in between and however it ends.

use claviger_core::Reason;
use claviger_integration::{Client, Fault, Gate, Options, PROJECT, Server};
use claviger_proto::v1;
use claviger_proto::v1::Role;
use tonic::Code;

use crate::support::{
    creating, defining, delete, fails, in_progress, request_id, secret, storing, undelete, versions,
};

/// A server whose commits a test holds up, fails and counts.
async fn gated() -> (Server, Client, Gate) {
    let gate = Gate::default();
    let options = Options {
        gate: gate.clone(),
        ..Options::default()
    };
    let (server, client) = Server::prepared(options).await;
    (server, client, gate)
}

/// Another caller, whose commits can be held up by the name of its token.
async fn slow(server: &Server, client: &Client) -> (Client, String) {
    let token = client.token(&[(Role::Operator, PROJECT)]).await;
    let slow = server.tcp().await.with_token(&token.token);
    (slow, token.info.unwrap().name)
}

fn rotating(name: &str, text: &str) -> v1::PutSecretValueRequest {
    v1::PutSecretValueRequest {
        request_id: request_id(),
        ..storing(name, text)
    }
}

#[tokio::test]
async fn a_put_is_one_commit() {
    let (_server, client, gate) = gated().await;
    let name = secret("one");
    let before = gate.done();
    client.put(&name, "one").await.unwrap();
    assert_eq!(gate.done(), before + 1, "a registration");
    assert_eq!(
        gate.written(),
        ["audit-outbox", "definitions", "managed-secrets", "values"]
    );
    client.rotate(&name, "two").await.unwrap();
    assert_eq!(gate.done(), before + 2, "a rotation");
    // The definition is as it was.
    assert_eq!(
        gate.written(),
        ["audit-outbox", "managed-secrets", "values"]
    );
    let put = rotating(&name, "three");
    let first = client.put_value(put.clone()).await.unwrap();
    assert_eq!(gate.done(), before + 3, "one that can be repeated");
    assert_eq!(
        gate.written(),
        ["audit-outbox", "managed-secrets", "requests", "values"]
    );
    assert_eq!(client.put_value(put).await.unwrap(), first);
    let named = v1::PutSecretDefinitionRequest {
        request_id: request_id(),
        ..creating(&secret("other"), "one")
    };
    client.put_definition(named).await.unwrap();
    assert_eq!(gate.done(), before + 4, "a registration with an id");
    assert_eq!(client.text(&name).await, "three");
}

#[tokio::test]
async fn a_put_whose_outcome_is_unknown_is_done_once_when_it_is_repeated() {
    let cases = [
        (Fault::LoseAnswer, "new"),
        (Fault::Fail(Reason::StoreUnavailable), "old"),
    ];
    for (number, (fault, wanted)) in (0..).zip(cases) {
        let (_server, client, gate) = gated().await;
        let name = secret(&format!("lost-{number}"));
        client.put(&name, "old").await.unwrap();
        let put = rotating(&name, "new");
        gate.fail(fault);
        let status = fails(
            client.put_value(put.clone()).await,
            Code::Unknown,
            "WRITE_OUTCOME_UNKNOWN",
        );
        assert!(status.message().contains("same request_id"), "{status:?}");
        gate.fail(Fault::None);
        // Whole or not at all, at once.
        assert_eq!(client.text(&name).await, wanted, "{fault:?}");
        let done = client.put_value(put.clone()).await.unwrap();
        assert_eq!(client.text(&name).await, "new", "{fault:?}");
        assert_eq!(client.put_value(put).await.unwrap(), done);
        assert_eq!(done.version, "2", "{fault:?}");
        assert_eq!(versions(&client, &name).await.len(), 2, "{fault:?}");
    }
}

#[tokio::test]
async fn a_registration_whose_outcome_is_unknown_is_done_once_when_it_is_repeated() {
    for fault in [Fault::LoseAnswer, Fault::Fail(Reason::StoreUnavailable)] {
        let (_server, client, gate) = gated().await;
        let name = secret("lost");
        let put = v1::PutSecretDefinitionRequest {
            request_id: request_id(),
            ..creating(&name, "one")
        };
        gate.fail(fault);
        fails(
            client.put_definition(put.clone()).await,
            Code::Unknown,
            "WRITE_OUTCOME_UNKNOWN",
        );
        gate.fail(Fault::None);
        let is_done = client.definition(&name).await.is_ok();
        assert_eq!(is_done, fault == Fault::LoseAnswer);
        let done = client.put_definition(put.clone()).await.unwrap();
        assert_eq!(client.put_definition(put).await.unwrap(), done);
        assert_eq!(client.text(&name).await, "one", "{fault:?}");
        assert_eq!(versions(&client, &name).await.len(), 1, "{fault:?}");
    }
}

#[tokio::test]
async fn a_put_for_which_there_is_no_disk_says_so_and_leaves_nothing_in_the_way() {
    let (_server, client, gate) = gated().await;
    let name = secret("full");
    client.put(&name, "old").await.unwrap();
    let put = rotating(&name, "new");
    gate.fail(Fault::Fail(Reason::StoreNotWritable));
    for _ in 0..2 {
        fails(
            client.put_value(put.clone()).await,
            Code::Unavailable,
            "STORE_NOT_WRITABLE",
        );
        assert_eq!(client.text(&name).await, "old");
    }
    gate.fail(Fault::None);
    client.rotate(&name, "other").await.unwrap();
    assert_eq!(client.put_value(put).await.unwrap().version, "3");
}

#[tokio::test]
async fn a_put_that_another_one_has_overtaken_is_stored_after_it() {
    let (server, client, gate) = gated().await;
    let (slow, token) = slow(&server, &client).await;
    let name = secret("raced");
    client.put(&name, "one").await.unwrap();
    gate.hold(&token);
    let meanwhile = async {
        gate.entered().await;
        let second = client.rotate(&name, "two").await.unwrap();
        assert_eq!(client.text(&name).await, "two");
        // An edit does not stand in the way either.
        let mut edit = defining(&name);
        edit.definition.as_mut().unwrap().description = "edited".to_owned();
        let paths = vec!["description".to_owned()];
        edit.update_mask = Some(prost_types::FieldMask { paths });
        client.put_definition(edit).await.unwrap();
        gate.release();
        second
    };
    let (third, second) = tokio::join!(slow.rotate(&name, "three"), meanwhile);
    assert_eq!(
        (second.version, third.unwrap().version),
        ("2".into(), "3".into())
    );
    assert_eq!(client.text(&name).await, "three");
    let definition = client.definition(&name).await.unwrap();
    assert_eq!(definition.description, "edited");
    assert_eq!(versions(&client, &name).await.len(), 3);
}

#[tokio::test]
async fn of_two_puts_with_one_if_version_one_is_stored() {
    let (server, client, gate) = gated().await;
    let (slow, token) = slow(&server, &client).await;
    let name = secret("fenced");
    client.put(&name, "one").await.unwrap();
    let fenced = |text: &str| v1::PutSecretValueRequest {
        if_version: "1".to_owned(),
        ..rotating(&name, text)
    };
    gate.hold(&token);
    let meanwhile = async {
        gate.entered().await;
        client.put_value(fenced("two")).await.unwrap();
        gate.release();
    };
    let (late, ()) = tokio::join!(slow.put_value(fenced("late")), meanwhile);
    fails(late, Code::Aborted, "VERSION_MISMATCH");
    assert_eq!(client.text(&name).await, "two");
    assert_eq!(versions(&client, &name).await.len(), 2);
}

#[tokio::test]
async fn a_put_does_not_outlive_its_definition() {
    for is_purged in [false, true] {
        let (server, client, gate) = gated().await;
        let (slow, token) = slow(&server, &client).await;
        let name = secret("deleted");
        client.put(&name, "one").await.unwrap();
        gate.hold(&token);
        let meanwhile = async {
            gate.entered().await;
            delete(&client, &name, is_purged).await.unwrap();
            gate.release();
        };
        let (late, ()) = tokio::join!(slow.rotate(&name, "late"), meanwhile);
        match is_purged {
            true => fails(late, Code::NotFound, "DEFINITION_NOT_FOUND"),
            false => {
                undelete(&client, &name).await.unwrap();
                assert_eq!(versions(&client, &name).await.len(), 1);
                fails(late, Code::FailedPrecondition, "DEFINITION_DELETED")
            }
        };
    }
}

#[tokio::test]
async fn a_repeat_that_meets_its_own_request_is_put_off_and_stores_nothing() {
    let (server, client, gate) = gated().await;
    let (slow, token) = slow(&server, &client).await;
    let name = secret("twice");
    client.put(&name, "one").await.unwrap();
    for (number, if_version) in [(2, ""), (3, "2")] {
        let put = v1::PutSecretValueRequest {
            if_version: if_version.to_owned(),
            ..rotating(&name, "again")
        };
        gate.hold(&token);
        let meanwhile = async {
            gate.entered().await;
            // Counts from here.
            gate.hold(&token);
            let again = async {
                gate.entered().await;
                gate.release();
            };
            tokio::join!(slow.put_value(put.clone()), again).0
        };
        let (one, other) = tokio::join!(slow.put_value(put.clone()), meanwhile);
        let (done, put_off) = match one.is_ok() {
            true => (one, other),
            false => (other, one),
        };
        in_progress(put_off);
        assert_eq!(slow.put_value(put).await.unwrap(), done.unwrap());
        assert_eq!(versions(&client, &name).await.len(), number);
    }
}

#[tokio::test]
async fn the_newest_version_is_the_current_one_whatever_its_state() {
    let (_server, client, _) = gated().await;
    let name = secret("newest");
    client.put(&name, "one").await.unwrap();
    client.rotate(&name, "two").await.unwrap();
    let of = |version: &str| format!("{name}/versions/{version}");
    let request = v1::DisableSecretVersionRequest {
        name: of("2"),
        ..Default::default()
    };
    let mut secrets = client.secrets();
    secrets.disable_secret_version(request).await.unwrap();
    let read = client.get(&name).await;
    let status = fails(read, Code::FailedPrecondition, "VERSION_DISABLED");
    assert!(status.message().contains(&of("2")), "{status:?}");
    let listed = versions(&client, &name).await;
    let current = listed.iter().map(|one| (one.version.as_str(), one.current));
    assert!(current.eq([("2", true), ("1", false)]), "{listed:?}");
    let stale = v1::PutSecretValueRequest {
        if_version: "1".to_owned(),
        ..storing(&name, "three")
    };
    let refused = client.put_value(stale.clone()).await;
    fails(refused, Code::Aborted, "VERSION_MISMATCH");
    let fresh = v1::PutSecretValueRequest {
        if_version: "2".to_owned(),
        ..stale
    };
    assert_eq!(client.put_value(fresh).await.unwrap().version, "3");
    assert_eq!(client.text(&name).await, "three");
}

#[tokio::test]
async fn a_name_that_two_register_at_once_is_the_first_ones() {
    let (server, client, gate) = gated().await;
    let (slow, token) = slow(&server, &client).await;
    let name = secret("named");
    gate.hold(&token);
    let meanwhile = async {
        gate.entered().await;
        client.put(&name, "first").await.unwrap();
        gate.release();
    };
    let (late, ()) = tokio::join!(slow.put(&name, "late"), meanwhile);
    in_progress(late);
    assert_eq!(client.text(&name).await, "first");
    assert_eq!(versions(&client, &name).await.len(), 1);
}
