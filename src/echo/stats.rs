//! Counts and round-trip times, shown as `ping` shows them: pure.

use std::fmt;
use std::time::Duration;

/// Round-trip times, in whole nanoseconds, so that sums are the same on every machine.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Rtt {
    count: u64,
    min_ns: u128,
    max_ns: u128,
    sum_ns: u128,
    sum_ns_squared: u128,
}

impl Rtt {
    /// Takes one round-trip time in.
    pub fn add(&mut self, rtt: Duration) {
        let ns = rtt.as_nanos();
        self.min_ns = if self.count == 0 { ns } else { self.min_ns.min(ns) };
        self.max_ns = self.max_ns.max(ns);
        self.count += 1;
        self.sum_ns += ns;
        self.sum_ns_squared = self.sum_ns_squared.saturating_add(ns.saturating_mul(ns));
    }

    /// Takes in those of another client.
    pub fn join(&mut self, other: &Self) {
        if other.count > 0 {
            self.min_ns = if self.count == 0 { other.min_ns } else { self.min_ns.min(other.min_ns) };
        }
        self.max_ns = self.max_ns.max(other.max_ns);
        self.count += other.count;
        self.sum_ns += other.sum_ns;
        self.sum_ns_squared = self.sum_ns_squared.saturating_add(other.sum_ns_squared);
    }

    /// How many were taken in.
    pub fn count(&self) -> u64 {
        self.count
    }

    /// The shortest; zero without any.
    pub fn min(&self) -> Duration {
        duration(self.min_ns)
    }

    /// The longest; zero without any.
    pub fn max(&self) -> Duration {
        duration(self.max_ns)
    }

    /// The mean; zero without any.
    pub fn avg(&self) -> Duration {
        duration(self.sum_ns / self.samples())
    }

    /// What `ping` calls `mdev`: the square root of the mean of the squares less the square of the mean.
    pub fn mdev(&self) -> Duration {
        let samples = self.samples();
        let squares = samples.saturating_mul(self.sum_ns_squared);
        let variance = squares.saturating_sub(self.sum_ns.saturating_mul(self.sum_ns)) / (samples * samples);
        duration(variance.isqrt())
    }

    fn samples(&self) -> u128 {
        u128::from(self.count.max(1))
    }
}

impl fmt::Display for Rtt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [min, avg, max, mdev] = [self.min(), self.avg(), self.max(), self.mdev()].map(Milliseconds);
        write!(f, "rtt min/avg/max/mdev = {min}/{avg}/{max}/{mdev} ms")
    }
}

/// What a client did, in numbers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Summary {
    /// Messages taken from the source.
    pub sent: u64,
    /// Messages answered in time.
    pub answered: u64,
    /// Messages given up. Those still outstanding when the client was stopped are neither answered nor lost.
    pub lost: u64,
    /// Times that a message was sent again.
    pub retried: u64,
    /// Answers to what had been answered (UDP).
    pub duplicates: u64,
    /// Answers to what had been given up (UDP).
    pub late: u64,
    /// Datagrams from somebody else (UDP).
    pub foreign: u64,
    /// Answers that are no echo of what was sent.
    pub mismatches: u64,
    /// Connections opened (TCP).
    pub connections: u64,
    /// Failed connects, broken connections, failed calls on a socket.
    pub errors: u64,
    /// Round-trip times of the answered messages, each from when it was sent first.
    pub rtt: Rtt,
    /// How long the client ran.
    pub elapsed: Duration,
}

impl Summary {
    /// Takes in what a client did at the same time.
    pub fn join(&mut self, other: &Self) {
        self.sent += other.sent;
        self.answered += other.answered;
        self.lost += other.lost;
        self.retried += other.retried;
        self.duplicates += other.duplicates;
        self.late += other.late;
        self.foreign += other.foreign;
        self.mismatches += other.mismatches;
        self.connections += other.connections;
        self.errors += other.errors;
        self.rtt.join(&other.rtt);
        self.elapsed = self.elapsed.max(other.elapsed);
    }

    /// Messages that have no answer: the lost ones and those outstanding when the client was stopped.
    pub fn unanswered(&self) -> u64 {
        self.sent - self.answered
    }
}

impl fmt::Display for Summary {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let lost = self.unanswered();
        let percent = Percent { part: lost, whole: self.sent };
        write!(f, "{} sent, {} answered", self.sent, self.answered)?;
        for (count, what) in [
            (self.retried, "retried"),
            (self.duplicates, "duplicate"),
            (self.late, "late"),
            (self.foreign, "foreign"),
            (self.mismatches, "mismatched"),
        ] {
            if count > 0 {
                write!(f, ", {count} {what}")?;
            }
        }
        write!(f, ", {lost} lost ({percent} %), time {} ms", self.elapsed.as_millis())?;
        if self.rtt.count() > 0 {
            write!(f, "\n{}", self.rtt)?;
        }
        Ok(())
    }
}

/// A duration in milliseconds with three decimals, rounded down.
#[derive(Clone, Copy, Debug)]
pub struct Milliseconds(pub Duration);

impl fmt::Display for Milliseconds {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let us = self.0.as_micros();
        write!(f, "{}.{:03}", us / 1000, us % 1000)
    }
}

/// A share in percent, with decimals only where they say something.
struct Percent {
    part: u64,
    whole: u64,
}

impl fmt::Display for Percent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let share = u128::from(self.part) * 1000 / u128::from(self.whole.max(1));
        match share % 10 {
            0 => write!(f, "{}", share / 10),
            tenths => write!(f, "{}.{tenths}", share / 10),
        }
    }
}

fn duration(ns: u128) -> Duration {
    Duration::from_nanos(u64::try_from(ns).unwrap_or(u64::MAX))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use proptest::test_runner::FileFailurePersistence;

    use super::*;

    fn rtt_of(us: &[u64]) -> Rtt {
        let mut rtt = Rtt::default();
        for &us in us {
            rtt.add(Duration::from_micros(us));
        }
        rtt
    }

    #[test]
    fn times_read_as_ping_prints_them() {
        assert_eq!(rtt_of(&[1000, 2000, 3000]).to_string(), "rtt min/avg/max/mdev = 1.000/2.000/3.000/0.816 ms");
        assert_eq!(rtt_of(&[85]).to_string(), "rtt min/avg/max/mdev = 0.085/0.085/0.085/0.000 ms");
    }

    #[test]
    fn losses_read_as_ping_prints_them() {
        let mut summary = Summary { sent: 3, answered: 3, elapsed: Duration::from_millis(2), ..Summary::default() };
        assert_eq!(summary.to_string(), "3 sent, 3 answered, 0 lost (0 %), time 2 ms");
        summary.answered = 2;
        summary.duplicates = 1;
        assert_eq!(summary.to_string(), "3 sent, 2 answered, 1 duplicate, 1 lost (33.3 %), time 2 ms");
        assert_eq!(Summary::default().to_string(), "0 sent, 0 answered, 0 lost (0 %), time 0 ms");
    }

    proptest! {
        #![proptest_config(ProptestConfig {
            failure_persistence: Some(Box::new(FileFailurePersistence::Direct("seeds/proptest/echo-stats.txt"))),
            ..ProptestConfig::default()
        })]

        #[test]
        fn the_order_of_statistics_holds(us in prop::collection::vec(0_u64..10_000_000_000, 1..50)) {
            let rtt = rtt_of(&us);
            prop_assert_eq!(rtt.count(), us.len() as u64);
            prop_assert_eq!(Some(rtt.min()), us.iter().min().map(|&us| Duration::from_micros(us)));
            prop_assert_eq!(Some(rtt.max()), us.iter().max().map(|&us| Duration::from_micros(us)));
            prop_assert!(rtt.min() <= rtt.avg() && rtt.avg() <= rtt.max());
            prop_assert!(rtt.mdev() * 2 + rtt.min() <= rtt.max());
            let (one, other) = us.split_at(us.len() / 2);
            let mut joined = rtt_of(one);
            joined.join(&rtt_of(other));
            prop_assert_eq!(joined, rtt);
        }
    }
}
