use std::cell::RefCell;
use std::convert::Infallible;
use std::rc::Rc;

use http_body_util::{BodyExt as _, Empty};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

use super::*;

const LIMITS: Limits =
    Limits { head_bytes_max: 600, fields_max: 5, target_bytes_max: 100, body_bytes_max: 1000, trailer_bytes_max: 100 };

/// What an inspector did with a stream.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Outcome {
    pub(super) out: BytesMut,
    pub(super) requests: u64,
    pub(super) phase: Phase,
    pub(super) rejection: Option<Rejection>,
}

pub(super) fn inspect<'a>(pieces: impl IntoIterator<Item = &'a [u8]>) -> Outcome {
    let (mut inspector, mut out) = (Inspector::new(LIMITS), BytesMut::new());
    for piece in pieces {
        let _ = inspector.take_in(piece, &mut out);
    }
    Outcome { out, requests: inspector.requests(), phase: inspector.phase(), rejection: inspector.rejection() }
}

/// The outcome, which has to be the same however the stream is cut.
fn inspect_every_cut(stream: &[u8]) -> Outcome {
    let whole = inspect([stream]);
    for at in 0..=stream.len() {
        assert_eq!(inspect([&stream[..at], &stream[at..]]), whole, "cut at {at}: {}", stream.escape_ascii());
    }
    assert_eq!(inspect(stream.chunks(1)), whole, "byte by byte: {}", stream.escape_ascii());
    whole
}

/// What hyper's server takes for requests: method, target, and the body unless it was broken.
fn hyper_sees(stream: &[u8]) -> (Vec<(String, String, Option<Bytes>)>, String) {
    let runtime = tokio::runtime::Builder::new_current_thread().build().expect("a runtime");
    let seen = Rc::new(RefCell::new(Vec::new()));
    let service = service_fn(|request: Request<Incoming>| {
        let seen = Rc::clone(&seen);
        async move {
            let (head, body) = request.into_parts();
            let body = body.collect().await.map(http_body_util::Collected::to_bytes).ok();
            seen.borrow_mut().push((head.method.to_string(), head.uri.to_string(), body));
            Ok::<_, Infallible>(Response::new(Empty::<Bytes>::new()))
        }
    });
    let answer = runtime.block_on(async {
        let (mut client, server) = tokio::io::duplex(1 << 20);
        client.write_all(stream).await.expect("it fits");
        client.shutdown().await.expect("it is open");
        let mut http = http1::Builder::new();
        let served = http.half_close(true).auto_date_header(false).serve_connection(TokioIo::new(server), service);
        let mut answer = String::new();
        let (_, read) = tokio::join!(served, client.read_to_string(&mut answer));
        read.expect("text");
        answer
    });
    (Rc::into_inner(seen).expect("hyper is gone").into_inner(), answer)
}

/// hyper reads as many requests from what passed as were counted, and refuses none.
pub(super) fn assert_hyper_agrees(stream: &[u8]) -> Vec<(String, String, Option<Bytes>)> {
    let outcome = inspect([stream]);
    let (seen, answer) = hyper_sees(&outcome.out);
    assert_eq!(seen.len() as u64, outcome.requests, "{} -> {}", stream.escape_ascii(), outcome.out.escape_ascii());
    assert_eq!(answer.matches(" 200 OK\r\n").count(), seen.len(), "{} -> {answer}", stream.escape_ascii());
    let whole = seen.iter().filter(|(_, _, body)| body.is_some()).count() as u64;
    let half =
        outcome.rejection.is_some_and(|rejection| rejection.during == During::Body) || outcome.phase == Phase::Body;
    assert_eq!(whole + u64::from(half), outcome.requests, "{}", stream.escape_ascii());
    seen
}

pub(super) fn get(request_line: &str) -> Vec<u8> {
    format!("{request_line}\r\nHost: a\r\n\r\n").into_bytes()
}

pub(super) fn with_fields(fields: &str) -> Vec<u8> {
    format!("POST / HTTP/1.1\r\nHost: a\r\n{fields}\r\n\r\n").into_bytes()
}

pub(super) fn chunked(body: &str) -> Vec<u8> {
    [with_fields("Transfer-Encoding: chunked"), body.as_bytes().to_vec()].concat()
}

fn assert_status(stream: &[u8], status: u16, during: During) {
    let outcome = inspect_every_cut(stream);
    let rejection = outcome.rejection.unwrap_or_else(|| panic!("it passes: {}", stream.escape_ascii()));
    assert_eq!((rejection.status, rejection.during), (status, during), "{rejection}: {}", stream.escape_ascii());
    assert_eq!(during == During::Head, outcome.out.is_empty(), "{}", stream.escape_ascii());
    // What comes later changes nothing, and one request in front is served.
    let later = inspect([stream, b"GET / HTTP/1.1\r\nHost: a\r\n\r\n"]);
    assert_eq!(later, outcome);
    let behind = [get("GET /first HTTP/1.1"), stream.to_vec()].concat();
    let first = &assert_hyper_agrees(&behind)[0];
    assert_eq!((first.1.as_str(), inspect([&behind[..]]).rejection), ("/first", Some(rejection)));
}

fn assert_passes(stream: &[u8], requests: u64) {
    let outcome = inspect_every_cut(stream);
    assert_eq!(outcome.rejection, None, "{}", stream.escape_ascii());
    assert_eq!((outcome.requests, outcome.phase), (requests, Phase::Idle), "{}", stream.escape_ascii());
    assert_eq!(outcome.out, stream);
    assert_hyper_agrees(stream);
}

#[test]
fn request_lines() {
    let path_100 = format!("/{}", "a".repeat(99));
    for good in [
        "GET / HTTP/1.1",
        "get / HTTP/1.1",
        "M-SEARCH /a HTTP/1.1",
        "OPTIONS * HTTP/1.1",
        "HEAD /a?b=c&d HTTP/1.1",
        "GET //a/../%2F%zz/;x=1,2?q=[]{}|^`\\~ HTTP/1.1",
        "GET http://a.example:80/b?c HTTP/1.1",
        "GET HTTPS://[::1]?c HTTP/1.1",
        "GET http://a HTTP/1.1",
        "\r\nGET / HTTP/1.1",
        "\r\n\r\n\r\n\r\nGET / HTTP/1.1",
        &format!("GET {path_100} HTTP/1.1"),
        "TRACE / HTTP/1.1",
    ] {
        assert_passes(&get(good), 1);
    }
    for (bad, status) in [
        ("GET /", 400),
        ("GET", 400),
        ("GET  / HTTP/1.1", 400),
        ("GET /  HTTP/1.1", 400),
        ("GET / HTTP/1.1 ", 400),
        (" GET / HTTP/1.1", 400),
        ("GET\t/\tHTTP/1.1", 400),
        ("G@T / HTTP/1.1", 400),
        ("GET\0 / HTTP/1.1", 400),
        ("GET / a HTTP/1.1", 400),
        ("GET /\t HTTP/1.1", 400),
        ("GET /\x7f HTTP/1.1", 400),
        ("GET /ä HTTP/1.1", 400),
        ("GET /a\rb HTTP/1.1", 400),
        ("GET / http/1.1", 400),
        ("GET / HTTP/1.1\r", 400),
        ("GET / HTTP/1", 400),
        ("GET / HTTP/1.10", 400),
        ("GET / HTTP/01.1", 400),
        ("GET / HTTP /1.1", 400),
        ("GET / HTTP/0.9", 400),
        ("GET / HTTP/1.2", 505),
        ("GET / HTTP/2.0", 505),
        ("GET / HTTP/9.9", 505),
        ("\r\n\r\n\r\n\r\n\r\nGET / HTTP/1.1", 400),
        ("\rGET / HTTP/1.1", 400),
        ("\nGET / HTTP/1.1", 400),
        (&"A".repeat(33), 400),
        (&format!("{} / HTTP/1.1", "A".repeat(33)), 400),
        (&"A".repeat(300), 400),
        ("\u{16}\u{3}\u{1}\u{2}\0\u{1}\0\u{1}\u{fc}\u{3}\u{3}", 400),
        ("HTTP/1.1 200 OK", 400),
        ("PRI * HTTP/2.0", 505),
    ] {
        assert_status(&get(bad), status, During::Head);
    }
    assert_status(b"\x16\x03", 400, During::Head);
    assert_status(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 505, During::Head);
    assert_status(b"GET / HTTP/1.1\nHost: a\n\n", 400, During::Head);
}

#[test]
fn targets() {
    let path_100 = format!("/{}", "a".repeat(99));
    for (bad, status) in [
        ("GET * HTTP/1.1", 400),
        ("GET /#a HTTP/1.1", 400),
        ("GET /?a#b HTTP/1.1", 400),
        ("GET a HTTP/1.1", 400),
        ("GET /` HTTP/1.1", 400),
        ("GET /\" HTTP/1.1", 400),
        ("GET /<a> HTTP/1.1", 400),
        ("GET ?a HTTP/1.1", 400),
        ("GET a:80 HTTP/1.1", 400),
        ("GET ftp://a/ HTTP/1.1", 400),
        ("GET http:///a HTTP/1.1", 400),
        ("GET http://u@a/ HTTP/1.1", 400),
        ("GET http://a:x/ HTTP/1.1", 400),
        ("GET http:/a HTTP/1.1", 400),
        ("CONNECT a:443 HTTP/1.1", 405),
        ("CONNECT / HTTP/1.1", 405),
        (&format!("GET {path_100}a HTTP/1.1"), 414),
        (&format!("GET {path_100} HTTP/1.1 {path_100}"), 414),
        (&format!("GET /{}", "a".repeat(300)), 414),
    ] {
        assert_status(&get(bad), status, During::Head);
    }
}

#[test]
fn fields() {
    for good in [
        "A:",
        "A: \t b \t",
        "a!#$%&'*+-.^_`|~1: \"x\" (y) \u{e4}",
        "Content-Length: 0",
        "Content-Length:\t0000000000000000000 ",
        "Connection: keep-alive, ,foo",
        "Connection: upgrade",
        "Upgrade: websocket",
        "A: 1\r\nA: 2\r\nA: 3\r\nA: 4",
    ] {
        assert_passes(&with_fields(good), 1);
    }
    for (bad, status) in [
        (" A: b", 400),
        ("A: b\r\n c", 400),
        ("A: b\r\n\tc", 400),
        ("A: b\r\n ", 400),
        ("A b: c", 400),
        ("A : b", 400),
        ("A\t: b", 400),
        ("A", 400),
        (": b", 400),
        (":", 400),
        ("A\0: b", 400),
        ("A: \0", 400),
        ("A: b\rc", 400),
        ("A: b\r\r", 400),
        ("A: b\nB: c", 400),
        ("A: \x7f", 400),
        ("A: \x0b", 400),
        ("\u{e4}: b", 400),
        ("A(b): c", 400),
        ("Host: a", 400),
        ("Host: b", 400),
        ("hOST:", 400),
        ("Connection: close;q", 400),
        ("Connection: \u{e4}", 400),
        ("A: 1\r\nA: 2\r\nA: 3\r\nA: 4\r\nA: 5", 431),
        (&format!("A: {}", "a".repeat(600)), 431),
    ] {
        assert_status(&with_fields(bad), status, During::Head);
    }
}

#[test]
fn lengths_and_codings() {
    for (bad, status) in [
        ("Content-Length: +5", 400),
        ("Content-Length: -1", 400),
        ("Content-Length: 0x5", 400),
        ("Content-Length: 18446744073709551615", 400),
        ("Content-Length: 00000000000000000000", 400),
        ("Content-Length: 5, 5", 400),
        ("Content-Length: 5 5", 400),
        ("Content-Length:", 400),
        ("Content-Length: 5.", 400),
        ("Content-Length: \"5\"", 400),
        ("Content-Length: 5\r\nContent-Length: 6", 400),
        ("Content-Length : 5", 400),
        ("Content-Length: 5\r\nContent-Length: 5", 400),
        ("Content-Length: 0\r\ncontent-length: 5", 400),
        ("Content-Length: 1001", 413),
        ("Content-Length: 9999999999999999999", 413),
        ("Content\u{2010}Length: 5", 400),
        ("Content-Length: 5\r\nTransfer-Encoding: chunked", 400),
        ("Transfer-Encoding: chunked\r\nContent-Length: 5", 400),
        ("Transfer-Encoding: chunked\r\nContent-Length: 0", 400),
        ("Transfer-Encoding: x\r\nContent-Length: 5", 400),
        ("Transfer-Encoding: chunked, chunked", 400),
        ("Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked", 400),
        ("Transfer-Encoding: chunked\r\nTransfer-Encoding: identity", 400),
        ("Transfer-Encoding: gzip", 400),
        ("Transfer-Encoding: identity", 400),
        ("Transfer-Encoding: xchunked", 400),
        ("Transfer-Encoding: \"chunked\"", 400),
        ("Transfer-Encoding: chunked;a=b", 400),
        ("Transfer-Encoding: chunked,", 400),
        ("Transfer-Encoding: ,chunked", 400),
        ("Transfer-Encoding:", 400),
        ("Transfer-Encoding: chunked gzip", 400),
        ("Transfer-Encoding: chunked, gzip", 400),
        ("Transfer-Encoding: \x0bchunked", 400),
        ("Transfer-Encoding:\r\n chunked", 400),
        ("Transfer-Encoding : chunked", 400),
        ("Transfer-Encoding: gzip, chunked", 501),
        ("Transfer-Encoding: gzip\r\nTransfer-Encoding: chunked", 501),
    ] {
        assert_status(&with_fields(bad), status, During::Head);
    }
}

#[test]
fn hosts() {
    assert_status(b"GET / HTTP/1.1\r\n\r\n", 400, During::Head);
    assert_status(b"GET http://a/ HTTP/1.1\r\n\r\n", 400, During::Head);
    assert_status(b"GET / HTTP/1.0\r\nHost: a\r\nHost: a\r\n\r\n", 400, During::Head);
    for bad in ["", " ", "a b", "a,b c", "a/b", "u@a", "a:b", "a:99999", "[::1", "a#", "http://a"] {
        assert_status(format!("GET / HTTP/1.1\r\nHost: {bad}\r\n\r\n").as_bytes(), 400, During::Head);
    }
    for good in ["a", "\ta.example:8080 ", "[::1]:80", "127.0.0.1"] {
        assert_passes(format!("GET / HTTP/1.1\r\nhost:{good}\r\n\r\n").as_bytes(), 1);
    }
    assert_passes(b"GET / HTTP/1.0\r\nConnection: Keep-Alive\r\n\r\n", 1);
}

#[test]
fn chunked_bodies() {
    for good in [
        "0\r\n\r\n",
        "5\r\nhello\r\n0\r\n\r\n",
        "5;a=b;c=\"d;e\"\r\nhello\r\n0;x\r\n\r\n",
        "00A ; a\r\n0123456789\r\n0\r\n\r\n",
        "1\r\na\r\n2\r\n\r\n\r\n000\r\nX-Sum: 1\r\nY:\r\n\r\n",
        "3e8\r\n",
        "0000000000000001\r\na\r\n0\r\n\r\n",
    ] {
        let data = if good == "3e8\r\n" { "a".repeat(1000) + "\r\n0\r\n\r\n" } else { String::new() };
        assert_passes(&chunked(&(good.to_owned() + &data)), 1);
    }
    for (bad, status) in [
        ("x\r\n", 400),
        ("\r\n", 400),
        (" 5\r\nhello", 400),
        ("5 \r\nhello", 400),
        ("+5\r\nhello", 400),
        ("0x5\r\nhello", 400),
        ("-1\r\n", 400),
        ("5_0\r\n", 400),
        ("5\nhello", 400),
        ("5\rX\nhello", 400),
        ("5;\r\nhello", 400),
        ("5;a\nb\r\n", 400),
        ("5;a\rb\r\n", 400),
        ("5;a\0\r\n", 400),
        ("5;=a\r\n", 400),
        ("5,a\r\n", 400),
        ("5 5\r\n", 400),
        ("00000000000000005\r\nhello", 400),
        ("10000000000000000\r\n", 400),
        ("ffffffffffffffff\r\n", 413),
        ("3e9\r\n", 413),
        ("5\r\nhelloX\r\n", 400),
        ("5\r\nhell\r\n0\r\n\r\n", 400),
        ("5\r\nhello\n0\r\n\r\n", 400),
        ("5\r\nhello0\r\n\r\n", 400),
        ("5\r\nhello\r\n\r\n", 400),
        ("1\r\na\r\nfffffffffffffffe\r\n", 413),
        ("1\r\na\r\nffffffffffffffff\r\n", 413),
        ("0\r\nGET / HTTP/1.1\r\n\r\n", 400),
        ("0\r\n a: b\r\n\r\n", 400),
        ("0\r\nA: b\nB: c\r\n\r\n", 400),
        ("0\r\n\n", 400),
        ("0\r\nA : b\r\n\r\n", 400),
        ("0\r\nA: b\r\n c\r\n\r\n", 400),
        ("0\r\nContent-Length: 5\r\n\r\n", 400),
        ("0\r\nHost: b\r\n\r\n", 400),
        ("0\r\ntransfer-encoding: chunked\r\n\r\n", 400),
        ("0\r\nA: \0\r\n\r\n", 400),
        ("0\r\nA:\r\nA:\r\nA:\r\nA:\r\nA:\r\nA:\r\n\r\n", 431),
        (&format!("0\r\nA: {}\r\n\r\n", "a".repeat(100)), 431),
        (&format!("5;{}\r\n", "a".repeat(4096)), 400),
        (&"0".repeat(4200), 400),
        (&format!("1;{0}\r\na\r\n1;{0}\r\na\r\n1;{0}\r\n", "a".repeat(4000)), 400),
    ] {
        assert_status(&chunked(bad), status, During::Body);
    }
}

#[test]
fn sequences_are_what_hyper_sees() {
    let (a, b) = (get("GET /a HTTP/1.1"), get("GET /b HTTP/1.1"));
    let hidden = get("GET /smuggled HTTP/1.1");
    let post = [with_fields(&format!("Content-Length: {}", hidden.len())), hidden.clone()].concat();
    let upload = chunked("a\r\nGET /x HTT\r\n2\r\n\r\n\r\n0\r\nSum: 1\r\n\r\n");
    let stream = [&a[..], &post, &upload, b"\r\n", &b].concat();
    assert_passes(&stream, 4);
    let seen = assert_hyper_agrees(&stream);
    assert_eq!(seen.iter().map(|(_, target, _)| target.as_str()).collect::<Vec<_>>(), ["/a", "/", "/", "/b"]);
    assert_eq!(seen[1].2.as_deref(), Some(&hidden[..]));
    assert_eq!(seen[2].2.as_deref(), Some(&b"GET /x HTT\r\n"[..]));
}

#[test]
fn nothing_is_a_request_behind_the_last() {
    let close = |line: &str, fields: &str| format!("{line}\r\nHost: a\r\n{fields}\r\n").into_bytes();
    for last in [
        close("GET / HTTP/1.1", "Connection: close\r\n"),
        close("GET / HTTP/1.1", "Connection: a, CLOSE\r\nConnection: keep-alive\r\n"),
        close("GET / HTTP/1.0", ""),
        close("GET / HTTP/1.0", "Connection: keep-alive, close\r\n"),
        [close("POST / HTTP/1.0", "Content-Length: 5\r\n"), b"hello".to_vec()].concat(),
    ] {
        let stream = [&last[..], b"GET / nonsense\r\n\r\n"].concat();
        let outcome = inspect_every_cut(&stream);
        assert_eq!((outcome.out, outcome.phase, outcome.rejection), (last[..].into(), Phase::Closed, None));
        assert_hyper_agrees(&stream);
    }
}

const UPGRADE: &[u8] = b"GET /ws HTTP/1.1\r\nHost: a\r\nConnection: keep-alive, Upgrade\r\nUpgrade: websocket\r\n\r\n";

#[test]
fn an_upgrade_holds_back_what_follows() {
    for at in 0..=4 {
        let (mut inspector, mut out) = (Inspector::new(LIMITS), BytesMut::new());
        let stream = [UPGRADE, b"\0\xffGE"].concat();
        let (first, second) = stream.split_at(UPGRADE.len() + at);
        inspector.take_in(first, &mut out).expect("a request");
        inspector.take_in(second, &mut out).expect("a request");
        assert_eq!((out.as_ref(), inspector.phase(), inspector.held_bytes()), (UPGRADE, Phase::Upgrade, 4));
        out.clear();
        inspector.upgraded(&mut out);
        assert_eq!(out.as_ref(), b"\0\xffGE");
        inspector.take_in(b"T\r", &mut out).expect("a tunnel");
        assert_eq!((out.as_ref(), inspector.phase()), (&b"\0\xffGET\r"[..], Phase::Tunnel));
    }
}

#[test]
fn a_declined_upgrade_is_followed_by_a_request() {
    let (mut inspector, mut out) = (Inspector::new(LIMITS), BytesMut::new());
    let next = get("GET /next HTTP/1.1");
    inspector.take_in(&[UPGRADE, &next, b"GET"].concat(), &mut out).expect("a request");
    assert_eq!(inspector.requests(), 1);
    inspector.declined(&mut out).expect("a request");
    assert_eq!(out, [UPGRADE, &next].concat());
    assert_eq!((inspector.requests(), inspector.phase()), (2, Phase::Head));
    inspector.take_in(b" * HTTP/1.1\r\n", &mut out).expect_err("a wrong target");
    assert_eq!(out, [UPGRADE, &next].concat());

    let (mut inspector, mut out) = (Inspector::new(LIMITS), BytesMut::new());
    inspector.take_in(&[UPGRADE, b"\x81\x05"].concat(), &mut out).expect("a request");
    assert_eq!(inspector.declined(&mut out).expect_err("no request").status, 400);
}

#[test]
fn no_upgrade_is_awaited_where_none_can_be() {
    let fields = |fields: &str| format!("{fields}\r\nHost: a\r\n\r\n").into_bytes();
    let both = "Connection: upgrade\r\nUpgrade: websocket";
    assert_passes(&fields(&format!("GET / HTTP/1.0\r\nConnection: keep-alive\r\n{both}")), 1);
    assert_passes(&fields("GET / HTTP/1.1\r\nUpgrade: websocket"), 1);
    assert_passes(&fields("GET / HTTP/1.1\r\nConnection: upgrade\r\nUpgrade: "), 1);
    let body = [fields(&format!("POST / HTTP/1.1\r\n{both}\r\nContent-Length: 5")), b"hello".to_vec()].concat();
    assert_passes(&body, 1);
}

#[test]
fn phases() {
    let (mut inspector, mut out) = (Inspector::new(LIMITS), BytesMut::new());
    for (piece, phase) in [
        ("", Phase::Idle),
        ("\r", Phase::Idle),
        ("\n", Phase::Idle),
        ("P", Phase::Head),
        ("OST / HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r", Phase::Head),
        ("\n", Phase::Body),
        ("a", Phase::Body),
        ("b", Phase::Idle),
        ("\r\nPOST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n", Phase::Body),
        ("0\r\n", Phase::Body),
        ("\r\n", Phase::Idle),
        ("\x16", Phase::Rejected),
    ] {
        let _ = inspector.take_in(piece.as_bytes(), &mut out);
        assert_eq!(inspector.phase(), phase, "behind {piece:?}");
    }
    assert!(!inspector.is_idle() && !inspector.is_in_head() && !inspector.is_in_body());
}
