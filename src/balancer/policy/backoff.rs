//! How long to wait before a retry.

use std::time::Duration;

use super::SettingsError;
use crate::rng::{Rng, between};

/// Exponential backoff with full jitter: the wait is drawn from nothing up to a ceiling that doubles (Brooker,
/// "Exponential Backoff And Jitter", 2015).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Backoff {
    base: Duration,
    cap: Duration,
}

impl Default for Backoff {
    /// Up to 25 ms before the first retry, and never above 250 ms (Envoy's defaults).
    fn default() -> Self {
        Self { base: Duration::from_millis(25), cap: Duration::from_millis(250) }
    }
}

impl Backoff {
    /// The ceiling is `base` before the first retry, twice that before the second, and never above `cap`.
    pub fn new(base: Duration, cap: Duration) -> Result<Self, SettingsError> {
        if base.is_zero() || base > cap {
            return Err(SettingsError::Backoff { base, cap });
        }
        Ok(Self { base, cap })
    }

    /// How long to wait at `now` before retry number `retry`, counted from 1; none where the deadline would have come
    /// by then. One draw, whatever comes of it.
    pub fn wait(&self, retry: u32, now: Duration, deadline: Duration, rng: &mut Rng) -> Option<Duration> {
        let ceiling = 1_u32
            .checked_shl(retry.saturating_sub(1))
            .map_or(self.cap, |doubled| self.base.saturating_mul(doubled).min(self.cap));
        let ceiling = u64::try_from(ceiling.as_nanos()).expect("a backoff of under 500 years");
        let wait = Duration::from_nanos(between(rng, 0, ceiling));
        (now + wait < deadline).then_some(wait)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::rng::Seed;

    fn ms(ms: u64) -> Duration {
        Duration::from_millis(ms)
    }

    #[test]
    fn waits_are_spread_from_nothing_to_a_ceiling_that_doubles() {
        let (backoff, mut rng) = (Backoff::default(), Seed(5).stream("backoff"));
        for (retry, ceiling) in [(1, 25), (2, 50), (3, 100), (4, 200), (5, 250), (40, 250), (u32::MAX, 250)] {
            let mut draw = || backoff.wait(retry, ms(0), Duration::MAX, &mut rng).expect("there is time");
            let waits: Vec<_> = (0..1000).map(|_| draw()).collect();
            let (least, most) = (waits.iter().min().expect("some"), waits.iter().max().expect("some"));
            assert!(*least < ms(ceiling) / 20 && *most > ms(ceiling) / 20 * 19 && *most <= ms(ceiling), "{retry}");
        }
    }

    #[test]
    fn a_backoff_that_cannot_grow_is_refused() {
        assert!(Backoff::new(ms(0), ms(1)).is_err());
        assert!(Backoff::new(ms(2), ms(1)).is_err());
        assert_eq!(Backoff::new(ms(25), ms(250)), Ok(Backoff::default()));
    }

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

        #[test]
        fn no_retry_comes_at_or_after_the_deadline(
            retry in 0_u32..100, now in 0_u64..1000, left in 0_u64..300, seed in any::<u64>(),
        ) {
            let (backoff, deadline) = (Backoff::default(), ms(now + left));
            let wait = backoff.wait(retry, ms(now), deadline, &mut Seed(seed).stream(""));
            prop_assert!(wait.is_none_or(|wait| ms(now) + wait < deadline));
            let again = backoff.wait(retry, ms(now), deadline, &mut Seed(seed).stream(""));
            prop_assert_eq!(wait, again);
        }
    }
}
