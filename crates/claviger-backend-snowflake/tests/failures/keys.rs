//! Private keys: those that work, and what is said of those that do not.

use std::fs::Permissions;
use std::os::unix::fs::PermissionsExt as _;

use claviger_backend::Backend as _;
use claviger_backend_snowflake::{SnowflakeSettings, Storage};
use claviger_core::{Detail, Reason};

use crate::support::Account;

const PASSWORD: &str = "canary-password";

#[tokio::test]
async fn encrypted_key_opens_with_its_password() {
    let account = Account::start();
    let settings = SnowflakeSettings {
        private_key_file: account.write("enc.pem", &account.fake.private_key_pem(Some(PASSWORD))),
        private_key_password_file: Some(account.write("pw", &format!("{PASSWORD}\n"))),
        ..account.settings(Storage::SealedTable)
    };
    assert_eq!(settings.file_problems(), []);
    account.vault(&settings).check().await.expect("logged in");
}

#[tokio::test]
async fn keys_that_cannot_be_used_are_named_and_never_quoted() {
    let account = Account::start();
    let plain = account.fake.private_key_pem(None);
    let encrypted = account.fake.private_key_pem(Some(PASSWORD));
    let cut: String = plain.lines().take(5).collect::<Vec<_>>().join("\n");
    for (key, password, at, word) in [
        (
            &encrypted,
            Some("canary-wrong"),
            "private_key_password_file",
            "does not open",
        ),
        (&encrypted, None, "private_key_password_file", "is missing"),
        (
            &plain,
            Some(PASSWORD),
            "private_key_password_file",
            "not encrypted",
        ),
        (
            &encrypted,
            Some(" \n"),
            "private_key_password_file",
            "empty",
        ),
        (&"canary".to_owned(), None, "private_key_file", "PKCS#8"),
        (&cut, None, "private_key_file", "cut short"),
        (&String::new(), None, "private_key_file", "empty"),
    ] {
        let settings = SnowflakeSettings {
            private_key_file: account.write("a.pem", key),
            private_key_password_file: password.map(|password| account.write("pw", password)),
            ..account.settings(Storage::SealedTable)
        };
        assert_eq!(settings.problems(), []);
        let problems = settings.file_problems();
        let problem = problems.first().expect("one");
        assert_eq!((problem.key, problems.len()), (at, 1), "{problem:?}");
        assert!(problem.remedy.contains(word), "{problem:?}");
        assert!(!problem.remedy.contains("canary"), "{problem:?}");
        // A file that is replaced by a bad one later.
        let logins = account.fake.logins();
        let error = account.vault(&settings).check().await.expect_err("no key");
        assert_eq!(error.reason(), Reason::VaultCredentialsRejected);
        assert_eq!(error.detail(Detail::Remedy), Some(problem.remedy));
        assert_eq!(account.fake.logins(), logins);
    }
}

#[tokio::test]
async fn key_that_everybody_may_read_is_refused() {
    let account = Account::start();
    let settings = account.settings(Storage::SealedTable);
    let missing = SnowflakeSettings {
        private_key_file: settings.private_key_file.with_extension("none"),
        ..settings.clone()
    };
    for (settings, mode, word) in [
        (&settings, 0o644, "chmod"),
        (&missing, 0o600, "does not exist"),
    ] {
        let file = account.settings(Storage::SealedTable).private_key_file;
        std::fs::set_permissions(file, Permissions::from_mode(mode)).expect("set");
        let problems = settings.file_problems();
        let problem = problems.first().expect("one");
        assert_eq!(problem.key, "private_key_file");
        assert!(problem.remedy.contains(word), "{problem:?}");
    }
}
