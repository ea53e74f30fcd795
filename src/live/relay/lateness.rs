//! How much later than they were due a relay delivered its packets.

use std::time::Duration;

/// Places of a power of two: a quantile is exact to a sixteenth.
const PLACES: u32 = 16;

/// A histogram of what was late, and how much of it was too late.
#[derive(Clone, Debug)]
pub struct Lateness {
    counts: Vec<u64>,
    most: Duration,
    count: u64,
    too_late: u64,
}

impl Default for Lateness {
    fn default() -> Self {
        Self { counts: vec![0; (64 * PLACES) as usize], most: Duration::ZERO, count: 0, too_late: 0 }
    }
}

impl Lateness {
    /// What a packet may be late whatever its latency.
    pub const GRACE: Duration = Duration::from_millis(1);
    /// Of so many packets, one may be too late.
    const ONE_OF: u64 = 100;

    /// A packet that was to take `latency` was so late.
    pub(in crate::live) fn add(&mut self, late: Duration, latency: Duration) {
        let nanos = u64::try_from(late.as_nanos()).unwrap_or(u64::MAX);
        self.counts[place(nanos)] += 1;
        self.count += 1;
        self.most = self.most.max(late);
        self.too_late += u64::from(late > latency.max(Self::GRACE));
    }

    /// Takes in the packets of another relay.
    pub fn add_all(&mut self, other: &Self) {
        self.counts.iter_mut().zip(&other.counts).for_each(|(own, other)| *own += other);
        self.count += other.count;
        self.too_late += other.too_late;
        self.most = self.most.max(other.most);
    }

    /// How many packets there were.
    pub fn count(&self) -> u64 {
        self.count
    }

    /// Nearest rank, in percent.
    pub fn quantile(&self, percent: u64) -> Duration {
        let rank = (self.count * percent).div_ceil(100).max(1);
        let mut seen = 0;
        let found = self.counts.iter().position(|count| {
            seen += count;
            seen >= rank
        });
        found.map_or(Duration::ZERO, |place| Duration::from_nanos(end_of(place))).min(self.most)
    }

    /// The most that one was late.
    pub fn most(&self) -> Duration {
        self.most
    }

    /// How many were later than the latencies that they had to have (and than [`Self::GRACE`]).
    pub fn too_late(&self) -> u64 {
        self.too_late
    }

    /// Whether the network that was made is not the one that was asked for.
    pub fn is_too_much(&self) -> bool {
        self.too_late * Self::ONE_OF > self.count
    }
}

fn place(nanos: u64) -> usize {
    if nanos < PLACES.into() {
        return usize::try_from(nanos).expect("it is small");
    }
    let power = nanos.ilog2() - PLACES.ilog2();
    let within = nanos >> power;
    usize::try_from(u64::from(power) * u64::from(PLACES) + within).expect("it is below 64 times 16")
}

/// The largest value of a place.
fn end_of(place: usize) -> u64 {
    let (place, places) = (place as u64, u64::from(PLACES));
    if place < 2 * places {
        return place;
    }
    let power = place / places - 1;
    let within = place - power * places;
    ((within + 1) << power).wrapping_sub(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_value_has_a_place_that_ends_soon_after_it() {
        for nanos in (0..5_000).chain([1 << 20, (1 << 20) + 12_345, 123_456_789_012, u64::MAX / 2]) {
            let end = end_of(place(nanos));
            assert!(end >= nanos && end - nanos <= nanos / 16, "{nanos} is in a place that ends at {end}");
        }
    }

    #[test]
    fn quantiles_and_those_that_are_too_late_are_counted() {
        let mut lateness = Lateness::default();
        let us = Duration::from_micros;
        for late in 1..=100 {
            lateness.add(us(late), us(5));
        }
        let close = |found: Duration, expected: Duration| found >= expected && found <= expected * 17 / 16;
        assert!(close(lateness.quantile(50), us(50)) && close(lateness.quantile(99), us(99)), "{lateness:?}");
        assert_eq!((lateness.most(), lateness.too_late(), lateness.is_too_much()), (us(100), 0, false));
        lateness.add(us(1_500), us(5));
        lateness.add(us(1_500), us(2_000));
        assert_eq!((lateness.too_late(), lateness.is_too_much()), (1, false));
        lateness.add(us(1_500), us(5));
        assert_eq!((lateness.too_late(), lateness.is_too_much()), (2, true));
    }
}
