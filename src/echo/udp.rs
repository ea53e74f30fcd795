//! The UDP server: one loop over one socket, without any state.

use std::fmt;
use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::pin::pin;
use std::time::Duration;

use bytes::Bytes;
use tokio::time::{sleep, timeout};

use super::Event;
use super::cli::parse_bytes;
use crate::events::Sink;
use crate::net::{DATAGRAM_BYTES_MAX, Net, Socket};
use crate::service::parse_duration;

/// More than any datagram carries, so that none is cut off on receiving.
const RECEIVE_BYTES: usize = 65_536;

/// How long the server waits after `recv_from` failed, so that an error that stays does not keep it busy.
const ERROR_PAUSE: Duration = Duration::from_millis(5);

/// What a UDP server does; the defaults are those of the command line.
#[derive(Clone, Debug, clap::Args)]
pub struct ServeOptions {
    /// What stands before the echo in each answer
    #[arg(long, value_name = "TEXT", default_value = "Echo: ", value_parser = parse_bytes)]
    pub prefix: Bytes,
    /// How long the datagrams that have arrived may take to be answered when the server is told to stop
    #[arg(long, value_name = "DURATION", default_value = "5s", value_parser = parse_duration)]
    pub drain_timeout: Duration,
}

impl Default for ServeOptions {
    fn default() -> Self {
        Self { prefix: Bytes::from_static(b"Echo: "), drain_timeout: Duration::from_secs(5) }
    }
}

/// What a UDP server did, in numbers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Summary {
    /// Datagrams received.
    pub received: u64,
    /// Datagrams answered.
    pub answered: u64,
    /// Datagrams not answered, since the answer would not fit into one.
    pub oversize: u64,
    /// Failed calls on the socket.
    pub errors: u64,
}

impl fmt::Display for Summary {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} datagrams answered of {}", self.answered, self.received)?;
        for (count, what) in [(self.oversize, "too long to answer"), (self.errors, "errors")] {
            if count > 0 {
                write!(f, ", {count} {what}")?;
            }
        }
        Ok(())
    }
}

/// Serves `socket` until `shutdown` resolves, answers what has arrived by then, and returns what it did.
///
/// An error is one of the socket itself at the start; those of single calls are counted.
pub async fn serve<N: Net>(
    socket: N::Socket,
    options: ServeOptions,
    events: Sink<Event>,
    shutdown: impl Future<Output = ()>,
) -> io::Result<Summary> {
    let addr = socket.local_addr()?;
    events.emit(|| Event::Listening { addr });
    let mut server = Server::new(socket, &options.prefix, events);
    let mut shutdown = pin!(shutdown);
    loop {
        let received = tokio::select! {
            biased;
            () = &mut shutdown => break,
            received = server.receive() => received,
        };
        server.answer(received).await;
    }
    // At the deadline the rest stays unanswered, as if it had come a moment later.
    _ = timeout(options.drain_timeout, server.drain()).await;
    Ok(server.summary)
}

struct Server<S> {
    socket: S,
    prefix_bytes: usize,
    /// The prefix, then what is received: so an answer is never copied together.
    buffer: Vec<u8>,
    events: Sink<Event>,
    summary: Summary,
}

impl<S: Socket> Server<S> {
    fn new(socket: S, prefix: &[u8], events: Sink<Event>) -> Self {
        let mut buffer = vec![0; prefix.len() + RECEIVE_BYTES];
        buffer[..prefix.len()].copy_from_slice(prefix);
        Self { socket, prefix_bytes: prefix.len(), buffer, events, summary: Summary::default() }
    }

    /// The next datagram's length and sender. Cancel-safe.
    async fn receive(&mut self) -> io::Result<(usize, SocketAddr)> {
        self.socket.recv_from(&mut self.buffer[self.prefix_bytes..]).await
    }

    async fn answer(&mut self, received: io::Result<(usize, SocketAddr)>) {
        let (len, peer) = match received {
            Ok(received) => received,
            Err(error) => {
                self.failed(&error);
                sleep(ERROR_PAUSE).await;
                return;
            }
        };
        self.summary.received += 1;
        let bytes = self.prefix_bytes + len;
        if bytes > DATAGRAM_BYTES_MAX {
            tracing::warn!(%peer, bytes, "an answer is longer than {DATAGRAM_BYTES_MAX} bytes and is not sent");
            self.summary.oversize += 1;
            self.events.emit(|| Event::Oversize { peer, bytes });
            return;
        }
        let answer = &self.buffer[..bytes];
        self.events.emit(|| Event::Echoed { peer, payload: Bytes::copy_from_slice(answer) });
        match self.socket.send_to(answer, peer).await {
            Ok(_) => self.summary.answered += 1,
            Err(error) => self.failed(&error),
        }
    }

    fn failed(&mut self, error: &io::Error) {
        tracing::warn!(%error, "a call on the UDP socket failed");
        self.summary.errors += 1;
        self.events.emit(|| Event::SocketError { why: error.kind() });
    }

    /// Answers datagrams as long as there are some without waiting.
    async fn drain(&mut self) {
        loop {
            let received = tokio::select! {
                biased;
                received = self.receive() => received,
                () = tokio::task::yield_now() => return,
            };
            self.answer(received).await;
        }
    }
}
