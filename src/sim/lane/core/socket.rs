//! Datagrams in the core lane.

use std::future::poll_fn;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::rc::Rc;
use std::task::Poll;

use bytes::Bytes;

use crate::net::{Socket, fits_datagram};
use crate::sim::flight::Flight;
use crate::sim::shared::Shared;
use crate::sim::trace::HostId;

/// The network as one host of the core lane sees it: datagrams only.
#[derive(Clone)]
pub struct CoreNet {
    shared: Rc<Shared>,
    host: HostId,
    ip: IpAddr,
}

impl CoreNet {
    pub(super) fn new(shared: Rc<Shared>, host: HostId, ip: IpAddr) -> Self {
        Self { shared, host, ip }
    }

    /// Binds a socket to a port.
    pub fn bind(&self, port: u16) -> io::Result<CoreSocket> {
        self.shared.alive(self.host)?;
        let mut wire = self.shared.wire.borrow_mut();
        if wire.is_bound(self.host, port) {
            return Err(io::Error::new(io::ErrorKind::AddrInUse, format!("port {port} has a socket already")));
        }
        wire.open_inbox(self.host, port);
        Ok(CoreSocket { net: self.clone(), local: SocketAddr::new(self.ip, port) })
    }

    /// The address of a host's port.
    pub fn address(&self, name: &str, port: u16) -> io::Result<SocketAddr> {
        let ip = self.shared.address(name).ok_or_else(|| Shared::no_host(name))?;
        Ok(SocketAddr::new(ip, port))
    }
}

/// A datagram that was received.
pub struct Datagram(Box<Flight>);

impl Datagram {
    /// What it carries.
    pub fn payload(&self) -> &Bytes {
        &self.0.packet.payload
    }

    /// Its sender.
    pub fn from(&self) -> SocketAddr {
        self.0.packet.src
    }
}

/// A bound socket. It is closed when it is dropped.
pub struct CoreSocket {
    net: CoreNet,
    local: SocketAddr,
}

impl CoreSocket {
    /// The next datagram, if one has arrived.
    #[inline]
    pub fn try_recv(&self) -> Option<Datagram> {
        let shared = &self.net.shared;
        let flight = shared.wire.borrow_mut().take_datagram(self.net.host, self.local.port())?;
        shared.took_in(flight.record);
        Some(Datagram(flight))
    }

    /// Takes back a datagram that is not needed any more: the next one need not ask for memory then.
    #[inline]
    pub fn reuse(&self, datagram: Datagram) {
        self.net.shared.wire.borrow_mut().take_back(datagram.0);
    }

    fn send(&self, payload: &Bytes, to: SocketAddr) -> io::Result<usize> {
        let length = payload.len();
        fits_datagram(length)?;
        let shared = &self.net.shared;
        shared.alive(self.net.host)?;
        {
            let mut wire = shared.wire.borrow_mut();
            let receiver = wire.host_at(to.ip()).filter(|host| *host != self.net.host).ok_or_else(|| {
                let message = format!("the core lane has no way from {} to {}", self.net.ip, to.ip());
                io::Error::new(io::ErrorKind::HostUnreachable, message)
            })?;
            let hosts = (self.net.host, receiver);
            wire.send_datagram(shared, hosts, (self.local, to), payload);
        }
        shared.crash_point();
        Ok(length)
    }
}

impl Socket for CoreSocket {
    async fn send_to(&self, payload: &[u8], to: SocketAddr) -> io::Result<usize> {
        self.send_bytes(Bytes::copy_from_slice(payload), to).await
    }

    async fn send_bytes(&self, payload: Bytes, to: SocketAddr) -> io::Result<usize> {
        self.send(&payload, to)
    }

    fn send_now(&self, payload: &Bytes, to: SocketAddr) -> Option<io::Result<usize>> {
        Some(self.send(payload, to))
    }

    async fn recv_from(&self, buffer: &mut [u8]) -> io::Result<(usize, SocketAddr)> {
        let datagram = poll_fn(|_| self.try_recv().map_or(Poll::Pending, Poll::Ready)).await;
        let (payload, from) = (datagram.payload(), datagram.from());
        let length = payload.len().min(buffer.len());
        buffer[..length].copy_from_slice(&payload[..length]);
        Ok((length, from))
    }

    fn local_addr(&self) -> io::Result<SocketAddr> {
        Ok(self.local)
    }
}

impl Drop for CoreSocket {
    fn drop(&mut self) {
        self.net.shared.wire.borrow_mut().close_inbox(self.net.host, self.local.port());
    }
}
