//! Who resolved a profile last: for people, who ask before they change or delete it.
//!
//! What is new is in memory until the upkeep writes it down, once a minute: a record for each resolve
//! would cost more than the resolve. A crash loses that minute; the audit log has it all.

use std::collections::{BTreeMap, HashMap};
use std::mem;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::SystemTime;

use claviger_access::Principal;
use claviger_core::{Result, Uid};
use claviger_store::{Batch, Expect, Stored};

use crate::engine::catalog::Catalog;
use crate::engine::catalog::commit::Update;
use crate::engine::forms::Seen;

/// Callers remembered of a profile.
const CALLERS_MAX: usize = 16;

/// Profiles of which something is new: more than are resolved in a minute.
const PROFILES_MAX: usize = 10_000;

/// When each caller resolved a profile last.
pub(crate) type Times = BTreeMap<Principal, SystemTime>;

/// The owner of the records.
#[derive(Debug)]
pub(crate) struct Consumers {
    catalog: Arc<Catalog>,
    /// What is not written down yet, by the uid of the profile.
    new: Mutex<HashMap<Uid, Times>>,
}

impl Consumers {
    pub(crate) fn new(catalog: Arc<Catalog>) -> Self {
        Self {
            catalog,
            new: Mutex::default(),
        }
    }

    /// A caller has resolved a profile.
    pub(crate) fn note(&self, profile: Uid, principal: &Principal, now: SystemTime) {
        let mut new = self.lock();
        if new.len() >= PROFILES_MAX && !new.contains_key(&profile) {
            return;
        }
        let times = new.entry(profile).or_default();
        match times.get_mut(principal) {
            Some(time) => *time = now,
            None => {
                times.insert(principal.clone(), now);
                cut(times);
            }
        }
    }

    /// Who resolved a profile last, and when; the latest first.
    ///
    /// # Errors
    /// `STORE_UNAVAILABLE`, `INTEGRITY_FAILURE`.
    pub(crate) async fn of(&self, profile: Uid) -> Result<Vec<(Principal, SystemTime)>> {
        let stored = self.catalog.get_own::<Seen>(&profile.to_string()).await?;
        let mut times = stored.map_or_else(Times::new, |stored| stored.record.0.clone());
        merge(&mut times, self.lock().get(&profile));
        let mut consumers: Vec<_> = times.into_iter().collect();
        consumers.sort_by_key(|(_, time)| std::cmp::Reverse(*time));
        Ok(consumers)
    }

    /// Writes down what is new.
    ///
    /// # Errors
    /// `STORE_UNAVAILABLE`, `INTEGRITY_FAILURE`; what was not written down is new again.
    pub(crate) async fn keep(&self) -> Result<()> {
        let mut new = mem::take(&mut *self.lock());
        let profiles: Vec<Uid> = new.keys().copied().collect();
        for profile in profiles {
            let times = new.get(&profile);
            let change = |stored: Option<&Stored<Seen>>| {
                let mut record = stored.map_or_else(Seen::default, |s| (*s.record).clone());
                merge(&mut record.0, times);
                Ok(Update::Put {
                    record,
                    also: Batch::new(),
                    answer: (),
                })
            };
            let kept = self.catalog.update_own(&profile.to_string(), change).await;
            if let Err(error) = kept {
                let mut newer = self.lock();
                for (profile, times) in &new {
                    merge(newer.entry(*profile).or_default(), Some(times));
                }
                return Err(error);
            }
            new.remove(&profile);
        }
        Ok(())
    }

    /// Adds to a commit after which a profile is gone that nothing is known of it any more.
    pub(crate) fn forget(&self, batch: Batch, profile: Uid) -> Batch {
        self.lock().remove(&profile);
        batch.delete::<Seen>(&profile.to_string(), Expect::Any)
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<Uid, Times>> {
        self.new.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn merge(times: &mut Times, newer: Option<&Times>) {
    for (principal, time) in newer.into_iter().flatten() {
        let known = times.entry(principal.clone()).or_insert(*time);
        *known = (*known).max(*time);
    }
    cut(times);
}

/// Forgets those who came longest ago.
fn cut(times: &mut Times) {
    while times.len() > CALLERS_MAX {
        let first = times.iter().min_by_key(|(_, time)| **time);
        let Some(first) = first.map(|(principal, _)| principal.clone()) else {
            return;
        };
        times.remove(&first);
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn at(seconds: u64) -> SystemTime {
        SystemTime::UNIX_EPOCH + Duration::from_secs(seconds)
    }

    #[test]
    fn the_latest_are_remembered_and_a_time_never_goes_back() {
        let mut times = Times::new();
        for uid in 0..20 {
            let newer = Times::from([(Principal::Unix(uid), at(u64::from(uid)))]);
            merge(&mut times, Some(&newer));
        }
        let known: Vec<_> = times.keys().cloned().collect();
        assert_eq!(known, (4..20).map(Principal::Unix).collect::<Vec<_>>());
        let older = Times::from([(Principal::Unix(19), at(1)), (Principal::Unix(4), at(30))]);
        merge(&mut times, Some(&older));
        assert_eq!(times[&Principal::Unix(19)], at(19));
        assert_eq!(times[&Principal::Unix(4)], at(30));
        merge(&mut times, None);
        assert_eq!(times.len(), CALLERS_MAX);
    }
}
