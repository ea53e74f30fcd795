//! How hosts run and how packets get from one to the other: two ways of it, and one truth.
//!
//! | lane | hosts | packets |
//! |---|---|---|
//! | [`turmoil`] | each in a tokio runtime of its own, polled in every tick | on turmoil's links |
//! | [`core`] | futures that are polled when they have something to do | in a queue, by the time that they are due |
//!
//! Everything else is the same for both: the schedule and what its steps do, the fate of each packet, disks, records,
//! hash, checks, verdict.
//!
//! **Invariant:** a run in the one lane makes the same records, in the same order, at the same times, as it makes in the
//! other: equal hashes.

pub(super) mod core;
pub(super) mod turmoil;

use std::time::Duration;

use super::trace::HostId;

/// What a lane does for the world.
pub(super) trait Lane {
    /// The end of the next step in which a host or a packet has something to do: one tick after `now`, or later if
    /// nothing happens until then. `None`: nothing ever does by itself.
    fn next_step(&mut self, now: Duration, tick: Duration) -> Option<Duration>;

    /// Runs the hosts from a time to the end of that step.
    fn run_hosts(&mut self, from: Duration, to: Duration) -> Result<(), String>;

    /// Whether it can [go on by itself](Self::run_alone).
    fn goes_alone(&self) -> bool {
        false
    }

    /// Runs step after step from `now` on, where nothing but hosts and packets has anything to do any more, until `after`,
    /// which is given the time at each one's end, says that this is enough. There is none that ends later than `last`.
    fn run_alone(&mut self, now: Duration, last: Duration, after: &mut dyn FnMut(Duration) -> bool) {
        let _ = (now, last, after);
        unreachable!("this lane is run step by step");
    }

    /// Takes up what hosts have sent.
    fn absorb(&mut self, now: Duration);

    /// A step of the script has begun or ended: packets may have been released.
    fn disturbed(&mut self);

    /// Moves all packets on to this time, and gives hosts what has arrived: they find it in the next step.
    fn carry(&mut self, now: Duration);

    /// What of a host's process no fault reaches, in words.
    fn out_of_reach(&self, host: HostId) -> Vec<String> {
        let _ = host;
        Vec::new()
    }

    /// A machine loses power.
    fn crash(&mut self, host: HostId);

    /// A machine has power again.
    fn boot(&mut self, host: HostId);
}
