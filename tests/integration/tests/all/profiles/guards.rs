//! Definitions of tokens that roll: made by their profile, read by nobody.

use claviger_integration::{Options, Server, text_payload, violation};
use claviger_proto::v1;
use claviger_proto::v1::secret_definition::Kind;
use tonic::Code;

use super::{BODY, app, connecting, definition_of, profile_name, put};
use crate::support::{checking, defining, fails, secret, storing};

async fn prepared() -> (Server, claviger_integration::Client, String) {
    let backend = std::sync::Arc::new(claviger_integration::FaultyBackend::default());
    let (server, client) = Server::prepared(Options::with_faulty(&backend)).await;
    let made = put(&client, connecting(&profile_name("stripe"), app())).await;
    let definition = definition_of(&made.unwrap().profile.unwrap());
    (server, client, definition)
}

#[tokio::test]
async fn nobody_reads_a_value_or_a_version_of_it() {
    let (_server, client, name) = prepared().await;
    let status = fails(
        client.get(&name).await,
        Code::FailedPrecondition,
        "VALUE_NOT_READABLE",
    );
    assert!(status.message().contains("ResolveConnection"), "{status:?}");
    let version = v1::GetSecretRequest {
        name: name.clone(),
        version: "1".to_owned(),
        ..Default::default()
    };
    let status = client.get_secret(version).await;
    fails(status, Code::FailedPrecondition, "VALUE_NOT_READABLE");
    let batch = v1::BatchGetSecretsRequest {
        names: vec![name.clone()],
        ..Default::default()
    };
    let batch = client.secrets().batch_get_secrets(batch).await;
    let text = format!("{batch:?}");
    assert!(
        text.contains("VALUE_NOT_READABLE") && !text.contains(BODY),
        "{text}"
    );
    let listed = v1::ListSecretVersionsRequest {
        parent: name.clone(),
        ..Default::default()
    };
    let listed = client.secrets().list_secret_versions(listed).await;
    fails(listed, Code::FailedPrecondition, "VALUE_NOT_READABLE");
    let version = format!("{name}/versions/1");
    let mut secrets = client.secrets();
    let (name, environment) = (version.clone(), String::new());
    let enabled = secrets
        .enable_secret_version(v1::EnableSecretVersionRequest { name, environment })
        .await;
    fails(enabled, Code::FailedPrecondition, "VALUE_NOT_READABLE");
    let (name, environment) = (version.clone(), String::new());
    let disabled = secrets
        .disable_secret_version(v1::DisableSecretVersionRequest { name, environment })
        .await;
    fails(disabled, Code::FailedPrecondition, "VALUE_NOT_READABLE");
    let (name, environment) = (version, String::new());
    let destroyed = secrets
        .destroy_secret_version(v1::DestroySecretVersionRequest { name, environment })
        .await;
    fails(destroyed, Code::FailedPrecondition, "VALUE_NOT_READABLE");
}

#[tokio::test]
async fn only_its_profile_puts_credentials() {
    let (_server, client, name) = prepared().await;
    let status = fails(
        client.put_value(storing(&name, "rt_x")).await,
        Code::InvalidArgument,
        "PAYLOAD_NOT_ALLOWED",
    );
    assert!(
        violation(&status)
            .unwrap()
            .1
            .contains("PutConnectionProfile"),
        "{status:?}"
    );
    let mut again = defining(&name);
    again.payload = Some(text_payload("rt_x"));
    let status = client.put_definition(again).await;
    let status = fails(status, Code::InvalidArgument, "PAYLOAD_NOT_ALLOWED");
    assert!(
        violation(&status)
            .unwrap()
            .1
            .contains("PutConnectionProfile"),
        "{status:?}"
    );
}

#[tokio::test]
async fn only_a_profile_makes_one() {
    let (_server, client, made) = prepared().await;
    let new = || {
        let mut request = defining(&secret("oauth"));
        request.definition.as_mut().unwrap().kind = Kind::StripeOauth.into();
        request
    };
    let status = client.put_definition(new()).await;
    let status = fails(status, Code::InvalidArgument, "FIELD_INVALID");
    let (field, said) = violation(&status).unwrap();
    assert_eq!(field, "definition.kind");
    assert!(said.contains("PutConnectionProfile"), "{said}");
    let mut with_value = new();
    with_value.payload = Some(text_payload("rt_x"));
    let status = client.put_definition(with_value).await;
    fails(status, Code::InvalidArgument, "PAYLOAD_NOT_ALLOWED");
    let mut elsewhere = new();
    let location = crate::support::in_faulty("acme/oauth");
    elsewhere.definition.as_mut().unwrap().location = Some(location);
    let status = client.put_definition(elsewhere).await;
    fails(status, Code::InvalidArgument, "LOCATION_INVALID");

    // Nor does another one become one, or this one another.
    client
        .put_definition(defining(&secret("plain")))
        .await
        .unwrap();
    for (name, kind) in [(secret("plain"), Kind::StripeOauth), (made, Kind::Opaque)] {
        let mut changed = defining(&name);
        changed.definition.as_mut().unwrap().kind = kind.into();
        changed.update_mask = Some(prost_types::FieldMask {
            paths: vec!["kind".to_owned()],
        });
        let status = client.put_definition(changed).await;
        let status = fails(status, Code::InvalidArgument, "FIELD_INVALID");
        assert_eq!(violation(&status).unwrap().0, "definition.kind");
    }
}

#[tokio::test]
async fn people_describe_one_and_do_not_lead_it_elsewhere() {
    let (_server, client, name) = prepared().await;
    let changed = |path: &str| {
        let mut request = defining(&name);
        let definition = request.definition.as_mut().unwrap();
        definition.description = "mine".to_owned();
        definition.labels = [("team".to_owned(), "data".to_owned())].into();
        definition.location = Some(crate::support::in_faulty("acme/oauth"));
        definition.stripe = Some(v1::StripeSettings {
            account: "acct_1".to_owned(),
            ..Default::default()
        });
        definition.format = v1::secret_definition::Format::Binary.into();
        request.update_mask = Some(prost_types::FieldMask {
            paths: vec![path.to_owned()],
        });
        request
    };
    for path in ["description", "labels"] {
        client.put_definition(changed(path)).await.unwrap();
    }
    for path in ["location", "stripe", "format", "environment_fallback"] {
        let status = client.put_definition(changed(path)).await;
        let status = fails(status, Code::InvalidArgument, "FIELD_INVALID");
        let said = violation(&status).unwrap().1;
        assert!(said.contains("PutConnectionProfile"), "{path}: {said}");
    }
}

#[tokio::test]
async fn a_check_shows_how_the_connection_is() {
    let (_server, client, name) = prepared().await;
    let request = v1::CheckSecretDefinitionRequest {
        live: true,
        refresh: true,
        ..checking(&name)
    };
    let checked = client.definitions().check_secret_definition(request).await;
    let checked = checked.unwrap().into_inner();
    assert!(checked.existence.unwrap().ok);
    assert_eq!(
        (
            checked.version.as_str(),
            checked.route.unwrap().vault.as_str()
        ),
        ("1", "managed")
    );
    let outcome = checked.live.unwrap().outcome();
    assert_eq!(outcome, v1::stripe_live_verdict::Outcome::NotAsked);
}
