//! A value that is there already is judged when a definition is put at it, changed or checked; and a
//! key that was pasted into any other field goes nowhere.

use std::sync::Arc;

use claviger_core::Reason;
use claviger_integration::{
    Client, Fault, FaultyBackend, Options, Server, Verb, text_payload, violation,
};
use claviger_proto::v1;
use claviger_proto::v1::secret_definition::Kind;
use claviger_proto::v1::stripe_settings::Class;
use prost_types::FieldMask;
use tonic::Code;

use crate::support::{check, defining, fails, in_faulty, located, reasons, secret};

/// The rest after a prefix; long enough for a key.
const BODY: &str = "0123456789abcdefghijWXYZ";

async fn prepared() -> (Server, Client, Arc<FaultyBackend>) {
    let backend = FaultyBackend::shared();
    let (server, client) = Server::prepared(Options::with_faulty(&backend)).await;
    (server, client, backend)
}

fn at(id: &str, place: &str) -> v1::PutSecretDefinitionRequest {
    let mut put = located(&secret(id), in_faulty(place));
    put.definition.as_mut().unwrap().kind = Kind::StripeApiKey.into();
    put
}

fn masked(put: v1::PutSecretDefinitionRequest, path: &str) -> v1::PutSecretDefinitionRequest {
    let paths = vec![path.to_owned()];
    v1::PutSecretDefinitionRequest {
        update_mask: Some(FieldMask { paths }),
        ..put
    }
}

#[tokio::test]
async fn a_definition_that_is_moved_is_judged_by_what_is_there() {
    let (_server, client, backend) = prepared().await;
    backend.type_in("good", &format!("rk_test_{BODY}"));
    backend.type_in("published", &format!("pk_test_{BODY}"));
    let put = client.put_definition(at("moved", "good")).await.unwrap();
    assert_eq!(reasons(put.warnings), [""; 0]);

    let moved = masked(at("moved", "published"), "location");
    let refused = client.put_definition(moved.clone()).await;
    let status = fails(refused, Code::InvalidArgument, "VALUE_WRONG_KIND");
    let (field, remedy) = violation(&status).unwrap();
    assert_eq!(field, "definition.location");
    assert!(remedy.contains("Create restricted key"), "{remedy}");
    assert!(!format!("{status:?}").contains("01234567"), "{status:?}");
    let kept = client.definition(&secret("moved")).await.unwrap();
    assert_eq!(kept.location.unwrap().secret, "good");

    let unjudged = v1::PutSecretDefinitionRequest {
        skip_value_check: true,
        ..moved
    };
    client.put_definition(unjudged).await.unwrap();
}

#[tokio::test]
async fn a_managed_value_is_judged_by_the_settings_that_are_to_hold() {
    let (_server, client, _backend) = prepared().await;
    let mut put = defining(&secret("full"));
    put.definition.as_mut().unwrap().kind = Kind::StripeApiKey.into();
    let mut narrowed = masked(put.clone(), "stripe");
    put.payload = Some(text_payload(&format!("sk_test_{BODY}")));
    client.put_definition(put).await.unwrap();

    let settings = v1::StripeSettings {
        allowed_classes: vec![Class::Restricted.into()],
        ..Default::default()
    };
    narrowed.definition.as_mut().unwrap().stripe = Some(settings);
    let refused = client.put_definition(narrowed).await;
    fails(refused, Code::FailedPrecondition, "VALUE_CLASS_NOT_ALLOWED");
    assert!(client.get(&secret("full")).await.is_ok(), "as it was");
}

#[tokio::test]
async fn a_placeholder_and_an_unlisted_class_are_refused_wherever_they_are_met() {
    let (_server, client, backend) = prepared().await;
    let settings = v1::StripeSettings {
        allowed_classes: vec![Class::Restricted.into()],
        ..Default::default()
    };
    let unlisted = format!("xk_live_{BODY}");
    for (id, value, reason, at_read, at_put) in [
        (
            "example",
            concat!("sk_", "test_", "YOUR_SECRET_KEY"),
            "VALUE_MALFORMED",
            Code::FailedPrecondition,
            Code::InvalidArgument,
        ),
        (
            "bare",
            concat!("sk_", "live_"),
            "VALUE_MALFORMED",
            Code::FailedPrecondition,
            Code::InvalidArgument,
        ),
        (
            "unlisted",
            &unlisted,
            "VALUE_CLASS_NOT_ALLOWED",
            Code::FailedPrecondition,
            Code::FailedPrecondition,
        ),
    ] {
        let good = format!("rk_test_{BODY}");
        backend.type_in(id, &good);
        let mut put = at(id, id);
        put.definition.as_mut().unwrap().stripe = Some(settings.clone());
        client.put_definition(put).await.unwrap();
        let rotating = v1::PutSecretValueRequest {
            name: secret(id),
            payload: Some(text_payload(value)),
            adopt: true,
            ..Default::default()
        };
        fails(client.put_value(rotating).await, at_put, reason);
        assert_eq!(client.text(&secret(id)).await, good);

        backend.type_in(id, value);
        fails(client.get(&secret(id)).await, at_read, reason);
        let checked = check(&client, &secret(id)).await;
        let kind = checked.kind.unwrap();
        assert!(!kind.ok, "{id}");
        assert_eq!(kind.reason, reason, "{id}");
    }
}

#[tokio::test]
async fn what_cannot_be_read_now_is_warned_about() {
    let (_server, client, backend) = prepared().await;
    backend.type_in("stripe", &format!("pk_test_{BODY}"));
    backend.set(Verb::Read, Fault::Fail(Reason::VaultUnreachable));
    let put = client.put_definition(at("down", "stripe")).await.unwrap();
    assert_eq!(reasons(put.warnings), ["VALUE_NOT_CHECKED"]);
}

#[tokio::test]
async fn putting_again_what_is_there_says_what_became_of_its_value() {
    let (_server, client, backend) = prepared().await;
    backend.type_in("stripe", &format!("rk_test_{BODY}"));
    client.put_definition(at("again", "stripe")).await.unwrap();
    backend.type_in("stripe", &format!("pk_test_{BODY}"));
    let put = client.put_definition(at("again", "stripe")).await.unwrap();
    assert_eq!(reasons(put.warnings), ["VALUE_WRONG_KIND"]);
}

#[tokio::test]
async fn a_check_shows_what_deserves_a_look() {
    let (_server, client, backend) = prepared().await;
    for (value, reason) in [
        (format!("sk_test_{BODY}"), "FULL_SECRET_KEY"),
        (format!("xk_test_{BODY}"), "UNKNOWN_PREFIX"),
    ] {
        backend.type_in("stripe", &value);
        client.put_definition(at("looked", "stripe")).await.unwrap();
        let checked = check(&client, &secret("looked")).await;
        assert!(checked.kind.unwrap().ok, "{reason}");
        assert_eq!(reasons(checked.warnings), [reason]);
    }
    let read = client.get(&secret("looked")).await.unwrap();
    assert_eq!(read.kind(), Kind::StripeApiKey);
}

#[tokio::test]
async fn a_key_in_a_field_that_is_no_payload_is_refused_and_not_repeated() {
    let (_server, client, _backend) = prepared().await;
    let key = format!("rk_test_{BODY}");
    let put = |change: fn(&mut v1::SecretDefinition, String)| {
        let mut put = at("pasted", "stripe");
        change(put.definition.as_mut().unwrap(), key.clone());
        put
    };
    for (put, field, reason) in [
        (
            put(|it, key| it.description = key),
            "definition.description",
            "FIELD_INVALID",
        ),
        (
            put(|it, key| it.labels = [("key".to_owned(), key)].into()),
            "definition.labels",
            "FIELD_INVALID",
        ),
        (
            put(|it, key| it.labels = [(key, String::new())].into()),
            "definition.labels",
            "NAME_INVALID",
        ),
        (
            put(|it, key| it.location.as_mut().unwrap().secret = key),
            "definition.location",
            "FIELD_INVALID",
        ),
        (
            put(|it, key| it.location.as_mut().unwrap().property = key),
            "definition.location",
            "FIELD_INVALID",
        ),
        (
            put(|it, key| {
                it.stripe = Some(v1::StripeSettings {
                    context: key,
                    ..Default::default()
                });
            }),
            "definition.stripe.context",
            "FIELD_INVALID",
        ),
    ] {
        let refused = client.put_definition(put).await;
        let status = fails(refused, Code::InvalidArgument, reason);
        assert_eq!(violation(&status).unwrap().0, field);
        assert!(!format!("{status:?}").contains("01234567"), "{status:?}");
    }
    let inspect = v1::InspectVaultSecretRequest {
        name: "vaults/faulty".to_owned(),
        project: claviger_integration::PROJECT.to_owned(),
        secret: key,
        ..Default::default()
    };
    let refused = client.vaults().inspect_vault_secret(inspect).await;
    let status = fails(refused, Code::InvalidArgument, "FIELD_INVALID");
    assert!(!format!("{status:?}").contains("01234567"), "{status:?}");
}
