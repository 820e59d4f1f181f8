//! A log or a store that somebody changed is noticed, and gives nothing away.

use std::fs;
use std::path::Path;

use claviger_e2e::{Client, Home, reason};
use rusqlite::{Connection, params};
use tonic::Code;
use uuid::Uuid;

const CANARIES: [&str; 2] = ["first cAnAry 7d21", "second cAnAry 93be"];

/// A home whose store holds two secrets, `first` and `second`; no daemon runs.
async fn home_with_two_secrets() -> Home {
    let home = Home::new();
    let daemon = home.start_dev();
    let client = Client::connect(&daemon.socket()).await;
    for (id, value) in ["first", "second"].iter().zip(CANARIES) {
        let created = client.create(id, value, Uuid::new_v4()).await;
        created.expect("created");
    }
    drop(client);
    assert_eq!(daemon.stop().code(), Some(0));
    home
}

/// The rows of the store whose keys begin so, in order.
fn rows(store: &Connection, prefix: &str) -> Vec<(String, Vec<u8>)> {
    let mut query = store
        .prepare("SELECT key, bytes FROM records WHERE key LIKE ?1 || '%' ORDER BY key")
        .expect("the schema");
    let rows = query.query_map([prefix], |row| Ok((row.get(0)?, row.get(1)?)));
    let rows = rows.expect("rows").collect::<Result<Vec<_>, _>>();
    let rows = rows.expect("rows");
    assert_eq!(rows.len(), 2, "one per secret");
    rows
}

fn replace(store: &Connection, key: &str, bytes: &[u8]) {
    let changed = store
        .execute(
            "UPDATE records SET bytes = ?2 WHERE key = ?1",
            params![key, bytes],
        )
        .expect("a writable store");
    assert_eq!(changed, 1);
}

fn edit(store: &Connection, prefix: &str) {
    for (key, mut bytes) in rows(store, prefix) {
        *bytes.last_mut().expect("not empty") ^= 1;
        replace(store, &key, &bytes);
    }
}

fn swap(store: &Connection, prefix: &str) {
    let rows = rows(store, prefix);
    replace(store, &rows[0].0, &rows[1].1);
    replace(store, &rows[1].0, &rows[0].1);
}

fn cut(store: &Connection, prefix: &str) {
    for (key, bytes) in rows(store, prefix) {
        replace(store, &key, &bytes[..bytes.len() / 2]);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn edited_swapped_and_cut_rows_are_refused_and_nothing_leaks() {
    for prefix in ["values/", "definitions/", "managed-secrets/"] {
        for damage in [edit, swap, cut] {
            let home = home_with_two_secrets().await;
            let store = Connection::open(home.store()).expect("a store");
            damage(&store, prefix);
            drop(store);

            let daemon = home.start_dev();
            let client = Client::connect(&daemon.socket()).await;
            for id in ["first", "second"] {
                let status = client.read(id, "").await.expect_err("damaged");
                assert_eq!(
                    reason(&status).as_deref(),
                    Some("INTEGRITY_FAILURE"),
                    "{prefix}"
                );
                assert_eq!(status.code(), Code::DataLoss);
                let said = format!("{status:?}");
                let log = home.log();
                for canary in CANARIES {
                    assert!(!said.contains(canary) && !log.contains(canary), "{prefix}");
                }
            }
            let created = client.create("third", "still works", Uuid::new_v4()).await;
            created.expect("one damaged record stops no other");
        }
    }
}

/// Changes the log, and returns the verdict of the check.
fn verdict(home: &Home, change: impl FnOnce(Vec<&str>) -> Vec<String>) -> (Option<i32>, String) {
    let log = fs::read_to_string(home.audit_log()).expect("an audit log");
    let copy = home.path().join("copy.jsonl");
    let lines = change(log.split_inclusive('\n').collect());
    fs::write(&copy, lines.concat()).expect("a writable home");
    let output = home.run(&["audit", "verify", &copy.display().to_string()]);
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    (output.status.code(), said)
}

fn owned(lines: Vec<&str>) -> Vec<String> {
    lines.into_iter().map(str::to_owned).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn changed_audit_log_is_found_with_its_line() {
    let home = home_with_two_secrets().await;
    let (code, said) = verdict(&home, owned);
    assert_eq!(code, Some(0), "{said}");
    assert!(said.contains("records, unbroken; head "), "{said}");

    let edited = verdict(&home, |lines| {
        let mut lines = owned(lines);
        lines[2] = lines[2]
            .replace("ALLOWED", "DENIED!")
            .replace("unix:", "unix:1");
        lines
    });
    let dropped = verdict(&home, |mut lines| {
        lines.remove(2);
        owned(lines)
    });
    let swapped = verdict(&home, |mut lines| {
        lines.swap(2, 3);
        owned(lines)
    });
    for (code, said) in [edited, dropped, swapped] {
        assert_eq!(code, Some(1), "{said}");
        assert!(said.contains("copy.jsonl: line 3: "), "{said}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn audit_log_of_several_files_is_checked_as_one() {
    let home = home_with_two_secrets().await;
    let log = fs::read_to_string(home.audit_log()).expect("an audit log");
    let lines: Vec<_> = log.split_inclusive('\n').collect();
    let dir = home.path().join("copies");
    fs::create_dir(&dir).expect("made");
    let parts = [(0..2, "log.1"), (2..4, "log.3"), (4..lines.len(), "log")];
    for (range, name) in parts {
        fs::write(dir.join(name), lines[range].concat()).expect("written");
    }
    let verify = |path: &Path| {
        let output = home.run(&["audit", "verify", &path.display().to_string()]);
        let said = String::from_utf8_lossy(&output.stdout).into_owned();
        (output.status.code(), said)
    };
    let whole = format!("{} records, unbroken; head ", lines.len());
    for path in [dir.clone(), dir.join("log")] {
        let (code, said) = verify(&path);
        assert_eq!(code, Some(0), "{said}");
        assert!(said.starts_with(&whole), "{said}");
    }
    fs::remove_file(dir.join("log.1")).expect("removed");
    let (code, said) = verify(&dir);
    assert_eq!(code, Some(0), "{said}");
    assert!(said.contains(" records from record 3 on "), "{said}");
    fs::rename(dir.join("log.3"), dir.join("log.1")).expect("renamed");
    fs::write(dir.join("log.1"), lines[..2].concat()).expect("written");
    let (code, said) = verify(&dir);
    assert_eq!(code, Some(1), "{said}");
    assert!(said.contains("copies/log: line 1: record 3 "), "{said}");
    for file in ["log.1", "log"] {
        fs::remove_file(dir.join(file)).expect("removed");
    }
    assert_eq!(verify(&dir).0, Some(64));
}

#[test]
fn log_that_is_not_there_is_a_refusal() {
    let output = Home::new().run(&["audit", "verify", "/nowhere/audit.jsonl"]);
    assert_eq!(output.status.code(), Some(64));
    assert!(String::from_utf8_lossy(&output.stderr).contains("/nowhere/audit.jsonl"));
}
