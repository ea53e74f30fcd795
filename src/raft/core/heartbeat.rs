//! A leader's heartbeats, their answers, and what a leader does when they do not come.

use std::cmp::Reverse;
use std::time::Duration;

use super::role::{Contact, Lead};
use super::{Core, State};
use crate::raft::event::{Event, Ignored, StepDown};
use crate::raft::message::{AppendEntries, AppendEntriesResponse, Message};
use crate::raft::{NodeId, Role, Term};

impl Core {
    pub(super) fn on_lead_tick(&mut self) {
        let State::Leader(lead) = &self.state else { return };
        if self.quorum_deadline(lead, self.now).is_some_and(|at| at <= self.now) {
            self.emit(Event::SteppedDown { term: self.term(), why: StepDown::QuorumLost });
            return self.become_follower(self.term(), None);
        }
        let heartbeat_is_due = lead.heartbeat_at <= self.now;
        if self.yield_if_stalled() {
            return;
        }
        self.abort_late_transfer();
        if heartbeat_is_due {
            self.broadcast();
        }
    }

    pub(super) fn lead_deadline(&self, lead: &Lead) -> Duration {
        let abort_at = lead.transfer.as_ref().map(|transfer| transfer.abort_at);
        let next = abort_at.map_or(lead.heartbeat_at, |at| at.min(lead.heartbeat_at));
        // A stall that is not over is looked at with each heartbeat.
        let next = self.stall_deadline().filter(|at| *at > self.now).map_or(next, |at| at.min(next));
        self.quorum_deadline(lead, next).map_or(next, |at| at.min(next))
    }

    /// When a leader that hears nothing more steps down, if that is by `until`.
    fn quorum_deadline(&self, lead: &Lead, until: Duration) -> Option<Duration> {
        // A leader without peers has its majority for ever.
        if !self.config.check_quorum || lead.progress.is_empty() {
            return None;
        }
        // Contacts only come later, so that an earlier one tells in most cases that there is no need to look at all peers.
        let timeout = self.config.election_timeout_max;
        if lead.contact_known.get() + timeout > until {
            return None;
        }
        lead.contact_known.set(self.quorum_contact(lead));
        Some(lead.contact_known.get() + timeout).filter(|at| *at <= until)
    }

    /// The latest time by which a majority, the leader included, had answered.
    pub(super) fn quorum_contact(&self, lead: &Lead) -> Duration {
        let peers = lead.progress.values().map(|peer| peer.last_contact);
        let mut contacts: Vec<_> = peers.chain([self.now]).collect();
        contacts.sort_unstable_by_key(|contact| Reverse(*contact));
        contacts[self.quorum() - 1]
    }

    /// What a leader must not do that is new, and does where that bug is planted.
    pub(super) fn heartbeat_later(&mut self) {
        let next = self.now + self.config.heartbeat;
        if let State::Leader(lead) = &mut self.state {
            lead.heartbeat_at = next;
        }
    }

    /// A heartbeat to every peer.
    pub(super) fn broadcast(&mut self) {
        let next = self.now + self.config.heartbeat;
        let State::Leader(lead) = &mut self.state else { return };
        lead.heartbeat_at = next;
        self.has_spoken = true;
        if self.config.replication.is_some() {
            return (0..self.peers.len()).for_each(|place| self.beat(self.peers.at(place)));
        }
        let log = self.last_log();
        let heartbeat = AppendEntries {
            term: self.term(),
            prev_log_index: log.last_index,
            prev_log_term: log.last_term,
            entries: Vec::new(),
            leader_commit: 0,
            round: 0,
        };
        for place in 0..self.peers.len() {
            self.send(self.peers.at(place), Message::AppendEntries(heartbeat.clone()));
        }
    }

    /// Figure 2, `AppendEntries` RPC, receiver. The answer to a stale leader tells it the newer term: that also frees a
    /// node whose term ran away, which its followers' stickiness would otherwise shut out for ever.
    pub(super) fn on_append_entries(&mut self, from: NodeId, append: &AppendEntries) {
        if append.term < self.term() {
            if planted!(self, StaleAppendResetsTimer) && self.role() != Role::Leader {
                self.arm_timer();
            }
            if planted!(self, StaleAppendDeposes) && self.role() == Role::Leader {
                self.become_follower(self.term(), None);
            }
            let (term, round) = (self.term(), append.round);
            let answer = AppendEntriesResponse { term, success: false, match_index: 0, round, conflict: None };
            return self.send(from, Message::AppendEntriesResponse(answer));
        }
        if append.term == self.term() {
            if planted!(self, CandidateNeverConcedes) && self.role() == Role::Candidate {
                return;
            }
            if self.role() == Role::Leader {
                return self.ignore(from, &Message::AppendEntries(append.clone()), Ignored::Rival);
            }
        }
        self.hear_leader(from, append.term);
        if self.config.replication.is_some() {
            return self.take_entries(from, append);
        }
        let success = self.log_has(append.prev_log_index, append.prev_log_term);
        let match_index = if success { append.prev_log_index } else { 0 };
        let (term, round) = (self.term(), append.round);
        let answer = AppendEntriesResponse { term, success, match_index, round, conflict: None };
        self.send(from, Message::AppendEntriesResponse(answer));
    }

    fn hear_leader(&mut self, from: NodeId, term: Term) {
        if term > self.term() {
            self.retire(term);
        }
        let (this_term, heard_at) = (self.term(), self.now);
        match &mut self.state {
            State::Follower { leader: Some(leader) } if term == this_term && leader.id == from => {
                leader.heard_at = heard_at;
            }
            State::Follower { leader: Some(leader) } if term == this_term => *leader = Contact::new(from, heard_at),
            State::Follower { leader } if term == this_term => {
                *leader = Some(Contact::new(from, heard_at));
                self.emit(Event::LeaderFound { term, leader: from });
            }
            _ => self.become_follower(term, Some(from)),
        }
        self.arm_timer();
    }

    /// Of a log that stands still only the last entry's term is known, so an earlier entry cannot be vouched for.
    fn log_has(&self, index: u64, term: Term) -> bool {
        let log = self.last_log();
        index == 0 || (index, term) == (log.last_index, log.last_term)
    }

    pub(super) fn on_append_entries_response(&mut self, from: NodeId, answer: &AppendEntriesResponse) {
        if answer.term > self.term() && !planted!(self, NewerTermInAnswerIgnored) {
            return self.learn_term(from, answer.term);
        }
        if answer.term < self.term() {
            self.forget_term(answer.term);
            return self.ignore(from, &Message::AppendEntriesResponse(answer.clone()), Ignored::Stale);
        }
        let State::Leader(lead) = &mut self.state else {
            return self.ignore(from, &Message::AppendEntriesResponse(answer.clone()), Ignored::NotAsked);
        };
        let peer = lead.progress.get_mut(from).expect("a leader keeps the progress of every peer");
        peer.last_contact = self.now;
        if self.config.replication.is_some() {
            self.take_answer(from, answer);
        } else if answer.success {
            peer.match_index = peer.match_index.max(answer.match_index);
        }
        self.abort_late_transfer();
        let State::Leader(lead) = &self.state else { return };
        if lead.transfer.as_ref().is_some_and(|transfer| transfer.to == from) {
            self.tell_successor();
        }
    }

    /// A newer term exists: this node is a follower in it (figure 2, rules for all servers).
    pub(super) fn learn_term(&mut self, from: NodeId, term: Term) {
        self.retire(term);
        let leader = planted!(self, FollowsWhoeverIsNewer).then_some(from);
        self.become_follower(term, leader);
    }

    fn retire(&mut self, newer: Term) {
        assert!(newer > self.term(), "only a newer term ends a lead");
        if self.role() == Role::Leader {
            self.emit(Event::SteppedDown { term: self.term(), why: StepDown::HigherTerm });
        }
    }

    /// What a stale answer must not do, and does where that bug is planted.
    #[cfg_attr(not(feature = "planted-bugs"), allow(clippy::unused_self, unused_variables, reason = "the bug's place"))]
    pub(super) fn forget_term(&mut self, term: Term) {
        #[cfg(feature = "planted-bugs")]
        if planted!(self, TermGoesBack) {
            self.hard_state = crate::raft::HardState { term, voted_for: None };
            self.become_follower(term, None);
        }
    }
}
