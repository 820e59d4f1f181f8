//! How many calls a vault gets from this process, at a time and per second.
//!
//! A vault that hangs holds a bounded number of calls; one that is asked too often is not asked
//! more, because a provider that throttles us throttles everybody else who uses the account.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use claviger_core::{Error, Reason, Result};
use tokio::sync::{Semaphore, SemaphorePermit};
use tokio::time::{Instant, sleep_until, timeout_at};

use crate::contract::Backend;
use crate::layered::{Layered, Verb};
use crate::limits::Limits;

/// Calls that may wait for each place; more are refused at once.
const WAITING_PER_PLACE: usize = 16;

/// The part of a provider's published quota that one process takes where the configuration does
/// not say: a fifth.
const SHARE_OF_QUOTA: u32 = 5;

/// Lets calls to one vault pass as its limits allow.
#[derive(Debug)]
pub(crate) struct Gate {
    inner: Arc<dyn Backend>,
    /// How long a call may wait: half of what it may take, so that a vault is not called
    /// unreachable because its queue was long.
    patience: Duration,
    places: Option<Semaphore>,
    waiting_max: usize,
    /// Calls that have not got their turn yet.
    waiting: AtomicUsize,
    budget: Option<Budget>,
}

impl Layered for Gate {
    fn inner(&self) -> &dyn Backend {
        &*self.inner
    }

    async fn around<T: Send>(
        &self,
        _: Verb,
        call: impl Future<Output = Result<T>> + Send,
    ) -> Result<T> {
        let _place = self.enter(Instant::now() + self.patience).await?;
        call.await
    }
}

impl Gate {
    pub(crate) fn new(inner: Arc<dyn Backend>, limits: &Limits) -> Self {
        let share = inner.calls_per_second().map(|calls| calls / SHARE_OF_QUOTA);
        Self {
            inner,
            patience: limits.timeout / 2,
            places: limits.concurrent_calls.map(Semaphore::new),
            waiting_max: limits
                .concurrent_calls
                .map_or(usize::MAX, |places| places * WAITING_PER_PLACE),
            waiting: AtomicUsize::new(0),
            budget: limits.calls_per_second.or(share).map(Budget::new),
        }
    }

    /// Whether it lets everything pass.
    pub(crate) fn is_open(&self) -> bool {
        self.places.is_none() && self.budget.is_none()
    }

    /// Waits for its turn; the place that it returns is held as long as the call takes.
    ///
    /// # Errors
    /// `OVERLOADED` if the turn does not come before the deadline, or too many wait already; the
    /// vault was not asked.
    async fn enter(&self, deadline: Instant) -> Result<Option<SemaphorePermit<'_>>> {
        let before = self.waiting.fetch_add(1, Ordering::Relaxed);
        let _waiting = Waiting(&self.waiting);
        if before >= self.waiting_max {
            return Err(overloaded());
        }
        let place = match &self.places {
            None => None,
            // Never closed.
            Some(places) => match timeout_at(deadline, places.acquire()).await {
                Ok(place) => place.ok(),
                Err(_) => return Err(overloaded()),
            },
        };
        if let Some(budget) = &self.budget {
            match budget.reserve(Instant::now(), deadline) {
                Some(turn) => sleep_until(turn).await,
                None => return Err(overloaded()),
            }
        }
        Ok(place)
    }
}

/// One call that waits, until this is dropped.
struct Waiting<'a>(&'a AtomicUsize);

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

/// So many calls per second, as many of them at once as one second has.
#[derive(Debug)]
struct Budget {
    interval: Duration,
    burst: Duration,
    /// When the next call would be due if calls came evenly.
    due: Mutex<Option<Instant>>,
}

impl Budget {
    fn new(calls_per_second: u32) -> Self {
        let interval = Duration::from_secs(1) / calls_per_second.max(1);
        Self {
            interval,
            burst: Duration::from_secs(1).saturating_sub(interval),
            due: Mutex::new(None),
        }
    }

    /// The time at which a call may go, unless that is after the deadline.
    fn reserve(&self, now: Instant, deadline: Instant) -> Option<Instant> {
        let mut due = self.due.lock().unwrap_or_else(PoisonError::into_inner);
        let even = due.unwrap_or(now).max(now);
        let turn = even
            .checked_sub(self.burst)
            .map_or(now, |turn| turn.max(now));
        if turn > deadline {
            return None;
        }
        *due = Some(even + self.interval);
        Some(turn)
    }
}

/// With a delay that differs from caller to caller, so that they do not come back in one moment.
fn overloaded() -> Error {
    Error::new(Reason::Overloaded)
        .retry_after(Duration::from_secs(1).mul_f64(1.0 + fastrand::f64()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::silent::Silent;

    #[tokio::test(start_paused = true)]
    async fn a_second_has_as_many_calls_as_the_budget() {
        let budget = Budget::new(10);
        let now = Instant::now();
        let far = now + Duration::from_secs(60);
        let turns: Vec<_> = (0..30).filter_map(|_| budget.reserve(now, far)).collect();
        let within = |seconds| {
            let until = now + Duration::from_secs(seconds);
            turns.iter().filter(|turn| **turn < until).count()
        };
        // A burst of one second's calls, then an even ten a second.
        assert_eq!((turns.len(), within(1), within(2)), (30, 19, 29));
        assert_eq!(turns.iter().filter(|turn| **turn == now).count(), 10);
    }

    #[tokio::test(start_paused = true)]
    async fn a_queue_that_is_full_refuses_at_once_and_empties_with_its_callers() {
        let limits = Limits {
            concurrent_calls: Some(1),
            ..Limits::timeout(Duration::from_secs(1))
        };
        let gate = Gate::new(Arc::new(Silent::default()), &limits);
        let start = Instant::now();
        let far = start + Duration::from_secs(3600);
        let place = gate.enter(far).await.expect("free");
        for _ in 0..2 {
            let mut queue: Vec<_> = (0..WAITING_PER_PLACE)
                .map(|_| Box::pin(gate.enter(far)))
                .collect();
            for waiting in &mut queue {
                assert!(futures_poll(waiting.as_mut()).is_pending());
            }
            let refused = gate.enter(far).await.expect_err("full");
            assert_eq!(refused.reason(), Reason::Overloaded);
        }
        assert_eq!(start.elapsed(), Duration::ZERO);
        drop(place);
        gate.enter(far).await.expect("everybody left");
    }

    fn futures_poll<F: Future>(future: std::pin::Pin<&mut F>) -> std::task::Poll<F::Output> {
        future.poll(&mut std::task::Context::from_waker(std::task::Waker::noop()))
    }

    #[tokio::test(start_paused = true)]
    async fn an_idle_budget_does_not_grow() {
        let budget = Budget::new(10);
        let later = Instant::now() + Duration::from_secs(3600);
        let far = later + Duration::from_secs(60);
        budget.reserve(Instant::now(), far);
        let at_once = (0..30).filter(|_| budget.reserve(later, far) == Some(later));
        assert_eq!(at_once.count(), 10);
    }

    #[tokio::test(start_paused = true)]
    async fn a_turn_after_the_deadline_is_refused_and_costs_nothing() {
        let budget = Budget::new(1);
        let now = Instant::now();
        assert_eq!(budget.reserve(now, now), Some(now));
        for _ in 0..100 {
            assert_eq!(budget.reserve(now, now), None);
        }
        let next = now + Duration::from_secs(1);
        assert_eq!(budget.reserve(next, next), Some(next));
    }
}
