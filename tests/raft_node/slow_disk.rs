//! A disk that takes longer than its node's election timeout, on real sockets: as the disk of this machine does, it keeps
//! the node's thread.

use std::collections::BTreeMap;
use std::io;
use std::net::SocketAddr;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread;
use std::time::{Duration, Instant};

use stormglass::disk::Disk;
use stormglass::disk::real::RealDisk;
use stormglass::events::Sink;
use stormglass::net::Net as _;
use stormglass::net::real::{RealNet, run};
use stormglass::raft::post::DATAGRAM_BYTES;
use stormglass::raft::segments::SEGMENT_BYTES;
use stormglass::raft::server::{self, Event, Settings};
use stormglass::raft::{ClockRate, ClusterId, Codec, Config, Event as Core, LogPosition, NodeId, Term};
use stormglass::rng::fresh_seed;
use tokio::sync::mpsc;
use tokio::time::sleep;

/// Two syncs make a write.
const SYNC: Duration = Duration::from_millis(350);

const RUNS_FOR: Duration = Duration::from_secs(6);

/// A directory whose syncs take a while.
#[derive(Clone)]
struct SlowDisk(RealDisk, Duration);

impl Disk for SlowDisk {
    async fn read(&self, name: &str) -> io::Result<Option<Vec<u8>>> {
        self.0.read(name).await
    }

    async fn write(&self, name: &str, bytes: &[u8]) -> io::Result<()> {
        self.0.write(name, bytes).await
    }

    async fn append(&self, name: &str, bytes: &[u8]) -> io::Result<()> {
        self.0.append(name, bytes).await
    }

    async fn truncate(&self, name: &str, length: u64) -> io::Result<()> {
        self.0.truncate(name, length).await
    }

    async fn sync(&self, name: &str) -> io::Result<()> {
        thread::sleep(self.1);
        self.0.sync(name).await
    }

    async fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        self.0.rename(from, to).await
    }

    async fn sync_dir(&self) -> io::Result<()> {
        thread::sleep(self.1);
        self.0.sync_dir().await
    }

    async fn remove(&self, name: &str) -> io::Result<()> {
        self.0.remove(name).await
    }

    async fn list(&self) -> io::Result<Vec<String>> {
        self.0.list().await
    }
}

/// Who was elected, in which term, and when.
type Elected = (NodeId, Term, Instant);

/// One node, for a while, in a thread of its own.
async fn node(
    id: NodeId,
    config: Config,
    disk: SlowDisk,
    told: Sender<SocketAddr>,
    all: Receiver<Vec<SocketAddr>>,
    elected: Sender<Elected>,
) {
    let socket = RealNet.bind("127.0.0.1:0").await.expect("a port is free");
    told.send(socket.local_addr().expect("it is bound")).expect("the test waits");
    let all = all.recv().expect("the test tells");
    let peers: BTreeMap<_, _> = (1..).map(NodeId).zip(all).filter(|(peer, _)| *peer != id).collect();
    let settings = Settings {
        id,
        config,
        codec: Codec::new(ClusterId::named("slow disk"), None),
        peers: peers.into_iter().map(|(peer, address)| (peer, address.to_string())).collect(),
        log: LogPosition::default(),
        segment_bytes: SEGMENT_BYTES,
        datagram_bytes: DATAGRAM_BYTES,
        clock: ClockRate::default(),
    };
    let events = Sink::new(move |event| {
        if let Event::Core(Core::BecameLeader { term, .. }) = event {
            _ = elected.send((id, *term, Instant::now()));
        }
    });
    let (_commands, commanded) = mpsc::unbounded_channel();
    let rng = fresh_seed().stream("slow disk");
    let served = server::serve(&RealNet, socket, disk, settings, rng, commanded, events, sleep(RUNS_FOR)).await;
    served.expect("it runs until it is told to end");
}

/// All who were elected while three nodes ran, of which one has a slow disk.
fn elected(pre_vote: bool) -> (Instant, Vec<Elected>) {
    let mut config = Config::new((1..=3).map(NodeId));
    (config.election_timeout_min, config.election_timeout_max) =
        (Duration::from_millis(300), Duration::from_millis(600));
    config.heartbeat = Duration::from_millis(60);
    (config.pre_vote, config.leader_stickiness) = (pre_vote, pre_vote);
    let directory = tempfile::tempdir().expect("a directory");
    let (elections, elected) = channel();
    let nodes: Vec<_> = (1..=3)
        .map(|number| {
            let sync = if number == 3 { SYNC } else { Duration::ZERO };
            let home = directory.path().join(number.to_string());
            let ((told, address), (tell, all)) = (channel(), channel());
            let (config, elections) = (config.clone(), elections.clone());
            let thread = thread::spawn(move || {
                let disk = SlowDisk(RealDisk::open(home).expect("a directory"), sync);
                run(node(NodeId(number), config, disk, told, all, elections))
            });
            (thread, address, tell)
        })
        .collect();
    drop(elections);
    let addresses: Vec<SocketAddr> = nodes.iter().map(|(_, address, _)| address.recv().expect("it is bound")).collect();
    let start = Instant::now();
    nodes.iter().for_each(|(_, _, tell)| tell.send(addresses.clone()).expect("the node waits"));
    for (thread, ..) in nodes {
        thread.join().expect("no node panics").expect("the runtime starts");
    }
    (start, elected.iter().collect())
}

#[test]
fn a_node_with_a_slow_disk_does_not_campaign_while_its_leader_is_well() {
    let clusters = [false, true].map(|pre_vote| (pre_vote, thread::spawn(move || elected(pre_vote))));
    for (pre_vote, cluster) in clusters {
        let (start, elected) = cluster.join().expect("no node panics");
        let shown: Vec<_> =
            elected.iter().map(|(id, term, at)| format!("{id} in term {term} at {:?}", *at - start)).collect();
        assert!(!elected.is_empty(), "pre-vote: {pre_vote}: nobody was elected");
        assert!(elected.len() <= 3, "pre-vote: {pre_vote}: {shown:?}");
    }
}
