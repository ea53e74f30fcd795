//! A packet under way, and what the two ends of a connection share with the network.

use std::cell::{Cell, RefCell};
use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::rc::Rc;
use std::task::Waker;
use std::time::Duration;

use bytes::Bytes;

use super::trace::{Cause, HostId, Packet, PacketKind};

/// A packet that lies on a link.
pub(crate) struct Flight {
    pub(crate) packet: Packet,
    /// Its number among the packets of its direction: the key of its draws.
    pub(crate) number: u64,
    /// The record of its sending.
    pub(crate) record: u64,
    /// The transmission: 0 is the first.
    pub(crate) attempt: u32,
    /// When this transmission left.
    pub(crate) left: Duration,
    /// The boot of the sending machine.
    pub(crate) boot: u32,
    pub(crate) state: State,
    /// The connect that waits for a SYN's answer.
    pub(crate) connect: Option<Rc<Connect>>,
    /// What the script says of this very packet: places among its rules.
    pub(crate) fates: Vec<usize>,
}

impl Flight {
    /// One to be filled in.
    pub(crate) fn empty() -> Self {
        let nowhere = SocketAddr::new(IpAddr::V4(Ipv4Addr::UNSPECIFIED), 0);
        let (from, to, kind) = (HostId(0), HostId(0), PacketKind::Udp);
        Self {
            packet: Packet { id: 0, from, to, src: nowhere, dst: nowhere, kind, payload: Bytes::new(), label: None },
            number: 0,
            record: 0,
            attempt: 0,
            left: Duration::ZERO,
            boot: 0,
            state: State::Dead,
            connect: None,
            fates: Vec::new(),
        }
    }
}

/// Where a packet is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum State {
    /// On its way; arrives when due.
    Travelling { due: Duration },
    /// A SYN that has arrived; its answer is back when due.
    Answered { due: Duration },
    /// A TCP segment that was lost; it is sent again at this time.
    Waiting { at: Duration },
    /// Held back by a step.
    Held { step: usize },
    /// Never to be delivered.
    Dead,
    /// Handed to turmoil for the next step.
    Done,
}

/// One end of a TCP connection, shared by its stream and the network.
#[derive(Default)]
pub(crate) struct Side {
    /// Bytes written and not yet acknowledged as read.
    pub(crate) unread: Cell<u64>,
    /// Why the connection is over, if the network ended it.
    pub(crate) error: Cell<Option<io::ErrorKind>>,
    /// What led to the closing of this end.
    pub(crate) closed_by: Cell<Option<Cause>>,
    /// Whether the peer has reset the connection.
    pub(crate) reset: Cell<bool>,
    pub(crate) reader: RefCell<Option<Waker>>,
    pub(crate) writer: RefCell<Option<Waker>>,
}

impl Side {
    /// Ends the connection for this end.
    pub(crate) fn fail(&self, kind: io::ErrorKind) {
        self.error.set(Some(kind));
        self.wake();
    }

    /// Wakes whoever waits to read or to write.
    pub(crate) fn wake(&self) {
        let wakers = [self.reader.borrow_mut().take(), self.writer.borrow_mut().take()];
        wakers.into_iter().flatten().for_each(Waker::wake);
    }

    /// This many bytes were read at the other end.
    pub(crate) fn credit(&self, bytes: u64) {
        self.unread.set(self.unread.get().saturating_sub(bytes));
        if let Some(waker) = self.writer.borrow_mut().take() {
            waker.wake();
        }
    }
}

/// A connect under way, shared by its future and the network.
#[derive(Default)]
pub(crate) struct Connect {
    /// What led to it.
    pub(crate) cause: Option<Cause>,
    /// When the answer to the SYN is back, and the record of the SYN's arrival.
    pub(crate) completes: Cell<Option<(Duration, u64)>>,
    /// Whether the tries ran out.
    pub(crate) timed_out: Cell<bool>,
    pub(crate) waker: RefCell<Option<Waker>>,
}

impl Connect {
    pub(crate) fn time_out(&self) {
        self.timed_out.set(true);
        if let Some(waker) = self.waker.borrow_mut().take() {
            waker.wake();
        }
    }
}
