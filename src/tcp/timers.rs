//! Timers: the timeout, the tail loss probe, the window of reordering and the zero window probe share one, as in Linux.

use super::Micros;
use super::connection::{Connection, Failure, State};
use super::recovery::Mode;
use super::segment::Why;
use super::wheel::JIFFY;

/// What the sender's timer is set for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Timer {
    /// The retransmission timeout.
    Retransmit,
    /// The tail loss probe.
    TailProbe,
    /// Whether what is late is lost (RACK).
    Reordering,
    /// The other end's window is closed.
    Window,
}

/// What Linux adds to the shortest waits (`TCP_TIMEOUT_MIN_US`).
const SLACK: Micros = 2_000;
/// How often an orphan sends again.
const ORPHAN_RETRIES: u32 = 8;

impl Connection {
    /// Does what is due.
    pub fn tick(&mut self, now: Micros) {
        if self.acks.timer.is_some_and(|at| at <= now) && self.acks.timed_out(self.trip.rto) {
            self.send_ack(now);
        }
        if self.forgotten_at.is_some_and(|at| at <= now) {
            return self.end(None);
        }
        let Some((timer, _)) = self.timer.take_if(|(_, at)| *at <= now) else { return };
        match timer {
            Timer::Retransmit => self.timed_out(now),
            Timer::TailProbe => self.probe_tail(now),
            Timer::Reordering => self.reordering_is_over(now),
            Timer::Window => self.probe_window(now),
        }
    }

    pub(super) fn set_timer(&mut self, timer: Timer, wait: Micros, now: Micros) {
        self.timer = Some((timer, self.wheel.fires(now, wait.min(self.settings.rto_max))));
    }

    /// How long until the oldest segment times out, from its last sending (`tcp_rto_delta_us`).
    fn until_timeout(&self, now: Micros) -> Micros {
        let sent = self.board.segments.front().map_or(now, |segment| segment.at);
        (sent + self.trip.rto).saturating_sub(now)
    }

    /// Sets the timeout anew (`tcp_rearm_rto`). What a probe or a wait for reordering has taken counts.
    pub(super) fn rearm(&mut self, now: Micros) {
        if self.board.is_empty() {
            self.timer = self.timer.take_if(|(timer, _)| *timer == Timer::Window);
            return;
        }
        let offset = matches!(self.timer, Some((Timer::TailProbe | Timer::Reordering, _)));
        let wait = if offset { self.until_timeout(now).max(1) } else { self.trip.rto };
        self.set_timer(Timer::Retransmit, wait, now);
    }

    /// New data were sent (`tcp_event_new_data_sent`).
    pub(super) fn rearm_after_new(&mut self, had_some: bool, now: Micros) {
        if !had_some || matches!(self.timer, Some((Timer::TailProbe, _))) {
            self.rearm(now);
        }
    }

    /// An acknowledgement has moved things on (`tcp_set_xmit_timer`).
    pub(super) fn set_after_ack(&mut self, now: Micros) {
        if !self.schedule_probe(true, now) {
            self.rearm(now);
        }
    }

    /// Sets a tail loss probe instead of the timeout, if one may be sent (RFC 8985, section 7.2).
    pub(super) fn schedule_probe(&mut self, after_ack: bool, now: Micros) -> bool {
        let well = matches!(self.recovery.mode, Mode::Open | Mode::Reduced);
        if !self.settings.probe || !self.settings.sack || self.board.is_empty() || !well || !self.is_open() {
            return false;
        }
        let mut wait = match self.trip.smoothed() {
            Some(smoothed) if self.board.len() == 1 => 2 * smoothed + self.settings.rto_min,
            Some(smoothed) => 2 * smoothed + SLACK,
            None => self.settings.rto_initial,
        };
        wait = wait.div_ceil(JIFFY) * JIFFY;
        let timeout = if after_ack { self.trip.rto } else { self.until_timeout(now) };
        if timeout > 0 {
            wait = wait.min(timeout.div_ceil(JIFFY) * JIFFY);
        }
        self.set_timer(Timer::TailProbe, wait, now);
        true
    }

    /// `tcp_send_loss_probe`: new data if there are any, else the last segment again. One at a time.
    fn probe_tail(&mut self, now: Micros) {
        if self.board.is_empty() {
            return;
        }
        self.timer = Some((Timer::TailProbe, now));
        if self.recovery.probe.is_none() {
            let resent = if let Some(end) = self.next_chunk() {
                self.send_new(end, Some(Why::Probe), now);
                false
            } else {
                let last = self.board.segments.len() - 1;
                self.resend(last, Why::Probe, now);
                true
            };
            self.recovery.probe = Some((self.nxt, resent));
            self.recovery.total_resent += u64::from(resent);
            self.timer = None;
        }
        self.rearm(now);
    }

    /// `tcp_rack_reo_timeout`.
    fn reordering_is_over(&mut self, now: Micros) {
        let before = self.board.in_flight();
        let plain = self.loss_is_plain();
        let found = self.rack.detect(&mut self.board, &self.trip, plain, now);
        if self.board.in_flight() != before {
            if self.recovery.mode != Mode::Recovery {
                self.enter_recovery();
                self.reduce(1, false);
            }
            self.resend_lost(now);
        }
        if let Some(wait) = found.wait {
            self.set_timer(Timer::Reordering, wait + SLACK, now);
        } else if !matches!(self.timer, Some((Timer::Retransmit, _))) {
            self.timer = Some((Timer::Reordering, now));
            self.rearm(now);
        }
    }

    /// `tcp_retransmit_timer`.
    fn timed_out(&mut self, now: Micros) {
        if self.board.is_empty() {
            return;
        }
        if self.has_given_up(now) {
            if self.is_open() && !self.orphan {
                // Linux sends no reset here: the other end has not been heard of.
            }
            return self.end(Some(Failure::TimedOut));
        }
        if self.is_open() {
            self.enter_loss(now);
        } else {
            self.opening_retries += 1;
        }
        self.recovery.retransmits += 1;
        self.recovery.resent_since.get_or_insert(now);
        self.resend(0, Why::Timeout, now);
        if self.is_open() {
            self.board.mark_resent(0);
            self.recovery.note_resent();
        }
        if self.state != State::SynSent || self.opening_retries > self.settings.syn_linear {
            self.trip.back_off();
        }
        let wait = self.trip.rto;
        self.set_timer(Timer::Retransmit, wait, now);
    }

    /// `tcp_write_timeout`: a count of tries for the handshake, a time for all else.
    fn has_given_up(&self, now: Micros) -> bool {
        let settings = &self.settings;
        match self.state {
            State::SynSent => self.opening_retries >= settings.syn_retries + settings.syn_linear,
            State::SynReceived => self.opening_retries >= settings.synack_retries,
            _ => {
                let retries = if self.orphan { settings.retries.min(ORPHAN_RETRIES) } else { settings.retries };
                self.recovery.retransmits > 0
                    && self.recovery.resent_since.is_some_and(|since| now - since >= self.patience(retries))
            }
        }
    }

    /// How long so many tries take, if the first waits for the least timeout (`tcp_model_timeout`).
    fn patience(&self, retries: u32) -> Micros {
        let (least, most) = (self.settings.rto_min.max(1), self.settings.rto_max);
        let doublings = (most / least).max(1).ilog2();
        let doubled = retries.min(doublings);
        let linear = u64::from(retries - doubled);
        ((2_u64 << doubled) - 1) * least + linear * most
    }

    /// `tcp_probe_timer`.
    fn probe_window(&mut self, now: Micros) {
        if !self.board.is_empty() || self.nxt >= self.write_end() {
            return;
        }
        let most = if self.orphan { self.settings.retries.min(ORPHAN_RETRIES) } else { self.settings.retries };
        if self.probes >= most {
            return self.end(Some(Failure::TimedOut));
        }
        let end = (self.una + self.window).min(self.write_end()).min(self.nxt + self.settings.mss);
        if end > self.nxt {
            // There is room for a part of what waits.
            self.send_new(end, Some(Why::Probe), now);
            return self.set_timer(Timer::Retransmit, self.trip.rto, now);
        }
        self.send_window_probe(now);
        self.probes += 1;
        self.probe_backoff = (self.probe_backoff + 1).min(20);
        let wait = (self.trip.rto << self.probe_backoff).min(self.settings.rto_max);
        self.set_timer(Timer::Window, wait, now);
    }
}
