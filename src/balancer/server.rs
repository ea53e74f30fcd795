//! Clients' connections: accepted, served one request after another, and closed for what is wrong with them.

use std::cell::{Cell, RefCell};
use std::convert::Infallible;
use std::future::{Future, poll_fn};
use std::io;
use std::net::SocketAddr;
use std::pin::{Pin, pin};
use std::rc::Rc;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use hyper::body::{Body as _, Incoming};
use hyper::header::{CONNECTION, HeaderValue};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Request, Response, Version};
use hyper_util::rt::TokioIo;
use tokio::task::JoinSet;
use tokio::time::{Instant, Sleep, interval, sleep, sleep_until, timeout};

use super::body::AnswerBody;
use super::config::Timeouts;
use super::event::Event;
use super::forwarding::Client;
use super::framing::{During, Limits, Phase, Rejection};
use super::guard::{Handle, answer_and_close, guard, response};
use super::outgoing::Asker;
use super::proxy::{self, Tunnel};
use super::shared::Shared;
use super::tunnel;
use crate::net::{Listener, Net};
use crate::watched;

/// How long the server waits after `accept` failed, as it does when the process is out of file descriptors.
const ACCEPT_PAUSE: Duration = Duration::from_millis(20);

/// How often connections and deadlines are looked after.
const TIDY_EVERY: Duration = Duration::from_secs(1);

/// How long a client may say nothing after its last answer before its connection is closed.
const LINGER: Duration = Duration::from_secs(1);

/// How many fields hyper takes if it is told nothing.
const HYPER_FIELDS_MAX: usize = 100;

/// How long an answer is still worked on for a client that has closed its own side: most that do have gone.
const HALF_CLOSED: Duration = Duration::from_secs(1);

const TOO_SLOW: Rejection =
    Rejection { status: 408, reason: "the head of the request took too long", during: During::Head };
const TOO_MANY: Rejection =
    Rejection { status: 503, reason: "the balancer has as many connections as it may", during: During::Head };

/// Serves `listener` until `shutdown` resolves, then lets requests finish, up to the drain timeout.
pub async fn serve<N: Net>(
    shared: Rc<Shared<N>>,
    mut listener: N::Listener,
    shutdown: impl Future<Output = ()>,
) -> io::Result<()> {
    let addr = listener.local_addr()?;
    shared.events().emit(|| Event::Listening { addr });
    let drain = watched::Sender::new(false);
    let drained = drain.subscribe();
    let mut connections = JoinSet::new();
    let mut tidy = interval(TIDY_EVERY);
    let mut shutdown = pin!(shutdown);
    loop {
        tokio::select! {
            biased;
            () = &mut shutdown => break,
            Some(_) = connections.join_next() => {}
            _ = tidy.tick() => shared.tidy(),
            accepted = listener.accept() => match accepted {
                Ok((stream, peer)) if connections.len() < shared.config().limits.connections_max => {
                    connections.spawn_local(N::task(converse(shared.clone(), stream, peer, drained.clone())));
                }
                Ok((stream, _)) => _ = connections.spawn_local(N::task(refuse(stream))),
                Err(error) => {
                    tracing::warn!(%error, "cannot accept a connection");
                    sleep(ACCEPT_PAUSE).await;
                }
            },
        }
    }
    drop(listener);
    shared.events().emit(|| Event::Draining { connections: connections.len() });
    drain.send_replace(true);
    let all = async { while connections.join_next().await.is_some() {} };
    if timeout(shared.config().timeouts.drain, all).await.is_err() {
        shared.events().emit(|| Event::DrainCut { connections: connections.len() });
    }
    Ok(())
}

async fn refuse<S: tokio::io::AsyncRead + tokio::io::AsyncWrite + Unpin>(stream: S) {
    let _ = timeout(LINGER, answer_and_close(stream, &response(&TOO_MANY), LINGER)).await;
}

/// What the service and the driver of one connection both know.
struct Talk<N: Net> {
    handle: Handle<N::Stream>,
    asker: Asker,
    /// Requests that hyper has handed over, and those of them that are answered.
    asked: Cell<u64>,
    answered: Cell<u64>,
    /// Whether the last answer said that the connection closes.
    closes: Cell<bool>,
    tunnel: RefCell<Option<Tunnel<N>>>,
}

/// Serves one connection to its end.
async fn converse<N: Net>(
    shared: Rc<Shared<N>>,
    stream: N::Stream,
    peer: SocketAddr,
    mut drained: watched::Receiver<bool>,
) {
    shared.events().emit(|| Event::Accepted);
    let config = shared.config();
    let limits = Limits {
        head_bytes_max: config.limits.head_bytes_max,
        fields_max: config.limits.headers_max,
        target_bytes_max: config.limits.target_bytes_max,
        body_bytes_max: config.limits.body_bytes_max,
        ..Limits::default()
    };
    let (guarded, handle) = guard(stream, limits);
    let talk = Rc::new(Talk {
        handle,
        asker: Asker::new(Client::new(peer.ip())),
        asked: Cell::new(0),
        answered: Cell::new(0),
        closes: Cell::new(false),
        tunnel: RefCell::default(),
    });
    let service = {
        let (shared, talk) = (shared.clone(), talk.clone());
        service_fn(move |request| answer(shared.clone(), talk.clone(), request))
    };
    let ended = {
        let mut http = http1::Builder::new();
        // Not with `pipeline_flush`: hyper would take in an answer whole, however slowly the client reads.
        http.half_close(true).auto_date_header(false).max_buf_size(config.limits.head_bytes_max.max(64 << 10));
        if config.limits.headers_max > HYPER_FIELDS_MAX {
            // The guard counts them too, and hyper is slower where it is told of a limit.
            http.max_headers(config.limits.headers_max);
        }
        let mut connection = pin!(http.serve_connection(TokioIo::new(guarded), service));
        let mut watch = Watch::new(&config.timeouts);
        let is_drained = drained.clone();
        let mut draining = pin!(drained.changed());
        // A poll of it takes a lock: one is to be woken by it, and one to see it.
        let (mut is_awaited, mut is_draining) = (false, false);
        loop {
            let step = poll_fn(|cx| {
                if let Poll::Ready(ended) = connection.as_mut().poll(cx) {
                    return Poll::Ready(Step::Ended(ended));
                }
                if let Poll::Ready(end) = watch.poll(cx, &talk) {
                    return Poll::Ready(Step::Watched(end));
                }
                if !is_draining && (!is_awaited || is_drained.has_changed()) {
                    is_awaited = true;
                    if let Poll::Ready(Ok(())) = draining.as_mut().poll(cx) {
                        is_draining = true;
                        return Poll::Ready(Step::Drain);
                    }
                }
                Poll::Pending
            });
            match step.await {
                Step::Ended(ended) => break End::Served(ended.is_ok()),
                Step::Watched(end) => break end,
                Step::Drain => {
                    if !planted!(config.policy, DrainForgetsIdle) {
                        connection.as_mut().graceful_shutdown();
                    }
                }
            }
        }
    };
    finish(&shared, &talk, ended).await;
    shared.events().emit(|| Event::Closed);
}

enum Step {
    Ended(hyper::Result<()>),
    Watched(End),
    Drain,
}

/// How a connection ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum End {
    /// hyper is done with it.
    Served(bool),
    /// No request came for too long.
    Idle,
    /// One began to come, and did not end.
    TooSlow,
    /// The client has gone.
    Gone,
}

/// Answers one request.
async fn answer<N: Net>(
    shared: Rc<Shared<N>>,
    talk: Rc<Talk<N>>,
    request: Request<Incoming>,
) -> Result<Response<AnswerBody>, Infallible> {
    talk.asked.set(talk.asked.get() + 1);
    let (began, version) = (Instant::now(), request.version());
    let mut answered = proxy::forward(&shared, request, &talk.asker).await;
    talk.answered.set(talk.answered.get() + 1);
    if version == Version::HTTP_10 {
        fit_http_10(&mut answered.response);
    }
    talk.closes.set(says_close(&answered.response));
    let (status, after) = (answered.response.status().as_u16(), began.elapsed());
    shared.events().emit(|| Event::Answered { status, after });
    match answered.tunnel {
        Some(tunnel) => {
            shared.events().emit(|| Event::Switched { id: tunnel.ticket.id() });
            *talk.tunnel.borrow_mut() = Some(tunnel);
        }
        None if talk.handle.phase() == Phase::Upgrade => talk.handle.declined(),
        None => {}
    }
    Ok(answered.response)
}

fn says_close(response: &Response<AnswerBody>) -> bool {
    response.headers().get(CONNECTION).is_some_and(|value| value == "close")
}

/// Says the end of the connection where that is the end of the answer: HTTP/1.0 has no chunks. hyper would say
/// `keep-alive` to who asked for it, whatever else is said, unless the answer is of that version.
fn fit_http_10(response: &mut Response<AnswerBody>) {
    if response.body().size_hint().exact().is_none() || says_close(response) {
        *response.version_mut() = Version::HTTP_10;
        response.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
    }
}

/// Watches over a connection's deadlines, its request's too, and over a client that goes away. Its timer is moved when it
/// fires, or where something is due before: it costs next to nothing for each request.
struct Watch<'a> {
    timeouts: &'a Timeouts,
    timer: Pin<Box<Sleep>>,
    seen: (Phase, u64, u64),
    since: Instant,
    half_closed: Option<Instant>,
}

impl<'a> Watch<'a> {
    fn new(timeouts: &'a Timeouts) -> Self {
        let since = Instant::now();
        let timer = Box::pin(sleep_until(since + timeouts.head.min(timeouts.keep_alive)));
        Self { timeouts, timer, seen: (Phase::Idle, 0, 0), since, half_closed: None }
    }

    fn poll<N: Net>(&mut self, cx: &mut Context<'_>, talk: &Talk<N>) -> Poll<End> {
        let now_seen = (talk.handle.phase(), talk.handle.requests(), talk.answered.get());
        if now_seen != self.seen {
            self.seen = now_seen;
            self.since = Instant::now();
        }
        let is_answering = talk.asked.get() > talk.answered.get();
        if is_answering && self.half_closed.is_none() {
            match talk.handle.poll_end(cx) {
                Poll::Ready(Err(_)) => return Poll::Ready(End::Gone),
                Poll::Ready(Ok(())) => {
                    let until = Instant::now() + HALF_CLOSED;
                    self.half_closed = Some(until);
                    self.timer.as_mut().reset(until);
                }
                Poll::Pending => {}
            }
        }
        let alarm = talk.asker.alarm();
        if let Some(alarm) = alarm.filter(|alarm| *alarm < self.timer.deadline()) {
            self.timer.as_mut().reset(alarm);
        }
        while self.timer.as_mut().poll(cx).is_ready() {
            let now = Instant::now();
            let (due, end) = self.due(is_answering, now);
            if due <= now {
                return Poll::Ready(end);
            }
            if alarm.is_some_and(|alarm| alarm <= now) {
                // It became due only just, and who waits for it was polled before.
                self.timer.as_mut().reset(due);
                cx.waker().wake_by_ref();
                return Poll::Pending;
            }
            self.timer.as_mut().reset(alarm.map_or(due, |alarm| alarm.min(due)));
        }
        Poll::Pending
    }

    /// What would end the connection next, and when, as things are.
    fn due(&self, is_answering: bool, now: Instant) -> (Instant, End) {
        let Timeouts { head, keep_alive, .. } = self.timeouts;
        match (self.half_closed, self.seen.0) {
            (Some(until), _) if is_answering => (until, End::Gone),
            (_, Phase::Head) if !is_answering => (self.since + *head, End::TooSlow),
            (_, Phase::Idle | Phase::Closed) if !is_answering => (self.since + *keep_alive, End::Idle),
            // Bodies and answers have deadlines of their own; here is only looked again.
            _ => (now + (*head).min(*keep_alive), End::Idle),
        }
    }
}

/// What is left to do on a connection when HTTP on it has ended.
async fn finish<N: Net>(shared: &Shared<N>, talk: &Talk<N>, end: End) {
    if let Some(Tunnel { link, ticket }) = talk.tunnel.take() {
        talk.handle.upgraded();
        let (Some((client, to_backend)), Ok(parts)) = (talk.handle.release(), link.stream.await) else { return };
        let idle = shared.config().timeouts.idle;
        let ended = tunnel::run(client, parts.read_buf, parts.io.into_inner().into_inner(), to_backend, idle).await;
        if let Err(error) = ended {
            tracing::debug!(%error, "a tunnel has ended");
        }
        return ticket.done(Instant::now());
    }
    let Some((client, _)) = talk.handle.release() else { return };
    let rejection = talk.handle.unanswered_rejection(talk.answered.get()).filter(|_| !talk.closes.get());
    let answer = match (end, rejection) {
        (_, Some(rejection)) => reject(shared, &rejection),
        (End::TooSlow, None) => reject(shared, &TOO_SLOW),
        (End::Served(false) | End::Gone, None) => return,
        (End::Served(true) | End::Idle, None) => Bytes::new(),
    };
    let linger = shared.config().timeouts.linger;
    let _ = timeout(linger, answer_and_close(client, &answer, LINGER)).await;
}

fn reject<N: Net>(shared: &Shared<N>, rejection: &Rejection) -> Bytes {
    shared.events().emit(|| Event::Rejected { status: rejection.status, reason: rejection.reason });
    response(rejection)
}
