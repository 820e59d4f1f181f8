//! How many calls a vault gets from this process at a time, and how many requests per second.
//!
//! A vault that hangs holds a bounded number of calls; one that is asked too often is not asked
//! more, because a provider that throttles us throttles everybody else who uses the account.

use std::cell::Cell;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use claviger_core::{Error, Reason, Result, Timings};
use tokio::sync::{Mutex as Line, Semaphore, SemaphorePermit};
use tokio::time::{Instant, sleep_until, timeout_at};

use crate::contract::Backend;
use crate::layered::{Layered, Verb};
use crate::layers::counted::Counts;
use crate::limits::Limits;

/// Calls that may wait for each place; more are refused at once.
const WAITING_PER_PLACE: usize = 16;

/// The part of a provider's published quota that one process takes where the configuration does
/// not say: a fifth.
const SHARE_OF_QUOTA: u32 = 5;

tokio::task_local! {
    /// The call that is under way.
    static TURN: Turn;
}

/// A call that has got its turn, which pays for one request.
struct Turn {
    budget: Option<Arc<Budget>>,
    requests: Cell<u32>,
}

/// Counts a request of the call that is under way: backends say so before they send one. The first
/// is what the call has waited for; the next calls wait for the others.
pub fn count_request() {
    let count = |turn: &Turn| {
        let before = turn.requests.replace(turn.requests.get().saturating_add(1));
        if let Some(budget) = turn.budget.as_ref().filter(|_| before > 0) {
            budget.charge();
        }
    };
    // Nobody counts what is sent outside of a call.
    TURN.try_with(count).ok();
}

/// How many requests a call makes.
#[cfg(feature = "testkit")]
pub async fn requests_of(call: impl Future) -> u32 {
    let turn = Turn {
        budget: None,
        requests: Cell::new(0),
    };
    let counted = async {
        call.await;
        TURN.with(|turn| turn.requests.get())
    };
    TURN.scope(turn, counted).await
}

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
    budget: Option<Arc<Budget>>,
    counts: Arc<Counts>,
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
        let waiting = Timed::start(&self.counts.waited);
        let place = self.enter(waiting.start + self.patience).await;
        drop(waiting);
        let _place = place?;
        let _asking = Timed::start(&self.counts.took);
        let turn = Turn {
            budget: self.budget.clone(),
            requests: Cell::new(0),
        };
        TURN.scope(turn, call).await
    }
}

impl Gate {
    pub(crate) fn new(inner: Arc<dyn Backend>, limits: &Limits, counts: Arc<Counts>) -> Self {
        let share = inner.calls_per_second().map(|calls| calls / SHARE_OF_QUOTA);
        Self {
            inner,
            patience: limits.timeout / 2,
            places: limits.concurrent_calls.map(Semaphore::new),
            waiting_max: limits
                .concurrent_calls
                .map_or(usize::MAX, |places| places * WAITING_PER_PLACE),
            waiting: AtomicUsize::new(0),
            budget: limits
                .calls_per_second
                .or(share)
                .map(|calls| Arc::new(Budget::new(calls))),
            counts,
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
        match &self.budget {
            Some(budget) if !budget.take(deadline).await => Err(overloaded()),
            Some(_) | None => Ok(place),
        }
    }
}

/// Adds how long something took, however it ended.
struct Timed<'a> {
    timings: &'a Timings,
    start: Instant,
}

impl<'a> Timed<'a> {
    fn start(timings: &'a Timings) -> Self {
        let start = Instant::now();
        Self { timings, start }
    }
}

impl Drop for Timed<'_> {
    fn drop(&mut self) {
        self.timings.add(self.start.elapsed());
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
///
/// Callers stand in line, and a turn is taken by who goes: one that gives up has taken none.
#[derive(Debug)]
struct Budget {
    interval: Duration,
    burst: Duration,
    /// When the next call would be due if calls came evenly.
    due: Mutex<Option<Instant>>,
    /// Held by the first in line; the others wait for it in the order they came.
    line: Line<()>,
    /// How many stand in line.
    standing: AtomicUsize,
}

impl Budget {
    fn new(calls_per_second: u32) -> Self {
        let interval = Duration::from_secs(1) / calls_per_second.max(1);
        Self {
            interval,
            burst: Duration::from_secs(1).saturating_sub(interval),
            due: Mutex::new(None),
            line: Line::new(()),
            standing: AtomicUsize::new(0),
        }
    }

    /// Waits for a turn and takes it; `false` at once if it would come after the deadline.
    async fn take(&self, deadline: Instant) -> bool {
        let before = self.standing.fetch_add(1, Ordering::Relaxed);
        let _standing = Waiting(&self.standing);
        let others = self
            .interval
            .saturating_mul(u32::try_from(before).unwrap_or(u32::MAX));
        if self.turn(self.even() + others) > deadline {
            return false;
        }
        let Ok(_first) = timeout_at(deadline, self.line.lock()).await else {
            return false;
        };
        let even = self.even();
        let turn = self.turn(even);
        if turn > deadline {
            return false;
        }
        sleep_until(turn).await;
        self.charge();
        true
    }

    /// Takes a turn without waiting for it: the next one waits longer.
    fn charge(&self) {
        let now = Instant::now();
        let mut due = self.due();
        *due = Some(due.unwrap_or(now).max(now) + self.interval);
    }

    /// When the next call is due if calls come evenly.
    fn even(&self) -> Instant {
        let now = Instant::now();
        self.due().unwrap_or(now).max(now)
    }

    /// The time at which a call may go that is due then.
    fn turn(&self, even: Instant) -> Instant {
        let now = Instant::now();
        even.checked_sub(self.burst)
            .map_or(now, |turn| turn.max(now))
    }

    fn due(&self) -> MutexGuard<'_, Option<Instant>> {
        self.due.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// With a delay that differs from caller to caller, so that they do not come back in one moment.
fn overloaded() -> Error {
    Error::new(Reason::Overloaded)
        .retry_after(Duration::from_secs(1).mul_f64(1.0 + fastrand::f64()))
}

#[cfg(test)]
mod tests {
    use tokio::task::JoinSet;

    use super::*;
    use crate::silent::Silent;

    /// How long it took until each of so many callers went that came at once.
    async fn turns(budget: &Arc<Budget>, callers: usize, deadline: Instant) -> Vec<Duration> {
        let start = Instant::now();
        let mut line = JoinSet::new();
        for _ in 0..callers {
            let budget = Arc::clone(budget);
            line.spawn(async move {
                let has_turn = budget.take(deadline).await;
                has_turn.then(|| start.elapsed())
            });
        }
        let mut turns: Vec<_> = line.join_all().await.into_iter().flatten().collect();
        turns.sort();
        turns
    }

    #[tokio::test(start_paused = true)]
    async fn a_second_has_as_many_calls_as_the_budget() {
        let budget = Arc::new(Budget::new(10));
        let far = Instant::now() + Duration::from_secs(60);
        let turns = turns(&budget, 30, far).await;
        let within = |seconds| {
            let until = Duration::from_secs(seconds);
            turns.iter().filter(|turn| **turn < until).count()
        };
        // A burst of one second's calls, then an even ten a second.
        assert_eq!((turns.len(), within(1), within(2)), (30, 19, 29));
        assert_eq!(turns.iter().filter(|turn| turn.is_zero()).count(), 10);
    }

    #[tokio::test(start_paused = true)]
    async fn each_request_of_a_call_counts() {
        let limits = Limits {
            calls_per_second: Some(10),
            ..Limits::timeout(Duration::from_secs(10))
        };
        let gate = Gate::new(Arc::new(Silent::default()), &limits, Arc::default());
        let start = Instant::now();
        let pages = async {
            (0..40).for_each(|_| count_request());
            Ok(())
        };
        gate.around(Verb::List, pages).await.expect("listed");
        assert_eq!(start.elapsed(), Duration::ZERO, "it had its turn");
        let far = start + Duration::from_secs(60);
        gate.enter(far).await.expect("its turn comes");
        // Of the 41, ten went at once.
        assert_eq!(start.elapsed(), Duration::from_millis(3100));
    }

    #[tokio::test(start_paused = true)]
    async fn callers_that_gave_up_cost_the_next_one_nothing() {
        let limits = Limits {
            calls_per_second: Some(300),
            ..Limits::timeout(Duration::from_secs(10))
        };
        let gate = Gate::new(Arc::new(Silent::default()), &limits, Arc::default());
        let start = Instant::now();
        let far = start + Duration::from_secs(5);
        for _ in 0..300 {
            gate.enter(far).await.expect("a second's burst");
        }
        let mut line: Vec<_> = (0..721).map(|_| Box::pin(gate.enter(far))).collect();
        for waiting in &mut line {
            assert!(futures_poll(waiting.as_mut()).is_pending());
        }
        // Those in front and in the middle, and one that stays keeps its place in line.
        let patient = line.swap_remove(360);
        drop(line);
        patient.await.expect("its turn comes");
        // Tokio's timers count in milliseconds.
        assert_eq!(start.elapsed(), Duration::from_millis(4), "the first turn");
        gate.enter(far).await.expect("free");
        assert_eq!(start.elapsed(), Duration::from_millis(7), "the second turn");
    }

    #[tokio::test(start_paused = true)]
    async fn a_queue_that_is_full_refuses_at_once_and_empties_with_its_callers() {
        let limits = Limits {
            concurrent_calls: Some(1),
            ..Limits::timeout(Duration::from_secs(1))
        };
        let gate = Gate::new(Arc::new(Silent::default()), &limits, Arc::default());
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
        let budget = Arc::new(Budget::new(10));
        let far = Instant::now() + Duration::from_secs(7200);
        assert!(budget.take(far).await);
        tokio::time::advance(Duration::from_secs(3600)).await;
        let turns = turns(&budget, 30, far).await;
        assert_eq!(turns.iter().filter(|turn| turn.is_zero()).count(), 10);
    }

    #[tokio::test(start_paused = true)]
    async fn a_turn_after_the_deadline_is_refused_at_once_and_costs_nothing() {
        let budget = Arc::new(Budget::new(1));
        let start = Instant::now();
        assert!(budget.take(start).await);
        for _ in 0..100 {
            assert!(!budget.take(start).await);
        }
        assert_eq!(start.elapsed(), Duration::ZERO);
        // Of those that would have to wait for each other, too.
        let next = start + Duration::from_secs(1);
        let turns = turns(&budget, 5, next).await;
        assert_eq!(turns, [Duration::from_secs(1)]);
    }
}
