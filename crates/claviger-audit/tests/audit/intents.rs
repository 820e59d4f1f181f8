//! Intents that are committed with what they intend: copied to the log afterwards, and written by
//! the next start if that did not happen.

use std::fs;
use std::path::Path;
use std::sync::Arc;

use claviger_access::Authorized;
use claviger_audit::{Audit, Facts, FileOptions, Health, Mark, log_files, verify_files};
use claviger_core::{Error, Reason, Result};
use serde_json::Value;

use crate::support::{authorize, clock, lines, memory_audit};
use crate::turns::{HangingSink, LetAllGo, read};

fn facts(secret: &str) -> Facts {
    Facts {
        secret: Some(secret.to_owned()),
        ..Facts::default()
    }
}

/// What a put does to the log: its commit is done as this revision. Returns its note.
async fn put(audit: &Arc<Audit>, secrets: &[&str], revision: u64) -> Result<Vec<u8>> {
    let authorized = authorize(audit, 0).await.expect("allowed");
    let intent = audit.intend(&authorized, secrets.iter().map(|one| facts(one)).collect());
    let note = intent.note()?;
    let copied = intent.copied(Some(revision)).await;
    conclude(audit, authorized, copied).await?;
    Ok(note)
}

async fn conclude(audit: &Audit, authorized: Authorized, result: Result<()>) -> Result<()> {
    audit
        .conclude(authorized, result, |()| Facts::default())
        .await
}

/// Phases, and what the intents are about.
fn told(lines: &[Value]) -> Vec<String> {
    let calls = lines.iter().filter(|line| line.get("call").is_some());
    let word = |line: &Value| match line["secret"].as_str() {
        Some(secret) => format!("INTENT {secret}"),
        None => line["phase"].as_str().unwrap_or_default().to_owned(),
    };
    calls.map(word).collect()
}

#[tokio::test]
async fn a_sync_that_hangs_delays_neither_reads_nor_puts_and_notes_are_kept_until_it_ends() {
    let sink = HangingSink::default();
    let audit = Audit::with_sink(Box::new(sink.clone()), clock()).expect("opens");
    let _end = LetAllGo(sink.clone());
    // That of the start.
    sink.until_begun(1).await;
    read(&audit).await.expect("answered");
    put(&audit, &["one"], 5).await.expect("answered");
    put(&audit, &["two"], 6).await.expect("answered");
    let wanted = ["DECISION", "INTENT one", "OUTCOME", "INTENT two", "OUTCOME"];
    assert_eq!(told(&sink.memory.lines()), wanted);
    let mut synced = audit.watch_synced();
    assert_eq!(synced.borrow_and_update().notes, 0);
    sink.let_one_go();
    synced.changed().await.expect("until dropped");
    // It began before them.
    assert_eq!(synced.borrow_and_update().notes, 0);
    sink.until_begun(2).await;
    put(&audit, &["three"], 7).await.expect("answered");
    assert!(!synced.has_changed().expect("until dropped"));
    sink.let_one_go();
    synced.changed().await.expect("until dropped");
    assert_eq!(synced.borrow_and_update().notes, 6);
}

#[tokio::test]
async fn puts_wait_for_a_sync_that_hangs_once_a_start_would_have_too_much_to_read() {
    let sink = HangingSink::default();
    let audit = Audit::with_sink(Box::new(sink.clone()), clock()).expect("opens");
    let _end = LetAllGo(sink.clone());
    sink.until_begun(1).await;
    let authorized = authorize(&audit, 0).await.expect("allowed");
    let intend = || audit.intend(&authorized, vec![facts("one")]);
    let mut count = 0;
    let refused = loop {
        let intent = intend();
        match intent.note() {
            Ok(_) => drop(intent.copied(Some(1)).await),
            Err(error) => break error,
        }
        count += 1;
        assert!(count <= 30_000);
    };
    assert_eq!(refused.reason(), Reason::AuditUnavailable);
    assert!(format!("{refused:?}").contains("holds up its disk"));
    read(&audit).await.expect("answered");
    assert_eq!(count, 30_000);
}

#[tokio::test]
async fn a_note_names_no_record_that_a_loss_of_power_could_take() {
    let sink = HangingSink::default();
    let audit = Audit::with_sink(Box::new(sink.clone()), clock()).expect("opens");
    let _end = LetAllGo(sink.clone());
    sink.until_begun(1).await;
    let note = put(&audit, &["one"], 5).await.expect("answered");
    assert!(note.starts_with(b"1 0 "), "its sync has not ended");
    let mut synced = audit.watch_synced();
    synced.mark_unchanged();
    sink.let_one_go();
    synced.changed().await.expect("until dropped");
    let note = put(&audit, &["two"], 6).await.expect("answered");
    let wanted = format!("1 {} ", synced.borrow().mark.seq);
    assert!(note.starts_with(wanted.as_bytes()));
}

#[tokio::test]
async fn what_a_start_makes_up_for_is_on_disk_when_it_is_open() {
    let crashed = Crashed::new(256 << 20).await;
    cut(&crashed.path(), "\"secret\":\"d\"", 0);
    let options = FileOptions {
        notes: crashed.notes.clone(),
        ..crashed.options.clone()
    };
    let audit = Audit::open(&crashed.path(), options, clock()).expect("opens");
    assert_eq!(audit.watch_synced().borrow().notes, 6);
}

#[tokio::test]
async fn notes_are_kept_while_an_earlier_commit_is_not_copied() {
    let (audit, _sink) = memory_audit();
    let authorized = authorize(&audit, 0).await.expect("allowed");
    let slow = audit.intend(&authorized, vec![facts("slow")]);
    slow.note().expect("healthy");
    put(&audit, &["fast"], 9).await.expect("written");
    audit.stopped().await.expect("synced");
    assert_eq!(audit.watch_synced().borrow().notes, 0);
    slow.copied(Some(8)).await.expect("written");
    audit.stopped().await.expect("synced");
    assert_eq!(audit.watch_synced().borrow().notes, 9);
}

#[tokio::test]
async fn a_copy_that_fails_is_told_nothing_is_committed_meanwhile_and_it_is_made_up_for() {
    let (audit, sink) = memory_audit();
    let authorized = authorize(&audit, 0).await.expect("allowed");
    let intent = audit.intend(&authorized, vec![facts("late")]);
    intent.note().expect("healthy");
    sink.disk().is_full = true;
    let lost = intent.copied(Some(4)).await.expect_err("full");
    assert_eq!(lost.reason(), Reason::AuditUnavailable);
    let unknown = Error::new(Reason::WriteOutcomeUnknown);
    let answer = conclude(&audit, authorized, Err(unknown)).await;
    let answer = answer.expect_err("not confirmed");
    assert_eq!(answer.reason(), Reason::WriteOutcomeUnknown);

    let next = authorize(&audit, 0).await.expect("allowed");
    let refused = audit.intend(&next, vec![facts("next")]);
    let error = refused.note().expect_err("not healthy");
    assert_eq!(error.reason(), Reason::AuditUnavailable);
    drop(refused);
    let answer = conclude(&audit, next, Err(error)).await;
    let answer = answer.expect_err("not written");
    assert_eq!(answer.reason(), Reason::AuditUnavailable);

    sink.disk().is_full = false;
    let mut health = audit.watch_health();
    let well = health.wait_for(|health| *health == Health::Well).await;
    drop(well.expect("until dropped"));
    put(&audit, &["after"], 5).await.expect("written");
    assert_eq!(
        told(&sink.lines()),
        ["INTENT late", "INTENT after", "OUTCOME"]
    );
    audit.stopped().await.expect("synced");
    assert_eq!(audit.watch_synced().borrow().notes, 5);
}

#[tokio::test]
async fn an_intent_whose_call_is_dropped_is_written_once_its_commit_may_be_done() {
    let (audit, sink) = memory_audit();
    let authorized = authorize(&audit, 0).await.expect("allowed");
    let intent = audit.intend(&authorized, vec![facts("dropped")]);
    intent.note().expect("healthy");
    put(&audit, &["other"], 2).await.expect("written");
    drop((intent, authorized));
    drop(audit);
    let told = told(&sink.lines());
    assert_eq!(
        told.iter().filter(|told| *told == "INTENT dropped").count(),
        1
    );
}

#[tokio::test]
async fn an_intent_of_which_nothing_was_done_is_written_before_the_end_of_its_call() {
    let (audit, sink) = memory_audit();
    for is_noted in [true, false] {
        let authorized = authorize(&audit, 0).await.expect("allowed");
        let intent = audit.intend(&authorized, vec![facts("refused")]);
        if is_noted {
            intent.note().expect("healthy");
        }
        intent.refused();
        let mismatch = Err(Error::new(Reason::VersionMismatch));
        let answer = conclude(&audit, authorized, mismatch).await;
        assert_eq!(
            answer.expect_err("its own").reason(),
            Reason::VersionMismatch
        );
    }
    let wanted = ["INTENT refused", "OUTCOME"].repeat(2);
    assert_eq!(told(&sink.lines()), wanted);
    put(&audit, &["next"], 3).await.expect("written");
    audit.stopped().await.expect("synced");
    assert_eq!(
        audit.watch_synced().borrow().notes,
        3,
        "it holds up nothing"
    );
}

/// A log in a directory, of a daemon that has made three puts, and the notes that these left.
struct Crashed {
    directory: tempfile::TempDir,
    notes: Vec<(u64, Vec<u8>)>,
    mark: Mark,
    options: FileOptions,
}

impl Crashed {
    async fn new(segment_bytes: u64) -> Self {
        let directory = tempfile::tempdir().expect("a directory");
        let options = FileOptions {
            segment_bytes,
            reserve_bytes: 0,
            ..FileOptions::default()
        };
        let path = directory.path().join("audit.jsonl");
        let audit = Audit::open(&path, options.clone(), clock()).expect("opens");
        let mut notes = Vec::new();
        for (revision, secrets) in [(3, &["a"][..]), (4, &["b", "c"]), (6, &["d"])] {
            let note = put(&audit, secrets, revision).await.expect("written");
            notes.push((revision, note));
        }
        audit.stopped().await.expect("synced");
        let mark = audit.watch_synced().borrow().mark.clone();
        Self {
            directory,
            notes,
            mark,
            options,
        }
    }

    fn path(&self) -> std::path::PathBuf {
        self.directory.path().join("audit.jsonl")
    }

    /// Starts with the notes, and stops. Returns the records of the whole log.
    fn start(&self) -> Vec<Value> {
        let options = FileOptions {
            notes: self.notes.clone(),
            ..self.options.clone()
        };
        drop(Audit::open(&self.path(), options, clock()).expect("opens"));
        let files = log_files(&self.path()).expect("lists");
        verify_files(&files).expect("the chain holds");
        let text = |path: &std::path::PathBuf| fs::read_to_string(path).expect("reads");
        lines(&files.iter().map(text).collect::<String>())
    }
}

/// Cuts a file off before the first of its lines that has these words, but for `more` bytes.
fn cut(path: &Path, words: &str, more: usize) {
    let text = fs::read_to_string(path).expect("reads");
    let (before, _) = text.split_once(words).expect("is there");
    let start = before.rfind('\n').map_or(0, |end| end + 1);
    fs::write(path, &text.as_bytes()[..start + more]).expect("writes");
}

#[tokio::test]
async fn a_start_writes_what_the_log_lacks_of_the_notes_and_nothing_twice() {
    let all = ["INTENT a", "INTENT b", "INTENT c", "INTENT d"];
    for (words, more, kept) in [
        // All of it survived.
        ("", 0, 4),
        // Cut between two calls, between two records of one, and in the middle of a record.
        ("\"secret\":\"d\"", 0, 3),
        ("\"secret\":\"c\"", 0, 2),
        ("\"secret\":\"c\"", 50, 2),
        ("\"secret\":\"a\"", 0, 0),
    ] {
        let crashed = Crashed::new(256 << 20).await;
        if !words.is_empty() {
            cut(&crashed.path(), words, more);
        }
        let before = lines(
            &fs::read_to_string(crashed.path())
                .expect("reads")
                .lines()
                .filter(|line| line.ends_with('}'))
                .map(|line| format!("{line}\n"))
                .collect::<String>(),
        );
        for start in 0..2 {
            let records = crashed.start();
            let intents: Vec<_> = told(&records)
                .into_iter()
                .filter(|told| told != "OUTCOME")
                .collect();
            assert_eq!(intents, all, "{words} {more} {start}");
            let written = records[before.len()..].iter();
            let events = written.clone().filter_map(|line| line["event"].as_str());
            let mut events: Vec<_> = events.filter(|event| *event != "cut").collect();
            events.dedup();
            assert_eq!(events, ["started"]);
            let is_start = |line: &&Value| line["event"] == "started";
            let made_up = written.take_while(|line| !is_start(line));
            let made_up = made_up.filter(|line| line["phase"] == "INTENT");
            assert_eq!(made_up.count(), 4 - kept, "{words} {more} {start}");
        }
    }
}

#[tokio::test]
async fn an_intent_is_not_taken_for_another_one_of_its_call() {
    let mut crashed = Crashed::new(256 << 20).await;
    let audit = Audit::open(&crashed.path(), crashed.options.clone(), clock()).expect("opens");
    let authorized = authorize(&audit, 0).await.expect("allowed");
    let ending = audit.intent(&authorized, facts("ending"));
    ending.await.expect("written");
    let making = audit.intend(&authorized, vec![facts("making")]);
    crashed.notes.push((9, making.note().expect("healthy")));
    making.copied(Some(9)).await.expect("written");
    drop((authorized, audit));
    cut(&crashed.path(), "\"secret\":\"making\"", 0);
    let told = told(&crashed.start());
    assert_eq!(told[told.len() - 2..], ["INTENT ending", "INTENT making"]);
}

#[tokio::test]
async fn a_start_finds_the_intents_in_closed_files() {
    let crashed = Crashed::new(1000).await;
    assert!(log_files(&crashed.path()).expect("lists").len() > 3);
    let before = told(&crashed.start());
    assert_eq!(told(&crashed.start()), before);
    assert_eq!(before.len(), 7);
}

#[tokio::test]
async fn a_record_that_a_start_makes_up_for_is_the_one_that_was_lost() {
    let crashed = Crashed::new(256 << 20).await;
    let of_d = |records: &[Value]| records.iter().find(|line| line["secret"] == "d").cloned();
    let lost = of_d(&crashed.start()).expect("is there");
    cut(&crashed.path(), "\"secret\":\"d\"", 0);
    let written = of_d(&crashed.start()).expect("is there");
    assert_eq!(written, lost, "at its own time, even");
}

#[tokio::test]
async fn the_mark_of_the_log_comes_before_the_notes() {
    let crashed = Crashed::new(256 << 20).await;
    cut(&crashed.path(), "\"secret\":\"d\"", 0);
    let before = fs::read(crashed.path()).expect("reads");
    let mut options = crashed.options.clone();
    options.sealed = Some(crashed.mark.clone());
    options.notes = crashed.notes.clone();
    let refused = Audit::open(&crashed.path(), options.clone(), clock()).expect_err("refused");
    assert_eq!(refused.reason(), Reason::IntegrityFailure);
    assert_eq!(fs::read(crashed.path()).expect("reads"), before);
    options.accepts_gap = true;
    drop(Audit::open(&crashed.path(), options, clock()).expect("accepted"));
    let records = lines(&fs::read_to_string(crashed.path()).expect("reads"));
    assert_eq!(records[0]["event"], "gap");
    assert_eq!(told(&records), ["INTENT d"]);
}

#[tokio::test]
async fn notes_that_were_written_before_a_start_go_once_its_records_are_synced() {
    let crashed = Crashed::new(256 << 20).await;
    let options = FileOptions {
        notes: crashed.notes.clone(),
        ..crashed.options.clone()
    };
    let audit = Audit::open(&crashed.path(), options, clock()).expect("opens");
    audit.stopped().await.expect("synced");
    assert_eq!(audit.watch_synced().borrow().notes, 6);
}

#[tokio::test]
async fn an_intent_that_lacks_only_the_end_of_its_line_is_cut_off_and_written_again() {
    let crashed = Crashed::new(256 << 20).await;
    let text = fs::read_to_string(crashed.path()).expect("reads");
    let lines: Vec<_> = text.split_inclusive('\n').collect();
    let is_last = |line: &&str| line.contains("\"secret\":\"d\"");
    let last = lines.iter().position(is_last).expect("is there");
    let cut = lines[..=last].concat();
    fs::write(crashed.path(), cut.trim_end()).expect("writes");
    let told = told(&crashed.start());
    assert_eq!(told.iter().filter(|told| *told == "INTENT d").count(), 1);
}

#[tokio::test]
async fn a_note_that_does_not_read_is_refused_by_its_revision() {
    let crashed = Crashed::new(256 << 20).await;
    cut(&crashed.path(), "\"secret\":\"d\"", 9);
    let before = fs::read(crashed.path()).expect("reads");
    for note in [
        "",
        "2 0 now\n,\"call\":\"x\",\"phase\":\"INTENT\"",
        "1 0 now\nnone",
    ] {
        let options = FileOptions {
            notes: vec![(7, note.into())],
            ..crashed.options.clone()
        };
        let refused = Audit::open(&crashed.path(), options, clock()).expect_err(note);
        assert_eq!(refused.reason(), Reason::IntegrityFailure);
        let text = format!("{refused:?}");
        assert!(
            text.contains("of revision 7") && text.contains("start the version"),
            "{text}"
        );
        let after = fs::read(crashed.path()).expect("reads");
        assert_eq!(after, before, "the torn record is not cut off either");
    }
}
