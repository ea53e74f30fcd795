//! TCP connections as a capture has them: every segment with the header that it had in the run.
//!
//! Numbers in the run count from the SYN; a capture adds an initial number to them. Software that uses turmoil's own sockets
//! sends segments without headers: their numbers are counted up here, and they acknowledge what has arrived.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;

use super::super::records::{SentLine, TcpLine};
use super::Packet;
use super::frame::{Body, Frame, Segment, bytes};

/// Every connection of a run so far.
#[derive(Default)]
pub(super) struct Connections {
    /// One direction of each connection, by its sender's address and its receiver's.
    directions: BTreeMap<(SocketAddr, SocketAddr), Direction>,
    /// SYNs so far.
    opened: u32,
}

/// What one end has sent to the other.
#[derive(Default)]
struct Direction {
    /// The initial sequence number.
    isn: u32,
    /// Its data, in order.
    data: Vec<u8>,
    /// Without headers: where each segment begins, and where the next one will.
    begins: BTreeMap<u64, u64>,
    next: u64,
    /// Without headers: segments that have arrived beyond those in order, and how many did in order.
    early: BTreeSet<u64>,
    in_order: u64,
}

impl Connections {
    /// A packet leaves for the first time.
    pub(super) fn sent(&mut self, t_ns: u64, packet: &Packet<'_>, comment: String) -> Frame {
        let ends = (packet.src, packet.dst);
        if packet.sent.transport == "tcp-syn" {
            self.open(ends);
        }
        let payload = bytes(&packet.sent.payload_hex);
        let Some(tcp) = &packet.sent.tcp else {
            self.number(packet.sent, ends);
            return seen(t_ns, packet, self.without_header(packet.sent, ends), comment);
        };
        if !payload.is_empty() {
            self.keep(ends, tcp.seq, &payload);
        }
        seen(t_ns, packet, self.segment(packet.sent, ends, tcp, payload), comment)
    }

    /// A packet leaves again: with the header that it has now, and maybe with its neighbours' data.
    pub(super) fn again(
        &mut self,
        t_ns: u64,
        packet: &Packet<'_>,
        (tcp, length): (Option<&TcpLine>, u64),
        comment: String,
    ) -> Frame {
        let ends = (packet.src, packet.dst);
        let Some(tcp) = tcp else {
            return seen(t_ns, packet, self.without_header(packet.sent, ends), comment);
        };
        let data = self.directions.get(&ends).map(|direction| direction.data.as_slice()).unwrap_or_default();
        let from = usize::try_from(tcp.seq.saturating_sub(1)).unwrap_or(usize::MAX).min(data.len());
        let to = from.saturating_add(usize::try_from(length).unwrap_or(usize::MAX)).min(data.len());
        let payload = data[from..to].to_vec();
        seen(t_ns, packet, self.segment(packet.sent, ends, tcp, payload), comment)
    }

    /// A packet has arrived.
    pub(super) fn delivered(&mut self, packet: &Packet<'_>) {
        if let (None, Some(number), Some(direction)) =
            (&packet.sent.tcp, packet.sent.segment, self.directions.get_mut(&(packet.src, packet.dst)))
        {
            direction.early.insert(number);
            while direction.early.remove(&(direction.in_order + 1)) {
                direction.in_order += 1;
            }
        }
    }

    /// Any initial numbers will do: they are the same in every capture of the run, and differ from connection to connection.
    fn open(&mut self, (src, dst): (SocketAddr, SocketAddr)) {
        let isn = self.opened.wrapping_mul(2_654_435_761);
        self.opened += 1;
        for (ends, isn) in [((src, dst), isn.wrapping_add(1_000)), ((dst, src), isn.wrapping_add(900_001_000))] {
            self.directions.insert(ends, Direction { isn, next: 1, ..Direction::default() });
        }
    }

    fn isn(&self, ends: (SocketAddr, SocketAddr)) -> u32 {
        self.directions.get(&ends).map_or(0, |direction| direction.isn)
    }

    fn keep(&mut self, ends: (SocketAddr, SocketAddr), seq: u64, payload: &[u8]) {
        let data = &mut self.directions.entry(ends).or_default().data;
        let from = usize::try_from(seq.saturating_sub(1)).unwrap_or(usize::MAX);
        // A stream is kept from its beginning on; nothing is sent that what is before it was not.
        if from <= data.len() {
            data.truncate(from);
            data.extend_from_slice(payload);
        }
    }

    fn segment(&self, sent: &SentLine, ends: (SocketAddr, SocketAddr), tcp: &TcpLine, payload: Vec<u8>) -> Segment {
        let (own, other) = (self.isn(ends), self.isn((ends.1, ends.0)));
        let number = |isn: u32, count: u64| isn.wrapping_add(u32::try_from(count & u64::from(u32::MAX)).unwrap_or(0));
        Segment {
            syn: matches!(sent.transport.as_str(), "tcp-syn" | "tcp-syn-ack"),
            fin: sent.transport == "tcp-fin",
            rst: sent.transport == "tcp-rst",
            seq: number(own, tcp.seq),
            ack: tcp.ack.map(|ack| number(other, ack)),
            window: tcp.window,
            sacks: tcp.sack.iter().map(|(from, to)| (number(other, *from), number(other, *to))).collect(),
            stamps: (sent.transport != "tcp-rst").then(|| (stamp(Some(tcp.stamp)), stamp(tcp.echo))),
            payload,
        }
    }

    /// Gives a segment without a header its place.
    fn number(&mut self, sent: &SentLine, ends: (SocketAddr, SocketAddr)) {
        let length = match sent.transport.as_str() {
            "tcp-data" => sent.len as u64,
            "tcp-fin" => 1,
            _ => return,
        };
        let direction = self.directions.entry(ends).or_default();
        direction.begins.insert(sent.segment.unwrap_or_default(), direction.next);
        direction.next += length;
    }

    fn without_header(&self, sent: &SentLine, ends: (SocketAddr, SocketAddr)) -> Segment {
        let own = self.directions.get(&ends);
        let begin = |direction: &Direction, number: Option<u64>| {
            number.and_then(|number| direction.begins.get(&number).copied()).unwrap_or(direction.next)
        };
        let is_syn = sent.transport == "tcp-syn";
        let seq = if is_syn { 0 } else { own.map_or(0, |own| begin(own, sent.segment)) };
        let arrived = self
            .directions
            .get(&(ends.1, ends.0))
            .map_or(0, |other| other.begins.get(&(other.in_order + 1)).copied().unwrap_or(other.next));
        let tcp = TcpLine {
            seq,
            ack: (!is_syn).then_some(arrived),
            window: 65_536,
            sack: Vec::new(),
            stamp: 0,
            echo: None,
            probe: false,
        };
        Segment { stamps: None, ..self.segment(sent, ends, &tcp, bytes(&sent.payload_hex)) }
    }
}

fn stamp(milliseconds: Option<u64>) -> u32 {
    // Clocks begin at 1: no stamp is 0.
    milliseconds.map_or(0, |stamp| u32::try_from((stamp + 1) & u64::from(u32::MAX)).unwrap_or(0))
}

fn seen(t_ns: u64, packet: &Packet<'_>, segment: Segment, comment: String) -> Frame {
    let Packet { src, dst, from, to, .. } = *packet;
    Frame { t_ns, interface: from, peer: to, src, dst, body: Body::Tcp(segment), comment }
}
