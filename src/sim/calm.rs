//! When the testbed has stopped interfering.
//!
//! What must come about in the end (a leader, an answer) need not come about while links are cut and hosts are down. A
//! check of it has to know from when on it may ask, and needs to know of no fault for that.

use std::time::Duration;

/// How far the testbed has stopped interfering. Once a run has come so far, it stays there.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Calm {
    /// Every step, of the script and of chaos, has fired, and each that ends by itself has ended: what is broken now
    /// stays broken.
    Scheduled,
    /// Besides, nothing that steps did is in force any more, and every host runs that was ever started.
    Healed,
}

/// To be called once, with the simulated time.
pub(crate) type Hook = Box<dyn FnOnce(Duration)>;

/// Since when a run has been calm, and who wants to hear of it.
#[derive(Default)]
pub(crate) struct Calms {
    hooks: Vec<(Calm, Hook)>,
    scheduled: Option<Duration>,
    healed: Option<Duration>,
}

impl Calms {
    pub(crate) fn hook(&mut self, calm: Calm, hook: Hook) {
        self.hooks.push((calm, hook));
    }

    pub(crate) fn since(&self, calm: Calm) -> Option<Duration> {
        match calm {
            Calm::Scheduled => self.scheduled,
            Calm::Healed => self.healed,
        }
    }

    /// The run has come so far. The first call counts; those who wait for it are called in the order in which they came.
    pub(crate) fn reached(&mut self, calm: Calm, now: Duration) {
        let since = match calm {
            Calm::Scheduled => &mut self.scheduled,
            Calm::Healed => &mut self.healed,
        };
        if since.is_some() {
            return;
        }
        *since = Some(now);
        for (_, hook) in self.hooks.extract_if(.., |(of, _)| *of == calm) {
            hook(now);
        }
    }
}
