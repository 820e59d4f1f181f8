//! Something that is about to be done, and how it gets into the log.

use std::mem;
use std::sync::OnceLock;

use claviger_core::{Error, Reason, Result};

use crate::batch::Batches;
use crate::lines::{Fate, Lines};
use crate::log::{Health, Log};
use crate::noted;
use crate::outbox::Ticket;

/// A side effect that is about to happen. It happens once this is [`written`](Self::written), or in
/// one commit with the [`note`](Self::note).
///
/// One that is dropped is written without waiting: once the log takes it, if a commit may have it.
#[derive(Debug)]
#[must_use = "the side effect must not happen without it"]
pub struct Intent<'a> {
    log: &'a Log,
    batches: Option<&'a Batches>,
    /// Empty once they are on their way.
    lines: Lines,
    /// From the first commit on that carries it.
    ticket: OnceLock<Ticket>,
}

impl<'a> Intent<'a> {
    pub(crate) fn new(log: &'a Log, batches: Option<&'a Batches>, lines: Lines) -> Self {
        Self {
            log,
            batches,
            lines,
            ticket: OnceLock::new(),
        }
    }

    /// Writes it; it would survive a loss of power when this returns.
    ///
    /// # Errors
    /// `AUDIT_UNAVAILABLE`: the side effect must not happen.
    pub async fn written(mut self) -> Result<()> {
        let lines = mem::take(&mut self.lines);
        self.write(&lines, true).await
    }

    /// What the commit has to leave in the store that does the side effect. Once that has ended, this
    /// is to be [`copied`](Self::copied), or said to be [`refused`](Self::refused).
    ///
    /// # Errors
    /// `AUDIT_UNAVAILABLE`: the log cannot be written, or too much of it waits for its disk, so
    /// nothing must be committed.
    pub fn note(&self) -> Result<Vec<u8>> {
        if *self.log.health.borrow() == Health::Failed {
            return Err(Error::new(Reason::AuditUnavailable));
        }
        let ticket = match self.ticket.get() {
            Some(ticket) => ticket,
            None => {
                let ticket = self.log.outbox.begin().ok_or_else(too_many)?;
                self.ticket.get_or_init(|| ticket)
            }
        };
        Ok(noted::write(ticket.after, &self.log.time(), &self.lines))
    }

    /// Writes it after the commit that carried it, which was done as `revision` or may have been.
    /// If this cannot be, it is written as soon as it can.
    ///
    /// # Errors
    /// `AUDIT_UNAVAILABLE`, though the side effect has happened.
    pub async fn copied(mut self, revision: Option<u64>) -> Result<()> {
        let lines = mem::take(&mut self.lines);
        let ticket = self.ticket.take();
        // Dropped while it waits, the ticket stays open: the next start finds out.
        let copied = self.write(&lines, false).await;
        let outbox = &self.log.outbox;
        match ticket {
            Some(ticket) if copied.is_err() => outbox.leave(ticket, revision, lines),
            Some(ticket) => outbox.end(&ticket, revision),
            None => {}
        }
        copied
    }

    /// Writes it with the next record of the call: nothing was done, and nothing will be.
    pub fn refused(mut self) {
        if let Some(ticket) = self.ticket.take() {
            self.log.outbox.refuse(&ticket);
        }
    }

    /// Waits for the disk too if the side effect does.
    async fn write(&self, lines: &Lines, is_waited_for: bool) -> Result<()> {
        let add = |batches: &'a Batches| batches.add(|batch| batch.append(lines, is_waited_for));
        let fate = match self.batches.map(add) {
            Some(pending) => pending.fate().await,
            None => Fate::Lost,
        };
        match fate {
            Fate::Lost => Err(Error::new(Reason::AuditUnavailable)),
            Fate::Counted | Fate::Written => Ok(()),
        }
    }
}

fn too_many() -> Error {
    Error::new(Reason::AuditUnavailable).caused_by(
        "the intents of too many puts wait until a sync of the audit log ends; look for what holds \
        up its disk",
    )
}

impl Drop for Intent<'_> {
    fn drop(&mut self) {
        let lines = mem::take(&mut self.lines);
        if lines.len() == 0 {
            return;
        }
        match (self.ticket.take(), self.batches) {
            (Some(ticket), _) => self.log.outbox.leave(ticket, None, lines),
            (None, Some(batches)) => drop(batches.add(|batch| batch.append(&lines, false))),
            (None, None) => {}
        }
    }
}
