//! The service. Each member tells a random other one all that it knows, ten times a second, and is told as much in return.
//! What a member says of itself has a generation, which a start raises, and a heartbeat: whose heartbeat stands still is dead.

use std::collections::BTreeMap;
use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use rand::SeedableRng;
use rand::rngs::StdRng;
use rand::seq::IteratorRandom;
use serde::{Deserialize, Serialize};
use stormglass::disk::Disk;
use stormglass::sockets::UdpSocket;
use tokio::time::{Instant, interval};

const ROUND: Duration = Duration::from_millis(100);

/// Whose heartbeat has stood still for so long is taken for dead.
pub const DEAD_AFTER: Duration = Duration::from_secs(2);

const GENERATION: &str = "generation";

/// What a member says of itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct State {
    /// How often it has started.
    pub generation: u64,
    /// How many rounds it has begun since.
    pub heartbeat: u64,
    /// Where it hears.
    pub addr: SocketAddr,
}

/// What members tell each other.
#[derive(Serialize, Deserialize)]
struct Message {
    states: BTreeMap<String, State>,
    /// Whether as much is to be told in return.
    asks: bool,
}

/// A member, as this one knows it.
#[derive(Clone, Copy, Debug)]
pub struct Known {
    /// The newest that it has said, as far as is known.
    pub state: State,
    since: Instant,
}

impl Known {
    /// Whether it is taken for alive.
    pub fn is_alive(&self) -> bool {
        self.since.elapsed() < DEAD_AFTER
    }
}

/// A member of the cluster. Clones are the same member.
#[derive(Clone)]
pub struct Member {
    name: String,
    socket: Arc<UdpSocket>,
    known: Arc<Mutex<BTreeMap<String, Known>>>,
}

impl Member {
    /// Starts a member, which finds the others through `seeds`, `host:port` each.
    pub async fn start<D: Disk>(
        name: &str,
        listen: &str,
        seeds: Vec<String>,
        disk: &D,
        entropy: u64,
    ) -> io::Result<Self> {
        let generation = next_generation(disk).await?;
        let socket = Arc::new(UdpSocket::bind(listen).await?);
        let state = State { generation, heartbeat: 0, addr: socket.local_addr()? };
        let own = (name.to_owned(), Known { state, since: Instant::now() });
        let member = Self { name: name.to_owned(), socket, known: Arc::new(Mutex::new(BTreeMap::from([own]))) };
        tokio::spawn(member.clone().hear());
        tokio::spawn(member.clone().talk(seeds, StdRng::seed_from_u64(entropy)));
        Ok(member)
    }

    /// Where it hears.
    pub fn addr(&self) -> io::Result<SocketAddr> {
        self.socket.local_addr()
    }

    /// All members that it ever heard of, itself too.
    pub fn members(&self) -> BTreeMap<String, Known> {
        self.lock().clone()
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<String, Known>> {
        self.known.lock().expect("nobody panics with it")
    }

    async fn talk(self, seeds: Vec<String>, mut random: StdRng) {
        let mut rounds = interval(ROUND);
        loop {
            rounds.tick().await;
            let others: Vec<SocketAddr> = {
                let mut known = self.lock();
                if let Some(own) = known.get_mut(&self.name) {
                    own.state.heartbeat += 1;
                    own.since = Instant::now();
                }
                known.iter().filter(|(name, _)| **name != self.name).map(|(_, known)| known.state.addr).collect()
            };
            // The dead too: some of them are only cut off. What cannot be sent is lost, as on its way.
            if let Some(other) = others.into_iter().choose(&mut random) {
                let _ = self.socket.send_to(&self.message(true), other).await;
            }
            if let Some(seed) = seeds.iter().choose(&mut random) {
                let _ = self.socket.send_to(&self.message(true), seed.as_str()).await;
            }
        }
    }

    async fn hear(self) {
        let mut buffer = vec![0; 1 << 16];
        loop {
            // An error is that of something sent before: nobody listens there.
            let Ok((length, from)) = self.socket.recv_from(&mut buffer).await else { continue };
            // UDP's checksum is a weak one: what is no message was damaged.
            let Ok(Message { states, asks }) = serde_json::from_slice(&buffer[..length]) else { continue };
            self.learn(states);
            if asks {
                let _ = self.socket.send_to(&self.message(false), from).await;
            }
        }
    }

    fn message(&self, asks: bool) -> Vec<u8> {
        let states = self.lock().iter().map(|(name, known)| (name.clone(), known.state)).collect();
        serde_json::to_vec(&Message { states, asks }).unwrap_or_default()
    }

    fn learn(&self, states: BTreeMap<String, State>) {
        let mut known = self.lock();
        for (name, state) in states.into_iter().filter(|(name, _)| *name != self.name) {
            let is_new = known.get(&name).is_none_or(|known| known.state < state);
            if is_new {
                known.insert(name, Known { state, since: Instant::now() });
            }
        }
    }
}

/// Each start is another generation, also after a loss of power.
async fn next_generation<D: Disk>(disk: &D) -> io::Result<u64> {
    let last = disk.read(GENERATION).await?.and_then(|bytes| String::from_utf8(bytes).ok()?.parse::<u64>().ok());
    let generation = last.unwrap_or_default() + 1;
    stormglass::disk::replace(disk, GENERATION, generation.to_string().as_bytes()).await?;
    Ok(generation)
}
