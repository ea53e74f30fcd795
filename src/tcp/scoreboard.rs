//! What is under way: every segment that was sent and is not acknowledged in full (RFC 6675, section 3, in Linux's words).

use std::collections::VecDeque;

use super::Micros;

/// A segment that was sent.
#[derive(Clone, Debug)]
#[allow(clippy::struct_excessive_bools, reason = "each is a mark of its own, as in Linux's control block")]
pub(super) struct Sent {
    pub(super) start: u64,
    pub(super) end: u64,
    /// Which segment of its direction it is.
    pub(super) number: u64,
    pub(super) syn: bool,
    pub(super) fin: bool,
    /// How often it was sent before.
    pub(super) attempt: u32,
    /// When it was last sent.
    pub(super) at: Micros,
    /// Acknowledged by a SACK.
    pub(super) sacked: bool,
    /// Found lost.
    pub(super) lost: bool,
    /// Sent again since it was found lost.
    pub(super) resent: bool,
    /// Ever sent again.
    pub(super) ever_resent: bool,
}

impl Sent {
    pub(super) fn new(start: u64, end: u64, number: u64, at: Micros) -> Self {
        let (syn, fin, sacked, lost, resent, ever_resent) = (false, false, false, false, false, false);
        Self { start, end, number, syn, fin, attempt: 0, at, sacked, lost, resent, ever_resent }
    }
}

/// The segments under way, oldest first, and how many bear each mark.
#[derive(Clone, Debug, Default)]
pub(super) struct Scoreboard {
    pub(super) segments: VecDeque<Sent>,
    /// Where there are no SACKs: duplicate acknowledgements, each of which says that one more segment has arrived.
    pub(super) sacked: u32,
    pub(super) lost: u32,
    pub(super) resent: u32,
}

impl Scoreboard {
    pub(super) fn len(&self) -> u32 {
        u32::try_from(self.segments.len()).unwrap_or(u32::MAX)
    }

    pub(super) fn is_empty(&self) -> bool {
        self.segments.is_empty()
    }

    /// How many are thought to be in the network.
    pub(super) fn in_flight(&self) -> u32 {
        (self.len() + self.resent).saturating_sub(self.sacked + self.lost)
    }

    /// Marks one as lost, and lost again if it was sent again.
    pub(super) fn mark_lost(&mut self, place: usize) {
        let segment = &mut self.segments[place];
        if segment.sacked {
            return;
        }
        if std::mem::take(&mut segment.resent) {
            self.resent -= 1;
        }
        if !std::mem::replace(&mut segment.lost, true) {
            self.lost += 1;
        }
    }

    pub(super) fn mark_sacked(&mut self, place: usize) {
        let segment = &mut self.segments[place];
        segment.sacked = true;
        self.sacked += 1;
        self.lost -= u32::from(std::mem::take(&mut segment.lost));
        self.resent -= u32::from(std::mem::take(&mut segment.resent));
    }

    pub(super) fn mark_resent(&mut self, place: usize) {
        let segment = &mut self.segments[place];
        if !std::mem::replace(&mut segment.resent, true) {
            self.resent += 1;
        }
    }

    /// What was taken for lost is not.
    pub(super) fn unmark_lost(&mut self) {
        self.segments.iter_mut().for_each(|segment| segment.lost = false);
        self.lost = 0;
    }

    /// Takes the oldest one off.
    pub(super) fn pop(&mut self, with_sacks: bool) -> Option<Sent> {
        let segment = self.segments.pop_front()?;
        self.lost -= u32::from(segment.lost);
        self.resent -= u32::from(segment.resent);
        if segment.sacked && with_sacks {
            self.sacked -= 1;
        }
        Some(segment)
    }

    /// Joins those behind one to it, as far as they are small and fit into `room` bytes together with it: they are sent again as
    /// one (`tcp_retrans_try_collapse`).
    pub(super) fn collapse(&mut self, place: usize, room: u64) {
        while let Some(next) = self.segments.get(place + 1) {
            let (fits, joinable) = (next.end - self.segments[place].start <= room, !next.sacked && !next.fin);
            if !fits || !joinable || self.segments[place].fin || self.segments[place].syn {
                return;
            }
            let next = self.segments.remove(place + 1).expect("it is there");
            self.lost -= u32::from(next.lost);
            self.resent -= u32::from(next.resent);
            let segment = &mut self.segments[place];
            segment.end = next.end;
            segment.ever_resent |= next.ever_resent;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn board(ends: &[u64]) -> Scoreboard {
        let mut board = Scoreboard::default();
        let starts = std::iter::once(&1).chain(ends);
        board.segments =
            starts.zip(ends).zip(1..).map(|((start, end), number)| Sent::new(*start, *end, number, 0)).collect();
        board
    }

    #[test]
    fn what_is_lost_and_sent_again_is_in_flight_once() {
        let mut board = board(&[11, 21, 31]);
        board.mark_lost(0);
        assert_eq!(board.in_flight(), 2);
        board.mark_resent(0);
        assert_eq!(board.in_flight(), 3);
        board.mark_lost(0);
        assert_eq!((board.in_flight(), board.resent), (2, 0), "the second one was lost too");
        board.mark_sacked(0);
        assert_eq!((board.in_flight(), board.lost, board.sacked), (2, 0, 1));
        board.pop(true);
        assert_eq!((board.in_flight(), board.sacked), (2, 0));
    }

    #[test]
    fn small_segments_are_joined_up_to_what_fits_and_to_what_has_arrived() {
        let mut board = board(&[501, 1_001, 1_501, 1_601]);
        board.mark_lost(1);
        board.collapse(0, 1_448);
        assert_eq!(board.segments.iter().map(|segment| segment.end).collect::<Vec<_>>(), [1_001, 1_501, 1_601]);
        assert_eq!(board.lost, 0);
        board.mark_sacked(2);
        board.collapse(1, 1_448);
        assert_eq!(board.len(), 3, "what has arrived is not sent again");
    }
}
