//! The UDP client: datagrams that may be lost, doubled or overtaken, matched with their answers by content.

use std::collections::VecDeque;
use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use bytes::Bytes;
use tokio::time::{Instant, sleep, sleep_until};

use super::Event;
use super::client::{Limits, Request, Source, Window};
use super::stats::Summary;
use crate::events::Sink;
use crate::net::{DATAGRAM_BYTES_MAX, Net, Socket};

/// More than any datagram carries, so that none is cut off on receiving.
const RECEIVE_BYTES: usize = 65_536;

/// Finished requests that are remembered, to tell a duplicate or a late answer from a stranger's.
const FINISHED_MAX: usize = 256;

/// How long the client waits after `recv_from` failed, so that an error that stays does not keep it busy.
const ERROR_PAUSE: Duration = Duration::from_millis(5);

/// What a UDP client does.
#[derive(Clone, Debug)]
pub struct Options {
    /// Requests that may be outstanding, at least 1.
    pub pipeline: usize,
    /// Messages per second, spaced evenly; `None`: as fast as the pipeline has room.
    pub rate: Option<f64>,
    /// How long a try may take.
    pub timeout: Duration,
    /// How often a request is sent again after its first try has had no answer in time.
    pub retries: u32,
    /// Whether a request is given up once the system reports that nobody listens there.
    pub refusal_is_final: bool,
}

impl Default for Options {
    fn default() -> Self {
        Self { pipeline: 1, rate: None, timeout: Duration::from_secs(1), retries: 2, refusal_is_final: true }
    }
}

/// Sends the messages of `source` to `to` (`host:port`) and returns when each is answered or given up, or at `stop`.
///
/// A message is any bytes, up to what a datagram carries; a longer one is given up at once. An answer belongs to the
/// request with the longest payload that it ends with, and among equal payloads to the oldest that is outstanding.
/// Equal payloads cannot be told apart: the second answer to one of them passes for the first answer to the next.
///
/// An error is one of the source, or of the address or the socket at the start; later ones are counted.
pub async fn run<N: Net, S: Source>(
    net: &N,
    to: &str,
    source: S,
    options: &Options,
    events: Sink<Event>,
    stop: impl Future<Output = ()>,
) -> io::Result<Summary> {
    let server = net.resolve(to).await?;
    let any = if server.is_ipv4() { "0.0.0.0:0" } else { "[::]:0" };
    let socket = net.bind(any).await?;
    // What it says of a peer is a help, and not a need.
    let _ = socket.only_to(server).await;
    let Options { pipeline, rate, timeout, retries, refusal_is_final } = *options;
    let window = Window::new(source, Limits { pipeline, rate, timeout, retries }, events);
    let mut client = Client {
        socket,
        server,
        window,
        finished: VecDeque::with_capacity(FINISHED_MAX),
        refusal_is_final,
        is_refused: false,
    };
    tokio::select! {
        biased;
        () = stop => {}
        ended = client.work() => ended?,
    }
    Ok(client.window.finish())
}

struct Client<K, S> {
    socket: K,
    server: SocketAddr,
    window: Window<S>,
    finished: VecDeque<Finished>,
    refusal_is_final: bool,
    /// Whether the system has reported, since this was asked last, that nobody listens there.
    is_refused: bool,
}

/// A request that waits for nothing any more.
struct Finished {
    id: u64,
    payload: Bytes,
    answered: bool,
}

/// What happens next on the socket.
enum Step {
    Received(io::Result<(usize, SocketAddr)>),
    Took(io::Result<bool>),
    Timeout,
}

impl<K: Socket, S: Source> Client<K, S> {
    async fn work(&mut self) -> io::Result<()> {
        let mut buffer = vec![0; RECEIVE_BYTES];
        while !self.window.is_done() {
            match self.step(&mut buffer).await {
                Step::Received(Ok((len, from))) => self.receive(&buffer[..len], from),
                Step::Received(Err(error)) => {
                    self.failed(&error);
                    sleep(ERROR_PAUSE).await;
                }
                Step::Took(Ok(true)) => self.send(self.window.outstanding.len() - 1).await,
                Step::Took(Ok(false)) => {}
                Step::Took(Err(error)) => return Err(error),
                Step::Timeout => self.retry().await,
            }
            if std::mem::take(&mut self.is_refused) && self.refusal_is_final {
                self.give_up_all();
            }
        }
        Ok(())
    }

    async fn step(&mut self, buffer: &mut [u8]) -> Step {
        let deadline = self.window.outstanding.iter().map(|request| request.deadline).min();
        let has_room = self.window.has_room();
        tokio::select! {
            biased;
            received = self.socket.recv_from(buffer) => Step::Received(received),
            took = self.window.take(), if has_room => Step::Took(took),
            () = sleep_until(deadline.unwrap_or_else(Instant::now)), if deadline.is_some() => Step::Timeout,
        }
    }

    async fn send(&mut self, index: usize) {
        let bytes = self.window.outstanding[index].payload.len();
        if bytes > DATAGRAM_BYTES_MAX {
            let peer = self.server;
            self.window.events.emit(|| Event::Oversize { peer, bytes });
            let request = self.window.give_up(index);
            self.remember(request, false);
            return;
        }
        let payload = self.window.send(index);
        // A datagram that could not be sent is like one that was lost: the deadline sees to it.
        if let Err(error) = self.socket.send_to(&payload, self.server).await {
            self.failed(&error);
        }
    }

    /// Sends again, or gives up, what has had no answer in time.
    async fn retry(&mut self) {
        let now = Instant::now();
        let mut index = 0;
        while let Some(request) = self.window.outstanding.get(index) {
            if request.deadline > now {
                index += 1;
            } else if let Some(request) = self.window.fail(index) {
                self.remember(request, false);
            } else {
                self.send(index).await;
                index += 1;
            }
        }
    }

    fn give_up_all(&mut self) {
        while !self.window.outstanding.is_empty() {
            let request = self.window.give_up(0);
            self.remember(request, false);
        }
    }

    fn receive(&mut self, datagram: &[u8], from: SocketAddr) {
        if from != self.server {
            self.window.summary.foreign += 1;
            self.window.events.emit(|| Event::Foreign { from, bytes: datagram.len() });
            return;
        }
        let answer = Bytes::copy_from_slice(datagram);
        let waiting = longest_suffix(datagram, self.window.outstanding.iter().map(|request| &request.payload[..]));
        let finished = longest_suffix(datagram, self.finished.iter().map(|request| &request.payload[..]));
        match (waiting, finished) {
            (Some(waiting), finished) if finished.is_none_or(|finished| waiting.bytes >= finished.bytes) => {
                let request = self.window.answer(waiting.index, answer);
                self.remember(request, true);
            }
            (_, Some(finished)) => {
                let Finished { id, answered, .. } = self.finished[finished.index];
                if answered {
                    self.window.summary.duplicates += 1;
                    self.window.events.emit(|| Event::Duplicate { id, payload: answer });
                } else {
                    self.window.summary.late += 1;
                    self.window.events.emit(|| Event::Late { id, payload: answer });
                }
            }
            _ => {
                self.window.summary.mismatches += 1;
                self.window.events.emit(|| Event::Mismatch { id: None, payload: answer });
            }
        }
    }

    fn remember(&mut self, request: Request, answered: bool) {
        if self.finished.len() == FINISHED_MAX {
            self.finished.pop_front();
        }
        self.finished.push_back(Finished { id: request.id, payload: request.payload, answered });
    }

    fn failed(&mut self, error: &io::Error) {
        self.is_refused |= error.kind() == io::ErrorKind::ConnectionRefused;
        self.window.summary.errors += 1;
        self.window.events.emit(|| Event::SocketError { why: error.kind() });
    }
}

/// Which payload a datagram ends with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Match {
    index: usize,
    bytes: usize,
}

/// The longest of `payloads` that `datagram` ends with; of equals the first.
fn longest_suffix<'a>(datagram: &[u8], payloads: impl Iterator<Item = &'a [u8]>) -> Option<Match> {
    let mut longest: Option<Match> = None;
    for (index, payload) in payloads.enumerate() {
        let is_longer = longest.is_none_or(|longest| payload.len() > longest.bytes);
        if is_longer && datagram.ends_with(payload) {
            longest = Some(Match { index, bytes: payload.len() });
        }
    }
    longest
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_belongs_to_the_longest_payload_that_it_ends_with() {
        let find = |datagram: &[u8], payloads: &[&[u8]]| {
            longest_suffix(datagram, payloads.iter().copied()).map(|found| found.index)
        };
        assert_eq!(find(b"Echo: ba", &[b"a", b"ba", b"c"]), Some(1));
        assert_eq!(find(b"Echo: a", &[b"a", b"ba", b"a"]), Some(0));
        assert_eq!(find(b"Echo: ", &[b"a", b""]), Some(1));
        assert_eq!(find(b"Echo: x", &[b"a", b"b"]), None);
        assert_eq!(find(b"a", &[b"longer than the answer"]), None);
    }
}
