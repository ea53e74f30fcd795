//! Figures: curves that somebody published, and the sims that are to come to them. Plain data, which a system declares
//! ([`crate::sim::System::figures`]) and `stormglass figure` measures.

use std::time::Duration;

/// A figure: some curves, each the distribution of a time over many trials.
#[derive(Clone, Debug, PartialEq)]
pub struct Figure {
    /// Its name in calls.
    pub name: &'static str,
    /// What it shows, in one sentence.
    pub about: &'static str,
    /// Where it was published.
    pub source: &'static str,
    /// Which of the sims' settings were chosen so that the curves fit, rather than published with them.
    pub fitted: Option<&'static str>,
    /// How many trials of each curve are made unless the call says so.
    pub trials: u64,
    /// What the picture's axis of times shows.
    pub axis: Axis,
    /// The curves, in the order in which they are shown.
    pub curves: Vec<Curve>,
}

/// The axis of times, in milliseconds.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Axis {
    /// What the times are.
    pub title: &'static str,
    /// Its left end: above 0 on a logarithmic one.
    pub min_ms: f64,
    /// Its right end.
    pub max_ms: f64,
    /// Whether equal distances are equal ratios.
    pub logarithmic: bool,
}

/// A curve: trials of one sim, and what they are to come to.
#[derive(Clone, Debug, PartialEq)]
pub struct Curve {
    /// What sets it apart from the other curves.
    pub label: &'static str,
    /// The sim, as `run` takes it; a trial is one run of it.
    pub sim: &'static str,
    /// Which of the sim's times is measured ([`crate::sim::Outcome::times`]): the longest, if a trial has several.
    pub time: &'static str,
    /// What is taken off that time.
    pub since: Duration,
    /// Published quantiles.
    pub quantiles: Vec<Quantile>,
    /// The published mean.
    pub mean: Option<Mean>,
    /// How often something happens.
    pub share: Option<Share>,
}

/// A published quantile.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Quantile {
    /// The share of trials that take no longer, in `(0, 1)`.
    pub share: f64,
    /// The time, in milliseconds.
    pub published_ms: f64,
    /// How far off the measured one may be, in percent of it; `None`: it is only shown.
    pub within_percent: Option<f64>,
}

/// A published mean.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Mean {
    /// The time, in milliseconds.
    pub published_ms: f64,
    /// Whether it must be in the 95 % interval of the measured one; else it is only shown.
    pub held: bool,
}

/// How often something happens among the trials.
#[derive(Clone, Debug, PartialEq)]
pub struct Share {
    /// What.
    pub of: &'static str,
    /// How it is told.
    pub told_by: ToldBy,
    /// How often it should: this must be in the 95 % interval of what is measured. `None`: it is only shown.
    pub published: Option<f64>,
}

/// How something that happens in a trial is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ToldBy {
    /// The time that is measured is longer than this, or does not come at all.
    LongerThan(Duration),
    /// A counter of the sim is above this number.
    CounterAbove(&'static str, u64),
}
