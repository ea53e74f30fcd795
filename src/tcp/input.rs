//! What a segment that arrives leads to (RFC 9293, section 3.10.7; `tcp_rcv_state_process`).

use super::Micros;
use super::acks::Verdict;
use super::connection::{Connection, Failure, LINGER, State};
use super::receive::Taken;
use super::segment::{Segment, Why};
use super::timers::Timer;

/// How often stray segments are answered, at most (`tcp_invalid_ratelimit`).
const STRAY: Micros = 500_000;

impl Connection {
    /// Takes a segment in.
    pub fn arrives(&mut self, segment: &Segment, now: Micros) {
        match self.state {
            State::Closed => self.out.extend(Self::refuse(segment)),
            State::SynSent => self.answered(segment, now),
            State::SynReceived => self.confirmed(segment, now),
            State::TimeWait => self.too_late(segment, now),
            _ => self.continued(segment, now),
        }
    }

    /// The answer to a SYN.
    fn answered(&mut self, segment: &Segment, now: Micros) {
        let fits = segment.ack == Some(self.nxt);
        if segment.rst {
            if fits {
                self.end(Some(Failure::Refused));
            }
            return;
        }
        if !fits || !segment.syn {
            self.out.extend(Self::refuse(segment));
            return;
        }
        self.receiver.open();
        self.receiver.echo = Some(segment.stamp);
        self.state = State::Established;
        self.acknowledged(segment, now);
        self.opened(now);
        // A SYN that was sent again more than once: the path is not what it was (RFC 6298, section 5.7; `tcp_init_cwnd`).
        let was_first = segment.echo.is_some_and(|echo| echo / 1_000 <= self.opened_at / 1_000);
        if self.opening_retries > 1 && !was_first {
            self.congestion.set_window(1);
        }
        self.send_ack(now);
        self.push(now);
    }

    /// The handshake is over.
    fn opened(&mut self, now: Micros) {
        self.timer = None;
        self.recovery = super::recovery::Recovery::default();
        self.congestion.opened();
        if self.trip.smoothed().is_none() {
            self.trip.fall_back();
        }
        self.last_sent = now;
    }

    /// The client's answer to a SYN-ACK.
    fn confirmed(&mut self, segment: &Segment, now: Micros) {
        if segment.rst {
            return self.end(Some(Failure::Reset));
        }
        if segment.syn {
            if self.answered_stray.is_none_or(|at| now - at >= STRAY) {
                self.answered_stray = Some(now);
                self.resend(0, Why::Asked, now);
                self.set_timer(Timer::Retransmit, self.trip.rto, now);
            }
            return;
        }
        if segment.ack.is_none_or(|ack| ack == 0 || ack > self.nxt) {
            self.out.extend(Self::refuse(segment));
            return;
        }
        self.state = State::Established;
        self.told_by = segment.seq;
        self.window = segment.window;
        self.acknowledged(segment, now);
        self.opened(now);
        self.acks.wanted = false;
        self.continued(segment, now);
    }

    /// A connection that is closed on both sides: a FIN that comes again is acknowledged again.
    fn too_late(&mut self, segment: &Segment, now: Micros) {
        if segment.rst {
            return;
        }
        if segment.length() > 0 {
            self.receiver.note_twice(segment.seq, segment.end());
            self.send_ack(now);
            self.forgotten_at = Some(now + LINGER);
        }
    }

    fn continued(&mut self, segment: &Segment, now: Micros) {
        if !self.is_acceptable(segment, now) {
            return;
        }
        // `tcp_replace_ts_recent`.
        if segment.seq <= self.receiver.told {
            self.receiver.echo = Some(segment.stamp);
        }
        self.acknowledged(segment, now);
        self.own_end_acknowledged(segment, now);
        if self.state == State::Closed || self.state == State::TimeWait {
            return;
        }
        if segment.length() > 0 && !self.take_data(segment, now) {
            return;
        }
        self.push(now);
        self.acknowledge(now);
    }

    /// `tcp_validate_incoming`.
    fn is_acceptable(&mut self, segment: &Segment, now: Micros) -> bool {
        let may_come = self.receiver.may_come(segment.seq, segment.end());
        if segment.rst {
            if segment.seq == self.receiver.next {
                self.reset();
            } else if may_come {
                self.answer_stray(now);
            }
            return false;
        }
        if segment.syn {
            // A SYN-ACK that came again: our answer to it was lost.
            self.answer_stray(now);
            return false;
        }
        if !may_come {
            if segment.length() > 0 && segment.seq < self.receiver.next {
                self.acks.hurry(self.receiver.window_left());
                self.receiver.note_twice(segment.seq, segment.end());
                self.send_ack(now);
            } else {
                self.answer_stray(now);
            }
            return false;
        }
        true
    }

    fn answer_stray(&mut self, now: Micros) {
        if self.answered_stray.is_none_or(|at| now - at >= STRAY) {
            self.answered_stray = Some(now);
            self.send_ack(now);
        }
    }

    fn reset(&mut self) {
        self.end(Some(Failure::Reset));
    }

    /// Whether our FIN has arrived.
    fn own_end_acknowledged(&mut self, segment: &Segment, now: Micros) {
        if !self.fin_sent || self.una < self.nxt {
            return;
        }
        match self.state {
            State::FinWait1 => {
                self.state = State::FinWait2;
                if self.orphan {
                    if segment.length() > 0 && segment.end() - u64::from(segment.fin) > self.receiver.next {
                        return self.abort(now);
                    }
                    self.forgotten_at = Some(now + LINGER);
                }
            }
            State::Closing => self.wait_for_the_last(now),
            State::LastAck => self.end(None),
            _ => {}
        }
    }

    fn wait_for_the_last(&mut self, now: Micros) {
        self.state = State::TimeWait;
        self.timer = None;
        self.forgotten_at = Some(now + LINGER);
    }

    /// `tcp_data_queue`. `false`: nobody is there to take it.
    fn take_data(&mut self, segment: &Segment, now: Micros) -> bool {
        let ends_behind = segment.end() - u64::from(segment.fin) > self.receiver.next;
        if self.orphan && ends_behind {
            // RFC 1122, section 4.2.2.13: whoever has closed cannot take what still comes, and says so: also if all that
            // has come of it yet is the FIN behind it (`tcp_rcv_state_process`, `tcp_timewait_state_process`).
            self.abort(now);
            return false;
        }
        let was_over = self.receiver.is_over();
        let (window, rto) = (self.receiver.window_left(), self.trip.rto);
        match self.receiver.take(segment.seq, &segment.payload, segment.fin) {
            Taken::InOrder { filled } => {
                self.acks.received(now, segment.payload.len() as u64, self.settings.mss, window, rto);
                self.acks.now |= filled;
            }
            Taken::Early => self.acks.wanted = true,
            Taken::Twice => {
                self.acks.hurry(window);
                (self.acks.wanted, self.acks.now) = (true, true);
            }
        }
        if self.receiver.is_over() && !was_over {
            self.other_end_is_over(now);
        }
        true
    }

    /// The other end's FIN is in order (`tcp_fin`).
    fn other_end_is_over(&mut self, now: Micros) {
        self.acks.wanted = true;
        match self.state {
            State::Established => self.state = State::CloseWait,
            State::FinWait1 => {
                self.send_ack(now);
                self.state = State::Closing;
            }
            State::FinWait2 => {
                self.send_ack(now);
                self.wait_for_the_last(now);
            }
            _ => {}
        }
    }

    /// `__tcp_ack_snd_check`.
    fn acknowledge(&mut self, now: Micros) {
        let unacknowledged = self.receiver.next - self.receiver.told;
        match self.acks.after_segment(unacknowledged, self.receiver.has_gap()) {
            Verdict::Now => self.send_ack(now),
            Verdict::Waits => {
                let (smoothed, wheel) = (self.trip.smoothed(), self.wheel);
                if !self.acks.put_off(now, smoothed, wheel) {
                    self.send_ack(now);
                }
            }
            Verdict::Nothing => {}
        }
    }
}
