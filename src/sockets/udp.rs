//! A socket for datagrams.

use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::sync::atomic::Ordering;
use std::task::{Context, Poll};

use bytes::BufMut;
use tokio::io::{Interest, ReadBuf, Ready};

use crate::sim::socket::{self, UdpEnd, Wait, kept, or_would_block, waited};

use super::ToSocketAddrs;
use super::addr::{Written, first, nowhere};

/// As `tokio::net::UdpSocket`.
pub struct UdpSocket(Inner);

enum Inner {
    Real(tokio::net::UdpSocket),
    Simulated(UdpEnd),
}

/// A datagram that has come, or a look at it.
fn received(end: &UdpEnd, wait: Wait<'_>, buffer: &mut [u8], stays: bool) -> Poll<io::Result<(usize, SocketAddr)>> {
    let mut buffer = ReadBuf::new(buffer);
    let from = if stays { end.peek(wait, &mut buffer) } else { end.receive(wait, &mut buffer) };
    from.map_ok(|from| (buffer.filled().len(), from))
}

/// The same, behind what a buffer holds.
fn appended<B: BufMut>(end: &UdpEnd, wait: Wait<'_>, buffer: &mut B) -> Poll<io::Result<(usize, SocketAddr)>> {
    let mut bytes = vec![0; buffer.chunk_mut().len()];
    let received = received(end, wait, &mut bytes, false);
    received.map_ok(|(length, from)| {
        buffer.put_slice(&bytes[..length]);
        (length, from)
    })
}

/// Sending never waits.
fn sent(end: &UdpEnd, bytes: &[u8], written: Written) -> io::Result<usize> {
    let machine = socket::machine()?.ok_or_else(nowhere)?;
    let to = written.simulated(&machine)?.first().copied().ok_or_else(nowhere)?;
    end.send(bytes, Some(to))
}

impl UdpSocket {
    /// Binds; port 0 lets the network choose one.
    pub async fn bind<A: ToSocketAddrs>(addr: A) -> io::Result<Self> {
        let written = addr.written();
        let simulated = socket::machine()?.map(|machine| {
            let addresses = written.clone().simulated(&machine)?;
            first(&addresses, |addr| machine.bind(addr))
        });
        Ok(Self(match simulated {
            Some(end) => Inner::Simulated(end?),
            None => Inner::Real(tokio::net::UdpSocket::bind(&written.real().await?[..]).await?),
        }))
    }

    /// The operating system's socket, outside of a run.
    pub fn from_std(socket: std::net::UdpSocket) -> io::Result<Self> {
        Ok(Self(Inner::Real(tokio::net::UdpSocket::from_std(socket)?)))
    }

    /// The operating system's socket, if it is one.
    pub fn into_std(self) -> io::Result<std::net::UdpSocket> {
        match self.0 {
            Inner::Real(real) => real.into_std(),
            Inner::Simulated(_) => {
                let what = "a simulated socket is none of the operating system's";
                Err(io::Error::new(io::ErrorKind::Unsupported, what))
            }
        }
    }

    /// Where it is bound, with the port that was chosen.
    pub fn local_addr(&self) -> io::Result<SocketAddr> {
        match &self.0 {
            Inner::Real(real) => real.local_addr(),
            Inner::Simulated(end) => end.local_addr(),
        }
    }

    /// Its peer, if it is connected.
    pub fn peer_addr(&self) -> io::Result<SocketAddr> {
        match &self.0 {
            Inner::Real(real) => real.peer_addr(),
            Inner::Simulated(end) => end.peer_addr(),
        }
    }

    /// Gives it a peer.
    pub async fn connect<A: ToSocketAddrs>(&self, addr: A) -> io::Result<()> {
        let written = addr.written();
        match &self.0 {
            Inner::Real(real) => real.connect(&written.real().await?[..]).await,
            Inner::Simulated(end) => {
                let machine = socket::machine()?.ok_or_else(nowhere)?;
                end.connect(written.simulated(&machine)?.first().copied().ok_or_else(nowhere)?)
            }
        }
    }

    /// Waits until it is ready for any of this. It can always send.
    pub async fn ready(&self, interest: Interest) -> io::Result<Ready> {
        match &self.0 {
            Inner::Real(real) => real.ready(interest).await,
            Inner::Simulated(end) => {
                waited(|wait| {
                    let mut ready = Ready::EMPTY;
                    if interest.is_writable() {
                        ready |= Ready::WRITABLE;
                    }
                    if interest.is_readable() && end.readable(wait)?.is_ready() {
                        ready |= Ready::READABLE;
                    }
                    if ready.is_empty() { Poll::Pending } else { Poll::Ready(Ok(ready)) }
                })
                .await
            }
        }
    }

    /// Waits until it can send.
    pub async fn writable(&self) -> io::Result<()> {
        match &self.0 {
            Inner::Real(real) => real.writable().await,
            Inner::Simulated(_) => Ok(()),
        }
    }

    /// The same, polled.
    pub fn poll_send_ready(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &self.0 {
            Inner::Real(real) => real.poll_send_ready(cx),
            Inner::Simulated(_) => Poll::Ready(Ok(())),
        }
    }

    /// Sends to its peer.
    pub async fn send(&self, buf: &[u8]) -> io::Result<usize> {
        match &self.0 {
            Inner::Real(real) => real.send(buf).await,
            Inner::Simulated(end) => end.send(buf, None),
        }
    }

    /// The same, polled.
    pub fn poll_send(&self, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        match &self.0 {
            Inner::Real(real) => real.poll_send(cx, buf),
            Inner::Simulated(end) => Poll::Ready(end.send(buf, None)),
        }
    }

    /// The same, without waiting.
    pub fn try_send(&self, buf: &[u8]) -> io::Result<usize> {
        match &self.0 {
            Inner::Real(real) => real.try_send(buf),
            Inner::Simulated(end) => end.send(buf, None),
        }
    }

    /// Waits until there is something to receive.
    pub async fn readable(&self) -> io::Result<()> {
        match &self.0 {
            Inner::Real(real) => real.readable().await,
            Inner::Simulated(end) => waited(|wait| end.readable(wait)).await,
        }
    }

    /// The same, polled.
    pub fn poll_recv_ready(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &self.0 {
            Inner::Real(real) => real.poll_recv_ready(cx),
            Inner::Simulated(end) => end.readable(Wait::last(cx)),
        }
    }

    /// The next datagram from its peer.
    pub async fn recv(&self, buf: &mut [u8]) -> io::Result<usize> {
        match &self.0 {
            Inner::Real(real) => real.recv(buf).await,
            Inner::Simulated(end) => waited(|wait| received(end, wait, buf, false)).await.map(|(length, _)| length),
        }
    }

    /// The same, polled.
    pub fn poll_recv(&self, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        match &self.0 {
            Inner::Real(real) => real.poll_recv(cx, buf),
            Inner::Simulated(end) => end.receive(Wait::last(cx), buf).map_ok(|_| ()),
        }
    }

    /// The same, without waiting.
    pub fn try_recv(&self, buf: &mut [u8]) -> io::Result<usize> {
        match &self.0 {
            Inner::Real(real) => real.try_recv(buf),
            Inner::Simulated(end) => or_would_block(received(end, Wait::Not, buf, false)).map(|(length, _)| length),
        }
    }

    /// The same, behind what a buffer holds.
    pub fn try_recv_buf<B: BufMut>(&self, buf: &mut B) -> io::Result<usize> {
        match &self.0 {
            Inner::Real(real) => real.try_recv_buf(buf),
            Inner::Simulated(end) => or_would_block(appended(end, Wait::Not, buf)).map(|(length, _)| length),
        }
    }

    /// The next datagram from its peer, behind what a buffer holds.
    pub async fn recv_buf<B: BufMut>(&self, buf: &mut B) -> io::Result<usize> {
        match &self.0 {
            Inner::Real(real) => real.recv_buf(buf).await,
            Inner::Simulated(end) => waited(|wait| appended(end, wait, buf)).await.map(|(length, _)| length),
        }
    }

    /// The next datagram and its sender, behind what a buffer holds.
    pub async fn recv_buf_from<B: BufMut>(&self, buf: &mut B) -> io::Result<(usize, SocketAddr)> {
        match &self.0 {
            Inner::Real(real) => real.recv_buf_from(buf).await,
            Inner::Simulated(end) => waited(|wait| appended(end, wait, buf)).await,
        }
    }

    /// The same, without waiting.
    pub fn try_recv_buf_from<B: BufMut>(&self, buf: &mut B) -> io::Result<(usize, SocketAddr)> {
        match &self.0 {
            Inner::Real(real) => real.try_recv_buf_from(buf),
            Inner::Simulated(end) => or_would_block(appended(end, Wait::Not, buf)),
        }
    }

    /// Sends to the first address.
    pub async fn send_to<A: ToSocketAddrs>(&self, buf: &[u8], addr: A) -> io::Result<usize> {
        let written = addr.written();
        match &self.0 {
            Inner::Real(real) => {
                let to = written.real().await?.first().copied().ok_or_else(nowhere)?;
                real.send_to(buf, to).await
            }
            Inner::Simulated(end) => sent(end, buf, written),
        }
    }

    /// Sends, polled.
    pub fn poll_send_to(&self, cx: &mut Context<'_>, buf: &[u8], target: SocketAddr) -> Poll<io::Result<usize>> {
        match &self.0 {
            Inner::Real(real) => real.poll_send_to(cx, buf, target),
            Inner::Simulated(end) => Poll::Ready(end.send(buf, Some(target))),
        }
    }

    /// Sends without waiting.
    pub fn try_send_to(&self, buf: &[u8], target: SocketAddr) -> io::Result<usize> {
        match &self.0 {
            Inner::Real(real) => real.try_send_to(buf, target),
            Inner::Simulated(end) => end.send(buf, Some(target)),
        }
    }

    /// The next datagram and its sender.
    pub async fn recv_from(&self, buf: &mut [u8]) -> io::Result<(usize, SocketAddr)> {
        match &self.0 {
            Inner::Real(real) => real.recv_from(buf).await,
            Inner::Simulated(end) => waited(|wait| received(end, wait, buf, false)).await,
        }
    }

    /// The same, polled.
    pub fn poll_recv_from(&self, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<SocketAddr>> {
        match &self.0 {
            Inner::Real(real) => real.poll_recv_from(cx, buf),
            Inner::Simulated(end) => end.receive(Wait::last(cx), buf),
        }
    }

    /// The same, without waiting.
    pub fn try_recv_from(&self, buf: &mut [u8]) -> io::Result<(usize, SocketAddr)> {
        match &self.0 {
            Inner::Real(real) => real.try_recv_from(buf),
            Inner::Simulated(end) => or_would_block(received(end, Wait::Not, buf, false)),
        }
    }

    /// The next datagram from its peer, which stays.
    pub async fn peek(&self, buf: &mut [u8]) -> io::Result<usize> {
        match &self.0 {
            Inner::Real(real) => real.peek(buf).await,
            Inner::Simulated(end) => waited(|wait| received(end, wait, buf, true)).await.map(|(length, _)| length),
        }
    }

    /// The same, without waiting.
    pub fn try_peek(&self, buf: &mut [u8]) -> io::Result<usize> {
        match &self.0 {
            Inner::Real(real) => real.try_peek(buf),
            Inner::Simulated(end) => or_would_block(received(end, Wait::Not, buf, true)).map(|(length, _)| length),
        }
    }

    /// The next datagram and its sender, which stays.
    pub async fn peek_from(&self, buf: &mut [u8]) -> io::Result<(usize, SocketAddr)> {
        match &self.0 {
            Inner::Real(real) => real.peek_from(buf).await,
            Inner::Simulated(end) => waited(|wait| received(end, wait, buf, true)).await,
        }
    }

    /// The same, polled.
    pub fn poll_peek_from(&self, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<SocketAddr>> {
        match &self.0 {
            Inner::Real(real) => real.poll_peek_from(cx, buf),
            Inner::Simulated(end) => end.peek(Wait::last(cx), buf),
        }
    }

    /// The same, without waiting.
    pub fn try_peek_from(&self, buf: &mut [u8]) -> io::Result<(usize, SocketAddr)> {
        match &self.0 {
            Inner::Real(real) => real.try_peek_from(buf),
            Inner::Simulated(end) => or_would_block(received(end, Wait::Not, buf, true)),
        }
    }

    /// Who sent the next datagram.
    pub async fn peek_sender(&self) -> io::Result<SocketAddr> {
        match &self.0 {
            Inner::Real(real) => real.peek_sender().await,
            Inner::Simulated(end) => waited(|wait| received(end, wait, &mut [], true)).await.map(|(_, from)| from),
        }
    }

    /// The same, polled.
    pub fn poll_peek_sender(&self, cx: &mut Context<'_>) -> Poll<io::Result<SocketAddr>> {
        match &self.0 {
            Inner::Real(real) => real.poll_peek_sender(cx),
            Inner::Simulated(end) => end.peek(Wait::last(cx), &mut ReadBuf::new(&mut [])),
        }
    }

    /// The same, without waiting.
    pub fn try_peek_sender(&self) -> io::Result<SocketAddr> {
        match &self.0 {
            Inner::Real(real) => real.try_peek_sender(),
            Inner::Simulated(end) => or_would_block(received(end, Wait::Not, &mut [], true)).map(|(_, from)| from),
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

    /// An error that nobody was told of yet.
    pub fn take_error(&self) -> io::Result<Option<io::Error>> {
        match &self.0 {
            Inner::Real(real) => real.take_error(),
            Inner::Simulated(_) => Ok(None),
        }
    }
}

impl fmt::Debug for UdpSocket {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            Inner::Real(real) => real.fmt(f),
            Inner::Simulated(end) => match end.local_addr() {
                Ok(local) => write!(f, "UdpSocket(simulated, {local})"),
                Err(_) => f.write_str("UdpSocket(simulated, closed)"),
            },
        }
    }
}
