//! Intents that lie in the store, each committed with what it intends, until the log has them.
//!
//! The order, which makes an intent durable exactly when its effect is:
//!
//! 1. the log is healthy, or nothing is committed ([`Intent::note`](crate::Intent::note));
//! 2. one commit does the effect and leaves the intent as a note;
//! 3. the intent is copied to the log, which need not be synced: the note outlives a crash;
//! 4. the record of the outcome is written, and the call is answered;
//! 5. once the copy is synced, a later commit forgets the note. After a crash a start writes what
//!    the log lacks of the notes (`noted.rs`).
//!
//! This tells how far 3 has come. Who commits and forgets is not known here.

use std::collections::BTreeMap;
use std::mem;
use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::lines::Lines;

/// The intents whose commits have begun.
#[derive(Debug, Default)]
pub(crate) struct Outbox(Mutex<State>);

#[derive(Debug, Default)]
struct State {
    /// The latest commit whose intent the log has.
    copied: u64,
    /// The intents that it may not have yet: how many there are by what `copied` was when they
    /// began.
    ///
    /// INVARIANT: a commit is later than all that had ended when it began. So the notes of those
    /// that began at N come after N, and whatever is at N or before may be forgotten.
    open: BTreeMap<u64, usize>,
    /// What nobody copies any more: its call was dropped, or the log could not be written.
    left: Vec<Left>,
    /// A record that is before all copies of intents to come.
    seq: u64,
    /// What was told last of what may be forgotten.
    told: u64,
    /// Whether that is never again more.
    is_pinned: bool,
}

/// An intent whose commit has begun.
#[derive(Debug)]
pub(crate) struct Ticket {
    began_at: u64,
    /// A record that is before its copy in the log.
    pub(crate) after: u64,
}

/// An intent that is still to be copied.
pub(crate) type Left = (Ticket, Lines);

impl Outbox {
    /// Goes on where notes up to `copied` are in the log, which ends with record `seq`.
    pub(crate) fn new(copied: u64, seq: u64) -> Self {
        Self(Mutex::new(State {
            copied,
            seq,
            ..State::default()
        }))
    }

    pub(crate) fn begin(&self) -> Ticket {
        let mut state = self.state();
        let (began_at, after) = (state.copied, state.seq);
        *state.open.entry(began_at).or_default() += 1;
        Ticket { began_at, after }
    }

    /// The log has the intent of this commit, or there was none.
    pub(crate) fn end(&self, ticket: &Ticket, revision: Option<u64>) {
        let mut state = self.state();
        if let Some(count) = state.open.get_mut(&ticket.began_at) {
            *count -= 1;
            if *count == 0 {
                state.open.remove(&ticket.began_at);
            }
        }
        state.copied = state.copied.max(revision.unwrap_or(0));
    }

    pub(crate) fn leave(&self, ticket: Ticket, lines: Lines) {
        self.state().left.push((ticket, lines));
    }

    /// Those that were left, for whoever copies them or leaves them again.
    pub(crate) fn take_left(&self) -> Vec<Left> {
        mem::take(&mut self.state().left)
    }

    /// The revision up to which notes may be forgotten once a sync works that begins now. The log
    /// ends with record `seq`, and nobody writes to it meanwhile.
    pub(crate) fn copied(&self, seq: u64) -> u64 {
        let mut state = self.state();
        state.seq = seq;
        if state.is_pinned {
            return state.told;
        }
        let first = state.open.keys().next();
        first.map_or(state.copied, |first| state.copied.min(*first))
    }

    /// That sync has worked: so far notes are forgotten.
    pub(crate) fn tell(&self, notes: u64) {
        self.state().told = notes;
    }

    /// A sync has failed: no note is forgotten any more.
    ///
    /// INVARIANT: the kernel reports a failed sync once and then calls the lost pages clean, so that
    /// a later success would prove nothing of the copies in them.
    pub(crate) fn pin(&self) {
        if !mem::replace(&mut self.state().is_pinned, true) {
            tracing::warn!(
                "a sync of the audit log failed: the store keeps the intents of puts from now on; \
                check the disk, then restart the daemon"
            );
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn notes_are_kept_that_could_be_of_a_commit_whose_intent_is_not_copied() {
        let outbox = Outbox::new(3, 7);
        let early = outbox.begin();
        assert_eq!(early.after, 7);
        let (late, lost) = (outbox.begin(), outbox.begin());
        outbox.end(&late, Some(5));
        assert_eq!(outbox.copied(9), 3, "the early one may be the fourth");
        outbox.end(&early, Some(4));
        assert_eq!(outbox.copied(9), 3, "the lost one may be the sixth");
        let next = outbox.begin();
        assert_eq!(next.after, 9);
        outbox.end(&lost, None);
        assert_eq!(outbox.copied(9), 5);
        outbox.end(&next, Some(8));
        assert_eq!(outbox.copied(9), 8);
    }
}
