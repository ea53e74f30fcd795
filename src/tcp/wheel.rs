//! When a timer fires: on the ticks of Linux's timer wheel.
//!
//! The wheel (`kernel/time/timer.c`) turns 250 times a second. It rounds up, and the further away a timer is, the coarser:
//! a timer fires up to 8 ms late, in steps of 32 ms from 252 ms on and of 256 ms from 2 s on.

use super::Micros;

/// The length of a tick at 250 Hz.
pub const JIFFY: Micros = 4_000;

/// A machine's timer wheel.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Wheel {
    /// How far the machine's ticks were when the clock began.
    phase: Micros,
}

impl Wheel {
    /// A wheel whose ticks lie this much before the clock's.
    pub fn new(phase: Micros) -> Self {
        Self { phase }
    }

    /// The tick at hand.
    pub fn jiffies(self, now: Micros) -> u64 {
        (now + self.phase) / JIFFY
    }

    /// When a timer fires that is set at `now` for so much later.
    pub fn fires(self, now: Micros, wait: Micros) -> Micros {
        let (from, wait) = (self.jiffies(now), wait.div_ceil(JIFFY));
        let shift = match wait {
            0..63 => 0,
            63..504 => 3,
            504..4_032 => 6,
            4_032..32_256 => 9,
            _ => 12,
        };
        ((((from + wait) >> shift) + 1) << shift).saturating_mul(JIFFY) - self.phase
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_timer_fires_one_to_two_ticks_late() {
        let wheel = Wheel::new(1_000);
        assert_eq!(wheel.fires(0, 40_000), 43_000);
        assert_eq!(wheel.fires(2_999, 40_000), 43_000);
        assert_eq!(wheel.fires(3_000, 40_000), 47_000);
        assert_eq!(wheel.fires(0, 0), 3_000);
    }

    #[test]
    fn far_timers_are_coarser() {
        let late = |wait: Micros, step: Micros| {
            let wheel = Wheel::default();
            let fires = (0..100).map(|n| wheel.fires(n * 7_919, wait) - n * 7_919 - wait);
            fires.inspect(|late| assert!((1..=step + JIFFY).contains(late), "{wait}: {late}")).max().unwrap()
        };
        assert!(late(207_000, 4_000) > 4_000);
        assert!(late(260_000, 32_000) > 28_000);
        assert!(late(3_000_000, 256_000) > 200_000);
        assert!(late(20_000_000, 2_048_000) > 1_000_000);
    }
}
