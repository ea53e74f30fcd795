//! What an acknowledgement says (`tcp_ack`).

use super::Micros;
use super::connection::Connection;
use super::recovery::{Mode, Next};
use super::segment::Segment;
use super::timers::Timer;

/// What an acknowledgement has brought; the kernel's `FLAG_…`.
#[derive(Clone, Debug, Default)]
#[allow(clippy::struct_excessive_bools, reason = "they are flags")]
pub(super) struct Flags {
    /// The oldest number moved.
    pub(super) advanced: bool,
    /// Data, or a FIN or SYN, were acknowledged.
    acked: bool,
    /// Something was newly reported by a SACK.
    pub(super) sacked: bool,
    /// Something that was sent once only, and before the recovery began, has arrived.
    pub(super) first_sending: bool,
    /// Something that was sent more than once was acknowledged.
    resent_acked: bool,
    /// It reports what came twice, and that is the tail loss probe.
    twice: bool,
    pub(super) twice_probe: bool,
    /// It carries data, changes the window or acknowledges: no duplicate.
    pub(super) not_dup: bool,
    pub(super) duplicate: bool,
    /// A retransmission was lost.
    pub(super) resent_lost: bool,
    /// The timer is to be set anew.
    pub(super) set_timer: bool,
    /// How many segments have newly arrived, and were newly found lost.
    delivered: u32,
    pub(super) newly_lost: u32,
    pub(super) echo: Option<Micros>,
    /// When the first and the last of what was acknowledged and sent once had been sent; and of what a SACK reports.
    first: Option<Micros>,
    last: Option<Micros>,
    first_sacked: Option<Micros>,
    last_sacked: Option<Micros>,
}

impl Connection {
    /// Takes in what a segment acknowledges.
    pub(super) fn acknowledged(&mut self, segment: &Segment, now: Micros) {
        let Some(ack) = segment.ack else { return };
        if ack > self.nxt {
            return;
        }
        let mut flags = Flags { echo: segment.echo, not_dup: !segment.payload.is_empty(), ..Flags::default() };
        let before = self.una;
        flags.advanced = ack > before;
        if flags.advanced {
            self.recovery.retransmits = 0;
        }
        if ack >= before {
            self.take_window(segment, ack, &mut flags);
            self.una = ack;
            self.probes = 0;
        }
        let out_before = self.board.len();
        let lost_before = self.board.lost;
        if self.settings.sack {
            self.take_sacks(segment, before, &mut flags, now);
        }
        self.clean_up(before, &mut flags, now);
        self.measure(&mut flags, now);
        self.una = self.una.max(before);
        if out_before == 0 {
            if flags.twice {
                self.alert(&mut flags, now);
            }
            self.judge_probe(ack, &flags);
            return self.window_changed(now);
        }
        self.judge_probe(ack, &flags);
        let mut next = Next::Nothing;
        if !flags.not_dup && !flags.advanced || flags.sacked || flags.twice || self.recovery.mode != Mode::Open {
            flags.duplicate = !flags.advanced && !flags.not_dup && !flags.twice;
            self.count_duplicates(&flags);
            next = self.alert(&mut flags, now);
        }
        if flags.set_timer {
            self.set_after_ack(now);
        }
        let newly_lost = self.board.lost > lost_before || flags.newly_lost > 0;
        if self.is_reducing() {
            self.reduce(flags.delivered, flags.advanced && !newly_lost);
        } else if flags.acked {
            let moment = self.moment(now);
            self.congestion.grow(flags.delivered, &moment);
        }
        self.send_recovery(next, now);
        self.window_changed(now);
    }

    fn take_window(&mut self, segment: &Segment, ack: u64, flags: &mut Flags) {
        let newer = ack > self.una || segment.seq > self.told_by;
        if newer || segment.seq == self.told_by && (segment.window > self.window || segment.window == 0) {
            // As in the kernel, every later segment counts as an update, not only one with another window.
            flags.not_dup |= newer || segment.window != self.window;
            self.told_by = segment.seq;
            self.window = segment.window;
        }
    }

    /// Where there are no SACKs, a duplicate acknowledgement says that one more has arrived (`tcp_add_reno_sack`).
    fn count_duplicates(&mut self, flags: &Flags) {
        if !self.settings.sack && flags.duplicate {
            self.board.sacked = (self.board.sacked + 1).min(self.board.len().saturating_sub(1));
        }
    }

    /// `tcp_sacktag_write_queue`.
    fn take_sacks(&mut self, segment: &Segment, before: u64, flags: &mut Flags, now: Micros) {
        let mut blocks = segment.sacks.as_slice();
        if let Some((first, rest)) = blocks.split_first() {
            let within = rest.first().is_some_and(|(from, to)| *from <= first.0 && first.1 <= *to);
            if first.0 < segment.ack.unwrap_or(0) || within {
                self.came_twice(*first, before, flags);
                blocks = rest;
            }
        }
        if blocks.is_empty() {
            return;
        }
        let high = self.board.segments.iter().rev().find(|segment| segment.sacked).map_or(0, |segment| segment.end);
        for place in 0..self.board.segments.len() {
            let segment = &self.board.segments[place];
            let covered = blocks.iter().any(|(from, to)| *from <= segment.start && segment.end <= *to);
            if !covered || segment.sacked {
                continue;
            }
            if !segment.resent {
                if segment.end < high && !segment.ever_resent {
                    self.rack.reordering = true;
                }
                if segment.end <= self.recovery.high && !segment.ever_resent {
                    flags.first_sending = true;
                }
                if !segment.ever_resent {
                    flags.first_sacked.get_or_insert(segment.at);
                    flags.last_sacked = Some(segment.at);
                }
            }
            self.rack.arrived(segment, now, self.trip.least());
            self.board.mark_sacked(place);
            flags.sacked = true;
            flags.delivered += 1;
        }
    }

    /// `tcp_check_dsack`.
    fn came_twice(&mut self, (start, end): (u64, u64), before: u64, flags: &mut Flags) {
        if start >= end || self.recovery.total_resent == 0 {
            return;
        }
        flags.twice_probe = self.recovery.probe.is_some_and(|(high, _)| high == end);
        flags.twice = true;
        flags.delivered += 1;
        if self.rack.reordering && !flags.twice_probe {
            self.rack.came_twice(self.una, self.nxt);
        }
        self.recovery.was_needless(end, before);
    }

    /// Takes off what is acknowledged in full (`tcp_clean_rtx_queue`).
    fn clean_up(&mut self, before: u64, flags: &mut Flags, now: Micros) {
        let sack = self.settings.sack;
        let mut popped = 0_u32;
        while self.board.segments.front().is_some_and(|segment| segment.end <= self.una) {
            let segment = self.board.pop(sack).expect("there is one");
            popped += 1;
            if segment.ever_resent {
                flags.resent_acked = true;
            } else if !segment.sacked {
                flags.first.get_or_insert(segment.at);
                flags.last = Some(segment.at);
                if segment.end <= self.recovery.high {
                    flags.first_sending = true;
                }
            }
            if !segment.sacked {
                flags.delivered += 1;
                if sack {
                    self.rack.arrived(&segment, now, self.trip.least());
                }
            }
            flags.acked = true;
        }
        if !sack && popped > 0 {
            self.board.sacked = if self.una > before { 0 } else { self.board.sacked };
        }
        if let Some(front) = self.board.segments.front_mut().filter(|segment| segment.start < self.una) {
            front.start = self.una;
            flags.acked = true;
        }
        flags.not_dup |= flags.acked;
        flags.set_timer |= flags.acked;
        let written = self.una.max(1).min(self.write_end());
        if written > self.buffer_start {
            let count = usize::try_from(written - self.buffer_start).expect("it is in memory");
            self.buffer.drain(..count);
            self.buffer_start = written;
        }
    }

    /// `tcp_ack_update_rtt`: what was sent once, or else what the stamp says (RFC 7323, section 4).
    fn measure(&mut self, flags: &mut Flags, now: Micros) {
        let since = |at: Micros| now - at;
        let mut sample = None;
        let mut path = None;
        if !flags.resent_acked && flags.first.is_some() {
            (sample, path) = (flags.first.map(since), flags.last.map(since));
        }
        if flags.first_sacked.is_some() {
            sample = sample.or(flags.first_sacked.map(since));
            path = flags.last_sacked.map(since);
        }
        if sample.is_none()
            && flags.acked
            && let Some(echo) = flags.echo
        {
            let stamped = (now / 1_000).saturating_sub(echo / 1_000).max(1) * 1_000;
            (sample, path) = (Some(stamped), Some(stamped));
        }
        let Some(sample) = sample else { return };
        let path = path.unwrap_or(sample);
        self.trip.note_least(path);
        self.trip.measure(sample, self.una, self.nxt);
        if !flags.acked
            && let (Some(head), Some(sacked)) = (self.board.segments.front(), flags.first_sacked)
            && sacked < head.at
        {
            // Measured on data sent before the head was sent last: the timeout does not go on and on.
            flags.set_timer = true;
        }
        let moment = self.moment(now);
        self.congestion.measured(path, &moment);
    }

    /// A closed window may have opened (`tcp_ack_probe`).
    fn window_changed(&mut self, now: Micros) {
        if !matches!(self.timer, Some((Timer::Window, _))) {
            return;
        }
        let head = self.write_end().min(self.nxt + self.settings.mss);
        if self.nxt >= self.write_end() || head <= self.una + self.window {
            (self.timer, self.probe_backoff) = (None, 0);
        } else {
            let wait = (self.trip.rto << self.probe_backoff).min(self.settings.rto_max);
            self.set_timer(Timer::Window, wait, now);
        }
    }
}
