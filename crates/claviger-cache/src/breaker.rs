//! Leaves a vault alone that fails for everybody.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use claviger_core::Error;

use crate::slot::{BACK_OFF_FIRST, Failure, Meaning, Moment, rest};

/// When so many documents have failed in a row, it is the vault and none of them.
const FAILED: usize = 5;

/// As [`FAILED`], of a vault that takes no call of ours.
const REFUSED: usize = 2;

/// What a call to the vault ended with, as far as the vault is concerned.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Ending {
    /// It answered, be it with a refusal.
    Answered,
    /// It did not, or not for this reason alone.
    Failed,
    /// It takes no call of ours.
    Refused,
    /// It was not asked.
    Unasked,
}

/// Whether a vault is asked. When several documents have failed in a row, calls are refused for as
/// long as one document would wait; then one call at a time is let through until one is answered.
#[derive(Debug, Default)]
pub struct Breaker(Mutex<Inner>);

#[derive(Debug, Default)]
struct Inner {
    /// The documents that failed since the last answer, as many as count.
    failed: Vec<String>,
    /// Steps of waiting in a row.
    steps: u32,
    open: Option<Open>,
}

#[derive(Debug)]
struct Open {
    error: Arc<Error>,
    until: Moment,
    is_probed: bool,
}

/// A call that was let through, until it has ended.
#[derive(Debug)]
pub struct Pass<'a> {
    breaker: &'a Breaker,
    document: &'a str,
    is_probe: bool,
}

impl Breaker {
    /// Whether calls are being refused.
    pub fn is_open(&self) -> bool {
        self.lock().open.is_some()
    }

    /// Lets a call for a document through, at this time since whenever.
    ///
    /// # Errors
    /// What the vault failed with, if it is to be left alone.
    pub fn enter<'a>(&'a self, now: Duration, document: &'a str) -> Result<Pass<'a>, Failure> {
        let mut inner = self.lock();
        let has_failed = inner.failed.iter().any(|failed| failed == document);
        let is_probe = inner.open.is_some();
        if let Some(open) = &mut inner.open {
            // Others first: one that fails by itself must not keep the vault from being tried.
            let turn = match has_failed {
                true => open.until + BACK_OFF_FIRST,
                false => open.until,
            };
            if open.is_probed || now < turn {
                let wait = turn.saturating_sub(now).max(BACK_OFF_FIRST);
                return Err(Failure {
                    error: Arc::new(open.error.again().retry_after(wait)),
                    meaning: Meaning::Barred,
                });
            }
            open.is_probed = true;
        }
        Ok(Pass {
            breaker: self,
            document,
            is_probe,
        })
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Pass<'_> {
    /// Tells how the call ended, with the error if there is one.
    pub fn end(self, now: Duration, ending: Ending, error: Option<&Arc<Error>>) {
        let mut inner = self.breaker.lock();
        let bound = match (ending, error) {
            (Ending::Answered, _) | (_, None) => {
                *inner = Inner::default();
                return;
            }
            (Ending::Unasked, Some(_)) => return,
            (Ending::Failed, Some(_)) => FAILED,
            (Ending::Refused, Some(_)) => REFUSED,
        };
        let is_new = inner.failed.iter().all(|failed| failed != self.document);
        if is_new && inner.failed.len() < FAILED {
            inner.failed.push(self.document.to_owned());
        }
        // Calls that were let through before it opened do not make it longer.
        let is_due = self.is_probe || inner.open.is_none();
        if let Some(error) = error.filter(|_| is_due && inner.failed.len() >= bound) {
            let until = now + rest(inner.steps, error.retry_delay());
            inner.steps = inner.steps.saturating_add(1);
            inner.open = Some(Open {
                error: Arc::clone(error),
                until,
                is_probed: false,
            });
        }
    }
}

impl Drop for Pass<'_> {
    /// A probe that brought nothing makes way for the next one.
    fn drop(&mut self) {
        let mut inner = self.breaker.lock();
        if let Some(open) = inner.open.as_mut().filter(|_| self.is_probe) {
            open.is_probed = false;
        }
    }
}

#[cfg(test)]
mod tests {
    use claviger_core::Reason;

    use super::*;

    fn end(breaker: &Breaker, now: Duration, document: &str, ending: Ending) -> bool {
        let error = Arc::new(Error::new(Reason::VaultUnreachable));
        match breaker.enter(now, document) {
            Ok(pass) => pass.end(now, ending, Some(&error)),
            Err(_) => return false,
        }
        true
    }

    fn fail(breaker: &Breaker, now: Duration, documents: &str) {
        for document in documents.split(' ') {
            assert!(end(breaker, now, document, Ending::Failed), "{document}");
        }
    }

    #[test]
    fn it_opens_after_failures_in_a_row_for_a_step_and_lets_one_call_through_then() {
        let breaker = Breaker::default();
        let mut now = Duration::from_secs(7);
        fail(&breaker, now, "a b c d");
        assert!(end(&breaker, now, "a", Ending::Answered), "not in a row");
        fail(&breaker, now, "a b c d e");
        for step in [1, 2, 4, 4] {
            let step = Duration::from_secs(step);
            let refused = breaker.enter(now, "f").expect_err("open");
            assert_eq!(refused.error.retry_delay(), Some(step));
            now += step;
            assert!(breaker.enter(now, "a").is_err(), "others first");
            let probe = breaker.enter(now, "f").expect("one probe");
            assert!(breaker.enter(now, "g").is_err(), "one at a time");
            let error = Arc::new(Error::new(Reason::VaultUnreachable));
            probe.end(now, Ending::Failed, Some(&error));
        }
        now += Duration::from_secs(4);
        assert!(end(&breaker, now, "f", Ending::Answered));
        assert!(!breaker.is_open());
        fail(&breaker, now, "a b");
    }

    #[test]
    fn one_document_that_fails_is_not_the_vault() {
        let breaker = Breaker::default();
        let now = Duration::from_secs(7);
        fail(&breaker, now, "a a a a a a a a a a b");
        assert!(end(&breaker, now, "c", Ending::Refused));
        assert!(breaker.is_open());
        let later = now + Duration::from_secs(2);
        let pass = breaker.enter(later, "a").expect("when nobody else comes");
        drop(pass);
    }

    #[test]
    fn it_opens_soon_where_no_call_of_ours_is_taken() {
        let breaker = Breaker::default();
        for document in ["a", "b"] {
            assert!(end(&breaker, Duration::ZERO, document, Ending::Refused));
        }
        assert!(!end(&breaker, Duration::ZERO, "c", Ending::Answered));
    }

    #[test]
    fn a_vault_that_says_how_long_is_left_alone_so_long() {
        let breaker = Breaker::default();
        let asked = Duration::from_secs(30);
        let error = Arc::new(Error::new(Reason::VaultUnreachable).retry_after(asked));
        for document in ["a", "b", "c", "d", "e"] {
            let pass = breaker.enter(Duration::ZERO, document).expect("closed");
            pass.end(Duration::ZERO, Ending::Failed, Some(&error));
        }
        let almost = asked - Duration::from_secs(1);
        assert!(!end(&breaker, almost, "f", Ending::Answered));
        assert!(end(&breaker, asked, "f", Ending::Answered));
    }

    #[test]
    fn a_probe_that_never_ended_makes_way_for_the_next_one() {
        let breaker = Breaker::default();
        for document in ["a", "b"] {
            assert!(end(&breaker, Duration::ZERO, document, Ending::Refused));
        }
        let later = Duration::from_secs(1);
        drop(breaker.enter(later, "c").expect("a probe"));
        assert!(end(&breaker, later, "c", Ending::Unasked));
        assert!(end(&breaker, later, "c", Ending::Answered));
    }
}
