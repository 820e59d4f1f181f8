//! How long things took, counted where they happen.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// The upper bounds of the classes, in microseconds: from what memory answers to the longest time-out
/// that is usual.
const BOUNDS: [u64; 15] = [
    100, 250, 500, 1_000, 2_500, 5_000, 10_000, 25_000, 50_000, 100_000, 250_000, 500_000,
    1_000_000, 5_000_000, 30_000_000,
];

/// A histogram of durations: adding to it takes no lock and no memory.
#[derive(Debug, Default)]
pub struct Timings {
    classes: [AtomicU64; BOUNDS.len()],
    longer: AtomicU64,
    nanoseconds: AtomicU64,
}

/// What a histogram holds at a moment.
#[derive(Clone, Debug, PartialEq)]
pub struct TimingsSnapshot {
    /// Upper bounds, in ascending order, each with how many took no longer.
    pub classes: Vec<(Duration, u64)>,
    /// How many there are.
    pub count: u64,
    /// How long they took together.
    pub sum: Duration,
}

impl Timings {
    /// Counts one more.
    pub fn add(&self, took: Duration) {
        let microseconds = took.as_nanos().div_ceil(1000);
        let class = BOUNDS.iter().zip(&self.classes);
        let class = class.filter(|(bound, _)| microseconds <= u128::from(**bound));
        let class = class.map(|(_, class)| class).next();
        class
            .unwrap_or(&self.longer)
            .fetch_add(1, Ordering::Relaxed);
        let nanoseconds = u64::try_from(took.as_nanos()).unwrap_or(u64::MAX);
        self.nanoseconds.fetch_add(nanoseconds, Ordering::Relaxed);
    }

    /// What it holds now.
    pub fn snapshot(&self) -> TimingsSnapshot {
        let mut count = 0;
        let classes = BOUNDS.iter().zip(&self.classes).map(|(bound, class)| {
            count += class.load(Ordering::Relaxed);
            (Duration::from_micros(*bound), count)
        });
        let classes = classes.collect();
        TimingsSnapshot {
            classes,
            count: count + self.longer.load(Ordering::Relaxed),
            sum: Duration::from_nanos(self.nanoseconds.load(Ordering::Relaxed)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_duration_counts_in_its_class_and_all_longer_ones() {
        let timings = Timings::default();
        let took = [
            Duration::ZERO,
            Duration::from_micros(100),
            Duration::from_nanos(100_001),
            Duration::from_secs(30),
            Duration::from_secs(31),
        ];
        took.iter().for_each(|took| timings.add(*took));
        let snapshot = timings.snapshot();
        let up_to = |microseconds| {
            let bound = Duration::from_micros(microseconds);
            let class = snapshot.classes.iter().find(|(each, _)| *each == bound);
            class.map(|(_, count)| *count)
        };
        assert_eq!(up_to(100), Some(2));
        assert_eq!(up_to(250), Some(3));
        assert_eq!(up_to(5_000_000), Some(3));
        assert_eq!(up_to(30_000_000), Some(4));
        assert_eq!(snapshot.count, 5);
        assert_eq!(snapshot.sum, took.iter().sum());
    }
}
