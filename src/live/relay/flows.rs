//! TCP connections as the relay sees them: numbers count from each side's SYN, as records have them.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::Duration;

use crate::sim::trace::{PacketKind, TcpHeader};

use super::packet::Segment;

/// The directions of all connections, from the end that is named first.
#[derive(Default)]
pub(super) struct Flows(BTreeMap<(SocketAddr, SocketAddr), Flow>);

#[derive(Clone, Copy, Default)]
struct Flow {
    /// The number of its SYN.
    first: u32,
    /// The next number that was not sent yet.
    next: u32,
    scale: u8,
    /// How many segments with data were sent.
    segments: u64,
    /// When the latest so far arrives.
    last_due: Duration,
}

/// What a segment is among those of its connection.
pub(super) struct Placed {
    pub(super) kind: PacketKind,
    pub(super) header: TcpHeader,
    /// All of it was sent before.
    pub(super) is_again: bool,
}

impl Flows {
    /// Finds a segment's place.
    pub(super) fn place(&mut self, src: SocketAddr, dst: SocketAddr, segment: &Segment, bytes: u32) -> Placed {
        let is_new = segment.syn && self.0.get(&(src, dst)).is_none_or(|flow| flow.first != segment.seq);
        let flow = self.0.entry((src, dst)).or_default();
        if is_new {
            *flow = Flow { first: segment.seq, next: segment.seq, ..Flow::default() };
        } else if flow.first == 0 && flow.next == 0 {
            // A connection that was there before the relay saw it.
            (flow.first, flow.next) = (segment.seq.wrapping_sub(1), segment.seq);
        }
        flow.scale = segment.scale.unwrap_or(flow.scale);
        let end = segment.seq.wrapping_add(bytes + u32::from(segment.syn) + u32::from(segment.fin));
        let takes_numbers = end != segment.seq;
        let is_further = end.wrapping_sub(flow.next).cast_signed() > 0;
        let is_again = takes_numbers && !is_further;
        if is_further {
            flow.next = end;
        }
        flow.segments += u64::from(bytes > 0 && !is_again);
        let (first, segments) = (flow.first, flow.segments);
        let scale = if segment.syn { 0 } else { flow.scale };
        let peer = self.0.get(&(dst, src)).map_or(0, |flow| flow.first);
        let of = |number: u32, first: u32| u64::from(number.wrapping_sub(first));
        let header = TcpHeader {
            seq: of(segment.seq, first),
            ack: segment.ack.map(|ack| of(ack, peer)),
            window: u64::from(segment.window) << scale,
            sacks: segment.sacks.iter().map(|(from, to)| (of(*from, peer), of(*to, peer))).collect(),
            stamp: segment.stamps.map_or(0, |(own, _)| own.into()),
            echo: segment.stamps.map(|(_, echo)| echo.into()),
            probe: false,
        };
        let kind = match (segment.rst, segment.syn, segment.ack, segment.fin, bytes) {
            (true, ..) => PacketKind::Rst,
            (_, true, None, ..) => PacketKind::Syn,
            (_, true, Some(_), ..) => PacketKind::SynAck,
            (_, _, _, true, _) => PacketKind::Fin(segments),
            (_, _, _, _, 0) => PacketKind::Ack,
            _ => PacketKind::Data(segments),
        };
        Placed { kind, header, is_again }
    }

    /// When a segment that would arrive at `due` does: a path keeps the order of a connection.
    pub(super) fn in_order(&mut self, src: SocketAddr, dst: SocketAddr, due: Duration) -> Duration {
        let last = &mut self.0.entry((src, dst)).or_default().last_due;
        *last = due.max(*last);
        *last
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_count_from_the_syn_and_what_comes_again_is_told() {
        let (a, b) = (SocketAddr::from(([10, 88, 0, 1], 1)), SocketAddr::from(([10, 88, 0, 2], 2)));
        let mut flows = Flows::default();
        // Near the end of the numbers, past which they begin anew.
        let isn = u32::MAX - 1;
        let syn = Segment { seq: isn, syn: true, scale: Some(7), ..Segment::default() };
        assert_eq!(flows.place(a, b, &syn, 0).kind, PacketKind::Syn);
        let answer = Segment { seq: 500, ack: Some(isn.wrapping_add(1)), syn: true, ..Segment::default() };
        let placed = flows.place(b, a, &answer, 0);
        assert_eq!((placed.kind, placed.header.ack), (PacketKind::SynAck, Some(1)));
        let data = Segment { seq: isn.wrapping_add(1), ack: Some(501), window: 2, ..Segment::default() };
        let placed = flows.place(a, b, &data, 10);
        assert_eq!((placed.kind, placed.header.seq, placed.header.ack), (PacketKind::Data(1), 1, Some(1)));
        assert_eq!((placed.header.window, placed.is_again), (256, false));
        let placed = flows.place(a, b, &data, 10);
        assert_eq!((placed.kind, placed.is_again), (PacketKind::Data(1), true));
        let fin = Segment { seq: isn.wrapping_add(11), ack: Some(501), fin: true, ..Segment::default() };
        assert_eq!(flows.place(a, b, &fin, 0).kind, PacketKind::Fin(1));
        let ack = Segment { seq: isn.wrapping_add(12), ack: Some(501), ..Segment::default() };
        let placed = flows.place(a, b, &ack, 0);
        assert_eq!((placed.kind, placed.is_again), (PacketKind::Ack, false));
    }

    #[test]
    fn a_path_keeps_the_order_of_each_connection() {
        let (a, b) = (SocketAddr::from(([10, 88, 0, 1], 1)), SocketAddr::from(([10, 88, 0, 2], 2)));
        let ms = Duration::from_millis;
        let mut flows = Flows::default();
        assert_eq!([5, 3, 7].map(|due| flows.in_order(a, b, ms(due))), [5, 5, 7].map(ms));
        assert_eq!(flows.in_order(b, a, ms(1)), ms(1));
    }
}
