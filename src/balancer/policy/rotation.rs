//! Smooth weighted round robin, as nginx has it (`ngx_http_upstream_round_robin.c`); with equal weights, plain
//! rotation.
//!
//! At each turn every backend gains its weight in credit, and the one with the most credit is picked and pays all that
//! was gained. After as many turns as the weights add up to, all credits are zero again and each backend was picked as
//! often as its weight says. Among equals the next behind the last pick comes first, so that the order outlives a
//! change.

use std::cmp::Reverse;

use super::BackendId;
use super::candidate::Candidate;

/// Whose turn it is.
#[derive(Clone, Debug, Default)]
pub(super) struct Rotation {
    /// In the order of ids.
    turns: Vec<Turn>,
    last: Option<BackendId>,
}

#[derive(Clone, Debug)]
struct Turn {
    id: BackendId,
    weight: u32,
    is_warming: bool,
    credit: i64,
}

impl Rotation {
    /// The next of the candidates that `may` take the turn. The others neither gain nor pay, and so have no claim
    /// to catch up on it later.
    pub(super) fn next(&mut self, candidates: &[Candidate], may: impl Fn(&Candidate) -> bool) -> Option<BackendId> {
        self.begin_afresh_if_changed(candidates);
        let mut gained = 0;
        for (turn, candidate) in self.turns.iter_mut().zip(candidates).filter(|(_, candidate)| may(candidate)) {
            turn.credit += i64::from(candidate.share);
            gained += i64::from(candidate.share);
        }
        let order = |turn: &Turn| (turn.credit, Reverse((Some(turn.id) <= self.last, turn.id)));
        let eligible = self.turns.iter_mut().zip(candidates).filter(|(_, candidate)| may(candidate));
        let (turn, _) = eligible.max_by_key(|(turn, _)| order(turn))?;
        turn.credit -= gained;
        self.last = Some(turn.id);
        self.last
    }

    /// Credit won among others is worth nothing among these: kept, it would let one be picked twice in a row.
    fn begin_afresh_if_changed(&mut self, candidates: &[Candidate]) {
        let is_same = |turn: &Turn, candidate: &Candidate| {
            (turn.id, turn.weight, turn.is_warming) == (candidate.id, candidate.weight, candidate.is_warming)
        };
        let is_unchanged = self.turns.len() == candidates.len()
            && self.turns.iter().zip(candidates).all(|(turn, candidate)| is_same(turn, candidate));
        if !is_unchanged {
            let fresh = |c: &Candidate| Turn { id: c.id, weight: c.weight, is_warming: c.is_warming, credit: 0 };
            self.turns = candidates.iter().map(fresh).collect();
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn candidates(weights: &[u32]) -> Vec<Candidate> {
        let candidate = |(id, weight): (u32, &u32)| Candidate::idle(BackendId(id), *weight);
        (0..).zip(weights).map(candidate).collect()
    }

    fn turns(rotation: &mut Rotation, candidates: &[Candidate], count: usize) -> Vec<u32> {
        (0..count).map(|_| rotation.next(candidates, |_| true).expect("some may").0).collect()
    }

    #[test]
    fn the_example_of_nginx() {
        let mut rotation = Rotation::default();
        assert_eq!(turns(&mut rotation, &candidates(&[5, 1, 1]), 7), [0, 0, 1, 0, 2, 0, 0]);
    }

    #[test]
    fn a_skip_consumes_the_turn_and_shifts_nobody() {
        let (all, mut rotation) = (candidates(&[1, 1, 1]), Rotation::default());
        let without_b: Vec<_> = all.iter().filter(|candidate| candidate.id.0 != 1).cloned().collect();
        assert_eq!(turns(&mut rotation, &all, 4), [0, 1, 2, 0]);
        assert_eq!(turns(&mut rotation, &without_b, 5), [2, 0, 2, 0, 2], "b's turn is nobody's");
        assert_eq!(turns(&mut rotation, &all, 4), [0, 1, 2, 0], "and it has it again when it is back");
    }

    #[test]
    fn who_may_not_take_a_turn_gains_no_claim() {
        let (all, mut rotation) = (candidates(&[1, 1, 1]), Rotation::default());
        for _ in 0..10 {
            assert_ne!(rotation.next(&all, |candidate| candidate.id.0 != 0), Some(BackendId(0)));
        }
        let mut after = turns(&mut rotation, &all, 3);
        after.sort_unstable();
        assert_eq!(after, [0, 1, 2]);
        assert_eq!(rotation.next(&all, |_| false), None);
    }

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

        #[test]
        fn in_each_cycle_each_has_exactly_its_weight(
            weights in proptest::collection::vec(1_u32..20, 1..6),
            before in proptest::collection::vec(1_u32..20, 1..6),
            steps in 0_usize..40,
        ) {
            let mut rotation = Rotation::default();
            turns(&mut rotation, &candidates(&before), steps);
            let all = candidates(&weights);
            let cycle = weights.iter().sum::<u32>() as usize;
            if before == weights {
                turns(&mut rotation, &all, cycle - steps % cycle);
            }
            for _ in 0..3 {
                let picked = turns(&mut rotation, &all, cycle);
                for (id, weight) in (0..).zip(&weights) {
                    prop_assert_eq!(picked.iter().filter(|other| **other == id).count(), *weight as usize);
                }
            }
        }

        /// However turns are refused, nobody's credit runs away, so there is never a burst to make up for it.
        #[test]
        fn credit_stays_within_a_few_cycles(
            weights in proptest::collection::vec(1_u32..20, 1..6),
            refused in proptest::collection::vec(any::<u8>(), 0..500),
        ) {
            let (all, mut rotation) = (candidates(&weights), Rotation::default());
            for mask in refused {
                rotation.next(&all, |candidate| mask >> candidate.id.0 & 1 == 0);
                let bound = weights.iter().map(|weight| i64::from(*weight)).sum::<i64>() * 1000 * 5;
                prop_assert!(rotation.turns.iter().all(|turn| turn.credit.abs() <= bound));
            }
        }
    }
}
