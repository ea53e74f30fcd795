//! The trace: everything that happens in a run, one record after the other, and the hash over all of them.
//!
//! A record has a number, a time, a host and, where it is known, its cause: the record that led to it. The hash runs
//! over every field of every record as it is made, whether the records are kept or not, so that a sweep that keeps
//! nothing and a run that keeps everything print the same hash.
//!
//! **Invariant:** whatever can be derived from other fields (a packet's label) is not in the hash; everything else is.

use std::fmt;
use std::net::SocketAddr;
use std::time::Duration;

use bytes::Bytes;
use serde::{Deserialize, Serialize};

pub use crate::events::Value;
pub use crate::tcp::Why;

/// A host's place in [`Trace::hosts`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct HostId(pub u16);

/// What led to a record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cause {
    /// The record that led to it.
    pub record: u64,
    /// Whether a timer stands between the two, that was set because of the one and led to the other.
    pub timer: bool,
}

impl From<u64> for Cause {
    fn from(record: u64) -> Self {
        Self { record, timer: false }
    }
}

/// One thing that happened.
#[derive(Clone, Debug, PartialEq)]
pub struct Record {
    /// Its place in the trace, from 0.
    pub number: u64,
    /// The simulated time since the run began.
    pub at: Duration,
    /// Where it happened; `None`: in the testbed itself.
    pub host: Option<HostId>,
    /// What led to it, where that is known.
    pub cause: Option<Cause>,
    /// What happened.
    pub what: What,
}

/// What happened. Packets are named by [`Packet::id`]; attempt 0 is a packet's first transmission.
#[derive(Clone, Debug, PartialEq)]
#[allow(missing_docs, reason = "fields are what the variant's own line and the type's say")]
pub enum What {
    /// A host's process started; 0 is its first incarnation.
    Started { incarnation: u32 },
    /// A host's process came to its end by itself.
    Finished,
    /// A host's process ended with an error.
    Failed { message: String },
    /// A task of the host panicked.
    Panicked { message: String },
    /// The process died.
    Killed,
    /// The machine lost power.
    PowerLost,
    /// The process stands still.
    Paused,
    /// The process goes on.
    Resumed,
    /// A packet was handed to the network.
    Sent(Box<Packet>),
    /// One transmission of a packet was lost; attempt 0 is the first.
    Lost { packet: u64, attempt: u32, reason: LossReason },
    /// A TCP segment was sent again.
    Retransmitted { packet: u64, attempt: u32, again: Box<Again> },
    /// A TCP segment was given up: its tries ran out.
    GivenUp { packet: u64, attempts: u32 },
    /// The network made a second packet of a datagram.
    Duplicated { packet: u64, copy: u64 },
    /// The network flipped a bit of a datagram.
    Corrupted { packet: u64, bit: u64 },
    /// A packet was held back by a step of the script.
    Held { packet: u64 },
    /// A packet that was held goes on its way.
    Released { packet: u64 },
    /// A packet arrived.
    Delivered { packet: u64, attempt: u32 },
    /// A fault began.
    Fault { step: usize, action: String },
    /// A fault ended by itself.
    FaultEnded { step: usize, action: String },
    /// A system's own event.
    Event { name: &'static str, fields: Vec<(&'static str, Value)> },
    /// Something that must not happen did.
    Violated { invariant: String, message: String },
    /// The run is over.
    Ended { verdict: &'static str },
}

/// A packet as a host handed it to the network.
#[derive(Clone, Debug, PartialEq)]
pub struct Packet {
    /// Its number in the run, from 0.
    pub id: u64,
    /// Sending host.
    pub from: HostId,
    /// Receiving host.
    pub to: HostId,
    /// Source address.
    pub src: SocketAddr,
    /// Destination address.
    pub dst: SocketAddr,
    /// Datagram or segment.
    pub kind: PacketKind,
    /// What it carries.
    pub payload: Bytes,
    /// Its TCP header, where the testbed's own TCP made it.
    pub tcp: Option<Box<TcpHeader>>,
    /// Its name in the system's words, where the system knows it and the records are kept.
    pub label: Option<Label>,
}

/// A TCP header. Numbers count from the SYN, which is 0: the first byte of data is 1.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TcpHeader {
    /// The number of the first byte.
    pub seq: u64,
    /// The next number that is expected of the other end.
    pub ack: Option<u64>,
    /// How many bytes may come beyond it.
    pub window: u64,
    /// What has arrived beyond it, or twice: from, to.
    pub sacks: Vec<(u64, u64)>,
    /// When it left, in milliseconds by its sender's clock; and the stamp that it answers.
    pub stamp: u64,
    /// The stamp of the segment that it acknowledges.
    pub echo: Option<u64>,
    /// Why it leaves before its turn: a tail loss probe with new data, or a question to a closed window.
    pub probe: bool,
}

/// A TCP segment as it was sent again.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Again {
    /// Why it was.
    pub why: Why,
    /// How many bytes of data it carries: more than at first, if small neighbours went along.
    pub bytes: u64,
    /// Its header. `None`: it is of software that uses turmoil's sockets directly.
    pub header: Option<TcpHeader>,
}

/// A payload with one of its bits flipped, as [`What::Corrupted`] counts them: from 0, the lowest of the first byte.
pub fn flipped(payload: &Bytes, bit: u64) -> Bytes {
    let mut bytes = payload.to_vec();
    let index = usize::try_from(bit / 8).expect("a bit of the payload");
    bytes[index] ^= 1 << (bit % 8);
    Bytes::from(bytes)
}

/// Datagram or segment.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum PacketKind {
    /// A UDP datagram.
    Udp,
    /// A TCP connection request.
    Syn,
    /// The answer to it.
    SynAck,
    /// TCP data; the number counts the segments of one direction of a connection, from 1.
    Data(u64),
    /// A TCP acknowledgement that carries no data.
    Ack,
    /// The end of one direction of a TCP connection.
    Fin(u64),
    /// A TCP reset.
    Rst,
}

impl PacketKind {
    /// What a packet of TCP's own is called that carries no data.
    pub fn own_name(self) -> Option<&'static str> {
        match self {
            Self::Udp | Self::Data(_) => None,
            Self::Syn => Some("SYN"),
            Self::SynAck => Some("SYN-ACK"),
            Self::Ack => Some("ACK"),
            Self::Fin(_) => Some("FIN"),
            Self::Rst => Some("RST"),
        }
    }

    /// Whether it belongs to a TCP connection.
    pub fn is_tcp(self) -> bool {
        self != Self::Udp
    }
}

impl fmt::Display for PacketKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Udp => write!(f, "UDP"),
            Self::Syn => write!(f, "TCP SYN"),
            Self::SynAck => write!(f, "TCP SYN-ACK"),
            Self::Ack => write!(f, "TCP ACK"),
            Self::Data(n) => write!(f, "TCP data {n}"),
            Self::Fin(n) => write!(f, "TCP FIN {n}"),
            Self::Rst => write!(f, "TCP RST"),
        }
    }
}

/// What TCP's own packets are called, of every system that has some.
pub const TCP_MESSAGES: [&str; 6] = ["SYN", "SYN-ACK", "FIN", "RST", "ACK", "data"];

/// A packet's name in the words of the system that sent it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Label {
    /// The message's name, as steps name it in `hold` and `drop`.
    pub name: String,
    /// What else a reader wants to see of it, on one line.
    pub detail: String,
}

/// Why a transmission was lost.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum LossReason {
    /// The link's loss.
    Loss,
    /// The link's burst loss.
    Burst,
    /// A partition or a cut.
    Partition,
    /// A step that drops it by name.
    Dropped,
    /// The receiving machine is without power.
    HostDown,
    /// Nothing listens at the address.
    NoSocket,
    /// The receiving socket's buffer is full.
    BufferFull,
    /// The sending machine lost power before it left.
    SenderDown,
    /// The connection was given up.
    ConnectionGone,
    /// A bit was flipped, and the checksum told.
    Checksum,
}

impl fmt::Display for LossReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Loss => "loss",
            Self::Burst => "burst loss",
            Self::Partition => "partition",
            Self::Dropped => "dropped by the script",
            Self::HostDown => "host down",
            Self::NoSocket => "no socket",
            Self::BufferFull => "receive buffer full",
            Self::SenderDown => "sender down",
            Self::ConnectionGone => "connection gone",
            Self::Checksum => "wrong checksum",
        })
    }
}

/// The hash of a trace: XXH3 over every record. Equal hashes: equal runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(into = "String", try_from = "String")]
pub struct TraceHash(pub u64);

impl fmt::Display for TraceHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}", self.0)
    }
}

impl From<TraceHash> for String {
    fn from(hash: TraceHash) -> Self {
        hash.to_string()
    }
}

impl TryFrom<String> for TraceHash {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        let well_formed = text.len() == 16 && text.bytes().all(|b| b.is_ascii_hexdigit());
        let value = if well_formed { u64::from_str_radix(&text, 16).ok() } else { None };
        value.map(Self).ok_or_else(|| format!("a trace hash has 16 hexadecimal digits, not `{text}`"))
    }
}

/// A run's records, kept.
#[derive(Clone, Debug, Default)]
pub struct Trace {
    /// The hosts' names and addresses.
    pub hosts: Vec<(String, std::net::IpAddr)>,
    /// Every record, in order.
    pub records: Vec<Record>,
}

impl Trace {
    /// A host's name; the testbed's own records have none.
    pub fn host_name(&self, host: Option<HostId>) -> &str {
        host.map_or("-", |id| &self.hosts[usize::from(id.0)].0)
    }
}

/// A duration in whole nanoseconds: runs are far shorter than the 584 years that fit.
pub(crate) fn nanos(duration: Duration) -> u64 {
    let whole = duration.as_secs().checked_mul(1_000_000_000);
    let nanos = whole.and_then(|whole| whole.checked_add(duration.subsec_nanos().into()));
    nanos.expect("a simulated time fits 64 bits of nanoseconds")
}
