//! raft (that of TiKV) in the testbed: a Raft of somebody else's that has no sockets, no clock and no disk, and asks its
//! user for them.
//!
//! `live` is what any user of it writes; what is told of it, so that it can be checked, are the lines with `tell`. Its one
//! draw from the operating system's entropy is the election timeout: that is pinned, once a term, to what the seed draws.
//!
//! ```sh
//! cargo run -- sweep raft/chaos --seeds 0..200
//! cargo test
//! ```

use std::collections::BTreeMap;
use std::error::Error;
use std::io;
use std::net::SocketAddr;
use std::process::ExitCode;
use std::time::Duration;

use protobuf::Message as _;
use raft::eraftpb::{Entry, HardState, Message, MessageType as Type};
use raft::storage::MemStorage;
use raft::{Config, RawNode, StateRole};
use serde::{Deserialize, Serialize};
use stormglass::check::consensus::Settings;
use stormglass::consensus::{self, Fact, NodeId, Role, Says};
use stormglass::disk::{Disk as _, open, replace, seal};
use stormglass::net::{Net as _, Socket as _};
use stormglass::rng::{Rng, Seed, between};
use stormglass::script::ScriptError;
use stormglass::sim::disk::SimDisk;
use stormglass::sim::net::SimSocket;
use stormglass::sim::trace::{Label, Packet};
use stormglass::sim::{Events, Host, HostResult, Setup, System};
use stormglass::systems::consensus::{COUNTERS, ROLES, STATES, Teller, Watch};
use tokio::time::{Instant, sleep_until};

const TICK: Duration = Duration::from_millis(10);
const HEARTBEAT_TICKS: usize = 5;
/// The least election timeout; the largest is just below twice as much.
const ELECTION_TICKS: usize = 15;
/// How often a leader takes on a command, in ticks.
const COMMAND_TICKS: u64 = 4;

/// A node of a cluster.
struct Replica {
    raft: RawNode<MemStorage>,
    store: MemStorage,
    ticks: u64,
    next_tick: Instant,
    /// What it last told to be.
    told: (StateRole, u64),
    /// Draws the election timeout of each term.
    timeouts: Seed,
    commands: Rng,
    peers: BTreeMap<u64, SocketAddr>,
    socket: SimSocket,
    disk: SimDisk,
    teller: Teller,
    events: Events,
}

/// What a node has on its disk: messages of protobuf.
#[derive(Default, Serialize, Deserialize)]
struct Saved {
    state: Vec<u8>,
    entries: Vec<Vec<u8>>,
}

/// A node from its start to its death.
async fn live(teller: Teller, host: Host, id: u64, options: Options) -> HostResult {
    let mut replica = Replica::start(host, teller, id, options).await?;
    let mut buffer = vec![0; 1 << 16];
    loop {
        replica.carry_out().await?;
        let next_tick = replica.next_tick;
        tokio::select! {
            biased;
            () = sleep_until(next_tick) => replica.tick(),
            received = replica.socket.recv_from(&mut buffer) => replica.receive(&buffer[..received?.0])?,
        }
        replica.pin_timeout();
    }
}

impl Replica {
    async fn start(host: Host, teller: Teller, id: u64, options: Options) -> Result<Self, Box<dyn Error>> {
        let Host { net, disk, mut rng, events, .. } = host;
        let Options { nodes, pre_vote, check_quorum } = options;
        let saved: Saved = match disk.read("state").await? {
            Some(bytes) => serde_json::from_slice(open(b"RAFT", 1, &bytes)?)?,
            None => Saved::default(),
        };
        let (state, entries) = (HardState::parse_from_bytes(&saved.state)?, saved.entries.iter());
        let entries = entries.map(|bytes| Entry::parse_from_bytes(bytes)).collect::<Result<Vec<_>, _>>()?;
        teller.tell(Fact::Loaded(durable(&state)));
        let store = MemStorage::new_with_conf_state(((1..=nodes).collect::<Vec<_>>(), vec![]));
        store.wl().append(&entries)?;
        store.wl().set_hardstate(state);
        let config = Config {
            id,
            election_tick: ELECTION_TICKS,
            heartbeat_tick: HEARTBEAT_TICKS,
            pre_vote,
            check_quorum,
            max_inflight_msgs: 64,
            ..Config::default()
        };
        let silent = slog::Logger::root(slog::Discard, slog::o!());
        let raft = RawNode::new(&config, store.clone(), &silent)?;
        let mut peers = BTreeMap::new();
        for peer in (1..=nodes).filter(|peer| *peer != id) {
            peers.insert(peer, net.resolve(&format!("n{peer}:7000")).await?);
        }
        let timeouts = Seed(between(&mut rng, 0, u64::MAX));
        let (socket, next_tick) = (net.bind("0.0.0.0:7000").await?, Instant::now() + TICK);
        let mut replica = Self {
            raft,
            store,
            ticks: 0,
            next_tick,
            told: (StateRole::Follower, 0),
            timeouts,
            commands: rng,
            peers,
            socket,
            disk,
            teller,
            events,
        };
        replica.pin_timeout();
        Ok(replica)
    }

    /// What the crate has drawn from the operating system gives way to what the seed draws.
    fn pin_timeout(&mut self) {
        let raft = &mut self.raft.raft;
        let ticks = self.timeouts.draw(&[raft.term]) % ELECTION_TICKS as u64;
        raft.set_randomized_election_timeout(ELECTION_TICKS + ticks as usize);
    }

    fn tick(&mut self) {
        self.next_tick += TICK;
        self.ticks += 1;
        self.raft.tick();
        if self.raft.raft.state == StateRole::Leader && self.ticks.is_multiple_of(COMMAND_TICKS) {
            let command = between(&mut self.commands, 0, u64::MAX);
            // It takes on none while it hands its lead over, or when its log is too far ahead.
            let _ = self.raft.propose(vec![], command.to_le_bytes().to_vec());
        }
    }

    fn receive(&mut self, datagram: &[u8]) -> raft::Result<()> {
        let Some(message) = opened(datagram) else { return Ok(()) };
        let raft = &self.raft.raft;
        let answers = matches!(message.get_msg_type(), Type::MsgAppendResponse | Type::MsgHeartbeatResponse);
        if answers && raft.state == StateRole::Leader && raft.term == message.term {
            self.teller.tell(Fact::Answered { by: NodeId(message.from), term: message.term });
        }
        self.raft.step(message)
    }

    /// Does what the crate asks for: what is to be durable is so before any message leaves.
    async fn carry_out(&mut self) -> Result<(), Box<dyn Error>> {
        self.tell_what_it_is();
        if !self.raft.has_ready() {
            return Ok(());
        }
        let mut ready = self.raft.ready();
        assert!(ready.snapshot().is_empty(), "no log is ever compacted here");
        self.store.wl().append(ready.entries())?;
        if let Some(state) = ready.hs() {
            self.store.wl().set_hardstate(state.clone());
        }
        if ready.must_sync() {
            self.save().await?;
        }
        self.send(ready.take_messages()).await?;
        self.send(ready.take_persisted_messages()).await?;
        self.apply(ready.take_committed_entries());
        let mut rest = self.raft.advance(ready);
        if let Some(commit) = rest.commit_index() {
            self.store.wl().mut_hard_state().set_commit(commit);
        }
        self.send(rest.take_messages()).await?;
        self.apply(rest.take_committed_entries());
        self.raft.advance_apply();
        Ok(())
    }

    fn tell_what_it_is(&mut self) {
        let raft = &self.raft.raft;
        // Who has stood still is behind its clock, and not at rest before it has caught up.
        let is_behind = self.next_tick < Instant::now();
        let told = std::mem::replace(&mut self.told, (raft.state, raft.term));
        if is_behind && told == self.told {
            return;
        }
        let role = match raft.state {
            StateRole::Follower => Role::Follower,
            StateRole::PreCandidate => Role::PreCandidate,
            StateRole::Candidate => Role::Candidate,
            StateRole::Leader => Role::Leader,
        };
        let leader = Some(NodeId(raft.leader_id)).filter(|leader| leader.0 != 0);
        self.teller.tell(Fact::Is { role, term: raft.term, leader });
    }

    async fn save(&self) -> Result<(), Box<dyn Error>> {
        let state = self.store.rl().hard_state().clone();
        let entries = self.raft.store().all_entries()?;
        let entries = entries.iter().map(|entry| entry.write_to_bytes()).collect::<Result<_, _>>()?;
        let bytes = serde_json::to_vec(&Saved { state: state.write_to_bytes()?, entries })?;
        replace(&self.disk, "state", &seal(b"RAFT", 1, &bytes)).await?;
        self.teller.tell(Fact::Persisted(durable(&state)));
        Ok(())
    }

    async fn send(&self, messages: Vec<Message>) -> io::Result<()> {
        for message in messages {
            let says = match message.get_msg_type() {
                // Questions before an election may be of a term that nobody is in.
                Type::MsgRequestPreVote | Type::MsgRequestPreVoteResponse => None,
                Type::MsgRequestVote => Some(Says::Candidacy),
                Type::MsgRequestVoteResponse if !message.reject => Some(Says::Vote),
                Type::MsgAppend | Type::MsgHeartbeat | Type::MsgSnapshot => Some(Says::Lead),
                _ => Some(Says::Other),
            };
            if let Some(says) = says {
                self.teller.tell(Fact::Sending { to: NodeId(message.to), term: message.term, says });
            }
            let bytes = message.write_to_bytes().map_err(io::Error::other)?;
            // A checksum, without which a flipped bit would be another number.
            self.socket.send_to(&seal(b"RAFT", 1, &bytes), self.peers[&message.to]).await?;
        }
        Ok(())
    }

    fn apply(&self, entries: Vec<Entry>) {
        for entry in entries {
            let hash = entry.data.as_ref().try_into().map_or(0, u64::from_le_bytes);
            self.teller.tell(Fact::Applied { index: entry.index, term: entry.term, hash });
            self.events.count("applied", 1);
        }
    }
}

/// The whole of a log, from its first entry on.
trait AllEntries {
    fn all_entries(&self) -> raft::Result<Vec<Entry>>;
}

impl AllEntries for MemStorage {
    fn all_entries(&self) -> raft::Result<Vec<Entry>> {
        use raft::Storage as _;
        let (first, last) = (self.first_index()?, self.last_index()?);
        if first > last {
            Ok(Vec::new())
        } else {
            self.entries(first, last + 1, None, raft::GetEntriesContext::empty(false))
        }
    }
}

fn durable(state: &HardState) -> consensus::HardState {
    let voted_for = Some(NodeId(state.vote)).filter(|vote| vote.0 != 0);
    consensus::HardState { term: state.term, voted_for }
}

/// What is in a datagram; nothing in one that was damaged.
fn opened(datagram: &[u8]) -> Option<Message> {
    Message::parse_from_bytes(open(b"RAFT", 1, datagram).ok()?).ok()
}

struct Raft;

#[derive(Clone, Copy, Deserialize)]
#[serde(deny_unknown_fields)]
struct Options {
    nodes: u64,
    pre_vote: bool,
    check_quorum: bool,
}

impl System for Raft {
    fn name(&self) -> &'static str {
        "raft"
    }

    fn about(&self) -> &'static str {
        "raft, the Raft of TiKV: a leader with commands, over UDP"
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
        let message = opened(&packet.payload)?;
        let detail = format!("term={} index={} entries={}", message.term, message.index, message.entries.len());
        Some(Label { name: format!("{:?}", message.get_msg_type()), detail })
    }

    fn build(&self, setup: &mut Setup<'_>) -> Result<(), ScriptError> {
        let options: Options = setup.section()?;
        let ticks = |ticks: usize| TICK * u32::try_from(ticks).expect("few");
        let members = || (1..=options.nodes).map(NodeId);
        let settings = Settings {
            election_timeout: (ticks(ELECTION_TICKS), ticks(2 * ELECTION_TICKS)),
            heartbeat: ticks(HEARTBEAT_TICKS),
            pre_vote: options.pre_vote,
            check_quorum: options.check_quorum,
            ..Settings::new(members())
        };
        let watch = Watch::new(setup, &settings.exempt("L6", "it is never idle: commands are messages too"));
        for id in members() {
            let watch = watch.clone();
            setup.host(id.to_string(), move |host| live(watch.node(id, &host), host, id.0, options));
        }
        Ok(())
    }
}

fn main() -> ExitCode {
    stormglass::cli::main(&[&Raft])
}

#[test]
fn chaos_is_survived() {
    stormglass::testing::check(&Raft, "raft/chaos", 0..10);
}
