//! The project's own driver on bare turmoil, with nothing between them but a seam that calls `turmoil::net`.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::future::pending;
use std::io;
use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant, UNIX_EPOCH};

use stormglass::disk::Disk;
use stormglass::events::Sink;
use stormglass::net::{Listener, Net, Socket};
use stormglass::raft::server::{self, Settings};
use stormglass::raft::{ClockRate, ClusterId, Codec, LogPosition, NodeId};
use stormglass::rng::Seed;

use crate::{Made, NODES, PORT, SEED, config};

#[derive(Clone)]
struct Bare(Arc<AtomicU64>);

struct BareListener(turmoil::net::TcpListener);

struct BareSocket(turmoil::net::UdpSocket, Arc<AtomicU64>);

impl Net for Bare {
    type Stream = turmoil::net::TcpStream;
    type Listener = BareListener;
    type Socket = BareSocket;

    async fn listen(&self, addr: &str) -> io::Result<BareListener> {
        turmoil::net::TcpListener::bind(addr).await.map(BareListener)
    }

    async fn connect(&self, addr: &str) -> io::Result<Self::Stream> {
        turmoil::net::TcpStream::connect(addr).await
    }

    async fn bind(&self, addr: &str) -> io::Result<BareSocket> {
        Ok(BareSocket(turmoil::net::UdpSocket::bind(addr).await?, self.0.clone()))
    }

    async fn resolve(&self, addr: &str) -> io::Result<SocketAddr> {
        let (name, port) = addr.split_once(':').expect("host:port");
        Ok(SocketAddr::new(turmoil::lookup(name), port.parse().expect("a port")))
    }
}

impl Listener for BareListener {
    type Stream = turmoil::net::TcpStream;

    async fn accept(&mut self) -> io::Result<(Self::Stream, SocketAddr)> {
        self.0.accept().await
    }

    fn local_addr(&self) -> io::Result<SocketAddr> {
        self.0.local_addr()
    }
}

impl Socket for BareSocket {
    async fn send_to(&self, payload: &[u8], to: SocketAddr) -> io::Result<usize> {
        self.1.fetch_add(1, Ordering::Relaxed);
        self.0.send_to(payload, to).await
    }

    async fn recv_from(&self, buffer: &mut [u8]) -> io::Result<(usize, SocketAddr)> {
        self.0.recv_from(buffer).await
    }

    fn local_addr(&self) -> io::Result<SocketAddr> {
        self.0.local_addr()
    }
}

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
    let mut sim = turmoil::Builder::new()
        .rng_seed(SEED)
        .epoch(UNIX_EPOCH)
        .tick_duration(Duration::from_millis(1))
        .simulation_duration(Duration::MAX)
        .min_message_latency(Duration::from_millis(1))
        .max_message_latency(Duration::from_millis(5))
        .udp_capacity(1 << 20)
        .build();
    // Turmoil's latency is exponential, cut off at the range's end: this puts its mean in the middle of the range.
    sim.set_message_latency_curve(1.6);
    for id in (1..=NODES).map(NodeId) {
        let net = Bare(sent.clone());
        sim.host(id.to_string(), move || node(net.clone(), id));
    }
    while sim.elapsed() < Duration::from_secs(seconds) {
        sim.step().expect("no host fails");
    }
    Made { messages: sent.load(Ordering::Relaxed), wall: began.elapsed() }
}
