//! The two directions of a connection, borrowed.

use std::fmt;
use std::io::{self, IoSlice, IoSliceMut};
use std::net::SocketAddr;
use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::BufMut;
use tokio::io::{AsyncRead, AsyncWrite, Interest, ReadBuf, Ready};

use crate::sim::socket::{TcpEnd, Wait, waited};

use super::stream;

/// Half of either.
enum Half<'a, R> {
    Real(R),
    Simulated(&'a TcpEnd),
}

/// As `tokio::net::tcp::ReadHalf`.
#[derive(Debug)]
pub struct ReadHalf<'a>(Half<'a, tokio::net::tcp::ReadHalf<'a>>);

/// As `tokio::net::tcp::WriteHalf`.
#[derive(Debug)]
pub struct WriteHalf<'a>(Half<'a, tokio::net::tcp::WriteHalf<'a>>);

pub(super) fn real(real: &mut tokio::net::TcpStream) -> (ReadHalf<'_>, WriteHalf<'_>) {
    let (read, write) = real.split();
    (ReadHalf(Half::Real(read)), WriteHalf(Half::Real(write)))
}

pub(super) fn simulated(end: &TcpEnd) -> (ReadHalf<'_>, WriteHalf<'_>) {
    (ReadHalf(Half::Simulated(end)), WriteHalf(Half::Simulated(end)))
}

impl ReadHalf<'_> {
    /// Reads, and leaves it there.
    pub fn poll_peek(&mut self, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<usize>> {
        match &mut self.0 {
            Half::Real(real) => real.poll_peek(cx, buf),
            Half::Simulated(end) => end.peek(Wait::last(cx), buf),
        }
    }

    /// Reads, and leaves it there.
    pub async fn peek(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        match &mut self.0 {
            Half::Real(real) => real.peek(buf).await,
            Half::Simulated(end) => stream::peek(end, buf).await,
        }
    }

    /// Waits until it is ready for any of this.
    pub async fn ready(&self, interest: Interest) -> io::Result<Ready> {
        match &self.0 {
            Half::Real(real) => real.ready(interest).await,
            Half::Simulated(end) => stream::ready(end, interest).await,
        }
    }

    /// Waits until there is something to read.
    pub async fn readable(&self) -> io::Result<()> {
        match &self.0 {
            Half::Real(real) => real.readable().await,
            Half::Simulated(end) => waited(|wait| end.readable(wait)).await,
        }
    }

    /// Reads what is there.
    pub fn try_read(&self, buf: &mut [u8]) -> io::Result<usize> {
        match &self.0 {
            Half::Real(real) => real.try_read(buf),
            Half::Simulated(end) => stream::try_read(end, buf),
        }
    }

    /// The same, into several buffers.
    pub fn try_read_vectored(&self, bufs: &mut [IoSliceMut<'_>]) -> io::Result<usize> {
        match &self.0 {
            Half::Real(real) => real.try_read_vectored(bufs),
            Half::Simulated(end) => stream::try_read_vectored(end, bufs),
        }
    }

    /// The same, behind what a buffer holds.
    pub fn try_read_buf<B: BufMut>(&self, buf: &mut B) -> io::Result<usize> {
        match &self.0 {
            Half::Real(real) => real.try_read_buf(buf),
            Half::Simulated(end) => stream::try_read_buf(end, buf),
        }
    }

    /// The other end's address.
    pub fn peer_addr(&self) -> io::Result<SocketAddr> {
        match &self.0 {
            Half::Real(real) => real.peer_addr(),
            Half::Simulated(end) => Ok(end.peer_addr()),
        }
    }

    /// Its own address.
    pub fn local_addr(&self) -> io::Result<SocketAddr> {
        match &self.0 {
            Half::Real(real) => real.local_addr(),
            Half::Simulated(end) => Ok(end.local_addr()),
        }
    }
}

impl WriteHalf<'_> {
    /// Waits until it is ready for any of this.
    pub async fn ready(&self, interest: Interest) -> io::Result<Ready> {
        match &self.0 {
            Half::Real(real) => real.ready(interest).await,
            Half::Simulated(end) => stream::ready(end, interest).await,
        }
    }

    /// Waits until something can be written.
    pub async fn writable(&self) -> io::Result<()> {
        match &self.0 {
            Half::Real(real) => real.writable().await,
            Half::Simulated(end) => waited(|wait| end.writable(wait)).await,
        }
    }

    /// Writes what can be written.
    pub fn try_write(&self, buf: &[u8]) -> io::Result<usize> {
        match &self.0 {
            Half::Real(real) => real.try_write(buf),
            Half::Simulated(end) => stream::try_write(end, buf),
        }
    }

    /// The same, from several buffers.
    pub fn try_write_vectored(&self, bufs: &[IoSlice<'_>]) -> io::Result<usize> {
        match &self.0 {
            Half::Real(real) => real.try_write_vectored(bufs),
            Half::Simulated(end) => stream::try_write_vectored(end, bufs),
        }
    }

    /// The other end's address.
    pub fn peer_addr(&self) -> io::Result<SocketAddr> {
        match &self.0 {
            Half::Real(real) => real.peer_addr(),
            Half::Simulated(end) => Ok(end.peer_addr()),
        }
    }

    /// Its own address.
    pub fn local_addr(&self) -> io::Result<SocketAddr> {
        match &self.0 {
            Half::Real(real) => real.local_addr(),
            Half::Simulated(end) => Ok(end.local_addr()),
        }
    }
}

impl AsyncRead for ReadHalf<'_> {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        match &mut self.0 {
            Half::Real(real) => Pin::new(real).poll_read(cx, buf),
            Half::Simulated(end) => end.read(Wait::last(cx), buf),
        }
    }
}

impl AsyncWrite for WriteHalf<'_> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        match &mut self.0 {
            Half::Real(real) => Pin::new(real).poll_write(cx, buf),
            Half::Simulated(end) => end.write(Wait::last(cx), buf),
        }
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        match &mut self.0 {
            Half::Real(real) => Pin::new(real).poll_write_vectored(cx, bufs),
            Half::Simulated(end) => {
                end.write(Wait::last(cx), bufs.iter().find(|buf| !buf.is_empty()).map_or(&[], |buf| buf))
            }
        }
    }

    fn is_write_vectored(&self) -> bool {
        matches!(&self.0, Half::Real(real) if real.is_write_vectored())
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &mut self.0 {
            Half::Real(real) => Pin::new(real).poll_shutdown(cx),
            Half::Simulated(end) => Poll::Ready(end.shutdown()),
        }
    }
}

impl<R: fmt::Debug> fmt::Debug for Half<'_, R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Real(real) => real.fmt(f),
            Self::Simulated(end) => write!(f, "simulated, {} to {}", end.local_addr(), end.peer_addr()),
        }
    }
}
