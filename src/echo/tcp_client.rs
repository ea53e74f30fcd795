//! The TCP client: requests on one connection at a time, answered in order.

use std::future::Future;
use std::io::{self, ErrorKind};
use std::time::Duration;

use bytes::{Buf, BufMut, Bytes, BytesMut};
use rand::RngCore;
use tokio::io::{AsyncReadExt, AsyncWriteExt, ReadHalf, WriteHalf};
use tokio::time::{Instant, sleep, sleep_until, timeout};

use super::client::{Limits, Source, Window};
use super::lines::{Lines, Next};
use super::stats::Summary;
use super::{Disconnected, Event};
use crate::events::Sink;
use crate::net::Net;
use crate::rng::{Rng, unit};

/// What an answer may be longer than the longest request, in bytes: room for any sensible prefix.
const PREFIX_BYTES_MAX: usize = 65_536;

/// The most that is read at a time, in bytes.
const READ_BYTES: usize = 16 * 1024;

/// What a TCP client does.
#[derive(Clone, Debug)]
pub struct Options {
    /// Requests that may be outstanding, at least 1.
    pub pipeline: usize,
    /// Messages per second, spaced evenly; `None`: as fast as the pipeline has room.
    pub rate: Option<f64>,
    /// How long a try may take from being sent to its answer.
    pub timeout: Duration,
    /// How long a connection may take to open.
    pub connect_timeout: Duration,
    /// How often a request is tried again after its first try has failed.
    pub retries: u32,
    /// The pause before a second try. It doubles from try to try, and each is cut to between half of it and all of
    /// it by a draw, so that clients do not come back all at once.
    pub backoff: Duration,
    /// The longest pause before a try.
    pub backoff_max: Duration,
    /// A pause before each read, for a client that is slow to read.
    pub read_delay: Option<Duration>,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            pipeline: 1,
            rate: None,
            timeout: Duration::from_secs(5),
            connect_timeout: Duration::from_secs(5),
            retries: 0,
            backoff: Duration::from_millis(50),
            backoff_max: Duration::from_secs(1),
            read_delay: None,
        }
    }
}

/// Sends the messages of `source` to `to` (`host:port`) and returns when each is answered or given up, or at `stop`.
///
/// A message is any bytes without a newline in them; one at its end is taken off. A connection is opened when there
/// is something to send. When it breaks, the oldest request has failed a try and all that are unanswered are sent
/// again, in order, on the next. A connection that had answered something and then ends costs nobody a try: so a
/// server that answers one line per connection is a server like any other.
///
/// An error is one of the source, or a message with a newline inside; those of the network are counted.
pub async fn run<N: Net, S: Source>(
    net: &N,
    to: &str,
    source: S,
    options: &Options,
    rng: Rng,
    events: Sink<Event>,
    stop: impl Future<Output = ()>,
) -> io::Result<Summary> {
    let Options { pipeline, rate, timeout, retries, .. } = *options;
    let window = Window::new(source, Limits { pipeline, rate, timeout, retries }, events);
    let mut client = Client { net, to, options, rng, window };
    tokio::select! {
        biased;
        () = stop => {}
        ended = client.work() => ended?,
    }
    Ok(client.window.finish())
}

struct Client<'a, N, S> {
    net: &'a N,
    to: &'a str,
    options: &'a Options,
    rng: Rng,
    window: Window<S>,
}

/// A connection and what is on its way over it.
struct Link<T> {
    reader: ReadHalf<T>,
    writer: WriteHalf<T>,
    input: BytesMut,
    output: BytesMut,
    lines: Lines,
    longest_request: usize,
    /// The earliest time of the next read.
    read_at: Option<Instant>,
    /// Writing has failed. Reading goes on: the server may have said why.
    write_error: Option<ErrorKind>,
    has_answered: bool,
}

/// What happens next on a connection.
enum Step {
    Read(io::Result<usize>),
    Wrote(io::Result<usize>),
    Took(io::Result<bool>),
    Timeout,
}

impl<N: Net, S: Source> Client<'_, N, S> {
    async fn work(&mut self) -> io::Result<()> {
        loop {
            if self.window.outstanding.is_empty() && !take_line(&mut self.window).await? {
                return Ok(());
            }
            self.back_off().await;
            match self.connect().await {
                Ok(stream) => {
                    let mut link = Link::new(stream, self.options.read_delay);
                    let why = self.converse(&mut link).await?;
                    self.window.events.emit(|| Event::Disconnected { why });
                    match why {
                        Disconnected::Done => return Ok(()),
                        Disconnected::Eof | Disconnected::Error(_) if link.has_answered => {}
                        _ => self.fail_oldest(),
                    }
                }
                Err(error) => {
                    self.window.events.emit(|| Event::ConnectFailed { why: error.kind() });
                    self.fail_oldest();
                }
            }
        }
    }

    fn fail_oldest(&mut self) {
        self.window.summary.errors += 1;
        if !self.window.outstanding.is_empty() {
            self.window.fail(0);
        }
    }

    async fn back_off(&mut self) {
        let failures = self.window.outstanding.front().map_or(0, |request| request.failures);
        if failures > 0 {
            let doubled = self.options.backoff.saturating_mul(1 << (failures - 1).min(20));
            let share = 0.5 + unit(self.rng.next_u64()) / 2.0;
            sleep(doubled.min(self.options.backoff_max).mul_f64(share)).await;
        }
    }

    async fn connect(&mut self) -> io::Result<N::Stream> {
        let stream = timeout(self.options.connect_timeout, self.net.connect(self.to)).await??;
        self.window.summary.connections += 1;
        self.window.events.emit(|| Event::Connected);
        Ok(stream)
    }

    async fn converse(&mut self, link: &mut Link<N::Stream>) -> io::Result<Disconnected> {
        for index in 0..self.window.outstanding.len() {
            link.queue(&self.window.send(index));
        }
        while !self.window.is_done() {
            match self.step(link).await {
                Step::Took(Ok(true)) => link.queue(&self.window.send(self.window.outstanding.len() - 1)),
                Step::Took(Ok(false)) => {}
                Step::Took(Err(error)) => return Err(error),
                Step::Wrote(Ok(written)) => link.output.advance(written),
                Step::Wrote(Err(error)) => link.write_error = Some(error.kind()),
                Step::Read(Ok(0)) => return Ok(link.write_error.map_or(Disconnected::Eof, Disconnected::Error)),
                Step::Read(Ok(_)) => {
                    if !self.receive(link) {
                        return Ok(Disconnected::Mismatch);
                    }
                }
                Step::Read(Err(error)) => return Ok(Disconnected::Error(error.kind())),
                Step::Timeout => return Ok(Disconnected::Timeout),
            }
        }
        // All is answered: whether the server hears of the end is its own affair.
        _ = timeout(self.options.timeout, link.writer.shutdown()).await;
        Ok(Disconnected::Done)
    }

    async fn step(&mut self, link: &mut Link<N::Stream>) -> Step {
        let deadline = self.window.outstanding.front().map(|oldest| oldest.deadline);
        let has_room = self.window.has_room();
        let can_write = !link.output.is_empty() && link.write_error.is_none();
        tokio::select! {
            biased;
            read = read_after(link.read_at, &mut link.reader, &mut link.input) => {
                link.read_at = self.options.read_delay.map(|delay| Instant::now() + delay);
                Step::Read(read)
            }
            written = link.writer.write(&link.output), if can_write => match written {
                Ok(0) => Step::Wrote(Err(ErrorKind::WriteZero.into())),
                written => Step::Wrote(written),
            },
            took = take_line(&mut self.window), if has_room => Step::Took(took),
            () = sleep_until(deadline.unwrap_or_else(Instant::now)), if deadline.is_some() => Step::Timeout,
        }
    }

    /// Matches what was read with the oldest requests; false if it does not match.
    fn receive(&mut self, link: &mut Link<N::Stream>) -> bool {
        loop {
            let answer = match link.lines.next(&link.input) {
                Next::Line(len) => link.input.split_to(len).freeze().slice(..len - 1),
                Next::Partial if link.input.len() <= link.longest_request + PREFIX_BYTES_MAX => return true,
                Next::Partial | Next::TooLong => link.input.split().freeze(),
            };
            match self.window.outstanding.front() {
                Some(oldest) if answer.ends_with(&oldest.payload) => {
                    link.has_answered = true;
                    self.window.answer(0, answer);
                }
                oldest => {
                    let id = oldest.map(|oldest| oldest.id);
                    self.window.summary.mismatches += 1;
                    self.window.events.emit(|| Event::Mismatch { id, payload: answer });
                    return false;
                }
            }
        }
    }
}

impl<T: tokio::io::AsyncRead + tokio::io::AsyncWrite> Link<T> {
    fn new(stream: T, read_delay: Option<Duration>) -> Self {
        let (reader, writer) = tokio::io::split(stream);
        Self {
            reader,
            writer,
            input: BytesMut::new(),
            output: BytesMut::new(),
            lines: Lines::new(usize::MAX),
            longest_request: 0,
            read_at: read_delay.map(|delay| Instant::now() + delay),
            write_error: None,
            has_answered: false,
        }
    }

    fn queue(&mut self, line: &[u8]) {
        self.longest_request = self.longest_request.max(line.len());
        self.output.reserve(line.len() + 1);
        self.output.put_slice(line);
        self.output.put_u8(b'\n');
    }
}

/// Takes a message in as a line. Cancel-safe.
async fn take_line<S: Source>(window: &mut Window<S>) -> io::Result<bool> {
    if !window.take().await? {
        return Ok(false);
    }
    let message = &mut window.outstanding.back_mut().expect("one was taken in").payload;
    let line: Bytes = match message.strip_suffix(b"\n") {
        Some(line) => message.slice(..line.len()),
        None => message.clone(),
    };
    if memchr::memchr(b'\n', &line).is_some() {
        let text = "a message over TCP is one line, and this one has a newline inside: send it as several";
        return Err(io::Error::new(ErrorKind::InvalidInput, text));
    }
    *message = line;
    Ok(true)
}

/// Reads once, not before `at`. Cancel-safe.
async fn read_after<R: tokio::io::AsyncRead + Unpin>(
    at: Option<Instant>,
    reader: &mut R,
    input: &mut BytesMut,
) -> io::Result<usize> {
    if let Some(at) = at {
        sleep_until(at).await;
    }
    input.reserve(READ_BYTES);
    reader.read_buf(&mut input.limit(READ_BYTES)).await
}
