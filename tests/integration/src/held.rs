//! A store that holds a commit up on its way in, fails it, and counts those that are done.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, Weak};

use async_trait::async_trait;
use claviger_core::{Error, Reason, Result};
use claviger_store::{Commit, Committed, Row, Store};
use tokio::sync::watch;

use crate::Fault;

/// What a test says to a `HeldStore`, and hears of it.
#[derive(Clone, Debug, Default)]
pub struct Gate(Arc<Inner>);

#[derive(Debug, Default)]
struct Inner {
    /// The keys whose commits wait.
    held: watch::Sender<Vec<String>>,
    entered: watch::Sender<usize>,
    done: AtomicUsize,
    fault: Mutex<Fault>,
    written: Mutex<Vec<String>>,
    fails_seals: AtomicBool,
    seals: watch::Sender<()>,
    /// The latest, while it is open.
    store: Mutex<Option<Weak<dyn Store>>>,
}

impl Gate {
    /// From now on commits wait that rely on this key, as those for the holder of a token do.
    pub fn hold(&self, key: &str) {
        self.0.entered.send_replace(0);
        self.0.held.send_modify(|held| held.push(key.to_owned()));
    }

    /// From now on no commit waits.
    pub fn release(&self) {
        self.0.held.send_modify(Vec::clear);
    }

    /// From now on commits that rely on this key go on.
    pub fn let_pass(&self, key: &str) {
        let is_other = |held: &String| held != key;
        self.0.held.send_modify(|held| held.retain(is_other));
    }

    /// Waits until a commit waits.
    pub async fn entered(&self) {
        let mut entered = self.0.entered.subscribe();
        let waited = entered.wait_for(|count| *count > 0);
        waited.await.expect("the sender is ours");
    }

    /// From now on commits do this that store a value; none of them hangs.
    pub fn fail(&self, fault: Fault) {
        *self.0.fault.lock().expect("nobody panics in here") = fault;
    }

    /// Whether the commits fail in which the daemon keeps how far its log has come.
    pub fn fail_seals(&self, fails: bool) {
        self.0.fails_seals.store(fails, Ordering::SeqCst);
    }

    /// Waits until one of them leaves no notes.
    pub async fn notes_forgotten(&self) {
        let mut seals = self.0.seals.subscribe();
        while self.notes().await > 0 {
            seals.changed().await.expect("the sender is ours");
        }
    }

    /// How many rows of notes the store has.
    pub async fn notes(&self) -> usize {
        let store = self.0.store.lock().expect("nobody panics in here").clone();
        let store = store.and_then(|store| store.upgrade()).expect("is open");
        let rows = store.scan("audit-outbox/", None, usize::MAX >> 32).await;
        rows.expect("reads").len()
    }

    /// The kinds of the rows that the last commit of a value has put, its note's among them.
    pub fn written(&self) -> Vec<String> {
        let written = self.0.written.lock().expect("nobody panics in here");
        let kind = |key: &String| key.split('/').next().unwrap_or_default().to_owned();
        let mut kinds: Vec<_> = written.iter().map(kind).collect();
        kinds.sort();
        kinds
    }

    /// How many commits are done.
    pub fn done(&self) -> usize {
        self.0.done.load(Ordering::SeqCst)
    }

    /// The store behind this gate.
    pub fn before(&self, inner: impl Store) -> Arc<dyn Store> {
        let gate = self.clone();
        let inner: Arc<dyn Store> = Arc::new(inner);
        let mut store = self.0.store.lock().expect("nobody panics in here");
        *store = Some(Arc::downgrade(&inner));
        drop(store);
        Arc::new(HeldStore { gate, inner })
    }
}

#[derive(Debug)]
struct HeldStore {
    gate: Gate,
    inner: Arc<dyn Store>,
}

#[async_trait]
impl Store for HeldStore {
    async fn get(&self, key: &str) -> Result<Option<Row>> {
        self.inner.get(key).await
    }

    async fn scan(
        &self,
        prefix: &str,
        after: Option<&str>,
        limit: usize,
    ) -> Result<Vec<(String, Row)>> {
        self.inner.scan(prefix, after, limit).await
    }

    async fn commit(&self, commit: Commit) -> Result<Committed> {
        let Inner {
            held,
            entered,
            done,
            fault,
            written,
            fails_seals,
            seals,
            ..
        } = &*self.gate.0;
        let conditions = &commit.conditions;
        let is_held = |held: &Vec<String>| conditions.iter().any(|one| held.contains(&one.key));
        if is_held(&held.borrow()) {
            entered.send_modify(|count| *count += 1);
            let mut held = held.subscribe();
            let released = held.wait_for(|held| !is_held(held)).await;
            drop(released.expect("the sender is ours"));
        }
        // The daemon's own, at a time of its own.
        let is_seal = commit.changes.iter().any(|one| one.key == "audit/head");
        if is_seal && fails_seals.load(Ordering::SeqCst) {
            return Err(Error::new(Reason::StoreUnavailable));
        }
        let note = commit.note.as_ref().map(|_| "audit-outbox".to_owned());
        let is_value = |key: &str| key.starts_with("values/") || key.starts_with("install-values/");
        let keys = commit.changes.iter().map(|one| &one.key);
        let fault = match keys.clone().any(|key| is_value(key)) {
            true => {
                *written.lock().expect("nobody panics in here") =
                    keys.cloned().chain(note).collect();
                *fault.lock().expect("nobody panics in here")
            }
            false => Fault::None,
        };
        if let Fault::Fail(reason) = fault {
            return Err(Error::new(reason));
        }
        let outcome = self.inner.commit(commit).await;
        match is_seal {
            true => seals.send_modify(|()| ()),
            false if matches!(outcome, Ok(Committed::At(_))) => {
                done.fetch_add(1, Ordering::SeqCst);
            }
            false => {}
        }
        match fault {
            Fault::LoseAnswer => Err(Error::new(Reason::StoreUnavailable)),
            Fault::Fail(_) | Fault::Hang | Fault::None => outcome,
        }
    }

    async fn erase(&self) -> Result<()> {
        self.inner.erase().await
    }

    async fn health(&self) -> Result<()> {
        self.inner.health().await
    }
}
