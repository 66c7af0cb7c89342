//! How long something took, counted in buckets: cheap to add to from any thread.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// Upper ends of the buckets, in microseconds; one more bucket has no end.
pub const BOUNDS_US: [u64; 15] = [
    100, 250, 500, 1_000, 2_500, 5_000, 10_000, 25_000, 50_000, 100_000, 250_000, 500_000,
    1_000_000, 2_500_000, 10_000_000,
];

/// See the module.
#[derive(Debug, Default)]
pub struct Durations {
    counts: [AtomicU64; BOUNDS_US.len() + 1],
    sum_us: AtomicU64,
}

impl Durations {
    /// One more.
    pub fn record(&self, took: Duration) {
        let us = u64::try_from(took.as_micros()).unwrap_or(u64::MAX);
        let bucket = BOUNDS_US.partition_point(|end| *end < us);
        if let Some(count) = self.counts.get(bucket) {
            count.fetch_add(1, Ordering::Relaxed);
        }
        self.sum_us.fetch_add(us, Ordering::Relaxed);
    }

    /// How many fell into each bucket, not cumulated, and the sum in microseconds.
    #[must_use]
    pub fn snapshot(&self) -> ([u64; BOUNDS_US.len() + 1], u64) {
        let counts = self
            .counts
            .each_ref()
            .map(|count| count.load(Ordering::Relaxed));
        (counts, self.sum_us.load(Ordering::Relaxed))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_duration_falls_into_the_bucket_whose_end_it_does_not_pass() {
        let durations = Durations::default();
        for us in [0, 100, 101, 10_000_000, 10_000_001] {
            durations.record(Duration::from_micros(us));
        }
        let (counts, sum_us) = durations.snapshot();
        assert_eq!(counts.first(), Some(&2));
        assert_eq!(counts.get(1), Some(&1));
        assert_eq!(counts.get(14..), Some(&[1, 1][..]));
        assert_eq!(sum_us, 20_000_202);
    }
}
