//! One request's way: a backend is chosen, asked, and, where that is safe, another one after it.
//!
//! What is safe depends on how far a request has come. One whose connection could not be opened, or that was handed back
//! unwritten, goes to the next backend whatever it is. One that may have been read is sent again only if it is
//! idempotent (RFC 9110, 9.2.2), has no body, and the budget allows it. A request that is not idempotent therefore never
//! goes over a connection that the backend may be closing just then: it gets a fresh one.

use std::cell::{Cell, RefCell};
use std::future::poll_fn;
use std::io;
use std::rc::Rc;
use std::task::Poll;
use std::time::Duration;

use hyper::body::Incoming;
use hyper::header::{HeaderMap, HeaderName, HeaderValue, UPGRADE};
use hyper::{Method, Request, Response, StatusCode, Uri, Version};
use tokio::time::{Instant, sleep};

use super::body::{AnswerBody, BodyFault, Ending, Progress, RequestBody};
use super::config::Config;
use super::forwarding::{self, Client};
use super::own;
use super::policy::{BackendId, Failure};
use super::shared::{Shared, Ticket};
use super::upstream::{Link, Upstream};
use crate::net::Net;

/// An answer, and the backend's connection if both sides have agreed to speak another protocol on it.
pub struct Answered<N: Net> {
    /// The answer.
    pub response: Response<AnswerBody>,
    /// Where the tunnel leads, after a 101.
    pub tunnel: Option<Tunnel<N>>,
}

/// A backend's side of a tunnel.
pub struct Tunnel<N: Net> {
    /// Its connection.
    pub link: Link<N>,
    /// Counts it as in flight.
    pub ticket: Ticket<N>,
}

/// Who sends requests over one connection, one after another, and what is kept from one to the next.
#[derive(Debug)]
pub struct Asker {
    client: Client,
    /// When the request that is being answered has to be looked at again, at the latest. Whoever polls it sees to that:
    /// one timer for the connection costs nothing for a request, where one for each would.
    alarm: Cell<Option<Instant>>,
    /// The headers of the request that is being answered, while it may have to be sent again.
    copy: RefCell<Vec<(HeaderName, HeaderValue)>>,
}

/// A request that is to be forwarded.
struct Outgoing<'a> {
    asker: &'a Asker,
    method: Method,
    uri: Uri,
    /// Not here once they are sent: [`Asker::copy`] has them.
    headers: HeaderMap,
    asks_upgrade: bool,
    /// Whether it has one, which may be on its way already.
    has_body: bool,
    body: RequestBody,
    /// That of a body, if there is one.
    progress: Option<Rc<Progress>>,
    deadline: Instant,
}

/// What came of one try.
enum Tried<N: Net> {
    Answered(Response<Incoming>, Link<N>),
    /// The backend cannot have seen any of it.
    NotSent(Failure, RequestBody),
    /// The backend may have acted on it.
    Lost(Failure),
    /// The client is to blame.
    Client(BodyFault),
}

/// Takes a request to a backend and its answer back.
pub async fn forward<N: Net>(shared: &Rc<Shared<N>>, request: Request<Incoming>, asker: &Asker) -> Answered<N> {
    let config = shared.config();
    let mut now = Instant::now();
    let Some(_request) = shared.begin(now) else { return own::busy().into() };
    let mut outgoing = Outgoing::new(request, asker, &config, now);
    let mut tried: Vec<BackendId> = Vec::new();
    let mut retries = 0;
    let mut last: Option<Failure> = None;
    loop {
        let picked = shared.pick(&tried, now);
        let ticket = match picked {
            Ok(ticket) => ticket,
            Err(none) => return own::no_backend(&none, last).into(),
        };
        let id = ticket.id();
        match attempt(shared, &config, &ticket, &mut outgoing, now).await {
            Tried::Answered(response, link) => {
                let wanted = config.retries.on_503 && response.status() == StatusCode::SERVICE_UNAVAILABLE;
                if !wanted
                    || !outgoing.may_repeat(&config)
                    || !may_retry(shared, &config, &mut retries, &outgoing).await
                {
                    return answered(&config, response, link, ticket);
                }
                ticket.failed(Failure::Status(response.status().as_u16()));
            }
            Tried::NotSent(failure, body) => {
                ticket.failed(failure);
                outgoing.body = body;
                last = Some(failure);
                if Instant::now() >= outgoing.deadline {
                    return own::timed_out().into();
                }
            }
            Tried::Lost(failure) => {
                ticket.failed(failure);
                last = Some(failure);
                if !outgoing.may_repeat(&config) || !may_retry(shared, &config, &mut retries, &outgoing).await {
                    return own::failed(failure).into();
                }
            }
            Tried::Client(fault) => {
                drop(ticket);
                return own::client_fault(fault).into();
            }
        }
        tried.push(id);
        now = Instant::now();
    }
}

/// Waits before another try, if there may be one.
async fn may_retry<N: Net>(shared: &Shared<N>, config: &Config, retries: &mut u32, outgoing: &Outgoing<'_>) -> bool {
    if *retries >= config.retries.attempts_max {
        return false;
    }
    let Some(wait) = shared.wait_before(*retries + 1, outgoing.deadline) else { return false };
    if !shared.may_spend_retry() {
        return false;
    }
    *retries += 1;
    sleep(wait).await;
    true
}

impl Asker {
    /// A client that has just connected.
    pub fn new(client: Client) -> Self {
        Self { client, alarm: Cell::new(None), copy: RefCell::default() }
    }

    /// When the request that is being answered has to be polled again, if nothing wakes it before.
    pub fn alarm(&self) -> Option<Instant> {
        self.alarm.get()
    }
}

impl Drop for Outgoing<'_> {
    fn drop(&mut self) {
        self.asker.alarm.set(None);
        // They hold the buffer that the next request is to be read into.
        self.asker.copy.borrow_mut().clear();
    }
}

impl<'a> Outgoing<'a> {
    fn new(request: Request<Incoming>, asker: &'a Asker, config: &Config, now: Instant) -> Self {
        let (parts, body) = request.into_parts();
        let body = RequestBody::new(body, config.timeouts.idle, config.limits.body_bytes_max);
        let mut headers = parts.headers;
        if !body.is_empty() {
            // Where the body ends and the tunnel begins would be anybody's guess.
            headers.remove(UPGRADE);
        }
        forwarding::request_headers(&mut headers, &parts.uri, parts.version, &asker.client, &config.forwarding);
        Self {
            asker,
            method: parts.method,
            uri: parts.uri,
            asks_upgrade: headers.contains_key(UPGRADE),
            headers,
            has_body: !body.is_empty(),
            progress: body.progress(),
            body,
            deadline: now + config.timeouts.request,
        }
    }

    /// Whether it may be sent again although a backend may have acted on it.
    #[cfg_attr(not(feature = "planted-bugs"), allow(unused_variables, reason = "the bug's place"))]
    fn may_repeat(&self, config: &Config) -> bool {
        let is_safe = self.method.is_idempotent() || planted!(config.policy, PostRetried);
        is_safe && !self.has_body && !self.asks_upgrade
    }

    /// The request as its backend gets it; the body goes along, once, and the headers, of which a copy stays where it may
    /// be repeated: hyper has a use for the map, and a list is cheaper to make than another one.
    fn for_backend<N: Net>(&mut self, config: &Config, upstream: &Upstream<N>) -> Request<RequestBody> {
        let may_repeat = self.may_repeat(config);
        let mut request = Request::new(std::mem::replace(&mut self.body, RequestBody::empty()));
        *request.method_mut() = self.method.clone();
        *request.uri_mut() = forwarding::target(&upstream.origin, &self.uri);
        *request.version_mut() = Version::HTTP_11;
        let mut headers = std::mem::take(&mut self.headers);
        let mut copy = self.asker.copy.borrow_mut();
        if headers.is_empty() {
            headers.extend(copy.iter().cloned().map(|(name, value)| (Some(name), value)));
        } else if may_repeat {
            copy.extend(headers.iter().map(|(name, value)| (name.clone(), value.clone())));
        }
        *request.headers_mut() = headers;
        request
    }

    /// A request is back of which nothing was written.
    fn take_back(&mut self, request: Request<RequestBody>) -> RequestBody {
        let (parts, body) = request.into_parts();
        self.headers = parts.headers;
        body
    }
}

/// Asks one backend.
async fn attempt<N: Net>(
    shared: &Rc<Shared<N>>,
    config: &Config,
    ticket: &Ticket<N>,
    outgoing: &mut Outgoing<'_>,
    mut now: Instant,
) -> Tried<N> {
    let upstream = ticket.upstream();
    let is_careless = planted!(config.policy, StaleConnection);
    let may_reuse = outgoing.may_repeat(config) || is_careless;
    let mut reused = may_reuse.then(|| upstream.reuse(config.timeouts.pool, now)).flatten();
    loop {
        let is_reused = reused.is_some() && !is_careless;
        let link = match reused.take() {
            Some(link) => link,
            None => match upstream.open(config.timeouts.connect).await {
                Ok(link) => {
                    now = Instant::now();
                    link
                }
                Err(error) => {
                    let body = std::mem::replace(&mut outgoing.body, RequestBody::empty());
                    return Tried::NotSent(connect_failure(&error), body);
                }
            },
        };
        match send(config, upstream, link, outgoing, now).await {
            // It was closed while it was kept: that says nothing about the backend.
            Tried::NotSent(_, body) if is_reused => outgoing.body = body,
            Tried::Lost(Failure::Reset) if is_reused && shared.may_spend_retry() => {}
            tried => return tried,
        }
    }
}

fn connect_failure(error: &io::Error) -> Failure {
    match error.kind() {
        io::ErrorKind::TimedOut => Failure::ConnectTimeout,
        _ => Failure::ConnectRefused,
    }
}

/// Sends a request over a connection and waits for the head of the answer.
async fn send<N: Net>(
    config: &Config,
    upstream: &Upstream<N>,
    mut link: Link<N>,
    outgoing: &mut Outgoing<'_>,
    now: Instant,
) -> Tried<N> {
    let request = outgoing.for_backend(config, upstream);
    let sending = link.sender.try_send_request(request);
    let answer = within(config.timeouts.answer, outgoing, now, sending).await;
    match answer {
        Some(Ok(response)) if !may_be_passed_on(config, response.headers()) => Tried::Lost(Failure::Malformed),
        Some(Ok(response)) => Tried::Answered(response, link),
        Some(Err(mut error)) => {
            if let Some(request) = error.take_message() {
                return Tried::NotSent(Failure::Reset, outgoing.take_back(request));
            }
            match outgoing.progress.as_ref().and_then(|progress| progress.fault.get()) {
                Some(fault) => Tried::Client(fault),
                None if error.error().is_parse() => Tried::Lost(Failure::Malformed),
                None => Tried::Lost(Failure::Reset),
            }
        }
        None => Tried::Lost(Failure::Timeout),
    }
}

#[cfg_attr(not(feature = "planted-bugs"), allow(unused_variables, reason = "the bug's place"))]
fn may_be_passed_on(config: &Config, headers: &HeaderMap) -> bool {
    forwarding::ends_in_one_place(headers) || planted!(config.policy, SmuggledLength)
}

/// The answer, unless its time is over; that begins when the backend has the whole request.
async fn within<T>(
    patience: Duration,
    outgoing: &Outgoing<'_>,
    now: Instant,
    answer: impl Future<Output = T>,
) -> Option<T> {
    let mut answer = std::pin::pin!(answer);
    let mut due = None;
    let answer = poll_fn(|cx| {
        if let Poll::Ready(answer) = answer.as_mut().poll(cx) {
            return Poll::Ready(Some(answer));
        }
        let mut now = now;
        if let Some(until) = due {
            now = Instant::now();
            if now < until {
                return Poll::Pending;
            }
            let is_sent = outgoing.progress.as_ref().is_none_or(|progress| progress.is_sent.get());
            if now >= outgoing.deadline || is_sent {
                return Poll::Ready(None);
            }
        }
        due = Some((now + patience).min(outgoing.deadline));
        outgoing.asker.alarm.set(due);
        Poll::Pending
    });
    let answer = answer.await;
    outgoing.asker.alarm.set(None);
    answer
}

/// The answer as the client gets it.
fn answered<N: Net>(config: &Config, response: Response<Incoming>, link: Link<N>, ticket: Ticket<N>) -> Answered<N> {
    let (mut parts, body) = response.into_parts();
    let version = parts.version;
    parts.version = Version::HTTP_11;
    if parts.status == StatusCode::SWITCHING_PROTOCOLS {
        let protocol = forwarding::upgrade_of(&parts.headers);
        forwarding::answer_headers(&mut parts.headers, version, &config.forwarding);
        if let Some(protocol) = protocol {
            parts.headers.insert(hyper::header::CONNECTION, HeaderValue::from_static("Upgrade"));
            parts.headers.insert(hyper::header::UPGRADE, protocol);
        }
        let response = Response::from_parts(parts, AnswerBody::Own(None));
        return Answered { response, tunnel: Some(Tunnel { link, ticket }) };
    }
    if !planted!(config.policy, HopByHopLeak) {
        forwarding::answer_headers(&mut parts.headers, version, &config.forwarding);
    }
    ticket.answered(parts.status, Instant::now());
    let ending = Box::new(Exchange {
        link,
        ticket,
        kept_max: if planted!(config.policy, PoolUnused) { 0 } else { config.limits.pool_max },
    });
    let body = AnswerBody::backend(body, config.timeouts.idle, ending);
    Answered { response: Response::from_parts(parts, body), tunnel: None }
}

/// What is to be done when an answer's body has ended. Dropped before, the client went away: the connection closes.
struct Exchange<N: Net> {
    link: Link<N>,
    ticket: Ticket<N>,
    kept_max: usize,
}

impl<N: Net> Ending for Exchange<N> {
    fn ended(self: Box<Self>, result: Result<(), BodyFault>) {
        let Self { link, ticket, kept_max } = *self;
        match result {
            Ok(()) => {
                let now = Instant::now();
                ticket.upstream().keep(link, kept_max, now);
                ticket.done(now);
            }
            Err(_) => ticket.failed(Failure::Truncated),
        }
    }
}

impl<N: Net> From<Response<AnswerBody>> for Answered<N> {
    fn from(response: Response<AnswerBody>) -> Self {
        Self { response, tunnel: None }
    }
}
