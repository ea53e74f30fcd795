//! Makes the hash of a trace, record by record.

use bytes::Bytes;
use xxhash_rust::xxh3::{Xxh3, xxh3_64};

use crate::events::Value;

use super::trace::{Cause, HostId, Packet, PacketKind, TcpHeader, TraceHash, What};

/// What every record has.
pub(crate) struct Head {
    pub(crate) number: u64,
    /// The time, in nanoseconds.
    pub(crate) at: u64,
    pub(crate) host: Option<HostId>,
    pub(crate) cause: Option<Cause>,
}

/// Takes in one record after the other.
pub(crate) struct Hasher {
    state: Xxh3,
    /// What is to be hashed next: a long text is hashed sooner than many short ones.
    buffer: Box<[u8]>,
    /// How much of the buffer that is.
    filled: usize,
    /// Where records of any length are put together.
    record: Vec<u8>,
    payloads: Payloads,
}

/// The hashes of payloads that were sent lately: a heartbeat is mostly the very bytes that were sent before.
struct Payloads(Vec<(Bytes, u64)>);

impl Payloads {
    const PLACES: usize = 64;

    /// The hash of what is sent from one host to another.
    #[inline]
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
    const BUFFER_BYTES: usize = 2_048;

    pub(crate) fn new() -> Self {
        let payloads = Payloads(vec![(Bytes::new(), xxh3_64(&[])); Payloads::PLACES]);
        let buffer = vec![0; Self::BUFFER_BYTES].into_boxed_slice();
        Self { state: Xxh3::new(), buffer, filled: 0, record: Vec::new(), payloads }
    }

    pub(crate) fn finish(&self) -> TraceHash {
        let mut state = self.state.clone();
        state.update(&self.buffer[..self.filled]);
        TraceHash(state.digest())
    }

    /// Takes in one record. Every field is preceded by what fixes its length, so that no two traces look alike.
    pub(crate) fn update(&mut self, head: &Head, what: &What) {
        let mut record = std::mem::take(&mut self.record);
        record.clear();
        begin(head).iter().for_each(|value| word(&mut record, *value));
        encode(what, &mut record);
        if record.len() > Self::BUFFER_BYTES {
            self.flush();
            self.state.update(&record);
        } else {
            self.room(record.len()).copy_from_slice(&record);
        }
        self.record = record;
    }

    /// Takes in the record that a packet was sent, without there being one.
    #[inline]
    pub(crate) fn sent(&mut self, head: &Head, packet: &Packet) {
        let payload = self.payloads.hash((packet.from, packet.to), &packet.payload);
        self.take_in(head, SENT, sent(packet, payload));
    }

    /// Takes in the record that a packet arrived, without there being one.
    #[inline]
    pub(crate) fn delivered(&mut self, head: &Head, packet: u64, attempt: u32) {
        self.take_in(head, DELIVERED, [packet, u64::from(attempt)]);
    }

    /// Takes in a record of a known length. Each word is written where it stays: what is put together elsewhere and copied
    /// as a whole, the processor waits for.
    #[inline]
    fn take_in<const N: usize>(&mut self, head: &Head, tag: u8, values: [u64; N]) {
        let record = self.room(HEAD_BYTES + 1 + 8 * N);
        write(begin(head), &mut record[..HEAD_BYTES]);
        record[HEAD_BYTES] = tag;
        write(values, &mut record[HEAD_BYTES + 1..]);
    }

    /// A place for this many bytes, which the buffer holds.
    #[inline]
    fn room(&mut self, bytes: usize) -> &mut [u8] {
        if self.filled + bytes > Self::BUFFER_BYTES {
            self.flush();
        }
        let start = self.filled;
        self.filled += bytes;
        &mut self.buffer[start..start + bytes]
    }

    fn flush(&mut self) {
        self.state.update(&self.buffer[..self.filled]);
        self.filled = 0;
    }
}

const HEAD_BYTES: usize = 32;
const SENT: u8 = 9;
const DELIVERED: u8 = 17;

#[inline]
fn begin(head: &Head) -> [u64; 4] {
    let host = head.host.map_or(u64::MAX, |host| u64::from(host.0));
    let cause = head.cause.map_or(u64::MAX, |cause| cause.record << 1 | u64::from(cause.timer));
    [head.number, head.at, host, cause]
}

#[inline]
fn write<const N: usize>(words: [u64; N], out: &mut [u8]) {
    let (places, _) = out.as_chunks_mut();
    for (place, word) in places.iter_mut().zip(words) {
        *place = word.to_le_bytes();
    }
}

fn word(out: &mut Vec<u8>, value: u64) {
    out.extend_from_slice(&value.to_le_bytes());
}

fn text(out: &mut Vec<u8>, value: &str) {
    word(out, value.len() as u64);
    out.extend_from_slice(value.as_bytes());
}

fn words(out: &mut Vec<u8>, tag: u8, values: &[u64]) {
    out.push(tag);
    values.iter().for_each(|value| word(out, *value));
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
        What::Sent(packet) => words(out, SENT, &sent(packet, xxh3_64(&packet.payload))),
        What::Lost { packet, attempt, reason } => {
            words(out, 10, &[*packet, u64::from(*attempt), *reason as u64]);
        }
        What::Retransmitted { packet, attempt, again } => {
            words(
                out,
                11,
                &[*packet, u64::from(*attempt), again.why as u64, again.bytes, header(again.header.as_ref())],
            );
        }
        What::GivenUp { packet, attempts } => words(out, 12, &[*packet, u64::from(*attempts)]),
        What::Duplicated { packet, copy } => words(out, 13, &[*packet, *copy]),
        What::Corrupted { packet, bit } => words(out, 14, &[*packet, *bit]),
        What::Held { packet } => words(out, 15, &[*packet]),
        What::Released { packet } => words(out, 16, &[*packet]),
        What::Delivered { packet, attempt } => words(out, DELIVERED, &[*packet, u64::from(*attempt)]),
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

/// What a packet is made of. `payload`: the hash of what it carries.
#[inline]
fn sent(packet: &Packet, payload: u64) -> [u64; 7] {
    let (kind, sequence) = match packet.kind {
        PacketKind::Udp => (0, 0),
        PacketKind::Syn => (1, 0),
        PacketKind::Data(n) => (2, n),
        PacketKind::Fin(n) => (3, n),
        PacketKind::Rst => (4, 0),
        PacketKind::SynAck => (5, 0),
        PacketKind::Ack => (6, 0),
    };
    let ports = u64::from(packet.src.port()) << 16 | u64::from(packet.dst.port());
    let hosts = u64::from(packet.from.0) << 16 | u64::from(packet.to.0);
    let length = packet.payload.len() as u64;
    // What has no TCP header is hashed as it was before there were any.
    let payload = packet.tcp.as_deref().map_or(payload, |tcp| payload ^ header(Some(tcp)));
    [packet.id, hosts, ports, kind, sequence, length, payload]
}

/// The hash of a TCP header.
fn header(header: Option<&TcpHeader>) -> u64 {
    let Some(TcpHeader { seq, ack, window, sacks, stamp, echo, probe }) = header else { return 0 };
    let optional = |value: Option<u64>| value.map_or(u64::MAX, |value| value);
    let fixed = [*seq, optional(*ack), *window, *stamp, optional(*echo), u64::from(*probe)];
    let mut bytes = [0; 8 * (6 + 2 * 4)];
    let words = fixed.into_iter().chain(sacks.iter().flat_map(|(from, to)| [*from, *to]));
    let (places, _) = bytes.as_chunks_mut();
    for (place, word) in places.iter_mut().zip(words) {
        *place = word.to_le_bytes();
    }
    xxh3_64(&bytes)
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
