//! Connections that switch to another protocol, and those that do not.

use std::io::{BufReader, Read, Write};
use std::net::Shutdown;

use super::backend::{head, scripted as backend};
use super::{Balancer, read_answer};

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
