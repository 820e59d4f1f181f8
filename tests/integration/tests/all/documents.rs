//! JSON documents: what a put stores is what a read returns, or the put is refused; and a check and a
//! look at the vault say what a read would.

mod random;
mod shape;

use std::sync::Arc;

use claviger_integration::{
    Client, FaultyBackend, Options, PROJECT, Server, Verb, data_payload, reason, text_payload,
    violation,
};
use claviger_proto::v1;
use claviger_proto::v1::get_secret_response::Value;
use claviger_proto::v1::secret_definition::{Format, Kind};
use serde_json::json;
use tonic::{Code, Status};

use crate::support::{check, defining, fails, in_faulty, located, reasons, secret, storing};

/// Both remedies.
const NAME_IT: &str = "location.property";
const TAKE_ALL: &str = "location.whole";

/// The key that definitions of a property name.
const KEY: &str = "apiKey";

const MARK: char = '\u{feff}';

/// A server with the vault `faulty`, which has properties.
async fn shared() -> (Server, Client, Arc<FaultyBackend>) {
    let vault = FaultyBackend::shared();
    let (server, client) = Server::prepared(Options::with_faulty(&vault)).await;
    (server, client, vault)
}

fn whole(secret: &str) -> v1::Location {
    v1::Location {
        whole: true,
        ..in_faulty(secret)
    }
}

fn property(secret: &str, property: &str) -> v1::Location {
    v1::Location {
        property: property.to_owned(),
        ..in_faulty(secret)
    }
}

fn of(
    mut put: v1::PutSecretDefinitionRequest,
    kind: Kind,
    format: Format,
) -> v1::PutSecretDefinitionRequest {
    let definition = put.definition.as_mut().unwrap();
    definition.kind = kind.into();
    definition.format = format.into();
    put
}

/// Registers a text definition.
async fn register(client: &Client, id: &str, location: v1::Location) -> String {
    let name = secret(id);
    let put = client.put_definition(located(&name, location)).await;
    put.unwrap();
    name
}

/// The first verdict of a check that is not well.
async fn red(client: &Client, name: &str) -> Option<(String, String)> {
    let checked = check(client, name).await;
    let verdicts = [checked.existence, checked.format, checked.kind];
    let red = verdicts.into_iter().flatten().find(|verdict| !verdict.ok);
    red.map(|verdict| (verdict.reason, verdict.message))
}

async fn inspect(client: &Client, location: v1::Location) -> v1::InspectVaultSecretResponse {
    let request = v1::InspectVaultSecretRequest {
        name: "vaults/faulty".to_owned(),
        project: PROJECT.to_owned(),
        secret: location.secret,
        property: location.property,
        whole: location.whole,
        ..Default::default()
    };
    let found = client.vaults().inspect_vault_secret(request).await;
    found.unwrap().into_inner()
}

fn bytes_of(value: Option<Value>) -> Vec<u8> {
    match value.expect("a value") {
        Value::Text(text) => text.into_bytes(),
        Value::Data(data) => data,
    }
}

/// That a refusal names both remedies.
#[track_caller]
fn names_both(status: &Status) {
    let message = status.message();
    assert!(message.contains(NAME_IT), "{message}");
    assert!(message.contains(TAKE_ALL), "{message}");
}

#[tokio::test]
async fn a_document_is_stored_by_its_key_or_as_a_whole_and_else_refused_with_both_remedies() {
    let (_server, client, vault) = shared().await;
    for (index, document) in [
        json!({ "a": "1", "b": "2" }).to_string(),
        json!({ "apiKey": "1" }).to_string(),
        "{}".to_owned(),
        " \t\r\n{ \"a\" : 1 }\n".to_owned(),
        r#"{"a":1,"a":2}"#.to_owned(),
        format!(r#"{{"a":{}{}}}"#, "[".repeat(20_000), "]".repeat(20_000)),
    ]
    .into_iter()
    .enumerate()
    {
        let place = format!("s{index}");
        let name = register(&client, &format!("none{index}"), in_faulty(&place)).await;
        let refused = client.rotate(&name, &document).await;
        let status = fails(refused, Code::FailedPrecondition, "PROPERTY_REQUIRED");
        names_both(&status);
        assert_eq!(violation(&status).unwrap().0, "payload.text");
        let first = v1::PutSecretDefinitionRequest {
            payload: Some(text_payload(&document)),
            ..located(&secret(&format!("first{index}")), in_faulty(&place))
        };
        for validate_only in [true, false] {
            let put = v1::PutSecretDefinitionRequest {
                validate_only,
                ..first.clone()
            };
            let refused = client.put_definition(put).await;
            names_both(&fails(
                refused,
                Code::FailedPrecondition,
                "PROPERTY_REQUIRED",
            ));
        }
        assert_eq!(vault.count(Verb::Write), 2 * index, "nothing was stored");

        for (id, location) in [
            ("whole", whole(&place)),
            ("key", property(&format!("k{index}"), KEY)),
        ] {
            let name = register(&client, &format!("{id}{index}"), location).await;
            client.rotate(&name, &document).await.unwrap();
            assert_eq!(client.text(&name).await, document);
            assert_eq!(red(&client, &name).await, None);
        }
    }
}

#[tokio::test]
async fn whole_changes_nothing_where_a_value_has_no_parts() {
    let (_server, client, vault) = shared().await;
    let document = json!({ "a": "1", "b": "2" }).to_string();
    for whole in [false, true] {
        let location = v1::Location {
            whole,
            ..Default::default()
        };
        let name = register(&client, &format!("managed-{whole}"), location).await;
        client.rotate(&name, &document).await.unwrap();
        assert_eq!(client.text(&name).await, document);

        let location = v1::Location {
            whole,
            ..in_faulty(&format!("binary-{whole}"))
        };
        let name = secret(&format!("binary-{whole}"));
        let put = of(located(&name, location), Kind::Opaque, Format::Binary);
        client.put_definition(put).await.unwrap();
        vault.type_in(&format!("binary-{whole}"), r#"{"only":"one key"}"#);
        let read = client.get(&name).await.unwrap().value;
        assert_eq!(bytes_of(read), br#"{"only":"one key"}"#);
        let put = v1::PutSecretValueRequest {
            payload: Some(data_payload(document.as_bytes())),
            ..storing(&name, "")
        };
        client.put_value(put).await.unwrap();
        let read = client.get(&name).await.unwrap().value;
        assert_eq!(bytes_of(read), document.as_bytes());
    }
}

#[tokio::test]
async fn whole_and_a_property_do_not_go_together_anywhere() {
    let (_server, client, _vault) = shared().await;
    let both = v1::Location {
        whole: true,
        ..property("s", KEY)
    };
    let mut in_environments = defining(&secret("both"));
    let definition = in_environments.definition.as_mut().unwrap();
    definition.environments = [("prod".to_owned(), both.clone())].into();
    let name = "projects/shop/secrets/both";
    client.project("projects/shop", &["prod"]).await;
    definition.name = name.to_owned();
    for (put, field) in [
        (
            located(&secret("both"), both.clone()),
            "definition.location",
        ),
        (in_environments, "definition.environments"),
    ] {
        let refused = client.put_definition(put).await;
        let status = fails(refused, Code::InvalidArgument, "FIELD_INVALID");
        let (found, remedy) = violation(&status).unwrap();
        assert_eq!(found, field);
        assert!(remedy.contains("leave one of them out"), "{remedy}");
    }
    let request = v1::InspectVaultSecretRequest {
        name: "vaults/faulty".to_owned(),
        project: PROJECT.to_owned(),
        secret: "s".to_owned(),
        property: KEY.to_owned(),
        whole: true,
        ..Default::default()
    };
    let refused = client.vaults().inspect_vault_secret(request).await;
    let status = fails(refused, Code::InvalidArgument, "FIELD_INVALID");
    assert_eq!(violation(&status).unwrap().0, "secret");
}

#[tokio::test]
async fn whole_is_kept_told_and_changed_as_a_place_is() {
    let (_server, client, vault) = shared().await;
    let document = r#"{ "a": 1 , "b": 2 }"#;
    vault.type_in("s", document);
    let name = register(&client, "kept", whole("s")).await;
    assert_eq!(client.text(&name).await, document);
    assert!(check(&client, &name).await.route.unwrap().whole);
    let kept = client.definition(&name).await.unwrap();
    assert!(kept.location.as_ref().unwrap().whole);
    // The same again is no change; without it, it is another definition.
    client
        .put_definition(located(&name, whole("s")))
        .await
        .unwrap();
    let refused = client.put_definition(located(&name, in_faulty("s"))).await;
    fails(refused, Code::AlreadyExists, "DEFINITION_EXISTS");
    let mut without = located(&name, in_faulty("s"));
    without.definition.as_mut().unwrap().etag = kept.etag.clone();
    let changed = client.put_definition(without).await.unwrap();
    assert_ne!(changed.definition.unwrap().etag, kept.etag);
    names_both(&fails(
        client.get(&name).await,
        Code::FailedPrecondition,
        "PROPERTY_REQUIRED",
    ));
}

#[tokio::test]
async fn a_first_value_goes_to_one_part_of_one_place_or_nowhere() {
    let (_server, client, vault) = shared().await;
    client.project("projects/shop", &["dev", "prod"]).await;
    let mut put = defining("projects/shop/secrets/shared");
    put.payload = Some(text_payload("v"));
    for (other, is_taken) in [
        (property("s", "other"), false),
        (whole("s"), false),
        (in_faulty("s"), false),
        (property("s", KEY), true),
    ] {
        let environments = [("dev", property("s", KEY)), ("prod", other)];
        let definition = put.definition.as_mut().unwrap();
        definition.environments = environments
            .map(|(id, location)| (id.to_owned(), location))
            .into();
        let answer = client.put_definition(put.clone()).await;
        assert_eq!(answer.is_ok(), is_taken);
        if let Err(status) = answer {
            assert_eq!(reason(&status), "PAYLOAD_NOT_ALLOWED");
        }
        assert_eq!(vault.count(Verb::Write), usize::from(is_taken));
    }
}

/// One thing that may be in a vault, at `s`, and the reason that it is not read for; none if it is.
#[rustfmt::skip]
fn found() -> Vec<(&'static str, v1::Location, Result<&'static str, &'static str>)> {
    let half = r#"{"apiKey":"half \ud83d of it"}"#;
    let values = r#"{"word":"null","zero":0,"no":false,"nothing":null,"empty":"","list":[ 1, null ],"deep":{"nothing":null,"half":"\udc00"}}"#;
    let part = |key| property("s", key);
    vec![
        (r#"{"a":"1","b":"2"}"#, in_faulty("s"), Err("PROPERTY_REQUIRED")),
        (r#"{"a":"1","b":"2"}"#, whole("s"), Ok(r#"{"a":"1","b":"2"}"#)),
        (r#"{"apiKey": "only"}"#, in_faulty("s"), Ok("only")),
        (r#"{"apiKey": "only"}"#, whole("s"), Ok(r#"{"apiKey": "only"}"#)),
        ("{}", in_faulty("s"), Err("PROPERTY_REQUIRED")),
        ("{}", whole("s"), Ok("{}")),
        ("[1]", in_faulty("s"), Ok("[1]")),
        (r#"{"apiKey":null}"#, in_faulty("s"), Err("VALUE_EMPTY")),
        (r#"{"apiKey":null}"#, part(KEY), Err("VALUE_EMPTY")),
        (r#"{"apiKey":null}"#, whole("s"), Ok(r#"{"apiKey":null}"#)),
        (r#"{"apiKey":""}"#, in_faulty("s"), Err("VALUE_EMPTY")),
        (r#"{"apiKey":""}"#, part(KEY), Err("VALUE_EMPTY")),
        ("", in_faulty("s"), Err("VALUE_EMPTY")),
        ("", whole("s"), Err("VALUE_EMPTY")),
        (half, in_faulty("s"), Err("VALUE_NOT_TEXT")),
        (half, part(KEY), Err("VALUE_NOT_TEXT")),
        (half, part("/apiKey"), Err("VALUE_NOT_TEXT")),
        (half, whole("s"), Ok(half)),
        (values, part("word"), Ok("null")),
        (values, part("zero"), Ok("0")),
        (values, part("no"), Ok("false")),
        (values, part("list"), Ok("[ 1, null ]")),
        (values, part("deep"), Ok(r#"{"nothing":null,"half":"\udc00"}"#)),
        (values, part("nothing"), Err("VALUE_EMPTY")),
        (values, part("/nothing"), Err("VALUE_EMPTY")),
        (values, part("/empty"), Err("VALUE_EMPTY")),
        (values, part("/list/1"), Err("VALUE_EMPTY")),
        (values, part("/deep/nothing"), Err("VALUE_EMPTY")),
        (values, part("/deep/half"), Err("VALUE_NOT_TEXT")),
        ("\u{feff}{\"apiKey\":\"1\"}", part(KEY), Err("VALUE_NOT_JSON")),
        ("\u{feff}{\"apiKey\":\"1\"}", in_faulty("s"), Ok("\u{feff}{\"apiKey\":\"1\"}")),
    ]
}

#[tokio::test]
async fn check_and_inspection_say_of_a_value_what_a_read_does() {
    let (_server, client, vault) = shared().await;
    for (index, (value, location, expected)) in found().into_iter().enumerate() {
        vault.type_in("s", value);
        let case = format!("{index}: {value} at {location:?}");
        let name = register(&client, &format!("found-{index}"), location.clone()).await;
        let red = red(&client, &name).await;
        let format = inspect(&client, location).await.format.unwrap();
        match expected {
            Ok(text) => {
                assert_eq!(client.text(&name).await, text, "{case}");
                assert_eq!((red, format.ok), (None, true), "{case}");
            }
            Err(expected) => {
                let status = client.get(&name).await.expect_err(&case);
                assert_eq!(reason(&status), expected, "{case}");
                assert_eq!(status.code(), Code::FailedPrecondition, "{case}");
                let told = (expected.to_owned(), status.message().to_owned());
                assert_eq!(red, Some(told), "{case}");
                let message = status.message().replace(&name, "s");
                let told = (format.ok, format.reason.as_str(), format.message);
                assert_eq!(told, (false, expected, message), "{case}");
                if expected == "PROPERTY_REQUIRED" {
                    names_both(&status);
                }
                if value.starts_with(MARK) {
                    assert!(status.message().contains("byte-order mark"), "{status:?}");
                }
            }
        }
    }
}

#[tokio::test]
async fn nothing_is_no_value_of_any_kind() {
    let (_server, client, vault) = shared().await;
    for (kind, format) in [
        (Kind::Opaque, Format::Text),
        (Kind::Opaque, Format::Binary),
        (Kind::Password, Format::Text),
        (Kind::StripeApiKey, Format::Text),
        (Kind::StripeWebhookSecret, Format::Text),
    ] {
        let id = format!("{kind:?}-{format:?}");
        vault.type_in(&id, "");
        let name = secret(&id);
        let put = v1::PutSecretDefinitionRequest {
            skip_value_check: true,
            ..of(located(&name, in_faulty(&id)), kind, format)
        };
        client.put_definition(put).await.unwrap();
        let status = client.get(&name).await;
        let status = fails(status, Code::FailedPrecondition, "VALUE_EMPTY");
        assert!(status.message().contains("PutSecretValue"), "{status:?}");
        let told = ("VALUE_EMPTY".to_owned(), status.message().to_owned());
        assert_eq!(red(&client, &name).await, Some(told), "{id}");
    }
}

#[tokio::test]
async fn what_a_put_warns_about_is_warned_about_when_it_was_typed_into_a_console() {
    let (_server, client, vault) = shared().await;
    let (mark, space) = ("VALUE_HAS_BYTE_ORDER_MARK", "VALUE_HAS_SURROUNDING_SPACE");
    for (index, (kind, value, expected)) in [
        (Kind::Password, "hunter2\n", vec![space]),
        (Kind::Password, " hunter2", vec![space]),
        (Kind::Password, "hunter 2", vec![]),
        (Kind::Password, "\u{feff}hunter2\r\n", vec![mark, space]),
        (Kind::Opaque, "hunter2\n", vec![]),
        (Kind::Opaque, "\u{feff}{\"a\":\"1\"}", vec![mark]),
        (
            Kind::StripeApiKey,
            "sk_test_0123456789abcdefghijWXYZ",
            vec!["FULL_SECRET_KEY"],
        ),
    ]
    .into_iter()
    .enumerate()
    {
        for (part, location) in [
            ("none", in_faulty("")),
            ("whole", whole("")),
            ("key", property("", KEY)),
        ] {
            let id = format!("{part}{index}");
            let location = v1::Location {
                secret: id.clone(),
                ..location
            };
            let name = secret(&id);
            let put = of(located(&name, location.clone()), kind, Format::Text);
            client.put_definition(put).await.unwrap();
            let put = client.rotate(&name, value).await.unwrap();
            assert_eq!(reasons(put.warnings), expected, "{id}: {value:?}");
            let typed = match part {
                "key" => json!({ KEY: value, "other": "o" }).to_string(),
                _ => value.to_owned(),
            };
            vault.type_in(&id, &typed);
            assert_eq!(client.text(&name).await, value, "{id}");
            let checked = check(&client, &name).await;
            assert_eq!(reasons(checked.warnings), expected, "{id}: {value:?}");
            let request = v1::InspectVaultSecretRequest {
                name: "vaults/faulty".to_owned(),
                project: PROJECT.to_owned(),
                secret: id.clone(),
                property: location.property,
                whole: location.whole,
                kind: kind.into(),
                ..Default::default()
            };
            let found = client.vaults().inspect_vault_secret(request).await;
            let found = reasons(found.unwrap().into_inner().warnings);
            assert_eq!(found, expected, "{id}: {value:?}");
        }
    }
}

#[tokio::test]
async fn a_check_warns_of_environments_that_share_a_value_as_a_put_does() {
    let (_server, client, _vault) = shared().await;
    client.project("projects/shop", &["dev", "prod"]).await;
    let name = "projects/shop/secrets/shared";
    let put = client.put_definition(defining(name)).await.unwrap();
    assert_eq!(reasons(put.warnings), ["ENVIRONMENTS_SHARE_VALUE"]);
    let request = v1::CheckSecretDefinitionRequest {
        name: name.to_owned(),
        environment: "dev".to_owned(),
        ..Default::default()
    };
    let checked = client.definitions().check_secret_definition(request).await;
    let warnings = checked.unwrap().into_inner().warnings;
    assert_eq!(reasons(warnings), ["ENVIRONMENTS_SHARE_VALUE"]);
}
