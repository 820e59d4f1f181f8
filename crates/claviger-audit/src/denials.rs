//! Which denials get a record of their own.
//!
//! They cost their caller nothing and come without end: each with a record would let a caller that
//! may do nothing fill the disk, and with it stop the daemon. The first of a second are recorded
//! one by one, the others counted; the next record of the same caller says how many there were, or
//! one of their own if nothing else comes of it. Bounded: in a second, by the number of callers.

use std::collections::HashMap;
use std::time::{Duration, SystemTime};

use crate::unnoted::{Talk, Unnoted, Who};

/// How long a count goes on.
pub(crate) const WINDOW: Duration = Duration::from_secs(1);

/// Denials of one caller that are recorded one by one in a window.
const NOTED_MAX: u32 = 10;

/// The same for a caller without any grant.
const GRANTLESS_NOTED_MAX: u32 = 1;

/// The same for all callers without a grant together: a user may have thousands of uids.
const ALL_GRANTLESS_NOTED_MAX: u32 = 10;

/// Callers that are told apart in a window; what comes of others is counted together.
const CALLERS_MAX: usize = 1024;

impl Unnoted {
    fn add(&mut self, talk: &Talk) {
        self.count += 1;
        if let Some(resource) = &talk.resource {
            self.first.get_or_insert_with(|| resource.clone());
            self.last = Some(resource.clone());
        }
    }

    /// Goes on with what was counted later.
    fn join(&mut self, later: Self) {
        self.count += later.count;
        self.first = self.first.take().or(later.first);
        self.last = later.last.or(self.last.take());
    }
}

/// What came of a caller in a window.
#[derive(Debug, Default)]
struct Count {
    noted: u32,
    unnoted: Unnoted,
}

/// Decides which denials get a record. Whoever writes to the log owns it.
#[derive(Debug)]
pub(crate) struct Denials {
    start: SystemTime,
    counts: HashMap<Who, Count>,
    grantless_noted: u32,
    /// Whether disk is short: then nothing that a caller without a grant does is written.
    pub(crate) is_short: bool,
}

impl Denials {
    pub(crate) fn new(now: SystemTime) -> Self {
        Self {
            start: now,
            counts: HashMap::new(),
            grantless_noted: 0,
            is_short: false,
        }
    }

    /// Whether this gets a record. Only denials and calls that are open to all may not: also those
    /// of a caller that was allowed at first or left. What follows an intent always does.
    pub(crate) fn admit(&mut self, who: Option<&Who>, talk: Option<&Talk>) -> bool {
        let Some(talk) = talk else {
            return true;
        };
        let noted_max = match who {
            Some(Who::Principal(_)) if !talk.has_grants => GRANTLESS_NOTED_MAX,
            Some(Who::Principal(_) | Who::Unknown { .. } | Who::Rest) | None => NOTED_MAX,
        };
        let who = who.filter(|who| self.has_place(who, talk.has_grants));
        let count = self.counts.entry(who.cloned().unwrap_or(Who::Rest));
        let count = count.or_default();
        let is_noted = who.is_some() && count.noted < noted_max;
        if is_noted {
            count.noted += 1;
            self.grantless_noted +=
                u32::from(matches!(who, Some(Who::Principal(_))) && !talk.has_grants);
        } else {
            count.unnoted.add(talk);
        }
        is_noted
    }

    /// Whether the denials of this caller are counted apart from those of the rest.
    fn has_place(&self, who: &Who, has_grants: bool) -> bool {
        match who {
            _ if has_grants => self.counts.contains_key(who) || self.counts.len() < CALLERS_MAX,
            _ if self.is_short => false,
            Who::Principal(_) => {
                self.counts.contains_key(who) || self.grantless_noted < ALL_GRANTLESS_NOTED_MAX
            }
            Who::Unknown { .. } | Who::Rest => true,
        }
    }

    /// What was only counted before this record of the same caller: in `due` or in this window.
    pub(crate) fn before(
        &mut self,
        who: Option<&Who>,
        due: &mut HashMap<Who, Unnoted>,
    ) -> Option<Unnoted> {
        if due.is_empty() && self.counts.is_empty() {
            return None;
        }
        let counted = || Some(std::mem::take(&mut self.counts.get_mut(who?)?.unnoted));
        let unnoted = due.remove(who?).or_else(counted)?;
        (unnoted.count > 0).then_some(unnoted)
    }

    /// Begins a new window if this one is over. Returns what was only counted in it.
    pub(crate) fn turn(&mut self, now: SystemTime) -> HashMap<Who, Unnoted> {
        // A clock that was set back says nothing about how much time went by.
        let waited = now.duration_since(self.start).unwrap_or(WINDOW);
        if waited < WINDOW {
            return HashMap::new();
        }
        self.start = now;
        let rest = self.counts.remove(&Who::Rest);
        let mut due = HashMap::new();
        self.end(&mut due);
        match rest {
            // Every line of it would be one less for those who may do something.
            Some(rest) if self.is_short => drop(self.counts.insert(Who::Rest, rest)),
            Some(rest) if rest.unnoted.count > 0 => drop(due.insert(Who::Rest, rest.unnoted)),
            Some(_) | None => {}
        }
        due
    }

    /// Ends the window. Adds what was only counted in it to what is `due` of those before.
    pub(crate) fn end(&mut self, due: &mut HashMap<Who, Unnoted>) {
        self.grantless_noted = 0;
        for (who, Count { unnoted, .. }) in std::mem::take(&mut self.counts) {
            if unnoted.count > 0 {
                due.entry(who).or_default().join(unnoted);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use claviger_access::Principal;

    use super::*;

    #[test]
    fn what_is_due_of_a_window_is_not_forgotten_when_the_next_one_ends_with_it() {
        let start = SystemTime::UNIX_EPOCH;
        let mut denials = Denials::new(start);
        let talk = Talk {
            has_grants: false,
            resource: None,
        };
        let come = |denials: &mut Denials, uids: std::ops::Range<u32>| {
            for uid in uids {
                denials.admit(Some(&Who::Principal(Principal::Unix(uid))), Some(&talk));
            }
        };
        come(&mut denials, 0..13);
        let mut due = denials.turn(start + WINDOW);
        assert_eq!(due[&Who::Rest].count, 3);
        come(&mut denials, 20..34);
        denials.end(&mut due);
        assert_eq!(due[&Who::Rest].count, 7);
    }
}
