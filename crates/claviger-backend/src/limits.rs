//! Bounds of the calls to one vault.

use std::time::Duration;

/// Calls at a time where the configuration does not say.
pub const CONCURRENT_CALLS_DEFAULT: usize = 64;

/// How old values of a vault may be where a definition does not say.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Freshness {
    /// Served without asking the vault while they are younger; nothing asks it at each read.
    pub max_age: Duration,
    /// Served for so much longer while the vault does not answer.
    pub max_stale: Duration,
}

impl Freshness {
    /// What holds where the configuration does not say.
    pub const DEFAULT: Self = Self {
        max_age: Duration::from_secs(300),
        max_stale: Duration::from_secs(3600),
    };

    /// Nothing is remembered.
    pub const NONE: Self = Self {
        max_age: Duration::ZERO,
        max_stale: Duration::ZERO,
    };
}

/// Bounds of the calls to one vault.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Limits {
    /// How long a call may take, waiting included, which gets half of it at most.
    pub timeout: Duration,
    /// Calls at a time; `None` for a vault that is not another system.
    pub concurrent_calls: Option<usize>,
    /// Calls per second; `None` takes a share of what the backend's provider allows.
    pub calls_per_second: Option<u32>,
    /// How old its values may be.
    pub freshness: Freshness,
}

impl Limits {
    /// Nothing but a deadline, and nothing remembered.
    pub fn timeout(timeout: Duration) -> Self {
        Self {
            timeout,
            concurrent_calls: None,
            calls_per_second: None,
            freshness: Freshness::NONE,
        }
    }
}
