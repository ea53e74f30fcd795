//! The retry budget: retries are a part of the requests, so that they cannot become a storm.

use std::collections::VecDeque;
use std::time::Duration;

use super::SettingsError;
use super::window::Window;

/// How many retries there may be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Budget {
    /// The largest part of the requests that retries may be. Default: 20.
    pub percent: u32,
    /// Over this time, in whole seconds. Default: 10 s.
    pub window: Duration,
    /// So many retries a second are allowed however few the requests are; what was not used of the last `window` may be
    /// at once. Default: 10.
    pub floor_per_second: u32,
}

impl Default for Budget {
    fn default() -> Self {
        Self { percent: 20, window: Duration::from_secs(10), floor_per_second: 10 }
    }
}

/// Keeps count of requests and retries, and says no to the retry that would be too many (Finagle's `RetryBudget`).
///
/// **Invariant:** of the `window` that ends with a retry, that one included: its retries are at most the larger of
/// `percent` of its requests, rounded down, and the floor times its seconds. A few requests are seldom spread over the
/// window, and failures come in bursts: a floor for each second would refuse what the window has not spent.
///
/// The part of the requests is counted in buckets of a twentieth of the window and errs on the strict side: its window
/// is up to a bucket shorter for requests, and up to a bucket longer for retries. The floor is exact.
#[derive(Clone, Debug)]
pub struct RetryBudget {
    budget: Budget,
    /// Requests, and retries of a kind.
    counts: Window,
    /// When the last retries were, as many as the floor of a whole window.
    last: VecDeque<Duration>,
}

impl RetryBudget {
    /// A budget with nothing spent.
    pub fn new(budget: Budget) -> Result<Self, SettingsError> {
        if budget.percent > 100 {
            return Err(SettingsError::Percent { name: "retry_budget.percent", least: 0, percent: budget.percent });
        }
        if budget.window.is_zero() || budget.window.subsec_nanos() != 0 {
            return Err(SettingsError::BudgetWindow(budget.window));
        }
        Ok(Self { counts: Window::new(budget.window), budget, last: VecDeque::new() })
    }

    /// A client's request came in at `now`. Its retries are not told here.
    pub fn request(&mut self, now: Duration) {
        self.counts.at(now).all += 1;
    }

    /// Whether there may be a retry at `now`; if so, it is spent.
    pub fn try_spend(&mut self, now: Duration) -> bool {
        let requests = u64::from(self.counts.at_most(now).all);
        let retries = u64::from(self.counts.at_least(now).of_kind) + 1;
        let may = retries <= requests * u64::from(self.budget.percent) / 100 || self.is_within_floor(now);
        if may {
            self.counts.at(now).of_kind += 1;
            self.last.push_back(now);
            if self.last.len() > self.floor_of_window() {
                self.last.pop_front();
            }
        }
        may
    }

    /// Whether one more retry is within the floor of the window.
    fn is_within_floor(&self, now: Duration) -> bool {
        let floor = self.floor_of_window();
        let nth_last = self.last.len().checked_sub(floor).and_then(|place| self.last.get(place));
        floor > 0 && nth_last.is_none_or(|spent| *spent + self.budget.window <= now)
    }

    fn floor_of_window(&self) -> usize {
        let seconds = usize::try_from(self.budget.window.as_secs()).expect("a window within 500 years");
        self.budget.floor_per_second as usize * seconds
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn ms(ms: u64) -> Duration {
        Duration::from_millis(ms)
    }

    fn budget() -> RetryBudget {
        RetryBudget::new(Budget::default()).expect("the defaults make sense")
    }

    fn spend(budget: &mut RetryBudget, now: Duration, tries: usize) -> usize {
        (0..tries).filter(|_| budget.try_spend(now)).count()
    }

    #[test]
    fn with_few_requests_there_are_ten_retries_a_second_which_gather() {
        let mut budget = budget();
        assert_eq!(spend(&mut budget, ms(0), 60), 60, "a burst may have what was gathered");
        assert_eq!(spend(&mut budget, ms(5000), 60), 40, "and no more than the window has");
        assert_eq!(spend(&mut budget, ms(9_999), 60), 0);
        assert_eq!(spend(&mut budget, ms(10_000), 60), 60);
        assert_eq!(spend(&mut budget, ms(14_999), 60), 0);
        assert_eq!(spend(&mut budget, ms(15_000), 60), 40);
    }

    #[test]
    fn with_many_requests_a_fifth_of_them_may_be_retried_at_once() {
        let mut budget = budget();
        (0..1000).for_each(|_| budget.request(ms(0)));
        assert_eq!(spend(&mut budget, ms(100), 1000), 200);
        assert_eq!(spend(&mut budget, ms(9000), 1000), 0, "the window is spent, and the floor is below it");
        assert_eq!(spend(&mut budget, ms(10_600), 1000), 100, "all is forgotten but the floor");
    }

    #[test]
    fn nothing_may_be_spent_where_there_is_no_budget_at_all() {
        let none = Budget { percent: 0, floor_per_second: 0, ..Budget::default() };
        let mut budget = RetryBudget::new(none).expect("it makes sense");
        budget.request(ms(0));
        assert!(!budget.try_spend(ms(0)));
    }

    #[test]
    fn a_budget_of_broken_numbers_is_refused() {
        let window = |window| RetryBudget::new(Budget { window, ..Budget::default() }).map(drop);
        assert_eq!(window(ms(1500)), Err(SettingsError::BudgetWindow(ms(1500))));
        assert_eq!(window(Duration::ZERO), Err(SettingsError::BudgetWindow(Duration::ZERO)));
        assert!(RetryBudget::new(Budget { percent: 101, ..Budget::default() }).is_err());
    }

    /// Some time passes, and then there are so many requests and so many that would be retried.
    fn step() -> impl Strategy<Value = (u64, u32, u32)> {
        (prop_oneof![0_u64..20, 0_u64..700, Just(9000)], 0..60_u32, 0..40_u32)
    }

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

        /// The invariant, against plain lists of times; and the refusals, against the window that is a bucket stricter.
        #[test]
        fn retries_keep_to_the_law_and_are_not_refused_beyond_it(
            steps in proptest::collection::vec(step(), 1..120),
        ) {
            let mut budget = budget();
            let (mut now, mut requests, mut retries) = (0, Vec::new(), Vec::new());
            let within = |times: &[u64], now: u64, span: u64| times.iter().filter(|at| **at + span > now).count();
            for (step, asked, failed) in steps {
                now += step;
                for _ in 0..asked {
                    budget.request(ms(now));
                    requests.push(now);
                }
                for _ in 0..failed {
                    if budget.try_spend(ms(now)) {
                        retries.push(now);
                        let (spent, allowed) = (within(&retries, now, 10_000), within(&requests, now, 10_000) / 5);
                        prop_assert!(spent <= allowed.max(100), "{} retries, {} allowed", spent, allowed);
                    } else {
                        let (spent, allowed) = (within(&retries, now, 10_500) + 1, within(&requests, now, 9500) / 5);
                        prop_assert!(spent > allowed, "{} retries, {} allowed", spent, allowed);
                        prop_assert!(within(&retries, now, 10_000) >= 100);
                    }
                }
            }
        }
    }
}
