//! Connections to one backend: opened, kept while unused, and handed out again.

use std::cell::RefCell;
use std::io;
use std::rc::Rc;
use std::time::Duration;

use hyper::client::conn::http1::{self, Parts, SendRequest};
use hyper_util::rt::TokioIo;
use tokio::sync::oneshot;
use tokio::task::AbortHandle;
use tokio::time::{Instant, timeout};

use super::config::{Config, Limits, Origin};
use super::upload::RequestBody;
use super::wire::{Heard, Wire};
use crate::net::Net;

/// How many fields hyper takes if it is told nothing.
const HYPER_FIELDS_MAX: usize = 100;

/// One backend's connections.
pub struct Upstream<N: Net> {
    net: N,
    /// Where it is.
    pub origin: Origin,
    /// In the order in which they were last used.
    idle: RefCell<Vec<Idle<N>>>,
}

struct Idle<N: Net> {
    link: Link<N>,
    since: Instant,
}

impl<N: Net> Idle<N> {
    fn is_older(&self, kept_for: Duration, now: Instant) -> bool {
        now.saturating_duration_since(self.since) >= kept_for
    }
}

/// A connection that carries one request at a time.
pub struct Link<N: Net> {
    /// Where its requests go in.
    pub sender: SendRequest<RequestBody>,
    /// The stream, once HTTP is done with it: after it has switched to another protocol.
    pub stream: oneshot::Receiver<Parts<TokioIo<Wire<N::Stream>>>>,
    /// What has come over it.
    pub heard: Rc<Heard>,
    /// hyper's side of it.
    connection: AbortHandle,
}

impl<N: Net> Link<N> {
    /// Closes it at once, with whatever of a request is still to be sent.
    pub fn abort(self) {
        self.connection.abort();
    }
}

impl<N: Net> Upstream<N> {
    /// Without connections yet.
    pub fn new(net: N, origin: Origin) -> Self {
        Self { net, origin, idle: RefCell::default() }
    }

    /// An unused connection, the one that was used last, so that the others may grow old and close.
    pub fn reuse(&self, kept_for: Duration, now: Instant) -> Option<Link<N>> {
        let mut idle = self.idle.borrow_mut();
        let old = idle.iter().take_while(|idle| idle.is_older(kept_for, now)).count();
        idle.drain(..old);
        // One whose answer has only just ended is not ready yet, and will be.
        let ready = idle.iter().rposition(|idle| idle.link.sender.is_ready())?;
        Some(idle.remove(ready).link)
    }

    /// Opens a connection, on which answers are taken up to the limits of these settings.
    pub async fn open(&self, config: &Config, deadline: Duration) -> io::Result<Link<N>> {
        let connecting = timeout(deadline, self.net.connect(&self.origin.address));
        let stream = connecting.await.map_err(|_| io::Error::from(io::ErrorKind::TimedOut))??;
        let (wire, heard) = Wire::new(stream);
        let handshake = http(&config.limits).handshake::<_, RequestBody>(TokioIo::new(wire));
        let (sender, mut connection) = handshake.await.map_err(io::Error::other)?;
        let (parts, stream) = oneshot::channel();
        let connection = tokio::task::spawn_local(N::task(async move {
            let ended = std::future::poll_fn(|cx| connection.poll_without_shutdown(cx)).await;
            match ended {
                // Nobody may want it.
                Ok(()) => drop(parts.send(connection.into_parts())),
                Err(error) => tracing::debug!(%error, "a connection to a backend has ended"),
            }
        }));
        Ok(Link { sender, stream, heard, connection: connection.abort_handle() })
    }

    /// Keeps a connection that has carried its request to the end, `now`.
    pub fn keep(&self, link: Link<N>, kept_max: usize, now: Instant) {
        let mut idle = self.idle.borrow_mut();
        if idle.len() >= kept_max {
            idle.retain(|idle| !idle.link.sender.is_closed());
        }
        if !link.sender.is_closed() && idle.len() < kept_max {
            idle.push(Idle { link, since: now });
        }
    }

    /// Closes connections that have not been used for this long, and those that the backend has closed.
    pub fn prune(&self, kept_for: Duration) {
        let now = Instant::now();
        self.idle.borrow_mut().retain(|idle| !idle.link.sender.is_closed() && !idle.is_older(kept_for, now));
    }

    /// How many connections are kept.
    pub fn idle(&self) -> usize {
        self.idle.borrow().len()
    }
}

/// HTTP with a backend.
fn http(limits: &Limits) -> http1::Builder {
    let mut http = http1::Builder::new();
    http.max_header_size(limits.answer_head_bytes_max);
    if limits.answer_headers_max != HYPER_FIELDS_MAX {
        // hyper is slower where it is told of a limit.
        http.max_headers(limits.answer_headers_max);
    }
    http
}
