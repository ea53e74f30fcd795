//! Datagrams in the core lane.

use std::cell::{Cell, RefCell};
use std::collections::{BTreeMap, VecDeque};
use std::future::poll_fn;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::rc::Rc;
use std::task::Poll;
use std::time::Duration;

use bytes::Bytes;

use crate::net::{DATAGRAM_BYTES_MAX, Socket};
use crate::sim::shared::Shared;
use crate::sim::trace::HostId;

/// What a host's process waits for, shared by the process and the lane.
#[derive(Default)]
pub(super) struct Port {
    wake: Cell<Option<Duration>>,
    sockets: RefCell<BTreeMap<u16, VecDeque<(Bytes, SocketAddr)>>>,
}

impl Port {
    pub(super) fn wake(&self) -> Option<Duration> {
        self.wake.get()
    }

    pub(super) fn wake_at(&self, at: Duration) {
        self.wake.set(Some(self.wake.get().map_or(at, |wake| wake.min(at))));
    }

    pub(super) fn forget_wake(&self) {
        self.wake.set(None);
    }

    /// A datagram has arrived; where no socket is bound, it is gone.
    pub(super) fn deliver(&self, port: u16, payload: Bytes, from: SocketAddr) {
        if let Some(waiting) = self.sockets.borrow_mut().get_mut(&port) {
            waiting.push_back((payload, from));
        }
    }
}

/// The network as one host of the core lane sees it: datagrams only.
#[derive(Clone)]
pub struct CoreNet {
    shared: Rc<Shared>,
    host: HostId,
    ip: IpAddr,
    port: Rc<Port>,
}

impl CoreNet {
    pub(super) fn new(shared: Rc<Shared>, host: HostId, ip: IpAddr, port: Rc<Port>) -> Self {
        Self { shared, host, ip, port }
    }

    /// Binds a socket to a port.
    pub fn bind(&self, port: u16) -> io::Result<CoreSocket> {
        let mut sockets = self.port.sockets.borrow_mut();
        if sockets.insert(port, VecDeque::new()).is_some() {
            return Err(io::Error::new(io::ErrorKind::AddrInUse, format!("port {port} has a socket already")));
        }
        self.shared.wire.borrow_mut().open_inbox(self.host, port);
        Ok(CoreSocket { net: self.clone(), local: SocketAddr::new(self.ip, port) })
    }

    /// The address of a host's port.
    pub fn address(&self, name: &str, port: u16) -> io::Result<SocketAddr> {
        let place = self.shared.names.iter().position(|host| host == name).ok_or_else(|| {
            io::Error::new(io::ErrorKind::NotFound, format!("no host of this network is called `{name}`"))
        })?;
        Ok(SocketAddr::new(self.shared.wire.borrow().machines[place].ip, port))
    }
}

/// A bound socket. It is closed when it is dropped.
pub struct CoreSocket {
    net: CoreNet,
    local: SocketAddr,
}

impl CoreSocket {
    /// The next datagram and its sender, if one has arrived.
    pub fn try_recv(&self) -> Option<(Bytes, SocketAddr)> {
        let port = self.local.port();
        let datagram = self.net.port.sockets.borrow_mut().get_mut(&port)?.pop_front()?;
        let record = self.net.shared.wire.borrow_mut().received(self.net.host, port);
        record.into_iter().for_each(|record| self.net.shared.took_in(record));
        Some(datagram)
    }
}

impl Socket for CoreSocket {
    async fn send_to(&self, payload: &[u8], to: SocketAddr) -> io::Result<usize> {
        self.send_bytes(Bytes::copy_from_slice(payload), to).await
    }

    async fn send_bytes(&self, payload: Bytes, to: SocketAddr) -> io::Result<usize> {
        let length = payload.len();
        if payload.len() > DATAGRAM_BYTES_MAX {
            let message = format!("a datagram carries at most {DATAGRAM_BYTES_MAX} bytes, not {}", payload.len());
            return Err(io::Error::new(io::ErrorKind::InvalidInput, message));
        }
        let shared = &self.net.shared;
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

    async fn recv_from(&self, buffer: &mut [u8]) -> io::Result<(usize, SocketAddr)> {
        let (payload, from) = poll_fn(|_| self.try_recv().map_or(Poll::Pending, Poll::Ready)).await;
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
        let port = self.local.port();
        self.net.port.sockets.borrow_mut().remove(&port);
        self.net.shared.wire.borrow_mut().close_inbox(self.net.host, port);
    }
}
