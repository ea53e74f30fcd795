//! Connections that switch to another protocol, and those that do not.

use std::io::{BufReader, Read, Write};
use std::net::Shutdown;

use super::backend::{Backend, Fault, head, scripted as backend};
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

/// What is no answer to the request is 502, and no byte behind it reaches anybody.
#[test]
fn a_switch_that_was_not_asked_for_is_502() {
    let switches = "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\n";
    let asks = "Upgrade: websocket\r\nConnection: Upgrade\r\n";
    for (request, upgrade) in [
        ("GET / HTTP/1.1\r\nHost: a\r\n".to_owned(), "Upgrade: websocket\r\n"),
        (format!("GET / HTTP/1.1\r\nHost: a\r\n{asks}"), "Upgrade: other\r\n"),
        (format!("GET / HTTP/1.1\r\nHost: a\r\n{asks}"), "Upgrade: websocket, other\r\n"),
        (format!("GET / HTTP/1.1\r\nHost: a\r\n{asks}"), ""),
        (format!("HEAD / HTTP/1.1\r\nHost: a\r\n{asks}"), "Upgrade: websocket\r\n"),
        (format!("GET / HTTP/1.0\r\n{asks}"), "Upgrade: websocket\r\n"),
        (format!("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\n{asks}"), "Upgrade: websocket\r\n"),
    ] {
        let (asked, answer) = (request.clone(), format!("{switches}{upgrade}\r\nfrom the tunnel"));
        let (tell, told) = std::sync::mpsc::channel();
        let balancer = balancer(backend(move |reader, out| {
            let got = head(reader).to_ascii_lowercase();
            out.write_all(answer.as_bytes()).unwrap();
            let mut rest = Vec::new();
            // It may be reset, and that is fine.
            _ = reader.read_to_end(&mut rest);
            tell.send((got, rest)).unwrap();
        }));
        let mut client = balancer.connect();
        let body = if request.starts_with("POST") { "x" } else { "" };
        client
            .write_all(
                format!("{request}\r\n{body}GET /smuggled HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n").as_bytes(),
            )
            .unwrap();
        let mut answers = String::new();
        // A refusal may be followed by that of the next one, and what is unread by a reset.
        _ = client.read_to_string(&mut answers);
        let version = if asked.contains("HTTP/1.0") { "HTTP/1.0" } else { "HTTP/1.1" };
        assert!(answers.starts_with(&format!("{version} 502 ")), "{asked}\n{answers}");
        assert!(!answers.contains("from the tunnel"), "{asked}\n{answers}");
        let (got, rest) = told.recv().unwrap();
        let is_offered = asked.contains("Upgrade") && asked.starts_with("GET") && asked.contains("HTTP/1.1");
        assert_eq!(got.contains("upgrade: websocket"), is_offered, "{got}");
        assert!(!String::from_utf8_lossy(&rest).contains("smuggled"), "{asked}");
    }
}

#[test]
fn a_switch_that_was_not_asked_for_counts_against_the_backend_and_another_one_serves() {
    let backends = [Backend::start(Fault::Switches), Backend::start(Fault::None)];
    let balancer = Balancer::start(&backends.each_ref().map(Backend::url), "");
    for n in 0..6 {
        assert_eq!(balancer.get(&format!("/{n}")).status, 200);
    }
    let shown = balancer.page("/backends");
    assert!(shown.contains("switched to a protocol that was not asked for"), "{shown}");
}
