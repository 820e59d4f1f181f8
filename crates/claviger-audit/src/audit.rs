//! The audit log as calls see it.

use std::future::Future;
use std::io;
use std::iter;
use std::path::Path;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::mpsc::sync_channel;
use std::thread::{self, JoinHandle};

use claviger_access::{Authorized, Call, Decision, DecisionLog, Facts, Outcome};
use claviger_core::{Clock, Error, Reason, Result, Timings, Uid};
use tokio::sync::watch;

use crate::Sink;
use crate::batch::{Batches, Pending};
use crate::intent::Intent;
use crate::lines::{Fate, Lines};
use crate::log::{Health, Log};
use crate::mark::Synced;
use crate::open::{FileOptions, Opened};
use crate::record::{Entry, Record, Tail, parts};
use crate::syncer;

/// The audit log. Dropping the last handle syncs it.
#[derive(Debug)]
pub struct Audit {
    /// Empty only while dropping: the thread ends when it is gone.
    batches: Option<Batches>,
    log: Arc<Log>,
    thread: Option<JoinHandle<()>>,
}

impl Audit {
    /// Opens the log at `path`, or creates it with mode 0600, and notes the start in it. A torn
    /// last line was never answered for: it is cut off, which is noted too.
    ///
    /// # Errors
    /// `INTEGRITY_FAILURE` if the last record is not as it was written, or the log does not hold
    /// the mark that it has reached; `AUDIT_UNAVAILABLE` if the file cannot be opened or written,
    /// is open to others, or belongs to a running daemon.
    pub fn open(path: &Path, options: FileOptions, clock: Arc<dyn Clock>) -> Result<Arc<Self>> {
        let opened = crate::open::open(path, options).map_err(|error| {
            if error.kind() == io::ErrorKind::InvalidData {
                Error::new(Reason::IntegrityFailure).caused_by(error)
            } else {
                unavailable(error)
            }
        })?;
        Self::start(opened, clock)
    }

    /// A new log that goes to `sink`.
    ///
    /// # Errors
    /// `AUDIT_UNAVAILABLE` if its first records cannot be written.
    pub fn with_sink(sink: Box<dyn Sink>, clock: Arc<dyn Clock>) -> Result<Arc<Self>> {
        Self::start(Opened::empty(sink), clock)
    }

    fn start(opened: Opened, clock: Arc<dyn Clock>) -> Result<Arc<Self>> {
        let log = Arc::new(Log::start(opened, clock).map_err(unavailable)?);
        let (nudges, nudged) = sync_channel(1);
        let synced = Arc::clone(&log);
        let thread = thread::Builder::new()
            .name("audit".to_owned())
            .spawn(move || syncer::run(&synced, &nudged))
            .map_err(unavailable)?;
        Ok(Arc::new(Self {
            batches: Some(Batches::new(Arc::clone(&log), nudges)),
            log,
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
        self.intend(authorized, facts).written().await
    }

    /// As [`Self::intents`], to be written later, or in one commit with the side effects.
    pub fn intend(&self, authorized: &Authorized, facts: Vec<Facts>) -> Intent<'_> {
        let mut lines = Lines::default();
        for facts in facts.into_iter().flat_map(parts) {
            let entry = Entry::Decision(Decision {
                facts,
                ..authorized.begin()
            });
            lines.add(entry.record(&Tail::of(&entry)));
        }
        Intent::new(&self.log, self.batches.as_ref(), lines)
    }

    /// Writes the last record of a call and hands its result on: one record for each call, however
    /// it ends.
    ///
    /// # Errors
    /// That of `result`; `AUDIT_UNAVAILABLE` if the record cannot be written, with the value
    /// dropped, unless that is `WRITE_OUTCOME_UNKNOWN`.
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
        let written = self.write(Entry::Decision(decision)).await;
        match (written, result) {
            // What was done may have to be looked for, whether that is written down or not.
            (Err(_), Err(error)) if error.reason() == Reason::WriteOutcomeUnknown => Err(error),
            (Err(unavailable), _) => Err(unavailable),
            (Ok(()), result) => result,
        }
    }

    /// As [`Self::conclude`] of a call that succeeded, with what [`Self::repeat`] needs to write
    /// the same record of a call like it: none of one with side effects.
    ///
    /// # Errors
    /// `AUDIT_UNAVAILABLE` if the record cannot be written, with the value dropped.
    pub async fn conclude_repeatable<T>(
        &self,
        authorized: Authorized,
        value: T,
        facts: Facts,
    ) -> Result<(T, Option<Tail>)> {
        let entry = Entry::Decision(Decision {
            facts,
            ..authorized.end(Outcome::Allowed)
        });
        let tail = Tail::of(&entry);
        let pending = self.batch(|lines| lines.add(entry.record(&tail)));
        Noted::allowed(pending).written().await?;
        Ok((value, entry.is_repeatable().then_some(tail)))
    }

    /// Writes the last record of a call that ended as another one did: of the same caller, asking
    /// for the same with the same switches, by the same grant, with the same result.
    ///
    /// # Errors
    /// `AUDIT_UNAVAILABLE` if it cannot be written.
    pub fn repeat(
        &self,
        authorized: Authorized,
        tail: &Tail,
    ) -> impl Future<Output = Result<()>> + use<'_> {
        let call = authorized.end_as_before();
        let record = Record {
            call: Some(call.id),
            tail,
            labels: [call.run_id.as_ref(), call.purpose.as_ref()],
            talk: None,
            is_intent: false,
            is_last: false,
        };
        // At once, so that the future has no more to carry.
        let pending = self.batch(|lines| lines.add(record));
        Noted::allowed(pending).written()
    }

    /// Notes a call that could not be authenticated; `peer` is `unix` or `tcp`. Like the denials of
    /// one caller, those that come too fast are only counted.
    ///
    /// # Errors
    /// `AUDIT_UNAVAILABLE` if it cannot be written.
    pub async fn refuse_unauthenticated(
        &self,
        call_id: Uid,
        rpc: &'static str,
        peer: &'static str,
        reason: Reason,
        cause: Option<&'static str>,
    ) -> Result<()> {
        let entry = Entry::Refusal {
            call_id,
            rpc,
            peer,
            reason,
            cause,
        };
        self.write(entry).await
    }

    /// Notes a call whose client reset it before it was authenticated.
    pub fn refuse_cut(&self, call_id: Uid, rpc: &'static str, peer: &'static str) {
        self.write_detached(Entry::Refusal {
            call_id,
            rpc,
            peer,
            reason: Reason::Cancelled,
            cause: None,
        });
    }

    /// Notes a call that is open to every known caller, and so no decision.
    ///
    /// # Errors
    /// `AUDIT_UNAVAILABLE` if it cannot be written.
    pub async fn note_open(&self, call: &Call, has_grants: bool) -> Result<()> {
        let entry = Entry::Open {
            call_id: call.id,
            rpc: call.rpc.name,
            principal: call.caller.principal.clone(),
            has_grants,
        };
        self.write(entry).await
    }

    /// Notes that the last call is answered; the log would survive a loss of power until here when
    /// this returns.
    ///
    /// # Errors
    /// `AUDIT_UNAVAILABLE` if it cannot be written.
    pub async fn stopped(&self) -> Result<()> {
        self.write(Entry::Stopped).await
    }

    /// Whether the log can be written, and goes on to be.
    pub fn health(&self) -> Health {
        *self.log.health.borrow()
    }

    /// How long the log took to take in the records that waited together.
    pub fn written(&self) -> &Timings {
        &self.log.written
    }

    /// How long it took until they would survive a loss of power.
    pub fn flushed(&self) -> &Timings {
        &self.log.flushed
    }

    /// Tells when [`health`](Self::health) changes.
    pub fn watch_health(&self) -> watch::Receiver<Health> {
        self.log.health.subscribe()
    }

    /// Tells how far the log would survive a loss of power.
    pub fn watch_synced(&self) -> watch::Receiver<Synced> {
        self.log.synced.subscribe()
    }

    async fn write(&self, entry: Entry) -> Result<()> {
        self.add(iter::once(entry)).written().await
    }

    /// Adds records to the batch of this turn.
    fn add(&self, entries: impl Iterator<Item = Entry>) -> Noted<'_> {
        let mut denial = None;
        let pending = self.batch(|lines| {
            for entry in entries {
                lines.add(entry.record(&Tail::of(&entry)));
                denial = denied(&entry);
            }
        });
        Noted { pending, denial }
    }

    fn batch(&self, fill: impl FnOnce(&mut Lines)) -> Option<Pending<'_>> {
        self.batches.as_ref().map(|batches| batches.add(fill))
    }

    /// Hands a record over for which nobody waits.
    fn write_detached(&self, entry: Entry) {
        drop(self.add(iter::once(entry)));
    }
}

impl DecisionLog for Audit {
    fn record(&self, decision: Decision) -> Pin<Box<dyn Future<Output = Result<()>> + Send + '_>> {
        Box::pin(self.write(Entry::Decision(decision)))
    }

    fn record_detached(&self, decision: Decision) {
        self.write_detached(Entry::Decision(decision));
    }
}

impl Drop for Audit {
    fn drop(&mut self) {
        self.batches = None;
        if let Some(Err(_)) = self.thread.take().map(JoinHandle::join) {
            tracing::error!("audit thread panicked");
        }
    }
}

/// Records of a call that are on their way.
struct Noted<'a> {
    pending: Option<Pending<'a>>,
    /// The call that they deny, and why.
    denial: Option<(Arc<Call>, &'static str)>,
}

impl<'a> Noted<'a> {
    fn allowed(pending: Option<Pending<'a>>) -> Self {
        Self {
            pending,
            denial: None,
        }
    }

    async fn written(self) -> Result<()> {
        let fate = match self.pending {
            Some(pending) => pending.fate().await,
            None => Fate::Lost,
        };
        match (fate, self.denial) {
            (Fate::Lost, _) => return Err(Error::new(Reason::AuditUnavailable)),
            // Here, so that the process log has no more lines of denials than the audit log.
            (Fate::Written, Some((call, reason))) => tracing::info!(
                call_id = %call.id,
                principal = %call.caller.principal,
                rpc = call.rpc.name,
                reason,
                "call denied"
            ),
            (Fate::Counted, _) | (Fate::Written, None) => {}
        }
        Ok(())
    }
}

/// The call that this denies, and why.
fn denied(entry: &Entry) -> Option<(Arc<Call>, &'static str)> {
    match entry {
        Entry::Decision(decision) if decision.outcome == Outcome::Denied => {
            let reason = decision.reason.map(Reason::as_str);
            Some((Arc::clone(&decision.call), reason.unwrap_or_default()))
        }
        Entry::Decision(_) | Entry::Open { .. } | Entry::Refusal { .. } | Entry::Stopped => None,
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
