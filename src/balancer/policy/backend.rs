//! What is known of one backend.

use std::time::Duration;

use super::candidate::FULL_SHARE;
use super::latency::PeakEwma;
use super::settings::{Settings, SlowStart};
use super::window::Window;
use super::{Outcome, Totals, Why};

#[derive(Clone, Debug)]
pub(super) struct Backend {
    pub weight: u32,
    /// A reload removed it: it only finishes what it has.
    pub is_draining: bool,
    pub in_flight: u32,
    /// Grows each time that it is ejected or comes back, so that an outcome from before is not held against it after.
    pub epoch: u64,
    pub check: Check,
    pub admission: Admission,
    /// Ejections in a row, less those forgiven.
    pub ejections: u32,
    /// Failures in a row.
    pub consecutive: u32,
    /// Requests and failures since it was admitted.
    pub window: Option<Window>,
    /// When its slow start began, until that is over.
    pub warming_since: Option<Duration>,
    pub latency: PeakEwma,
    pub totals: Totals,
}

/// What active checks say.
#[derive(Clone, Debug)]
pub(super) struct Check {
    pub is_healthy: bool,
    /// How many checks in a row said otherwise.
    pub against: u32,
    /// When the last one was.
    pub last_at: Option<Duration>,
}

impl Check {
    /// What is believed before the first check.
    pub(super) fn unchecked() -> Self {
        Self { is_healthy: true, against: 0, last_at: None }
    }
}

/// What passive ejection says.
#[derive(Clone, Copy, Debug)]
pub(super) enum Admission {
    Admitted { since: Duration },
    Ejected { until: Duration, why: Why },
    HalfOpen { since: Duration, why: Why, is_probed: bool },
}

impl Backend {
    pub(super) fn new(weight: u32, settings: &Settings, now: Duration) -> Self {
        Self {
            weight,
            is_draining: false,
            in_flight: 0,
            epoch: 0,
            check: Check::unchecked(),
            admission: Admission::Admitted { since: now },
            ejections: 0,
            consecutive: 0,
            window: settings.ejection.failure_rate.as_ref().map(|rate| Window::new(rate.window)),
            warming_since: None,
            latency: PeakEwma::new(settings.latency.initial, now),
            totals: Totals::default(),
        }
    }

    pub(super) fn is_admitted(&self) -> bool {
        matches!(self.admission, Admission::Admitted { .. })
    }

    /// Both judges are content, and it is configured.
    pub(super) fn is_available(&self) -> bool {
        !self.is_draining && self.check.is_healthy && self.is_admitted()
    }

    /// Half-open, with nobody probing it.
    pub(super) fn awaits_probe(&self) -> bool {
        let is_free = matches!(self.admission, Admission::HalfOpen { is_probed: false, .. });
        !self.is_draining && self.check.is_healthy && is_free
    }

    pub(super) fn has_room(&self, settings: &Settings) -> bool {
        settings.in_flight_max.is_none_or(|max| self.in_flight < max)
    }

    /// Begins a time in service with a clean record.
    pub(super) fn admit(&mut self, settings: &Settings, now: Duration) {
        self.admission = Admission::Admitted { since: now };
        self.epoch += 1;
        self.consecutive = 0;
        self.window.iter_mut().for_each(Window::clear);
        self.warming_since = settings.slow_start.as_ref().map(|_| now);
    }

    /// In thousandths of a unit of weight, between 1 and all of them.
    pub(super) fn share_permille(&self, settings: &Settings, now: Duration) -> u32 {
        match (self.warming_since, &settings.slow_start) {
            _ if planted!(settings, SlowStartIgnored) => FULL_SHARE,
            (Some(since), Some(SlowStart { window, share_percent_min })) => {
                let least = u128::from(share_percent_min * FULL_SHARE / 100);
                let passed = (now - since).min(*window).as_nanos();
                let grown = (u128::from(FULL_SHARE) - least) * passed / window.as_nanos();
                u32::try_from(least + grown).expect("it is at most the whole")
            }
            _ => FULL_SHARE,
        }
    }

    /// When its slow start is over, if it is not.
    pub(super) fn warm_at(&self, settings: &Settings) -> Option<Duration> {
        let since = self.warming_since?;
        Some(settings.slow_start.as_ref().map_or(since, |slow| since + slow.window))
    }

    /// Counts an outcome, whatever it will mean for health.
    pub(super) fn count(&mut self, outcome: Outcome, settings: &Settings, now: Duration) {
        let believed = &settings.latency;
        match outcome {
            Outcome::Success { latency } => {
                self.totals.successes += 1;
                self.latency.observe(latency, now, believed.decay);
            }
            Outcome::Failure(_) => {
                self.totals.failures += 1;
                self.latency.observe(believed.of_failure, now, believed.decay);
            }
            Outcome::Cancelled => self.totals.cancelled += 1,
        }
    }
}
