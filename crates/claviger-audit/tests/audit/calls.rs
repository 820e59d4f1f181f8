//! The promises to calls.

use std::fs;
use std::io::Write as _;
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use crate::support::{
    DEFINITION, UNHEARD, authorize, clock, lines, memory_audit, until_the_start_is_synced,
};
use claviger_access::{Edit, Principal, Told, Word};
use claviger_audit::{Audit, Facts, FileOptions, Health, verify};
use claviger_core::{Error, Id, Reason, Resource, Uid};
use tempfile::TempDir;

const RPC: &str = "claviger.v1.SecretService/GetSecret";

fn facts<T>(_: &T) -> Facts {
    Facts {
        vault: Some(Id::from_static("managed")),
        secret: Some("dev/stripe".to_owned()),
        property: Some("api\nKey".to_owned()),
        version: Some(Id::from_static("v-1")),
        subject: Some(Id::from_static("grant-2")),
        holder: Some(Principal::Unix(7)),
        ..Facts::default()
    }
}

fn log_file() -> (TempDir, PathBuf) {
    let directory = tempfile::tempdir().expect("temporary directory");
    let path = directory.path().join("audit.jsonl");
    (directory, path)
}

async fn refuse(audit: &Audit) {
    audit
        .refuse_unauthenticated(Uid::random(), RPC, "tcp", Reason::TokenInvalid, None)
        .await
        .expect("written");
}

/// Adds `count` records to the log at `path` in one run of the daemon.
async fn run(path: &Path, count: usize) {
    let audit = Audit::open(path, FileOptions::default(), clock()).expect("opens");
    for _ in 0..count {
        refuse(&audit).await;
    }
}

#[tokio::test]
async fn a_call_that_is_cut_before_anything_was_decided_leaves_a_record_too() {
    let (audit, sink) = memory_audit();
    // A deadline that has passed when the call comes: it is looked at once.
    let deadline = Duration::ZERO;
    let cut = tokio::time::timeout(deadline, authorize(&audit, UNHEARD)).await;
    cut.expect_err("nothing is found out");
    drop(audit);
    let [line] = &sink.calls()[..] else {
        panic!("one record")
    };
    for (key, value) in [
        ("phase", "DECISION"),
        ("outcome", "CANCELLED"),
        ("reason", "CANCELLED"),
        ("principal", "unix:99"),
        ("resource", DEFINITION),
    ] {
        assert_eq!(line[key], value, "{key}");
    }
    assert!(line.get("grant").is_none());
}

#[tokio::test]
async fn callers_that_are_cut_before_their_grants_are_known_count_as_without_any() {
    let (audit, sink) = memory_audit();
    for _ in 0..5 {
        let cut = tokio::time::timeout(Duration::ZERO, authorize(&audit, UNHEARD)).await;
        cut.expect_err("nothing is found out");
    }
    drop(audit);
    let lines = sink.lines();
    let of_it: Vec<_> = lines
        .iter()
        .filter(|line| line["principal"] == "unix:99")
        .map(|line| (line["outcome"].clone(), line["unnoted"].clone()))
        .collect();
    let absent = serde_json::Value::Null;
    assert_eq!(
        of_it,
        [("CANCELLED".into(), absent.clone()), (absent, 4.into())]
    );
}

/// The longest text that a coordinate has, in the characters that take most room.
fn longest(character: char) -> Word {
    Word::Text(String::from(character).repeat(2048 / character.len_utf8()))
}

#[tokio::test]
async fn a_change_of_any_size_is_told_in_lines_of_a_bounded_size() {
    let (audit, sink) = memory_audit();
    let authorized = authorize(&audit, 0).await.expect("allowed");
    let field = |number: usize| format!("environments.{number:0128}.secret");
    let edit = |(number, character)| Edit {
        field: field(number),
        was: Some(longest(character)),
        now: Some(longest('"')),
    };
    let edits: Vec<Edit> = (0..)
        .zip("\"\\\n\u{7f}é☃x".chars().cycle().take(150))
        .map(edit)
        .collect();
    let about = Resource::parse("name", "projects/other").expect("a project");
    let change = Facts {
        about: Some((about, None)),
        secret: Some("\"".repeat(2048)),
        property: Some("\n".repeat(2048)),
        edits: edits.clone(),
        ..facts(&())
    };
    let small = facts(&());
    let syncs = || {
        sink.disk()
            .steps
            .iter()
            .filter(|step| **step == "sync")
            .count()
    };
    until_the_start_is_synced(&audit).await;
    let before = syncs();
    let written = audit.intents(&authorized, vec![change, small]).await;
    written.expect("written");
    assert_eq!(syncs() - before, 1, "one for all");
    drop((authorized, audit));
    let text = sink.text();
    verify(text.as_bytes()).expect("no line is too long");
    let mut lines = sink.calls();
    lines.retain(|line| line["phase"] == "INTENT");
    let small = lines.pop().expect("the last");
    assert_eq!(
        (&small["resource"], &small["now"]),
        (&DEFINITION.into(), &serde_json::Value::Null)
    );
    let mut told = 0;
    for line in &lines {
        assert_eq!(
            (&line["resource"], &line["subject"]),
            (&"projects/other".into(), &"grant-2".into())
        );
        for side in ["was", "now"] {
            told += line[side].as_object().map_or(0, serde_json::Map::len);
        }
    }
    assert_eq!(told, 2 * edits.len());
}

#[tokio::test]
async fn a_change_tells_what_differs_and_of_text_for_people_only_that_it_does() {
    let text = |text: &str| Word::Text(text.to_owned());
    let far = SystemTime::UNIX_EPOCH + Duration::from_secs(1 << 40);
    let was = Told::from([
        ("same".to_owned(), text("a")),
        ("gone".to_owned(), text("b")),
        ("other".to_owned(), text("c")),
        ("description".to_owned(), Word::Private("canary".to_owned())),
    ]);
    let now = Told::from([
        ("same".to_owned(), text("a")),
        ("other".to_owned(), text("d")),
        (
            "description".to_owned(),
            Word::Private("canary 2".to_owned()),
        ),
        ("end".to_owned(), Word::Time(far)),
    ]);
    let (audit, sink) = memory_audit();
    let authorized = authorize(&audit, 0).await.expect("allowed");
    let change = Facts {
        edits: Edit::between(&was, &now),
        ..Facts::default()
    };
    audit.intent(&authorized, change).await.expect("written");
    drop((authorized, audit));
    let line = &sink.calls()[0];
    let was = serde_json::json!({"description": "(text)", "gone": "b", "other": "c"});
    let now =
        serde_json::json!({"description": "(text)", "end": "9999-12-31T23:59:59Z", "other": "d"});
    assert_eq!((&line["was"], &line["now"]), (&was, &now));
}

#[tokio::test]
async fn a_concluded_call_leaves_exactly_one_record_with_all_that_is_known() {
    let (audit, sink) = memory_audit();
    let authorized = authorize(&audit, 0).await.expect("allowed");
    let call_id = authorized.call().id.to_string();
    let value = audit.conclude(authorized, Ok(7), facts).await;
    assert_eq!(value.expect("written"), 7);
    drop(audit);
    let [line] = &sink.calls()[..] else {
        panic!("one record")
    };
    for (key, value) in [
        ("time", "2026-11-22T04:00:00.000000Z"),
        ("call", call_id.as_str()),
        ("phase", "DECISION"),
        ("outcome", "ALLOWED"),
        ("principal", "unix:0"),
        ("rpc", RPC),
        ("permission", "secrets.get"),
        ("resource", DEFINITION),
        ("environment", "prod"),
        ("grant", "grant-1"),
        ("vault", "managed"),
        ("secret", "dev/stripe"),
        ("property", "api\u{fffd}Key"),
        ("version", "v-1"),
        ("subject", "grant-2"),
        ("holder", "unix:7"),
        ("run_id", "run-7"),
        ("purpose", "nightly/sync"),
    ] {
        assert_eq!(line[key], value, "{key}");
    }
    assert!(line["resource_uid"].is_string());
    assert_eq!(line["options"], serde_json::json!(["adopt"]));
    assert!(line.get("reason").is_none() && line.get("event").is_none());
    let verified = verify(sink.text().as_bytes()).expect("the chain holds");
    assert_eq!(verified.records, 3);
    assert_eq!(verified.head, line["hash"].as_str().expect("text"));
}

#[tokio::test]
async fn a_failed_call_says_why_and_a_late_denial_is_a_denial() {
    let (audit, sink) = memory_audit();
    for (reason, outcome, has_grant) in [
        (Reason::SecretNotFound, "FAILED", true),
        (Reason::AccessDenied, "DENIED", false),
        (Reason::TokenExpired, "DENIED", false),
    ] {
        let authorized = authorize(&audit, 0).await.expect("allowed");
        let result = Err::<u8, _>(Error::new(reason));
        let error = audit
            .conclude(authorized, result, facts)
            .await
            .expect_err("stays an error");
        assert_eq!(error.reason(), reason);
        let line = sink.calls().pop().expect("a record");
        assert_eq!(line["phase"], "DECISION");
        assert_eq!(line["outcome"], outcome);
        assert_eq!(line["reason"], reason.as_str());
        assert_eq!(line.get("grant").is_some(), has_grant);
        assert!(line.get("vault").is_none());
    }
    assert_eq!(sink.calls().len(), 3);
}

#[tokio::test]
async fn a_denial_is_in_the_log_before_the_caller_hears_of_it() {
    let (audit, sink) = memory_audit();
    authorize(&audit, 1).await.expect_err("denied");
    let line = sink.calls().pop().expect("a record");
    assert_eq!(line["outcome"], "DENIED");
    assert_eq!(line["principal"], "unix:1");
}

#[tokio::test]
async fn a_failed_authentication_is_written_without_a_principal() {
    let (audit, sink) = memory_audit();
    refuse(&audit).await;
    let line = sink.calls().pop().expect("a record");
    assert_eq!(line["peer"], "tcp");
    assert_eq!(line["reason"], "TOKEN_INVALID");
    assert!(line.get("principal").is_none());
}

#[tokio::test]
async fn a_dropped_proof_leaves_a_cancelled_record() {
    let (audit, sink) = memory_audit();
    drop(authorize(&audit, 0).await.expect("allowed"));
    drop(audit);
    let line = sink.calls().pop().expect("a record");
    assert_eq!(line["outcome"], "CANCELLED");
    assert_eq!(line["reason"], "CANCELLED");
}

#[tokio::test]
async fn an_intent_is_synced_before_it_returns() {
    let (audit, sink) = memory_audit();
    let authorized = authorize(&audit, 0).await.expect("allowed");
    until_the_start_is_synced(&audit).await;
    sink.disk().steps.clear();
    audit
        .intent(&authorized, Facts::default())
        .await
        .expect("written");
    assert_eq!(sink.disk().steps, ["append", "sync"]);
    let result = audit.conclude(authorized, Ok(()), facts).await;
    result.expect("written");
    let phases: Vec<_> = sink
        .calls()
        .iter()
        .map(|line| line["phase"].clone())
        .collect();
    assert_eq!(phases, ["INTENT", "OUTCOME"]);
}

#[tokio::test]
async fn nothing_is_served_while_the_log_is_full_and_the_next_record_recovers() {
    let (audit, sink) = memory_audit();
    let mut health = audit.watch_health();
    let authorized = authorize(&audit, 0).await.expect("allowed");
    let other = authorize(&audit, 0).await.expect("allowed");
    sink.disk().is_full = true;
    let error = audit
        .conclude(authorized, Ok("value"), facts)
        .await
        .expect_err("fails closed");
    assert_eq!(error.reason(), Reason::AuditUnavailable);
    let error = audit
        .intent(&other, Facts::default())
        .await
        .expect_err("fails closed");
    assert_eq!(error.reason(), Reason::AuditUnavailable);
    assert_eq!(audit.health(), Health::Failed);
    assert_eq!(*health.borrow_and_update(), Health::Failed);

    sink.disk().is_full = false;
    audit
        .conclude(other, Ok("value"), facts)
        .await
        .expect("written again");
    assert_eq!(audit.health(), Health::Well);
    assert_eq!(*health.borrow_and_update(), Health::Well);
    let lines = sink.lines();
    let events: Vec<_> = lines.iter().map(|line| line["event"].as_str()).collect();
    assert_eq!(
        events,
        [Some("opened"), Some("started"), Some("recovered"), None]
    );
    assert_eq!(lines[2]["lost"], 2);
    verify(sink.text().as_bytes()).expect("the chain holds");
}

#[tokio::test]
async fn many_calls_at_once_make_one_chain() {
    let (audit, sink) = memory_audit();
    let mut calls = tokio::task::JoinSet::new();
    for _ in 0..500 {
        let audit = audit.clone();
        calls.spawn(async move {
            let authorized = authorize(&audit, 0).await.expect("allowed");
            let written = audit.conclude(authorized, Ok(()), facts).await;
            written.expect("written");
        });
    }
    calls.join_all().await;
    let verified = verify(sink.text().as_bytes()).expect("the chain holds");
    assert_eq!(verified.records, 502);
}

#[tokio::test]
async fn a_restart_continues_the_chain() {
    let (_directory, path) = log_file();
    run(&path, 3).await;
    run(&path, 2).await;
    let text = fs::read_to_string(&path).expect("readable");
    let verified = verify(text.as_bytes()).expect("the chain holds");
    assert_eq!(verified.records, 8);
    let events: Vec<_> = lines(&text)
        .iter()
        .filter_map(|line| line["event"].as_str().map(str::to_owned))
        .collect();
    assert_eq!(events, ["opened", "started", "started"]);
    let mode = fs::metadata(&path).expect("exists").permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
}

#[tokio::test]
async fn a_torn_last_line_is_cut_off_wherever_it_tore() {
    let (_directory, path) = log_file();
    run(&path, 2).await;
    let whole = fs::read(&path).expect("readable");
    let last = whole
        .split_inclusive(|byte| *byte == b'\n')
        .next_back()
        .expect("a line")
        .len();
    for torn in 1..last {
        fs::write(&path, &whole[..whole.len() - torn]).expect("writable");
        run(&path, 0).await;
        let text = fs::read_to_string(&path).expect("readable");
        verify(text.as_bytes()).expect("the chain holds");
        let line = &lines(&text)[3];
        assert_eq!(line["event"], "cut");
        assert_eq!(line["bytes"], last - torn);
    }
}

#[tokio::test]
async fn a_torn_first_line_is_cut_off() {
    let (_directory, path) = log_file();
    run(&path, 0).await;
    let whole = fs::read(&path).expect("readable");
    fs::write(&path, &whole[..40]).expect("writable");
    run(&path, 0).await;
    let text = fs::read_to_string(&path).expect("readable");
    verify(text.as_bytes()).expect("the chain holds");
    assert_eq!(lines(&text)[1]["bytes"], 40);
}

#[tokio::test]
async fn a_log_whose_end_was_changed_is_not_continued_and_not_touched() {
    let (_directory, path) = log_file();
    run(&path, 2).await;
    let whole = fs::read_to_string(&path).expect("readable");
    let edited = whole.replace("\"tcp\"", "\"TCP\"");
    for text in [
        edited.as_str(),
        "some other file",
        "some other file\n",
        &format!("{whole}\n"),
    ] {
        fs::write(&path, text).expect("writable");
        let error = Audit::open(&path, FileOptions::default(), clock()).expect_err(text);
        assert_eq!(error.reason(), Reason::IntegrityFailure, "{text}");
        assert_eq!(fs::read_to_string(&path).expect("readable"), text);
    }
}

#[tokio::test]
async fn links_open_files_other_kinds_and_a_second_daemon_are_refused() {
    let (directory, path) = log_file();
    let refused = |path: &PathBuf| {
        let error = Audit::open(path, FileOptions::default(), clock()).expect_err("refused");
        assert_eq!(error.reason(), Reason::AuditUnavailable);
        format!("{error:?}")
    };
    let running = Audit::open(&path, FileOptions::default(), clock()).expect("opens");
    assert!(refused(&path).contains("in use"));
    drop(running);

    let link = directory.path().join("link");
    symlink(&path, &link).expect("links");
    refused(&link);
    refused(&directory.path().to_owned());

    fs::set_permissions(&path, fs::Permissions::from_mode(0o640)).expect("own file");
    assert!(refused(&path).contains("0600"));
}

#[tokio::test]
async fn a_line_that_the_daemon_did_not_write_is_not_continued() {
    let (_directory, path) = log_file();
    run(&path, 1).await;
    let mut file = fs::OpenOptions::new()
        .append(true)
        .open(&path)
        .expect("opens");
    file.write_all(b"{\"seq\":4,\"event\":\"forged\"}\n")
        .expect("writable");
    let error = Audit::open(&path, FileOptions::default(), clock()).expect_err("not a record");
    assert_eq!(error.reason(), Reason::IntegrityFailure);
}
