//! One end of a connection: what its application does with it, and what it is made of.

use std::collections::VecDeque;
use std::rc::Rc;

use super::Micros;
use super::acks::{Acks, Verdict};
use super::congestion::{Congestion, Reduction};
use super::rack::Rack;
use super::receive::Receiver;
use super::recovery::Recovery;
use super::rtt::RoundTrip;
use super::scoreboard::Scoreboard;
use super::segment::{Kind, Segment, Transmission};
use super::settings::Settings;
use super::timers::Timer;
use super::wheel::Wheel;

/// Where a connection is in its life (RFC 9293, section 3.3.2).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[allow(missing_docs, reason = "the names are the RFC's")]
pub enum State {
    SynSent,
    SynReceived,
    Established,
    FinWait1,
    FinWait2,
    Closing,
    TimeWait,
    CloseWait,
    LastAck,
    Closed,
}

/// Why a connection is over that did not end by itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Failure {
    /// Nothing listens there.
    Refused,
    /// The other end has reset it.
    Reset,
    /// Nothing was heard of the other end for too long.
    TimedOut,
}

/// How long a connection that is closed on both sides is remembered, and one whose other end does not close (`TCP_TIMEWAIT_LEN`,
/// `tcp_fin_timeout`).
pub(super) const LINGER: Micros = 60_000_000;
/// What one segment costs of the send buffer, and the least and the most of it (`tcp_sndbuf_expand`, `tcp_wmem`).
const SEGMENT_COST: u64 = 2_304;
const SEND_BUFFER_MAX: u64 = 4 << 20;

/// One end of a connection.
#[derive(Clone, Debug)]
pub struct Connection {
    pub(super) settings: Rc<Settings>,
    pub(super) wheel: Wheel,
    pub(super) state: State,
    /// The application has let go of it.
    pub(super) orphan: bool,
    pub(super) failure: Option<Failure>,
    pub(super) out: Vec<Transmission>,

    /// What was written and is not acknowledged; it begins at the number `buffer_start`.
    pub(super) buffer: VecDeque<u8>,
    pub(super) buffer_start: u64,
    /// Nothing more will be written.
    pub(super) shut: bool,
    pub(super) fin_sent: bool,
    /// The oldest number that is not acknowledged, and the next to be sent.
    pub(super) una: u64,
    pub(super) nxt: u64,
    /// The other end's window, and the segment that told it.
    pub(super) window: u64,
    pub(super) told_by: u64,
    /// How many segments were numbered.
    pub(super) numbers: u64,
    pub(super) last_sent: Micros,

    pub(super) board: Scoreboard,
    pub(super) trip: RoundTrip,
    pub(super) rack: Rack,
    pub(super) congestion: Congestion,
    pub(super) reduction: Reduction,
    pub(super) recovery: Recovery,
    pub(super) timer: Option<(Timer, Micros)>,
    /// Zero window probes without an answer, and how often their interval was doubled.
    pub(super) probes: u32,
    pub(super) probe_backoff: u32,
    /// SYNs or SYN-ACKs sent again.
    pub(super) opening_retries: u32,
    pub(super) opened_at: Micros,
    /// When the other end's stray segment was last answered.
    pub(super) answered_stray: Option<Micros>,
    /// When a connection that waits for its end is forgotten.
    pub(super) forgotten_at: Option<Micros>,

    pub(super) receiver: Receiver,
    pub(super) acks: Acks,
}

impl Connection {
    fn new(settings: &Rc<Settings>, wheel: Wheel, state: State, now: Micros) -> Self {
        let trip = RoundTrip::new(settings.rto_initial, settings.rto_min, settings.rto_max);
        Self {
            settings: settings.clone(),
            wheel,
            state,
            orphan: false,
            failure: None,
            out: Vec::new(),
            buffer: VecDeque::new(),
            buffer_start: 1,
            shut: false,
            fin_sent: false,
            una: 0,
            nxt: 0,
            window: 0,
            told_by: 0,
            numbers: 0,
            last_sent: now,
            board: Scoreboard::default(),
            trip,
            rack: Rack::new(),
            congestion: Congestion::new(settings.congestion, settings.initial_window, now),
            reduction: Reduction::default(),
            recovery: Recovery::default(),
            timer: None,
            probes: 0,
            probe_backoff: 0,
            opening_retries: 0,
            opened_at: now,
            answered_stray: None,
            forgotten_at: None,
            receiver: Receiver::new(settings.mss, settings.window),
            acks: Acks::new(settings.delayed_ack),
        }
    }

    /// Opens a connection: the SYN leaves.
    pub fn connect(settings: &Rc<Settings>, wheel: Wheel, now: Micros) -> Self {
        let mut end = Self::new(settings, wheel, State::SynSent, now);
        end.send_opening(now);
        end
    }

    /// Answers a SYN: the SYN-ACK leaves.
    pub fn accept(settings: &Rc<Settings>, wheel: Wheel, syn: &Segment, now: Micros) -> Self {
        let mut end = Self::new(settings, wheel, State::SynReceived, now);
        end.receiver.open();
        end.receiver.echo = Some(syn.stamp);
        end.window = syn.window;
        end.send_opening(now);
        end
    }

    /// The answer to a segment that belongs to no connection (RFC 9293, section 3.5.2); a reset has none.
    pub fn refuse(segment: &Segment) -> Option<Transmission> {
        if segment.rst {
            return None;
        }
        let (seq, ack) = match segment.ack {
            Some(ack) => (ack, None),
            None => (0, Some(segment.end())),
        };
        let segment = Segment { rst: true, seq, ack, ..Segment::default() };
        Some(Transmission { segment, kind: Kind::Rst, attempt: 0, why: None })
    }

    /// Where it is in its life.
    pub fn state(&self) -> State {
        self.state
    }

    /// Whether the handshake is over.
    pub fn is_open(&self) -> bool {
        !matches!(self.state, State::SynSent | State::SynReceived | State::Closed)
    }

    /// Why it is over, if it failed.
    pub fn failure(&self) -> Option<Failure> {
        self.failure
    }

    /// What is to be put on the wire, in this order.
    pub fn take_out(&mut self) -> Vec<Transmission> {
        std::mem::take(&mut self.out)
    }

    /// Writes, and says how much was taken: nothing if the send buffer is full. What is sent, is sent at once.
    pub fn write(&mut self, bytes: &[u8], now: Micros) -> usize {
        if self.shut || self.state == State::Closed {
            return 0;
        }
        let room = usize::try_from(self.buffer_limit().saturating_sub(self.buffer.len() as u64)).unwrap_or(usize::MAX);
        let count = bytes.len().min(room);
        self.buffer.extend(&bytes[..count]);
        if self.is_open() {
            self.push(now);
        }
        count
    }

    /// Whether a writer that waits should try again: a third of the send buffer is free.
    pub fn is_writable(&self) -> bool {
        self.shut || self.state == State::Closed || self.buffer.len() as u64 * 3 <= self.buffer_limit() * 2
    }

    fn buffer_limit(&self) -> u64 {
        let segments = if self.congestion.is_unlimited() { 10 } else { u64::from(self.congestion.window.max(10)) };
        (2 * SEGMENT_COST * segments).min(SEND_BUFFER_MAX)
    }

    /// Bytes that can be read.
    pub fn readable(&self) -> u64 {
        self.receiver.unread()
    }

    /// Whether more may be written.
    pub fn can_write(&self) -> bool {
        !self.shut && self.state != State::Closed
    }

    /// The oldest segment that is not acknowledged: its number, and how often it was sent again.
    pub fn oldest(&self) -> Option<(u64, u32)> {
        self.board.segments.front().map(|segment| (segment.number, segment.attempt))
    }

    /// Whether the other end has said all that it had to say.
    pub fn is_read_closed(&self) -> bool {
        self.receiver.is_over()
    }

    /// Reads.
    pub fn read(&mut self, out: &mut [u8], now: Micros) -> usize {
        let count = self.receiver.read(out, now, self.trip.smoothed());
        if count > 0 && !matches!(self.state, State::Closed | State::TimeWait) {
            let unacknowledged = self.receiver.next - self.receiver.told;
            let emptied = self.receiver.unread() == 0;
            let acks = self.acks.after_read(unacknowledged, emptied) == Verdict::Now;
            if acks || !self.receiver.is_over() && self.receiver.has_opened() {
                self.send_ack(now);
            }
        }
        count
    }

    /// Copies what can be read, and leaves it there.
    pub fn peek(&self, out: &mut [u8]) -> usize {
        self.receiver.peek(out)
    }

    /// Ends its own direction: a FIN follows what was written.
    pub fn shutdown(&mut self, now: Micros) {
        if self.shut || matches!(self.state, State::Closed) {
            return;
        }
        self.shut = true;
        if self.is_open() {
            self.push(now);
        }
    }

    /// The application lets go of it: what was written is still sent, unless something was left unread (RFC 2525, section
    /// 2.17), which a reset tells.
    pub fn close(&mut self, now: Micros) {
        if std::mem::replace(&mut self.orphan, true) {
            return;
        }
        match self.state {
            State::Closed => {}
            State::SynSent => self.end(None),
            _ if self.receiver.unread() > 0 => self.abort(now),
            State::FinWait2 => self.forgotten_at = Some(now + LINGER),
            _ => self.shutdown(now),
        }
    }

    /// Ends it by force.
    pub fn abort(&mut self, now: Micros) {
        if !matches!(self.state, State::Closed | State::SynSent | State::TimeWait) {
            self.send_reset(now);
        }
        self.end(None);
    }

    /// It is over.
    pub(super) fn end(&mut self, failure: Option<Failure>) {
        self.state = State::Closed;
        self.failure = self.failure.or(failure);
        (self.timer, self.acks.timer, self.forgotten_at) = (None, None, None);
        self.board = Scoreboard::default();
        self.buffer.clear();
    }

    /// Whether nothing more comes of it and nobody holds it.
    pub fn is_forgotten(&self) -> bool {
        self.state == State::Closed && self.orphan
    }

    /// When something is to be done next, if nothing comes before.
    pub fn deadline(&self) -> Option<Micros> {
        [self.timer.map(|(_, at)| at), self.acks.timer, self.forgotten_at].into_iter().flatten().min()
    }

    /// What an observer may know of the sending side: the congestion window in segments, what is in flight, the timeout.
    pub fn vitals(&self) -> (u32, u32, Micros) {
        (self.congestion.window, self.board.in_flight(), self.trip.rto)
    }
}
