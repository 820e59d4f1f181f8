//! A vault that others write to as well, at any moment: what is there is what is said, and nobody's
//! change is lost.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use claviger_backend::VersionState;
use claviger_backend::testkit::Console;
use claviger_integration::{
    Client, Meanwhile, Options, Server, SharedBackend, reason, text_payload,
};
use claviger_proto::v1;
use serde_json::{Value, json};
use tonic::{Code, Status};

use crate::support::{delete, fails, located, request_id, secret, storing};

const DOCUMENT: &str = "acme/document";

/// Older than this, a pending write is settled.
const TIMEOUT: Duration = Duration::from_secs(10);

struct Typist(Arc<SharedBackend>);

#[async_trait]
impl Console for Typist {
    async fn put(&self, secret: &str, text: &str) {
        self.0.type_in(secret, text);
    }

    async fn delete(&self, secret: &str) {
        self.0.delete(secret);
    }

    fn can_restore(&self) -> bool {
        false
    }
}

async fn shared() -> (Server, Client, Arc<SharedBackend>) {
    let vault = Arc::new(SharedBackend::default());
    let options = Options {
        shared: Some(Arc::clone(&vault)),
        ..Options::default()
    };
    let (server, client) = Server::prepared(options).await;
    (server, client, vault)
}

#[tokio::test]
async fn the_shared_vault_keeps_the_contract_that_every_vault_keeps() {
    let vault = Arc::new(SharedBackend::default());
    let console = Arc::new(Typist(Arc::clone(&vault)));
    claviger_backend::testkit::conformance(vault, Some(console)).await;
}

fn at(secret: &str, property: &str) -> v1::Location {
    v1::Location {
        vault: "shared".to_owned(),
        secret: secret.to_owned(),
        property: property.to_owned(),
        ..Default::default()
    }
}

async fn register(client: &Client, id: &str, location: v1::Location) -> String {
    let name = secret(id);
    let put = client.put_definition(located(&name, location)).await;
    put.expect("registered");
    name
}

async fn adopt(client: &Client, name: &str, text: &str) -> v1::PutSecretValueResponse {
    let put = v1::PutSecretValueRequest {
        adopt: true,
        ..storing(name, text)
    };
    client.put_value(put).await.expect("adopted")
}

async fn put_if(client: &Client, name: &str, version: &str) -> Result<String, Status> {
    let put = v1::PutSecretValueRequest {
        if_version: version.to_owned(),
        ..storing(name, "next")
    };
    client.put_value(put).await.map(|put| put.version)
}

/// The one version that is marked, over pages of one.
async fn current(client: &Client, name: &str) -> v1::SecretVersion {
    let mut marked = Vec::new();
    let mut page_token = String::new();
    loop {
        let request = v1::ListSecretVersionsRequest {
            parent: name.to_owned(),
            page_size: 1,
            page_token,
            ..Default::default()
        };
        let reply = client.secrets().list_secret_versions(request).await;
        let reply = reply.expect("listed").into_inner();
        marked.extend(reply.versions.into_iter().filter(|one| one.current));
        page_token = reply.next_page_token;
        if page_token.is_empty() {
            break;
        }
    }
    assert_eq!(marked.len(), 1, "one is marked: {marked:?}");
    marked.remove(0)
}

fn document(vault: &SharedBackend) -> Value {
    serde_json::from_str(&vault.latest_value(DOCUMENT)).expect("JSON")
}

#[tokio::test]
async fn what_the_version_marked_current_is_a_read_returns_in_every_order_of_writers() {
    let (_server, client, vault) = shared().await;
    for order in 0..16_u32 {
        let id = format!("turns-{order}");
        let name = register(&client, &id, at(&id, "")).await;
        vault.type_in(&id, "theirs");
        for turn in 0..4 {
            match order >> turn & 1 {
                0 => drop(vault.type_in(&id, &format!("theirs {turn}"))),
                _ => drop(adopt(&client, &name, &format!("ours {turn}")).await),
            }
            let marked = current(&client, &name).await.version;
            assert_eq!(marked, client.get(&name).await.unwrap().version);
        }
        let marked = current(&client, &name).await.version;
        adopt(&client, &name, "ours at last").await;
        fails(
            put_if(&client, &name, &marked).await,
            Code::Aborted,
            "VERSION_MISMATCH",
        );
        let marked = current(&client, &name).await.version;
        put_if(&client, &name, &marked)
            .await
            .expect("the current one");
        vault.type_in(&id, "theirs again");
        let marked = current(&client, &name).await.version;
        put_if(&client, &name, &marked)
            .await
            .expect("the current one");
    }
}

#[tokio::test]
async fn pinned_version_is_the_current_one_of_its_definition() {
    let (_server, client, vault) = shared().await;
    let first = vault.type_in("acme/pinned", "one");
    vault.type_in("acme/pinned", "two");
    let location = v1::Location {
        version: first.clone(),
        ..at("acme/pinned", "")
    };
    let name = register(&client, "pinned", location).await;
    assert_eq!(client.get(&name).await.unwrap().version, first);
    assert_eq!(current(&client, &name).await.version, first);
    for version in [first.as_str(), "another", ""] {
        let refused = put_if(&client, &name, version).await;
        let status = fails(refused, Code::InvalidArgument, "LOCATION_INVALID");
        assert!(format!("{status:?}").contains("leave `version` out"));
    }
    vault.set("acme/pinned", &first, VersionState::Disabled);
    assert_eq!(current(&client, &name).await.version, first);
}

#[tokio::test]
async fn leaked_key_that_was_switched_off_can_be_rotated() {
    let (_server, client, vault) = shared().await;
    let name = register(&client, "leaked", at("acme/leaked", "")).await;
    adopt(&client, &name, "ours").await;
    for is_foreign in [false, true] {
        if is_foreign {
            vault.type_in("acme/leaked", "theirs");
        }
        let leaked = current(&client, &name).await.version;
        vault.set("acme/leaked", &leaked, VersionState::Disabled);
        let marked = current(&client, &name).await;
        assert_eq!(marked.version, leaked);
        assert_eq!(marked.state(), v1::secret_version::State::Disabled);
        put_if(&client, &name, &leaked).await.expect("rotated");
        assert_eq!(client.text(&name).await, "next");
    }
}

#[tokio::test]
async fn property_of_a_document_that_is_switched_off_names_the_version_to_enable() {
    let (_server, client, vault) = shared().await;
    let version = vault.type_in(DOCUMENT, r#"{"apiKey":"a","other":"b"}"#);
    let name = register(&client, "part", at(DOCUMENT, "apiKey")).await;
    vault.set(DOCUMENT, &version, VersionState::Disabled);
    for if_version in ["", &version] {
        let put = v1::PutSecretValueRequest {
            adopt: true,
            if_version: if_version.to_owned(),
            ..storing(&name, "mine")
        };
        let refused = client.put_value(put).await;
        let status = fails(refused, Code::FailedPrecondition, "VERSION_DISABLED");
        let remedy = format!("{name}/versions/{version} is disabled; call EnableSecretVersion");
        assert!(status.message().starts_with(&remedy), "{status:?}");
    }
    vault.set(DOCUMENT, &version, VersionState::Enabled);
    adopt(&client, &name, "mine").await;
    assert_eq!(document(&vault), json!({"apiKey": "mine", "other": "b"}));
}

#[tokio::test]
async fn state_of_a_secret_of_others_is_refused_with_a_remedy_that_works() {
    let (_server, client, vault) = shared().await;
    let theirs = vault.type_in("acme/theirs", "theirs");
    let name = register(&client, "theirs", at("acme/theirs", "")).await;
    let disable = async || {
        let request = v1::DisableSecretVersionRequest {
            name: format!("{name}/versions/{theirs}"),
            ..Default::default()
        };
        client.secrets().disable_secret_version(request).await
    };
    let status = fails(
        disable().await,
        Code::FailedPrecondition,
        "SECRET_NOT_OWNED",
    );
    assert_eq!(
        status.message(),
        format!(
            "the secret of {name}/versions/{theirs} in vault shared was not created for this \
             project: make it the project's by a PutSecretValue with adopt, or change the version \
             in the vault's own console"
        )
    );
    let refused = client.rotate(&name, "ours").await;
    let status = fails(refused, Code::FailedPrecondition, "SECRET_NOT_OWNED");
    assert!(status.message().contains(": set adopt"), "{status:?}");
    adopt(&client, &name, "ours").await;
    disable().await.expect("the project's now");
}

#[tokio::test]
async fn two_definitions_on_two_properties_take_turns_without_adopting() {
    let (_server, client, vault) = shared().await;
    vault.type_in(DOCUMENT, "{}");
    let mut names = Vec::new();
    for property in ["user", "password"] {
        names.push(register(&client, property, at(DOCUMENT, property)).await);
    }
    adopt(&client, &names[0], "first").await;
    for turn in 0..10 {
        for name in &names {
            let put = client.rotate(name, &format!("{name} {turn}")).await;
            put.expect("the project's own");
        }
    }
    for name in &names {
        assert_eq!(client.text(name).await, format!("{name} 9"));
    }
    // Made anew, with another uid.
    delete(&client, &names[1], true).await.unwrap();
    let again = register(&client, "password", at(DOCUMENT, "password")).await;
    client
        .rotate(&again, "anew")
        .await
        .expect("the project's own");

    client.project("projects/others", &[]).await;
    let theirs = "projects/others/secrets/password";
    let put = located(theirs, at(DOCUMENT, "password"));
    client.put_definition(put).await.expect("registered");
    let refused = client.rotate(theirs, "x").await;
    fails(refused, Code::FailedPrecondition, "SECRET_NOT_OWNED");
}

async fn contended() -> (Server, Client, Arc<SharedBackend>, String) {
    let (server, client, vault) = shared().await;
    vault.type_in(DOCUMENT, r#"{"apiKey":"a","other":"b"}"#);
    let name = register(&client, "contended", at(DOCUMENT, "apiKey")).await;
    adopt(&client, &name, "first").await;
    (server, client, vault, name)
}

/// The races that one put wins, with the keys that somebody else sets in it.
const RACES: [&[Meanwhile]; 9] = [
    &[Meanwhile::Before("k1")],
    &[Meanwhile::After("k1")],
    &[Meanwhile::Late("k1")],
    &[Meanwhile::Before("k1"), Meanwhile::Before("k2")],
    &[Meanwhile::Before("k1"), Meanwhile::After("k2")],
    &[Meanwhile::Late("k1"), Meanwhile::Before("k2")],
    &[Meanwhile::Late("k1"), Meanwhile::Late("k2")],
    &[Meanwhile::Before("other"), Meanwhile::Nothing],
    &[
        Meanwhile::Before("k1"),
        Meanwhile::Before("k2"),
        Meanwhile::Before("k3"),
    ],
];

fn keys(race: &[Meanwhile]) -> Vec<&'static str> {
    let keys = race.iter().filter_map(|meanwhile| match meanwhile {
        Meanwhile::Before(key) | Meanwhile::After(key) | Meanwhile::Late(key) => Some(*key),
        Meanwhile::BeforeText(_) | Meanwhile::Off(..) | Meanwhile::Nothing => None,
    });
    keys.collect()
}

#[track_caller]
fn assert_both(vault: &SharedBackend, race: &[Meanwhile], value: &str) {
    let now = document(vault);
    assert_eq!(now["apiKey"], value, "{race:?}: {now}");
    for key in keys(race) {
        assert_eq!(now[key], "edited", "{race:?}: {now}");
    }
}

#[tokio::test]
async fn document_has_the_changes_of_everybody_whenever_they_come() {
    for race in RACES {
        let (_server, client, vault, name) = contended().await;
        vault.meanwhile(race);
        client.rotate(&name, "mine").await.expect("merged");
        assert_both(&vault, race, "mine");
        // The key of the first put does not come back once somebody has taken it out.
        vault.type_in(DOCUMENT, r#"{"apiKey":"mine"}"#);
        client
            .rotate(&name, "next")
            .await
            .expect("nobody interferes");
        assert_eq!(document(&vault), json!({"apiKey": "next"}), "{race:?}");
    }
}

#[tokio::test]
async fn editor_without_end_is_reported_and_a_repeat_loses_nothing() {
    for id in [String::new(), request_id()] {
        let (_server, client, vault, name) = contended().await;
        let race = ["k1", "k2", "k3", "k4"].map(Meanwhile::Before);
        vault.meanwhile(&race);
        let put = v1::PutSecretValueRequest {
            request_id: id,
            ..storing(&name, "mine")
        };
        let gave_up = client.put_value(put.clone()).await;
        fails(gave_up, Code::Aborted, "VALUE_CHANGED");
        client.put_value(put).await.expect("nobody interferes");
        assert_both(&vault, &race, "mine");
    }
}

/// As if the daemon were killed after the vault had taken the value: the next one settles it.
#[tokio::test]
async fn lost_answer_and_its_repeat_lose_nothing() {
    for race in RACES {
        for (id, is_restarted) in [
            (String::new(), false),
            (String::new(), true),
            (request_id(), false),
            (request_id(), true),
        ] {
            let (mut server, mut client, vault, name) = contended().await;
            let put = v1::PutSecretValueRequest {
                request_id: id,
                ..storing(&name, "mine")
            };
            vault.meanwhile(race);
            vault.lose_answers(1);
            let lost = client.put_value(put.clone()).await;
            fails(lost, Code::Unknown, "WRITE_OUTCOME_UNKNOWN");
            if is_restarted {
                server.restart().await;
                client = server.unix();
            } else {
                server.clock.advance(TIMEOUT);
            }
            let mut outcome = client.put_value(put.clone()).await;
            if outcome
                .as_ref()
                .is_err_and(|status| reason(status) == "VALUE_CHANGED")
            {
                outcome = client.put_value(put).await;
            }
            outcome.expect("repeated as told");
            let made = race.len() - vault.left();
            assert_both(&vault, &race[..made], "mine");
        }
    }
}

#[tokio::test]
async fn registration_with_a_value_keeps_what_comes_in_between() {
    let (_server, client, vault) = shared().await;
    vault.type_in(DOCUMENT, r#"{"other":"b"}"#);
    let race = [Meanwhile::Before("k1")];
    vault.meanwhile(&race);
    let put = v1::PutSecretDefinitionRequest {
        payload: Some(text_payload("mine")),
        adopt: true,
        ..located(&secret("registered"), at(DOCUMENT, "apiKey"))
    };
    let put = client.put_definition(put).await.expect("registered");
    assert_both(&vault, &race, "mine");
    assert_eq!(
        put.version,
        client.get(&secret("registered")).await.unwrap().version
    );
}

#[tokio::test]
async fn two_definitions_that_rotate_two_properties_at_once_both_have_theirs() {
    let (_server, client, vault, name) = contended().await;
    let other = register(&client, "beside", at(DOCUMENT, "other")).await;
    for turn in 0..20 {
        let (one, two) = (format!("one {turn}"), format!("two {turn}"));
        let rotated = tokio::join!(client.rotate(&name, &one), client.rotate(&other, &two));
        rotated.0.expect("merged");
        rotated.1.expect("merged");
        assert_eq!(document(&vault), json!({"apiKey": one, "other": two}));
    }
}

#[tokio::test]
async fn what_fails_once_the_value_is_stored_says_that_it_is() {
    let long = json!({ "other": "x".repeat(65_530 - 12) }).to_string();
    for (text, id) in [
        ("no document", String::new()),
        ("no document", request_id()),
        (r#"{"\ud83d":"no text"}"#, request_id()),
        (&*long.leak(), request_id()),
    ] {
        let (_server, client, vault, name) = contended().await;
        vault.meanwhile(&[Meanwhile::BeforeText(text)]);
        let put = v1::PutSecretValueRequest {
            request_id: id,
            ..storing(&name, "mine")
        };
        let told = client.put_value(put.clone()).await;
        fails(told, Code::Aborted, "VALUE_CHANGED");
        assert_eq!(client.text(&name).await, "mine", "it is stored");
        let is_too_long = text.len() > 100;
        match is_too_long {
            true => assert_eq!(document(&vault)["other"], "b"),
            false => {
                client.put_value(put).await.expect("told before");
                assert_eq!(document(&vault), json!({"apiKey": "mine", "other": "b"}));
            }
        }
    }
}

#[tokio::test]
async fn change_that_cannot_be_put_back_is_told() {
    for back in [0, 1] {
        let (_server, client, vault, name) = contended().await;
        vault.meanwhile(&[Meanwhile::Off("k1", back)]);
        let told = client.rotate(&name, "mine").await;
        fails(told, Code::Aborted, "VALUE_CHANGED");
        assert_eq!(document(&vault)["apiKey"], "mine");
        client.rotate(&name, "next").await.expect("told before");
        assert_eq!(document(&vault)["apiKey"], "next");
    }
}

#[tokio::test]
async fn document_that_comes_while_a_bare_value_is_stored_is_put_back() {
    const ONE: &str = r#"{"apiKey":"theirs"}"#;
    const TWO: &str = r#"{"apiKey":"theirs","other":"b"}"#;
    for before in [None, Some("bare")] {
        for (text, id) in [
            (ONE, String::new()),
            (ONE, request_id()),
            (TWO, request_id()),
        ] {
            let (_server, client, vault) = shared().await;
            let name = register(&client, "bare", at("bare", "")).await;
            if let Some(before) = before {
                vault.type_in("bare", before);
                adopt(&client, &name, before).await;
            }
            vault.meanwhile(&[Meanwhile::BeforeText(text)]);
            let put = v1::PutSecretValueRequest {
                request_id: id,
                ..storing(&name, "mine")
            };
            let told = client.put_value(put.clone()).await;
            fails(told, Code::Aborted, "VALUE_CHANGED");
            assert_eq!(vault.latest_value("bare"), text, "put back");
            let again = client.put_value(put).await;
            if text == TWO {
                fails(again, Code::FailedPrecondition, "PROPERTY_REQUIRED");
                assert_eq!(vault.latest_value("bare"), TWO);
            } else {
                again.expect("repeated as told");
                assert_eq!(vault.latest_value("bare"), r#"{"apiKey":"mine"}"#);
            }
        }
        // What stands for itself is replaced, whoever stored it.
        let (_server, client, vault) = shared().await;
        let name = register(&client, "bare", at("bare", "")).await;
        vault.meanwhile(&[Meanwhile::BeforeText("theirs")]);
        client.rotate(&name, "mine").await.expect("bare over bare");
        assert_eq!(vault.latest_value("bare"), "mine");
    }
}

#[tokio::test]
async fn document_that_cannot_be_read_is_not_replaced_by_a_bare_value() {
    let whole = |secret: &str| v1::Location {
        whole: true,
        ..at(secret, "")
    };
    for (index, (texts, is_replaced)) in [
        (&[r#"{"a":"1","b":"2"}"#][..], false),
        (&[r#"{"a":"1"}"#], false),
        (&["bare"], false),
        (&[r#"{"a":"1"}"#, r#"{"a":"2"}"#], false),
        (&[r#"{"a":"1"}"#, "bare"], false),
        (&["bare", "bare"], true),
        // Cannot be told from the one before.
        (&["bare", r#"{"a":"1"}"#], true),
    ]
    .into_iter()
    .enumerate()
    {
        let (_server, client, vault) = shared().await;
        let place = format!("off-{index}");
        let mut latest = String::new();
        for text in texts {
            latest = vault.type_in(&place, text);
        }
        vault.set(&place, &latest, VersionState::Disabled);
        let name = register(&client, &place, at(&place, "")).await;
        for if_version in ["", &latest] {
            let put = v1::PutSecretValueRequest {
                adopt: true,
                if_version: if_version.to_owned(),
                ..storing(&name, "mine")
            };
            if is_replaced {
                if !if_version.is_empty() {
                    client.put_value(put).await.expect("bare");
                    assert_eq!(vault.latest_value(&place), "mine");
                }
                continue;
            }
            let refused = client.put_value(put).await;
            let status = fails(refused, Code::FailedPrecondition, "VERSION_DISABLED");
            let message = status.message();
            assert!(message.contains(&latest), "{message}");
            let said = format!("{status:?}");
            for remedy in ["location.property", "location.whole"] {
                assert!(said.contains(remedy), "{said}");
            }
            assert_eq!(&vault.latest_value(&place), texts.last().unwrap());
        }
        if !is_replaced {
            let all = register(&client, &format!("all-{index}"), whole(&place)).await;
            adopt(&client, &all, "all of it").await;
            assert_eq!(vault.latest_value(&place), "all of it");
        }
    }
}

#[tokio::test]
async fn list_of_versions_needs_no_right_to_a_value() {
    let (_server, client, vault) = shared().await;
    let first = vault.type_in("acme/pinned", "one");
    let location = v1::Location {
        version: first.clone(),
        ..at("acme/pinned", "")
    };
    let name = register(&client, "pinned", location).await;
    vault.deny_values();
    assert_eq!(current(&client, &name).await.version, first);
}

#[tokio::test]
async fn registration_that_was_told_of_a_change_goes_on_with_a_rotation() {
    let (_server, client, vault) = shared().await;
    vault.type_in(DOCUMENT, r#"{"other":"b"}"#);
    vault.meanwhile(&["k1", "k2", "k3", "k4"].map(Meanwhile::Before));
    let name = secret("registered");
    let put = v1::PutSecretDefinitionRequest {
        payload: Some(text_payload("mine")),
        adopt: true,
        ..located(&name, at(DOCUMENT, "apiKey"))
    };
    let told = client.put_definition(put).await;
    let status = fails(told, Code::Aborted, "VALUE_CHANGED");
    assert!(
        status
            .message()
            .ends_with("store the value again with PutSecretValue"),
        "{status:?}"
    );
    client.rotate(&name, "mine").await.expect("told how");
    assert_both(
        &vault,
        &["k1", "k2", "k3", "k4"].map(Meanwhile::Before),
        "mine",
    );
}
