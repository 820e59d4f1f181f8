//! The promises of every engine; run for the embedded one.

#![expect(clippy::expect_used, reason = "helpers of tests fail as tests do")]

use std::path::Path;
use std::sync::Arc;
use std::task::{Context, Waker};
use std::time::{Duration, SystemTime};

use claviger_core::{Clock, ManualClock, Reason, Result};
use claviger_store::{Change, Commit, Committed, Condition, Expect, Row, SqliteStore, Store};
use tempfile::TempDir;

fn put(key: &str, bytes: &str, expect: Expect) -> Change {
    Change {
        key: key.to_owned(),
        bytes: Some(bytes.as_bytes().to_vec()),
        expect,
    }
}

fn delete(key: &str, expect: Expect) -> Change {
    Change {
        key: key.to_owned(),
        bytes: None,
        expect,
    }
}

fn when(key: &str, expect: Expect) -> Condition {
    let key = key.to_owned();
    Condition { key, expect }
}

fn all(changes: Vec<Change>) -> Commit {
    Commit {
        changes,
        ..Commit::default()
    }
}

fn conflict(key: &str) -> Committed {
    Committed::Conflict {
        key: key.to_owned(),
    }
}

fn row(revision: u64, bytes: &str) -> Row {
    Row {
        revision,
        bytes: bytes.as_bytes().to_vec(),
    }
}

fn directory() -> TempDir {
    tempfile::tempdir().expect("a directory")
}

fn clock() -> Arc<ManualClock> {
    Arc::new(ManualClock::at(Duration::from_secs(1000)))
}

fn open(directory: &TempDir) -> Arc<dyn Store> {
    open_with(directory, clock())
}

fn open_with(directory: &TempDir, clock: Arc<dyn Clock>) -> Arc<dyn Store> {
    Arc::new(SqliteStore::open(&directory.path().join("store.db"), clock).expect("opens"))
}

fn refusal(outcome: Result<SqliteStore>) -> String {
    let error = outcome.expect_err("must be refused");
    assert_eq!(error.reason(), Reason::StoreUnavailable);
    format!("{error:?}")
}

async fn commit(store: &dyn Store, changes: Vec<Change>) -> Committed {
    store.commit(all(changes)).await.expect("commits")
}

async fn keys(store: &dyn Store, prefix: &str, after: Option<&str>, limit: usize) -> Vec<String> {
    let rows = store.scan(prefix, after, limit).await.expect("scans");
    rows.into_iter().map(|(key, _)| key).collect()
}

#[tokio::test]
async fn a_row_reads_as_it_was_put() {
    let directory = directory();
    let store = open(&directory);
    assert_eq!(store.get("a").await.expect("reads"), None);
    let committed = commit(&*store, vec![put("a", "1", Expect::Absent)]).await;
    assert_eq!(committed, Committed::At(1));
    assert_eq!(store.get("a").await.expect("reads"), Some(row(1, "1")));
    let committed = commit(&*store, vec![put("a", "2", Expect::Revision(1))]).await;
    assert_eq!(committed, Committed::At(2));
    assert_eq!(store.get("a").await.expect("reads"), Some(row(2, "2")));
    store.health().await.expect("is well");
}

#[tokio::test]
async fn a_scan_is_in_byte_order_and_pages_without_gaps() {
    let directory = directory();
    let store = open(&directory);
    let all = [
        "a/", "a/(", "a/1", "a/10", "a/2", "a/Z", "a/_", "a/a", "a/é",
    ];
    let mut changes: Vec<_> = ["a", "a0", "b/1", "A/1"]
        .iter()
        .chain(&all)
        .map(|key| put(key, key, Expect::Absent))
        .collect();
    changes.reverse();
    assert_eq!(commit(&*store, changes).await, Committed::At(1));

    assert_eq!(keys(&*store, "a/", None, 100).await, all);
    assert_eq!(keys(&*store, "a/1", None, 100).await, ["a/1", "a/10"]);
    assert_eq!(keys(&*store, "c", None, 100).await, [""; 0]);
    assert_eq!(keys(&*store, "", None, 100).await.len(), all.len() + 4);
    assert_eq!(keys(&*store, "a/", Some("A"), 2).await, ["a/", "a/("]);
    assert_eq!(keys(&*store, "a/", Some("b"), 2).await, [""; 0]);
    assert_eq!(keys(&*store, "a/", None, 0).await, [""; 0]);
    let mut paged: Vec<String> = Vec::new();
    loop {
        let after = paged.last().cloned();
        let page = keys(&*store, "a/", after.as_deref(), 2).await;
        if page.is_empty() {
            break;
        }
        paged.extend(page);
    }
    assert_eq!(paged, all);
}

#[tokio::test]
async fn a_commit_happens_only_as_expected() {
    let directory = directory();
    let store = open(&directory);
    let one = |change| commit(&*store, vec![change]);
    assert_eq!(one(put("a", "1", Expect::Revision(1))).await, conflict("a"));
    assert_eq!(one(delete("a", Expect::Revision(0))).await, conflict("a"));
    assert_eq!(one(put("a", "1", Expect::Absent)).await, Committed::At(1));
    assert_eq!(one(put("a", "2", Expect::Absent)).await, conflict("a"));
    assert_eq!(one(put("a", "2", Expect::Revision(2))).await, conflict("a"));
    assert_eq!(one(delete("a", Expect::Absent)).await, conflict("a"));
    assert_eq!(one(put("a", "2", Expect::Any)).await, Committed::At(2));
    assert_eq!(
        one(put("a", "3", Expect::Revision(u64::MAX))).await,
        conflict("a")
    );
    assert_eq!(store.get("a").await.expect("reads"), Some(row(2, "2")));
}

#[tokio::test]
async fn a_conflict_undoes_the_whole_commit_and_takes_no_revision() {
    let directory = directory();
    let store = open(&directory);
    assert_eq!(
        commit(&*store, vec![put("b", "1", Expect::Any)]).await,
        Committed::At(1)
    );
    let changes = vec![
        put("a", "2", Expect::Absent),
        put("b", "2", Expect::Revision(1)),
        delete("c", Expect::Revision(1)),
    ];
    assert_eq!(commit(&*store, changes).await, conflict("c"));
    assert_eq!(store.get("a").await.expect("reads"), None);
    assert_eq!(store.get("b").await.expect("reads"), Some(row(1, "1")));
    assert_eq!(
        commit(&*store, vec![put("c", "2", Expect::Any)]).await,
        Committed::At(2)
    );
}

#[tokio::test]
async fn a_condition_that_does_not_hold_refuses_the_whole_commit() {
    let directory = directory();
    let store = open(&directory);
    let made = commit(&*store, vec![put("a", "1", Expect::Any)]).await;
    assert_eq!(made, Committed::At(1));
    let on = |conditions| {
        let commit = Commit {
            changes: vec![
                put("b", "2", Expect::Any),
                put("a", "2", Expect::Revision(1)),
            ],
            conditions,
            ..Commit::default()
        };
        store.commit(commit)
    };
    for (condition, key) in [
        (when("a", Expect::Absent), "a"),
        (when("a", Expect::Revision(2)), "a"),
        (when("c", Expect::Revision(1)), "c"),
    ] {
        let holds = when("a", Expect::Revision(1));
        let committed = on(vec![holds, condition]).await.expect("commits");
        assert_eq!(committed, conflict(key));
        assert_eq!(store.get("a").await.expect("reads"), Some(row(1, "1")));
        assert_eq!(store.get("b").await.expect("reads"), None);
    }
    let all_hold = vec![
        when("a", Expect::Revision(1)),
        when("a", Expect::Any),
        when("b", Expect::Absent),
        when("c", Expect::Absent),
    ];
    assert_eq!(on(all_hold).await.expect("commits"), Committed::At(2));
    assert_eq!(store.get("a").await.expect("reads"), Some(row(2, "2")));
    assert_eq!(store.get("b").await.expect("reads"), Some(row(2, "2")));
    assert_eq!(store.get("c").await.expect("reads"), None);
}

#[tokio::test]
async fn a_condition_is_judged_when_its_commit_has_its_turn() {
    let directory = directory();
    let store = open(&directory);
    drop(commit(&*store, vec![put("token", "1", Expect::Absent)]).await);
    let revoke = all(vec![delete("token", Expect::Any)]);
    let act = Commit {
        conditions: vec![when("token", Expect::Revision(1))],
        ..all(vec![put("a", "1", Expect::Absent)])
    };
    // Polled in this order, so they get in line in this order; neither waits for the other.
    let (revoked, acted) = tokio::join!(biased; store.commit(revoke), store.commit(act));
    assert_eq!(revoked.expect("commits"), Committed::At(2));
    assert_eq!(acted.expect("commits"), conflict("token"));
    assert_eq!(store.get("a").await.expect("reads"), None);
}

#[tokio::test]
async fn a_commit_whose_end_has_come_is_refused() {
    let directory = directory();
    let clock = clock();
    let store = open_with(&directory, Arc::clone(&clock) as _);
    let end = SystemTime::UNIX_EPOCH + Duration::from_secs(1001);
    let until_end = |key| {
        let commit = Commit {
            end: Some(end),
            ..all(vec![put(key, "1", Expect::Absent)])
        };
        store.commit(commit)
    };
    assert_eq!(until_end("a").await.expect("commits"), Committed::At(1));
    clock.advance(Duration::from_secs(1));
    assert_eq!(clock.now(), end);
    // Also where the row is not as expected.
    for key in ["a", "b"] {
        assert_eq!(until_end(key).await.expect("answers"), Committed::Ended);
    }
    assert_eq!(store.get("b").await.expect("reads"), None);
    let next = commit(&*store, vec![put("b", "2", Expect::Absent)]).await;
    assert_eq!(next, Committed::At(2));
}

#[tokio::test]
async fn a_deleted_row_is_absent() {
    let directory = directory();
    let store = open(&directory);
    let one = |change| commit(&*store, vec![change]);
    assert_eq!(one(put("a", "1", Expect::Any)).await, Committed::At(1));
    assert_eq!(
        one(delete("a", Expect::Revision(1))).await,
        Committed::At(2)
    );
    assert_eq!(store.get("a").await.expect("reads"), None);
    assert_eq!(keys(&*store, "", None, 9).await, [""; 0]);
    assert_eq!(one(put("a", "3", Expect::Absent)).await, Committed::At(3));
}

#[tokio::test]
async fn a_commit_that_names_a_key_twice_is_refused() {
    let directory = directory();
    let store = open(&directory);
    let changes = vec![put("a", "1", Expect::Any), delete("a", Expect::Any)];
    let error = store
        .commit(all(changes))
        .await
        .expect_err("must be refused");
    assert_eq!(error.reason(), Reason::Internal);
    assert_eq!(store.get("a").await.expect("reads"), None);
}

#[tokio::test]
async fn revisions_go_on_after_a_restart_and_after_deletes() {
    let directory = directory();
    let store = open(&directory);
    drop(commit(&*store, vec![put("a", "1", Expect::Any)]).await);
    drop(commit(&*store, vec![delete("a", Expect::Any)]).await);
    drop(store);
    let store = open(&directory);
    assert_eq!(
        commit(&*store, vec![put("b", "3", Expect::Absent)]).await,
        Committed::At(3)
    );
    drop(store);
    let store = open(&directory);
    assert_eq!(store.get("b").await.expect("reads"), Some(row(3, "3")));
    assert_eq!(store.get("a").await.expect("reads"), None);
}

#[tokio::test]
async fn commits_in_line_are_done_before_the_store_is_gone() {
    let directory = directory();
    let store = open(&directory);
    for number in 0..100 {
        let change = put(&format!("k{number:02}"), "1", Expect::Absent);
        let mut left_in_line = store.commit(all(vec![change]));
        let mut cx = Context::from_waker(Waker::noop());
        drop(left_in_line.as_mut().poll(&mut cx));
    }
    drop(store);
    assert_eq!(keys(&*open(&directory), "k", None, 1000).await.len(), 100);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_64_writers_on_one_counter_no_increment_is_lost() {
    const WRITERS: u64 = 64;
    const INCREMENTS: u64 = 8;
    let directory = directory();
    let store = open(&directory);
    assert_eq!(
        commit(&*store, vec![put("n", "0", Expect::Absent)]).await,
        Committed::At(1)
    );
    let mut writers = tokio::task::JoinSet::new();
    for _ in 0..WRITERS {
        let store = Arc::clone(&store);
        writers.spawn(async move {
            let mut done = 0;
            while done < INCREMENTS {
                let row = store.get("n").await.expect("reads").expect("is there");
                let text = String::from_utf8(row.bytes).expect("text");
                let next = (text.parse::<u64>().expect("number") + 1).to_string();
                let change = put("n", &next, Expect::Revision(row.revision));
                match store.commit(all(vec![change])).await.expect("commits") {
                    Committed::At(_) => done += 1,
                    Committed::Conflict { .. } | Committed::Ended => {}
                }
            }
        });
    }
    while let Some(writer) = writers.join_next().await {
        writer.expect("ran");
    }
    let total = WRITERS * INCREMENTS;
    let expected = row(1 + total, &total.to_string());
    assert_eq!(store.get("n").await.expect("reads"), Some(expected));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn revisions_have_no_gaps_and_follow_the_order_of_answers() {
    let directory = directory();
    let store = open(&directory);
    let mut writers = tokio::task::JoinSet::new();
    for writer in 0..16 {
        let store = Arc::clone(&store);
        writers.spawn(async move {
            let mut revisions = Vec::new();
            for number in 0..20 {
                // Each fourth commit conflicts inside the same batch as the others.
                let expect = if number % 4 == 3 {
                    Expect::Revision(u64::MAX)
                } else {
                    Expect::Absent
                };
                let change = put(&format!("{writer}/{number}"), "x", expect);
                match store.commit(all(vec![change])).await.expect("commits") {
                    Committed::At(revision) => revisions.push(revision),
                    Committed::Conflict { .. } => assert_eq!(number % 4, 3),
                    Committed::Ended => panic!("it has no end"),
                }
            }
            assert!(revisions.is_sorted());
            revisions
        });
    }
    let mut revisions = Vec::new();
    while let Some(writer) = writers.join_next().await {
        revisions.extend(writer.expect("ran"));
    }
    revisions.sort_unstable();
    assert!(revisions.iter().copied().eq(1..=16 * 15));
}

#[tokio::test]
async fn large_rows_outlive_checkpoints_and_a_restart() {
    let directory = directory();
    let store = open(&directory);
    let large = "x".repeat(256 << 10);
    for number in 0..64 {
        let change = put(
            &format!("{number:02}"),
            &format!("{number}{large}"),
            Expect::Absent,
        );
        assert!(matches!(
            commit(&*store, vec![change]).await,
            Committed::At(_)
        ));
    }
    drop(store);
    let log = directory.path().join("store.db-wal");
    assert_eq!(
        log.metadata().map_or(0, |log| log.len()),
        0,
        "all is in one file"
    );
    let store = open(&directory);
    for (number, (key, row)) in store
        .scan("", None, 100)
        .await
        .expect("scans")
        .iter()
        .enumerate()
    {
        assert_eq!(key, &format!("{number:02}"));
        assert_eq!(row.bytes, format!("{number}{large}").as_bytes());
    }
}

#[test]
fn any_executor_can_await_the_store() {
    let directory = directory();
    let store = open(&directory);
    let outlives_runtimes = |key: &str| {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .build()
            .expect("builds");
        runtime.block_on(commit(&*store, vec![put(key, "1", Expect::Absent)]))
    };
    assert_eq!(outlives_runtimes("a"), Committed::At(1));
    assert_eq!(outlives_runtimes("b"), Committed::At(2));
}

#[test]
fn foreign_and_newer_files_are_refused_and_left_alone() {
    let directory = directory();
    let text = directory.path().join("text");
    std::fs::write(
        &text,
        "not a database, but long enough to hold a header of one".repeat(9),
    )
    .expect("writes");
    refusal(SqliteStore::open(&text, clock()));

    let with = |name: &str, sql: &str| {
        let path = directory.path().join(name);
        let connection = rusqlite::Connection::open(&path).expect("opens");
        connection.execute_batch(sql).expect("runs");
        drop(connection);
        let before = std::fs::read(&path).expect("reads");
        let refusal = refusal(SqliteStore::open(&path, clock()));
        assert_eq!(std::fs::read(&path).expect("reads"), before);
        refusal
    };
    assert!(with("other", "CREATE TABLE records (key TEXT)").contains("another program"));
    assert!(with("id", "PRAGMA application_id = 7").contains("another program"));
    let newer = "PRAGMA application_id = 0x434c4156; PRAGMA user_version = 2";
    assert!(with("newer", newer).contains("schema version 2"));
}

/// Brings back each row that is deleted: a grant that is revoked, a token.
const UNDO: &str = "CREATE TRIGGER undo AFTER DELETE ON records BEGIN
    INSERT INTO records VALUES (old.key, old.revision, old.bytes); END";

#[tokio::test]
async fn a_schema_that_has_more_than_ours_or_other_is_refused_and_left_alone() {
    let directory = directory();
    let path = directory.path().join("store.db");
    let other_table = "CREATE TABLE records (key TEXT PRIMARY KEY, revision INTEGER, bytes BLOB)";
    for (sql, named) in [
        (UNDO, "trigger \"undo\""),
        ("CREATE VIEW v AS SELECT key FROM records", "view \"v\""),
        ("CREATE INDEX i ON records (revision)", "index \"i\""),
        ("CREATE TABLE other (key TEXT)", "table \"other\""),
        (
            &format!("DROP TABLE records; {other_table} STRICT, WITHOUT ROWID"),
            "table \"records\"",
        ),
        ("DROP TABLE records", "lacks table \"records\""),
    ] {
        std::fs::remove_file(&path).ok();
        drop(open(&directory));
        let connection = rusqlite::Connection::open(&path).expect("opens");
        connection.execute_batch(sql).expect("runs");
        drop(connection);
        let before = std::fs::read(&path).expect("reads");
        let refusal = refusal(SqliteStore::open(&path, clock()));
        assert!(refusal.contains(named), "{refusal}");
        assert_eq!(std::fs::read(&path).expect("reads"), before);
    }
}

#[tokio::test]
async fn a_trigger_that_is_planted_while_the_store_is_open_does_not_run() {
    let directory = directory();
    let store = open(&directory);
    drop(commit(&*store, vec![put("grant", "1", Expect::Absent)]).await);
    let path = directory.path().join("store.db");
    let other_program = rusqlite::Connection::open(path).expect("opens");
    other_program.execute_batch(UNDO).expect("runs");
    drop(commit(&*store, vec![delete("grant", Expect::Any)]).await);
    assert_eq!(store.get("grant").await.expect("reads"), None);
}

#[test]
fn a_second_opening_is_refused_while_the_first_lasts() {
    let directory = directory();
    let path = directory.path().join("store.db");
    let first = SqliteStore::open(&path, clock()).expect("opens");
    assert!(refusal(SqliteStore::open(&path, clock())).contains("another clavigerd"));
    drop(first);
    SqliteStore::open(&path, clock()).expect("opens");
}

#[tokio::test]
async fn no_file_of_the_store_is_readable_by_others() {
    use std::os::unix::fs::PermissionsExt;
    let directory = directory();
    let store = open(&directory);
    drop(commit(&*store, vec![put("a", "1", Expect::Any)]).await);
    let mode = |path: &Path| path.metadata().expect("is there").permissions().mode() & 0o777;
    let mut files = 0;
    for entry in std::fs::read_dir(directory.path()).expect("lists") {
        assert_eq!(mode(&entry.expect("lists").path()), 0o600);
        files += 1;
    }
    assert_eq!(files, 4, "database, log, index, lock");
}

/// How many times this process has the database of a directory open.
fn opened(directory: &TempDir) -> usize {
    let path = directory.path().join("store.db");
    let entries = std::fs::read_dir("/proc/self/fd").expect("lists");
    let files = entries.flatten().flat_map(|file| file.path().read_link());
    files.filter(|file| *file == path).count()
}

#[tokio::test]
async fn a_start_opens_no_more_than_it_needs() {
    let directory = directory();
    let store = open(&directory);
    assert_eq!(opened(&directory), 1);
    assert_eq!(store.get("a").await.expect("reads"), None);
    assert_eq!(opened(&directory), 2);
    store.erase().await.expect("erases");
    assert_eq!(opened(&directory), 3);
}

#[tokio::test]
async fn what_cannot_be_opened_later_is_an_error_of_its_first_use_and_tried_again() {
    let directory = directory();
    let store = open(&directory);
    drop(commit(&*store, vec![put("a", "1", Expect::Any)]).await);
    let path = directory.path().join("store.db");
    let aside = directory.path().join("aside.db");
    std::fs::rename(&path, &aside).expect("moves");
    for error in [
        store.get("a").await.expect_err("cannot be opened"),
        store.health().await.expect_err("cannot be opened"),
        store.erase().await.expect_err("cannot be opened"),
    ] {
        assert_eq!(error.reason(), Reason::StoreUnavailable);
        let text = format!("{error:?}");
        assert!(text.contains("unable to open database file"), "{text}");
        assert!(text.contains("store.db"), "{text}");
    }
    std::fs::rename(&aside, &path).expect("moves");
    assert_eq!(store.get("a").await.expect("reads"), Some(row(1, "1")));
    store.erase().await.expect("erases");
    store.health().await.expect("is well");
    assert_eq!(
        commit(&*store, vec![put("a", "2", Expect::Any)]).await,
        Committed::At(2)
    );
}
