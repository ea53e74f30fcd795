//! The choice among backends that may be asked, by their load.

use super::candidate::Candidate;
use super::rotation::Rotation;
use super::{BackendId, Policy};
use crate::rng::{Rng, between};

/// The candidate that the policy gives the request to, of those that may have it.
pub(super) fn choose(
    policy: Policy,
    candidates: &[Candidate],
    rotation: &mut Rotation,
    rng: &mut Rng,
) -> Option<BackendId> {
    match policy {
        Policy::RoundRobin => rotation.next(candidates, |candidate| candidate.may),
        Policy::LeastConnections => {
            let allowed = || candidates.iter().filter(|candidate| candidate.may);
            let least = allowed().reduce(|a, b| if b.is_below(a, Candidate::in_flight) { b } else { a })?;
            rotation.next(candidates, |candidate| candidate.may && !least.is_below(candidate, Candidate::in_flight))
        }
        Policy::PeakEwma => two_choices(candidates, rng),
    }
}

/// Of two distinct ones, drawn uniformly, the one with the lower load.
fn two_choices(candidates: &[Candidate], rng: &mut Rng) -> Option<BackendId> {
    let allowed: Vec<_> = candidates.iter().filter(|candidate| candidate.may).collect();
    let (first, second) = match allowed.len() {
        0 => return None,
        1 => return Some(allowed[0].id),
        count => two_of(count, rng),
    };
    let (first, second) = (allowed[first], allowed[second]);
    Some(if second.is_below(first, Candidate::expected_wait) { second.id } else { first.id })
}

/// Two distinct places of `count`, which is at least 2.
fn two_of(count: usize, rng: &mut Rng) -> (usize, usize) {
    let mut draw = |places: usize| {
        let place = between(rng, 0, places as u64 - 1);
        usize::try_from(place).expect("it is less than a usize")
    };
    let (first, second) = (draw(count), draw(count - 1));
    (first, if second >= first { second + 1 } else { second })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::rng::Seed;

    fn loaded(loads: &[(u32, u32)]) -> Vec<Candidate> {
        let candidate = |(id, (weight, in_flight)): (u32, &(u32, u32))| Candidate {
            in_flight: *in_flight,
            ..Candidate::idle(BackendId(id), *weight)
        };
        (0..).zip(loads).map(candidate).collect()
    }

    fn least(candidates: &[Candidate], rotation: &mut Rotation) -> u32 {
        let mut rng = Seed(1).stream("unused");
        choose(Policy::LeastConnections, candidates, rotation, &mut rng).expect("some may").0
    }

    #[test]
    fn least_connections_counts_for_each_unit_of_weight_and_rotates_among_equals() {
        let mut rotation = Rotation::default();
        assert_eq!(least(&loaded(&[(1, 3), (2, 4), (4, 12)]), &mut rotation), 1);
        let idle = loaded(&[(1, 0), (1, 0), (1, 0)]);
        let turns: Vec<_> = (0..4).map(|_| least(&idle, &mut rotation)).collect();
        assert_eq!(turns, [2, 0, 1, 2]);
    }

    #[test]
    fn of_two_the_faster_is_taken_until_its_queue_is_as_long() {
        let mut rng = Seed(1).stream("choice");
        let mut both = loaded(&[(1, 0), (1, 0)]);
        both[0].latency_ns = 4_000;
        assert_eq!(two_choices(&both, &mut rng), Some(BackendId(1)));
        both[1].in_flight = 4;
        assert_eq!(two_choices(&both, &mut rng), Some(BackendId(0)));
        both[1].share *= 2;
        assert_eq!(two_choices(&both, &mut rng), Some(BackendId(1)), "twice the weight carries twice the load");
    }

    #[test]
    fn the_two_are_distinct_and_each_pair_is_as_likely() {
        let mut rng = Seed(3).stream("choice");
        let mut drawn = [[0; 4]; 4];
        for _ in 0..12_000 {
            let (first, second) = two_of(4, &mut rng);
            drawn[first][second] += 1;
        }
        for (first, row) in drawn.iter().enumerate() {
            for (second, count) in row.iter().enumerate() {
                let is_fair = if first == second { *count == 0 } else { (850..1150).contains(count) };
                assert!(is_fair, "{first} and {second}: {count} of 12000");
            }
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

        #[test]
        fn least_connections_picks_a_minimum(
            loads in proptest::collection::vec((1_u32..5, 0_u32..9, any::<bool>()), 1..7),
        ) {
            let mut candidates = loaded(&loads.iter().map(|(weight, count, _)| (*weight, *count)).collect::<Vec<_>>());
            candidates.iter_mut().zip(&loads).for_each(|(candidate, (.., may))| candidate.may = *may);
            let (mut rotation, mut rng) = (Rotation::default(), Seed(1).stream(""));
            let chosen = choose(Policy::LeastConnections, &candidates, &mut rotation, &mut rng);
            let allowed: Vec<_> = candidates.iter().filter(|candidate| candidate.may).collect();
            prop_assert_eq!(chosen.is_none(), allowed.is_empty());
            if let Some(BackendId(chosen)) = chosen {
                let chosen = &candidates[chosen as usize];
                prop_assert!(chosen.may && !allowed.iter().any(|other| other.is_below(chosen, Candidate::in_flight)));
            }
        }

        #[test]
        fn two_choices_never_take_the_worst_of_three_or_more(
            loads in proptest::collection::vec(0_u32..1000, 3..7),
            seed in any::<u64>(),
        ) {
            let candidates = loaded(&loads.iter().map(|in_flight| (1, *in_flight)).collect::<Vec<_>>());
            let BackendId(chosen) = two_choices(&candidates, &mut Seed(seed).stream("")).expect("some may");
            let worse = loads.iter().filter(|other| **other >= loads[chosen as usize]).count();
            prop_assert!(worse >= 2, "one other at least is no better");
        }
    }
}
