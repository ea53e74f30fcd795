//! The driver: one loop over socket, deadlines and disk that makes a running node of a [`Core`](super::Core).
//!
//! Whatever the core wants done is done strictly in order, and a [`Persist`](super::Output::Persist) is synced before what
//! follows it begins. Meanwhile the node does nothing else: what arrives waits in the socket, as deadlines wait.
//!
//! A leader's deadline that has passed comes before what has arrived, so that a flood of datagrams cannot keep it from its
//! heartbeats; it is moved on when it is met, so that arrivals get their turn. Of everybody else's it is the other way about:
//! who stood still, or waited for its disk, heard nobody, and that is no silence of its leader. What waits is taken in
//! first, and the election timer of a step that writes runs from the end of the write (logcabin #200).
//!
//! The log is written beside all that: what is to be written next is gathered while a sync is under way, and goes in one
//! piece with the next one. Term and vote are waited for.
//!
//! Clients' requests come to the same socket ([`request`](super::request)). A node that leads has commands replicated, and
//! answers when they are applied to its state machine ([`kv`](super::kv)); another says who leads.
//!
//! A disk that fails ends the node: nobody knows what it has written then.

mod lookup;
mod node;
mod service;
mod writer;

use std::collections::BTreeMap;
use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::pin::{Pin, pin};
use std::rc::Rc;
use std::time::Duration;

use bytes::Bytes;
use tokio::sync::mpsc;
use tokio::time::{Sleep, sleep};

use self::lookup::look_up;
pub(crate) use self::node::Node;
use super::clock::Clock;
use super::codec::Rejected;
use super::request::{Request, Response};
use super::segments::Torn;
use super::{
    ClockRate, Codec, Config, ConfigError, HardState, Log, LogIndex, LogPosition, LogWrite, Message, NodeId, Status,
    Term,
};
use crate::disk::Disk;
use crate::events::Sink;
use crate::net::{DATAGRAM_BYTES_MAX, Net, Socket as _};
use crate::rng::Rng;

/// How long the node waits after `recv_from` failed, so that an error that stays does not keep it busy.
const ERROR_PAUSE: Duration = Duration::from_millis(5);

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
    /// The last entry of its log, where that stands still.
    pub log: LogPosition,
    /// A file of its log that has so many bytes is followed by another; [`SEGMENT_BYTES`](super::segments::SEGMENT_BYTES).
    pub segment_bytes: u64,
    /// The longest datagram that it sends; what is longer goes in [parts](super::parts). [`DATAGRAM_BYTES`] unless the
    /// network is known to carry longer ones whole.
    ///
    /// [`DATAGRAM_BYTES`]: super::post::DATAGRAM_BYTES
    pub datagram_bytes: usize,
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
    /// Let the next election timeout be this one; see [`Core::pin_next_timeout`](super::Core::pin_next_timeout).
    PinNextTimeout(Duration),
    /// Let its clock show so much more, from now on.
    JumpClock(Duration),
    /// Have the [`proposal`] of this number replicated. Nobody waits for it, and a node that does not lead does nothing.
    Propose(u64),
}

/// A command that changes nothing, and is another for each number.
pub fn proposal(number: u64) -> Bytes {
    Bytes::from(format!("proposal {number}"))
}

/// What a node tells of itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// The core did, became or ignored something.
    Core(super::Event),
    /// The node read this from its disk: it starts.
    Loaded(HardState),
    /// The node read this log from its disk, all of it durable.
    LoadedLog {
        /// The log.
        log: Rc<Log>,
        /// What was cut off of it.
        torn: Option<Torn>,
    },
    /// This is durable now.
    Persisted(HardState),
    /// This is to be written to the log, and not durable yet.
    Writing(Rc<LogWrite>),
    /// What was to be written is durable, up to this number.
    Synced {
        /// [`LogWrite::number`].
        number: u64,
    },
    /// The state machine was given an entry.
    Applied {
        /// Its index.
        index: LogIndex,
        /// Its term.
        term: Term,
        /// The state machine's digest after it.
        digest: u64,
    },
    /// A client's request came in.
    Requested {
        /// The client.
        from: NodeId,
        /// What it wants.
        request: Rc<Request>,
    },
    /// A response is about to leave.
    Responding {
        /// The client.
        to: NodeId,
        /// What it is told.
        response: Response,
        /// The last entry that the state machine has applied.
        applied: LogIndex,
    },
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
    let mut clock = Clock::start(rate);
    let _lookups = look_up(net, peers, node.addresses());

    let mut buffer = vec![0; DATAGRAM_BYTES_MAX];
    let mut alarm = pin!(sleep(Duration::ZERO));
    let (mut shutdown, mut commanded, mut noticed) = (pin!(shutdown), true, false);
    loop {
        let deadline = node.deadline();
        set(alarm.as_mut(), deadline.map(|at| clock.instant(at)));
        let armed = deadline.map(|_| alarm.as_mut());
        let (first, last) = if node.is_deadline_first() { (armed, None) } else { (None, armed) };
        let (socket, writer) = node.waits_for();
        let pause = tokio::select! {
            biased;
            () = &mut shutdown => return Ok(()),
            () = runs_out(first) => node.tick(clock.now()),
            synced = writer.synced() => node.synced(clock.now(), synced?),
            command = commands.recv(), if commanded => {
                commanded = command.is_some();
                if let Some(Command::JumpClock(by)) = command {
                    clock.jump(by);
                }
                command.and_then(|command| node.command(clock.now(), command))
            }
            received = socket.recv_from(&mut buffer) => match received {
                Ok((length, from)) => node.take_in(clock.now(), &buffer[..length], from),
                Err(error) => {
                    node.receive_failed(&error).await;
                    None
                }
            },
            () = runs_out(last) => {
                if !noticed {
                    noticed = true;
                    node.socket().notice().await;
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
