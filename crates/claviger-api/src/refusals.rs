//! How many refusals of unknown callers are written down, and how many calls that are no decision.
//!
//! Anyone who can connect causes them without end: each with a record would let a stranger fill the
//! disk, and with it stop the daemon. The first of each second are recorded one by one; the others
//! are counted, and the next record says how many there were.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

/// Refusals recorded one by one in a window.
const RECORDED_MAX: u64 = 10;

const WINDOW: Duration = Duration::from_secs(1);

/// Decides which refusals get a record.
#[derive(Debug)]
pub(crate) struct Refusals(Mutex<Window>);

#[derive(Debug)]
struct Window {
    start: Instant,
    recorded: u64,
    unnoted: u64,
}

impl Refusals {
    pub(crate) fn new() -> Self {
        Self(Mutex::new(Window {
            start: Instant::now(),
            recorded: 0,
            unnoted: 0,
        }))
    }

    /// A login that begins: one that is cut before it is known whose it is counts as refused.
    pub(crate) fn login(&self) -> Login<'_> {
        Login {
            refusals: self,
            is_over: false,
        }
    }

    /// Whether this refusal gets a record, and how many before it got none.
    pub(crate) fn admit(&self) -> Option<u64> {
        let mut window = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if Instant::now().duration_since(window.start) >= WINDOW {
            window.start = Instant::now();
            window.recorded = 0;
        }
        if window.recorded >= RECORDED_MAX {
            window.unnoted += 1;
            return None;
        }
        window.recorded += 1;
        Some(std::mem::take(&mut window.unnoted))
    }
}

/// A login under way.
#[derive(Debug)]
pub(crate) struct Login<'a> {
    refusals: &'a Refusals,
    is_over: bool,
}

impl Login<'_> {
    /// It came to an end that is noted elsewhere.
    pub(crate) fn end(mut self) {
        self.is_over = true;
    }
}

impl Drop for Login<'_> {
    fn drop(&mut self) {
        if !self.is_over {
            let window = self.refusals.0.lock();
            window.unwrap_or_else(PoisonError::into_inner).unnoted += 1;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn the_first_of_a_second_are_recorded_and_the_others_counted() {
        let refusals = Refusals::new();
        for _ in 0..RECORDED_MAX {
            assert_eq!(refusals.admit(), Some(0));
        }
        for _ in 0..7 {
            assert_eq!(refusals.admit(), None);
        }
        tokio::time::advance(WINDOW).await;
        assert_eq!(refusals.admit(), Some(7));
        assert_eq!(refusals.admit(), Some(0));
    }

    #[tokio::test(start_paused = true)]
    async fn a_login_that_is_cut_is_counted() {
        let refusals = Refusals::new();
        let login = |is_answered: bool| {
            let refusals = &refusals;
            async move {
                let login = refusals.login();
                if !is_answered {
                    std::future::pending::<()>().await;
                }
                login.end();
            }
        };
        for is_answered in [true, false, false] {
            let ended = tokio::time::timeout(Duration::ZERO, login(is_answered)).await;
            assert_eq!(ended.is_ok(), is_answered);
        }
        assert_eq!(refusals.admit(), Some(2));
    }
}
