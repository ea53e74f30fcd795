//! What a loss leads to: recovery, the state after a timeout, and undoing both (`tcp_fastretrans_alert`).

use super::Micros;
use super::ack::Flags;
use super::congestion::Reduction;
use super::connection::Connection;
use super::segment::Why;
use super::timers::Timer;

/// The state of the sender, as Linux names it (`tcp_ca_state`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Mode {
    /// Nothing is wrong.
    #[default]
    Open,
    /// Something arrives out of order.
    Disorder,
    /// The window was reduced without a retransmission (`CWR`): a probe has repaired a loss.
    Reduced,
    /// What is lost is sent again.
    Recovery,
    /// After a timeout.
    Loss,
}

/// How a recovery goes.
#[derive(Clone, Debug, Default)]
pub(super) struct Recovery {
    pub(super) mode: Mode,
    /// It is over when this is acknowledged.
    pub(super) high: u64,
    /// It may be undone while this many retransmissions, sent since `undo` was the oldest number, are not known to have been
    /// needless. `None`: nobody counts.
    undo: Option<u64>,
    undo_resent: Option<u64>,
    prior_threshold: u32,
    /// When the first retransmission left.
    pub(super) resent_since: Option<Micros>,
    /// Whether the timeout may turn out to be spurious (F-RTO, RFC 5682).
    forward: bool,
    /// Timeouts in a row.
    pub(super) retransmits: u32,
    /// A tail loss probe is out: what was to be sent next then, and whether it was a retransmission.
    pub(super) probe: Option<(u64, bool)>,
    pub(super) total_resent: u64,
}

/// What is to be sent after an acknowledgement.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Next {
    Nothing,
    /// What is lost.
    Lost,
    /// New data first, to see whether they are acknowledged.
    New,
}

impl Recovery {
    pub(super) fn note_resent(&mut self) {
        self.total_resent += 1;
        self.undo_resent = Some(self.undo_resent.unwrap_or(0) + 1);
    }

    /// A retransmission was needless: it came twice.
    pub(super) fn was_needless(&mut self, end: u64, una: u64) {
        if self.undo.is_some_and(|undo| end > undo && end <= una) {
            self.undo_resent = self.undo_resent.map(|count| count.saturating_sub(1));
        }
    }
}

/// The segments beyond a gap that make a loss plain (`tcp_reordering`).
const PLAIN: u32 = 3;

impl Connection {
    pub(super) fn is_reducing(&self) -> bool {
        matches!(self.recovery.mode, Mode::Recovery | Mode::Reduced)
    }

    pub(super) fn loss_is_plain(&self) -> bool {
        self.recovery.mode >= Mode::Recovery || self.board.sacked >= PLAIN
    }

    fn start_undo(&mut self) {
        let probed = self.recovery.probe.is_some_and(|(_, resent)| resent);
        let resent = u64::from(self.board.resent) + u64::from(probed);
        self.recovery.undo = Some(self.una);
        self.recovery.undo_resent = (resent > 0).then_some(resent);
    }

    fn start_reduction(&mut self) {
        self.recovery.high = self.nxt;
        self.recovery.probe = None;
        self.congestion.forget_credit();
        self.reduction = Reduction::new(self.congestion.window);
        self.congestion.threshold = self.congestion.threshold_after_loss();
    }

    pub(super) fn enter_recovery(&mut self) {
        self.recovery.prior_threshold = 0;
        self.start_undo();
        if !self.is_reducing() {
            self.recovery.prior_threshold = self.congestion.current_threshold(false);
            self.start_reduction();
        }
        self.recovery.mode = Mode::Recovery;
    }

    /// `tcp_cwnd_reduction`.
    pub(super) fn reduce(&mut self, newly: u32, goes_well: bool) {
        if newly > 0 && self.reduction.prior > 0 {
            let (in_flight, threshold) = (self.board.in_flight(), self.congestion.threshold);
            let window = self.reduction.window(newly, in_flight, threshold, goes_well);
            self.congestion.set_window(window);
        }
    }

    fn end_reduction(&mut self) {
        if self.recovery.mode == Mode::Reduced || self.recovery.undo.is_some() {
            self.congestion.set_window(self.congestion.threshold);
        }
    }

    /// `tcp_enter_loss`.
    pub(super) fn enter_loss(&mut self, now: Micros) {
        let is_new = self.recovery.mode < Mode::Recovery;
        self.mark_timed_out(now);
        let again = self.recovery.mode == Mode::Loss && self.recovery.retransmits == 0;
        if self.recovery.mode <= Mode::Disorder || self.recovery.high <= self.una || again {
            self.recovery.prior_threshold = self.congestion.current_threshold(self.is_reducing());
            self.reduction.prior = self.congestion.window;
            self.congestion.threshold = self.congestion.threshold_after_loss();
            self.congestion.timed_out();
            self.start_undo();
        }
        self.congestion.set_window(self.board.in_flight() + 1);
        self.congestion.forget_credit();
        self.recovery.mode = Mode::Loss;
        self.recovery.high = self.nxt;
        self.recovery.probe = None;
        self.recovery.forward = is_new || self.recovery.retransmits > 0;
    }

    /// All under way is lost, but for what was sent a moment ago (`tcp_timeout_mark_lost`).
    fn mark_timed_out(&mut self, now: Micros) {
        if !self.settings.sack {
            self.board.sacked = 0;
        }
        for place in 0..self.board.segments.len() {
            let segment = &self.board.segments[place];
            if place == 0 || !self.settings.rack || self.rack.left(segment, 0, now).is_none() {
                self.board.mark_lost(place);
            }
        }
    }

    /// Sends again what is lost, as far as the window has room (`tcp_xmit_retransmit_queue`).
    pub(super) fn resend_lost(&mut self, now: Micros) {
        let mut rearm = false;
        let mut place = 0;
        while place < self.board.segments.len() && self.board.resent < self.board.lost {
            if self.congestion.window <= self.board.in_flight() {
                break;
            }
            let segment = &self.board.segments[place];
            if segment.lost && !segment.sacked && !segment.resent {
                let why = if self.recovery.mode == Mode::Loss { Why::AfterTimeout } else { Why::Fast };
                self.recovery.resent_since.get_or_insert(now);
                self.resend(place, why, now);
                self.board.mark_resent(place);
                self.recovery.note_resent();
                if self.is_reducing() {
                    self.reduction.out += 1;
                }
                rearm |= place == 0 && !matches!(self.timer, Some((Timer::Reordering, _)));
            }
            place += 1;
        }
        if rearm {
            self.set_timer(Timer::Retransmit, self.trip.rto, now);
        }
    }

    /// Whether the acknowledgement at hand is one to the first sending: nothing was lost, it was late (RFC 3522, Eifel).
    fn was_late(&self, flags: &Flags) -> bool {
        // Stamps are in milliseconds.
        let since = self.recovery.resent_since;
        matches!((since, flags.echo), (Some(since), Some(echo)) if echo / 1_000 < since / 1_000)
    }

    fn may_undo(&self, flags: &Flags) -> bool {
        self.recovery.undo.is_some() && (self.recovery.undo_resent == Some(0) || self.was_late(flags))
    }

    fn undo_reduction(&mut self, unmark: bool) {
        if unmark {
            self.board.unmark_lost();
        }
        if self.recovery.prior_threshold > 0 {
            self.congestion.set_window(self.congestion.window.max(self.reduction.prior));
            self.congestion.threshold = self.congestion.threshold.max(self.recovery.prior_threshold);
        }
        self.recovery.undo = None;
        // What is left is looked at anew.
        self.rack.advanced = true;
    }

    fn undo_needless(&mut self) -> bool {
        let needless = self.recovery.undo.is_some() && self.recovery.undo_resent == Some(0);
        if needless {
            self.rack.recovered();
            self.undo_reduction(false);
        }
        needless
    }

    fn undo_loss(&mut self, forward: bool, flags: &Flags) -> bool {
        if !forward && !self.may_undo(flags) {
            return false;
        }
        self.undo_reduction(true);
        self.recovery.retransmits = 0;
        self.recovery.mode = Mode::Open;
        true
    }

    fn undo_recovery(&mut self, flags: &Flags) {
        if self.may_undo(flags) {
            self.undo_reduction(false);
        } else {
            self.rack.recovered();
        }
        self.recovery.mode = Mode::Open;
    }

    fn any_resent(&self) -> bool {
        self.board.resent > 0 || self.board.segments.front().is_some_and(|segment| segment.ever_resent)
    }

    fn keep_open(&mut self) {
        let dubious = self.board.sacked + self.board.lost > 0 || self.any_resent();
        let mode = if dubious { Mode::Disorder } else { Mode::Open };
        if self.recovery.mode != mode {
            (self.recovery.mode, self.recovery.high) = (mode, self.nxt);
        }
    }

    fn try_to_open(&mut self) {
        if !self.any_resent() {
            self.recovery.resent_since = None;
        }
        if self.recovery.mode != Mode::Reduced {
            self.keep_open();
        }
    }

    /// What an acknowledgement says about a tail loss probe (RFC 8985, section 7.4; `tcp_process_tlp_ack`).
    pub(super) fn judge_probe(&mut self, ack: u64, flags: &Flags) {
        let Some((high, resent)) = self.recovery.probe else { return };
        if ack < high {
            return;
        }
        if !resent || flags.twice_probe {
            self.recovery.probe = None;
        } else if ack > high {
            // More than the probe has arrived: the probe has repaired a loss, which counts as one.
            self.start_reduction();
            self.recovery.mode = Mode::Reduced;
            self.end_reduction();
            self.keep_open();
        } else if !flags.advanced && !flags.not_dup && !flags.sacked {
            self.recovery.probe = None;
        }
    }

    /// Finds what is lost (`tcp_identify_packet_loss`).
    fn identify_losses(&mut self, flags: &mut Flags, now: Micros) {
        if self.board.is_empty() {
            return;
        }
        if !self.settings.sack {
            return self.identify_without_sacks(flags.advanced);
        }
        if !self.settings.rack {
            return self.identify_by_count();
        }
        if !self.rack.advanced {
            return;
        }
        let resent = self.board.resent;
        let plain = self.loss_is_plain();
        let found = self.rack.detect(&mut self.board, &self.trip, plain, now);
        flags.newly_lost += found.lost;
        if let Some(wait) = found.wait {
            self.set_timer(Timer::Reordering, wait + 2_000, now);
            flags.set_timer = false;
        }
        flags.resent_lost |= self.board.resent < resent;
    }

    /// RFC 6675, section 4: three segments beyond it have arrived.
    fn identify_by_count(&mut self) {
        let mut beyond = self.board.sacked;
        for place in 0..self.board.segments.len() {
            let segment = &self.board.segments[place];
            if segment.sacked {
                beyond -= 1;
            } else if beyond >= PLAIN && !segment.lost {
                self.board.mark_lost(place);
            }
        }
    }

    /// RFC 6582 (`NewReno`): three duplicate acknowledgements, or one that moves in part.
    fn identify_without_sacks(&mut self, advanced: bool) {
        let partial = advanced && self.recovery.mode == Mode::Recovery;
        if partial || self.recovery.mode < Mode::Recovery && self.board.sacked >= PLAIN {
            self.board.mark_lost(0);
        }
    }

    /// `tcp_fastretrans_alert`.
    pub(super) fn alert(&mut self, flags: &mut Flags, now: Micros) -> Next {
        if self.recovery.mode == Mode::Open {
            self.recovery.resent_since = None;
        } else if self.una >= self.recovery.high {
            match self.recovery.mode {
                Mode::Reduced if self.una > self.recovery.high => {
                    self.end_reduction();
                    self.recovery.mode = Mode::Open;
                }
                Mode::Recovery => {
                    if !self.settings.sack {
                        self.board.sacked = 0;
                    }
                    let window =
                        (self.recovery.undo.is_some() && !self.may_undo(flags)).then_some(self.congestion.threshold);
                    self.undo_recovery(flags);
                    window.into_iter().for_each(|window| self.congestion.set_window(window));
                }
                _ => {}
            }
        }
        match self.recovery.mode {
            Mode::Recovery => self.go_on(flags, now),
            Mode::Loss => {
                let next = self.process_loss(flags);
                self.identify_losses(flags, now);
                if self.recovery.mode == Mode::Open || flags.resent_lost {
                    return self.look(flags, now).unwrap_or(next);
                }
                next
            }
            _ => self.look(flags, now).unwrap_or(Next::Nothing),
        }
    }

    fn go_on(&mut self, flags: &mut Flags, now: Micros) -> Next {
        if flags.advanced && self.recovery.undo.is_some() && self.was_late(flags) {
            self.rack.reordering = true;
            if self.board.resent > 0 {
                return Next::Nothing;
            }
            if !self.any_resent() {
                self.recovery.resent_since = None;
            }
            self.undo_reduction(true);
            self.keep_open();
        }
        if self.undo_needless() {
            self.try_to_open();
        }
        self.identify_losses(flags, now);
        if self.recovery.mode != Mode::Recovery {
            if self.board.lost == 0 {
                return Next::Nothing;
            }
            self.enter_recovery();
        }
        Next::Lost
    }

    fn look(&mut self, flags: &mut Flags, now: Micros) -> Option<Next> {
        if self.recovery.mode <= Mode::Disorder {
            self.undo_needless();
        }
        self.identify_losses(flags, now);
        if self.board.lost == 0 {
            self.try_to_open();
            return None;
        }
        self.enter_recovery();
        Some(Next::Lost)
    }

    /// `tcp_process_loss`.
    fn process_loss(&mut self, flags: &Flags) -> Next {
        let recovered = self.una >= self.recovery.high;
        if flags.advanced && self.undo_loss(false, flags) {
            return Next::Nothing;
        }
        if self.recovery.forward {
            if flags.first_sending && self.settings.sack && self.undo_loss(true, flags) {
                return Next::Nothing;
            }
            if self.nxt > self.recovery.high {
                if flags.sacked || flags.duplicate {
                    self.recovery.forward = false;
                }
            } else if flags.advanced && !recovered {
                self.recovery.high = self.nxt;
                if self.next_chunk().is_some() {
                    return Next::New;
                }
                self.recovery.forward = false;
            }
        }
        if recovered {
            self.undo_recovery(flags);
            return Next::Nothing;
        }
        Next::Lost
    }

    /// `tcp_xmit_recovery`.
    pub(super) fn send_recovery(&mut self, next: Next, now: Micros) {
        if next == Next::Nothing {
            return;
        }
        if next == Next::New {
            self.push(now);
            if self.nxt > self.recovery.high {
                return;
            }
            self.recovery.forward = false;
        }
        self.resend_lost(now);
    }
}
