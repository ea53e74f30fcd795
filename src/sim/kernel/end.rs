//! One end of a connection, as its machine's kernel keeps it.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::io;
use std::net::SocketAddr;
use std::rc::Rc;
use std::task::Waker;
use std::time::Duration;

use crate::sim::shared::Shared;
use crate::sim::trace::{HostId, What};
use crate::sim::wire::First;
use crate::tcp::{Connection, Failure, Kind, Micros, Segment};

use super::stream::Backlog;
use super::wait::Wakers;

/// What names a connection on its machine.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Key {
    pub(crate) local: SocketAddr,
    pub(crate) remote: SocketAddr,
}

/// One end of a connection.
pub(crate) struct End {
    pub(crate) key: Key,
    pub(super) connection: Connection,
    /// The machine lost power, or the connection was replaced: nothing more comes of it.
    pub(super) lost: bool,
    /// The exact time of what happened to it last, and the step that this was seen in.
    pub(super) clock: Micros,
    pub(super) step: Duration,
    /// When it is to be looked at, as the kernel has it.
    pub(super) deadline: Option<Micros>,
    /// Segments that may be sent again, by their numbers.
    pub(super) packets: BTreeMap<u64, First>,
    /// The record of what was sent last: a timer comes of it.
    pub(super) last_sent: Option<u64>,
    /// The listener that is to have it.
    pub(super) backlog: Option<Rc<RefCell<Backlog>>>,
    /// The record of the arrival that opened it.
    pub(super) opened_by: Option<u64>,
    /// The records of the arrivals of what was not read yet: by the number of the first byte, with that behind the last.
    arrivals: BTreeMap<u64, (u64, u64)>,
    /// The number of the next byte to be read.
    read: u64,
    /// The record of what ended it, or the other end's direction.
    pub(super) ended_by: Option<u64>,
    /// An error that nobody was told of yet.
    pub(super) error: Option<io::ErrorKind>,
    failed: bool,
    pub(super) opener: Option<Waker>,
    pub(super) reader: Option<Waker>,
    pub(super) readers: Wakers,
    pub(super) writer: Option<Waker>,
    pub(super) writers: Wakers,
}

/// The number of a segment that may be sent again.
pub(super) fn number(kind: Kind) -> Option<u64> {
    match kind {
        Kind::Syn | Kind::SynAck => Some(0),
        Kind::Data(number) | Kind::Fin(number) => Some(number),
        Kind::Ack | Kind::Rst => None,
    }
}

impl End {
    pub(super) fn new(key: Key, connection: Connection, clock: Micros, step: Duration) -> Self {
        Self {
            key,
            connection,
            lost: false,
            clock,
            step,
            deadline: None,
            packets: BTreeMap::new(),
            last_sent: None,
            backlog: None,
            opened_by: None,
            arrivals: BTreeMap::new(),
            read: 1,
            ended_by: None,
            error: None,
            failed: false,
            opener: None,
            reader: None,
            readers: Wakers::default(),
            writer: None,
            writers: Wakers::default(),
        }
    }

    /// Keeps which record brought what is to be read.
    pub(super) fn note_arrival(&mut self, segment: &Segment, record: u64) {
        let end = segment.seq + segment.payload.len() as u64;
        if end > self.read && !segment.payload.is_empty() {
            let known = self.arrivals.entry(segment.seq).or_insert((end, record));
            if end > known.0 {
                *known = (end, record);
            }
        }
        if segment.fin || segment.rst {
            self.ended_by = Some(record);
        }
    }

    /// So many bytes were read: returns the record that brought the last of them.
    pub(super) fn note_read(&mut self, count: usize) -> Option<u64> {
        let mut brought = None;
        self.read += count as u64;
        while let Some(entry) = self.arrivals.first_entry().filter(|entry| *entry.key() < self.read) {
            brought = Some(entry.get().1);
            if entry.get().0 > self.read {
                break;
            }
            entry.remove();
        }
        brought
    }

    /// Takes down if it was given up, and keeps the error for who asks next. `oldest`: the segment that waited for an answer.
    pub(super) fn note_end(&mut self, shared: &Shared, host: HostId, oldest: Option<(u64, u32)>) {
        let Some(failure) = self.connection.failure().filter(|_| !self.failed) else { return };
        self.failed = true;
        self.error = Some(match failure {
            Failure::Refused => io::ErrorKind::ConnectionRefused,
            Failure::Reset => io::ErrorKind::ConnectionReset,
            Failure::TimedOut => io::ErrorKind::TimedOut,
        });
        if failure == Failure::TimedOut
            && let Some((first, attempt)) = oldest.and_then(|(number, at)| Some((*self.packets.get(&number)?, at)))
        {
            let what = What::GivenUp { packet: first.packet, attempts: attempt + 1 };
            self.ended_by = Some(shared.record(Some(host), what));
        }
    }

    /// Forgets segments that will not be sent again.
    pub(super) fn forget_acknowledged(&mut self) {
        match self.connection.oldest() {
            None => self.packets.clear(),
            Some((oldest, _)) => {
                while self
                    .packets
                    .first_entry()
                    .filter(|entry| *entry.key() < oldest)
                    .map(std::collections::btree_map::OccupiedEntry::remove)
                    .is_some()
                {}
            }
        }
    }

    /// Wakes whoever waits for what there is now.
    pub(super) fn wake(&mut self) {
        let over = self.failed || self.lost;
        if (self.connection.is_open() || over)
            && let Some(waker) = self.opener.take()
        {
            waker.wake();
        }
        if self.is_readable() {
            self.reader.take().into_iter().for_each(Waker::wake);
            self.readers.wake();
        }
        if self.is_writable() {
            self.writer.take().into_iter().for_each(Waker::wake);
            self.writers.wake();
        }
    }

    /// Whether who reads need not wait.
    pub(super) fn is_readable(&self) -> bool {
        self.connection.readable() > 0 || self.connection.is_read_closed() || self.failed || self.lost
    }

    /// Whether who writes need not wait.
    pub(super) fn is_writable(&self) -> bool {
        self.connection.is_writable() || self.failed || self.lost
    }
}
