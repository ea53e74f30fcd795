//! Datagrams by the time that they are due, for the core lane: nobody walks over links.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::time::Duration;

use crate::sim::flight::{Flight, State};
use crate::sim::shared::Shared;
use crate::sim::ticks::{self, nanos};

use super::Wire;

/// When packets are due, as ends of steps. Those of one step arrive link by link, and on a link in the order in which
/// they were sent, as they are found where all links are walked over.
#[derive(Default)]
pub(super) struct Dues {
    /// The end of a step in nanoseconds, the link, the packet.
    queue: BinaryHeap<Reverse<(u64, usize, u64)>>,
    /// The end of the step at hand: what is sent in it arrives then at the earliest.
    step_end: u64,
    /// Zero in the turmoil lane, which does not queue.
    tick: Duration,
}

impl Dues {
    fn push(&mut self, place: usize, flight: &Flight, not_before: u64) {
        if let State::Travelling { due } = flight.state {
            let due = nanos(ticks::up(due, self.tick));
            self.queue.push(Reverse((due.max(not_before), place, flight.packet.id)));
        }
    }
}

impl Wire {
    /// A step of the core lane begins.
    pub(crate) fn begin_step(&mut self, end: Duration, tick: Duration) {
        (self.dues.step_end, self.dues.tick) = (nanos(end), tick);
    }

    /// Puts a packet that was decided upon on its link. In the turmoil lane, turmoil has it first.
    pub(super) fn announce(&mut self, flight: Flight) {
        let place = Self::place(flight.packet.from, flight.packet.to);
        let queue = &mut self.queues[place];
        if self.dues.tick.is_zero() {
            queue.announced.push_back(flight);
        } else {
            self.dues.push(place, &flight, self.dues.step_end);
            queue.flights.push_back(flight);
        }
    }

    /// The end of the step in which the next packet is due.
    pub(crate) fn next_due(&self) -> Option<Duration> {
        self.dues.queue.peek().map(|Reverse((at, ..))| Duration::from_nanos(*at))
    }

    /// Packets on links have been cut off or released: they are queued anew.
    pub(crate) fn queue_again(&mut self, now: Duration) {
        let now = nanos(now);
        self.dues.queue.clear();
        for (place, queue) in self.queues.iter_mut().enumerate() {
            queue.flights.retain(|flight| flight.state != State::Dead);
            queue.flights.iter().for_each(|flight| self.dues.push(place, flight, now));
        }
    }

    /// The next packet that arrives by now.
    pub(crate) fn arrives(&mut self, shared: &Shared, now: Duration) -> Option<Flight> {
        let until = nanos(now);
        while self.dues.queue.peek().is_some_and(|Reverse((at, ..))| *at <= until) {
            let Some(Reverse((_, place, packet))) = self.dues.queue.pop() else { break };
            let flights = &mut self.queues[place].flights;
            let on_link = flights.binary_search_by_key(&packet, |flight| flight.packet.id).ok();
            let Some(mut flight) = on_link.and_then(|at| flights.remove(at)) else { continue };
            if self.arrive(shared, &mut flight, now) {
                return Some(flight);
            }
        }
        None
    }
}
