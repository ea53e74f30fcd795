//! Times in whole ticks.
//!
//! 64 bits of nanoseconds hold 584 years; what is later is as good as never, and no run gets there.

use std::time::Duration;

/// What tokio's simulated clock moves by.
pub(crate) const MILLISECOND: Duration = Duration::from_millis(1);

/// A time in nanoseconds.
pub(crate) fn nanos(at: Duration) -> u64 {
    // In 64 bits all along: this is asked for every packet.
    at.as_secs().saturating_mul(1_000_000_000).saturating_add(at.subsec_nanos().into())
}

/// The first whole tick that is not before a time.
pub(crate) fn up(at: Duration, tick: Duration) -> Duration {
    Duration::from_nanos(nanos(at).checked_next_multiple_of(nanos(tick)).unwrap_or(u64::MAX))
}

/// The last whole tick that is not after a time.
pub(crate) fn down(at: Duration, tick: Duration) -> Duration {
    let at = nanos(at);
    Duration::from_nanos(at - at % nanos(tick))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_is_between_two_ticks_or_at_one() {
        let (us, tick) = (Duration::from_micros, Duration::from_millis(2));
        for (at, below, above) in [(0, 0, 0), (1, 0, 2_000), (2_000, 2_000, 2_000), (2_001, 2_000, 4_000)] {
            assert_eq!((down(us(at), tick), up(us(at), tick)), (us(below), us(above)), "{at} us");
        }
    }

    #[test]
    fn no_time_is_too_late() {
        let years = Duration::from_hours(24 * 365 * 500);
        assert_eq!(up(years, MILLISECOND), years);
        for at in [Duration::from_nanos(u64::MAX), Duration::MAX] {
            assert!(up(at, MILLISECOND) > years && down(at, MILLISECOND) > years);
        }
    }
}
