//! Sealed rows: how much Snowflake gets to see, how moved rows end, and which writer wins.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use claviger_backend::testkit::{address, put_as, read};
use claviger_backend::{Backend as _, VersionState};
use claviger_backend_snowflake::Storage;
use claviger_core::{Id, Reason, Uid};
use claviger_snowflake_fake::Fault;

use crate::support::{Account, put};

const TABLE: &str = "\"BROKER\".\"SECRETS\".\"CLAVIGER_SEALED\"";

const CANARY: &str = "canary'\"\\-~7f3a\u{e9}";

/// The canary as it could stand in a request.
fn encodings() -> [String; 8] {
    let bytes = CANARY.as_bytes();
    let hex: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
    let escaped = |text: &str| text.replace('\\', "\\\\").replace('"', "\\\"");
    let percent: String = bytes.iter().map(|byte| format!("%{byte:02X}")).collect();
    let base64 = |alphabet: &[u8; 64]| encode_base64(bytes, alphabet);
    let reversed: String = CANARY.chars().rev().collect();
    [
        CANARY.to_owned(),
        escaped(CANARY),
        escaped(&CANARY.replace('\\', "\\\\").replace('\'', "''")),
        hex.clone(),
        hex.to_uppercase(),
        base64(b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"),
        percent,
        reversed,
    ]
}

/// Without padding and the last group, so that it is found wherever the whole is.
fn encode_base64(bytes: &[u8], alphabet: &[u8; 64]) -> String {
    let groups = bytes.chunks_exact(3).flat_map(|group| {
        let bits = group
            .iter()
            .fold(0_usize, |bits, byte| bits << 8 | usize::from(*byte));
        [18, 12, 6, 0].map(|shift| char::from(alphabet[bits >> shift & 63]))
    });
    groups.collect()
}

#[tokio::test]
async fn no_value_reaches_snowflake_in_any_encoding() {
    let account = Account::start();
    let sealed = account.vault(&account.settings(Storage::SealedTable));
    let address = address("acme");
    let written = put(&sealed, &address, CANARY).await.expect("written");
    let version = Some(&written.version);
    assert_eq!(
        read(&sealed, &address, version).await.expect("read"),
        CANARY
    );
    for state in [
        VersionState::Disabled,
        VersionState::Enabled,
        VersionState::Destroyed,
    ] {
        let set = sealed.set_state(&address, &written.version, state).await;
        set.expect("set");
    }
    let sent = account.fake.requests();
    assert!(
        sent.iter().any(|request| request.body.contains("MERGE")),
        "{}",
        sent.len()
    );
    let found = |needle: &str| {
        let holds = |text: &str| {
            text.contains(needle) || text.to_lowercase().contains(&needle.to_lowercase())
        };
        sent.iter()
            .any(|request| holds(&request.body) || holds(&request.path))
    };
    for encoding in encodings() {
        assert!(!found(&encoding), "sent: {encoding}");
    }
    // The search finds what is there: the same value as a secret object.
    let objects = account.vault(&account.settings(Storage::SecretObjects));
    put(&objects, &self::address("plain"), CANARY)
        .await
        .expect("written");
    let sent = account.fake.requests();
    let [_, in_json, ..] = encodings();
    assert!(sent.iter().any(|request| request.body.contains(&in_json)));
}

#[tokio::test]
async fn swapped_rows_do_not_open() {
    let account = Account::start();
    let vault = account.vault(&account.settings(Storage::SealedTable));
    let (one, two) = (address("one"), address("two"));
    let of_one = put(&vault, &one, "first").await.expect("written").version;
    let newer = put(&vault, &one, "second").await.expect("written").version;
    let of_two = put(&vault, &two, "other").await.expect("written").version;
    let of = |version: &Id| format!("VERSION = '{version}'");
    for other in [&newer, &of_two] {
        account
            .fake
            .swap(TABLE, &["SEALED"], &of(&of_one), &of(other));
        let error = read(&vault, &one, Some(&of_one))
            .await
            .expect_err("swapped");
        assert_eq!(error.reason(), Reason::IntegrityFailure);
        account
            .fake
            .swap(TABLE, &["SEALED"], &of(&of_one), &of(other));
    }
    assert_eq!(
        read(&vault, &one, Some(&of_one)).await.expect("back"),
        "first"
    );
    account.fake.console(&format!(
        "UPDATE {TABLE} SET SEALED = NULL WHERE VERSION = '{of_two}'"
    ));
    let error = read(&vault, &two, Some(&of_two)).await.expect_err("gone");
    assert_eq!(error.reason(), Reason::IntegrityFailure);
}

#[tokio::test]
async fn holders_are_counted_by_key_and_after_a_restart() {
    let account = Account::start();
    let settings = account.settings(Storage::SealedTable);
    let vault = account.vault(&settings);
    assert_eq!(vault.holders().await.expect("counted"), BTreeMap::new());
    let address = address("acme");
    let first = put(&vault, &address, "a").await.expect("written").version;
    put(&vault, &address, "b").await.expect("written");
    put(&vault, &self::address("other"), "c")
        .await
        .expect("written");
    assert_eq!(
        vault.holders().await.expect("counted"),
        BTreeMap::from([(1, 3)])
    );
    let destroyed = vault
        .set_state(&address, &first, VersionState::Destroyed)
        .await;
    destroyed.expect("destroyed");
    let restarted = account.vault(&settings);
    assert_eq!(
        restarted.holders().await.expect("counted"),
        BTreeMap::from([(1, 2)])
    );
    restarted.purge(&address).await.expect("purged");
    assert_eq!(
        restarted.holders().await.expect("counted"),
        BTreeMap::from([(1, 1)])
    );
}

/// Eight vaults, each with a session of its own, all of which have seen the same newest version when
/// the first of them stores another.
#[tokio::test]
async fn of_eight_writers_at_once_one_wins_each_round() {
    const WRITERS: usize = 8;
    let rounds = 100;
    let account = Account::start();
    let settings = account.settings(Storage::SealedTable);
    let vaults: Vec<_> = (0..WRITERS)
        .map(|_| Arc::new(account.vault(&settings)))
        .collect();
    let address = address("race");
    let mut winners = BTreeSet::new();
    for round in 0..rounds {
        account.fake.fault("MERGE", WRITERS, Fault::Hang);
        let mut writers = tokio::task::JoinSet::new();
        for vault in &vaults {
            let (vault, address) = (Arc::clone(vault), address.clone());
            writers.spawn(async move { put(&vault, &address, "v").await });
        }
        account.fake.held(WRITERS).await;
        account.fake.release();
        let outcomes = writers.join_all().await;
        let (won, lost): (Vec<_>, Vec<_>) = outcomes.into_iter().partition(Result::is_ok);
        assert_eq!(won.len(), 1, "round {round}: {lost:?}");
        for error in lost {
            let reason = error.expect_err("lost").reason();
            assert_eq!(reason, Reason::WriteInProgress, "round {round}");
        }
        let version = won.into_iter().next().expect("one").expect("won").version;
        assert_eq!(account.fake.rows(TABLE, "IS_NEWEST"), 1, "round {round}");
        assert!(winners.insert(version.to_string()), "round {round}");
    }
    let listed = vaults[0]
        .versions(&address, None, 1000)
        .await
        .expect("listed");
    let listed: BTreeSet<_> = listed.iter().map(|info| info.version.to_string()).collect();
    assert_eq!(listed, winners);
}

/// Where Snowflake let two writers in: nothing is lost, and both are told apart.
#[tokio::test]
async fn two_rows_of_one_number_are_two_versions() {
    let account = Account::start();
    let vault = account.vault(&account.settings(Storage::SealedTable));
    let address = address("twins");
    let one = put(&vault, &address, "one").await.expect("written").version;
    let two = put(&vault, &address, "two").await.expect("written").version;
    account.fake.console(&format!(
        "UPDATE {TABLE} SET SEQUENCE = 1, IS_NEWEST = TRUE"
    ));
    for (version, text) in [(&one, "one"), (&two, "two")] {
        assert_eq!(
            read(&vault, &address, Some(version)).await.expect("read"),
            text
        );
    }
    let three = put(&vault, &address, "three")
        .await
        .expect("written")
        .version;
    let versions = vault.versions(&address, None, 10).await.expect("listed");
    assert_eq!(versions.first().map(|info| &info.version), Some(&three));
    assert_eq!(versions.len(), 3);
}

/// Should a repeat have been executed beside its first: one version, whole and changed as one.
#[tokio::test]
async fn two_rows_of_one_write_are_one_version() {
    let account = Account::start();
    let vault = account.vault(&account.settings(Storage::SealedTable));
    let address = address("twice");
    let write_id = Uid::random();
    let written = put_as(&vault, &address, "v", write_id, false)
        .await
        .expect("written");
    account
        .fake
        .console(&format!("INSERT INTO {TABLE} SELECT * FROM {TABLE}"));
    assert_eq!(account.fake.rows(TABLE, "TRUE"), 2);
    let again = put_as(&vault, &address, "v", write_id, false)
        .await
        .expect("written");
    assert_eq!(written, again);
    let versions = vault.versions(&address, None, 10).await.expect("listed");
    assert_eq!(versions.len(), 1);
    let version = &written.version;
    assert_eq!(
        read(&vault, &address, Some(version)).await.expect("read"),
        "v"
    );
    let destroyed = vault
        .set_state(&address, version, VersionState::Destroyed)
        .await;
    destroyed.expect("destroyed");
    assert_eq!(account.fake.rows(TABLE, "SEALED IS NOT NULL"), 0);
}

#[tokio::test]
async fn row_longer_than_any_value_is_not_fetched() {
    let account = Account::start();
    let vault = account.vault(&account.settings(Storage::SealedTable));
    let address = address("long");
    let version = put(&vault, &address, "v").await.expect("written").version;
    let long = "AB".repeat(70_000);
    account.fake.console(&format!(
        "UPDATE {TABLE} SET SEALED = TO_BINARY('{long}', 'HEX')"
    ));
    let error = read(&vault, &address, Some(&version)).await;
    assert_eq!(error.expect_err("long").reason(), Reason::IntegrityFailure);
}

#[tokio::test]
async fn key_that_cannot_be_counted_is_an_error() {
    let account = Account::start();
    let vault = account.vault(&account.settings(Storage::SealedTable));
    put(&vault, &address("acme"), "v").await.expect("written");
    account
        .fake
        .console(&format!("UPDATE {TABLE} SET KEY_ID = -1"));
    let error = vault.holders().await.expect_err("unreadable");
    assert_eq!(error.reason(), Reason::VaultUnreachable);
}

#[tokio::test]
async fn definition_reads_no_rows_of_another() {
    let account = Account::start();
    let vault = account.vault(&account.settings(Storage::SealedTable));
    let (one, other) = (address("shared"), address("shared"));
    let version = put(&vault, &one, "mine").await.expect("written").version;
    let error = read(&vault, &other, Some(&version))
        .await
        .expect_err("another's");
    assert_eq!(error.reason(), Reason::VersionNotFound);
    put(&vault, &other, "theirs").await.expect("written");
    vault.purge(&other).await.expect("purged");
    assert_eq!(
        read(&vault, &one, Some(&version)).await.expect("read"),
        "mine"
    );
}
