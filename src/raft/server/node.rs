//! A node without what makes it run.

use std::collections::VecDeque;
use std::io;
use std::net::SocketAddr;
use std::rc::Rc;
use std::time::Duration;

use bytes::Bytes;
use tokio::time::sleep;

use super::lookup::Addresses;
use super::service::{Reader, Service};
use super::writer::LogWriter;
use super::{Command, ERROR_PAUSE, Event, ServeError, Settings, proposal};
use crate::disk::Disk;
use crate::events::Sink;
use crate::net::Socket;
use crate::raft::codec::{Codec, Datagram, Rejected};
use crate::raft::post::{Arrival, Post};
use crate::raft::repeats::{Received, Repeats};
use crate::raft::segments::Segments;
use crate::raft::storage::Storage;
use crate::raft::{Core, HardState, Input, Log, Message, NodeId, Output, Role};
use crate::rng::Rng;

/// How many datagrams come before a deadline that has passed: a receive buffer of the usual size holds fewer, and a flood
/// must not keep a node from campaigning for ever.
const HEARD_LATE_MAX: u32 = 4096;

/// What a node waits for in the middle of a step, and what it does after it.
pub(crate) struct Pause {
    wait: Wait,
    left: Vec<Output>,
    /// It is no step of the core: parts of messages come and go.
    is_aside: bool,
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
    writer: LogWriter<D>,
    /// The state machine and its clients, where a log is replicated.
    service: Option<Service>,
    post: Post,
    /// Datagrams that are ready to leave.
    outgoing: VecDeque<(NodeId, SocketAddr, Bytes)>,
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
        let Settings { id, config, codec, log, segment_bytes, datagram_bytes, .. } = settings;
        let storage = Storage::new(disk.clone(), codec.cluster(), id);
        let state = storage.load().await?;
        events.emit(|| Event::Loaded(state));
        let (log, writer, service) = if config.replication.is_some() {
            let segments = Segments::of(disk, codec.cluster(), id, segment_bytes);
            #[cfg(feature = "planted-bugs")]
            let segments = segments.planted(config.bug);
            let (segments, loaded) = segments.read_all().await?;
            let last = loaded.log.last();
            if last.last_term > state.term {
                let text = format!(
                    "the log ends with an entry of term {}, and term and vote are those of term {}: they are lost; take \
                     the node out of the cluster and add it anew, under another id",
                    last.last_term, state.term
                );
                return Err(io::Error::new(io::ErrorKind::InvalidData, text).into());
            }
            if let Some(torn) = &loaded.torn {
                tracing::warn!(node = %id, file = torn.file, at = torn.at, bytes = torn.bytes, "the log's end was torn, and is cut off");
            }
            events.emit(|| Event::LoadedLog { log: Rc::new(loaded.log.clone()), torn: loaded.torn.clone() });
            let service = Service::new(id);
            #[cfg(feature = "planted-bugs")]
            let service = service.planted(config.bug);
            (loaded.log, LogWriter::new(segments), Some(service))
        } else {
            (Log::from(log), LogWriter::none(), None)
        };
        let core = Core::new(id, config, state, log, rng, Duration::ZERO)?;
        events.emit(|| Event::Core(core.booted()));
        let (latest, began, addresses) = (Duration::ZERO, Duration::ZERO, Addresses::default());
        let (post, outgoing) = (Post::new(codec.clone(), id, datagram_bytes), VecDeque::new());
        let codec = Repeats::new(codec);
        let node = Self {
            core,
            latest,
            began,
            heard_late: 0,
            socket,
            storage,
            codec,
            addresses,
            events,
            writer,
            service,
            post,
            outgoing,
        };
        node.tell_status();
        Ok(node)
    }

    pub(crate) fn socket(&self) -> &S {
        &self.socket
    }

    /// What it waits for beside its deadline: datagrams, and what is being written to become durable.
    pub(crate) fn waits_for(&mut self) -> (&S, &mut LogWriter<D>) {
        (&self.socket, &mut self.writer)
    }

    /// Where its peers are, as far as it knows.
    pub(crate) fn addresses(&self) -> &Addresses {
        &self.addresses
    }

    /// When it next wants a [`tick`](Self::tick).
    pub(crate) fn deadline(&self) -> Option<Duration> {
        [self.core.deadline(), self.post.deadline()].into_iter().flatten().min()
    }

    /// Whether the deadline, once it has passed, comes before what waits in the socket.
    #[inline]
    pub(crate) fn is_deadline_first(&self) -> bool {
        self.core.role() == Role::Leader || self.heard_late >= HEARD_LATE_MAX
    }

    /// The deadline has come. What cannot be done at once is returned: [`finish`](Self::finish) does it.
    #[must_use]
    pub(crate) fn tick(&mut self, now: Duration) -> Option<Pause> {
        if let Some(at) = self.post.deadline()
            && self.core.deadline().is_none_or(|core| at < core)
        {
            self.outgoing.extend(self.post.overdue(now.max(at)));
            return self.go_aside();
        }
        // Should rounding ever wake a node before its deadline, it must not do so for ever.
        self.latest = self.latest.max(self.core.deadline().unwrap_or_default());
        self.heard_late = 0;
        self.step(now, Input::Tick)
    }

    /// A datagram has come. What cannot be done at once is returned.
    #[must_use]
    pub(crate) fn take_in(&mut self, now: Duration, datagram: &[u8], from: SocketAddr) -> Option<Pause> {
        if self.service.is_none() {
            return self.take_in_whole(now, datagram, from);
        }
        let mut replies = Vec::new();
        let arrival = self.post.arrived(now, from, datagram, &mut replies);
        if let (false, Some(to)) = (replies.is_empty(), Codec::claimed_sender(datagram)) {
            self.outgoing.extend(replies.into_iter().map(|reply| (to, from, reply)));
        }
        match arrival {
            Arrival::Itself => self.take_in_whole(now, datagram, from),
            Arrival::Whole(whole) => self.take_in_whole(now, &whole, from),
            Arrival::Nothing => self.go_aside(),
            Arrival::Rejected(why) => {
                self.events.emit(|| Event::Rejected { from, why });
                self.go_aside()
            }
        }
    }

    /// A message has come, whether or not in parts.
    fn take_in_whole(&mut self, now: Duration, datagram: &[u8], from: SocketAddr) -> Option<Pause> {
        if self.service.is_some() && Codec::claims_client(datagram) {
            return self.take_request(now, datagram, from);
        }
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

    /// A client's datagram has come.
    fn take_request(&mut self, now: Duration, datagram: &[u8], address: SocketAddr) -> Option<Pause> {
        let (from, request) = match self.codec.codec().decode_any(datagram) {
            Ok(Datagram::Request { from, to, request }) if to == self.core.id() => (from, Rc::new(request)),
            other => {
                let why = other.err().unwrap_or(Rejected::Misdirected);
                tracing::debug!(node = %self.core.id(), from = %address, %why, "a request is dropped");
                self.events.emit(|| Event::Rejected { from: address, why });
                return None;
            }
        };
        self.events.emit(|| Event::Requested { from, request: request.clone() });
        let reader = Reader { client: from, address, number: request.number };
        let leader = self.core.leader();
        let service = self.service.as_mut()?;
        let input = service.request(reader, &request, leader);
        let Some(input) = input else {
            self.begin(now);
            return self.go_on(Vec::new());
        };
        self.step(now, input)
    }

    /// What was being written to the log is durable, up to this number. What cannot be done at once is returned.
    #[must_use]
    pub(crate) fn synced(&mut self, now: Duration, number: u64) -> Option<Pause> {
        self.events.emit(|| Event::Synced { number });
        self.step(now, Input::Synced { number })
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
            Command::Propose(number) => {
                self.service.iter_mut().for_each(Service::nobody_asks);
                self.step(now, Input::Propose { commands: vec![proposal(number)] })
            }
            Command::JumpClock(_) => {
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
        loop {
            if let Some(wait) = self.respond() {
                return Some(Pause { wait, left: rest.collect(), is_aside: false });
            }
            let Some(output) = rest.next() else { break };
            let wait = match output {
                Output::Persist(state) => Some(Wait::Disk(state)),
                Output::Send { to, message } => self.send(to, message),
                Output::Event(event) => {
                    log(self.core.id(), &event);
                    self.heed(&event);
                    self.events.emit(|| Event::Core(event));
                    None
                }
                Output::Write(write) => {
                    let write = Rc::new(write);
                    self.events.emit(|| Event::Writing(write.clone()));
                    self.writer.push(write);
                    None
                }
                Output::Apply { through } => {
                    self.apply(through);
                    None
                }
                Output::Declined(why) => {
                    self.service.iter_mut().for_each(|service| service.declined(why));
                    None
                }
                Output::Read { id, outcome } => {
                    self.service.iter_mut().for_each(|service| service.read(id, outcome));
                    None
                }
            };
            if let Some(wait) = wait {
                return Some(Pause { wait, left: rest.collect(), is_aside: false });
            }
        }
        drop(rest);
        self.core.reuse(outputs);
        self.tell_status();
        None
    }

    /// Who waits for a leader that is none any more asks another.
    fn heed(&mut self, event: &crate::raft::Event) {
        if let (crate::raft::Event::SteppedDown { .. }, Some(service)) = (event, &mut self.service) {
            service.deposed();
        }
    }

    fn apply(&mut self, through: u64) {
        let Self { core, service: Some(service), events, .. } = self else { return };
        for index in service.applied() + 1..=through {
            let entry = core.entry(index).expect("what is committed and not applied is kept");
            service.apply(index, entry);
            let (term, digest) = (entry.term, service.digest());
            events.emit(|| Event::Applied { index, term, digest });
        }
    }

    /// Sends what is ready to leave, and nothing else.
    fn go_aside(&mut self) -> Option<Pause> {
        self.respond().map(|wait| Pause { wait, left: Vec::new(), is_aside: true })
    }

    /// Sends what is ready to leave, and the responses that there are.
    fn respond(&mut self) -> Option<Wait> {
        loop {
            while let Some((to, address, datagram)) = self.outgoing.pop_front() {
                match self.socket.send_now(&datagram, address) {
                    Some(sent) => self.sent(to, sent),
                    None => return Some(Wait::Socket { to, datagram, address }),
                }
            }
            let (to, response) = self.service.as_mut()?.next_response()?;
            let Reader { client, address, .. } = to;
            let datagram = Bytes::from(self.codec.codec().encode_response(self.core.id(), client, &response));
            let applied = self.service.as_ref().map_or(0, Service::applied);
            self.events.emit(|| Event::Responding { to: client, response, applied });
            self.post_out(client, address, datagram);
        }
    }

    /// A datagram is ready to leave, in parts if it has to be.
    fn post_out(&mut self, to: NodeId, address: SocketAddr, datagram: Bytes) {
        if self.post.fits(&datagram) {
            self.outgoing.push_back((to, address, datagram));
        } else {
            let parts = self.post.split(to, address, &datagram);
            self.outgoing.extend(parts.into_iter().map(|part| (to, address, part)));
        }
    }

    /// Waits for what there is to wait for, and does what is left. `now` reads the node's clock.
    pub(crate) async fn finish(&mut self, mut pause: Option<Pause>, now: impl Fn() -> Duration) -> io::Result<()> {
        while let Some(Pause { wait, left, is_aside }) = pause {
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
            pause = if is_aside { self.go_aside() } else { self.go_on(left) };
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
        if self.service.is_some() && !self.post.fits(datagram) {
            let datagram = datagram.clone();
            self.post_out(to, address, datagram);
            return None;
        }
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

    pub(super) async fn receive_failed(&self, error: &io::Error) {
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
fn log(node: NodeId, event: &crate::raft::Event) {
    use crate::raft::Event as E;
    match event {
        E::BecameFollower { .. } | E::BecameCandidate { .. } | E::BecameLeader { .. } | E::SteppedDown { .. } => {
            tracing::info!(%node, "{event}");
        }
        _ => tracing::debug!(%node, "{event}"),
    }
}
