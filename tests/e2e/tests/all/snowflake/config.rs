//! What is wrong with a vault's settings is said before anything starts.

use std::fs;

use claviger_e2e::Home;

use super::support::{Account, SEALED, VAULT};

const PASSWORD: &str = "canary-password";

#[test]
fn credentials_that_cannot_work_are_refused_with_key_and_remedy() {
    let account = Account::start();
    let plain = account.fake.private_key_pem(None);
    let encrypted = account.file(
        "encrypted.p8",
        &account.fake.private_key_pem(Some(PASSWORD)),
    );
    let password = account.file("password", PASSWORD);
    let wrong = account.file("wrong", "canary-wrong");
    let cut = account.file("cut.p8", plain.split_at(plain.len() / 2).0);
    let key = |file: &dyn std::fmt::Debug| format!("private_key_file = {file:?}");
    let protected = |file: &dyn std::fmt::Debug| format!("private_key_password_file = {file:?}");
    for (settings, at, remedy) in [
        (
            format!("{}\n{}", key(&encrypted), protected(&wrong)),
            "private_key_password_file",
            "correct the password",
        ),
        (
            key(&encrypted),
            "private_key_password_file",
            "write the path of a file",
        ),
        (
            protected(&password),
            "private_key_password_file",
            "leave the password out",
        ),
        (key(&cut), "private_key_file", "RSA"),
        (
            key(&"/nowhere/canary"),
            "private_key_file",
            "correct the path",
        ),
        (
            "user = \"\"".to_owned(),
            "user",
            "write the service user's name",
        ),
        (
            "account = \"https://canary.snowflakecomputing.com\"".to_owned(),
            "account",
            "write ORGANIZATION-ACCOUNT",
        ),
    ] {
        let home = Home::new();
        let file = home.path().join("clavigerd.toml");
        let config = account.vault(VAULT, "", &format!("{SEALED}\n{settings}"));
        fs::write(&file, config).expect("a writable home");
        let file = file.display().to_string();
        for arguments in [
            &["--config", &file, "--check-config"][..],
            &["--dev", "--config", &file],
        ] {
            let output = home.run(arguments);
            let said = String::from_utf8_lossy(&output.stderr).into_owned();
            assert_eq!(output.status.code(), Some(64), "{settings}: {said}");
            let place = format!("vaults.{VAULT}.settings.{at}: ");
            let told = |line: &str| line.contains(&place) && line.contains(remedy);
            assert!(said.lines().any(told), "{settings}: {said}");
            assert!(
                !said.contains("canary") && !said.contains("PRIVATE KEY"),
                "{said}"
            );
        }
    }
    assert_eq!(account.fake.logins(), 0, "nobody was asked");
}

#[test]
fn encrypted_key_with_its_password_is_taken() {
    let (home, account) = (Home::new(), Account::start());
    let key = account.file(
        "encrypted.p8",
        &account.fake.private_key_pem(Some(PASSWORD)),
    );
    let password = account.file("password", PASSWORD);
    let settings =
        format!("{SEALED}\nprivate_key_file = {key:?}\nprivate_key_password_file = {password:?}");
    let _daemon = account.daemon(&home, &settings);
    assert_eq!(super::support::sealed_values(&home, VAULT), []);
}
