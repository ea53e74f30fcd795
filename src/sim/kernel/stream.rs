//! What a process holds of its connections: a listener and a stream, each an end in memory.

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::future::poll_fn;
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, Waker};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use crate::net::Listener;
use crate::sim::causality;

use super::Kernel;
use super::end::End;
use super::pipe::Pipe;
use super::wait::{Wait, Wakers};

/// How many connections wait to be accepted, at most (`listen`, as tokio calls it).
const BACKLOG: usize = 1_024;

/// Connections that the kernel has accepted and the process has not.
#[derive(Default)]
pub(crate) struct Backlog {
    waiting: VecDeque<Waiting>,
    waker: Option<Waker>,
    wakers: Wakers,
}

enum Waiting {
    Remote(Rc<RefCell<End>>),
    Local(Pipe),
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
        self.wakers.wake();
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

impl SimListener {
    /// The next connection, and whose it is.
    pub(crate) fn accept_or_wait(&self, wait: Wait<'_>) -> Poll<(SimStream, SocketAddr)> {
        let mut backlog = self.backlog.borrow_mut();
        let Backlog { waiting, waker, wakers } = &mut *backlog;
        let Some(accepted) = waiting.pop_front() else {
            wait.remember(waker, wakers);
            return Poll::Pending;
        };
        drop(backlog);
        Poll::Ready(match accepted {
            Waiting::Local(pipe) => {
                let from = pipe.remote;
                (SimStream(Inner::Local(pipe)), from)
            }
            Waiting::Remote(end) => {
                let (opened_by, from) = (end.borrow().opened_by, end.borrow().key.remote);
                opened_by.into_iter().for_each(|record| self.kernel.shared.took_in(record));
                (SimStream(Inner::Remote(Remote::new(&self.kernel, end))), from)
            }
        })
    }

    pub(crate) fn local(&self) -> SocketAddr {
        self.local
    }
}

impl Listener for SimListener {
    type Stream = SimStream;

    async fn accept(&mut self) -> io::Result<(SimStream, SocketAddr)> {
        Ok(poll_fn(|cx| self.accept_or_wait(Wait::last(cx))).await)
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
    Local(Pipe),
}

struct Remote {
    kernel: Rc<Kernel>,
    end: Rc<RefCell<End>>,
    /// Whether it ends by force when it is dropped (`SO_LINGER` of no time).
    aborts: Cell<bool>,
}

impl SimStream {
    /// Connects to another host.
    pub(crate) async fn connect(kernel: &Rc<Kernel>, local: SocketAddr, remote: SocketAddr) -> io::Result<Self> {
        let opening = Remote::new(kernel, kernel.connect(local.ip(), remote)?);
        poll_fn(|cx| opening.poll_open(cx)).await?;
        Ok(Self(Inner::Remote(opening)))
    }

    /// Begins to connect to another host: it is done when [`is_open`](Self::is_open) says so.
    pub(crate) fn open(kernel: &Rc<Kernel>, local: SocketAddr, remote: SocketAddr) -> io::Result<Self> {
        Ok(Self(Inner::Remote(Remote::new(kernel, kernel.connect(local.ip(), remote)?))))
    }

    pub(crate) fn is_open(&self, cx: &Context<'_>) -> Poll<io::Result<()>> {
        match &self.0 {
            Inner::Remote(remote) => remote.poll_open(cx),
            Inner::Local(_) => Poll::Ready(Ok(())),
        }
    }

    /// Connects to the host itself.
    pub(crate) fn connect_within(kernel: &Rc<Kernel>, local: SocketAddr, port: u16) -> io::Result<Self> {
        let backlog = kernel.listeners.borrow().get(&port).cloned();
        let backlog = backlog.filter(|backlog| !backlog.borrow().is_full());
        let refused = || io::Error::from(io::ErrorKind::ConnectionRefused);
        let to = SocketAddr::new(local.ip(), port);
        let from = SocketAddr::new(local.ip(), kernel.free_port(to)?);
        let (own, other) = Pipe::new(from, to);
        backlog.ok_or_else(refused)?.borrow_mut().put(Waiting::Local(other));
        Ok(Self(Inner::Local(own)))
    }

    /// Its own address, and the other end's.
    pub(crate) fn addresses(&self) -> (SocketAddr, SocketAddr) {
        match &self.0 {
            Inner::Remote(remote) => {
                let key = remote.end.borrow().key;
                (key.local, key.remote)
            }
            Inner::Local(pipe) => (pipe.local, pipe.remote),
        }
    }

    pub(crate) fn read_or_wait(&self, wait: Wait<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        match &self.0 {
            Inner::Remote(remote) => remote.read(wait, buffer),
            Inner::Local(pipe) => pipe.read(wait, buffer).map(Ok),
        }
    }

    pub(crate) fn peek_or_wait(&self, wait: Wait<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        match &self.0 {
            Inner::Remote(remote) => remote.peek(wait, buffer),
            Inner::Local(pipe) => pipe.peek(wait, buffer).map(Ok),
        }
    }

    pub(crate) fn readable_or_wait(&self, wait: Wait<'_>) -> Poll<()> {
        match &self.0 {
            Inner::Remote(remote) => remote.readable(wait),
            Inner::Local(pipe) => pipe.readable(wait),
        }
    }

    pub(crate) fn write_or_wait(&self, wait: Wait<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        match &self.0 {
            Inner::Remote(remote) => remote.write(wait, bytes),
            Inner::Local(pipe) => pipe.write(wait, bytes),
        }
    }

    pub(crate) fn writable_or_wait(&self, wait: Wait<'_>) -> Poll<()> {
        match &self.0 {
            Inner::Remote(remote) => remote.writable(wait),
            Inner::Local(pipe) => pipe.writable(wait),
        }
    }

    pub(crate) fn shut_down(&self) -> io::Result<()> {
        match &self.0 {
            Inner::Remote(remote) => remote.shutdown(),
            Inner::Local(pipe) => {
                pipe.shutdown();
                Ok(())
            }
        }
    }

    pub(crate) fn take_error(&self) -> Option<io::Error> {
        match &self.0 {
            Inner::Remote(remote) => remote.failure(&mut remote.end.borrow_mut()),
            Inner::Local(_) => None,
        }
    }

    /// Whether it is to end by force when it is dropped.
    pub(crate) fn abort_when_dropped(&self, aborts: bool) {
        if let Inner::Remote(remote) = &self.0
            && remote.kernel.alive().is_ok()
        {
            remote.aborts.set(aborts);
        }
    }
}

impl Remote {
    fn new(kernel: &Rc<Kernel>, end: Rc<RefCell<End>>) -> Self {
        Self { kernel: kernel.clone(), end, aborts: Cell::new(false) }
    }

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
        if let Err(dead) = self.kernel.alive() {
            return Some(dead);
        }
        let kind = end.error.take()?;
        end.ended_by.into_iter().for_each(|record| self.kernel.shared.took_in(record));
        Some(match kind {
            io::ErrorKind::TimedOut => io::Error::new(kind, format!("connection to {} timed out", end.key.remote)),
            _ => kind.into(),
        })
    }

    fn read(&self, wait: Wait<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
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
        self.nothing_to_read(&mut end, wait)
    }

    fn peek(&self, wait: Wait<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let mut end = self.end.borrow_mut();
        let count = end.connection.peek(buffer.initialize_unfilled());
        if count > 0 || buffer.remaining() == 0 {
            buffer.advance(count);
            return Poll::Ready(Ok(()));
        }
        self.nothing_to_read(&mut end, wait)
    }

    /// The end, an error, or nothing yet.
    fn nothing_to_read(&self, end: &mut End, wait: Wait<'_>) -> Poll<io::Result<()>> {
        if let Some(error) = self.failure(end) {
            return Poll::Ready(Err(error));
        }
        if end.connection.is_read_closed() || end.lost || !end.connection.is_open() {
            end.ended_by.into_iter().for_each(|record| self.kernel.shared.took_in(record));
            return Poll::Ready(Ok(()));
        }
        let End { reader, readers, .. } = end;
        wait.remember(reader, readers);
        Poll::Pending
    }

    fn readable(&self, wait: Wait<'_>) -> Poll<()> {
        let mut end = self.end.borrow_mut();
        if end.is_readable() {
            return Poll::Ready(());
        }
        let End { reader, readers, .. } = &mut *end;
        wait.remember(reader, readers);
        Poll::Pending
    }

    fn writable(&self, wait: Wait<'_>) -> Poll<()> {
        let mut end = self.end.borrow_mut();
        if end.is_writable() {
            return Poll::Ready(());
        }
        let End { writer, writers, .. } = &mut *end;
        wait.remember(writer, writers);
        Poll::Pending
    }

    fn write(&self, wait: Wait<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
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
            let End { writer, writers, .. } = &mut *end;
            wait.remember(writer, writers);
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
        if self.aborts.get() {
            end.connection.abort(now);
        }
        end.connection.close(now);
        causality::because(self.kernel.shared.cause(), || self.kernel.flush(&mut end));
    }
}

impl AsyncRead for SimStream {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        self.read_or_wait(Wait::last(cx), buffer)
    }
}

impl AsyncWrite for SimStream {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        self.write_or_wait(Wait::last(cx), bytes)
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(self.shut_down())
    }
}
