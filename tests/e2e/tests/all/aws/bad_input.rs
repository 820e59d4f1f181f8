//! What cannot work is refused when it is written down, with the field and the remedy.

use std::collections::HashMap;

use claviger_e2e::{AwsReply, AwsStub, Client, Home, Moto};
use claviger_proto::v1;
use serde_json::{Value, json};
use tonic_types::StatusExt as _;
use uuid::Uuid;

use super::support::{
    Caller, VAULT, adopt, asked, assert_refused, definition, location, put, start, start_with,
    text, vault,
};

#[test]
fn checking_the_configuration_finds_what_cannot_work_in_an_aws_vault() {
    let home = Home::new();
    let file = home.path().join("clavigerd.toml");
    let config = vault(VAULT, "https://localhost", ("acme", &["acme/*"]), "");
    for (good, bad, key, remedy) in [
        ("\"acme/*\"", "\"acme*\"", "allow[0].names[0]", "whole one"),
        ("\"acme/*\"", "\"acme/\"", "allow[0].names[0]", "empty part"),
        (
            "eu-central-1",
            "eu-centrall-1",
            "settings.region",
            "eu-central-1",
        ),
        (
            "tags",
            "external_id = \"x1\"\ntags",
            "settings.external_id",
            "add role_arn",
        ),
        (
            "tags",
            "secret_access_key = \"canary\"\ntags",
            "settings.secret_access_key",
            "keys here",
        ),
        (
            "https://localhost",
            "http://example.com",
            "settings.endpoint_url",
            "loopback",
        ),
        ("kind", "alow = []\nkind", "alow", "is not a key"),
    ] {
        let bad = config.replacen(good, bad, 1);
        assert_ne!(bad, config);
        std::fs::write(&file, bad).expect("a writable home");
        let file = file.display().to_string();
        let output = home.run(&["--check-config", "--config", &file]);
        let said = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(64), "{said}");
        assert!(
            said.contains(&format!("vaults.{VAULT}.{key}: ")),
            "{key}: {said}"
        );
        assert!(said.contains(remedy), "{key}: {said}");
        assert!(!said.contains("canary"), "{said}");
    }
    std::fs::write(&file, &config).expect("a writable home");
    let output = home.run(&["--check-config", "--config", &file.display().to_string()]);
    assert_eq!(output.status.code(), Some(0), "{output:?}");
}

/// The ways to write a location down, with the field that holds it.
fn placed(name: &str, there: &v1::Location) -> [(&'static str, v1::SecretDefinition); 2] {
    let overridden = v1::SecretDefinition {
        environments: HashMap::from([("prod".to_owned(), there.clone())]),
        ..definition(name, location("acme/own", ""))
    };
    [
        ("definition.location", definition(name, there.clone())),
        ("definition.environments", overridden),
    ]
}

#[tokio::test]
async fn place_that_cannot_be_is_refused_at_the_put_naming_field_and_remedy() {
    let (home, stub) = (Home::new(), AwsStub::start(|_| AwsReply::Hang));
    let daemon = start_with(&home, &vault(VAULT, &stub.url(), ("acme", &["*"]), ""));
    let caller = Caller::of(&daemon).await;
    caller.become_operator().await;
    caller
        .put_project("projects/acme", &[("prod", VAULT)])
        .await;
    let long = "x".repeat(513);
    let arn = |name: &str| format!("arn:aws:secretsmanager:eu-west-1:123456789012:secret:{name}");
    let managed = |location: v1::Location| v1::Location {
        vault: "managed".to_owned(),
        ..location
    };
    let pinned = v1::Location {
        version: "1".to_owned(),
        ..Default::default()
    };
    let name = "projects/acme/secrets/stripe";
    for (there, remedy) in [
        (location("a b", ""), "use only 0-9"),
        (location("é", ""), "use only 0-9"),
        (location("a?b", ""), "use only 0-9"),
        (location(&long, ""), "512 characters"),
        (location(&arn("stripe"), ""), "partial ARN"),
        (location(&arn("prod/stripe"), ""), "partial ARN"),
        (
            location(&format!("{}:apiKey::", arn("stripe-AbCdEf")), ""),
            "`property`",
        ),
        (
            location("arn:aws:ssm:eu-west-1:123456789012:parameter/x", ""),
            "not the ARN of a secret",
        ),
        (managed(location("x", "")), "leave `secret` out"),
        (managed(location("", "key")), "leave `property` out"),
        (managed(pinned), "leave `version` out"),
    ] {
        for (field, definition) in placed(name, &there) {
            for validate_only in [true, false] {
                let put = caller.put_with(v1::PutSecretDefinitionRequest {
                    definition: Some(definition.clone()),
                    validate_only,
                    ..Default::default()
                });
                let status = assert_refused(put.await, "LOCATION_INVALID");
                assert!(status.message().contains(remedy), "{there:?}: {status:?}");
                let details = status.get_error_details();
                let violations = details.bad_request().expect("the request is at fault");
                assert_eq!(violations.field_violations[0].field, field, "{there:?}");
            }
        }
    }
    assert!(asked(&stub).is_empty(), "AWS was not asked");
}

#[tokio::test]
async fn value_that_aws_does_not_take_is_refused_before_anything_changes() {
    let (home, moto) = (Home::new(), Moto::start());
    let stub = AwsStub::before(&moto);
    let document = json!({ "apiKey": "a", "other": "b".repeat(100) }).to_string();
    let create = json!({ "Name": "acme/theirs", "SecretString": document });
    moto.call("CreateSecret", &create);
    let daemon = start(&home, &stub.url(), &["acme/*"]);
    let client = Client::connect(&daemon.socket()).await;
    let caller = Caller::of(&daemon).await;
    let registered = put(&client, "theirs", ("acme/theirs", "apiKey"), None).await;
    registered.expect("registered");
    let longest = "x".repeat(65_536);
    let too_long = format!("{longest}x");
    let created = caller.put_with(v1::PutSecretDefinitionRequest {
        definition: Some(definition(
            "projects/dev/secrets/new",
            location("acme/new", ""),
        )),
        payload: text(&too_long),
        ..Default::default()
    });
    let status = assert_refused(created.await, "PAYLOAD_TOO_LARGE");
    assert!(status.message().contains("65536"), "{status:?}");
    assert_refused(
        adopt(&client, "theirs", &too_long).await,
        "PAYLOAD_TOO_LARGE",
    );
    assert!(asked(&stub).is_empty());

    // Only too long together with what else is in the document.
    let status = assert_refused(
        adopt(&client, "theirs", &longest).await,
        "PAYLOAD_TOO_LARGE",
    );
    assert!(status.message().contains("65536"), "{status:?}");
    assert_eq!(moto.value("acme/theirs"), document);
    adopt(&client, "theirs", "c")
        .await
        .expect("nothing is left of it");
    let now: Value = serde_json::from_str(&moto.value("acme/theirs")).expect("JSON");
    assert_eq!(now["apiKey"], "c");

    let put = put(&client, "new", ("acme/new", ""), Some(&longest)).await;
    put.expect("just not too long");
    assert_eq!(moto.value("acme/new"), longest);
    let rotated = client.rotate("new", "short", Uuid::new_v4()).await;
    rotated.expect("rotated");
}
