//! Clients of a cluster: what they call, and what came of it.

mod calls;
mod datagrams;
mod http;
mod options;

use std::future::Future;
use std::io;
use std::rc::Rc;
use std::time::Duration;

use bytes::Bytes;
use rand::Rng as _;
use tokio::time::Instant;

use self::calls::Call;
pub(super) use self::calls::Calls;
use self::datagrams::Datagrams;
pub(super) use self::http::HTTP_PORT;
use self::http::Http;
pub(super) use self::options::Clients;
use self::options::{Pace, Reads};
use super::cluster::{Cluster, PORT};
use crate::net::Net as _;
use crate::raft::NodeId;
use crate::raft::client::{NotDone, Outcome};
use crate::raft::kv::{Answer, Operation};
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

#[derive(Clone, Copy)]
struct TokioClock(Instant);

impl TokioClock {
    fn new() -> Self {
        Self(Instant::now())
    }
}

impl Clock for TokioClock {
    fn now(&self) -> Duration {
        self.0.elapsed()
    }

    async fn wait(&self, time: Duration) {
        tokio::time::sleep(time).await;
    }
}

#[derive(Clone)]
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
        let (calling, clock) = (Calling::new(self, caller, host.incarnation, host.rng, host.events), TokioClock::new());
        if calling.plan().over.is_http() {
            let members = calling.cluster.members().into_iter().collect();
            let http = Http::new(host.net, members, calling.plan().give_up.0, caller.place);
            return calling.run(http, clock).await;
        }
        let socket = host.net.bind(&format!("0.0.0.0:{PORT}")).await?;
        let mut servers = Vec::new();
        for id in calling.cluster.members() {
            servers.push((id, host.net.resolve(&format!("{id}:{PORT}")).await?));
        }
        let mut calling = calling;
        let transport = Datagrams::new(socket, clock, calling.id, servers, &mut calling);
        calling.run(transport, clock).await
    }

    pub(super) async fn call_in_core_lane(self: Rc<Self>, caller: Caller, host: CoreHost) -> HostResult {
        let socket = host.net.bind(PORT)?;
        let address = |id: NodeId| Ok((id, host.net.address(&id.to_string(), PORT)?));
        let servers = self.members().into_iter().map(address).collect::<io::Result<Vec<_>>>()?;
        let mut calling = Calling::new(self, caller, host.incarnation, host.rng, host.events);
        let now = host.time.now();
        let clock = CoreClock(host.time, now);
        let transport = Datagrams::new(socket, clock.clone(), calling.id, servers, &mut calling);
        calling.run(transport, clock).await
    }
}

/// How a client reaches the cluster.
trait Transport {
    /// Has something done, and waits for what comes of it.
    async fn call(&mut self, operation: Operation, consistency: Consistency) -> io::Result<Outcome>;
}

/// One process of a client.
struct Calling {
    cluster: Rc<Cluster>,
    name: String,
    id: NodeId,
    rng: Rng,
    events: Events,
    /// How many values it has written, so that each is another.
    written: u64,
    /// When the call that is under way was to begin.
    was_due: Duration,
    /// The key and the value that it knows of last, for a `cas`.
    known: Option<(Bytes, Option<Bytes>)>,
}

impl Calling {
    fn new(cluster: Rc<Cluster>, caller: Caller, incarnation: u32, rng: Rng, events: Events) -> Self {
        let id = NodeId(CLIENT_IDS_FROM + (caller.place << 16) + u64::from(incarnation));
        let was_due = Duration::ZERO;
        Self { cluster, name: caller.name(), id, rng, events, written: 0, was_due, known: None }
    }

    fn plan(&self) -> &Clients {
        self.cluster.plan.clients.as_ref().expect("there are clients")
    }

    async fn run(mut self, mut transport: impl Transport, clock: impl Clock) -> HostResult {
        let from = self.plan().from.0.saturating_sub(self.events.now());
        clock.wait(from + self.drawn_time()).await;
        let mut due = self.events.now();
        loop {
            if self.plan().until.is_some_and(|until| until.0 <= self.events.now()) {
                std::future::pending::<()>().await;
            }
            self.was_due = due;
            let (operation, consistency) = self.draw();
            let place = self.began(&operation, consistency);
            let outcome = transport.call(operation, consistency).await?;
            self.ended(place, outcome);
            let next = self.drawn_time();
            match self.plan().pace() {
                Pace::Closed(_) => {
                    clock.wait(next).await;
                    due = self.events.now();
                }
                Pace::Open(_) => {
                    due += next;
                    let wait = due.saturating_sub(self.events.now());
                    // It may have passed.
                    if !wait.is_zero() {
                        clock.wait(wait).await;
                    }
                }
            }
        }
    }

    fn drawn_time(&mut self) -> Duration {
        let (Pace::Closed(time) | Pace::Open(time)) = self.plan().pace();
        sample(&time, self.rng.random())
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
            self.cluster.answered.set(self.cluster.answered.get() + 1);
            self.events.time("calls", ended.1 - self.was_due.min(call.began.1));
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
