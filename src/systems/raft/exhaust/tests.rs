use std::cell::RefCell;
use std::collections::BTreeSet;

use super::exhaust;
use super::machine::{Action, RaftModel, State};
use super::names::permutations;
use crate::model::{Bounds, Broken, End, Model, Reach, Search, search};
use crate::rng::Seed;
use crate::script::{Lane, Script};
use crate::sim::{RunOptions, Verdict, run};
use crate::systems::raft::Raft;

fn bounds() -> Bounds {
    let (nodes, terms, messages) = (3, 2, 2);
    let (crashes, duplicates, entries, states) = (0, 0, 0, 200_000);
    Bounds {
        nodes,
        terms,
        messages,
        crashes,
        duplicates,
        entries,
        states,
        symmetry: true,
        check: None,
        scripted: false,
        bug: None,
    }
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

    fn settle(&self, state: State) -> State {
        self.plain.settle(state)
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

/// The model, its states without anything in common.
struct Apart(RaftModel);

impl Model for Apart {
    type State = State;
    type Action = Action;

    fn start(&self) -> State {
        self.0.start()
    }

    fn actions(&self, state: &State) -> Vec<Action> {
        self.0.actions(state)
    }

    fn next(&self, state: &State, action: &Action) -> Result<Option<State>, Broken> {
        self.0.next(state, action)
    }

    fn key(&self, state: &State) -> u128 {
        self.0.key(state)
    }

    fn tell(&self, action: &Action) -> String {
        self.0.tell(action)
    }

    fn script(&self, path: &[Action], broken: &Broken) -> Result<String, String> {
        self.0.script(path, broken)
    }
}

#[test]
fn with_and_without_symmetry_the_same_is_reached() {
    let cases = [
        Bounds { terms: 1, crashes: 1, ..bounds() },
        Bounds { terms: 1, duplicates: 1, ..bounds() },
        Bounds { nodes: 2, crashes: 1, ..bounds() },
        Bounds { nodes: 2, terms: 1, entries: 1, messages: 1, ..bounds() },
    ];
    for bounds in cases {
        let with = found(&bounds);
        let reduced = RaftModel::new(&bounds).expect("good bounds");
        let plain = RaftModel::new(&Bounds { symmetry: false, ..bounds.clone() }).expect("good bounds");
        let keeping = Keeping { plain, reduced, keys: RefCell::default() };
        let reach = Reach { states: bounds.states, scripted: false };
        let without = search(&keeping, reach, &mut |_, _| true);
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
fn the_core_keeps_its_log_as_it_promises() {
    let found = found(&Bounds { nodes: 2, terms: 1, messages: 1, entries: 1, crashes: 1, ..bounds() });
    println!("{found:?}");
    assert_eq!(found.end, End::Exhausted);
}

/// What is shared is alike: without sharing, the same comes out.
#[test]
fn states_that_share_are_the_same_states() {
    let bounds = Bounds { nodes: 2, terms: 1, messages: 1, entries: 1, crashes: 1, ..bounds() };
    let apart = Apart(RaftModel::new(&bounds).expect("good bounds"));
    let reach = Reach { states: bounds.states, scripted: false };
    assert_eq!(search(&apart, reach, &mut |_, _| true), found(&bounds));
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
        Bounds { entries: 1, states: 2_000, ..narrow.clone() },
        Bounds { nodes: 1, ..narrow.clone() },
    ]
    .map(states);
    assert!(wider[..5].iter().all(|wider| *wider > least) && wider[5] < least, "{least} {wider:?}");
}

/// A path by its steps in words.
fn path(model: &RaftModel, steps: &[&str]) -> (Vec<Action>, State) {
    let (mut state, mut path) = (model.start(), Vec::new());
    for step in steps {
        let actions = model.actions(&state);
        let told = || actions.iter().map(|action| model.tell(action)).collect::<Vec<_>>();
        let action = actions.iter().find(|action| model.tell(action) == *step);
        let action = action.unwrap_or_else(|| panic!("`{step}` is none of {:#?}", told())).clone();
        let next = model.next(&state, &action).expect("nothing is broken");
        state = next.expect("it is within the bounds");
        path.push(action);
    }
    (path, state)
}

#[test]
fn a_script_proposes_syncs_and_beats_when_the_path_does() {
    let model = RaftModel::new(&Bounds { terms: 1, messages: 9, entries: 1, ..bounds() }).expect("good bounds");
    let steps = [
        "the election timer of n1 runs out",
        "RequestVote (term 1) from n1 to n2 arrives",
        "RequestVoteResponse (term 1, granted) from n2 to n1 arrives",
        "a client's command comes to n1",
        "AppendEntries (1 term 1) from n1 to n2 arrives",
        "what n2 was writing to its log is durable",
        "AppendEntriesResponse (term 1, up to 1) from n2 to n1 arrives",
        "what n1 was writing to its log is durable 2 times",
        "AppendEntries (2 term 1) from n1 to n2 arrives",
        "what n2 was writing to its log is durable",
        "AppendEntriesResponse (term 1, up to 2) from n2 to n1 arrives",
        "n1, which leads, wakes",
        "AppendEntries (term 1) from n1 to n2 arrives",
    ];
    let (path, state) = path(&model, &steps);
    assert_eq!(state.nodes.iter().map(|node| node.core.commit_index()).collect::<Vec<_>>(), [2, 2, 0]);
    let broken = Broken { invariant: "nothing".into(), message: String::new() };
    let text = model.script(&path, &broken).expect("a script can say it");
    for said in ["raft = { propose = \"n1\" }", "fault = \"sync-hangs\"", "raft = { jump = \"n1\", by = "] {
        assert!(text.contains(said), "{said}: {text}");
    }
    for lane in [Lane::Core, Lane::Turmoil] {
        let script = Script { lane: Some(lane), ..Script::parse("path.toml", &text).expect("a right script") };
        let outcome = run(&Raft, &script, Seed(7), &RunOptions::default()).expect("it runs");
        assert_eq!(outcome.verdict, Verdict::Pass, "{text}");
        let counters = ["proposals", "commits", "leaders"].map(|name| outcome.counter(name));
        assert_eq!(counters, [1, 2, 1], "{text}");
    }
}

#[test]
fn bounds_that_make_no_sense_are_refused() {
    let refused = |bounds: &Bounds| exhaust(bounds, &mut |_, _| true).expect_err("it makes no sense");
    assert_eq!(refused(&Bounds { nodes: 6, ..bounds() }), "6 nodes: expected 1 to 5");
    assert_eq!(refused(&Bounds { terms: 0, ..bounds() }), "0 terms: expected 1 to 100");
    let few = refused(&Bounds { nodes: 5, ..bounds() });
    assert_eq!(few, "2 messages: expected 4 to 100, for a candidate asks all others at once");
    assert_eq!(refused(&Bounds { entries: 101, ..bounds() }), "101 entries: expected 0 to 100");
    let check = refused(&Bounds { check: Some("none".into()), ..bounds() });
    assert_eq!(check, "no check `none` for this search: expected `one-leader-per-term`");
}
