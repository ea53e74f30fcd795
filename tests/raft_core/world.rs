//! Cores, their disks, and the messages between them, with an adversary in charge.

use std::rc::Rc;
use std::time::Duration;

use stormglass::check::raft::{Conditions, RaftCheck, Scope};
use stormglass::raft::server::{Command, Event as Told};
use stormglass::raft::{Config, Core, Event, HardState, Input, LogPosition, Message, NodeId, Output, Term};
use stormglass::rng::Seed;

/// What a case begins with.
#[derive(Clone, Debug)]
pub struct Setup {
    pub seed: u64,
    /// Pre-vote, check-quorum, leader stickiness, resend.
    pub options: [bool; 4],
    /// Where each node's log ends: one for each node.
    pub logs: Vec<LogPosition>,
}

/// One thing that happens. Numbers are taken modulo what there is.
#[derive(Clone, Debug)]
pub enum Action {
    /// A message arrives.
    Deliver { which: u8 },
    /// A message arrives, and will again.
    Double { which: u8 },
    /// A message is lost.
    Lose { which: u8 },
    /// All messages that fly arrive, in order; their answers fly.
    DeliverAll,
    /// A node's next deadline comes.
    Wake { node: u8 },
    /// Those of two nodes come before a message can pass between them.
    WakeBoth { first: u8, second: u8 },
    /// A node loses power and starts again.
    Restart { node: u8 },
    /// A message arrives, and power is gone after so many of the outputs.
    DeliverThenPowerLoss { which: u8, after_outputs: u8 },
    /// A deadline comes, and power is gone after so many of the outputs.
    WakeThenPowerLoss { node: u8, after_outputs: u8 },
    /// A node is told to hand over its lead.
    Transfer { from: u8, to: u8 },
}

/// More messages than this in the air, and the oldest are lost.
const FLYING_MAX: usize = 48;

struct Node {
    core: Core,
    disk: HardState,
    boots: u64,
}

struct Envelope {
    from: usize,
    to: usize,
    message: Message,
}

pub struct World {
    pub power_losses: u64,
    /// How many terms had a leader, and which was the last that any node was in.
    pub leaders: u64,
    pub last_term: Term,
    check: RaftCheck,
    /// How much was told to the check: it stands in for the number of a record.
    told: u64,
    seed: Seed,
    config: Config,
    now: Duration,
    nodes: Vec<Node>,
    flying: Vec<Envelope>,
}

impl World {
    pub fn new(setup: &Setup) -> Self {
        Self::with(setup, |_| {})
    }

    pub fn with(setup: &Setup, adjust: impl FnOnce(&mut Config)) -> Self {
        let mut config = Config::new((1..=setup.logs.len() as u64).map(NodeId));
        [config.pre_vote, config.check_quorum, config.leader_stickiness, config.resend] = setup.options;
        adjust(&mut config);
        let mut world = Self {
            power_losses: 0,
            leaders: 0,
            last_term: 0,
            check: RaftCheck::new(&config, &Conditions::default(), Scope::Safety),
            told: 0,
            seed: Seed(setup.seed),
            config,
            now: Duration::ZERO,
            nodes: Vec::new(),
            flying: Vec::new(),
        };
        for (index, log) in setup.logs.iter().enumerate() {
            let core = world.boot(index, HardState::default(), *log, 0);
            world.nodes.push(Node { core, disk: HardState::default(), boots: 0 });
            world.tell_status(index).expect("a node that has done nothing breaks nothing");
        }
        world
    }

    fn boot(&self, index: usize, disk: HardState, log: LogPosition, boots: u64) -> Core {
        let rng = Seed(self.seed.draw(&[index as u64, boots])).stream("core");
        Core::new(id_of(index), self.config.clone(), disk, log, rng, self.now).expect("a valid configuration")
    }

    pub fn act(&mut self, action: &Action) -> Result<(), String> {
        match *action {
            Action::Deliver { which } => {
                let Some(index) = self.pick_message(which) else { return Ok(()) };
                let envelope = self.flying.remove(index);
                self.deliver(envelope, usize::MAX)
            }
            Action::Double { which } => {
                let Some(index) = self.pick_message(which) else { return Ok(()) };
                let Envelope { from, to, ref message } = self.flying[index];
                let again = Envelope { from, to, message: message.clone() };
                self.deliver(again, usize::MAX)
            }
            Action::Lose { which } => {
                let lost = self.pick_message(which);
                lost.map(|index| self.flying.remove(index));
                Ok(())
            }
            Action::DeliverAll => {
                let flying = std::mem::take(&mut self.flying);
                flying.into_iter().try_for_each(|envelope| self.deliver(envelope, usize::MAX))
            }
            Action::Wake { node } => self.wake(self.pick(node), usize::MAX),
            Action::WakeBoth { first, second } => {
                self.wake(self.pick(first), usize::MAX)?;
                self.wake(self.pick(second), usize::MAX)
            }
            Action::Restart { node } => self.restart(self.pick(node)),
            Action::DeliverThenPowerLoss { which, after_outputs } => {
                let Some(index) = self.pick_message(which) else { return Ok(()) };
                let envelope = self.flying.remove(index);
                self.deliver(envelope, usize::from(after_outputs % 8))
            }
            Action::WakeThenPowerLoss { node, after_outputs } => {
                self.wake(self.pick(node), usize::from(after_outputs % 12))
            }
            Action::Transfer { from, to } => {
                let to = id_of(self.pick(to));
                self.step(self.pick(from), Input::TransferLeadership { to }, usize::MAX)
            }
        }
    }

    fn pick(&self, node: u8) -> usize {
        usize::from(node) % self.nodes.len()
    }

    fn pick_message(&self, which: u8) -> Option<usize> {
        (!self.flying.is_empty()).then(|| usize::from(which) % self.flying.len())
    }

    fn deliver(&mut self, envelope: Envelope, outputs_max: usize) -> Result<(), String> {
        let input = Input::Message { from: id_of(envelope.from), message: envelope.message };
        self.step(envelope.to, input, outputs_max)
    }

    fn wake(&mut self, index: usize, outputs_max: usize) -> Result<(), String> {
        if let Some(at) = self.nodes[index].core.deadline() {
            self.now = self.now.max(at);
        }
        self.step(index, Input::Tick, outputs_max)
    }

    /// Executes the first `outputs_max` of what follows from an input; power is gone if there are more.
    fn step(&mut self, index: usize, input: Input, outputs_max: usize) -> Result<(), String> {
        let id = id_of(index);
        match &input {
            Input::Message { from, message } => {
                self.tell(id, &Told::Received { from: *from, message: Rc::new(message.clone()) })?;
            }
            Input::TransferLeadership { to } => {
                self.tell(id, &Told::Commanded(Command::TransferLeadership { to: *to }))?;
            }
            Input::Tick => {}
            _ => unreachable!("logs stand still"),
        }
        let outputs = self.nodes[index].core.step(self.now, input);
        let loses_power = outputs.len() > outputs_max;
        for output in outputs.into_iter().take(outputs_max) {
            match output {
                Output::Persist(state) => {
                    self.nodes[index].disk = state;
                    self.tell(id, &Told::Persisted(state))?;
                }
                Output::Send { to, message } => {
                    self.tell(id, &Told::Sending { to, message: message.clone() })?;
                    self.flying.push(Envelope { from: index, to: index_of(to), message });
                }
                Output::Event(event) => {
                    match event {
                        Event::BecameLeader { .. } => self.leaders += 1,
                        Event::TermRaised { to, .. } => self.last_term = self.last_term.max(to),
                        _ => {}
                    }
                    self.tell(id, &Told::Core(event))?;
                }
                _ => unreachable!("logs stand still"),
            }
        }
        let excess = self.flying.len().saturating_sub(FLYING_MAX);
        self.flying.drain(..excess);
        if loses_power { self.restart(index) } else { self.tell_status(index) }
    }

    fn tell_status(&mut self, index: usize) -> Result<(), String> {
        let core = &self.nodes[index].core;
        let (status, deadline) = (core.status(), core.deadline());
        self.tell(id_of(index), &Told::Stepped { status, now: self.now, done: self.now, deadline })
    }

    fn tell(&mut self, id: NodeId, event: &Told) -> Result<(), String> {
        self.told += 1;
        match self.check.event(id, (self.now, self.told), event) {
            Some(breach) => Err(format!("{}: {}", breach.invariant, breach.message)),
            None => Ok(()),
        }
    }

    fn restart(&mut self, index: usize) -> Result<(), String> {
        self.power_losses += 1;
        let (disk, log) = (self.nodes[index].disk, self.nodes[index].core.status().log);
        let boots = self.nodes[index].boots + 1;
        let core = self.boot(index, disk, log, boots);
        self.nodes[index] = Node { core, disk, boots };
        self.tell(id_of(index), &Told::Loaded(disk))?;
        self.tell_status(index)
    }
}

fn id_of(index: usize) -> NodeId {
    NodeId(index as u64 + 1)
}

fn index_of(id: NodeId) -> usize {
    usize::try_from(id.0 - 1).expect("a small id")
}
