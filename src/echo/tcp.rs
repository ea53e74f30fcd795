//! The TCP server: accepts, counts and ends connections; what happens on one is in `tcp_connection`.

use std::fmt;
use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::pin::pin;
use std::rc::Rc;
use std::time::Duration;

use tokio::task::{JoinError, JoinSet, yield_now};
use tokio::time::{sleep, timeout};

pub use super::tcp_connection::refusal;
use super::tcp_connection::{Phase, Tally, converse, refuse};
use super::{Closed, Event};
use crate::events::Sink;
use crate::net::{Listener, Net};
use crate::watched;

pub use super::tcp_options::ServeOptions;

/// How long the server waits after `accept` failed, as it does when the process is out of file descriptors.
const ACCEPT_PAUSE: Duration = Duration::from_millis(20);

/// Refused clients that are told why at the same time; those beyond it are dropped without a word.
const REFUSALS_MAX: usize = 64;

/// What a TCP server did, in numbers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Summary {
    /// Connections taken.
    pub accepted: u64,
    /// Connections refused for the limit.
    pub refused: u64,
    /// Lines answered.
    pub answered: u64,
    /// Connections closed for a line above the limit.
    pub lines_too_long: u64,
    /// Connections closed for idleness.
    pub idle: u64,
    /// Connections cut off at the drain deadline.
    pub forced: u64,
    /// Connections that failed, and failed calls to accept one.
    pub errors: u64,
}

impl fmt::Display for Summary {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} lines answered on {} connections", self.answered, self.accepted)?;
        for (count, what) in [
            (self.refused, "refused"),
            (self.lines_too_long, "with a line too long"),
            (self.idle, "idle"),
            (self.forced, "cut off"),
            (self.errors, "failed"),
        ] {
            if count > 0 {
                write!(f, ", {count} {what}")?;
            }
        }
        Ok(())
    }
}

/// Serves `listener` until `shutdown` resolves, then lets connections finish and returns what it did.
///
/// On shutdown it takes the connections that have arrived and no more; the complete lines that have arrived are
/// answered, and connections without any are closed. What is not done at the drain deadline is cut off: a client that
/// does not read, or one that never stops sending. An error is one of the listener itself; those of single connections
/// are counted.
pub async fn serve<N: Net>(
    mut listener: N::Listener,
    options: ServeOptions,
    events: Sink<Event>,
    shutdown: impl Future<Output = ()>,
) -> io::Result<Summary> {
    let addr = listener.local_addr()?;
    events.emit(|| Event::Listening { addr });
    let mut server = Server::new(options, events);
    let mut shutdown = pin!(shutdown);
    loop {
        tokio::select! {
            biased;
            () = &mut shutdown => break,
            Some(ended) = server.connections.join_next() => server.count(ended),
            Some(_) = server.refusals.join_next() => {}
            accepted = listener.accept() => match accepted {
                Ok((stream, peer)) => server.admit::<N>(stream, peer),
                Err(error) => {
                    server.accept_failed(&error);
                    sleep(ACCEPT_PAUSE).await;
                }
            },
        }
    }
    Ok(server.drain::<N>(listener).await)
}

struct Server {
    options: Rc<ServeOptions>,
    events: Sink<Event>,
    phase: watched::Sender<Phase>,
    connections: JoinSet<Tally>,
    refusals: JoinSet<()>,
    summary: Summary,
}

impl Server {
    fn new(options: ServeOptions, events: Sink<Event>) -> Self {
        Self {
            options: Rc::new(options),
            events,
            phase: watched::Sender::new(Phase::Open),
            connections: JoinSet::new(),
            refusals: JoinSet::new(),
            summary: Summary::default(),
        }
    }

    fn admit<N: Net>(&mut self, stream: N::Stream, peer: SocketAddr) {
        if self.connections.len() < self.options.connections_max {
            self.summary.accepted += 1;
            self.events.emit(|| Event::Accepted { peer });
            let (options, events) = (Rc::clone(&self.options), self.events.clone());
            let connection = converse(stream, peer, options, events, self.phase.subscribe());
            self.connections.spawn_local(N::task(connection));
        } else {
            self.summary.refused += 1;
            self.events.emit(|| Event::Refused { peer });
            if self.refusals.len() < REFUSALS_MAX {
                self.refusals.spawn_local(N::task(refuse(stream, self.options.connections_max)));
            }
        }
    }

    fn accept_failed(&mut self, error: &io::Error) {
        tracing::warn!(%error, "cannot accept a connection");
        self.summary.errors += 1;
        self.events.emit(|| Event::SocketError { why: error.kind() });
    }

    fn count(&mut self, ended: Result<Tally, JoinError>) {
        let tally = match ended {
            Ok(tally) => tally,
            Err(error) => match error.try_into_panic() {
                Ok(panic) => std::panic::resume_unwind(panic),
                Err(_cancelled) => return,
            },
        };
        self.summary.answered += tally.answered;
        match tally.why {
            Closed::Eof | Closed::Shutdown => {}
            Closed::Idle => self.summary.idle += 1,
            Closed::LineTooLong => self.summary.lines_too_long += 1,
            Closed::Forced => self.summary.forced += 1,
            Closed::Error(_) => self.summary.errors += 1,
        }
    }

    async fn drain<N: Net>(mut self, listener: N::Listener) -> Summary {
        self.phase.send_replace(Phase::Draining);
        let limit = self.options.drain_timeout;
        let in_time = timeout(limit, async {
            self.admit_arrived::<N>(listener).await;
            self.count_all().await;
            while self.refusals.join_next().await.is_some() {}
        });
        if in_time.await.is_err() {
            self.phase.send_replace(Phase::Forced);
            self.count_all().await;
        }
        self.summary
    }

    /// Takes the connections that the network has accepted and the server has not: to their clients they are open, and
    /// would be reset with the listener's end.
    async fn admit_arrived<N: Net>(&mut self, mut listener: N::Listener) {
        loop {
            // An operating system's sockets tell what has arrived only when the runtime asks them, which it does now.
            let accepted = tokio::select! {
                biased;
                accepted = listener.accept() => accepted,
                () = yield_now() => return,
            };
            match accepted {
                Ok((stream, peer)) => self.admit::<N>(stream, peer),
                Err(error) => return self.accept_failed(&error),
            }
        }
    }

    async fn count_all(&mut self) {
        while let Some(ended) = self.connections.join_next().await {
            self.count(ended);
        }
    }
}
