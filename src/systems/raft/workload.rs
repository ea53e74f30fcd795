//! Clients of a cluster: what they call, and what came of it.

mod calls;
mod options;

use std::future::{Future, poll_fn};
use std::io;
use std::net::SocketAddr;
use std::pin::pin;
use std::rc::Rc;
use std::task::Poll;
use std::time::Duration;

use bytes::Bytes;
use rand::Rng as _;
use tokio::time::Instant;

use self::calls::Call;
pub(super) use self::calls::Calls;
pub(super) use self::options::Clients;
use self::options::Reads;
use super::cluster::{Cluster, PORT};
use super::codec;
use crate::net::{DATAGRAM_BYTES_MAX, Net as _, Socket};
use crate::raft::NodeId;
use crate::raft::client::{Client, NotDone, Outcome, Patience, Step};
use crate::raft::codec::Datagram;
use crate::raft::kv::{Answer, Operation};
use crate::raft::post::{Arrival, DATAGRAM_BYTES, Post};
use crate::raft::request::Consistency;
use crate::rng::Rng;
use crate::sim::{CoreHost, CoreTime, Events, Host, HostResult, sample};

/// Members have lower ids.
const CLIENT_IDS_FROM: u64 = 1 << 32;

/// A client of the run, whichever process it is.
#[derive(Clone, Copy, Debug)]
pub(super) struct Caller {
    place: u64,
}

impl Caller {
    pub(super) fn name(self) -> String {
        format!("c{}", self.place + 1)
    }
}

/// Time, as a lane has it.
trait Clock {
    fn now(&self) -> Duration;
    fn wait(&self, time: Duration) -> impl Future<Output = ()>;
}

struct TokioClock(Instant);

impl Clock for TokioClock {
    fn now(&self) -> Duration {
        self.0.elapsed()
    }

    async fn wait(&self, time: Duration) {
        tokio::time::sleep(time).await;
    }
}

struct CoreClock(CoreTime, Duration);

impl Clock for CoreClock {
    fn now(&self) -> Duration {
        self.0.now() - self.1
    }

    async fn wait(&self, time: Duration) {
        crate::sim::disk::Wait::wait(&self.0, time).await;
    }
}

impl Cluster {
    /// The clients that there are.
    pub(super) fn callers(&self) -> Vec<Caller> {
        let count = self.plan.clients.as_ref().map_or(0, |clients| clients.count);
        (0..count).map(|place| Caller { place }).collect()
    }

    pub(super) async fn call_in_turmoil(self: Rc<Self>, caller: Caller, host: Host) -> HostResult {
        let socket = host.net.bind(&format!("0.0.0.0:{PORT}")).await?;
        let mut servers = Vec::new();
        for id in self.members() {
            servers.push((id, host.net.resolve(&format!("{id}:{PORT}")).await?));
        }
        let calling = Calling::new(self, caller, host.incarnation, servers, host.rng, host.events);
        calling.run(socket, TokioClock(Instant::now())).await
    }

    pub(super) async fn call_in_core_lane(self: Rc<Self>, caller: Caller, host: CoreHost) -> HostResult {
        let socket = host.net.bind(PORT)?;
        let address = |id: NodeId| Ok((id, host.net.address(&id.to_string(), PORT)?));
        let servers = self.members().into_iter().map(address).collect::<io::Result<Vec<_>>>()?;
        let calling = Calling::new(self, caller, host.incarnation, servers, host.rng, host.events);
        let now = host.time.now();
        calling.run(socket, CoreClock(host.time, now)).await
    }
}

/// One process of a client.
struct Calling {
    cluster: Rc<Cluster>,
    name: String,
    id: NodeId,
    servers: Vec<(NodeId, SocketAddr)>,
    client: Client,
    post: Post,
    rng: Rng,
    events: Events,
    /// How many values it has written, so that each is another.
    written: u64,
    /// The key and the value that it knows of last, for a `cas`.
    known: Option<(Bytes, Option<Bytes>)>,
}

/// What a client waited for.
enum Came {
    Datagram(usize, SocketAddr),
    Time,
}

impl Calling {
    fn new(
        cluster: Rc<Cluster>,
        caller: Caller,
        incarnation: u32,
        servers: Vec<(NodeId, SocketAddr)>,
        mut rng: Rng,
        events: Events,
    ) -> Self {
        let clients = cluster.plan.clients.as_ref().expect("there are clients");
        let patience = Patience { retry: clients.retry.0, deadline: clients.give_up.0 };
        let id = NodeId(CLIENT_IDS_FROM + (caller.place << 16) + u64::from(incarnation));
        let client = Client::new(id, servers.iter().map(|(id, _)| *id), patience, &mut rng);
        let post = Post::new(codec(), id, DATAGRAM_BYTES);
        Self { cluster, name: caller.name(), id, servers, client, post, rng, events, written: 0, known: None }
    }

    fn plan(&self) -> &Clients {
        self.cluster.plan.clients.as_ref().expect("there are clients")
    }

    async fn run<S: Socket>(mut self, socket: S, clock: impl Clock) -> HostResult {
        let from = self.plan().from.0.saturating_sub(self.events.now());
        clock.wait(from + self.think()).await;
        let mut buffer = vec![0; DATAGRAM_BYTES_MAX];
        loop {
            if self.plan().until.is_some_and(|until| until.0 <= self.events.now()) {
                std::future::pending::<()>().await;
            }
            let (operation, consistency) = self.draw();
            let place = self.began(&operation, consistency);
            let mut steps = self.client.call(clock.now(), operation, consistency);
            let outcome = loop {
                if let Some(outcome) = self.execute(&socket, std::mem::take(&mut steps)).await? {
                    break outcome;
                }
                let wait = self.client.deadline().unwrap_or_default().saturating_sub(clock.now());
                steps = match next(&socket, &clock, wait, &mut buffer).await? {
                    Came::Time => self.client.tick(clock.now()),
                    Came::Datagram(length, from) => {
                        let datagram = &buffer[..length];
                        let mut replies = Vec::new();
                        let arrival = self.post.arrived(clock.now(), from, datagram, &mut replies);
                        for reply in replies {
                            send(&socket, reply, from).await?;
                        }
                        match arrival {
                            Arrival::Itself => self.take_in(clock.now(), datagram),
                            Arrival::Whole(whole) => self.take_in(clock.now(), &whole),
                            Arrival::Nothing | Arrival::Rejected(_) => Vec::new(),
                        }
                    }
                };
            };
            self.ended(place, outcome);
            clock.wait(self.think()).await;
        }
    }

    fn think(&mut self) -> Duration {
        let think = self.plan().think;
        sample(&think, self.rng.random())
    }

    /// The next call.
    fn draw(&mut self) -> (Operation, Consistency) {
        let Clients { keys, hot, value_bytes, mix, reads, .. } = self.plan().clone();
        let is_hot = self.rng.random_bool(hot);
        let place = self.rng.random_range(0..keys);
        let key = Bytes::from(format!("k{}", if is_hot { 1 } else { place + 1 }));
        let read = reads[self.rng.random_range(0..reads.len())];
        let weights = [mix.get, mix.put, mix.delete, mix.cas, mix.append, mix.scan];
        let mut drawn = self.rng.random_range(0..weights.iter().sum::<u32>());
        let which = weights.iter().position(|weight| {
            let is_it = drawn < *weight;
            drawn = drawn.saturating_sub(*weight);
            is_it
        });
        self.written += 1;
        let width = usize::try_from(value_bytes).unwrap_or_default();
        let mut value = format!("{}.{}", self.name, self.written).into_bytes();
        value.resize(width.max(value.len()), b'.');
        let value = Bytes::from(value);
        let operation = match which {
            Some(0) => Operation::Get { key },
            Some(1) => Operation::Put { key, value },
            Some(2) => Operation::Delete { key },
            Some(3) => match self.known.clone() {
                Some((key, expected)) => Operation::Cas { key, expected, value },
                None => Operation::Cas { key, expected: None, value },
            },
            Some(4) => Operation::Append { key, value: Bytes::from(format!("{};", self.written)) },
            _ => Operation::Scan { prefix: Bytes::from_static(b"k"), limit: 100 },
        };
        let consistency = match read {
            _ if !operation.is_read() => Consistency::Log,
            Reads::Log => Consistency::Log,
            Reads::Index => Consistency::Index,
            Reads::Lease => Consistency::Lease,
            Reads::Stale => Consistency::Stale,
        };
        (operation, consistency)
    }

    /// Sends what there is to send. What came of the call, if it is over.
    async fn execute<S: Socket>(&mut self, socket: &S, steps: Vec<Step>) -> io::Result<Option<Outcome>> {
        for step in steps {
            match step {
                Step::Send(to, request) => {
                    let datagram = Bytes::from(codec().encode_request(self.id, to, &request));
                    let address = self.servers.iter().find(|(id, _)| *id == to).map(|(_, address)| *address);
                    let address = address.expect("it asks the servers that it was told of");
                    let parts = if self.post.fits(&datagram) {
                        vec![datagram]
                    } else {
                        self.post.split(to, address, &datagram)
                    };
                    for part in parts {
                        send(socket, part, address).await?;
                    }
                }
                Step::Done(outcome) => return Ok(Some(outcome)),
            }
        }
        Ok(None)
    }

    fn take_in(&mut self, now: Duration, datagram: &[u8]) -> Vec<Step> {
        match codec().decode_any(datagram) {
            Ok(Datagram::Response { from, to, response }) if to == self.id => self.client.respond(now, from, response),
            _ => {
                self.events.count("rejected datagrams", 1);
                Vec::new()
            }
        }
    }

    fn began(&mut self, operation: &Operation, consistency: Consistency) -> usize {
        let key = String::from_utf8_lossy(operation.key()).into_owned();
        let fields = vec![("operation", operation.name().into()), ("key", key.into())];
        let record = self.events.event("called", fields);
        let mut calls = self.cluster.calls.borrow_mut();
        let began = (calls.moment(), self.events.now(), record);
        let (client, operation) = (self.id.0, operation.clone());
        calls.all.push(Call { client, operation, consistency, began, ended: None });
        calls.all.len() - 1
    }

    fn ended(&mut self, place: usize, outcome: Outcome) {
        let (name, counter) = match &outcome {
            Outcome::Answered { .. } => ("answered", "calls answered"),
            Outcome::Unknown => ("unknown", "calls unknown"),
            Outcome::NotDone(NotDone::NoAnswer | NotDone::Refused(_)) => ("not-done", "calls not done"),
        };
        self.events.count(counter, 1);
        if matches!(outcome, Outcome::Answered { .. }) {
            self.events.work(1);
        }
        let record = self.events.event("returned", vec![("outcome", name.into())]);
        let mut calls = self.cluster.calls.borrow_mut();
        let ended = (calls.moment(), self.events.now(), record);
        let call = &mut calls.all[place];
        let key = call.operation.key().clone();
        if let Outcome::Answered { answer, .. } = &outcome {
            self.events.time("calls", ended.1 - call.began.1);
            let now = match (&call.operation, answer) {
                (Operation::Get { .. }, Answer::Value(value)) => Some(value.clone()),
                (Operation::Put { value, .. }, _) | (Operation::Cas { value, .. }, Answer::Swapped(true)) => {
                    Some(Some(value.clone()))
                }
                (Operation::Delete { .. }, _) => Some(None),
                _ => None,
            };
            self.known = now.map(|value| (key, value));
        }
        call.ended = Some((ended, outcome));
    }
}

async fn send<S: Socket>(socket: &S, datagram: Bytes, to: SocketAddr) -> io::Result<()> {
    match socket.send_now(&datagram, to) {
        Some(sent) => sent.map(drop),
        None => socket.send_bytes(datagram, to).await.map(drop),
    }
}

/// The next datagram, unless the time is over before.
async fn next<S: Socket>(socket: &S, clock: &impl Clock, wait: Duration, buffer: &mut [u8]) -> io::Result<Came> {
    let mut received = pin!(socket.recv_from(buffer));
    let mut timer = pin!(clock.wait(wait));
    poll_fn(|cx| {
        if let Poll::Ready(received) = received.as_mut().poll(cx) {
            return Poll::Ready(received.map(|(length, from)| Came::Datagram(length, from)));
        }
        timer.as_mut().poll(cx).map(|()| Ok(Came::Time))
    })
    .await
}
