//! Datagrams by the time that they are due, for the core lane: nobody walks over links.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::sim::flight::{Flight, State};
use crate::sim::shared::Shared;
use crate::sim::ticks::{self, nanos};
use crate::sim::trace::{HostId, LossReason};

use super::Wire;

/// How many ticks ahead are kept in an array: most latencies are shorter.
const NEAR: usize = 256;

/// A packet, with the link that it is on.
type Entry = (usize, Box<Flight>);

/// Packets by the tick at whose end they arrive. Those of one tick arrive link by link, and on a link in the order in
/// which they were sent, as they are found where all links are walked over.
///
/// **Invariant:** what travels is here and not on its link's queue, but while a step of the script has it in its hand.
pub(super) struct Dues {
    /// Those of the next ticks, each at its number modulo the length.
    near: Vec<Vec<Entry>>,
    /// Which of these are not empty, as bits.
    filled: [u64; NEAR / 64],
    /// All later ones.
    far: BTreeMap<u64, Vec<Entry>>,
    /// Those that arrive now, the next one last.
    arriving: Vec<Entry>,
    /// The tick at hand: what is sent in it arrives at its end at the earliest.
    now: u64,
    /// In nanoseconds; zero in the turmoil lane, which does not queue.
    tick: u64,
}

impl Default for Dues {
    fn default() -> Self {
        let (filled, far, arriving) = ([0; NEAR / 64], BTreeMap::new(), Vec::new());
        Self { near: Vec::new(), filled, far, arriving, now: 0, tick: 0 }
    }
}

impl Dues {
    fn slot(at: u64) -> usize {
        usize::try_from(at % NEAR as u64).expect("it is below the length")
    }

    fn push(&mut self, place: usize, flight: Box<Flight>, due: Duration) {
        let at = ticks::count_up(nanos(due), self.tick).max(self.now);
        if at - self.now < NEAR as u64 {
            let slot = Self::slot(at);
            self.near[slot].push((place, flight));
            self.filled[slot / 64] |= 1 << (slot % 64);
        } else {
            self.far.entry(at).or_default().push((place, flight));
        }
    }

    /// The next tick that something arrives at the end of.
    fn first(&self) -> Option<u64> {
        let near = self.first_near();
        if self.far.is_empty() { near } else { near.into_iter().chain(self.far.keys().next().copied()).min() }
    }

    fn first_near(&self) -> Option<u64> {
        let start = Self::slot(self.now);
        let soon = self.filled[start / 64] >> (start % 64);
        if soon != 0 {
            return Some(self.now + u64::from(soon.trailing_zeros()));
        }
        // The other words in turn, and in the end what comes before the start in the first.
        let words = self.filled.len();
        let filled = (1..=words).map(|nth| (start / 64 + nth) % words).find(|word| self.filled[*word] != 0)?;
        let slot = filled * 64 + self.filled[filled].trailing_zeros() as usize;
        Some(self.now + ((slot + NEAR - start) % NEAR) as u64)
    }

    /// Sees to it that what arrives at the end of this tick is what arrives next.
    fn collect(&mut self, at: u64) {
        let slot = Self::slot(at);
        std::mem::swap(&mut self.near[slot], &mut self.arriving);
        self.filled[slot / 64] &= !(1 << (slot % 64));
        if let Some(far) = self.far.first_entry().filter(|entry| *entry.key() == at) {
            self.arriving.extend(far.remove());
        }
        if self.arriving.len() < 2 {
            return;
        }
        self.arriving.sort_unstable_by_key(|(place, flight)| std::cmp::Reverse((*place, flight.packet.id)));
    }

    /// All of them, in the order in which they were sent.
    fn take_all(&mut self) -> Vec<Entry> {
        self.filled = Default::default();
        let near = self.near.iter_mut().flat_map(|slot| slot.drain(..));
        let mut all: Vec<Entry> = near.chain(std::mem::take(&mut self.far).into_values().flatten()).collect();
        all.sort_unstable_by_key(|(_, flight)| flight.packet.id);
        all
    }

    fn len(&self) -> usize {
        self.near.iter().chain(self.far.values()).map(Vec::len).sum()
    }
}

impl Wire {
    /// The core lane's step in this tick begins; `length`: of a tick, in nanoseconds.
    pub(crate) fn begin_step(&mut self, tick: u64, length: u64) {
        if self.dues.near.is_empty() {
            self.dues.near.resize_with(NEAR, Vec::new);
            self.dues.tick = length;
        }
        self.dues.now = tick;
    }

    /// Puts a packet that was decided upon on its link. In the turmoil lane, turmoil has it first.
    pub(super) fn announce(&mut self, flight: Box<Flight>) {
        let place = Self::place(flight.packet.from, flight.packet.to);
        match flight.state {
            _ if self.dues.tick == 0 => self.queues[place].announced.push_back(flight),
            State::Travelling { due } => self.dues.push(place, flight, due),
            _ => self.queues[place].flights.push_back(flight),
        }
    }

    /// The tick at whose end the next packet is due.
    pub(crate) fn next_due(&self) -> Option<u64> {
        self.dues.first()
    }

    /// Puts all packets back on their links' queues, where steps of the script find them.
    pub(super) fn gather(&mut self) {
        for (place, flight) in self.dues.take_all() {
            let flights = &mut self.queues[place].flights;
            let before = flights.partition_point(|other| other.packet.id < flight.packet.id);
            flights.insert(before, flight);
        }
    }

    /// Packets on links may have been cut off or released: what travels is queued by its time again.
    pub(crate) fn queue_again(&mut self) {
        for place in 0..self.queues.len() {
            let flights = std::mem::take(&mut self.queues[place].flights);
            for flight in flights {
                if flight.state != State::Dead {
                    self.announce(flight);
                }
            }
        }
    }

    /// Packets that are queued by their time.
    pub(super) fn queued(&self) -> usize {
        self.dues.len()
    }

    /// From now on, [`arrives`](Self::arrives) tells of what arrives at the end of the step at hand.
    pub(crate) fn arriving(&mut self) {
        self.dues.collect(self.dues.now);
    }

    /// Puts the next packet that arrives now where it is taken from, and tells its host.
    pub(crate) fn arrives(&mut self, shared: &Shared, now: Duration) -> Option<HostId> {
        while let Some((_, flight)) = self.dues.arriving.pop() {
            let host = flight.packet.to;
            if self.land(shared, flight, now) {
                return Some(host);
            }
        }
        None
    }

    /// A datagram reaches its host, which is all that there is in this lane. `false`: it is lost there.
    fn land(&mut self, shared: &Shared, mut flight: Box<Flight>, now: Duration) -> bool {
        let (to, port, length) = (flight.packet.to, flight.packet.dst.port(), flight.packet.payload.len());
        let off = self.machine(to).off;
        let mut inbox = self.inboxes.get_mut(to, port);
        let full = || inbox.as_ref().and_then(|inbox| inbox.refuses(length, self.udp_buffer_bytes));
        let refused = if off { Some(LossReason::HostDown) } else { full() };
        if let Some(reason) = refused {
            self.lose(shared, &mut flight, now, reason);
            self.take_back(flight);
            return false;
        }
        let transmission = (flight.packet.id, flight.attempt);
        let record = shared.recorder.borrow_mut().delivered(shared.now(), to, flight.record, transmission);
        if let Some(inbox) = &mut inbox {
            flight.record = record;
            inbox.bytes += length as u64;
            inbox.flights.push_back(flight);
        } else {
            shared.is_direct(to);
            self.take_back(flight);
        }
        true
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::sim::trace::Packet;

    fn flight(id: u64, due: Duration) -> Box<Flight> {
        let packet = Packet { id, ..Flight::empty().packet };
        Box::new(Flight { packet, state: State::Travelling { due }, ..Flight::empty() })
    }

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

        #[test]
        fn packets_arrive_at_the_end_of_the_tick_that_they_are_due_in(
            sent in prop::collection::vec((0..4_u64, 0..3_usize, prop_oneof![0..9_000_u64, 0..900_000_u64]), 1..120),
        ) {
            let tick = Duration::from_millis(2);
            let mut dues = Dues { near: (0..NEAR).map(|_| Vec::new()).collect(), tick: nanos(tick), ..Dues::default() };
            // What is to come: the tick, the link, the packet.
            let mut known = std::collections::BTreeSet::new();
            let take = |dues: &mut Dues, until: u64, known: &mut std::collections::BTreeSet<(u64, usize, u64)>| {
                while let Some(at) = dues.first().filter(|at| *at <= until) {
                    dues.now = at;
                    dues.collect(at);
                    while let Some((place, flight)) = dues.arriving.pop() {
                        prop_assert_eq!(known.pop_first(), Some((at, place, flight.packet.id)));
                    }
                }
                prop_assert!(known.first().is_none_or(|(at, ..)| *at > until));
                Ok(())
            };
            let mut now = 0;
            for (id, (ticks, place, latency)) in (0..).zip(sent) {
                take(&mut dues, now + ticks, &mut known)?;
                now += ticks;
                dues.now = now + 1;
                let due = tick * u32::try_from(now).expect("few") + Duration::from_micros(latency);
                dues.push(place, flight(id, due), due);
                known.insert((nanos(due).div_ceil(nanos(tick)).max(now + 1), place, id));
                prop_assert_eq!(dues.len(), known.len());
                // A step of the script takes them all into its hand, and puts them back.
                if id % 16 == 7 {
                    for (place, flight) in dues.take_all() {
                        let State::Travelling { due } = flight.state else { unreachable!("all travel") };
                        dues.push(place, flight, due);
                    }
                }
            }
            take(&mut dues, u64::MAX, &mut known)?;
            prop_assert_eq!(dues.len(), 0);
        }
    }
}
