//! A connection.

use std::fmt;
use std::io::{self, IoSlice, IoSliceMut};
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::atomic::Ordering;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::BufMut;
use tokio::io::{AsyncRead, AsyncWrite, Interest, ReadBuf, Ready};

use crate::sim::socket::{self, TcpEnd, Wait, kept, or_would_block, waited};
use crate::sockets::ToSocketAddrs;
use crate::sockets::addr::nowhere;

use super::split::{ReadHalf, WriteHalf};
use super::split_owned::{OwnedReadHalf, OwnedWriteHalf};

/// As `tokio::net::TcpStream`.
pub struct TcpStream(pub(super) Inner);

pub(super) enum Inner {
    Real(tokio::net::TcpStream),
    Simulated(TcpEnd),
}

pub(super) fn is_simulated() -> io::Error {
    io::Error::new(io::ErrorKind::Unsupported, "a simulated socket is none of the operating system's")
}

fn opening(addr: SocketAddr) -> io::Result<TcpEnd> {
    socket::machine()?.ok_or_else(is_simulated)?.connect(addr)
}

/// What a simulated connection is ready for.
pub(super) async fn ready(end: &TcpEnd, interest: Interest) -> io::Result<Ready> {
    waited(|wait| {
        let mut ready = Ready::EMPTY;
        if interest.is_readable() && end.readable(wait)?.is_ready() {
            ready |= Ready::READABLE;
        }
        if interest.is_writable() && end.writable(wait)?.is_ready() {
            ready |= Ready::WRITABLE;
        }
        if ready.is_empty() { Poll::Pending } else { Poll::Ready(Ok(ready)) }
    })
    .await
}

pub(super) fn try_read(end: &TcpEnd, buffer: &mut [u8]) -> io::Result<usize> {
    let mut buffer = ReadBuf::new(buffer);
    or_would_block(end.read(Wait::Not, &mut buffer))?;
    Ok(buffer.filled().len())
}

/// Into the first of several that has room.
pub(super) fn try_read_vectored(end: &TcpEnd, buffers: &mut [IoSliceMut<'_>]) -> io::Result<usize> {
    let first = buffers.iter_mut().find(|buffer| !buffer.is_empty());
    first.map_or(Ok(0), |buffer| try_read(end, buffer))
}

pub(super) fn try_read_buf<B: BufMut>(end: &TcpEnd, buffer: &mut B) -> io::Result<usize> {
    let mut bytes = vec![0; buffer.chunk_mut().len()];
    let count = try_read(end, &mut bytes)?;
    buffer.put_slice(&bytes[..count]);
    Ok(count)
}

pub(super) fn try_write(end: &TcpEnd, bytes: &[u8]) -> io::Result<usize> {
    or_would_block(end.write(Wait::Not, bytes))
}

pub(super) fn try_write_vectored(end: &TcpEnd, buffers: &[IoSlice<'_>]) -> io::Result<usize> {
    try_write(end, buffers.iter().find(|buffer| !buffer.is_empty()).map_or(&[], |buffer| buffer))
}

pub(super) async fn peek(end: &TcpEnd, buffer: &mut [u8]) -> io::Result<usize> {
    let mut buffer = ReadBuf::new(buffer);
    waited(|wait| end.peek(wait, &mut buffer)).await
}

impl TcpStream {
    pub(super) fn simulated(end: TcpEnd) -> Self {
        Self(Inner::Simulated(end))
    }

    /// Connects, to the first address at which somebody listens.
    pub async fn connect<A: ToSocketAddrs>(addr: A) -> io::Result<Self> {
        let written = addr.written();
        let Some(addresses) = written.here()? else {
            return Ok(tokio::net::TcpStream::connect(&written.real().await?[..]).await?.into());
        };
        let mut last = None;
        for addr in addresses {
            let opened = match opening(addr) {
                Ok(end) => end.opened().await,
                Err(error) => Err(error),
            };
            match opened {
                Ok(end) => return Ok(Self::simulated(end)),
                Err(error) => last = Some(error),
            }
        }
        Err(last.unwrap_or_else(nowhere))
    }

    /// The operating system's socket, outside of a run.
    pub fn from_std(stream: std::net::TcpStream) -> io::Result<Self> {
        Ok(tokio::net::TcpStream::from_std(stream)?.into())
    }

    /// The operating system's socket, if it is one.
    pub fn into_std(self) -> io::Result<std::net::TcpStream> {
        match self.0 {
            Inner::Real(real) => real.into_std(),
            Inner::Simulated(_) => Err(is_simulated()),
        }
    }

    /// Its own address.
    pub fn local_addr(&self) -> io::Result<SocketAddr> {
        match &self.0 {
            Inner::Real(real) => real.local_addr(),
            Inner::Simulated(end) => Ok(end.local_addr()),
        }
    }

    /// The other end's address.
    pub fn peer_addr(&self) -> io::Result<SocketAddr> {
        match &self.0 {
            Inner::Real(real) => real.peer_addr(),
            Inner::Simulated(end) => Ok(end.peer_addr()),
        }
    }

    /// An error that nobody was told of yet.
    pub fn take_error(&self) -> io::Result<Option<io::Error>> {
        match &self.0 {
            Inner::Real(real) => real.take_error(),
            Inner::Simulated(end) => end.take_error(),
        }
    }

    /// Reads, and leaves it there.
    pub fn poll_peek(&self, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<usize>> {
        match &self.0 {
            Inner::Real(real) => real.poll_peek(cx, buf),
            Inner::Simulated(end) => end.peek(Wait::last(cx), buf),
        }
    }

    /// Reads, and leaves it there.
    pub async fn peek(&self, buf: &mut [u8]) -> io::Result<usize> {
        match &self.0 {
            Inner::Real(real) => real.peek(buf).await,
            Inner::Simulated(end) => peek(end, buf).await,
        }
    }

    /// Waits until it is ready for any of this.
    pub async fn ready(&self, interest: Interest) -> io::Result<Ready> {
        match &self.0 {
            Inner::Real(real) => real.ready(interest).await,
            Inner::Simulated(end) => ready(end, interest).await,
        }
    }

    /// Waits until there is something to read.
    pub async fn readable(&self) -> io::Result<()> {
        match &self.0 {
            Inner::Real(real) => real.readable().await,
            Inner::Simulated(end) => waited(|wait| end.readable(wait)).await,
        }
    }

    /// The same, polled.
    pub fn poll_read_ready(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &self.0 {
            Inner::Real(real) => real.poll_read_ready(cx),
            Inner::Simulated(end) => end.readable(Wait::last(cx)),
        }
    }

    /// Reads what is there.
    pub fn try_read(&self, buf: &mut [u8]) -> io::Result<usize> {
        match &self.0 {
            Inner::Real(real) => real.try_read(buf),
            Inner::Simulated(end) => try_read(end, buf),
        }
    }

    /// The same, into several buffers.
    pub fn try_read_vectored(&self, bufs: &mut [IoSliceMut<'_>]) -> io::Result<usize> {
        match &self.0 {
            Inner::Real(real) => real.try_read_vectored(bufs),
            Inner::Simulated(end) => try_read_vectored(end, bufs),
        }
    }

    /// The same, behind what a buffer holds.
    pub fn try_read_buf<B: BufMut>(&self, buf: &mut B) -> io::Result<usize> {
        match &self.0 {
            Inner::Real(real) => real.try_read_buf(buf),
            Inner::Simulated(end) => try_read_buf(end, buf),
        }
    }

    /// Waits until something can be written.
    pub async fn writable(&self) -> io::Result<()> {
        match &self.0 {
            Inner::Real(real) => real.writable().await,
            Inner::Simulated(end) => waited(|wait| end.writable(wait)).await,
        }
    }

    /// The same, polled.
    pub fn poll_write_ready(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &self.0 {
            Inner::Real(real) => real.poll_write_ready(cx),
            Inner::Simulated(end) => end.writable(Wait::last(cx)),
        }
    }

    /// Writes what can be written.
    pub fn try_write(&self, buf: &[u8]) -> io::Result<usize> {
        match &self.0 {
            Inner::Real(real) => real.try_write(buf),
            Inner::Simulated(end) => try_write(end, buf),
        }
    }

    /// The same, from several buffers.
    pub fn try_write_vectored(&self, bufs: &[IoSlice<'_>]) -> io::Result<usize> {
        match &self.0 {
            Inner::Real(real) => real.try_write_vectored(bufs),
            Inner::Simulated(end) => try_write_vectored(end, bufs),
        }
    }

    /// Whether small writes are sent at once.
    pub fn nodelay(&self) -> io::Result<bool> {
        match &self.0 {
            Inner::Real(real) => real.nodelay(),
            Inner::Simulated(end) => Ok(end.nodelay.load(Ordering::Relaxed)),
        }
    }

    /// Sets it.
    pub fn set_nodelay(&self, nodelay: bool) -> io::Result<()> {
        match &self.0 {
            Inner::Real(real) => real.set_nodelay(nodelay),
            Inner::Simulated(end) => {
                end.nodelay.store(nodelay, Ordering::Relaxed);
                Ok(())
            }
        }
    }

    /// Whether what comes is acknowledged at once.
    #[cfg(target_os = "linux")]
    pub fn quickack(&self) -> io::Result<bool> {
        match &self.0 {
            Inner::Real(real) => real.quickack(),
            Inner::Simulated(end) => Ok(end.quickack.load(Ordering::Relaxed)),
        }
    }

    /// Sets it.
    #[cfg(target_os = "linux")]
    pub fn set_quickack(&self, quickack: bool) -> io::Result<()> {
        match &self.0 {
            Inner::Real(real) => real.set_quickack(quickack),
            Inner::Simulated(end) => {
                end.quickack.store(quickack, Ordering::Relaxed);
                Ok(())
            }
        }
    }

    /// How long closing waits.
    #[allow(deprecated, reason = "tokio's function of this name")]
    pub fn linger(&self) -> io::Result<Option<Duration>> {
        match &self.0 {
            Inner::Real(real) => real.linger(),
            Inner::Simulated(end) => Ok(end.linger()),
        }
    }

    /// Sets it.
    #[allow(deprecated, reason = "tokio's function of this name")]
    pub fn set_linger(&self, dur: Option<Duration>) -> io::Result<()> {
        match &self.0 {
            Inner::Real(real) => real.set_linger(dur),
            Inner::Simulated(end) => end.set_linger(dur),
        }
    }

    /// Has it end with a reset when it is closed.
    pub fn set_zero_linger(&self) -> io::Result<()> {
        match &self.0 {
            Inner::Real(real) => real.set_zero_linger(),
            Inner::Simulated(end) => end.set_linger(Some(Duration::ZERO)),
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

    /// Its two directions, for one task.
    pub fn split(&mut self) -> (ReadHalf<'_>, WriteHalf<'_>) {
        match &mut self.0 {
            Inner::Real(real) => super::split::real(real),
            Inner::Simulated(end) => super::split::simulated(end),
        }
    }

    /// Its two directions, each to be owned.
    pub fn into_split(self) -> (OwnedReadHalf, OwnedWriteHalf) {
        match self.0 {
            Inner::Real(real) => super::split_owned::real(real),
            Inner::Simulated(end) => super::split_owned::simulated(end),
        }
    }
}

impl From<tokio::net::TcpStream> for TcpStream {
    fn from(real: tokio::net::TcpStream) -> Self {
        Self(Inner::Real(real))
    }
}

impl AsyncRead for TcpStream {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        match &mut self.0 {
            Inner::Real(real) => Pin::new(real).poll_read(cx, buf),
            Inner::Simulated(end) => end.read(Wait::last(cx), buf),
        }
    }
}

impl AsyncWrite for TcpStream {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        match &mut self.0 {
            Inner::Real(real) => Pin::new(real).poll_write(cx, buf),
            Inner::Simulated(end) => end.write(Wait::last(cx), buf),
        }
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        match &mut self.0 {
            Inner::Real(real) => Pin::new(real).poll_write_vectored(cx, bufs),
            Inner::Simulated(end) => {
                end.write(Wait::last(cx), bufs.iter().find(|buf| !buf.is_empty()).map_or(&[], |buf| buf))
            }
        }
    }

    fn is_write_vectored(&self) -> bool {
        matches!(&self.0, Inner::Real(real) if real.is_write_vectored())
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &mut self.0 {
            Inner::Real(real) => Pin::new(real).poll_shutdown(cx),
            Inner::Simulated(end) => Poll::Ready(end.shutdown()),
        }
    }
}

impl fmt::Debug for TcpStream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            Inner::Real(real) => real.fmt(f),
            Inner::Simulated(end) => write!(f, "TcpStream({end:?})"),
        }
    }
}
