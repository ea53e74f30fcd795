//! Whether service comes back to what it was.

use std::time::Duration;

use crate::sim::Breach;
use crate::sim::trace::{Record, What};

/// So many requests are needed to say anything of a part of a run.
const SAMPLES_MIN: usize = 30;

/// The share of successes may be lower than before by this.
const SHARE_SLACK: f64 = 0.01;

/// The 99th percentile may be half as much again as it was, and a little more.
const P99_SLACK: Duration = Duration::from_millis(20);

/// With fewer successes than this, service has not come back.
const COLLAPSED: f64 = 0.5;

const INVARIANT: &str = "service comes back";

/// Which part of a run a request began in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Phase {
    /// Before anything was disturbed.
    Before,
    /// While something was.
    Disturbed,
    /// When nothing was any more.
    After,
}

struct Sample {
    began: Duration,
    latency: Duration,
    is_success: bool,
}

/// All requests that have ended.
#[derive(Default)]
pub(super) struct Recovery {
    samples: Vec<Sample>,
    successes: u64,
    disturbed: Option<Duration>,
    calm: Option<Duration>,
}

/// What a part of a run came to.
struct Part {
    share: f64,
    p99: Duration,
}

impl Recovery {
    pub(super) fn ended(&mut self, began: Duration, at: Duration, is_success: bool) {
        self.successes += u64::from(is_success);
        self.samples.push(Sample { began, latency: at - began, is_success });
    }

    pub(super) fn record(&mut self, record: &Record) {
        if let (What::Fault { .. }, None) = (&record.what, self.disturbed) {
            self.disturbed = Some(record.at);
        }
    }

    pub(super) fn calm(&mut self, at: Duration) {
        self.calm = Some(at);
    }

    pub(super) fn calm_since(&self) -> Option<Duration> {
        self.calm
    }

    pub(super) fn successes(&self) -> u64 {
        self.successes
    }

    pub(super) fn phase(&self, began: Duration) -> Phase {
        match (self.disturbed, self.calm) {
            (None, _) => Phase::Before,
            (Some(from), _) if began < from => Phase::Before,
            (_, Some(calm)) if began >= calm => Phase::After,
            _ => Phase::Disturbed,
        }
    }

    fn part(&self, of: impl Fn(&Sample) -> bool, which: &str) -> Result<Part, Breach> {
        let samples = self.samples.iter().filter(|sample| of(sample));
        let count = samples.clone().count();
        if count < SAMPLES_MIN {
            let text = format!("{count} requests {which} say nothing: {SAMPLES_MIN} are needed");
            return Err(Breach::new(INVARIANT, text));
        }
        let mut latencies: Vec<Duration> = samples.filter(|sample| sample.is_success).map(|s| s.latency).collect();
        latencies.sort_unstable();
        let share = latencies.len() as f64 / count as f64;
        let p99 = latencies.get((latencies.len() * 99).div_ceil(100).saturating_sub(1)).copied().unwrap_or_default();
        Ok(Part { share, p99 })
    }

    fn after(&self, within: Duration) -> Result<Part, Breach> {
        let Some(calm) = self.calm else {
            return Err(Breach::new(INVARIANT, "the disturbances never ended"));
        };
        let which = format!("from {within:?} after the last disturbance on");
        self.part(|sample| sample.began >= calm + within, &which)
    }

    pub(super) fn has_recovered(&self, within: Duration) -> Result<(), Breach> {
        // Where something was wrong from the beginning on, there is nothing to compare latencies with.
        let before = self
            .part(|sample| self.phase(sample.began) == Phase::Before, "before the first disturbance")
            .unwrap_or(Part { share: 1.0, p99: Duration::MAX });
        let after = self.after(within)?;
        let p99_max = before.p99.checked_add(P99_SLACK + before.p99 / 2).unwrap_or(Duration::MAX);
        if after.share + SHARE_SLACK >= before.share && after.p99 <= p99_max {
            return Ok(());
        }
        let shown = |part: &Part| format!("{:.1} % with p99 {:.0?}", part.share * 100.0, part.p99);
        let was = match before.p99 {
            Duration::MAX => "all were expected to be".to_owned(),
            _ => format!("were {} before", shown(&before)),
        };
        let text = format!("{within:?} after the last disturbance, successes are {}, and {was}", shown(&after));
        Err(Breach::new(INVARIANT, text))
    }

    pub(super) fn has_not_recovered(&self) -> Result<(), Breach> {
        let after = self.after(Duration::from_secs(5))?;
        if after.share < COLLAPSED {
            return Ok(());
        }
        let text = format!("{:.1} % of the requests succeed again, which was not expected", after.share * 100.0);
        Err(Breach::new("service does not come back", text))
    }
}
