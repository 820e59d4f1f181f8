//! What a put does to secrets in Azure.

use claviger_e2e::Home;
use claviger_keyvault_fake::Behaviour;
use claviger_proto::v1;
use serde_json::{Value, json};
use tonic_types::StatusExt as _;

use super::support::{Caller, Cloud, VAULT, about_secrets, assert_refused, location, name, puts};

#[tokio::test]
async fn a_put_with_a_payload_creates_and_a_rotation_adds_a_version() {
    let (home, cloud) = (Home::new(), Cloud::start());
    let daemon = cloud.daemon(&home);
    let (operator, runner) = (Caller::of(&daemon).await, Caller::runner(&daemon).await);
    let put = operator.put("new", location("new", ""), Some("one")).await;
    let first = put.expect("created");
    assert!(first.warnings.is_empty(), "{:?}", first.warnings);
    let uid = first.definition.expect("told").uid;
    let read = runner.get("new", "").await.expect("read");
    assert_eq!(
        (read.version.as_str(), read.vault.as_str()),
        (first.version.as_str(), VAULT)
    );
    assert_eq!(runner.text("new").await.expect("read"), "one");
    let [(_, _, tags)] = cloud.handle().versions("new").try_into().expect("one");
    let keys: Vec<&str> = tags.keys().map(String::as_str).collect();
    assert_eq!(
        keys,
        ["claviger-definition", "claviger-store", "claviger-write"]
    );
    assert_eq!(tags["claviger-definition"], uid);

    let second = operator.store("new", "two", false).await.expect("rotated");
    assert_eq!(runner.text("new").await.expect("read"), "two");
    let pinned = runner
        .get("new", &first.version)
        .await
        .expect("still there");
    assert_eq!(
        pinned.value,
        Some(v1::get_secret_response::Value::Text("one".to_owned()))
    );
    let versions = cloud.handle().versions("new").into_iter();
    let versions: Vec<String> = versions.map(|(version, _, _)| version).collect();
    assert_eq!(versions, [first.version, second.version]);
}

#[tokio::test]
async fn a_foreign_secret_is_written_only_with_adopt_and_keeps_keys_and_tags() {
    let (home, cloud) = (Home::new(), Cloud::start());
    let vault = cloud.handle();
    let document = json!({ "apiKey": "a", "other": "b", "deep": [1, null] });
    vault.set("theirs", &document.to_string(), &[("owner", "them")]);
    let daemon = cloud.daemon(&home);
    let caller = Caller::of(&daemon).await;
    let put = caller
        .put("theirs", location("theirs", "apiKey"), None)
        .await;
    put.expect("registered");
    assert_eq!(
        Caller::runner(&daemon)
            .await
            .text("theirs")
            .await
            .expect("read"),
        "a"
    );

    assert_refused(caller.store("theirs", "c", false).await, "SECRET_NOT_OWNED");
    assert_eq!(vault.versions("theirs").len(), 1);
    for (value, adopt) in [("c", true), ("d", false)] {
        let stored = caller.store("theirs", value, adopt).await;
        stored.expect("ours from the first on");
        let (_, text, tags) = vault.versions("theirs").pop().expect("there");
        let mut expected = document.clone();
        expected["apiKey"] = json!(value);
        let now: Value = serde_json::from_str(&text).expect("JSON");
        assert_eq!(now, expected);
        assert_eq!(tags["owner"], "them");
    }
}

#[tokio::test]
async fn a_version_can_be_disabled_and_enabled_and_never_destroyed() {
    let (home, cloud) = (Home::new(), Cloud::start());
    let daemon = cloud.daemon(&home);
    let (caller, runner) = (Caller::of(&daemon).await, Caller::runner(&daemon).await);
    let put = caller.put("new", location("new", ""), Some("one")).await;
    let version = put.expect("created").version;
    caller.store("new", "two", false).await.expect("rotated");
    let name = format!("{}/versions/{version}", name("new"));
    let mut secrets = caller.secrets();

    let disable = v1::DisableSecretVersionRequest {
        name: name.clone(),
        ..Default::default()
    };
    let disabled = secrets.disable_secret_version(disable).await;
    let disabled = disabled.expect("disabled").into_inner();
    assert_eq!(disabled.state(), v1::secret_version::State::Disabled);
    assert_refused(runner.get("new", &version).await, "VERSION_DISABLED");
    assert_eq!(runner.text("new").await.expect("the other one"), "two");

    let enable = v1::EnableSecretVersionRequest {
        name: name.clone(),
        ..Default::default()
    };
    secrets
        .enable_secret_version(enable)
        .await
        .expect("enabled");
    runner.get("new", &version).await.expect("readable again");

    let before = about_secrets(&cloud.handle()).len();
    let destroy = v1::DestroySecretVersionRequest {
        name,
        ..Default::default()
    };
    let refused = secrets.destroy_secret_version(destroy).await;
    let status = assert_refused(refused, "VAULT_CAPABILITY_MISSING");
    assert_eq!(status.code(), tonic::Code::FailedPrecondition);
    let details = status.get_error_details();
    let told = &details.error_info().expect("ours").metadata;
    assert_eq!(told["vault"], VAULT);
    assert!(told["capability"].contains("destroy"), "{told:?}");
    assert_eq!(about_secrets(&cloud.handle()).len(), before);
    runner.get("new", &version).await.expect("still there");
}

#[tokio::test]
async fn a_secret_of_a_certificate_is_named_as_such_and_never_written() {
    let (home, cloud) = (Home::new(), Cloud::start());
    let vault = cloud.handle();
    vault.set_certificate("tls");
    let daemon = cloud.daemon(&home);
    let caller = Caller::of(&daemon).await;
    let put = caller.put("tls", location("tls", ""), None).await;
    put.expect("registered");
    let runner = Caller::runner(&daemon).await;
    runner.text("tls").await.expect("it can be read");
    let with_payload = caller.put("again", location("tls", ""), Some("mine")).await;
    let adopted = caller.store("tls", "mine", true).await;
    for status in [
        with_payload.expect_err("refused"),
        adopted.expect_err("refused"),
    ] {
        let status = assert_refused(Err::<(), _>(status), "LOCATION_INVALID");
        assert!(status.message().contains("certificate"), "{status:?}");
    }
    assert_eq!(vault.versions("tls").len(), 1);
}

#[tokio::test]
async fn a_write_whose_answer_is_lost_is_sent_once_and_found_by_its_tag() {
    let (home, cloud) = (Home::new(), Cloud::start());
    let daemon = cloud.daemon(&home);
    let caller = Caller::of(&daemon).await;
    for (secret, path, lost) in [
        ("cut", "/secrets/cut", Behaviour::CutAfterExecuting),
        ("half", "/secrets/half", Behaviour::HalfBody),
    ] {
        cloud.fake.next(puts(path), 1, lost);
        let put = caller.put(secret, location(secret, ""), Some("v")).await;
        let version = put.expect("it was stored").version;
        let [(only, _, _)] = cloud.handle().versions(secret).try_into().expect("one");
        assert_eq!(only, version);
    }
}

#[tokio::test]
async fn a_write_that_is_not_confirmed_is_sent_once_and_said_to_be_unknown() {
    let (home, cloud) = (Home::new(), Cloud::start());
    let daemon = cloud.daemon(&home);
    let caller = Caller::of(&daemon).await;
    let unavailable = Behaviour::Status {
        status: 503,
        headers: Vec::new(),
        body: "<html>busy</html>".to_owned(),
    };
    for (secret, path, answer) in [
        ("garbage", "/secrets/garbage", Behaviour::Garbage200),
        ("unavailable", "/secrets/unavailable", unavailable),
    ] {
        cloud.fake.next(puts(path), 1, answer);
        let put = caller.put(secret, location(secret, ""), Some("v")).await;
        assert_refused(put, "WRITE_OUTCOME_UNKNOWN");
        let requests = about_secrets(&cloud.handle()).into_iter();
        let sent = requests.filter(|seen| {
            // The first one without a token asks for the challenge, and has no body.
            seen.method == "PUT" && seen.has_bearer && seen.path_and_query.starts_with(path)
        });
        assert_eq!(sent.count(), 1, "{secret}");
        assert!(cloud.handle().versions(secret).is_empty(), "{secret}");
    }
}

#[tokio::test]
async fn edit_in_the_portal_between_read_and_put_of_a_property_is_kept_or_reported() {
    let (home, cloud) = (Home::new(), Cloud::start());
    let vault = cloud.handle();
    let daemon = cloud.daemon(&home);
    let caller = Caller::of(&daemon).await;
    let put = caller.put("doc", location("doc", "apiKey"), Some("one"));
    put.await.expect("created");
    for (round, edits) in [1, 2, 3].into_iter().enumerate() {
        let value = format!("mine {round}");
        let (done, mut is_done) = tokio::sync::oneshot::channel();
        let store = async {
            let stored = caller.store("doc", &value, false).await;
            done.send(()).expect("somebody waits");
            stored
        };
        let edit = async {
            for edit in 0..edits {
                cloud.fake.next(puts("/secrets/doc"), 1, Behaviour::Hang);
                tokio::select! {
                    () = cloud.fake.held(1) => {}
                    _ = &mut is_done => return edit,
                }
                let (_, text, _) = vault.versions("doc").pop().expect("there");
                let mut document: Value = serde_json::from_str(&text).expect("JSON");
                document["edits"] = json!(format!("{round} {edit}"));
                vault.set("doc", &document.to_string(), &[]);
                cloud.fake.release();
            }
            edits
        };
        let (stored, made) = tokio::join!(store, edit);
        assert!(made > 0, "nobody was in the portal");
        cloud.fake.release();
        let (_, text, _) = vault.versions("doc").pop().expect("there");
        let now: Value = serde_json::from_str(&text).expect("JSON");
        match stored {
            Ok(_) => assert_eq!(
                now,
                json!({ "apiKey": value, "edits": format!("{round} {}", made - 1) }),
                "lost silently"
            ),
            Err(status) => {
                assert_refused(Err::<(), _>(status), "VALUE_CHANGED");
            }
        }
    }
}
