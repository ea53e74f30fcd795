//! The two directions of a connection, each owned.

use std::fmt;
use std::io::{self, IoSlice, IoSliceMut};
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::BufMut;
use tokio::io::{AsyncRead, AsyncWrite, Interest, ReadBuf, Ready};

use crate::sim::socket::{TcpEnd, Wait, waited};

use super::TcpStream;
use super::stream::{self, Inner};

/// Half of either.
enum Half<R> {
    Real(R),
    Simulated(Arc<TcpEnd>),
}

/// As `tokio::net::tcp::OwnedReadHalf`.
#[derive(Debug)]
pub struct OwnedReadHalf(Half<tokio::net::tcp::OwnedReadHalf>);

/// As `tokio::net::tcp::OwnedWriteHalf`: its direction is shut down when it is dropped.
#[derive(Debug)]
pub struct OwnedWriteHalf(Half<tokio::net::tcp::OwnedWriteHalf>, Shutdown);

/// What shuts the direction down, unless it was told not to.
#[derive(Debug)]
struct Shutdown(Option<Arc<TcpEnd>>);

impl Drop for Shutdown {
    fn drop(&mut self) {
        // One that is over has nothing to shut down.
        self.0.take().into_iter().for_each(|end| _ = end.shutdown());
    }
}

/// Two halves that are not of one connection.
#[derive(Debug)]
pub struct ReuniteError(pub OwnedReadHalf, pub OwnedWriteHalf);

impl fmt::Display for ReuniteError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("tried to reunite halves that are not from the same socket")
    }
}

impl std::error::Error for ReuniteError {}

pub(super) fn real(real: tokio::net::TcpStream) -> (OwnedReadHalf, OwnedWriteHalf) {
    let (read, write) = real.into_split();
    (OwnedReadHalf(Half::Real(read)), OwnedWriteHalf(Half::Real(write), Shutdown(None)))
}

pub(super) fn simulated(end: TcpEnd) -> (OwnedReadHalf, OwnedWriteHalf) {
    let end = Arc::new(end);
    let write = OwnedWriteHalf(Half::Simulated(end.clone()), Shutdown(Some(end.clone())));
    (OwnedReadHalf(Half::Simulated(end)), write)
}

fn reunite(read: OwnedReadHalf, mut write: OwnedWriteHalf) -> Result<TcpStream, ReuniteError> {
    match (read.0, write.0) {
        (Half::Real(read), Half::Real(other)) => match read.reunite(other) {
            Ok(real) => Ok(real.into()),
            Err(tokio::net::tcp::ReuniteError(read, other)) => {
                write.0 = Half::Real(other);
                Err(ReuniteError(OwnedReadHalf(Half::Real(read)), write))
            }
        },
        (Half::Simulated(read), Half::Simulated(other)) if Arc::ptr_eq(&read, &other) => {
            write.1.0 = None;
            drop(other);
            let end = Arc::into_inner(read).expect("both halves were given");
            Ok(TcpStream(Inner::Simulated(end)))
        }
        (read, other) => {
            write.0 = other;
            Err(ReuniteError(OwnedReadHalf(read), write))
        }
    }
}

impl OwnedReadHalf {
    /// Both halves together again.
    pub fn reunite(self, other: OwnedWriteHalf) -> Result<TcpStream, ReuniteError> {
        reunite(self, other)
    }

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

impl OwnedWriteHalf {
    /// Both halves together again.
    pub fn reunite(self, other: OwnedReadHalf) -> Result<TcpStream, ReuniteError> {
        reunite(other, self)
    }

    /// Drops it, and does not shut its direction down.
    pub fn forget(mut self) {
        self.1.0 = None;
        if let Half::Real(real) = self.0 {
            real.forget();
        }
    }

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

impl AsyncRead for OwnedReadHalf {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        match &mut self.0 {
            Half::Real(real) => Pin::new(real).poll_read(cx, buf),
            Half::Simulated(end) => end.read(Wait::last(cx), buf),
        }
    }
}

impl AsyncWrite for OwnedWriteHalf {
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

impl<R: fmt::Debug> fmt::Debug for Half<R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Real(real) => real.fmt(f),
            Self::Simulated(end) => end.fmt(f),
        }
    }
}
