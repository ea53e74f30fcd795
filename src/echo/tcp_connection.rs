//! One connection of the TCP server.

use std::future::pending;
use std::io;
use std::net::SocketAddr;
use std::pin::{Pin, pin};
use std::rc::Rc;
use std::time::Duration;

use bytes::{Buf, BufMut, Bytes, BytesMut};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::task::yield_now;
use tokio::time::{Instant, Sleep, sleep, timeout};

use super::lines::{Lines, Next};
use super::tcp_options::ServeOptions;
use super::{Closed, Event};
use crate::events::Sink;
use crate::watched;

/// The most that is read at a time, in bytes. With the longest line it bounds what a connection buffers.
const BATCH_BYTES: usize = 16 * 1024;

/// How long a client may be silent when the server has ended its side of a connection. Closing while bytes of the
/// client are still coming in would make the operating system send a reset, which destroys the answers that are not
/// delivered yet.
const LINGER: Duration = Duration::from_millis(500);

/// How long a client may go on sending then.
const LINGER_MAX: Duration = Duration::from_secs(5);

/// What the server wants of its connections.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Phase {
    /// To go on.
    Open,
    /// To answer what has arrived and end.
    Draining,
    /// To end at once.
    Forced,
}

/// What came of a connection.
pub(super) struct Tally {
    pub(super) answered: u64,
    pub(super) why: Closed,
}

/// Answers the lines of `stream` until one of the reasons in [`Closed`] ends it.
pub(super) async fn converse<S: AsyncRead + AsyncWrite + Unpin>(
    stream: S,
    peer: SocketAddr,
    options: Rc<ServeOptions>,
    events: Sink<Event>,
    phase: watched::Receiver<Phase>,
) -> Tally {
    let mut connection = Connection {
        stream,
        peer,
        lines: Lines::new(options.line_bytes_max),
        input: BytesMut::with_capacity(BATCH_BYTES),
        output: Vec::new(),
        idle: IdleTimer::new(options.idle_timeout),
        options,
        events,
        answered: 0,
    };
    let why = connection.run(&phase).await;
    connection.events.emit(|| Event::Closed { peer, why });
    Tally { answered: connection.answered, why }
}

/// What a client is told whose line is too long.
pub fn refusal(line_bytes_max: usize) -> String {
    format!("error: line longer than {line_bytes_max} bytes")
}

/// Tells a client that there are too many of them.
pub(super) async fn refuse<S: AsyncRead + AsyncWrite + Unpin>(mut stream: S, connections_max: usize) {
    let text = format!("error: more than {connections_max} connections\n");
    // The client may be gone already: there is nobody to tell then.
    if let Ok(Ok(())) = timeout(LINGER, stream.write_all(text.as_bytes())).await {
        _ = part(&mut stream).await;
    }
}

struct Connection<S> {
    stream: S,
    peer: SocketAddr,
    options: Rc<ServeOptions>,
    events: Sink<Event>,
    lines: Lines,
    /// What was read and is not answered: less than a line, except while a batch is being answered.
    input: BytesMut,
    /// The answers to one batch.
    output: Vec<u8>,
    idle: IdleTimer,
    answered: u64,
}

impl<S: AsyncRead + AsyncWrite + Unpin> Connection<S> {
    async fn run(&mut self, phase: &watched::Receiver<Phase>) -> Closed {
        let why = match self.answer_lines(phase).await {
            Ok(Closed::Forced) => return Closed::Forced,
            Ok(why) => why,
            Err(error) => return Closed::Error(error.kind()),
        };
        // A client that is gone or does not end its side has had its chance to read what was answered.
        tokio::select! {
            biased;
            _ = part(&mut self.stream) => {}
            () = forced(phase) => {}
        }
        why
    }

    async fn answer_lines(&mut self, phase: &watched::Receiver<Phase>) -> io::Result<Closed> {
        let mut waiting = phase.clone();
        let mut draining = pin!(waiting.wait_for(|phase| *phase != Phase::Open));
        let mut is_draining = false;
        loop {
            self.input.reserve(BATCH_BYTES);
            let mut batch = (&mut self.input).limit(BATCH_BYTES);
            // Reading comes first, and once more when the runtime has asked the socket what has arrived: all of that
            // is answered when the server is told to stop.
            let read = tokio::select! {
                biased;
                read = self.stream.read_buf(&mut batch) => read?,
                () = self.idle.expired() => return Ok(Closed::Idle),
                _ = &mut draining, if !is_draining => {
                    is_draining = true;
                    continue;
                }
                () = yield_now(), if is_draining => return Ok(Closed::Shutdown),
            };
            self.idle.touch();
            let end = self.answer_batch(read == 0);
            if let Some(why) = self.write_answers(phase).await?.or(end) {
                return Ok(why);
            }
            // A client that never stops sending never lets the select above look at the phase.
            if *phase.borrow() == Phase::Forced {
                return Ok(Closed::Forced);
            }
        }
    }

    /// Moves the lines of the batch, as answers, from the input to the output, and says whether that was all.
    fn answer_batch(&mut self, eof: bool) -> Option<Closed> {
        let prefix = &self.options.prefix;
        let mut unused = &self.input[..];
        let end = loop {
            let line = match self.lines.next(unused) {
                Next::Line(len) => &unused[..len],
                Next::Partial if eof => unused,
                Next::Partial => break None,
                Next::TooLong => break Some(Closed::LineTooLong),
            };
            if line.is_empty() {
                break Some(Closed::Eof);
            }
            self.output.extend_from_slice(prefix);
            self.output.extend_from_slice(line);
            self.answered += 1;
            self.events.emit(|| {
                let text = line.strip_suffix(b"\n").unwrap_or(line);
                Event::Echoed { peer: self.peer, payload: Bytes::from([prefix, text].concat()) }
            });
            unused = &unused[line.len()..];
            if eof && unused.is_empty() {
                break Some(Closed::Eof);
            }
        };
        if end == Some(Closed::LineTooLong) {
            let text = refusal(self.options.line_bytes_max) + "\n";
            self.output.extend_from_slice(text.as_bytes());
            self.events.emit(|| Event::LineTooLong { peer: self.peer });
        }
        let used = self.input.len() - unused.len();
        self.input.advance(used);
        end
    }

    /// Writes the output, unless the client takes nothing of it for the idle timeout or the server is out of patience.
    async fn write_answers(&mut self, phase: &watched::Receiver<Phase>) -> io::Result<Option<Closed>> {
        let mut unwritten = &self.output[..];
        while !unwritten.is_empty() {
            let written = tokio::select! {
                biased;
                written = self.stream.write(unwritten) => written?,
                () = self.idle.expired() => return Ok(Some(Closed::Idle)),
                () = forced(phase) => return Ok(Some(Closed::Forced)),
            };
            if written == 0 {
                return Err(io::ErrorKind::WriteZero.into());
            }
            unwritten = &unwritten[written..];
            if !unwritten.is_empty() {
                self.idle.touch();
            }
        }
        self.output.clear();
        Ok(None)
    }
}

/// Resolves when connections have to end at once.
async fn forced(phase: &watched::Receiver<Phase>) {
    // An error says that the server is gone, and then so is its patience.
    _ = phase.clone().wait_for(|phase| *phase == Phase::Forced).await;
}

/// Ends our direction of `stream`, and reads on until the client has ended the other or the server has waited enough.
async fn part<S: AsyncRead + AsyncWrite + Unpin>(stream: &mut S) -> io::Result<()> {
    stream.shutdown().await?;
    let mut ignored = [0; 1024];
    timeout(LINGER_MAX, async {
        while timeout(LINGER, stream.read(&mut ignored)).await?? > 0 {}
        Ok(())
    })
    .await?
}

/// One timer for the life of a connection. Touching it costs a look at the clock; the timer itself moves only when
/// it fires too early.
struct IdleTimer {
    limit: Duration,
    touched: Instant,
    sleep: Pin<Box<Sleep>>,
}

impl IdleTimer {
    fn new(limit: Duration) -> Self {
        Self { limit, touched: Instant::now(), sleep: Box::pin(sleep(limit)) }
    }

    fn touch(&mut self) {
        self.touched = Instant::now();
    }

    /// Resolves when the timer was not touched for its limit. Cancel-safe.
    async fn expired(&mut self) {
        loop {
            self.sleep.as_mut().await;
            let Some(due) = self.touched.checked_add(self.limit) else { return pending().await };
            if Instant::now() >= due {
                return;
            }
            self.sleep.as_mut().reset(due);
        }
    }
}
