//! On the link: packets are taken up, moved on, and arrive.

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use bytes::Bytes;

use crate::sim::causality;
use crate::sim::flight::{Flight, State};
use crate::sim::shared::Shared;
use crate::sim::trace::{Again, Cause, HostId, LossReason, Packet, PacketKind, What, Why};

use super::segments::CARRIER_PORT;
use super::{Letter, Mail, Wire};

impl Wire {
    /// Finds the announced flight for a packet that turmoil's link at `place` now holds, or decides on one that nobody
    /// announced.
    pub(crate) fn take_up(
        &mut self,
        shared: &Shared,
        place: usize,
        (src, dst): (SocketAddr, SocketAddr),
        protocol: &turmoil::Protocol,
        left: Duration,
    ) -> Box<Flight> {
        let (kind, payload) = describe(protocol);
        let carried = (src.port(), kind) == (CARRIER_PORT, PacketKind::Udp);
        let awaited = |flight: &Flight| {
            let packet = &flight.packet;
            let is_carried = carried && flight.segment.is_some() && packet.src.ip() == src.ip();
            is_carried || (packet.src, packet.dst, packet.kind) == (src, dst, kind)
        };
        // Hosts that run apart from turmoil announce what they send before turmoil's own do, whose turn may come first.
        let announced = &mut self.queues[place].announced;
        if let Some(flight) =
            announced.iter().position(|flight| awaited(flight)).and_then(|place| announced.remove(place))
        {
            return flight;
        }
        let ends = (self.host_at(src.ip()), self.host_at(dst.ip()));
        let (Some(from), Some(to)) = ends else { panic!("a packet from {src} to {dst} between unknown hosts") };
        let payload = payload.cloned().unwrap_or_default();
        if matches!(kind, PacketKind::Udp | PacketKind::Data(_)) {
            shared.is_direct(from);
        }
        if self.machine(from).off || self.gone_quietly(src, dst, kind) {
            let packet = Packet { id: u64::MAX, from, to, src, dst, kind, payload, tcp: None, label: None };
            return Box::new(Flight { packet, left, ..Flight::empty() });
        }
        if kind == PacketKind::Syn {
            self.streams.remove(&(src, dst));
            self.streams.remove(&(dst, src));
        }
        // It is seen only now, on its link: what its host did it for is not known.
        let admit = || self.admit(shared, (from, to), (src, dst), kind, (&payload, None), left);
        let mut flight = causality::because(None, admit);
        self.transmit(shared, &mut flight, left);
        flight
    }

    /// Whether this is the farewell of a connection that its sender has given up: TCP sends none then. Only the first
    /// is; a reset that comes later answers the peer, which has not heard of the end yet.
    fn gone_quietly(&mut self, src: SocketAddr, dst: SocketAddr, kind: PacketKind) -> bool {
        let closes = matches!(kind, PacketKind::Fin(_) | PacketKind::Rst);
        closes && self.streams.get(&(src, dst)).is_some_and(|stream| stream.gone)
    }

    /// Moves every packet on. `true`: some are to be delivered in the next step.
    pub(crate) fn advance_all(&mut self, shared: &Shared, now: Duration, tick: Duration) -> bool {
        let mut any = false;
        for place in 0..self.queues.len() {
            if self.queues[place].flights.is_empty() {
                continue;
            }
            let mut flights = std::mem::take(&mut self.queues[place].flights);
            let mut due = false;
            for flight in &mut flights {
                due |= self.advance(shared, flight, now, tick);
            }
            let queue = &mut self.queues[place];
            queue.flights = flights;
            queue.handing_over = due;
            any |= due;
        }
        any
    }

    /// Takes the packets out of directions in which none is alive, and names these directions.
    pub(crate) fn take_dead_directions(&mut self) -> Vec<(IpAddr, IpAddr)> {
        let mut directions = Vec::new();
        for queue in &mut self.queues {
            // What turmoil is about to deliver must not be put on hold again.
            if std::mem::take(&mut queue.handing_over) {
                continue;
            }
            while let Some((src, dst)) = queue.dead_direction() {
                queue.flights.retain(|flight| flight.packet.src.ip() != src);
                directions.push((src, dst));
            }
        }
        directions
    }

    /// Moves one packet on. `true`: it is to be delivered in the next step.
    fn advance(&mut self, shared: &Shared, flight: &mut Flight, now: Duration, tick: Duration) -> bool {
        loop {
            if self.is_gone(flight) {
                if matches!(flight.state, State::Travelling { .. } | State::Held { .. }) {
                    let (packet, attempt) = (flight.packet.id, flight.attempt);
                    let what = What::Lost { packet, attempt, reason: LossReason::ConnectionGone };
                    shared.record_caused(None, flight.record, what);
                }
                flight.state = State::Dead;
            }
            match flight.state {
                State::Travelling { due } if due <= Self::horizon(flight, now, tick) => {
                    if self.arrive(shared, flight, now) {
                        flight.state = State::Done;
                        return true;
                    }
                }
                State::Answered { due } if due <= now + tick => {
                    flight.state = State::Done;
                    return true;
                }
                State::Waiting { at } if at <= now => self.retransmit(shared, flight, at),
                _ => return false,
            }
        }
    }

    /// Until when a packet that is due arrives with this tick. What TCP does takes place at its exact time, and the
    /// applications see it at the nearest tick: rounded up, every round trip would be a tick too long.
    fn horizon(flight: &Flight, now: Duration, tick: Duration) -> Duration {
        if flight.segment.is_some() { now + tick / 2 } else { now }
    }

    fn is_gone(&self, flight: &Flight) -> bool {
        let Packet { src, dst, kind, .. } = flight.packet;
        self.any_gone
            && flight.segment.is_none()
            && kind.is_tcp()
            && flight.state != State::Dead
            && kind != PacketKind::Rst
            && self.streams.get(&(src, dst)).is_some_and(|stream| stream.gone)
    }

    fn retransmit(&mut self, shared: &Shared, flight: &mut Flight, at: Duration) {
        let machine = self.machine(flight.packet.from);
        if machine.off || machine.boots != flight.boot {
            flight.state = State::Dead;
            return;
        }
        flight.attempt += 1;
        let again = Again { why: Why::Timeout, bytes: flight.packet.payload.len() as u64, header: None };
        let what = What::Retransmitted { packet: flight.packet.id, attempt: flight.attempt, again: Box::new(again) };
        let cause = Cause { record: flight.record, timer: true };
        flight.record = shared.record_at(shared.now(), Some(flight.packet.from), Some(cause), what);
        self.transmit(shared, flight, at);
    }

    /// A transmission reaches its host. `true`: the lane is to deliver it.
    fn arrive(&mut self, shared: &Shared, flight: &mut Flight, now: Duration) -> bool {
        let Packet { from, to, src, dst, kind, .. } = flight.packet;
        let refused = if self.machine(to).off {
            Some(LossReason::HostDown)
        } else if flight.segment.is_some() {
            None
        } else if kind == PacketKind::Syn && self.links.is_cut(to, from) {
            Some(LossReason::Partition)
        } else if kind == PacketKind::Udp {
            let inbox = self.inboxes.get_mut(to, dst.port());
            inbox.and_then(|inbox| inbox.refuses(flight.packet.payload.len(), self.udp_buffer_bytes))
        } else {
            None
        };
        if let Some(reason) = refused {
            self.lose(shared, flight, now, reason);
            return false;
        }
        let transmission = (flight.packet.id, flight.attempt);
        let record = shared.recorder.borrow_mut().delivered(shared.now(), to, flight.record, transmission);
        let length = flight.packet.payload.len();
        if let (Some(mut segment), State::Travelling { due }) = (flight.segment.take(), flight.state) {
            if self.machine(to).apart {
                segment.payload = flight.packet.payload.to_vec();
            }
            self.mail[usize::from(to.0)].push(Mail { due, record, src, dst, segment });
            return true;
        }
        match kind {
            PacketKind::Udp => {
                let letter_box = self.inboxes.get_mut(to, dst.port()).filter(|inbox| inbox.is_letter_box);
                if let Some(inbox) = letter_box {
                    inbox.put(Letter { record: Some(record), from: src, payload: flight.packet.payload.clone() });
                    self.machine(to).lettered = true;
                } else if let Some(inbox) = self.inboxes.get_mut(to, dst.port()) {
                    inbox.bytes += length as u64;
                    inbox.queue.push_back((record, length));
                } else {
                    shared.is_direct(to);
                }
            }
            PacketKind::Syn => {
                self.answer(flight, now);
                return false;
            }
            PacketKind::Data(_) | PacketKind::Fin(_) => self.measure(flight, now),
            PacketKind::SynAck | PacketKind::Ack | PacketKind::Rst => {}
        }
        true
    }

    /// A SYN has arrived: its answer goes back. Turmoil hands it over only then, since it answers without a delay.
    fn answer(&mut self, flight: &mut Flight, now: Duration) {
        let Packet { from, to, src, dst, .. } = flight.packet;
        let State::Travelling { due: arrived } = flight.state else { unreachable!("it was travelling") };
        let due = arrived + self.links.ack_latency(to, from, flight.number);
        if flight.attempt == 0 {
            let round_trip = due - flight.left;
            self.stream(src, dst).trip.measure(round_trip);
            self.stream(dst, src).trip.measure(round_trip);
        }
        flight.state = State::Answered { due: due.max(now) };
    }

    fn measure(&mut self, flight: &Flight, now: Duration) {
        if flight.attempt == 0 {
            let Packet { from, to, src, dst, .. } = flight.packet;
            let State::Travelling { due } = flight.state else { unreachable!("it was travelling") };
            let round_trip = due.min(now) - flight.left + self.links.ack_latency(to, from, flight.number);
            self.stream(src, dst).trip.measure(round_trip);
        }
    }

    /// Cuts one direction: what is on its way there is lost.
    pub(crate) fn cut(&mut self, shared: &Shared, step: usize, (from, to): (HostId, HostId), now: Duration) {
        self.links.cut(step, from, to);
        self.gather();
        let mut flights = std::mem::take(&mut self.queue(from, to).flights);
        for flight in &mut flights {
            let (sender, receiver) = (flight.packet.from, flight.packet.to);
            match flight.state {
                State::Travelling { .. } if (sender, receiver) == (from, to) => {
                    self.links.is_cut(from, to);
                    self.lose(shared, flight, now, LossReason::Partition);
                }
                State::Answered { .. } if (receiver, sender) == (from, to) => {
                    self.links.is_cut(from, to);
                    self.wait_or_give_up(shared, flight, now);
                }
                _ => {}
            }
        }
        self.queue(from, to).flights = flights;
    }

    /// Lets held packets go: those of one step, or all. `true`: there was one.
    pub(crate) fn release(&mut self, shared: &Shared, step: Option<usize>, now: Duration) -> bool {
        let mut any = false;
        self.gather();
        let mut queues = std::mem::take(&mut self.queues);
        for flight in queues.iter_mut().flat_map(|queue| queue.flights.iter_mut().chain(&mut queue.announced)) {
            let State::Held { step: of } = flight.state else { continue };
            if step.is_some_and(|step| step != of) {
                continue;
            }
            any = true;
            shared.record_caused(None, flight.record, What::Released { packet: flight.packet.id });
            flight.left = now;
            if self.links.is_cut(flight.packet.from, flight.packet.to) {
                self.lose(shared, flight, now, LossReason::Partition);
            } else {
                self.depart(flight, now);
            }
        }
        self.queues = queues;
        any
    }

    /// How many transmissions are under way or held.
    pub(crate) fn in_flight(&self) -> u64 {
        let flights = self.queues.iter().flat_map(|queue| queue.flights.iter().chain(&queue.announced));
        let under_way = |state: &State| matches!(state, State::Travelling { .. } | State::Held { .. });
        (self.queued() + flights.map(|flight| flight.state).filter(under_way).count()) as u64
    }
}

fn describe(protocol: &turmoil::Protocol) -> (PacketKind, Option<&Bytes>) {
    match protocol {
        turmoil::Protocol::Udp(datagram) => (PacketKind::Udp, Some(&datagram.0)),
        turmoil::Protocol::Tcp(segment) => match segment {
            turmoil::Segment::Syn(_) => (PacketKind::Syn, None),
            turmoil::Segment::Data(number, payload) => (PacketKind::Data(*number), Some(payload)),
            turmoil::Segment::Fin(number) => (PacketKind::Fin(*number), None),
            turmoil::Segment::Rst => (PacketKind::Rst, None),
        },
    }
}
