//! The states and the steps.

use std::cell::RefCell;
use std::rc::Rc;
use std::time::Duration;

use super::names::{Order, Speller, permutations};
use super::node::Node;
use super::script;
use super::sharing::Sharing;
use crate::check::raft::log::LogCheck;
use crate::check::raft::{Conditions, RaftCheck, Scope};
use crate::model::{Bounds, Broken, Model};
use crate::raft::config::Replication;
use crate::raft::server::{Event, proposal};
use crate::raft::{Config, HardState, Input, Log, Message, NodeId, Output, Role};
use crate::systems::raft::detail;
use crate::systems::raft::options::plant;

/// The most nodes: each order of them may be tried for each state.
pub(super) const NODES_MAX: usize = 5;
const TERMS_MAX: u64 = 100;
const MESSAGES_MAX: usize = 100;
const ENTRIES_MAX: u8 = 100;

const ONE_LEADER_PER_TERM: &str = "one-leader-per-term";

/// Beyond all that a path lasts, so that in its script no timer runs out by itself.
const ELECTION_TIMEOUT: Duration = Duration::from_mins(1);
const HEARTBEAT: Duration = Duration::from_secs(30);
/// The same where logs are replicated. Leaders yield whose disk has hung for an election timeout, and here none has: more
/// heartbeats than a path has steps are within it.
const ELECTION_TIMEOUT_WITH_LOG: Duration = Duration::from_hours(1);
const HEARTBEAT_WITH_LOG: Duration = Duration::from_secs(1);

/// How many messages with entries may be under way to a peer, always: a window that grows and shrinks would have the same
/// come about in more states.
pub(super) const WINDOW: u32 = 2;

/// The most writes of term and vote that a step makes.
const WRITES_MAX: usize = 2;

pub(super) struct RaftModel {
    pub(super) bounds: Bounds,
    pub(super) config: Config,
    scope: Scope,
    /// New places of the nodes, by old place: all that count as the same.
    pub(super) orders: Vec<Order>,
    speller: RefCell<Speller>,
    sharing: RefCell<Sharing>,
}

/// What is the same as in the state before is shared with it.
#[derive(Clone)]
pub(super) struct State {
    pub(super) nodes: Vec<Rc<Node>>,
    /// Those sent later come later.
    pub(super) flying: Vec<Rc<Envelope>>,
    pub(super) check: Rc<RaftCheck>,
    /// The check of the log, where one is replicated and all is checked.
    pub(super) log_check: Option<Rc<LogCheck>>,
    pub(super) crashes: u8,
    pub(super) duplicates: u8,
    /// How many commands were proposed.
    pub(super) proposed: u8,
}

#[derive(PartialEq, Eq)]
pub(super) struct Envelope {
    pub(super) from: usize,
    pub(super) to: usize,
    pub(super) message: Rc<Message>,
}

/// A step.
#[derive(Clone)]
pub(super) enum Action {
    /// A deadline of a node is reached.
    Wake { node: usize, leads: bool, cut: Option<Cut> },
    /// A message arrives; `copied`: and stays in flight.
    Deliver { envelope: Rc<Envelope>, copied: bool, cut: Option<Cut> },
    /// A message is lost.
    Lose { envelope: Rc<Envelope> },
    /// A node loses power and starts again; of its log, so many of the writes that were under way are on disk.
    Crash { node: usize, kept: usize },
    /// So many of a node's writes to its log are durable.
    Sync { node: usize, writes: usize },
    /// A client's command comes to a node that leads, or believes to.
    Propose { node: usize },
}

/// Where within a step power is lost, by the step's writes of term and vote, from 1.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Cut {
    Before(usize),
    After(usize),
}

impl RaftModel {
    pub(super) fn new(bounds: &Bounds) -> Result<Self, String> {
        let Bounds { nodes, terms, messages, entries, .. } = *bounds;
        if !(1..=NODES_MAX as u64).contains(&nodes) {
            return Err(format!("{nodes} nodes: expected 1 to {NODES_MAX}"));
        }
        if !(1..=TERMS_MAX).contains(&terms) {
            return Err(format!("{terms} terms: expected 1 to {TERMS_MAX}"));
        }
        if entries > ENTRIES_MAX {
            return Err(format!("{entries} entries: expected 0 to {ENTRIES_MAX}"));
        }
        let messages_min = usize::try_from(nodes).expect("few nodes") - 1;
        if !(messages_min..=MESSAGES_MAX).contains(&messages) {
            let why = "a candidate asks all others at once";
            return Err(format!("{messages} messages: expected {messages_min} to {MESSAGES_MAX}, for {why}"));
        }
        let mut config = Config::new((1..=nodes).map(NodeId));
        let (timeout, heartbeat) = match entries {
            0 => (ELECTION_TIMEOUT, HEARTBEAT),
            _ => (ELECTION_TIMEOUT_WITH_LOG, HEARTBEAT_WITH_LOG),
        };
        (config.election_timeout_min, config.election_timeout_max) = (timeout, timeout);
        config.heartbeat = heartbeat;
        (config.pre_vote, config.check_quorum) = (false, false);
        (config.leader_stickiness, config.resend) = (false, false);
        config.replication = (entries > 0).then(|| Replication { window: WINDOW..=WINDOW, ..Replication::default() });
        plant(&mut config, bounds.bug.as_deref())?;
        let scope = scope(bounds.check.as_deref())?;
        let order: Order = (0..u8::try_from(nodes).expect("few nodes")).collect();
        let orders = if bounds.symmetry { permutations(&order) } else { vec![order] };
        let speller = RefCell::new(Speller::new(bounds.symmetry && scope == Scope::History));
        let sharing = RefCell::default();
        Ok(Self { bounds: bounds.clone(), config, scope, orders, speller, sharing })
    }

    /// The same, whatever is in flight.
    pub(super) fn unbounded(&self) -> Self {
        let bounds = Bounds { messages: usize::MAX, ..self.bounds.clone() };
        let (config, orders) = (self.config.clone(), self.orders.clone());
        Self {
            bounds,
            config,
            scope: self.scope,
            orders,
            speller: RefCell::new(Speller::new(false)),
            sharing: RefCell::default(),
        }
    }

    pub(super) fn replicates(&self) -> bool {
        self.config.replication.is_some()
    }

    /// Executes what follows from an input. Whether it is a step of its own: one that was over before the power was gone
    /// is that step, and then a crash.
    fn step(&self, state: &mut State, index: usize, input: Input, cut: Option<Cut>) -> Result<bool, Broken> {
        let id = id_of(index);
        let node = Rc::make_mut(&mut state.nodes[index]);
        let clock = node.clock;
        let outputs = node.core.step(clock, input);
        let mut writes = 0;
        for output in outputs {
            match output {
                Output::Persist(written) => {
                    writes += 1;
                    if cut == Some(Cut::Before(writes)) {
                        return self.crash(state, index, 0);
                    }
                    node_mut(state, index).disk = written;
                    tell(state, id, &Event::Persisted(written))?;
                    if cut == Some(Cut::After(writes)) {
                        return self.crash(state, index, 0);
                    }
                }
                Output::Send { to, message } => {
                    let event = Event::Sending { to, message };
                    tell(state, id, &event)?;
                    let Event::Sending { message, .. } = event else { continue };
                    let message = Rc::new(message);
                    state.flying.push(Rc::new(Envelope { from: index, to: index_of(to), message }));
                }
                Output::Event(event) => tell(state, id, &Event::Core(event))?,
                Output::Write(write) => {
                    let write = Rc::new(write);
                    node_mut(state, index).file.writes.push_back(write.clone());
                    tell(state, id, &Event::Writing(write))?;
                }
                Output::Apply { through } => {
                    while let Some((index_applied, term, digest)) = node_mut(state, index).apply(through) {
                        tell(state, id, &Event::Applied { index: index_applied, term, digest })?;
                    }
                }
                Output::Declined(_) | Output::Read { .. } => {}
            }
        }
        debug_assert!(writes <= WRITES_MAX, "{id} wrote {writes} times in a step");
        let core = &state.nodes[index].core;
        let (status, deadline) = (core.status(), core.deadline());
        tell(state, id, &Event::Stepped { status, now: clock, done: clock, deadline })?;
        Ok(cut.is_none())
    }

    /// Whether the node starts again: one that finds a log of a term that it does not know of refuses to.
    fn crash(&self, state: &mut State, index: usize, kept: usize) -> Result<bool, Broken> {
        state.crashes += 1;
        let node = node_mut(state, index);
        let mut file = std::mem::take(&mut node.file);
        (0..kept).for_each(|_| _ = file.sync());
        let (disk, clock, id) = (node.disk, node.clock, id_of(index));
        if file.log.last().last_term > disk.term {
            return Ok(false);
        }
        let log = Rc::new(file.log);
        *node = Node::boot(id, &self.config, disk, Log::clone(&log), clock);
        tell(state, id, &Event::Loaded(disk))?;
        if self.replicates() {
            tell(state, id, &Event::LoadedLog { log, torn: None })?;
        }
        Ok(true)
    }

    fn wake(&self, state: &mut State, index: usize, cut: Option<Cut>) -> Result<bool, Broken> {
        let node = node_mut(state, index);
        if self.replicates() && node.core.role() != Role::Leader {
            // So that no time passes by it.
            node.core.pin_next_timeout(Duration::ZERO);
        }
        let due = node.core.deadline().expect("only an armed timer fires");
        node.clock = due.max(node.clock);
        self.step(state, index, Input::Tick, cut)
    }

    fn deliver(&self, state: &mut State, envelope: &Envelope, cut: Option<Cut>) -> Result<bool, Broken> {
        let Envelope { from, to, ref message } = *envelope;
        let from = id_of(from);
        tell(state, id_of(to), &Event::Received { from, message: message.clone() })?;
        let message = Message::clone(message);
        self.step(state, to, Input::Message { from, message }, cut)
    }

    fn sync(&self, state: &mut State, index: usize, writes: usize) -> Result<bool, Broken> {
        let file = &mut node_mut(state, index).file;
        let number = (0..writes).filter_map(|_| file.sync()).last();
        let number = number.expect("only what is under way becomes durable");
        tell(state, id_of(index), &Event::Synced { number })?;
        self.step(state, index, Input::Synced { number }, None)
    }

    fn propose(&self, state: &mut State, index: usize) -> Result<bool, Broken> {
        state.proposed += 1;
        let commands = vec![proposal(state.proposed.into())];
        self.step(state, index, Input::Propose { commands }, None)
    }

    /// What nodes can do by themselves, and with their disks.
    fn actions_of_nodes(&self, state: &State, actions: &mut Vec<Action>) {
        for (node, Node { core, file, .. }) in state.nodes.iter().map(|node| &**node).enumerate() {
            let leads = core.role() == Role::Leader;
            if core.deadline().is_some() && (leads || core.term() < self.bounds.terms) {
                actions.extend(self.cuts(state).map(|cut| Action::Wake { node, leads, cut }));
            }
            actions.extend((1..=file.writes.len()).map(|writes| Action::Sync { node, writes }));
            if leads && state.proposed < self.bounds.entries {
                actions.push(Action::Propose { node });
            }
        }
    }

    fn can_crash(&self, state: &State) -> bool {
        state.crashes < self.bounds.crashes
    }

    fn cuts(&self, state: &State) -> impl Iterator<Item = Option<Cut>> + use<> {
        let writes = 1..=if self.can_crash(state) { WRITES_MAX } else { 0 };
        let cuts = writes.flat_map(|write| [Cut::Before(write), Cut::After(write)]);
        [None].into_iter().chain(cuts.map(Some))
    }
}

impl Model for RaftModel {
    type State = State;
    type Action = Action;

    fn start(&self) -> State {
        let count = usize::try_from(self.bounds.nodes).expect("few nodes");
        let boot = |index| {
            let id = id_of(index);
            Rc::new(Node::boot(id, &self.config, HardState::default(), Log::default(), Duration::ZERO))
        };
        let checks_log = self.replicates() && self.scope == Scope::History;
        State {
            nodes: (0..count).map(boot).collect(),
            flying: Vec::new(),
            check: Rc::new(RaftCheck::new(&self.config, &Conditions::default(), self.scope)),
            log_check: checks_log.then(|| Rc::new(LogCheck::new(&self.config, &Conditions::default()))),
            crashes: 0,
            duplicates: 0,
            proposed: 0,
        }
    }

    fn actions(&self, state: &State) -> Vec<Action> {
        let mut actions = Vec::new();
        self.actions_of_nodes(state, &mut actions);
        for (index, envelope) in state.flying.iter().enumerate() {
            if state.flying[..index].contains(envelope) {
                continue;
            }
            let deliver = |copied| {
                let cuts = self.cuts(state);
                cuts.map(move |cut| Action::Deliver { envelope: envelope.clone(), copied, cut })
            };
            actions.extend(deliver(false));
            if state.duplicates < self.bounds.duplicates {
                actions.extend(deliver(true));
            }
            actions.push(Action::Lose { envelope: envelope.clone() });
        }
        if self.can_crash(state) {
            for (node, Node { file, .. }) in state.nodes.iter().map(|node| &**node).enumerate() {
                actions.extend((0..=file.writes.len()).map(|kept| Action::Crash { node, kept }));
            }
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
                self.deliver(&mut next, envelope, *cut)?
            }
            Action::Lose { envelope } => {
                take(&mut next, envelope);
                true
            }
            Action::Crash { node, kept } => self.crash(&mut next, *node, *kept)?,
            Action::Sync { node, writes } => self.sync(&mut next, *node, *writes)?,
            Action::Propose { node } => self.propose(&mut next, *node)?,
        };
        Ok((is_step && next.flying.len() <= self.bounds.messages).then_some(next))
    }

    fn key(&self, state: &State) -> u128 {
        self.speller.borrow_mut().key(state, &self.orders)
    }

    fn settle(&self, state: State) -> State {
        self.sharing.borrow_mut().settle(state, &mut self.speller.borrow_mut())
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
            Action::Crash { node, kept } => {
                let node = id_of(*node);
                let kept = match kept {
                    0 => String::new(),
                    kept => format!("; of what it was writing to its log, the first {kept} are on disk"),
                };
                format!("{node} loses power and starts again{kept}")
            }
            Action::Sync { node, writes } => {
                let writes = if *writes == 1 { String::new() } else { format!(" {writes} times") };
                format!("what {} was writing to its log is durable{writes}", id_of(*node))
            }
            Action::Propose { node } => format!("a client's command comes to {}", id_of(*node)),
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
    let place = state.flying.iter().position(|flying| **flying == *envelope).expect("it is in flight");
    state.flying.remove(place);
}

fn tell(state: &mut State, id: NodeId, event: &Event) -> Result<(), Broken> {
    let clock = state.nodes[index_of(id)].clock;
    let seen = (clock, 0);
    let of_log = state.log_check.as_mut().and_then(|check| Rc::make_mut(check).event(id, seen, event).err());
    let breach = of_log.or_else(|| Rc::make_mut(&mut state.check).event(id, seen, event));
    breach.map_or(Ok(()), |breach| Err(Broken { invariant: breach.invariant, message: breach.message }))
}

fn node_mut(state: &mut State, index: usize) -> &mut Node {
    Rc::make_mut(&mut state.nodes[index])
}

pub(super) fn id_of(index: usize) -> NodeId {
    NodeId(index as u64 + 1)
}

pub(super) fn index_of(id: NodeId) -> usize {
    usize::try_from(id.0 - 1).expect("a small id")
}
