//! The project's own driver on bare turmoil, with nothing between them but a seam that calls `turmoil::net`.

#[path = "../../shared/bare.rs"]
mod seam;

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::future::pending;
use std::io;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use stormglass::disk::Disk;
use stormglass::events::Sink;
use stormglass::net::Net as _;
use stormglass::raft::server::{self, Settings};
use stormglass::raft::post::DATAGRAM_BYTES;
use stormglass::raft::segments::SEGMENT_BYTES;
use stormglass::raft::{ClockRate, ClusterId, Codec, LogPosition, NodeId};
use stormglass::rng::Seed;

use seam::{Bare, simulation};

use crate::{Made, NODES, PORT, SEED, config};

/// A disk that loses nothing and takes no time.
#[derive(Clone, Default)]
struct Memory(Rc<RefCell<BTreeMap<String, Vec<u8>>>>);

impl Disk for Memory {
    async fn read(&self, name: &str) -> io::Result<Option<Vec<u8>>> {
        Ok(self.0.borrow().get(name).cloned())
    }

    async fn write(&self, name: &str, bytes: &[u8]) -> io::Result<()> {
        self.0.borrow_mut().insert(name.to_owned(), bytes.to_vec());
        Ok(())
    }

    async fn append(&self, name: &str, bytes: &[u8]) -> io::Result<()> {
        self.0.borrow_mut().entry(name.to_owned()).or_default().extend_from_slice(bytes);
        Ok(())
    }

    async fn truncate(&self, name: &str, length: u64) -> io::Result<()> {
        let length = usize::try_from(length).map_err(io::Error::other)?;
        self.0.borrow_mut().entry(name.to_owned()).or_default().resize(length, 0);
        Ok(())
    }

    async fn sync(&self, _: &str) -> io::Result<()> {
        Ok(())
    }

    async fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        let mut files = self.0.borrow_mut();
        let bytes = files.remove(from).ok_or(io::ErrorKind::NotFound)?;
        files.insert(to.to_owned(), bytes);
        Ok(())
    }

    async fn sync_dir(&self) -> io::Result<()> {
        Ok(())
    }

    async fn remove(&self, name: &str) -> io::Result<()> {
        self.0.borrow_mut().remove(name);
        Ok(())
    }

    async fn list(&self) -> io::Result<Vec<String>> {
        Ok(self.0.borrow().keys().cloned().collect())
    }
}

async fn node(net: Bare, id: NodeId) -> turmoil::Result {
    let others = (1..=NODES).map(NodeId).filter(|other| *other != id);
    let settings = Settings {
        id,
        config: config(NODES),
        codec: Codec::new(ClusterId::named("simulated"), None),
        peers: others.map(|other| (other, format!("{other}:{PORT}"))).collect(),
        log: LogPosition::default(),
            segment_bytes: SEGMENT_BYTES,
            datagram_bytes: DATAGRAM_BYTES,
        clock: ClockRate::default(),
    };
    let socket = net.bind(&format!("0.0.0.0:{PORT}")).await?;
    let (_sender, commands) = tokio::sync::mpsc::unbounded_channel();
    let rng = Seed(SEED).stream(&format!("host {id} 0"));
    server::serve(&net, socket, Memory::default(), settings, rng, commands, Sink::none(), pending()).await?;
    Ok(())
}

pub fn simulate(seconds: u64) -> Made {
    let sent = Arc::new(AtomicU64::new(0));
    let began = Instant::now();
    let mut sim = simulation(SEED);
    for id in (1..=NODES).map(NodeId) {
        let net = Bare(sent.clone());
        sim.host(id.to_string(), move || node(net.clone(), id));
    }
    while sim.elapsed() < Duration::from_secs(seconds) {
        sim.step().expect("no host fails");
    }
    Made { messages: sent.load(Ordering::Relaxed), wall: began.elapsed() }
}
