//! Bodies that do not fit anywhere: who is slow slows the other end down, and nothing piles up in between.

use std::io::{BufReader, ErrorKind, Read, Write};
use std::net::TcpStream;
use std::sync::mpsc;
use std::time::Duration;

use crate::backend::{Backend, Fault, head, scripted};
use crate::{Balancer, read_answer};

/// A body's bytes above what buffers take.
const ABOVE_BYTES: u64 = 32 << 20;
const BALANCER_KIB_MAX: u64 = 32 << 10;
const STANDSTILL: Duration = Duration::from_millis(500);

/// What the kernel may hold of two connections, and some more for the balancer.
fn buffered_bytes_max() -> u64 {
    let most = |name: &str| -> u64 {
        let sizes = std::fs::read_to_string(format!("/proc/sys/net/ipv4/{name}")).expect("Linux has it");
        sizes.split_whitespace().last().and_then(|most| most.parse().ok()).expect("the last is the most")
    };
    2 * (most("tcp_rmem") + most("tcp_wmem")) + (4 << 20)
}

/// Writes as much as is taken; the number of bytes when nothing has moved for a while.
fn fill(stream: &mut TcpStream, body_bytes: u64) -> u64 {
    let chunk = vec![b'a'; 64 << 10];
    let mut sent = 0;
    stream.set_write_timeout(Some(STANDSTILL)).unwrap();
    while sent < body_bytes {
        match stream.write(&chunk[..chunk.len().min(usize::try_from(body_bytes - sent).unwrap())]) {
            Ok(bytes) => sent += bytes as u64,
            Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => break,
            Err(error) => panic!("after {sent} bytes: {error}"),
        }
    }
    stream.set_write_timeout(Some(crate::processes::PATIENCE)).unwrap();
    sent
}

fn send_rest(stream: &mut TcpStream, bytes: u64) {
    std::io::copy(&mut std::io::repeat(b'a').take(bytes), stream).expect("the rest is taken");
}

#[test]
fn a_backend_that_does_not_read_holds_its_client_up() {
    let body_bytes = buffered_bytes_max() + ABOVE_BYTES;
    let (read, may_read) = mpsc::channel();
    let url = scripted(move |reader, out| {
        head(reader);
        may_read.recv().unwrap();
        let bytes = std::io::copy(&mut reader.take(body_bytes), &mut std::io::sink()).unwrap();
        assert_eq!(bytes, body_bytes);
        out.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok").unwrap();
    });
    let balancer = Balancer::start(&[url], "checks.enabled = false");
    let mut client = balancer.connect();
    write!(client, "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: {body_bytes}\r\n\r\n").unwrap();
    let sent = fill(&mut client, body_bytes);
    assert!(sent < body_bytes, "{sent} bytes are on their way to nobody");
    assert!(balancer.memory_kib() < BALANCER_KIB_MAX, "{} KiB", balancer.memory_kib());
    read.send(()).unwrap();
    send_rest(&mut client, body_bytes - sent);
    assert_eq!(read_answer(&mut BufReader::new(client)).body, "ok");
}

#[test]
fn a_client_that_does_not_read_holds_its_backend_up() {
    let body_bytes = buffered_bytes_max() + ABOVE_BYTES;
    let (tell, told) = mpsc::channel();
    let url = scripted(move |reader, out| {
        head(reader);
        write!(out, "HTTP/1.1 200 OK\r\nContent-Length: {body_bytes}\r\n\r\n").unwrap();
        let sent = fill(out, body_bytes);
        tell.send(sent).unwrap();
        send_rest(out, body_bytes - sent);
    });
    let balancer = Balancer::start(&[url], "checks.enabled = false");
    let mut client = balancer.connect();
    client.write_all(b"GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n").unwrap();
    let sent = told.recv_timeout(crate::processes::PATIENCE).unwrap();
    assert!(sent < body_bytes, "{sent} bytes are on their way to nobody");
    assert!(balancer.memory_kib() < BALANCER_KIB_MAX, "{} KiB", balancer.memory_kib());
    let mut reader = BufReader::new(client);
    head(&mut reader);
    let bytes = std::io::copy(&mut reader, &mut std::io::sink()).unwrap();
    assert_eq!(bytes, body_bytes);
}

#[test]
fn a_body_arrives_as_it_comes() {
    let (seen, saw) = mpsc::channel();
    let url = scripted(move |reader, out| {
        head(reader);
        let mut byte = [0];
        for _ in 0..3 {
            reader.read_exact(&mut byte).unwrap();
            seen.send(byte[0]).unwrap();
        }
        out.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\no").unwrap();
        reader.read_exact(&mut byte).unwrap();
        assert_eq!(&byte, b"d");
        out.write_all(b"k").unwrap();
    });
    let balancer = Balancer::start(&[url], "checks.enabled = false");
    let mut client = balancer.connect();
    client.write_all(b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 4\r\n\r\n").unwrap();
    for byte in b"abc" {
        client.write_all(&[*byte]).unwrap();
        assert_eq!(saw.recv_timeout(crate::processes::PATIENCE), Ok(*byte));
    }
    // The answer begins before the request has ended, and both go on.
    let mut reader = BufReader::new(client.try_clone().unwrap());
    assert!(head(&mut reader).starts_with("HTTP/1.1 200 OK\r\n"));
    let mut byte = [0];
    reader.read_exact(&mut byte).unwrap();
    client.write_all(b"d").unwrap();
    reader.read_exact(&mut byte).unwrap();
    assert_eq!(&byte, b"k");
}

#[test]
fn a_backend_may_answer_before_the_request_has_ended() {
    let url = scripted(|reader, out| {
        head(reader);
        out.write_all(b"HTTP/1.1 403 Forbidden\r\nConnection: close\r\nContent-Length: 3\r\n\r\nno\n").unwrap();
        // It does not want the rest, and lets the balancer read its answer.
        out.shutdown(std::net::Shutdown::Write).unwrap();
        _ = std::io::copy(reader, &mut std::io::sink());
    });
    let balancer = Balancer::start(&[url], "checks.enabled = false");
    let mut client = balancer.connect();
    client.write_all(b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1000000\r\n\r\nthe beginning").unwrap();
    let answer = read_answer(&mut BufReader::new(client));
    assert_eq!((answer.status, answer.body.as_str()), (403, "no\n"));
}

#[test]
fn a_body_that_stalls_is_seen_as_cut_in_time() {
    let backend = Backend::start(Fault::StallsBodies);
    let balancer = Balancer::start(&[backend.url()], "timeouts = { idle = '300ms' }");
    let began = std::time::Instant::now();
    let answer = balancer.get("/");
    assert_eq!((answer.status, answer.is_whole, answer.body.as_str()), (200, false, "half of it"));
    assert!(began.elapsed() < Duration::from_secs(3), "{:?}", began.elapsed());
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
