//! The states and the steps.

use std::time::Duration;

use xxhash_rust::xxh3::xxh3_128;

use super::names::{Order, permutations, written};
use super::script;
use crate::check::raft::{Conditions, RaftCheck, Scope};
use crate::model::{Bounds, Broken, Model};
use crate::raft::server::Event;
use crate::raft::{Config, Core, HardState, Input, LogPosition, Message, NodeId, Output, Role};
use crate::rng::Seed;
use crate::systems::raft::detail;
use crate::systems::raft::options::plant;

/// The most nodes: each order of them is tried for each state.
const NODES_MAX: u64 = 5;
const TERMS_MAX: u64 = 100;
const MESSAGES_MAX: usize = 100;

const ONE_LEADER_PER_TERM: &str = "one-leader-per-term";

/// Beyond all that a path lasts, so that in its script no timer runs out by itself.
pub(super) const ELECTION_TIMEOUT: Duration = Duration::from_mins(1);
pub(super) const HEARTBEAT: Duration = Duration::from_secs(30);

/// The most writes that a step makes.
const WRITES_MAX: usize = 2;

pub(super) struct RaftModel {
    pub(super) bounds: Bounds,
    config: Config,
    scope: Scope,
    /// New places of the nodes, by old place: all that count as the same.
    pub(super) orders: Vec<Order>,
}

#[derive(Clone)]
pub(super) struct State {
    pub(super) nodes: Vec<Node>,
    /// Those sent later come later.
    pub(super) flying: Vec<Envelope>,
    pub(super) check: RaftCheck,
    pub(super) crashes: u8,
    pub(super) duplicates: u8,
}

#[derive(Clone)]
pub(super) struct Node {
    pub(super) core: Core,
    pub(super) disk: HardState,
    pub(super) clock: Duration,
}

#[derive(Clone, PartialEq, Eq)]
pub(super) struct Envelope {
    pub(super) from: usize,
    pub(super) to: usize,
    pub(super) message: Message,
}

/// A step.
#[derive(Clone)]
pub(super) enum Action {
    /// A deadline of a node is reached.
    Wake { node: usize, leads: bool, cut: Option<Cut> },
    /// A message arrives; `copied`: and stays in flight.
    Deliver { envelope: Envelope, copied: bool, cut: Option<Cut> },
    /// A message is lost.
    Lose { envelope: Envelope },
    /// A node loses power and starts again.
    Crash { node: usize },
}

/// Where within a step power is lost, by the step's writes, from 1.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Cut {
    Before(usize),
    After(usize),
}

impl RaftModel {
    pub(super) fn new(bounds: &Bounds) -> Result<Self, String> {
        let Bounds { nodes, terms, messages, .. } = *bounds;
        if !(1..=NODES_MAX).contains(&nodes) {
            return Err(format!("{nodes} nodes: expected 1 to {NODES_MAX}"));
        }
        if !(1..=TERMS_MAX).contains(&terms) {
            return Err(format!("{terms} terms: expected 1 to {TERMS_MAX}"));
        }
        let messages_min = usize::try_from(nodes).expect("few nodes") - 1;
        if !(messages_min..=MESSAGES_MAX).contains(&messages) {
            let why = "a candidate asks all others at once";
            return Err(format!("{messages} messages: expected {messages_min} to {MESSAGES_MAX}, for {why}"));
        }
        let mut config = Config::new((1..=nodes).map(NodeId));
        (config.election_timeout_min, config.election_timeout_max) = (ELECTION_TIMEOUT, ELECTION_TIMEOUT);
        config.heartbeat = HEARTBEAT;
        (config.pre_vote, config.check_quorum) = (false, false);
        (config.leader_stickiness, config.resend) = (false, false);
        plant(&mut config, bounds.bug.as_deref())?;
        let scope = scope(bounds.check.as_deref())?;
        let order: Order = (0..u8::try_from(nodes).expect("few nodes")).collect();
        let orders = if bounds.symmetry { permutations(&order) } else { vec![order] };
        Ok(Self { bounds: bounds.clone(), config, scope, orders })
    }

    fn boot(&self, index: usize, disk: HardState, clock: Duration) -> Node {
        let rng = Seed(0).stream("exhaust");
        let core = Core::new(id_of(index), self.config.clone(), disk, LogPosition::default(), rng, clock);
        Node { core: core.expect("a valid configuration"), disk, clock }
    }

    /// Executes what follows from an input. Whether it is a step of its own: one that was over before the power was gone
    /// is that step, and then a crash.
    fn step(&self, state: &mut State, index: usize, input: Input, cut: Option<Cut>) -> Result<bool, Broken> {
        let id = id_of(index);
        let clock = state.nodes[index].clock;
        let outputs = state.nodes[index].core.step(clock, input);
        let mut writes = 0;
        for output in outputs {
            match output {
                Output::Persist(written) => {
                    writes += 1;
                    if cut == Some(Cut::Before(writes)) {
                        return self.crash(state, index).map(|()| true);
                    }
                    state.nodes[index].disk = written;
                    tell(state, id, &Event::Persisted(written))?;
                    if cut == Some(Cut::After(writes)) {
                        return self.crash(state, index).map(|()| true);
                    }
                }
                Output::Send { to, message } => {
                    tell(state, id, &Event::Sending { to, message: message.clone() })?;
                    state.flying.push(Envelope { from: index, to: index_of(to), message });
                }
                Output::Event(event) => tell(state, id, &Event::Core(event))?,
                Output::Write(_) | Output::Apply { .. } | Output::Declined(_) | Output::Read { .. } => {
                    unreachable!("logs stand still")
                }
            }
        }
        debug_assert!(writes <= WRITES_MAX, "{id} wrote {writes} times in a step");
        let (status, deadline) = (state.nodes[index].core.status(), state.nodes[index].core.deadline());
        tell(state, id, &Event::Stepped { status, now: clock, done: clock, deadline })?;
        Ok(cut.is_none())
    }

    fn crash(&self, state: &mut State, index: usize) -> Result<(), Broken> {
        state.crashes += 1;
        let Node { disk, clock, .. } = state.nodes[index];
        state.nodes[index] = self.boot(index, disk, clock);
        tell(state, id_of(index), &Event::Loaded(disk))
    }

    fn wake(&self, state: &mut State, node: usize, cut: Option<Cut>) -> Result<bool, Broken> {
        let due = state.nodes[node].core.deadline().expect("only an armed timer fires");
        state.nodes[node].clock = due.max(state.nodes[node].clock);
        self.step(state, node, Input::Tick, cut)
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
            check: RaftCheck::new(&self.config, &Conditions::default(), self.scope),
            crashes: 0,
            duplicates: 0,
        }
    }

    fn actions(&self, state: &State) -> Vec<Action> {
        let crashes = state.crashes < self.bounds.crashes;
        let cuts = || {
            let writes = 1..=if crashes { WRITES_MAX } else { 0 };
            let cuts = writes.flat_map(|write| [Cut::Before(write), Cut::After(write)]);
            [None].into_iter().chain(cuts.map(Some))
        };
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
            let deliver = |copied| {
                let envelope = envelope.clone();
                cuts().map(move |cut| Action::Deliver { envelope: envelope.clone(), copied, cut })
            };
            actions.extend(deliver(false));
            if state.duplicates < self.bounds.duplicates {
                actions.extend(deliver(true));
            }
            actions.push(Action::Lose { envelope: envelope.clone() });
        }
        if crashes {
            actions.extend((0..state.nodes.len()).map(|node| Action::Crash { node }));
        }
        actions
    }

    fn next(&self, state: &State, action: &Action) -> Result<Option<State>, Broken> {
        let mut next = state.clone();
        let is_step = match action {
            Action::Wake { node, cut, .. } => self.wake(&mut next, *node, *cut)?,
            Action::Deliver { envelope, copied, cut } => {
                if *copied {
                    next.duplicates += 1;
                } else {
                    take(&mut next, envelope);
                }
                let input = Input::Message { from: id_of(envelope.from), message: envelope.message.clone() };
                self.step(&mut next, envelope.to, input, *cut)?
            }
            Action::Lose { envelope } => {
                take(&mut next, envelope);
                true
            }
            Action::Crash { node } => self.crash(&mut next, *node).map(|()| true)?,
        };
        Ok((is_step && next.flying.len() <= self.bounds.messages).then_some(next))
    }

    fn key(&self, state: &State) -> u128 {
        let keys = self.orders.iter().map(|order| xxh3_128(&written(state, order)));
        keys.min().expect("at least one order")
    }

    fn tell(&self, action: &Action) -> String {
        match action {
            Action::Wake { node, leads: false, cut } => {
                format!("the election timer of {} runs out{}", id_of(*node), told(*cut))
            }
            Action::Wake { node, leads: true, cut } => format!("{}, which leads, wakes{}", id_of(*node), told(*cut)),
            Action::Deliver { envelope, copied, cut } => {
                let stays = if *copied { ", and a copy of it stays in flight" } else { "" };
                format!("{} arrives{stays}{}", envelope.tell(), told(*cut))
            }
            Action::Lose { envelope } => format!("{} is lost", envelope.tell()),
            Action::Crash { node } => format!("{} loses power and starts again", id_of(*node)),
        }
    }

    fn script(&self, path: &[Action], broken: &Broken) -> Result<String, String> {
        script::write(self, path, broken)
    }
}

/// What is checked. Who leads at one moment is no part of a state, so that check is not for here.
fn scope(check: Option<&str>) -> Result<Scope, String> {
    match check {
        None => Ok(Scope::History),
        Some(ONE_LEADER_PER_TERM) => Ok(Scope::OneLeaderPerTerm),
        Some(other) => Err(format!("no check `{other}` for this search: expected `{ONE_LEADER_PER_TERM}`")),
    }
}

fn told(cut: Option<Cut>) -> String {
    let (when, write) = match cut {
        None => return String::new(),
        Some(Cut::Before(write)) => ("before", write),
        Some(Cut::After(write)) => ("right after", write),
    };
    format!("; it loses power {when} write {write} of this step, and starts again")
}

impl Envelope {
    fn tell(&self) -> String {
        let Self { from, to, message } = self;
        format!("{} ({}) from {} to {}", message.name(), detail(message), id_of(*from), id_of(*to))
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

pub(super) fn id_of(index: usize) -> NodeId {
    NodeId(index as u64 + 1)
}

pub(super) fn index_of(id: NodeId) -> usize {
    usize::try_from(id.0 - 1).expect("a small id")
}
