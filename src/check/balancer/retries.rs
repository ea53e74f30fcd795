//! Retries against the budget, over exact windows.

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
}

impl Retries {
    pub(super) fn new(config: &Config) -> Self {
        Self { budget: config.retries.budget.clone(), requests: VecDeque::new(), retries: VecDeque::new() }
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

    pub(super) fn retried(&mut self, seen: Seen) -> Option<Breach> {
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
