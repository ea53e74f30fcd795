//! The balancer's own answers, each with a line that says what happened.

use std::fmt;
use std::time::Duration;

use bytes::Bytes;
use hyper::header::{CONNECTION, CONTENT_TYPE, HeaderValue, RETRY_AFTER};
use hyper::{Response, StatusCode};

use super::body::{AnswerBody, BodyFault};
use super::policy::{Failure, NoBackend};

/// An answer in plain text.
pub fn text(status: StatusCode, text: impl Into<Bytes>) -> Response<AnswerBody> {
    let mut response = Response::new(AnswerBody::text(text));
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("text/plain; charset=utf-8"));
    response
}

/// An answer after which the connection is closed.
fn closing(status: StatusCode, said: impl Into<Bytes>) -> Response<AnswerBody> {
    let mut response = text(status, said);
    response.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
    response
}

fn unavailable(after: Duration, said: impl Into<Bytes>) -> Response<AnswerBody> {
    let mut response = text(StatusCode::SERVICE_UNAVAILABLE, said);
    let seconds = after.as_secs() + u64::from(after.subsec_nanos() > 0);
    response.headers_mut().insert(RETRY_AFTER, HeaderValue::from(seconds.max(1)));
    response
}

/// There are as many requests as there may be.
pub fn busy() -> Response<AnswerBody> {
    unavailable(Duration::from_secs(1), "the balancer has as many requests in flight as it may: try again\n")
}

/// No backend can take it.
pub fn no_backend(none: &NoBackend, last: Option<Failure>) -> Response<AnswerBody> {
    let after = match none {
        NoBackend::AllDown { retry_after: Some(after) } => *after,
        _ => Duration::from_secs(1),
    };
    match last {
        Some(failure) => unavailable(after, format!("{none}; the last one: {failure}\n")),
        None => unavailable(after, format!("{none}\n")),
    }
}

/// The backend failed, and nobody else may be asked.
pub fn failed(failure: Failure) -> Response<AnswerBody> {
    let status = match failure {
        Failure::Timeout | Failure::ConnectTimeout => StatusCode::GATEWAY_TIMEOUT,
        _ => StatusCode::BAD_GATEWAY,
    };
    text(status, format!("from the backend: {failure}\n"))
}

/// The backend has answered, and the head of its answer is above a limit.
pub fn over_limit(limit: OverLimit) -> Response<AnswerBody> {
    text(StatusCode::BAD_GATEWAY, format!("from the backend: {limit}\n"))
}

/// A limit of the balancer's own that a backend's answer does not keep to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OverLimit {
    /// It has more headers than this.
    Fields(usize),
    /// Its head has more bytes than this.
    Bytes(usize),
}

impl fmt::Display for OverLimit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Fields(most) => {
                write!(f, "the answer has more headers than limits.answer_headers_max allows, which is {most}")
            }
            Self::Bytes(most) => {
                write!(f, "the answer's head is longer than limits.answer_head_bytes_max allows, which is {most} bytes")
            }
        }
    }
}

/// The time for the request is over.
pub fn timed_out() -> Response<AnswerBody> {
    text(StatusCode::GATEWAY_TIMEOUT, "no backend answered in time\n")
}

/// The client's own body is wrong.
pub fn client_fault(fault: BodyFault) -> Response<AnswerBody> {
    let status = match fault {
        BodyFault::Stalled | BodyFault::TooSlow => StatusCode::REQUEST_TIMEOUT,
        BodyFault::TooLarge => StatusCode::PAYLOAD_TOO_LARGE,
        BodyFault::Refused(rejection) => StatusCode::from_u16(rejection.status).expect("a rejection has a status code"),
        BodyFault::Broken => StatusCode::BAD_REQUEST,
    };
    closing(status, format!("{fault}\n"))
}
