//! The simulated network: turmoil's sockets, with each packet announced to the testbed.
//!
//! What differs from turmoil's bare sockets: datagrams are lost, copied and corrupted here, where they are sent; TCP
//! writes are cut into segments of [`SEGMENT_BYTES_MAX`] and wait for room in a window counted in bytes; a connect
//! takes one round trip; a connection that was given up says so; and connections are accepted by the "kernel" of the
//! host, so that they are established while its process stands still.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::future::{Future, poll_fn};
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, Waker, ready};

use bytes::Bytes;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use crate::sim::causality::{self, Traced};
use crate::sim::flight::{Connect, Side};
use crate::sim::host::Kernel;
use crate::sim::shared::Shared;
use crate::sim::trace::HostId;

use crate::net::{Listener, Net, Socket, fits_datagram};

/// The most that one TCP segment carries: Ethernet's 1,500 bytes less the IP and TCP headers.
pub const SEGMENT_BYTES_MAX: usize = 1_460;

/// The network as one simulated host sees it.
#[derive(Clone)]
pub struct SimNet {
    pub(crate) shared: Rc<Shared>,
    pub(crate) host: HostId,
    pub(crate) ip: IpAddr,
    pub(crate) kernel: Rc<Kernel>,
}

impl Net for SimNet {
    type Stream = SimStream;
    type Listener = SimListener;
    type Socket = SimSocket;

    async fn listen(&self, addr: &str) -> io::Result<SimListener> {
        let listener = turmoil::net::TcpListener::bind(self.bindable(addr).await?).await?;
        let local = listener.local_addr()?;
        let backlog = Rc::new(RefCell::new(Backlog::default()));
        let feed = backlog.clone();
        let task = self.kernel.spawn(async move {
            while let Ok(accepted) = listener.accept().await {
                let mut backlog = feed.borrow_mut();
                backlog.waiting.push_back(accepted);
                if let Some(waker) = backlog.waker.take() {
                    waker.wake();
                }
            }
        });
        Ok(SimListener { net: self.clone(), local: SocketAddr::new(self.ip, local.port()), backlog, task })
    }

    async fn connect(&self, addr: &str) -> io::Result<SimStream> {
        let remote = self.resolve(addr).await?;
        if remote.ip() == self.ip || remote.ip().is_loopback() {
            let inner = turmoil::net::TcpStream::connect(remote).await?;
            return SimStream::open(self, inner);
        }
        self.reachable(remote)?;
        let connect = self.shared.wire.borrow_mut().connecting(self.host, remote, self.shared.cause());
        let opened = {
            let mut opening = std::pin::pin!(turmoil::net::TcpStream::connect(remote));
            poll_fn(|cx| {
                if connect.timed_out.get() {
                    return Poll::Ready(Err(timed_out(remote)));
                }
                *connect.waker.borrow_mut() = Some(cx.waker().clone());
                opening.as_mut().poll(cx)
            })
            .await
        };
        self.round_trip(&connect).await;
        SimStream::open(self, opened?)
    }

    async fn bind(&self, addr: &str) -> io::Result<SimSocket> {
        let inner = turmoil::net::UdpSocket::bind(self.bindable(addr).await?).await?;
        let local = SocketAddr::new(self.ip, inner.local_addr()?.port());
        self.shared.wire.borrow_mut().open_inbox(self.host, local.port());
        Ok(SimSocket { net: self.clone(), inner, local })
    }

    async fn resolve(&self, addr: &str) -> io::Result<SocketAddr> {
        let Some((name, port)) = addr.rsplit_once(':') else {
            return Err(io::Error::new(io::ErrorKind::InvalidInput, format!("`{addr}` is not host:port")));
        };
        let port: u16 = port
            .parse()
            .map_err(|_| io::Error::new(io::ErrorKind::InvalidInput, format!("`{port}` in `{addr}` is not a port")))?;
        let ip = match self.shared.address(name) {
            Some(ip) => ip,
            None => name.parse().map_err(|_| Shared::no_host(name))?,
        };
        Ok(SocketAddr::new(ip, port))
    }

    fn task<F: Future>(future: F) -> impl Future<Output = F::Output> {
        Traced::new(future, causality::current().flatten())
    }
}

impl SimNet {
    /// Turmoil binds to unspecified and loopback addresses only: a host's own address means all of its addresses.
    async fn bindable(&self, addr: &str) -> io::Result<SocketAddr> {
        let mut addr = self.resolve(addr).await?;
        if addr.ip() == self.ip {
            addr.set_ip(IpAddr::from([0, 0, 0, 0]));
        }
        Ok(addr)
    }

    fn reachable(&self, remote: SocketAddr) -> io::Result<HostId> {
        self.shared.wire.borrow().host_at(remote.ip()).ok_or_else(|| {
            let message = format!("no host of this network has the address {}", remote.ip());
            io::Error::new(io::ErrorKind::HostUnreachable, message)
        })
    }

    /// Turmoil's answer to a SYN may be seen in the step before it is due, or in it, by the order of the hosts.
    async fn round_trip(&self, connect: &Connect) {
        let Some((at, arrived)) = connect.completes.get() else { return };
        let left = at.saturating_sub(self.shared.now());
        if !left.is_zero() {
            tokio::time::sleep(left).await;
        }
        self.shared.took_in(arrived);
    }
}

fn timed_out(remote: SocketAddr) -> io::Error {
    io::Error::new(io::ErrorKind::TimedOut, format!("connection to {remote} timed out"))
}

/// Connections that the kernel has accepted and the process has not.
#[derive(Default)]
struct Backlog {
    waiting: VecDeque<(turmoil::net::TcpStream, SocketAddr)>,
    waker: Option<Waker>,
}

/// A simulated TCP listener.
pub struct SimListener {
    net: SimNet,
    local: SocketAddr,
    backlog: Rc<RefCell<Backlog>>,
    task: u64,
}

impl Listener for SimListener {
    type Stream = SimStream;

    async fn accept(&mut self) -> io::Result<(SimStream, SocketAddr)> {
        let (inner, peer) = poll_fn(|cx| {
            let mut backlog = self.backlog.borrow_mut();
            if let Some(accepted) = backlog.waiting.pop_front() {
                return Poll::Ready(accepted);
            }
            backlog.waker = Some(cx.waker().clone());
            Poll::Pending
        })
        .await;
        let stream = SimStream::open(&self.net, inner)?;
        let opened_by = self.net.shared.wire.borrow().opened_by(stream.local, stream.remote);
        opened_by.into_iter().for_each(|record| self.net.shared.took_in(record));
        Ok((stream, peer))
    }

    fn local_addr(&self) -> io::Result<SocketAddr> {
        Ok(self.local)
    }
}

impl Drop for SimListener {
    fn drop(&mut self) {
        self.net.kernel.end(self.task);
    }
}

/// A simulated TCP connection.
pub struct SimStream {
    shared: Rc<Shared>,
    /// `None` once the network has given the connection up.
    inner: Option<turmoil::net::TcpStream>,
    local: SocketAddr,
    remote: SocketAddr,
    side: Rc<Side>,
    window_bytes: u64,
    /// What is left unread of the segment being read.
    left: usize,
    /// Within one host there is no network.
    within_host: bool,
}

impl SimStream {
    fn open(net: &SimNet, inner: turmoil::net::TcpStream) -> io::Result<Self> {
        let (local, remote) = (inner.local_addr()?, inner.peer_addr()?);
        let mut wire = net.shared.wire.borrow_mut();
        let within_host = remote.ip().is_loopback() || local.ip() == remote.ip();
        let side = if within_host { Rc::default() } else { wire.open_stream(local, remote) };
        let window_bytes = wire.window_bytes();
        drop(wire);
        Ok(Self {
            shared: net.shared.clone(),
            inner: Some(inner),
            local,
            remote,
            side,
            window_bytes,
            left: 0,
            within_host,
        })
    }

    /// Keeps what led to the end of this side: its FIN or RST is seen on the link only later.
    fn closing(&self) {
        if self.side.closed_by.get().is_none() {
            self.side.closed_by.set(self.shared.cause());
        }
    }

    /// The error with which the network ended the connection. The socket goes with it.
    fn given_up(&mut self) -> Option<io::Error> {
        let kind = self.side.error.get()?;
        self.inner = None;
        Some(io::Error::new(kind, format!("connection to {} timed out", self.remote)))
    }

    /// How much of `wanted` bytes goes into the next segment. A segment that the window would cut short waits, unless
    /// nothing is under way: else ever smaller ones would go round (the silly window of RFC 813).
    fn segment(&self, wanted: usize) -> Option<usize> {
        let unread = self.side.unread.get();
        let room = usize::try_from(self.window_bytes.saturating_sub(unread)).unwrap_or(usize::MAX);
        (room >= wanted || unread == 0).then(|| wanted.min(room.max(1)))
    }

    /// Tells the network what was read, and the trace what it came from.
    fn took_in(&mut self, bytes: usize) {
        let mut wire = self.shared.wire.borrow_mut();
        if self.left == 0 {
            let Some((record, length)) = wire.next_arrival(self.local, self.remote) else { return };
            self.left = length;
            self.shared.took_in(record);
        }
        self.left = self.left.saturating_sub(bytes);
        if bytes > 0 {
            wire.read(&self.shared, self.local, self.remote, bytes as u64);
        }
    }
}

impl Drop for SimStream {
    fn drop(&mut self) {
        self.closing();
    }
}

impl AsyncRead for SimStream {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        // Turmoil gives one segment at a time; a read takes all that has arrived and fits, as a kernel's does.
        while buffer.remaining() > 0 {
            let had = buffer.filled().len();
            let Some(inner) = &mut self.inner else {
                return Poll::Ready(Err(io::ErrorKind::NotConnected.into()));
            };
            match Pin::new(inner).poll_read(cx, buffer) {
                Poll::Ready(Ok(())) => {
                    let count = buffer.filled().len() - had;
                    if !self.within_host {
                        self.took_in(count);
                    }
                    if count == 0 {
                        return Poll::Ready(Ok(()));
                    }
                }
                Poll::Ready(Err(error)) if had == before => return Poll::Ready(Err(error)),
                Poll::Pending if had == before => {
                    // What has arrived is read before the end is told, as on Linux.
                    if let Some(error) = self.given_up() {
                        return Poll::Ready(Err(error));
                    }
                    *self.side.reader.borrow_mut() = Some(cx.waker().clone());
                    return Poll::Pending;
                }
                // Something was read: an error comes again at the next read.
                Poll::Pending | Poll::Ready(Err(_)) => break,
            }
        }
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for SimStream {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        if let Some(error) = self.given_up() {
            return Poll::Ready(Err(error));
        }
        let wanted = bytes.len().min(SEGMENT_BYTES_MAX);
        let Some(size) = self.segment(wanted) else {
            // A peer that has reset the connection will never make room.
            if self.side.reset.get() {
                return Poll::Ready(Err(io::ErrorKind::BrokenPipe.into()));
            }
            *self.side.writer.borrow_mut() = Some(cx.waker().clone());
            return Poll::Pending;
        };
        let Some(inner) = &mut self.inner else {
            return Poll::Ready(Err(io::ErrorKind::NotConnected.into()));
        };
        let written = ready!(Pin::new(inner).poll_write(cx, &bytes[..size]))?;
        if !self.within_host && written > 0 {
            self.side.unread.set(self.side.unread.get() + written as u64);
            let ends = (self.local, self.remote);
            self.shared.wire.borrow_mut().send_segment(&self.shared, ends, &bytes[..written]);
            self.shared.crash_point();
        }
        Poll::Ready(Ok(written))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if let Some(error) = self.given_up() {
            return Poll::Ready(Err(error));
        }
        self.closing();
        match &mut self.inner {
            Some(inner) => Pin::new(inner).poll_shutdown(cx),
            None => Poll::Ready(Err(io::ErrorKind::NotConnected.into())),
        }
    }
}

/// A simulated UDP socket.
pub struct SimSocket {
    net: SimNet,
    inner: turmoil::net::UdpSocket,
    local: SocketAddr,
}

impl Socket for SimSocket {
    async fn send_to(&self, payload: &[u8], to: SocketAddr) -> io::Result<usize> {
        self.send_bytes(Bytes::copy_from_slice(payload), to).await
    }

    async fn send_bytes(&self, payload: Bytes, to: SocketAddr) -> io::Result<usize> {
        fits_datagram(payload.len())?;
        if to.ip() == self.net.ip || to.ip().is_loopback() {
            return self.inner.send_to(&payload, to).await;
        }
        let hosts = (self.net.host, self.net.reachable(to)?);
        let shared = &self.net.shared;
        let departure = shared.wire.borrow_mut().send_datagram(shared, hosts, (self.local, to), &payload);
        let carried = departure.corrupted.as_deref().unwrap_or(&payload);
        for _ in 0..departure.copies {
            self.inner.send_to(carried, to).await?;
        }
        shared.crash_point();
        Ok(payload.len())
    }

    async fn recv_from(&self, buffer: &mut [u8]) -> io::Result<(usize, SocketAddr)> {
        let (length, from) = self.inner.recv_from(buffer).await?;
        if from.ip() != self.net.ip && !from.ip().is_loopback() {
            let shared = &self.net.shared;
            let record = shared.wire.borrow_mut().received(self.net.host, self.local.port());
            record.into_iter().for_each(|record| shared.took_in(record));
        }
        Ok((length, from))
    }

    fn local_addr(&self) -> io::Result<SocketAddr> {
        Ok(self.local)
    }
}

impl Drop for SimSocket {
    fn drop(&mut self) {
        let port = self.local.port();
        self.net.shared.wire.borrow_mut().close_inbox(self.net.host, port);
    }
}
