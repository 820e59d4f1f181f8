//! The one writer: takes all commits that are in line, does them in one transaction, answers all.

use std::mem;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use claviger_core::{Clock, Result};
use rusqlite::{Connection, OptionalExtension, TransactionBehavior};
use tokio::sync::{mpsc, oneshot};

use crate::contract::{Commit, Committed, Expect, unavailable};
use crate::notes::{self, Packed};
use crate::sqlite::checkpoint::Checkpoints;
use crate::sqlite::fault::{Failure, Fault, Stuck, is_passing};

/// Most commits that share one transaction: bounds the time until the first of them is answered.
const BATCH_LEN: usize = 256;

/// A commit in line.
pub(super) struct Request {
    pub(super) commit: Commit,
    pub(super) answer: oneshot::Sender<Result<Committed>>,
}

pub(super) struct Writer {
    connection: Connection,
    revision: i64,
    clock: Arc<dyn Clock>,
    fault: Fault,
    stuck: Stuck,
}

impl Writer {
    pub(super) fn new(
        mut connection: Connection,
        revision: i64,
        clock: Arc<dyn Clock>,
        pages: Checkpoints,
        (fault, stuck): (Fault, Stuck),
    ) -> Result<Self> {
        // Takes the place of SQLite's own hook, which would copy the log inside a commit.
        connection
            .wal_hook(Some(move |_: &mut _, written| {
                pages.written(written);
                Ok(())
            }))
            .map_err(unavailable)?;
        Ok(Self {
            connection,
            revision,
            clock,
            fault,
            stuck,
        })
    }

    /// Works until the queue is closed and empty.
    pub(super) fn run(mut self, mut queue: mpsc::Receiver<Request>) {
        let mut batch = Vec::with_capacity(BATCH_LEN);
        while let Some(first) = queue.blocking_recv() {
            batch.push(first);
            while batch.len() < BATCH_LEN
                && let Ok(next) = queue.try_recv()
            {
                batch.push(next);
            }
            self.settle(mem::take(&mut batch));
        }
    }

    fn settle(&mut self, batch: Vec<Request>) {
        let written = match self.fault.get() {
            Some(fault) => Err(fault.as_str().into()),
            None => self.write(&batch).map_err(|error| self.failed(&error)),
        };
        match written {
            Ok(outcomes) => {
                for (request, outcome) in batch.into_iter().zip(outcomes) {
                    request.answer.send(Ok(outcome)).ok();
                }
            }
            Err(failure) => {
                for request in batch {
                    request.answer.send(Err(failure.to_error())).ok();
                }
            }
        }
    }

    fn failed(&self, error: &rusqlite::Error) -> Failure {
        let failure = Failure::of(error);
        // INVARIANT: after an I/O error nothing is reported as done until the store is opened anew.
        // The kernel reports a failed fsync once and then calls the lost pages clean, so that a
        // later success would prove nothing.
        if !is_passing(error) {
            let text = format!("commits have stopped: {}", failure.text);
            self.fault.set(text).ok();
        }
        if failure.is_for_want_of_disk {
            self.stuck.store(true, Ordering::Relaxed);
        }
        failure
    }

    fn write(&mut self, batch: &[Request]) -> rusqlite::Result<Vec<Committed>> {
        let transaction = self
            .connection
            .transaction_with_behavior(TransactionBehavior::Immediate)?;
        let mut revision = self.revision;
        let mut outcomes = Vec::with_capacity(batch.len());
        let mut notes = Packed::default();
        for Request { commit, .. } in batch {
            let outcome = apply(&transaction, &*self.clock, commit, &mut revision)?;
            if let (Committed::At(_), Some(note)) = (&outcome, &commit.note) {
                notes.push(revision, note);
            }
            outcomes.push(outcome);
        }
        if let Some((last, packed)) = notes.row() {
            let key = notes::key(last.cast_unsigned());
            put(&transaction, &key, last, &packed)?;
        }
        if revision != self.revision {
            transaction
                .prepare_cached("UPDATE meta SET revision = ?1")?
                .execute([revision])?;
        }
        transaction.commit()?;
        if revision != self.revision {
            self.stuck.store(false, Ordering::Relaxed);
        }
        self.revision = revision;
        Ok(outcomes)
    }
}

/// Does one commit, or nothing of it: all that is expected is checked before the first change.
fn apply(
    connection: &Connection,
    clock: &dyn Clock,
    commit: &Commit,
    revision: &mut i64,
) -> rusqlite::Result<Committed> {
    if commit.end.is_some_and(|end| clock.now() >= end) {
        return Ok(Committed::Ended);
    }
    let conditions = commit.conditions.iter().map(|row| (&row.key, row.expect));
    let changes = commit.changes.iter().map(|row| (&row.key, row.expect));
    for (key, expect) in conditions.chain(changes) {
        if !is_as_expected(connection, key, expect)? {
            return Ok(Committed::Conflict { key: key.clone() });
        }
    }
    *revision += 1;
    for change in &commit.changes {
        match &change.bytes {
            Some(bytes) => put(connection, &change.key, *revision, bytes)?,
            None => connection
                .prepare_cached("DELETE FROM records WHERE key = ?1")?
                .execute([&change.key])?,
        };
    }
    if let Some(up_to) = commit.forgets_notes {
        connection
            .prepare_cached(
                "DELETE FROM records WHERE key IN
                 (SELECT key FROM records WHERE key BETWEEN ?1 AND ?2 ORDER BY key LIMIT ?3)",
            )?
            .execute((notes::key(0), notes::key(up_to), notes::FORGOTTEN_MAX))?;
    }
    Ok(Committed::At(revision.cast_unsigned()))
}

fn put(connection: &Connection, key: &str, revision: i64, bytes: &[u8]) -> rusqlite::Result<usize> {
    connection
        .prepare_cached(
            "INSERT INTO records (key, revision, bytes) VALUES (?1, ?2, ?3)
             ON CONFLICT (key) DO UPDATE SET revision = ?2, bytes = ?3",
        )?
        .execute((key, revision, bytes))
}

fn is_as_expected(connection: &Connection, key: &str, expect: Expect) -> rusqlite::Result<bool> {
    let expected = match expect {
        Expect::Any => return Ok(true),
        Expect::Absent => None,
        Expect::Revision(revision) => Some(revision.cast_signed()),
    };
    let found: Option<i64> = connection
        .prepare_cached("SELECT revision FROM records WHERE key = ?1")?
        .query_row([key], |row| row.get(0))
        .optional()?;
    Ok(found == expected)
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;
    use std::time::{Duration, SystemTime};

    use claviger_core::{ManualClock, Reason};

    use super::*;
    use crate::contract::{Change, Condition};
    use crate::sqlite::{checkpoint, open};
    use crate::threads::Threads;

    fn writer(directory: &tempfile::TempDir, threads: &mut Threads) -> Writer {
        let clock = Arc::new(ManualClock::at(Duration::ZERO));
        writer_with(directory, threads, clock)
    }

    fn writer_with(
        directory: &tempfile::TempDir,
        threads: &mut Threads,
        clock: Arc<dyn Clock>,
    ) -> Writer {
        let path = directory.path().join("store.db");
        let fault = Fault::default();
        let (connection, revision) = open::writer(&path).expect("opens");
        let pages = checkpoint::spawn(threads, &path, &fault).expect("spawns");
        let state = (fault, Stuck::default());
        Writer::new(connection, revision, clock, pages, state).expect("is made")
    }

    fn put(key: &str, len: usize) -> Commit {
        let change = Change {
            key: key.to_owned(),
            bytes: Some(vec![b'x'; len]),
            expect: Expect::Absent,
        };
        Commit {
            changes: vec![change],
            ..Commit::default()
        }
    }

    fn settle(writer: &mut Writer, batch: &[(&str, usize)]) -> Vec<Result<Committed>> {
        settle_all(writer, batch.iter().map(|(key, len)| put(key, *len)))
    }

    /// Does all in one transaction.
    fn settle_all(
        writer: &mut Writer,
        batch: impl IntoIterator<Item = Commit>,
    ) -> Vec<Result<Committed>> {
        let request = |commit| {
            let (answer, outcome) = oneshot::channel();
            (Request { commit, answer }, outcome)
        };
        let (requests, mut answers): (Vec<_>, Vec<_>) = batch.into_iter().map(request).unzip();
        writer.settle(requests);
        let answers = answers.iter_mut().map(oneshot::Receiver::try_recv);
        answers.map(|answer| answer.expect("is answered")).collect()
    }

    fn all_fail(outcomes: &[Result<Committed>], reason: Reason) -> bool {
        let fails = |outcome: &Result<_>| matches!(outcome, Err(error) if error.reason() == reason);
        outcomes.iter().all(fails)
    }

    #[test]
    fn after_a_failed_commit_nothing_is_reported_as_done_until_reopened() {
        let directory = tempfile::tempdir().expect("a directory");
        let mut threads = Threads::default();
        let mut writer = writer(&directory, &mut threads);
        writer.connection.commit_hook(Some(|| true)).expect("sets");
        let outcomes = settle(&mut writer, &[("a", 1), ("b", 1)]);
        assert!(all_fail(&outcomes, Reason::StoreUnavailable));
        writer
            .connection
            .commit_hook(None::<fn() -> bool>)
            .expect("sets");
        let outcomes = settle(&mut writer, &[("c", 1)]);
        assert!(all_fail(&outcomes, Reason::StoreUnavailable));
        assert!(writer.fault.get().is_some());
        drop(writer);

        let mut writer = self::writer(&directory, &mut threads);
        let outcomes = settle(&mut writer, &[("a", 1), ("a", 1), ("c", 1)]);
        assert!(matches!(outcomes[0], Ok(Committed::At(1))));
        assert!(matches!(&outcomes[1], Ok(Committed::Conflict { key }) if key == "a"));
        assert!(matches!(outcomes[2], Ok(Committed::At(2))));
    }

    #[test]
    fn a_full_disk_fails_the_whole_batch_and_commits_go_on_once_there_is_space() {
        let directory = tempfile::tempdir().expect("a directory");
        let mut threads = Threads::default();
        let mut writer = writer(&directory, &mut threads);
        let limit = |writer: &Writer, pages: i32| {
            let set = |row: &rusqlite::Row<'_>| row.get::<_, i32>(0);
            writer
                .connection
                .pragma_update_and_check(None, "max_page_count", pages, set)
                .expect("sets");
        };
        assert!(matches!(
            settle(&mut writer, &[("a", 1)])[0],
            Ok(Committed::At(1))
        ));
        limit(&writer, 10);
        let outcomes = settle(&mut writer, &[("b", 1), ("c", 1 << 20)]);
        assert!(all_fail(&outcomes, Reason::StoreNotWritable));
        assert!(writer.stuck.load(Ordering::Relaxed));
        limit(&writer, 10_000);
        let outcomes = settle(&mut writer, &[("b", 1), ("c", 1 << 20)]);
        assert!(!writer.stuck.load(Ordering::Relaxed));
        assert!(matches!(outcomes[0], Ok(Committed::At(2))));
        assert!(matches!(outcomes[1], Ok(Committed::At(3))));
    }

    #[test]
    fn a_commit_sees_what_the_one_before_it_in_the_same_transaction_did() {
        let directory = tempfile::tempdir().expect("a directory");
        let mut threads = Threads::default();
        let mut writer = writer(&directory, &mut threads);
        let while_absent = |key: &str| Commit {
            conditions: vec![Condition {
                key: "token".to_owned(),
                expect: Expect::Absent,
            }],
            ..put(key, 1)
        };
        let batch = [while_absent("a"), put("token", 1), while_absent("b")];
        let outcomes = settle_all(&mut writer, batch);
        assert!(matches!(outcomes[0], Ok(Committed::At(1))));
        assert!(matches!(outcomes[1], Ok(Committed::At(2))));
        assert!(matches!(&outcomes[2], Ok(Committed::Conflict { key }) if key == "token"));
    }

    fn noted(key: &str, note: &str) -> Commit {
        Commit {
            note: Some(note.as_bytes().to_vec()),
            ..put(key, 1)
        }
    }

    /// The keys and contents of the rows of notes.
    fn notes(writer: &Writer) -> Vec<(String, Vec<u8>)> {
        let mut statement = writer
            .connection
            .prepare("SELECT key, bytes FROM records WHERE key GLOB 'audit-outbox/*'")
            .expect("reads");
        let rows = statement.query_map([], |row| Ok((row.get(0)?, row.get(1)?)));
        rows.and_then(Iterator::collect).expect("reads")
    }

    fn packed(last: u64, notes: &[&str]) -> Vec<(String, Vec<u8>)> {
        let mut packed = Packed::default();
        notes
            .iter()
            .for_each(|note| packed.push(0, note.as_bytes()));
        let row = packed.row().into_iter();
        row.map(|(_, packed)| (notes::key(last), packed)).collect()
    }

    #[test]
    fn the_notes_of_one_transaction_lie_in_one_row_but_for_those_of_what_is_refused() {
        let directory = tempfile::tempdir().expect("a directory");
        let mut threads = Threads::default();
        let mut writer = writer(&directory, &mut threads);
        let batch = [
            noted("a", "one"),
            noted("a", "conflict"),
            noted("b", "two"),
            put("c", 1),
        ];
        let outcomes = settle_all(&mut writer, batch);
        assert!(matches!(outcomes[0], Ok(Committed::At(1))));
        assert!(matches!(outcomes[1], Ok(Committed::Conflict { .. })));
        assert!(matches!(outcomes[2], Ok(Committed::At(2))));
        assert!(matches!(outcomes[3], Ok(Committed::At(3))));
        assert_eq!(notes(&writer), packed(2, &["one", "two"]));

        let forget = |up_to| Commit {
            forgets_notes: Some(up_to),
            ..Commit::default()
        };
        drop(settle_all(&mut writer, [forget(1)]));
        assert_eq!(notes(&writer), packed(2, &["one", "two"]));
        drop(settle_all(&mut writer, [noted("d", "five"), forget(2)]));
        assert_eq!(notes(&writer), packed(5, &["five"]));
    }

    #[test]
    fn a_commit_forgets_no_more_than_it_has_time_for() {
        let directory = tempfile::tempdir().expect("a directory");
        let mut threads = Threads::default();
        let mut writer = writer(&directory, &mut threads);
        let rows = u64::from(notes::FORGOTTEN_MAX) + 2;
        let transaction = writer.connection.transaction().expect("begins");
        for revision in 1..=rows {
            super::put(&transaction, &notes::key(revision), 1, b"").expect("puts");
        }
        transaction.commit().expect("commits");
        let forget = || Commit {
            forgets_notes: Some(rows),
            ..Commit::default()
        };
        drop(settle_all(&mut writer, [forget()]));
        let left = [rows - 1, rows].map(|revision| (notes::key(revision), Vec::new()));
        assert_eq!(notes(&writer), left);
        drop(settle_all(&mut writer, [forget()]));
        assert_eq!(notes(&writer), []);
    }

    #[test]
    fn a_transaction_that_fails_keeps_no_note() {
        let directory = tempfile::tempdir().expect("a directory");
        let mut threads = Threads::default();
        let mut writer = writer(&directory, &mut threads);
        writer.connection.commit_hook(Some(|| true)).expect("sets");
        let outcomes = settle_all(&mut writer, [noted("a", "one")]);
        assert!(all_fail(&outcomes, Reason::StoreUnavailable));
        assert_eq!(notes(&writer), []);
    }

    /// A clock that a second passes on whenever somebody looks at it.
    #[derive(Debug)]
    struct Passing(Mutex<SystemTime>);

    impl Clock for Passing {
        fn now(&self) -> SystemTime {
            let mut now = self.0.lock().expect("is whole");
            *now += Duration::from_secs(1);
            *now
        }

        fn uptime(&self) -> Duration {
            Duration::ZERO
        }
    }

    #[test]
    fn each_commit_of_a_transaction_is_held_against_the_clock_in_its_turn() {
        let directory = tempfile::tempdir().expect("a directory");
        let mut threads = Threads::default();
        let start = SystemTime::UNIX_EPOCH;
        let clock = Arc::new(Passing(Mutex::new(start)));
        let mut writer = writer_with(&directory, &mut threads, clock);
        let until = |key, seconds| Commit {
            end: Some(start + Duration::from_secs(seconds)),
            ..put(key, 1)
        };
        let outcomes = settle_all(&mut writer, [until("a", 2), until("b", 2), until("b", 4)]);
        assert!(matches!(outcomes[0], Ok(Committed::At(1))));
        assert!(matches!(outcomes[1], Ok(Committed::Ended)));
        assert!(matches!(outcomes[2], Ok(Committed::At(2))));
    }
}
