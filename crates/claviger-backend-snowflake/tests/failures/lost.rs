//! Writes whose answer does not come.

use std::time::Duration;

use claviger_backend::testkit::{address, put_as, read};
use claviger_backend::{Backend as _, VersionState};
use claviger_backend_snowflake::Storage;
use claviger_core::{Id, Reason, Uid};
use claviger_snowflake_fake::Fault;

use crate::support::{Account, put};

const TABLE: &str = "\"BROKER\".\"SECRETS\".\"CLAVIGER_SEALED\"";

/// A statement is given half of it.
const SHORT: Duration = Duration::from_secs(3);

#[tokio::test]
async fn row_that_was_stored_is_found_and_a_repeat_stores_none() {
    let account = Account::start();
    let vault = account.vault_with(&account.settings(Storage::SealedTable), SHORT);
    for (count, fault) in [Fault::CutAfter, Fault::HalfBody, Fault::HangAfter]
        .into_iter()
        .enumerate()
    {
        let address = address("acme");
        for text in ["created", "changed"] {
            let write_id = Uid::random();
            account.fake.fault("MERGE", 1, fault.clone());
            let written = put_as(&vault, &address, text, write_id, false).await;
            let written = written.unwrap_or_else(|error| panic!("{fault:?}: {error:?}"));
            assert_eq!(written.version.as_str(), write_id.to_string());
            let again = put_as(&vault, &address, text, write_id, false).await;
            assert_eq!(again.expect("repeated"), written);
            assert_eq!(
                account.fake.rows(TABLE, &format!("VERSION = '{write_id}'")),
                1
            );
            let value = read(&vault, &address, Some(&written.version)).await;
            assert_eq!(value.expect("read"), text);
        }
        assert_eq!(account.fake.rows(TABLE, "TRUE"), 2 * (count + 1));
        account.fake.release();
    }
}

#[tokio::test]
async fn secret_that_was_stored_is_found_and_a_repeat_stores_none() {
    let account = Account::start();
    let vault = account.vault_with(&account.readable(), SHORT);
    for (name, fault) in [
        ("cut", Fault::CutAfter),
        ("half", Fault::HalfBody),
        ("hang", Fault::HangAfter),
    ] {
        let address = address(name);
        for (count, statement) in [(1, "CREATE SECRET"), (2, "ALTER SECRET")] {
            let write_id = Uid::random();
            account.fake.fault(statement, 1, fault.clone());
            let written = put_as(&vault, &address, statement, write_id, false).await;
            let written = written.unwrap_or_else(|error| panic!("{name}: {error:?}"));
            let again = put_as(&vault, &address, statement, write_id, false).await;
            assert_eq!(again.expect("repeated"), written);
            assert_eq!(account.fake.times_set("SECRETS", name), count, "{name}");
            assert_eq!(read(&vault, &address, None).await.expect("read"), statement);
        }
        account.fake.release();
    }
}

#[tokio::test]
async fn write_that_never_came_is_of_unknown_outcome_and_its_repeat_stores_one() {
    let account = Account::start();
    for (settings, statement) in [
        (account.settings(Storage::SealedTable), "MERGE"),
        (account.readable(), "CREATE SECRET"),
    ] {
        let vault = account.vault(&settings);
        let address = address("acme");
        let write_id = Uid::random();
        account.fake.fault(statement, 1, Fault::CutBefore);
        let lost = put_as(&vault, &address, "v", write_id, false).await;
        assert_eq!(
            lost.expect_err("lost").reason(),
            Reason::WriteOutcomeUnknown
        );
        assert_eq!(
            vault.find_write(&address, write_id).await.expect("asked"),
            None
        );
        let written = put_as(&vault, &address, "v", write_id, false).await;
        let version = written.expect("repeated").version;
        let found = vault.find_write(&address, write_id).await;
        assert_eq!(found.expect("asked"), Some(version.clone()));
        let versions = vault.versions(&address, None, 10).await.expect("listed");
        let versions: Vec<Id> = versions.into_iter().map(|info| info.version).collect();
        assert_eq!(versions, [version]);
    }
}

/// Nothing is said to be stored that nobody has seen.
#[tokio::test]
async fn write_that_cannot_be_looked_for_is_of_unknown_outcome() {
    let account = Account::start();
    let vault = account.vault_with(&account.settings(Storage::SealedTable), SHORT);
    let address = address("acme");
    let write_id = Uid::random();
    account.fake.fault("MERGE", 1, Fault::HangAfter);
    let writing = put_as(&vault, &address, "v", write_id, false);
    let (lost, ()) = tokio::join!(writing, async {
        account.fake.held(1).await;
        account.fake.fault("SELECT", 1, Fault::CutBefore);
    });
    let reason = lost.expect_err("lost").reason();
    assert_eq!(reason, Reason::WriteOutcomeUnknown);
    account.fake.release();
    let again = put_as(&vault, &address, "v", write_id, false).await;
    assert_eq!(
        again.expect("repeated").version.as_str(),
        write_id.to_string()
    );
    assert_eq!(
        account.fake.rows(TABLE, &format!("VERSION = '{write_id}'")),
        1
    );
}

/// Snowflake lets two statements insert side by side where there is nothing that both change.
#[tokio::test]
async fn of_two_first_versions_at_once_the_smallest_stays() {
    let account = Account::start();
    let vault = account.vault(&account.settings(Storage::SealedTable));
    for (twin, won) in [
        ("00000000-0000-0000-0000-000000000000", false),
        ("zzzzzzzz", true),
    ] {
        let address = address("twins");
        let write_id = Uid::random();
        account.fake.fault("MERGE", 1, Fault::HangAfter);
        let writing = put_as(&vault, &address, "v", write_id, false);
        let (written, ()) = tokio::join!(writing, async {
            account.fake.held(1).await;
            account.fake.console(&format!(
                "INSERT INTO {TABLE} SELECT STORE, SECRET, DEFINITION, SEQUENCE, '{twin}', KEY_ID, \
                 SEALED, CREATED_MS, STATE, IS_NEWEST FROM {TABLE} WHERE VERSION = '{write_id}'"
            ));
            account.fake.release();
        });
        match written {
            Ok(written) => assert_eq!(written.version.as_str(), write_id.to_string()),
            Err(error) => assert_eq!(error.reason(), Reason::WriteInProgress),
        }
        let own = format!("VERSION = '{write_id}'");
        assert_eq!(account.fake.rows(TABLE, &own), usize::from(won), "{twin}");
        assert_eq!(account.fake.rows(TABLE, &format!("VERSION = '{twin}'")), 1);
    }
}

#[tokio::test]
async fn version_that_is_destroyed_meanwhile_is_not_said_to_be_enabled() {
    let account = Account::start();
    let vault = account.vault(&account.settings(Storage::SealedTable));
    for (change, state, expected) in [
        (
            "UPDATE {} SET STATE = 'DESTROYED', SEALED = NULL, KEY_ID = NULL",
            VersionState::Disabled,
            Err(Reason::VersionDestroyed),
        ),
        (
            "UPDATE {} SET STATE = 'DESTROYED', SEALED = NULL, KEY_ID = NULL",
            VersionState::Destroyed,
            Ok(VersionState::Destroyed),
        ),
        (
            "DELETE FROM {}",
            VersionState::Disabled,
            Err(Reason::VersionNotFound),
        ),
    ] {
        let address = address("acme");
        let version = put(&vault, &address, "v").await.expect("written").version;
        account.fake.fault("UPDATE ", 1, Fault::Hang);
        let setting = vault.set_state(&address, &version, state);
        let (set, ()) = tokio::join!(setting, async {
            account.fake.held(1).await;
            account.fake.console(&change.replace("{}", TABLE));
            account.fake.release();
        });
        let set = set.map(|info| info.state).map_err(|error| error.reason());
        assert_eq!(set, expected, "{change}");
    }
}

/// A warehouse that starts slowly, or a statement that hangs, is nobody else's.
#[tokio::test]
async fn one_hanging_statement_holds_no_other_up() {
    let account = Account::start();
    let vault = account.vault(&account.settings(Storage::SealedTable));
    let address = address("acme");
    let version = put(&vault, &address, "v").await.expect("written").version;
    account.fake.fault("SELECT", 1, Fault::Hang);
    let slow = read(&vault, &address, Some(&version));
    let others = async {
        account.fake.held(1).await;
        for _ in 0..20 {
            assert_eq!(
                read(&vault, &address, Some(&version)).await.expect("read"),
                "v"
            );
        }
        account.fake.release();
    };
    let (slow, ()) = tokio::join!(slow, others);
    assert_eq!(slow.expect("read"), "v");
}

#[tokio::test]
async fn statement_that_hangs_is_given_up() {
    let account = Account::start();
    let vault = account.vault_with(&account.settings(Storage::SealedTable), SHORT);
    let address = address("acme");
    let version = put(&vault, &address, "v").await.expect("written").version;
    account.fake.fault("SELECT", 1, Fault::Hang);
    let error = read(&vault, &address, Some(&version))
        .await
        .expect_err("hangs");
    assert_eq!(error.reason(), Reason::VaultUnreachable);
    assert_eq!(
        read(&vault, &address, Some(&version)).await.expect("read"),
        "v"
    );
}
