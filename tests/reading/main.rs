//! Whatever is read, nothing panics, aborts or hangs: a fixed number of mutations of what is right, by its structure.

mod mutation;
mod readers;

use std::fs;
use std::path::Path;

use stormglass::raft::codec::Envelope;
use stormglass::raft::message::{Message, RequestVote};
use stormglass::raft::{ClusterId, ClusterKey, Codec, NodeId};

use readers::READERS;

/// How many mutations each reader gets.
const CASES: u64 = 1500;

/// Scripts, cases and settings as they are written.
fn files(folder: &str) -> Vec<Vec<u8>> {
    let mut found = Vec::new();
    let mut folders = vec![Path::new(env!("CARGO_MANIFEST_DIR")).join(folder)];
    while let Some(folder) = folders.pop() {
        let mut entries: Vec<_> =
            fs::read_dir(folder).expect("it is there").map(|entry| entry.unwrap().path()).collect();
        entries.sort();
        for path in entries {
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|extension| extension == "toml") {
                found.push(fs::read(path).expect("it can be read"));
            }
        }
    }
    found
}

/// What a reader is right to take.
fn right(reader: &str) -> Vec<Vec<u8>> {
    let vote = RequestVote { term: 3, last_log_index: 7, last_log_term: 2, transfer: false };
    let envelope = Envelope { from: NodeId(1), to: NodeId(2), message: Message::RequestVote(vote) };
    let encoded = |key| vec![Codec::new(ClusterId::named("simulated"), key).encode(&envelope)];
    match reader {
        "script" => files("sims"),
        "case" => files("seeds"),
        "sweep" => vec![include_bytes!("sweep.json").to_vec()],
        "balancer-file" => vec![include_bytes!("balancer.toml").to_vec()],
        "framing" => [
            &b"GET /a HTTP/1.1\r\nHost: a\r\nX-Request-Id: 1\r\n\r\n"[..],
            b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhelloGET / HTTP/1.1\r\nHost: a\r\n\r\n",
            b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n5;a=b\r\nhello\r\n0\r\nT: x\r\n\r\n",
            b"GET / HTTP/1.1\r\nHost: a\r\nConnection: upgrade\r\nUpgrade: x\r\n\r\nraw",
        ]
        .map(<[u8]>::to_vec)
        .to_vec(),
        "datagram" => encoded(None),
        "datagram-with-key" => encoded(ClusterKey::new(b"correct horse battery")),
        "hard-state" => {
            let content = [ClusterId::named("simulated").0, 1, 7, 1].map(u64::to_le_bytes).concat();
            vec![stormglass::disk::seal(b"RAFT", 1, &content)]
        }
        other => panic!("nothing is right for {other}"),
    }
}

#[test]
fn nothing_that_is_read_panics_aborts_or_hangs() {
    for (name, read) in READERS {
        let right = right(name);
        assert!(!right.is_empty(), "{name}");
        right.iter().for_each(|bytes| read(bytes));
        // A case is a file, and a sim beside it.
        let cases = if name == "case" { CASES / 5 } else { CASES };
        for number in 0..cases {
            let bytes = mutation::mutated(&right, number, name);
            let ran = std::panic::catch_unwind(|| read(&bytes));
            assert!(ran.is_ok(), "{name}, mutation {number}:\n{}", String::from_utf8_lossy(&bytes));
        }
    }
}

#[test]
fn numbers_and_depths_without_end_are_refused() {
    let head = "about = 'x'\nsystem = 'raft'\nduration = '5s'\n";
    let variant = "[[variant]]\nname = 'v'\nabout = 'x'\nset = { 'network.loss' = 0.1 }\n";
    for value in [
        "9".repeat(400),
        format!("0x{}", "f".repeat(40)),
        "1e400".to_owned(),
        "[".repeat(5000),
        "{a=".repeat(5000),
        "nan".to_owned(),
    ] {
        for key in ["tick", "[raft]\nnodes", "[network]\nloss", "[expect]\ncounters.elections", "[[step]]\nrecord"] {
            for text in [format!("{head}{key} = {value}\n{variant}"), format!("{head}{variant}{key} = {value}")] {
                readers::script(text.as_bytes());
                readers::balancer_file(text.as_bytes());
                readers::case(text.as_bytes());
            }
        }
    }
}
