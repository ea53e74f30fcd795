//! Times in whole ticks.
//!
//! 64 bits of nanoseconds hold 584 years; what is later is as good as never, and no run gets there.

use std::time::Duration;

/// A time in nanoseconds.
#[inline]
pub(crate) fn nanos(at: Duration) -> u64 {
    // In 64 bits all along: this is asked for every packet.
    at.as_secs().saturating_mul(1_000_000_000).saturating_add(at.subsec_nanos().into())
}

/// How many whole ticks there are in a time, and what is left. All in nanoseconds.
#[inline]
fn divided(at: u64, tick: u64) -> (u64, u64) {
    // Most scripts have this tick, and to divide by what is known is a multiplication: this is done for every packet.
    const USUAL: u64 = 1_000_000;
    if tick == USUAL { (at / USUAL, at % USUAL) } else { (at / tick, at % tick) }
}

/// The number of the first whole tick that is not before a time. Both in nanoseconds.
#[inline]
pub(crate) fn count_up(at: u64, tick: u64) -> u64 {
    let (ticks, rest) = divided(at, tick);
    ticks + u64::from(rest > 0)
}

/// The number of the last whole tick that is not after a time. Both in nanoseconds.
#[inline]
pub(crate) fn count_down(at: u64, tick: u64) -> u64 {
    divided(at, tick).0
}

/// The first whole tick that is not before a time.
pub(crate) fn up(at: Duration, tick: Duration) -> Duration {
    let tick = nanos(tick);
    Duration::from_nanos(count_up(nanos(at), tick).saturating_mul(tick))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_is_between_two_ticks_or_at_one() {
        let (us, tick) = (Duration::from_micros, Duration::from_millis(2));
        for (at, below, above) in [(0, 0, 0), (1, 0, 2_000), (2_000, 2_000, 2_000), (2_001, 2_000, 4_000)] {
            let down = Duration::from_nanos(count_down(nanos(us(at)), nanos(tick)) * nanos(tick));
            assert_eq!((down, up(us(at), tick)), (us(below), us(above)), "{at} us");
        }
    }

    #[test]
    fn no_time_is_too_late() {
        let (years, tick) = (Duration::from_hours(24 * 365 * 500), Duration::from_millis(1));
        assert_eq!(up(years, tick), years);
        for at in [Duration::from_nanos(u64::MAX), Duration::MAX] {
            assert!(up(at, tick) > years);
        }
    }
}
