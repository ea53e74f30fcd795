//! The same core on madsim, written against its public crate: a node is a task with a socket and a timer.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use madsim::net::UdpSocket;
use madsim::runtime::Runtime;
use madsim::time::TimeHandle;
use stormglass::raft::codec::Envelope;
use stormglass::raft::{ClusterId, Codec, Core, HardState, Input, LogPosition, NodeId, Output};
use stormglass::rng::Seed;

use crate::{Made, NODES, PORT, SEED, config};

fn address(id: NodeId) -> IpAddr {
    IpAddr::V4(Ipv4Addr::new(10, 0, 0, u8::try_from(id.0).expect("a small cluster")))
}

async fn node(id: NodeId, sent: Arc<AtomicU64>) {
    let codec = Codec::new(ClusterId::named("simulated"), None);
    let socket = UdpSocket::bind(SocketAddr::new(address(id), PORT)).await.expect("the port is free");
    let addresses: BTreeMap<NodeId, SocketAddr> =
        (1..=NODES).map(NodeId).map(|peer| (peer, SocketAddr::new(address(peer), PORT))).collect();
    let rng = Seed(SEED).stream(&format!("host {id} 0"));
    let time = TimeHandle::current();
    let start = time.elapsed();
    let mut core = Core::new(id, config(NODES), HardState::default(), LogPosition::default(), rng, Duration::ZERO)
        .expect("the settings make sense");
    let mut buffer = [0; 2048];
    loop {
        let deadline = core.deadline().unwrap_or(Duration::MAX);
        let wait = deadline.saturating_sub(time.elapsed() - start);
        let input = if wait.is_zero() {
            Input::Tick
        } else {
            match madsim::time::timeout(wait, socket.recv_from(&mut buffer)).await {
                Err(_) => Input::Tick,
                Ok(received) => {
                    let (length, _) = received.expect("the socket works");
                    match codec.decode(&buffer[..length]) {
                        Ok(Envelope { from, message, .. }) => Input::Message { from, message },
                        Err(why) => panic!("{why}"),
                    }
                }
            }
        };
        for output in core.step(time.elapsed() - start, input) {
            if let Output::Send { to, message } = output {
                sent.fetch_add(1, Ordering::Relaxed);
                let datagram = codec.encode(&Envelope { from: id, to, message });
                socket.send_to(addresses[&to], &datagram).await.expect("there is a way");
            }
        }
    }
}

pub fn simulate(seconds: u64) -> Made {
    let sent = Arc::new(AtomicU64::new(0));
    let began = Instant::now();
    let mut config = madsim::Config::default();
    config.net.packet_loss_rate = 0.01;
    config.net.send_latency = Duration::from_millis(1)..Duration::from_millis(5);
    let runtime = Runtime::with_seed_and_config(SEED, config);
    for id in (1..=NODES).map(NodeId) {
        let host = runtime.create_node().name(id.to_string()).ip(address(id)).build();
        host.spawn(node(id, sent.clone()));
    }
    runtime.block_on(async move { madsim::time::sleep(Duration::from_secs(seconds)).await });
    drop(runtime);
    Made { messages: sent.load(Ordering::Relaxed), wall: began.elapsed() }
}
