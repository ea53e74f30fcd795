//! What is more than a request and its answer: tunnels, `100 Continue`, and trailers.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::thread;

use super::{Balancer, read_answer};

/// A backend that takes one connection and does with it what it is told.
fn backend(serve: impl FnOnce(&mut BufReader<TcpStream>, &mut TcpStream) + Send + 'static) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port is free");
    let url = format!("http://{}", listener.local_addr().expect("it is bound"));
    thread::spawn(move || {
        let (mut stream, _) = listener.accept().expect("the balancer connects");
        let mut reader = BufReader::new(stream.try_clone().expect("a stream has clones"));
        serve(&mut reader, &mut stream);
    });
    url
}

fn head(reader: &mut impl BufRead) -> String {
    let mut head = String::new();
    while !head.ends_with("\r\n\r\n") {
        assert!(reader.read_line(&mut head).expect("a head comes") > 0, "it ends with: {head}");
    }
    head
}

/// Without health checks, so that the only connection is that of the request.
fn balancer(url: String) -> Balancer {
    Balancer::start(&[url], "checks.enabled = false")
}

#[test]
fn a_tunnel_goes_both_ways_and_keeps_its_halves() {
    let balancer = balancer(backend(|reader, out| {
        let asked = head(reader).to_ascii_lowercase();
        assert!(asked.contains("upgrade: websocket") && asked.contains("connection: upgrade"), "{asked}");
        out.write_all(b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\nfirst ")
            .unwrap();
        let mut rest = String::new();
        reader.read_to_string(&mut rest).unwrap();
        // The client has ended its half, and this one still carries what is left to say.
        out.write_all(format!("heard {rest}").as_bytes()).unwrap();
    }));
    let mut client = balancer.connect();
    client
        .write_all(b"GET /chat HTTP/1.1\r\nHost: a\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\nearly ")
        .unwrap();
    let mut reader = BufReader::new(client.try_clone().unwrap());
    let answer = head(&mut reader);
    assert!(answer.starts_with("HTTP/1.1 101 "), "{answer}");
    client.write_all(b"and late").unwrap();
    client.shutdown(Shutdown::Write).unwrap();
    let mut said = String::new();
    reader.read_to_string(&mut said).unwrap();
    assert_eq!(said, "first heard early and late");
}

#[test]
fn an_upgrade_that_is_declined_is_an_ordinary_answer() {
    let balancer = balancer(backend(|reader, out| {
        head(reader);
        out.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nno").unwrap();
        assert_eq!(head(reader).split(' ').nth(1), Some("/next"), "nothing was tunnelled");
        out.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nyes").unwrap();
    }));
    let mut client = balancer.connect();
    client.write_all(b"GET /chat HTTP/1.1\r\nHost: a\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n").unwrap();
    let mut reader = BufReader::new(client.try_clone().unwrap());
    assert_eq!(read_answer(&mut reader).body, "no");
    client.write_all(b"GET /next HTTP/1.1\r\nHost: a\r\n\r\n").unwrap();
    assert_eq!(read_answer(&mut reader).body, "yes");
}

#[test]
fn a_client_that_waits_for_100_is_told_to_go_on() {
    let balancer = balancer(backend(|reader, out| {
        head(reader);
        let mut body = [0; 5];
        reader.read_exact(&mut body).unwrap();
        assert_eq!(&body, b"hello");
        out.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok").unwrap();
    }));
    let mut client = balancer.connect();
    client.write_all(b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\nExpect: 100-continue\r\n\r\n").unwrap();
    let mut reader = BufReader::new(client.try_clone().unwrap());
    let told = head(&mut reader);
    assert!(told.starts_with("HTTP/1.1 100 "), "{told}");
    client.write_all(b"hello").unwrap();
    assert_eq!(read_answer(&mut reader).body, "ok");
}

#[test]
fn trailers_pass() {
    let balancer = balancer(backend(|reader, out| {
        assert!(head(reader).to_ascii_lowercase().contains("te: trailers"));
        out.write_all(
            b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTrailer: X-Sum\r\n\r\n2\r\nok\r\n0\r\nX-Sum: 7\r\n\r\n",
        )
        .unwrap();
    }));
    let mut client = balancer.connect();
    client.write_all(b"GET / HTTP/1.1\r\nHost: a\r\nTE: trailers\r\nConnection: TE, close\r\n\r\n").unwrap();
    let mut all = String::new();
    BufReader::new(client).read_to_string(&mut all).unwrap();
    assert!(all.contains("\r\n2\r\nok\r\n0\r\n") && all.to_ascii_lowercase().ends_with("x-sum: 7\r\n\r\n"), "{all}");
}
