//! Requests, right and wrong, as bytes.

use std::io::{BufReader, Read, Write};
use std::time::Duration;

use crate::backend::{Backend, Fault};
use crate::{Balancer, read_answer};

fn one() -> (Backend, Balancer) {
    let backend = Backend::start(Fault::None);
    let balancer = Balancer::start(&[backend.url()], "timeouts = { head = '300ms', idle = '300ms' }");
    (backend, balancer)
}

#[test]
fn wrong_requests_are_refused_and_no_backend_sees_them() {
    let (backend, balancer) = one();
    let chunked = "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n";
    for (raw, status) in [
        ("GET / HTTP/1.1\r\n\r\n", 400),
        ("GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n", 400),
        ("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 400),
        ("POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked, chunked\r\n\r\n", 400),
        ("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: +5\r\n\r\nhello", 400),
        ("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5, 5\r\n\r\nhello", 400),
        ("GET / HTTP/1.1\r\nHost: a\r\nA: b\r\n c\r\n\r\n", 400),
        ("GET / HTTP/1.1\r\nHost : a\r\n\r\n", 400),
        ("GET / HTTP/2.0\r\nHost: a\r\n\r\n", 505),
        ("CONNECT a:443 HTTP/1.1\r\nHost: a\r\n\r\n", 405),
        ("GET * HTTP/1.1\r\nHost: a\r\n\r\n", 400),
        ("GET /#x HTTP/1.1\r\nHost: a\r\n\r\n", 400),
        ("\u{16}\u{3}\u{1}\u{2}", 400),
        (&format!("GET /{} HTTP/1.1\r\nHost: a\r\n\r\n", "a".repeat(70_000)), 414),
        (&format!("GET / HTTP/1.1\r\nHost: a\r\nA: {}\r\n\r\n", "a".repeat(70_000)), 431),
        (&format!("GET / HTTP/1.1\r\nHost: a\r\n{}\r\n", "A: b\r\n".repeat(101)), 431),
        (&format!("{chunked}zz\r\n"), 400),
        (&format!("{chunked}ffffffffffffffffff\r\n"), 400),
        ("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 9999999999\r\n\r\n", 413),
    ] {
        let answer = balancer.ask(raw);
        assert_eq!(answer.status, status, "{}\n{}", &raw[..raw.len().min(100)], answer.body);
        assert!(answer.head.to_ascii_lowercase().contains("connection: close"), "{}", answer.head);
    }
    assert_eq!(backend.take_executed(), [""; 0]);
    assert_eq!(balancer.get("/").status, 200, "it goes on");
}

#[test]
fn a_smuggled_request_is_never_served() {
    let (backend, balancer) = one();
    let raw = "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n\
               GET /smuggled HTTP/1.1\r\nHost: a\r\n\r\n";
    assert_eq!(balancer.ask(raw).status, 400);
    assert_eq!(backend.take_executed(), [""; 0]);
}

#[test]
fn pipelined_requests_are_answered_in_order() {
    let (_backend, balancer) = one();
    let stream = balancer.connect();
    let requests: Vec<_> = (0..20).map(|n| format!("GET /{n} HTTP/1.1\r\nHost: a\r\n\r\n")).collect();
    (&stream).write_all(requests.concat().as_bytes()).unwrap();
    let mut reader = BufReader::new(&stream);
    for n in 0..20 {
        let answer = read_answer(&mut reader);
        assert!(answer.body.starts_with(&format!("GET /{n} HTTP/1.1\r\n")), "{}", answer.body);
    }
}

#[test]
fn a_client_that_is_too_slow_gets_408() {
    let (backend, balancer) = one();
    assert_eq!(balancer.ask("GET / HTTP/1.1\r\nHost: a\r\nX-Slow: ").status, 408);
    let answer = balancer.ask("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 10\r\n\r\nhalf");
    assert_eq!((answer.status, answer.body.as_str()), (408, "nothing of the body came for too long\n"));
    assert_eq!(backend.take_executed(), [""; 0]);
}

#[test]
fn headers_are_those_of_a_proxy() {
    let (_backend, balancer) = one();
    let answer = balancer.ask(
        "GET /a%2Fb//c?x=%7e HTTP/1.1\r\nHost: a.example\r\nConnection: close, x-mine, x-forwarded-for\r\nX-Mine: 1\r\n\
         X-Forwarded-For: 10.0.0.9\r\nKeep-Alive: 5\r\nTE: gzip\r\n\r\n",
    );
    let seen = answer.body.to_ascii_lowercase();
    assert!(seen.starts_with("get /a%2fb//c?x=%7e http/1.1\r\n"), "{seen}");
    for header in
        ["host: a.example", "x-forwarded-for: 127.0.0.1", "x-forwarded-host: a.example", "x-forwarded-proto: http"]
    {
        assert!(seen.contains(&format!("{header}\r\n")), "{header} is not in\n{seen}");
    }
    for header in ["x-mine", "keep-alive", "te:", "10.0.0.9", "connection:"] {
        assert!(!seen.contains(header), "{header} is in\n{seen}");
    }
    assert!(!answer.head.contains("x-own"), "what the backend's Connection names is its own: {}", answer.head);
}

#[test]
fn a_body_goes_through_whole_or_not_at_all() {
    let (backend, balancer) = one();
    let chunked = "POST /c HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\nConnection: close\r\n\r\n";
    assert_eq!(balancer.post("/l", "hello").status, 200);
    assert_eq!(balancer.ask(format!("{chunked}2\r\nhe\r\n3\r\nllo\r\n0\r\n\r\n")).status, 200);
    assert_eq!(backend.take_executed(), ["POST /l hello", "POST /c hello"]);
    assert_eq!(balancer.ask(format!("{chunked}2\r\nhe\r\nx\r\n")).status, 400);
    assert_eq!(balancer.ask(format!("{chunked}2\r\nhe\r\n3\r\nl")).status, 408);
    assert_eq!(backend.take_executed(), [""; 0], "it has seen no whole request");
}

#[test]
fn a_client_that_goes_away_is_not_waited_for() {
    let backend = Backend::start(Fault::Hangs);
    let balancer = Balancer::start(&[backend.url()], "");
    let mut stream = balancer.connect();
    stream.write_all(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n").unwrap();
    stream.set_read_timeout(Some(Duration::from_millis(200))).unwrap();
    assert!(stream.read(&mut [0]).is_err(), "there is no answer");
    assert!(balancer.page("/metrics").contains("balancer_requests_in_flight 1\n"));
    drop(stream);
    std::thread::sleep(Duration::from_millis(1500));
    assert!(balancer.page("/metrics").contains("balancer_requests_in_flight 0\n"));
    assert!(balancer.page("/backends").contains("\"cancelled\": 1"), "{}", balancer.page("/backends"));
}
