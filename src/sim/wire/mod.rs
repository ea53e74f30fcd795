//! The network between the hosts: the fate of each packet.
//!
//! Turmoil carries the bytes; every one of its links is on hold, and a packet is handed on only when this module says
//! so. It keeps a queue for each link, parallel to turmoil's own. A packet is decided upon where it is sent (through
//! [`crate::sim::net`], which announces it) or where it is first seen on its link (a SYN, FIN or RST, and everything
//! from software that uses turmoil's sockets directly).
//!
//! **Invariant:** every transmission is counted as sent, retransmitted or duplicated once, and ends as delivered, lost
//! or under way: the counts of [`super::outcome::PacketCounts`] always add up.

mod carrying;
mod letters;
mod queue;
mod segments;
mod sending;
mod sockets;

use std::collections::{BTreeMap, VecDeque};
use std::net::{IpAddr, SocketAddr};
use std::task::Waker;
use std::time::Duration;

use bytes::Bytes;

use crate::script::{Congestion, TcpSettings};
use crate::tcp::{Algorithm, Segment};

use super::fates::Fates;
use super::flight::{Flight, State};
use super::kernel::wait::Wakers;
use super::links::Links;
use super::rto::RoundTrip;
use super::trace::{HostId, Label, LossReason, Packet};

pub(crate) use segments::{CARRIER_PORT, First};

/// Names packets in the system's words.
pub(crate) type Labeller = Box<dyn Fn(&Packet) -> Option<Label>>;

/// A machine, as the network sees it.
pub(crate) struct Machine {
    pub(crate) ip: IpAddr,
    /// Without power: it receives nothing.
    pub(crate) off: bool,
    /// How often it has lost power.
    pub(crate) boots: u32,
    /// Its process runs apart from turmoil: it is given what arrives by the wire.
    pub(crate) apart: bool,
    /// Whether letters have arrived, which turmoil holds as well.
    pub(crate) lettered: bool,
}

/// One direction of a TCP connection, from the end that its key names first. All but `last_due` is of software that uses
/// turmoil's sockets directly.
#[derive(Default)]
struct Stream {
    trip: RoundTrip,
    /// Given up by its sender: nothing more of it is delivered.
    gone: bool,
    /// When the latest segment so far arrives: a path keeps its order, and a reset overtakes nothing.
    last_due: Duration,
}

/// A bound UDP socket's receive buffer.
#[derive(Default)]
struct Inbox {
    open: bool,
    bytes: u64,
    /// What lies in turmoil's socket: the record of arrival and the length.
    queue: VecDeque<(u64, usize)>,
    /// What lies in a socket of the core lane, each with the record of its arrival.
    flights: VecDeque<Box<Flight>>,
    /// Whether it is a kernel's, and what lies in it then.
    is_letter_box: bool,
    letters: VecDeque<Letter>,
    waker: Option<Waker>,
    wakers: Wakers,
}

/// A datagram in a socket that a [kernel](crate::sim::kernel) keeps.
pub(crate) struct Letter {
    /// The record of its arrival, if it came over the network.
    pub(crate) record: Option<u64>,
    pub(crate) from: SocketAddr,
    pub(crate) payload: Bytes,
}

impl Inbox {
    /// Why a datagram of this length cannot be put into it, if it cannot.
    fn refuses(&self, length: usize, most: u64) -> Option<LossReason> {
        if !self.open {
            return Some(LossReason::NoSocket);
        }
        let empty = self.queue.is_empty() && self.flights.is_empty() && self.letters.is_empty();
        let full = !empty && self.bytes + length as u64 > most;
        full.then_some(LossReason::BufferFull)
    }
}

/// All sockets that were ever bound: a host has few.
#[derive(Default)]
struct Inboxes(Vec<Vec<(u16, Inbox)>>);

impl Inboxes {
    fn get_mut(&mut self, host: HostId, port: u16) -> Option<&mut Inbox> {
        self.0.get_mut(usize::from(host.0))?.iter_mut().find(|(at, _)| *at == port).map(|(_, inbox)| inbox)
    }

    fn insert(&mut self, host: HostId, port: u16, inbox: Inbox) {
        if let Some(known) = self.get_mut(host, port) {
            *known = inbox;
            return;
        }
        let place = usize::from(host.0);
        if self.0.len() <= place {
            self.0.resize_with(place + 1, Vec::new);
        }
        self.0[place].push((port, inbox));
    }
}

/// What lies on one of turmoil's links, in turmoil's order.
#[derive(Default)]
pub(crate) struct Queue {
    pub(crate) flights: VecDeque<Box<Flight>>,
    /// Decided upon and put on the link, but not yet seen there.
    announced: VecDeque<Box<Flight>>,
    /// Whether some of it is to be delivered in the next step.
    pub(crate) handing_over: bool,
}

impl Queue {
    /// A direction in which all packets are dead, if there is one.
    fn dead_direction(&self) -> Option<(IpAddr, IpAddr)> {
        let dead = |flight: &&Flight| flight.state == State::Dead;
        let ends = |flight: &Flight| (flight.packet.src.ip(), flight.packet.dst.ip());
        let flights = || self.flights.iter().map(Box::as_ref);
        let lifeless = |(src, _): &(IpAddr, IpAddr)| {
            flights().filter(|flight| flight.packet.src.ip() == *src).all(|flight| dead(&flight))
        };
        flights().filter(dead).map(ends).find(lifeless)
    }
}

/// A segment that has arrived at a host.
pub(crate) struct Mail {
    /// When exactly it was due.
    pub(crate) due: Duration,
    /// The record of its arrival.
    pub(crate) record: u64,
    pub(crate) src: SocketAddr,
    pub(crate) dst: SocketAddr,
    pub(crate) segment: Box<Segment>,
}

/// The network's state.
pub(crate) struct Wire {
    pub(crate) links: Links,
    pub(crate) fates: Fates,
    pub(crate) machines: Vec<Machine>,
    tcp: TcpSettings,
    udp_buffer_bytes: u64,
    labeller: Labeller,
    by_ip: BTreeMap<IpAddr, HostId>,
    /// In the order of turmoil's links.
    pub(crate) queues: Vec<Queue>,
    streams: BTreeMap<(SocketAddr, SocketAddr), Stream>,
    /// Whether any stream was ever given up: until then, no packet needs asking whether its stream was.
    any_gone: bool,
    inboxes: Inboxes,
    /// Segments that have arrived, for each host's TCP.
    pub(crate) mail: Vec<Vec<Mail>>,
    next_packet: u64,
    dues: queue::Dues,
    /// Boxes of packets that have arrived, for the next ones.
    #[allow(clippy::vec_box, reason = "the boxes are what is kept")]
    boxes: Vec<Box<Flight>>,
}

impl Wire {
    pub(crate) fn new(links: Links, fates: Fates, tcp: TcpSettings, udp_buffer_bytes: u64, labeller: Labeller) -> Self {
        Self {
            links,
            fates,
            machines: Vec::new(),
            tcp,
            udp_buffer_bytes,
            labeller,
            by_ip: BTreeMap::new(),
            queues: Vec::new(),
            streams: BTreeMap::new(),
            any_gone: false,
            inboxes: Inboxes::default(),
            mail: Vec::new(),
            next_packet: 0,
            dues: queue::Dues::default(),
            boxes: Vec::new(),
        }
    }

    /// Adds a host, with its links to all hosts before it: turmoil links a new host to those, in their order.
    pub(crate) fn add_machine(&mut self, machine: Machine) {
        let count = self.machines.len();
        self.by_ip.insert(machine.ip, HostId(u16::try_from(count).expect("hosts are numbered in 16 bits")));
        self.machines.push(machine);
        self.mail.push(Vec::new());
        self.queues.extend((0..count).map(|_| Queue::default()));
    }

    /// Takes the box of a packet that has arrived.
    pub(crate) fn take_back(&mut self, spare: Box<Flight>) {
        const KEPT: usize = 256;
        if self.boxes.len() < KEPT {
            self.boxes.push(spare);
        }
    }

    /// The settings of the machines' TCP.
    pub(crate) fn tcp_settings(&self) -> crate::tcp::Settings {
        let TcpSettings { rto_min, rto_max, syn_rto, tries, syn_tries, .. } = self.tcp;
        let TcpSettings { initial_window, sack, rack, probe, delayed_ack, collapse, .. } = self.tcp;
        let micros = |time: Duration| u64::try_from(time.as_micros()).unwrap_or(u64::MAX / 4);
        crate::tcp::Settings {
            rto_min: micros(rto_min),
            rto_max: micros(rto_max),
            rto_initial: micros(syn_rto),
            retries: tries,
            syn_retries: syn_tries,
            syn_linear: self.tcp.syn_linear,
            synack_retries: self.tcp.synack_tries,
            congestion: match self.tcp.congestion {
                Congestion::Cubic => Algorithm::Cubic,
                Congestion::Reno => Algorithm::Reno,
                Congestion::None => Algorithm::Unlimited,
            },
            initial_window,
            sack,
            rack,
            probe,
            delayed_ack,
            collapse,
            window: self.tcp.window_bytes,
            ..crate::tcp::Settings::default()
        }
    }

    /// The host that has this address.
    pub(crate) fn host_at(&self, ip: IpAddr) -> Option<HostId> {
        // Addresses are given out one after the other, so that the last two bytes mostly tell.
        if let IpAddr::V4(v4) = ip {
            let [.., high, low] = v4.octets();
            let guess = HostId(u16::from_be_bytes([high, low]).wrapping_sub(1));
            if self.machines.get(usize::from(guess.0)).is_some_and(|machine| machine.ip == ip) {
                return Some(guess);
            }
        }
        self.by_ip.get(&ip).copied()
    }

    pub(crate) fn machine(&mut self, host: HostId) -> &mut Machine {
        &mut self.machines[usize::from(host.0)]
    }

    fn queue(&mut self, a: HostId, b: HostId) -> &mut Queue {
        &mut self.queues[Self::place(a, b)]
    }

    /// Where the link of two hosts is among all links.
    fn place(a: HostId, b: HostId) -> usize {
        let (first, second) = (usize::from(a.min(b).0), usize::from(a.max(b).0));
        second * (second - 1) / 2 + first
    }
}
