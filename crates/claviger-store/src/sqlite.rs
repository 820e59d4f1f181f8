//! The embedded engine: one SQLite file, one writer thread, a few reader threads.
//!
//! Callers only queue and await, so any runtime may call. Copying the write-ahead log back into
//! the file happens on a thread of its own, never while a commit waits for its answer.

mod checkpoint;
mod fault;
mod open;
mod room;
mod schema;
mod writer;

use std::fmt;
use std::path::Path;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, PoisonError};

use async_trait::async_trait;
use claviger_core::{Clock, Result};
use rusqlite::{Connection, OptionalExtension};
use tokio::sync::{mpsc, oneshot};

use crate::contract::{
    Commit, Committed, Row, Store, not_writable, refuse_repeated_keys, unavailable,
};
use crate::sqlite::checkpoint::Checkpoints;
use crate::sqlite::fault::{Fault, Stuck};
use crate::sqlite::open::Later;
use crate::sqlite::room::Room;
use crate::sqlite::writer::{Request, Writer};
use crate::threads::Threads;

/// Reads and commits that may wait in line; past it callers wait to get in line.
const QUEUE_LEN: usize = 1024;
const READERS: usize = 2;

const SCAN_AFTER: &str =
    "SELECT key, revision, bytes FROM records WHERE key > ?1 ORDER BY key LIMIT ?2";
const SCAN_FROM: &str =
    "SELECT key, revision, bytes FROM records WHERE key >= ?1 ORDER BY key LIMIT ?2";

/// A [`Store`] in one SQLite file.
///
/// Dropping it waits for the commits in line and for its threads.
pub struct SqliteStore {
    commits: mpsc::Sender<Request>,
    reads: mpsc::Sender<Read>,
    checkpoints: Checkpoints,
    fault: Fault,
    stuck: Stuck,
    _threads: Threads,
    /// Also keeps a second process out.
    room: Arc<Room>,
}

type Read = Box<dyn FnOnce(Result<&Connection>) + Send>;

impl SqliteStore {
    /// Opens the store in this file, and makes it (mode 0600) if it does not exist. `clock` says
    /// whether the end of a commit has come.
    ///
    /// # Errors
    /// `STORE_UNAVAILABLE` if another process has it open, if the file is not a store, is of a newer
    /// version or has a schema with more than ours, or if the file system refuses;
    /// `STORE_NOT_WRITABLE` if there is no disk to write to.
    pub fn open(path: &Path, clock: Arc<dyn Clock>) -> Result<Self> {
        let lock = open::lock(path)?;
        let (connection, revision) = open::writer(path)?;
        let (fault, stuck) = (Fault::default(), Stuck::default());
        let mut threads = Threads::default();

        let checkpoints = checkpoint::spawn(&mut threads, path, &fault)?;
        let pages = checkpoints.clone();
        let state = (Arc::clone(&fault), Arc::clone(&stuck));
        let writer = Writer::new(connection, revision, clock, pages, state)?;
        let (commits, queue) = mpsc::channel(QUEUE_LEN);
        threads
            .spawn("claviger-store-writer", move || writer.run(queue))
            .map_err(unavailable)?;

        let (reads, queue) = mpsc::channel(QUEUE_LEN);
        let queue = Arc::new(Mutex::new(queue));
        for _ in 0..READERS {
            let (connection, queue) = (Later::reader(path), Arc::clone(&queue));
            threads
                .spawn("claviger-store-reader", move || {
                    answer_reads(connection, &queue);
                })
                .map_err(unavailable)?;
        }
        Ok(Self {
            commits,
            reads,
            checkpoints,
            fault,
            stuck,
            _threads: threads,
            room: Arc::new(Room::new(lock, path)),
        })
    }

    async fn read<T: Send + 'static>(
        &self,
        query: impl FnOnce(&Connection) -> rusqlite::Result<T> + Send + 'static,
    ) -> Result<T> {
        let (answer, outcome) = oneshot::channel();
        let read: Read = Box::new(move |connection| {
            if !answer.is_closed() {
                let found = connection.and_then(|it| query(it).map_err(unavailable));
                answer.send(found).ok();
            }
        });
        self.reads.send(read).await.map_err(|_| thread_gone())?;
        outcome.await.map_err(|_| thread_gone())?
    }
}

#[async_trait]
impl Store for SqliteStore {
    async fn get(&self, key: &str) -> Result<Option<Row>> {
        let key = key.to_owned();
        self.read(move |connection| {
            connection
                .prepare_cached("SELECT revision, bytes FROM records WHERE key = ?1")?
                .query_row([key], row_at::<0>)
                .optional()
        })
        .await
    }

    async fn scan(
        &self,
        prefix: &str,
        after: Option<&str>,
        limit: usize,
    ) -> Result<Vec<(String, Row)>> {
        let prefix = prefix.to_owned();
        let after = after.unwrap_or_default().to_owned();
        self.read(move |connection| {
            // Two statements: with both bounds in one, SQLite may walk up from the lower one.
            let (sql, from) = if after < prefix {
                (SCAN_FROM, &prefix)
            } else {
                (SCAN_AFTER, &after)
            };
            let limit = i64::try_from(limit).unwrap_or(i64::MAX);
            let mut statement = connection.prepare_cached(sql)?;
            let mut found = statement.query((from, limit))?;
            let mut rows = Vec::new();
            while let Some(row) = found.next()? {
                let key: String = row.get(0)?;
                if !key.starts_with(&prefix) {
                    break;
                }
                rows.push((key, row_at::<1>(row)?));
            }
            Ok(rows)
        })
        .await
    }

    async fn commit(&self, commit: Commit) -> Result<Committed> {
        refuse_repeated_keys(&commit.changes)?;
        let (answer, outcome) = oneshot::channel();
        let request = Request { commit, answer };
        self.commits
            .send(request)
            .await
            .map_err(|_| thread_gone())?;
        outcome.await.map_err(|_| thread_gone())?
    }

    async fn erase(&self) -> Result<()> {
        let outcome = self.checkpoints.erase();
        outcome.await.map_err(|_| thread_gone())?
    }

    async fn health(&self) -> Result<()> {
        if let Some(fault) = self.fault.get() {
            return Err(unavailable(fault.as_str()));
        }
        if self.commits.is_closed() {
            return Err(thread_gone());
        }
        let room = Arc::clone(&self.room);
        let check = self.read(move |connection| {
            connection.query_row("SELECT revision FROM meta", [], |_| Ok(()))?;
            Ok(room.check())
        });
        check.await?.map_err(not_writable)?;
        if self.stuck.load(Ordering::Relaxed) {
            // Only a commit shows that commits work again.
            drop(self.commit(Commit::default()).await?);
        }
        Ok(())
    }
}

impl fmt::Debug for SqliteStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SqliteStore")
            .field("fault", &self.fault.get())
            .finish_non_exhaustive()
    }
}

fn answer_reads(mut connection: Later, queue: &Mutex<mpsc::Receiver<Read>>) {
    loop {
        // The lock is held while waiting: an idle reader waits for the lock instead of the queue.
        let read = queue
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .blocking_recv();
        let Some(read) = read else { return };
        read(connection.get().map_err(fault::sqlite));
    }
}

fn row_at<const FIRST: usize>(row: &rusqlite::Row<'_>) -> rusqlite::Result<Row> {
    Ok(Row {
        revision: row.get::<_, i64>(FIRST)?.cast_unsigned(),
        bytes: row.get(FIRST + 1)?,
    })
}

fn thread_gone() -> claviger_core::Error {
    unavailable("a thread of the store has ended")
}
