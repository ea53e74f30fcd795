//! Every path of a small system: breadth first, each state once.
//!
//! The search is a page, and own code: the crate `stateright`, made for this, reduces by symmetry in its depth-first search
//! only, whose first violation is not on a shortest path, and judges states where the checks here judge the events of a step.
//!
//! Of a state that was left, a key of 128 bits is kept and which step led there, not the state: a path is made again
//! from its steps. One thread visits states in one order, so counts and paths are the same on every machine.
//!
//! **Invariant:** the search is breadth first, so the first violation is one that no shorter path leads to.

mod keys;

use self::keys::Keys;

/// How many states are left between two looks at whether to go on.
const LOOK_EVERY: u64 = 512;

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

    /// The same for states that differ in nothing that counts, and for no others; spread evenly, as a hash is.
    fn key(&self, state: &Self::State) -> u128;

    /// Makes a state that is new, and that steps will be taken from, share what it has in common with others.
    fn settle(&self, state: Self::State) -> Self::State {
        state
    }

    /// A step in words.
    fn tell(&self, action: &Self::Action) -> String;

    /// The path as a script that breaks the same invariant, or why none can say it.
    fn script(&self, path: &[Self::Action], broken: &Broken) -> Result<String, String>;
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
    /// What clients want to have in a log, in all; 0: there is no log, and nodes elect leaders and nothing else.
    pub entries: u8,
    /// Distinct states, before the search gives up.
    pub states: usize,
    /// Whether states that differ in the names of hosts only are one.
    pub symmetry: bool,
    /// The one weaker check that is made, instead of all.
    pub check: Option<String>,
    /// Look on for a path that a script can say, where it cannot say the shortest.
    pub scripted: bool,
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
    /// The most steps from the start to a state that was left, or that broke an invariant and ended the search.
    pub depth: usize,
    /// Why it ended.
    pub end: End,
}

/// Why a search ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum End {
    /// No state within the bounds is left, and nothing was broken.
    Exhausted,
    /// An invariant was broken.
    Violated(Violation),
    /// There were more states than were asked for.
    TooManyStates,
    /// It was told to end.
    Interrupted,
}

/// A shortest path to a violation, or the shortest that a script can say.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Violation {
    /// No path at all is shorter.
    pub is_shortest: bool,
    /// What the last step broke.
    pub broken: Broken,
    /// The steps, in words.
    pub steps: Vec<String>,
    /// The steps as a script, or why none can say them.
    pub script: Result<String, String>,
}

/// How far to look.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Reach {
    /// The most distinct states.
    pub states: usize,
    /// Whether to look on for a path that a script can say, where it cannot say the shortest.
    pub scripted: bool,
}

/// Visits states as far as the reach is. `goes_on` hears, now and then, how many were visited and how deep, and says whether
/// to go on.
pub fn search<M: Model>(model: &M, reach: Reach, goes_on: &mut dyn FnMut(usize, usize) -> bool) -> Search {
    let start = model.start();
    let mut known = Keys::default();
    known.insert(model.key(&start));
    let mut steps = Steps::default();
    let mut level = vec![(0, start)];
    let (mut transitions, mut depth, mut left) = (0, 0, 0_u64);
    let mut unscripted = None;
    let end = 'ended: {
        while !level.is_empty() {
            let mut deeper = Vec::new();
            for (place, state) in level {
                left += 1;
                if left % LOOK_EVERY == 0 && !goes_on(steps.len(), depth) {
                    break 'ended End::Interrupted;
                }
                for (which, action) in model.actions(&state).into_iter().enumerate() {
                    let next = match model.next(&state, &action) {
                        Ok(Some(next)) => next,
                        Ok(None) => continue,
                        Err(broken) => {
                            transitions += 1;
                            let found = violation(model, broken, &steps.path(model, place, action));
                            if !reach.scripted || found.script.is_ok() {
                                depth += 1;
                                let is_as_short = |first: &Violation| first.steps.len() == found.steps.len();
                                let is_shortest = unscripted.as_ref().is_none_or(is_as_short);
                                break 'ended End::Violated(Violation { is_shortest, ..found });
                            }
                            unscripted.get_or_insert(found);
                            continue;
                        }
                    };
                    transitions += 1;
                    if !known.insert(model.key(&next)) {
                        continue;
                    }
                    if steps.len() == reach.states {
                        break 'ended End::TooManyStates;
                    }
                    deeper.push((steps.len(), model.settle(next)));
                    steps.push(place, which);
                }
            }
            depth += usize::from(!deeper.is_empty());
            level = deeper;
        }
        End::Exhausted
    };
    // What no script can say is found all the same.
    let end = match (end, unscripted) {
        (End::Violated(found), _) | (_, Some(found)) => End::Violated(found),
        (end, None) => end,
    };
    Search { states: steps.len(), transitions, depth, end }
}

fn violation<M: Model>(model: &M, broken: Broken, path: &[M::Action]) -> Violation {
    let steps = path.iter().map(|action| model.tell(action)).collect();
    let script = model.script(path, &broken);
    Violation { is_shortest: true, broken, steps, script }
}

/// Of each state but the first: the place of the state before, and which of its steps led here.
#[derive(Default)]
struct Steps(Vec<(u32, u16)>);

impl Steps {
    /// How many states there are.
    fn len(&self) -> usize {
        self.0.len() + 1
    }

    fn push(&mut self, before: usize, which: usize) {
        let before = u32::try_from(before).expect("fewer states than there is memory for");
        self.0.push((before, u16::try_from(which).expect("few steps from one state")));
    }

    /// The steps from the start to the state at `place`, and the one after.
    fn path<M: Model>(&self, model: &M, mut place: usize, last: M::Action) -> Vec<M::Action> {
        let mut whiches = Vec::new();
        while let Some((before, which)) = place.checked_sub(1).and_then(|place| self.0.get(place)) {
            whiches.push(usize::from(*which));
            place = *before as usize;
        }
        let (mut state, mut path) = (model.start(), Vec::new());
        for which in whiches.into_iter().rev() {
            let action = model.actions(&state).swap_remove(which);
            let next = model.next(&state, &action);
            state = next.ok().flatten().expect("it was taken before");
            path.push(action);
        }
        path.push(last);
        path
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Two jugs, of 3 and 5 litres: fill one, empty one, pour one into the other. `wanted` litres in one break it.
    struct Jugs {
        wanted: u8,
    }

    const SIZES: [u8; 2] = [3, 5];

    impl Model for Jugs {
        type State = [u8; 2];
        type Action = (&'static str, usize);

        fn start(&self) -> [u8; 2] {
            [0, 0]
        }

        fn actions(&self, _: &[u8; 2]) -> Vec<Self::Action> {
            ["fill", "empty", "pour"].into_iter().flat_map(|what| [(what, 0), (what, 1)]).collect()
        }

        fn next(&self, state: &[u8; 2], &(what, jug): &Self::Action) -> Result<Option<[u8; 2]>, Broken> {
            let mut next = *state;
            match what {
                "fill" => next[jug] = SIZES[jug],
                "empty" => next[jug] = 0,
                _ => {
                    let poured = state[jug].min(SIZES[1 - jug] - state[1 - jug]);
                    next[jug] -= poured;
                    next[1 - jug] += poured;
                }
            }
            if next.contains(&self.wanted) {
                return Err(Broken { invariant: "litres".into(), message: format!("{next:?}") });
            }
            Ok(Some(next))
        }

        fn key(&self, state: &[u8; 2]) -> u128 {
            u128::from(state[0]) * 10 + u128::from(state[1])
        }

        fn tell(&self, (what, jug): &Self::Action) -> String {
            format!("{what} {jug}")
        }

        fn script(&self, path: &[Self::Action], _: &Broken) -> Result<String, String> {
            if path.len() > 6 { Ok("long".into()) } else { Err(format!("no script of {} steps", path.len())) }
        }
    }

    fn found(wanted: u8, states: usize) -> Search {
        search(&Jugs { wanted }, Reach { states, scripted: false }, &mut |_, _| true)
    }

    #[test]
    fn the_path_is_a_shortest_one() {
        let found = found(4, 100);
        let End::Violated(violation) = found.end else { panic!("{found:?}") };
        assert_eq!(violation.steps, ["fill 1", "pour 1", "empty 0", "pour 1", "fill 1", "pour 1"]);
        assert_eq!((violation.broken.message.as_str(), found.depth), ("[3, 4]", 6));
        assert_eq!(violation.script, Err("no script of 6 steps".into()));
    }

    #[test]
    fn where_no_script_can_say_the_shortest_path_the_search_goes_on_if_it_is_to() {
        let scripted = |wanted| search(&Jugs { wanted }, Reach { states: 100, scripted: true }, &mut |_, _| true);
        let found = scripted(4);
        let End::Violated(violation) = found.end else { panic!("{found:?}") };
        assert_eq!((violation.script, violation.steps.len(), found.depth), (Ok("long".into()), 8, 8));
        assert!(!violation.is_shortest);
        assert_eq!(scripted(9).end, End::Exhausted, "there is nothing to find");
    }

    #[test]
    fn all_states_are_visited_once() {
        // Of the 24 pairs, those in which one jug is empty or full.
        let found = found(9, 100);
        assert_eq!((found.end, found.states, found.transitions, found.depth), (End::Exhausted, 16, 96, 7));
    }

    #[test]
    fn a_search_that_is_cut_short_says_so() {
        let cut = found(9, 15);
        assert_eq!((cut.end, cut.states), (End::TooManyStates, 15));
        assert_eq!(found(9, 16).end, End::Exhausted);
    }

    /// Counts up for ever.
    struct Endless;

    impl Model for Endless {
        type State = u64;
        type Action = ();

        fn start(&self) -> u64 {
            0
        }

        fn actions(&self, _: &u64) -> Vec<()> {
            vec![()]
        }

        fn next(&self, state: &u64, (): &()) -> Result<Option<u64>, Broken> {
            Ok(Some(state + 1))
        }

        fn key(&self, state: &u64) -> u128 {
            u128::from(*state)
        }

        fn tell(&self, (): &()) -> String {
            String::new()
        }

        fn script(&self, _: &[()], _: &Broken) -> Result<String, String> {
            Err(String::new())
        }
    }

    #[test]
    fn it_ends_when_it_is_told_to() {
        let mut looks = 0;
        let ended = search(&Endless, Reach { states: usize::MAX, scripted: false }, &mut |states, depth| {
            looks += 1;
            (states, depth) != (3 * 512, 3 * 512 - 1)
        });
        assert_eq!((ended.end, ended.states, looks), (End::Interrupted, 3 * 512, 3));
    }
}
