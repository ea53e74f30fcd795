//! A node's own clock: the time since its start, which may run fast or slow, and may jump ahead, as that of a machine does
//! which stood still. It never goes back: nobody's monotonic clock does.

use std::time::Duration;

use tokio::time::Instant;

const PER_UNIT: u128 = 1_000_000;

/// How fast a clock runs, in millionths: 1,000,000 is right.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ClockRate(pub u32);

impl Default for ClockRate {
    fn default() -> Self {
        Self(1_000_000)
    }
}

impl ClockRate {
    /// What the clock shows when so much time has passed.
    pub(crate) fn shows(self, passed: Duration) -> Duration {
        if self == Self::default() {
            return passed;
        }
        nanos(passed.as_nanos() * u128::from(self.0) / PER_UNIT)
    }

    /// The least time after which the clock shows at least this.
    pub(crate) fn passes(self, shown: Duration) -> Duration {
        if self == Self::default() {
            return shown;
        }
        nanos((shown.as_nanos() * PER_UNIT).div_ceil(u128::from(self.0.max(1))))
    }
}

fn nanos(nanos: u128) -> Duration {
    Duration::from_nanos(u64::try_from(nanos).unwrap_or(u64::MAX))
}

/// What a clock shows that showed zero when it was made.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Face {
    rate: ClockRate,
    /// How far it has jumped ahead.
    ahead: Duration,
}

impl Face {
    pub(crate) fn new(rate: ClockRate) -> Self {
        Self { rate, ahead: Duration::ZERO }
    }

    /// What it shows when so much time has passed.
    #[inline]
    pub(crate) fn shows(self, passed: Duration) -> Duration {
        self.rate.shows(passed).saturating_add(self.ahead)
    }

    /// The least time after which it shows at least this.
    #[inline]
    pub(crate) fn passes(self, shown: Duration) -> Duration {
        self.rate.passes(shown.saturating_sub(self.ahead))
    }

    /// From now on it shows so much more.
    pub(crate) fn jump(&mut self, by: Duration) {
        self.ahead = self.ahead.saturating_add(by);
    }
}

/// A clock that showed zero when it was made.
#[derive(Clone, Copy, Debug)]
pub(super) struct Clock {
    start: Instant,
    face: Face,
}

impl Clock {
    pub(super) fn start(rate: ClockRate) -> Self {
        Self { start: Instant::now(), face: Face::new(rate) }
    }

    pub(super) fn now(&self) -> Duration {
        self.face.shows(self.start.elapsed())
    }

    pub(super) fn jump(&mut self, by: Duration) {
        self.face.jump(by);
    }

    /// When the clock will show `at`.
    pub(super) fn instant(&self, at: Duration) -> Instant {
        // A time that no calendar has is as good as never, and never is 30 years from now.
        let never = Duration::from_hours(24 * 365 * 30);
        self.start + self.face.passes(at).min(never)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_clock_that_is_5_percent_fast_shows_105_seconds_after_100() {
        let fast = ClockRate(1_050_000);
        assert_eq!(fast.shows(Duration::from_secs(100)), Duration::from_secs(105));
        assert_eq!(fast.passes(Duration::from_secs(105)), Duration::from_secs(100));
    }

    #[test]
    fn a_clock_that_has_jumped_shows_what_it_did_sooner() {
        let mut face = Face::new(ClockRate(1_050_000));
        face.jump(Duration::from_secs(5));
        assert_eq!(face.shows(Duration::from_secs(100)), Duration::from_secs(110));
        assert_eq!(face.passes(Duration::from_secs(110)), Duration::from_secs(100));
        assert_eq!(face.passes(Duration::from_secs(3)), Duration::ZERO, "that has passed");
    }

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

        #[test]
        fn when_a_deadline_has_passed_the_clock_shows_it(rate in 100_000..3_000_000_u32, at in 0..10_u64.pow(17)) {
            let (rate, at) = (ClockRate(rate), Duration::from_nanos(at));
            prop_assert!(rate.shows(rate.passes(at)) >= at);
        }
    }
}
