//! The status over HTTP.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::{Duration, Instant};

use crate::cluster::Cluster;
use crate::processes::PATIENCE;

#[derive(Debug)]
pub struct Answer {
    pub code: u16,
    pub head: String,
    pub body: String,
}

fn connect(addr: SocketAddr) -> TcpStream {
    let stream = TcpStream::connect_timeout(&addr, PATIENCE).expect("the node accepts");
    stream.set_read_timeout(Some(PATIENCE)).expect("a stream has timeouts");
    stream
}

fn read(mut stream: TcpStream) -> Answer {
    let mut answer = String::new();
    stream.read_to_string(&mut answer).expect("the node answers and closes");
    let (head, body) = answer.split_once("\r\n\r\n").expect("a head");
    let code = head.split(' ').nth(1).expect("a code").parse().expect("a number");
    Answer { code, head: head.to_ascii_lowercase(), body: body.to_owned() }
}

fn request(addr: SocketAddr, method: &str, path: &str) -> Answer {
    let mut stream = connect(addr);
    write!(stream, "{method} {path} HTTP/1.1\r\nHost: node\r\n\r\n").expect("the node reads");
    read(stream)
}

pub fn get(addr: SocketAddr, path: &str) -> Answer {
    request(addr, "GET", path)
}

#[test]
fn the_status_has_its_keys_and_the_metrics_their_format() {
    let cluster = Cluster::start(&[&[]]);
    let (leader, term) = cluster.agreed(&[1]);
    let addr = cluster.nodes[&1].addr;
    let status = get(addr, "/status");
    assert!(status.head.contains("content-type: application/json"), "{status:?}");
    let expected = format!(r#"{{"id":1,"role":"leader","term":{term},"leader":{leader},"since":""#);
    let since = status.body.strip_prefix(&expected).and_then(|rest| rest.strip_suffix("Z\"}\n")).expect(&status.body);
    let form: String = since.chars().map(|c| if c.is_ascii_digit() { '0' } else { c }).collect();
    assert_eq!(form, "0000-00-00T00:00:00.000", "{since}");
    assert_eq!(get(addr, "/status").body, status.body, "nothing has changed");

    let metrics = get(addr, "/metrics");
    assert!(metrics.head.contains("content-type: text/plain; version=0.0.4; charset=utf-8"), "{metrics:?}");
    for line in ["# TYPE raft_term gauge", &format!("raft_term {term}"), "raft_role{role=\"leader\"} 1"] {
        assert!(metrics.body.lines().any(|is| is == line), "{line}: {metrics:?}");
    }
}

#[test]
fn what_is_not_there_and_what_is_not_allowed_have_their_codes() {
    let cluster = Cluster::start(&[&[]]);
    let addr = cluster.nodes[&1].addr;
    cluster.agreed(&[1]);
    let head = request(addr, "HEAD", "/status");
    assert_eq!((head.code, head.body.as_str()), (200, ""));
    let length = format!("content-length: {}", get(addr, "/status").body.len());
    assert!(head.head.contains(&length), "{head:?}");
    for path in ["/", "/status/", "/favicon.ico"] {
        let missing = get(addr, path);
        assert_eq!((missing.code, missing.body.as_str()), (404, "there is /status and there is /metrics\n"));
    }
    for method in ["POST", "DELETE", "NOVEL"] {
        let refused = request(addr, method, "/metrics");
        assert_eq!(refused.code, 405);
        assert!(refused.head.contains("allow: get, head"), "{refused:?}");
    }
}

#[test]
fn who_asks_badly_or_not_at_all_holds_nobody_up() {
    let cluster = Cluster::start(&[&[]]);
    let addr = cluster.nodes[&1].addr;
    let mut nonsense = connect(addr);
    nonsense.write_all(b"\x16\x03\x01 hello\r\n\r\n").expect("the node reads");
    assert_eq!(read(nonsense).code, 400);
    drop(connect(addr));
    // As many as are served at once; they are closed after a while, and then it is the next one's turn.
    let silent: Vec<_> = (0..64).map(|_| connect(addr)).collect();
    let started = Instant::now();
    assert_eq!(get(addr, "/status").code, 200);
    assert!(started.elapsed() < Duration::from_secs(15), "{:?}", started.elapsed());
    drop(silent);
    cluster.agreed(&[1]);
}
