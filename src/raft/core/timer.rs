//! The election timer: a timeout is drawn afresh each time it is armed (§5.2).

use std::time::Duration;

use super::Core;
use crate::raft::event::Event;
use crate::rng::between;

/// When a node that does not lead will campaign.
#[derive(Clone, Debug, Default)]
pub(in crate::raft) struct ElectionTimer {
    /// When it was armed, and with which timeout; none while the node leads.
    running: Option<(Duration, Duration)>,
    /// It was armed by the step at hand.
    is_fresh: bool,
    /// The timeout to use instead of a drawn one, until it has run out.
    pinned: Option<Duration>,
    /// The first timeout, for the bug that draws no other.
    #[cfg(feature = "planted-bugs")]
    first: Option<Duration>,
}

impl ElectionTimer {
    pub(in crate::raft) fn due(&self) -> Option<Duration> {
        self.running.map(|(armed_at, timeout)| armed_at + timeout)
    }

    pub(in crate::raft) fn is_due(&self, now: Duration) -> bool {
        self.due().is_some_and(|due| due <= now)
    }

    /// A step begins.
    #[inline]
    pub(super) fn age(&mut self) {
        self.is_fresh = false;
    }

    /// The step at hand had to wait until now: if it armed the timer, the timer runs from now.
    pub(super) fn begin_anew(&mut self, now: Duration) {
        if let (true, Some((armed_at, _))) = (self.is_fresh, &mut self.running) {
            *armed_at = now;
        }
    }

    pub(super) fn stop(&mut self) {
        self.running = None;
    }

    pub(super) fn pin(&mut self, timeout: Duration) {
        self.pinned = Some(timeout);
        if let Some((_, running)) = &mut self.running {
            *running = timeout;
        }
    }

    pub(in crate::raft) fn unpin(&mut self) {
        self.pinned = None;
    }
}

impl Core {
    /// Starts the timer, or starts it afresh.
    pub(in crate::raft) fn arm_timer(&mut self) {
        let drawn = self.draw_timeout();
        let timeout = self.timer.pinned.unwrap_or(drawn);
        self.timer.running = Some((self.now, timeout));
        self.timer.is_fresh = true;
        self.emit(Event::TimerArmed { at: self.now + timeout });
    }

    fn draw_timeout(&mut self) -> Duration {
        #[cfg(feature = "planted-bugs")]
        if let Some(first) = self.timer.first
            && (planted!(self, TimeoutDrawnOnce) || planted!(self, SeedDocument))
        {
            return first;
        }
        let step = self.config.timeout_resolution;
        let range = self.config.election_timeout_max - self.config.election_timeout_min;
        // In 64 bits, which is quicker: each heartbeat brings a draw about.
        let nanos = |time: Duration| u64::try_from(time.as_nanos()).unwrap_or(u64::MAX);
        let steps = nanos(range) / nanos(step);
        let above = Duration::from_nanos(nanos(step) * between(&mut self.rng, 0, steps));
        let timeout = self.config.election_timeout_min + above;
        #[cfg(feature = "planted-bugs")]
        self.timer.first.get_or_insert(timeout);
        timeout
    }
}
