use std::cell::Cell;
use std::future::poll_fn;

use http_body_util::{BodyExt as _, Full};
use hyper::body::Incoming;
use hyper::header::{CONNECTION, UPGRADE};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use tokio::io::DuplexStream;

use super::*;

/// What the driver of the tests has to say about a connection.
struct Served {
    handle: Handle<DuplexStream>,
    /// What hyper's connection ended with.
    failed: bool,
    /// The tunnel's beginning.
    tunnel: Option<Bytes>,
}

/// Answers with the request's target and its body's length, or as the target asks.
async fn answer(request: Request<Incoming>, handle: Handle<DuplexStream>) -> hyper::Result<Response<Full<Bytes>>> {
    let target = request.uri().to_string();
    if request.headers().contains_key(UPGRADE) && target == "/ws" {
        let response = Response::builder().status(101).header(CONNECTION, "upgrade").header(UPGRADE, "websocket");
        return Ok(response.body(Full::default()).expect("a response"));
    }
    handle.declined();
    if target == "/slow" {
        for _ in 0..50 {
            tokio::task::yield_now().await;
        }
    }
    if target == "/until-the-end" {
        let end = poll_fn(|cx| handle.poll_end(cx)).await;
        return Ok(Response::new(Full::from(format!("the end: {end:?}"))));
    }
    let body = if target == "/early" { Bytes::new() } else { request.into_body().collect().await?.to_bytes() };
    Ok(Response::new(Full::from(format!("{target} {}", body.len()))))
}

async fn serve(stream: DuplexStream) -> Served {
    let (guarded, handle) = guard(stream, Limits::default());
    let answers = Cell::new(0);
    let service = service_fn(|request| {
        let answer = answer(request, handle.clone());
        let answers = &answers;
        async move { answer.await.inspect(|_| answers.set(answers.get() + 1)) }
    });
    let mut http = http1::Builder::new();
    let connection = http.half_close(true).auto_date_header(false).serve_connection(TokioIo::new(guarded), service);
    let failed = connection.await.is_err();
    let asked = handle.phase() == Phase::Upgrade;
    handle.upgraded();
    let (stream, unread) = handle.release().expect("it is taken once");
    let rejection = handle.unanswered_rejection(answers.get());
    let answer = rejection.as_ref().map(response).unwrap_or_default();
    Box::pin(answer_and_close(stream, &answer, Duration::from_secs(1))).await.expect("the client is there");
    Served { handle, failed, tunnel: asked.then_some(unread) }
}

/// What a client gets that sends this through a pipe of that size, and what the driver says.
fn converse_through(pipe_bytes: usize, request: &str) -> (String, Served) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().expect("a runtime");
    runtime.block_on(async {
        let (client, server) = tokio::io::duplex(pipe_bytes);
        let (mut read, mut write) = tokio::io::split(client);
        let mut answers = String::new();
        let (served, sent, received) = tokio::join!(
            serve(server),
            async {
                write.write_all(request.as_bytes()).await?;
                write.shutdown().await
            },
            read.read_to_string(&mut answers)
        );
        sent.expect("the server lets it finish");
        received.expect("text");
        (answers, served)
    })
}

fn converse(request: &str) -> (String, Served) {
    let (answers, served) = converse_through(64 << 10, request);
    for pipe_bytes in [1, 7, 100] {
        let (again, _) = converse_through(pipe_bytes, request);
        assert_eq!(again, answers, "through {pipe_bytes} bytes: {request}");
    }
    (answers, served)
}

fn get(target: &str) -> String {
    format!("GET {target} HTTP/1.1\r\nHost: a\r\n\r\n")
}

fn ok(body: &str) -> String {
    format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n{body}", body.len())
}

fn refused(status: &str, reason: &str) -> String {
    let length = reason.len() + 1;
    format!(
        "HTTP/1.1 {status}\r\nConnection: close\r\nContent-Type: text/plain\r\nContent-Length: {length}\r\n\r\n{reason}\n"
    )
}

const CHUNKED: &str = "POST /upload HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n";

#[test]
fn a_good_conversation_is_left_alone() {
    let request = get("/a") + CHUNKED + "5\r\nhello\r\n0\r\n\r\n" + &get("/b");
    let (answers, served) = converse(&request);
    assert_eq!(answers, ok("/a 0") + &ok("/upload 5") + &ok("/b 0"));
    assert!(!served.failed && served.handle.rejection().is_none());
    assert_eq!((served.handle.bytes_in(), served.handle.requests()), (request.len() as u64, 3));
    assert_eq!(served.handle.bytes_out(), answers.len() as u64);
}

#[test]
fn requests_before_a_wrong_head_are_answered_first() {
    let no_host = refused("400 Bad Request", "There is no Host.");
    let wrong = "GET / HTTP/1.1\r\n\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n";
    assert_eq!(converse(wrong).0, no_host);
    assert_eq!(converse(&(get("/a") + &get("/slow") + wrong)).0, ok("/a 0") + &ok("/slow 0") + &no_host);
}

#[test]
fn a_client_that_stops_in_a_head_gets_nothing() {
    let (answers, served) = converse("GET / HTTP/1.1\r\nHost: a\r\n");
    assert!(answers.is_empty() && !served.failed);
    assert_eq!((served.handle.requests(), served.handle.phase()), (0, Phase::Head));
}

#[test]
fn a_broken_body_is_no_request() {
    let wrong = refused("400 Bad Request", "A chunk is longer or shorter than its size.");
    let request = get("/a") + CHUNKED + "5\r\nhello\r\n5\r\nhelloX0\r\n\r\n";
    let (answers, served) = converse(&request);
    assert_eq!(answers, ok("/a 0") + &wrong);
    assert!(served.failed, "the service gave up the request");
}

#[test]
fn a_broken_body_that_was_answered_is_not_answered_again() {
    let request = CHUNKED.replace("upload", "early") + "5\r\nhello\r\n5\r\nhelloX0\r\n\r\n";
    let (answers, _) = converse_through(64 << 10, &request);
    assert_eq!(answers.matches("HTTP/1.1 ").count(), 1, "{answers}");
    assert!(answers.starts_with("HTTP/1.1 200 OK\r\n"), "{answers}");
}

const WS: &str = "HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n";

#[test]
fn a_tunnel_begins_with_what_was_held_back() {
    let (answers, served) = converse_through(64 << 10, &format!("GET /ws {WS}GET is a frame here"));
    assert!(answers.starts_with("HTTP/1.1 101 Switching Protocols\r\n"), "{answers}");
    assert!(!served.failed);
    assert_eq!(served.tunnel.as_deref(), Some(&b"GET is a frame here"[..]));
    assert_eq!(served.handle.requests(), 1);
}

#[test]
fn a_declined_upgrade_is_followed_by_requests() {
    let (answers, served) = converse(&format!("GET /no {WS}{}", get("/b")));
    assert_eq!((answers, served.tunnel), (ok("/no 0") + &ok("/b 0"), None));
    let (answers, _) = converse(&format!("GET /no {WS}\x01\x02"));
    assert_eq!(answers, ok("/no 0") + &refused("400 Bad Request", "It does not begin with a method."));
}

#[test]
fn the_end_of_the_client_is_seen_while_it_waits() {
    let (answers, _) = converse(&(get("/until-the-end") + &get("/b")));
    assert_eq!(answers, ok("the end: Ok(())") + &ok("/b 0"));
}

#[test]
fn nothing_is_read_or_written_behind_a_release() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().expect("a runtime");
    runtime.block_on(async {
        let (_client, server) = tokio::io::duplex(64);
        let (mut guarded, handle) = guard(server, Limits::default());
        assert!(handle.release().is_some() && handle.release().is_none());
        assert_eq!(guarded.read(&mut [0]).await.expect_err("gone").kind(), io::ErrorKind::NotConnected);
        assert_eq!(guarded.write(&[0]).await.expect_err("gone").kind(), io::ErrorKind::NotConnected);
    });
}

#[test]
fn the_answer_says_what_is_allowed() {
    let rejection = Rejection { status: 405, reason: "No", during: During::Head };
    let response = response(&rejection);
    let text = str::from_utf8(&response).expect("text");
    assert!(text.starts_with("HTTP/1.1 405 Method Not Allowed\r\n"), "{text}");
    assert!(text.contains("\r\nAllow: GET, ") && text.ends_with("\r\n\r\nNo.\n"), "{text}");
}
