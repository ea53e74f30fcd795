// A node over noraft, compiled for each version of it.

use std::collections::BTreeMap;
use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use noraft::{
    Action, ClusterConfig, Log, LogEntries, LogEntry, LogIndex, LogPosition, Message, Node, NodeGeneration, Role, Term,
};
use serde::{Deserialize, Serialize};
use stormglass::consensus::{Fact, HardState, NodeId, Role as Part, Says};
use stormglass::disk::{Disk as _, open, replace, seal};
use stormglass::net::{Net as _, Socket as _};
use stormglass::rng::{Rng, between};
use stormglass::sim::disk::SimDisk;
use stormglass::sim::net::SimSocket;
use stormglass::sim::{Events, Host, HostResult};
use stormglass::systems::consensus::Teller;
use tokio::time::{Instant, sleep_until};

/// Term and index.
type Position = (u64, u64);

/// An entry of the log. noraft knows the terms, its user the commands.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
enum Entry {
    Term(u64),
    Command(u64),
}

/// A message between two nodes: its sender, the term and what it says.
type Envelope = (u64, u64, Body);

#[derive(Debug, Serialize, Deserialize)]
enum Body {
    AskVote { last: Position },
    Vote { granted: bool },
    Append { commit: u64, prev: Position, entries: Vec<Entry> },
    Appended { generation: u64, last: Position },
}

/// What a node has on its disk: its term, its vote and its log.
type Saved = (u64, Option<u64>, Vec<Entry>);

struct Replica {
    node: Node,
    /// The commands of all entries that it ever had, by their positions.
    commands: BTreeMap<Position, u64>,
    applied: u64,
    /// Who sent entries or a heartbeat last, and in which term.
    heard: Option<(u64, u64)>,
    deadline: Instant,
    peers: BTreeMap<u64, SocketAddr>,
    socket: SimSocket,
    disk: SimDisk,
    rng: Rng,
    teller: Teller,
    events: Events,
}

/// A node from its start to its death.
pub async fn live(teller: Teller, host: Host, id: u64, nodes: u64) -> HostResult {
    let mut replica = Replica::start(host, teller, id, nodes).await?;
    let mut buffer = vec![0; 1 << 16];
    replica.carry_out().await?;
    loop {
        let deadline = replica.deadline;
        tokio::select! {
            biased;
            received = replica.socket.recv_from(&mut buffer) => replica.receive(&buffer[..received?.0]),
            () = sleep_until(deadline) => replica.time_is_up(),
        }
        replica.carry_out().await?;
    }
}

impl Replica {
    async fn start(host: Host, teller: Teller, id: u64, nodes: u64) -> Result<Self, Box<dyn std::error::Error>> {
        let Host { net, disk, rng, events, incarnation, .. } = host;
        let (term, voted_for, entries): Saved = match disk.read("state").await? {
            Some(bytes) => serde_json::from_slice(open(b"NORA", 1, &bytes)?)?,
            None => Saved::default(),
        };
        teller.tell(Fact::Loaded(HardState { term, voted_for: voted_for.map(NodeId) }));
        let mut commands = BTreeMap::new();
        let entries = taken_in(LogPosition::ZERO, &entries, &mut commands);
        let mut config = ClusterConfig::new();
        config.voters.extend((1..=nodes).map(noraft::NodeId::new));
        let node = Node::restart(
            noraft::NodeId::new(id),
            NodeGeneration::new(incarnation.into()),
            Term::new(term),
            voted_for.map(noraft::NodeId::new),
            Log::new(config, entries),
        );
        let mut peers = BTreeMap::new();
        for peer in (1..=nodes).filter(|peer| *peer != id) {
            peers.insert(peer, net.resolve(&format!("n{peer}:7000")).await?);
        }
        let (socket, now) = (net.bind("0.0.0.0:7000").await?, Instant::now());
        let (applied, heard, deadline) = (0, None, now);
        Ok(Self { node, commands, applied, heard, deadline, peers, socket, disk, rng, teller, events })
    }

    /// Does what noraft asks for: what is to be durable is so before any message leaves.
    async fn carry_out(&mut self) -> io::Result<()> {
        let actions: Vec<Action> = self.node.actions_mut().collect();
        let (mut is_to_save, mut messages) = (false, Vec::new());
        for action in actions {
            match action {
                Action::SetElectionTimeout => self.set_timer(),
                Action::SaveCurrentTerm | Action::SaveVotedFor | Action::AppendLogEntries(_) => is_to_save = true,
                Action::BroadcastMessage(message) => {
                    messages.extend(self.peers.keys().map(|peer| (*peer, message.clone())));
                }
                Action::SendMessage(peer, message) => messages.push((peer.get(), message)),
                Action::InstallSnapshot(_) => unreachable!("no log is ever compacted here"),
            }
        }
        self.tell_what_it_is();
        if is_to_save {
            self.save().await?;
        }
        for (peer, message) in messages {
            self.send(peer, &message).await?;
        }
        self.apply();
        Ok(())
    }

    /// The timer of whoever leads is that of its heartbeats.
    fn set_timer(&mut self) {
        let (least, most) = super::ELECTION_TIMEOUT_MS;
        let after = match self.node.role() {
            Role::Leader => super::HEARTBEAT,
            Role::Follower | Role::Candidate => Duration::from_millis(between(&mut self.rng, least, most)),
        };
        self.deadline = Instant::now() + after;
    }

    fn tell_what_it_is(&self) {
        let (id, term) = (self.node.id().get(), self.node.current_term().get());
        let role = match self.node.role() {
            Role::Follower => Part::Follower,
            Role::Candidate => Part::Candidate,
            Role::Leader => Part::Leader,
        };
        let heard = if role == Part::Leader { Some((term, id)) } else { self.heard };
        let leader = heard.filter(|(of, _)| *of == term).map(|(_, leader)| NodeId(leader));
        self.teller.tell(Fact::Is { role, term, leader });
    }

    async fn save(&self) -> io::Result<()> {
        let term = self.node.current_term().get();
        let voted_for = self.node.voted_for().map(noraft::NodeId::get);
        let entries = self.told(self.node.log().entries());
        let bytes = serde_json::to_vec(&(term, voted_for, entries))?;
        replace(&self.disk, "state", &seal(b"NORA", 1, &bytes)).await?;
        self.teller.tell(Fact::Persisted(HardState { term, voted_for: voted_for.map(NodeId) }));
        Ok(())
    }

    async fn send(&self, to: u64, message: &Message) -> io::Result<()> {
        let position = |position: &LogPosition| (position.term.get(), position.index.get());
        let (says, body) = match message {
            Message::RequestVoteCall { last_position, .. } => {
                (Says::Candidacy, Body::AskVote { last: position(last_position) })
            }
            Message::RequestVoteReply { vote_granted, .. } => {
                let says = if *vote_granted { Says::Vote } else { Says::Other };
                (says, Body::Vote { granted: *vote_granted })
            }
            Message::AppendEntriesCall { commit_index, entries, .. } => {
                let (commit, prev) = (commit_index.get(), position(&entries.prev_position()));
                (Says::Lead, Body::Append { commit, prev, entries: self.told(entries) })
            }
            Message::AppendEntriesReply { generation, last_position, .. } => {
                (Says::Other, Body::Appended { generation: generation.get(), last: position(last_position) })
            }
        };
        let (from, term) = (message.from().get(), message.term().get());
        self.teller.tell(Fact::Sending { to: NodeId(to), term, says });
        let bytes = serde_json::to_vec(&(from, term, body))?;
        // A checksum, without which a flipped bit would be another number.
        self.socket.send_to(&seal(b"NORA", 1, &bytes), self.peers[&to]).await?;
        Ok(())
    }

    fn receive(&mut self, datagram: &[u8]) {
        let Some((from, term, says)) = opened(datagram) else { return };
        let (sender, of) = (noraft::NodeId::new(from), Term::new(term));
        let message = match says {
            Body::AskVote { last } => Message::RequestVoteCall { from: sender, term: of, last_position: at(last) },
            Body::Vote { granted } => Message::RequestVoteReply { from: sender, term: of, vote_granted: granted },
            Body::Append { commit, prev, entries } => {
                if term >= self.node.current_term().get() {
                    self.heard = Some((term, from));
                }
                let entries = taken_in(at(prev), &entries, &mut self.commands);
                Message::AppendEntriesCall { from: sender, term: of, commit_index: LogIndex::new(commit), entries }
            }
            Body::Appended { generation, last } => {
                let generation = NodeGeneration::new(generation);
                if self.node.role() == Role::Leader && self.node.current_term() == of {
                    self.teller.tell(Fact::Answered { by: NodeId(from), term });
                }
                Message::AppendEntriesReply { from: sender, term: of, generation, last_position: at(last) }
            }
        };
        self.node.handle_message(&message);
    }

    /// A leader takes on a command, whose number nobody else draws, and which is its heartbeat too.
    fn time_is_up(&mut self) {
        if self.node.role() != Role::Leader {
            return self.node.handle_election_timeout();
        }
        let LogPosition { term, index } = self.node.propose_command();
        self.commands.insert((term.get(), index.get()), between(&mut self.rng, 0, u64::MAX));
    }

    fn apply(&mut self) {
        while self.applied < self.node.commit_index().get() {
            self.applied += 1;
            let index = LogIndex::new(self.applied);
            let Some(term) = self.node.log().entries().get_term(index) else { return };
            let hash = self.commands.get(&(term.get(), self.applied)).copied().unwrap_or_default();
            self.teller.tell(Fact::Applied { index: self.applied, term: term.get(), hash });
            self.events.count("applied", 1);
        }
    }

    /// Entries, with the commands that noraft does not have.
    fn told(&self, entries: &LogEntries) -> Vec<Entry> {
        let with_command = |(position, entry): (LogPosition, LogEntry)| match entry {
            LogEntry::Term(term) => Entry::Term(term.get()),
            LogEntry::Command => Entry::Command(self.commands[&(position.term.get(), position.index.get())]),
            LogEntry::ClusterConfig(_) => unreachable!("the members never change here"),
        };
        entries.iter_with_positions().map(with_command).collect()
    }
}

fn at((term, index): Position) -> LogPosition {
    LogPosition { term: Term::new(term), index: LogIndex::new(index) }
}

/// Entries as noraft knows them; their commands are kept beside it.
fn taken_in(prev: LogPosition, entries: &[Entry], commands: &mut BTreeMap<Position, u64>) -> LogEntries {
    let (mut term, first) = (prev.term.get(), prev.index.get() + 1);
    let without_command = |(index, entry): (u64, &Entry)| match *entry {
        Entry::Term(of) => {
            term = of;
            LogEntry::Term(Term::new(of))
        }
        Entry::Command(command) => {
            commands.insert((term, index), command);
            LogEntry::Command
        }
    };
    LogEntries::from_iter(prev, (first..).zip(entries).map(without_command))
}

/// What is in a datagram; nothing in one that was damaged.
fn opened(datagram: &[u8]) -> Option<Envelope> {
    serde_json::from_slice(open(b"NORA", 1, datagram).ok()?).ok()
}

#[allow(dead_code, reason = "one version reads for both")]
pub fn shown(datagram: &[u8]) -> Option<(String, String)> {
    let (_, term, says) = opened(datagram)?;
    let says = format!("{says:?}");
    let (name, detail) = says.split_once(' ').unwrap_or((&says, ""));
    Some((name.to_owned(), format!("term={term} {detail}")))
}
