//! When an acknowledgement leaves: at once, with data, or after a while (RFC 1122, section 4.2.3.2, as Linux has it).
//!
//! At first everything is acknowledged at once (quick). Once an answer has followed what it answers within the time that an
//! acknowledgement may wait, the connection goes to and fro, and acknowledgements wait for data to ride on.

use super::Micros;
use super::wheel::{JIFFY, Wheel};

/// The shortest wait of an acknowledgement, and the longest (`TCP_DELACK_MIN`, `TCP_DELACK_MAX`).
const WAIT_MIN: Micros = 40_000;
const WAIT_MAX: Micros = 200_000;
/// How many are sent at once, at most, when it is done quickly.
const QUICK_MAX: u32 = 16;

/// What becomes of the acknowledgement that is wanted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    /// None is wanted.
    Nothing,
    /// It leaves now.
    Now,
    /// It waits for data, or for the timer.
    Waits,
}

/// The acknowledgements of one direction.
#[derive(Clone, Debug)]
#[allow(clippy::struct_excessive_bools, reason = "each is a mark of its own, as in Linux's control block")]
pub(super) struct Acks {
    delays: bool,
    /// How many are still sent at once.
    quick: u32,
    /// Whether the connection goes to and fro.
    to_and_fro: bool,
    /// How long one waits. Zero: no data has come yet.
    wait: Micros,
    last_received: Micros,
    /// One is wanted.
    pub(super) wanted: bool,
    /// It is wanted now.
    pub(super) now: bool,
    /// How many small segments have come since the last one, up to two.
    pushed: u8,
    pub(super) timer: Option<Micros>,
    /// The size of the segments that come (`rcv_mss`).
    pub(super) segment: u64,
}

impl Acks {
    pub(super) fn new(delays: bool) -> Self {
        let (quick, to_and_fro, wait, last_received) = (0, false, 0, 0);
        let (wanted, now, pushed, timer) = (false, false, 0, None);
        Self { delays, quick, to_and_fro, wait, last_received, wanted, now, pushed, timer, segment: 536 }
    }

    fn quicken(&mut self, window: u64) {
        let quick = u32::try_from(window / (2 * self.segment)).unwrap_or(QUICK_MAX).clamp(2, QUICK_MAX);
        self.quick = self.quick.max(quick);
    }

    /// Something has come that makes the sender wait for an answer: the next ones are sent at once (`tcp_enter_quickack_mode`).
    pub(super) fn hurry(&mut self, window: u64) {
        self.quicken(window);
        (self.to_and_fro, self.wait) = (false, WAIT_MIN);
    }

    /// Data have come in order (`tcp_event_data_recv`).
    pub(super) fn received(&mut self, now: Micros, length: u64, mss: u64, window: u64, rto: Micros) {
        self.wanted = true;
        if length >= self.segment {
            self.segment = length.min(mss);
        } else {
            self.pushed = (self.pushed + 1).min(2);
        }
        let since = now - self.last_received;
        if self.wait == 0 {
            self.quicken(window);
            self.wait = WAIT_MIN;
        } else if since <= WAIT_MIN / 2 {
            self.wait = self.wait / 2 + WAIT_MIN / 2;
        } else if since < self.wait {
            self.wait = (self.wait / 2 + since).min(rto);
        } else if since > rto {
            // The sender has paused, and begins anew.
            self.quicken(window);
        }
        self.last_received = now;
    }

    /// Data leave.
    pub(super) fn answered(&mut self, now: Micros) {
        if now - self.last_received < self.wait {
            self.to_and_fro = true;
        }
    }

    /// What becomes of it after a segment was taken in: `unacknowledged` bytes in order since the last one, and whether there
    /// is a gap.
    pub(super) fn after_segment(&self, unacknowledged: u64, gap: bool) -> Verdict {
        if !self.wanted {
            return Verdict::Nothing;
        }
        let quick = self.quick > 0 && !self.to_and_fro;
        let at_once = unacknowledged > self.segment || quick || self.now || gap || !self.delays;
        if at_once { Verdict::Now } else { Verdict::Waits }
    }

    /// What becomes of it after the application has read (`tcp_cleanup_rbuf`).
    pub(super) fn after_read(&self, unacknowledged: u64, emptied: bool) -> Verdict {
        let small = self.pushed > 1 || self.pushed > 0 && !self.to_and_fro;
        if self.wanted && (unacknowledged > self.segment || emptied && small) { Verdict::Now } else { Verdict::Nothing }
    }

    /// It waits. `false`: the one before it is nearly due, and it leaves now (`tcp_send_delayed_ack`).
    pub(super) fn put_off(&mut self, now: Micros, smoothed: Option<Micros>, wheel: Wheel) -> bool {
        let mut wait = self.wait;
        if wait > WAIT_MIN {
            let most = if self.to_and_fro || self.pushed > 0 { WAIT_MAX } else { 500_000 };
            wait = wait.min(smoothed.map_or(most, |smoothed| smoothed.div_ceil(JIFFY) * JIFFY).max(WAIT_MIN).min(most));
        }
        let due = wheel.fires(now, wait.min(WAIT_MAX));
        if let Some(timer) = self.timer {
            if timer <= now + wait / 4 {
                return false;
            }
            self.timer = Some(timer.min(due));
        } else {
            self.timer = Some(due);
        }
        true
    }

    /// Nothing has come for it to ride on. `true`: it leaves now.
    pub(super) fn timed_out(&mut self, rto: Micros) -> bool {
        self.timer = None;
        if !self.wanted {
            return false;
        }
        if self.to_and_fro {
            (self.to_and_fro, self.wait) = (false, WAIT_MIN);
        } else {
            self.wait = (self.wait * 2).min(rto);
        }
        true
    }

    /// One has left, by itself or with data.
    pub(super) fn sent(&mut self) {
        if self.quick > 0 && self.wanted {
            self.quick -= 1;
            if self.quick == 0 {
                self.wait = WAIT_MIN;
            }
        }
        (self.wanted, self.now, self.pushed, self.timer) = (false, false, 0, None);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const WINDOW: u64 = 65_160;

    fn data(acks: &mut Acks, now: Micros, length: u64) -> Verdict {
        acks.received(now, length, 1_448, WINDOW, 200_000);
        acks.after_segment(length, false)
    }

    #[test]
    fn the_first_ones_are_quick() {
        let mut acks = Acks::new(true);
        let mut quick = 0;
        while data(&mut acks, quick * 10_000, 33) == Verdict::Now {
            acks.sent();
            quick += 1;
        }
        assert_eq!(quick, 16);
        assert!(acks.put_off(160_000, Some(6_000), Wheel::default()));
        assert_eq!(acks.timer, Some(204_000), "40 ms, and the wheel's tick");
    }

    #[test]
    fn an_answer_makes_them_wait_for_data_and_a_missed_one_ends_that() {
        let mut acks = Acks::new(true);
        assert_eq!(data(&mut acks, 0, 33), Verdict::Now);
        acks.sent();
        acks.answered(1_000);
        assert_eq!(data(&mut acks, 10_000, 33), Verdict::Waits);
        assert!(acks.put_off(10_000, Some(6_000), Wheel::default()));
        assert!(acks.timed_out(200_000));
        acks.sent();
        assert_eq!(data(&mut acks, 60_000, 33), Verdict::Now);
    }

    #[test]
    fn more_than_one_full_segment_is_acknowledged_at_once() {
        let mut acks = Acks::new(true);
        acks.answered(0);
        data(&mut acks, 0, 1_448);
        acks.sent();
        acks.answered(0);
        acks.received(1_000, 1_448, 1_448, WINDOW, 200_000);
        assert_eq!(acks.after_segment(1_448, false), Verdict::Waits);
        assert_eq!(acks.after_segment(2_896, false), Verdict::Now);
        assert_eq!(acks.after_segment(0, true), Verdict::Now, "there is a gap: RFC 5681, section 4.2");
    }

    #[test]
    fn two_small_ones_that_were_read_are_acknowledged() {
        let mut acks = Acks::new(true);
        data(&mut acks, 0, 33);
        acks.sent();
        acks.answered(0);
        data(&mut acks, 1_000, 33);
        assert_eq!(acks.after_read(33, true), Verdict::Nothing);
        data(&mut acks, 2_000, 33);
        assert_eq!(acks.after_read(66, true), Verdict::Now);
    }
}
