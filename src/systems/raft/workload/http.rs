//! Clients that speak HTTP to the nodes' [fronts](crate::raft::front). They need TCP, which only the turmoil lane has.

use std::io;
use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt as _, Full};
use hyper::client::conn::http1::{SendRequest, handshake};
use hyper::header::{HOST, HeaderValue, IF_NONE_MATCH};
use hyper::{Method, Request, StatusCode};
use hyper_util::rt::TokioIo;
use tokio::time::{Instant, timeout_at};

use super::Transport;
use crate::net::Net;
use crate::raft::NodeId;
use crate::raft::client::{NotDone, Outcome};
use crate::raft::front::{EXPECTED, INDEX};
use crate::raft::kv::{Answer, Operation};
use crate::raft::request::Consistency;

/// Where nodes serve the store over HTTP.
pub(in crate::systems::raft) const HTTP_PORT: u16 = 9000;

/// How long a node may take to accept.
const CONNECT_TIMEOUT: Duration = Duration::from_millis(300);

/// A connection to one node at a time.
pub(super) struct Http<N> {
    net: N,
    members: Vec<NodeId>,
    give_up: Duration,
    /// Which member it asks.
    place: usize,
    connection: Option<SendRequest<Full<Bytes>>>,
}

impl<N: Net> Http<N> {
    /// Clients begin at different members.
    pub(super) fn new(net: N, members: Vec<NodeId>, give_up: Duration, place: u64) -> Self {
        let place = usize::try_from(place).unwrap_or_default() % members.len();
        Self { net, members, give_up, place, connection: None }
    }

    /// A connection that can be used. One to another member is tried where one cannot be had.
    async fn connected(&mut self, deadline: Instant) -> Option<SendRequest<Full<Bytes>>> {
        if let Some(mut connection) = self.connection.take()
            && connection.ready().await.is_ok()
        {
            return Some(connection);
        }
        for _ in 0..self.members.len() {
            let within = deadline.min(Instant::now() + CONNECT_TIMEOUT);
            let address = format!("{}:{HTTP_PORT}", self.members[self.place]);
            if let Ok(Ok(stream)) = timeout_at(within, self.net.connect(&address)).await
                && let Ok((connection, driver)) = handshake(TokioIo::new(stream)).await
            {
                tokio::task::spawn_local(N::task(async move { _ = driver.await }));
                return Some(connection);
            }
            self.place = (self.place + 1) % self.members.len();
        }
        None
    }
}

impl<N: Net> Transport for Http<N> {
    async fn call(&mut self, operation: Operation, consistency: Consistency) -> io::Result<Outcome> {
        let deadline = Instant::now() + self.give_up;
        let Some(mut connection) = self.connected(deadline).await else {
            return Ok(Outcome::NotDone(NotDone::NoAnswer));
        };
        let answered = timeout_at(deadline, async {
            let response = connection.send_request(request(&operation, consistency)).await.ok()?;
            let (status, index) = (response.status(), response.headers().get(INDEX).and_then(as_number));
            let body = response.into_body().collect().await.ok()?.to_bytes();
            Some((status, index, body))
        });
        let Ok(Some((status, index, body))) = answered.await else {
            // Its node may be dead, or cut off.
            self.place = (self.place + 1) % self.members.len();
            return Ok(nobody_knows(&operation));
        };
        self.connection = Some(connection);
        outcome(&operation, status, index, body)
            .ok_or_else(|| io::Error::other(format!("{}: an answer that makes no sense: {status}", operation.name())))
    }
}

fn as_number(value: &HeaderValue) -> Option<u64> {
    value.to_str().ok()?.parse().ok()
}

fn nobody_knows(operation: &Operation) -> Outcome {
    if operation.is_read() { Outcome::NotDone(NotDone::NoAnswer) } else { Outcome::Unknown }
}

fn request(operation: &Operation, consistency: Consistency) -> Request<Full<Bytes>> {
    let key = percent_encoded(operation.key());
    let mut path = format!("/kv/{key}");
    let (method, body) = match operation {
        Operation::Get { .. } => {
            path = format!("{path}?consistency={}", consistency.name());
            (Method::GET, Bytes::new())
        }
        Operation::Put { value, .. } | Operation::Cas { value, .. } => (Method::PUT, value.clone()),
        Operation::Append { value, .. } => (Method::POST, value.clone()),
        Operation::Delete { .. } => (Method::DELETE, Bytes::new()),
        Operation::Scan { .. } => unreachable!("the options refuse it"),
    };
    let request = Request::builder().method(method).uri(path).header(HOST, "store");
    let request = match operation {
        Operation::Cas { expected: None, .. } => request.header(IF_NONE_MATCH, "*"),
        Operation::Cas { expected: Some(expected), .. } => request.header(EXPECTED, percent_encoded(expected)),
        _ => request,
    };
    request.body(Full::new(body)).expect("what is percent-encoded fits")
}

fn percent_encoded(bytes: &[u8]) -> String {
    let encoded = |byte: &u8| {
        let is_plain = byte.is_ascii_alphanumeric() || b"-._~".contains(byte);
        if is_plain { char::from(*byte).to_string() } else { format!("%{byte:02X}") }
    };
    bytes.iter().map(encoded).collect()
}

/// What an answer says of a call; `None`: a front does not answer so.
fn outcome(operation: &Operation, status: StatusCode, index: Option<u64>, body: Bytes) -> Option<Outcome> {
    let answer = match (operation, status) {
        (_, StatusCode::SERVICE_UNAVAILABLE) => return Some(Outcome::NotDone(NotDone::NoAnswer)),
        (_, StatusCode::GATEWAY_TIMEOUT) => return Some(Outcome::Unknown),
        (Operation::Get { .. }, StatusCode::OK) => Answer::Value(Some(body)),
        (Operation::Get { .. }, StatusCode::NOT_FOUND) => Answer::Value(None),
        (Operation::Cas { .. }, StatusCode::NO_CONTENT) => Answer::Swapped(true),
        (Operation::Cas { .. }, StatusCode::PRECONDITION_FAILED) => Answer::Swapped(false),
        (Operation::Put { .. } | Operation::Append { .. } | Operation::Delete { .. }, StatusCode::NO_CONTENT) => {
            Answer::Done
        }
        _ => return None,
    };
    Some(Outcome::Answered { answer, index: index? })
}
