//! How a leader's log comes to its peers, and what is committed of it (§5.3, §5.4.2).

use std::cmp::Reverse;
use std::ops::RangeInclusive;
use std::time::Duration;

use bytes::Bytes;

use super::role::Lead;
use super::{Core, State};
use crate::raft::config::Replication;
use crate::raft::event::{Event, StepDown};
use crate::raft::log::{Entry, Payload};
use crate::raft::message::{AppendEntries, AppendEntriesResponse, Conflict, Message, TimeoutNow};
use crate::raft::{Declined, LogIndex, NodeId, Output, Role};

/// How many heartbeat intervals pass until a message that goes in parts is sent again.
const LARGE_RESENT_AFTER: u32 = 4;

impl Core {
    /// A lead begins with an entry of its own term: only with that is what came before committed (§8).
    pub(super) fn begin_lead(&mut self) {
        if self.config.replication.is_none() {
            return self.broadcast();
        }
        self.append_own([Payload::Blank]);
        self.has_spoken = true;
        self.heartbeat_later();
        self.replicate_to_all();
        self.write_log();
    }

    /// Commands are to be replicated.
    pub(super) fn on_propose(&mut self, commands: Vec<Bytes>) {
        let why = match self.state {
            _ if self.config.replication.is_none() => Some(Declined::NoLog),
            State::Leader(Lead { transfer: Some(ref transfer), .. }) => Some(Declined::HandingOver { to: transfer.to }),
            State::Leader(_) if self.is_full() => Some(Declined::Busy),
            State::Leader(_) => None,
            _ => Some(Declined::NotLeader { leader: self.leader() }),
        };
        if let Some(why) = why {
            return self.outputs.push(Output::Declined(why));
        }
        self.append_own(commands.into_iter().map(Payload::Command));
        self.replicate_to_all();
        self.write_log();
    }

    fn is_full(&self) -> bool {
        let most = self.replication().uncommitted_max as u64;
        self.log.last().last_index - self.commit_index >= most
    }

    /// How the log is replicated.
    pub(super) fn replication(&self) -> &Replication {
        self.config.replication.as_ref().expect("what has to do with entries is asked only where they are replicated")
    }

    /// How many messages with entries may be under way to a peer.
    pub(super) fn window(&self) -> RangeInclusive<u32> {
        if planted!(self, WindowOne) {
            return 1..=1;
        }
        self.config.replication.as_ref().map_or(0..=0, |replication| replication.window.clone())
    }

    fn append_own(&mut self, payloads: impl IntoIterator<Item = Payload>) {
        let (term, first) = (self.term(), self.log.last().last_index + 1);
        for payload in payloads {
            self.append_entry(Entry { term, payload });
        }
        self.emit(Event::Appended { first, last: self.log.last().last_index, term });
    }

    fn replicate_to_all(&mut self) {
        for place in 0..self.peers.len() {
            self.replicate(self.peers.at(place));
        }
    }

    /// Sends a peer what it has not been sent, as far as the window goes.
    pub(super) fn replicate(&mut self, to: NodeId) {
        let last_index = self.log.last().last_index;
        loop {
            let State::Leader(lead) = &self.state else { return };
            let peer = lead.progress.get(to).expect("a leader keeps the progress of every peer");
            let next = peer.next_index;
            if next > last_index || !peer.has_room() {
                return;
            }
            let entries = self.batch(next);
            self.send_append(to, next - 1, entries);
        }
    }

    /// The entries from `first` on that fit into one message; one at least.
    fn batch(&self, first: LogIndex) -> Vec<Entry> {
        let Replication { batch_bytes, batch_entries, .. } = *self.replication();
        let mut bytes = 0;
        let mut entries: Vec<Entry> = Vec::new();
        for entry in self.log.entries_from(first).take(batch_entries) {
            bytes += entry.size();
            if bytes > batch_bytes && !entries.is_empty() {
                break;
            }
            entries.push(entry.clone());
        }
        entries
    }

    fn send_append(&mut self, to: NodeId, prev_log_index: LogIndex, entries: Vec<Entry>) {
        let prev_log_term =
            self.log.term_at(prev_log_index).expect("what is sent is kept, and what is before it known");
        let (term, leader_commit, now) = (self.term(), self.commit_index, self.now);
        let is_large = entries.iter().map(Entry::size).sum::<usize>() > self.replication().batch_bytes;
        let State::Leader(lead) = &mut self.state else { return };
        lead.round += 1;
        let append = AppendEntries { term, prev_log_index, prev_log_term, entries, leader_commit, round: lead.round };
        let peer = lead.progress.get_mut(to).expect("a leader keeps the progress of every peer");
        peer.sent(&append, now, is_large);
        self.send(to, Message::AppendEntries(append));
        self.tell_progress(to);
    }

    /// A heartbeat: what comes after the last entry that was sent, which is nothing.
    pub(super) fn beat(&mut self, to: NodeId) {
        let (now, patience) = (self.now, self.config.heartbeat * LARGE_RESENT_AFTER);
        let State::Leader(lead) = &mut self.state else { return };
        let peer = lead.progress.get_mut(to).expect("a leader keeps the progress of every peer");
        let overdue = now.checked_sub(patience).and_then(|until| peer.overdue(until, now));
        let prev_log_index = peer.heartbeat_after(overdue.is_some());
        // Where these bugs were real, heartbeats came after what was known to match.
        #[cfg(feature = "planted-bugs")]
        let prev_log_index =
            if planted!(self, CommitUnmatched) || planted!(self, AckOwnLast) { 0 } else { prev_log_index };
        self.send_append(to, prev_log_index, Vec::new());
        if let Some(append) = overdue {
            self.send(to, Message::AppendEntries(append));
        }
    }

    /// An answer of this term came to the leader.
    pub(super) fn take_answer(&mut self, from: NodeId, answer: &AppendEntriesResponse) {
        let window = self.window();
        let next = answer.conflict.map(|conflict| (conflict, self.meeting_point(conflict)));
        let last_index = self.log.last().last_index;
        let State::Leader(lead) = &mut self.state else { return };
        let latest = lead.round;
        let peer = lead.progress.get_mut(from).expect("a leader keeps the progress of every peer");
        peer.answered(answer.round);
        let mut is_news = false;
        if answer.success {
            is_news = peer.matched(answer.match_index.min(last_index), *window.end());
            if planted!(self, MatchAssigned) {
                peer.match_index = answer.match_index.min(last_index);
            }
        } else if let Some((conflict, next)) = next {
            let known = peer.match_index;
            if planted!(self, NextUnderMatch) {
                peer.match_index = 0;
            }
            let steps_back = peer.refused((answer.round, latest), conflict.rejected, next, *window.start());
            peer.match_index = known;
            if steps_back && planted!(self, HintOff) {
                peer.next_index = next.min(last_index + 1).max(known + 1);
            }
            if steps_back && conflict.term != 0 {
                peer.probe();
            }
        }
        self.tell_progress(from);
        if is_news {
            self.advance_commit();
        }
        self.replicate(from);
        self.serve_reads();
    }

    /// The first entry to send after a refusal: if the leader has entries of the term that the follower has there, what
    /// comes after them; else what the follower's entries of that term begin with (§5.3).
    fn meeting_point(&self, conflict: Conflict) -> LogIndex {
        let Conflict { term, first_index, .. } = conflict;
        let of_same_term = if term == 0 { None } else { self.log.last_of_term(term) };
        of_same_term.filter(|last| *last >= first_index).map_or(first_index, |last| last + 1)
    }

    /// Commits what a majority has, if the last of it is of the leader's own term: older entries are committed with it,
    /// and never by counting (§5.4.2, figure 8). The leader counts itself for what is durable here.
    pub(super) fn advance_commit(&mut self) {
        let State::Leader(lead) = &self.state else { return };
        let peers = lead.progress.values().map(|peer| peer.match_index);
        let own = if planted!(self, ApplyOnAppend) { self.log.last().last_index } else { self.durable_index };
        let mut matched: Vec<LogIndex> = peers.chain([own]).collect();
        matched.sort_unstable_by_key(|index| Reverse(*index));
        let index = matched[self.quorum() - 1];
        let is_own = self.log.term_at(index) == Some(self.term()) || planted!(self, CommitOldTerm);
        if index > self.commit_index && is_own {
            self.commit(index);
            self.serve_reads();
        }
    }

    /// Everything up to `index` is committed.
    pub(super) fn commit(&mut self, index: LogIndex) {
        assert!(index > self.commit_index && index <= self.log.last().last_index, "only what is there is committed");
        self.commit_index = index;
        self.emit(Event::Committed { index, term: self.term() });
        self.outputs.push(Output::Apply { through: index });
    }

    /// When a leader whose disk stands still yields.
    pub(super) fn stall_deadline(&self) -> Option<Duration> {
        let oldest = self.writes.front()?;
        Some(oldest.began + self.config.election_timeout_max)
    }

    /// A leader that cannot write what a peer could write long since is none to wait for: it tells that peer to take over,
    /// and steps down. Whether it did.
    pub(super) fn yield_if_stalled(&mut self) -> bool {
        let Some(last_index) = self.writes.front().map(|oldest| oldest.last_index) else { return false };
        if self.stall_deadline().is_none_or(|at| at > self.now) {
            return false;
        }
        let State::Leader(lead) = &self.state else { return false };
        let best = lead.progress.iter().max_by_key(|(id, peer)| (peer.match_index, Reverse(*id)));
        let Some((best, peer)) = best.filter(|(_, peer)| peer.match_index >= last_index) else { return false };
        let is_whole = peer.match_index >= self.commit_index;
        let term = self.term();
        if is_whole {
            self.send(best, Message::TimeoutNow(TimeoutNow { term }));
        }
        self.emit(Event::SteppedDown { term, why: StepDown::DiskStalled });
        self.become_follower(term, None);
        true
    }

    fn tell_progress(&mut self, peer: NodeId) {
        let State::Leader(lead) = &self.state else { return };
        let Some(progress) = lead.progress.get(peer) else { return };
        let (match_index, next_index) = (progress.match_index, progress.next_index);
        self.emit(Event::Progressed { peer, match_index, next_index });
    }

    /// What was written to the log is durable, up to this write.
    pub(super) fn on_synced(&mut self, number: u64) {
        let mut durable = None;
        while let Some(write) = self.writes.pop_front_if(|write| write.number <= number) {
            durable = Some(write.last_index);
        }
        let Some(durable) = durable else { return };
        self.durable_index = self.durable_index.max(durable);
        self.emit(Event::Durable { index: self.durable_index });
        match self.role() {
            Role::Leader => self.advance_commit(),
            _ => self.acknowledge(),
        }
    }
}
