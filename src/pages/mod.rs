//! A few pages over HTTP on which a host tells of itself: JSON for programs, and [`exposition`] for Prometheus, [`histogram`]
//! included.
//!
//! A connection carries one request and has a deadline, and only so many are open at once, so those who ask cannot hold
//! up the host or each other.

pub mod exposition;
pub mod histogram;

use std::convert::Infallible;
use std::rc::Rc;
use std::time::Duration;

use bytes::Bytes;
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::header::{ALLOW, CACHE_CONTROL, CONTENT_TYPE, HeaderValue};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};

use crate::net::{Listener, Net};

/// How many connections are served at once; others wait until one is done.
const CONNECTIONS_MAX: usize = 64;

/// How long a request may take to come.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(5);

/// How long a connection may be open.
const CONNECTION_TIMEOUT: Duration = Duration::from_secs(10);

/// How long nothing is accepted after that failed, so that an error that stays does not keep the process busy.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// The content type of a line of text.
pub const TEXT: &str = "text/plain; charset=utf-8";

/// The content type of JSON.
pub const JSON: &str = "application/json";

/// What is at a path, at this moment; `None`: nothing ever is.
pub type Pages = Rc<dyn Fn(&str) -> Option<Response<Full<Bytes>>>>;

/// A page, which nobody is to keep.
pub fn page(status: StatusCode, content_type: &'static str, body: impl Into<Bytes>) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(body.into()));
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}

/// The answer to a request; `there` says what there is to one who asks for something else.
pub fn answer(pages: &Pages, there: &'static str, method: &Method, path: &str) -> Response<Full<Bytes>> {
    let Some(page_there) = pages(path) else { return page(StatusCode::NOT_FOUND, TEXT, there) };
    if method == Method::GET || method == Method::HEAD {
        return page_there;
    }
    let mut refused = page(StatusCode::METHOD_NOT_ALLOWED, TEXT, "this can be read only: use GET or HEAD\n");
    refused.headers_mut().insert(ALLOW, HeaderValue::from_static("GET, HEAD"));
    refused
}

/// Answers those who ask at `listener`, until the future is dropped.
pub async fn serve<N: Net>(mut listener: N::Listener, pages: Pages, there: &'static str) {
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            biased;
            Some(_) = connections.join_next() => {}
            accepted = listener.accept(), if connections.len() < CONNECTIONS_MAX => match accepted {
                Ok((stream, _)) => _ = connections.spawn_local(N::task(converse::<N>(stream, pages.clone(), there))),
                Err(error) => {
                    tracing::warn!(%error, "cannot accept a connection for the pages");
                    sleep(ACCEPT_PAUSE).await;
                }
            },
        }
    }
}

async fn converse<N: Net>(stream: N::Stream, pages: Pages, there: &'static str) {
    let service = service_fn(move |request: Request<Incoming>| {
        let answer = answer(&pages, there, request.method(), request.uri().path());
        async move { Ok::<_, Infallible>(answer) }
    });
    let mut http = http1::Builder::new();
    // The date header would be the wall clock's.
    http.timer(TokioTimer::new()).header_read_timeout(REQUEST_TIMEOUT).keep_alive(false).auto_date_header(false);
    let ended = timeout(CONNECTION_TIMEOUT, http.serve_connection(TokioIo::new(stream), service)).await;
    if let Ok(Err(error)) = ended {
        tracing::debug!(%error, "a connection for the pages failed");
    }
}
