//! Datagrams in the core lane.

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::future::poll_fn;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::rc::Rc;
use std::task::Poll;
use std::time::Duration;

use bytes::Bytes;

use crate::net::{Socket, fits_datagram};
use crate::sim::shared::Shared;
use crate::sim::ticks::nanos;
use crate::sim::trace::HostId;

/// When each host wants to be woken, in nanoseconds. They lie side by side: all are looked at in each step.
#[derive(Clone)]
pub(super) struct Wakes {
    at: Rc<[Cell<u64>]>,
    /// Whether a host was made ready since hosts were run: mostly one was, and nobody need look for the first.
    any_ready: Rc<Cell<bool>>,
}

impl Wakes {
    const NEVER: u64 = u64::MAX;

    pub(super) fn new(hosts: usize) -> Self {
        Self { at: (0..hosts).map(|_| Cell::new(Self::NEVER)).collect(), any_ready: Rc::default() }
    }

    /// The host has something to do from the beginning of the next step, whatever else it waits for.
    pub(super) fn make_ready(&self, host: HostId) {
        self.at[usize::from(host.0)].set(0);
        self.any_ready.set(true);
    }

    /// Whether a host was made ready.
    pub(super) fn any_ready(&self) -> bool {
        self.any_ready.get()
    }

    /// Hosts are about to be run.
    pub(super) fn begin_step(&self) {
        self.any_ready.set(false);
    }

    /// The first time that a host wants to be woken at.
    pub(super) fn first(&self) -> Option<Duration> {
        let first = self.at.iter().map(Cell::get).fold(Self::NEVER, u64::min);
        (first != Self::NEVER).then(|| Duration::from_nanos(first))
    }

    /// Whether a host wants to be woken before a time, in nanoseconds.
    pub(super) fn is_before(&self, host: usize, nanos: u64) -> bool {
        self.at[host].get() < nanos
    }
}

/// Datagrams that have arrived and were not taken in, each with its sender.
type Waiting = VecDeque<(Bytes, SocketAddr)>;

/// What a host's process waits for, shared by the process and the lane.
pub(super) struct Mailbox {
    host: usize,
    wakes: Wakes,
    /// What waits at each port that is bound: few are.
    sockets: RefCell<Vec<(u16, Waiting)>>,
}

impl Mailbox {
    pub(super) fn new(host: HostId, wakes: Wakes) -> Self {
        Self { host: usize::from(host.0), wakes, sockets: RefCell::default() }
    }

    pub(super) fn wake(&self) -> Option<Duration> {
        let at = self.wakes.at[self.host].get();
        (at != Wakes::NEVER).then(|| Duration::from_nanos(at))
    }

    pub(super) fn wake_at(&self, at: Duration) {
        let wake = &self.wakes.at[self.host];
        wake.set(wake.get().min(nanos(at)));
    }

    pub(super) fn forget_wake(&self) {
        self.wakes.at[self.host].set(Wakes::NEVER);
    }

    /// A datagram has arrived; where no socket is bound, it is gone.
    pub(super) fn deliver(&self, port: u16, payload: Bytes, from: SocketAddr) {
        if let Some((_, waiting)) = self.sockets.borrow_mut().iter_mut().find(|(bound, _)| *bound == port) {
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
    mailbox: Rc<Mailbox>,
}

impl CoreNet {
    pub(super) fn new(shared: Rc<Shared>, host: HostId, ip: IpAddr, mailbox: Rc<Mailbox>) -> Self {
        Self { shared, host, ip, mailbox }
    }

    /// Binds a socket to a port.
    pub fn bind(&self, port: u16) -> io::Result<CoreSocket> {
        let mut sockets = self.mailbox.sockets.borrow_mut();
        if sockets.iter().any(|(bound, _)| *bound == port) {
            return Err(io::Error::new(io::ErrorKind::AddrInUse, format!("port {port} has a socket already")));
        }
        sockets.push((port, VecDeque::new()));
        self.shared.wire.borrow_mut().open_inbox(self.host, port);
        Ok(CoreSocket { net: self.clone(), local: SocketAddr::new(self.ip, port) })
    }

    /// The address of a host's port.
    pub fn address(&self, name: &str, port: u16) -> io::Result<SocketAddr> {
        let ip = self.shared.address(name).ok_or_else(|| Shared::no_host(name))?;
        Ok(SocketAddr::new(ip, port))
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
        let datagram = {
            let mut sockets = self.net.mailbox.sockets.borrow_mut();
            let (_, waiting) = sockets.iter_mut().find(|(bound, _)| *bound == port)?;
            waiting.pop_front()?
        };
        let record = self.net.shared.wire.borrow_mut().received(self.net.host, port);
        record.into_iter().for_each(|record| self.net.shared.took_in(record));
        Some(datagram)
    }

    fn send(&self, payload: Bytes, to: SocketAddr) -> io::Result<usize> {
        let length = payload.len();
        fits_datagram(length)?;
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
}

impl Socket for CoreSocket {
    async fn send_to(&self, payload: &[u8], to: SocketAddr) -> io::Result<usize> {
        self.send_bytes(Bytes::copy_from_slice(payload), to).await
    }

    async fn send_bytes(&self, payload: Bytes, to: SocketAddr) -> io::Result<usize> {
        self.send(payload, to)
    }

    fn send_now(&self, payload: &Bytes, to: SocketAddr) -> Option<io::Result<usize>> {
        Some(self.send(payload.clone(), to))
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
        self.net.mailbox.sockets.borrow_mut().retain(|(bound, _)| *bound != port);
        self.net.shared.wire.borrow_mut().close_inbox(self.net.host, port);
    }
}
