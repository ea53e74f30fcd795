//! When each host wants to be woken.

use std::cell::Cell;
use std::rc::Rc;

use crate::sim::trace::HostId;

/// When each host wants to be woken, in nanoseconds. They lie side by side: all are looked at in each step.
#[derive(Clone)]
pub(super) struct Wakes {
    at: Rc<[Cell<u64>]>,
    /// Whether a host was made ready since hosts were run: mostly one was, and nobody need look for the first.
    any_ready: Rc<Cell<bool>>,
    /// What time it is for the host that runs, in nanoseconds.
    now: Rc<Cell<u64>>,
}

impl Wakes {
    /// Later than any time of a run.
    const NEVER: u64 = u64::MAX;

    pub(super) fn new(hosts: usize) -> Self {
        Self { at: (0..hosts).map(|_| Cell::new(Self::NEVER)).collect(), any_ready: Rc::default(), now: Rc::default() }
    }

    /// The host has something to do from the beginning of the next step, whatever else it waits for.
    pub(super) fn make_ready(&self, host: HostId) {
        self.at[usize::from(host.0)].set(0);
        self.any_ready.set(true);
    }

    /// Whether a host was made ready.
    pub(super) fn any_ready(&self) -> bool {
        self.any_ready.get()
    }

    /// Hosts are about to be run.
    pub(super) fn begin_step(&self) {
        self.any_ready.set(false);
    }

    /// The first time that a host wants to be woken at, in nanoseconds.
    pub(super) fn first(&self) -> Option<u64> {
        let first = self.at.iter().map(Cell::get).fold(Self::NEVER, u64::min);
        (first != Self::NEVER).then_some(first)
    }

    /// Hosts run at this time now, in nanoseconds.
    pub(super) fn set_now(&self, now: u64) {
        self.now.set(now);
    }

    /// When each host wants to be woken, in nanoseconds; what never comes is later than any time.
    #[inline]
    pub(super) fn all(&self) -> &[Cell<u64>] {
        &self.at
    }
}

/// When one host's process wants to be woken, for the process to say and the lane to see. Clones are the same.
#[derive(Clone)]
pub(super) struct Alarm {
    host: usize,
    wakes: Wakes,
}

impl Alarm {
    pub(super) fn new(host: HostId, wakes: Wakes) -> Self {
        Self { host: usize::from(host.0), wakes }
    }

    /// Whether a time has come, in nanoseconds. If it has not, the process is to be woken then.
    #[inline]
    pub(super) fn has_come(&self, at: u64) -> bool {
        let come = at <= self.wakes.now.get();
        if !come {
            let wake = &self.wakes.at[self.host];
            wake.set(wake.get().min(at));
        }
        come
    }

    /// It waits for no time any more.
    #[inline]
    pub(super) fn forget(&self) {
        self.wakes.at[self.host].set(Wakes::NEVER);
    }
}
