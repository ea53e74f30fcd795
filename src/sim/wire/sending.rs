//! Sending: what becomes of a transmission is decided when it leaves.

use std::net::SocketAddr;
use std::time::Duration;

use bytes::Bytes;

use crate::script::TcpSettings;
use crate::sim::flight::{Flight, State};
use crate::sim::links::Ruling;
use crate::sim::rto::backoff;
use crate::sim::shared::Shared;
use crate::sim::trace::{Cause, HostId, Label, LossReason, Packet, PacketKind, TcpHeader, What, flipped};

use super::{Labeller, Wire};

/// What is to be put on a link for one datagram.
pub(crate) struct Departure {
    /// How many there are now: none, it, or it twice.
    pub(crate) copies: usize,
    /// What they carry, if that is not what was sent.
    pub(crate) corrupted: Option<Bytes>,
}

impl Wire {
    /// Decides on a datagram that a host sends, and returns what is to be put on the link.
    pub(crate) fn send_datagram(
        &mut self,
        shared: &Shared,
        (from, to): (HostId, HostId),
        (src, dst): (SocketAddr, SocketAddr),
        payload: &Bytes,
    ) -> Departure {
        let now = shared.now();
        let bits = payload.len() as u64 * 8;
        let mut flight = self.admit(shared, (from, to), (src, dst), PacketKind::Udp, (payload, None), now);
        self.transmit(shared, &mut flight, now);
        if flight.state == State::Dead {
            return Departure { copies: 0, corrupted: None };
        }
        if flight.fates.is_empty() && !self.links.meddles(from, to) {
            self.announce(flight);
            return Departure { copies: 1, corrupted: None };
        }
        self.meddle(shared, flight, bits)
    }

    /// Corrupts and copies a datagram, where the script or its link does.
    fn meddle(&mut self, shared: &Shared, mut flight: Box<Flight>, bits: u64) -> Departure {
        let (from, to) = (flight.packet.from, flight.packet.to);
        let mut corrupted = None;
        let scripted = self.fates.corrupts(&flight.fates, bits);
        if let Some(bit) = scripted.or_else(|| self.links.corrupts(from, to, flight.number, bits)) {
            shared.record_caused(None, flight.record, What::Corrupted { packet: flight.packet.id, bit });
            flight.packet.payload = flipped(&flight.packet.payload, bit);
            corrupted = Some(flight.packet.payload.clone());
        }
        let copy = self.copy(shared, &flight);
        let copies = 1 + usize::from(copy.is_some());
        self.announce(flight);
        copy.into_iter().for_each(|copy| self.announce(copy));
        Departure { copies, corrupted }
    }

    /// The copy that the network makes of a datagram, if it makes one.
    fn copy(&mut self, shared: &Shared, original: &Flight) -> Option<Box<Flight>> {
        let (from, to) = (original.packet.from, original.packet.to);
        let scripted = self.fates.duplicates(&original.fates, original.left);
        if scripted.is_none() && !self.links.duplicates(from, to, original.number) {
            return None;
        }
        let mut packet = original.packet.clone();
        packet.id = self.next_packet;
        self.next_packet += 1;
        let number = self.links.next_packet(from, to);
        let what = What::Duplicated { packet: original.packet.id, copy: packet.id };
        let record = shared.record_caused(None, original.record, what);
        // What holds the one holds the other: a copy is no way around a script.
        let state = if let State::Held { step } = original.state {
            State::Held { step }
        } else {
            let latency = scripted.and_then(|twin| twin.latency);
            let latency = latency.unwrap_or_else(|| self.links.latency(from, to, number, 0));
            State::Travelling { due: original.left + latency }
        };
        Some(Box::new(Flight { packet, number, record, state, segment: None, fates: Vec::new(), ..*original }))
    }

    /// Takes down a packet that a host sends.
    pub(super) fn admit(
        &mut self,
        shared: &Shared,
        (from, to): (HostId, HostId),
        (src, dst): (SocketAddr, SocketAddr),
        kind: PacketKind,
        (payload, header): (&Bytes, Option<Box<TcpHeader>>),
        at: Duration,
    ) -> Box<Flight> {
        let id = self.next_packet;
        self.next_packet += 1;
        let number = self.links.next_packet(from, to);
        // Written where it stays, field by field: what is made elsewhere and moved is waited for.
        let mut flight = self.boxes.pop().unwrap_or_else(|| Box::new(Flight::empty()));
        let packet = &mut flight.packet;
        (packet.id, packet.from, packet.to, packet.kind) = (id, from, to, kind);
        (packet.src, packet.dst) = (src, dst);
        packet.payload = payload.clone();
        packet.tcp = header;
        packet.label = None;
        if self.needs_names() || shared.recorder.borrow().keeps() {
            packet.label = named(&self.labeller, packet);
        }
        flight.fates = self.fates.count(packet);
        flight.record = shared.recorder.borrow_mut().sent(at, shared.cause(), packet);
        (flight.number, flight.attempt, flight.left) = (number, 0, Duration::ZERO);
        (flight.boot, flight.state, flight.segment) = (self.machine(from).boots, State::Dead, None);
        flight
    }

    fn needs_names(&self) -> bool {
        self.links.needs_names() || self.fates.needs_names()
    }

    /// Sends a packet, or sends it again, and decides what becomes of this transmission.
    pub(super) fn transmit(&mut self, shared: &Shared, flight: &mut Flight, now: Duration) {
        let (from, to) = (flight.packet.from, flight.packet.to);
        flight.left = now;
        if self.needs_names() && flight.packet.label.is_none() {
            flight.packet.label = named(&self.labeller, &flight.packet);
        }
        if self.fates.loses(&flight.fates, flight.attempt) {
            return self.lose(shared, flight, now, LossReason::Dropped);
        }
        let name = flight.packet.label.as_ref().map(|label| label.name.as_str());
        match self.links.rule(from, to, name) {
            (Ruling::Drop, _) => return self.lose(shared, flight, now, LossReason::Dropped),
            (Ruling::Hold, step) => {
                shared.record_at(now, None, Some(flight.record.into()), What::Held { packet: flight.packet.id });
                flight.state = State::Held { step };
                return;
            }
            (Ruling::Pass, _) => {}
        }
        if let Some(reason) = self.links.loses(from, to, flight.number, flight.attempt) {
            return self.lose(shared, flight, now, reason);
        }
        if flight.segment.is_some() && self.links.spoils(from, to, flight.number, flight.attempt) {
            return self.lose(shared, flight, now, LossReason::Checksum);
        }
        self.depart(flight, now);
    }

    /// Puts a transmission that was not lost on its way.
    pub(super) fn depart(&mut self, flight: &mut Flight, now: Duration) {
        let Packet { from, to, src, dst, kind, .. } = &flight.packet;
        let (from, to, kind) = (*from, *to, *kind);
        let scripted = self.fates.latency(&flight.fates, flight.attempt, now);
        let mut due = now + scripted.unwrap_or_else(|| self.links.latency(from, to, flight.number, flight.attempt));
        match kind {
            PacketKind::Udp if !self.links.meddles(from, to) => {}
            PacketKind::Udp if scripted.is_some() => {}
            PacketKind::Udp => due += self.links.held_back(from, to, flight.number).unwrap_or_default(),
            // A path keeps the order of a connection, but where the script says otherwise.
            _ if flight.segment.is_some() && scripted.is_some() => {}
            _ if flight.segment.is_some() => {
                let stream = self.stream(*src, *dst);
                due = due.max(stream.last_due);
                stream.last_due = due;
            }
            PacketKind::Rst => due = due.max(self.stream(*src, *dst).last_due),
            _ if flight.attempt == 0 => {
                let stream = self.stream(*src, *dst);
                stream.last_due = stream.last_due.max(due);
            }
            _ => {}
        }
        flight.state = State::Travelling { due };
    }

    /// A transmission is lost: a datagram and a reset for good, a segment until its timeout.
    pub(super) fn lose(&mut self, shared: &Shared, flight: &mut Flight, now: Duration, reason: LossReason) {
        let what = What::Lost { packet: flight.packet.id, attempt: flight.attempt, reason };
        shared.record_at(now, None, Some(flight.record.into()), what);
        self.wait_or_give_up(shared, flight, now);
    }

    pub(super) fn wait_or_give_up(&mut self, shared: &Shared, flight: &mut Flight, now: Duration) {
        let Packet { src, dst, kind, .. } = flight.packet;
        let TcpSettings { rto_min, rto_max, syn_rto, .. } = self.tcp;
        let (timeout, tries) = match kind {
            _ if flight.segment.is_some() => {
                flight.state = State::Dead;
                return;
            }
            PacketKind::Udp | PacketKind::Rst | PacketKind::SynAck | PacketKind::Ack => {
                flight.state = State::Dead;
                return;
            }
            PacketKind::Syn => (syn_rto, self.tcp.syn_tries),
            PacketKind::Data(_) | PacketKind::Fin(_) => {
                (self.stream(src, dst).trip.timeout(syn_rto, rto_min, rto_max), self.tcp.tries)
            }
        };
        if flight.attempt < tries {
            let at = flight.left + backoff(timeout, flight.attempt, rto_max);
            flight.state = State::Waiting { at: at.max(now) };
            return;
        }
        let what = What::GivenUp { packet: flight.packet.id, attempts: flight.attempt + 1 };
        let cause = Some(Cause { record: flight.record, timer: true });
        shared.record_at(now, Some(flight.packet.from), cause, what);
        flight.state = State::Dead;
        self.any_gone = true;
        self.stream(src, dst).gone = true;
    }
}

/// A packet's name: the system's, or else TCP's own.
fn named(labeller: &Labeller, packet: &Packet) -> Option<Label> {
    let own = || packet.kind.own_name().map(|name| Label { name: name.to_owned(), detail: String::new() });
    labeller(packet).or_else(own)
}
