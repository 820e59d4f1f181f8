//! Copies the write-ahead log back into the database file, and empties it of what was deleted.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI32, Ordering};
use std::sync::mpsc;

use claviger_core::Result;
use rusqlite::wal::CheckpointMode;
use rusqlite::{Connection, ErrorCode};
use tokio::sync::oneshot;

use crate::contract::unavailable;
use crate::sqlite::fault::{Failure, Fault, is_passing};
use crate::sqlite::open::{self, Later};
use crate::threads::Threads;

/// Pages written since the last copy that make the next one due (4 MiB).
const PAGES_DUE: i32 = 1000;
/// A log that only grows, because commits never pause, is cut at this length (64 MiB).
const PAGES_LONG: i32 = 16_000;
/// How often an erasure waits for the readers of the log, each time as long as the connection is
/// set to.
const ERASE_ATTEMPTS: usize = 10;

const STILL_READ: &str = "what was deleted is still in the write-ahead log, because another program \
    reads the store; end it and repeat the call";

/// The way to the thread that copies.
#[derive(Clone)]
pub(super) struct Checkpoints {
    requests: mpsc::Sender<Request>,
    copied: Arc<AtomicI32>,
    is_in_line: Arc<AtomicBool>,
}

enum Request {
    Copy { pages: i32 },
    Erase { answer: oneshot::Sender<Result<()>> },
}

impl Checkpoints {
    /// Told by the writer how long the log is. Never waits: a request that finds one in line is the
    /// same request.
    pub(super) fn written(&self, pages: i32) {
        let copied = self.copied.load(Ordering::Relaxed);
        // The log begins anew once all of it is copied.
        let since = if pages < copied {
            pages
        } else {
            pages - copied
        };
        if since >= PAGES_DUE && !self.is_in_line.swap(true, Ordering::Relaxed) {
            self.requests.send(Request::Copy { pages }).ok();
        }
    }

    /// Empties the log of all that was committed before.
    pub(super) fn erase(&self) -> oneshot::Receiver<Result<()>> {
        let (answer, outcome) = oneshot::channel();
        self.requests.send(Request::Erase { answer }).ok();
        outcome
    }
}

pub(super) fn spawn(threads: &mut Threads, path: &Path, fault: &Fault) -> Result<Checkpoints> {
    let (sender, requests) = mpsc::channel();
    let checkpoints = Checkpoints {
        requests: sender,
        copied: Arc::default(),
        is_in_line: Arc::default(),
    };
    let mut copier = Copier {
        connection: Later::checkpointer(path),
        copied: Arc::clone(&checkpoints.copied),
        fault: Arc::clone(fault),
    };
    if open::has_log(path) {
        // The crash that left it may have come between a deletion and its erasure.
        copier.copy(PAGES_LONG).ok();
    }
    let is_in_line = Arc::clone(&checkpoints.is_in_line);
    let run = move || {
        while let Ok(first) = requests.recv() {
            let mut answers = Vec::new();
            let mut pages = 0;
            for request in std::iter::once(first).chain(requests.try_iter()) {
                match request {
                    Request::Copy { pages: written } => {
                        is_in_line.store(false, Ordering::Relaxed);
                        pages = written;
                    }
                    Request::Erase { answer } => answers.push(answer),
                }
            }
            if answers.is_empty() {
                copier.copy(pages).ok();
                continue;
            }
            let erased = copier.erase();
            for answer in answers {
                answer
                    .send(
                        erased
                            .clone()
                            .map_err(|failure: Failure| failure.to_error()),
                    )
                    .ok();
            }
        }
        // The writer has ended: leaves all in one file.
        copier.copy(PAGES_LONG).ok();
    };
    threads
        .spawn("claviger-store-checkpoint", run)
        .map_err(unavailable)?;
    Ok(checkpoints)
}

struct Copier {
    connection: Later,
    copied: Arc<AtomicI32>,
    fault: Fault,
}

impl Copier {
    /// What stands in the way only now is left to the next time, and so is a connection that does
    /// not open: nothing is lost with it.
    fn copy(&mut self, pages: i32) -> rusqlite::Result<()> {
        let copied = checkpoint(self.connection.get()?, pages).inspect_err(|error| {
            if !is_passing(error) {
                self.fault.set(format!("checkpoint failed: {error}")).ok();
            }
        })?;
        self.copied.store(copied, Ordering::Relaxed);
        Ok(())
    }

    fn erase(&mut self) -> std::result::Result<(), Failure> {
        let mut outcome = self.copy(PAGES_LONG);
        for _ in 1..ERASE_ATTEMPTS {
            if !matches!(&outcome, Err(error) if is_passing(error)) {
                break;
            }
            outcome = self.copy(PAGES_LONG);
        }
        outcome.map_err(|error| match error.sqlite_error_code() {
            Some(ErrorCode::DatabaseBusy) => STILL_READ.into(),
            _ => Failure::of(&error),
        })
    }
}

fn checkpoint(connection: &Connection, pages: i32) -> rusqlite::Result<i32> {
    let (_, copied) = connection.wal_checkpoint_v2(None::<&str>, CheckpointMode::PASSIVE)?;
    if pages < PAGES_LONG {
        return Ok(copied);
    }
    // Commits wait while the rest is copied, which the passive pass has made short.
    let (_, copied) = connection.wal_checkpoint_v2(None::<&str>, CheckpointMode::TRUNCATE)?;
    Ok(copied)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_log_is_copied_and_a_long_one_is_cut() {
        let directory = tempfile::tempdir().expect("a directory");
        let path = directory.path().join("store.db");
        let (writer, _) = open::writer(&path).expect("opens");
        let mut checkpointer = Later::checkpointer(&path);
        let checkpointer = checkpointer.get().expect("opens");
        let log_len = || {
            let log = directory.path().join("store.db-wal");
            log.metadata().expect("is there").len()
        };
        let write = "INSERT INTO records VALUES ('a', 1, zeroblob(40960))";
        writer.execute(write, []).expect("writes");
        assert!(checkpoint(checkpointer, 1).expect("copies") >= 10);
        assert!(log_len() >= 40_960);
        checkpoint(checkpointer, PAGES_LONG).expect("cuts");
        assert_eq!(log_len(), 0);
    }
}
