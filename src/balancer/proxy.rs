//! One request's way: a backend is chosen, asked, and, where that is safe, another one after it.
//!
//! What is safe depends on how far a request has come. One whose connection could not be opened, or that was handed back
//! unwritten, goes to the next backend whatever it is. One that may have been read is sent again only if it is
//! idempotent (RFC 9110, 9.2.2), has no body, and the budget allows it. A request that is not idempotent therefore never
//! goes over a connection that the backend may be closing just then: it gets a fresh one. An idempotent one may, and where
//! that connection ends before a byte of an answer, it was closed while it was kept: the request goes again at once over
//! a fresh one, which blames nobody and costs no retry.
//!
//! While a body is on its way, time is the client's ([`super::upload`]); the backend's begins when it has all of it.

use std::future::poll_fn;
use std::io;
use std::rc::Rc;
use std::task::Poll;

use hyper::body::{Body as _, Incoming};
use hyper::header::{CONNECTION, HeaderMap, HeaderValue, TRAILER, UPGRADE};
use hyper::{Request, Response, StatusCode, Version};
use tokio::time::{Instant, sleep};

use super::body::{AnswerBody, BodyFault, Ending};
use super::config::Config;
use super::event::Event;
use super::forwarding;
use super::outgoing::{Asker, Outgoing};
use super::own::{self, OverLimit};
use super::policy::{BackendId, Failure};
use super::shared::{Shared, Ticket};
use super::upload::{Progress, RequestBody};
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

/// What came of one try.
enum Tried<N: Net> {
    Answered(Response<Incoming>, Link<N>),
    /// The backend cannot have seen any of it.
    NotSent(Failure, RequestBody),
    /// The backend may have acted on it. It is silent if the connection ended before a byte of an answer.
    Lost {
        failure: Failure,
        is_silent: bool,
    },
    /// There is an answer, and it may not be passed on.
    OverLimit(OverLimit),
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
    // By a backend that may have acted on it.
    let mut lost: Option<Failure> = None;
    loop {
        let picked = shared.pick(&tried, now);
        let ticket = match picked {
            Ok(ticket) => ticket,
            Err(none) => return lost.map_or_else(|| own::no_backend(&none, last), own::failed).into(),
        };
        let id = ticket.id();
        match attempt(shared, &config, &ticket, &mut outgoing, now).await {
            Tried::Answered(response, link) => {
                let wanted = config.retries.on_503 && response.status() == StatusCode::SERVICE_UNAVAILABLE;
                if !wanted
                    || !outgoing.may_repeat(&config)
                    || !may_retry(shared, &config, &mut retries, &outgoing).await
                {
                    return answered(&config, &outgoing, response, link, ticket);
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
            Tried::OverLimit(limit) => {
                drop(ticket);
                shared.events().emit(|| Event::OverLimit { id });
                return own::over_limit(limit).into();
            }
            Tried::Lost { failure, .. } => {
                ticket.failed(failure);
                lost = Some(failure);
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
            None => match upstream.open(config, config.timeouts.connect).await {
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
            Tried::Lost { is_silent: true, .. } if is_reused && may_renew(shared, config) => {
                shared.events().emit(|| Event::Renewed { id: ticket.id() });
            }
            tried => return tried,
        }
    }
}

/// Whether a request may go over a fresh connection after a kept one that was closed: it always may.
#[cfg_attr(not(feature = "planted-bugs"), allow(unused_variables, reason = "the bug's place"))]
fn may_renew<N: Net>(shared: &Shared<N>, config: &Config) -> bool {
    !planted!(config.policy, StaleSpendsBudget) || shared.may_spend_retry()
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
    let heard_before = link.heard.bytes();
    let sending = link.sender.try_send_request(request);
    let answer = within(config, outgoing, now, sending).await;
    match answer {
        Some(Ok(response)) if !may_be_passed_on(config, response.headers()) => lost(Failure::Malformed),
        Some(Ok(response)) if !may_switch(config, outgoing, &response) => lost(Failure::Unasked),
        Some(Ok(_)) if planted!(config.policy, EarlyAnswerLost) && outgoing.is_uploading() => {
            Tried::Client(BodyFault::Broken)
        }
        Some(Ok(response)) => Tried::Answered(response, link),
        Some(Err(mut error)) => {
            if let Some(request) = error.take_message() {
                return Tried::NotSent(Failure::Reset, outgoing.take_back(request));
            }
            let heard = link.heard.bytes() - heard_before;
            match outgoing.progress.as_ref().and_then(|progress| progress.fault.get()) {
                Some(fault) => Tried::Client(fault),
                None if error.error().is_parse_too_large() => Tried::OverLimit(over_limit(config, heard)),
                None if error.error().is_parse() => lost(Failure::Malformed),
                None if heard == 0 => Tried::Lost { failure: Failure::Reset, is_silent: true },
                None => lost(Failure::Reset),
            }
        }
        None => lost(Failure::Timeout),
    }
}

#[cfg_attr(not(feature = "planted-bugs"), allow(unused_variables, reason = "the bug's place"))]
fn may_be_passed_on(config: &Config, headers: &HeaderMap) -> bool {
    forwarding::ends_in_one_place(headers) || planted!(config.policy, SmuggledLength)
}

#[cfg_attr(not(feature = "planted-bugs"), allow(unused_variables, reason = "the bug's place"))]
fn may_switch(config: &Config, outgoing: &Outgoing<'_>, response: &Response<Incoming>) -> bool {
    response.status() != StatusCode::SWITCHING_PROTOCOLS
        || outgoing.agrees_to_switch(response.headers())
        || planted!(config.policy, UnaskedTunnel)
}

fn lost<N: Net>(failure: Failure) -> Tried<N> {
    Tried::Lost { failure, is_silent: false }
}

/// Which limit an answer is above, of which so many bytes have come.
fn over_limit(config: &Config, heard: u64) -> OverLimit {
    let limits = &config.limits;
    if heard < limits.answer_head_bytes_max as u64 {
        OverLimit::Fields(limits.answer_headers_max)
    } else {
        OverLimit::Bytes(limits.answer_head_bytes_max)
    }
}

/// The answer, unless its time is over; that begins when the backend has the whole request.
async fn within<T>(
    config: &Config,
    outgoing: &Outgoing<'_>,
    began: Instant,
    answer: impl Future<Output = T>,
) -> Option<T> {
    let mut answer = std::pin::pin!(answer);
    let (mut due, mut seen) = (None, (0, began));
    let answer = poll_fn(|cx| {
        if let Poll::Ready(answer) = answer.as_mut().poll(cx) {
            return Poll::Ready(Some(answer));
        }
        let now = if let Some(until) = due {
            let now = Instant::now();
            if now < until {
                return Poll::Pending;
            }
            now
        } else {
            began
        };
        due = outgoing.look_again(config, now, began, &mut seen);
        outgoing.asker.alarm.set(due);
        if due.is_some() { Poll::Pending } else { Poll::Ready(None) }
    });
    let answer = answer.await;
    outgoing.asker.alarm.set(None);
    answer
}

/// The answer as the client gets it.
fn answered<N: Net>(
    config: &Config,
    outgoing: &Outgoing<'_>,
    response: Response<Incoming>,
    link: Link<N>,
    ticket: Ticket<N>,
) -> Answered<N> {
    let (mut parts, body) = response.into_parts();
    let version = parts.version;
    parts.version = Version::HTTP_11;
    if parts.status == StatusCode::SWITCHING_PROTOCOLS {
        let protocol = forwarding::upgrade_of(&parts.headers);
        forwarding::answer_headers(&mut parts.headers, version, &config.forwarding);
        if let Some(protocol) = protocol {
            parts.headers.insert(CONNECTION, HeaderValue::from_static("Upgrade"));
            parts.headers.insert(UPGRADE, protocol);
        }
        let response = Response::from_parts(parts, AnswerBody::Own(None));
        return Answered { response, tunnel: Some(Tunnel { link, ticket }) };
    }
    if !planted!(config.policy, HopByHopLeak) {
        forwarding::answer_headers(&mut parts.headers, version, &config.forwarding);
    }
    if !outgoing.takes_trailers || body.size_hint().exact().is_some() {
        // There will be none.
        parts.headers.remove(TRAILER);
    }
    let upload = outgoing.progress.clone().filter(|_| outgoing.is_uploading());
    if upload.is_some() {
        // Whether the client sends the rest, and where the next request would begin, is not known (RFC 9112 §9.6).
        parts.headers.insert(CONNECTION, HeaderValue::from_static("close"));
    }
    ticket.answered(parts.status, Instant::now());
    let is_refusal = parts.status.is_client_error() || parts.status.is_server_error() || outgoing.waits_for_100;
    let ending = Box::new(Exchange {
        link,
        ticket,
        upload,
        is_refusal,
        kept_max: if planted!(config.policy, PoolUnused) { 0 } else { config.limits.pool_max },
    });
    let body = AnswerBody::backend(body, config.timeouts.idle, ending);
    Answered { response: Response::from_parts(parts, body), tunnel: None }
}

/// What is to be done when an answer's body has ended. Dropped before, the client went away: the connection closes.
struct Exchange<N: Net> {
    link: Link<N>,
    ticket: Ticket<N>,
    /// The request's body, where the backend has answered before it had all of it.
    upload: Option<Rc<Progress>>,
    /// Whether such an answer says that the rest is not wanted.
    is_refusal: bool,
    kept_max: usize,
}

impl<N: Net> Ending for Exchange<N> {
    fn ended(self: Box<Self>, result: Result<(), BodyFault>) {
        let Self { link, ticket, upload, is_refusal, kept_max } = *self;
        let is_uploading = upload.as_ref().is_some_and(|upload| upload.sent_at.get().is_none());
        match result {
            Ok(()) => {
                let now = Instant::now();
                if is_uploading && is_refusal {
                    link.abort();
                } else if !is_uploading {
                    ticket.upstream().keep(link, kept_max, now);
                }
                ticket.done(now);
            }
            // The connection ended with what the client sent: no fault of the backend's.
            Err(_) if upload.is_some_and(|upload| upload.fault.get().is_some()) => drop(ticket),
            Err(_) => ticket.failed(Failure::Truncated),
        }
    }
}

impl<N: Net> From<Response<AnswerBody>> for Answered<N> {
    fn from(response: Response<AnswerBody>) -> Self {
        Self { response, tunnel: None }
    }
}
