//! The nodes of one run: how they are started, what they tell, and what is expected of them in the end.

mod counting;
mod verdict;

use std::cell::{Cell, Ref, RefCell};
use std::collections::BTreeMap;
use std::future::{pending, poll_fn};
use std::io;
use std::rc::Rc;
use std::task::{Context, Poll};
use std::time::Duration;

use rand::Rng as _;
use tokio::sync::mpsc;

use crate::check::consensus::State;
use crate::check::raft::log::LogCheck;
use crate::check::raft::{Agreement, Lead, RaftCheck, Scope, Seen};
use crate::events::Sink;
use crate::net::Net;
use crate::raft::by_node::ByNode;
use crate::raft::caller::Servers;
use crate::raft::front::Front;
use crate::raft::post::DATAGRAM_BYTES;
use crate::raft::server::{self, Command, Event, Node, Settings};
use crate::raft::{Config, Event as CoreEvent, Face, NodeId, Role, Term};
use crate::rng::{Rng, Seed};
use crate::sim::trace::HostId;
use crate::sim::{CoreHost, Events, Host, HostResult, WaitEnd};

use super::codec;
use super::options::{self, Expected};
use super::orders::Order;
use super::told::record;
use super::workload::{Calls, HTTP_PORT};

pub(super) const PORT: u16 = 7000;

/// So small that logs have several.
const SEGMENT_BYTES: u64 = 16 << 10;

/// From the start of the run until the first node campaigns.
pub(super) const FIRST_CAMPAIGN: &str = "first campaign";
/// From the start of the run until the first node is elected.
pub(super) const FIRST_LEADER: &str = "first leader";
/// From when a majority loses its leader until one follows the next.
pub(super) const FAILOVER: &str = "failover";

/// From when a leader appends the first command of a run until it commits it.
pub(super) const FIRST_COMMIT: &str = "first commit";
/// From when a leader is asked for the first read by rounds until it can serve it.
pub(super) const FIRST_READ: &str = "first read";

/// The nodes of one run.
pub(super) struct Cluster {
    pub(super) plan: options::Cluster,
    expected: Expected,
    check: RefCell<RaftCheck>,
    /// The check of the log, where one is replicated.
    log_check: RefCell<Option<LogCheck>>,
    remotes: RefCell<BTreeMap<NodeId, Remote>>,
    term_max: Cell<Term>,
    /// Since when no majority has had a leader; `None` while one has.
    leaderless_since: Cell<Option<Duration>>,
    /// Whether somebody has campaigned, and somebody has been elected.
    first_seen: Cell<(bool, bool)>,
    /// Up to where what the nodes agree on was told, and what it was then.
    told: Cell<(u64, Option<Lead>)>,
    /// How many commands were sent to nodes.
    commanded: Cell<u64>,
    /// What led each node to arm its election timer.
    armed: RefCell<ByNode<u64>>,
    newest: Cell<Campaign>,
    /// Who campaigned last because the leader said so, and in which term.
    successor: Cell<Option<(NodeId, Term)>>,
    /// The highest index that anybody has committed.
    commit_max: Cell<u64>,
    /// The first command and the first read of a leader.
    firsts: RefCell<counting::Firsts>,
    /// How many calls were answered.
    pub(super) answered: Cell<u64>,
    /// What no Raft survives has come about: nothing is checked from then on.
    beyond: RefCell<Option<String>>,
    /// What clients called, and what came of it.
    pub(super) calls: RefCell<Calls>,
}

/// The newest term in which somebody has campaigned.
#[derive(Clone, Copy, Default)]
struct Campaign {
    term: Term,
    candidates: u64,
    is_won: bool,
}

/// What finds the peers, until it was called.
type Lookups = Cell<Option<Box<dyn FnOnce()>>>;

/// How a node is told what to do.
#[derive(Default)]
struct Remote {
    sender: Option<mpsc::UnboundedSender<Command>>,
    /// What it is told when it starts.
    waiting: Vec<Command>,
}

impl Cluster {
    pub(super) fn new(plan: options::Cluster, expected: Expected) -> Self {
        let mut check = RaftCheck::new(&plan.config, &plan.conditions, plan.scope);
        if let Some(from) = expected.stable_from {
            check.stable_from(from);
        }
        let replicates = plan.config.replication.is_some() && plan.scope == Scope::All;
        let log_check = replicates.then(|| LogCheck::new(&plan.config, &plan.conditions));
        Self {
            plan,
            expected,
            check: RefCell::new(check),
            log_check: RefCell::new(log_check),
            remotes: RefCell::default(),
            term_max: Cell::new(0),
            leaderless_since: Cell::new(Some(Duration::ZERO)),
            first_seen: Cell::default(),
            told: Cell::default(),
            commanded: Cell::default(),
            armed: RefCell::default(),
            newest: Cell::default(),
            successor: Cell::default(),
            commit_max: Cell::default(),
            firsts: RefCell::default(),
            answered: Cell::default(),
            beyond: RefCell::default(),
            calls: RefCell::default(),
        }
    }

    pub(super) fn members(&self) -> Vec<NodeId> {
        self.plan.members().collect()
    }

    pub(super) fn config(&self) -> Config {
        self.plan.config.clone()
    }

    pub(super) fn until_led(&self) -> bool {
        self.plan.until_led
    }

    pub(super) fn until_answered(&self) -> bool {
        self.plan.until_answered
    }

    pub(super) fn agreement(&self) -> Ref<'_, Agreement> {
        Ref::map(self.check.borrow(), RaftCheck::agreement)
    }

    /// What each node that lives is just now.
    pub(super) fn states(&self) -> Vec<(NodeId, State)> {
        let check = self.check.borrow();
        self.plan.members().filter_map(|id| Some((id, check.state(id)?))).collect()
    }

    /// One node's life in the turmoil lane, from a start to its end.
    pub(super) async fn run(self: Rc<Self>, id: NodeId, host: Host) -> HostResult {
        let settings = self.settings(id);
        self.found(id, (host.disk.was_emptied(), host.disk.was_flipped()), host.events.now());
        let socket = host.net.bind(&format!("0.0.0.0:{PORT}")).await?;
        let commands = self.connect(id);
        let sink = self.clone().listen(host.events.clone(), id);
        let mut rng = host.rng;
        let front = self.front(id, &host.net, &mut rng).await?;
        let serving = server::serve(&host.net, socket, host.disk, settings, rng, commands, sink, pending());
        let Some((front, listener)) = front else { return Ok(serving.await?) };
        tokio::select! {
            biased;
            served = serving => Ok(served?),
            () = front.serve(listener) => Ok(()),
        }
    }

    /// Where clients speak HTTP: the front of a node, and where it listens.
    async fn front<N: Net>(&self, id: NodeId, net: &N, rng: &mut Rng) -> io::Result<Option<(Front<N>, N::Listener)>> {
        let Some(clients) = self.plan.clients.as_ref().filter(|clients| clients.over.is_http()) else {
            return Ok(None);
        };
        let addresses = self.members().into_iter().map(|id| (id, format!("{id}:{PORT}"))).collect();
        let (servers, rng) = (Servers { codec: codec(), addresses }, Seed(rng.random()).stream("front"));
        let listener = net.listen(&format!("0.0.0.0:{HTTP_PORT}")).await?;
        Ok(Some((Front::new(net.clone(), id, servers, clients.patience(), rng), listener)))
    }

    /// The same in the core lane.
    pub(super) fn run_in_core_lane(
        self: Rc<Self>,
        id: NodeId,
        host: CoreHost,
    ) -> impl Future<Output = HostResult> + use<> {
        let lookups = Rc::new(Lookups::default());
        let mut life = Box::pin(self.live(id, host, lookups.clone()));
        // In the other lane names are looked up by tasks, which get their turn when the node waits for the first time.
        poll_fn(move |cx| {
            let poll = life.as_mut().poll(cx);
            if let Some(look_up) = lookups.take() {
                look_up();
            }
            poll
        })
    }

    async fn live(self: Rc<Self>, id: NodeId, host: CoreHost, lookups: Rc<Lookups>) -> HostResult {
        let settings = self.settings(id);
        self.found(id, (host.disk.was_emptied(), host.disk.was_flipped()), host.events.now());
        let peers = settings.peers.keys().map(|peer| Ok((*peer, host.net.address(&peer.to_string(), PORT)?)));
        let peers = peers.collect::<io::Result<Vec<_>>>()?;
        let face = Cell::new(Face::new(settings.clock));
        let socket = host.net.bind(PORT)?;
        let mut commands = self.connect(id);
        let sink = self.clone().listen(host.events.clone(), id);
        let mut node = Node::load(socket, host.disk, settings, host.rng, sink).await?;
        let start = host.time.now();
        let addresses = node.addresses().clone();
        lookups.set(Some(Box::new(move || addresses.borrow_mut().extend(peers))));
        let time = &host.time;
        let alarm =
            |node: &Node<_, _>| node.deadline().map(|at| WaitEnd::from(start.saturating_add(face.get().passes(at))));
        let mut deadline = alarm(&node);
        // As many commands were sent when there was none left for this node, and whoever sends one then wakes it.
        let mut heeded = None;
        loop {
            // In the order in which `serve` looks for something to do. What needs no waiting is done in here.
            let pause = poll_fn(|cx| {
                loop {
                    let now = || face.get().shows(time.now() - start);
                    let is_due = deadline.is_some_and(|at| time.has_come(at));
                    let pause = if is_due && node.is_deadline_first() {
                        node.tick(now())
                    } else if let Poll::Ready(synced) = node.waits_for().1.poll_synced(cx) {
                        match synced {
                            Ok(number) => node.synced(now(), number),
                            Err(error) => return Poll::Ready(Err(error)),
                        }
                    } else if let Some(command) = self.poll_command(&mut commands, &mut heeded, cx) {
                        if let Command::JumpClock(by) = command {
                            let mut jumped = face.get();
                            jumped.jump(by);
                            face.set(jumped);
                        }
                        node.command(now(), command)
                    } else if let Some(datagram) = node.socket().try_recv() {
                        let pause = node.take_in(now(), datagram.payload(), datagram.from());
                        node.socket().reuse(datagram);
                        pause
                    } else if is_due {
                        node.tick(now())
                    } else {
                        return Poll::Pending;
                    };
                    if pause.is_some() {
                        return Poll::Ready(Ok(pause));
                    }
                    deadline = alarm(&node);
                }
            });
            let pause = pause.await?;
            node.finish(pause, || face.get().shows(time.now() - start)).await?;
            deadline = alarm(&node);
        }
    }

    /// A node starts with a disk that is as it left it, or not. Who forgets its votes and its log may vote twice, and make a
    /// majority for a log that lacks what is committed: that is no fault of an algorithm that asks for durable storage.
    fn found(&self, id: NodeId, (is_emptied, is_flipped): (bool, bool), at: Duration) {
        if let (true, Some(log)) = (is_flipped, &mut *self.log_check.borrow_mut()) {
            log.flipped(id);
        }
        if is_emptied {
            let why = format!(
                "the disk of {id} came back empty at {at:?}, which no Raft survives: a member that forgets its votes and its \
                 log has to be taken out and added anew, under another id; nothing is checked from there on"
            );
            self.beyond.borrow_mut().get_or_insert(why);
        }
    }

    /// The next command for a node, if there is one. `heeded`: how many had been sent to anybody when there was none.
    fn poll_command(
        &self,
        commands: &mut mpsc::UnboundedReceiver<Command>,
        heeded: &mut Option<u64>,
        cx: &mut Context<'_>,
    ) -> Option<Command> {
        let commanded = Some(self.commanded.get());
        if *heeded == commanded {
            return None;
        }
        if let Poll::Ready(Some(command)) = commands.poll_recv(cx) {
            return Some(command);
        }
        *heeded = commanded;
        None
    }

    fn settings(&self, id: NodeId) -> Settings {
        let peers = self.plan.members().filter(|peer| *peer != id);
        Settings {
            id,
            config: self.config(),
            codec: codec(),
            peers: peers.map(|peer| (peer, format!("{peer}:{PORT}"))).collect(),
            log: self.plan.logs.get(&id).copied().unwrap_or_default(),
            segment_bytes: SEGMENT_BYTES,
            datagram_bytes: DATAGRAM_BYTES,
            clock: self.plan.clocks.get(&id).copied().unwrap_or_default(),
        }
    }

    fn listen(self: Rc<Self>, events: Events, id: NodeId) -> Sink<Event> {
        Sink::new(move |event| self.heard(&events, id, event))
    }

    fn connect(&self, id: NodeId) -> mpsc::UnboundedReceiver<Command> {
        let (sender, receiver) = mpsc::unbounded_channel();
        let mut remotes = self.remotes.borrow_mut();
        let remote = remotes.entry(id).or_default();
        for command in remote.waiting.drain(..) {
            sender.send(command).expect("the receiver is here");
        }
        remote.sender = Some(sender);
        receiver
    }

    /// Takes in what a node tells: into the trace, the counters and the check.
    fn heard(&self, events: &Events, id: NodeId, event: &Event) {
        self.time_first_calls(events, id, event);
        let written = match event {
            // Told for each heartbeat, and nobody but the causes asks for it.
            Event::Core(core @ CoreEvent::TimerArmed { .. }) => return self.trace_timer(events, id, core),
            Event::Core(CoreEvent::Committed { index, .. }) => {
                let more = index.saturating_sub(self.commit_max.get());
                events.count("commits", more);
                self.commit_max.set(self.commit_max.get() + more);
                record(events, event)
            }
            Event::Core(core) => self.heard_core(events, id, event, core),
            // A packet's own record tells of the message.
            Event::Sending { message, .. } => {
                events.count("messages", 1);
                self.trace_asking(events, id, message);
                None
            }
            Event::Received { .. } | Event::Commanded(_) | Event::Stepped { .. } => None,
            _ => record(events, event),
        };
        let seen = (events.now(), written.unwrap_or_else(|| events.next_record()));
        let breach = self.check.borrow_mut().event(id, seen, event);
        let of_log = self.log_check.borrow_mut().as_mut().and_then(|log| log.event(id, seen, event).err());
        let beyond = self.log_check.borrow().as_ref().and_then(|log| log.beyond().map(str::to_owned));
        if let Some(why) = beyond {
            self.beyond.borrow_mut().get_or_insert(why);
        }
        let is_beyond = self.beyond.borrow().is_some();
        for breach in of_log.into_iter().chain(breach).filter(|_| !is_beyond) {
            events.breach(*breach);
        }
        // What the nodes agree on follows from what each of them is after a step, and from nothing else.
        if matches!(event, Event::Stepped { .. }) && self.check.borrow().agreed() != self.told.get().0 {
            self.tell_lead(events);
        }
    }

    /// Takes in what a core tells: into the trace and the counters.
    fn heard_core(&self, events: &Events, id: NodeId, event: &Event, core: &CoreEvent) -> Option<u64> {
        self.trace_timer(events, id, core);
        let written = record(events, event);
        if let Some(written) = written.filter(|_| core.is_new_role()) {
            events.continue_with(written.into());
            self.armed.borrow_mut().insert(id, written);
        }
        if let CoreEvent::TermRaised { to, .. } = core {
            events.count("terms", to.saturating_sub(self.term_max.get()));
            self.term_max.set(self.term_max.get().max(*to));
        }
        self.count_handed_over(events, id, core);
        self.time_firsts(events, core);
        self.count_split_votes(events, core);
        written
    }

    /// What the nodes agree on now, to be compared with later.
    fn note_lead(&self) -> Option<Lead> {
        let lead = self.agreement().of_majority.map(|(lead, _)| lead);
        self.told.set((self.check.borrow().agreed(), lead));
        lead
    }

    /// Writes into the trace that a majority has a leader now, or has none any more.
    fn tell_lead(&self, events: &Events) {
        let (_, before) = self.told.get();
        let (lead, first) = (self.note_lead(), self.agreement().first);
        match lead {
            Some(Lead { leader, term }) if before != lead => {
                events.event("majority-follows", vec![("leader", leader.to_string().into()), ("term", term.into())]);
                if let Some(since) = self.leaderless_since.take() {
                    // Hosts go through a tick one after another: who lost the leader may be ahead of who follows one now.
                    let lasted = events.now().saturating_sub(since);
                    events.time("without a leader", lasted);
                    if first.map(|(lead, _)| lead) != lead {
                        events.time(FAILOVER, lasted);
                    }
                }
            }
            None if self.leaderless_since.get().is_none() => self.leaderless_since.set(Some(events.now())),
            _ => {}
        }
    }

    /// A node's process has ended.
    pub(super) fn down(&self, host: HostId, seen: Seen) {
        let id = NodeId(u64::from(host.0) + 1);
        if !self.plan.config.members.contains(&id) {
            return;
        }
        if let Some(remote) = self.remotes.borrow_mut().get_mut(&id) {
            remote.sender = None;
        }
        self.check.borrow_mut().down(id, seen);
        if let Some(log) = &mut *self.log_check.borrow_mut() {
            log.down(id);
        }
        self.note_lead();
        if self.agreement().of_majority.is_none() && self.leaderless_since.get().is_none() {
            self.leaderless_since.set(Some(seen.0));
        }
    }

    pub(super) fn calm(&self, at: Duration) {
        self.check.borrow_mut().calm(at);
        if let Some(log) = &mut *self.log_check.borrow_mut() {
            log.calm(at);
        }
    }

    /// Does what a step of the script says.
    pub(super) fn carry_out(&self, order: &Order, events: &Events) {
        match order {
            Order::Pin { nodes, timeout } => {
                for id in nodes {
                    self.check.borrow_mut().allow_timeout(*id, *timeout);
                    self.command(*id, Command::PinNextTimeout(*timeout), true);
                }
            }
            Order::TransferTo(to) => {
                let leads =
                    |id: &NodeId| self.check.borrow().state(*id).is_some_and(|state| state.role == Role::Leader);
                let leaders: Vec<NodeId> = self.plan.members().filter(leads).collect();
                events.count("transfers", leaders.len() as u64);
                if leaders.is_empty() {
                    // Nobody is asked, so that the step does nothing.
                    drop(events.deed());
                }
                for id in leaders {
                    self.command(id, Command::TransferLeadership { to: *to }, false);
                }
            }
            Order::Propose(id) if self.is_alive(*id) => {
                events.count("proposals", 1);
                self.command(*id, Command::Propose(self.commanded.get()), false);
            }
            Order::Propose(_) => drop(events.deed()),
            Order::Jump { nodes, by } => {
                let alive: Vec<NodeId> = nodes.iter().copied().filter(|id| self.is_alive(*id)).collect();
                events.count("clock jumps", alive.len() as u64);
                if alive.is_empty() {
                    drop(events.deed());
                }
                for id in alive {
                    self.log_check.borrow_mut().iter_mut().for_each(LogCheck::clock_jumped);
                    self.command(id, Command::JumpClock(*by), false);
                }
            }
        }
    }

    fn is_alive(&self, id: NodeId) -> bool {
        self.remotes.borrow().get(&id).is_some_and(|remote| remote.sender.is_some())
    }

    fn command(&self, id: NodeId, command: Command, waits: bool) {
        self.commanded.set(self.commanded.get() + 1);
        let mut remotes = self.remotes.borrow_mut();
        let remote = remotes.entry(id).or_default();
        let told = remote.sender.as_ref().is_some_and(|sender| sender.send(command).is_ok());
        if !told && waits {
            remote.waiting.push(command);
        }
    }
}
