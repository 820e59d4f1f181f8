//! How old a value may be that a reader gets, and how old the one is that it got.

use std::ops::RangeInclusive;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use claviger_backend::Freshness;
use claviger_cache::Policy;
use claviger_core::{Error, Reason, Result};

/// No value is asked for more often, whatever a reader wants: what is younger is new.
pub(crate) const MAX_AGE_MIN: Duration = Duration::from_secs(1);

const MAX_AGE_MAX: Duration = Duration::from_secs(24 * 3600);
const MAX_STALE_MAX: Duration = Duration::from_secs(7 * 24 * 3600);

/// A version that a location pins does not change: only that it was disabled or destroyed has to be
/// noticed. Where the definition says how old it may be, that counts.
const PINNED_MAX_AGE_MIN: Duration = Duration::from_secs(3600);

/// How old the values of a definition may be; what it leaves out is as the vault's configuration
/// says.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct FreshnessPolicy {
    /// Served without asking the vault while they are younger.
    pub max_age: Option<Duration>,
    /// Served for so much longer, and marked, while the vault does not answer.
    pub max_stale: Option<Duration>,
}

impl FreshnessPolicy {
    /// # Errors
    /// `FIELD_INVALID` with the field and the bounds.
    pub(crate) fn validate(&self) -> Result<()> {
        let check = |age: Option<Duration>,
                     bounds: RangeInclusive<Duration>,
                     field,
                     remedy: &'static str| {
            let is_right = |age: Duration| bounds.contains(&age) && age.subsec_nanos() == 0;
            match age.is_none_or(is_right) {
                true => Ok(()),
                false => Err(Error::new(Reason::FieldInvalid).violation(field, remedy)),
            }
        };
        check(
            self.max_age,
            MAX_AGE_MIN..=MAX_AGE_MAX,
            "definition.freshness.max_age",
            "is not 1s to 86400s in whole seconds; write that, or leave it out",
        )?;
        check(
            self.max_stale,
            Duration::ZERO..=MAX_STALE_MAX,
            "definition.freshness.max_stale",
            "is not 0s to 604800s in whole seconds; write that, or leave it out",
        )
    }

    /// What holds for a reader that wants it no older than `wanted`. `None` if nothing of this
    /// vault is remembered.
    pub(crate) fn policy(
        &self,
        vault: Freshness,
        is_pinned: bool,
        wanted: Option<Duration>,
    ) -> Option<Policy> {
        let max_age = self.max_age.unwrap_or(vault.max_age);
        if max_age.is_zero() {
            return None;
        }
        let max_age = match is_pinned && self.max_age.is_none() {
            true => max_age.max(PINNED_MAX_AGE_MIN),
            false => max_age,
        };
        let max_stale = self.max_stale.unwrap_or(vault.max_stale);
        let wanted = wanted.map_or(max_age, |wanted| wanted.max(MAX_AGE_MIN));
        Some(Policy {
            fresh: max_age.min(wanted),
            usable: max_age.saturating_add(max_stale),
            renewal: Some(max_age),
        })
    }
}

/// How old a value is that was served.
#[derive(Clone, Debug)]
pub struct Age {
    /// Whether it was remembered, and the vault was not asked for this read.
    pub is_remembered: bool,
    /// When the vault was asked for it.
    pub fetch_time: SystemTime,
    /// Time since then.
    pub age: Duration,
    /// Why it is older than it should be.
    pub stale: Option<Arc<Error>>,
}

impl Age {
    /// That of a value that comes from the vault just now.
    pub(crate) fn fetched(fetch_time: SystemTime) -> Self {
        Self {
            is_remembered: false,
            fetch_time,
            age: Duration::ZERO,
            stale: None,
        }
    }
}
