//! What is lost, by time: RACK (RFC 8985, `tcp_recovery.c`).
//!
//! A segment is lost when one that was sent later has arrived, and a while has passed: a quarter of the shortest round
//! trip, unless the path was never seen to reorder and the loss is plain.

use super::Micros;
use super::rtt::RoundTrip;
use super::scoreboard::{Scoreboard, Sent};

/// The most recently sent segment that has arrived.
#[derive(Clone, Debug)]
pub(super) struct Rack {
    sent_at: Micros,
    end: u64,
    rtt: Micros,
    /// Whether it is news.
    pub(super) advanced: bool,
    /// The path has been seen to reorder.
    pub(super) reordering: bool,
    /// The window in quarters of the shortest round trip: segments that came twice widen it (section 6.2, step 4).
    steps: u64,
    /// When it was last widened: the number that was to be sent next.
    widened: u64,
    /// How many recoveries are left until it is forgotten.
    persist: u8,
}

/// What a look at the segments has found.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Found {
    /// How many are lost now that were not.
    pub(super) lost: u32,
    /// How long to wait until the others are decided on.
    pub(super) wait: Option<Micros>,
}

impl Rack {
    pub(super) fn new() -> Self {
        let (advanced, reordering) = (false, false);
        Self { sent_at: 0, end: 0, rtt: 0, advanced, reordering, steps: 1, widened: 0, persist: 0 }
    }

    /// A segment has arrived (section 6.2, step 2).
    pub(super) fn arrived(&mut self, segment: &Sent, now: Micros, least: Micros) {
        let rtt = now - segment.at;
        if rtt < least && segment.ever_resent {
            // Too soon to be the answer to the last sending: it may be the one to an earlier.
            return;
        }
        (self.advanced, self.rtt) = (true, rtt);
        if (segment.at, segment.end) > (self.sent_at, self.end) {
            (self.sent_at, self.end) = (segment.at, segment.end);
        }
    }

    /// A segment came twice: what was taken for lost was late (step 4).
    pub(super) fn came_twice(&mut self, una: u64, nxt: u64) {
        if una > self.widened || self.widened == 0 {
            self.steps = (self.steps + 1).min(255);
            (self.widened, self.persist) = (nxt, 16);
        }
    }

    pub(super) fn recovered(&mut self) {
        self.persist = self.persist.saturating_sub(1);
        if self.persist == 0 {
            self.steps = 1;
        }
    }

    /// How long a later one may be ahead (section 6.2, step 4; `tcp_rack_reo_wnd`).
    fn window(&self, trip: &RoundTrip, plain: bool) -> Micros {
        if !self.reordering && plain {
            return 0;
        }
        (trip.least() / 4 * self.steps).min(trip.smoothed().unwrap_or(Micros::MAX))
    }

    /// How long a segment may still be on its way; `None`: it is lost.
    pub(super) fn left(&self, segment: &Sent, window: Micros, now: Micros) -> Option<Micros> {
        (segment.at + self.rtt + window).checked_sub(now).filter(|left| *left > 0)
    }

    /// Marks what is lost (section 6.2, step 5). `plain`: a recovery is under way, or three segments beyond a gap have arrived.
    pub(super) fn detect(&mut self, board: &mut Scoreboard, trip: &RoundTrip, plain: bool, now: Micros) -> Found {
        self.advanced = false;
        let window = self.window(trip, plain);
        let mut found = Found::default();
        for place in 0..board.segments.len() {
            let segment = &board.segments[place];
            if segment.sacked
                || segment.lost && !segment.resent
                || (segment.at, segment.end) >= (self.sent_at, self.end)
            {
                continue;
            }
            if let Some(left) = self.left(segment, window, now) {
                found.wait = found.wait.max(Some(left));
            } else {
                board.mark_lost(place);
                found.lost += 1;
            }
        }
        found
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn board() -> Scoreboard {
        let segments = (0..4).map(|n| Sent::new(n * 10 + 1, n * 10 + 11, n + 1, n * 1_000)).collect();
        Scoreboard { segments, ..Scoreboard::default() }
    }

    fn trip() -> RoundTrip {
        let mut trip = RoundTrip::new(1_000_000, 200_000, 120_000_000);
        trip.measure(8_000, 0, 1);
        trip.note_least(8_000);
        trip
    }

    #[test]
    fn what_was_sent_before_is_lost_a_quarter_of_a_round_trip_later() {
        let (mut board, mut rack) = (board(), Rack::new());
        rack.arrived(&board.segments[2], 10_000, 8_000);
        board.mark_sacked(2);
        // Sent at 0 and at 1 ms; the round trip was 8 ms and the window is 2 ms.
        assert_eq!(rack.detect(&mut board, &trip(), false, 10_000), Found { lost: 1, wait: Some(1_000) });
        assert_eq!(rack.detect(&mut board, &trip(), false, 11_000), Found { lost: 1, wait: None });
        assert!(!board.segments[3].lost, "sent later");
    }

    #[test]
    fn where_the_loss_is_plain_there_is_no_wait() {
        let (mut board, mut rack) = (board(), Rack::new());
        rack.arrived(&board.segments[2], 10_000, 8_000);
        board.mark_sacked(2);
        assert_eq!(rack.detect(&mut board, &trip(), true, 10_000).lost, 2);
    }

    #[test]
    fn an_answer_sooner_than_any_is_one_to_an_earlier_sending() {
        let (mut board, mut rack) = (board(), Rack::new());
        board.segments[3].ever_resent = true;
        rack.arrived(&board.segments[3], 5_000, 8_000);
        assert!(!rack.advanced);
        rack.arrived(&board.segments[3], 12_000, 8_000);
        assert!(rack.advanced);
    }

    #[test]
    fn a_segment_that_came_twice_widens_the_window_for_sixteen_recoveries() {
        let (trip, mut rack) = (trip(), Rack::new());
        rack.came_twice(5, 40);
        assert_eq!(rack.window(&trip, false), 4_000);
        rack.came_twice(6, 50);
        assert_eq!(rack.window(&trip, false), 4_000, "once a round trip");
        (0..16).for_each(|_| rack.recovered());
        assert_eq!(rack.window(&trip, false), 2_000);
    }
}
