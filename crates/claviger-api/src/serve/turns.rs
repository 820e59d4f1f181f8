//! How fast one side may make the other work.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

/// The longest wait for a turn. Turns beyond it are due then, too: what one side took without end is
/// not to keep others waiting.
const WAIT_MAX: Duration = Duration::from_secs(2);

/// So many turns a second, after a burst. Whoever takes more has to wait for theirs.
#[derive(Debug)]
pub(crate) struct Turns {
    interval: Duration,
    burst: Duration,
    start: Instant,
    /// When the next one would be due if all were taken evenly.
    even: Mutex<Instant>,
}

impl Turns {
    pub(crate) fn new(per_second: u32, burst: u32) -> Self {
        let interval = Duration::from_secs(1) / per_second;
        let start = Instant::now();
        Self {
            interval,
            burst: interval * burst,
            start,
            even: Mutex::new(start),
        }
    }

    /// Takes a turn, and says when it is due.
    pub(crate) fn take(&self) -> Instant {
        let mut even = self.even.lock().unwrap_or_else(PoisonError::into_inner);
        let now = Instant::now();
        let due = (*even).max(now).min(now + self.burst + WAIT_MAX);
        *even = due + self.interval;
        due.checked_sub(self.burst).map_or(now, |due| due.max(now))
    }

    /// When the turns that were taken so far are over, if that is not yet.
    pub(crate) fn over(&self) -> Option<Instant> {
        let even = *self.even.lock().unwrap_or_else(PoisonError::into_inner);
        let over = even.checked_sub(self.burst)?;
        // Where nobody has taken much yet, without a look at the clock.
        (over > self.start && over > Instant::now()).then_some(over)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_burst_goes_at_once_and_the_rest_evenly() {
        let turns = Turns::new(10, 5);
        let start = Instant::now();
        let due: Vec<u128> = (0..8).map(|_| (turns.take() - start).as_millis()).collect();
        assert_eq!(due, [0, 0, 0, 0, 0, 0, 100, 200]);
        assert_eq!(turns.over(), Some(start + Duration::from_millis(300)));
        let waits = (0..1000).map(|_| turns.take() - start);
        assert_eq!(waits.max(), Some(WAIT_MAX));
        tokio::time::advance(Duration::from_secs(10)).await;
        assert_eq!(turns.over(), None);
        assert_eq!(turns.take(), Instant::now());
    }
}
