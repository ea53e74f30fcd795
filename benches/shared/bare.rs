//! Turmoil's own sockets behind the seam, with nothing around them but a count of the datagrams that were sent.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, UNIX_EPOCH};

use stormglass::net::{Listener, Net, Socket};

/// The network of one host; clones count together.
#[derive(Clone, Default)]
pub struct Bare(pub Arc<AtomicU64>);

pub struct BareListener(turmoil::net::TcpListener);

pub struct BareSocket(turmoil::net::UdpSocket, Arc<AtomicU64>);

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

/// A simulation with latencies of 1 to 5 ms and a tick of 1 ms, without hosts.
pub fn simulation(seed: u64) -> turmoil::Sim<'static> {
    let sim = turmoil::Builder::new()
        .rng_seed(seed)
        .epoch(UNIX_EPOCH)
        .tick_duration(Duration::from_millis(1))
        .simulation_duration(Duration::MAX)
        .min_message_latency(Duration::from_millis(1))
        .max_message_latency(Duration::from_millis(5))
        .tcp_capacity(1 << 20)
        .udp_capacity(1 << 20)
        .build();
    // Turmoil's latency is exponential, cut off at the range's end: this puts its mean in the middle of the range.
    sim.set_message_latency_curve(1.6);
    sim
}
