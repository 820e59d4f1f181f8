//! Log-ins: which calls make them, how often, and how refused ones end.

use std::sync::Arc;
use std::time::Duration;

use claviger_backend::Backend as _;
use claviger_backend::testkit::{address, read};
use claviger_backend_snowflake::{Snowflake, SnowflakeSettings, Storage};
use claviger_core::{Detail, Id, ManualClock, Reason, Result};
use claviger_seal::{Keyring, RootKey};
use claviger_snowflake_fake::Fault;
use tokio::task::JoinSet;

use crate::support::{Account, TIMEOUT, put};

const READERS: usize = 50;

async fn fifty_reads(vault: &Arc<Snowflake>) -> Vec<Result<String>> {
    let mut readers = JoinSet::new();
    for _ in 0..READERS {
        let vault = Arc::clone(vault);
        readers.spawn(async move { read(&*vault, &address("acme"), None).await });
    }
    readers.join_all().await
}

#[tokio::test]
async fn fifty_waiting_readers_log_in_once() {
    let account = Account::start();
    account.vault(&account.settings(Storage::SealedTable));
    put(&account.vault(&account.readable()), &address("acme"), "v")
        .await
        .expect("written");
    let vault = Arc::new(account.vault(&account.readable()));
    let before = account.fake.logins();
    for (logins, code) in [
        (1, "390112"),
        (2, "390104"),
        (3, "401"),
        (4, "390111"),
        (5, "390114"),
    ] {
        for outcome in fifty_reads(&vault).await {
            assert_eq!(outcome.expect("read"), "v", "{code}");
        }
        assert_eq!(account.fake.logins() - before, logins, "before {code}");
        account.fake.expire_sessions(code);
    }
}

/// Fifty wrong ones would lock the user.
#[tokio::test]
async fn fifty_waiting_readers_are_refused_by_one_login() {
    let account = Account::start();
    account.fake.fault_login(1, Fault::Hang);
    let settings = SnowflakeSettings {
        private_key_file: account.write("other.pem", &account.fake.unknown_key_pem()),
        ..account.readable()
    };
    let vault = Arc::new(account.vault(&settings));
    let (outcomes, ()) = tokio::join!(fifty_reads(&vault), async {
        account.fake.held(1).await;
        account.fake.release();
    });
    for outcome in outcomes {
        let error = outcome.expect_err("refused");
        assert_eq!(error.reason(), Reason::VaultCredentialsRejected);
        assert!(
            error
                .detail(Detail::Remedy)
                .expect("one")
                .contains("DESC USER")
        );
        assert!(!format!("{error:?}").contains("JWT"), "{error:?}");
    }
    assert_eq!(account.fake.logins(), 1);
}

#[tokio::test]
async fn session_is_made_again_once_and_no_more() {
    let account = Account::start();
    let vault = account.vault(&account.readable());
    for code in ["390104", "390111", "390112", "390114"] {
        let logins = account.fake.logins();
        account.fake.fault("SHOW SECRETS", 2, Fault::session(code));
        let error = vault.check().await.expect_err("refused twice");
        assert_eq!(error.reason(), Reason::VaultCredentialsRejected, "{code}");
        account.fake.release();
        vault.check().await.expect("well");
        let made = account.fake.logins() - logins;
        assert!(made <= 2, "{code}: {made}");
    }
}

#[tokio::test]
async fn replicated_account_is_logged_in_to_by_its_name() {
    let account = Account::start();
    let settings = SnowflakeSettings {
        account: format!("{}-ab12cd34.global", account.fake.account()),
        ..account.settings(Storage::SealedTable)
    };
    account.vault(&settings).check().await.expect("logged in");
}

#[tokio::test]
async fn unknown_user_or_an_outage_of_log_ins_has_its_reason() {
    let account = Account::start();
    let stranger = SnowflakeSettings {
        user: "NOBODY".to_owned(),
        ..account.readable()
    };
    let error = account.vault(&stranger).check().await.expect_err("unknown");
    assert_eq!(error.reason(), Reason::VaultCredentialsRejected);
    for (fault, reason) in [
        (Fault::Status(429), Reason::VaultUnreachable),
        (Fault::Status(503), Reason::VaultUnreachable),
        (Fault::CutBefore, Reason::VaultUnreachable),
        (Fault::HalfBody, Reason::VaultUnreachable),
        (Fault::invalid_token(), Reason::VaultCredentialsRejected),
    ] {
        account.fake.fault_login(1, fault.clone());
        let vault = account.vault(&account.settings(Storage::SealedTable));
        // Nothing was sent but the log-in, so nothing can have been stored.
        let error = put(&vault, &address("acme"), "v")
            .await
            .expect_err("no session");
        assert_eq!(error.reason(), reason, "{fault:?}");
        if reason == Reason::VaultCredentialsRejected {
            continue;
        }
        put(&vault, &address("acme"), "v")
            .await
            .expect("the next one works");
    }
}

#[tokio::test]
async fn refused_log_in_is_not_tried_again_at_once() {
    let account = Account::start();
    let clock = Arc::new(ManualClock::at(Duration::from_secs(1_000)));
    let keyring = Keyring::generate(&RootKey::generate())
        .expect("a keyring")
        .0;
    let (id, settings) = (
        Id::from_static("snow"),
        account.settings(Storage::SealedTable),
    );
    let vault = Snowflake::new(id, &settings, Arc::new(keyring), TIMEOUT, clock.clone());
    let vault = vault.expect("set up");
    account.fake.fault_login(1, Fault::invalid_token());
    for _ in 0..3 {
        let error = vault.check().await.expect_err("refused");
        assert_eq!(error.reason(), Reason::VaultCredentialsRejected);
        clock.advance(Duration::from_secs(1));
    }
    assert_eq!(account.fake.logins(), 1);
    clock.advance(Duration::from_secs(2));
    vault.check().await.expect("logged in");
    assert_eq!(account.fake.logins(), 2);
}

/// The refused statement was not looked at, so it is safe to send again.
#[tokio::test]
async fn write_whose_session_is_gone_is_stored_once() {
    let account = Account::start();
    for (settings, statement) in [
        (account.settings(Storage::SealedTable), "MERGE"),
        (account.readable(), "CREATE SECRET"),
    ] {
        let vault = account.vault(&settings);
        account.fake.fault(statement, 1, Fault::session("390112"));
        let address = address("acme");
        put(&vault, &address, "v").await.expect("written");
        let versions = vault.versions(&address, None, 10).await;
        assert_eq!(versions.expect("listed").len(), 1);
        assert_eq!(account.fake.statements(statement), 2);
    }
    assert_eq!(account.fake.times_set("SECRETS", "acme"), 1);
}

#[tokio::test]
async fn log_in_names_the_role_and_limits_statements() {
    let account = Account::start();
    let settings = SnowflakeSettings {
        warehouse: Some("small one".to_owned()),
        ..account.settings(Storage::SealedTable)
    };
    account
        .vault(&settings)
        .check()
        .await
        .expect("no warehouse is needed");
    let sent = account.fake.requests();
    let login = sent
        .iter()
        .find(|request| request.path.contains("login-request"));
    let login = login.expect("logged in");
    assert!(login.path.contains("roleName=CLAVIGER&") || login.path.ends_with("roleName=CLAVIGER"));
    // What Snowflake would read as SMALL ONE, if at all.
    assert!(
        login.path.contains("warehouse=%22small+one%22"),
        "{}",
        login.path
    );
    let seconds = TIMEOUT.as_secs() / 2;
    let limit = format!("\"STATEMENT_TIMEOUT_IN_SECONDS\":{seconds}");
    assert!(login.body.contains(&limit), "{}", login.body);
    for pinned in [
        r#""AUTOCOMMIT":true"#,
        r#""BINARY_OUTPUT_FORMAT":"HEX""#,
        r#""MULTI_STATEMENT_COUNT":1"#,
        r#""QUOTED_IDENTIFIERS_IGNORE_CASE":false"#,
        r#""ROWS_PER_RESULTSET":0"#,
    ] {
        assert!(login.body.contains(pinned), "{pinned}: {}", login.body);
    }
}
