//! Campaigns and votes: pre-vote, `RequestVote`, and the rules by which they are granted and counted.

use super::role::Ballot;
use super::{Core, State};
use crate::raft::event::{Event, Ignored, Refusal};
use crate::raft::message::{Message, PreVote, PreVoteResponse, RequestVote, RequestVoteResponse};
use crate::raft::{NodeId, Role, Term};

impl Core {
    /// The election timer ran out.
    pub(super) fn campaign(&mut self) {
        if self.config.pre_vote {
            self.become_pre_candidate();
            self.count_vote(self.id);
            self.ask_silent_peers();
        } else {
            self.start_election(false);
        }
    }

    /// The candidate's own vote is counted once it is durable, like any other.
    pub(super) fn start_election(&mut self, transfer: bool) {
        self.become_candidate(transfer);
        self.persist();
        self.count_vote(self.id);
        self.ask_silent_peers();
    }

    /// Asks every peer that has not answered yet; nobody, when this node is no candidate (any more).
    pub(super) fn ask_silent_peers(&mut self) {
        let next = self.now + self.config.heartbeat;
        let (term, log, peers) = (self.term(), self.last_log(), self.peers());
        let (last_log_index, last_log_term) = (log.last_index, log.last_term);
        let (ballot, resend_at, message) = match &mut self.state {
            State::PreCandidate { ballot, resend_at } => {
                (ballot, resend_at, Message::PreVote(PreVote { term, last_log_index, last_log_term }))
            }
            State::Candidate { ballot, resend_at, transfer } => {
                let transfer = *transfer;
                let ask = RequestVote { term, last_log_index, last_log_term, transfer };
                (ballot, resend_at, Message::RequestVote(ask))
            }
            State::Follower { .. } | State::Leader(_) => return,
        };
        *resend_at = resend_at.map(|_| next);
        self.has_spoken = true;
        let silent: Vec<_> = peers.into_iter().filter(|peer| !ballot.answered(*peer)).collect();
        for peer in silent {
            self.send(peer, message.clone());
        }
    }

    pub(super) fn on_pre_vote(&mut self, from: NodeId, ask: &PreVote) {
        if planted!(self, TimerResetByAnyone) && self.role() != Role::Leader {
            self.arm_timer();
        }
        let refusal = if ask.term < self.term() {
            Some(Refusal::StaleTerm)
        } else if self.has_live_leader() && !(planted!(self, LeaderGrantsPreVotes) && self.role() == Role::Leader) {
            Some(Refusal::LeaderAlive)
        } else if planted!(self, PreVoteIgnoresLog) {
            None
        } else {
            (!self.is_up_to_date(ask.last_log_term, ask.last_log_index)).then_some(Refusal::StaleLog)
        };
        self.tell_verdict(from, ask.term + 1, true, refusal);
        let (term, request_term) = (self.term(), ask.term);
        let answer = PreVoteResponse { term, request_term, vote_granted: refusal.is_none() };
        self.send(from, Message::PreVoteResponse(answer));
    }

    pub(super) fn on_pre_vote_response(&mut self, from: NodeId, answer: PreVoteResponse) {
        if answer.term > self.term() {
            return self.learn_term(from, answer.term);
        }
        if self.role() != Role::PreCandidate || answer.request_term != self.term() {
            return self.ignore(from, &Message::PreVoteResponse(answer), Ignored::NotAsked);
        }
        if answer.vote_granted {
            self.count_vote(from);
        } else {
            self.count_refusal(from);
        }
    }

    pub(super) fn on_request_vote(&mut self, from: NodeId, ask: &RequestVote) {
        if planted!(self, TimerResetByAnyone) && self.role() != Role::Leader {
            self.arm_timer();
        }
        if ask.term > self.term() {
            // No answer: the candidate is not told of a newer term, for there is none.
            if !ask.transfer && self.has_live_leader() {
                return self.tell_verdict(from, ask.term, false, Some(Refusal::LeaderAlive));
            }
            self.learn_term(from, ask.term);
        }
        let refusal = self.judge(from, ask).err();
        if refusal.is_none() {
            self.vote_for(from);
            self.persist();
            if self.role() != Role::Leader && !planted!(self, TimerNotResetOnGrant) {
                self.arm_timer();
            }
        }
        self.tell_verdict(from, ask.term, false, refusal);
        let answer = RequestVoteResponse { term: self.term(), vote_granted: refusal.is_none() };
        self.send(from, Message::RequestVoteResponse(answer));
    }

    /// Figure 2, `RequestVote` RPC, receiver: one vote in a term, first come first served, and none for a stale log.
    /// Asked again by the same candidate, the voter answers the same: the first answer may be lost.
    fn judge(&self, from: NodeId, ask: &RequestVote) -> Result<(), Refusal> {
        if ask.term < self.term() {
            return Err(Refusal::StaleTerm);
        }
        if planted!(self, LeaderVotesAgain) && matches!(self.role(), Role::Leader | Role::Candidate) {
            return Ok(());
        }
        if planted!(self, RepeatRequestRefused) && self.voted_for() == Some(from) {
            return Err(Refusal::AlreadyVoted);
        }
        match self.voted_for() {
            Some(voted) if voted == from => Ok(()),
            Some(_) => Err(Refusal::AlreadyVoted),
            None if self.is_up_to_date(ask.last_log_term, ask.last_log_index) => Ok(()),
            None => Err(Refusal::StaleLog),
        }
    }

    pub(super) fn on_request_vote_response(&mut self, from: NodeId, answer: RequestVoteResponse) {
        if answer.term > self.term() && !planted!(self, NewerTermInAnswerIgnored) {
            return self.learn_term(from, answer.term);
        }
        if answer.term < self.term() && !planted!(self, StaleVoteCounted) {
            self.forget_term(answer.term);
            return self.ignore(from, &Message::RequestVoteResponse(answer), Ignored::Stale);
        }
        if self.role() != Role::Candidate {
            return self.ignore(from, &Message::RequestVoteResponse(answer), Ignored::NotAsked);
        }
        if answer.vote_granted {
            self.count_vote(from);
        } else {
            self.count_refusal(from);
        }
    }

    fn count_vote(&mut self, from: NodeId) {
        let (term, pre, needed) = (self.election_term(), self.role() == Role::PreCandidate, self.quorum());
        let (State::PreCandidate { ballot, .. } | State::Candidate { ballot, .. }) = &mut self.state else { return };
        #[cfg(feature = "planted-bugs")]
        if planted!(self, VotesCountedTwice) && ballot.granted.contains(&from) {
            ballot.twice += 1;
        }
        ballot.granted.insert(from);
        let votes = ballot.votes();
        self.emit(Event::VoteCounted { from, term, pre, votes, needed });
        if votes < needed {
            return;
        }
        if pre {
            self.start_election(false);
        } else {
            self.become_leader();
            if planted!(self, HeartbeatsBeginLate) {
                return self.heartbeat_later();
            }
            self.begin_lead();
        }
    }

    fn count_refusal(&mut self, from: NodeId) {
        let (term, pre) = (self.election_term(), self.role() == Role::PreCandidate);
        let (State::PreCandidate { ballot, .. } | State::Candidate { ballot, .. }) = &mut self.state else { return };
        ballot.refused.insert(from);
        self.emit(Event::VoteDenied { from, term, pre });
    }

    /// The term that this node would be elected in.
    fn election_term(&self) -> Term {
        if self.role() == Role::PreCandidate { self.term() + 1 } else { self.term() }
    }

    /// §5.4.1: the log whose last entry has the later term is more up to date; of two with the same, the longer.
    fn is_up_to_date(&self, last_log_term: Term, last_log_index: u64) -> bool {
        let log = self.last_log();
        (last_log_term, last_log_index) >= (log.last_term, log.last_index)
    }

    /// Whether this node has a leader that it heard from within the least election timeout, or is one that a majority
    /// answered within it. A leader that nobody hears must not keep others from electing another.
    fn has_live_leader(&self) -> bool {
        if self.may_have_forgotten() {
            return true;
        }
        let heard_at = match &self.state {
            State::Follower { leader: Some(leader) } => leader.heard_at,
            State::Leader(lead) => self.quorum_contact(lead),
            _ => return false,
        };
        self.config.leader_stickiness && self.now < heard_at + self.config.election_timeout_min
    }

    /// Where a leader relies on being stood by, who has just started may have heard from one and not know of it any more.
    fn may_have_forgotten(&self) -> bool {
        let leases = self.config.replication.as_ref().is_some_and(|replication| replication.lease.is_some());
        leases && self.now < self.began + self.config.election_timeout_min
    }

    fn tell_verdict(&mut self, to: NodeId, term: Term, pre: bool, refusal: Option<Refusal>) {
        self.emit(match refusal {
            None => Event::VoteGranted { to, term, pre },
            Some(why) => Event::VoteRefused { to, term, pre, why },
        });
    }
}

impl Ballot {
    fn answered(&self, peer: NodeId) -> bool {
        self.granted.contains(&peer) || self.refused.contains(&peer)
    }

    /// Writes who answered what, in an order that does not depend on names.
    pub(super) fn write(&self, name: &dyn Fn(NodeId) -> u8, bytes: &mut Vec<u8>) {
        for answered in [&self.granted, &self.refused] {
            let mut names: Vec<u8> = answered.iter().map(|id| name(*id)).collect();
            names.sort_unstable();
            bytes.extend(names);
            bytes.push(0);
        }
        bytes.extend((self.votes() as u64).to_le_bytes());
    }

    fn votes(&self) -> usize {
        #[cfg(feature = "planted-bugs")]
        let twice = self.twice;
        #[cfg(not(feature = "planted-bugs"))]
        let twice = 0;
        self.granted.len() + twice
    }
}
