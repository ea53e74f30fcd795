//! The seam between a host and its network.
//!
//! A host is generic over [`Net`] and knows nothing else of where it runs: [`real`] is tokio's sockets; the
//! testbed has simulated ones. Both are in every build, so that one process can run a host over both and compare.
//!
//! Addresses are `host:port` in text. There is no trait for time: turmoil already simulates `tokio::time`.
//!
//! **Invariant:** `real.rs` and [`crate::sockets`] alone name `tokio::net`. The seam is ground: it knows nothing of the testbed.

pub mod real;
#[cfg(feature = "systems")]
pub mod signals;

use std::future::Future;
use std::io;
use std::net::SocketAddr;

use bytes::Bytes;
use tokio::io::{AsyncRead, AsyncWrite};

/// The largest payload that a UDP datagram over IPv4 carries, in bytes.
pub const DATAGRAM_BYTES_MAX: usize = 65_507;

/// Whether a payload of so many bytes fits into one datagram.
pub(crate) fn fits_datagram(length: usize) -> io::Result<()> {
    if length <= DATAGRAM_BYTES_MAX {
        return Ok(());
    }
    let message = format!("a datagram carries at most {DATAGRAM_BYTES_MAX} bytes, not {length}");
    Err(io::Error::new(io::ErrorKind::InvalidInput, message))
}

/// A network: where a host gets its sockets from.
pub trait Net: Clone + 'static {
    /// A connected TCP stream. Dropping it closes the connection.
    type Stream: AsyncRead + AsyncWrite + Unpin + 'static;
    /// A TCP listener.
    type Listener: Listener<Stream = Self::Stream>;
    /// A UDP socket.
    type Socket: Socket;

    /// Listens for TCP connections at `host:port`; port 0 lets the network choose one.
    fn listen(&self, addr: &str) -> impl Future<Output = io::Result<Self::Listener>>;
    /// Opens a TCP connection. It has no deadline of its own beyond the network's: callers wrap it in one.
    fn connect(&self, addr: &str) -> impl Future<Output = io::Result<Self::Stream>>;
    /// Binds a UDP socket; port 0 lets the network choose one.
    fn bind(&self, addr: &str) -> impl Future<Output = io::Result<Self::Socket>>;
    /// The first address that `host:port` stands for.
    fn resolve(&self, addr: &str) -> impl Future<Output = io::Result<SocketAddr>>;
    /// What a host spawns as a task of its own, it spawns through this: `spawn_local(N::task(…))`. On real sockets it is
    /// the future itself; in the testbed the task then knows who started it and who wakes it, and its records tell.
    fn task<F: Future>(future: F) -> impl Future<Output = F::Output> {
        future
    }
}

/// Accepts TCP connections.
pub trait Listener: 'static {
    /// What it accepts.
    type Stream;
    /// The next connection and its peer's address. Cancel-safe.
    fn accept(&mut self) -> impl Future<Output = io::Result<(Self::Stream, SocketAddr)>>;
    /// The address it listens at, with the port that was chosen.
    fn local_addr(&self) -> io::Result<SocketAddr>;
}

/// Sends and receives datagrams.
pub trait Socket: 'static {
    /// Sends one datagram of at most [`DATAGRAM_BYTES_MAX`] bytes.
    fn send_to(&self, payload: &[u8], to: SocketAddr) -> impl Future<Output = io::Result<usize>>;
    /// The same for one that is shared: an implementation that keeps it need not copy it.
    fn send_bytes(&self, payload: Bytes, to: SocketAddr) -> impl Future<Output = io::Result<usize>> {
        async move { self.send_to(&payload, to).await }
    }
    /// Sends one at once, where that needs no waiting; `None`: nothing was done.
    fn send_now(&self, payload: &Bytes, to: SocketAddr) -> Option<io::Result<usize>> {
        let _ = (payload, to);
        None
    }
    /// From now on only datagrams to and from there are wanted; a system that hears that nobody listens there says so, as an
    /// error of [`recv_from`](Self::recv_from). Where there is no such thing, nothing changes.
    fn only_to(&self, peer: SocketAddr) -> impl Future<Output = io::Result<()>> {
        let _ = peer;
        async { Ok(()) }
    }
    /// The next datagram's length and sender; what does not fit into `buffer` is cut off. Cancel-safe.
    fn recv_from(&self, buffer: &mut [u8]) -> impl Future<Output = io::Result<(usize, SocketAddr)>>;
    /// Lets the next [`recv_from`](Self::recv_from) see what has arrived while the process stood still, where the system
    /// has to be asked for it first.
    fn notice(&self) -> impl Future<Output = ()> {
        std::future::ready(())
    }
    /// The address it is bound to, with the port that was chosen.
    fn local_addr(&self) -> io::Result<SocketAddr>;
}
