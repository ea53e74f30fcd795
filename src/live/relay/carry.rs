//! What becomes of each packet: the same questions in the same order as a simulated run asks them.

use std::cmp::Ordering;
use std::collections::BinaryHeap;
use std::net::{IpAddr, Ipv4Addr};
use std::os::fd::OwnedFd;
use std::time::Duration;

use bytes::Bytes;

use crate::sim::deeds::Deeds;
use crate::sim::fates::{Fates, Twin};
use crate::sim::links::{Links, Ruling};
use crate::sim::trace::{HostId, Label, LossReason, Packet, PacketKind};

use super::super::wall::Clock;
use super::flows::Flows;
use super::packet::{self, Body, Seen};
use super::{Design, Lateness, Namer, Order, Summary, Told};

/// A packet under way.
struct Flight {
    due: Duration,
    /// Its place among all: of those that are due at once, the first goes first.
    order: u64,
    latency: Duration,
    packet: u64,
    ends: (HostId, HostId),
    wire: Bytes,
}

impl PartialEq for Flight {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other) == Ordering::Equal
    }
}

impl Eq for Flight {}

impl PartialOrd for Flight {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

/// What is due first is the greatest, as a heap has it.
impl Ord for Flight {
    fn cmp(&self, other: &Self) -> Ordering {
        (other.due, other.order).cmp(&(self.due, self.order))
    }
}

/// A packet that a step holds back.
struct Held {
    step: usize,
    at: Departing,
}

/// A packet that is about to leave.
struct Departing {
    packet: Box<Packet>,
    number: u64,
    fates: Vec<usize>,
    wire: Bytes,
}

pub(super) struct Carrier<'a> {
    clock: Clock,
    addresses: Vec<Ipv4Addr>,
    pub(super) devices: Vec<OwnedFd>,
    off: Vec<bool>,
    links: Links,
    fates: Fates,
    deeds: Deeds,
    namer: Namer,
    flows: Flows,
    flights: BinaryHeap<Flight>,
    held: Vec<Held>,
    next_packet: u64,
    next_order: u64,
    lateness: Lateness,
    stray: u64,
    told: &'a dyn Fn(Told),
}

impl<'a> Carrier<'a> {
    pub(super) fn new(design: Design, told: &'a dyn Fn(Told)) -> Self {
        let Design { clock, seed, names, addresses, devices, network, links, packets, steps, namer } = design;
        let deeds = Deeds::new(steps);
        let fates = Fates::new(&packets, &names);
        let off = vec![false; names.len()];
        let links = Links::new(seed, names, network, links, deeds.clone());
        Self {
            clock,
            addresses,
            devices,
            off,
            links,
            fates,
            deeds,
            namer,
            flows: Flows::default(),
            flights: BinaryHeap::new(),
            held: Vec::new(),
            next_packet: 0,
            next_order: 0,
            lateness: Lateness::default(),
            stray: 0,
            told,
        }
    }

    pub(super) fn next_due(&self) -> Option<Duration> {
        self.flights.peek().map(|flight| flight.due)
    }

    fn hosts(&self) -> usize {
        self.addresses.len()
    }

    /// Whether the host at a place is without power.
    pub(super) fn is_off(&self, place: usize) -> bool {
        self.off.get(place).copied().unwrap_or(false)
    }

    /// The device that an address is behind: a host's, or the observer's.
    fn device_at(&self, ip: IpAddr) -> Option<usize> {
        let known = self.addresses.iter().position(|address| IpAddr::V4(*address) == ip);
        let observer = (IpAddr::V4(super::super::plan::OBSERVER) == ip).then_some(self.hosts());
        known.or(observer.filter(|place| *place < self.devices.len()))
    }

    /// Takes in what the device at a place has sent.
    pub(super) fn take(&mut self, place: usize, bytes: &[u8]) {
        let at = self.clock.now();
        let Some(seen) = packet::understand(bytes) else {
            self.stray += 1;
            return;
        };
        let Some(to) = self.device_at(seen.dst.ip()) else {
            self.stray += 1;
            return;
        };
        let is_off = |place: usize| self.is_off(place);
        if place == self.hosts() || to == self.hosts() {
            // The observer stands outside of the network that it observes.
            if !is_off(place) && !is_off(to) {
                let _ = rustix::io::write(&self.devices[to], bytes);
            }
            return;
        }
        if !is_off(place) {
            self.admit(at, (host(place), host(to)), &seen, bytes);
        }
    }

    fn admit(&mut self, at: Duration, (from, to): (HostId, HostId), seen: &Seen, bytes: &[u8]) {
        let wire = Bytes::copy_from_slice(bytes);
        let payload = wire.slice(seen.payload.clone());
        let (mut kind, mut tcp, mut is_again, mut own) = (PacketKind::Udp, None, false, None);
        match &seen.body {
            Body::Udp { .. } => {}
            Body::Tcp(segment) => {
                let length = u32::try_from(payload.len()).unwrap_or(0);
                let placed = self.flows.place(seen.src, seen.dst, segment, length);
                (kind, tcp, is_again) = (placed.kind, Some(Box::new(placed.header)), placed.is_again);
                own = kind.own_name();
            }
            Body::Other(name) => own = Some(*name),
        }
        let id = self.next_packet;
        self.next_packet += 1;
        let number = self.links.next_packet(from, to);
        let mut packet =
            Box::new(Packet { id, from, to, src: seen.src, dst: seen.dst, kind, payload, tcp, label: None });
        let own = || own.map(|name| Label { name: name.to_owned(), detail: String::new() });
        packet.label = (self.namer)(&packet).or_else(own);
        let fates = self.fates.count(&packet);
        self.tell(Told::Sent { at, packet: packet.clone(), wire: wire.clone(), is_again });
        self.transmit(at, Departing { packet, number, fates, wire }, &seen.body);
    }

    fn transmit(&mut self, at: Duration, departing: Departing, body: &Body) {
        let Departing { packet, number, fates, .. } = &departing;
        let (from, to, id) = (packet.from, packet.to, packet.id);
        if self.fates.loses(fates, 0) {
            return self.tell(Told::Lost { at, packet: id, reason: LossReason::Dropped });
        }
        let name = packet.label.as_ref().map(|label| label.name.as_str());
        match self.links.rule(from, to, name) {
            (Ruling::Drop, _) => return self.tell(Told::Lost { at, packet: id, reason: LossReason::Dropped }),
            (Ruling::Hold, step) => {
                self.tell(Told::Held { at, packet: id });
                return self.held.push(Held { step, at: departing });
            }
            (Ruling::Pass, _) => {}
        }
        if let Some(reason) = self.links.loses(from, to, *number, 0) {
            return self.tell(Told::Lost { at, packet: id, reason });
        }
        match body {
            Body::Tcp(_) if self.links.spoils(from, to, *number, 0) => {
                self.tell(Told::Lost { at, packet: id, reason: LossReason::Checksum });
            }
            Body::Udp { checksum } => self.meddle(at, departing, *checksum),
            Body::Tcp(_) | Body::Other(_) => self.depart(at, departing),
        }
    }

    /// A datagram: corrupted, copied, or neither.
    fn meddle(&mut self, at: Duration, mut departing: Departing, checksum: usize) {
        let (from, to, id) = (departing.packet.from, departing.packet.to, departing.packet.id);
        if departing.fates.is_empty() && !self.links.meddles(from, to) {
            return self.depart(at, departing);
        }
        let (bits, number) = (departing.packet.payload.len() as u64 * 8, departing.number);
        let scripted = self.fates.corrupts(&departing.fates, bits);
        if let Some(bit) = scripted.or_else(|| self.links.corrupts(from, to, number, bits)) {
            self.tell(Told::Corrupted { at, packet: id, bit });
            let begin = departing.wire.len() - departing.packet.payload.len();
            departing.wire = packet::flipped(&departing.wire, begin, checksum, bit).into();
        }
        let twin = self.fates.duplicates(&departing.fates, at);
        let twin = twin.or_else(|| self.links.duplicates(from, to, number).then_some(Twin { latency: None }));
        let copied = twin.map(|twin| (twin, departing.wire.clone()));
        self.depart(at, departing);
        if let Some((twin, wire)) = copied {
            let copy = self.next_packet;
            self.next_packet += 1;
            let number = self.links.next_packet(from, to);
            self.tell(Told::Duplicated { at, packet: id, copy });
            let latency = twin.latency.unwrap_or_else(|| self.links.latency(from, to, number, 0));
            self.put(at + latency, latency, copy, (from, to), wire);
        }
    }

    fn depart(&mut self, at: Duration, departing: Departing) {
        let Departing { packet, number, fates, wire } = departing;
        let (from, to) = (packet.from, packet.to);
        let scripted = self.fates.latency(&fates, 0, at);
        let mut latency = scripted.unwrap_or_else(|| self.links.latency(from, to, number, 0));
        let mut due = at + latency;
        if packet.kind.is_tcp() {
            if scripted.is_none() {
                due = self.flows.in_order(packet.src, packet.dst, due);
            }
        } else if scripted.is_none() && self.links.meddles(from, to) {
            let extra = self.links.held_back(from, to, number).unwrap_or_default();
            (due, latency) = (due + extra, latency + extra);
        }
        self.put(due, latency, packet.id, (from, to), wire);
    }

    fn put(&mut self, due: Duration, latency: Duration, packet: u64, ends: (HostId, HostId), wire: Bytes) {
        let order = self.next_order;
        self.next_order += 1;
        self.flights.push(Flight { due, order, latency, packet, ends, wire });
    }

    /// Hands over what is due.
    pub(super) fn deliver_due(&mut self) {
        loop {
            if self.next_due().is_none_or(|due| due > self.clock.now()) {
                return;
            }
            let Some(Flight { due, latency, packet, ends: (_, to), wire, .. }) = self.flights.pop() else { return };
            let place = usize::from(to.0);
            // From here on it is the receiver's kernel that works.
            let at = self.clock.now();
            let written = !self.off[place] && rustix::io::write(&self.devices[place], &wire).is_ok();
            if written {
                self.lateness.add(at - due, latency);
                self.tell(Told::Delivered { at, packet, to });
            } else {
                self.tell(Told::Lost { at, packet, reason: LossReason::HostDown });
            }
        }
    }

    pub(super) fn obey(&mut self, order: Order) {
        match order {
            Order::Cut { step, from, to } => self.cut(step, from, to),
            Order::Uncut { step, from, to } => self.links.uncut(step, from, to),
            Order::Change { step, rule } => self.links.change(step, rule),
            Order::Unchange { step } => self.links.unchange(step),
            Order::AddRule { step, rule, holds } => self.links.add_rule(step, rule, holds),
            Order::RemoveRule { step } => {
                self.links.remove_rule(step);
                self.release(Some(step));
            }
            Order::Release { step } => {
                if self.links.remove_holds() | self.release(None) {
                    self.deeds.acted(step);
                }
            }
            Order::Heal { step } => {
                if self.links.heal() | self.release(None) {
                    self.deeds.acted(step);
                }
            }
            Order::Off(host) => self.off[usize::from(host.0)] = true,
            Order::On(host, device) => {
                let _ = rustix::io::ioctl_fionbio(&device, true);
                let place = usize::from(host.0);
                (self.devices[place], self.off[place]) = (device, false);
            }
            Order::End => {}
        }
    }

    /// Cuts a direction, also for what is under way.
    fn cut(&mut self, step: usize, from: HostId, to: HostId) {
        self.links.cut(step, from, to);
        let at = self.clock.now();
        let (cut, rest): (Vec<_>, Vec<_>) =
            std::mem::take(&mut self.flights).into_iter().partition(|flight| flight.ends == (from, to));
        self.flights = rest.into();
        for flight in cut {
            self.links.is_cut(from, to);
            self.tell(Told::Lost { at, packet: flight.packet, reason: LossReason::Partition });
        }
    }

    /// Lets held packets go: those of one step, or all. `true`: there was one.
    fn release(&mut self, step: Option<usize>) -> bool {
        let at = self.clock.now();
        let (released, rest): (Vec<_>, Vec<_>) =
            std::mem::take(&mut self.held).into_iter().partition(|held| step.is_none_or(|step| held.step == step));
        self.held = rest;
        let any = !released.is_empty();
        for Held { at: departing, .. } in released {
            let (from, to, id) = (departing.packet.from, departing.packet.to, departing.packet.id);
            self.tell(Told::Released { at, packet: id });
            if self.links.is_cut(from, to) {
                self.tell(Told::Lost { at, packet: id, reason: LossReason::Partition });
            } else {
                self.depart(at, departing);
            }
        }
        any
    }

    fn tell(&self, told: Told) {
        (self.told)(told);
    }

    pub(super) fn summary(self) -> Summary {
        Summary {
            lateness: self.lateness,
            acted: self.deeds.acting(),
            in_flight: (self.flights.len() + self.held.len()) as u64,
            met: self.fates.met(),
            unmet: self.fates.unmet(),
            stray: self.stray,
            devices: self.devices,
        }
    }
}

fn host(place: usize) -> HostId {
    HostId(u16::try_from(place).expect("hosts are numbered in 16 bits"))
}
