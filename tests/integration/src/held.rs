//! A store that holds a commit up on its way in, fails it, and counts those that are done.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

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

    /// The kinds of the rows that the last commit of a value has put.
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
        let inner = Arc::new(inner);
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
        let is_value = |key: &str| key.starts_with("values/");
        let keys = commit.changes.iter().map(|one| &one.key);
        let fault = match keys.clone().any(|key| is_value(key)) {
            true => {
                *written.lock().expect("nobody panics in here") = keys.cloned().collect();
                *fault.lock().expect("nobody panics in here")
            }
            false => Fault::None,
        };
        if let Fault::Fail(reason) = fault {
            return Err(Error::new(reason));
        }
        let outcome = self.inner.commit(commit).await;
        if matches!(outcome, Ok(Committed::At(_))) && !is_seal {
            done.fetch_add(1, Ordering::SeqCst);
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
