//! Simulated sockets that may be sent between threads, as what [`crate::sockets`] holds of them.
//!
//! Each stands for something that the machine's [kernel](super::kernel) keeps; see [`super::kernel::descriptors`].

use std::fmt;
use std::future::poll_fn;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::rc::Rc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::{Mutex, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use tokio::io::ReadBuf;

use super::kernel::Kernel;
use super::kernel::datagrams::Datagrams;
use super::kernel::descriptors::Descriptor;
use super::kernel::stream::{SimListener, SimStream};
use super::shared::Shared;

pub(crate) use super::kernel::wait::Wait;

/// The machine of the host that runs in this thread just now. `None`: there is no run here.
pub(crate) fn machine() -> io::Result<Option<Machine>> {
    let Some(shared) = Shared::in_thread() else { return Ok(None) };
    let kernel = shared.current.get().and_then(|host| shared.kernel(host));
    let kernel = kernel.ok_or_else(|| {
        let what = "the testbed has simulated sockets for the hosts of the turmoil lane only, while they run";
        io::Error::new(io::ErrorKind::Unsupported, what)
    })?;
    Ok(Some(Machine(kernel)))
}

/// A machine, as its process sees it. It is not kept across an `await`.
pub(crate) struct Machine(Rc<Kernel>);

impl Machine {
    /// The addresses that `host:port` stands for.
    pub(crate) fn resolve(&self, name: &str, port: u16) -> io::Result<Vec<SocketAddr>> {
        let ip = match name.parse::<IpAddr>() {
            Ok(ip) => ip,
            Err(_) if name == "localhost" => IpAddr::from([127, 0, 0, 1]),
            Err(_) => self.0.shared.address(name).ok_or_else(|| Shared::no_host(name))?,
        };
        Ok(vec![SocketAddr::new(ip, port)])
    }

    fn is_own(&self, ip: IpAddr) -> bool {
        ip == self.0.ip() || ip.is_loopback() || ip.is_unspecified()
    }

    fn bindable(&self, addr: SocketAddr) -> io::Result<SocketAddr> {
        if self.is_own(addr.ip()) {
            return Ok(addr);
        }
        let message = format!("this host does not have the address {}: it is {}", addr.ip(), self.0.ip());
        Err(io::Error::new(io::ErrorKind::AddrNotAvailable, message))
    }

    pub(crate) fn listen(&self, addr: SocketAddr) -> io::Result<TcpListenerEnd> {
        let listener = SimListener::open(&self.0, self.bindable(addr)?)?;
        let local = listener.local();
        Ok(TcpListenerEnd { descriptor: self.0.open_listener(listener), local, ttl: AtomicU32::new(TTL) })
    }

    /// Begins to connect.
    pub(crate) fn connect(&self, to: SocketAddr) -> io::Result<TcpEnd> {
        let local = SocketAddr::new(self.0.ip(), 0);
        let stream = if self.is_own(to.ip()) {
            SimStream::connect_within(&self.0, local, to.port())?
        } else if self.0.shared.wire.borrow().host_at(to.ip()).is_some() {
            SimStream::open(&self.0, local, to)?
        } else {
            let message = format!("no host of this network has the address {}", to.ip());
            return Err(io::Error::new(io::ErrorKind::HostUnreachable, message));
        };
        Ok(TcpEnd::new(&self.0, stream))
    }

    pub(crate) fn bind(&self, addr: SocketAddr) -> io::Result<UdpEnd> {
        let datagrams = Datagrams::bind(&self.0, self.bindable(addr)?)?;
        Ok(UdpEnd { descriptor: self.0.open_datagrams(datagrams), ttl: AtomicU32::new(TTL) })
    }
}

/// What Linux begins with.
const TTL: u32 = 64;

/// Not yet, for who does not wait.
pub(crate) fn or_would_block<T>(poll: Poll<io::Result<T>>) -> io::Result<T> {
    match poll {
        Poll::Ready(result) => result,
        Poll::Pending => Err(io::ErrorKind::WouldBlock.into()),
    }
}

/// A listener.
pub(crate) struct TcpListenerEnd {
    descriptor: Descriptor,
    pub(crate) local: SocketAddr,
    pub(crate) ttl: AtomicU32,
}

impl TcpListenerEnd {
    pub(crate) fn accept(&self, wait: Wait<'_>) -> Poll<io::Result<(TcpEnd, SocketAddr)>> {
        let listener = self.descriptor.listener()?;
        let Poll::Ready((stream, from)) = listener.accept_or_wait(wait) else { return Poll::Pending };
        Poll::Ready(Ok((TcpEnd::new(&*self.descriptor.kernel()?, stream), from)))
    }
}

/// A connection.
pub(crate) struct TcpEnd {
    descriptor: Descriptor,
    addresses: (SocketAddr, SocketAddr),
    pub(crate) nodelay: AtomicBool,
    pub(crate) quickack: AtomicBool,
    pub(crate) ttl: AtomicU32,
    linger: Mutex<Option<Duration>>,
}

impl TcpEnd {
    fn new(kernel: &Kernel, stream: SimStream) -> Self {
        let addresses = stream.addresses();
        Self {
            descriptor: kernel.open_stream(stream),
            addresses,
            nodelay: AtomicBool::new(false),
            quickack: AtomicBool::new(true),
            ttl: AtomicU32::new(TTL),
            linger: Mutex::default(),
        }
    }

    /// Waits until it is connected.
    pub(crate) async fn opened(self) -> io::Result<Self> {
        poll_fn(|cx| self.descriptor.stream()?.is_open(cx)).await?;
        Ok(self)
    }

    pub(crate) fn local_addr(&self) -> SocketAddr {
        self.addresses.0
    }

    pub(crate) fn peer_addr(&self) -> SocketAddr {
        self.addresses.1
    }

    pub(crate) fn read(&self, wait: Wait<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        self.descriptor.stream()?.read_or_wait(wait, buffer)
    }

    pub(crate) fn peek(&self, wait: Wait<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<usize>> {
        let before = buffer.filled().len();
        let peeked = self.descriptor.stream()?.peek_or_wait(wait, buffer);
        peeked.map_ok(|()| buffer.filled().len() - before)
    }

    pub(crate) fn readable(&self, wait: Wait<'_>) -> Poll<io::Result<()>> {
        self.descriptor.stream()?.readable_or_wait(wait).map(Ok)
    }

    pub(crate) fn write(&self, wait: Wait<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        self.descriptor.stream()?.write_or_wait(wait, bytes)
    }

    pub(crate) fn writable(&self, wait: Wait<'_>) -> Poll<io::Result<()>> {
        self.descriptor.stream()?.writable_or_wait(wait).map(Ok)
    }

    pub(crate) fn shutdown(&self) -> io::Result<()> {
        self.descriptor.stream()?.shut_down()
    }

    pub(crate) fn take_error(&self) -> io::Result<Option<io::Error>> {
        Ok(self.descriptor.stream()?.take_error())
    }

    pub(crate) fn linger(&self) -> Option<Duration> {
        *self.linger.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Closing takes no time of the process's; with no time to linger it is a reset.
    pub(crate) fn set_linger(&self, linger: Option<Duration>) -> io::Result<()> {
        *self.linger.lock().unwrap_or_else(PoisonError::into_inner) = linger;
        self.descriptor.stream()?.abort_when_dropped(linger.is_some_and(|time| time.is_zero()));
        Ok(())
    }
}

impl fmt::Debug for TcpEnd {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "simulated, {} to {}", self.local_addr(), self.peer_addr())
    }
}

/// A socket for datagrams.
pub(crate) struct UdpEnd {
    descriptor: Descriptor,
    pub(crate) ttl: AtomicU32,
}

impl UdpEnd {
    pub(crate) fn local_addr(&self) -> io::Result<SocketAddr> {
        Ok(self.descriptor.datagrams()?.local())
    }

    pub(crate) fn peer_addr(&self) -> io::Result<SocketAddr> {
        self.descriptor.datagrams()?.peer().ok_or_else(|| io::ErrorKind::NotConnected.into())
    }

    pub(crate) fn connect(&self, peer: SocketAddr) -> io::Result<()> {
        self.descriptor.datagrams()?.connect(peer);
        Ok(())
    }

    /// Sends, to the peer if nobody is named. It never waits: what the network cannot take it loses.
    pub(crate) fn send(&self, bytes: &[u8], to: Option<SocketAddr>) -> io::Result<usize> {
        let to = to.map_or_else(|| self.peer_addr(), Ok)?;
        self.descriptor.datagrams()?.send(&Bytes::copy_from_slice(bytes), to)
    }

    pub(crate) fn readable(&self, wait: Wait<'_>) -> Poll<io::Result<()>> {
        self.descriptor.datagrams()?.readable(wait).map(Ok)
    }

    pub(crate) fn receive(&self, wait: Wait<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<SocketAddr>> {
        self.descriptor.datagrams()?.receive(wait, buffer).map(Ok)
    }

    pub(crate) fn peek(&self, wait: Wait<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<SocketAddr>> {
        self.descriptor.datagrams()?.peek(wait, buffer).map(Ok)
    }
}

/// Waits for something of a socket's.
pub(crate) async fn waited<T>(mut ask: impl FnMut(Wait<'_>) -> Poll<io::Result<T>>) -> io::Result<T> {
    poll_fn(|cx: &mut Context<'_>| ask(Wait::each(cx))).await
}

/// The value of an option that only is kept.
pub(crate) fn kept(option: &AtomicU32) -> u32 {
    option.load(Ordering::Relaxed)
}
