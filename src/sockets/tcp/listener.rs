//! A listener.

use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::sync::atomic::Ordering;
use std::task::{Context, Poll};

use crate::sim::socket::{self, TcpListenerEnd, Wait, kept, waited};
use crate::sockets::ToSocketAddrs;
use crate::sockets::addr::first;

use super::TcpStream;

/// As `tokio::net::TcpListener`.
pub struct TcpListener(Inner);

enum Inner {
    Real(tokio::net::TcpListener),
    Simulated(TcpListenerEnd),
}

impl TcpListener {
    /// Listens; port 0 lets the network choose one.
    pub async fn bind<A: ToSocketAddrs>(addr: A) -> io::Result<Self> {
        let written = addr.written();
        let simulated = socket::machine()?.map(|machine| {
            let addresses = written.clone().simulated(&machine)?;
            first(&addresses, |addr| machine.listen(addr))
        });
        Ok(Self(match simulated {
            Some(listener) => Inner::Simulated(listener?),
            None => Inner::Real(tokio::net::TcpListener::bind(&written.real().await?[..]).await?),
        }))
    }

    /// The next connection, and whose it is.
    pub async fn accept(&self) -> io::Result<(TcpStream, SocketAddr)> {
        match &self.0 {
            Inner::Real(real) => real.accept().await.map(|(stream, from)| (stream.into(), from)),
            Inner::Simulated(end) => {
                let (stream, from) = waited(|wait| end.accept(wait)).await?;
                Ok((TcpStream::simulated(stream), from))
            }
        }
    }

    /// The same, polled.
    pub fn poll_accept(&self, cx: &mut Context<'_>) -> Poll<io::Result<(TcpStream, SocketAddr)>> {
        match &self.0 {
            Inner::Real(real) => real.poll_accept(cx).map_ok(|(stream, from)| (stream.into(), from)),
            Inner::Simulated(end) => {
                end.accept(Wait::last(cx)).map_ok(|(stream, from)| (TcpStream::simulated(stream), from))
            }
        }
    }

    /// The operating system's socket, outside of a run.
    pub fn from_std(listener: std::net::TcpListener) -> io::Result<Self> {
        Ok(Self(Inner::Real(tokio::net::TcpListener::from_std(listener)?)))
    }

    /// The operating system's socket, if it is one.
    pub fn into_std(self) -> io::Result<std::net::TcpListener> {
        match self.0 {
            Inner::Real(real) => real.into_std(),
            Inner::Simulated(_) => Err(super::stream::is_simulated()),
        }
    }

    /// Where it listens, with the port that was chosen.
    pub fn local_addr(&self) -> io::Result<SocketAddr> {
        match &self.0 {
            Inner::Real(real) => real.local_addr(),
            Inner::Simulated(end) => Ok(end.local),
        }
    }

    /// The time to live of what is sent.
    pub fn ttl(&self) -> io::Result<u32> {
        match &self.0 {
            Inner::Real(real) => real.ttl(),
            Inner::Simulated(end) => Ok(kept(&end.ttl)),
        }
    }

    /// Sets it.
    pub fn set_ttl(&self, ttl: u32) -> io::Result<()> {
        match &self.0 {
            Inner::Real(real) => real.set_ttl(ttl),
            Inner::Simulated(end) => {
                end.ttl.store(ttl, Ordering::Relaxed);
                Ok(())
            }
        }
    }
}

impl fmt::Debug for TcpListener {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            Inner::Real(real) => real.fmt(f),
            Inner::Simulated(end) => write!(f, "TcpListener(simulated, {})", end.local),
        }
    }
}
