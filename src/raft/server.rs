//! The driver: one loop over socket, deadlines and disk that makes a running node of a [`Core`].
//!
//! Whatever the core wants done is done strictly in order, and a [`Persist`](Output::Persist) is synced before what
//! follows it begins. Meanwhile the node does nothing else: what arrives waits in the socket, as deadlines wait.
//!
//! A leader's deadline that has passed comes before what has arrived, so that a flood of datagrams cannot keep it from its
//! heartbeats; it is moved on when it is met, so that arrivals get their turn. Of everybody else's it is the other way about:
//! who stood still, or waited for its disk, heard nobody, and that is no silence of its leader. What waits is taken in
//! first, and the election timer of a step that writes runs from the end of the write (logcabin #200).
//!
//! A disk that fails ends the node: nobody knows what it has written then.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::pin::{Pin, pin};
use std::rc::Rc;
use std::time::Duration;

use bytes::Bytes;
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio::time::{Sleep, sleep, sleep_until, timeout};

use super::by_node::ByNode;
use super::clock::Clock;
use super::codec::Rejected;
use super::repeats::{Received, Repeats};
use super::storage::Storage;
use super::{
    ClockRate, Codec, Config, ConfigError, Core, HardState, Input, LogPosition, Message, NodeId, Output, Role, Status,
};
use crate::disk::Disk;
use crate::events::Sink;
use crate::net::{DATAGRAM_BYTES_MAX, Net, Socket};
use crate::rng::Rng;

/// How long the node waits after `recv_from` failed, so that an error that stays does not keep it busy.
const ERROR_PAUSE: Duration = Duration::from_millis(5);

/// How many datagrams come before a deadline that has passed: a receive buffer of the usual size holds fewer, and a flood
/// must not keep a node from campaigning for ever.
const HEARD_LATE_MAX: u32 = 4096;

/// How long a peer's name may take to resolve, and how long until it is tried again.
const RESOLVE_TIMEOUT: Duration = Duration::from_secs(2);

/// How long until names are looked up again: peers move.
const RESOLVE_EVERY: Duration = Duration::from_secs(30);

/// What a node is told at its start.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Which member it is.
    pub id: NodeId,
    /// Its cluster's settings.
    pub config: Config,
    /// How its cluster writes messages.
    pub codec: Codec,
    /// Where the other members are, as `host:port`.
    pub peers: BTreeMap<NodeId, String>,
    /// The last entry of its log, until it has one.
    pub log: LogPosition,
    /// How fast its clock runs.
    pub clock: ClockRate,
}

/// What can be asked of a running node.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Command {
    /// Hand over the lead.
    TransferLeadership {
        /// The successor.
        to: NodeId,
    },
    /// Let the next election timeout be this one; see [`Core::pin_next_timeout`].
    PinNextTimeout(Duration),
}

/// What a node tells of itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// The core did, became or ignored something.
    Core(super::Event),
    /// The node read this from its disk: it starts.
    Loaded(HardState),
    /// This is durable now.
    Persisted(HardState),
    /// A message is about to leave.
    Sending {
        /// Its receiver.
        to: NodeId,
        /// The message.
        message: Message,
    },
    /// A message came in.
    Received {
        /// Its sender.
        from: NodeId,
        /// The message.
        message: Rc<Message>,
    },
    /// Somebody asked something of it.
    Commanded(Command),
    /// All that followed from an input is done, and this is the node now.
    Stepped {
        /// The node.
        status: Status,
        /// What its clock showed when the input was taken in.
        now: Duration,
        /// What it showed when all was done that had to be written.
        done: Duration,
        /// When the node wants to be woken, if nothing comes before.
        deadline: Option<Duration>,
    },
    /// A datagram was dropped.
    Rejected {
        /// The address that it came from.
        from: SocketAddr,
        /// The reason.
        why: Rejected,
    },
    /// A message could not be sent. It is lost, as it could have been on its way.
    SendFailed {
        /// Its receiver.
        to: NodeId,
        /// The reason.
        why: io::ErrorKind,
    },
    /// The socket failed.
    SocketError {
        /// The reason.
        why: io::ErrorKind,
    },
}

/// Why a node ended by itself.
#[derive(Debug, thiserror::Error)]
pub enum ServeError {
    /// Its settings make no sense.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// A peer has no address, or somebody who is no peer has one.
    #[error("{0}")]
    Peers(String),
    /// Its disk failed, or what it holds cannot be used.
    #[error("{0}")]
    Disk(#[from] io::Error),
}

/// Runs a node on `socket` until `shutdown` resolves. Whoever drops the future has killed it.
///
/// Commands are taken in while they come; that their sender is gone ends nothing.
#[allow(clippy::too_many_arguments, reason = "each is another thing that the world hands to a node")]
pub async fn serve<N: Net, D: Disk>(
    net: &N,
    socket: N::Socket,
    disk: D,
    settings: Settings,
    rng: Rng,
    mut commands: mpsc::UnboundedReceiver<Command>,
    events: Sink<Event>,
    shutdown: impl Future<Output = ()>,
) -> Result<(), ServeError> {
    let (rate, peers) = (settings.clock, settings.peers.clone());
    let mut node = Node::load(socket, disk, settings, rng, events).await?;
    let clock = Clock::start(rate);
    let _lookups = look_up(net, peers, &node.addresses);

    let mut buffer = vec![0; DATAGRAM_BYTES_MAX];
    let mut alarm = pin!(sleep(Duration::ZERO));
    let (mut shutdown, mut commanded, mut noticed) = (pin!(shutdown), true, false);
    loop {
        let deadline = node.deadline();
        set(alarm.as_mut(), deadline.map(|at| clock.instant(at)));
        let armed = deadline.map(|_| alarm.as_mut());
        let (first, last) = if node.is_deadline_first() { (armed, None) } else { (None, armed) };
        let pause = tokio::select! {
            biased;
            () = &mut shutdown => return Ok(()),
            () = runs_out(first) => node.tick(clock.now()),
            command = commands.recv(), if commanded => {
                commanded = command.is_some();
                command.and_then(|command| node.command(clock.now(), command))
            }
            received = node.socket.recv_from(&mut buffer) => match received {
                Ok((length, from)) => node.take_in(clock.now(), &buffer[..length], from),
                Err(error) => {
                    node.receive_failed(&error).await;
                    None
                }
            },
            () = runs_out(last) => {
                if !noticed {
                    noticed = true;
                    node.socket.notice().await;
                    continue;
                }
                node.tick(clock.now())
            }
        };
        noticed = false;
        node.finish(pause, || clock.now()).await?;
    }
}

/// Resolves when the timer has run out; never, if there is none.
async fn runs_out(timer: Option<Pin<&mut Sleep>>) {
    let Some(timer) = timer else { return std::future::pending().await };
    timer.await;
}

/// Moves a timer, unless it stands there already: that is the usual case, and moving is not free.
fn set(alarm: Pin<&mut Sleep>, at: Option<tokio::time::Instant>) {
    if let Some(at) = at.filter(|at| *at != alarm.deadline()) {
        alarm.reset(at);
    }
}

impl Settings {
    fn validate(&self) -> Result<(), ServeError> {
        self.config.validate(self.id)?;
        let others = self.config.members.iter().filter(|member| **member != self.id);
        if let Some(missing) = others.clone().find(|member| !self.peers.contains_key(member)) {
            return Err(ServeError::Peers(format!("{missing} is a member and has no address")));
        }
        if let Some(stranger) = self.peers.keys().find(|peer| !others.clone().any(|member| member == *peer)) {
            return Err(ServeError::Peers(format!("{stranger} has an address and is no peer of {}", self.id)));
        }
        Ok(())
    }
}

/// Where peers are, as far as it is known.
pub(crate) type Addresses = Rc<RefCell<ByNode<SocketAddr>>>;

/// Looks the peers' names up, now and again, beside the node's own work: a name server that is slow must not cost a
/// leader its lead. The lookups end with the set.
fn look_up<N: Net>(net: &N, peers: BTreeMap<NodeId, String>, addresses: &Addresses) -> JoinSet<()> {
    let mut lookups = JoinSet::new();
    for (id, name) in peers {
        if let Ok(address) = name.parse() {
            addresses.borrow_mut().insert(id, address);
            continue;
        }
        let (net, addresses) = (net.clone(), addresses.clone());
        lookups.spawn_local(N::task(async move {
            loop {
                let found = timeout(RESOLVE_TIMEOUT, net.resolve(&name)).await;
                let again = match found {
                    Ok(Ok(address)) => {
                        addresses.borrow_mut().insert(id, address);
                        RESOLVE_EVERY
                    }
                    Ok(Err(error)) => {
                        tracing::warn!(peer = %id, %error, "cannot find a peer");
                        RESOLVE_TIMEOUT
                    }
                    Err(_) => RESOLVE_TIMEOUT,
                };
                sleep_until(tokio::time::Instant::now() + again).await;
            }
        }));
    }
    lookups
}

/// What a node waits for in the middle of a step, and what it does after it.
pub(crate) struct Pause {
    wait: Wait,
    left: Vec<Output>,
}

enum Wait {
    /// This must be durable first.
    Disk(HardState),
    /// A datagram cannot leave at once.
    Socket { to: NodeId, datagram: Bytes, address: SocketAddr },
}

/// A node without what makes it run: [`serve`] does, and so does who has another clock. Times are those on the node's own
/// clock, since its start.
pub(crate) struct Node<S, D> {
    core: Core,
    /// The latest time that the core was given: it must not go back.
    latest: Duration,
    /// When the last step began.
    began: Duration,
    /// How many datagrams were taken in since the deadline passed.
    heard_late: u32,
    socket: S,
    storage: Storage<D>,
    codec: Repeats,
    addresses: Addresses,
    events: Sink<Event>,
}

impl<S: Socket, D: Disk> Node<S, D> {
    /// A node with what its disk has. Its clock shows zero now, and it knows no peer's address yet.
    pub(crate) async fn load(
        socket: S,
        disk: D,
        settings: Settings,
        rng: Rng,
        events: Sink<Event>,
    ) -> Result<Self, ServeError> {
        settings.validate()?;
        let Settings { id, config, codec, log, .. } = settings;
        let storage = Storage::new(disk, codec.cluster(), id);
        let state = storage.load().await?;
        events.emit(|| Event::Loaded(state));
        let core = Core::new(id, config, state, log, rng, Duration::ZERO)?;
        events.emit(|| Event::Core(core.booted()));
        let (latest, began, addresses) = (Duration::ZERO, Duration::ZERO, Addresses::default());
        let codec = Repeats::new(codec);
        let node = Self { core, latest, began, heard_late: 0, socket, storage, codec, addresses, events };
        node.tell_status();
        Ok(node)
    }

    pub(crate) fn socket(&self) -> &S {
        &self.socket
    }

    /// Where its peers are, as far as it knows.
    pub(crate) fn addresses(&self) -> &Addresses {
        &self.addresses
    }

    /// When it next wants a [`tick`](Self::tick).
    pub(crate) fn deadline(&self) -> Option<Duration> {
        self.core.deadline()
    }

    /// Whether the deadline, once it has passed, comes before what waits in the socket.
    #[inline]
    pub(crate) fn is_deadline_first(&self) -> bool {
        self.core.role() == Role::Leader || self.heard_late >= HEARD_LATE_MAX
    }

    /// The deadline has come. What cannot be done at once is returned: [`finish`](Self::finish) does it.
    #[must_use]
    pub(crate) fn tick(&mut self, now: Duration) -> Option<Pause> {
        // Should rounding ever wake a node before its deadline, it must not do so for ever.
        self.latest = self.latest.max(self.core.deadline().unwrap_or_default());
        self.heard_late = 0;
        self.step(now, Input::Tick)
    }

    /// A datagram has come. What cannot be done at once is returned.
    #[must_use]
    pub(crate) fn take_in(&mut self, now: Duration, datagram: &[u8], from: SocketAddr) -> Option<Pause> {
        match self.accept(datagram) {
            Ok(Received { from, message }) => {
                self.events.emit(|| Event::Received { from, message: message.clone() });
                self.begin(now);
                let is_late = self.core.deadline().is_some_and(|at| at <= now);
                self.heard_late = if is_late { self.heard_late + 1 } else { 0 };
                let outputs = self.core.receive(self.latest, from, &message);
                self.go_on(outputs)
            }
            Err(why) => {
                tracing::debug!(node = %self.core.id(), %from, %why, "a datagram is dropped");
                self.events.emit(|| Event::Rejected { from, why });
                None
            }
        }
    }

    fn accept(&mut self, datagram: &[u8]) -> Result<Received, Rejected> {
        let core = &self.core;
        self.codec.decode(datagram, |envelope| {
            if envelope.to != core.id() {
                return Err(Rejected::Misdirected);
            }
            if !core.is_peer(envelope.from) {
                return Err(Rejected::Stranger);
            }
            Ok(())
        })
    }

    /// Somebody asks something of it. What cannot be done at once is returned.
    #[must_use]
    pub(crate) fn command(&mut self, now: Duration, command: Command) -> Option<Pause> {
        self.events.emit(|| Event::Commanded(command));
        match command {
            Command::TransferLeadership { to } => self.step(now, Input::TransferLeadership { to }),
            Command::PinNextTimeout(timeout) => {
                self.core.pin_next_timeout(timeout);
                self.begin(now);
                self.tell_status();
                None
            }
        }
    }

    fn step(&mut self, now: Duration, input: Input) -> Option<Pause> {
        self.begin(now);
        let outputs = self.core.step(self.latest, input);
        self.go_on(outputs)
    }

    #[inline]
    fn begin(&mut self, now: Duration) {
        self.latest = self.latest.max(now);
        self.began = self.latest;
    }

    /// Does what is to be done, up to the first thing that has to be waited for.
    fn go_on(&mut self, mut outputs: Vec<Output>) -> Option<Pause> {
        let mut rest = outputs.drain(..);
        while let Some(output) = rest.next() {
            let wait = match output {
                Output::Persist(state) => Some(Wait::Disk(state)),
                Output::Send { to, message } => self.send(to, message),
                Output::Event(event) => {
                    log(self.core.id(), &event);
                    self.events.emit(|| Event::Core(event));
                    None
                }
                Output::Write(_) | Output::Apply { .. } | Output::Declined(_) | Output::Read { .. } => {
                    unreachable!("logs stand still")
                }
            };
            if let Some(wait) = wait {
                return Some(Pause { wait, left: rest.collect() });
            }
        }
        drop(rest);
        self.core.reuse(outputs);
        self.tell_status();
        None
    }

    /// Waits for what there is to wait for, and does what is left. `now` reads the node's clock.
    pub(crate) async fn finish(&mut self, mut pause: Option<Pause>, now: impl Fn() -> Duration) -> io::Result<()> {
        while let Some(Pause { wait, left }) = pause {
            match wait {
                Wait::Disk(state) => {
                    self.storage.save(state).await?;
                    self.latest = self.latest.max(now());
                    self.core.written(self.latest);
                    self.events.emit(|| Event::Persisted(state));
                }
                Wait::Socket { to, datagram, address } => {
                    let sent = self.socket.send_bytes(datagram, address).await;
                    self.sent(to, sent);
                }
            }
            pause = self.go_on(left);
        }
        Ok(())
    }

    fn send(&mut self, to: NodeId, message: Message) -> Option<Wait> {
        let datagram = self.codec.encode(self.core.id(), to, &message);
        self.events.emit(|| Event::Sending { to, message });
        let address = self.addresses.borrow().get(to).copied();
        let Some(address) = address else {
            self.sent(to, Err(io::ErrorKind::AddrNotAvailable.into()));
            return None;
        };
        let Some(sent) = self.socket.send_now(datagram, address) else {
            return Some(Wait::Socket { to, datagram: datagram.clone(), address });
        };
        self.sent(to, sent);
        None
    }

    fn sent(&self, to: NodeId, sent: io::Result<usize>) {
        if let Err(error) = sent {
            tracing::debug!(node = %self.core.id(), %to, %error, "a message cannot be sent");
            self.events.emit(|| Event::SendFailed { to, why: error.kind() });
        }
    }

    async fn receive_failed(&self, error: &io::Error) {
        tracing::warn!(node = %self.core.id(), %error, "cannot receive");
        self.events.emit(|| Event::SocketError { why: error.kind() });
        sleep(ERROR_PAUSE).await;
    }

    fn tell_status(&self) {
        let Self { core, began, latest, .. } = self;
        let (now, done) = (*began, *latest);
        self.events.emit(|| Event::Stepped { status: core.status(), now, done, deadline: core.deadline() });
    }
}

/// Changes of role are what an operator reads in a log.
fn log(node: NodeId, event: &super::Event) {
    use super::Event as E;
    match event {
        E::BecameFollower { .. } | E::BecameCandidate { .. } | E::BecameLeader { .. } | E::SteppedDown { .. } => {
            tracing::info!(%node, "{event}");
        }
        _ => tracing::debug!(%node, "{event}"),
    }
}
