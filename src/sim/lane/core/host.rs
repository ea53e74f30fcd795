//! What a host has in the core lane.

use std::future::poll_fn;
use std::rc::Rc;
use std::task::Poll;
use std::time::Duration;

use crate::disk::sim::{SimDisk, Wait};
use crate::rng::Rng;
use crate::sim::control::{Control, Start};
use crate::sim::shared::{Events, Shared};
use crate::sim::ticks;

use super::socket::{CoreNet, Mailbox};

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
    pub(super) fn new(control: &Control, start: Start, mailbox: Rc<Mailbox>) -> Self {
        let Start { name, incarnation, ip, rng, events, .. } = start;
        let time = CoreTime { shared: control.shared.clone(), mailbox: mailbox.clone() };
        Self {
            name,
            incarnation,
            net: CoreNet::new(control.shared.clone(), control.id, ip, mailbox),
            disk: SimDisk::new(control.platter().clone(), control.seed, control.id, incarnation, time.clone()),
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
    mailbox: Rc<Mailbox>,
}

impl CoreTime {
    /// The time since the run began.
    pub fn now(&self) -> Duration {
        self.shared.now()
    }

    /// Whether a time has come, to be asked while being polled. If it has not, the host is polled again when it has.
    pub fn has_come(&self, at: Duration) -> bool {
        let at = ticks::up(at, ticks::MILLISECOND);
        let come = at <= self.now();
        if !come {
            self.mailbox.wake_at(at);
        }
        come
    }
}

impl Wait for CoreTime {
    async fn wait(&self, time: Duration) {
        let until = self.now() + time;
        poll_fn(|_| if self.has_come(until) { Poll::Ready(()) } else { Poll::Pending }).await;
    }
}
