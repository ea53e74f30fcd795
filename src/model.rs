//! Every path of a small system: breadth first, each state once.
//!
//! The search is a page, and own code for three reasons. A state is known by a key of 128 bits, so what is kept of a
//! state that was left is that key and the step that led there, not the state. The path is made again from its steps, with each in words. And
//! one thread visits states in one order, so counts and the path found are the same on every machine.
//!
//! **Invariant:** the search is breadth first, so the first violation is one that no shorter path leads to.

use std::collections::BTreeSet;

/// A system whose steps can be enumerated.
pub trait Model {
    /// All that decides what can come next, and what it would break.
    type State: Clone;
    /// A step.
    type Action: Clone;

    /// Where every path begins.
    fn start(&self) -> Self::State;

    /// The steps that are possible, always in the same order.
    fn actions(&self, state: &Self::State) -> Vec<Self::Action>;

    /// Takes a step: none if it leads beyond the bounds, and an error if it breaks an invariant.
    fn next(&self, state: &Self::State, action: &Self::Action) -> Result<Option<Self::State>, Broken>;

    /// The same for states that differ in nothing that counts, and for no others.
    fn key(&self, state: &Self::State) -> u128;

    /// A step in words.
    fn tell(&self, action: &Self::Action) -> String;
}

/// An invariant that a step broke.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Broken {
    /// Its name.
    pub invariant: String,
    /// One sentence.
    pub message: String,
}

/// How far a search goes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Bounds {
    /// The hosts.
    pub nodes: u64,
    /// The terms in which a campaign may begin.
    pub terms: u64,
    /// The messages in flight at once.
    pub messages: usize,
    /// Power losses in all.
    pub crashes: u8,
    /// Deliveries that leave the message in flight, in all.
    pub duplicates: u8,
    /// Distinct states, before the search gives up.
    pub states: usize,
    /// Whether states that differ in the names of hosts only are one.
    pub symmetry: bool,
    /// The bug that every host has.
    pub bug: Option<String>,
}

/// What a search came to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Search {
    /// Distinct states.
    pub states: usize,
    /// Steps taken, also those to states that were known.
    pub transitions: u64,
    /// The most steps from the start to a state.
    pub depth: usize,
    /// Whether no state within the bounds is left.
    pub exhausted: bool,
    /// The first violation, with the shortest path to it.
    pub violation: Option<Violation>,
}

/// A shortest path to a violation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Violation {
    /// What the last step broke.
    pub broken: Broken,
    /// The steps, in words.
    pub steps: Vec<String>,
}

/// Visits at most `states_max` states. `watch` hears, now and then, how many were visited and how deep.
pub fn search<M: Model>(model: &M, states_max: usize, watch: &mut dyn FnMut(usize, usize)) -> Search {
    let start = model.start();
    let mut known = BTreeSet::from([model.key(&start)]);
    // Of each state: the state before, and the step from there.
    let mut steps: Vec<Option<(usize, M::Action)>> = vec![None];
    let mut level = vec![(0, start)];
    let mut found = Search { states: 1, transitions: 0, depth: 0, exhausted: false, violation: None };
    while !level.is_empty() {
        let mut deeper = Vec::new();
        for (place, state) in level {
            for action in model.actions(&state) {
                let next = match model.next(&state, &action) {
                    Ok(Some(next)) => next,
                    Ok(None) => continue,
                    Err(broken) => {
                        found.transitions += 1;
                        found.depth += 1;
                        let steps = path(&steps, place, action).iter().map(|action| model.tell(action)).collect();
                        found.violation = Some(Violation { broken, steps });
                        return found;
                    }
                };
                found.transitions += 1;
                if !known.insert(model.key(&next)) {
                    continue;
                }
                if found.states == states_max {
                    return found;
                }
                found.states += 1;
                deeper.push((steps.len(), next));
                steps.push(Some((place, action)));
                if found.states % 4096 == 0 {
                    watch(found.states, found.depth + 1);
                }
            }
        }
        found.depth += usize::from(!deeper.is_empty());
        level = deeper;
    }
    found.exhausted = true;
    found
}

/// The steps from the start to the state at `place`, and the one after.
fn path<A: Clone>(steps: &[Option<(usize, A)>], mut place: usize, last: A) -> Vec<A> {
    let mut path = vec![last];
    while let Some((before, action)) = &steps[place] {
        path.push(action.clone());
        place = *before;
    }
    path.reverse();
    path
}
