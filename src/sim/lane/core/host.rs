//! What a host has in the core lane.

use std::future::poll_fn;
use std::rc::Rc;
use std::task::Poll;
use std::time::Duration;

use crate::rng::Rng;
use crate::sim::control::{Control, Start};
use crate::sim::disk::{SimDisk, Wait};
use crate::sim::shared::{Events, Shared};
use crate::sim::ticks::{count_up, nanos};

use super::socket::CoreNet;
use super::wakes::Alarm;

/// What a host gets when it starts in the core lane.
pub struct CoreHost {
    /// Its name in the network.
    pub name: String,
    /// How often it has started before.
    pub incarnation: u32,
    /// Its network: datagrams.
    pub net: CoreNet,
    /// Its disk, which outlives it.
    pub disk: SimDisk<CoreTime>,
    /// Its randomness, its own in each incarnation.
    pub rng: Rng,
    /// Where it tells what it does.
    pub events: Events,
    /// Simulated time.
    pub time: CoreTime,
}

impl CoreHost {
    pub(super) fn new(control: &Control, start: Start, alarm: Alarm) -> Self {
        let Start { name, incarnation, ip, rng, events, .. } = start;
        let time = CoreTime { shared: control.shared.clone(), alarm };
        Self {
            name,
            incarnation,
            net: CoreNet::new(control.shared.clone(), control.id, ip),
            disk: SimDisk::new(control, incarnation, time.clone()),
            rng,
            events,
            time,
        }
    }
}

/// Simulated time in the core lane. Waiting ends at whole milliseconds, as tokio's does.
#[derive(Clone)]
pub struct CoreTime {
    shared: Rc<Shared>,
    alarm: Alarm,
}

impl CoreTime {
    /// The time since the run began.
    pub fn now(&self) -> Duration {
        self.shared.now()
    }

    /// Whether the end of a wait has come, to be asked while being polled. If it has not, the host is polled again when it
    /// has.
    #[inline]
    pub fn has_come(&self, end: WaitEnd) -> bool {
        self.alarm.has_come(end.0)
    }
}

/// When a wait ends: at the first whole millisecond that is not before the time waited for.
#[derive(Clone, Copy, Debug)]
pub struct WaitEnd(u64);

impl From<Duration> for WaitEnd {
    fn from(at: Duration) -> Self {
        const MILLISECOND: u64 = 1_000_000;
        Self(count_up(nanos(at), MILLISECOND).saturating_mul(MILLISECOND))
    }
}

impl Wait for CoreTime {
    async fn wait(&self, time: Duration) {
        let until = WaitEnd::from(self.now() + time);
        poll_fn(|_| if self.has_come(until) { Poll::Ready(()) } else { Poll::Pending }).await;
    }
}
