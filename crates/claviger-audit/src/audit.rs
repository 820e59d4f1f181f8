//! The audit log as calls see it.

use std::future::Future;
use std::io;
use std::path::Path;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::sync::mpsc::sync_channel;
use std::thread::{self, JoinHandle};

use claviger_access::{Authorized, Call, Decision, DecisionLog, Facts, Outcome};
use claviger_core::{Clock, Error, Reason, Result, Uid};
use tokio::sync::watch;

use crate::Sink;
use crate::chain::Chain;
use crate::gather::Gather;
use crate::record::{Entry, parts};
use crate::sink::FileSink;
use crate::writer::{Shared, Writer};

/// Most bundles that wait for the thread. Calls in flight are bounded well below it, so that it is
/// full only when a write hangs.
const QUEUE_LEN_MAX: usize = 16 * 1024;

/// The audit log. Dropping the last handle writes and syncs the records queued.
#[derive(Debug)]
pub struct Audit {
    /// Empty only while dropping: the thread ends when it is gone.
    gather: Option<Gather>,
    shared: Arc<Shared>,
    thread: Option<JoinHandle<()>>,
}

impl Audit {
    /// Opens the log at `path`, or creates it with mode 0600, and notes the start in it. A torn
    /// last line was never answered for: it is cut off, which is noted too.
    ///
    /// # Errors
    /// `INTEGRITY_FAILURE` if the last record is not as it was written; `AUDIT_UNAVAILABLE` if the
    /// file cannot be opened or written, is open to others, or belongs to a running daemon.
    pub fn open(path: &Path, clock: Arc<dyn Clock>) -> Result<Arc<Self>> {
        let mut sink = FileSink::open(path).map_err(unavailable)?;
        let tail = sink.tail().map_err(|error| {
            if error.kind() == io::ErrorKind::InvalidData {
                Error::new(Reason::IntegrityFailure).caused_by(error)
            } else {
                unavailable(error)
            }
        })?;
        let chain = match tail.last_line {
            Some(line) => Chain::ending_in(&line).map_err(|cause| {
                Error::new(Reason::IntegrityFailure)
                    .caused_by(format!("last line of the audit log: {cause}"))
            })?,
            None => Chain::empty(),
        };
        if tail.torn_bytes > 0 {
            tracing::warn!(
                bytes = tail.torn_bytes,
                "cut a torn record off the audit log"
            );
            sink.cut(tail.torn_bytes).map_err(unavailable)?;
        }
        Self::start(Box::new(sink), chain, tail.torn_bytes, clock)
    }

    /// A new log that goes to `sink`.
    ///
    /// # Errors
    /// `AUDIT_UNAVAILABLE` if its first records cannot be written.
    pub fn with_sink(sink: Box<dyn Sink>, clock: Arc<dyn Clock>) -> Result<Arc<Self>> {
        Self::start(sink, Chain::empty(), 0, clock)
    }

    fn start(
        sink: Box<dyn Sink>,
        chain: Chain,
        cut_bytes: u64,
        clock: Arc<dyn Clock>,
    ) -> Result<Arc<Self>> {
        let shared = Arc::new(Shared {
            health: watch::Sender::new(true),
            turned_away: AtomicU64::new(0),
        });
        let writer = Writer::start(sink, chain, cut_bytes, clock, Arc::clone(&shared))
            .map_err(unavailable)?;
        let (bundles, queue) = sync_channel(QUEUE_LEN_MAX);
        let thread = thread::Builder::new()
            .name("audit".to_owned())
            .spawn(move || writer.run(&queue))
            .map_err(unavailable)?;
        Ok(Arc::new(Self {
            gather: Some(Gather::new(bundles, Arc::clone(&shared))),
            shared,
            thread: Some(thread),
        }))
    }

    /// Notes a side effect that is about to happen; the note would survive a loss of power when
    /// this returns.
    ///
    /// # Errors
    /// `AUDIT_UNAVAILABLE`: the side effect must not happen.
    pub async fn intent(&self, authorized: &Authorized, facts: Facts) -> Result<()> {
        self.intents(authorized, vec![facts]).await
    }

    /// As [`Self::intent`], of side effects on several things: each has a record of its own, and
    /// one that changes much has several.
    ///
    /// # Errors
    /// As there.
    pub async fn intents(&self, authorized: &Authorized, facts: Vec<Facts>) -> Result<()> {
        let entry = |facts| {
            Entry::Decision(Box::new(Decision {
                facts,
                ..authorized.begin()
            }))
        };
        let parts = facts.into_iter().flat_map(parts);
        self.write(parts.map(entry).collect()).await
    }

    /// Writes the last record of a call and hands its result on: one record for each call, however
    /// it ends.
    ///
    /// # Errors
    /// That of `result`; `AUDIT_UNAVAILABLE` if the record cannot be written, with the value
    /// dropped.
    pub async fn conclude<T>(
        &self,
        authorized: Authorized,
        result: Result<T>,
        facts: impl FnOnce(&T) -> Facts,
    ) -> Result<T> {
        let outcome = match &result {
            Ok(_) => Outcome::Allowed,
            Err(error) => outcome_of(error.reason()),
        };
        let mut decision = authorized.end(outcome);
        match &result {
            Ok(value) => decision.facts = facts(value),
            Err(error) => decision.reason = Some(error.reason()),
        }
        if outcome == Outcome::Denied {
            // The grant that allowed it at first did not decide in the end.
            decision.grant = None;
        }
        self.write(vec![Entry::Decision(Box::new(decision))])
            .await?;
        result
    }

    /// Notes a call that could not be authenticated; `peer` is `unix` or `tcp`, `unnoted` says how
    /// many of the kind came before it and were only counted.
    ///
    /// # Errors
    /// `AUDIT_UNAVAILABLE` if it cannot be written.
    pub async fn refuse_unauthenticated(
        &self,
        call_id: Uid,
        rpc: &'static str,
        peer: &'static str,
        reason: Reason,
        unnoted: u64,
    ) -> Result<()> {
        let entry = Entry::Refusal {
            call_id,
            rpc,
            peer,
            reason,
            unnoted,
        };
        self.write(vec![entry]).await
    }

    /// Notes a call that is open to every known caller, and so no decision; `unnoted` says how many
    /// of the kind came before it and were only counted.
    ///
    /// # Errors
    /// `AUDIT_UNAVAILABLE` if it cannot be written.
    pub async fn note_open(&self, call: &Call, unnoted: u64) -> Result<()> {
        let entry = Entry::Open {
            call_id: call.id,
            rpc: call.rpc.name,
            principal: call.caller.principal.clone(),
            unnoted,
        };
        self.write(vec![entry]).await
    }

    /// Whether the log could be written the last time it was tried.
    pub fn is_healthy(&self) -> bool {
        *self.shared.health.borrow()
    }

    /// Tells when the log stops or starts to be writable.
    pub fn watch_health(&self) -> watch::Receiver<bool> {
        self.shared.health.subscribe()
    }

    async fn write(&self, entries: Vec<Entry>) -> Result<()> {
        let is_written = match &self.gather {
            Some(gather) => gather.write(entries).await,
            None => false,
        };
        match is_written {
            true => Ok(()),
            false => Err(Error::new(Reason::AuditUnavailable)),
        }
    }
}

impl DecisionLog for Audit {
    fn record(&self, decision: Decision) -> Pin<Box<dyn Future<Output = Result<()>> + Send + '_>> {
        Box::pin(self.write(vec![Entry::Decision(Box::new(decision))]))
    }

    fn record_detached(&self, decision: Decision) {
        if let Some(gather) = &self.gather {
            gather.write_detached(Entry::Decision(Box::new(decision)));
        }
    }
}

impl Drop for Audit {
    fn drop(&mut self) {
        self.gather = None;
        if let Some(Err(_)) = self.thread.take().map(JoinHandle::join) {
            tracing::error!("audit thread panicked");
        }
    }
}

fn unavailable(error: io::Error) -> Error {
    Error::new(Reason::AuditUnavailable).caused_by(error)
}

/// A call may lose its permission while it runs: then it was denied, only late.
fn outcome_of(reason: Reason) -> Outcome {
    if matches!(reason, Reason::AccessDenied | Reason::TokenExpired) {
        Outcome::Denied
    } else {
        Outcome::Failed
    }
}
