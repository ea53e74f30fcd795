//! TCP connections as a capture has them: sequence numbers, handshakes and acknowledgements.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;

use super::super::records::{RecordLine, SentLine, WhatLine};
use super::Packet;
use super::frame::{Body, Frame, Segment, bytes};

const FILLED_IN: &str = "not in the run: filled in as its model of TCP implies";

/// Every connection of a run so far.
pub(super) struct Connections {
    all: Vec<Connection>,
    /// The latest connection between two ends: its place, by both orders of the ends.
    latest: BTreeMap<(SocketAddr, SocketAddr), usize>,
    /// The connection of each packet.
    of_packet: BTreeMap<u64, usize>,
    /// The last arrival of each SYN: one that arrives twice is answered once.
    last_arrival: BTreeMap<u64, u64>,
    /// When each SYN's last transmission left.
    syn_left: BTreeMap<u64, u64>,
    /// SYNs that arrived and nothing came of it: whether their client was refused, or had gone by then.
    vain: BTreeMap<u64, bool>,
}

struct Connection {
    client: SocketAddr,
    /// The places of the client's host and of the server's.
    hosts: [u32; 2],
    /// Of the client and of the server.
    sides: [Side; 2],
    /// The last step of the handshake, until it is seen: when it is due at the latest.
    handshake: Option<(u64, Frame)>,
}

/// One end: what it has sent, and what has come to it.
#[derive(Default)]
struct Side {
    /// The initial sequence number.
    isn: u32,
    /// Where each segment begins and ends, counted from `isn`.
    segments: BTreeMap<u64, (u32, u32)>,
    /// Where the next segment begins.
    next: u32,
    /// Segments of the other end that have arrived, beyond those in order.
    early: BTreeSet<u64>,
    /// How many segments of the other end have arrived in order.
    in_order: u64,
    /// It knows nothing of the connection any more, and acknowledges nothing.
    gone: bool,
}

impl Connections {
    pub(super) fn new(records: &[RecordLine]) -> Self {
        let (mut last_arrival, mut syns) = (BTreeMap::new(), BTreeSet::new());
        for record in records {
            match &record.what {
                WhatLine::Sent(sent) if sent.transport == "tcp-syn" => _ = syns.insert(sent.packet),
                WhatLine::Delivered { packet, .. } if syns.contains(packet) => {
                    last_arrival.insert(*packet, record.n);
                }
                _ => {}
            }
        }
        let vain = vain(records, &last_arrival);
        Self {
            all: Vec::new(),
            latest: BTreeMap::new(),
            of_packet: BTreeMap::new(),
            last_arrival,
            syn_left: BTreeMap::new(),
            vain,
        }
    }

    /// A packet leaves for the first time.
    pub(super) fn sent(&mut self, t_ns: u64, packet: &Packet<'_>, comment: String, frames: &mut Vec<Frame>) {
        let (src, dst) = (packet.src, packet.dst);
        if packet.sent.transport == "tcp-syn" {
            let place = self.all.len();
            self.all.push(Connection::new(packet, place));
            self.latest.insert((src, dst), place);
            self.latest.insert((dst, src), place);
            self.syn_left.insert(packet.sent.packet, t_ns);
        }
        let Some(&place) = self.latest.get(&(src, dst)) else {
            // A reset that answers a stranger belongs to no connection that was seen.
            let segment = Segment { rst: true, ack: Some(0), ..Segment::default() };
            return frames.push(seen(t_ns, packet, segment, comment));
        };
        self.of_packet.insert(packet.sent.packet, place);
        let connection = &mut self.all[place];
        connection.announce(packet);
        connection.hand_shake(t_ns, frames, src == connection.client && packet.sent.transport != "tcp-syn");
        let segment = connection.segment(packet);
        let (own, _) = connection.ends(packet);
        connection.sides[own].gone |= segment.rst;
        frames.push(seen(t_ns, packet, segment, comment));
    }

    /// A packet's tries have run out: its sender knows nothing of the connection any more.
    pub(super) fn given_up(&mut self, packet: &Packet<'_>) {
        if let Some(&place) = self.of_packet.get(&packet.sent.packet) {
            let connection = &mut self.all[place];
            let (own, _) = connection.ends(packet);
            connection.sides[own].gone = true;
        }
    }

    /// A machine has lost power, and its connections with it.
    pub(super) fn power_lost(&mut self, host: u32) {
        for connection in &mut self.all {
            for (side, of) in connection.sides.iter_mut().zip(connection.hosts) {
                side.gone |= of == host;
            }
        }
    }

    /// A packet leaves again.
    pub(super) fn again(&mut self, t_ns: u64, packet: &Packet<'_>, comment: String, frames: &mut Vec<Frame>) {
        let Some(&place) = self.of_packet.get(&packet.sent.packet) else { return };
        if packet.sent.transport == "tcp-syn" {
            self.syn_left.insert(packet.sent.packet, t_ns);
        }
        let segment = self.all[place].segment(packet);
        frames.push(seen(t_ns, packet, segment, comment));
    }

    /// A packet arrives: its receiver answers, as far as TCP does by itself.
    pub(super) fn delivered(&mut self, record: &RecordLine, packet: &Packet<'_>, frames: &mut Vec<Frame>) {
        let Some(&place) = self.of_packet.get(&packet.sent.packet) else { return };
        let connection = &mut self.all[place];
        if packet.sent.transport == "tcp-syn" {
            let is_last = self.last_arrival.get(&packet.sent.packet) == Some(&record.n);
            if !is_last {
                return;
            }
            match self.vain.get(&packet.sent.packet) {
                Some(true) => frames.push(connection.refusal(record, packet)),
                Some(false) => {}
                None => {
                    let left = self.syn_left.get(&packet.sent.packet).copied().unwrap_or(record.t_ns);
                    connection.answer_syn(record, packet, record.t_ns - left, frames);
                }
            }
            return;
        }
        let (_, receiver) = connection.ends(packet);
        let Some(number) = packet.sent.segment else {
            connection.sides[receiver].gone = true;
            return;
        };
        connection.hand_shake(record.t_ns, frames, packet.dst == connection.client);
        // What arrives behind a gap waits for it. An acknowledgement of the same as before would ask for a fast
        // retransmit, which the model does not have.
        let advances = connection.arrived(number, packet);
        if !advances || connection.sides[receiver].gone {
            return;
        }
        let comment = format!("acknowledges record {}; {FILLED_IN}", record.n);
        frames.push(connection.acknowledgement(record.t_ns, packet, comment));
    }

    /// Handshakes whose last step nothing followed.
    pub(super) fn finish(&mut self, frames: &mut Vec<Frame>) {
        for connection in &mut self.all {
            connection.hand_shake(u64::MAX, frames, true);
        }
    }
}

impl Connection {
    fn new(syn: &Packet<'_>, place: usize) -> Self {
        // Any numbers will do: they are the same in every capture of the run, and differ from connection to connection.
        let isn = |side: u32| (u32::try_from(place).unwrap_or(u32::MAX)).wrapping_mul(2_654_435_761).wrapping_add(side);
        let side = |isn: u32| Side { isn, next: 1, ..Side::default() };
        let (client, hosts) = (syn.src, [syn.from, syn.to]);
        Self { client, hosts, sides: [side(isn(1_000)), side(isn(900_001_000))], handshake: None }
    }

    /// The places of the end that sends a packet, and of the other.
    fn ends(&self, packet: &Packet<'_>) -> (usize, usize) {
        if packet.src == self.client { (0, 1) } else { (1, 0) }
    }

    /// Gives a segment that is new its place.
    fn announce(&mut self, packet: &Packet<'_>) {
        let (own, _) = self.ends(packet);
        let length = match packet.sent.transport.as_str() {
            "tcp-data" => u32::try_from(packet.sent.len).unwrap_or(u32::MAX),
            "tcp-fin" => 1,
            _ => return,
        };
        let side = &mut self.sides[own];
        let (begin, end) = (side.next, side.next.wrapping_add(length));
        side.segments.insert(packet.sent.segment.unwrap_or_default(), (begin, end));
        side.next = end;
    }

    fn segment(&self, packet: &Packet<'_>) -> Segment {
        let (own, other) = self.ends(packet);
        let ack = Some(self.acknowledged(own, other));
        let side = &self.sides[own];
        let begin = packet.sent.segment.and_then(|number| side.segments.get(&number)).map_or(side.next, |span| span.0);
        let seq = side.isn.wrapping_add(begin);
        match packet.sent.transport.as_str() {
            "tcp-syn" => Segment { syn: true, seq: side.isn, ..Segment::default() },
            "tcp-data" => Segment { seq, ack, payload: bytes(&packet.sent.payload_hex), ..Segment::default() },
            "tcp-fin" => Segment { fin: true, seq, ack, ..Segment::default() },
            _ => Segment { rst: true, seq: side.isn.wrapping_add(side.next), ack, ..Segment::default() },
        }
    }

    /// The next sequence number that one end expects of the other.
    fn acknowledged(&self, own: usize, other: usize) -> u32 {
        let (own, other) = (&self.sides[own], &self.sides[other]);
        let end = other.segments.get(&own.in_order).map_or(1, |span| span.1);
        other.isn.wrapping_add(end)
    }

    /// Takes in a segment. Whether something is to be acknowledged now: it, or what waited for it.
    fn arrived(&mut self, number: u64, packet: &Packet<'_>) -> bool {
        let (_, receiver) = self.ends(packet);
        let side = &mut self.sides[receiver];
        let before = side.in_order;
        side.early.insert(number);
        while side.early.remove(&(side.in_order + 1)) {
            side.in_order += 1;
        }
        side.in_order > before
    }

    fn acknowledgement(&self, t_ns: u64, packet: &Packet<'_>, comment: String) -> Frame {
        let (sender, receiver) = self.ends(packet);
        let side = &self.sides[receiver];
        let seq = side.isn.wrapping_add(side.next);
        let segment = Segment { seq, ack: Some(self.acknowledged(receiver, sender)), ..Segment::default() };
        back(t_ns, packet, segment, comment)
    }

    /// The server's answer to a SYN where nothing listens.
    fn refusal(&mut self, record: &RecordLine, packet: &Packet<'_>) -> Frame {
        let ack = Some(self.sides[0].isn.wrapping_add(1));
        let comment = format!("refuses the SYN, record {}: nothing listens; {FILLED_IN}", record.n);
        back(record.t_ns, packet, Segment { rst: true, ack, ..Segment::default() }, comment)
    }

    /// The server's answer to a SYN, and the client's to that, which is due one latency later.
    fn answer_syn(&mut self, record: &RecordLine, packet: &Packet<'_>, latency_ns: u64, frames: &mut Vec<Frame>) {
        let [client, server] = &self.sides;
        let ack = Some(client.isn.wrapping_add(1));
        let answer = Segment { syn: true, seq: server.isn, ack, ..Segment::default() };
        frames.push(back(record.t_ns, packet, answer, format!("answers the SYN, record {}; {FILLED_IN}", record.n)));
        let (seq, ack) = (client.isn.wrapping_add(1), Some(server.isn.wrapping_add(1)));
        let segment = Segment { seq, ack, ..Segment::default() };
        let comment = format!("ends the handshake; {FILLED_IN}");
        let due = record.t_ns + latency_ns;
        let frame = Frame { is_filled_in: true, ..seen(due, packet, segment, comment) };
        self.handshake = Some((due, frame));
    }

    /// Shows the last step of the handshake, if it waits and something of the client's follows it now.
    fn hand_shake(&mut self, now_ns: u64, frames: &mut Vec<Frame>, follows: bool) {
        if follows
            && let Some((due, frame)) = self.handshake.take()
            && !self.sides[0].gone
        {
            frames.push(Frame { t_ns: due.min(now_ns), ..frame });
        }
    }
}

/// The SYNs that arrived in vain: no packet came of them and no record of the server, though a round trip passed before the
/// run was over. The trace does not say that one was refused, but its client goes on because of the answer: `true`. Of a
/// client that had stopped waiting there is no such record.
fn vain(records: &[RecordLine], last_arrival: &BTreeMap<u64, u64>) -> BTreeMap<u64, bool> {
    let end_ns = records.last().map_or(0, |record| record.t_ns);
    let (mut left, mut latest) = (BTreeMap::new(), BTreeMap::new());
    let (mut vain, mut arrivals) = (BTreeMap::new(), BTreeMap::new());
    for record in records {
        if let Some((packet, sent)) = record.cause.and_then(|cause| arrivals.get(&cause)).copied() {
            let sent: &SentLine = sent;
            if record.host.as_deref() == Some(&sent.to) {
                vain.remove(&packet);
            } else if record.host.as_deref() == Some(&sent.from) {
                vain.entry(packet).and_modify(|refused| *refused = true);
            }
        }
        match &record.what {
            WhatLine::Sent(sent) if sent.transport == "tcp-syn" => {
                left.insert(sent.packet, (record.t_ns, sent));
                latest.insert((&sent.src, &sent.dst), sent.packet);
            }
            WhatLine::Sent(sent) => {
                let (ends, reverse) = ((&sent.src, &sent.dst), (&sent.dst, &sent.src));
                if let Some(packet) = latest.get(&ends).or_else(|| latest.get(&reverse)) {
                    vain.remove(packet);
                }
            }
            WhatLine::Retransmitted { packet, .. } => {
                left.entry(*packet).and_modify(|(t_ns, _)| *t_ns = record.t_ns);
            }
            WhatLine::Delivered { packet, .. } if last_arrival.get(packet) == Some(&record.n) => {
                if let Some((left_ns, sent)) = left.get(packet)
                    && record.t_ns + (record.t_ns - left_ns) < end_ns
                {
                    vain.insert(*packet, false);
                    arrivals.insert(record.n, (*packet, *sent));
                }
            }
            _ => {}
        }
    }
    vain
}

fn seen(t_ns: u64, packet: &Packet<'_>, segment: Segment, comment: String) -> Frame {
    let Packet { src, dst, from, to, .. } = *packet;
    Frame { t_ns, interface: from, peer: to, src, dst, body: Body::Tcp(segment), comment, is_filled_in: false }
}

/// What the receiver of a packet sends back.
fn back(t_ns: u64, packet: &Packet<'_>, segment: Segment, comment: String) -> Frame {
    let Packet { src, dst, from, to, .. } = *packet;
    let body = Body::Tcp(segment);
    Frame { t_ns, interface: to, peer: from, src: dst, dst: src, body, comment, is_filled_in: true }
}
