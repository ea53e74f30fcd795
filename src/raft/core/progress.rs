//! What a leader knows of a peer: how far its log is the leader's, and what is under way to it.
//!
//! A peer is *probed* with one message at a time until it is known where the logs meet; then messages follow each other
//! without waiting for answers, as many as fit the window. What is lost shows in the refusal of what came after it, of a
//! heartbeat at the latest, and is sent again from there: the window halves, and grows by one for each message that is
//! acknowledged.

use std::collections::VecDeque;
use std::ops::RangeInclusive;
use std::time::Duration;

use super::untimed::{Rounds, put_number};
use crate::raft::LogIndex;
use crate::raft::message::AppendEntries;

/// Of so many messages to a peer it is remembered when they were sent: an answer to an older one confirms no lease.
const SENT_MAX: usize = 256;

/// What a leader knows of a peer.
#[derive(Clone, Debug)]
pub(in crate::raft) struct Progress {
    /// When it last answered in this term.
    pub(super) last_contact: Duration,
    /// `matchIndex`: up to where its log is known to be the leader's, durably.
    pub(super) match_index: LogIndex,
    /// `nextIndex`: the first entry that was not sent to it, or has to be sent again.
    pub(super) next_index: LogIndex,
    /// It is not known where the logs meet.
    is_probed: bool,
    /// The messages with entries that are not acknowledged, in order.
    flights: VecDeque<Flight>,
    /// How many of them there may be.
    window: u32,
    /// The latest message when the leader last stepped back: refusals of it and of those before it are old news.
    stepped_back_at: u64,
    /// The messages that no answer is known to, by round, and when they were sent.
    sent: VecDeque<(u64, Duration)>,
    /// The latest round that it answered.
    pub(super) round_answered: u64,
    /// When that was sent; `None`: it answered none as yet.
    pub(super) confirmed_at: Option<Duration>,
}

/// A message with entries that is not acknowledged.
#[derive(Clone, Debug)]
struct Flight {
    first_index: LogIndex,
    last_index: LogIndex,
    /// A message that goes in parts, and when it was last sent. It takes a while, and what is in between is no loss.
    large: Option<(AppendEntries, Duration)>,
}

impl Progress {
    /// Of a peer that has not been heard in this term, `last_index` being the last entry that the leader was elected with.
    pub(super) fn new(now: Duration, last_index: LogIndex, window: &RangeInclusive<u32>) -> Self {
        Self {
            last_contact: now,
            match_index: 0,
            next_index: last_index + 1,
            is_probed: true,
            flights: VecDeque::new(),
            window: (*window.end()).min(window.start().saturating_mul(4)),
            stepped_back_at: 0,
            sent: VecDeque::new(),
            round_answered: 0,
            confirmed_at: None,
        }
    }

    /// Whether a message with entries may leave. None does behind one that goes in parts: it would be there first, and be
    /// refused; and of several in parts the peer would put none together.
    pub(super) fn has_room(&self) -> bool {
        let most = if self.is_probed { 1 } else { self.window as usize };
        self.flights.len() < most && self.flights.back().is_none_or(|flight| flight.large.is_none())
    }

    fn large(&self) -> Option<&Flight> {
        self.flights.back().filter(|flight| flight.large.is_some())
    }

    /// The entry that a heartbeat comes after: the last one that was sent, so that a loss shows; or, while a long entry is
    /// under way, that before it, unless it `is_overdue`: its acknowledgement may be what was lost, and whoever has put
    /// the message together does not do so again.
    pub(super) fn heartbeat_after(&self, is_overdue: bool) -> LogIndex {
        let large = self.large().filter(|_| !is_overdue);
        large.map_or(self.next_index, |flight| flight.first_index) - 1
    }

    /// Takes in that a message left.
    pub(super) fn sent(&mut self, append: &AppendEntries, now: Duration, is_large: bool) {
        self.noted(append.round, now);
        let count = append.entries.len() as u64;
        if count == 0 {
            return;
        }
        let first_index = append.prev_log_index + 1;
        self.next_index = first_index + count;
        let large = is_large.then(|| (append.clone(), now));
        self.flights.push_back(Flight { first_index, last_index: first_index + count - 1, large });
    }

    fn noted(&mut self, round: u64, now: Duration) {
        if self.sent.len() == SENT_MAX {
            self.sent.pop_front();
        }
        self.sent.push_back((round, now));
    }

    /// The long message that was sent before `until` and is not acknowledged: it is to be sent once more, as it is.
    pub(super) fn overdue(&mut self, until: Duration, now: Duration) -> Option<AppendEntries> {
        let large = self.flights.back_mut().and_then(|flight| flight.large.as_mut());
        let (append, at) = large.filter(|(_, at)| *at <= until)?;
        *at = now;
        Some(append.clone())
    }

    /// An answer of this round came.
    pub(super) fn answered(&mut self, round: u64) {
        self.round_answered = self.round_answered.max(round);
        while let Some((_, at)) = self.sent.pop_front_if(|(sent, _)| *sent <= round) {
            self.confirmed_at = self.confirmed_at.max(Some(at));
        }
    }

    /// Its log is the leader's up to `index`, as it says. Whether that is news.
    pub(super) fn matched(&mut self, index: LogIndex, window_max: u32) -> bool {
        self.is_probed = false;
        let is_news = index > self.match_index;
        self.match_index = self.match_index.max(index);
        self.next_index = self.next_index.max(self.match_index + 1);
        while self.flights.pop_front_if(|flight| flight.last_index <= index).is_some() {
            self.window = self.window.saturating_add(1).min(window_max);
        }
        is_news
    }

    /// It does not have the entry `rejected`, and the logs may meet before `next`. `round`: of its answer, `latest`: of the
    /// last message to anybody. Whether something is to be sent again.
    pub(super) fn refused(
        &mut self,
        (round, latest): (u64, u64),
        rejected: LogIndex,
        next: LogIndex,
        window_min: u32,
    ) -> bool {
        let is_old = self.has_stepped_back(round) || rejected <= self.match_index || rejected >= self.next_index;
        let is_under_way = self.large().is_some_and(|flight| rejected >= flight.first_index);
        if is_old || is_under_way {
            return false;
        }
        self.stepped_back_at = latest;
        // Whatever it says, the logs meet before what it refused, and not before what it is known to have.
        self.next_index = next.min(rejected).max(self.match_index + 1);
        self.flights.clear();
        self.window = (self.window / 2).max(window_min);
        true
    }

    /// Writes all that decides how it goes on where time does not count and nobody reads.
    pub(super) fn write_untimed(&self, rounds: Rounds<'_>, bytes: &mut Vec<u8>) {
        if matches!(rounds, Rounds::Kept) {
            put_number(bytes, self.stepped_back_at);
        }
        let Self { match_index, next_index, is_probed, ref flights, window, .. } = *self;
        [match_index, next_index, u64::from(is_probed), u64::from(window), flights.len() as u64]
            .iter()
            .for_each(|number| put_number(bytes, *number));
        for Flight { first_index, last_index, large } in flights {
            put_number(bytes, *first_index);
            put_number(bytes, *last_index);
            bytes.push(u8::from(large.is_some()));
        }
    }

    /// Whether the leader has stepped back since it sent this round.
    pub(super) fn has_stepped_back(&self, round: u64) -> bool {
        round <= self.stepped_back_at
    }

    /// The logs part somewhere before: one message at a time, until it is known where.
    pub(super) fn probe(&mut self) {
        self.is_probed = true;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::raft::log::{Entry, Payload};

    const NOW: Duration = Duration::ZERO;

    fn append(round: u64, prev_log_index: u64, count: usize) -> AppendEntries {
        let entries = vec![Entry { term: 1, payload: Payload::Blank }; count];
        AppendEntries { term: 1, prev_log_index, prev_log_term: 1, entries, leader_commit: 0, round }
    }

    #[test]
    fn the_window_shrinks_where_messages_are_lost_and_grows_as_they_are_acknowledged() {
        let mut peer = Progress::new(NOW, 9, &(2..=8));
        assert!(peer.has_room());
        peer.sent(&append(1, 9, 1), NOW, false);
        assert!(!peer.has_room(), "it is probed");
        assert!(peer.matched(10, 8));
        for round in 2..=9 {
            assert!(peer.has_room(), "{round}");
            peer.sent(&append(round, 8 + round, 1), NOW, false);
        }
        assert!(!peer.has_room());
        // 11 is lost, and what comes after it is refused.
        assert!(peer.refused((3, 9), 11, 11, 2));
        assert_eq!((peer.next_index, peer.window), (11, 4));
        assert!(!peer.refused((4, 9), 12, 11, 2), "that is the same loss");
        (10..14).for_each(|round| peer.sent(&append(round, round, 1), NOW, false));
        assert!(!peer.has_room());
        assert!(peer.refused((11, 13), 11, 11, 2), "lost again");
        assert_eq!(peer.window, 2);
        peer.sent(&append(14, 10, 1), NOW, false);
        peer.matched(11, 8);
        assert_eq!(peer.window, 3);
    }

    #[test]
    fn nothing_follows_a_message_in_parts_until_it_is_acknowledged() {
        let mut peer = Progress::new(NOW, 0, &(4..=8));
        peer.matched(0, 8);
        peer.sent(&append(1, 0, 1), NOW, false);
        assert!(peer.has_room());
        peer.sent(&append(2, 1, 1), NOW, true);
        assert!(!peer.has_room());
        assert_eq!(peer.heartbeat_after(false), 1);
        assert!(peer.overdue(NOW, NOW).is_some_and(|append| append.round == 2));
        assert_eq!(peer.heartbeat_after(true), 2, "is it there?");
        assert!(!peer.refused((3, 3), 2, 2, 1), "not yet, which is no loss");
        peer.matched(1, 8);
        assert!(!peer.has_room(), "it is under way");
        peer.matched(2, 8);
        assert!(peer.has_room());
    }

    #[test]
    fn an_answer_confirms_what_was_sent_with_it_and_before() {
        let at = Duration::from_millis;
        let mut peer = Progress::new(NOW, 0, &(1..=1));
        for round in 1..=3 {
            peer.sent(&append(round, 0, 0), at(round * 10), false);
        }
        peer.answered(2);
        assert_eq!((peer.round_answered, peer.confirmed_at), (2, Some(at(20))));
        peer.answered(1);
        assert_eq!((peer.round_answered, peer.confirmed_at), (2, Some(at(20))), "late answers change nothing");
    }
}
