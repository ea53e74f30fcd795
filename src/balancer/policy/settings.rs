//! What the policy is told, and the errors when it does not make sense.

use std::collections::BTreeSet;
use std::error::Error;
use std::fmt;
use std::time::Duration;

use super::window::is_whole_ms;
use super::{BackendId, Policy};

/// The largest weight of a backend, as in `HAProxy`. The least is 1.
pub const WEIGHT_MAX: u32 = 256;

/// The settings of the policy, all of which a reload may change.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    /// How a backend is chosen. Default: round robin.
    pub policy: Policy,
    /// The most requests that a backend may have in flight. Default: no limit.
    pub in_flight_max: Option<u32>,
    /// Where fewer than this part of the backends is available, all are used (Envoy's panic threshold). 0 switches it
    /// off. Default: 50.
    pub panic_percent: u32,
    /// How active checks are judged; without it their results are ignored. Default: as [`Checks::default`].
    pub checks: Option<Checks>,
    /// Passive ejection.
    pub ejection: Ejection,
    /// How the share of a backend that returns grows; without it the share is whole at once. Default: as
    /// [`SlowStart::default`].
    pub slow_start: Option<SlowStart>,
    /// How [`Policy::PeakEwma`] believes latencies.
    pub latency: Latency,
    /// What the balancer does wrong on purpose.
    #[cfg(feature = "planted-bugs")]
    pub bug: Option<crate::balancer::planted::Bug>,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            policy: Policy::RoundRobin,
            in_flight_max: None,
            panic_percent: 50,
            checks: Some(Checks::default()),
            ejection: Ejection::default(),
            slow_start: Some(SlowStart::default()),
            latency: Latency::default(),
            #[cfg(feature = "planted-bugs")]
            bug: None,
        }
    }
}

/// How active checks are judged.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Checks {
    /// The time between two checks of a backend, which the driver keeps. Default: 1 s.
    pub interval: Duration,
    /// So many passed checks in a row make an unhealthy backend healthy. Default: 1, so that a backend that returns has
    /// traffic within one interval.
    pub healthy_threshold: u32,
    /// So many failed checks in a row make a healthy backend unhealthy. Default: 2, so that one lost packet is
    /// forgiven.
    pub unhealthy_threshold: u32,
}

impl Default for Checks {
    fn default() -> Self {
        Self { interval: Duration::from_secs(1), healthy_threshold: 1, unhealthy_threshold: 2 }
    }
}

/// Passive ejection, Envoy's outlier detection.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ejection {
    /// So many failures in a row eject a backend. Default: 3.
    pub consecutive_failures: Option<u32>,
    /// A failure rate that ejects a backend. Default: as [`FailureRate::default`].
    pub failure_rate: Option<FailureRate>,
    /// The time of the first ejection; the n-th lasts n times as long. Default: 1 s.
    pub time_base: Duration,
    /// No ejection lasts longer. Default: 30 s.
    pub time_max: Duration,
    /// For each such time that a backend stays admitted, one of its ejections is forgotten. Default: 30 s.
    pub forgiven_after: Duration,
    /// The largest part of the backends that is ejected at a time, rounded down. Default: 50.
    pub ejected_percent_max: u32,
    /// Any passed check readmits (Envoy's `successful_active_health_check_uneject_host`), not only one that sees
    /// what the ejection was for. With it a gray failure is readmitted at every check. Default: off.
    pub check_readmits: bool,
}

impl Default for Ejection {
    fn default() -> Self {
        Self {
            consecutive_failures: Some(3),
            failure_rate: Some(FailureRate::default()),
            time_base: Duration::from_secs(1),
            time_max: Duration::from_secs(30),
            forgiven_after: Duration::from_secs(30),
            ejected_percent_max: 50,
            check_readmits: false,
        }
    }
}

/// The failure rate that ejects.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FailureRate {
    /// At this part of failed requests a backend is ejected. Default: 30.
    pub percent: u32,
    /// Over this time, up to a twentieth of it less, in whole milliseconds. Default: 10 s.
    pub window: Duration,
    /// With fewer requests in the window, nothing is concluded. Default: 10.
    pub requests_min: u32,
}

impl Default for FailureRate {
    fn default() -> Self {
        Self { percent: 30, window: Duration::from_secs(10), requests_min: 10 }
    }
}

/// How the share of a backend that returns grows: linearly.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SlowStart {
    /// The time from the least share to the whole. Default: 10 s.
    pub window: Duration,
    /// The share at the beginning, as a part of the backend's weight. Default: 10.
    pub share_percent_min: u32,
}

impl Default for SlowStart {
    fn default() -> Self {
        Self { window: Duration::from_secs(10), share_percent_min: 10 }
    }
}

/// How latencies are believed. A higher one is believed at once.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Latency {
    /// What is believed of a new backend. Default: 30 ms.
    pub initial: Duration,
    /// After this time, half of what is believed comes from what was seen since. Default: 10 s.
    pub decay: Duration,
    /// What a failure counts as, or a backend that fails fast would be the fastest. Default: 1 s.
    pub of_failure: Duration,
}

impl Default for Latency {
    fn default() -> Self {
        Self { initial: Duration::from_millis(30), decay: Duration::from_secs(10), of_failure: Duration::from_secs(1) }
    }
}

impl Settings {
    /// Whether the settings make sense.
    pub fn validate(&self) -> Result<(), SettingsError> {
        let ejection = &self.ejection;
        let rate = ejection.failure_rate.as_ref();
        let checks = self.checks.as_ref();
        let slow_start = self.slow_start.as_ref();

        percent("panic_percent", 0, self.panic_percent)?;
        percent("ejected_percent_max", 0, ejection.ejected_percent_max)?;
        percent("failure_rate.percent", 1, rate.map_or(1, |rate| rate.percent))?;
        percent("share_percent_min", 1, slow_start.map_or(1, |slow| slow.share_percent_min))?;

        above_zero("in_flight_max", self.in_flight_max.unwrap_or(1))?;
        above_zero("healthy_threshold", checks.map_or(1, |checks| checks.healthy_threshold))?;
        above_zero("unhealthy_threshold", checks.map_or(1, |checks| checks.unhealthy_threshold))?;
        above_zero("consecutive_failures", ejection.consecutive_failures.unwrap_or(1))?;
        above_zero("requests_min", rate.map_or(1, |rate| rate.requests_min))?;

        let some = Duration::from_secs(1);
        a_time("checks.interval", checks.map_or(some, |checks| checks.interval))?;
        a_time("ejection.time_base", ejection.time_base)?;
        a_time("ejection.forgiven_after", ejection.forgiven_after)?;
        a_time("slow_start.window", slow_start.map_or(some, |slow| slow.window))?;
        a_time("latency.decay", self.latency.decay)?;

        if ejection.time_base > ejection.time_max {
            return Err(SettingsError::EjectionTime { base: ejection.time_base, max: ejection.time_max });
        }
        match rate.map(|rate| rate.window) {
            Some(window) if !is_whole_ms(window) => Err(SettingsError::Window(window)),
            _ => Ok(()),
        }
    }
}

/// Whether backends and their weights make sense. There may be none: then every request is refused.
pub(super) fn validate_list(list: &[(BackendId, u32)]) -> Result<(), SettingsError> {
    let mut seen = BTreeSet::new();
    for &(id, weight) in list {
        if !seen.insert(id) {
            return Err(SettingsError::Twice(id));
        }
        if !(1..=WEIGHT_MAX).contains(&weight) {
            return Err(SettingsError::Weight { id, weight });
        }
    }
    Ok(())
}

fn percent(name: &'static str, least: u32, percent: u32) -> Result<(), SettingsError> {
    if (least..=100).contains(&percent) { Ok(()) } else { Err(SettingsError::Percent { name, least, percent }) }
}

fn above_zero(name: &'static str, count: u32) -> Result<(), SettingsError> {
    if count > 0 { Ok(()) } else { Err(SettingsError::Zero(name)) }
}

fn a_time(name: &'static str, time: Duration) -> Result<(), SettingsError> {
    if time.is_zero() { Err(SettingsError::NoTime(name)) } else { Ok(()) }
}

/// What is wrong with [`Settings`], or with a list of backends.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SettingsError {
    /// A part is out of its range.
    Percent {
        /// The setting.
        name: &'static str,
        /// The least that it may be.
        least: u32,
        /// What it is.
        percent: u32,
    },
    /// A count is zero that cannot be.
    Zero(&'static str),
    /// A time is zero that cannot be.
    NoTime(&'static str),
    /// The first ejection would be longer than the longest.
    EjectionTime {
        /// The first.
        base: Duration,
        /// The longest.
        max: Duration,
    },
    /// The window of the failure rate is not of whole milliseconds.
    Window(Duration),
    /// The window of a retry budget is not of whole seconds.
    BudgetWindow(Duration),
    /// A backend is in the list twice.
    Twice(BackendId),
    /// A weight is out of range.
    Weight {
        /// The backend.
        id: BackendId,
        /// Its weight.
        weight: u32,
    },
    /// A backoff's base is zero, or above its cap.
    Backoff {
        /// The base.
        base: Duration,
        /// The cap.
        cap: Duration,
    },
}

impl fmt::Display for SettingsError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Percent { name, least, percent } => {
                write!(f, "`{name}` is {percent} %: take {least} to 100")
            }
            Self::Zero(name) => write!(f, "`{name}` is 0: take 1 or more, or leave it out to have none"),
            Self::NoTime(name) => write!(f, "`{name}` is no time at all: take 1ms or more"),
            Self::EjectionTime { base, max } => {
                write!(f, "the first ejection, {base:?}, is longer than the longest, {max:?}: swap them")
            }
            Self::Window(window) => write!(f, "a window of {window:?} is not of whole milliseconds: round it"),
            Self::BudgetWindow(window) => {
                write!(f, "a retry budget over {window:?} is not over whole seconds: take 1s or more, and round it")
            }
            Self::Twice(id) => write!(f, "{id} is in the list twice: give it a larger weight instead"),
            Self::Weight { id, weight } => {
                write!(f, "{id} has the weight {weight}: take 1 to {WEIGHT_MAX}, and remove a backend to drain it")
            }
            Self::Backoff { base, cap } => {
                write!(f, "a backoff from {base:?} to {cap:?} cannot grow: take a base above zero and a cap no less")
            }
        }
    }
}

impl Error for SettingsError {}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(change: impl FnOnce(&mut Settings)) -> String {
        let mut settings = Settings::default();
        change(&mut settings);
        settings.validate().expect_err("it does not make sense").to_string()
    }

    #[test]
    fn the_defaults_make_sense_and_so_does_everything_off() {
        assert_eq!(Settings::default().validate(), Ok(()));
        let ejection = Ejection { consecutive_failures: None, failure_rate: None, ..Ejection::default() };
        let off = Settings { panic_percent: 0, checks: None, slow_start: None, ejection, ..Settings::default() };
        assert_eq!(off.validate(), Ok(()));
    }

    #[test]
    fn errors_say_what_to_do() {
        assert!(refused(|s| s.panic_percent = 101).contains("`panic_percent` is 101 %: take 0 to 100"));
        assert!(refused(|s| s.in_flight_max = Some(0)).contains("take 1 or more"));
        assert!(refused(|s| s.ejection.consecutive_failures = Some(0)).contains("leave it out"));
        assert!(refused(|s| s.ejection.time_max = Duration::ZERO).contains("swap them"));
        assert!(refused(|s| s.latency.decay = Duration::ZERO).contains("take 1ms or more"));
        let odd = FailureRate { window: Duration::from_micros(1500), ..FailureRate::default() };
        assert!(refused(|s| s.ejection.failure_rate = Some(odd)).contains("1.5ms is not of whole milliseconds"));
        let slow = SlowStart { share_percent_min: 0, ..SlowStart::default() };
        assert!(refused(|s| s.slow_start = Some(slow)).contains("take 1 to 100"));

        let list = |list: &[(u32, u32)]| {
            let list: Vec<_> = list.iter().map(|(id, weight)| (BackendId(*id), *weight)).collect();
            validate_list(&list).map_err(|error| error.to_string())
        };
        assert_eq!(list(&[]), Ok(()));
        assert!(list(&[(1, 1), (1, 2)]).expect_err("twice").contains("b1 is in the list twice"));
        assert!(list(&[(1, 257)]).expect_err("too heavy").contains("take 1 to 256"));
    }
}
