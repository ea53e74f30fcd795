//! How much may be under way: the congestion window.

mod cubic;
mod reduction;

use super::Micros;
use super::settings::Algorithm;
use super::wheel::Wheel;

use cubic::Cubic;
pub(super) use reduction::Reduction;

/// No threshold yet.
pub(super) const UNBOUNDED: u32 = u32::MAX >> 1;

/// What an algorithm may look at.
#[derive(Clone, Copy, Debug)]
pub(super) struct Moment {
    pub(super) now: Micros,
    pub(super) wheel: Wheel,
    pub(super) una: u64,
    pub(super) nxt: u64,
    pub(super) in_slow_start: bool,
    /// Bytes a second, as pacing would have it.
    pub(super) rate: u64,
}

/// The congestion window of one direction.
#[derive(Clone, Debug)]
pub(super) struct Congestion {
    algorithm: Algorithm,
    cubic: Cubic,
    /// In segments.
    pub(super) window: u32,
    pub(super) threshold: u32,
    /// Acknowledged segments on the way to the next one.
    credit: u32,
    /// Whether the window, not the application, limits what is sent; and how much was under way at most.
    limited: bool,
    out_max: u32,
    usage_seq: u64,
    /// Since when, and up to how many segments, the application has left room.
    used: u32,
    stamp: Micros,
    initial: u32,
}

impl Congestion {
    pub(super) fn new(algorithm: Algorithm, initial: u32, now: Micros) -> Self {
        let window = if algorithm == Algorithm::Unlimited { UNBOUNDED } else { initial };
        let (limited, out_max, usage_seq) = (false, 0, 0);
        let cubic = Cubic::default();
        let threshold = UNBOUNDED;
        Self {
            algorithm,
            cubic,
            window,
            threshold,
            credit: 0,
            limited,
            out_max,
            usage_seq,
            used: 0,
            stamp: now,
            initial,
        }
    }

    pub(super) fn is_unlimited(&self) -> bool {
        self.algorithm == Algorithm::Unlimited
    }

    pub(super) fn set_window(&mut self, window: u32) {
        if !self.is_unlimited() {
            self.window = window;
        }
    }

    pub(super) fn in_slow_start(&self) -> bool {
        self.window < self.threshold
    }

    /// The threshold after a loss.
    pub(super) fn threshold_after_loss(&mut self) -> u32 {
        match self.algorithm {
            Algorithm::Cubic => self.cubic.threshold_after_loss(self.window),
            Algorithm::Reno => (self.window / 2).max(2),
            Algorithm::Unlimited => UNBOUNDED,
        }
    }

    /// The threshold that an undone reduction goes back to (`tcp_current_ssthresh`).
    pub(super) fn current_threshold(&self, reducing: bool) -> u32 {
        if reducing || self.is_unlimited() { self.threshold } else { self.threshold.max(self.window / 4 * 3) }
    }

    /// The handshake is over: what it took is no round trip of data (`tcp_init_congestion_control`).
    pub(super) fn opened(&mut self) {
        self.threshold = UNBOUNDED;
        self.cubic = Cubic::default();
    }

    /// A timeout: what was learned is forgotten.
    pub(super) fn timed_out(&mut self) {
        self.cubic = Cubic::default();
        self.credit = 0;
    }

    pub(super) fn forget_credit(&mut self) {
        self.credit = 0;
    }

    /// A round trip was measured.
    pub(super) fn measured(&mut self, rtt: Micros, moment: &Moment) {
        if self.algorithm == Algorithm::Cubic && self.cubic.measured(rtt, self.window, moment) {
            self.threshold = self.window;
        }
    }

    /// Segments were acknowledged while nothing is wrong: the window may grow.
    pub(super) fn grow(&mut self, acked: u32, moment: &Moment) {
        if self.is_unlimited() || !self.is_limited() {
            return;
        }
        let mut acked = acked;
        if self.in_slow_start() {
            let window = self.window.saturating_add(acked).min(self.threshold);
            acked -= window - self.window;
            self.window = window;
            if acked == 0 {
                return;
            }
        }
        let wanted = match self.algorithm {
            Algorithm::Cubic => self.cubic.acknowledgements_per_segment(self.window, acked, moment),
            _ => self.window,
        };
        self.add_up(wanted.max(1), acked);
    }

    fn add_up(&mut self, wanted: u32, acked: u32) {
        if self.credit >= wanted {
            self.credit = 0;
            self.window += 1;
        }
        self.credit += acked;
        if self.credit >= wanted {
            self.window += self.credit / wanted;
            self.credit %= wanted;
        }
    }

    fn is_limited(&self) -> bool {
        self.limited || self.in_slow_start() && self.window < self.out_max.saturating_mul(2)
    }

    /// After something was sent, or could not be: was it for want of a window (RFC 7661, `tcp_cwnd_validate`)?
    pub(super) fn validate(&mut self, limited: bool, out: u32, rto: Micros, is_open: bool, moment: &Moment) {
        if moment.una >= self.usage_seq || limited || !self.limited && out > self.out_max {
            (self.limited, self.out_max, self.usage_seq) = (limited, out, moment.nxt);
        }
        if self.is_limited() || self.is_unlimited() {
            (self.used, self.stamp) = (0, moment.now);
            return;
        }
        self.used = self.used.max(out);
        if moment.now - self.stamp >= rto {
            let used = self.used.max(self.initial);
            if is_open && used < self.window {
                self.threshold = self.current_threshold(false);
                self.window = self.window.midpoint(used);
            }
            (self.used, self.stamp) = (0, moment.now);
        }
    }

    /// Nothing was sent for a while (RFC 2861, `tcp_cwnd_restart`).
    pub(super) fn restart(&mut self, idle: Micros, rto: Micros, now: Micros) {
        if self.is_unlimited() || idle <= rto {
            return;
        }
        self.cubic.idle(idle, now);
        self.threshold = self.current_threshold(false);
        let (least, mut left) = (self.initial.min(self.window), idle);
        while left > rto && self.window > least {
            left -= rto;
            self.window /= 2;
        }
        self.window = self.window.max(least);
        (self.stamp, self.used) = (now, 0);
    }
}
