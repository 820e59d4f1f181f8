//! Time as a parameter, so that tests own it.

use std::fmt;
use std::ops::RangeInclusive;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, LazyLock};
use std::time::{Duration, Instant, SystemTime};

/// The last nanosecond of the year 9999, after which neither RFC 3339 nor a timestamp on the wire has
/// a way to write a time.
const LAST: Duration = Duration::new(253_402_300_799, 999_999_999);

/// The times that records, the wire and the audit log can all hold: the years 1970 to 9999.
pub fn time_range() -> RangeInclusive<SystemTime> {
    SystemTime::UNIX_EPOCH..=SystemTime::UNIX_EPOCH + LAST
}

/// The nearest time that can be written everywhere: for times that others tell, and for a clock that
/// is far out.
pub fn clamp_time(time: SystemTime) -> SystemTime {
    let (first, last) = time_range().into_inner();
    time.clamp(first, last)
}

/// The time, and the time that passes.
pub trait Clock: fmt::Debug + Send + Sync + 'static {
    /// The current time, which people set.
    fn now(&self) -> SystemTime;

    /// Time since a moment that stays the same as long as the process runs, for ages: whatever
    /// people set the time to, it goes on evenly.
    fn uptime(&self) -> Duration;
}

/// The operating system's clock.
#[derive(Clone, Copy, Debug, Default)]
pub struct SystemClock;

impl Clock for SystemClock {
    #[expect(
        clippy::disallowed_methods,
        reason = "the one place that reads the real clock"
    )]
    fn now(&self) -> SystemTime {
        SystemTime::now()
    }

    #[expect(
        clippy::disallowed_methods,
        reason = "the one place that reads the real clock"
    )]
    fn uptime(&self) -> Duration {
        static FIRST: LazyLock<Instant> = LazyLock::new(Instant::now);
        FIRST.elapsed()
    }
}

/// A clock that stands still where another one is set back: what has ended does not begin again.
#[derive(Debug)]
pub struct SteadyClock {
    clock: Arc<dyn Clock>,
    /// The latest time that was shown, in nanoseconds since 1970.
    latest: AtomicU64,
}

impl SteadyClock {
    /// Shows the time of `clock`.
    pub fn new(clock: Arc<dyn Clock>) -> Self {
        Self {
            clock,
            latest: AtomicU64::new(0),
        }
    }

    /// Shows no time before this one from now on.
    pub fn not_before(&self, time: SystemTime) {
        self.latest.fetch_max(nanoseconds(time), Ordering::SeqCst);
    }
}

impl Clock for SteadyClock {
    fn now(&self) -> SystemTime {
        let now = self.clock.now();
        let nanos = nanoseconds(now);
        let latest = self.latest.fetch_max(nanos, Ordering::SeqCst);
        match latest > nanos {
            true => SystemTime::UNIX_EPOCH + Duration::from_nanos(latest),
            false => now,
        }
    }

    fn uptime(&self) -> Duration {
        self.clock.uptime()
    }
}

/// Nanoseconds since 1970; up to the year 2554, after which a clock is out in any case.
pub fn nanoseconds(time: SystemTime) -> u64 {
    let since = time.duration_since(SystemTime::UNIX_EPOCH);
    u64::try_from(since.unwrap_or_default().as_nanos()).unwrap_or(u64::MAX)
}

/// A clock that stands still until a test moves it.
#[derive(Debug)]
pub struct ManualClock {
    offset_seconds: AtomicU64,
    up_seconds: AtomicU64,
}

impl ManualClock {
    /// A clock that shows `start`, counted from the Unix epoch.
    pub fn at(start: Duration) -> Self {
        Self {
            offset_seconds: AtomicU64::new(start.as_secs()),
            up_seconds: AtomicU64::new(0),
        }
    }

    /// Lets time pass; fractions of a second are dropped.
    pub fn advance(&self, by: Duration) {
        self.up_seconds.fetch_add(by.as_secs(), Ordering::SeqCst);
        self.set_forward(by);
    }

    /// Sets the clock forward, as an administrator may.
    pub fn set_forward(&self, by: Duration) {
        self.offset_seconds
            .fetch_add(by.as_secs(), Ordering::SeqCst);
    }

    /// Sets the clock back.
    pub fn set_back(&self, by: Duration) {
        self.offset_seconds
            .fetch_sub(by.as_secs(), Ordering::SeqCst);
    }
}

impl Clock for ManualClock {
    fn now(&self) -> SystemTime {
        SystemTime::UNIX_EPOCH + Duration::from_secs(self.offset_seconds.load(Ordering::SeqCst))
    }

    fn uptime(&self) -> Duration {
        Duration::from_secs(self.up_seconds.load(Ordering::SeqCst))
    }
}
