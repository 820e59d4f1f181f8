//! How long a step measures, how it ends, and the runtime of those that talk gRPC.

use std::time::Duration;

/// One text for the developer.
pub(crate) type Error = Box<dyn std::error::Error + Send + Sync>;

/// The outcome of a step.
pub(crate) type Result<T = ()> = std::result::Result<T, Error>;

/// How long to measure.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Plan {
    /// Times each thing is measured; medians are printed.
    pub(crate) rounds: usize,
    /// Load before each measurement that is not counted.
    pub(crate) warm_up: Duration,
    /// Load that is counted.
    pub(crate) run: Duration,
    /// Processes started.
    pub(crate) starts: usize,
    /// Jobs that start at once.
    pub(crate) jobs: usize,
    /// How long a vault fails.
    pub(crate) outage: Duration,
}

pub(crate) const FULL: Plan = Plan {
    rounds: 5,
    warm_up: Duration::from_secs(1),
    run: Duration::from_secs(3),
    starts: 10,
    jobs: 10_000,
    outage: Duration::from_secs(60),
};

/// To see that everything works; the figures mean little.
pub(crate) const QUICK: Plan = Plan {
    rounds: 3,
    warm_up: Duration::from_millis(200),
    run: Duration::from_millis(600),
    starts: 3,
    jobs: 500,
    outage: Duration::from_secs(3),
};

/// The runtime of every part that talks gRPC: one thread, like one serving thread of the daemon.
///
/// Connections are answered for only while it runs. It is dropped before a server is stopped, or
/// that server would wait for a client that no longer listens.
pub(crate) fn runtime() -> Result<tokio::runtime::Runtime> {
    let mut builder = tokio::runtime::Builder::new_current_thread();
    Ok(builder.enable_all().build()?)
}
