//! Typed, sealed records: the face of this crate for the others.
//!
//! A record is JSON, sealed under its full key. What was read or committed is remembered: records
//! decoded, secret values as they are stored, sealed.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Weak, mpsc};
use std::task::{Context, Poll, ready};

use claviger_core::{Result, SecretBytes};
use claviger_seal::{Keyring, Opener, RootKey};

use crate::batch::Batch;
use crate::contract::{Committed, Row, Store, unavailable};
use crate::keyring;
use crate::memory::{Content, Entry, Memory};
use crate::notes::{self, Note};
use crate::record::Record;
use crate::stamp::Stamp;
use crate::threads::Threads;
use crate::upgrade::Upgrade;

const MEMORY_BYTES_DEFAULT: u64 = 64 << 20;

/// A record as the store has it.
#[derive(Debug)]
pub struct Stored<T> {
    /// Revision of the commit that wrote it.
    pub revision: u64,
    /// The record, shared with the memory.
    pub record: Arc<T>,
}

/// Secret bytes as the store had them, sealed, for whoever opens them often. They are in the memory
/// of the records and nowhere else. Whether the store still has them, a [`Stamp`] tells.
#[derive(Clone)]
pub struct Sealed(Arc<Held>);

struct Held {
    opener: Weak<Opener>,
    memory: Weak<Memory>,
    key: Box<str>,
    opened: AtomicU32,
}

/// Whoever opens it often is noticed each so many times: the memory keeps what is used.
const NOTICED_EVERY: u32 = 16;

impl Sealed {
    fn of(opener: &Arc<Opener>, memory: &Arc<Memory>, key: &str) -> Self {
        Self(Arc::new(Held {
            opener: Arc::downgrade(opener),
            memory: Arc::downgrade(memory),
            key: key.into(),
            opened: AtomicU32::new(0),
        }))
    }

    /// The bytes, opened for this call only. `None` if they are no longer remembered or do not
    /// open: [`Records::secret`] knows why.
    pub fn open(&self) -> Option<SecretBytes> {
        let held = &self.0;
        let opener = held.opener.upgrade()?;
        let opened = held.opened.fetch_add(1, Ordering::Relaxed);
        if opened.is_multiple_of(NOTICED_EVERY) {
            held.memory.upgrade()?.notice(&held.key);
        }
        opener.open().ok()
    }
}

impl fmt::Debug for Sealed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Sealed").finish_non_exhaustive()
    }
}

/// Records over a [`Store`], with a bounded memory in front.
///
/// A commit that has begun is seen through even if its caller leaves.
pub struct Records {
    store: Arc<dyn Store>,
    keyring: Arc<Keyring>,
    memory: Arc<Memory>,
    abandoned: mpsc::Sender<Work>,
    _threads: Threads,
}

/// A commit and the mark in memory that it is under way.
type Work = Pin<Box<dyn Future<Output = Result<Committed>> + Send>>;

impl Records {
    /// Opens the keyring with the root key, or makes one in an empty store. A store of an older
    /// format is upgraded in one commit: all of it, or nothing on an error.
    ///
    /// # Errors
    /// `INTEGRITY_FAILURE` with another root key, a changed keyring, records without one, a store of
    /// a newer format, or an older one that cannot be upgraded; `STORE_UNAVAILABLE`.
    pub async fn open(store: Arc<dyn Store>, root: &RootKey, upgrades: &[Upgrade]) -> Result<Self> {
        Self::open_with_memory(store, root, upgrades, MEMORY_BYTES_DEFAULT).await
    }

    /// As [`open`](Self::open), with the size of the memory in bytes.
    ///
    /// # Errors
    /// As [`open`](Self::open).
    pub async fn open_with_memory(
        store: Arc<dyn Store>,
        root: &RootKey,
        upgrades: &[Upgrade],
        memory_bytes_max: u64,
    ) -> Result<Self> {
        let keyring = keyring::open(&*store, root, upgrades).await?;
        let runtime = tokio::runtime::Builder::new_current_thread()
            .build()
            .map_err(unavailable)?;
        let (abandoned, queue) = mpsc::channel::<Work>();
        let mut threads = Threads::default();
        threads
            .spawn("claviger-records", move || {
                while let Ok(work) = queue.recv() {
                    runtime.block_on(work).ok();
                }
            })
            .map_err(unavailable)?;
        Ok(Self {
            store,
            keyring: Arc::new(keyring),
            memory: Arc::new(Memory::new(memory_bytes_max)),
            abandoned,
            _threads: threads,
        })
    }

    /// The keys of this store.
    pub fn keyring(&self) -> &Arc<Keyring> {
        &self.keyring
    }

    /// Differs from an earlier answer if any record may have changed since: a decision on records
    /// still holds while it stays the same.
    pub fn changes(&self) -> u64 {
        self.memory.changes().count()
    }

    /// Runs a read, and tells with its answer what it rested on: each record and secret that it
    /// asked for, those that are not there too. A read that scans rests on everything.
    ///
    /// Collected is what the future reads itself, and in this collection only; of a task that it
    /// spawns nothing is.
    pub fn collecting<F: Future>(
        &self,
        read: F,
    ) -> impl Future<Output = (F::Output, Stamp)> + use<F> {
        self.memory.changes().collecting(read)
    }

    /// Whether the read would find the same records now. Never while a commit of one of them is
    /// under way, and never for other records than those that were read.
    pub fn holds(&self, stamp: &Stamp) -> bool {
        self.memory.changes().hold(stamp)
    }

    /// The record of this id; without waiting if it is remembered.
    ///
    /// # Errors
    /// `INTEGRITY_FAILURE` if it does not open, `STORE_UNAVAILABLE`.
    pub async fn get<T: Record>(&self, id: &str) -> Result<Option<Stored<T>>> {
        let key = [T::KIND, id].concat();
        if let Some(stored) = self.memory.get(&key).and_then(Entry::into_stored) {
            return Ok(Some(stored));
        }
        let load = self.memory.load(&key);
        let Some(row) = self.store.get(&key).await? else {
            return Ok(None);
        };
        let stored = self.decode::<T>(&key, &row)?;
        let entry = Entry {
            content: Content::Decoded(Arc::clone(&stored.record) as _),
            revision: stored.revision,
            len: row.bytes.len(),
        };
        self.memory.remember(key, load, entry);
        Ok(Some(stored))
    }

    /// The secret bytes under this full key, opened for this call only, and the way to open them
    /// again.
    ///
    /// # Errors
    /// As [`get`](Self::get).
    pub async fn secret(&self, key: &str) -> Result<Option<(SecretBytes, Sealed)>> {
        if let Some(Content::Sealed(opener)) = self.memory.get(key).map(|entry| entry.content) {
            let sealed = Sealed::of(&opener, &self.memory, key);
            return Ok(Some((opener.open()?, sealed)));
        }
        let load = self.memory.load(key);
        let Some(row) = self.store.get(key).await? else {
            return Ok(None);
        };
        let opener = Arc::new(self.keyring.opener(key, &row.bytes)?);
        let opened = (opener.open()?, Sealed::of(&opener, &self.memory, key));
        let entry = Entry {
            len: row.bytes.len(),
            content: Content::Sealed(opener),
            revision: row.revision,
        };
        self.memory.remember(key.to_owned(), load, entry);
        Ok(Some(opened))
    }

    /// At most `limit` records whose ids begin with `prefix` and come after `after`, in byte order
    /// of their ids. Read from the store and not remembered.
    ///
    /// # Errors
    /// As [`get`](Self::get).
    pub async fn scan<T: Record>(
        &self,
        prefix: &str,
        after: Option<&str>,
        limit: usize,
    ) -> Result<Vec<(String, Stored<T>)>> {
        self.memory.changes().look_at_all();
        let prefix = [T::KIND, prefix].concat();
        let after = after.map(|id| [T::KIND, id].concat());
        let rows = self.store.scan(&prefix, after.as_deref(), limit).await?;
        rows.into_iter()
            .map(|(key, row)| {
                let id = key.strip_prefix(T::KIND).unwrap_or(&key).to_owned();
                Ok((id, self.decode(&key, &row)?))
            })
            .collect()
    }

    /// Does the whole batch or nothing of it; durable when it returns, and what it deletes of
    /// secret bytes is then in no file of the store.
    ///
    /// # Errors
    /// `STORE_UNAVAILABLE`, after which the outcome is unknown, and a batch that deletes secret bytes
    /// is to be repeated, for they may be deleted but not erased; `INTERNAL` if a record cannot be
    /// written as JSON or a key is named twice.
    pub async fn commit(&self, batch: Batch) -> Result<Committed> {
        let erases = batch.erases();
        let (commit, written) = batch.seal(&self.keyring)?;
        let under_way = self.memory.begin(written);
        let store = Arc::clone(&self.store);
        let work: Work = Box::pin(async move {
            let outcome = store.commit(commit).await;
            match outcome {
                Ok(Committed::At(revision)) => under_way.done(revision),
                Ok(Committed::Conflict { .. } | Committed::Ended) | Err(_) => drop(under_way),
            }
            if erases && matches!(outcome, Ok(Committed::At(_))) {
                store.erase().await?;
            }
            outcome
        });
        Flight {
            work: Some(work),
            abandoned: &self.abandoned,
        }
        .await
    }

    /// All notes that commits left and nobody has had forgotten, in the order of their revisions.
    ///
    /// # Errors
    /// `INTEGRITY_FAILURE` if one does not open, `STORE_UNAVAILABLE`.
    pub async fn notes(&self) -> Result<Vec<Note>> {
        let mut notes = Vec::new();
        let mut after = String::new();
        loop {
            let scan = self.store.scan(notes::PREFIX, Some(&after), notes::PAGE);
            let page = scan.await?;
            let Some((last, _)) = page.last() else {
                return Ok(notes);
            };
            after.clone_from(last);
            for (key, Row { revision, bytes }) in &page {
                let opened = notes::open(&self.keyring, key, bytes)?.into_iter();
                let revision = *revision;
                notes.extend(opened.map(|bytes| Note { revision, bytes }));
            }
        }
    }

    /// Whether the store can read and commit.
    ///
    /// # Errors
    /// `STORE_UNAVAILABLE`; `STORE_NOT_WRITABLE` if it can only be read, or soon can.
    pub async fn health(&self) -> Result<()> {
        self.store.health().await
    }

    fn decode<T: Record>(&self, key: &str, row: &Row) -> Result<Stored<T>> {
        let bytes = self.keyring.open_record(key, &row.bytes)?;
        let record = T::decode(key, bytes.expose())?;
        Ok(Stored {
            revision: row.revision,
            record: Arc::new(record),
        })
    }
}

impl fmt::Debug for Records {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Records")
            .field("store", &self.store)
            .field("keyring", &self.keyring)
            .finish_non_exhaustive()
    }
}

impl<T> Clone for Stored<T> {
    fn clone(&self) -> Self {
        Self {
            revision: self.revision,
            record: Arc::clone(&self.record),
        }
    }
}

impl Entry {
    fn into_stored<T: Record>(self) -> Option<Stored<T>> {
        match self.content {
            Content::Decoded(record) => Some(Stored {
                revision: self.revision,
                record: record.downcast().ok()?,
            }),
            Content::Sealed(_) => None,
        }
    }
}

/// Waits for a commit; left alone, hands it to the thread that sees it through.
struct Flight<'a> {
    work: Option<Work>,
    abandoned: &'a mpsc::Sender<Work>,
}

impl Future for Flight<'_> {
    type Output = Result<Committed>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let Some(work) = self.work.as_mut() else {
            return Poll::Pending;
        };
        let outcome = ready!(work.as_mut().poll(cx));
        self.work = None;
        Poll::Ready(outcome)
    }
}

impl Drop for Flight<'_> {
    fn drop(&mut self) {
        if let Some(work) = self.work.take() {
            // INVARIANT: the store may still do this commit, so its keys stay unremembered until
            // it has ended. Dropping the work here would lift that mark too early.
            self.abandoned.send(work).ok();
        }
    }
}
