use std::hash::{BuildHasher as _, RandomState};

use crate::tools;

/// A sequence of numbers that a seed repeats.
#[derive(Debug)]
pub struct Random {
    seed: u64,
    state: u64,
}

impl Random {
    /// With the seed from `CLAVIGER_TEST_SEED`, else a new one.
    pub fn new() -> Self {
        let seed = tools::seed().unwrap_or_else(|| RandomState::new().hash_one("seed"));
        Self { seed, state: seed }
    }

    /// What to print, so that a run can be repeated.
    pub fn seed(&self) -> u64 {
        self.seed
    }

    /// A number below `end`, by SplitMix64.
    pub fn below(&mut self, end: u64) -> u64 {
        self.state = self.state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.state;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (mixed ^ (mixed >> 31)) % end
    }
}

impl Default for Random {
    fn default() -> Self {
        Self::new()
    }
}
