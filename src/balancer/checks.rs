//! Active health checks: a backend is asked how it is, over a connection of its own.

use std::time::Duration;

use http_body_util::BodyExt as _;
use hyper::header::{HOST, HeaderValue, USER_AGENT};
use hyper::{Request, Uri};
use tokio::time::timeout;

use super::config::{Checks, Config};
use super::forwarding;
use super::policy::Failure;
use super::upload::RequestBody;
use super::upstream::Upstream;
use crate::net::Net;

/// The `User-Agent` of a check.
pub const AGENT: &str = "stormglass-health-check";

/// Asks a backend how it is, once: an error is why it counts as unwell.
pub async fn check<N: Net>(upstream: &Upstream<N>, config: &Config, checks: &Checks) -> Result<(), Failure> {
    timeout(checks.timeout, ask(upstream, config, checks)).await.unwrap_or(Err(Failure::Timeout))
}

async fn ask<N: Net>(upstream: &Upstream<N>, config: &Config, checks: &Checks) -> Result<(), Failure> {
    // The whole check has a deadline already.
    let mut link = upstream.open(config, Duration::MAX).await.map_err(|_| Failure::ConnectRefused)?;
    let path = Uri::try_from(&checks.path).unwrap_or_else(|_| Uri::from_static("/"));
    let mut request = Request::new(RequestBody::empty());
    *request.uri_mut() = forwarding::target(&upstream.origin, &path);
    let host = HeaderValue::from_str(&upstream.origin.address).unwrap_or_else(|_| HeaderValue::from_static(""));
    request.headers_mut().insert(HOST, host);
    request.headers_mut().insert(USER_AGENT, HeaderValue::from_static(AGENT));
    request.headers_mut().insert(hyper::header::CONNECTION, HeaderValue::from_static("close"));
    let answer = link.sender.send_request(request).await.map_err(|_| Failure::Reset)?;
    let status = answer.status();
    // A backend that begins an answer and does not end it is not well.
    let mut body = answer.into_body();
    while let Some(frame) = body.frame().await {
        frame.map_err(|_| Failure::Reset)?;
    }
    if status.is_success() || status.is_redirection() { Ok(()) } else { Err(Failure::Status(status.as_u16())) }
}
