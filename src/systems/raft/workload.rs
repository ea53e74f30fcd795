//! Clients of a cluster: what they call, and what came of it.

mod alone;
mod book;
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

pub(super) use self::alone::{Came, Told, play, told};
use self::book::{Book, InRun};
use self::calls::Call;
pub(super) use self::calls::{Calls, Judged};
use self::datagrams::Datagrams;
pub(super) use self::http::HTTP_PORT;
use self::http::Http;
pub(super) use self::options::Clients;
use self::options::{Pace, Reads};
use super::cluster::{Cluster, PORT};
use crate::net::Net;
use crate::raft::NodeId;
use crate::raft::client::Outcome;
use crate::raft::kv::{Answer, Operation};
use crate::raft::request::Consistency;
use crate::rng::Rng;
use crate::sim::{CoreHost, CoreTime, Host, HostResult, sample};

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

impl Clients {
    /// All of them.
    pub(super) fn callers(&self) -> Vec<Caller> {
        (0..self.count).map(|place| Caller { place }).collect()
    }
}

impl Cluster {
    /// The clients that there are.
    pub(super) fn callers(&self) -> Vec<Caller> {
        self.plan.clients.as_ref().map(Clients::callers).unwrap_or_default()
    }

    fn clients(&self) -> Clients {
        self.plan.clients.clone().expect("there are clients")
    }

    pub(super) async fn call_in_turmoil(self: Rc<Self>, caller: Caller, host: Host) -> HostResult {
        let members = self.members();
        let book = InRun::new(self.clone(), host.events);
        let (calling, clock) =
            (Calling::new(self.clients(), caller, host.incarnation, host.rng, book), TokioClock::new());
        if calling.plan.over.is_http() {
            let http = Http::new(host.net, members.into_iter().collect(), calling.plan.give_up.0, caller.place);
            return calling.run(http, clock).await;
        }
        calling.run_over(&host.net, members, clock).await
    }

    pub(super) async fn call_in_core_lane(self: Rc<Self>, caller: Caller, host: CoreHost) -> HostResult {
        let socket = host.net.bind(PORT)?;
        let address = |id: NodeId| Ok((id, host.net.address(&id.to_string(), PORT)?));
        let servers = self.members().into_iter().map(address).collect::<io::Result<Vec<_>>>()?;
        let book = InRun::new(self.clone(), host.events);
        let mut calling = Calling::new(self.clients(), caller, host.incarnation, host.rng, book);
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
struct Calling<B> {
    plan: Clients,
    name: String,
    id: NodeId,
    rng: Rng,
    book: B,
    /// How many values it has written, so that each is another.
    written: u64,
    /// The key and the value that it knows of last, for a `cas`.
    known: Option<(Bytes, Option<Bytes>)>,
}

impl<B: Book> Calling<B> {
    fn new(plan: Clients, caller: Caller, incarnation: u32, rng: Rng, book: B) -> Self {
        let id = NodeId(CLIENT_IDS_FROM + (caller.place << 16) + u64::from(incarnation));
        Self { plan, name: caller.name(), id, rng, book, written: 0, known: None }
    }

    /// Calls over datagrams of a network with names.
    async fn run_over<N: Net>(
        mut self,
        net: &N,
        members: impl IntoIterator<Item = NodeId>,
        clock: TokioClock,
    ) -> HostResult {
        let socket = net.bind(&format!("0.0.0.0:{PORT}")).await?;
        let mut servers = Vec::new();
        for id in members {
            servers.push((id, net.resolve(&format!("{id}:{PORT}")).await?));
        }
        let transport = Datagrams::new(socket, clock, self.id, servers, &mut self);
        self.run(transport, clock).await
    }

    async fn run(mut self, mut transport: impl Transport, clock: impl Clock) -> HostResult {
        let from = self.plan.from.0.saturating_sub(self.book.now());
        clock.wait(from + self.drawn_time()).await;
        let mut due = self.book.now();
        loop {
            if self.plan.until.is_some_and(|until| until.0 <= self.book.now()) {
                std::future::pending::<()>().await;
            }
            let (operation, consistency) = self.draw();
            self.book.calls(self.id, &operation, consistency);
            let outcome = transport.call(operation.clone(), consistency).await?;
            self.book.returns(self.id, due, &outcome);
            self.learn(&operation, &outcome);
            let next = self.drawn_time();
            match self.plan.pace() {
                Pace::Closed(_) => {
                    clock.wait(next).await;
                    due = self.book.now();
                }
                Pace::Open(_) => {
                    due += next;
                    let wait = due.saturating_sub(self.book.now());
                    // It may have passed.
                    if !wait.is_zero() {
                        clock.wait(wait).await;
                    }
                }
            }
        }
    }

    fn drawn_time(&mut self) -> Duration {
        let (Pace::Closed(time) | Pace::Open(time)) = self.plan.pace();
        sample(&time, self.rng.random())
    }

    /// The next call.
    fn draw(&mut self) -> (Operation, Consistency) {
        let Clients { keys, hot, value_bytes, mix, reads, .. } = self.plan.clone();
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

    /// Keeps what it knows of a value now, for a `cas`.
    fn learn(&mut self, operation: &Operation, outcome: &Outcome) {
        let Outcome::Answered { answer, .. } = outcome else { return };
        let now = match (operation, answer) {
            (Operation::Get { .. }, Answer::Value(value)) => Some(value.clone()),
            (Operation::Put { value, .. }, _) | (Operation::Cas { value, .. }, Answer::Swapped(true)) => {
                Some(Some(value.clone()))
            }
            (Operation::Delete { .. }, _) => Some(None),
            _ => None,
        };
        self.known = now.map(|value| (operation.key().clone(), value));
    }
}
