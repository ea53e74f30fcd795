//! One request's way: a backend is chosen, asked, and, where that is safe, another one after it.
//!
//! What is safe depends on how far a request has come. One whose connection could not be opened, or that was handed back
//! unwritten, goes to the next backend whatever it is. One that may have been read is sent again only if it is
//! idempotent (RFC 9110, 9.2.2), has no body, and the budget allows it. A request that is not idempotent therefore never
//! goes over a connection that the backend may be closing just then: it gets a fresh one.

use std::io;
use std::rc::Rc;
use std::time::Duration;

use hyper::body::Incoming;
use hyper::header::{HOST, HeaderMap, HeaderValue};
use hyper::{Method, Request, Response, StatusCode, Uri, Version};
use tokio::time::{Instant, sleep, sleep_until};

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

/// A request that is to be forwarded.
struct Outgoing {
    method: Method,
    uri: Uri,
    headers: HeaderMap,
    /// Whether it has one, which may be on its way already.
    has_body: bool,
    body: RequestBody,
    progress: Rc<Progress>,
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
pub async fn forward<N: Net>(shared: Rc<Shared<N>>, request: Request<Incoming>, client: Client) -> Answered<N> {
    let config = shared.config();
    let Some(_request) = shared.begin() else { return own::busy().into() };
    let mut outgoing = Outgoing::new(request, &client, &config);
    let mut tried: Vec<BackendId> = Vec::new();
    let mut retries = 0;
    let mut last: Option<Failure> = None;
    loop {
        let picked = shared.pick(&tried);
        let ticket = match picked {
            Ok(ticket) => ticket,
            Err(none) => return own::no_backend(&none, last).into(),
        };
        tried.push(ticket.id());
        match attempt(&shared, &config, &ticket, &mut outgoing).await {
            Tried::Answered(response, link) => {
                let wanted = config.retries.on_503 && response.status() == StatusCode::SERVICE_UNAVAILABLE;
                if wanted && outgoing.may_repeat(&config) && may_retry(&shared, &config, &mut retries, &outgoing).await
                {
                    ticket.failed(Failure::Status(response.status().as_u16()));
                    continue;
                }
                return answered(&config, response, link, ticket);
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
                if !outgoing.may_repeat(&config) || !may_retry(&shared, &config, &mut retries, &outgoing).await {
                    return own::failed(failure).into();
                }
            }
            Tried::Client(fault) => {
                drop(ticket);
                return own::client_fault(fault).into();
            }
        }
    }
}

/// Waits before another try, if there may be one.
async fn may_retry<N: Net>(shared: &Shared<N>, config: &Config, retries: &mut u32, outgoing: &Outgoing) -> bool {
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

impl Outgoing {
    fn new(request: Request<Incoming>, client: &Client, config: &Config) -> Self {
        let (parts, body) = request.into_parts();
        let progress = Rc::new(Progress::default());
        let body = RequestBody::new(body, config.timeouts.idle, config.limits.body_bytes_max, progress.clone());
        let host = forwarding::host(&parts.uri, &parts.headers);
        let mut headers = parts.headers;
        if !body.is_empty() {
            // Where the body ends and the tunnel begins would be anybody's guess.
            headers.remove(hyper::header::UPGRADE);
        }
        headers.insert(HOST, host.clone());
        forwarding::request_headers(&mut headers, &host, client, &config.forwarding);
        let deadline = Instant::now() + config.timeouts.request;
        let has_body = !body.is_empty();
        Self { method: parts.method, uri: parts.uri, headers, has_body, body, progress, deadline }
    }

    /// Whether it may be sent again although a backend may have acted on it.
    #[cfg_attr(not(feature = "planted-bugs"), allow(unused_variables, reason = "the bug's place"))]
    fn may_repeat(&self, config: &Config) -> bool {
        let is_safe = self.method.is_idempotent() || planted!(config.policy, PostRetried);
        is_safe && !self.has_body && !self.headers.contains_key(hyper::header::UPGRADE)
    }

    /// The request as its backend gets it; the body goes along, once.
    fn for_backend<N: Net>(&mut self, upstream: &Upstream<N>) -> Request<RequestBody> {
        let mut request = Request::new(std::mem::replace(&mut self.body, RequestBody::empty()));
        *request.method_mut() = self.method.clone();
        *request.uri_mut() = forwarding::target(&upstream.origin, &self.uri);
        *request.version_mut() = Version::HTTP_11;
        *request.headers_mut() = self.headers.clone();
        request
    }
}

/// Asks one backend.
async fn attempt<N: Net>(
    shared: &Rc<Shared<N>>,
    config: &Config,
    ticket: &Ticket<N>,
    outgoing: &mut Outgoing,
) -> Tried<N> {
    let upstream = ticket.upstream().clone();
    let is_careless = planted!(config.policy, StaleConnection);
    let may_reuse = outgoing.may_repeat(config) || is_careless;
    let mut reused = may_reuse.then(|| upstream.reuse(config.timeouts.pool)).flatten();
    loop {
        let is_reused = reused.is_some() && !is_careless;
        let link = match reused.take() {
            Some(link) => link,
            None => match upstream.open(config.timeouts.connect).await {
                Ok(link) => link,
                Err(error) => {
                    let body = std::mem::replace(&mut outgoing.body, RequestBody::empty());
                    return Tried::NotSent(connect_failure(&error), body);
                }
            },
        };
        match send(config, &upstream, link, outgoing).await {
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
async fn send<N: Net>(config: &Config, upstream: &Upstream<N>, mut link: Link<N>, outgoing: &mut Outgoing) -> Tried<N> {
    let request = outgoing.for_backend(upstream);
    let sending = link.sender.try_send_request(request);
    let answer = within(config.timeouts.answer, outgoing, sending).await;
    match answer {
        Some(Ok(response)) if !may_be_passed_on(config, response.headers()) => Tried::Lost(Failure::Malformed),
        Some(Ok(response)) => Tried::Answered(response, link),
        Some(Err(mut error)) => {
            if let Some(request) = error.take_message() {
                return Tried::NotSent(Failure::Reset, request.into_body());
            }
            match outgoing.progress.fault.get() {
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
async fn within<T>(patience: Duration, outgoing: &Outgoing, answer: impl Future<Output = T>) -> Option<T> {
    let mut answer = std::pin::pin!(answer);
    let mut due = Instant::now() + patience;
    loop {
        tokio::select! {
            biased;
            answer = &mut answer => return Some(answer),
            () = sleep_until(due.min(outgoing.deadline)) => {}
        }
        let now = Instant::now();
        if now >= outgoing.deadline || outgoing.progress.is_sent.get() {
            return None;
        }
        due = now + patience;
    }
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
    ticket.answered(parts.status);
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
                ticket.upstream().keep(link, kept_max);
                ticket.done();
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
