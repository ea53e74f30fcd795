//! The store over HTTP, for people and programs that speak nothing else: a thin front of a node, whose requests go to the
//! cluster as any [client](super::client)'s do. So each node has the whole store, whoever leads.
//!
//! | request | answer |
//! |---|---|
//! | `GET /kv/KEY` | 200 and the value, or 404 |
//! | `PUT /kv/KEY`, the value as the body | 204 |
//! | `POST /kv/KEY`, what to append as the body | 204 |
//! | `DELETE /kv/KEY` | 204 |
//! | `PUT` with `X-Expected: VALUE`, or with `If-None-Match: *` | 204 if the value was that, or there was none; else 412 |
//! | any of them, when nobody leads | 503 and the reason: it was not done |
//! | one that writes, when the answer does not come | 504: it may have been done, or may still be |
//!
//! Keys are percent-encoded, as is the value in `X-Expected`. A `GET` may say `?consistency=log`, `index` (the default), `lease`
//! or `stale`: what the node itself has. Answers name the entry at or after which they are so, in `X-Raft-Index`.

use std::cell::RefCell;
use std::convert::Infallible;
use std::rc::Rc;
use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt as _, Full, Limited};
use hyper::body::Incoming;
use hyper::header::{ALLOW, HeaderMap, HeaderValue, IF_NONE_MATCH};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Method, Request, Response, StatusCode, Uri};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};

use super::NodeId;
use super::caller::{Caller, Servers};
use super::client::{NotDone, Outcome, Patience};
use super::kv::{Answer, Failure, Operation, VALUE_BYTES_MAX};
use super::request::Consistency;
use crate::net::{Listener, Net};
use crate::pages::{TEXT, page};
use crate::rng::Rng;

/// How many connections are served at once; others wait until one is done.
const CONNECTIONS_MAX: usize = 256;

/// How long a request may take to come.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(10);

/// How long nothing is accepted after that failed.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// The header with the value that has to be there.
pub const EXPECTED: &str = "x-expected";

/// The header with the entry at or after which an answer is so.
pub const INDEX: &str = "x-raft-index";

const METHODS: &str = "GET, PUT, POST, DELETE";

type Page = Response<Full<Bytes>>;

/// What a front needs to ask for.
pub struct Front<N: Net> {
    net: N,
    /// The whole cluster.
    all: Servers,
    /// The node itself, for reads that need not be fresh.
    own: Servers,
    patience: Patience,
    rng: RefCell<Rng>,
    /// Who has no call under way: of the cluster, and of the node itself.
    idle: RefCell<[Vec<Caller<N>>; 2]>,
}

impl<N: Net> Front<N> {
    /// The front of the node `id` of a cluster.
    pub fn new(net: N, id: NodeId, servers: Servers, patience: Patience, rng: Rng) -> Self {
        let mut own = servers.clone();
        own.addresses.retain(|member, _| *member == id);
        Self { net, all: servers, own, patience, rng: RefCell::new(rng), idle: RefCell::default() }
    }

    /// Answers those who ask at `listener`, until the future is dropped.
    pub async fn serve(self, mut listener: N::Listener) {
        let front = Rc::new(self);
        let mut connections = JoinSet::new();
        loop {
            tokio::select! {
                biased;
                Some(_) = connections.join_next() => {}
                accepted = listener.accept(), if connections.len() < CONNECTIONS_MAX => match accepted {
                    Ok((stream, _)) => _ = connections.spawn_local(N::task(converse(front.clone(), stream))),
                    Err(error) => {
                        tracing::warn!(%error, "cannot accept a connection for the store");
                        sleep(ACCEPT_PAUSE).await;
                    }
                },
            }
        }
    }

    async fn answer(&self, request: Request<Incoming>) -> Page {
        let (head, body) = request.into_parts();
        let key = match key(&head.uri) {
            Ok(key) => key,
            Err(why) => return page(StatusCode::NOT_FOUND, TEXT, why),
        };
        let consistency = match consistency(&head.uri) {
            Ok(consistency) => consistency,
            Err(why) => return page(StatusCode::BAD_REQUEST, TEXT, why),
        };
        let body = match timeout(REQUEST_TIMEOUT, Limited::new(body, VALUE_BYTES_MAX).collect()).await {
            Ok(Ok(body)) => body.to_bytes(),
            Ok(Err(_)) => return too_long(),
            Err(_) => return page(StatusCode::REQUEST_TIMEOUT, TEXT, "the body did not come in time\n"),
        };
        match operation(&head.method, &head.headers, key, body) {
            Ok(operation) => self.call(operation, consistency).await,
            Err(refused) => *refused,
        }
    }

    async fn call(&self, operation: Operation, consistency: Consistency) -> Page {
        let of_own = consistency == Consistency::Stale && operation.is_read();
        let place = usize::from(of_own);
        let idle = self.idle.borrow_mut()[place].pop();
        let mut caller = if let Some(caller) = idle {
            caller
        } else {
            let mut rng = self.rng.borrow().clone();
            let servers = if of_own { &self.own } else { &self.all };
            let made = Caller::new(&self.net, servers, self.patience.clone(), &mut rng).await;
            *self.rng.borrow_mut() = rng;
            match made {
                Ok(caller) => caller,
                Err(error) => {
                    return page(StatusCode::SERVICE_UNAVAILABLE, TEXT, format!("nobody can be asked: {error}\n"));
                }
            }
        };
        let outcome = caller.call(operation, consistency).await;
        self.idle.borrow_mut()[place].push(caller);
        told(outcome, self.patience.deadline)
    }
}

async fn converse<N: Net>(front: Rc<Front<N>>, stream: N::Stream) {
    let service = service_fn(move |request: Request<Incoming>| {
        let front = front.clone();
        async move { Ok::<_, Infallible>(front.answer(request).await) }
    });
    let mut http = http1::Builder::new();
    // The date header would be the wall clock's.
    http.timer(TokioTimer::new()).header_read_timeout(REQUEST_TIMEOUT).auto_date_header(false);
    if let Err(error) = http.serve_connection(TokioIo::new(stream), service).await {
        tracing::debug!(%error, "a connection for the store failed");
    }
}

/// The key that a path names.
fn key(uri: &Uri) -> Result<Bytes, String> {
    let path = uri.path();
    let encoded = path.strip_prefix("/kv/").filter(|key| !key.is_empty());
    let encoded = encoded.ok_or_else(|| "there is /kv/KEY\n".to_owned())?;
    decoded(encoded).ok_or_else(|| format!("`{encoded}` is no percent-encoded key\n"))
}

fn consistency(uri: &Uri) -> Result<Consistency, String> {
    let named = uri.query().into_iter().flat_map(|query| query.split('&'));
    let mut consistency = Consistency::Index;
    for pair in named {
        let name = pair
            .strip_prefix("consistency=")
            .ok_or_else(|| format!("`{pair}` says nothing: there is ?consistency=log, index, lease or stale\n"))?;
        let known = Consistency::ALL.into_iter().find(|known| known.name() == name);
        consistency =
            known.ok_or_else(|| format!("`{name}` is no consistency: expected log, index, lease or stale\n"))?;
    }
    Ok(consistency)
}

/// What is between two bytes of a text that is percent-encoded.
fn decoded(text: &str) -> Option<Bytes> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((first, after)) = rest.split_first() {
        rest = after;
        if *first != b'%' {
            bytes.push(*first);
            continue;
        }
        let (digits, after) = rest.split_at_checked(2)?;
        let digits = std::str::from_utf8(digits).ok().filter(|digits| digits.bytes().all(|c| c.is_ascii_hexdigit()))?;
        bytes.push(u8::from_str_radix(digits, 16).ok()?);
        rest = after;
    }
    Some(bytes.into())
}

/// What a request asks for, or the answer to it if that makes no sense.
fn operation(method: &Method, headers: &HeaderMap, key: Bytes, body: Bytes) -> Result<Operation, Box<Page>> {
    let expected = headers.get(EXPECTED).map(HeaderValue::as_bytes);
    let absent = headers.get(IF_NONE_MATCH).map(HeaderValue::as_bytes);
    let bad = |why: &str| Err(Box::new(page(StatusCode::BAD_REQUEST, TEXT, why.to_owned())));
    if (expected.is_some() || absent.is_some()) && method != Method::PUT {
        return bad("X-Expected and If-None-Match go with PUT\n");
    }
    match (method, expected, absent) {
        (&Method::GET, ..) => Ok(Operation::Get { key }),
        (&Method::DELETE, ..) => Ok(Operation::Delete { key }),
        (&Method::POST, ..) => Ok(Operation::Append { key, value: body }),
        (&Method::PUT, None, None) => Ok(Operation::Put { key, value: body }),
        (&Method::PUT, None, Some(b"*")) => Ok(Operation::Cas { key, expected: None, value: body }),
        (&Method::PUT, Some(_), Some(_)) => {
            bad("a value is there or it is not: X-Expected or If-None-Match, not both\n")
        }
        (&Method::PUT, None, Some(_)) => bad("If-None-Match is * here: nothing has to be there\n"),
        (&Method::PUT, Some(expected), None) => {
            let Some(expected) = std::str::from_utf8(expected).ok().and_then(decoded) else {
                return bad("X-Expected is no percent-encoded value\n");
            };
            Ok(Operation::Cas { key, expected: Some(expected), value: body })
        }
        _ => {
            let mut refused = page(StatusCode::METHOD_NOT_ALLOWED, TEXT, format!("there is {METHODS}\n"));
            refused.headers_mut().insert(ALLOW, HeaderValue::from_static(METHODS));
            Err(Box::new(refused))
        }
    }
}

fn too_long() -> Page {
    page(StatusCode::PAYLOAD_TOO_LARGE, TEXT, format!("a value has at most {VALUE_BYTES_MAX} bytes\n"))
}

fn told(outcome: Outcome, waited: Duration) -> Page {
    let (answer, index) = match outcome {
        Outcome::Answered { answer, index } => (answer, index),
        Outcome::Unknown => {
            let text = format!("unknown: no answer came for {waited:?}; it may have been done, or may still be\n");
            return page(StatusCode::GATEWAY_TIMEOUT, TEXT, text);
        }
        Outcome::NotDone(NotDone::NoAnswer) => {
            let text = format!("nobody led the cluster and answered for {waited:?}: it was not done\n");
            return page(StatusCode::SERVICE_UNAVAILABLE, TEXT, text);
        }
        Outcome::NotDone(NotDone::Refused(Failure::TooLong)) => return too_long(),
        Outcome::NotDone(NotDone::Refused(failure)) => {
            return page(StatusCode::SERVICE_UNAVAILABLE, TEXT, format!("it was not done: {}\n", failure.name()));
        }
    };
    let mut response = match answer {
        Answer::Value(Some(value)) => page(StatusCode::OK, "application/octet-stream", value),
        Answer::Value(None) => page(StatusCode::NOT_FOUND, TEXT, "nothing is there\n"),
        Answer::Swapped(false) => page(StatusCode::PRECONDITION_FAILED, TEXT, "another value is there\n"),
        Answer::Done | Answer::Swapped(true) => page(StatusCode::NO_CONTENT, TEXT, Bytes::new()),
        Answer::Pairs(_) | Answer::Failed(_) => page(StatusCode::INTERNAL_SERVER_ERROR, TEXT, "an odd answer\n"),
    };
    response.headers_mut().insert(INDEX, HeaderValue::from(index));
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    fn uri(text: &str) -> Uri {
        text.parse().expect("it is one")
    }

    fn asked(method: &Method, headers: &[(&'static str, &'static str)]) -> Result<Operation, u16> {
        let headers = headers
            .iter()
            .map(|(name, value)| (hyper::header::HeaderName::from_static(name), HeaderValue::from_static(value)));
        let body = Bytes::from_static(b"new");
        operation(method, &headers.collect(), Bytes::from_static(b"k"), body).map_err(|page| page.status().as_u16())
    }

    #[test]
    fn keys_are_percent_encoded() {
        assert_eq!(key(&uri("/kv/a%2Fb%00")), Ok(Bytes::from_static(b"a/b\0")));
        for bad in ["/kv/", "/kv", "/", "/kvx/a", "/kv/%2", "/kv/%+1"] {
            assert!(key(&uri(bad)).is_err(), "{bad}");
        }
    }

    #[test]
    fn reads_say_how_fresh_they_have_to_be() {
        assert_eq!(consistency(&uri("/kv/a")), Ok(Consistency::Index));
        assert_eq!(consistency(&uri("/kv/a?consistency=stale")), Ok(Consistency::Stale));
        assert!(consistency(&uri("/kv/a?consistency=fresh")).is_err_and(|why| why.contains("expected log")));
        assert!(consistency(&uri("/kv/a?fresh")).is_err_and(|why| why.contains("says nothing")));
    }

    #[test]
    fn a_method_and_its_headers_make_an_operation() {
        let (key, value) = (Bytes::from_static(b"k"), Bytes::from_static(b"new"));
        assert_eq!(asked(&Method::GET, &[]), Ok(Operation::Get { key: key.clone() }));
        assert_eq!(asked(&Method::POST, &[]), Ok(Operation::Append { key: key.clone(), value: value.clone() }));
        let cas = |expected: Option<&'static str>| Operation::Cas {
            key: key.clone(),
            expected: expected.map(|expected| Bytes::from_static(expected.as_bytes())),
            value: value.clone(),
        };
        assert_eq!(asked(&Method::PUT, &[("x-expected", "old%20one")]), Ok(cas(Some("old one"))));
        assert_eq!(asked(&Method::PUT, &[("if-none-match", "*")]), Ok(cas(None)));
        assert_eq!(asked(&Method::PUT, &[("if-none-match", "\"x\"")]), Err(400));
        assert_eq!(asked(&Method::PUT, &[("x-expected", "a"), ("if-none-match", "*")]), Err(400));
        assert_eq!(asked(&Method::DELETE, &[("x-expected", "a")]), Err(400));
        assert_eq!(asked(&Method::PATCH, &[]), Err(405));
    }

    #[test]
    fn what_cannot_be_known_is_another_answer_than_what_was_not_done() {
        let code = |outcome| told(outcome, Duration::from_secs(1)).status().as_u16();
        assert_eq!(code(Outcome::Unknown), 504);
        assert_eq!(code(Outcome::NotDone(NotDone::NoAnswer)), 503);
        assert_eq!(code(Outcome::NotDone(NotDone::Refused(Failure::TooLong))), 413);
        let answered = |answer| Outcome::Answered { answer, index: 7 };
        assert_eq!(code(answered(Answer::Value(None))), 404);
        assert_eq!(code(answered(Answer::Swapped(false))), 412);
        assert_eq!(told(answered(Answer::Done), Duration::ZERO).headers()[INDEX], "7");
    }
}
