//! How many refusals of unknown callers are written down.
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

    /// Counts one that gets no record in any case.
    pub(crate) fn count(&self) {
        let mut window = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        window.unnoted += 1;
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
}
