//! omnipaxos in the testbed: a replicated log of somebody else's that is no Raft, without sockets, clock and disk. It is held
//! to what it shares with Raft: one leader a ballot, votes that last, and one content an index.
//!
//! It asks for links that keep the order and lose nothing while both ends are connected, as TCP's do. Its script has such
//! links: datagrams all take the same time, and none is lost but by a partition or a crash. Those are the end of a
//! connection, and whoever is heard again after a silence is told to be connected anew.
//!
//! ```sh
//! cargo run -- sweep omnipaxos/chaos --seeds 0..200
//! cargo test
//! ```

use std::collections::BTreeMap;
use std::error::Error;
use std::io;
use std::net::SocketAddr;
use std::process::ExitCode;
use std::time::Duration;

use omnipaxos::ballot_leader_election::Ballot;
use omnipaxos::macros::Entry;
use omnipaxos::messages::Message;
use omnipaxos::messages::sequence_paxos::PaxosMsg;
use omnipaxos::storage::{StopSign, Storage, StorageOp, StorageResult};
use omnipaxos::util::LogEntry;
use omnipaxos::{ClusterConfig, OmniPaxos, OmniPaxosConfig, ServerConfig};
use serde::{Deserialize, Serialize};
use stormglass::check::consensus::Settings;
use stormglass::consensus::{Fact, HardState, NodeId, Part, Role, Says};
use stormglass::disk::{Disk as _, open, replace, seal};
use stormglass::net::{Net as _, Socket as _};
use stormglass::rng::{Rng, between};
use stormglass::script::ScriptError;
use stormglass::sim::disk::SimDisk;
use stormglass::sim::net::SimSocket;
use stormglass::sim::trace::{Label, Packet};
use stormglass::sim::{Events, Host, HostResult, Setup, System};
use stormglass::systems::consensus::{COUNTERS, ROLES, STATES, Teller, Watch};
use tokio::time::{Instant, sleep_until};

const TICK: Duration = Duration::from_millis(10);
/// After how many ticks heartbeats are counted, and a leader is replaced that was not heard.
const ELECTION_TICKS: u64 = 10;
/// How often a leader takes on a command, in ticks.
const COMMAND_TICKS: u64 = 4;
/// Of whom nothing was heard for so long, the connection is lost.
const SILENCE: Duration = Duration::from_millis(250);

#[derive(Clone, Debug, Entry, Serialize, Deserialize)]
struct Command(u64);

/// What a node has on its disk. omnipaxos writes into it; it is saved as a whole before any message leaves.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
struct Saved {
    log: Vec<Command>,
    promise: Option<Ballot>,
    accepted: Option<Ballot>,
    decided: usize,
    #[serde(skip)]
    is_changed: bool,
}

/// What omnipaxos writes into, shared with who saves it.
#[derive(Clone, Default)]
struct Store(std::rc::Rc<std::cell::RefCell<Saved>>);

impl Store {
    fn change(&self, change: impl FnOnce(&mut Saved)) -> StorageResult<()> {
        let mut saved = self.0.borrow_mut();
        change(&mut saved);
        saved.is_changed = true;
        Ok(())
    }
}

impl Storage<Command> for Store {
    fn write_atomically(&mut self, ops: Vec<StorageOp<Command>>) -> StorageResult<()> {
        ops.into_iter().try_for_each(|op| match op {
            StorageOp::AppendEntry(entry) => self.append_entry(entry),
            StorageOp::AppendEntries(entries) => self.append_entries(entries),
            StorageOp::AppendOnPrefix(from, entries) => self.append_on_prefix(from, entries),
            StorageOp::SetPromise(ballot) => self.set_promise(ballot),
            StorageOp::SetDecidedIndex(decided) => self.set_decided_idx(decided),
            StorageOp::SetAcceptedRound(ballot) => self.set_accepted_round(ballot),
            StorageOp::SetStopsign(stopsign) => self.set_stopsign(stopsign),
            StorageOp::SetSnapshot(snapshot) => self.set_snapshot(snapshot),
            StorageOp::SetCompactedIdx(index) => self.set_compacted_idx(index),
            StorageOp::Trim(index) => self.trim(index),
        })
    }
    fn append_entry(&mut self, entry: Command) -> StorageResult<()> {
        self.change(|saved| saved.log.push(entry))
    }
    fn append_entries(&mut self, entries: Vec<Command>) -> StorageResult<()> {
        self.change(|saved| saved.log.extend(entries))
    }
    fn append_on_prefix(&mut self, from: usize, entries: Vec<Command>) -> StorageResult<()> {
        self.change(|saved| {
            saved.log.truncate(from);
            saved.log.extend(entries);
        })
    }
    fn set_promise(&mut self, ballot: Ballot) -> StorageResult<()> {
        self.change(|saved| saved.promise = Some(ballot))
    }
    fn set_decided_idx(&mut self, decided: usize) -> StorageResult<()> {
        self.change(|saved| saved.decided = decided)
    }
    fn get_decided_idx(&self) -> StorageResult<usize> {
        Ok(self.0.borrow().decided)
    }
    fn set_accepted_round(&mut self, ballot: Ballot) -> StorageResult<()> {
        self.change(|saved| saved.accepted = Some(ballot))
    }
    fn get_accepted_round(&self) -> StorageResult<Option<Ballot>> {
        Ok(self.0.borrow().accepted)
    }
    fn get_entries(&self, from: usize, to: usize) -> StorageResult<Vec<Command>> {
        Ok(self.0.borrow().log.get(from..to).unwrap_or_default().to_vec())
    }
    fn get_log_len(&self) -> StorageResult<usize> {
        Ok(self.0.borrow().log.len())
    }
    fn get_suffix(&self, from: usize) -> StorageResult<Vec<Command>> {
        Ok(self.0.borrow().log.get(from..).unwrap_or_default().to_vec())
    }
    fn get_promise(&self) -> StorageResult<Option<Ballot>> {
        Ok(self.0.borrow().promise)
    }
    // The members never change here, and no log is ever compacted.
    fn set_stopsign(&mut self, stopsign: Option<StopSign>) -> StorageResult<()> {
        never(stopsign.is_some())
    }
    fn get_stopsign(&self) -> StorageResult<Option<StopSign>> {
        Ok(None)
    }
    fn trim(&mut self, index: usize) -> StorageResult<()> {
        never(index > 0)
    }
    fn set_compacted_idx(&mut self, index: usize) -> StorageResult<()> {
        never(index > 0)
    }
    fn get_compacted_idx(&self) -> StorageResult<usize> {
        Ok(0)
    }
    fn set_snapshot(&mut self, snapshot: Option<omnipaxos::storage::NoSnapshot>) -> StorageResult<()> {
        never(snapshot.is_some())
    }
    fn get_snapshot(&self) -> StorageResult<Option<omnipaxos::storage::NoSnapshot>> {
        Ok(None)
    }
}

fn never(is_asked_for: bool) -> StorageResult<()> {
    if is_asked_for { Err("this cluster neither changes nor compacts".into()) } else { Ok(()) }
}

struct Replica {
    id: u64,
    paxos: OmniPaxos<Command, Store>,
    store: Store,
    /// What it had promised when it started: it does not go on with that.
    recovered: Option<Ballot>,
    ticks: u64,
    next_tick: Instant,
    /// When each was heard last.
    heard: BTreeMap<u64, Instant>,
    applied: usize,
    peers: BTreeMap<u64, SocketAddr>,
    socket: SimSocket,
    disk: SimDisk,
    rng: Rng,
    teller: Teller,
    events: Events,
}

/// A node from its start to its death.
async fn live(teller: Teller, host: Host, id: u64, nodes: u64) -> HostResult {
    let mut replica = Replica::start(host, teller, id, nodes).await?;
    let mut buffer = vec![0; 1 << 16];
    loop {
        replica.carry_out().await?;
        let next_tick = replica.next_tick;
        tokio::select! {
            biased;
            received = replica.socket.recv_from(&mut buffer) => replica.receive(&buffer[..received?.0]),
            () = sleep_until(next_tick) => replica.tick(),
        }
    }
}

impl Replica {
    async fn start(host: Host, teller: Teller, id: u64, nodes: u64) -> Result<Self, Box<dyn Error>> {
        let Host { net, disk, rng, events, .. } = host;
        let saved: Saved = match disk.read("state").await? {
            Some(bytes) => serde_json::from_slice(open(b"OMNI", 1, &bytes)?)?,
            None => Saved::default(),
        };
        teller.tell(Fact::Loaded(durable(saved.promise)));
        let (store, recovered) = (Store::default(), saved.promise);
        store.0.replace(saved);
        let config = OmniPaxosConfig {
            cluster_config: ClusterConfig { configuration_id: 1, nodes: (1..=nodes).collect(), flexible_quorum: None },
            server_config: ServerConfig {
                pid: id,
                election_tick_timeout: ELECTION_TICKS,
                resend_message_tick_timeout: 2 * ELECTION_TICKS,
                ..ServerConfig::default()
            },
        };
        let paxos = config.build(store.clone())?;
        let mut peers = BTreeMap::new();
        for peer in (1..=nodes).filter(|peer| *peer != id) {
            peers.insert(peer, net.resolve(&format!("n{peer}:7000")).await?);
        }
        let now = Instant::now();
        let (heard, socket) = (peers.keys().map(|peer| (*peer, now)).collect(), net.bind("0.0.0.0:7000").await?);
        let (ticks, next_tick, applied) = (0, now + TICK, 0);
        Ok(Self {
            id,
            paxos,
            store,
            recovered,
            ticks,
            next_tick,
            heard,
            applied,
            peers,
            socket,
            disk,
            rng,
            teller,
            events,
        })
    }

    fn tick(&mut self) {
        self.next_tick += TICK;
        self.ticks += 1;
        self.paxos.tick();
        if self.is_leader() && self.ticks.is_multiple_of(COMMAND_TICKS) {
            let command = Command(between(&mut self.rng, 0, u64::MAX));
            self.paxos.append(command).expect("the members never change here");
        }
    }

    fn is_leader(&self) -> bool {
        self.paxos.get_current_leader() == Some((self.id, true))
    }

    fn receive(&mut self, datagram: &[u8]) {
        let Some(message) = opened(datagram) else { return };
        let (now, from) = (Instant::now(), message.get_sender());
        if self.heard.insert(from, now).is_some_and(|before| now - before > SILENCE) {
            self.paxos.reconnected(from);
        }
        self.paxos.handle_incoming(message);
    }

    /// What is to be durable is so before any message leaves.
    async fn carry_out(&mut self) -> Result<(), Box<dyn Error>> {
        if self.store.0.borrow().is_changed {
            let saved = self.store.0.borrow().clone();
            let bytes = serde_json::to_vec(&saved)?;
            replace(&self.disk, "state", &seal(b"OMNI", 1, &bytes)).await?;
            self.store.0.borrow_mut().is_changed = false;
            self.teller.tell(Fact::Persisted(durable(saved.promise)));
        }
        self.tell_what_it_is();
        let mut messages = Vec::new();
        self.paxos.take_outgoing_messages(&mut messages);
        for message in messages {
            self.send(&message).await?;
        }
        for entry in self.paxos.read_decided_suffix(self.applied).unwrap_or_default() {
            let LogEntry::Decided(Command(hash)) = entry else { continue };
            self.applied += 1;
            // An entry does not say in which ballot it was proposed.
            self.teller.tell(Fact::Applied { index: self.applied as u64, term: 0, hash });
            self.events.count("applied", 1);
        }
        Ok(())
    }

    /// Whoever prepares its own ballot leads nobody yet and follows nobody: there is no role for that.
    fn tell_what_it_is(&self) {
        let (promise, leads) = (self.paxos.get_promise(), self.is_leader());
        if leads || promise.pid != self.id || Some(promise) == self.recovered {
            // Whom it has promised its vote leads once its log has been taken on.
            let leader = self.paxos.get_current_leader().filter(|(_, is_accepted)| *is_accepted);
            let role = if leads { Role::Leader } else { Role::Follower };
            self.teller.tell(Fact::Is { role, term: term(promise), leader: leader.map(|(leader, _)| NodeId(leader)) });
        } else {
            self.teller.tell(Fact::Entered { term: term(promise) });
        }
    }

    async fn send(&self, message: &Message<Command>) -> io::Result<()> {
        let to = message.get_receiver();
        if let Message::SequencePaxos(message) = message {
            let said = match &message.msg {
                PaxosMsg::Prepare(said) => Some((said.n, Says::Candidacy)),
                PaxosMsg::Promise(said) => Some((said.n, Says::Vote)),
                PaxosMsg::AcceptSync(said) => Some((said.n, Says::Lead)),
                PaxosMsg::AcceptDecide(said) => Some((said.n, Says::Lead)),
                PaxosMsg::Decide(said) => Some((said.n, Says::Lead)),
                _ => None,
            };
            if let Some((ballot, says)) = said {
                self.teller.tell(Fact::Sending { to: NodeId(to), term: term(ballot), says });
            }
        }
        let bytes = serde_json::to_vec(message)?;
        self.socket.send_to(&seal(b"OMNI", 1, &bytes), self.peers[&to]).await?;
        Ok(())
    }
}

/// A ballot as a term: its round, and whose it is, so that each has one leader.
fn term(ballot: Ballot) -> u64 {
    u64::from(ballot.n) * 1_000 + ballot.pid
}

/// To promise a ballot is to vote for whose it is.
fn durable(promise: Option<Ballot>) -> HardState {
    let promise = promise.unwrap_or_default();
    HardState { term: term(promise), voted_for: Some(NodeId(promise.pid)).filter(|vote| vote.0 != 0) }
}

fn opened(datagram: &[u8]) -> Option<Message<Command>> {
    serde_json::from_slice(open(b"OMNI", 1, datagram).ok()?).ok()
}

struct Omnipaxos;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Options {
    nodes: u64,
}

impl System for Omnipaxos {
    fn name(&self) -> &'static str {
        "omnipaxos"
    }
    fn about(&self) -> &'static str {
        "omnipaxos, a replicated log: a leader with commands, over links that keep the order"
    }
    fn sims(&self) -> &'static [(&'static str, &'static str)] {
        &[("chaos", include_str!("../sims/chaos.toml"))]
    }
    fn draws_from_tokio(&self) -> bool {
        false
    }
    fn states(&self) -> &'static [&'static str] {
        STATES
    }
    fn roles(&self) -> &'static [&'static str] {
        ROLES
    }
    fn counters(&self) -> Option<Vec<&'static str>> {
        Some(COUNTERS.iter().copied().chain(["applied"]).collect())
    }
    fn label(&self, packet: &Packet) -> Option<Label> {
        let shown = match opened(&packet.payload)? {
            Message::SequencePaxos(message) => format!("{:?}", message.msg),
            Message::BLE(message) => format!("{:?}", message.msg),
        };
        let (name, detail) = shown.split_once('(').unwrap_or((&shown, ""));
        Some(Label { name: name.to_owned(), detail: detail.to_owned() })
    }
    fn build(&self, setup: &mut Setup<'_>) -> Result<(), ScriptError> {
        let Options { nodes } = setup.section()?;
        let members = || (1..=nodes).map(NodeId);
        let mut settings = Settings::new(members())
            .lacks(Part::Messages, "heartbeats are of no ballot")
            .lacks(Part::Answers, "a leader counts answers by its log, not by time")
            .exempt("E7", "it has no candidates: who prepares a ballot has no role");
        for check in ["L1", "L2"] {
            settings = settings
                .exempt(check, "its leaders are found by heartbeats that are counted, without election timeouts");
        }
        let watch = Watch::new(setup, &settings);
        for id in members() {
            let watch = watch.clone();
            setup.host(id.to_string(), move |host| live(watch.node(id, &host), host, id.0, nodes));
        }
        Ok(())
    }
}

fn main() -> ExitCode {
    stormglass::cli::main(&[&Omnipaxos])
}

#[test]
fn chaos_is_survived() {
    stormglass::testing::check(&Omnipaxos, "omnipaxos/chaos", 0..10);
}
