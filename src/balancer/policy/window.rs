//! Counts over a sliding window, in buckets.

use std::time::Duration;

/// A window has this many buckets, and one more is kept, so that a count can also err on the longer side.
const BUCKETS: usize = 20;
const KEPT: usize = BUCKETS + 1;

/// How many, and how many of a kind: requests and failures, or requests and retries.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Counts {
    pub all: u32,
    pub of_kind: u32,
}

/// The counts of the last `span`, give or take one bucket of a twentieth of it.
#[derive(Clone, Debug)]
pub(super) struct Window {
    span: Duration,
    buckets: [Counts; KEPT],
    /// The bucket that time is in, counted from the epoch.
    newest: usize,
}

impl Window {
    /// `span` must be whole milliseconds, so that buckets are of whole nanoseconds.
    pub(super) fn new(span: Duration) -> Self {
        assert!(is_whole_ms(span), "a window of {span:?} cannot be cut into buckets");
        Self { span, buckets: [Counts::default(); KEPT], newest: 0 }
    }

    pub(super) fn span(&self) -> Duration {
        self.span
    }

    pub(super) fn clear(&mut self) {
        self.buckets = [Counts::default(); KEPT];
    }

    /// The bucket of `now`, to count in.
    pub(super) fn at(&mut self, now: Duration) -> &mut Counts {
        let newest = self.index(now);
        for passed in self.newest + 1..=newest.min(self.newest + KEPT) {
            self.buckets[passed % KEPT] = Counts::default();
        }
        self.newest = newest;
        &mut self.buckets[newest % KEPT]
    }

    /// Nothing older than the span, and perhaps not all of what is younger.
    pub(super) fn at_most(&self, now: Duration) -> Counts {
        self.sum(now, BUCKETS)
    }

    /// All that is younger than the span, and perhaps a little that is older.
    pub(super) fn at_least(&self, now: Duration) -> Counts {
        self.sum(now, BUCKETS + 1)
    }

    fn sum(&self, now: Duration, buckets: usize) -> Counts {
        let oldest = (self.index(now) + 1).saturating_sub(buckets);
        // Only what is still in its bucket: that of the last turn of the ring is not.
        let oldest = oldest.max((self.newest + 1).saturating_sub(KEPT));
        let mut sum = Counts::default();
        for index in oldest..=self.newest {
            let bucket = self.buckets[index % KEPT];
            sum.all = sum.all.saturating_add(bucket.all);
            sum.of_kind = sum.of_kind.saturating_add(bucket.of_kind);
        }
        sum
    }

    fn index(&self, now: Duration) -> usize {
        let width = self.span.as_nanos() / BUCKETS as u128;
        usize::try_from(now.as_nanos() / width).expect("a time within 500 years")
    }
}

/// Whether a window can have this span.
pub(super) fn is_whole_ms(span: Duration) -> bool {
    !span.is_zero() && span.subsec_nanos().is_multiple_of(1_000_000)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn ms(ms: u64) -> Duration {
        Duration::from_millis(ms)
    }

    #[test]
    fn what_was_counted_is_forgotten_after_the_span() {
        let mut window = Window::new(ms(1000));
        *window.at(ms(100)) = Counts { all: 5, of_kind: 2 };
        assert_eq!(window.at_most(ms(1049)), Counts { all: 5, of_kind: 2 });
        assert_eq!(window.at_most(ms(1100)), Counts::default());
        assert_eq!(window.at_least(ms(1100)), Counts { all: 5, of_kind: 2 }, "a bucket longer");
        assert_eq!(window.at_least(ms(1150)), Counts::default());
        window.at(ms(1_000_000)).all += 1;
        assert_eq!(window.at_least(ms(1_000_000)), Counts { all: 1, of_kind: 0 }, "a long silence clears the ring");
    }

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

        /// The two sums enclose the true one.
        #[test]
        fn the_true_count_is_between_the_two(steps in proptest::collection::vec(0_u64..400, 1..80)) {
            let mut window = Window::new(ms(1000));
            let (mut now, mut seen) = (0, Vec::new());
            for step in steps {
                now += step;
                window.at(ms(now)).all += 1;
                seen.push(now);
                for later in [now, now + step, now + 500, now + 2000] {
                    let truth = seen.iter().filter(|at| **at + 1000 > later).count();
                    prop_assert!(window.at_most(ms(later)).all as usize <= truth);
                    prop_assert!(window.at_least(ms(later)).all as usize >= truth);
                }
            }
        }
    }
}
