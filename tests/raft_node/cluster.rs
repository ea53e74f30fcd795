//! Clusters of `raft-node` processes.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::io::{BufRead, BufReader};
use std::net::{SocketAddr, UdpSocket};
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use serde_json::Value;
use tempfile::TempDir;

use crate::http;
use crate::processes::{PATIENCE, Process};

pub const RAFT_NODE: &str = env!("CARGO_BIN_EXE_raft-node");

/// Slow enough for a machine that is busy.
const TIMING: [&str; 4] = ["--election-timeout", "300ms..600ms", "--heartbeat", "60ms"];

/// How often a cluster is set up anew because somebody else took a port.
const SETUPS_MAX: usize = 10;

/// A node that runs. Its `addr` is the one of its status.
pub type Node = Process;

/// What `/status` said.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Status {
    pub role: String,
    pub term: u64,
    pub leader: Option<u64>,
}

pub struct Cluster {
    pub nodes: BTreeMap<u64, Node>,
    pub ports: BTreeMap<u64, SocketAddr>,
    /// Where nodes that were told to serve their store do.
    pub stores: RefCell<BTreeMap<u64, SocketAddr>>,
    options: BTreeMap<u64, Vec<String>>,
    directory: TempDir,
}

impl Cluster {
    /// Starts the nodes 1, 2, …, each with its options.
    pub fn start(options: &[&[&str]]) -> Self {
        (0..SETUPS_MAX).find_map(|_| Self::set_up(options)).expect("ports are free")
    }

    fn set_up(options: &[&[&str]]) -> Option<Self> {
        // Held until all are known, so that they differ; then anybody may have them, the nodes included.
        let held: Vec<_> = options.iter().map(|_| UdpSocket::bind("127.0.0.1:0").expect("a port is free")).collect();
        let ports = (1..).zip(&held).map(|(id, socket)| (id, socket.local_addr().expect("it is bound"))).collect();
        drop(held);
        let options = (1..).zip(options).map(|(id, own)| (id, own.iter().map(ToString::to_string).collect()));
        let directory = tempfile::tempdir().expect("a directory");
        let mut cluster =
            Self { nodes: BTreeMap::new(), ports, stores: RefCell::default(), options: options.collect(), directory };
        for id in cluster.ports.keys().copied().collect::<Vec<_>>() {
            let node = cluster.spawn(id)?;
            cluster.nodes.insert(id, node);
        }
        Some(cluster)
    }

    /// The call for a node.
    pub fn command(&self, id: u64) -> Command {
        let peers: Vec<_> = self.ports.iter().map(|(id, addr)| format!("{id}={addr}")).collect();
        let mut command = Command::new(RAFT_NODE);
        command.args(["--id", &id.to_string(), "--listen", &self.ports[&id].to_string()]);
        command.args(["--peers", &peers.join(","), "--status", "127.0.0.1:0"]);
        command.arg("--data").arg(self.data(id)).args(TIMING).args(&self.options[&id]);
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        command
    }

    pub fn data(&self, id: u64) -> PathBuf {
        self.directory.path().join(format!("n{id}"))
    }

    /// `None`: somebody else has its port.
    fn spawn(&self, id: u64) -> Option<Node> {
        let mut child = self.command(id).spawn().expect("the node starts");
        let mut line = String::new();
        let stdout = child.stdout.as_mut().expect("stdout is piped");
        BufReader::new(stdout).read_line(&mut line).expect("the node says where it listens");
        if line.is_empty() {
            let output = child.wait_with_output().expect("it ended");
            let stderr = String::from_utf8_lossy(&output.stderr).into_owned();
            assert!(stderr.contains("another process has this port"), "n{id}: {stderr}");
            return None;
        }
        let expected = format!("listening on {}, status on http://", self.ports[&id]);
        let rest = line.trim_end().strip_prefix(&expected).expect(&line);
        let (addr, store) = rest.split_once(", store on http://").unwrap_or((rest, ""));
        if let Some(store) = store.strip_suffix("/kv/") {
            self.stores.borrow_mut().insert(id, store.parse().expect(&line));
        }
        let addr = addr.parse().expect(&line);
        Some(Process { child, addr })
    }

    pub fn kill(&mut self, id: u64) {
        let mut node = self.nodes.remove(&id).expect("it runs");
        node.signal("KILL");
        node.child.wait().expect("it ends");
    }

    /// Starts a node again that was killed.
    pub fn restart(&mut self, id: u64) {
        let deadline = Instant::now() + PATIENCE;
        loop {
            if let Some(node) = self.spawn(id) {
                self.nodes.insert(id, node);
                return;
            }
            assert!(Instant::now() < deadline, "the port of n{id} is not free again");
            thread::sleep(Duration::from_millis(100));
        }
    }

    pub fn status(&self, id: u64) -> Status {
        wait_for(|| self.status_now(id))
    }

    /// A node that still reads its disk has none.
    fn status_now(&self, id: u64) -> Result<Status, String> {
        let answer = http::get(self.nodes[&id].addr, "/status");
        if answer.code == 503 && answer.body.contains("starting") {
            return Err(format!("n{id}: {}", answer.body));
        }
        assert_eq!(answer.code, 200, "{answer:?}");
        let json: Value = serde_json::from_str(&answer.body).expect("it is JSON");
        assert_eq!(json["id"], id);
        Ok(Status {
            role: json["role"].as_str().expect("a role").to_owned(),
            term: json["term"].as_u64().expect("a term"),
            leader: json["leader"].as_u64(),
        })
    }

    /// A count or a value out of `/metrics`.
    pub fn metric(&self, id: u64, series: &str) -> u64 {
        let answer = http::get(self.nodes[&id].addr, "/metrics");
        let value = answer.body.lines().find_map(|line| line.strip_prefix(series)?.strip_prefix(' '));
        value.unwrap_or_else(|| panic!("no {series} in {answer:?}")).parse().expect("a number")
    }

    /// Waits until these nodes have one leader among them, in one term, and returns both.
    pub fn agreed(&self, ids: &[u64]) -> (u64, u64) {
        let agreed = || {
            let all = ids.iter().map(|id| Ok((*id, self.status_now(*id)?)));
            let all = all.collect::<Result<BTreeMap<_, _>, String>>()?;
            let terms: BTreeSet<_> = all.values().map(|status| status.term).collect();
            let leaders: BTreeSet<_> = all.values().map(|status| status.leader).collect();
            let leading: Vec<_> = all.iter().filter(|(_, status)| status.role == "leader").map(|(id, _)| *id).collect();
            let is_followed = all.values().filter(|status| status.role == "follower").count() == ids.len() - 1;
            match (&leading[..], terms.len(), leaders.len()) {
                ([leader], 1, 1) if is_followed && leaders.contains(&Some(*leader)) => Ok((*leader, all[leader].term)),
                _ => Err(format!("no agreement: {all:?}")),
            }
        };
        wait_for(agreed)
    }
}

/// Waits until something is so.
#[track_caller]
pub fn wait_for<T>(so: impl Fn() -> Result<T, String>) -> T {
    let deadline = Instant::now() + PATIENCE;
    loop {
        match so() {
            Ok(is) => return is,
            Err(why) => assert!(Instant::now() < deadline, "{why}"),
        }
        thread::sleep(Duration::from_millis(20));
    }
}
