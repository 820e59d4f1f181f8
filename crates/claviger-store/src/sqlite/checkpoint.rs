//! Copies the write-ahead log back into the database file.

use std::sync::Arc;
use std::sync::atomic::{AtomicI32, Ordering};
use std::sync::mpsc::{SyncSender, sync_channel};

use claviger_core::Result;
use rusqlite::Connection;
use rusqlite::wal::CheckpointMode;

use crate::contract::unavailable;
use crate::sqlite::fault::{Fault, is_passing};
use crate::threads::Threads;

/// Pages written since the last copy that make the next one due (4 MiB).
const PAGES_DUE: i32 = 1000;
/// A log that only grows, because commits never pause, is cut at this length (64 MiB).
const PAGES_LONG: i32 = 16_000;

/// Told by the writer how long the log is.
pub(super) struct Pages {
    due: SyncSender<i32>,
    copied: Arc<AtomicI32>,
}

impl Pages {
    /// Never waits: a request that finds one in line is the same request.
    pub(super) fn written(&self, pages: i32) {
        let copied = self.copied.load(Ordering::Relaxed);
        // The log begins anew once all of it is copied.
        let since = if pages < copied {
            pages
        } else {
            pages - copied
        };
        if since >= PAGES_DUE {
            self.due.try_send(pages).ok();
        }
    }
}

pub(super) fn spawn(threads: &mut Threads, connection: Connection, fault: &Fault) -> Result<Pages> {
    let (due, requests) = sync_channel(1);
    let copied = Arc::new(AtomicI32::new(0));
    let pages = Pages {
        due,
        copied: Arc::clone(&copied),
    };
    let fault = Arc::clone(fault);
    let run = move || {
        let copy = |pages| match checkpoint(&connection, pages) {
            Ok(done) => copied.store(done, Ordering::Relaxed),
            Err(error) if is_passing(&error) => {}
            Err(error) => {
                fault.set(format!("checkpoint failed: {error}")).ok();
            }
        };
        requests.iter().for_each(copy);
        // The writer has ended: leaves all in one file.
        copy(PAGES_LONG);
    };
    threads
        .spawn("claviger-store-checkpoint", run)
        .map_err(unavailable)?;
    Ok(pages)
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
    use crate::sqlite::open;

    #[test]
    fn the_log_is_copied_and_a_long_one_is_cut() {
        let directory = tempfile::tempdir().expect("a directory");
        let path = directory.path().join("store.db");
        let (writer, _) = open::writer(&path).expect("opens");
        let checkpointer = open::checkpointer(&path).expect("opens");
        let log_len = || {
            let log = directory.path().join("store.db-wal");
            log.metadata().expect("is there").len()
        };
        let write = "INSERT INTO records VALUES ('a', 1, zeroblob(40960))";
        writer.execute(write, []).expect("writes");
        assert!(checkpoint(&checkpointer, 1).expect("copies") >= 10);
        assert!(log_len() >= 40_960);
        checkpoint(&checkpointer, PAGES_LONG).expect("cuts");
        assert_eq!(log_len(), 0);
    }
}
