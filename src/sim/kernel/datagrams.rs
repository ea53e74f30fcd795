//! A socket for datagrams: an end in memory, whose datagrams turmoil carries.

use std::cell::Cell;
use std::io;
use std::net::SocketAddr;
use std::rc::Rc;
use std::task::Poll;

use bytes::Bytes;
use tokio::io::ReadBuf;

use crate::net::fits_datagram;
use crate::sim::wire::Letter;

use super::Kernel;
use super::post::Parcel;
use super::wait::Wait;

/// Where ports that nobody chose begin: turmoil gives its own out from below.
const PORT_FIRST: u16 = 49_152;

/// A bound socket.
pub(crate) struct Datagrams {
    kernel: Rc<Kernel>,
    local: SocketAddr,
    peer: Cell<Option<SocketAddr>>,
}

impl Datagrams {
    /// Binds a port of the machine; 0 is any.
    pub(crate) fn bind(kernel: &Rc<Kernel>, local: SocketAddr) -> io::Result<Self> {
        kernel.alive()?;
        let mut wire = kernel.shared.wire.borrow_mut();
        let port = match local.port() {
            0 => (PORT_FIRST..=u16::MAX).find(|port| !wire.is_bound(kernel.host, *port)),
            port => Some(port).filter(|port| !wire.is_bound(kernel.host, *port)),
        };
        let port = port.ok_or_else(|| {
            io::Error::new(io::ErrorKind::AddrInUse, format!("something is bound to {local} already"))
        })?;
        wire.open_letter_box(kernel.host, port);
        drop(wire);
        kernel.post(Parcel::Bind(port));
        let local = SocketAddr::new(local.ip(), port);
        Ok(Self { kernel: kernel.clone(), local, peer: Cell::new(None) })
    }

    pub(crate) fn local(&self) -> SocketAddr {
        self.local
    }

    pub(crate) fn peer(&self) -> Option<SocketAddr> {
        self.peer.get()
    }

    /// From now on it has a peer, and hears nobody else.
    pub(crate) fn connect(&self, peer: SocketAddr) {
        self.peer.set(Some(peer));
    }

    pub(crate) fn send(&self, payload: &Bytes, to: SocketAddr) -> io::Result<usize> {
        fits_datagram(payload.len())?;
        self.kernel.alive()?;
        let Kernel { shared, host, .. } = &*self.kernel;
        let ip = self.kernel.ip();
        let from = SocketAddr::new(ip, self.local.port());
        if to.ip() == ip || to.ip().is_loopback() || to.ip().is_unspecified() {
            let from = if to.ip() == ip { from } else { SocketAddr::new(to.ip(), from.port()) };
            let letter = Letter { record: None, from, payload: payload.clone() };
            shared.wire.borrow_mut().drop_letter(*host, to.port(), letter);
            return Ok(payload.len());
        }
        let receiver = shared.wire.borrow().host_at(to.ip()).ok_or_else(|| {
            let message = format!("no host of this network has the address {}", to.ip());
            io::Error::new(io::ErrorKind::HostUnreachable, message)
        })?;
        let departure = shared.wire.borrow_mut().send_datagram(shared, (*host, receiver), (from, to), payload);
        let carried = departure.corrupted.as_ref().unwrap_or(payload);
        for _ in 0..departure.copies {
            self.kernel.post(Parcel::Datagram { port: from.port(), to, payload: carried.clone() });
        }
        shared.crash_point();
        Ok(payload.len())
    }

    pub(crate) fn readable(&self, wait: Wait<'_>) -> Poll<()> {
        let mut wire = self.kernel.shared.wire.borrow_mut();
        wire.has_letter(self.kernel.host, self.local.port(), self.peer.get(), wait)
    }

    /// The next datagram and its sender; what does not fit is cut off.
    pub(crate) fn receive(&self, wait: Wait<'_>, buffer: &mut ReadBuf<'_>) -> Poll<SocketAddr> {
        let Kernel { shared, host, .. } = &*self.kernel;
        if self.readable(wait).is_pending() {
            return Poll::Pending;
        }
        let letter = shared.wire.borrow_mut().take_letter(*host, self.local.port());
        let Letter { record, from, payload } = letter.expect("there is one");
        record.into_iter().for_each(|record| shared.took_in(record));
        buffer.put_slice(&payload[..payload.len().min(buffer.remaining())]);
        Poll::Ready(from)
    }

    /// The same, and it stays.
    pub(crate) fn peek(&self, wait: Wait<'_>, buffer: &mut ReadBuf<'_>) -> Poll<SocketAddr> {
        if self.readable(wait).is_pending() {
            return Poll::Pending;
        }
        let mut wire = self.kernel.shared.wire.borrow_mut();
        let Letter { from, payload, .. } =
            wire.first_letter(self.kernel.host, self.local.port()).expect("there is one");
        buffer.put_slice(&payload[..payload.len().min(buffer.remaining())]);
        Poll::Ready(*from)
    }
}

impl Drop for Datagrams {
    fn drop(&mut self) {
        self.kernel.shared.wire.borrow_mut().close_inbox(self.kernel.host, self.local.port());
        self.kernel.post(Parcel::Close(self.local.port()));
    }
}
