//! The operating system's sockets.

use std::future::Future;
use std::io;
use std::net::SocketAddr;

use tokio::net::{TcpListener, TcpSocket, TcpStream, UdpSocket, lookup_host};
use tokio::runtime::{Builder, LocalOptions};

use super::{Listener, Net, Socket};

/// The network of this machine.
#[derive(Clone, Copy, Debug, Default)]
pub struct RealNet;

impl Net for RealNet {
    type Stream = TcpStream;
    type Listener = TcpListener;
    type Socket = UdpSocket;

    async fn listen(&self, addr: &str) -> io::Result<TcpListener> {
        TcpListener::bind(addr).await.map_err(|error| cannot("listen on", addr, &error))
    }

    async fn connect(&self, addr: &str) -> io::Result<TcpStream> {
        let found: Vec<SocketAddr> = look_up(addr).await?.collect();
        let stream = TcpStream::connect(&found[..]).await?;
        stream.set_nodelay(true)?;
        Ok(stream)
    }

    async fn bind(&self, addr: &str) -> io::Result<UdpSocket> {
        UdpSocket::bind(addr).await.map_err(|error| cannot("bind", addr, &error))
    }

    async fn resolve(&self, addr: &str) -> io::Result<SocketAddr> {
        look_up(addr)
            .await?
            .next()
            .ok_or_else(|| io::Error::new(io::ErrorKind::NotFound, format!("{addr} has no address")))
    }
}

/// The addresses of `host:port`. That a name has none is [`io::ErrorKind::NotFound`], whatever the resolver calls it.
async fn look_up(addr: &str) -> io::Result<impl Iterator<Item = SocketAddr>> {
    lookup_host(addr).await.map_err(|error| match error.kind() {
        io::ErrorKind::InvalidInput => cannot("resolve", addr, &error),
        _ => io::Error::new(io::ErrorKind::NotFound, format!("cannot resolve {addr}: {error}")),
    })
}

/// How many connections may wait to be accepted.
const BACKLOG: u32 = 1024;

/// A listener that another runtime opens.
#[derive(Debug)]
pub struct Unopened(std::net::TcpListener);

impl Unopened {
    /// Opens it in the runtime that this is called in.
    pub fn open(self) -> io::Result<TcpListener> {
        TcpListener::from_std(self.0)
    }
}

/// Listens at one address with several sockets, over which the system spreads connections (`SO_REUSEPORT`).
pub async fn listen_apart(addr: &str, count: usize) -> io::Result<Vec<Unopened>> {
    // Without the option first: with it two services would share the port and never know.
    let first = RealNet.listen(addr).await?;
    let addr = first.local_addr()?;
    drop(first);
    let listen = |_| {
        let socket = if addr.is_ipv4() { TcpSocket::new_v4() } else { TcpSocket::new_v6() }?;
        socket.set_reuseaddr(true)?;
        socket.set_reuseport(true)?;
        socket.bind(addr)?;
        Ok(Unopened(socket.listen(BACKLOG)?.into_std()?))
    };
    let listeners: io::Result<_> = (0..count).map(listen).collect();
    listeners.map_err(|error| cannot("listen on", &addr.to_string(), &error))
}

/// The same kind of error, with the address and what to do about it.
fn cannot(what: &str, addr: &str, error: &io::Error) -> io::Error {
    let advice = match error.kind() {
        io::ErrorKind::PermissionDenied => ": ports below 1024 need privileges, choose a higher one",
        io::ErrorKind::AddrInUse => ": another process has this port, choose another one or stop it",
        io::ErrorKind::AddrNotAvailable => ": this machine does not have that address",
        io::ErrorKind::InvalidInput => ": write it as host:port, like 127.0.0.1:8080",
        _ => "",
    };
    io::Error::new(error.kind(), format!("cannot {what} {addr}: {error}{advice}"))
}

impl Listener for TcpListener {
    type Stream = TcpStream;

    async fn accept(&mut self) -> io::Result<(TcpStream, SocketAddr)> {
        let (stream, peer) = TcpListener::accept(self).await?;
        stream.set_nodelay(true)?;
        Ok((stream, peer))
    }

    fn local_addr(&self) -> io::Result<SocketAddr> {
        TcpListener::local_addr(self)
    }
}

impl Socket for UdpSocket {
    async fn send_to(&self, payload: &[u8], to: SocketAddr) -> io::Result<usize> {
        match self.peer_addr() {
            // Some systems let a socket that has a peer name none.
            Ok(peer) if peer == to => self.send(payload).await,
            _ => UdpSocket::send_to(self, payload, to).await,
        }
    }

    async fn only_to(&self, peer: SocketAddr) -> io::Result<()> {
        self.connect(peer).await
    }

    async fn recv_from(&self, buffer: &mut [u8]) -> io::Result<(usize, SocketAddr)> {
        UdpSocket::recv_from(self, buffer).await
    }

    /// What the process did not wait for, the runtime has not been told of: to yield is to have it ask.
    async fn notice(&self) {
        tokio::task::yield_now().await;
    }

    fn local_addr(&self) -> io::Result<SocketAddr> {
        UdpSocket::local_addr(self)
    }
}

/// Runs a service on one thread, where it may spawn local tasks, as in the testbed.
///
/// Not in a [`tokio::task::LocalSet`]: that would poll the service again each time one of its tasks is woken.
pub fn run<T>(service: impl Future<Output = T>) -> io::Result<T> {
    let runtime = Builder::new_current_thread().enable_all().build_local(LocalOptions::default())?;
    let result = runtime.block_on(service);
    // A read of stdin that is under way on tokio's thread for it would hold the end up until somebody presses a key.
    runtime.shutdown_background();
    Ok(result)
}
