//! What is sent: new data, old data again, acknowledgements, the handshake.

use super::Micros;
use super::congestion::Moment;
use super::connection::{Connection, State};
use super::recovery::Mode;
use super::scoreboard::Sent;
use super::segment::{Kind, Segment, Transmission, Why};
use super::timers::Timer;

impl Connection {
    pub(super) fn moment(&self, now: Micros) -> Moment {
        let Self { wheel, una, nxt, .. } = *self;
        let factor = if self.congestion.window < self.congestion.threshold / 2 { 200 } else { 120 };
        let in_window = self.settings.mss * u64::from(self.congestion.window.max(self.board.len())) * factor / 100;
        let rate = in_window.saturating_mul(1_000_000) / self.trip.smoothed().unwrap_or(1_000).max(1);
        Moment { now, wheel, una, nxt, in_slow_start: self.congestion.in_slow_start(), rate }
    }

    /// Sends what may be sent of what is new (`tcp_write_xmit`).
    pub(super) fn push(&mut self, now: Micros) {
        if self.state == State::Closed || !self.is_open() {
            return;
        }
        if self.board.is_empty() && self.nxt < self.write_end() {
            self.congestion.restart(now - self.last_sent, self.trip.rto, now);
        }
        let mut sent = 0;
        let mut full = false;
        while let Some(end) = self.next_chunk() {
            full = self.board.in_flight() >= self.congestion.window;
            if full {
                break;
            }
            let had = !self.board.is_empty();
            self.send_new(end, None, now);
            self.rearm_after_new(had, now);
            sent += 1;
        }
        if sent > 0 || full {
            let full = full || self.board.in_flight() >= self.congestion.window;
            let (open, rto, out) = (self.recovery.mode == Mode::Open, self.trip.rto, self.board.len());
            let moment = self.moment(now);
            self.congestion.validate(full, out, rto, open, &moment);
        }
        if sent > 0 {
            if self.is_reducing() {
                self.reduction.out += sent;
            }
            self.schedule_probe(false, now);
        }
        if self.fin_is_due() {
            self.send_fin(now);
        }
        if self.board.is_empty() && self.timer.is_none() && self.nxt < self.write_end() {
            self.timer = Some((Timer::Window, self.wheel.fires(now, self.trip.rto)));
        }
    }

    /// The number behind the last byte that was written.
    pub(super) fn write_end(&self) -> u64 {
        self.buffer_start + self.buffer.len() as u64
    }

    /// Where the next segment of new data would end, if the other end's window has room for it (`tcp_snd_wnd_test`).
    pub(super) fn next_chunk(&self) -> Option<u64> {
        let end = self.write_end().min(self.nxt + self.settings.mss);
        (end > self.nxt && end <= self.una + self.window).then_some(end)
    }

    /// Sends new data up to this number.
    pub(super) fn send_new(&mut self, end: u64, why: Option<Why>, now: Micros) {
        self.numbers += 1;
        let (start, number) = (self.nxt, self.numbers);
        self.board.segments.push_back(Sent::new(start, end, number, now));
        self.nxt = end;
        self.send_data(start, end, Kind::Data(number), (0, why), now);
    }

    fn send_data(&mut self, start: u64, end: u64, kind: Kind, (attempt, why): (u32, Option<Why>), now: Micros) {
        self.acks.answered(now);
        self.last_sent = now;
        let from = usize::try_from(start - self.buffer_start).expect("it is in memory");
        let to = usize::try_from(end - self.buffer_start).expect("it is in memory");
        let payload = self.buffer.range(from..to).copied().collect();
        let psh = end == self.write_end();
        self.send(Segment { seq: start, psh, payload, ..Segment::default() }, kind, (attempt, why), now);
    }

    fn fin_is_due(&self) -> bool {
        self.shut && !self.fin_sent && self.nxt == self.write_end()
    }

    fn send_fin(&mut self, now: Micros) {
        self.fin_sent = true;
        self.numbers += 1;
        let had = !self.board.is_empty();
        let mut sent = Sent::new(self.nxt, self.nxt + 1, self.numbers, now);
        sent.fin = true;
        self.board.segments.push_back(sent);
        let seq = self.nxt;
        self.nxt += 1;
        self.state = match self.state {
            State::CloseWait => State::LastAck,
            _ => State::FinWait1,
        };
        self.last_sent = now;
        self.send(Segment { fin: true, seq, ..Segment::default() }, Kind::Fin(self.numbers), (0, None), now);
        self.rearm_after_new(had, now);
        self.schedule_probe(false, now);
    }

    /// Sends the SYN or the SYN-ACK for the first time.
    pub(super) fn send_opening(&mut self, now: Micros) {
        let mut sent = Sent::new(0, 1, 0, now);
        sent.syn = true;
        self.board.segments.push_back(sent);
        self.nxt = 1;
        self.emit_opening((0, None), now);
        self.timer = Some((Timer::Retransmit, self.wheel.fires(now, self.trip.rto)));
    }

    fn emit_opening(&mut self, again: (u32, Option<Why>), now: Micros) {
        let kind = if self.state == State::SynSent { Kind::Syn } else { Kind::SynAck };
        self.send(Segment { syn: true, ..Segment::default() }, kind, again, now);
    }

    /// Sends a segment again that lies at this place, with its neighbours if they are small.
    pub(super) fn resend(&mut self, place: usize, why: Why, now: Micros) {
        if self.settings.collapse {
            self.board.collapse(place, self.settings.mss);
        }
        let segment = &mut self.board.segments[place];
        segment.attempt += 1;
        (segment.at, segment.ever_resent) = (now, true);
        let (start, end, number, again) = (segment.start, segment.end, segment.number, (segment.attempt, Some(why)));
        if segment.syn {
            self.emit_opening(again, now);
        } else if segment.fin {
            self.send(Segment { fin: true, seq: start, ..Segment::default() }, Kind::Fin(number), again, now);
        } else {
            self.send_data(start, end, Kind::Data(number), again, now);
        }
    }

    /// Sends an acknowledgement that rides on nothing.
    pub(super) fn send_ack(&mut self, now: Micros) {
        let segment = Segment { seq: self.nxt, ..Segment::default() };
        self.send(segment, Kind::Ack, (0, None), now);
    }

    /// Asks the other end what its window is: a segment that it has already makes it answer.
    pub(super) fn send_window_probe(&mut self, now: Micros) {
        let segment = Segment { seq: self.una.saturating_sub(1), ..Segment::default() };
        self.send(segment, Kind::Ack, (0, Some(Why::Probe)), now);
    }

    pub(super) fn send_reset(&mut self, now: Micros) {
        self.send(Segment { rst: true, seq: self.nxt, ..Segment::default() }, Kind::Rst, (0, None), now);
    }

    fn send(&mut self, mut segment: Segment, kind: Kind, (attempt, why): (u32, Option<Why>), now: Micros) {
        segment.stamp = now;
        if kind == Kind::Syn {
            segment.window = self.receiver.window;
        } else {
            segment.ack = Some(self.receiver.next);
            segment.echo = self.receiver.echo;
            segment.window = if kind == Kind::SynAck { self.receiver.window } else { self.receiver.tell() };
            if self.settings.sack {
                segment.sacks = self.receiver.report();
            }
            self.acks.sent();
        }
        self.out.push(Transmission { segment, kind, attempt, why });
    }
}
