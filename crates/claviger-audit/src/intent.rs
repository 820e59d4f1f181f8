//! Something that is about to be done, and how it gets into the log.

use std::mem;
use std::sync::OnceLock;

use claviger_core::{Error, Reason, Result};

use crate::audit::Audit;
use crate::lines::Lines;
use crate::log::Health;
use crate::noted;
use crate::outbox::Ticket;

/// A side effect that is about to happen. It happens once this is [`written`](Self::written), or in
/// one commit with the [`note`](Self::note).
///
/// One that is dropped is written without waiting: once the log takes it, if a commit may have it.
#[derive(Debug)]
#[must_use = "the side effect must not happen without it"]
pub struct Intent<'a> {
    audit: &'a Audit,
    /// Empty once they are on their way.
    lines: Lines,
    /// From the first commit on that carries it.
    ticket: OnceLock<Ticket>,
}

impl<'a> Intent<'a> {
    pub(crate) fn new(audit: &'a Audit, lines: Lines) -> Self {
        Self {
            audit,
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
        self.audit.write_lines(&lines, true).await
    }

    /// What the commit has to leave in the store that does the side effect. Once that has ended, this
    /// is to be [`copied`](Self::copied), or said to be [`refused`](Self::refused).
    ///
    /// # Errors
    /// `AUDIT_UNAVAILABLE`: the log cannot be written, so nothing must be committed.
    pub fn note(&self) -> Result<Vec<u8>> {
        if self.audit.health() == Health::Failed {
            return Err(Error::new(Reason::AuditUnavailable));
        }
        let log = self.audit.log();
        let ticket = self.ticket.get_or_init(|| log.outbox.begin());
        Ok(noted::write(ticket.after, &log.time(), &self.lines))
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
        let copied = self.audit.write_lines(&lines, false).await;
        let outbox = &self.audit.log().outbox;
        match ticket {
            Some(ticket) if copied.is_err() => outbox.leave(ticket, lines),
            Some(ticket) => outbox.end(&ticket, revision),
            None => {}
        }
        copied
    }

    /// Writes it with the next record of the call: nothing was done, and nothing will be.
    pub fn refused(mut self) {
        if let Some(ticket) = self.ticket.take() {
            self.audit.log().outbox.end(&ticket, None);
        }
    }
}

impl Drop for Intent<'_> {
    fn drop(&mut self) {
        let lines = mem::take(&mut self.lines);
        if lines.len() == 0 {
            return;
        }
        match self.ticket.take() {
            Some(ticket) => self.audit.log().outbox.leave(ticket, lines),
            None => self.audit.write_lines_detached(&lines),
        }
    }
}
