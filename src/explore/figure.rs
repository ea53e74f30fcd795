//! A published figure, measured: what the trials of its curves come to, and whether that is near enough.
//!
//! A trial is one run of the curve's sim, so that `run` makes any of them again. A quantile that is bound
//!
//! - **holds** if the measured one is as near to the published one as it must be;
//! - **fails** if not even an end of its 95 % interval is;
//! - was judged with **too few** trials otherwise, and where fewer than ten are beyond it.
//!
//! A mean or a share holds if the published one is within the 95 % interval of the measured one. Of 20 such intervals
//! one misses the true value, by chance.

use std::time::Duration;

use super::statistics::{self, Estimate};
use super::watcher::Ran;
use crate::figure::{Curve, Figure, Mean, Quantile, Share, ToldBy};
use crate::report::figure::picture::{Line, Picture};
use crate::report::figure::{CurveReport, Distance, FigureReport, Held, MeanReport, QuantileReport, ShareReport};
use crate::report::json::{RunReport, milliseconds};
use crate::report::judgement::Exit;

/// How many trials must be beyond a quantile, for it to say something.
const BEYOND: f64 = 10.0;

/// How many failures of a curve are kept.
const FAILURES: usize = 3;

/// How the trials of a figure were made.
#[derive(Clone, Copy, Debug)]
pub struct Made {
    /// The first seed.
    pub first_seed: u64,
    /// How many trials of each curve were to be made.
    pub trials: u64,
    /// Whether a signal ended them.
    pub interrupted: bool,
    /// The wall time that they took.
    pub wall: Duration,
}

/// The trials of one curve, so far.
#[derive(Debug)]
pub struct Trials {
    curve: Curve,
    /// The times of those that came to it, in milliseconds.
    times: Vec<f64>,
    count: u64,
    happened: u64,
    simulated: Duration,
    failed: u64,
    failures: Vec<RunReport>,
}

impl Trials {
    /// None yet.
    pub fn new(curve: Curve) -> Self {
        let (simulated, failures) = (Duration::ZERO, Vec::new());
        Self { curve, times: Vec::new(), count: 0, happened: 0, simulated, failed: 0, failures }
    }

    /// Takes in a trial.
    pub fn add(&mut self, ran: &Ran, report: RunReport) {
        self.count += 1;
        let outcome = ran.outcome();
        let time = outcome.and_then(|outcome| outcome.times.get(self.curve.time));
        let time = time.map(|times| times.max.saturating_sub(self.curve.since));
        self.times.extend(time.map(milliseconds));
        self.happened += u64::from(match self.curve.share.as_ref().map(|share| share.told_by) {
            None => false,
            Some(ToldBy::LongerThan(limit)) => time.is_none_or(|time| time > limit),
            Some(ToldBy::CounterAbove(name, limit)) => {
                outcome.and_then(|outcome| outcome.counters.get(name)).is_some_and(|count| *count > limit)
            }
        });
        self.simulated += outcome.map_or(Duration::ZERO, |outcome| outcome.simulated);
        if !report.as_expected {
            self.failed += 1;
            if self.failures.len() < FAILURES {
                self.failures.push(report);
            }
        }
    }

    /// Against what was published.
    pub fn report(&self) -> CurveReport {
        let (curve, sorted) = (&self.curve, self.sorted());
        let quantiles: Vec<QuantileReport> =
            curve.quantiles.iter().map(|published| quantile(published, &sorted, self.count)).collect();
        let errors =
            quantiles.iter().filter_map(|q| Some(Distance { percent: q.error_percent?.abs(), share: q.share }));
        let distance = errors.max_by(|a, b| a.percent.total_cmp(&b.percent));
        let all_came = sorted.len() as u64 == self.count;
        CurveReport {
            label: curve.label.to_owned(),
            sim: curve.sim.to_owned(),
            time: curve.time.to_owned(),
            since_ms: milliseconds(curve.since),
            trials: self.count,
            never_came: self.count - sorted.len() as u64,
            quantiles,
            mean: if all_came { mean(curve.mean, &sorted) } else { None },
            share: curve.share.as_ref().and_then(|published| share(published, self.happened, self.count)),
            distance,
            failed: self.failed,
            failures: self.failures.clone(),
        }
    }

    fn sorted(&self) -> Vec<f64> {
        let mut sorted = self.times.clone();
        sorted.sort_unstable_by(f64::total_cmp);
        sorted
    }
}

/// All curves against what was published.
pub fn report(figure: &Figure, trials: &[Trials], made: Made) -> FigureReport {
    let curves: Vec<CurveReport> = trials.iter().map(Trials::report).collect();
    let simulated = trials.iter().map(|trials| trials.simulated).sum();
    FigureReport {
        figure: figure.name.to_owned(),
        about: figure.about.to_owned(),
        source: figure.source.to_owned(),
        fitted: figure.fitted.map(str::to_owned),
        first_seed: made.first_seed,
        trials: made.trials,
        interrupted: made.interrupted,
        exit_code: exit(&curves, made.interrupted) as u8,
        wall_ms: milliseconds(made.wall),
        sim_ms: milliseconds(simulated),
        curves,
    }
}

/// What its trials look like.
pub fn picture(figure: &Figure, trials: &[Trials]) -> Picture {
    let line = |trials: &Trials| Line {
        label: trials.curve.label.to_owned(),
        sorted_ms: trials.sorted(),
        trials: trials.count,
        published: trials.curve.quantiles.iter().map(|quantile| (quantile.published_ms, quantile.share)).collect(),
    };
    Picture {
        title: format!("{}: trials (lines) and what was published (rings)", figure.name),
        axis: figure.axis.title.to_owned(),
        range_ms: (figure.axis.min_ms, figure.axis.max_ms),
        logarithmic: figure.axis.logarithmic,
        lines: trials.iter().map(line).collect(),
    }
}

/// The exit code: what does not hold counts more than an interruption, and that more than too few trials.
pub fn exit(curves: &[CurveReport], interrupted: bool) -> Exit {
    let any = |held: Held| curves.iter().flat_map(CurveReport::held).any(|other| other == held);
    if any(Held::Fails) || curves.iter().any(|curve| curve.failed > 0) {
        Exit::Found
    } else if interrupted {
        Exit::Interrupted
    } else if any(Held::TooFew) {
        Exit::Inconclusive
    } else {
        Exit::Expected
    }
}

fn quantile(of: &Quantile, sorted: &[f64], trials: u64) -> QuantileReport {
    let estimate = statistics::quantile(sorted, trials, of.share);
    let error = |ms: f64| 100.0 * (ms / of.published_ms - 1.0);
    let judge = |within: f64| {
        let few = trials as f64 * of.share.min(1.0 - of.share) < BEYOND - 1e-6;
        match estimate {
            _ if few => Held::TooFew,
            Some(Estimate { value, .. }) if error(value).abs() <= within => Held::Holds,
            Some(Estimate { low, high, .. }) if error(low) <= within && error(high) >= -within => Held::TooFew,
            _ => Held::Fails,
        }
    };
    QuantileReport {
        share: of.share,
        published_ms: of.published_ms,
        measured_ms: estimate.map(|estimate| estimate.value),
        low_ms: estimate.map(|estimate| estimate.low),
        high_ms: estimate.map(|estimate| estimate.high).filter(|high| high.is_finite()),
        error_percent: estimate.map(|estimate| error(estimate.value)),
        within_percent: of.within_percent,
        held: of.within_percent.map(judge),
    }
}

fn mean(published: Option<Mean>, values: &[f64]) -> Option<MeanReport> {
    let Estimate { value, low, high } = statistics::mean(values)?;
    let judge = |published: &Mean| match () {
        () if (values.len() as f64) < BEYOND => Held::TooFew,
        () if (low..=high).contains(&published.published_ms) => Held::Holds,
        () => Held::Fails,
    };
    Some(MeanReport {
        measured_ms: value,
        low_ms: low.is_finite().then_some(low),
        high_ms: high.is_finite().then_some(high),
        published_ms: published.map(|mean| mean.published_ms),
        error_percent: published.map(|mean| 100.0 * (value / mean.published_ms - 1.0)),
        held: published.filter(|mean| mean.held).as_ref().map(judge),
    })
}

fn share(of: &Share, happened: u64, trials: u64) -> Option<ShareReport> {
    let Estimate { value, low, high } = statistics::share(happened, trials)?;
    let judge = |published: f64| match () {
        () if trials as f64 * published.min(1.0 - published) < BEYOND => Held::TooFew,
        () if (low..=high).contains(&published) => Held::Holds,
        () => Held::Fails,
    };
    let held = of.published.map(judge);
    Some(ShareReport { of: of.of.to_owned(), happened, measured: value, low, high, published: of.published, held })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hundreds(trials: u32) -> Vec<f64> {
        (1..=trials).map(|n| f64::from(n) * 100.0 / f64::from(trials)).collect()
    }

    fn held(share: f64, published_ms: f64, trials: u32) -> Held {
        let of = Quantile { share, published_ms, within_percent: Some(5.0) };
        quantile(&of, &hundreds(trials), u64::from(trials)).held.unwrap()
    }

    #[test]
    fn a_quantile_holds_fails_or_is_not_to_be_told() {
        assert_eq!(held(0.5, 50.0, 1000), Held::Holds);
        assert_eq!(held(0.5, 52.0, 1000), Held::Holds);
        // 50 is 9 % off, and at 100 trials its interval reaches from 40 to 61.
        assert_eq!(held(0.5, 55.0, 100), Held::TooFew);
        assert_eq!(held(0.5, 55.0, 10_000), Held::Fails);
        // Three trials are beyond the 99th percentile of 300.
        assert_eq!(held(0.99, 99.0, 300), Held::TooFew);
        assert_eq!(held(0.99, 99.0, 1000), Held::Holds);
    }

    #[test]
    fn what_never_came_is_longer_than_all() {
        let of = Quantile { share: 0.9, published_ms: 90.0, within_percent: Some(5.0) };
        let report = quantile(&of, &hundreds(100), 1000);
        assert_eq!((report.measured_ms, report.held), (None, Some(Held::Fails)));
    }

    #[test]
    fn shares_and_means_are_held_to_their_intervals() {
        let of = |published| Share { of: "x", told_by: ToldBy::CounterAbove("x", 1), published };
        let judged = |published, happened| share(&of(Some(published)), happened, 1000).unwrap().held.unwrap();
        assert_eq!(judged(0.181, 190), Held::Holds);
        assert_eq!(judged(0.181, 250), Held::Fails);
        assert_eq!(judged(0.001, 1), Held::TooFew);
        assert_eq!(share(&of(None), 3, 5).unwrap().held, None);
        let published = |published_ms| Some(Mean { published_ms, held: true });
        let judged = |ms| mean(published(ms), &hundreds(1000)).unwrap().held.unwrap();
        assert_eq!((judged(51.0), judged(55.0)), (Held::Holds, Held::Fails));
    }

    #[test]
    fn what_does_not_hold_counts_most() {
        let of = |quantiles| {
            let curve =
                Curve { label: "x", sim: "x/x", time: "x", since: Duration::ZERO, quantiles, mean: None, share: None };
            let mut trials = Trials::new(curve);
            (trials.times, trials.count) = (hundreds(1000), 1000);
            trials.report()
        };
        let quantile = |published_ms| Quantile { share: 0.5, published_ms, within_percent: Some(5.0) };
        let [good, bad] = [50.0, 70.0].map(|ms| of(vec![quantile(ms)]));
        let few = of(vec![Quantile { share: 0.999, ..quantile(100.0) }]);
        assert_eq!(exit(std::slice::from_ref(&good), false), Exit::Expected);
        assert_eq!(exit(&[good.clone(), bad], true), Exit::Found);
        assert_eq!(exit(&[good, few.clone()], true), Exit::Interrupted);
        assert_eq!(exit(&[few], false), Exit::Inconclusive);
    }
}
