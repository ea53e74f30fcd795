//! A figure that was measured: as data, as a table, as a picture.

pub mod picture;
#[cfg(feature = "plots")]
pub mod svg;
pub mod text;

use schemars::JsonSchema;
use serde::Serialize;

use super::json::RunReport;

/// A figure, as `figure --json` prints it.
#[derive(Clone, Debug, Serialize, JsonSchema)]
pub struct FigureReport {
    /// Its name.
    pub figure: String,
    /// What it shows.
    pub about: String,
    /// Where it was published.
    pub source: String,
    /// Which settings were fitted to it; null if none were.
    pub fitted: Option<String>,
    /// The first seed: the same seeds are those of every curve.
    pub first_seed: u64,
    /// How many trials of each curve were to be made.
    pub trials: u64,
    /// Whether it was ended by a signal: some trials are missing then.
    pub interrupted: bool,
    /// The exit code: 0 all that is bound holds, 1 something does not, 4 too few trials to tell, 130 interrupted.
    pub exit_code: u8,
    /// The wall time, in milliseconds. All else is the same for the same trials, anywhere.
    pub wall_ms: f64,
    /// The simulated time of all trials, in milliseconds.
    pub sim_ms: f64,
    /// The curves.
    pub curves: Vec<CurveReport>,
}

/// A curve, measured against what was published.
#[derive(Clone, Debug, Serialize, JsonSchema)]
pub struct CurveReport {
    /// What sets it apart from the other curves.
    pub label: String,
    /// The sim of its trials.
    pub sim: String,
    /// Which of the sim's times was measured.
    pub time: String,
    /// What was taken off that time, in milliseconds.
    pub since_ms: f64,
    /// How many trials were made.
    pub trials: u64,
    /// In how many of them that time never came: it counts as longer than all.
    pub never_came: u64,
    /// The published quantiles, in order.
    pub quantiles: Vec<QuantileReport>,
    /// The mean; null if no trial has the time, or one has not.
    pub mean: Option<MeanReport>,
    /// How often something happened; null if the figure counts nothing.
    pub share: Option<ShareReport>,
    /// How far the curves are apart: the largest error of a quantile, in percent of the published one, and at which
    /// share of trials.
    pub distance: Option<Distance>,
    /// How many trials did not end as their script expects.
    pub failed: u64,
    /// The first of those.
    pub failures: Vec<RunReport>,
}

/// Whether what is bound holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Held {
    /// It does.
    Holds,
    /// It does not.
    Fails,
    /// Too few trials were made to tell.
    TooFew,
}

/// A quantile.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, JsonSchema)]
pub struct QuantileReport {
    /// The share of trials that take no longer.
    pub share: f64,
    /// As published, in milliseconds.
    pub published_ms: f64,
    /// As measured; null if so many trials never came to the time.
    pub measured_ms: Option<f64>,
    /// The lower end of the measured one's 95 % interval.
    pub low_ms: Option<f64>,
    /// The upper end; null where the trials do not tell.
    pub high_ms: Option<f64>,
    /// How far the measured one is off, in percent of the published one.
    pub error_percent: Option<f64>,
    /// How far it may be off; null if it is only shown.
    pub within_percent: Option<f64>,
    /// Whether it is not; null if it is only shown.
    pub held: Option<Held>,
}

/// A mean.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, JsonSchema)]
pub struct MeanReport {
    /// As measured, in milliseconds.
    pub measured_ms: f64,
    /// The lower end of its 95 % interval; null of a single trial.
    pub low_ms: Option<f64>,
    /// The upper end.
    pub high_ms: Option<f64>,
    /// As published.
    pub published_ms: Option<f64>,
    /// How far the measured one is off, in percent of the published one.
    pub error_percent: Option<f64>,
    /// Whether the published one is in the interval; null if it need not be.
    pub held: Option<Held>,
}

/// How often something happened.
#[derive(Clone, Debug, PartialEq, Serialize, JsonSchema)]
pub struct ShareReport {
    /// What.
    pub of: String,
    /// In how many trials.
    pub happened: u64,
    /// Their share.
    pub measured: f64,
    /// The lower end of its 95 % score interval (Wilson).
    pub low: f64,
    /// The upper end.
    pub high: f64,
    /// How often it should; null if that is only shown.
    pub published: Option<f64>,
    /// Whether that is in the interval; null if it is only shown.
    pub held: Option<Held>,
}

/// How far two curves are apart.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, JsonSchema)]
pub struct Distance {
    /// The largest error of a quantile, in percent, without its sign.
    pub percent: f64,
    /// At which share of trials.
    pub share: f64,
}

impl CurveReport {
    /// What of it is bound, and whether that holds.
    pub fn held(&self) -> impl Iterator<Item = Held> {
        let quantiles = self.quantiles.iter().filter_map(|quantile| quantile.held);
        let mean = self.mean.and_then(|mean| mean.held);
        quantiles.chain(mean).chain(self.share.as_ref().and_then(|share| share.held))
    }
}
