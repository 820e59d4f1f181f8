//! How many bytes each owner's entries take, and how many they may.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use claviger_core::Uid;

/// However many owners there are, each may have this part of what may be filled.
const OWNERS_MAX: u64 = 4;

/// Nobody gives back anything while less than this is filled, of eight parts.
const FILLED: u64 = 7;

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

    /// Adds to an owner's share; returns how much it has to give back, if there is little room left
    /// and that share is too large: an eighth more, so that it is not asked again at once. Also the
    /// only owner, so that what it needs least goes first.
    pub(crate) fn add(&self, owner: Option<Uid>, bytes: u32) -> Option<u64> {
        let mut owners = self.lock();
        let share = owners.entry(owner).or_default();
        *share += u64::from(bytes);
        let share = *share;
        let room = self.bytes / 8 * FILLED;
        let count = u64::try_from(owners.len()).unwrap_or(OWNERS_MAX);
        let fair = room / count.min(OWNERS_MAX);
        let is_filled = owners.values().sum::<u64>() > room;
        (is_filled && share > fair).then(|| share - fair / 8 * 7)
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
