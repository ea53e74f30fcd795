//! How long things took, in buckets.

use std::time::Duration;

/// The upper ends of the buckets but the last, in microseconds: half a millisecond to half a minute.
const ENDS_US: [u64; 15] = [
    500, 1_000, 2_500, 5_000, 10_000, 25_000, 50_000, 100_000, 250_000, 500_000, 1_000_000, 2_500_000, 5_000_000,
    10_000_000, 30_000_000,
];

/// Counts of durations, each in the first bucket that it fits in.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Histogram {
    buckets: [u64; ENDS_US.len()],
    count: u64,
    sum: Duration,
}

impl Histogram {
    /// Counts one.
    pub fn add(&mut self, duration: Duration) {
        let place = ENDS_US.partition_point(|end| Duration::from_micros(*end) < duration);
        if let Some(bucket) = self.buckets.get_mut(place) {
            *bucket += 1;
        }
        self.count += 1;
        self.sum += duration;
    }

    /// Counts what another one has counted.
    pub fn merge(&mut self, other: &Self) {
        self.buckets.iter_mut().zip(other.buckets).for_each(|(bucket, count)| *bucket += count);
        self.count += other.count;
        self.sum += other.sum;
    }

    /// How many there are.
    pub fn count(&self) -> u64 {
        self.count
    }

    /// All of them together.
    pub fn sum(&self) -> Duration {
        self.sum
    }

    /// The end of each bucket but the last, in seconds, and how many took at most so long.
    pub fn at_most(&self) -> impl Iterator<Item = (f64, u64)> + use<> {
        let mut below = 0;
        let sums = self.buckets.map(|count| {
            below += count;
            below
        });
        ENDS_US.into_iter().map(|end| end as f64 / 1e6).zip(sums)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_duration_is_in_the_bucket_whose_end_it_does_not_pass() {
        let mut histogram = Histogram::default();
        for us in [0, 500, 501, 30_000_000, 30_000_001] {
            histogram.add(Duration::from_micros(us));
        }
        let mut twice = histogram.clone();
        twice.merge(&histogram);
        assert_eq!((histogram.count(), twice.count()), (5, 10));
        assert_eq!(twice.sum(), Duration::from_micros(120_002_004));
        let counts: Vec<_> = histogram.at_most().collect();
        assert_eq!((counts[0], counts[1], counts[14]), ((0.0005, 2), (0.001, 3), (30.0, 4)));
    }
}
