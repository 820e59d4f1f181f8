//! A put through a location without a property: the document that is there keeps its shape.

use claviger_core::Reason;
use claviger_integration::{Client, Fault, Verb};
use claviger_proto::v1;
use prost_types::FieldMask;
use tonic::Code;

use super::{names_both, register, shared};
use crate::support::{fails, in_faulty, located, request_id, storing};

/// All that is in the vault where the definition leads.
async fn stored(client: &Client, name: &str) -> String {
    let there = client.definition(name).await.unwrap().location.unwrap();
    let all = v1::Location {
        property: String::new(),
        whole: true,
        ..there.clone()
    };
    let lead = async |location| {
        let put = v1::PutSecretDefinitionRequest {
            update_mask: Some(FieldMask {
                paths: vec!["location".to_owned()],
            }),
            ..located(name, location)
        };
        client.put_definition(put).await.unwrap();
    };
    lead(all).await;
    let text = client.text(name).await;
    lead(there).await;
    text
}

#[tokio::test]
async fn a_put_without_a_property_keeps_the_shape_of_a_document_with_one_key() {
    let (_server, client, vault) = shared().await;
    vault.type_in("s", r#"{ "apiKey" : "old" }"#);
    let name = register(&client, "shape", in_faulty("s")).await;
    let put = v1::PutSecretValueRequest {
        adopt: true,
        if_version: client.get(&name).await.unwrap().version,
        ..storing(&name, "new")
    };
    client.put_value(put.clone()).await.unwrap();
    assert_eq!(client.text(&name).await, "new");
    assert_eq!(stored(&client, &name).await, r#"{"apiKey":"new"}"#);
    // A bare value is replaced by one, and one that comes first is one.
    for place in ["bare", "absent"] {
        if place == "bare" {
            vault.type_in(place, "old");
        }
        let name = register(&client, place, in_faulty(place)).await;
        client.rotate(&name, "new").await.unwrap();
        assert_eq!(stored(&client, &name).await, "new");
    }
    fails(
        client.put_value(put).await,
        Code::Aborted,
        "VERSION_MISMATCH",
    );
    vault.type_in("s", r#"{"apiKey":"a","other":"b"}"#);
    let before = vault.count(Verb::Write);
    let refused = client.rotate(&name, "newer").await;
    let status = fails(refused, Code::FailedPrecondition, "PROPERTY_REQUIRED");
    names_both(&status);
    assert!(status.message().contains(&name), "{status:?}");
    assert_eq!(vault.count(Verb::Write), before, "nothing was stored");
}

#[tokio::test]
async fn what_cannot_be_read_any_longer_does_not_stand_in_the_way_of_a_new_value() {
    let (_server, client, vault) = shared().await;
    let name = register(&client, "off", in_faulty("s")).await;
    client.rotate(&name, "leaked").await.unwrap();
    for reason in [
        Reason::VersionDisabled,
        Reason::ValueExpired,
        Reason::ValueNotYetValid,
        Reason::SecretDeleted,
    ] {
        vault.set(Verb::Read, Fault::Fail(reason));
        client.rotate(&name, reason.as_str()).await.unwrap();
        vault.heal();
        assert_eq!(client.text(&name).await, reason.as_str());
    }
    vault.set(Verb::Read, Fault::Fail(Reason::VaultUnreachable));
    let refused = client.rotate(&name, "unknown").await;
    fails(refused, Code::Unavailable, "VAULT_UNREACHABLE");
    vault.heal();
    assert_eq!(client.text(&name).await, "SECRET_DELETED", "as it was");
}

#[tokio::test]
async fn a_key_that_comes_while_the_only_one_is_written_is_kept() {
    let (_server, client, vault) = shared().await;
    vault.type_in("s", r#"{"apiKey":"old"}"#);
    let name = register(&client, "raced", in_faulty("s")).await;
    client.rotate(&name, "first").await.unwrap();
    vault.set(Verb::Write, Fault::Hang);
    let put = v1::PutSecretValueRequest {
        request_id: request_id(),
        ..storing(&name, "mine")
    };
    let writes = vault.count(Verb::Write);
    let console = async {
        vault.entered(Verb::Write, writes + 1).await;
        vault.type_in("s", r#"{"apiKey":"first","other":"theirs"}"#);
        vault.heal();
    };
    let (put, ()) = tokio::join!(client.put_value(put), console);
    put.unwrap();
    assert_eq!(
        stored(&client, &name).await,
        r#"{"apiKey":"mine","other":"theirs"}"#
    );
}
