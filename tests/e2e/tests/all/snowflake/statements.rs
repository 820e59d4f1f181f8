//! Statements: names that would be some, their lost answers, and the session that they need.

use claviger_e2e::{assert_refused, reason, seen};
use claviger_snowflake_fake::Fault;
use uuid::Uuid;

use crate::caller::place;
use crate::peers::{OBJECTS, on, sealed};
use crate::stage::{MARKER, Peer, Stage, VAULT};

const NAMES: [&str; 7] = [
    "acme",
    "ACME",
    "Acme",
    "a.b.c",
    "x\"; DROP TABLE \"BROKER\".\"SECRETS\".\"CLAVIGER_SEALED\"; --",
    "x'; DROP SECRET acme; --",
    "ü\\' $$ ? :1 %",
];

on!(each_name_is_its_own_secret_and_no_statement: objects sealed);
async fn each_name_is_its_own_secret_and_no_statement(peer: Box<dyn Peer>) {
    let Stage { caller, peer, .. } = &Stage::start(peer).await;
    let ids = [0, 1, 2, 3, 4, 5, 6].map(|number| format!("s{number}"));
    for (id, name) in ids.iter().zip(NAMES) {
        let put = caller.create(id, peer.place(name), id).await;
        put.unwrap_or_else(|status| panic!("{name}: {status:?}"));
    }
    for id in &ids {
        assert_eq!(caller.text(id).await.expect("read"), *id);
    }
    let (mut expected, mut names) = (NAMES.map(str::to_owned), peer.names());
    expected.sort();
    names.sort();
    assert_eq!(names, expected);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn write_that_cannot_be_looked_for_either_is_unknown_until_it_is_repeated() {
    let peer = Box::new(sealed());
    let config = peer.vault("timeout = \"6s\"");
    let stage = &Stage::start_with(peer, &config).await;
    let (caller, client, peer) = (&stage.caller, &stage.client, &stage.peer);
    caller.created("s", peer.place("s"), "0").await;
    let request_id = Uuid::new_v4();
    peer.fake.fault("MERGE", 1, Fault::HangAfter);
    let outage = async {
        peer.fake.held(1).await;
        peer.fake.fault("SELECT", usize::MAX, Fault::Status(503));
    };
    let (put, ()) = tokio::join!(client.rotate("s", "1", request_id), outage);
    assert_refused(put, "WRITE_OUTCOME_UNKNOWN");
    assert_eq!(peer.rows(), 2);
    peer.fake.release();
    // Until the first has had its time, it counts as under way.
    let again = loop {
        match client.rotate("s", "1", request_id).await {
            Ok(version) => break version,
            Err(status) => assert_eq!(reason(&status).as_deref(), Some("WRITE_IN_PROGRESS")),
        }
    };
    assert_eq!(peer.rows(), 2);
    let read = client.read("s", "").await.expect("read");
    assert_eq!(read, (again, "1".to_owned()));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn wrong_key_user_role_or_schema_is_named_and_the_rest_goes_on() {
    let peer = Box::new(sealed());
    let key = peer.file("unknown.p8", &peer.fake.unknown_key_pem());
    let rejected = "VAULT_CREDENTIALS_REJECTED";
    #[rustfmt::skip]
    let cases = [
        ("key", format!("private_key_file = {key:?}"), rejected, "user"),
        ("user", "user = \"NOBODY\"".to_owned(), rejected, "user"),
        ("role", "role = \"NOROLE\"".to_owned(), rejected, "role"),
        ("schema", "schema = \"nowhere\"".to_owned(), "VAULT_ACCESS_DENIED", "\"BROKER\".\"nowhere\""),
    ];
    let mut config = peer.vault("timeout = \"20s\"");
    for (id, setting, ..) in &cases {
        config += &peer.vault_with(id, "", &format!("{OBJECTS}\n{setting}"));
    }
    let stage = &Stage::start_with(peer, &config).await;
    let (caller, peer, home) = (&stage.caller, &stage.peer, &stage.home);
    for (id, _, reason, word) in cases {
        let checked = caller.check_vault(id).await;
        let told = (checked.ok, checked.reason.as_str());
        assert_eq!(told, (false, reason), "{checked:?}");
        assert!(checked.message.contains(word), "{checked:?}");
        let put = caller.create(id, place(id, "s"), "cAnAry51a7").await;
        let shown = seen(&assert_refused(put, reason)) + &checked.message;
        assert!(!shown.contains("SQL") && !shown.contains("JWT"), "{shown}");
    }
    caller.created("well", peer.place("s"), "cAnAry51a7").await;
    assert_eq!(caller.text("well").await.expect("read"), "cAnAry51a7");
    let log = home.log();
    assert!(!log.contains("cAnAry51a7") && !log.contains("JWT"), "{log}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn hanging_login_or_a_suspended_warehouse_is_given_up_at_the_vault_s_timeout() {
    let peer = Box::new(sealed());
    let config = peer.vault("timeout = \"5s\"");
    let stage = &Stage::start_with(peer, &config).await;
    let (caller, peer, home) = (&stage.caller, &stage.peer, &stage.home);
    caller.created("s", peer.place("s"), "cAnAry51a7").await;
    peer.fake.fault_login(usize::MAX, Fault::Hang);
    peer.fake.expire_sessions("390112");
    assert_refused(caller.text("s").await, "VAULT_UNREACHABLE");
    peer.fake.release();
    assert_eq!(caller.text("s").await.expect("it is back"), "cAnAry51a7");
    peer.fake.suspend_warehouse();
    assert_refused(caller.text("s").await, "VAULT_UNREACHABLE");
    peer.fake.resume_warehouse();
    assert_eq!(caller.text("s").await.expect("it is back"), "cAnAry51a7");
    let log = home.log();
    assert!(!log.contains("cAnAry51a7") && !log.contains(MARKER));
    assert!(caller.check_vault(VAULT).await.ok);
}
