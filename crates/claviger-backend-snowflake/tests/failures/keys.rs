//! Private keys: those that work, and what is said of those that do not.

use std::fs::Permissions;
use std::os::unix::fs::PermissionsExt as _;
use std::process::Command;

use claviger_backend::Backend as _;
use claviger_backend_snowflake::{SnowflakeSettings, Storage};
use claviger_core::{Detail, Reason};
use pkcs8::der::pem::LineEnding;
use pkcs8::pkcs5::pbes2::{EncryptionScheme, Parameters, Pbkdf2Params, Pbkdf2Prf};
use pkcs8::{PrivateKeyInfo, SecretDocument};

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

/// As `-v2 des3 -v2prf hmacWithSHA1`, which the pages of vendors print, writes it.
fn under(scheme: EncryptionScheme<'_>, prf: Pbkdf2Prf, pem: &str) -> String {
    let (_, document) = SecretDocument::from_pem(pem).expect("a key");
    let key = PrivateKeyInfo::try_from(document.as_bytes()).expect("a key");
    let kdf = Pbkdf2Params {
        salt: b"8 bytes.",
        iteration_count: 2048,
        key_length: None,
        prf,
    };
    let parameters = Parameters {
        kdf: kdf.into(),
        encryption: scheme,
    };
    let encrypted = key.encrypt_with_params(parameters, PASSWORD);
    let encrypted = encrypted.expect("encrypted");
    let pem = encrypted.to_pem("ENCRYPTED PRIVATE KEY", LineEnding::LF);
    pem.expect("encoded").to_string()
}

#[tokio::test]
async fn keys_under_older_ciphers_open_and_a_wrong_password_is_told_from_a_cipher() {
    let account = Account::start();
    let plain = account.fake.private_key_pem(None);
    let (des, aes) = (
        EncryptionScheme::DesEde3Cbc { iv: b"8 bytes." },
        EncryptionScheme::Aes128Cbc {
            iv: b"sixteen bytes...",
        },
    );
    for (scheme, prf) in [
        (des, Pbkdf2Prf::HmacWithSha1),
        (des, Pbkdf2Prf::HmacWithSha256),
        (aes, Pbkdf2Prf::HmacWithSha1),
    ] {
        let pem = under(scheme, prf, &plain);
        for (password, is_right) in [(PASSWORD, true), ("canary-wrong", false)] {
            let settings = SnowflakeSettings {
                private_key_file: account.write("old.pem", &pem),
                private_key_password_file: Some(account.write("pw", password)),
                ..account.settings(Storage::SealedTable)
            };
            let problems = settings.file_problems();
            if is_right {
                assert_eq!(problems, [], "{scheme:?} {prf:?}");
                account.vault(&settings).check().await.expect("logged in");
            } else {
                let problem = problems.first().expect("one");
                assert_eq!(problem.key, "private_key_password_file", "{problem:?}");
                assert!(problem.remedy.contains("does not open"), "{problem:?}");
            }
        }
    }
}

/// What openssl writes, where there is one: a cipher either opens or is named, and is no wrong
/// password.
#[test]
fn every_cipher_of_openssl_opens_or_is_named() {
    let account = Account::start();
    let plain = account.write("plain.pem", &account.fake.private_key_pem(None));
    let out = plain.with_extension("out");
    for (cipher, named) in [
        ("-v2 aes256", None),
        ("-v2 aes-192-cbc -v2prf hmacWithSHA512", None),
        ("-v2 des3", None),
        ("-v2 des3 -v2prf hmacWithSHA1", None),
        ("-v1 PBE-SHA1-3DES", Some("PBE-SHA1-3DES")),
        ("-v1 PBE-SHA1-RC4-128", Some("PBE-SHA1-RC4-128")),
        ("-v1 PBE-SHA1-RC2-40", Some("PBE-SHA1-RC2-40")),
        ("-v1 PBE-MD5-DES", Some("PBE-MD5-DES")),
        ("-v1 PBE-SHA1-DES", Some("PBE-SHA1-DES")),
        ("-v2 des", Some("with DES,")),
        ("-v2 rc2", Some("with RC2,")),
        ("-v2 camellia256", Some("Camellia")),
        ("-v2 aria256", Some("ARIA")),
        ("-v2 sm4", Some("not known here")),
    ] {
        let mut openssl = Command::new("openssl");
        openssl
            .args(["pkcs8", "-topk8", "-passout"])
            .arg(format!("pass:{PASSWORD}"))
            .args(["-provider", "legacy", "-provider", "default"])
            .args(cipher.split(' '));
        openssl.arg("-in").arg(&plain).arg("-out").arg(&out);
        let Ok(made) = openssl.output() else {
            println!("there is no openssl");
            return;
        };
        if !made.status.success() {
            println!("this openssl cannot {cipher}");
            continue;
        }
        let pem = std::fs::read_to_string(&out).expect("written");
        let settings = SnowflakeSettings {
            private_key_file: account.write("of-openssl.pem", &pem),
            private_key_password_file: Some(account.write("pw", PASSWORD)),
            ..account.settings(Storage::SealedTable)
        };
        let problems = settings.file_problems();
        let Some(named) = named else {
            assert_eq!(problems, [], "{cipher}");
            continue;
        };
        let problem = problems.first().expect(cipher);
        assert_eq!(problem.key, "private_key_file", "{cipher}: {problem:?}");
        assert!(problem.remedy.contains(named), "{cipher}: {problem:?}");
        assert!(problem.remedy.contains("-v2 aes256"), "{problem:?}");
    }
}

#[tokio::test]
async fn keys_that_cannot_be_used_are_named_and_never_quoted() {
    let account = Account::start();
    let plain = account.fake.private_key_pem(None);
    let encrypted = account.fake.private_key_pem(Some(PASSWORD));
    let weak = account.fake.unknown_key_pem_of(1024);
    let cut_encrypted: String = encrypted.lines().take(9).collect::<Vec<_>>().join("\n");
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
        (
            &cut_encrypted,
            Some(PASSWORD),
            "private_key_file",
            "cut short",
        ),
        (&weak, None, "private_key_file", "fewer than 2048 bits"),
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
