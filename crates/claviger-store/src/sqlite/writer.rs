//! The one writer: takes whatever commits are in line, does them in one transaction, answers all.

use std::mem;

use claviger_core::Result;
use rusqlite::{Connection, ErrorCode, OptionalExtension, TransactionBehavior};
use tokio::sync::{mpsc, oneshot};

use crate::sqlite::Fault;
use crate::sqlite::checkpoint::Pages;
use crate::{Change, Committed, Expect, unavailable};

/// Most commits that share one transaction: bounds the time until the first of them is answered.
const BATCH_LEN: usize = 256;

/// A commit in line.
pub(super) struct Request {
    pub(super) changes: Vec<Change>,
    pub(super) answer: oneshot::Sender<Result<Committed>>,
}

pub(super) struct Writer {
    connection: Connection,
    revision: i64,
    fault: Fault,
}

impl Writer {
    pub(super) fn new(
        mut connection: Connection,
        revision: i64,
        pages: Pages,
        fault: Fault,
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
            fault,
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
            Some(fault) => Err(fault.clone()),
            None => self.write(&batch).map_err(|error| {
                let text = error.to_string();
                // INVARIANT: after an I/O error nothing is reported as done until the store is
                // opened anew. The kernel reports a failed fsync once and then calls the lost
                // pages clean, so that a later success would prove nothing.
                if !is_passing(&error) {
                    self.fault.set(format!("commits have stopped: {text}")).ok();
                }
                text
            }),
        };
        match written {
            Ok(outcomes) => {
                for (request, outcome) in batch.into_iter().zip(outcomes) {
                    request.answer.send(Ok(outcome)).ok();
                }
            }
            Err(text) => {
                for request in batch {
                    request.answer.send(Err(unavailable(text.as_str()))).ok();
                }
            }
        }
    }

    fn write(&mut self, batch: &[Request]) -> rusqlite::Result<Vec<Committed>> {
        let transaction = self
            .connection
            .transaction_with_behavior(TransactionBehavior::Immediate)?;
        let mut revision = self.revision;
        let mut outcomes = Vec::with_capacity(batch.len());
        for request in batch {
            outcomes.push(apply(&transaction, &request.changes, &mut revision)?);
        }
        if revision != self.revision {
            transaction
                .prepare_cached("UPDATE meta SET revision = ?1")?
                .execute([revision])?;
        }
        transaction.commit()?;
        self.revision = revision;
        Ok(outcomes)
    }
}

/// Does one commit, or nothing of it: all expectations are checked before the first change.
fn apply(
    connection: &Connection,
    changes: &[Change],
    revision: &mut i64,
) -> rusqlite::Result<Committed> {
    for change in changes {
        if !is_as_expected(connection, change)? {
            return Ok(Committed::Conflict {
                key: change.key.clone(),
            });
        }
    }
    *revision += 1;
    for change in changes {
        match &change.bytes {
            Some(bytes) => connection
                .prepare_cached(
                    "INSERT INTO records (key, revision, bytes) VALUES (?1, ?2, ?3)
                     ON CONFLICT (key) DO UPDATE SET revision = ?2, bytes = ?3",
                )?
                .execute((&change.key, *revision, bytes))?,
            None => connection
                .prepare_cached("DELETE FROM records WHERE key = ?1")?
                .execute([&change.key])?,
        };
    }
    Ok(Committed::At(revision.cast_unsigned()))
}

fn is_as_expected(connection: &Connection, change: &Change) -> rusqlite::Result<bool> {
    let expected = match change.expect {
        Expect::Any => return Ok(true),
        Expect::Absent => None,
        Expect::Revision(revision) => Some(revision.cast_signed()),
    };
    let found: Option<i64> = connection
        .prepare_cached("SELECT revision FROM records WHERE key = ?1")?
        .query_row([&change.key], |row| row.get(0))
        .optional()?;
    Ok(found == expected)
}

/// Whether trying again later is safe: SQLite has rolled back and no write was lost.
pub(super) fn is_passing(error: &rusqlite::Error) -> bool {
    matches!(
        error.sqlite_error_code(),
        Some(
            ErrorCode::DatabaseBusy
                | ErrorCode::DatabaseLocked
                | ErrorCode::DiskFull
                | ErrorCode::OutOfMemory
                | ErrorCode::TooBig
        )
    )
}

#[cfg(test)]
mod tests {
    use claviger_core::Reason;

    use super::*;
    use crate::sqlite::{checkpoint, open};
    use crate::threads::Threads;

    fn writer(directory: &tempfile::TempDir, threads: &mut Threads) -> Writer {
        let path = directory.path().join("store.db");
        let fault = Fault::default();
        let (connection, revision) = open::writer(&path).expect("opens");
        let checkpointer = open::checkpointer(&path).expect("opens");
        let pages = checkpoint::spawn(threads, checkpointer, &fault).expect("spawns");
        Writer::new(connection, revision, pages, fault).expect("is made")
    }

    fn settle(writer: &mut Writer, batch: &[(&str, usize)]) -> Vec<Result<Committed>> {
        let (requests, mut answers): (Vec<_>, Vec<_>) = batch
            .iter()
            .map(|(key, len)| {
                let (answer, outcome) = oneshot::channel();
                let change = Change {
                    key: (*key).to_owned(),
                    bytes: Some(vec![b'x'; *len]),
                    expect: Expect::Absent,
                };
                let changes = vec![change];
                (Request { changes, answer }, outcome)
            })
            .unzip();
        writer.settle(requests);
        let answers = answers.iter_mut().map(oneshot::Receiver::try_recv);
        answers.map(|answer| answer.expect("is answered")).collect()
    }

    fn all_unavailable(outcomes: &[Result<Committed>]) -> bool {
        let unavailable = |outcome: &Result<_>| matches!(outcome, Err(error) if error.reason() == Reason::StoreUnavailable);
        outcomes.iter().all(unavailable)
    }

    #[test]
    fn after_a_failed_commit_nothing_is_reported_as_done_until_reopened() {
        let directory = tempfile::tempdir().expect("a directory");
        let mut threads = Threads::default();
        let mut writer = writer(&directory, &mut threads);
        writer.connection.commit_hook(Some(|| true)).expect("sets");
        assert!(all_unavailable(&settle(&mut writer, &[("a", 1), ("b", 1)])));
        writer
            .connection
            .commit_hook(None::<fn() -> bool>)
            .expect("sets");
        assert!(all_unavailable(&settle(&mut writer, &[("c", 1)])));
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
        assert!(all_unavailable(&settle(
            &mut writer,
            &[("b", 1), ("c", 1 << 20)]
        )));
        limit(&writer, 10_000);
        let outcomes = settle(&mut writer, &[("b", 1), ("c", 1 << 20)]);
        assert!(matches!(outcomes[0], Ok(Committed::At(2))));
        assert!(matches!(outcomes[1], Ok(Committed::At(3))));
    }
}
