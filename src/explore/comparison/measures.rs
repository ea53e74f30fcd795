//! The figures of two sets of runs, each beside the other's.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::super::statistics::{self, Estimate};
use super::{Half, Pair};
use crate::report::json::milliseconds;
use crate::sim::Outcome;

/// How far a simulated figure may be from the real one: 10 %.
pub const BOUND: f64 = 0.10;
/// The same of a transfer in bulk, which takes one of a few times by how slow start ends: 15 %.
pub const BOUND_OF_BULK: f64 = 0.15;
/// The time of a transfer in bulk.
const BULK: &str = "bulk";
/// The quantiles that are compared, in percent.
const PERCENTS: [u64; 3] = [50, 90, 99];
/// A quantile beyond which fewer samples lie is left out.
const SAMPLES_BEYOND_MIN: u64 = 4;

/// One figure of both.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Measure {
    /// What it is of.
    pub group: Group,
    /// Its name.
    pub name: String,
    /// Of times: which quantile, in percent.
    pub percent: Option<u64>,
    /// In what both are told.
    pub unit: Unit,
    /// Simulated: of counts, the mean over the seeds; null where no such time was told.
    pub simulated: Option<f64>,
    /// Live.
    pub live: Option<f64>,
    /// How many times are behind each of both; of counts, how many seeds.
    pub samples: [u64; 2],
    /// Simulated over live; null where the latter is 0, or not there.
    pub ratio: Option<f64>,
    /// How far from 1 the ratio may be.
    pub bound: f64,
    /// Whether it is.
    pub distance: Distance,
}

/// What a figure is of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Group {
    /// What the system counts.
    Work,
    /// Packets.
    Packets,
    /// Faults that began.
    Faults,
    /// The system's times.
    Times,
}

/// In what a figure is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum Unit {
    /// So many in a run.
    #[serde(rename = "in a run")]
    InARun,
    /// Milliseconds.
    #[serde(rename = "ms")]
    Milliseconds,
}

/// How far the two are from each other.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Distance {
    /// Within the bound.
    Within,
    /// Further, but by no more than the tick in which simulated time goes.
    Tick,
    /// Further, but no further than two such samples may be by chance: their 95 % intervals overlap.
    Chance,
    /// Further.
    Off,
    /// Only one of them tells such a time.
    Alone,
}

/// All figures of these runs; those that are 0 in both are left out.
pub(super) fn measures(pairs: &[&Pair], tick: Duration) -> Vec<Measure> {
    let outcomes = |half: fn(&Pair) -> &Half| -> Vec<Option<&Outcome>> {
        pairs.iter().map(|pair| half(pair).ran.outcome()).collect()
    };
    let (simulated, live) = (outcomes(|pair| &pair.simulated), outcomes(|pair| &pair.live));
    let mut all = Vec::new();
    let mut count = |group, name: &str, simulated: Vec<u64>, live: Vec<u64>| {
        all.extend(of_counts(group, name, &simulated, &live));
    };
    let names = |of: fn(&Outcome) -> &BTreeMap<String, u64>| -> BTreeSet<String> {
        simulated.iter().chain(&live).flatten().flat_map(|outcome| of(outcome).keys().cloned()).collect()
    };
    let counted = |of: &dyn Fn(&Outcome) -> u64, outcomes: &[Option<&Outcome>]| -> Vec<u64> {
        outcomes.iter().map(|outcome| outcome.map_or(0, of)).collect()
    };
    for name in names(|outcome| &outcome.counters) {
        let of = |outcome: &Outcome| outcome.counters.get(&name).copied().unwrap_or(0);
        count(Group::Work, &name, counted(&of, &simulated), counted(&of, &live));
    }
    for name in ["sent", "retransmitted", "delivered", "lost", "duplicated", "corrupted"] {
        let of = |outcome: &Outcome| outcome.counter(&format!("packets.{name}"));
        count(Group::Packets, name, counted(&of, &simulated), counted(&of, &live));
    }
    for name in names(|outcome| &outcome.faults) {
        let of = |outcome: &Outcome| outcome.faults.get(&name).copied().unwrap_or(0);
        count(Group::Faults, &name, counted(&of, &simulated), counted(&of, &live));
    }
    let (simulated, live) = (pooled(&simulated), pooled(&live));
    let none = Vec::new();
    for name in simulated.keys().chain(live.keys()).collect::<BTreeSet<_>>() {
        let samples = [&simulated, &live].map(|side| side.get(name).unwrap_or(&none).as_slice());
        all.extend(PERCENTS.iter().filter_map(|percent| of_times(name, *percent, samples, tick)));
    }
    all
}

/// All times of some runs, in milliseconds and in order, by name.
fn pooled(outcomes: &[Option<&Outcome>]) -> BTreeMap<String, Vec<f64>> {
    let mut all: BTreeMap<String, Vec<f64>> = BTreeMap::new();
    for (name, times) in outcomes.iter().flatten().flat_map(|outcome| &outcome.samples) {
        all.entry(name.clone()).or_default().extend(times.iter().map(|time| milliseconds(*time)));
    }
    all.values_mut().for_each(|times| times.sort_unstable_by(f64::total_cmp));
    all
}

fn of_counts(group: Group, name: &str, simulated: &[u64], live: &[u64]) -> Option<Measure> {
    let [one, other] = [simulated, live].map(|counts| {
        let counts: Vec<f64> = counts.iter().map(|count| *count as f64).collect();
        statistics::mean(&counts)
    });
    let (one, other) = (one?, other?);
    if one.value == 0.0 && other.value == 0.0 {
        return None;
    }
    let samples = [simulated, live].map(|counts| counts.len() as u64);
    let (ratio, distance) = apart(one, other, BOUND, 0.0);
    let (name, unit) = (name.to_owned(), Unit::InARun);
    let (simulated, live) = (Some(one.value), Some(other.value));
    Some(Measure { group, name, percent: None, unit, simulated, live, samples, ratio, bound: BOUND, distance })
}

/// A quantile of times, if either side has any: one that only one side has is no figure that may be left out.
fn of_times(name: &str, percent: u64, samples: [&[f64]; 2], tick: Duration) -> Option<Measure> {
    let counts = samples.map(|side| side.len() as u64);
    let beyond = |count: u64| count * (100 - percent) >= SAMPLES_BEYOND_MIN * 100;
    let is_enough = match counts {
        [0, other] | [other, 0] => percent == PERCENTS[0] && other > 0,
        both => both.into_iter().all(beyond),
    };
    if !is_enough {
        return None;
    }
    let of = |side: &[f64]| statistics::quantile(side, side.len() as u64, percent as f64 / 100.0);
    let both = samples.map(of);
    let bound = if name == BULK { BOUND_OF_BULK } else { BOUND };
    let (ratio, distance) = match both {
        [Some(one), Some(other)] => apart(one, other, bound, milliseconds(tick)),
        _ => (None, Distance::Alone),
    };
    let (group, name, unit, percent) = (Group::Times, name.to_owned(), Unit::Milliseconds, Some(percent));
    let [simulated, live] = both.map(|side| side.map(|side| side.value));
    Some(Measure { group, name, percent, unit, simulated, live, samples: counts, ratio, bound, distance })
}

/// The ratio of two figures, and how far they are from each other.
fn apart(one: Estimate, other: Estimate, bound: f64, grain: f64) -> (Option<f64>, Distance) {
    let ratio = (other.value > 0.0).then(|| one.value / other.value);
    // A hair's breadth, for what floats make of a whole number of per cents.
    let distance = if ratio.is_some_and(|ratio| (ratio - 1.0).abs() <= bound + 1e-9) {
        Distance::Within
    } else if (one.value - other.value).abs() <= grain + 1e-9 {
        Distance::Tick
    } else if one.low <= other.high && other.low <= one.high {
        Distance::Chance
    } else {
        Distance::Off
    };
    (ratio, distance)
}

#[cfg(test)]
mod tests {
    use super::*;

    const TICK: Duration = Duration::from_millis(1);

    fn times(simulated: &[f64], live: &[f64]) -> Vec<Measure> {
        PERCENTS.iter().filter_map(|percent| of_times("rtt", *percent, [simulated, live], TICK)).collect()
    }

    fn spread(from: f64, count: u32) -> Vec<f64> {
        (0..count).map(|place| from + f64::from(place) * 1e-3).collect()
    }

    #[test]
    fn a_quantile_beyond_which_fewer_than_four_samples_lie_is_left_out() {
        let percents = |count| -> Vec<u64> {
            times(&spread(50.0, 400), &spread(50.0, count)).iter().filter_map(|measure| measure.percent).collect()
        };
        assert_eq!(percents(400), [50, 90, 99]);
        assert_eq!(percents(399), [50, 90]);
        assert_eq!(percents(39), [50]);
        assert_eq!(percents(7), [] as [u64; 0]);
    }

    #[test]
    fn times_that_only_one_side_tells_are_not_left_out() {
        for (one, other) in [(spread(50.0, 1), Vec::new()), (Vec::new(), spread(50.0, 1))] {
            let found = times(&one, &other);
            assert_eq!(found.len(), 1);
            assert_eq!(found[0].distance, Distance::Alone, "{found:?}");
            assert!(found[0].simulated.xor(found[0].live).is_some(), "{found:?}");
        }
        assert!(times(&[], &[]).is_empty());
    }

    #[test]
    fn figures_are_held_to_ten_per_cent_and_bulk_to_fifteen() {
        let distance = |name, simulated: f64, live: f64| {
            let samples = [spread(simulated, 400), spread(live, 400)];
            of_times(name, 50, [&samples[0], &samples[1]], TICK).expect("enough samples").distance
        };
        assert_eq!(distance("rtt", 109.0, 100.0), Distance::Within);
        assert_eq!(distance("rtt", 112.0, 100.0), Distance::Off);
        assert_eq!(distance("rtt", 88.0, 100.0), Distance::Off);
        assert_eq!(distance("bulk", 112.0, 100.0), Distance::Within);
        assert_eq!(distance("bulk", 117.0, 100.0), Distance::Off);
        // 20 % of 4 ms are less than the tick.
        assert_eq!(distance("rtt", 4.0, 4.9), Distance::Tick);
        assert_eq!(distance("rtt", 4.0, 5.2), Distance::Off);
    }

    #[test]
    fn what_chance_may_do_is_told_from_what_it_may_not() {
        let of = |simulated: &[u64], live: &[u64]| of_counts(Group::Packets, "lost", simulated, live);
        let distance = |simulated: &[u64], live: &[u64]| of(simulated, live).expect("they are not 0").distance;
        assert_eq!(distance(&[100, 101, 99], &[104, 103, 105]), Distance::Within);
        assert_eq!(distance(&[50, 150, 100], &[90, 160, 140]), Distance::Chance);
        assert_eq!(distance(&[100, 101, 99], &[130, 131, 129]), Distance::Off);
        // Of one seed each nobody can tell; where the counts are always the same, chance has no part in it.
        assert_eq!(distance(&[1], &[2]), Distance::Chance);
        assert_eq!(distance(&[1, 1], &[2, 2]), Distance::Off);
        let never = of(&[3, 3], &[0, 0]).expect("one is not 0");
        assert_eq!((never.ratio, never.distance), (None, Distance::Off));
        assert_eq!(of(&[0, 0], &[0, 0]), None);
    }
}
