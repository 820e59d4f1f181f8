//! Bounds of the calls to one vault.

use std::time::Duration;

/// Calls at a time where the configuration does not say.
pub const CONCURRENT_CALLS_DEFAULT: usize = 64;

/// Bounds of the calls to one vault.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Limits {
    /// How long a call may take, waiting included, which gets half of it at most.
    pub timeout: Duration,
    /// Calls at a time; `None` for a vault that is not another system.
    pub concurrent_calls: Option<usize>,
    /// Calls per second; `None` takes a share of what the backend's provider allows.
    pub calls_per_second: Option<u32>,
}

impl Limits {
    /// Nothing but a deadline.
    pub fn timeout(timeout: Duration) -> Self {
        Self {
            timeout,
            concurrent_calls: None,
            calls_per_second: None,
        }
    }
}
