//! Settings of a vault that cannot work are found before anything starts, with the key and the remedy,
//! and without a word of a credential.

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use claviger_e2e::Home;

use crate::peers::{aws, azure, sealed};
use crate::stage::{Peer, VAULT};

const PASSWORD: &str = "canary-password";

/// Runs `--check-config` on this file: its exit code and its words.
fn check(home: &Home, config: &str) -> (Option<i32>, String) {
    let file = home.write_config(config).display().to_string();
    let output = home.run(&["--check-config", "--config", &file]);
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    (output.status.code(), said)
}

/// Each of these in the place of a part that works is refused with the key and the remedy; without
/// them the file is taken. Returns all that was said.
fn assert_each_is_found(config: &str, rows: &[(&str, &str, &str, &str)]) -> String {
    let (home, mut all_said) = (Home::new(), String::new());
    for (good, bad, key, remedy) in rows {
        let bad = config.replacen(good, bad, 1);
        assert_ne!(bad, config, "{good}");
        let (code, said) = check(&home, &bad);
        assert_eq!(code, Some(64), "{bad}\n{said}");
        let place = format!("vaults.{VAULT}.{key}: ");
        let told = |line: &str| line.contains(&place) && line.contains(remedy);
        assert!(said.lines().any(told), "{place}{remedy}: {said}");
        for secret in ["canary", "PRIVATE KEY"] {
            assert!(!said.contains(secret), "{said}");
        }
        all_said += &said;
    }
    assert_eq!(check(&home, config), (Some(0), String::new()));
    all_said
}

#[test]
fn checking_the_configuration_finds_what_cannot_work_in_an_aws_vault() {
    let peer = aws();
    let config = peer.vault_for("acme", &["acme/*"]);
    let url = peer.url();
    #[rustfmt::skip]
    assert_each_is_found(&config, &[
        ("\"acme/*\"", "\"acme*\"", "allow[0].names[0]", "whole one"),
        ("\"acme/*\"", "\"acme/\"", "allow[0].names[0]", "empty part"),
        ("eu-central-1", "eu-centrall-1", "settings.region", "eu-central-1"),
        ("tags", "external_id = \"x1\"\ntags", "settings.external_id", "add role_arn"),
        ("tags", "secret_access_key = \"canary\"\ntags", "settings.secret_access_key", "keys here"),
        (&url, "http://example.com", "settings.endpoint_url", "loopback"),
        ("kind", "alow = []\nkind", "alow", "is not a key"),
    ]);
    let elsewhere = config.replace(&url, "https://localhost");
    assert_each_is_found(&elsewhere, &[]);
}

#[test]
fn checking_the_configuration_finds_what_cannot_work_in_an_azure_vault() {
    let peer = azure();
    let file = |name: &str, content: &str| format!("{:?}", peer.file(name, content));
    let secret = file("client.secret", peer.fake.client_secret());
    let (empty, not_pem) = (file("empty", ""), file("not.pem", "canary"));
    let tenant = format!("tenant_id = {:?}, ", peer.fake.tenant());
    let client = format!("client_id = {:?}, ", peer.fake.client_id());
    let (url, by_secret) = (peer.portal().url(), "kind = \"client_secret\"");
    let (by_certificate, config) = ("kind = \"client_certificate\"", peer.vault(""));
    #[rustfmt::skip]
    let said = assert_each_is_found(&config, &[
        (&url, "http://acme.vault.azure.net", "settings.vault_url", "https://NAME.vault.azure.net"),
        (&url, "https://127.0.0.1:8443", "settings.vault_url", "https://NAME.vault.azure.net"),
        (&url, "https://canary.example", "settings.vault_url", ".vault.usgovcloudapi.net"),
        (&url, "https://acme.vault.azure.net/secrets/canary", "settings.vault_url", "portal"),
        ("vault_url", "vault_uri", "settings.vault_uri", "did you mean vault_url"),
        (&tenant, "", "settings.credential.tenant_id", "directory id"),
        (&client, "", "settings.credential.client_id", "client id"),
        (&client, "client_id = \"canary\", ", "settings.credential.client_id", "client id"),
        (&tenant, "tenant_id = \"common\", ", "settings.credential.tenant_id", "directory id"),
        (&secret, "\"/nowhere/canary\"", "settings.credential.secret_file", "does not exist"),
        (&secret, "\"canary\"", "settings.credential.secret_file", "absolute"),
        (&secret, &empty, "settings.credential.secret_file", "empty file"),
        ("secret_file", "secret = \"canary\", secret_file", "settings.credential.secret", "is not a key"),
        (by_secret, by_certificate, "settings.credential.certificate_file", "PEM"),
        (by_secret, "kind = \"password\"", "settings.credential.kind", "client_secret"),
        ("credential = {", "credential = {} #", "settings.credential.kind", "is missing"),
    ]);
    assert!(!said.contains(peer.fake.client_secret()), "{said}");
    let (with_secret, with_certificate) = (
        format!("{by_secret}, {tenant}{client}secret_file = {secret}"),
        format!("{by_certificate}, {tenant}{client}certificate_file = {not_pem}"),
    );
    let key = "settings.credential.certificate_file";
    assert_each_is_found(&config, &[(&with_secret, &with_certificate, key, "")]);
    assert_eq!(peer.fake.logins(), 0, "nobody is asked");
}

#[test]
fn checking_the_configuration_finds_files_and_defaults_that_cannot_be() {
    let (home, peer) = (Home::new(), azure());
    let vault = |id: &str, more: &str| peer.vault_as(id, ("dev", &["*"]), more);
    let (code, said) = check(
        &home,
        &(vault(VAULT, "default = true") + &vault("azure-us", "default = true")),
    );
    assert_eq!(code, Some(64), "{said}");
    assert!(said.contains("default: is true of another vault"), "{said}");
    assert!(said.contains("mark one of them"), "{said}");
    let one = vault(VAULT, "default = true") + &vault("azure-us", "");
    assert_eq!(check(&home, &one).0, Some(0));

    let secret = peer.file("client.secret", peer.fake.client_secret());
    fs::set_permissions(&secret, Permissions::from_mode(0o604)).expect("ours");
    let (code, said) = check(&home, &one);
    assert_eq!(code, Some(64), "{said}");
    assert!(said.contains("credential.secret_file"), "{said}");
    assert!(said.contains("chmod 600"), "{said}");
}

#[test]
fn checking_the_configuration_finds_what_cannot_work_in_a_snowflake_vault() {
    let peer = sealed();
    let plain = peer.fake.private_key_pem(None);
    let locked = peer.file("locked.p8", &peer.fake.private_key_pem(Some(PASSWORD)));
    let password = peer.file("password", PASSWORD);
    let wrong = peer.file("wrong", "canary-wrong");
    let cut = peer.file("cut.p8", plain.split_at(plain.len() / 2).0);
    let config = peer.vault("");
    let line = |key: &str| {
        let mut lines = config.lines();
        let line = lines.find(|line| line.starts_with(key));
        line.expect("it is set").to_owned()
    };
    let (key, account, user) = (line("private_key_file"), line("account"), line("user"));
    let with_password =
        |line: &str, file: &Path| format!("{line}\nprivate_key_password_file = {file:?}");
    let key_in = |file: &Path| format!("private_key_file = {file:?}");
    let (file, its_password) = (
        "settings.private_key_file",
        "settings.private_key_password_file",
    );
    #[rustfmt::skip]
    let rows = [
        (&key, with_password(&key_in(&locked), &wrong), its_password, "correct the password"),
        (&key, key_in(&locked), its_password, "write the path of a file"),
        (&key, with_password(&key, &password), its_password, "leave the password out"),
        (&key, key_in(&cut), file, "RSA"),
        (&key, key_in(Path::new("/nowhere/canary")), file, "correct the path"),
        (&user, "user = \"\"".to_owned(), "settings.user", "write the service user's name"),
        (&account, "account = \"https://canary.snowflakecomputing.com\"".to_owned(), "settings.account", "write ORGANIZATION-ACCOUNT"),
    ];
    let rows = rows
        .each_ref()
        .map(|(good, bad, key, remedy)| (good.as_str(), bad.as_str(), *key, *remedy));
    assert_each_is_found(&config, &rows);
    // Nor does one start with it.
    for (good, bad, ..) in rows {
        let home = Home::new();
        let output = peer.command(&home, &config.replacen(good, bad, 1)).output();
        assert_eq!(output.expect("it runs").status.code(), Some(64), "{bad}");
    }
    assert_eq!(peer.fake.logins(), 0, "nobody was asked");

    let home = Home::new();
    let unlocked = with_password(&key_in(&locked), &password);
    let daemon = home.start(&mut peer.command(&home, &config.replacen(&key, &unlocked, 1)));
    assert_eq!(crate::snowflake::sealed_values(&home), []);
    drop(daemon);
}
