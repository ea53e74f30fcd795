//! The store of a cluster of processes: over HTTP, by `raft-node kv`, and while leaders are killed.

use std::collections::BTreeMap;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::process::{Command, Output};
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use bytes::Bytes;
use serde_json::Value;
use stormglass::check::linear::{Call, check};
use stormglass::raft::kv::{Answer, Operation};

use crate::cluster::{Cluster, RAFT_NODE, wait_for};
use crate::http::get;
use crate::processes::{PATIENCE, text};

const KV: [&str; 2] = ["--kv", "127.0.0.1:0"];

/// What a store answers: the code, and the body.
fn ask(addr: SocketAddr, method: &str, path: &str, headers: &str, body: &str) -> std::io::Result<(u16, String)> {
    let mut stream = TcpStream::connect_timeout(&addr, PATIENCE)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    let length = body.len();
    write!(
        stream,
        "{method} {path} HTTP/1.1\r\nHost: node\r\nConnection: close\r\nContent-Length: {length}\r\n{headers}\r\n{body}"
    )?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer)?;
    let nonsense = || std::io::Error::other(format!("no answer: {answer:?}"));
    let (head, body) = answer.split_once("\r\n\r\n").ok_or_else(nonsense)?;
    let code = head.split(' ').nth(1).and_then(|code| code.parse().ok()).ok_or_else(nonsense)?;
    Ok((code, body.to_owned()))
}

fn code(addr: SocketAddr, method: &str, path: &str, headers: &str, body: &str) -> u16 {
    ask(addr, method, path, headers, body).expect("the store answers").0
}

#[test]
fn a_store_is_the_same_at_every_member() {
    let cluster = Cluster::start(&[&KV, &KV, &KV]);
    let (leader, _) = cluster.agreed(&[1, 2, 3]);
    let stores: Vec<SocketAddr> = cluster.stores.borrow().values().copied().collect();
    let [one, two, three] = stores[..] else { panic!("each has one: {stores:?}") };
    assert_eq!(code(one, "GET", "/kv/a", "", ""), 404);
    assert_eq!(code(one, "PUT", "/kv/a", "", "hello"), 204);
    assert_eq!(ask(two, "GET", "/kv/a", "", "").expect("it answers"), (200, "hello".to_owned()));
    assert_eq!(code(three, "PUT", "/kv/a", "X-Expected: other\r\n", "new"), 412);
    assert_eq!(code(three, "PUT", "/kv/a", "X-Expected: hello\r\n", "new"), 204);
    assert_eq!(code(one, "PUT", "/kv/a", "If-None-Match: *\r\n", "x"), 412);
    assert_eq!(code(one, "POST", "/kv/a", "", "er"), 204);
    for consistency in ["log", "index", "lease"] {
        let path = format!("/kv/a?consistency={consistency}");
        assert_eq!(ask(two, "GET", &path, "", "").expect("it answers"), (200, "newer".to_owned()), "{consistency}");
    }
    let stale = || match ask(two, "GET", "/kv/a?consistency=stale", "", "") {
        Ok((200, body)) if body == "newer" => Ok(()),
        other => Err(format!("{other:?}")),
    };
    wait_for(stale);
    let long = "x".repeat(200_000);
    assert_eq!(code(one, "PUT", "/kv/long", "", &long), 204, "in parts");
    assert_eq!(ask(three, "GET", "/kv/long", "", "").expect("it answers"), (200, long));
    assert_eq!(code(two, "DELETE", "/kv/a", "", ""), 204);
    assert_eq!(code(three, "GET", "/kv/a", "", ""), 404);
    for (method, path, expected) in
        [("GET", "/", 404), ("PATCH", "/kv/a", 405), ("GET", "/kv/a?consistency=odd", 400), ("GET", "/kv/%zz", 404)]
    {
        assert_eq!(code(one, method, path, "", ""), expected, "{method} {path}");
    }
    let status: Value = serde_json::from_str(&get(cluster.nodes[&leader].addr, "/status").body).expect("it is JSON");
    let commit = status["log"]["commit"].as_u64().expect("it has a log");
    assert!(commit >= 6 && status["log"]["peers"].as_object().is_some_and(|peers| peers.len() == 2), "{status}");
    assert!(cluster.metric(leader, "raft_applied_index") >= commit);
}

fn kv(cluster: &Cluster, arguments: &[&str]) -> Output {
    let peers: Vec<_> = cluster.ports.iter().map(|(id, addr)| format!("{id}={addr}")).collect();
    let mut command = Command::new(RAFT_NODE);
    command.args(["kv", "--peers", &peers.join(",")]).args(arguments);
    command.output().expect("it runs")
}

#[test]
fn a_client_says_what_was_done_and_what_it_cannot_know() {
    let mut cluster = Cluster::start(&[&KV, &KV, &KV]);
    let told = |cluster: &Cluster, arguments: &[&str]| {
        let output = kv(cluster, arguments);
        (output.status.code(), text(&output.stdout), text(&output.stderr))
    };
    cluster.agreed(&[1, 2, 3]);
    assert_eq!(told(&cluster, &["--give-up", "8s", "put", "a", "1"]), (Some(0), String::new(), String::new()));
    assert_eq!(told(&cluster, &["get", "a"]), (Some(0), "1\n".to_owned(), String::new()));
    assert_eq!(told(&cluster, &["cas", "a", "2", "3"]).0, Some(1));
    assert_eq!(told(&cluster, &["cas", "a", "1", "2"]).0, Some(0));
    assert_eq!(told(&cluster, &["create", "a", "1"]).0, Some(1));
    assert_eq!(told(&cluster, &["append", "b", "x"]).0, Some(0));
    assert_eq!(told(&cluster, &["scan"]).1, "a\t2\nb\tx\n");
    let (code, _, stderr) = told(&cluster, &["get", "c"]);
    assert!(code == Some(1) && stderr.contains("nothing is there"), "{stderr}");
    // Without a majority nothing is known.
    let (leader, _) = cluster.agreed(&[1, 2, 3]);
    let others: Vec<u64> = (1..=3).filter(|id| *id != leader).collect();
    others.iter().for_each(|id| cluster.kill(*id));
    let (code, _, stderr) = told(&cluster, &["--give-up", "700ms", "put", "a", "9"]);
    assert!(code == Some(4) && stderr.contains("unknown") || code == Some(1), "{code:?}: {stderr}");
    let (code, _, stderr) = told(&cluster, &["--give-up", "700ms", "get", "a"]);
    assert!(code == Some(1) && stderr.contains("nobody led"), "{code:?}: {stderr}");
}

/// What clients saw of a cluster whose leaders are killed.
#[derive(Default)]
struct Seen {
    moments: AtomicU64,
    calls: Mutex<Vec<Call>>,
    is_over: AtomicBool,
    /// A member that starts again serves elsewhere.
    stores: Mutex<BTreeMap<u64, SocketAddr>>,
}

impl Seen {
    fn moment(&self) -> u64 {
        self.moments.fetch_add(1, Ordering::SeqCst)
    }

    /// One client at one member: it writes and reads two keys until it is over.
    fn call(&self, client: u64) {
        let mut number = 0;
        while !self.is_over.load(Ordering::SeqCst) {
            let store = self.stores.lock().expect("nobody panicked")[&client];
            number += 1;
            let key = format!("k{}", number % 2);
            let bytes = Bytes::from(key.clone());
            let value = format!("{client}.{number}");
            let (operation, asked) = if number % 3 == 0 {
                let began = self.moment();
                (Operation::Get { key: bytes }, (began, ask(store, "GET", &format!("/kv/{key}"), "", "")))
            } else {
                let began = self.moment();
                let put = Operation::Put { key: bytes, value: value.clone().into() };
                (put, (began, ask(store, "PUT", &format!("/kv/{key}"), "", &value)))
            };
            let (began, answer) = asked;
            let at = self.moment();
            let ended = match answer {
                Ok((200, value)) => Some((at, Answer::Value(Some(value.into())))),
                Ok((404, _)) => Some((at, Answer::Value(None))),
                Ok((204, _)) => Some((at, Answer::Done)),
                // It was not done, and says nothing.
                Ok((503, _)) => continue,
                _ => None,
            };
            if ended.is_none() {
                // Its member is dead for a while.
                thread::sleep(Duration::from_millis(20));
            }
            self.calls.lock().expect("nobody panicked").push(Call { operation, began, ended });
        }
    }
}

struct Over<'a>(&'a AtomicBool);

impl Drop for Over<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::SeqCst);
    }
}

/// How often a leader is killed: ten times every night.
fn kills() -> u32 {
    if std::env::var_os("STORMGLASS_NIGHTLY").is_some() { 10 } else { 2 }
}

#[test]
fn what_clients_see_while_leaders_are_killed_is_linearizable() {
    let mut cluster = Cluster::start(&[&KV, &KV, &KV]);
    cluster.agreed(&[1, 2, 3]);
    let seen = Seen::default();
    let note_stores =
        |cluster: &Cluster| *seen.stores.lock().expect("nobody panicked") = cluster.stores.borrow().clone();
    note_stores(&cluster);
    thread::scope(|scope| {
        for id in 1..=3 {
            let seen = &seen;
            scope.spawn(move || seen.call(id));
        }
        // Also where an assertion fails: the scope waits for the clients.
        let _over = Over(&seen.is_over);
        for _ in 0..kills() {
            thread::sleep(Duration::from_millis(400));
            let (leader, _) = cluster.agreed(&[1, 2, 3]);
            cluster.kill(leader);
            let rest: Vec<u64> = cluster.nodes.keys().copied().collect();
            cluster.agreed(&rest);
            thread::sleep(Duration::from_millis(200));
            cluster.restart(leader);
            note_stores(&cluster);
        }
        cluster.agreed(&[1, 2, 3]);
        thread::sleep(Duration::from_millis(300));
    });
    let calls = seen.calls.into_inner().expect("nobody panicked");
    let answered = calls.iter().filter(|call| call.ended.is_some()).count();
    let began = Instant::now();
    println!("{answered} of {} calls were answered", calls.len());
    assert!(answered > 50, "{answered} of {} calls were answered", calls.len());
    check(&calls).unwrap_or_else(|trouble| panic!("{trouble:?}"));
    assert!(began.elapsed() < Duration::from_secs(5), "{:?}", began.elapsed());
}
