//! A machine's TCP: the connections of its sockets, and the segments that they exchange with other machines.
//!
//! A process holds one end of a connection in memory ([`stream`]); the other half of it is here, and goes on while the
//! process stands still. Segments travel as datagrams between the kernels' own sockets in turmoil's network, where every
//! link is on hold, so that [`super::wire`] decides what becomes of each; turmoil carries their data.
//!
//! What TCP does takes place at its exact time, to the microsecond, whatever the tick is: a segment is taken in when it was
//! due, and what answers it leaves then. A process acts at the beginnings of ticks, and sees what was due within half a tick
//! of one; what it writes when it has read of a connection leaves when that had come.

pub(crate) mod datagrams;
pub(crate) mod descriptors;
pub(crate) mod end;
mod pipe;
pub(crate) mod post;
pub(crate) mod stream;
pub(crate) mod wait;

use std::cell::{Cell, RefCell};
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::rc::Rc;
use std::task::Waker;
use std::time::Duration;

use turmoil::net::UdpSocket;

use crate::rng::Seed;
use crate::tcp::{Connection, Micros, Segment, Settings, State, Wheel};

use super::causality;
use super::links::Purpose;
use super::shared::Shared;
use super::trace::{Cause, HostId};
use super::wire::{CARRIER_PORT, Mail};

use descriptors::Descriptors;
use end::{End, Key};
use post::Parcel;
use stream::Backlog;

/// Where ephemeral ports begin (`ip_local_port_range`).
const PORT_FIRST: u16 = 32_768;

/// A machine's TCP.
pub struct Kernel {
    pub(crate) shared: Rc<Shared>,
    host: HostId,
    /// Whether the process runs apart from turmoil, so that nothing can be handed to turmoil while it does.
    apart: bool,
    settings: Rc<Settings>,
    wheel: Wheel,
    carrier: RefCell<Option<Rc<UdpSocket>>>,
    waker: RefCell<Option<Waker>>,
    ends: RefCell<BTreeMap<Key, Rc<RefCell<End>>>>,
    deadlines: RefCell<BTreeSet<(Micros, Key)>>,
    listeners: RefCell<BTreeMap<u16, Rc<RefCell<Backlog>>>>,
    next_port: Cell<u16>,
    descriptors: Descriptors,
    outgoing: RefCell<Vec<Parcel>>,
    /// When datagrams left to the host itself, which turmoil has a task for each carry, until a tick later.
    to_itself: RefCell<VecDeque<Duration>>,
}

pub(super) fn micros(time: Duration) -> Micros {
    Micros::try_from(time.as_micros()).expect("a simulated time fits 64 bits")
}

impl Kernel {
    /// A datagram leaves to the host itself.
    pub(crate) fn sends_to_itself(&self) {
        let (now, tick) = (self.shared.now(), self.shared.tick);
        let mut sent = self.to_itself.borrow_mut();
        while sent.pop_front_if(|at| *at + tick < now).is_some() {}
        sent.push_back(now);
    }

    /// How many are on their way between two steps.
    pub(crate) fn on_the_way_to_itself(&self) -> usize {
        let (now, tick) = (self.shared.now(), self.shared.tick);
        self.to_itself.borrow().iter().filter(|at| **at + tick >= now).count()
    }

    pub(crate) fn new(shared: &Rc<Shared>, host: HostId, seed: Seed, apart: bool) -> Rc<Self> {
        // Where the machine's timer ticks lie is as random as on real ones.
        let phase = seed.draw(&[Purpose::Ticks as u64, u64::from(host.0)]) % (1 << 40);
        let settings = shared.wire.borrow().tcp_settings();
        let kernel = Rc::new(Self {
            shared: shared.clone(),
            host,
            apart,
            settings: Rc::new(settings),
            wheel: Wheel::new(phase),
            carrier: RefCell::default(),
            waker: RefCell::default(),
            ends: RefCell::default(),
            deadlines: RefCell::default(),
            listeners: RefCell::default(),
            next_port: Cell::new(PORT_FIRST),
            descriptors: Descriptors::default(),
            outgoing: RefCell::default(),
            to_itself: RefCell::default(),
        });
        shared.add_kernel(host, &kernel);
        kernel
    }

    /// Whether the process runs apart from turmoil.
    pub(crate) fn is_apart(&self) -> bool {
        self.apart
    }

    /// The machine's address.
    pub(crate) fn ip(&self) -> IpAddr {
        self.shared.wire.borrow().machines[usize::from(self.host.0)].ip
    }

    /// The machine has got power. The socket that its segments go through is to be held as long as it has.
    pub(crate) async fn boot(&self) -> io::Result<Rc<UdpSocket>> {
        let carrier = Rc::new(UdpSocket::bind((IpAddr::from([0, 0, 0, 0]), CARRIER_PORT)).await?);
        *self.carrier.borrow_mut() = Some(carrier.clone());
        Ok(carrier)
    }

    /// The machine loses power: all is forgotten, and nothing more is sent.
    pub(crate) fn power_lost(&self) {
        for end in self.ends.take().into_values() {
            end.borrow_mut().lost = true;
        }
        self.deadlines.take();
        self.listeners.take();
        self.carrier.take();
        self.waker.take();
        self.close_all();
        self.outgoing.take();
    }

    /// Whether the process may do anything.
    fn alive(&self) -> io::Result<()> {
        self.shared.alive(self.host)
    }

    /// Whether the run is over and its hosts are being dropped, or a panic unwinds: nobody hears what sockets say then.
    fn is_torn_down(&self) -> bool {
        self.shared.current.get().is_none() || std::thread::panicking()
    }

    /// Whether something is to be done in the step that begins now.
    pub(crate) fn is_due(&self, horizon: Duration) -> bool {
        self.deadlines.borrow().first().is_some_and(|(at, _)| *at <= micros(horizon))
    }

    pub(crate) fn wake(&self) {
        if let Some(waker) = &*self.waker.borrow() {
            waker.wake_by_ref();
        }
    }

    /// The kernel's turn in a step: what has come and what is due, in the order of its time.
    pub(crate) fn turn(self: &Rc<Self>, waker: &Waker) {
        let mut kept = self.waker.borrow_mut();
        if !kept.as_ref().is_some_and(|kept| kept.will_wake(waker)) {
            *kept = Some(waker.clone());
        }
        drop(kept);
        self.work();
    }

    /// Does what there is to do.
    pub(crate) fn work(self: &Rc<Self>) {
        let mail = std::mem::take(&mut self.shared.wire.borrow_mut().mail[usize::from(self.host.0)]);
        let horizon = micros(self.shared.now() + self.shared.tick / 2);
        if mail.is_empty() && !self.is_due(self.shared.now() + self.shared.tick / 2) {
            return;
        }
        self.shared.current.set(Some(self.host));
        let mut mail = self.collect(mail);
        mail.sort_by_key(|mail| mail.due);
        for mail in mail {
            self.fire_until(micros(mail.due));
            self.arrives(mail);
        }
        self.fire_until(horizon);
        self.shared.current.set(None);
    }

    /// Takes the data of the segments out of turmoil's socket.
    fn collect(&self, mut mail: Vec<Mail>) -> Vec<Mail> {
        if self.apart {
            return mail;
        }
        let carrier = self.carrier.borrow();
        let Some(carrier) = &*carrier else { return Vec::new() };
        let mut buffer = [0; 2_048];
        mail.retain_mut(|mail| match carrier.try_recv_from(&mut buffer) {
            Ok((length, from)) => {
                assert_eq!(from.ip(), mail.src.ip(), "turmoil delivers in the order of its links");
                mail.segment.payload = buffer[..length].to_vec();
                true
            }
            Err(_) => false,
        });
        mail
    }

    fn fire_until(self: &Rc<Self>, horizon: Micros) {
        loop {
            let first = self.deadlines.borrow().first().copied().filter(|(at, _)| *at <= horizon);
            let Some((at, key)) = first else { return };
            let Some(end) = self.end(key) else {
                self.deadlines.borrow_mut().remove(&(at, key));
                continue;
            };
            let cause = end.borrow().last_sent.map(|record| Cause { record, timer: true });
            causality::because(cause, || {
                let mut end = end.borrow_mut();
                let now = end.clock.max(at);
                let oldest = end.connection.oldest();
                end.clock = now;
                end.connection.tick(now);
                end.note_end(&self.shared, self.host, oldest);
                self.flush(&mut end);
            });
        }
    }

    fn arrives(self: &Rc<Self>, mail: Mail) {
        let Mail { due, record, src, dst, segment } = mail;
        let key = Key { local: dst, remote: src };
        causality::because(Some(record.into()), || {
            let due = micros(due);
            let fresh = segment.syn && segment.ack.is_none();
            let known = self.end(key).filter(|end| {
                let state = end.borrow().connection.state();
                !(state == State::Closed || fresh && state == State::TimeWait)
            });
            match known {
                Some(end) => self.take_in(&end, &segment, record, due),
                None if fresh && self.listeners.borrow().contains_key(&dst.port()) => {
                    self.accept(key, &segment, record, due);
                }
                None => self.refuse(key, &segment, due),
            }
        });
    }

    fn take_in(self: &Rc<Self>, end: &Rc<RefCell<End>>, segment: &Segment, record: u64, due: Micros) {
        let mut taken = end.borrow_mut();
        let now = taken.clock.max(due);
        (taken.clock, taken.step) = (now, self.shared.now());
        let was_open = taken.connection.is_open();
        taken.note_arrival(segment, record);
        taken.connection.arrives(segment, now);
        taken.note_end(&self.shared, self.host, None);
        if taken.connection.is_open() && !was_open {
            taken.opened_by = Some(record);
            if let Some(backlog) = taken.backlog.take() {
                backlog.borrow_mut().push(end.clone());
            }
        }
        self.flush(&mut taken);
    }

    fn accept(self: &Rc<Self>, key: Key, syn: &Segment, record: u64, due: Micros) {
        let backlog = self.listeners.borrow().get(&key.local.port()).cloned();
        if backlog.as_ref().is_some_and(|backlog| backlog.borrow().is_full()) {
            // The SYN is dropped, and comes again (`tcp_v4_syn_recv_sock`).
            return;
        }
        let now = micros(self.shared.now()).max(due);
        let now = now.min(due.max(1));
        let connection = Connection::accept(&self.settings, self.wheel, syn, now);
        let end = self.open(key, connection, now);
        let mut end = end.borrow_mut();
        end.backlog = backlog;
        end.opened_by = Some(record);
        end.step = self.shared.now();
        self.flush(&mut end);
    }

    fn refuse(&self, key: Key, segment: &Segment, due: Micros) {
        if let Some(refusal) = Connection::refuse(segment) {
            self.transmit(key, refusal, None, due);
        }
    }

    fn open(&self, key: Key, connection: Connection, now: Micros) -> Rc<RefCell<End>> {
        let end = Rc::new(RefCell::new(End::new(key, connection, now, self.shared.now())));
        if let Some(old) = self.ends.borrow_mut().insert(key, end.clone()) {
            let mut old = old.borrow_mut();
            old.lost = true;
            self.deadlines.borrow_mut().retain(|(_, of)| *of != key);
        }
        end
    }

    /// A connection to another machine: its SYN leaves.
    pub(crate) fn connect(self: &Rc<Self>, ip: IpAddr, remote: SocketAddr) -> io::Result<Rc<RefCell<End>>> {
        self.alive()?;
        let local = SocketAddr::new(ip, self.free_port(remote)?);
        let now = micros(self.shared.now());
        let connection = Connection::connect(&self.settings, self.wheel, now);
        let end = self.open(Key { local, remote }, connection, now);
        self.flush(&mut end.borrow_mut());
        self.shared.crash_point();
        Ok(end)
    }

    fn free_port(&self, remote: SocketAddr) -> io::Result<u16> {
        for _ in PORT_FIRST..=u16::MAX {
            let port = self.next_port.get();
            self.next_port.set(port.checked_add(1).unwrap_or(PORT_FIRST));
            let taken = self.ends.borrow().keys().any(|key| key.local.port() == port && key.remote == remote);
            if !taken && !self.listeners.borrow().contains_key(&port) {
                return Ok(port);
            }
        }
        Err(io::Error::new(io::ErrorKind::AddrNotAvailable, format!("no port is free for a connection to {remote}")))
    }

    /// Listens at a port; 0 is any.
    fn listen(&self, port: u16, addr: &str) -> io::Result<(u16, Rc<RefCell<Backlog>>)> {
        self.alive()?;
        let port = if port == 0 { self.free_port(SocketAddr::new(IpAddr::from([0, 0, 0, 0]), 0))? } else { port };
        let mut listeners = self.listeners.borrow_mut();
        if listeners.contains_key(&port) {
            return Err(io::Error::new(io::ErrorKind::AddrInUse, format!("something listens at {addr} already")));
        }
        let backlog = Rc::new(RefCell::new(Backlog::default()));
        listeners.insert(port, backlog.clone());
        Ok((port, backlog))
    }

    fn end(&self, key: Key) -> Option<Rc<RefCell<End>>> {
        self.ends.borrow().get(&key).cloned()
    }

    /// Puts what a connection has to say onto the network, and remembers when it is to be looked at again.
    fn flush(&self, end: &mut End) {
        if end.lost {
            return;
        }
        for transmission in end.connection.take_out() {
            let (number, attempt) = (end::number(transmission.kind), transmission.attempt);
            let first = number.filter(|_| attempt > 0).and_then(|number| end.packets.get(&number).copied());
            if let Some(sent) = self.transmit(end.key, transmission, first, end.clock) {
                number.into_iter().for_each(|number| _ = end.packets.insert(number, sent));
                end.last_sent = Some(sent.record);
            }
        }
        end.forget_acknowledged();
        let deadline = end.connection.deadline();
        if deadline != end.deadline {
            let mut deadlines = self.deadlines.borrow_mut();
            end.deadline.into_iter().for_each(|at| _ = deadlines.remove(&(at, end.key)));
            deadline.into_iter().for_each(|at| _ = deadlines.insert((at, end.key)));
            end.deadline = deadline;
        }
        if end.connection.is_forgotten() || end.connection.state() == State::Closed {
            self.ends.borrow_mut().remove(&end.key);
        }
        end.wake();
    }

    fn transmit(
        &self,
        key: Key,
        transmission: crate::tcp::Transmission,
        first: Option<super::wire::First>,
        at: Micros,
    ) -> Option<super::wire::First> {
        let mut wire = self.shared.wire.borrow_mut();
        if wire.machine(self.host).off {
            return None;
        }
        let left = Duration::from_micros(at);
        let (sent, payload) = wire.send_segment(&self.shared, (key.local, key.remote), transmission, first, left)?;
        drop(wire);
        let to = SocketAddr::new(key.remote.ip(), CARRIER_PORT);
        if self.apart {
            payload.into_iter().for_each(|payload| self.post(Parcel::Segment { to, payload }));
        } else if let (Some(payload), Some(carrier)) = (payload, &*self.carrier.borrow()) {
            carrier.try_send_to(&payload, to).expect("turmoil's datagram sockets take all that is sent");
        }
        Some(sent)
    }

    /// The time at which a process acts on a connection: when what has come of it in this step had come, or else now.
    fn moment(&self, end: &mut End) -> Micros {
        let now = self.shared.now();
        if end.step != now {
            (end.clock, end.step) = (end.clock.max(micros(now)), now);
        }
        end.clock
    }
}
