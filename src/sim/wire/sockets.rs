//! What the simulated sockets ask of the network.

use std::net::SocketAddr;

use crate::sim::flight::Flight;
use crate::sim::trace::HostId;

use super::{Inbox, Stream, Wire};

impl Wire {
    pub(super) fn stream(&mut self, src: SocketAddr, dst: SocketAddr) -> &mut Stream {
        self.streams.entry((src, dst)).or_default()
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
