use std::cell::RefCell;
use std::collections::BTreeSet;

use super::exhaust;
use super::machine::{Action, RaftModel, State};
use super::names::permutations;
use crate::model::{Bounds, Broken, End, Model, Search, search};

fn bounds() -> Bounds {
    let (nodes, terms, messages) = (3, 2, 2);
    let (crashes, duplicates, states) = (0, 0, 200_000);
    Bounds { nodes, terms, messages, crashes, duplicates, states, symmetry: true, check: None, bug: None }
}

fn found(bounds: &Bounds) -> Search {
    exhaust(bounds, &mut |_, _| true).expect("bounds that make sense")
}

/// The model without symmetry, which keeps the keys that the states have with it.
struct Keeping {
    plain: RaftModel,
    reduced: RaftModel,
    keys: RefCell<BTreeSet<u128>>,
}

impl Model for Keeping {
    type State = State;
    type Action = Action;

    fn start(&self) -> State {
        self.plain.start()
    }

    fn actions(&self, state: &State) -> Vec<Action> {
        self.plain.actions(state)
    }

    fn next(&self, state: &State, action: &Action) -> Result<Option<State>, Broken> {
        self.plain.next(state, action)
    }

    fn key(&self, state: &State) -> u128 {
        self.keys.borrow_mut().insert(self.reduced.key(state));
        self.plain.key(state)
    }

    fn tell(&self, action: &Action) -> String {
        self.plain.tell(action)
    }

    fn script(&self, path: &[Action], broken: &Broken) -> Result<String, String> {
        self.plain.script(path, broken)
    }
}

#[test]
fn with_and_without_symmetry_the_same_is_reached() {
    let cases = [
        Bounds { terms: 1, crashes: 1, ..bounds() },
        Bounds { terms: 1, duplicates: 1, ..bounds() },
        Bounds { nodes: 2, crashes: 1, ..bounds() },
    ];
    for bounds in cases {
        let with = found(&bounds);
        let reduced = RaftModel::new(&bounds).expect("good bounds");
        let plain = RaftModel::new(&Bounds { symmetry: false, ..bounds.clone() }).expect("good bounds");
        let keeping = Keeping { plain, reduced, keys: RefCell::default() };
        let without = search(&keeping, bounds.states, &mut |_, _| true);
        assert_eq!((&with.end, &without.end), (&End::Exhausted, &End::Exhausted), "{bounds:?}");
        assert_eq!((with.states, with.depth), (keeping.keys.borrow().len(), without.depth), "{bounds:?}");
        let orders = permutations(&vec![0; usize::try_from(bounds.nodes).expect("few")]).len();
        assert!(with.states < without.states && without.states <= with.states * orders, "{with:?} {without:?}");
    }
}

#[test]
fn the_core_keeps_what_it_promises_in_two_terms() {
    let all = found(&bounds());
    println!("{all:?}");
    assert_eq!(all.end, End::Exhausted);
    let crashes = found(&Bounds { terms: 1, crashes: 2, duplicates: 1, ..bounds() });
    println!("{crashes:?}");
    assert_eq!(crashes.end, End::Exhausted);
    let again = found(&Bounds { terms: 1, crashes: 2, duplicates: 1, ..bounds() });
    assert_eq!(again, crashes, "counts are the same each time");
}

#[test]
fn more_is_reached_within_wider_bounds() {
    let narrow = Bounds { terms: 1, ..bounds() };
    let states = |bounds: Bounds| found(&bounds).states;
    let least = states(narrow.clone());
    let wider = [
        Bounds { terms: 2, ..narrow.clone() },
        Bounds { messages: 3, ..narrow.clone() },
        Bounds { crashes: 1, ..narrow.clone() },
        Bounds { duplicates: 1, ..narrow.clone() },
        Bounds { nodes: 1, ..narrow.clone() },
    ]
    .map(states);
    assert!(wider[..4].iter().all(|wider| *wider > least) && wider[4] < least, "{least} {wider:?}");
}

#[test]
fn bounds_that_make_no_sense_are_refused() {
    let refused = |bounds: &Bounds| exhaust(bounds, &mut |_, _| true).expect_err("it makes no sense");
    assert_eq!(refused(&Bounds { nodes: 6, ..bounds() }), "6 nodes: expected 1 to 5");
    assert_eq!(refused(&Bounds { terms: 0, ..bounds() }), "0 terms: expected 1 to 100");
    let few = refused(&Bounds { nodes: 5, ..bounds() });
    assert_eq!(few, "2 messages: expected 4 to 100, for a candidate asks all others at once");
    let check = refused(&Bounds { check: Some("none".into()), ..bounds() });
    assert_eq!(check, "no check `none` for this search: expected `one-leader-per-term`");
}
