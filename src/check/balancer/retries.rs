//! Retries against the budget, over exact windows, and against what they are for.

use std::collections::VecDeque;
use std::time::Duration;

use super::Seen;
use crate::balancer::config::Config;
use crate::balancer::policy::Budget;
use crate::sim::Breach;

/// What happened in the last window.
pub(super) struct Retries {
    budget: Budget,
    requests: VecDeque<Duration>,
    retries: VecDeque<Seen>,
    /// Whether only a failure is tried again; a 503 is passed on before it counts.
    has_causes: bool,
    /// How often backends have failed for which nothing was tried again, or wished to be.
    failures: u64,
}

impl Retries {
    pub(super) fn new(config: &Config) -> Self {
        Self {
            budget: config.retries.budget.clone(),
            requests: VecDeque::new(),
            retries: VecDeque::new(),
            has_causes: !config.retries.on_503,
            failures: 0,
        }
    }

    pub(super) fn request(&mut self, at: Duration) {
        self.requests.push_back(at);
        self.forget(at);
    }

    /// What is a window or more ago.
    fn forget(&mut self, now: Duration) {
        let is_old = |at: Duration| at + self.budget.window <= now;
        while self.requests.pop_front_if(|at| is_old(*at)).is_some() {}
        while self.retries.pop_front_if(|(at, _)| is_old(*at)).is_some() {}
    }

    /// A backend has failed.
    pub(super) fn failed(&mut self) {
        self.failures += 1;
    }

    /// A request is not tried again, which would have been.
    pub(super) fn refused(&mut self, seen: Seen) -> Option<Breach> {
        if let Some(left) = self.failures.checked_sub(1) {
            self.failures = left;
        } else if self.has_causes {
            let breach =
                Breach::new("a retry has a cause", "the budget is asked for a retry, and no backend has failed");
            return Some(breach.fact(seen.0, seen.1, "nothing is to be made up for"));
        }
        None
    }

    pub(super) fn retried(&mut self, seen: Seen) -> Option<Breach> {
        if let Some(breach) = self.refused(seen) {
            return Some(breach);
        }
        self.retries.push_back(seen);
        self.forget(seen.0);
        let Budget { percent, window, floor_per_second } = self.budget;
        let (requests, retries) = (self.requests.len() as u64, self.retries.len() as u64);
        let allowed = (requests * u64::from(percent) / 100).max(u64::from(floor_per_second) * window.as_secs());
        if retries <= allowed {
            return None;
        }
        let text = format!("{retries} retries against {requests} requests within {window:?}: {allowed} are allowed");
        let first = self.retries.front().copied().unwrap_or(seen);
        let breach = Breach::new("retries stay within the budget", text);
        Some(breach.fact(first.0, first.1, "the first of them").fact(seen.0, seen.1, "the last of them"))
    }
}
