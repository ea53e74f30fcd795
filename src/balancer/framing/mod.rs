//! What is a request, decided on the raw bytes of a client's connection: pure, no sockets, no clocks.
//!
//! ```text
//!             +------------------------ next request ------------------------+
//!             v                                                              |
//!  bytes -> head: held back until whole and right -> body: passed as it comes -> ...
//!             |                                   \
//!             v                                    upgrade: held back until 101 -> tunnel
//!          rejection: a status, and the end
//! ```
//!
//! Servers differ in what they take for a request, and where two of them on one path differ, a client can hide one request
//! in another. So everything is refused on which they are known to differ, also where a recipient may be lenient:
//!
//! - A line ends with CRLF. RFC 9112 §2.2 lets a recipient take a bare LF for a line end; this one does not.
//! - `Content-Length` comes once, as one number of up to 19 digits. RFC 9112 §6.3 lets a recipient repair a list of equal
//!   numbers; this one does not, in one field or in two.
//! - `Content-Length` beside `Transfer-Encoding` is refused (RFC 9112 §6.1 lets a server do so), and so is every transfer
//!   coding but one `chunked`: 501 where `chunked` is the last, 400 where the body's length cannot be known (§6.3).
//! - A line that begins with whitespace is refused (RFC 9112 §2.2 and §5.2), wherever it stands.
//! - `Host` comes once, as a host that is not empty (RFC 9112 §3.2, RFC 9110 §4.2.1); HTTP/1.0 may leave it out.
//!
//! **Invariant:** what passes, and the verdict, depend on the bytes only, not on the pieces that they come in.
//!
//! **Invariant:** no byte of a head passes before all of it was found right, and none behind the first wrong byte ever.

mod chunked;
#[cfg(test)]
mod generated;
mod head;
mod lexis;
#[cfg(test)]
mod tests;

use bytes::{Buf as _, Bytes, BytesMut};

use chunked::Chunked;
use head::{Body, HeadScan};

/// How much of everything a client may send.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// A request line with all field lines and line ends, in bytes; above it 431.
    pub head_bytes_max: usize,
    /// Field lines of a head, and of a trailer section; above it 431. hyper takes 100.
    pub fields_max: usize,
    /// A request target, in bytes; above it 414.
    pub target_bytes_max: usize,
    /// A body without its framing, in bytes; above it 413.
    pub body_bytes_max: u64,
    /// A trailer section, in bytes; above it 431. hyper takes less than 16 KiB.
    pub trailer_bytes_max: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            head_bytes_max: 64 << 10,
            fields_max: 100,
            target_bytes_max: 16 << 10,
            body_bytes_max: 64 << 20,
            trailer_bytes_max: 8 << 10,
        }
    }
}

/// Why a client's bytes were refused. The connection cannot go on: where the next request begins is not known.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{status}: {reason}")]
pub struct Rejection {
    /// The status code of the answer.
    pub status: u16,
    /// What is wrong, as a sentence without its full stop, for the client to read.
    pub reason: &'static str,
    /// The part of the request that it was found in.
    pub during: During,
}

/// Part of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum During {
    /// The request line and the fields: nothing of the request has passed.
    Head,
    /// The body or the trailers: the head has passed, and what has passed is not a whole request.
    Body,
}

/// Where a connection is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Phase {
    /// Between requests, none of the next one's bytes has come.
    Idle,
    /// Some of a head has come, and not all of it.
    Head,
    /// A head has passed, and not all of its body.
    Body,
    /// A head that asks for an upgrade has passed; all that comes is held back until the answer.
    Upgrade,
    /// Upgraded: all passes.
    Tunnel,
    /// The last request has passed, by its `Connection: close` or version: all that comes is dropped (RFC 9112 §9.6).
    Closed,
    /// Refused: all that comes is dropped.
    Rejected,
}

/// Looks at the bytes of one client's connection, and lets requests through.
#[derive(Debug)]
pub struct Inspector {
    limits: Limits,
    state: State,
    /// Whether the request that passed last leaves the connection open.
    persists: bool,
    /// Bytes that came and have not passed, from the beginning of the head, the line or the upgrade on.
    held: BytesMut,
    requests: u64,
}

#[derive(Debug)]
enum State {
    Head(HeadScan),
    Length(u64),
    Chunked(Chunked),
    Upgrade,
    Tunnel,
    Closed,
    Rejected(Rejection),
}

impl Inspector {
    /// For a new connection.
    pub fn new(limits: Limits) -> Self {
        let state = State::Head(HeadScan::default());
        Self { limits, state, persists: true, held: BytesMut::new(), requests: 0 }
    }

    /// Takes what the client sent next, and appends to `out` what may be read as HTTP. The first error is also the answer
    /// to every later call. What `out` has got before an error is right, and to be served.
    pub fn take_in(&mut self, input: &[u8], out: &mut BytesMut) -> Result<(), Rejection> {
        if self.held.is_empty() {
            let (passed, verdict) = self.take_in_place(input);
            out.extend_from_slice(&input[..passed]);
            return verdict;
        }
        self.held.extend_from_slice(input);
        self.take_in_held(out)
    }

    /// Like [`take_in`](Self::take_in), without a copy: the number of bytes from the beginning of `input` that may be read
    /// as HTTP. The others are kept, where they are still needed. Only while nothing [is held](Self::is_holding).
    pub fn take_in_place(&mut self, input: &[u8]) -> (usize, Result<(), Rejection>) {
        assert!(self.held.is_empty(), "what is held comes before what is new");
        let passed = self.scan(input);
        if !matches!(self.state, State::Closed | State::Rejected(_)) {
            self.held.extend_from_slice(&input[passed..]);
        }
        (passed, self.verdict())
    }

    /// Whether bytes came that have not passed.
    pub fn is_holding(&self) -> bool {
        !self.held.is_empty()
    }

    /// How many bytes are held.
    pub fn held_bytes(&self) -> usize {
        self.held.len()
    }

    /// The answer to the upgrade was 101: what was held passes, and all that comes.
    pub fn upgraded(&mut self, out: &mut BytesMut) {
        if matches!(self.state, State::Upgrade) {
            self.state = State::Tunnel;
            out.extend_from_slice(&std::mem::take(&mut self.held));
        }
    }

    /// The answer to the upgrade was another than 101: what was held is read as the next request.
    pub fn declined(&mut self, out: &mut BytesMut) -> Result<(), Rejection> {
        if matches!(self.state, State::Upgrade) {
            self.next_request();
            self.take_in_held(out)?;
        }
        self.verdict()
    }

    /// Takes away what is held, for whoever goes on with the connection.
    pub fn take_held(&mut self) -> Bytes {
        std::mem::take(&mut self.held).freeze()
    }

    /// Where the connection is.
    pub fn phase(&self) -> Phase {
        match &self.state {
            State::Head(scan) if scan.is_begun() => Phase::Head,
            State::Head(_) => Phase::Idle,
            State::Length(_) | State::Chunked(_) => Phase::Body,
            State::Upgrade => Phase::Upgrade,
            State::Tunnel => Phase::Tunnel,
            State::Closed => Phase::Closed,
            State::Rejected(_) => Phase::Rejected,
        }
    }

    /// Whether it is between requests and nothing of the next one has come.
    pub fn is_idle(&self) -> bool {
        self.phase() == Phase::Idle
    }

    /// Whether a head has begun and not ended.
    pub fn is_in_head(&self) -> bool {
        self.phase() == Phase::Head
    }

    /// Whether a body has begun, its head having passed, and not ended.
    pub fn is_in_body(&self) -> bool {
        self.phase() == Phase::Body
    }

    /// How many heads have passed.
    pub fn requests(&self) -> u64 {
        self.requests
    }

    /// Why the connection was refused, if it was.
    pub fn rejection(&self) -> Option<Rejection> {
        self.verdict().err()
    }

    fn verdict(&self) -> Result<(), Rejection> {
        if let State::Rejected(rejection) = self.state { Err(rejection) } else { Ok(()) }
    }

    fn take_in_held(&mut self, out: &mut BytesMut) -> Result<(), Rejection> {
        let mut held = std::mem::take(&mut self.held);
        let passed = self.scan(&held);
        out.extend_from_slice(&held[..passed]);
        held.advance(passed);
        if !held.is_empty() && !matches!(self.state, State::Closed | State::Rejected(_)) {
            self.held = held;
        }
        self.verdict()
    }

    /// How many bytes from the beginning of `data` pass, which begins with what was held.
    fn scan(&mut self, data: &[u8]) -> usize {
        let mut passed = 0;
        loop {
            let rest = &data[passed..];
            match &mut self.state {
                State::Head(scan) => match scan.advance(rest, &self.limits) {
                    Ok(Some(head)) => {
                        passed += head.bytes;
                        self.requests += 1;
                        self.persists = head.persists;
                        self.begin_body(&head);
                    }
                    Ok(None) => return passed,
                    Err((status, reason)) => return self.reject(passed, status, reason, During::Head),
                },
                State::Length(left) => {
                    let bytes = (*left).min(rest.len() as u64);
                    *left -= bytes;
                    passed += usize::try_from(bytes).expect("no more than there are in memory");
                    if *left > 0 {
                        return passed;
                    }
                    self.next_request();
                }
                State::Chunked(body) => {
                    let (bytes, ended) = body.advance(rest, &self.limits);
                    passed += bytes;
                    match ended {
                        Ok(true) => self.next_request(),
                        Ok(false) => return passed,
                        Err((status, reason)) => return self.reject(passed, status, reason, During::Body),
                    }
                }
                State::Tunnel => return data.len(),
                State::Upgrade | State::Closed | State::Rejected(_) => return passed,
            }
        }
    }

    fn begin_body(&mut self, head: &head::Head) {
        match head.body {
            Body::Length(bytes) => self.state = State::Length(bytes),
            Body::Chunked => self.state = State::Chunked(Chunked::default()),
            Body::None if head.asks_upgrade => self.state = State::Upgrade,
            Body::None => self.next_request(),
        }
    }

    fn next_request(&mut self) {
        self.state = if self.persists { State::Head(HeadScan::default()) } else { State::Closed };
    }

    fn reject(&mut self, passed: usize, status: u16, reason: &'static str, during: During) -> usize {
        self.state = State::Rejected(Rejection { status, reason, during });
        passed
    }
}

/// A status code and what is wrong.
type Refused = (u16, &'static str);
