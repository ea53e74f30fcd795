//! The simulated network: what a host's process sees of it.
//!
//! Its TCP is the machine's [kernel](super::kernel): segments and acknowledgements are packets, each with a fate of its own,
//! and connections are established while the process stands still. Its datagrams are turmoil's; they are lost, copied and
//! corrupted where they are sent.

use std::future::{Future, poll_fn};
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::rc::Rc;

use bytes::Bytes;
use tokio::io::ReadBuf;

use crate::sim::causality::{self, Traced};
use crate::sim::kernel::Kernel;
use crate::sim::kernel::datagrams::Datagrams;
use crate::sim::kernel::wait::Wait;
use crate::sim::shared::Shared;
use crate::sim::trace::HostId;

use crate::net::{Net, Socket, fits_datagram};

pub use crate::sim::kernel::stream::{SimListener, SimStream};

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
        let addr = self.bindable(addr).await?;
        SimListener::open(&self.kernel, SocketAddr::new(self.ip, addr.port()))
    }

    async fn connect(&self, addr: &str) -> io::Result<SimStream> {
        let remote = self.resolve(addr).await?;
        let local = SocketAddr::new(self.ip, 0);
        if remote.ip() == self.ip || remote.ip().is_loopback() {
            return SimStream::connect_within(&self.kernel, local, remote.port());
        }
        self.reachable(remote)?;
        SimStream::connect(&self.kernel, local, remote).await
    }

    async fn bind(&self, addr: &str) -> io::Result<SimSocket> {
        self.shared.alive(self.host)?;
        if self.kernel.is_apart() {
            let addr = self.bindable(addr).await?;
            let datagrams = Datagrams::bind(&self.kernel, SocketAddr::new(self.ip, addr.port()))?;
            return Ok(SimSocket(Inner::Kernel(datagrams)));
        }
        let inner = turmoil::net::UdpSocket::bind(self.bindable(addr).await?).await?;
        let local = SocketAddr::new(self.ip, inner.local_addr()?.port());
        self.shared.wire.borrow_mut().open_inbox(self.host, local.port());
        Ok(SimSocket(Inner::Turmoil(TurmoilSocket { net: self.clone(), inner, local })))
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
}

/// A simulated UDP socket.
pub struct SimSocket(Inner);

enum Inner {
    Turmoil(TurmoilSocket),
    /// That of a process that runs apart from turmoil.
    Kernel(Datagrams),
}

impl Socket for SimSocket {
    async fn send_to(&self, payload: &[u8], to: SocketAddr) -> io::Result<usize> {
        self.send_bytes(Bytes::copy_from_slice(payload), to).await
    }

    async fn send_bytes(&self, payload: Bytes, to: SocketAddr) -> io::Result<usize> {
        match &self.0 {
            Inner::Turmoil(socket) => socket.send(payload, to).await,
            Inner::Kernel(datagrams) => datagrams.send(&payload, to),
        }
    }

    async fn recv_from(&self, buffer: &mut [u8]) -> io::Result<(usize, SocketAddr)> {
        match &self.0 {
            Inner::Turmoil(socket) => socket.receive(buffer).await,
            Inner::Kernel(datagrams) => {
                let mut buffer = ReadBuf::new(buffer);
                let from = poll_fn(|cx| datagrams.receive(Wait::each(cx), &mut buffer)).await;
                Ok((buffer.filled().len(), from))
            }
        }
    }

    fn local_addr(&self) -> io::Result<SocketAddr> {
        Ok(match &self.0 {
            Inner::Turmoil(socket) => socket.local,
            Inner::Kernel(datagrams) => datagrams.local(),
        })
    }
}

/// One of turmoil's, in its runtime for the host.
struct TurmoilSocket {
    net: SimNet,
    inner: turmoil::net::UdpSocket,
    local: SocketAddr,
}

impl TurmoilSocket {
    async fn send(&self, payload: Bytes, to: SocketAddr) -> io::Result<usize> {
        fits_datagram(payload.len())?;
        self.net.shared.alive(self.net.host)?;
        if to.ip() == self.net.ip || to.ip().is_loopback() {
            self.net.kernel.sends_to_itself();
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

    async fn receive(&self, buffer: &mut [u8]) -> io::Result<(usize, SocketAddr)> {
        let (length, from) = self.inner.recv_from(buffer).await?;
        if from.ip() != self.net.ip && !from.ip().is_loopback() {
            let shared = &self.net.shared;
            let record = shared.wire.borrow_mut().received(self.net.host, self.local.port());
            record.into_iter().for_each(|record| shared.took_in(record));
        }
        Ok((length, from))
    }
}

impl Drop for TurmoilSocket {
    fn drop(&mut self) {
        let port = self.local.port();
        self.net.shared.wire.borrow_mut().close_inbox(self.net.host, port);
    }
}
