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
use xxhash_rust::xxh3::{Xxh3, xxh3_64};

pub use crate::events::Value;

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
    Retransmitted { packet: u64, attempt: u32 },
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
    /// Its name in the system's words, where the system knows it and the records are kept.
    pub label: Option<Label>,
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
    /// TCP data; the number counts the segments of one direction of a connection, from 1.
    Data(u64),
    /// The end of one direction of a TCP connection.
    Fin(u64),
    /// A TCP reset.
    Rst,
}

impl PacketKind {
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
            Self::Data(n) => write!(f, "TCP data {n}"),
            Self::Fin(n) => write!(f, "TCP FIN {n}"),
            Self::Rst => write!(f, "TCP RST"),
        }
    }
}

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

/// What every record has.
pub(crate) struct Head {
    pub(crate) number: u64,
    pub(crate) at: Duration,
    pub(crate) host: Option<HostId>,
    pub(crate) cause: Option<Cause>,
}

/// Makes the hash, record by record.
pub(crate) struct Hasher {
    state: Xxh3,
    buffer: Vec<u8>,
    payloads: Payloads,
}

/// The hashes of payloads that were sent lately: a heartbeat is mostly the very bytes that were sent before.
struct Payloads(Vec<(Bytes, u64)>);

impl Payloads {
    const PLACES: usize = 64;

    /// The hash of what is sent from one host to another.
    fn hash(&mut self, (from, to): (HostId, HostId), payload: &Bytes) -> u64 {
        let place = (usize::from(from.0) * 9 + usize::from(to.0)) % Self::PLACES;
        let (known, hash) = &mut self.0[place];
        // What is at the same place and was never given back is the same.
        if (known.as_ptr(), known.len()) != (payload.as_ptr(), payload.len()) {
            (*known, *hash) = (payload.clone(), xxh3_64(payload));
        }
        *hash
    }
}

impl Hasher {
    /// A long text is hashed sooner than many short ones.
    const BATCH_BYTES: usize = 2_048;

    pub(crate) fn new() -> Self {
        let payloads = Payloads(vec![(Bytes::new(), xxh3_64(&[])); Payloads::PLACES]);
        Self { state: Xxh3::new(), buffer: Vec::with_capacity(2 * Self::BATCH_BYTES), payloads }
    }

    pub(crate) fn finish(&self) -> TraceHash {
        let mut state = self.state.clone();
        state.update(&self.buffer);
        TraceHash(state.digest())
    }

    /// Takes in one record. Every field is preceded by what fixes its length, so that no two traces look alike.
    pub(crate) fn update(&mut self, record: &Record) {
        let Record { number, at, host, cause, ref what } = *record;
        self.begin(&Head { number, at, host, cause });
        encode(what, &mut self.buffer);
        self.end();
    }

    /// Takes in the record that a packet was sent, without there being one.
    pub(crate) fn sent(&mut self, head: &Head, packet: &Packet) {
        self.begin(head);
        let payload = self.payloads.hash((packet.from, packet.to), &packet.payload);
        encode_packet(packet, payload, &mut self.buffer);
        self.end();
    }

    /// Takes in the record that a packet arrived, without there being one.
    pub(crate) fn delivered(&mut self, head: &Head, packet: u64, attempt: u32) {
        self.begin(head);
        encode_delivery(packet, attempt, &mut self.buffer);
        self.end();
    }

    #[inline]
    fn begin(&mut self, head: &Head) {
        let words = [
            head.number,
            nanos(head.at),
            head.host.map_or(u64::MAX, |h| u64::from(h.0)),
            head.cause.map_or(u64::MAX, |cause| cause.record << 1 | u64::from(cause.timer)),
        ];
        put(&mut self.buffer, &words);
    }

    #[inline]
    fn end(&mut self) {
        if self.buffer.len() >= Self::BATCH_BYTES {
            self.state.update(&self.buffer);
            self.buffer.clear();
        }
    }
}

/// A duration in whole nanoseconds: runs are far shorter than the 584 years that fit.
pub(crate) fn nanos(duration: Duration) -> u64 {
    let whole = duration.as_secs().checked_mul(1_000_000_000);
    let nanos = whole.and_then(|whole| whole.checked_add(duration.subsec_nanos().into()));
    nanos.expect("a simulated time fits 64 bits of nanoseconds")
}

fn word(out: &mut Vec<u8>, value: u64) {
    out.extend_from_slice(&value.to_le_bytes());
}

fn text(out: &mut Vec<u8>, value: &str) {
    word(out, value.len() as u64);
    out.extend_from_slice(value.as_bytes());
}

#[inline]
fn words<const N: usize>(out: &mut Vec<u8>, tag: u8, values: &[u64; N]) {
    out.push(tag);
    put(out, values);
}

/// Writes each word where it stays: what is put together elsewhere and copied as a whole, the processor waits for.
#[inline]
fn put<const N: usize>(out: &mut Vec<u8>, words: &[u64; N]) {
    let start = out.len();
    out.extend_from_slice([[0; 8]; N].as_flattened());
    for (place, word) in out[start..].chunks_exact_mut(8).zip(words) {
        place.copy_from_slice(&word.to_le_bytes());
    }
}

fn encode(what: &What, out: &mut Vec<u8>) {
    match what {
        What::Started { incarnation } => words(out, 1, &[u64::from(*incarnation)]),
        What::Finished => words(out, 2, &[]),
        What::Failed { message } => texts(out, 3, &[message]),
        What::Panicked { message } => texts(out, 4, &[message]),
        What::Killed => words(out, 5, &[]),
        What::PowerLost => words(out, 6, &[]),
        What::Paused => words(out, 7, &[]),
        What::Resumed => words(out, 8, &[]),
        What::Sent(packet) => encode_packet(packet, xxh3_64(&packet.payload), out),
        What::Lost { packet, attempt, reason } => {
            words(out, 10, &[*packet, u64::from(*attempt), *reason as u64]);
        }
        What::Retransmitted { packet, attempt } => words(out, 11, &[*packet, u64::from(*attempt)]),
        What::GivenUp { packet, attempts } => words(out, 12, &[*packet, u64::from(*attempts)]),
        What::Duplicated { packet, copy } => words(out, 13, &[*packet, *copy]),
        What::Corrupted { packet, bit } => words(out, 14, &[*packet, *bit]),
        What::Held { packet } => words(out, 15, &[*packet]),
        What::Released { packet } => words(out, 16, &[*packet]),
        What::Delivered { packet, attempt } => encode_delivery(*packet, *attempt, out),
        What::Fault { step, action } => {
            words(out, 18, &[*step as u64]);
            text(out, action);
        }
        What::FaultEnded { step, action } => {
            words(out, 19, &[*step as u64]);
            text(out, action);
        }
        What::Event { name, fields } => encode_event(name, fields, out),
        What::Violated { invariant, message } => texts(out, 21, &[invariant, message]),
        What::Ended { verdict } => texts(out, 22, &[verdict]),
    }
}

fn texts(out: &mut Vec<u8>, tag: u8, values: &[&str]) {
    out.push(tag);
    for value in values {
        text(out, value);
    }
}

/// `payload`: the hash of what it carries.
fn encode_packet(packet: &Packet, payload: u64, out: &mut Vec<u8>) {
    let (kind, sequence) = match packet.kind {
        PacketKind::Udp => (0, 0),
        PacketKind::Syn => (1, 0),
        PacketKind::Data(n) => (2, n),
        PacketKind::Fin(n) => (3, n),
        PacketKind::Rst => (4, 0),
    };
    let ports = u64::from(packet.src.port()) << 16 | u64::from(packet.dst.port());
    let hosts = u64::from(packet.from.0) << 16 | u64::from(packet.to.0);
    let length = packet.payload.len() as u64;
    words(out, 9, &[packet.id, hosts, ports, kind, sequence, length, payload]);
}

#[inline]
fn encode_delivery(packet: u64, attempt: u32, out: &mut Vec<u8>) {
    words(out, 17, &[packet, u64::from(attempt)]);
}

fn encode_event(name: &str, fields: &[(&str, Value)], out: &mut Vec<u8>) {
    texts(out, 20, &[name]);
    word(out, fields.len() as u64);
    for (key, value) in fields {
        text(out, key);
        match value {
            Value::Int(n) => words(out, 0, &[*n]),
            Value::Bool(b) => words(out, 1, &[u64::from(*b)]),
            Value::Text(s) => texts(out, 2, &[s]),
        }
    }
}
