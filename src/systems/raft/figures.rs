//! What was published of Raft's elections, and the sims that are to come to it.

use std::time::Duration;

use super::cluster::{FAILOVER, FIRST_CAMPAIGN, FIRST_LEADER};
use crate::figure::{Axis, Curve, Figure, Mean, Quantile, Share, ToldBy};

/// The published quantiles of the elections' tables.
const QUANTILES: [f64; 4] = [0.1, 0.5, 0.9, 0.99];

pub(super) fn all() -> Vec<Figure> {
    vec![availsim(), figure_16(), split_votes()]
}

/// Decoded from the curves that `AvailSim` plots, to 2 ms.
fn availsim() -> Figure {
    let curve = |label, sim, published: [f64; 5], mean_ms| {
        let held = published.iter().zip(QUANTILES).map(|(ms, share)| quantile(share, *ms, Some(5.0)));
        Curve {
            label,
            sim,
            time: FIRST_LEADER,
            since: Duration::ZERO,
            quantiles: held.chain([quantile(0.999, published[4], None)]).collect(),
            mean: Some(Mean { published_ms: mean_ms, held: false }),
            share: None,
        }
    };
    Figure {
        name: "availsim",
        about: "The time to elect a leader over a wide area: 5 servers, 30 to 40 ms one way, timeouts of 300 to 600 ms",
        source: "D. Ongaro, AvailSim, decoded from its curves of 10,000 elections each (to 2 ms)",
        fitted: None,
        trials: 10_000,
        axis: Axis { title: "time to elect a leader", min_ms: 300.0, max_ms: 1_500.0, logarithmic: false },
        curves: vec![
            curve("all 5 alive", "raft/availsim", [375.0, 410.0, 489.0, 833.0, 985.0], 430.0),
            curve("1 of 5 failed", "raft/availsim@one-failed", [379.0, 423.0, 562.0, 1005.0, 1385.0], 469.0),
        ],
    }
}

fn figure_16() -> Figure {
    let curve = |label, sim, published: [f64; 4], mean_ms, within_percent: Option<f64>| {
        let within = |share: f64| within_percent.filter(|_| share <= 0.9);
        let quantiles = published.iter().zip(QUANTILES).map(|(ms, share)| quantile(share, *ms, within(share)));
        let mean = Some(Mean { published_ms: mean_ms, held: false });
        Curve { quantiles: quantiles.collect(), mean, ..failover(label, sim) }
    };
    let share = Share {
        of: "longer than 10 s (\"consistently\", says the paper)",
        told_by: ToldBy::LongerThan(Duration::from_secs(10)),
        published: None,
    };
    Figure {
        name: "raft-16",
        about: "The time without a leader after a crash, for ranges of election timeouts: 5 servers in one network, of \
                which 2 of the 4 survivors cannot win",
        source: "D. Ongaro and J. Ousterhout, In Search of an Understandable Consensus Algorithm, 2014, figure 16",
        fitted: Some(
            "1 ms one way; timeouts in whole ms; a vote takes two syncs, each normal with mean 0.5 and sd 2 ms, cut \
             off at 0 and rounded up to whole ms: 2.8 ms together on average",
        ),
        trials: 1_000,
        axis: Axis { title: "time without a leader", min_ms: 10.0, max_ms: 10_000.0, logarithmic: true },
        curves: vec![
            Curve { share: Some(share), ..failover("150-150 ms", "raft/figure-16@150-150") },
            curve("150-151 ms", "raft/figure-16@150-151", [434.0, 1199.0, 3132.0, 6013.0], 1536.0, None),
            curve("150-155 ms", "raft/figure-16@150-155", [119.0, 287.0, 609.0, 1242.0], 345.0, None),
            curve("150-175 ms", "raft/figure-16@150-175", [107.0, 141.0, 291.0, 467.0], 164.0, Some(15.0)),
            curve("150-200 ms", "raft/figure-16@150-200", [110.0, 146.0, 194.0, 352.0], 156.0, None),
            curve("150-300 ms", "raft/figure-16", [125.0, 171.0, 244.0, 415.0], 181.0, Some(15.0)),
            curve("12-24 ms", "raft/figure-16@12-24", [20.0, 30.0, 53.0, 87.0], 35.0, None),
        ],
    }
}

fn failover(label: &'static str, sim: &'static str) -> Curve {
    let since = Duration::ZERO;
    Curve { label, sim, time: FAILOVER, since, quantiles: Vec::new(), mean: None, share: None }
}

fn split_votes() -> Figure {
    const SERVERS: u32 = 5;
    const LEAST: Duration = Duration::from_secs(1);
    const RANGE_MS: f64 = 1_500.0;
    let curve = |label, sim, alive: u32, latency: f64| {
        let first = |share: f64| RANGE_MS * (1.0 - libm::pow(1.0 - share, 1.0 / f64::from(alive)));
        Curve {
            label,
            sim,
            time: FIRST_CAMPAIGN,
            since: LEAST,
            quantiles: QUANTILES.map(|share| quantile(share, first(share), None)).to_vec(),
            mean: Some(Mean { published_ms: RANGE_MS / f64::from(alive + 1), held: true }),
            share: Some(Share {
                of: "split votes: nobody is elected in the first round",
                told_by: ToldBy::CounterAbove("terms", 1),
                published: Some(split_rate(SERVERS, alive, latency)),
            }),
        }
    };
    Figure {
        name: "split-votes",
        about: "How often a vote is split, and when the first of s servers times out: at 1/(s+1) of the range of \
                timeouts on average",
        source: "D. Ongaro, Consensus: Bridging Theory and Practice, 2014, chapter 9: closed forms",
        fitted: None,
        trials: 5_000,
        axis: Axis {
            title: "first timeout, above the least possible one",
            min_ms: 0.0,
            max_ms: 1_200.0,
            logarithmic: false,
        },
        curves: vec![
            curve("4 of 5 alive, latency 0.1 of the range", "raft/split-rate", 4, 0.1),
            curve("4 of 5 alive, latency 0.2 of the range", "raft/split-rate@far", 4, 0.2),
            curve("3 of 5 alive, latency 0.2 of the range", "raft/split-rate@far-and-few", 3, 0.2),
        ],
    }
}

fn quantile(share: f64, published_ms: f64, within_percent: Option<f64>) -> Quantile {
    Quantile { share, published_ms, within_percent }
}

/// How often nobody is elected in the first round (dissertation, chapter 9): among `alive` of `servers`, so many time
/// out within one latency of the first that none has a majority left to ask. The latency is fixed, and a fraction of
/// the range that timeouts are uniform in.
fn split_rate(servers: u32, alive: u32, latency: f64) -> f64 {
    let candidates = alive - servers / 2 + 1;
    let exactly = |k: u32| {
        let ways = (0..k).fold(1.0, |ways, i| ways * f64::from(alive - i) / f64::from(i + 1));
        let power = |base: f64, exponent: u32| libm::pow(base, f64::from(exponent));
        ways * power(latency, k) * power(1.0 - latency, alive - k)
    };
    (candidates - 1..=alive).map(exactly).sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_closed_form_is_the_published_one() {
        for (alive, latency, percent) in [(4, 0.1, 5.2), (4, 0.2, 18.1), (3, 0.2, 48.8)] {
            let rate = 100.0 * split_rate(5, alive, latency);
            assert!((rate - percent).abs() < 0.05, "{alive} alive at {latency}: {rate} % instead of {percent} %");
        }
        assert!(split_rate(5, 5, 0.0).abs() < 1e-12, "without latency nobody is in the way");
    }

    #[test]
    fn every_quantile_that_is_bound_can_be_judged_with_the_usual_trials() {
        for figure in all() {
            for quantile in figure.curves.iter().flat_map(|curve| &curve.quantiles) {
                let beyond = figure.trials as f64 * (1.0 - quantile.share).min(quantile.share);
                assert!(quantile.within_percent.is_none() || beyond > 50.0, "{}: {quantile:?}", figure.name);
            }
        }
    }
}
