//! Segments of the testbed's own TCP: each transmission is a packet with a fate of its own.

use std::net::SocketAddr;
use std::time::Duration;

use bytes::Bytes;

use crate::sim::flight::State;
use crate::sim::shared::Shared;
use crate::sim::trace::{Again, Cause, HostId, PacketKind, TcpHeader, What, Why};
use crate::tcp::{Kind, Segment, Transmission};

use super::Wire;

/// The UDP port of turmoil's by which the machines' kernels exchange segments.
pub(crate) const CARRIER_PORT: u16 = 6;

/// A segment as it was sent the first time.
#[derive(Clone, Copy, Debug)]
pub(crate) struct First {
    pub(crate) packet: u64,
    /// Its number among the packets of its direction.
    number: u64,
    /// The record of its last transmission.
    pub(crate) record: u64,
}

impl Wire {
    /// Decides on a transmission that a host's TCP makes. `first`: of a segment that was sent before. What is to be put on
    /// turmoil's link is returned beside what to remember.
    pub(crate) fn send_segment(
        &mut self,
        shared: &Shared,
        (src, dst): (SocketAddr, SocketAddr),
        transmission: Transmission,
        first: Option<First>,
        left: Duration,
    ) -> Option<(First, Option<Bytes>)> {
        let hosts = (self.host_at(src.ip())?, self.host_at(dst.ip())?);
        let Transmission { mut segment, kind, attempt, why } = transmission;
        let header = header(&segment, why);
        // Turmoil carries the data.
        let payload = Bytes::from(std::mem::take(&mut segment.payload));
        let mut flight = match first.filter(|_| attempt > 0) {
            None => {
                self.admit(shared, hosts, (src, dst), kind.into(), (&payload, Some(Box::new(header))), shared.now())
            }
            Some(first) => {
                let again =
                    Again { why: why.unwrap_or(Why::Timeout), bytes: payload.len() as u64, header: Some(header) };
                let what = What::Retransmitted { packet: first.packet, attempt, again: Box::new(again) };
                // What it carries comes of its first sending, whatever made it leave again.
                let cause = Some(Cause { record: first.record, timer: true });
                let record = shared.record_at(shared.now(), Some(hosts.0), cause, what);
                self.again(hosts, (src, dst), kind.into(), (first, record, attempt), payload)
            }
        };
        let sent = First { packet: flight.packet.id, number: flight.number, record: flight.record };
        flight.segment = Some(Box::new(segment));
        self.transmit(shared, &mut flight, left);
        if flight.state == State::Dead {
            self.take_back(flight);
            return Some((sent, None));
        }
        let payload = flight.packet.payload.clone();
        self.announce(flight);
        Some((sent, Some(payload)))
    }

    fn again(
        &mut self,
        (from, to): (HostId, HostId),
        (src, dst): (SocketAddr, SocketAddr),
        kind: PacketKind,
        (first, record, attempt): (First, u64, u32),
        payload: Bytes,
    ) -> Box<crate::sim::flight::Flight> {
        let mut flight = self.boxes.pop().unwrap_or_else(|| Box::new(crate::sim::flight::Flight::empty()));
        let packet = &mut flight.packet;
        (packet.id, packet.from, packet.to, packet.kind) = (first.packet, from, to, kind);
        (packet.src, packet.dst, packet.payload, packet.tcp, packet.label) = (src, dst, payload, None, None);
        flight.fates = self.fates.rules_of(first.packet);
        (flight.number, flight.record, flight.attempt) = (first.number, record, attempt);
        (flight.boot, flight.state) = (self.machine(from).boots, State::Dead);
        flight
    }
}

fn header(segment: &Segment, why: Option<Why>) -> TcpHeader {
    let Segment { seq, ack, window, sacks, stamp, echo, .. } = segment;
    TcpHeader {
        seq: *seq,
        ack: *ack,
        window: *window,
        sacks: sacks.clone(),
        stamp: stamp / 1_000,
        echo: echo.map(|echo| echo / 1_000),
        probe: why == Some(Why::Probe),
    }
}

impl From<Kind> for PacketKind {
    fn from(kind: Kind) -> Self {
        match kind {
            Kind::Syn => Self::Syn,
            Kind::SynAck => Self::SynAck,
            Kind::Data(number) => Self::Data(number),
            Kind::Ack => Self::Ack,
            Kind::Fin(number) => Self::Fin(number),
            Kind::Rst => Self::Rst,
        }
    }
}
