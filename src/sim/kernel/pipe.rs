//! A connection within a host: no network lies between its ends.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::io;
use std::net::SocketAddr;
use std::rc::Rc;
use std::task::{Poll, Waker};

use tokio::io::ReadBuf;

use super::wait::{Wait, Wakers};

/// What one direction of it holds.
const PIPE_BYTES: usize = 1 << 16;

/// One direction.
#[derive(Default)]
struct Direction {
    bytes: VecDeque<u8>,
    /// Nothing more is written.
    shut: bool,
    /// Nobody reads any more.
    unread: bool,
    reader: Option<Waker>,
    readers: Wakers,
    writer: Option<Waker>,
    writers: Wakers,
}

impl Direction {
    fn wake_reader(&mut self) {
        self.reader.take().into_iter().for_each(Waker::wake);
        self.readers.wake();
    }

    fn wake_writer(&mut self) {
        self.writer.take().into_iter().for_each(Waker::wake);
        self.writers.wake();
    }
}

/// One end.
pub(super) struct Pipe {
    incoming: Rc<RefCell<Direction>>,
    outgoing: Rc<RefCell<Direction>>,
    pub(super) local: SocketAddr,
    pub(super) remote: SocketAddr,
}

impl Pipe {
    /// Both ends, the first with these addresses.
    pub(super) fn new(local: SocketAddr, remote: SocketAddr) -> (Self, Self) {
        let (there, back) = (Rc::<RefCell<Direction>>::default(), Rc::<RefCell<Direction>>::default());
        let own = Self { incoming: back.clone(), outgoing: there.clone(), local, remote };
        let other = Self { incoming: there, outgoing: back, local: remote, remote: local };
        (own, other)
    }

    pub(super) fn readable(&self, wait: Wait<'_>) -> Poll<()> {
        let Direction { bytes, shut, reader, readers, .. } = &mut *self.incoming.borrow_mut();
        if bytes.is_empty() && !*shut {
            wait.remember(reader, readers);
            return Poll::Pending;
        }
        Poll::Ready(())
    }

    pub(super) fn peek(&self, wait: Wait<'_>, buffer: &mut ReadBuf<'_>) -> Poll<()> {
        if buffer.remaining() > 0 && self.readable(wait).is_pending() {
            return Poll::Pending;
        }
        let incoming = self.incoming.borrow();
        let (front, back) = incoming.bytes.as_slices();
        for part in [front, back] {
            buffer.put_slice(&part[..part.len().min(buffer.remaining())]);
        }
        Poll::Ready(())
    }

    pub(super) fn read(&self, wait: Wait<'_>, buffer: &mut ReadBuf<'_>) -> Poll<()> {
        let before = buffer.filled().len();
        if self.peek(wait, buffer).is_pending() {
            return Poll::Pending;
        }
        let count = buffer.filled().len() - before;
        let mut incoming = self.incoming.borrow_mut();
        incoming.bytes.drain(..count);
        if count > 0 {
            incoming.wake_writer();
        }
        Poll::Ready(())
    }

    pub(super) fn writable(&self, wait: Wait<'_>) -> Poll<()> {
        let Direction { bytes, shut, unread, writer, writers, .. } = &mut *self.outgoing.borrow_mut();
        if bytes.len() >= PIPE_BYTES && !*shut && !*unread {
            wait.remember(writer, writers);
            return Poll::Pending;
        }
        Poll::Ready(())
    }

    pub(super) fn write(&self, wait: Wait<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        if self.writable(wait).is_pending() {
            return Poll::Pending;
        }
        let mut outgoing = self.outgoing.borrow_mut();
        if outgoing.shut || outgoing.unread {
            return Poll::Ready(Err(io::ErrorKind::BrokenPipe.into()));
        }
        let count = bytes.len().min(PIPE_BYTES - outgoing.bytes.len());
        outgoing.bytes.extend(&bytes[..count]);
        if count > 0 {
            outgoing.wake_reader();
        }
        Poll::Ready(Ok(count))
    }

    pub(super) fn shutdown(&self) {
        let mut outgoing = self.outgoing.borrow_mut();
        outgoing.shut = true;
        outgoing.wake_reader();
    }
}

impl Drop for Pipe {
    fn drop(&mut self) {
        self.shutdown();
        let mut incoming = self.incoming.borrow_mut();
        incoming.unread = true;
        incoming.wake_writer();
    }
}
