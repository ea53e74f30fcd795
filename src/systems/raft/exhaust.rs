//! The pure core as a [`Model`]: every order, loss, duplication and crash within the bounds, and any armed timer at any time.
//!
//! Time does not count here: each node has a clock of its own that jumps to its next deadline. So what reads the clock
//! (leader stickiness, check-quorum, repeated requests) is switched off, and so is pre-vote. The check is that of every
//! run, [`crate::check::raft`], E1 to E8, and what it remembers is a part of the state.

use std::time::Duration;

use xxhash_rust::xxh3::xxh3_128;

use crate::check::raft::{RaftCheck, Scope};
use crate::model::{Bounds, Broken, Model, Search, search};
use crate::raft::server::Event;
use crate::raft::{Config, Core, HardState, Input, LogPosition, Message, NodeId, Output, Role};
use crate::rng::Seed;

/// The most nodes: each order of them is tried for each state.
const NODES_MAX: u64 = 5;
const TERMS_MAX: u64 = 100;

pub(super) fn exhaust(bounds: &Bounds, watch: &mut dyn FnMut(usize, usize)) -> Result<Search, String> {
    let model = RaftModel::new(bounds)?;
    Ok(search(&model, bounds.states, watch))
}

struct RaftModel {
    bounds: Bounds,
    config: Config,
    /// New places of the nodes, by old place: all that count as the same.
    orders: Vec<Vec<u8>>,
}

#[derive(Clone)]
struct State {
    nodes: Vec<Node>,
    flying: Vec<Envelope>,
    check: RaftCheck,
    crashes: u8,
    duplicates: u8,
}

#[derive(Clone)]
struct Node {
    core: Core,
    disk: HardState,
    clock: Duration,
}

#[derive(Clone, PartialEq, Eq)]
struct Envelope {
    from: usize,
    to: usize,
    message: Message,
}

/// A step; `cut`: power is gone after so many of its writes and sends.
#[derive(Clone)]
enum Action {
    Wake { node: usize, leads: bool, cut: Option<usize> },
    Deliver { envelope: Envelope, cut: Option<usize> },
    Duplicate { envelope: Envelope },
    Lose { envelope: Envelope },
    Crash { node: usize },
}

impl RaftModel {
    fn new(bounds: &Bounds) -> Result<Self, String> {
        if !(1..=NODES_MAX).contains(&bounds.nodes) {
            return Err(format!("{} nodes: expected 1 to {NODES_MAX}", bounds.nodes));
        }
        if !(1..=TERMS_MAX).contains(&bounds.terms) {
            return Err(format!("{} terms: expected 1 to {TERMS_MAX}", bounds.terms));
        }
        let mut config = Config::new((1..=bounds.nodes).map(NodeId));
        config.pre_vote = false;
        config.check_quorum = false;
        config.leader_stickiness = false;
        config.resend = false;
        plant(&mut config, bounds.bug.as_deref())?;
        let mut orders = vec![(0..=u8::try_from(bounds.nodes).expect("few nodes") - 1).collect()];
        if bounds.symmetry {
            orders = permutations(orders.pop().expect("one order"));
        }
        Ok(Self { bounds: bounds.clone(), config, orders })
    }

    fn boot(&self, index: usize, disk: HardState, clock: Duration) -> Node {
        let rng = Seed(0).stream("exhaust");
        let core = Core::new(id_of(index), self.config.clone(), disk, LogPosition::default(), rng, clock);
        Node { core: core.expect("a valid configuration"), disk, clock }
    }

    /// Executes what follows from an input; power is gone after `cut` writes and sends.
    fn step(&self, state: &mut State, index: usize, input: Input, cut: Option<usize>) -> Result<bool, Broken> {
        let id = id_of(index);
        let clock = state.nodes[index].clock;
        let outputs = state.nodes[index].core.step(clock, input);
        let mut left = cut;
        for output in outputs {
            if !matches!(output, Output::Event(_)) {
                if left == Some(0) {
                    return self.crash(state, index).map(|()| true);
                }
                left = left.map(|left| left - 1);
            }
            match output {
                Output::Persist(written) => {
                    state.nodes[index].disk = written;
                    tell(state, id, &Event::Persisted(written))?;
                }
                Output::Send { to, message } => {
                    tell(state, id, &Event::Sending { to, message: message.clone() })?;
                    state.flying.push(Envelope { from: index, to: index_of(to), message });
                }
                Output::Event(event) => tell(state, id, &Event::Core(event))?,
            }
        }
        if cut.is_some() {
            // The step was over before the power was gone: that is a crash of its own.
            return Ok(false);
        }
        let status = state.nodes[index].core.status();
        tell(state, id, &Event::Stepped { status, now: clock })?;
        Ok(true)
    }

    fn crash(&self, state: &mut State, index: usize) -> Result<(), Broken> {
        state.crashes += 1;
        let Node { disk, clock, .. } = state.nodes[index];
        state.nodes[index] = self.boot(index, disk, clock);
        tell(state, id_of(index), &Event::Loaded(disk))
    }

    fn wake(&self, state: &mut State, node: usize, cut: Option<usize>) -> Result<bool, Broken> {
        let due = state.nodes[node].core.deadline().expect("only an armed timer fires");
        state.nodes[node].clock = due.max(state.nodes[node].clock);
        self.step(state, node, Input::Tick, cut)
    }

    fn deliver(&self, state: &mut State, envelope: &Envelope, cut: Option<usize>) -> Result<bool, Broken> {
        let input = Input::Message { from: id_of(envelope.from), message: envelope.message.clone() };
        self.step(state, envelope.to, input, cut)
    }
}

impl Model for RaftModel {
    type State = State;
    type Action = Action;

    fn start(&self) -> State {
        let count = usize::try_from(self.bounds.nodes).expect("few nodes");
        State {
            nodes: (0..count).map(|index| self.boot(index, HardState::default(), Duration::ZERO)).collect(),
            flying: Vec::new(),
            check: RaftCheck::new(&self.config, Scope::Safety),
            crashes: 0,
            duplicates: 0,
        }
    }

    fn actions(&self, state: &State) -> Vec<Action> {
        let crashes = state.crashes < self.bounds.crashes;
        // A step writes at most twice, and sends to all others.
        let cuts = if crashes { state.nodes.len() + 2 } else { 0 };
        let cuts = || [None].into_iter().chain((0..cuts).map(Some));
        let mut actions = Vec::new();
        for (node, Node { core, .. }) in state.nodes.iter().enumerate() {
            let leads = core.role() == Role::Leader;
            if core.deadline().is_some() && (leads || core.term() < self.bounds.terms) {
                actions.extend(cuts().map(|cut| Action::Wake { node, leads, cut }));
            }
        }
        for (index, envelope) in state.flying.iter().enumerate() {
            if state.flying[..index].contains(envelope) {
                continue;
            }
            let envelope = || envelope.clone();
            actions.extend(cuts().map(|cut| Action::Deliver { envelope: envelope(), cut }));
            if state.duplicates < self.bounds.duplicates {
                actions.push(Action::Duplicate { envelope: envelope() });
            }
            actions.push(Action::Lose { envelope: envelope() });
        }
        if crashes {
            actions.extend((0..state.nodes.len()).map(|node| Action::Crash { node }));
        }
        actions
    }

    fn next(&self, state: &State, action: &Action) -> Result<Option<State>, Broken> {
        let mut next = state.clone();
        let within = match action {
            Action::Wake { node, cut, .. } => self.wake(&mut next, *node, *cut)?,
            Action::Deliver { envelope, cut } => {
                take(&mut next, envelope);
                self.deliver(&mut next, envelope, *cut)?
            }
            Action::Duplicate { envelope } => {
                next.duplicates += 1;
                self.deliver(&mut next, envelope, None)?
            }
            Action::Lose { envelope } => {
                take(&mut next, envelope);
                true
            }
            Action::Crash { node } => self.crash(&mut next, *node).map(|()| true)?,
        };
        Ok((within && next.flying.len() <= self.bounds.messages).then_some(next))
    }

    fn key(&self, state: &State) -> u128 {
        let keys = self.orders.iter().map(|order| xxh3_128(&written(state, order)));
        keys.min().expect("at least one order")
    }

    fn tell(&self, action: &Action) -> String {
        let lost = |cut: &Option<usize>| match cut {
            None => String::new(),
            Some(done) => format!("; it loses power after {done} of its writes and sends, and starts again"),
        };
        match action {
            Action::Wake { node, leads: false, cut } => {
                format!("the election timer of {} runs out{}", id_of(*node), lost(cut))
            }
            Action::Wake { node, leads: true, cut } => format!("{} sends its heartbeat{}", id_of(*node), lost(cut)),
            Action::Deliver { envelope, cut } => format!("{} arrives{}", envelope.tell(), lost(cut)),
            Action::Duplicate { envelope } => format!("{} arrives, and a copy of it stays in flight", envelope.tell()),
            Action::Lose { envelope } => format!("{} is lost", envelope.tell()),
            Action::Crash { node } => format!("{} loses power and starts again", id_of(*node)),
        }
    }
}

impl Envelope {
    fn tell(&self) -> String {
        let Self { from, to, message } = self;
        format!("{} ({}) from {} to {}", message.name(), super::detail(message), id_of(*from), id_of(*to))
    }
}

fn take(state: &mut State, envelope: &Envelope) {
    let place = state.flying.iter().position(|flying| flying == envelope).expect("it is in flight");
    state.flying.remove(place);
}

fn tell(state: &mut State, id: NodeId, event: &Event) -> Result<(), Broken> {
    let clock = state.nodes[index_of(id)].clock;
    let breach = state.check.event(id, (clock, 0), event);
    breach.map_or(Ok(()), |breach| Err(Broken { invariant: breach.invariant, message: breach.message }))
}

/// All of a state but times, as bytes, with the nodes in this order.
fn written(state: &State, order: &[u8]) -> Vec<u8> {
    let mut nodes: Vec<Vec<u8>> = vec![Vec::new(); order.len()];
    let name = |id: NodeId| order[index_of(id)] + 1;
    for (index, node) in state.nodes.iter().enumerate() {
        let bytes = &mut nodes[usize::from(order[index])];
        node.core.write_untimed(&name, bytes);
        bytes.extend([small(node.disk.term), node.disk.voted_for.map_or(0, name)]);
    }
    let mut flying: Vec<Vec<u8>> = state.flying.iter().map(|envelope| envelope.written(order)).collect();
    flying.sort_unstable();
    let mut bytes = vec![state.crashes, state.duplicates, small(flying.len() as u64)];
    nodes.into_iter().chain(flying).for_each(|part| bytes.extend(part));
    state.check.write_memory(&name, &mut bytes);
    bytes
}

impl Envelope {
    /// Logs are empty here, so a message says no more than this.
    fn written(&self, order: &[u8]) -> Vec<u8> {
        let kind = Message::NAMES.iter().position(|name| *name == self.message.name()).expect("a known message");
        let said = match &self.message {
            Message::PreVoteResponse(answer) => answer.vote_granted,
            Message::RequestVoteResponse(answer) => answer.vote_granted,
            Message::AppendEntriesResponse(answer) => answer.success,
            _ => false,
        };
        let ends = [order[self.from], order[self.to]];
        vec![ends[0], ends[1], small(kind as u64), small(self.message.term()), u8::from(said)]
    }
}

fn small(number: u64) -> u8 {
    u8::try_from(number).expect("the bounds are small")
}

fn permutations(first: Vec<u8>) -> Vec<Vec<u8>> {
    let mut all = vec![vec![]];
    for place in first {
        let longer = |order: &Vec<u8>| {
            let order = order.clone();
            (0..=order.len()).map(move |at| {
                let mut order = order.clone();
                order.insert(at, place);
                order
            })
        };
        all = all.iter().flat_map(longer).collect();
    }
    all
}

#[cfg(feature = "planted-bugs")]
fn plant(config: &mut Config, bug: Option<&str>) -> Result<(), String> {
    config.bug =
        bug.map(str::parse).transpose().map_err(|error: crate::raft::planted::UnknownBug| error.to_string())?;
    Ok(())
}

#[cfg(not(feature = "planted-bugs"))]
fn plant(_: &mut Config, bug: Option<&str>) -> Result<(), String> {
    bug.map_or(Ok(()), |bug| {
        Err(format!("no bug `{bug}`: this build has none, build it with `--features planted-bugs`"))
    })
}

fn id_of(index: usize) -> NodeId {
    NodeId(index as u64 + 1)
}

fn index_of(id: NodeId) -> usize {
    usize::try_from(id.0 - 1).expect("a small id")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bounds() -> Bounds {
        let (nodes, terms, messages) = (3, 2, 3);
        Bounds { nodes, terms, messages, crashes: 0, duplicates: 0, states: 200_000, symmetry: true, bug: None }
    }

    fn found(bounds: &Bounds) -> Search {
        exhaust(bounds, &mut |_, _| {}).expect("bounds that make sense")
    }

    #[test]
    fn symmetry_changes_no_verdict_and_lowers_the_count() {
        let small = Bounds { terms: 1, crashes: 1, duplicates: 1, ..bounds() };
        let (with, without) = (found(&small), found(&Bounds { symmetry: false, ..small }));
        assert!(with.exhausted && without.exhausted, "{with:?} {without:?}");
        assert_eq!((&with.violation, with.depth), (&without.violation, without.depth));
        assert_eq!(with.violation, None);
        assert!(with.states * 3 < without.states && without.states <= with.states * 6, "{with:?} {without:?}");
    }

    #[test]
    fn counts_are_the_same_each_time() {
        assert_eq!(found(&bounds()), found(&bounds()));
    }

    #[test]
    fn a_search_that_is_cut_short_says_so() {
        let cut = found(&Bounds { states: 100, ..bounds() });
        assert_eq!((cut.exhausted, cut.states, cut.violation), (false, 100, None));
    }

    #[test]
    fn bounds_that_make_no_sense_are_refused() {
        for wrong in [Bounds { nodes: 6, ..bounds() }, Bounds { terms: 0, ..bounds() }] {
            assert!(exhaust(&wrong, &mut |_, _| {}).unwrap_err().contains("expected 1 to"));
        }
    }
}
