//! One table: what goes wrong with which statement, and the reason it becomes.

use claviger_backend::testkit::{address, read};
use claviger_backend::{Backend as _, VersionState};
use claviger_backend_snowflake::{SnowflakeSettings, Storage};
use claviger_core::{Detail, Error, Reason};
use claviger_snowflake_fake::Fault;
use claviger_stub::{Reply, Stub};

use crate::support::{Account, put, reader_name};

/// Stored and bound; must be in no error.
const VALUE: &str = "canary-value";

/// Nothing of what came from Snowflake is for clients, and neither statements nor values for logs.
fn safe(error: Error) -> Error {
    let logged = format!("{error:?}");
    let upstream = [
        "canary",
        "SQL",
        "MERGE",
        "Insufficient",
        "session",
        "unavailable",
        "JWT",
    ];
    let in_causes = logged.split("caused by").nth(1).unwrap_or_default();
    for text in upstream {
        assert!(!in_causes.contains(text), "{logged}");
    }
    assert!(!logged.contains("canary"), "{logged}");
    assert!(!logged.contains(['\r', '\n']), "{logged}");
    error
}

/// Of the statement that reads a row.
#[tokio::test]
async fn every_answer_has_its_reason_and_remedy() {
    let account = Account::start();
    let sealed = account.vault(&account.settings(Storage::SealedTable));
    let address = address("acme");
    let written = put(&sealed, &address, VALUE).await.expect("written");
    let row = Some(&written.version);
    let coded = |code| Fault::error(code, "42501", "SQL compilation: canary\r\n'x'");
    let on_table = "GRANT SELECT, INSERT, UPDATE, DELETE ON TABLE";
    let (denied, rejected) = (Reason::VaultAccessDenied, Reason::VaultCredentialsRejected);
    let unreachable = Reason::VaultUnreachable;
    for (fault, reason, word) in [
        (coded("003001"), denied, on_table),
        (Fault::missing_object(), denied, on_table),
        (coded("002003"), denied, on_table),
        (coded("999999"), denied, "the log has its code"),
        (coded("001003"), Reason::Internal, ""),
        (
            Fault::suspended_warehouse(),
            unreachable,
            "failure of its own",
        ),
        (coded("000606"), unreachable, "failure of its own"),
        (coded("000630"), unreachable, "does not answer in time"),
        (coded("390505"), unreachable, "asked too often"),
        (coded("390112"), rejected, "clock"),
        (Fault::session("390114"), rejected, "clock"),
        (Fault::Status(401), rejected, "clock"),
        // The guard says so of an emulator.
        (Fault::CutBefore, unreachable, "failure of its own"),
        (Fault::HalfBody, unreachable, "failure of its own"),
    ] {
        account.fake.fault("SELECT", usize::MAX, fault.clone());
        let error = read(&sealed, &address, row).await;
        let error = error.expect_err("refused");
        assert_eq!(error.reason(), reason, "{fault:?}");
        assert!(error.to_string().contains(word), "{fault:?}: {error}");
        let logged = format!("{error:?}");
        assert!(
            !logged.contains("canary") && !logged.contains("SQL"),
            "{logged}"
        );
        account.fake.release();
        let again = read(&sealed, &address, row).await;
        assert_eq!(again.expect("well again"), VALUE, "{fault:?}");
    }
}

#[tokio::test]
async fn refused_statements_name_the_grant() {
    let account = Account::start();
    let objects = account.vault(&account.readable());
    let sealed = account.vault(&account.settings(Storage::SealedTable));
    let address = address("acme");
    let written = put(&objects, &address, VALUE).await.expect("written");
    let row = put(&sealed, &address, VALUE)
        .await
        .expect("written")
        .version;
    let denied = || Fault::insufficient_privileges("secret", VALUE);
    let on_secret = r#"ON SECRET "BROKER"."SECRETS"."acme" TO ROLE "CLAVIGER""#;
    let on_table = concat!(
        "GRANT SELECT, INSERT, UPDATE, DELETE ON TABLE ",
        r#""BROKER"."SECRETS"."CLAVIGER_SEALED" TO ROLE "CLAVIGER""#
    );

    let reader = reader_name(account.store(), "BROKER", "SECRETS", "acme");
    for (statement, remedy) in [
        ("DESCRIBE SECRET", format!("GRANT USAGE {on_secret}")),
        (
            "CALL",
            format!(r#"GRANT USAGE ON PROCEDURE "BROKER"."READERS"."{reader}"() TO ROLE"#),
        ),
    ] {
        account.fake.fault(statement, 1, denied());
        let error = read(&objects, &address, Some(&written.version)).await;
        assert_denied(error.expect_err(statement), &remedy);
    }
    account.fake.fault("ALTER SECRET", 1, denied());
    let error = put(&objects, &address, VALUE).await.expect_err("denied");
    assert_denied(error, &format!("GRANT MODIFY {on_secret}"));
    account.fake.fault("CREATE SECRET", 1, denied());
    let fresh = self::address("fresh");
    let error = put(&objects, &fresh, VALUE).await.expect_err("denied");
    let remedy = r#"GRANT CREATE SECRET ON SCHEMA "BROKER"."SECRETS" TO ROLE "CLAVIGER""#;
    assert_denied(error, remedy);
    account.fake.fault("SHOW SECRETS", 1, denied());
    let error = objects.check().await.expect_err("denied");
    assert_denied(error, r#"GRANT USAGE ON SCHEMA "BROKER"."SECRETS""#);

    account.fake.fault("SELECT", 1, denied());
    let error = read(&sealed, &address, Some(&row))
        .await
        .expect_err("denied");
    assert_denied(error, on_table);
    account.fake.fault("MERGE", 1, denied());
    assert_denied(
        put(&sealed, &address, VALUE).await.expect_err("denied"),
        on_table,
    );
    account.fake.fault("UPDATE ", 1, denied());
    let set = sealed
        .set_state(&address, &row, VersionState::Disabled)
        .await;
    assert_denied(set.expect_err("denied"), on_table);
}

fn assert_denied(error: Error, remedy: &str) {
    let error = safe(error);
    assert_eq!(error.reason(), Reason::VaultAccessDenied);
    let found = error.detail(Detail::Remedy).expect("one");
    assert!(found.contains(remedy), "{found}");
}

#[tokio::test]
async fn reader_that_cannot_be_made_is_a_warning() {
    let account = Account::start();
    let objects = account.vault(&account.readable());
    let address = address("acme");
    account.fake.fault(
        "CREATE OR REPLACE PROCEDURE",
        1,
        Fault::insufficient_privileges("x", "y"),
    );
    let written = put(&objects, &address, VALUE).await.expect("written");
    let warning = written.warnings.first().expect("one");
    assert_eq!(warning.reason, "READER_MISSING");
    let grant = r#"GRANT USAGE ON INTEGRATION "CLAVIGER_EAI" TO ROLE "CLAVIGER""#;
    assert!(warning.message.contains(grant), "{}", warning.message);
    let error = read(&objects, &address, None)
        .await
        .expect_err("no procedure");
    assert_eq!(error.reason(), Reason::ValueNotReadable);
}

#[tokio::test]
async fn missing_schema_is_not_a_missing_secret() {
    let account = Account::start();
    for storage in [Storage::SecretObjects, Storage::SealedTable] {
        let settings = SnowflakeSettings {
            schema: "nowhere".to_owned(),
            ..account.settings(storage)
        };
        let vault = account.vault(&settings);
        let address = address("acme");
        let error = safe(vault.check().await.expect_err("no schema"));
        assert_eq!(error.reason(), Reason::VaultAccessDenied, "{storage:?}");
        let error = safe(put(&vault, &address, VALUE).await.expect_err("no schema"));
        assert_eq!(error.reason(), Reason::VaultAccessDenied, "{storage:?}");
        let remedy = error.detail(Detail::Remedy).expect("one");
        assert!(remedy.contains(r#""BROKER"."nowhere""#), "{remedy}");
    }
}

#[tokio::test]
async fn suspended_warehouse_throttling_and_outages_are_unreachable() {
    let account = Account::start();
    let sealed = account.vault(&account.settings(Storage::SealedTable));
    let objects = account.vault(&account.readable());
    let address = address("acme");
    let row = put(&sealed, &address, VALUE)
        .await
        .expect("written")
        .version;
    put(&objects, &address, VALUE).await.expect("written");
    account.fake.suspend_warehouse();
    for error in [
        read(&sealed, &address, Some(&row))
            .await
            .expect_err("suspended"),
        put(&sealed, &address, VALUE).await.expect_err("suspended"),
        read(&objects, &address, None).await.expect_err("suspended"),
    ] {
        let error = safe(error);
        assert_eq!(error.reason(), Reason::VaultUnreachable);
        assert!(
            format!("{error:?}").contains("ALTER WAREHOUSE"),
            "{error:?}"
        );
    }
    // Storing a secret needs none.
    put(&objects, &address, VALUE).await.expect("written");
    account.fake.resume_warehouse();
    for (status, is_busy, write, cause) in [
        (429, true, Reason::VaultUnreachable, "THROTTLED"),
        (503, true, Reason::WriteOutcomeUnknown, "SERVER_ERROR"),
        (504, false, Reason::WriteOutcomeUnknown, "TIMEOUT"),
        (500, false, Reason::WriteOutcomeUnknown, "SERVER_ERROR"),
        (403, false, Reason::VaultUnreachable, "SERVER_ERROR"),
    ] {
        account.fake.fault("SELECT", 1, Fault::Status(status));
        let error = safe(
            read(&sealed, &address, Some(&row))
                .await
                .expect_err("refused"),
        );
        assert_eq!(error.reason(), Reason::VaultUnreachable, "{status}");
        assert_eq!(error.detail(Detail::Cause), Some(cause), "{status}");
        assert_eq!(error.retry_delay().is_some(), is_busy, "{status}");
        account.fake.fault("MERGE", 1, Fault::Status(status));
        let error = safe(put(&sealed, &address, VALUE).await.expect_err("refused"));
        assert_eq!(error.reason(), write, "{status}");
        account.fake.fault("ALTER SECRET", 1, Fault::Status(status));
        let error = safe(put(&objects, &address, VALUE).await.expect_err("refused"));
        assert_eq!(error.reason(), write, "{status}");
    }
}

#[tokio::test]
async fn nobody_at_the_other_end_is_unreachable_for_its_cause_and_nothing_was_written() {
    let emulator = Account::start().fake.base_url();
    let gone = emulator.replace("http://", "https://");
    let plain = Stub::always(Reply::text(400, "")).url();
    let stranger = Stub::always(Reply::text(400, ""));
    let tls = stranger.url().replace("http://", "https://");
    let account = Account::start();
    for (url, cause) in [
        // Emulators are asked in the clear, and by the guard.
        (&emulator, "SERVER_ERROR"),
        (&gone, "CONNECTION"),
        (&plain.replace("http://", "https://"), "CONNECTION"),
        (&"https://claviger.invalid".to_owned(), "DNS"),
        (&tls, "TLS"),
    ] {
        let settings = SnowflakeSettings {
            base_url: Some(url.clone()),
            ..account.settings(Storage::SealedTable)
        };
        let vault = account.vault(&settings);
        for error in [
            put(&vault, &address("acme"), VALUE).await.map(drop),
            vault.check().await,
        ] {
            let error = safe(error.expect_err("nobody"));
            assert_eq!(error.reason(), Reason::VaultUnreachable);
            assert_eq!(error.detail(Detail::Cause), Some(cause), "{url}: {error:?}");
        }
    }
}
