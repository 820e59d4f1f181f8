//! What a caller gets to know when Snowflake refuses or does not answer: the reason and the remedy,
//! and neither SQL nor a word of Snowflake's.

use claviger_e2e::{Client, Daemon, Home};
use claviger_snowflake_fake::Fault;

use super::support::{
    Account, OBJECTS, READABLE, SEALED, VAULT, assert_refused, check, location, location_in,
    operator, put, seen, start, store, text,
};

/// In everything that upstream says.
const MARKER: &str = "upstream-marker";

/// The value.
const CANARY: &str = "cAnAry51a7b2e9";

/// What is Snowflake's or ours to it, and nobody else's.
const PRIVATE: [&str; 9] = [
    MARKER,
    CANARY,
    "SELECT VERSION",
    "MERGE INTO",
    "UNION ALL",
    "SECRET_STRING",
    "DESCRIBE SECRET",
    "SQL compilation",
    "JWT",
];

const UNREACHABLE: &str = "VAULT_UNREACHABLE";
const DENIED: &str = "VAULT_ACCESS_DENIED";
const REJECTED: &str = "VAULT_CREDENTIALS_REJECTED";

#[track_caller]
fn assert_silent(text: &str) {
    for word in PRIVATE {
        let found = text.lines().find(|line| line.contains(word));
        assert_eq!(found, None, "{word}");
    }
}

/// The operator, with a secret `s` in the vault.
async fn with_secret(daemon: &Daemon) -> Client {
    let client = operator(daemon).await;
    let put = put(&client, "s", location("s"), Some(CANARY)).await;
    put.expect("created");
    client
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_failure_has_its_reason_and_remedy_and_no_word_of_snowflake() {
    let (home, account) = (Home::new(), Account::start());
    let daemon = account.daemon(&home, SEALED);
    let client = with_secret(&daemon).await;
    let marked = |code| Fault::error(code, "42501", &format!("SQL compilation: {MARKER}\r\n'x'"));
    let on_table = "GRANT SELECT, INSERT, UPDATE, DELETE ON TABLE";
    let cases = [
        (
            Fault::insufficient_privileges("table", MARKER),
            DENIED,
            on_table,
        ),
        (marked("003001"), DENIED, on_table),
        (Fault::missing_object(), DENIED, on_table),
        (marked("002003"), DENIED, on_table),
        (Fault::suspended_warehouse(), UNREACHABLE, "does not answer"),
        (marked("000606"), UNREACHABLE, "does not answer"),
        (marked("390112"), REJECTED, "clock"),
        (Fault::session("390114"), REJECTED, "clock"),
        (Fault::Status(401), REJECTED, "clock"),
        (Fault::Status(429), UNREACHABLE, "does not answer"),
        (Fault::Status(503), UNREACHABLE, "does not answer"),
        (Fault::CutBefore, UNREACHABLE, "does not answer"),
        (Fault::HalfBody, UNREACHABLE, "does not answer"),
        (marked("999999"), DENIED, "the log has its code"),
        (marked("001003"), "INTERNAL", ""),
    ];
    for (fault, reason, word) in cases {
        account.fake.fault("SELECT", usize::MAX, fault.clone());
        let status = assert_refused(text(&client, "s").await, reason);
        assert!(status.message().contains(word), "{fault:?}: {status:?}");
        assert_silent(&seen(&status));
        let status = assert_refused(store(&client, "s", CANARY, false).await, reason);
        assert_silent(&seen(&status));
        account.fake.release();
        assert_eq!(
            text(&client, "s").await.expect("well again"),
            CANARY,
            "{fault:?}"
        );
    }
    assert_silent(&home.log());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn missing_privilege_on_a_secret_is_named_with_its_grant() {
    let (home, account) = (Home::new(), Account::start());
    let daemon = account.daemon(&home, READABLE);
    let client = with_secret(&daemon).await;
    let denied = || Fault::insufficient_privileges("secret", MARKER);
    let on_secret = "ON SECRET \"BROKER\".\"SECRETS\".\"s\" TO ROLE \"CLAVIGER\"";
    for (statement, grant) in [
        ("DESCRIBE SECRET", format!("GRANT USAGE {on_secret}")),
        (
            "CALL",
            "GRANT USAGE ON PROCEDURE \"BROKER\".\"READERS\".\"".to_owned(),
        ),
    ] {
        account.fake.fault(statement, 1, denied());
        let status = assert_refused(text(&client, "s").await, DENIED);
        assert!(status.message().contains(&grant), "{status:?}");
        assert_silent(&seen(&status));
    }
    account.fake.fault("ALTER SECRET", 1, denied());
    let status = assert_refused(store(&client, "s", CANARY, false).await, DENIED);
    let grant = format!("GRANT MODIFY {on_secret}");
    assert!(status.message().contains(&grant), "{status:?}");
    account.fake.fault("CREATE SECRET", 1, denied());
    let refused = put(&client, "t", location("t"), Some(CANARY)).await;
    let status = assert_refused(refused, DENIED);
    let grant = "GRANT CREATE SECRET ON SCHEMA \"BROKER\".\"SECRETS\" TO ROLE \"CLAVIGER\"";
    assert!(status.message().contains(grant), "{status:?}");
    assert_silent(&seen(&status));
    assert_silent(&home.log());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn session_that_ended_is_made_again_without_anybody_noticing() {
    let (home, account) = (Home::new(), Account::start());
    let daemon = account.daemon(&home, SEALED);
    let client = with_secret(&daemon).await;
    for code in ["390104", "390111", "390112", "390114", "401"] {
        let logins = account.fake.logins();
        account.fake.expire_sessions(code);
        assert_eq!(text(&client, "s").await.expect(code), CANARY);
        assert_eq!(account.fake.logins(), logins + 1, "{code}");
    }
    assert_silent(&home.log());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn wrong_key_user_role_or_schema_is_named_and_the_rest_goes_on() {
    let (home, account) = (Home::new(), Account::start());
    let key = account.file("unknown.p8", &account.fake.unknown_key_pem());
    let cases = [
        (
            "key",
            format!("private_key_file = {key:?}"),
            REJECTED,
            "user",
        ),
        ("user", "user = \"NOBODY\"".to_owned(), REJECTED, "user"),
        ("role", "role = \"NOROLE\"".to_owned(), REJECTED, "role"),
        (
            "schema",
            "schema = \"nowhere\"".to_owned(),
            DENIED,
            "\"BROKER\".\"nowhere\"",
        ),
    ];
    let mut config = account.vault(VAULT, "", SEALED);
    for (id, setting, ..) in &cases {
        config += &account.vault(id, "", &format!("{OBJECTS}\n{setting}"));
    }
    let daemon = start(&home, &config);
    let client = operator(&daemon).await;
    for (id, _, reason, word) in cases {
        let checked = check(&client, id).await;
        assert_eq!(
            (checked.ok, checked.reason.as_str()),
            (false, reason),
            "{checked:?}"
        );
        assert!(checked.message.contains(word), "{checked:?}");
        assert_silent(&format!("{checked:?}"));
        let registered = put(&client, id, location_in(id, "s"), Some(CANARY)).await;
        assert_silent(&seen(&assert_refused(registered, reason)));
    }
    put(&client, "well", location("s"), Some(CANARY))
        .await
        .expect("created");
    assert_eq!(text(&client, "well").await.expect("read"), CANARY);
    assert_silent(&home.log());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn hanging_login_statement_or_warehouse_ends_at_the_vault_s_timeout() {
    let (home, account) = (Home::new(), Account::start());
    let daemon = start(&home, &account.vault(VAULT, "timeout = \"2s\"", SEALED));
    let client = with_secret(&daemon).await;
    account.fake.fault("SELECT", usize::MAX, Fault::Hang);
    assert_refused(text(&client, "s").await, UNREACHABLE);
    account.fake.release();
    assert_eq!(text(&client, "s").await.expect("it is back"), CANARY);
    account.fake.fault_login(usize::MAX, Fault::Hang);
    account.fake.expire_sessions("390112");
    assert_refused(text(&client, "s").await, UNREACHABLE);
    account.fake.release();
    assert_eq!(text(&client, "s").await.expect("it is back"), CANARY);
    account.fake.suspend_warehouse();
    assert_refused(text(&client, "s").await, UNREACHABLE);
    account.fake.resume_warehouse();
    assert_eq!(text(&client, "s").await.expect("it is back"), CANARY);
    assert_silent(&home.log());
}
