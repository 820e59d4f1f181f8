//! What a cache counts of itself.

use std::sync::atomic::{AtomicU64, Ordering};

use crate::slot::{Answer, Known};

/// How readers were answered and how entries went, since the start.
#[derive(Debug, Default)]
pub struct Stats {
    hits: AtomicU64,
    misses: AtomicU64,
    coalesced: AtomicU64,
    stale: AtomicU64,
    negative: AtomicU64,
    fallen_back: AtomicU64,
    flights: AtomicU64,
    evicted: AtomicU64,
    evicted_for_share: AtomicU64,
}

impl Stats {
    /// Each reader by what it met: a fresh value, nothing (it had the vault asked), a flight that was
    /// under way already, a value that is served although the vault fails, a failure that still
    /// counts.
    pub fn reads(&self) -> [(&'static str, u64); 5] {
        [
            ("hit", &self.hits),
            ("miss", &self.misses),
            ("coalesced", &self.coalesced),
            ("stale", &self.stale),
            ("negative", &self.negative),
        ]
        .map(|(met, count)| (met, count.load(Ordering::Relaxed)))
    }

    /// Readers that were served an old value because the vault fails: those that met one, and those
    /// whose flight failed.
    pub fn served_stale(&self) -> u64 {
        self.stale.load(Ordering::Relaxed) + self.fallen_back.load(Ordering::Relaxed)
    }

    /// Flights that began, with those that refresh ahead.
    pub fn flights(&self) -> u64 {
        self.flights.load(Ordering::Relaxed)
    }

    /// Entries that made way for others: all of them together, or those of the same owner.
    pub fn evicted(&self) -> [(&'static str, u64); 2] {
        [("size", &self.evicted), ("share", &self.evicted_for_share)]
            .map(|(why, count)| (why, count.load(Ordering::Relaxed)))
    }

    /// Counts what a reader met, for whom a flight was launched or not.
    pub(crate) fn meet<V, F>(&self, answer: &Answer<V, F>, is_launched: bool) {
        let count = match (answer, is_launched) {
            (Answer::Flight(_), true) => &self.misses,
            (Answer::Flight(_), false) => &self.coalesced,
            (Answer::Known(Known::Held(_, None)), _) => &self.hits,
            (Answer::Known(Known::Held(_, Some(_))), _) => &self.stale,
            (Answer::Known(Known::Refused(..)), _) => &self.negative,
            (Answer::Crowded, _) => return,
        };
        count.fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn hit(&self) {
        self.hits.fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn fall_back(&self) {
        self.fallen_back.fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn launch(&self) {
        self.flights.fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn evict(&self) {
        self.evicted.fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn evict_for_share(&self) {
        self.evicted_for_share.fetch_add(1, Ordering::Relaxed);
    }
}
