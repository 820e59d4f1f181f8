//! Secret objects: their comments, their grants, and how they are read.

use std::collections::BTreeSet;
use std::sync::Arc;

use claviger_backend::testkit::Console as _;
use claviger_backend::testkit::{address, put_as, read};
use claviger_backend::{Backend as _, requests_of};
use claviger_backend_snowflake::{Grantee, Snowflake, SnowflakeSettings, Storage};
use claviger_core::{Detail, Format, Id, Reason, SecretBytes, SystemClock, Uid};
use claviger_seal::{Keyring, RootKey};

use crate::console::SnowflakeConsole;
use crate::support::{Account, TIMEOUT, put, reader_name};

/// A vault of another store, which knows other keys.
fn stranger(settings: &SnowflakeSettings) -> Snowflake {
    let keyring = Keyring::generate(&RootKey::generate())
        .expect("a keyring")
        .0;
    let id = Id::from_static("snow");
    let clock = Arc::new(SystemClock);
    Snowflake::new(id, settings, Arc::new(keyring), TIMEOUT, clock).expect("set up")
}

#[tokio::test]
async fn comment_of_others_goes_on_and_says_whose_the_secret_is() {
    let account = Account::start();
    let fake = &account.fake;
    let vault = account.vault(&account.settings(Storage::SecretObjects));
    fake.put_secret("SECRETS", "theirs", "a");
    let name = fake.qualified("SECRETS", "theirs");
    fake.console(&format!(
        r"ALTER SECRET {name} SET COMMENT = 'it''s for the \\ job'"
    ));
    let address = address("theirs");
    let refused = put(&vault, &address, "b").await.expect_err("foreign");
    assert_eq!(refused.reason(), Reason::SecretNotOwned);
    let write_id = Uid::random();
    put_as(&vault, &address, "b", write_id, true)
        .await
        .expect("adopted");
    put(&vault, &address, "c").await.expect("ours");
    let comment = fake.comment("SECRETS", "theirs").expect("one");
    let (note, ours) = comment.split_once('\n').expect("two lines");
    assert_eq!(note, r"it's for the \ job");
    assert!(ours.contains(&address.owner.to_string()), "{ours}");
    assert!(!ours.contains(&write_id.to_string()), "{ours}");
    assert_eq!(fake.secret("SECRETS", "theirs").as_deref(), Some("c"));
}

#[tokio::test]
async fn what_is_stored_is_granted_and_never_made_anew() {
    let account = Account::start();
    let fake = &account.fake;
    let vault = account.vault(&account.readable());
    let address = address("granted");
    let written = put(&vault, &address, "a").await.expect("written");
    assert_eq!(written.warnings, []);
    put(&vault, &address, "b").await.expect("written");
    let grants = fake.grants("SECRETS", "granted");
    let expected = fake.application();
    let to_application: Vec<_> = grants
        .iter()
        .filter(|grant| grant.grantee_kind == "APPLICATION" && grant.grantee == expected)
        .map(|grant| grant.privilege.as_str())
        .collect();
    assert_eq!(to_application, ["READ", "USAGE"]);
    assert_eq!(fake.times_set("SECRETS", "granted"), 2);
    assert_eq!(fake.statements("REPLACE SECRET"), 0);
    assert_eq!(fake.statements("DROP "), 0);
}

#[tokio::test]
async fn managed_schema_stores_the_value_and_warns_with_the_exact_grant() {
    let account = Account::start();
    let fake = &account.fake;
    let settings = SnowflakeSettings {
        schema: fake.managed_schema().to_owned(),
        grantee: Some(Grantee::Application("RUNNER \"A\"".to_owned())),
        ..account.settings(Storage::SecretObjects)
    };
    let vault = account.vault(&settings);
    let written = put(&vault, &address("it.s"), "a").await.expect("written");
    let warning = written.warnings.first().expect("one");
    assert_eq!(warning.reason, "GRANT_MISSING");
    let grant =
        r#"GRANT USAGE, READ ON SECRET "BROKER"."MANAGED"."it.s" TO APPLICATION "RUNNER ""A""""#;
    assert!(warning.message.ends_with(grant), "{}", warning.message);
    assert_eq!(fake.secret("MANAGED", "it.s").as_deref(), Some("a"));
}

#[tokio::test]
async fn without_a_reader_the_error_names_the_secret_to_use_inside() {
    let account = Account::start();
    let vault = account.vault(&account.settings(Storage::SecretObjects));
    let address = address("in.side");
    let absent = read(&vault, &address, None).await.expect_err("absent");
    assert_eq!(absent.reason(), Reason::SecretNotFound);
    let written = put(&vault, &address, "v").await.expect("written");
    for version in [
        None,
        Some(&written.version),
        Some(&Id::from_static("other")),
    ] {
        let error = read(&vault, &address, version)
            .await
            .expect_err("no reader");
        assert_eq!(error.reason(), Reason::ValueNotReadable);
        let remedy = error.detail(Detail::Remedy).expect("one");
        assert!(
            remedy.contains(r#""BROKER"."SECRETS"."in.side""#),
            "{remedy}"
        );
        assert!(remedy.contains("reader"), "{remedy}");
    }
    assert_eq!(account.fake.statements("CALL"), 0);
    let found = vault.versions(&address, None, 10).await.expect("listed");
    let versions: Vec<_> = found.into_iter().map(|info| info.version).collect();
    assert_eq!(versions, std::slice::from_ref(&written.version));
    let latest = vault.latest(&address).await.expect("told");
    assert_eq!(latest, Some(written.version));
}

#[tokio::test]
async fn secret_without_reader_procedure_is_refused_with_the_remedy() {
    let account = Account::start();
    let vault = account.vault(&account.readable());
    account.fake.put_secret("SECRETS", "bare", "v");
    let error = read(&vault, &address("bare"), None)
        .await
        .expect_err("no procedure");
    assert_eq!(error.reason(), Reason::ValueNotReadable);
    let remedy = error.detail(Detail::Remedy).expect("one");
    let name = reader_name(account.store(), "BROKER", "SECRETS", "bare");
    let name = format!(r#""BROKER"."READERS"."{name}""#);
    assert!(remedy.contains(&name), "{remedy}");
}

/// Procedures of several schemas, and of several stores, may be in one schema of readers.
#[tokio::test]
async fn secrets_of_one_name_in_two_schemas_or_stores_have_their_own_readers() {
    let account = Account::start();
    let fake = &account.fake;
    let other = SnowflakeSettings {
        schema: fake.managed_schema().to_owned(),
        ..account.readable()
    };
    let (one, two) = (account.vault(&account.readable()), account.vault(&other));
    let address = address("same");
    put(&one, &address, "one").await.expect("written");
    put(&two, &address, "two").await.expect("written");
    assert_eq!(read(&one, &address, None).await.expect("read"), "one");
    assert_eq!(read(&two, &address, None).await.expect("read"), "two");
    assert_eq!(fake.procedure_names(fake.readers_schema()).len(), 2);
    let stranger = stranger(&account.readable());
    put_as(&stranger, &address, "three", Uid::random(), true)
        .await
        .expect("adopted");
    assert_eq!(fake.procedure_names(fake.readers_schema()).len(), 3);
}

/// Snowflake does not say that a value was changed past us; the version does.
#[tokio::test]
async fn value_changed_in_snowflake_is_another_version() {
    let account = Account::start();
    let vault = account.vault(&account.readable());
    let address = address("rotated");
    let first = put(&vault, &address, "one").await.expect("written").version;
    SnowflakeConsole::of(&account).put("rotated", "two").await;
    let rotated = vault.read(&address, None).await.expect("read");
    assert_ne!(rotated.version, first);
    assert_eq!(rotated.value.expose(), b"two");
    let old = read(&vault, &address, Some(&first))
        .await
        .expect_err("gone");
    assert_eq!(old.reason(), Reason::VersionNotFound);
    let again = read(&vault, &address, Some(&rotated.version)).await;
    assert_eq!(again.expect("read"), "two");
}

#[tokio::test]
async fn binary_is_stored_as_base64_and_the_comment_says_so() {
    let account = Account::start();
    let vault = account.vault(&account.settings(Storage::SecretObjects));
    let value = SecretBytes::new(vec![0xff, 0x00]);
    let write = claviger_backend::Write {
        write_id: Uid::random(),
        value: &value,
        format: Format::Binary,
        adopt: false,
    };
    let written = vault.write(&address("bytes"), &write).await;
    written.expect("written");
    assert_eq!(
        account.fake.secret("SECRETS", "bytes").as_deref(),
        Some("/wA=")
    );
    let comment = account.fake.comment("SECRETS", "bytes").expect("one");
    assert!(comment.contains(r#""base64":true"#), "{comment}");
}

/// Not known of the real service: both are tried, and the second only if the first is refused.
#[tokio::test]
async fn where_no_bind_is_taken_the_value_is_written_out_whole() {
    let account = Account::start();
    let fake = &account.fake;
    let hostile = "it's \\ \"x\"; DROP SECRET \"a\"; -- \u{e9}\n\t$$ ? :1";
    let vault = account.vault(&account.settings(Storage::SecretObjects));
    fake.set_takes_binds_in_secrets(false);
    for name in ["a", "b"] {
        let written = put(&vault, &address(name), hostile).await.expect("written");
        let warning = written.warnings.first().expect("one");
        assert_eq!(warning.reason, "VALUE_IN_STATEMENT");
        assert!(warning.message.contains("query history"), "{warning:?}");
        assert_eq!(
            fake.secret("SECRETS", name).as_deref(),
            Some(hostile),
            "{name}"
        );
    }
    // Refused once, then not tried again.
    assert_eq!(fake.statements("SECRET_STRING = ?"), 1);
}

#[tokio::test]
async fn value_is_never_written_out_where_a_bind_was_taken_once() {
    let account = Account::start();
    let vault = account.vault(&account.settings(Storage::SecretObjects));
    let bound = put(&vault, &address("bound"), "v").await.expect("written");
    assert_eq!(bound.warnings, []);
    account.fake.set_takes_binds_in_secrets(false);
    let error = put(&vault, &address("a"), "canary").await;
    assert_eq!(error.expect_err("refused").reason(), Reason::Internal);
    assert_eq!(account.fake.statements("canary"), 0);
    assert_eq!(account.fake.secret("SECRETS", "a"), None);
}

/// Anyone who may alter a secret may write any comment.
#[tokio::test]
async fn forged_or_copied_mark_makes_no_secret_ours() {
    let account = Account::start();
    let fake = &account.fake;
    let vault = account.vault(&account.readable());
    let ours = address("ours");
    let write_id = Uid::random();
    put_as(&vault, &ours, "v", write_id, false)
        .await
        .expect("written");
    let comment = fake.comment("SECRETS", "ours").expect("one");
    let mark: String = comment.replace(&write_id.to_string(), &Uid::random().to_string());
    for (name, comment) in [("copied", &comment), ("forged", &mark)] {
        SnowflakeConsole::of(&account).put(name, "theirs").await;
        fake.console(&format!(
            "ALTER SECRET {} SET COMMENT = '{comment}'",
            fake.qualified("SECRETS", name)
        ));
        let address = claviger_backend::Address {
            secret: name.to_owned(),
            ..ours.clone()
        };
        let refused = put(&vault, &address, "w").await.expect_err("foreign");
        assert_eq!(refused.reason(), Reason::SecretNotOwned, "{name}");
        let found = vault.find_write(&address, write_id).await;
        assert_eq!(found.expect("asked"), None, "{name}");
        let reading = vault.read(&address, None).await.expect("read");
        assert!(reading.version.as_str().starts_with("value-"), "{name}");
    }
    fake.console(&format!(
        "ALTER SECRET {} SET COMMENT = '{mark}'",
        fake.qualified("SECRETS", "ours")
    ));
    let refused = put(&vault, &ours, "w").await.expect_err("foreign");
    assert_eq!(refused.reason(), Reason::SecretNotOwned);
    let before = fake.statements("");
    let listing = requests_of(async {
        let listed = vault.list(&|_| true, None, 9).await.expect("listed");
        assert_eq!(listed.len(), 3);
        assert!(listed.iter().all(|secret| !secret.is_ours), "{listed:?}");
    });
    let counted = usize::try_from(listing.await).expect("a small number");
    assert_eq!(counted, fake.statements("") - before);
}

#[tokio::test]
async fn hostile_names_are_their_own_secrets_and_no_statements() {
    let account = Account::start();
    let fake = &account.fake;
    let names = [
        "plain",
        "PLAIN",
        "a.b",
        "a\"b",
        "a\"\"b",
        "'",
        "x\"; DROP SECRET \"plain\"; --",
        "\"",
        "a b/c",
        "%_*",
        "\\",
        "\\\\",
        "$$",
        "?",
        ":1",
        "\u{e9}\u{1f511}",
    ];
    for settings in [account.readable(), account.settings(Storage::SealedTable)] {
        let vault = account.vault(&settings);
        let mut stored = Vec::new();
        for name in names {
            let address = address(name);
            let written = put(&vault, &address, name).await.expect(name);
            stored.push((address, written.version));
        }
        for (address, version) in &stored {
            let value = read(&vault, address, Some(version))
                .await
                .expect(&address.secret);
            assert_eq!(value, address.secret);
        }
        let listed = vault.list(&|_| true, None, 100).await.expect("listed");
        let listed: Vec<_> = listed.into_iter().map(|secret| secret.name).collect();
        let mut expected = names.map(str::to_owned);
        expected.sort();
        assert_eq!(listed, expected);
    }
    let made: BTreeSet<String> = fake.secret_names("SECRETS").into_iter().collect();
    assert_eq!(made, names.map(str::to_owned).into());
}
