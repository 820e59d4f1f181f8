//! The log: its state, and all that is written to it.
//!
//! Serving threads write themselves, each the records of one of its turns (`batch.rs`), with one
//! write under a short lock. The disk is waited for outside of it, by a thread of its own
//! (`syncer.rs`).

use std::collections::HashMap;
use std::io;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime};

use claviger_core::{Clock, Timings, clamp_time};
use tokio::sync::watch;

use crate::chain::Chain;
use crate::denials::Denials;
use crate::fields::Fields;
use crate::lines::{Lines, Verdict};
use crate::mark::Synced;
use crate::noted::Noted;
use crate::open::Opened;
use crate::outbox::{Left, Outbox};
use crate::record;
use crate::sink::Sink;
use crate::unnoted::{Unnoted, Who};

/// A write that takes longer is as good as one that fails: all calls of its thread wait for it.
const WRITE_MAX: Duration = Duration::from_secs(1);

/// More than this does not wait for the next second to be synced: a sync of much takes long, and so
/// do the intents that wait for it.
const UNSYNCED_BYTES_MAX: usize = 4 * 1024 * 1024;

/// Whether the log can be written.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Health {
    /// No: nothing is served.
    Failed,
    /// Yes, but not for long: its disk is nearly full.
    Short,
    /// Yes.
    Well,
}

/// The log.
#[derive(Debug)]
pub(crate) struct Log {
    pen: Mutex<Pen>,
    clock: Arc<dyn Clock>,
    /// Whether only the syncer tries it again. A disk that does not sync, or is slow, is neither
    /// filled nor waited for by calls.
    is_stuck: AtomicBool,
    /// Records that could not be written since the last success.
    lost: AtomicU64,
    pub(crate) health: watch::Sender<Health>,
    /// The last record that would survive a loss of power.
    pub(crate) synced: watch::Sender<Synced>,
    /// The intents that are committed with what they intend.
    pub(crate) outbox: Outbox,
    /// The last records of the latest sync that worked, and of the latest that did not.
    tried: watch::Sender<Tried>,
    /// How long the log took to take in records.
    pub(crate) written: Timings,
    /// How long it took until they would survive a loss of power.
    pub(crate) flushed: Timings,
}

/// What is used by whoever writes.
struct Pen {
    sink: Box<dyn Sink>,
    chain: Chain,
    denials: Denials,
    /// Empty but for its memory.
    buffer: Vec<u8>,
    /// Bytes that no sync has begun for.
    unsynced_bytes: usize,
}

#[derive(Debug, Default)]
struct Tried {
    synced: u64,
    failed: u64,
}

impl Log {
    /// Goes on where the log ended, with what it lacks of the intents in the store and the records
    /// of a start. These are synced within a second, like those of reads, but at once if there are
    /// such intents: the next start would look for them behind records that a loss of power took.
    pub(crate) fn start(opened: Opened, clock: Arc<dyn Clock>) -> io::Result<Self> {
        let Opened {
            sink,
            chain,
            cut_bytes,
            gap,
            synced_seq,
            backlog,
        } = opened;
        let is_new = chain.mark().seq == 0;
        let outbox = Outbox::new(backlog.revision, synced_seq);
        let log = Self {
            pen: Mutex::new(Pen {
                sink,
                chain,
                denials: Denials::new(clock.now()),
                buffer: Vec::new(),
                unsynced_bytes: 0,
            }),
            clock,
            is_stuck: AtomicBool::new(false),
            lost: AtomicU64::new(0),
            health: watch::Sender::new(Health::Well),
            synced: watch::Sender::new(Synced {
                mark: Chain::empty().mark().clone(),
                notes: 0,
            }),
            outbox,
            tried: watch::Sender::default(),
            written: Timings::default(),
            flushed: Timings::default(),
        };
        let events = [
            gap.as_ref().map(record::gap),
            is_new.then(record::opened),
            (cut_bytes > 0).then(|| record::cut(cut_bytes)),
        ];
        let mut pen = log.pen();
        let mut draft = log.draft(&mut pen, None);
        events
            .into_iter()
            .flatten()
            .for_each(|event| draft.event(&event));
        backlog.lacking.iter().for_each(|noted| draft.noted(noted));
        draft.event(&record::started());
        log.commit(&mut pen, draft)?;
        drop(pen);
        log.tend(false)?;
        if !backlog.lacking.is_empty() {
            log.flush()?;
        }
        Ok(log)
    }

    /// Writes the lines that are admitted, with what was only counted before them, and what was
    /// counted of others until the last window ended.
    pub(crate) fn write(&self, lines: &Lines) -> Verdict {
        // Looked at again by those that had to wait.
        let pen = (!self.is_stuck()).then(|| self.pen());
        let Some(mut pen) = pen.filter(|_| !self.is_stuck()) else {
            self.lost.fetch_add(lines.len() as u64, Ordering::SeqCst);
            return Verdict::Lost;
        };
        let mut due = pen.denials.turn(self.clock.now());
        let mut draft = self.draft(&mut pen, None);
        let mut counted = Vec::new();
        for (index, line) in lines.iter().enumerate() {
            if line.is_last {
                pen.denials.end(&mut due);
            }
            if !pen.denials.admit(line.who, line.talk) {
                counted.push(index);
                continue;
            }
            let before = pen.denials.before(line.who, &mut due);
            draft.line(line.fields, before.as_ref());
        }
        draft.summaries(&due);
        match self.commit(&mut pen, draft) {
            Ok(()) => Verdict::Written {
                counted,
                seq: pen.chain.mark().seq,
                is_much: pen.unsynced_bytes > UNSYNCED_BYTES_MAX,
            },
            Err(_) => Verdict::Lost,
        }
    }

    /// Looks at what is under the log, and writes what is due when no record comes; at the end, all
    /// that was only counted. Returns whether it wrote something.
    ///
    /// # Errors
    /// Nothing may be written.
    pub(crate) fn tend(&self, is_over: bool) -> io::Result<bool> {
        let mut pen = self.pen();
        let found = pen.sink.check()?;
        let mut due = pen.denials.turn(self.clock.now());
        if is_over {
            pen.denials.end(&mut due);
        }
        let mut draft = self.draft(&mut pen, found.has_moved.then(record::moved));
        draft.summaries(&due);
        let seq = pen.chain.mark().seq;
        // If that fails it is tried again, by the next record too.
        self.commit(&mut pen, draft).ok();
        if found.is_short != pen.denials.is_short {
            pen.denials.is_short = found.is_short;
            match found.is_short {
                true => tracing::warn!(
                    "the disk of the audit log is nearly full: free space on it, nothing is \
                    served once it is full"
                ),
                false => tracing::info!("the disk of the audit log has room again"),
            }
            if *self.health.borrow() != Health::Failed {
                self.health.send_replace(pen.health());
            }
        }
        Ok(pen.chain.mark().seq > seq)
    }

    /// Returns when all that was written before would survive a loss of power.
    pub(crate) fn flush(&self) -> io::Result<()> {
        self.sync().inspect_err(|_| self.outbox.pin())
    }

    fn sync(&self) -> io::Result<()> {
        let mut pen = self.pen();
        let mark = pen.chain.mark().clone();
        if self.tried.borrow().synced == mark.seq {
            return Ok(());
        }
        let notes = self.outbox.copied();
        let sync = pen.sink.sync()?;
        pen.unsynced_bytes = 0;
        // INVARIANT: however long the disk takes, others write meanwhile.
        drop(pen);
        let start = self.clock.uptime();
        sync()?;
        self.flushed.add(self.since(start));
        let seq = mark.seq;
        let synced = Synced { mark, notes };
        self.outbox.tell(&synced);
        // First: who waits may look at it next.
        self.synced.send_replace(synced);
        self.tried.send_modify(|tried| tried.synced = seq);
        Ok(())
    }

    /// Waits until record `seq` would survive a loss of power, as far as a sync that began after it
    /// was written can tell. Returns whether it would.
    pub(crate) async fn reaches(&self, seq: u64) -> bool {
        let mut tried = self.tried.subscribe();
        let known = tried.wait_for(|tried| tried.synced.max(tried.failed) >= seq);
        known.await.is_ok_and(|tried| tried.failed < seq)
    }

    /// Notes that what was written until now may not have reached the disk. Only the syncer tries
    /// the log again.
    pub(crate) fn get_stuck(&self, error: &io::Error) {
        let pen = self.pen();
        self.fail(&pen, error, true);
        let seq = pen.chain.mark().seq;
        self.tried.send_modify(|tried| tried.failed = seq);
    }

    /// Notes that nobody syncs the log any more.
    pub(crate) fn end(&self) {
        self.get_stuck(&io::Error::other("its thread panicked"));
        self.tried.send_modify(|tried| tried.failed = u64::MAX);
    }

    pub(crate) fn is_stuck(&self) -> bool {
        self.is_stuck.load(Ordering::SeqCst)
    }

    /// Begins with `first`, and, if the log failed, with how many records are missing; then the
    /// intents that nobody else copies.
    fn draft(&self, pen: &mut Pen, first: Option<Vec<u8>>) -> Draft {
        let mut draft = Draft {
            chain: pen.chain.clone(),
            time: self.time(),
            bytes: std::mem::take(&mut pen.buffer),
            missing: None,
            records: 0,
            left: self.outbox.take_left(),
        };
        draft.bytes.clear();
        if let Some(event) = first {
            draft.event(&event);
        }
        let has_failed = *self.health.borrow() == Health::Failed;
        if has_failed || self.lost.load(Ordering::SeqCst) > 0 {
            let lost = self.lost.swap(0, Ordering::SeqCst);
            draft.missing = Some(lost);
            draft.event(&record::recovered(lost));
        }
        // They are no loss if they cannot be written: they are tried again.
        for (_, _, lines) in &draft.left {
            for line in lines.iter() {
                let [before, after] = line.fields;
                let fields = [before, &[], after];
                draft.chain.append(&draft.time, fields, &mut draft.bytes);
            }
        }
        draft
    }

    /// Adds all of a draft to the log or, on failure, none.
    fn commit(&self, pen: &mut Pen, draft: Draft) -> io::Result<()> {
        pen.buffer = draft.bytes;
        if pen.buffer.is_empty() {
            return Ok(());
        }
        let start = self.clock.uptime();
        if let Err(error) = pen.sink.append(&pen.buffer) {
            let lost = draft.records + draft.missing.unwrap_or(0);
            self.lost.fetch_add(lost, Ordering::SeqCst);
            self.fail(pen, &error, false);
            let left = draft.left.into_iter();
            left.for_each(|(ticket, revision, lines)| self.outbox.leave(ticket, revision, lines));
            return Err(error);
        }
        let left = draft.left.iter();
        left.for_each(|(ticket, revision, _)| self.outbox.end(ticket, *revision));
        let took = self.since(start);
        self.written.add(took);
        pen.chain = draft.chain;
        pen.unsynced_bytes += pen.buffer.len();
        if let Some(lost) = draft.missing {
            tracing::warn!(lost, "audit log can be written again");
            self.is_stuck.store(false, Ordering::SeqCst);
            self.health.send_replace(pen.health());
        }
        if took > WRITE_MAX {
            let error = io::Error::other(format!(
                "a write took {took:?}; look for another writer on its disk, or give it one of its own"
            ));
            self.fail(pen, &error, true);
        }
        Ok(())
    }

    /// INVARIANT: with the pen in hand, so that nobody finds the log well again meanwhile.
    fn fail(&self, _: &Pen, error: &io::Error, is_stuck: bool) {
        self.is_stuck.fetch_or(is_stuck, Ordering::SeqCst);
        if self.health.send_replace(Health::Failed) != Health::Failed {
            tracing::error!(%error, "audit log cannot be written: nothing is served");
        }
    }

    /// Now, as records tell it.
    pub(crate) fn time(&self) -> String {
        rfc3339(self.clock.now())
    }

    fn pen(&self) -> MutexGuard<'_, Pen> {
        self.pen.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn since(&self, start: Duration) -> Duration {
        self.clock.uptime().saturating_sub(start)
    }
}

impl Pen {
    /// The health of a log that can be written.
    fn health(&self) -> Health {
        match self.denials.is_short {
            true => Health::Short,
            false => Health::Well,
        }
    }
}

impl std::fmt::Debug for Pen {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Pen").field(self.chain.mark()).finish()
    }
}

/// Lines that go into the log together.
struct Draft {
    chain: Chain,
    time: String,
    bytes: Vec<u8>,
    /// What it says to be lost, if it says so.
    missing: Option<u64>,
    /// The records that are lost too if it is, and those that it tells to be only counted.
    records: u64,
    /// The intents that are copied with it.
    left: Vec<Left>,
}

impl Draft {
    fn line(&mut self, [before, after]: [&[u8]; 2], unnoted: Option<&Unnoted>) {
        let mut counts = Vec::new();
        if let Some(unnoted) = unnoted {
            unnoted.write(&mut Fields(&mut counts));
            self.records += unnoted.count;
        }
        self.records += 1;
        self.chain
            .append(&self.time, [before, &counts, after], &mut self.bytes);
    }

    fn event(&mut self, fields: &[u8]) {
        self.chain
            .append(&self.time, [fields, &[], &[]], &mut self.bytes);
    }

    /// The records of an intent of before a start, at its own time.
    fn noted(&mut self, noted: &Noted) {
        for fields in &noted.lines {
            let fields = [fields.as_bytes(), &[], &[]];
            self.chain.append(&noted.time, fields, &mut self.bytes);
        }
    }

    /// The records of callers of which nothing came that could say how much was only counted.
    fn summaries(&mut self, due: &HashMap<Who, Unnoted>) {
        for (who, unnoted) in due {
            self.records += unnoted.count;
            self.event(&record::unnoted(who, unnoted));
        }
    }
}

/// `2026-11-22T04:00:00.123456Z`.
fn rfc3339(time: SystemTime) -> String {
    humantime::format_rfc3339_micros(clamp_time(time)).to_string()
}
