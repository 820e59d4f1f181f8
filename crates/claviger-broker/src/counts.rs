//! What is counted, for whoever shows it to operators.

use claviger_backend::Counts;
use claviger_cache::{Sizes, Stats};
use claviger_core::Id;

use crate::broker::Broker;
use crate::engine::installs::InstallCounts;

/// What is counted of a vault that is another system.
#[derive(Debug)]
pub struct VaultCounts<'a> {
    /// Its id.
    pub id: &'a Id,
    /// Its calls.
    pub counts: &'a Counts,
    /// Whether it is left alone just now, because it fails for everybody.
    pub is_left_alone: bool,
}

impl Broker {
    /// How readers of other systems' values were answered.
    pub fn cache_stats(&self) -> &Stats {
        self.reads.stats()
    }

    /// The installs, and the exchanges of their tokens.
    pub fn install_counts(&self) -> InstallCounts {
        self.installs.counts()
    }

    /// How much is remembered of other systems' values.
    pub fn cache_sizes(&self) -> Sizes {
        self.reads.sizes()
    }

    /// Each vault that is another system.
    pub fn vault_counts(&self) -> impl Iterator<Item = VaultCounts<'_>> {
        let remote = self.vaults.iter().filter(|vault| vault.is_remote());
        remote.map(|vault| VaultCounts {
            id: vault.id(),
            counts: vault.counts(),
            is_left_alone: self.reads.is_left_alone(vault.id()),
        })
    }

    /// How often a value was asked for by callers that may ask, by the reason why they did not get
    /// it or `OK`, and by project where projects are told apart.
    pub fn reads(&self) -> Vec<(Option<Id>, &'static str, u64)> {
        self.reads.tally().counted()
    }
}
