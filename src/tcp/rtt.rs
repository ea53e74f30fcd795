//! The round trip and the timeout that follows from it: RFC 6298 as Linux computes it (`tcp_rtt_estimator`).
//!
//! The variance term is `rto_min` at least, follows the greatest deviation of a round trip at once and falls slowly; a
//! round trip that got shorter counts less.

use super::Micros;
use super::wheel::JIFFY;

/// What is known of a path's round trip.
#[derive(Clone, Debug)]
pub struct RoundTrip {
    /// Eight times the smoothed round trip.
    smoothed8: u64,
    /// Four times the mean deviation, the greatest of this round trip, and what the timeout has of it.
    deviation: u64,
    deviation_max: u64,
    variance: u64,
    /// The round trip of measurement ends when this is acknowledged.
    seq: u64,
    /// The shortest one.
    least: Option<Micros>,
    rto_min: Micros,
    rto_max: Micros,
    /// The timeout at hand: doubled by timeouts until a round trip is measured.
    pub(super) rto: Micros,
}

impl RoundTrip {
    /// Nothing is known yet.
    pub fn new(initial: Micros, rto_min: Micros, rto_max: Micros) -> Self {
        let (smoothed8, deviation, deviation_max, variance, seq, least) = (0, initial, initial, initial, 0, None);
        let rto = initial.min(rto_max);
        Self { smoothed8, deviation, deviation_max, variance, seq, least, rto_min, rto_max, rto }
    }

    /// The smoothed round trip, once there is one.
    pub fn smoothed(&self) -> Option<Micros> {
        (self.smoothed8 > 0).then_some(self.smoothed8 / 8)
    }

    /// The shortest round trip so far.
    pub fn least(&self) -> Micros {
        self.least.unwrap_or(Micros::from(u32::MAX))
    }

    /// Takes in a measurement of a path as a whole, which a later segment may have made than the estimate's.
    pub fn note_least(&mut self, sample: Micros) {
        self.least = Some(self.least().min(sample.max(1)));
    }

    /// Takes in a round trip: `una` is the oldest number that is not acknowledged, `nxt` the next to be sent.
    pub fn measure(&mut self, sample: Micros, una: u64, nxt: u64) {
        if self.smoothed8 == 0 {
            self.smoothed8 = (sample * 8).max(1);
            self.deviation = sample * 2;
            self.variance = self.deviation.max(self.rto_min);
            self.deviation_max = self.variance;
            self.seq = nxt;
        } else {
            let smoothed = self.smoothed8 / 8;
            let off = sample.abs_diff(smoothed);
            let deviation = self.deviation / 4;
            if sample < smoothed {
                self.smoothed8 -= off;
                self.deviation = if off > deviation {
                    self.deviation + (off - deviation) / 8
                } else {
                    self.deviation - (deviation - off)
                };
            } else {
                self.smoothed8 += off;
                self.deviation = self.deviation + off - deviation;
            }
            self.smoothed8 = self.smoothed8.max(1);
            if self.deviation > self.deviation_max {
                self.deviation_max = self.deviation;
                self.variance = self.variance.max(self.deviation);
            }
            if una > self.seq {
                self.variance -= self.variance.saturating_sub(self.deviation_max) / 4;
                self.seq = nxt;
                self.deviation_max = self.rto_min;
            }
        }
        self.rto = self.timeout();
    }

    /// The timeout of a first transmission.
    fn timeout(&self) -> Micros {
        let rto = self.smoothed8 / 8 + self.variance;
        (rto.div_ceil(JIFFY) * JIFFY).min(self.rto_max)
    }

    /// A timeout has passed: the next one is twice as long.
    pub fn back_off(&mut self) {
        self.rto = (self.rto * 2).min(self.rto_max);
    }

    /// The handshake took more than one try, so that nothing is known of the path (RFC 6298, section 5.7).
    pub fn fall_back(&mut self) {
        const FALLBACK: Micros = 3_000_000;
        (self.variance, self.deviation, self.deviation_max) = (FALLBACK, FALLBACK, FALLBACK);
        self.rto = FALLBACK.min(self.rto_max);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn trip() -> RoundTrip {
        RoundTrip::new(1_000_000, 200_000, 120_000_000)
    }

    #[test]
    fn without_a_measurement_the_timeout_is_a_second() {
        assert_eq!((trip().rto, trip().smoothed()), (1_000_000, None));
    }

    #[test]
    fn a_steady_round_trip_times_out_200_ms_after_it() {
        let mut trip = trip();
        (0..50).for_each(|n| trip.measure(10_000, n, n + 1));
        assert_eq!((trip.rto, trip.smoothed()), (212_000, Some(10_000)));
    }

    #[test]
    fn one_late_answer_lengthens_the_timeout_at_once_and_a_quarter_of_that_is_forgotten_each_round_trip() {
        let mut trip = trip();
        (0..50).for_each(|n| trip.measure(6_000, n, n + 1));
        trip.measure(410_000, 50, 51);
        let peak = trip.rto;
        assert!((440_000..480_000).contains(&peak), "{peak}");
        (52..54).for_each(|n| trip.measure(6_000, n, n));
        assert!(trip.rto < peak && trip.rto > 400_000, "{}", trip.rto);
    }

    #[test]
    fn each_timeout_doubles_it_up_to_its_limit() {
        let mut trip = trip();
        trip.measure(10_000, 0, 1);
        let doubled: Vec<_> = (0..3)
            .map(|_| {
                trip.back_off();
                trip.rto
            })
            .collect();
        assert_eq!(doubled, [424_000, 848_000, 1_696_000]);
        (0..20).for_each(|_| trip.back_off());
        assert_eq!(trip.rto, 120_000_000);
        trip.measure(10_000, 2, 3);
        assert_eq!(trip.rto, 212_000, "a measured round trip ends the doubling");
    }
}
