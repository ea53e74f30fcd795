//! Cubic (RFC 9438) with `HyStart`, in the integers of Linux's `tcp_cubic.c`.

use super::Moment;
use crate::tcp::Micros;

/// Of 1,024: what is left of the window after a loss.
const BETA: u32 = 717;
/// The scale of the cubic function: 0.4, of 1,024.
const SCALE: u64 = 410;
/// The window from which on `HyStart` looks.
const LOW_WINDOW: u32 = 16;

/// What cubic remembers.
#[derive(Clone, Debug, Default)]
pub(super) struct Cubic {
    /// Acknowledgements for one more segment.
    count: u32,
    /// The window before the last loss.
    window_max: u32,
    last_window: u32,
    /// The tick of the last update, and of the epoch's beginning.
    last_tick: u64,
    epoch: Option<u64>,
    origin: u32,
    /// When the window is at the origin again, in 1,024ths of a second after the epoch's beginning.
    inflection: u64,
    acks: u32,
    /// The window that Reno would have.
    reno: u32,
    delay_min: Micros,
    // HyStart:
    found: bool,
    round_end: u64,
    round_start: Micros,
    last_ack: Micros,
    delay: Option<Micros>,
    samples: u32,
}

impl Cubic {
    pub(super) fn threshold_after_loss(&mut self, window: u32) -> u32 {
        self.epoch = None;
        // Fast convergence: a window smaller than the last leaves room to others.
        self.window_max = if window < self.window_max { share(window, 1024 + BETA, 2048) } else { window };
        share(window, BETA, 1024).max(2)
    }

    /// An idle time does not count as one in which the window grew.
    pub(super) fn idle(&mut self, idle: Micros, now: Micros) {
        let ticks = idle / crate::tcp::wheel::JIFFY;
        let tick = now / crate::tcp::wheel::JIFFY;
        self.epoch = self.epoch.map(|epoch| (epoch + ticks).min(tick.max(epoch)));
    }

    /// How many acknowledgements open the window by a segment (`bictcp_update`).
    pub(super) fn acknowledgements_per_segment(&mut self, window: u32, acked: u32, moment: &Moment) -> u32 {
        self.acks += acked;
        let tick = moment.wheel.jiffies(moment.now);
        if self.last_window == window && self.last_tick > 0 && tick - self.last_tick <= 250 / 32 {
            return self.count.max(2);
        }
        if self.epoch.is_none() || tick != self.last_tick {
            (self.last_window, self.last_tick) = (window, tick);
            self.follow_curve(window, acked, tick);
        }
        self.befriend_reno(window);
        self.count = self.count.max(2);
        self.count
    }

    fn follow_curve(&mut self, window: u32, acked: u32, tick: u64) {
        let epoch = *self.epoch.get_or_insert_with(|| {
            (self.acks, self.reno) = (acked, window);
            if self.window_max <= window {
                (self.inflection, self.origin) = (0, window);
            } else {
                let distance = u64::from(self.window_max - window);
                (self.inflection, self.origin) = (cube_root((1 << 40) / SCALE * distance), self.window_max);
            }
            tick
        });
        let ticks = (tick - epoch) + self.delay_min.div_ceil(crate::tcp::wheel::JIFFY);
        let t = ticks * 1024 / 250;
        let off = t.abs_diff(self.inflection).min(1 << 17);
        let delta = u32::try_from((SCALE * off * off * off) >> 40).unwrap_or(u32::MAX);
        let target =
            if t < self.inflection { self.origin.saturating_sub(delta) } else { self.origin.saturating_add(delta) };
        self.count = if target > window { window / (target - window) } else { window.saturating_mul(100) };
        // The first time, when nothing is known of the path, it may grow by 5 % each round trip.
        if self.window_max == 0 && self.count > 20 {
            self.count = 20;
        }
    }

    fn befriend_reno(&mut self, window: u32) {
        const SCALE: u32 = 8 * (1024 + BETA) / 3 / (1024 - BETA);
        let delta = (window * SCALE) >> 3;
        while delta > 0 && self.acks > delta {
            self.acks -= delta;
            self.reno += 1;
        }
        if self.reno > window {
            self.count = self.count.min(window / (self.reno - window));
        }
    }

    /// Takes in a round trip. `true`: slow start has gone far enough.
    pub(super) fn measured(&mut self, rtt: Micros, window: u32, moment: &Moment) -> bool {
        // Right after a recovery delays say nothing.
        if self.epoch.is_some_and(|epoch| moment.wheel.jiffies(moment.now) - epoch < 250) {
            return false;
        }
        let rtt = rtt.max(1);
        if self.delay_min == 0 || self.delay_min > rtt {
            self.delay_min = rtt;
        }
        if !self.found && moment.in_slow_start {
            self.found = self.looks_full(rtt, window, moment);
            return self.found;
        }
        false
    }

    /// `hystart_update`: acknowledgements come in a train that is half a round trip long, or later than they did.
    fn looks_full(&mut self, rtt: Micros, window: u32, moment: &Moment) -> bool {
        if moment.una > self.round_end {
            (self.round_start, self.last_ack) = (moment.now, moment.now);
            (self.round_end, self.delay, self.samples) = (moment.nxt, None, 0);
        }
        if window < LOW_WINDOW {
            return false;
        }
        if moment.now - self.last_ack <= 2_000 {
            self.last_ack = moment.now;
            let burst = (65_536 * 4 * 1_000_000_u64).checked_div(moment.rate).unwrap_or(0).min(1_000);
            if moment.now - self.round_start > self.delay_min.midpoint(burst) {
                return true;
            }
        }
        let delay = self.delay.map_or(rtt, |delay| delay.min(rtt));
        self.delay = Some(delay);
        if self.samples < 8 {
            self.samples += 1;
            return false;
        }
        delay > self.delay_min + (self.delay_min / 8).clamp(4_000, 16_000)
    }
}

fn share(value: u32, of: u32, whole: u32) -> u32 {
    u32::try_from(u64::from(value) * u64::from(of) / u64::from(whole)).unwrap_or(u32::MAX)
}

/// The cube root, rounded down.
fn cube_root(value: u64) -> u64 {
    let (mut low, mut high) = (0_u64, 2_642_245);
    while low < high {
        let middle = (low + high).div_ceil(2);
        if middle * middle * middle <= value { low = middle } else { high = middle - 1 }
    }
    low
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tcp::wheel::Wheel;

    fn moment(now: Micros, una: u64, nxt: u64) -> Moment {
        Moment { now, wheel: Wheel::default(), una, nxt, in_slow_start: true, rate: 1 << 30 }
    }

    #[test]
    fn cube_roots_are_rounded_down() {
        assert_eq!([0, 1, 7, 8, 26, 27, u64::MAX].map(cube_root), [0, 1, 1, 2, 2, 3, 2_642_245]);
    }

    /// RFC 9438, section 4.6: the window is 0.7 of what it was; 4.7: a smaller one than the last leaves room.
    #[test]
    fn a_loss_takes_three_tenths() {
        let mut cubic = Cubic::default();
        assert_eq!(cubic.threshold_after_loss(100), 70);
        assert_eq!(cubic.window_max, 100);
        assert_eq!(cubic.threshold_after_loss(80), 56);
        assert_eq!(cubic.window_max, 68);
        assert_eq!(cubic.threshold_after_loss(1), 2);
    }

    /// RFC 9438, section 4.2: it is back where it was after the cube root of what it lost over 0.4, in seconds.
    #[test]
    fn the_window_is_back_after_its_time() {
        let mut cubic = Cubic::default();
        let mut window = cubic.threshold_after_loss(400);
        let (mut credit, mut now) = (0, 0);
        while window < 400 {
            now += 100_000;
            let acknowledged = window;
            for _ in 0..acknowledged {
                let wanted = cubic.acknowledgements_per_segment(window, 1, &moment(now, 0, 1));
                credit += 1;
                if credit >= wanted {
                    (credit, window) = (0, window + 1);
                }
            }
        }
        // The cube root of 120 / 0.4 is 6.7, and within one segment of it the curve is flat; Reno would take 22 s.
        assert!((5_200_000..6_800_000).contains(&now), "{now}");
    }

    /// `HyStart` (RFC 9406 has its successor): slow start ends when round trips get longer.
    #[test]
    fn growing_delay_ends_slow_start() {
        let mut cubic = Cubic::default();
        assert!((0..20).all(|n| !cubic.measured(20_000, 20, &moment(n * 10_000, 10, 20))));
        let found = (0..20).position(|n| cubic.measured(26_000, 20, &moment(300_000 + n * 10_000, 21, 40)));
        assert_eq!(found, Some(8));
    }

    #[test]
    fn a_long_train_of_acknowledgements_ends_slow_start() {
        let mut cubic = Cubic::default();
        let found = (0..40).position(|n| cubic.measured(20_000, 20, &moment(100_000 + n * 1_000, 10, 20)));
        assert_eq!(found, Some(11), "half a round trip is 10 ms");
    }
}
