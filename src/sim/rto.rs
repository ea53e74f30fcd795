//! When a TCP segment is sent again: the retransmission timeout of RFC 6298 with Linux's constants.
//!
//! Linux keeps the variance term at 200 ms at least, so a timeout is the smoothed round trip and 200 ms, never less;
//! it doubles with each try. Round trips are measured on segments that were sent once only (Karn's rule).

use std::time::Duration;

/// The smoothed round trip of one direction of a connection.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct RoundTrip {
    smoothed: Option<Duration>,
    variance: Duration,
}

impl RoundTrip {
    /// Takes in a measured round trip (RFC 6298, section 2).
    pub(crate) fn measure(&mut self, sample: Duration) {
        match self.smoothed {
            None => {
                self.smoothed = Some(sample);
                self.variance = sample / 2;
            }
            Some(smoothed) => {
                self.variance = (self.variance * 3 + smoothed.abs_diff(sample)) / 4;
                self.smoothed = Some((smoothed * 7 + sample) / 8);
            }
        }
    }

    /// The timeout of the first transmission. Before any measurement it is `initial`.
    pub(crate) fn timeout(&self, initial: Duration, rto_min: Duration, rto_max: Duration) -> Duration {
        match self.smoothed {
            None => initial.min(rto_max),
            Some(smoothed) => (smoothed + (self.variance * 4).max(rto_min)).min(rto_max),
        }
    }
}

/// The wait after transmission number `attempt` (0 is the first), doubled each time.
pub(crate) fn backoff(timeout: Duration, attempt: u32, rto_max: Duration) -> Duration {
    let doubled = timeout.checked_mul(1_u32.checked_shl(attempt).unwrap_or(u32::MAX));
    doubled.unwrap_or(rto_max).min(rto_max)
}

#[cfg(test)]
mod tests {
    use super::*;

    const MIN: Duration = Duration::from_millis(200);
    const MAX: Duration = Duration::from_mins(2);

    fn ms(value: u64) -> Duration {
        Duration::from_millis(value)
    }

    #[test]
    fn without_a_measurement_the_initial_timeout_holds() {
        assert_eq!(RoundTrip::default().timeout(ms(1000), MIN, MAX), ms(1000));
    }

    #[test]
    fn a_steady_round_trip_times_out_200_ms_after_it() {
        let mut trip = RoundTrip::default();
        for _ in 0..50 {
            trip.measure(ms(10));
        }
        assert_eq!(trip.timeout(ms(1000), MIN, MAX), ms(210));
    }

    #[test]
    fn a_scattering_round_trip_waits_longer() {
        let mut trip = RoundTrip::default();
        for n in 0..100 {
            trip.measure(ms(if n % 2 == 0 { 100 } else { 500 }));
        }
        assert!(trip.timeout(ms(1000), MIN, MAX) > ms(900));
    }

    #[test]
    fn the_wait_doubles_up_to_its_limit() {
        let waits: Vec<Duration> = (0..4).map(|attempt| backoff(ms(210), attempt, MAX)).collect();
        assert_eq!(waits, [ms(210), ms(420), ms(840), ms(1680)]);
        assert_eq!(backoff(ms(210), 40, MAX), MAX);
    }
}
