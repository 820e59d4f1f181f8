//! What cannot work is refused when it is written down, with the field and the remedy.

use std::collections::HashMap;
use std::fs;

use claviger_e2e::Home;
use claviger_proto::v1;
use serde_json::{Value, json};
use tonic_types::StatusExt as _;

use super::support::{Caller, Cloud, HOST, VAULT, about_secrets, assert_refused, location, name};

/// Runs `--check-config` on this file.
fn check(home: &Home, config: &str) -> (Option<i32>, String) {
    let file = home.path().join("clavigerd.toml");
    fs::write(&file, config).expect("a writable home");
    let file = file.display().to_string();
    let output = home.run(&["--check-config", "--config", &file]);
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    (output.status.code(), said)
}

#[test]
fn checking_the_configuration_finds_what_cannot_work_in_an_azure_vault() {
    let (home, cloud) = (Home::new(), Cloud::start());
    let config = cloud.vault((VAULT, HOST), "");
    let tenant = format!("tenant_id = {:?}, ", cloud.fake.tenant());
    let client = format!("client_id = {:?}, ", cloud.fake.client_id());
    let secret = cloud.file("client.secret", cloud.fake.client_secret());
    let secret = format!("{:?}", secret);
    let kind = "kind = \"client_secret\"";
    let url = cloud.handle().url();
    let empty = format!("{:?}", cloud.file("empty", ""));
    let not_pem = format!("{:?}", cloud.file("not.pem", "canary"));
    let certificate = "kind = \"client_certificate\"";
    for (good, bad, key, remedy) in [
        (
            url.as_str(),
            "http://acme.vault.azure.net",
            "vault_url",
            "https://NAME.vault.azure.net",
        ),
        (
            &url,
            "https://127.0.0.1:8443",
            "vault_url",
            "https://NAME.vault.azure.net",
        ),
        (
            &url,
            "https://canary.example",
            "vault_url",
            ".vault.usgovcloudapi.net",
        ),
        (
            &url,
            "https://acme.vault.azure.net/secrets/canary",
            "vault_url",
            "portal",
        ),
        (
            "vault_url",
            "vault_uri",
            "vault_uri",
            "did you mean vault_url",
        ),
        (&tenant, "", "credential.tenant_id", "directory id"),
        (&client, "", "credential.client_id", "client id"),
        (
            &client,
            "client_id = \"canary\", ",
            "credential.client_id",
            "client id",
        ),
        (
            &tenant,
            "tenant_id = \"common\", ",
            "credential.tenant_id",
            "directory id",
        ),
        (
            &secret,
            "\"/nowhere/canary\"",
            "credential.secret_file",
            "does not exist",
        ),
        (&secret, "\"canary\"", "credential.secret_file", "absolute"),
        (&secret, &empty, "credential.secret_file", "empty file"),
        (
            "secret_file",
            "secret = \"canary\", secret_file",
            "credential.secret",
            "is not a key",
        ),
        (kind, certificate, "credential.certificate_file", "PEM"),
        (
            kind,
            "kind = \"password\"",
            "credential.kind",
            "client_secret",
        ),
        ("credential = {", "credential = {} #", "credential", "kind"),
    ] {
        let bad = config.replacen(good, bad, 1);
        assert_ne!(bad, config, "{good}");
        let (code, said) = check(&home, &bad);
        assert_eq!(code, Some(64), "{bad}\n{said}");
        let key = format!("vaults.{VAULT}.settings.{key}");
        assert!(said.contains(&key), "{key}: {said}");
        assert!(said.contains(remedy), "{key}: {said}");
        for secret in ["canary", cloud.fake.client_secret()] {
            assert!(!said.contains(secret), "{key}: {said}");
        }
    }
    let bad = config.replacen(kind, certificate, 1);
    let bad = bad.replacen("secret_file", "certificate_file", 1);
    let (code, said) = check(&home, &bad.replacen(&secret, &not_pem, 1));
    assert_eq!(code, Some(64), "{said}");
    assert!(said.contains("credential.certificate_file"), "{said}");
    assert!(!said.contains("canary"), "{said}");
    assert_eq!(check(&home, &config), (Some(0), String::new()));
    assert_eq!(cloud.fake.logins(), 0, "nobody is asked");
}

#[test]
fn checking_the_configuration_finds_files_and_defaults_that_cannot_be() {
    use std::os::unix::fs::PermissionsExt as _;

    let (home, cloud) = (Home::new(), Cloud::start());
    let secret = cloud.file("client.secret", cloud.fake.client_secret());
    let marked = |id: &str, host: &str| cloud.vault((id, host), "default = true");
    let (code, said) = check(&home, &(marked(VAULT, HOST) + &marked("azure-us", "other")));
    assert_eq!(code, Some(64), "{said}");
    assert!(said.contains("default: is true of another vault"), "{said}");
    assert!(said.contains("mark one of them"), "{said}");
    let one = marked(VAULT, HOST) + &cloud.vault(("azure-us", "other"), "");
    assert_eq!(check(&home, &one).0, Some(0));

    fs::set_permissions(&secret, fs::Permissions::from_mode(0o604)).expect("ours");
    let (code, said) = check(&home, &one);
    assert_eq!(code, Some(64), "{said}");
    assert!(said.contains("credential.secret_file"), "{said}");
    assert!(said.contains("chmod 600"), "{said}");
}

#[tokio::test]
async fn name_or_version_that_cannot_be_is_refused_and_azure_never_sees_it() {
    let (home, cloud) = (Home::new(), Cloud::start());
    let daemon = cloud.daemon(&home);
    let caller = Caller::of(&daemon).await;
    let long = "x".repeat(128);
    for (secret, remedy) in [
        ("a_b", "no underscore"),
        ("a(b)", "parenthesis"),
        ("a/b", "slash"),
        ("a.b", "use only 0-9"),
        ("a b", "use only 0-9"),
        ("é", "use only 0-9"),
        ("..", "use only 0-9"),
        ("%2e%2e", "use only 0-9"),
        ("a?b", "use only 0-9"),
        ("a/../../keys/k", "use only 0-9"),
        (&long, "127 characters"),
    ] {
        for payload in [None, Some("v")] {
            let put = caller.put("s", location(secret, ""), payload).await;
            let status = assert_refused(put, "LOCATION_INVALID");
            assert!(status.message().contains(remedy), "{secret}: {status:?}");
            let details = status.get_error_details();
            let violations = details.bad_request().expect("the request is at fault");
            let field = &violations.field_violations[0].field;
            assert!(
                field.starts_with("definition.location"),
                "{secret}: {field}"
            );
        }
        let overridden = v1::SecretDefinition {
            name: name("s"),
            environments: HashMap::from([("prod".to_owned(), location(secret, ""))]),
            ..Default::default()
        };
        let put = caller.put_with(v1::PutSecretDefinitionRequest {
            definition: Some(overridden),
            ..Default::default()
        });
        put.await.expect_err("refused there too");
    }
    let put = caller.put("good", location("good", ""), None).await;
    put.expect("registered");
    for version in ["..", "../x", "latest", "0123", "ABCDEF"] {
        let pinned = v1::Location {
            version: version.to_owned(),
            ..location("good", "")
        };
        let status = caller.put("pinned", pinned, None).await;
        let status = status.expect_err("no version of Key Vault's");
        assert_eq!(status.code(), tonic::Code::InvalidArgument, "{status:?}");
        caller.get("good", version).await.expect_err("nor here");
    }
    assert_eq!(about_secrets(&cloud.handle()), []);
    assert_eq!(cloud.fake.other_hosts(), []);
}

#[tokio::test]
async fn value_that_azure_does_not_take_is_refused_before_anything_changes() {
    let (home, cloud) = (Home::new(), Cloud::start());
    let vault = cloud.handle();
    let daemon = cloud.daemon(&home);
    let caller = Caller::of(&daemon).await;
    let longest = "x".repeat(25_600);
    let too_long = format!("{longest}x");
    let document = json!({ "apiKey": "a", "other": "b".repeat(100) }).to_string();
    vault.set("theirs", &document, &[]);
    let put = caller
        .put("theirs", location("theirs", "apiKey"), None)
        .await;
    put.expect("registered");
    for refused in [
        caller
            .put("new", location("new", ""), Some(&too_long))
            .await
            .map(drop),
        caller.store("theirs", &too_long, true).await.map(drop),
    ] {
        let status = assert_refused(refused, "PAYLOAD_TOO_LARGE");
        assert!(status.message().contains("25600"), "{status:?}");
    }
    assert_eq!(about_secrets(&vault), []);

    // Only too long together with what else is in the document.
    let refused = caller.store("theirs", &longest, true).await;
    assert_refused(refused, "PAYLOAD_TOO_LARGE");
    assert_eq!(vault.versions("theirs").len(), 1);
    caller
        .store("theirs", "c", true)
        .await
        .expect("nothing is left");
    let (_, now, _) = vault.versions("theirs").pop().expect("there");
    let now: Value = serde_json::from_str(&now).expect("JSON");
    assert_eq!(now["apiKey"], "c");

    let put = caller.put("new", location("new", ""), Some(&longest)).await;
    put.expect("just not too long");
    assert_eq!(caller.text("new").await.expect("read"), longest);
}
