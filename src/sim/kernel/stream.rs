//! What a process holds of its connections: a listener and a stream, each an end in memory.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::future::poll_fn;
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, Waker};

use tokio::io::{AsyncRead, AsyncWrite, DuplexStream, ReadBuf, duplex};

use crate::net::Listener;
use crate::sim::causality;

use super::Kernel;
use super::end::End;

/// How many connections wait to be accepted, at most (`listen`, as tokio calls it).
const BACKLOG: usize = 1_024;
/// What a connection within a host holds.
const PIPE_BYTES: usize = 1 << 16;

/// Connections that the kernel has accepted and the process has not.
#[derive(Default)]
pub(crate) struct Backlog {
    waiting: VecDeque<Waiting>,
    waker: Option<Waker>,
}

enum Waiting {
    Remote(Rc<RefCell<End>>),
    Local(DuplexStream, SocketAddr),
}

impl Backlog {
    pub(super) fn is_full(&self) -> bool {
        self.waiting.len() >= BACKLOG
    }

    pub(super) fn push(&mut self, end: Rc<RefCell<End>>) {
        self.put(Waiting::Remote(end));
    }

    fn put(&mut self, waiting: Waiting) {
        self.waiting.push_back(waiting);
        if let Some(waker) = self.waker.take() {
            waker.wake();
        }
    }
}

/// A simulated TCP listener.
pub struct SimListener {
    kernel: Rc<Kernel>,
    local: SocketAddr,
    backlog: Rc<RefCell<Backlog>>,
}

impl SimListener {
    pub(crate) fn open(kernel: &Rc<Kernel>, local: SocketAddr) -> io::Result<Self> {
        let (port, backlog) = kernel.listen(local.port(), &local.to_string())?;
        Ok(Self { kernel: kernel.clone(), local: SocketAddr::new(local.ip(), port), backlog })
    }
}

impl Listener for SimListener {
    type Stream = SimStream;

    async fn accept(&mut self) -> io::Result<(SimStream, SocketAddr)> {
        let accepted = poll_fn(|cx| {
            let mut backlog = self.backlog.borrow_mut();
            if let Some(accepted) = backlog.waiting.pop_front() {
                return Poll::Ready(accepted);
            }
            backlog.waker = Some(cx.waker().clone());
            Poll::Pending
        })
        .await;
        Ok(match accepted {
            Waiting::Local(stream, from) => (SimStream(Inner::Local(stream)), from),
            Waiting::Remote(end) => {
                let (opened_by, from) = (end.borrow().opened_by, end.borrow().key.remote);
                opened_by.into_iter().for_each(|record| self.kernel.shared.took_in(record));
                (SimStream(Inner::Remote(Remote { kernel: self.kernel.clone(), end })), from)
            }
        })
    }

    fn local_addr(&self) -> io::Result<SocketAddr> {
        Ok(self.local)
    }
}

impl Drop for SimListener {
    fn drop(&mut self) {
        if self.kernel.is_torn_down() {
            return;
        }
        let mut listeners = self.kernel.listeners.borrow_mut();
        if listeners.get(&self.local.port()).is_some_and(|backlog| Rc::ptr_eq(backlog, &self.backlog)) {
            listeners.remove(&self.local.port());
        }
        drop(listeners);
        // Whoever waits to be accepted never is (`inet_csk_listen_stop`).
        for waiting in std::mem::take(&mut self.backlog.borrow_mut().waiting) {
            if let Waiting::Remote(end) = waiting {
                let mut end = end.borrow_mut();
                let now = self.kernel.moment(&mut end);
                end.connection.abort(now);
                self.kernel.flush(&mut end);
            }
        }
    }
}

/// A simulated TCP connection.
pub struct SimStream(Inner);

enum Inner {
    Remote(Remote),
    /// Within one host there is no network.
    Local(DuplexStream),
}

struct Remote {
    kernel: Rc<Kernel>,
    end: Rc<RefCell<End>>,
}

impl SimStream {
    /// Connects to another host.
    pub(crate) async fn connect(kernel: &Rc<Kernel>, local: SocketAddr, remote: SocketAddr) -> io::Result<Self> {
        let end = kernel.connect(local.ip(), remote)?;
        let opening = Remote { kernel: kernel.clone(), end };
        poll_fn(|cx| opening.poll_open(cx)).await?;
        Ok(Self(Inner::Remote(opening)))
    }

    /// Connects to the host itself.
    pub(crate) fn connect_within(kernel: &Rc<Kernel>, local: SocketAddr, port: u16) -> io::Result<Self> {
        let backlog = kernel.listeners.borrow().get(&port).cloned();
        let backlog = backlog.filter(|backlog| !backlog.borrow().is_full());
        let refused = || io::Error::from(io::ErrorKind::ConnectionRefused);
        let from = SocketAddr::new(local.ip(), kernel.free_port(SocketAddr::new(local.ip(), port))?);
        let (own, other) = duplex(PIPE_BYTES);
        backlog.ok_or_else(refused)?.borrow_mut().put(Waiting::Local(other, from));
        Ok(Self(Inner::Local(own)))
    }
}

impl Remote {
    fn poll_open(&self, cx: &Context<'_>) -> Poll<io::Result<()>> {
        let mut end = self.end.borrow_mut();
        if let Some(error) = self.failure(&mut end) {
            return Poll::Ready(Err(error));
        }
        if !end.connection.is_open() {
            end.opener = Some(cx.waker().clone());
            return Poll::Pending;
        }
        end.opened_by.into_iter().for_each(|record| self.kernel.shared.took_in(record));
        Poll::Ready(Ok(()))
    }

    /// An error that nobody was told of yet. As on Linux, it is told once.
    fn failure(&self, end: &mut End) -> Option<io::Error> {
        let kind = end.error.take()?;
        end.ended_by.into_iter().for_each(|record| self.kernel.shared.took_in(record));
        Some(match kind {
            io::ErrorKind::TimedOut => io::Error::new(kind, format!("connection to {} timed out", end.key.remote)),
            _ => kind.into(),
        })
    }

    fn poll_read(&self, cx: &Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let mut end = self.end.borrow_mut();
        if buffer.remaining() == 0 {
            return Poll::Ready(Ok(()));
        }
        let now = self.kernel.moment(&mut end);
        let count = end.connection.read(buffer.initialize_unfilled(), now);
        if count > 0 {
            buffer.advance(count);
            end.note_read(count).into_iter().for_each(|record| self.kernel.shared.took_in(record));
            self.kernel.flush(&mut end);
            return Poll::Ready(Ok(()));
        }
        if let Some(error) = self.failure(&mut end) {
            return Poll::Ready(Err(error));
        }
        if end.connection.is_read_closed() || end.lost || !end.connection.is_open() {
            end.ended_by.into_iter().for_each(|record| self.kernel.shared.took_in(record));
            return Poll::Ready(Ok(()));
        }
        end.reader = Some(cx.waker().clone());
        Poll::Pending
    }

    fn poll_write(&self, cx: &Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let mut end = self.end.borrow_mut();
        if let Some(error) = self.failure(&mut end) {
            return Poll::Ready(Err(error));
        }
        if !end.connection.can_write() || end.lost {
            return Poll::Ready(Err(io::ErrorKind::BrokenPipe.into()));
        }
        if bytes.is_empty() {
            return Poll::Ready(Ok(0));
        }
        let now = self.kernel.moment(&mut end);
        let count = end.connection.write(bytes, now);
        if count == 0 {
            end.writer = Some(cx.waker().clone());
            return Poll::Pending;
        }
        self.kernel.flush(&mut end);
        drop(end);
        self.kernel.shared.crash_point();
        Poll::Ready(Ok(count))
    }

    fn shutdown(&self) -> io::Result<()> {
        let mut end = self.end.borrow_mut();
        if let Some(error) = self.failure(&mut end) {
            return Err(error);
        }
        if end.lost || !end.connection.is_open() {
            return Err(io::ErrorKind::NotConnected.into());
        }
        let now = self.kernel.moment(&mut end);
        end.connection.shutdown(now);
        self.kernel.flush(&mut end);
        Ok(())
    }
}

impl Drop for Remote {
    fn drop(&mut self) {
        if self.kernel.is_torn_down() {
            return;
        }
        let mut end = self.end.borrow_mut();
        let now = self.kernel.moment(&mut end);
        end.connection.close(now);
        causality::because(self.kernel.shared.cause(), || self.kernel.flush(&mut end));
    }
}

impl AsyncRead for SimStream {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        match &mut self.0 {
            Inner::Remote(remote) => remote.poll_read(cx, buffer),
            Inner::Local(stream) => Pin::new(stream).poll_read(cx, buffer),
        }
    }
}

impl AsyncWrite for SimStream {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        match &mut self.0 {
            Inner::Remote(remote) => remote.poll_write(cx, bytes),
            Inner::Local(stream) => Pin::new(stream).poll_write(cx, bytes),
        }
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &mut self.0 {
            Inner::Remote(remote) => Poll::Ready(remote.shutdown()),
            Inner::Local(stream) => Pin::new(stream).poll_shutdown(cx),
        }
    }
}
