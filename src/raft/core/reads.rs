//! Reads that do not go through the log (dissertation §6.4): by a round of heartbeats, or by a lease.
//!
//! A read must see all that was committed when it was asked. A leader that has committed an entry of its own term knows all
//! of that ([`read index`](PendingRead::index)), unless there is a newer leader; that there was none is known once a
//! majority has answered a message that was sent *after* the read was asked, or while a majority has promised to elect
//! nobody.

use std::cmp::Reverse;
use std::time::Duration;

use super::progress::Progress;
use super::role::{Lead, PendingRead};
use super::{Core, State};
use crate::raft::{Declined, LogIndex, Output, ReadBy};

const PER_UNIT: u64 = 1_000_000;

impl Core {
    pub(super) fn on_read(&mut self, id: u64, by: ReadBy) {
        let leader = self.leader();
        let is_ready = self.has_committed_in_term();
        let by_lease = by == ReadBy::Lease && is_ready && self.has_lease();
        let commit_index = self.commit_index;
        let State::Leader(lead) = &mut self.state else {
            return self.outputs.push(Output::Read { id, outcome: Err(Declined::NotLeader { leader }) });
        };
        if by_lease {
            return self.outputs.push(Output::Read { id, outcome: Ok(commit_index) });
        }
        let round = lead.round + 1;
        lead.reads.push_back(PendingRead { id, index: is_ready.then_some(commit_index), round });
        self.broadcast();
        self.serve_reads();
    }

    fn has_committed_in_term(&self) -> bool {
        self.log.term_at(self.commit_index) == Some(self.term()) || planted!(self, ReadBeforeOwnTerm)
    }

    /// Answers the reads whose round a majority has answered.
    pub(super) fn serve_reads(&mut self) {
        let (commit_index, is_ready) = (self.commit_index, self.has_committed_in_term());
        let confirmed = if planted!(self, ReadUnconfirmed) { u64::MAX } else { self.round_confirmed() };
        let State::Leader(lead) = &mut self.state else { return };
        if !is_ready || lead.reads.is_empty() {
            return;
        }
        lead.reads.iter_mut().for_each(|read| {
            read.index.get_or_insert(commit_index);
        });
        while let Some(read) = lead.reads.pop_front_if(|read| read.round <= confirmed) {
            let outcome = Ok(read.index.expect("it has been given one"));
            self.outputs.push(Output::Read { id: read.id, outcome });
        }
    }

    /// The latest round that a majority has answered, the leader included.
    fn round_confirmed(&self) -> u64 {
        let State::Leader(lead) = &self.state else { return 0 };
        let mut rounds: Vec<u64> = lead.progress.values().map(|peer| peer.round_answered).chain([u64::MAX]).collect();
        rounds.sort_unstable_by_key(|round| Reverse(*round));
        rounds[self.quorum() - 1]
    }

    /// Whether a majority has promised to elect nobody as yet: each stands by its leader for the least election timeout
    /// from when it received a message, which was after it was sent, by a clock that may run otherwise than this one.
    fn has_lease(&self) -> bool {
        let (State::Leader(lead), Some(drift)) = (&self.state, self.replication().lease) else { return false };
        if lead.gave_up_lease {
            return false;
        }
        let from_answer = planted!(self, LeaseFromAnswer);
        let drift = if from_answer { 0 } else { drift };
        let confirmed_at = |peer: &Progress| if from_answer { Some(peer.last_contact) } else { peer.confirmed_at };
        let confirmed = lead.progress.values().map(confirmed_at).chain([Some(self.now)]);
        let mut confirmed: Vec<Option<Duration>> = confirmed.collect();
        confirmed.sort_unstable_by_key(|at| Reverse(*at));
        let from = confirmed[self.quorum() - 1];
        from.is_some_and(|from| self.now < from + shortened(self.config.election_timeout_min, drift))
    }

    /// The reads of a lead that is over are declined: somebody else may have committed more.
    pub(super) fn decline_reads(&mut self, lead: &Lead) {
        for read in &lead.reads {
            self.outputs.push(Output::Read { id: read.id, outcome: Err(Declined::NotLeader { leader: None }) });
        }
    }

    /// The commit index that reads which need not be fresh are served at.
    pub fn commit_index(&self) -> LogIndex {
        self.commit_index
    }
}

/// What a slow clock shows at the most when a fast one shows `time`, both being off by so many millionths.
fn shortened(time: Duration, drift: u32) -> Duration {
    let nanos = u64::try_from(time.as_nanos()).unwrap_or(u64::MAX);
    let (slow, fast) = (PER_UNIT - u64::from(drift), PER_UNIT + u64::from(drift));
    let nanos = u128::from(nanos) * u128::from(slow) / u128::from(fast);
    Duration::from_nanos(u64::try_from(nanos).unwrap_or(u64::MAX))
}
