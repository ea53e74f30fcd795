//! What was published of Raft's elections, and the sims that are to come to it.

use std::time::Duration;

use super::cluster::{FAILOVER, FIRST_CAMPAIGN, FIRST_COMMIT, FIRST_LEADER, FIRST_READ};
use crate::figure::{Axis, Curve, Figure, Mean, Quantile, Share, ToldBy};

/// The published quantiles of the elections' tables.
const QUANTILES: [f64; 4] = [0.1, 0.5, 0.9, 0.99];

pub(super) fn all() -> Vec<Figure> {
    vec![availsim(), figure_16(), split_votes(), commit_latency(), parallel_disk(), leaseguard()]
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

/// A commit takes the round trip of the follower that makes the majority: of n - 1 round trips, the one that ⌊n/2⌋ are no
/// longer than. With as many dead as may be, it is the longest.
fn commit_latency() -> Figure {
    let curve = |label, sim, time, published: [f64; 4], mean_ms: Option<f64>| Curve {
        label,
        sim,
        time,
        since: Duration::ZERO,
        quantiles: published.iter().zip(QUANTILES).filter(|(ms, _)| **ms > 0.0).map(within_one_percent).collect(),
        mean: mean_ms.map(|ms| Mean { published_ms: ms * TENFOLD, held: false }),
        share: None,
    };
    let alive = |label, sim, published, mean| curve(label, sim, FIRST_COMMIT, published, Some(mean));
    let dead = |label, sim, p50: f64, p99: f64| curve(label, sim, FIRST_COMMIT, [0.0, p50, 0.0, p99], None);
    Figure {
        name: "commit-latency",
        about: "The time to commit a command, and to serve a read by a round: 300 to 400 ms one way, and nothing written",
        source: "order statistics of n - 1 round trips, each the sum of two uniform times; for 30 to 40 ms, all times are \
                 a tenth of these",
        fitted: None,
        trials: 10_000,
        axis: Axis { title: "time to commit", min_ms: 600.0, max_ms: 800.0, logarithmic: false },
        curves: vec![
            alive("3 alive", "raft/commit-latency", [63.20, 67.65, 72.05, 75.53], 67.67),
            alive("5 alive", "raft/commit-latency@5", [65.34, 68.78, 71.99, 74.69], 68.73),
            alive("7 alive", "raft/commit-latency@7", [66.34, 69.18, 71.84, 74.12], 69.13),
            alive("9 alive", "raft/commit-latency@9", [66.92, 69.38, 71.70, 73.70], 69.34),
            dead("2 of 3", "raft/commit-latency@2-of-3", 70.00, 78.59),
            dead("3 of 5", "raft/commit-latency@3-of-5", 72.35, 79.00),
            dead("4 of 7", "raft/commit-latency@4-of-7", 73.58, 79.18),
            dead("5 of 9", "raft/commit-latency@5-of-9", 74.36, 79.29),
            curve(
                "read by a round, 5 alive",
                "raft/commit-latency@read",
                FIRST_READ,
                [65.34, 68.78, 71.99, 74.69],
                Some(68.73),
            ),
        ],
    }
}

/// Links are slower here than where it was computed, for times are whole milliseconds.
const TENFOLD: f64 = 10.0;

fn within_one_percent((ms, share): (&f64, f64)) -> Quantile {
    quantile(share, *ms * TENFOLD, Some(1.0))
}

/// A leader sends while it writes (dissertation, 10.2.1), so that its disk costs no more than a follower's.
fn parallel_disk() -> Figure {
    let held = |(share, ms)| quantile(share, ms, Some(2.0));
    Figure {
        name: "parallel-disk",
        about: "The time to commit a command where the leader's disk works beside its peers': 5 servers, 100 ms one way, \
                writes of 0 to 600 ms; one after the other it would be 739 ms and 1,200 ms",
        source: "an order statistic, for 1 ms and 0 to 6 ms: all times are a hundred times that, for disks here take whole \
                 milliseconds",
        fitted: None,
        trials: 10_000,
        axis: Axis { title: "time to commit", min_ms: 200.0, max_ms: 900.0, logarithmic: false },
        curves: vec![Curve {
            label: "5 servers",
            sim: "raft/parallel-disk",
            time: FIRST_COMMIT,
            since: Duration::ZERO,
            quantiles: [(0.5, 461.0), (0.99, 715.0)].map(held).to_vec(),
            mean: Some(Mean { published_ms: 462.0, held: false }),
            share: None,
        }],
    }
}

/// What `LeaseGuard`'s authors publish of their simulator. Its reads by a quorum wait in its code, too, and are not held.
fn leaseguard() -> Figure {
    let curve = |label, sim, time, p90_ms: f64, held| Curve {
        label,
        sim,
        time,
        since: Duration::ZERO,
        quantiles: vec![quantile(0.9, p90_ms * HUNDREDFOLD, held)],
        mean: None,
        share: None,
    };
    let write = |label, sim, p90_ms| curve(label, sim, FIRST_COMMIT, p90_ms, Some(3.0));
    let read = |label, sim, p90_ms| curve(label, sim, FIRST_READ, p90_ms, None);
    Figure {
        name: "leaseguard",
        about: "The time to commit a write, and to serve a read by a round, as links grow slower: 3 servers, log-normal \
                latencies of L hundred ms on average, writes of 25 ms",
        source: "A. J. J. Davis, M. Demirbas and L. Deng, LeaseGuard, SIGMOD 2026, the data of its simulator: 90 % of \
                 10,000 operations are below; all times are a hundred times those",
        fitted: None,
        trials: 10_000,
        axis: Axis { title: "time to answer", min_ms: 100.0, max_ms: 2_500.0, logarithmic: true },
        curves: vec![
            curve("write, L = 1", "raft/leaseguard", FIRST_COMMIT, 2.26, None),
            curve("write, L = 2", "raft/leaseguard@2", FIRST_COMMIT, 4.27, None),
            write("write, L = 3", "raft/leaseguard@3", 6.26),
            write("write, L = 5", "raft/leaseguard@5", 10.27),
            write("write, L = 8", "raft/leaseguard@8", 16.29),
            write("write, L = 10", "raft/leaseguard@10", 20.29),
            read("read, L = 1", "raft/leaseguard@read-1", 3.65),
            read("read, L = 3", "raft/leaseguard@read-3", 7.73),
            read("read, L = 10", "raft/leaseguard@read-10", 21.59),
        ],
    }
}

/// Times there are fractions of a millisecond, and here whole ones.
const HUNDREDFOLD: f64 = 100.0;

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
