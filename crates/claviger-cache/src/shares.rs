//! How many bytes each owner's entries take, and how many they may.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use claviger_core::Uid;

/// However many owners there are, each may have this part of all bytes.
const OWNERS_MAX: u64 = 4;

/// Bytes per owner.
#[derive(Debug)]
pub(crate) struct Shares {
    bytes: u64,
    owners: Mutex<HashMap<Option<Uid>, u64>>,
}

impl Shares {
    pub(crate) fn new(bytes: u64) -> Self {
        Self {
            bytes,
            owners: Mutex::default(),
        }
    }

    /// Adds to an owner's share; returns how much it has to give back, if that is too large by then:
    /// a quarter more than it has too much, so that it is not asked again at once.
    pub(crate) fn add(&self, owner: Option<Uid>, bytes: u32) -> Option<u64> {
        let mut owners = self.lock();
        let share = owners.entry(owner).or_default();
        *share += u64::from(bytes);
        let share = *share;
        let count = u64::try_from(owners.len()).unwrap_or(OWNERS_MAX);
        let fair = self.bytes / count.min(OWNERS_MAX);
        // One alone may have all of it.
        (count > 1 && share > fair).then(|| share - fair / 4 * 3)
    }

    /// Takes from an owner's share.
    pub(crate) fn remove(&self, owner: Option<Uid>, bytes: u32) {
        let mut owners = self.lock();
        if let Some(share) = owners.get_mut(&owner) {
            *share = share.saturating_sub(bytes.into());
            if *share == 0 {
                owners.remove(&owner);
            }
        }
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<Option<Uid>, u64>> {
        self.owners.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
