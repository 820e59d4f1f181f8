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
use crate::mark::Synced;

/// How many intents may wait for the disk: a start after a crash reads as many notes. More than come
/// in while a disk that is well syncs.
const UNSYNCED_MAX: usize = 30_000;

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
    /// How many were begun whose copies no sync that worked was for.
    unsynced: usize,
    /// How many of those are copied, and how many were when the latest sync began.
    ended: usize,
    ended_before: usize,
    /// What nobody copies any more: its call was dropped, or the log could not be written.
    left: Vec<Left>,
    /// A record that is on disk, and so before all copies of intents to come, even after a loss of
    /// power.
    synced: u64,
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

/// An intent that is still to be copied, and its commit, if that is known.
pub(crate) type Left = (Ticket, Option<u64>, Lines);

impl Outbox {
    /// Goes on where notes up to `copied` are in the log, of which record `synced` is on disk.
    pub(crate) fn new(copied: u64, synced: u64) -> Self {
        Self(Mutex::new(State {
            copied,
            synced,
            ..State::default()
        }))
    }

    /// `None` if too many wait for the disk.
    pub(crate) fn begin(&self) -> Option<Ticket> {
        let mut state = self.state();
        if state.unsynced >= UNSYNCED_MAX {
            return None;
        }
        state.unsynced += 1;
        let (began_at, after) = (state.copied, state.synced);
        *state.open.entry(began_at).or_default() += 1;
        Some(Ticket { began_at, after })
    }

    /// The log has the intent of this commit.
    pub(crate) fn end(&self, ticket: &Ticket, revision: Option<u64>) {
        let mut state = self.state();
        state.close(ticket);
        state.ended += 1;
        state.copied = state.copied.max(revision.unwrap_or(0));
    }

    /// There was no commit.
    pub(crate) fn refuse(&self, ticket: &Ticket) {
        let mut state = self.state();
        state.close(ticket);
        state.unsynced -= 1;
    }

    pub(crate) fn leave(&self, ticket: Ticket, revision: Option<u64>, lines: Lines) {
        self.state().left.push((ticket, revision, lines));
    }

    /// Those that were left, for whoever copies them or leaves them again.
    pub(crate) fn take_left(&self) -> Vec<Left> {
        mem::take(&mut self.state().left)
    }

    /// The revision up to which notes may be forgotten once a sync works that begins now, while
    /// nobody writes.
    pub(crate) fn copied(&self) -> u64 {
        let mut state = self.state();
        state.ended_before = state.ended;
        if state.is_pinned {
            return state.told;
        }
        let first = state.open.keys().next();
        first.map_or(state.copied, |first| state.copied.min(*first))
    }

    /// That sync has worked.
    pub(crate) fn tell(&self, synced: &Synced) {
        let mut state = self.state();
        (state.synced, state.told) = (synced.mark.seq, synced.notes);
        let on_disk = mem::take(&mut state.ended_before);
        state.ended -= on_disk;
        state.unsynced -= on_disk;
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

impl State {
    fn close(&mut self, ticket: &Ticket) {
        if let Some(count) = self.open.get_mut(&ticket.began_at) {
            *count -= 1;
            if *count == 0 {
                self.open.remove(&ticket.began_at);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::mark::Mark;

    fn begin(outbox: &Outbox) -> Ticket {
        outbox.begin().expect("few wait")
    }

    #[test]
    fn no_more_begin_than_may_wait_for_the_disk_until_a_sync_was_for_some() {
        let outbox = Outbox::default();
        let end = |outbox: &Outbox, ticket| outbox.end(&ticket, Some(1));
        for _ in 1..UNSYNCED_MAX {
            end(&outbox, begin(&outbox));
        }
        let open = begin(&outbox);
        assert!(outbox.begin().is_none());
        outbox.copied();
        assert!(outbox.begin().is_none(), "that sync may fail");
        outbox.refuse(&open);
        end(&outbox, begin(&outbox));
        assert!(outbox.begin().is_none());
        tell(&outbox, 9);
        for _ in 0..UNSYNCED_MAX {
            begin(&outbox);
        }
        tell(&outbox, 10);
        assert!(outbox.begin().is_none(), "none of them is copied");
    }

    fn tell(outbox: &Outbox, seq: u64) {
        let mark = Mark {
            seq,
            head: String::new(),
        };
        let notes = outbox.copied();
        outbox.tell(&Synced { mark, notes });
    }

    #[test]
    fn a_copy_comes_after_a_record_that_no_loss_of_power_takes() {
        let outbox = Outbox::new(0, 4);
        assert_eq!(outbox.copied(), 0);
        assert_eq!(begin(&outbox).after, 4, "no sync has worked yet");
        tell(&outbox, 9);
        assert_eq!(begin(&outbox).after, 9);
    }

    #[test]
    fn notes_are_kept_that_could_be_of_a_commit_whose_intent_is_not_copied() {
        let outbox = Outbox::new(3, 7);
        let early = begin(&outbox);
        let (late, lost) = (begin(&outbox), begin(&outbox));
        outbox.end(&late, Some(5));
        assert_eq!(outbox.copied(), 3, "the early one may be the fourth");
        outbox.end(&early, Some(4));
        assert_eq!(outbox.copied(), 3, "the lost one may be the sixth");
        let next = begin(&outbox);
        outbox.refuse(&lost);
        assert_eq!(outbox.copied(), 5);
        outbox.end(&next, Some(8));
        assert_eq!(outbox.copied(), 8);
    }
}
