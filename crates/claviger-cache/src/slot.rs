//! What is known of one document, and when its vault is asked for it: rules without a task, a lock
//! or a clock, so that they can be tried in every order.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use claviger_core::Error;

/// The first wait after a failure; each failure in a row doubles it.
pub(crate) const BACK_OFF_FIRST: Duration = Duration::from_secs(1);

/// The longest wait, so that a key that was switched off is noticed soon.
const BACK_OFF_LAST: Duration = Duration::from_secs(4);

/// The longest wait that a vault may ask for.
const BACK_OFF_ASKED: Duration = Duration::from_secs(60);

/// At most one refresh that somebody asked for begins within this time.
const REFRESH_EVERY: Duration = Duration::from_secs(1);

/// Whoever reads more often than this need not be noticed each time.
const USE_EVERY: Duration = Duration::from_secs(1);

/// How long a vault is left alone after so many failures before this one, and with what it asked
/// for.
pub(crate) fn rest(failures: u32, asked: Option<Duration>) -> Duration {
    let doubled = BACK_OFF_FIRST * 2_u32.saturating_pow(failures.min(8));
    let asked = asked.unwrap_or_default().min(BACK_OFF_ASKED);
    doubled.min(BACK_OFF_LAST).max(asked)
}

/// A time, counted from when the cache was made: ages follow no wall clock.
pub(crate) type Moment = Duration;

/// How old a value may be for one reader.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Policy {
    /// Served as it is while it is younger.
    pub fresh: Duration,
    /// Served while it is younger and the vault fails, and marked as stale.
    pub usable: Duration,
    /// Asked for again in the background shortly before it gets this old. `None` for values that
    /// must not be renewed while they are good.
    pub renewal: Option<Duration>,
}

/// Why there is no value.
#[derive(Clone, Debug)]
pub struct Failure {
    /// What was said.
    pub error: Arc<Error>,
    /// What that means for the value that is held.
    pub meaning: Meaning,
}

/// What a failure means for the value that is held.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Meaning {
    /// The vault is away: it may be served meanwhile, and the vault is left alone for a while.
    Away,
    /// The vault was not asked, because it is away for others: as [`Away`](Self::Away), for as long
    /// as the error says.
    Barred,
    /// Nothing was learned. It is kept and not served, and the vault left alone for a moment.
    Lost,
    /// The vault says no to this document: it is forgotten.
    Refused,
    /// The vault says no to all that [falls with](crate::Key::falls_with) this document.
    RefusedAll,
    /// The vault was not asked, because we are asking too much: it may be served meanwhile.
    Unasked,
}

impl Failure {
    /// Whether what is held may be served.
    fn may_serve(&self) -> bool {
        matches!(
            self.meaning,
            Meaning::Away | Meaning::Barred | Meaning::Unasked
        )
    }
}

/// A value that came from the vault.
#[derive(Debug)]
pub(crate) struct Held<V> {
    pub(crate) value: Arc<V>,
    /// When it was asked for, for people.
    pub(crate) fetch_time: SystemTime,
    fetched: Moment,
    /// The part of [`Policy::renewal`] after which it is asked for again.
    renewal: f64,
}

impl<V> Clone for Held<V> {
    fn clone(&self) -> Self {
        Self {
            value: Arc::clone(&self.value),
            ..*self
        }
    }
}

impl<V> Held<V> {
    pub(crate) fn age(&self, now: Moment) -> Duration {
        now.saturating_sub(self.fetched)
    }

    /// Whether it will soon be too old.
    fn is_due(&self, now: Moment, policy: &Policy) -> bool {
        let due = |end: Duration| REFRESH_EVERY.max(end.mul_f64(self.renewal));
        policy.renewal.is_some_and(|end| self.age(now) >= due(end))
    }
}

/// A failure, and until when the vault is left alone.
#[derive(Debug)]
struct Failed {
    failure: Failure,
    until: Moment,
}

/// What one reader gets.
#[derive(Debug)]
pub(crate) enum Answer<V, F> {
    /// A flight is needed, and there is no place for one.
    Crowded,
    /// What this flight brings.
    Flight(F),
    /// What is known.
    Known(Known<V>),
}

/// What a reader gets without waiting.
#[derive(Debug)]
pub(crate) enum Known<V> {
    /// What is held; stale because of the failure, if there is one.
    Held(Held<V>, Option<Arc<Error>>),
    /// Nothing; to be tried again after so long.
    Refused(Arc<Error>, Duration),
}

/// What a refresh waits for before it is asked for again.
#[derive(Debug)]
pub(crate) enum Wait<F> {
    /// A flight that began before it, and may bring what was there before.
    Landing(F),
    /// This time.
    Until(Moment),
}

/// When a flight began, and which state of the slot it may fill.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Ticket {
    epoch: u64,
    began: Moment,
}

/// How a slot is, for people.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum State {
    /// Nothing is known.
    Absent,
    /// A value of this age that is served as it is.
    Fresh(Duration),
    /// A value of this age that is served only while the vault fails.
    Stale(Duration),
    /// Refused by the vault a moment ago, or not answered.
    Negative,
}

/// What is known of one document.
#[derive(Debug)]
pub(crate) struct Slot<V, F> {
    /// Counts what makes a flight useless that began before.
    epoch: u64,
    held: Option<Held<V>>,
    /// Whether what is held may have been replaced: the next reader asks.
    is_doubtful: bool,
    failed: Option<Failed>,
    /// The call to the vault that is under way.
    flying: Option<F>,
    /// Whether it began while the vault was failing.
    is_probing: bool,
    /// Failures in a row.
    failures: u32,
    /// Flights that began so far.
    begun: u64,
    /// When the last refresh began that somebody asked for.
    refreshed: Option<Moment>,
    /// The longest that any reader would use a value.
    usable: Duration,
    used: Moment,
}

impl<V, F: Clone> Slot<V, F> {
    pub(crate) fn new(now: Moment) -> Self {
        Self {
            epoch: 0,
            held: None,
            is_doubtful: false,
            failed: None,
            flying: None,
            is_probing: false,
            failures: 0,
            begun: 0,
            refreshed: None,
            usable: Duration::ZERO,
            used: now,
        }
    }

    /// What a reader gets. `launch` starts a flight, if there is a place for one: it is needed, or
    /// wanted for a value that is served and will soon be too old.
    pub(crate) fn ask(
        &mut self,
        now: Moment,
        policy: &Policy,
        launch: impl FnOnce(Ticket) -> Option<F>,
    ) -> Answer<V, F> {
        self.used = now;
        self.usable = self.usable.max(policy.usable);
        if let Some(held) = self.fresh(now, policy).cloned() {
            if held.is_due(now, policy) && self.flying.is_none() && !self.is_resting(now) {
                self.fly(now, launch);
            }
            return Answer::Known(Known::Held(held, None));
        }
        let Some((failure, until)) = self.failing(now) else {
            return self.join(now, launch);
        };
        let known = self.fall_back(now, policy, &failure);
        match known {
            Known::Refused(..) if now >= until => self.join(now, launch),
            // A vault that hangs must hold up nobody that can be served.
            Known::Held(..) if now >= until && self.flying.is_none() => {
                self.is_probing = self.fly(now, launch).is_some();
                Answer::Known(known)
            }
            Known::Held(..) | Known::Refused(..) => Answer::Known(known),
        }
    }

    /// What a reader gets who comes again soon, if asking would change nothing.
    pub(crate) fn again(&self, now: Moment, policy: &Policy) -> Option<Held<V>> {
        let held = self.fresh(now, policy)?;
        let is_soon = now.saturating_sub(self.used) < USE_EVERY;
        (is_soon && !held.is_due(now, policy)).then(|| held.clone())
    }

    fn fresh(&self, now: Moment, policy: &Policy) -> Option<&Held<V>> {
        let held = self.held.as_ref();
        held.filter(|held| !self.is_doubtful && held.age(now) < policy.fresh)
    }

    /// The failure that still tells how the vault is: until it is asked again, and a while after
    /// that, so that one who comes then is served while it is asked.
    fn failing(&self, now: Moment) -> Option<(Failure, Moment)> {
        let failed = self.failed.as_ref()?;
        let is_recent = now < failed.until + BACK_OFF_LAST || self.is_probing;
        is_recent.then(|| (failed.failure.clone(), failed.until))
    }

    /// Asks the vault now: with a flight that began after the first `since` ones, which are those
    /// that had [`begun`](Self::begun) when the refresh was asked for, one after the other and at
    /// most one a second. What is held is no answer.
    pub(crate) fn refresh(
        &mut self,
        now: Moment,
        since: u64,
        policy: &Policy,
        launch: impl FnOnce(Ticket) -> Option<F>,
    ) -> Result<Answer<V, F>, Wait<F>> {
        self.used = now;
        self.usable = self.usable.max(policy.usable);
        if let Some(flight) = &self.flying {
            return match self.begun > since {
                true => Ok(Answer::Flight(flight.clone())),
                false => Err(Wait::Landing(flight.clone())),
            };
        }
        if self.is_resting(now) || self.begun > since {
            if let Some(failed) = &self.failed {
                let rest = failed.until.saturating_sub(now);
                let error = Arc::clone(&failed.failure.error);
                return Ok(Answer::Known(Known::Refused(error, rest)));
            }
            if let Some(held) = &self.held {
                return Ok(Answer::Known(Known::Held(held.clone(), None)));
            }
        }
        let next = self.refreshed.map(|refreshed| refreshed + REFRESH_EVERY);
        if let Some(next) = next.filter(|next| now < *next) {
            return Err(Wait::Until(next));
        }
        let answer = self.join(now, launch);
        if let Answer::Flight(_) = answer {
            self.refreshed = Some(now);
        }
        Ok(answer)
    }

    /// What a reader gets whose flight failed.
    pub(crate) fn fall_back(&self, now: Moment, policy: &Policy, failure: &Failure) -> Known<V> {
        let usable = self
            .held
            .as_ref()
            .filter(|held| failure.may_serve() && held.age(now) < policy.usable);
        if let Some(held) = usable {
            return Known::Held(held.clone(), Some(Arc::clone(&failure.error)));
        }
        let until = self.failed.as_ref().map_or(now, |failed| failed.until);
        Known::Refused(Arc::clone(&failure.error), until.saturating_sub(now))
    }

    /// Takes in what a flight brought, unless it has become useless, and hands the value on to
    /// those that wait for it all the same. Says also whether that is a no to more than this
    /// document: to all of them, or to a value that there was.
    pub(crate) fn land(
        &mut self,
        now: Moment,
        ticket: Ticket,
        negative: Duration,
        result: Result<(Arc<V>, SystemTime), Failure>,
    ) -> (Result<Held<V>, Failure>, bool) {
        let is_current = ticket.epoch == self.epoch;
        if is_current {
            self.flying = None;
            self.is_probing = false;
        }
        match result {
            Ok((value, fetch_time)) => {
                // Counted from when it was asked for: it may have been changed since.
                let held = Held {
                    value,
                    fetch_time,
                    fetched: ticket.began,
                    // Apart, so that those that came together are not asked for together again.
                    renewal: 0.75 + fastrand::f64() / 5.0,
                };
                if is_current {
                    self.failures = 0;
                    self.failed = None;
                    self.held = Some(held.clone());
                    self.is_doubtful = false;
                }
                (Ok(held), false)
            }
            Err(failure) => {
                let was_held = self.held.is_some();
                if is_current {
                    self.fail(now, negative, failure.clone());
                }
                let is_taken = was_held && self.held.is_none();
                let is_for_all = failure.meaning == Meaning::RefusedAll;
                (Err(failure), is_taken || is_for_all)
            }
        }
    }

    fn fail(&mut self, now: Moment, negative: Duration, failure: Failure) {
        let rest = match failure.meaning {
            Meaning::Away => {
                let rest = rest(self.failures, failure.error.retry_delay());
                self.failures = self.failures.saturating_add(1);
                rest
            }
            Meaning::Barred => failure.error.retry_delay().unwrap_or(BACK_OFF_FIRST),
            Meaning::Lost => BACK_OFF_FIRST,
            Meaning::Refused | Meaning::RefusedAll => {
                self.held = None;
                self.failures = 0;
                negative
            }
            Meaning::Unasked => return,
        };
        self.failed = Some(Failed {
            failure,
            until: now + rest,
        });
    }

    /// Forgets everything, because the document was changed: no flight that began before fills the
    /// slot, and the next reader starts another one.
    pub(crate) fn bump(&mut self) {
        self.outdate();
        self.held = None;
        self.failed = None;
        self.failures = 0;
        self.usable = Duration::ZERO;
    }

    /// What is known may no longer be so: as [`bump`](Self::bump), but what is held may be served
    /// while the vault fails, and a vault that does is left alone as before.
    pub(crate) fn doubt(&mut self) {
        self.outdate();
        self.is_doubtful = true;
        self.failed.take_if(|failed| !failed.failure.may_serve());
    }

    /// Drops what is held, because there is no room for it.
    pub(crate) fn empty(&mut self) {
        self.held = None;
    }

    /// Forgets what nobody can be served any more; says whether nothing is left.
    pub(crate) fn sweep(&mut self, now: Moment) -> bool {
        let usable = self.usable;
        self.held.take_if(|held| held.age(now) >= usable);
        self.failed
            .take_if(|failed| now >= failed.until + BACK_OFF_LAST);
        self.held.is_none() && self.failed.is_none() && self.flying.is_none()
    }

    /// How it is for a reader.
    pub(crate) fn state(&self, now: Moment, policy: &Policy) -> State {
        match (&self.held, &self.failed) {
            (Some(held), _) if !self.is_doubtful && held.age(now) < policy.fresh => {
                State::Fresh(held.age(now))
            }
            (Some(held), _) if held.age(now) < policy.usable => State::Stale(held.age(now)),
            (_, Some(failed)) if now < failed.until => State::Negative,
            _ => State::Absent,
        }
    }

    /// Whether anything is known: a value, or only that there was none.
    pub(crate) fn known(&self) -> Option<Option<&V>> {
        let is_known = self.held.is_some() || self.failed.is_some();
        is_known.then(|| self.held())
    }

    /// How many flights began so far.
    pub(crate) fn begun(&self) -> u64 {
        self.begun
    }

    /// When it was asked for last.
    pub(crate) fn used(&self) -> Moment {
        self.used
    }

    /// What it holds.
    pub(crate) fn held(&self) -> Option<&V> {
        self.held.as_ref().map(|held| &*held.value)
    }

    /// Whether the vault is left alone because it did not answer.
    fn is_resting(&self, now: Moment) -> bool {
        let failed = self.failed.as_ref().filter(|failed| now < failed.until);
        failed.is_some_and(|failed| {
            let meaning = failed.failure.meaning;
            !matches!(meaning, Meaning::Refused | Meaning::RefusedAll)
        })
    }

    fn join(&mut self, now: Moment, launch: impl FnOnce(Ticket) -> Option<F>) -> Answer<V, F> {
        let flight = match &self.flying {
            Some(flight) => Some(flight.clone()),
            None => self.fly(now, launch),
        };
        flight.map_or(Answer::Crowded, Answer::Flight)
    }

    fn fly(&mut self, now: Moment, launch: impl FnOnce(Ticket) -> Option<F>) -> Option<F> {
        let flight = launch(Ticket {
            epoch: self.epoch,
            began: now,
        })?;
        self.begun += 1;
        self.flying = Some(flight.clone());
        Some(flight)
    }

    fn outdate(&mut self) {
        self.epoch += 1;
        self.flying = None;
        self.is_probing = false;
    }
}

#[cfg(test)]
mod model;
#[cfg(test)]
mod tests;
