//! Wrong requests, as bytes: each is refused, and no backend sees it.

use crate::Balancer;
use crate::backend::{Backend, Fault};

fn one(settings: &str) -> (Backend, Balancer) {
    let backend = Backend::start(Fault::None);
    let balancer = Balancer::start(&[backend.url()], settings);
    (backend, balancer)
}

/// Each with the status that it is to get, after which the connection is closed, and that nothing of it is served.
fn are_refused(requests: &[(&str, u16)]) {
    let (backend, balancer) = one("timeouts = { head = '300ms', idle = '300ms' }");
    for (raw, status) in requests {
        let shown = format!("{:?}", &raw[..raw.len().min(120)]);
        // Whoever reads it in another way finds a request behind it.
        let answers = balancer.ask_to_the_end(format!("{raw}GET /smuggled HTTP/1.1\r\nHost: a\r\n\r\n"));
        assert_eq!(answers.len(), 1, "{shown}: {answers:?}");
        assert_eq!(answers[0].status, *status, "{shown}: {}", answers[0].body);
        assert!(answers[0].head.to_ascii_lowercase().contains("connection: close"), "{shown}: {}", answers[0].head);
        assert_eq!(backend.take_executed(), [""; 0], "{shown}");
    }
    assert_eq!(balancer.get("/").status, 200, "it goes on");
}

fn with(fields: &str) -> String {
    format!("POST / HTTP/1.1\r\nHost: a\r\n{fields}\r\n\r\n")
}

#[test]
fn a_host_is_there_once_and_is_one() {
    are_refused(&[
        ("GET / HTTP/1.1\r\n\r\n", 400),
        ("GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n", 400),
        ("GET / HTTP/1.1\r\nHost: a\r\nhost: a\r\n\r\n", 400),
        ("GET / HTTP/1.1\r\nHost: a b\r\n\r\n", 400),
        ("GET / HTTP/1.1\r\nHost:\r\n\r\n", 400),
        ("GET / HTTP/1.1\r\nHost: a/b\r\n\r\n", 400),
        ("GET / HTTP/1.1\r\nHost: u@a\r\n\r\n", 400),
    ]);
}

#[test]
fn a_length_is_one_number() {
    for (fields, body) in [
        ("Content-Length: 5\r\nContent-Length: 6", "hello"),
        ("Content-Length: 5\r\nContent-Length: 5", "hello"),
        ("Content-Length: 5, 5", "hello"),
        ("Content-Length: +5", "hello"),
        ("Content-Length: -1", ""),
        ("Content-Length: 0x5", "hello"),
        ("Content-Length: 5 5", "hello"),
        ("Content-Length:", ""),
        ("Content-Length: 00000000000000000005", "hello"),
        ("Content-Length: 18446744073709551621", "hello"),
    ] {
        are_refused(&[(&format!("{}{body}", with(fields)), 400)]);
    }
}

#[test]
fn the_transfer_coding_is_chunked_alone() {
    let request = |fields: &str| format!("{}0\r\n\r\n", with(fields));
    for (fields, status) in [
        ("Content-Length: 5\r\nTransfer-Encoding: chunked", 400),
        ("Transfer-Encoding: chunked\r\nContent-Length: 5", 400),
        ("Transfer-Encoding: chunked, chunked", 400),
        ("Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked", 400),
        ("Transfer-Encoding: gzip, chunked", 501),
        ("Transfer-Encoding: chunked, gzip", 400),
        ("Transfer-Encoding: identity", 400),
        ("Transfer-Encoding: xchunked", 400),
        ("Transfer-Encoding: \"chunked\"", 400),
        ("Transfer-Encoding:", 400),
        ("Transfer-Encoding : chunked", 400),
        ("Transfer-Encoding\r\n : chunked", 400),
    ] {
        are_refused(&[(&request(fields), status)]);
    }
    are_refused(&[("POST / HTTP/1.0\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 400)]);
}

#[test]
fn lines_are_lines_and_names_are_names() {
    are_refused(&[
        ("GET / HTTP/1.1\r\nHost: a\r\nA: b\r\n c\r\n\r\n", 400),
        ("GET / HTTP/1.1\r\n Host: a\r\n\r\n", 400),
        ("GET / HTTP/1.1\r\nHost: a\r\nA: b\rC: d\r\n\r\n", 400),
        ("GET / HTTP/1.1\nHost: a\n\n", 400),
        ("GET / HTTP/1.1\r\nHost: a\r\nA: b\0c\r\n\r\n", 400),
        ("GET /\0 HTTP/1.1\r\nHost: a\r\n\r\n", 400),
        ("GET / HTTP/1.1\r\nHost: a\r\nno colon\r\n\r\n", 400),
        ("GET / HTTP/1.1\r\nHost: a\r\nnocolon\r\n\r\n", 400),
        ("GET / HTTP/1.1\r\nHost: a\r\n: b\r\n\r\n", 400),
        ("GET / HTTP/1.1\r\nHost: a\r\nA b: c\r\n\r\n", 400),
        ("GET / HTTP/1.1\r\nHost : a\r\n\r\n", 400),
        ("GET / HTTP/1.1\r\nHost: a\r\nA: b\u{7f}\r\n\r\n", 400),
    ]);
}

#[test]
fn a_request_line_is_a_method_a_target_and_a_version() {
    are_refused(&[
        ("G@T / HTTP/1.1\r\nHost: a\r\n\r\n", 400),
        ("(GET) / HTTP/1.1\r\nHost: a\r\n\r\n", 400),
        ("GE T / HTTP/1.1\r\nHost: a\r\n\r\n", 400),
        (&format!("{} / HTTP/1.1\r\nHost: a\r\n\r\n", "M".repeat(1000)), 400),
        ("GET  / HTTP/1.1\r\nHost: a\r\n\r\n", 400),
        ("GET /a b HTTP/1.1\r\nHost: a\r\n\r\n", 400),
        ("GET /\r\n", 400),
        ("GET / HTTP/0.9\r\n\r\n", 400),
        ("GET / HTTP/1.1 \r\nHost: a\r\n\r\n", 400),
        ("GET / http/1.1\r\nHost: a\r\n\r\n", 400),
        ("GET / HTTP/2.0\r\nHost: a\r\n\r\n", 505),
        ("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 505),
        ("\u{16}\u{3}\u{1}\u{2}", 400),
        ("CONNECT a:443 HTTP/1.1\r\nHost: a\r\n\r\n", 405),
        ("GET * HTTP/1.1\r\nHost: a\r\n\r\n", 400),
        ("GET /#x HTTP/1.1\r\nHost: a\r\n\r\n", 400),
        ("GET x HTTP/1.1\r\nHost: a\r\n\r\n", 400),
        ("GET http:// HTTP/1.1\r\nHost: a\r\n\r\n", 400),
        ("GET ftp://a/ HTTP/1.1\r\nHost: a\r\n\r\n", 400),
    ]);
}

#[test]
fn heads_have_limits() {
    // 16 KiB of target, 64 KiB of head and 100 fields are taken; one more of each is not.
    let target = |bytes: usize| format!("GET /{} HTTP/1.1\r\nHost: a\r\n\r\n", "a".repeat(bytes - 1));
    let fields = |count: usize| format!("GET / HTTP/1.1\r\nHost: a\r\n{}\r\n", "A: b\r\n".repeat(count - 1));
    let head = |bytes: usize| {
        let (start, end) = ("GET / HTTP/1.1\r\nHost: a\r\nA: ", "\r\n\r\n");
        format!("{start}{}{end}", "a".repeat(bytes - start.len() - end.len()))
    };
    are_refused(&[
        (&target((16 << 10) + 1), 414),
        (&target(70_000), 414),
        (&fields(101), 431),
        (&head((64 << 10) + 1), 431),
        (&head(100_000), 431),
    ]);
    let (backend, balancer) = one("");
    for taken in [target(16 << 10), fields(100), head(64 << 10)] {
        assert_eq!(balancer.ask(&taken).status, 200, "{} bytes", taken.len());
    }
    assert_eq!(backend.take_executed().len(), 3);
}

#[test]
fn bodies_have_a_limit() {
    let (backend, balancer) = one("limits = { body_bytes_max = 1000 }");
    assert_eq!(balancer.ask(with("Content-Length: 1001")).status, 413);
    let chunk = |bytes: usize| format!("{bytes:x}\r\n{}\r\n", "a".repeat(bytes));
    let chunked = with("Transfer-Encoding: chunked\r\nConnection: close");
    assert_eq!(balancer.ask(format!("{chunked}{}", chunk(1001))).status, 413, "in one chunk");
    assert_eq!(balancer.ask(format!("{chunked}{}{}", chunk(900), chunk(101))).status, 413, "in two");
    assert_eq!(balancer.ask(format!("{chunked}7fffffffffffffff\r\n")).status, 413, "in what would not fit anywhere");
    assert_eq!(backend.take_executed(), [""; 0], "it has seen no whole request");
    assert_eq!(balancer.ask(format!("{chunked}{}{}0\r\n\r\n", chunk(900), chunk(100))).status, 200);
    assert_eq!(balancer.post("/", &"a".repeat(1000)).status, 200);
    assert_eq!(backend.take_executed().len(), 2);
}

#[test]
fn a_body_that_breaks_is_refused_and_no_backend_sees_it_whole() {
    let (backend, balancer) = one("timeouts = { head = '300ms', idle = '300ms' }");
    let chunked = with("Transfer-Encoding: chunked\r\nConnection: close");
    for broken in [
        "zz\r\n",
        "\r\n",
        "-1\r\n",
        "2\r\nhe\r\nx\r\n",
        "2\r\nhello\r\n",
        "2\nhe\n0\n\n",
        "ffffffffffffffffff\r\n",
        "0\r\nContent-Length: 5\r\n\r\n",
        "0\r\nno colon\r\n\r\n",
    ] {
        assert_eq!(balancer.ask(format!("{chunked}{broken}")).status, 400, "{broken:?}");
    }
    assert_eq!(balancer.ask(format!("{chunked}2\r\nhe\r\n3\r\nl")).status, 408, "one that stalls");
    assert_eq!(backend.take_executed(), [""; 0]);
}

#[test]
fn a_client_that_is_too_slow_gets_408() {
    let (backend, balancer) = one("timeouts = { head = '300ms', idle = '300ms' }");
    assert_eq!(balancer.ask("GET / HTTP/1.1\r\nHost: a\r\nX-Slow: ").status, 408);
    let answer = balancer.ask("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 10\r\n\r\nhalf");
    assert_eq!((answer.status, answer.body.as_str()), (408, "nothing of the body came for too long\n"));
    assert_eq!(backend.take_executed(), [""; 0]);
}
