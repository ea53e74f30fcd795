//! What both clients share: where messages come from, and the window of those that wait for an answer.

use std::collections::VecDeque;
use std::future::Future;
use std::io;
use std::time::Duration;

use bytes::Bytes;
use tokio::io::{AsyncBufRead, AsyncBufReadExt};
use tokio::time::{Instant, sleep_until};

use super::Event;
use super::stats::Summary;
use crate::events::Sink;

/// Where a client's messages come from.
pub trait Source {
    /// The next message, or `None` when there are no more. It may wait as long as it likes, and is cancel-safe: a
    /// call that is dropped before it resolved loses no message.
    fn next(&mut self) -> impl Future<Output = io::Result<Option<Bytes>>>;
}

/// Messages from an iterator, at once.
#[derive(Clone, Debug)]
pub struct Messages<I>(pub I);

impl<I: Iterator<Item = T>, T: Into<Bytes>> Source for Messages<I> {
    async fn next(&mut self) -> io::Result<Option<Bytes>> {
        Ok(self.0.next().map(Into::into))
    }
}

/// Messages from the lines of a reader, each with its newline, as it came; the last one may have none.
#[derive(Debug)]
pub struct LinesFrom<R> {
    reader: R,
    line: Vec<u8>,
}

impl<R> LinesFrom<R> {
    /// The lines of `reader`, which may be of any length.
    pub fn new(reader: R) -> Self {
        Self { reader, line: Vec::new() }
    }
}

impl<R: AsyncBufRead + Unpin> Source for LinesFrom<R> {
    async fn next(&mut self) -> io::Result<Option<Bytes>> {
        // What a dropped call has read of a line is in `line` already, and the next call goes on behind it.
        self.reader.read_until(b'\n', &mut self.line).await?;
        Ok((!self.line.is_empty()).then(|| std::mem::take(&mut self.line).into()))
    }
}

/// A message on its way.
#[derive(Clone, Debug)]
pub(super) struct Request {
    pub(super) id: u64,
    pub(super) payload: Bytes,
    /// When the try that is under way has failed.
    pub(super) deadline: Instant,
    /// Tries that have failed.
    pub(super) failures: u32,
    /// How often it was sent: more than its failures when a broken connection was not its fault.
    attempts: u32,
    sent_first: Instant,
}

/// The messages that were taken from the source and have no answer yet, oldest first.
pub(super) struct Window<S> {
    pub(super) outstanding: VecDeque<Request>,
    pub(super) summary: Summary,
    pub(super) events: Sink<Event>,
    source: S,
    source_ended: bool,
    limits: Limits,
    /// The earliest time to take the next message.
    due: Instant,
    started: Instant,
}

/// How many, how often, how long.
#[derive(Clone, Copy, Debug)]
pub(super) struct Limits {
    pub(super) pipeline: usize,
    pub(super) rate: Option<f64>,
    pub(super) timeout: Duration,
    pub(super) retries: u32,
}

impl<S: Source> Window<S> {
    pub(super) fn new(source: S, limits: Limits, events: Sink<Event>) -> Self {
        let now = Instant::now();
        Self {
            outstanding: VecDeque::new(),
            summary: Summary::default(),
            events,
            source,
            source_ended: false,
            limits,
            due: now,
            started: now,
        }
    }

    pub(super) fn has_room(&self) -> bool {
        !self.source_ended && self.outstanding.len() < self.limits.pipeline.max(1)
    }

    pub(super) fn is_done(&self) -> bool {
        self.source_ended && self.outstanding.is_empty()
    }

    /// Takes the next message in, at its time; false when there are no more. Cancel-safe.
    pub(super) async fn take(&mut self) -> io::Result<bool> {
        if let Some(rate) = self.limits.rate {
            sleep_until(self.due).await;
            let Some(payload) = self.source.next().await? else { return Ok(self.end()) };
            // One that is late moves the schedule: there is no burst to make up for a pause.
            let period = Duration::try_from_secs_f64(rate.recip()).unwrap_or(Duration::MAX);
            let now = Instant::now();
            let late = now.duration_since(self.due) > period;
            let base = if late { now } else { self.due };
            self.due = base.checked_add(period).unwrap_or(base);
            self.push(payload);
        } else {
            let Some(payload) = self.source.next().await? else { return Ok(self.end()) };
            self.push(payload);
        }
        Ok(true)
    }

    fn end(&mut self) -> bool {
        self.source_ended = true;
        false
    }

    fn push(&mut self, payload: Bytes) {
        let now = Instant::now();
        let id = self.summary.sent;
        self.summary.sent += 1;
        let request = Request { id, payload, deadline: now, failures: 0, attempts: 0, sent_first: now };
        self.outstanding.push_back(request);
    }

    /// Marks the request at `index` as sent now, and returns its payload.
    pub(super) fn send(&mut self, index: usize) -> Bytes {
        let now = Instant::now();
        let request = &mut self.outstanding[index];
        if request.attempts == 0 {
            request.sent_first = now;
        } else {
            self.summary.retried += 1;
        }
        request.attempts += 1;
        request.deadline = now.checked_add(self.limits.timeout).unwrap_or(now);
        let (id, attempt, payload) = (request.id, request.attempts, request.payload.clone());
        self.events.emit(|| Event::Sent { id, attempt, payload: payload.clone() });
        payload
    }

    /// Takes out the request at `index`, which `answer` belongs to.
    pub(super) fn answer(&mut self, index: usize, answer: Bytes) -> Request {
        let request = self.outstanding.remove(index).expect("the caller has found the request");
        let rtt = request.sent_first.elapsed();
        self.summary.answered += 1;
        self.summary.rtt.add(rtt);
        self.events.emit(|| Event::Answered { id: request.id, rtt, payload: answer });
        request
    }

    /// Counts a failed try of the request at `index`, and takes it out if it has no other.
    pub(super) fn fail(&mut self, index: usize) -> Option<Request> {
        let request = &mut self.outstanding[index];
        request.failures += 1;
        if request.failures > self.limits.retries {
            return Some(self.give_up(index));
        }
        let (id, attempt) = (request.id, request.attempts + 1);
        self.events.emit(|| Event::Retry { id, attempt });
        None
    }

    /// Takes out the request at `index`, unanswered.
    pub(super) fn give_up(&mut self, index: usize) -> Request {
        let request = self.outstanding.remove(index).expect("the caller has found the request");
        self.summary.lost += 1;
        self.events.emit(|| Event::GaveUp { id: request.id });
        request
    }

    pub(super) fn finish(self) -> Summary {
        Summary { elapsed: self.started.elapsed(), ..self.summary }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn all(mut source: impl Source) -> Vec<Bytes> {
        let mut messages = Vec::new();
        while let Some(message) = source.next().await.expect("the source has no errors") {
            messages.push(message);
        }
        messages
    }

    #[tokio::test(flavor = "current_thread")]
    async fn lines_keep_their_newline_and_the_last_may_have_none() {
        assert_eq!(
            all(LinesFrom::new(&b"one\n\n\xfftwo\nrest"[..])).await,
            [&b"one\n"[..], b"\n", b"\xfftwo\n", b"rest"]
        );
        assert!(all(LinesFrom::new(&b""[..])).await.is_empty());
    }

    #[tokio::test(flavor = "current_thread", start_paused = true)]
    async fn a_rate_spaces_messages_and_does_not_burst_after_a_pause() {
        let limits = Limits { pipeline: 100, rate: Some(10.0), timeout: Duration::from_secs(1), retries: 0 };
        let mut window = Window::new(Messages(std::iter::repeat_n(&b"x"[..], 100)), limits, Sink::none());
        let started = Instant::now();
        let mut times_ms = Vec::new();
        for number in 0..6 {
            assert!(window.take().await.expect("the source has no errors"));
            times_ms.push(started.elapsed().as_millis());
            if number == 2 {
                tokio::time::sleep(Duration::from_secs(1)).await;
            }
        }
        assert_eq!(times_ms, [0, 100, 200, 1200, 1300, 1400]);
    }

    #[tokio::test(flavor = "current_thread", start_paused = true)]
    async fn a_request_has_its_tries_and_is_then_given_up() {
        let limits = Limits { pipeline: 1, rate: None, timeout: Duration::from_secs(1), retries: 2 };
        let mut window = Window::new(Messages([&b"x"[..]].into_iter()), limits, Sink::none());
        assert!(window.take().await.expect("the source has no errors"));
        assert!(!window.has_room());
        for _ in 0..2 {
            assert_eq!(window.send(0), "x");
            assert!(window.fail(0).is_none());
        }
        assert_eq!(window.send(0), "x");
        assert!(window.fail(0).is_some());
        assert!(!window.take().await.expect("the source has no errors"));
        assert!(window.is_done());
        let summary = window.finish();
        assert_eq!((summary.sent, summary.answered, summary.lost, summary.retried), (1, 0, 1, 2));
    }
}
