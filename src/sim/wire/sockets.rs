//! What the simulated sockets ask of the network.

use std::net::SocketAddr;
use std::rc::Rc;
use std::time::Duration;

use crate::sim::causality;
use crate::sim::flight::{Connect, Flight, Side};
use crate::sim::shared::Shared;
use crate::sim::trace::{Cause, HostId};

use super::{Credit, Inbox, Stream, Wire};

impl Wire {
    pub(super) fn stream(&mut self, src: SocketAddr, dst: SocketAddr) -> &mut Stream {
        self.streams.entry((src, dst)).or_default()
    }

    pub(crate) fn window_bytes(&self) -> u64 {
        self.tcp.window_bytes
    }

    /// A connect begins: the next SYN from this host to this address is its.
    pub(crate) fn connecting(&mut self, from: HostId, dst: SocketAddr, cause: Option<Cause>) -> Rc<Connect> {
        let connect = Rc::new(Connect { cause, ..Connect::default() });
        self.connects.entry((from, dst)).or_default().push_back(connect.clone());
        connect
    }

    /// A stream of the seam opens at `local`.
    pub(crate) fn open_stream(&mut self, local: SocketAddr, remote: SocketAddr) -> Rc<Side> {
        let side = Rc::new(Side::default());
        self.stream(local, remote).side = Some(side.clone());
        side
    }

    /// The record of arrival of the next segment that the end at `local` reads, and its length.
    pub(crate) fn next_arrival(&mut self, local: SocketAddr, remote: SocketAddr) -> Option<(u64, usize)> {
        self.stream(remote, local).arrived.pop_first().map(|(_, arrival)| arrival)
    }

    /// The record of the SYN that opened the connection which `local` has accepted.
    pub(crate) fn opened_by(&self, local: SocketAddr, remote: SocketAddr) -> Option<u64> {
        self.streams.get(&(remote, local))?.opened_by
    }

    /// The end at `local` has read this many bytes; the other end hears of it one latency later.
    pub(crate) fn read(&mut self, shared: &Shared, local: SocketAddr, remote: SocketAddr, bytes: u64) {
        let (Some(from), Some(to)) = (self.host_at(local.ip()), self.host_at(remote.ip())) else { return };
        let at = shared.now() + self.links.ack_latency(from, to, self.next_credit);
        let credit = Credit { writer: (remote, local), bytes, cause: shared.cause() };
        self.credits.insert((at, self.next_credit), credit);
        self.next_credit += 1;
    }

    /// Passes on the acknowledgements that are due.
    pub(crate) fn acknowledge(&mut self, now: Duration) {
        while let Some(entry) = self.credits.first_entry() {
            if entry.key().0 > now {
                return;
            }
            let Credit { writer, bytes, cause } = entry.remove();
            if let Some(side) = self.streams.get(&writer).and_then(|stream| stream.side.as_ref()) {
                causality::because(cause, || side.credit(bytes));
            }
        }
    }

    pub(crate) fn open_inbox(&mut self, host: HostId, port: u16) {
        self.inboxes.insert(host, port, Inbox { open: true, ..Inbox::default() });
    }

    /// Whether a socket is bound to this port.
    pub(crate) fn is_bound(&mut self, host: HostId, port: u16) -> bool {
        self.inboxes.get_mut(host, port).is_some_and(|inbox| inbox.open)
    }

    pub(crate) fn close_inbox(&mut self, host: HostId, port: u16) {
        self.inboxes.insert(host, port, Inbox::default());
    }

    /// The record of arrival of the datagram that a socket has just received.
    pub(crate) fn received(&mut self, host: HostId, port: u16) -> Option<u64> {
        let inbox = self.inboxes.get_mut(host, port)?;
        let (record, length) = inbox.queue.pop_front()?;
        inbox.bytes -= length as u64;
        Some(record)
    }

    /// The next datagram that lies in a socket of the core lane.
    pub(crate) fn take_datagram(&mut self, host: HostId, port: u16) -> Option<Box<Flight>> {
        let inbox = self.inboxes.get_mut(host, port)?;
        let flight = inbox.flights.pop_front()?;
        inbox.bytes -= flight.packet.payload.len() as u64;
        Some(flight)
    }
}
