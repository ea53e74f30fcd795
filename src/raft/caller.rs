//! A [`Client`] on a socket of its own.

use std::collections::BTreeMap;
use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use bytes::Bytes;
use rand::Rng as _;
use tokio::time::{Instant, sleep, timeout};

use super::client::{Client, Outcome, Patience, Step};
use super::codec::{Codec, Datagram};
use super::kv::Operation;
use super::post::{Arrival, DATAGRAM_BYTES, Post};
use super::request::{Consistency, Request};
use super::{NodeId, codec::ClusterId};
use crate::net::{DATAGRAM_BYTES_MAX, Net, Socket as _};
use crate::rng::Rng;

/// Members have lower ids.
const CLIENT_IDS_FROM: u64 = 1 << 32;

/// How long nothing is received after that failed, so that an error that stays does not keep the process busy.
const ERROR_PAUSE: Duration = Duration::from_millis(5);

/// Where a cluster is, and how its messages are written.
#[derive(Clone, Debug)]
pub struct Servers {
    /// How its members write messages.
    pub codec: Codec,
    /// All of them, as `host:port`.
    pub addresses: BTreeMap<NodeId, String>,
}

impl Servers {
    /// A cluster of this name, without a key.
    pub fn named(name: &str, addresses: BTreeMap<NodeId, String>) -> Self {
        Self { codec: Codec::new(ClusterId::named(name), None), addresses }
    }
}

/// Calls a cluster, one call at a time, under a session of its own.
///
/// A call that is dropped before it is over leaves the caller in the middle of it: drop the caller, too.
pub struct Caller<N: Net> {
    id: NodeId,
    socket: N::Socket,
    client: Client,
    post: Post,
    addresses: BTreeMap<NodeId, SocketAddr>,
    began: Instant,
    buffer: Vec<u8>,
}

impl<N: Net> Caller<N> {
    /// A caller with a socket at any port. Members whose names cannot be found now are not asked.
    ///
    /// # Errors
    /// No socket can be had, or no member is found.
    pub async fn new(net: &N, servers: &Servers, patience: Patience, rng: &mut Rng) -> io::Result<Self> {
        let (mut addresses, mut failed) = (BTreeMap::new(), None);
        for (id, name) in &servers.addresses {
            match net.resolve(name).await {
                Ok(address) => _ = addresses.insert(*id, address),
                Err(error) => {
                    failed = Some(io::Error::new(error.kind(), format!("cannot find {id} at {name}: {error}")));
                }
            }
        }
        let Some(first) = addresses.values().next() else {
            let nobody = || io::Error::new(io::ErrorKind::InvalidInput, "there are no members to ask");
            return Err(failed.unwrap_or_else(nobody));
        };
        let socket = net.bind(if first.is_ipv4() { "0.0.0.0:0" } else { "[::]:0" }).await?;
        let id = NodeId(rng.random_range(CLIENT_IDS_FROM..u64::MAX));
        let client = Client::new(id, addresses.keys().copied(), patience, rng);
        let post = Post::new(servers.codec.clone(), id, DATAGRAM_BYTES);
        let buffer = vec![0; DATAGRAM_BYTES_MAX];
        Ok(Self { id, socket, client, post, addresses, began: Instant::now(), buffer })
    }

    /// Has an operation done, and waits until it is known what came of it, or that it cannot be known.
    pub async fn call(&mut self, operation: Operation, consistency: Consistency) -> Outcome {
        let mut steps = self.client.call(self.now(), operation, consistency);
        loop {
            for step in std::mem::take(&mut steps) {
                match step {
                    Step::Send(to, request) => self.send(to, &request).await,
                    Step::Done(outcome) => return outcome,
                }
            }
            let deadlines = [self.client.deadline(), self.post.deadline()];
            let wait = deadlines.into_iter().flatten().min().unwrap_or_default().saturating_sub(self.now());
            steps = match timeout(wait, self.socket.recv_from(&mut self.buffer)).await {
                Err(_) => {
                    for (_, to, wanted) in self.post.overdue(self.now()) {
                        self.send_all(vec![wanted], to).await;
                    }
                    self.client.tick(self.now())
                }
                Ok(Ok((length, from))) => self.take_in(length, from).await,
                Ok(Err(error)) => {
                    tracing::debug!(%error, "a client cannot receive");
                    sleep(ERROR_PAUSE).await;
                    Vec::new()
                }
            };
        }
    }

    fn now(&self) -> Duration {
        self.began.elapsed()
    }

    async fn send(&mut self, to: NodeId, request: &Request) {
        let Some(address) = self.addresses.get(&to).copied() else { return };
        let datagram = Bytes::from(self.post.codec().encode_request(self.id, to, request));
        let parts = if self.post.fits(&datagram) { vec![datagram] } else { self.post.split(to, address, &datagram) };
        self.send_all(parts, address).await;
    }

    /// What cannot be sent is lost, as it could have been on its way.
    async fn send_all(&self, datagrams: Vec<Bytes>, to: SocketAddr) {
        for datagram in datagrams {
            if let Err(error) = self.socket.send_to(&datagram, to).await {
                tracing::debug!(%to, %error, "a request cannot be sent");
            }
        }
    }

    async fn take_in(&mut self, length: usize, from: SocketAddr) -> Vec<Step> {
        let (now, mut replies) = (self.now(), Vec::new());
        let datagram = &self.buffer[..length];
        let arrival = self.post.arrived(now, from, datagram, &mut replies);
        let whole = match arrival {
            Arrival::Itself => Some(Bytes::copy_from_slice(datagram)),
            Arrival::Whole(whole) => Some(whole),
            Arrival::Nothing | Arrival::Rejected(_) => None,
        };
        self.send_all(replies, from).await;
        match whole.map(|whole| self.post.codec().decode_any(&whole)) {
            Some(Ok(Datagram::Response { from, to, response })) if to == self.id => {
                self.client.respond(now, from, response)
            }
            _ => Vec::new(),
        }
    }
}
