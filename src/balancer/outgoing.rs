//! A request that is to be forwarded: what its client sent, as backends get it, and how long its answer may take.

use std::cell::{Cell, RefCell};
use std::rc::Rc;

use hyper::body::{Body as _, Incoming};
use hyper::header::{EXPECT, HeaderMap, HeaderName, HeaderValue, TE, TRAILER, UPGRADE};
use hyper::{Method, Request, Uri, Version};
use tokio::time::Instant;

use super::config::Config;
use super::forwarding::{self, Client};
use super::upload::{Progress, RequestBody};
use super::upstream::Upstream;
use crate::net::Net;

/// Who sends requests over one connection, one after another, and what is kept from one to the next.
#[derive(Debug)]
pub struct Asker {
    client: Client,
    /// When the request that is being answered has to be looked at again, at the latest. Whoever polls it sees to that:
    /// one timer for the connection costs nothing for a request, where one for each would.
    pub(super) alarm: Cell<Option<Instant>>,
    /// The headers of the request that is being answered, while it may have to be sent again.
    copy: RefCell<Vec<(HeaderName, HeaderValue)>>,
}

/// A request that is to be forwarded.
pub(super) struct Outgoing<'a> {
    pub(super) asker: &'a Asker,
    pub(super) method: Method,
    pub(super) uri: Uri,
    /// Not here once they are sent: [`Asker::copy`] has them.
    pub(super) headers: HeaderMap,
    /// The protocols that it asks to switch to.
    pub(super) upgrade: Option<HeaderValue>,
    /// Whether its client waits to be told to send the body.
    pub(super) waits_for_100: bool,
    /// Whether its client takes the trailers of an answer.
    pub(super) takes_trailers: bool,
    /// Whether it has one, which may be on its way already.
    pub(super) has_body: bool,
    pub(super) body: RequestBody,
    /// That of a body, if there is one.
    pub(super) progress: Option<Rc<Progress>>,
    pub(super) deadline: Instant,
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
    pub(super) fn new(request: Request<Incoming>, asker: &'a Asker, config: &Config, now: Instant) -> Self {
        let (parts, body) = request.into_parts();
        let body = RequestBody::new(body, config);
        let (mut headers, is_http_11) = (parts.headers, parts.version == Version::HTTP_11);
        // With a body, where that ends and the tunnel begins would be anybody's guess; and HTTP/1.0 knows neither
        // (RFC 9110 §7.8, §10.1.1).
        if !body.is_empty() || !is_http_11 || parts.method == Method::HEAD {
            headers.remove(UPGRADE);
        }
        if !is_http_11 {
            headers.remove(EXPECT);
        }
        forwarding::request_headers(&mut headers, &parts.uri, parts.version, &asker.client, &config.forwarding);
        if body.size_hint().exact().is_some() {
            // What is not chunked has no trailers.
            headers.remove(TRAILER);
        }
        let waits = headers.get(EXPECT).is_some_and(|value| value.as_bytes().eq_ignore_ascii_case(b"100-continue"));
        Self {
            asker,
            method: parts.method,
            uri: parts.uri,
            upgrade: headers.get(UPGRADE).cloned(),
            waits_for_100: waits && !body.is_empty() && !planted!(config.policy, ContinueAtOnce),
            takes_trailers: headers.contains_key(TE),
            headers,
            has_body: !body.is_empty(),
            progress: body.progress(),
            body,
            deadline: now + config.timeouts.request,
        }
    }

    /// Whether it may be sent again although a backend may have acted on it.
    #[cfg_attr(not(feature = "planted-bugs"), allow(unused_variables, reason = "the bug's place"))]
    pub(super) fn may_repeat(&self, config: &Config) -> bool {
        let is_safe = self.method.is_idempotent() || planted!(config.policy, PostRetried);
        is_safe && !self.has_body && self.upgrade.is_none()
    }

    /// The request as its backend gets it; the body goes along, once, and the headers, of which a copy stays where it may
    /// be repeated: hyper has a use for the map, and a list is cheaper to make than another one.
    pub(super) fn for_backend<N: Net>(&mut self, config: &Config, upstream: &Upstream<N>) -> Request<RequestBody> {
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
        if self.waits_for_100 && !request.body().is_empty() {
            RequestBody::hold_back(&mut request, config.timeouts.expect);
        }
        request
    }

    /// Whether the backend has not all of the body.
    pub(super) fn is_uploading(&self) -> bool {
        self.progress.as_ref().is_some_and(|progress| progress.sent_at.get().is_none())
    }

    /// Whether a backend may switch to what its answer names: to what was asked for, and nothing else (RFC 9110 §7.8).
    pub(super) fn agrees_to_switch(&self, headers: &HeaderMap) -> bool {
        let answered = forwarding::upgrade_of(headers);
        self.upgrade.as_ref().zip(answered).is_some_and(|(asked, answered)| forwarding::offers(asked, &answered))
    }

    /// When to look again for an answer: `None`, when its time is over. `pieces` of the body were gone at `looked`.
    pub(super) fn look_again(
        &self,
        config: &Config,
        now: Instant,
        began: Instant,
        seen: &mut (u64, Instant),
    ) -> Option<Instant> {
        let timeouts = &config.timeouts;
        let Some(progress) = &self.progress else {
            return Some((began + timeouts.answer).min(self.deadline)).filter(|until| now < *until);
        };
        if planted!(config.policy, SlowUploadBlamed) && now >= self.deadline {
            return None;
        }
        if let Some(sent_at) = progress.sent_at.get() {
            return Some(sent_at + timeouts.answer.min(timeouts.request)).filter(|until| now < *until);
        }
        if progress.is_awaited.get() || progress.pieces.get() != seen.0 {
            *seen = (progress.pieces.get(), now);
        }
        // A backend that takes nothing of what there is does not do its part.
        let is_taking = now < seen.1 + timeouts.idle;
        is_taking.then(|| now + timeouts.answer.min(timeouts.request).min(timeouts.idle))
    }

    /// A request is back of which nothing was written.
    pub(super) fn take_back(&mut self, request: Request<RequestBody>) -> RequestBody {
        let (parts, body) = request.into_parts();
        self.headers = parts.headers;
        body
    }
}
