//! A secret that has no definition yet is judged, and its value not shown.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use claviger_backend::{Allow, Limits};
use claviger_core::{Clock as _, Reason};
use claviger_integration::{
    Client, Fault, FaultyBackend, FaultyVault, Options, PROJECT, Server, TYPED_TIME, Verb,
};
use claviger_proto::v1;
use claviger_proto::v1::secret_definition::Kind;
use tonic::{Code, Status};

use crate::support::{fails, in_faulty, located, secret};

/// The rest after a prefix; long enough for a key.
const BODY: &str = "0123456789abcdefghijWXYZ";

async fn prepared(project: &str, names: &str) -> (Server, Client, Arc<FaultyBackend>) {
    let backend = FaultyBackend::shared();
    let rule = Allow::parse_rule(project, &[names.to_owned()]).unwrap();
    let vault = FaultyVault {
        id: "faulty",
        backend: Arc::clone(&backend),
        limits: Limits::timeout(Duration::from_secs(600)),
        allow: Allow::new(vec![rule]),
    };
    let options = Options {
        vaults: vec![vault],
        ..Options::default()
    };
    let (server, client) = Server::prepared(options).await;
    (server, client, backend)
}

fn looking_at(secret: &str) -> v1::InspectVaultSecretRequest {
    v1::InspectVaultSecretRequest {
        name: "vaults/faulty".to_owned(),
        project: PROJECT.to_owned(),
        secret: secret.to_owned(),
        ..Default::default()
    }
}

async fn inspect(
    client: &Client,
    request: v1::InspectVaultSecretRequest,
) -> Result<v1::InspectVaultSecretResponse, Status> {
    let answer = client.vaults().inspect_vault_secret(request).await;
    answer.map(tonic::Response::into_inner)
}

#[tokio::test]
async fn a_key_is_judged_as_a_definition_would_judge_it() {
    let (server, client, backend) = prepared("acme", "acme/*").await;
    for (value, judged_as, reason, class) in [
        (
            format!("rk_test_{BODY}"),
            Kind::StripeApiKey,
            "",
            "RESTRICTED",
        ),
        (
            format!("pk_test_{BODY}"),
            Kind::StripeApiKey,
            "VALUE_WRONG_KIND",
            "PUBLISHABLE",
        ),
        (
            format!("whsec_{BODY}"),
            Kind::StripeWebhookSecret,
            "",
            "WEBHOOK_SECRET",
        ),
        (
            format!("rk_test_{BODY}\n"),
            Kind::StripeApiKey,
            "VALUE_MALFORMED",
            "RESTRICTED",
        ),
        (
            "rk_test_your_key".to_owned(),
            Kind::StripeApiKey,
            "VALUE_MALFORMED",
            "RESTRICTED",
        ),
    ] {
        backend.type_in("acme/stripe", &value);
        let found = inspect(&client, looking_at("acme/stripe")).await.unwrap();
        let kind = found.kind.clone().unwrap();
        assert_eq!(
            (found.judged_as(), kind.ok),
            (judged_as, reason.is_empty()),
            "{found:?}"
        );
        assert_eq!(kind.reason, reason);
        assert_eq!(found.stripe.clone().unwrap().class, class);
        assert_eq!(found.version, "typed");
        let since_typed = server.clock.now().duration_since(TYPED_TIME).unwrap();
        assert_eq!(found.age, since_typed.try_into().ok());
        assert!(!format!("{found:?}").contains("01234567"), "{found:?}");
    }
}

#[tokio::test]
async fn what_deserves_a_look_is_told_beside_a_good_verdict() {
    let (_server, client, backend) = prepared("acme", "acme/*").await;
    backend.type_in("acme/stripe", &format!("sk_test_{BODY}"));
    let found = inspect(&client, looking_at("acme/stripe")).await.unwrap();
    assert!(found.kind.unwrap().ok);
    let reasons: Vec<_> = found
        .warnings
        .iter()
        .map(|warning| &warning.reason)
        .collect();
    assert_eq!(reasons, ["FULL_SECRET_KEY"]);
}

#[tokio::test]
async fn white_space_around_a_value_is_told_unless_it_is_to_be_opaque() {
    let (_server, client, backend) = prepared("acme", "acme/*").await;
    backend.type_in("acme/db", "hunter2\n");
    for (kind, expected) in [
        (Kind::Unspecified, &["VALUE_HAS_SURROUNDING_SPACE"][..]),
        (Kind::Password, &["VALUE_HAS_SURROUNDING_SPACE"]),
        (Kind::Opaque, &[]),
    ] {
        let request = v1::InspectVaultSecretRequest {
            kind: kind.into(),
            ..looking_at("acme/db")
        };
        let found = inspect(&client, request).await.unwrap();
        let reasons = found.warnings.iter().map(|warning| &*warning.reason);
        assert_eq!(reasons.collect::<Vec<_>>(), expected, "{kind:?}");
        assert_eq!(found.kind, None, "{kind:?}");
    }
}

#[tokio::test]
async fn a_key_that_was_pasted_with_something_around_it_is_still_judged() {
    let (_server, client, backend) = prepared("acme", "acme/*").await;
    for (value, finding) in [
        (
            format!("STRIPE_API_KEY=rk_test_{BODY}"),
            "there is more than a key",
        ),
        (format!("\"rk_test_{BODY}\""), "quotes"),
        (
            format!("\u{feff}{{\"key\":\"rk_test_{BODY}\"}}"),
            "byte-order mark",
        ),
        ("rk_test_****WXYZ".to_owned(), "masked"),
    ] {
        backend.type_in("acme/stripe", &value);
        let found = inspect(&client, looking_at("acme/stripe")).await.unwrap();
        assert_eq!(found.judged_as(), Kind::StripeApiKey, "{finding}");
        let verdict = found.kind.unwrap();
        assert_eq!(verdict.reason, "VALUE_MALFORMED", "{finding}");
        assert!(verdict.message.contains(finding), "{}", verdict.message);
        assert!(!verdict.message.contains("01234567"), "{}", verdict.message);
    }
}

#[tokio::test]
async fn only_what_is_written_like_the_name_of_a_field_is_shown() {
    let (_server, client, backend) = prepared("acme", "acme/*").await;
    let names = [
        "ca_cert",
        "pk_id",
        "apiKey2",
        "client-secret",
        "db.password_of_the_warehouse",
    ];
    let values = [
        format!("STRIPE_KEY=sk_test_{BODY}"),
        format!("\u{202e}sk_test_{BODY}"),
        format!("https://sk_test_{BODY}@api"),
        "AKIACANARYCANARY1234".to_owned(),
        "hunter2-CANARY-PASSWORD".to_owned(),
        "two words".to_owned(),
        "n".repeat(41),
    ];
    let all = names
        .iter()
        .map(|&name| name.to_owned())
        .chain(values.clone());
    let document: HashMap<String, &str> = all.map(|name| (name, "x")).collect();
    backend.type_in("acme/fields", &serde_json::to_string(&document).unwrap());
    let found = inspect(&client, looking_at("acme/fields")).await.unwrap();
    let mut shown = names;
    shown.sort_unstable();
    assert_eq!(found.properties, shown);
    assert_eq!(
        usize::try_from(found.hidden_properties).unwrap(),
        values.len()
    );
}

#[tokio::test]
async fn a_kind_that_is_asked_for_is_what_the_value_is_judged_as() {
    let (_server, client, backend) = prepared("acme", "acme/*").await;
    backend.type_in("acme/stripe", &format!("whsec_{BODY}"));
    let request = v1::InspectVaultSecretRequest {
        kind: Kind::StripeApiKey.into(),
        ..looking_at("acme/stripe")
    };
    let found = inspect(&client, request).await.unwrap();
    assert_eq!(found.kind.unwrap().reason, "VALUE_WRONG_KIND");

    backend.type_in("acme/other", "hunter2");
    let found = inspect(&client, looking_at("acme/other")).await.unwrap();
    assert_eq!(
        (found.judged_as(), found.kind, found.stripe),
        (Kind::Unspecified, None, None)
    );
}

#[tokio::test]
async fn a_document_shows_the_names_of_its_keys_and_never_what_they_hold() {
    let (_server, client, backend) = prepared("acme", "acme/*").await;
    let long = "n".repeat(65);
    let document = format!(
        r#"{{"url":"canary-1","apiKey":"rk_live_{BODY}","{long}":"canary-2","sk_live_{BODY}":"x"}}"#
    );
    backend.type_in("acme/stripe", &document);
    let found = inspect(&client, looking_at("acme/stripe")).await.unwrap();
    assert_eq!(found.properties, ["apiKey", "url"]);
    assert_eq!(
        found.hidden_properties, 2,
        "a long one, and one that is a key itself"
    );
    assert_eq!(found.format.clone().unwrap().reason, "PROPERTY_REQUIRED");
    assert_eq!(found.kind, None);
    let whole = found.fingerprint.clone();
    assert!(!format!("{found:?}").contains("canary"), "{found:?}");

    let request = v1::InspectVaultSecretRequest {
        property: "apiKey".to_owned(),
        ..looking_at("acme/stripe")
    };
    let found = inspect(&client, request.clone()).await.unwrap();
    let stripe = found.stripe.unwrap();
    assert_eq!(
        (stripe.mode.as_str(), stripe.last_four.as_str()),
        ("LIVE", "WXYZ")
    );
    assert!(found.kind.unwrap().ok && found.format.unwrap().ok);
    assert_ne!(found.fingerprint, whole);

    let absent = v1::InspectVaultSecretRequest {
        property: "password".to_owned(),
        ..request
    };
    let found = inspect(&client, absent).await.unwrap();
    assert_eq!(found.format.unwrap().reason, "PROPERTY_NOT_FOUND");
}

#[tokio::test]
async fn fingerprints_are_equal_for_equal_values_of_one_project_only() {
    let (_server, client, backend) = prepared("any-project", "*").await;
    client.project("projects/other", &[]).await;
    for (name, value) in [
        ("a", "one value of sixteen"),
        ("b", "one value of sixteen"),
        ("c", "two values of sixteen"),
        ("pin", "0123"),
    ] {
        backend.type_in(name, value);
    }
    let fingerprint = async |name: &str, project: &str| {
        let request = v1::InspectVaultSecretRequest {
            project: project.to_owned(),
            ..looking_at(name)
        };
        inspect(&client, request).await.unwrap().fingerprint
    };
    let a = fingerprint("a", PROJECT).await;
    assert_eq!(a.len(), 16);
    assert_eq!(
        fingerprint("pin", PROJECT).await,
        "",
        "could be guessed by comparing"
    );
    assert_eq!(a, fingerprint("b", PROJECT).await);
    assert_ne!(a, fingerprint("c", PROJECT).await);
    assert_ne!(a, fingerprint("a", "projects/other").await);
}

#[tokio::test]
async fn what_a_definition_may_not_point_at_is_not_looked_at() {
    let (_server, client, backend) = prepared("acme", "acme/*").await;
    backend.type_in("acme/stripe", "x");
    backend.type_in("other/stripe", "x");
    client.project("projects/else", &[]).await;
    let of = |secret: &str, project: &str| v1::InspectVaultSecretRequest {
        project: project.to_owned(),
        ..looking_at(secret)
    };
    let not_allowed = "LOCATION_NOT_ALLOWED";
    for (request, code, reason) in [
        (
            of("other/stripe", PROJECT),
            Code::FailedPrecondition,
            not_allowed,
        ),
        (
            of("acme/stripe", "projects/else"),
            Code::FailedPrecondition,
            not_allowed,
        ),
        (of("", PROJECT), Code::InvalidArgument, "FIELD_INVALID"),
        (of("acme/none", PROJECT), Code::NotFound, "SECRET_NOT_FOUND"),
    ] {
        let refused = inspect(&client, request.clone()).await;
        fails(refused, code, reason);
    }
    assert_eq!(backend.count(Verb::Read), 1, "only the allowed one");

    let managed = v1::InspectVaultSecretRequest {
        name: "vaults/managed".to_owned(),
        ..looking_at(&secret("a"))
    };
    let refused = inspect(&client, managed).await;
    fails(
        refused,
        Code::FailedPrecondition,
        "VAULT_CAPABILITY_MISSING",
    );
    let unknown = v1::InspectVaultSecretRequest {
        name: "vaults/none".to_owned(),
        ..looking_at("acme/stripe")
    };
    fails(
        inspect(&client, unknown).await,
        Code::FailedPrecondition,
        "VAULT_UNKNOWN",
    );

    let refused = inspect(&client, looking_at("acme/none")).await;
    let status = fails(refused, Code::NotFound, "SECRET_NOT_FOUND");
    assert!(status.message().starts_with("acme/none has no value"));
    backend.set(Verb::Read, Fault::Fail(Reason::VaultAccessDenied));
    let refused = inspect(&client, looking_at("acme/stripe")).await;
    fails(refused, Code::FailedPrecondition, "VAULT_ACCESS_DENIED");
}

/// In the vault's own spelling, white space included: `apiKey ` and `apiKey` are two keys.
#[tokio::test]
async fn names_of_others_are_taken_letter_for_letter() {
    let (_server, client, backend) = prepared("acme", "acme/*").await;
    let before = r#"{"apiKey":"plain"," apiKey":"before","apiKey ":"after"}"#;
    for place in ["acme/spaced", "acme/spaced "] {
        for (id, property, value) in [
            ("plain", "apiKey", "plain"),
            ("before", " apiKey", "before"),
            ("after", "apiKey ", "after"),
        ] {
            backend.type_in(place, before);
            let name = secret(&format!("{id}-{}", place.len()));
            let mut location = in_faulty(place);
            location.property = property.to_owned();
            let put = client.put_definition(located(&name, location.clone()));
            let put = put.await.unwrap().definition.unwrap();
            assert_eq!(put.location, Some(location));
            assert_eq!(client.text(&name).await, value);

            let request = v1::InspectVaultSecretRequest {
                property: property.to_owned(),
                ..looking_at(place)
            };
            let found = client.vaults().inspect_vault_secret(request).await;
            assert!(found.unwrap().into_inner().format.unwrap().ok);
        }
    }
    let mut location = in_faulty("acme/spaced");
    location.property = "apiKey\t".to_owned();
    let absent = located(&secret("absent"), location);
    // Refused, and not cut off.
    let refused = client.put_definition(absent).await;
    fails(refused, Code::InvalidArgument, "FIELD_INVALID");
}
