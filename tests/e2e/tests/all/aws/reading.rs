//! What a reader gets of secrets that others made in AWS.

use claviger_e2e::{Client, Home, Moto};
use claviger_proto::v1;
use claviger_proto::v1::secret_service_client::SecretServiceClient;
use serde_json::json;
use tonic::Request;
use tonic::transport::Endpoint;
use tonic_types::StatusExt as _;

use super::support::{Caller, assert_refused, definition, location, new_value, put, seen, start};

#[tokio::test]
async fn a_runner_reads_a_property_of_a_secret_made_in_the_console() {
    let (home, moto) = (Home::new(), Moto::start());
    let text = json!({ "apiKey": "rk_test_1", "other": "b" }).to_string();
    let created = json!({ "Name": "acme/stripe", "SecretString": text });
    let created = moto.call("CreateSecret", &created);
    let daemon = start(&home, &moto.url(), &["acme/*"]);
    let client = Client::connect(&daemon.socket()).await;
    let arn = created["ARN"].as_str().expect("text");
    for (id, secret) in [("by-name", "acme/stripe"), ("by-arn", arn)] {
        let put = put(&client, id, (secret, "apiKey"), None).await;
        put.expect("registered");
    }

    let token = client.runner_token().await.expect("a token");
    let endpoint = Endpoint::try_from(format!("http://{}", daemon.tcp())).expect("an address");
    let channel = endpoint.connect().await.expect("it listens");
    let mut runner = SecretServiceClient::new(channel);
    for id in ["by-name", "by-arn"] {
        let mut request = Request::new(v1::GetSecretRequest {
            name: format!("projects/dev/secrets/{id}"),
            ..Default::default()
        });
        let bearer = format!("Bearer {token}").parse().expect("ASCII");
        request.metadata_mut().insert("authorization", bearer);
        let answer = runner.get_secret(request).await.expect("read").into_inner();
        let value = v1::get_secret_response::Value::Text("rk_test_1".to_owned());
        assert_eq!(answer.value, Some(value), "{id}");
        assert_eq!(answer.vault, "aws-eu");
    }
}

#[tokio::test]
async fn names_that_look_alike_lead_to_secrets_of_their_own() {
    let (home, moto) = (Home::new(), Moto::start());
    let mut arns = Vec::new();
    let names = ["prod", "prod-stripe", "a.b/c.d", "/a/b", "a/b", "_+=.@!-"];
    for name in names {
        let request = json!({ "Name": name, "SecretString": format!("value of {name}") });
        let created = moto.call("CreateSecret", &request);
        arns.push(created["ARN"].as_str().expect("text").to_owned());
    }
    let daemon = start(&home, &moto.url(), &["*"]);
    let caller = Caller::of(&daemon).await;
    for (index, (name, arn)) in names.iter().zip(&arns).enumerate() {
        for (how, secret) in [("name", *name), ("arn", arn)] {
            let id = format!("projects/dev/secrets/{how}-{index}");
            let put = caller.put(definition(&id, location(secret, ""))).await;
            let warnings = put.expect("registered").warnings;
            let reasons: Vec<&str> = warnings.iter().map(|w| w.reason.as_str()).collect();
            let expected: &[&str] = match secret {
                "prod-stripe" => &["SECRET_NAME_LOOKS_LIKE_ARN_END"],
                _ => &[],
            };
            assert_eq!(reasons, expected, "{secret}");
            let read = caller.text(&id).await;
            assert_eq!(read.expect("read"), format!("value of {name}"), "{secret}");
        }
    }
}

/// Makes secrets whose values are their names, and returns their ARNs without what AWS added.
fn partial_arns(moto: &Moto, names: &[&str]) -> Vec<String> {
    let made = names.iter().map(|name| {
        let created = json!({ "Name": name, "SecretString": name });
        let created = moto.call("CreateSecret", &created);
        let arn = created["ARN"].as_str().expect("text");
        let (partial, _) = arn.rsplit_once('-').expect("six characters more");
        partial.to_owned()
    });
    made.collect()
}

#[tokio::test]
async fn partial_arn_is_refused_as_one_whatever_its_project_may_use() {
    let (home, moto) = (Home::new(), Moto::start());
    let arns = partial_arns(&moto, &["prod", "other"]);
    let daemon = start(&home, &moto.url(), &["prod"]);
    let caller = Caller::of(&daemon).await;
    for arn in arns {
        let there = location(&arn, "");
        let refused = caller.put(definition("projects/dev/secrets/partial", there));
        let status = assert_refused(refused.await, "LOCATION_INVALID");
        let details = status.get_error_details();
        let violations = details.bad_request().expect("the request is at fault");
        let violation = &violations.field_violations[0];
        assert_eq!(violation.field, "definition.location");
        assert!(
            violation.description.contains("partial ARN"),
            "{violation:?}"
        );
    }
}

#[tokio::test]
async fn partial_arn_that_looks_whole_never_fetches_the_secret_it_is_part_of() {
    let (home, moto) = (Home::new(), Moto::start());
    // As it stands, the second is the whole ARN of a `prod`, which this project may use.
    let arns = partial_arns(&moto, &["prod", "prod-stripe"]);
    let daemon = start(&home, &moto.url(), &["prod"]);
    let caller = Caller::of(&daemon).await;
    let name = "projects/dev/secrets/partial";
    let put = caller.put(definition(name, location(&arns[1], ""))).await;
    put.expect("nothing tells it from a whole one");
    assert_refused(caller.text(name).await, "SECRET_NOT_FOUND");
    let stolen = caller.put_value(v1::PutSecretValueRequest {
        adopt: true,
        ..new_value(name, "mine")
    });
    stolen.await.expect_err("it is another's");
    assert_eq!(moto.value("prod-stripe"), "prod-stripe");
}

#[tokio::test]
async fn every_label_that_aws_takes_can_be_pinned() {
    let (home, moto) = (Home::new(), Moto::start());
    let create = json!({ "Name": "acme/stripe", "SecretString": "first" });
    let created = moto.call("CreateSecret", &create);
    let first = created["VersionId"].as_str().expect("text");
    moto.console().put("acme/stripe", "second");
    let labels = [
        "AWSPREVIOUS",
        "blue",
        "release.1",
        "release 1",
        "eu/release",
        "/release",
        "a-label-as-long-as-the-id-of-a-version",
        first,
    ];
    for label in labels
        .iter()
        .filter(|label| ![first, "AWSPREVIOUS"].contains(*label))
    {
        let request = json!({
            "SecretId": "acme/stripe", "VersionStage": label, "MoveToVersionId": first,
        });
        moto.call("UpdateSecretVersionStage", &request);
    }
    let daemon = start(&home, &moto.url(), &["acme/*"]);
    let caller = Caller::of(&daemon).await;
    let mut wrong = Vec::new();
    for (index, label) in labels.into_iter().enumerate() {
        let name = format!("projects/dev/secrets/pinned-{index}");
        let pinned = v1::Location {
            version: label.to_owned(),
            ..location("acme/stripe", "")
        };
        let put = caller.put(definition(&name, pinned)).await;
        let read = caller.text(&name).await;
        if put.is_err() || read.as_deref().ok() != Some("first") {
            wrong.push((label, put.map(drop), read));
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[tokio::test]
async fn label_that_aws_does_not_take_is_refused_at_the_put() {
    let home = Home::new();
    let daemon = start(&home, "http://127.0.0.1:1", &["acme/*"]);
    let caller = Caller::of(&daemon).await;
    for label in ["x".repeat(257), "a\nb".to_owned()] {
        let pinned = v1::Location {
            version: label,
            ..location("acme/stripe", "")
        };
        let put = caller
            .put(definition("projects/dev/secrets/pinned", pinned))
            .await;
        let status = put.expect_err("no label of AWS's");
        let details = status.get_error_details();
        let violations = details.bad_request().expect("the request is at fault");
        let field = &violations.field_violations[0].field;
        assert!(field.starts_with("definition.location"), "{field}");
    }
}

#[tokio::test]
async fn property_is_a_key_as_it_is_written_or_a_pointer() {
    let (home, moto) = (Home::new(), Moto::start());
    let document = json!({
        "a.b": "dot", "a b": "blank", "a/b": "slash", "/a": "leading slash",
        "deep": { "list": ["first"] },
    });
    let create = json!({ "Name": "acme/stripe", "SecretString": document.to_string() });
    moto.call("CreateSecret", &create);
    let daemon = start(&home, &moto.url(), &["acme/*"]);
    let client = Client::connect(&daemon.socket()).await;
    for (index, (property, expected)) in [
        ("a.b", Ok("dot")),
        ("a b", Ok("blank")),
        ("a/b", Ok("slash")),
        ("/~1a", Ok("leading slash")),
        ("/deep/list/0", Ok("first")),
        ("/a", Err("PROPERTY_NOT_FOUND")),
        ("deep.list", Err("PROPERTY_NOT_FOUND")),
    ]
    .into_iter()
    .enumerate()
    {
        let id = format!("property-{index}");
        let put = put(&client, &id, ("acme/stripe", property), None).await;
        put.expect("registered");
        let read = client.read(&id, "").await.map(|(_, text)| text);
        match expected {
            Ok(text) => assert_eq!(read.expect(property), text),
            Err(reason) => drop(assert_refused(read, reason)),
        }
    }
}

#[tokio::test]
async fn value_that_does_not_fit_the_definition_says_so_and_nothing_of_itself() {
    let (home, moto) = (Home::new(), Moto::start());
    // 0xff 0xfe 0x00
    moto.call(
        "CreateSecret",
        &json!({ "Name": "acme/binary", "SecretBinary": "//4A" }),
    );
    let document = json!({ "canaryKey": "canary value", "otherCanary": "b" }).to_string();
    let create = json!({ "Name": "acme/json", "SecretString": document });
    moto.call("CreateSecret", &create);
    let daemon = start(&home, &moto.url(), &["acme/*"]);
    let caller = Caller::of(&daemon).await;
    let token = caller.token("projects/dev", &[v1::Role::Runner]).await;
    let runner = Caller::with_token(&daemon, &token).await;
    for (id, secret, property, reason) in [
        ("as-text", "acme/binary", "", "VALUE_NOT_TEXT"),
        ("no-property", "acme/json", "", "PROPERTY_REQUIRED"),
        (
            "wrong-property",
            "acme/json",
            "apiKey",
            "PROPERTY_NOT_FOUND",
        ),
    ] {
        let name = format!("projects/dev/secrets/{id}");
        let put = caller
            .put(definition(&name, location(secret, property)))
            .await;
        put.expect("registered");
        let status = assert_refused(runner.get(&name).await, reason);
        let seen = seen(&status).to_lowercase();
        assert!(!seen.contains("canary"), "{seen}");
    }
    assert!(!home.log().to_lowercase().contains("canary"));

    let name = "projects/dev/secrets/as-binary";
    let put = caller.put(v1::SecretDefinition {
        format: v1::secret_definition::Format::Binary.into(),
        ..definition(name, location("acme/binary", ""))
    });
    put.await.expect("registered");
    let read = runner.get(name).await.expect("read").value;
    let data = v1::get_secret_response::Value::Data(vec![0xff, 0xfe, 0]);
    assert_eq!(read, Some(data));
}
