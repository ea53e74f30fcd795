//! Raft: how a few servers agree on one leader, again and again, whatever the network does.
//!
//! The algorithm is that of Diego Ongaro and John Ousterhout, *In Search of an Understandable Consensus Algorithm*
//! (USENIX ATC 2014; "§5.2" and "figure 2" mean this paper), with what Ongaro's dissertation *Consensus: Bridging Theory
//! and Practice* (Stanford 2014) adds to it. Names are theirs. Servers elect a leader "to manage data replication": with
//! [`Config::replication`] its log is replicated, and without it logs stand still, and there is the election alone.
//!
//! # The election, in short
//!
//! Time is cut into **terms**, counted upwards; a term has at most one leader, and may have none (§5.1). Everybody
//! begins as a **follower**. A leader sends heartbeats; a follower that hears none for its **election timeout** becomes
//! a **candidate**: it enters the next term, votes for itself, and asks the others. A server votes once in a term, for
//! whoever asks first, unless its own log is more up to date (§5.4.1). A **majority of all members** elects: two
//! majorities share a member, and that one voted once, so two leaders of one term cannot be. Timeouts are random, so
//! that one server mostly wakes first and wins before the others wake; when two wake together and split the votes, each
//! draws afresh and they try again in the next term (§5.2).
//!
//! Whoever sees a newer term in a message enters it as a follower, leaders too; what comes from an older term is
//! answered with the newer one, and otherwise changes nothing (figure 2, "Rules for Servers").
//!
//! ```text
//!                 times out                  pre-votes of                 votes of
//!               (asks first)                  a majority                 a majority
//!   Follower ------------------> PreCandidate -----------> Candidate ---------------> Leader
//!     ^  ^                          |    ^                   |  |  ^                    |
//!     |  +---- leader, newer term --+    +--- times out -----+  +--+                    |
//!     |                                                     |  times out, no pre-vote   |
//!     +------------ leader of this term, newer term --------+                           |
//!     +------------ newer term, or no majority answers ---------------------------------+
//! ```
//!
//! # What is built on top of it
//!
//! | option | rule | from |
//! |---|---|---|
//! | [`pre_vote`](Config::pre_vote) | Before it enters a new term, a server asks whether it would get the votes. So a server that was cut off does not come back with a large term and depose a good leader. | dissertation §9.6 |
//! | [`check_quorum`](Config::check_quorum) | A leader that a majority has not answered for the largest election timeout steps down. Clients stop waiting for it, and those who hear it stop standing by it. | dissertation §6.2 |
//! | [`leader_stickiness`](Config::leader_stickiness) | A server that heard from its leader within the least election timeout neither votes in a newer term nor enters it; the same for a leader that a majority answered within it. | dissertation §4.2.3 |
//! | [`resend`](Config::resend) | A candidate asks those again who have not answered, at each heartbeat interval. | figure 2: "Servers retry RPCs" |
//!
//! A **transfer** hands the lead over ([`Input::TransferLeadership`]): once the successor's log is the leader's, the leader
//! sends it [`TimeoutNow`](message::TimeoutNow), and it campaigns at once with a request that says so, for which nobody
//! is sticky (§3.10 and §4.2.3 of the dissertation). If it has not taken over within the largest election timeout, the
//! leader goes on.
//!
//! Stickiness and a term that ran away: a server in a newer term than its cluster's cannot vote for anybody in an older
//! one, and sticky peers do not follow it into its own. It is freed by its answer to the leader's next heartbeat, which
//! carries the newer term: the leader enters it, and an election follows. An answer to a stale pre-vote carries the term
//! for the same reason. (etcd found both, in #5468 and #8243.) Stickiness acts only on terms that are newer than the
//! voter's own: a vote within the term cannot depose its leader.
//!
//! A pre-vote is refused, not granted, to who would campaign in the voter's own term: the answer takes it there first.
//! A candidate whose election ends without a winner asks for pre-votes again, in the term it is in.
//!
//! # The log, in short
//!
//! A leader appends what clients want to its log, and sends each peer what comes after the entry that it sent last
//! (§5.3). A follower that does not have that entry refuses, and says where the logs may meet; what contradicts the
//! leader's log it cuts off. An entry is **committed** once a majority has it durably and it, or one after it, is of the
//! leader's own term (§5.4.2); a leader begins its term with a blank entry, so that there is one. What is committed is
//! applied to the state machine ([`kv`]), in order.
//!
//! | part | rule |
//! |---|---|
//! | pipelining | A window of messages is under way to a peer; it halves where one is lost, and grows as they are acknowledged. A peer that does not answer gets heartbeats and no entries. |
//! | the disk | A leader sends while it writes (dissertation §10.2.1), and its own match index is what is durable here. A follower acknowledges what is durable, as far as messages of this term vouched for it. |
//! | a disk that stands still | A leader that could not write for the largest election timeout what a peer has written tells that peer to take over, and steps down. |
//! | reads | Through the log; by a round of heartbeats that was sent after the read was asked; or by a lease, which runs from when an answered round was sent, with clocks that may be off by a stated amount (dissertation §6.4). Who has just started votes for nobody for the least election timeout where there are leases: it may have heard a leader before. |
//! | sessions | A client numbers its commands in a session; one that comes again takes no effect again (dissertation §6.3). |
//!
//! # How it is driven
//!
//! [`Core`] does nothing by itself. A driver (this crate's is [`server`]; messages are datagrams by [`codec`], long ones in
//! [`parts`], term and vote a file by [`storage`], the log files by [`segments`]) owns socket, clock and disk, and in a loop
//!
//! 1. waits for a datagram or for [`Core::deadline`], whichever is first;
//! 2. calls [`Core::step`] with the time since the node's start and what came: a message, or a tick;
//! 3. executes the [`Output`]s one after the other. A [`Output::Persist`] has reached the disk, synced, before the next
//!    output is begun, and a crash in between loses the rest. An [`Output::Write`] is begun, and nothing waits for it: when
//!    it is durable, the core is told ([`Input::Synced`]).
//!
//! So a vote is on disk before it leaves, and a request only says what is on disk. A driver that had to wait for the disk
//! tells the core that it is done, and when ([`Core::written`]): a node that waits hears nobody, and the time that its
//! leader is given begins when it listens again. For the same reason a node that does not lead takes in what has arrived
//! before it heeds a deadline that has passed. The network may lose, double, delay and reorder messages. It may not invent them: the driver drops what is
//! malformed, and what is not from a member.
//!
//! What any Raft tells of itself ([`consensus`](crate::consensus)), this one tells too: [`server::Event::fact`].
//!
//! `raft-node` ([`cli`]) is a node on real sockets, which tells of itself over HTTP ([`status`], [`metrics`]).
//!
//! # How it is built
//!
//! These rules make the classic mistakes hard to write; `planted.rs` (with the cargo feature `planted-bugs`) lists the
//! mistakes, each with the software that made it.
//!
//! **Invariant:** a role is an enum that carries its data. Votes die with the candidacy, and a follower has no progress.
//!
//! **Invariant:** one function changes the term; it asserts that the term grows, and it alone clears the vote.
//!
//! **Invariant:** only the `become_*` functions change the role, and each of them emits an event.
//!
//! **Invariant:** the election timeout is drawn afresh each time the timer is armed, from the node's own generator. The
//! timer is armed by a leader that is heard, by a vote that is granted, by a campaign that begins and by a lead that
//! ends, and by nothing else.
//!
//! **Invariant:** maps and sets are ordered, nothing here reads a clock, and nothing awaits: the same inputs and the same
//! generator give the same outputs.

/// `true` where the node runs with the bug; in a build without planted bugs, `false` and nothing else.
#[cfg(feature = "planted-bugs")]
macro_rules! planted {
    ($core:expr, $bug:ident) => {
        ($core.config.bug == Some($crate::raft::planted::Bug::$bug))
    };
}
#[cfg(not(feature = "planted-bugs"))]
macro_rules! planted {
    ($core:expr, $bug:ident) => {
        false
    };
}

pub mod caller;
pub mod cli;
pub mod client;
mod clock;
pub mod codec;
pub mod config;
mod core;
pub mod event;
mod facts;
pub mod front;
pub mod kv;
pub mod log;
pub mod message;
pub mod metrics;
pub mod parts;
#[cfg(feature = "planted-bugs")]
pub mod planted;
pub mod post;
mod repeats;
pub mod request;
#[cfg(feature = "planted-bugs")]
mod seed_document;
pub mod segments;
pub mod server;
pub mod status;
pub mod storage;
#[cfg(test)]
mod testing;
#[cfg(test)]
mod tests;

use std::time::Duration;

use bytes::Bytes;

pub use self::clock::ClockRate;
pub(crate) use self::clock::Face;
pub use self::codec::{ClusterId, ClusterKey, Codec};
pub use self::config::{Config, ConfigError};
pub use self::core::Core;
pub use self::core::untimed;
pub use self::event::Event;
pub use self::log::{Entry, Log};
pub use self::message::Message;
pub(crate) use crate::consensus::by_node;
pub use crate::consensus::{HardState, LogIndex, NodeId, Role, Term};
use crate::events::Value;

/// Names and values in order, as a trace shows them.
pub type Fields = Vec<(&'static str, Value)>;

/// Messages of later terms are ignored: no cluster comes here, so they are not from one, and counting on would overflow.
pub const TERM_MAX: Term = 1 << 62;

/// The last entry of a log; its default is an empty log's.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct LogPosition {
    /// The entry's index.
    pub last_index: LogIndex,
    /// The entry's term.
    pub last_term: Term,
}

/// What can happen to a node.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Input {
    /// Time has passed. A tick before the deadline does nothing.
    Tick,
    /// A message came.
    Message {
        /// Its sender, as the driver knows it.
        from: NodeId,
        /// The message.
        message: Message,
    },
    /// The operator wants the leader, which this node should be, to hand over to another.
    TransferLeadership {
        /// The successor.
        to: NodeId,
    },
    /// Somebody wants these commands replicated, in this order. A node that leads appends them; another
    /// [declines](Output::Declined).
    Propose {
        /// The commands.
        commands: Vec<Bytes>,
    },
    /// Somebody wants to read what is committed by now; an [`Output::Read`] follows, in this step or in a later one.
    Read {
        /// Names the read in its outcome.
        id: u64,
        /// How it is made sure that nothing newer is committed.
        by: ReadBy,
    },
    /// The [`Output::Write`]s up to this number are durable.
    Synced {
        /// [`LogWrite::number`].
        number: u64,
    },
}

/// How a leader makes sure that it is one, before it lets a read see its state.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ReadBy {
    /// A majority answers a round of heartbeats (dissertation §6.4, `ReadIndex`).
    Index,
    /// By the lease, where it has one and is configured to; otherwise as [`ReadBy::Index`].
    Lease,
}

/// Why a node does not do what a client wants.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Declined {
    /// It does not lead.
    NotLeader {
        /// Who does, where it is known.
        leader: Option<NodeId>,
    },
    /// It is handing over its lead.
    HandingOver {
        /// The successor.
        to: NodeId,
    },
    /// Too much is not committed as yet.
    Busy,
    /// Its log stands still.
    NoLog,
}

/// What is to be done, in this order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Output {
    /// Write this to disk, whole, and go on when it is synced.
    Persist(HardState),
    /// Send a message.
    Send {
        /// The receiver.
        to: NodeId,
        /// The message.
        message: Message,
    },
    /// Tell who listens.
    Event(Event),
    /// Write this to the log. What follows need not wait for it: when it is durable, an [`Input::Synced`] says so. Writes
    /// are durable in the order in which they are given out.
    Write(LogWrite),
    /// The entries up to this index are committed: apply those that are not applied yet.
    Apply {
        /// The index.
        through: LogIndex,
    },
    /// What was proposed in this step is not replicated.
    Declined(Declined),
    /// A read can be served, or cannot.
    Read {
        /// Which.
        id: u64,
        /// It is served by a state in which the entry of this index is applied.
        outcome: Result<LogIndex, Declined>,
    },
}

/// A change of the log on disk.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogWrite {
    /// Counts the writes of a node since it started, from 1.
    pub number: u64,
    /// What changes.
    pub change: LogChange,
}

/// What changes in a log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LogChange {
    /// Entries come to its end.
    Append {
        /// The index of the first of them.
        first: LogIndex,
        /// The entries.
        entries: Vec<Entry>,
    },
    /// An entry and all after it are cut off.
    Truncate {
        /// The index of the first that goes.
        from: LogIndex,
    },
}

/// A node at one moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Status {
    /// Which node.
    pub id: NodeId,
    /// What it is.
    pub role: Role,
    /// `currentTerm`.
    pub term: Term,
    /// `votedFor`.
    pub voted_for: Option<NodeId>,
    /// The leader of its term, where it knows one.
    pub leader: Option<NodeId>,
    /// Since when it has its role.
    pub since: Duration,
    /// When its election timer is due; a leader has none.
    pub timer_at: Option<Duration>,
    /// The last entry of its log.
    pub log: LogPosition,
    /// `commitIndex`; 0 where logs stand still.
    pub commit: LogIndex,
    /// Up to where its log is durable at this node.
    pub durable: LogIndex,
}
