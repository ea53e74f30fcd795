//! A core as bytes, for who compares cores where time does not count.

use super::progress::Progress;
use super::{Core, State};
use crate::raft::log::Entry;
use crate::raft::{HardState, NodeId, Term};

/// How what a core holds is written.
pub struct Spelling<'a> {
    /// A node's name.
    pub name: &'a dyn Fn(NodeId) -> u8,
    /// What tells an entry from others of its index and term.
    pub entry: &'a dyn Fn(&Entry) -> u64,
    /// How a round of the leader of a term counts for a peer: see [`Core::has_stepped_back`].
    pub rounds: Rounds<'a>,
}

/// How rounds are written.
#[derive(Clone, Copy)]
pub enum Rounds<'a> {
    /// Whether the leader has stepped back since: all that decides how a whole cluster goes on.
    AreOld(&'a dyn Fn(Term, NodeId, u64) -> bool),
    /// As they are: of one node alone, nobody knows.
    Kept,
}

/// Writes a number, in as few bytes as it takes.
pub fn put_number(bytes: &mut Vec<u8>, mut number: u64) {
    while number > 0x7f {
        bytes.push(number.to_le_bytes()[0] | 0x80);
        number >>= 7;
    }
    bytes.push(number.to_le_bytes()[0]);
}

impl Rounds<'_> {
    fn written(self, term: Term, peer: NodeId, round: u64) -> u64 {
        match self {
            Self::AreOld(is_old) => u64::from(is_old(term, peer, round)),
            Self::Kept => round,
        }
    }
}

impl Core {
    /// Writes all that decides how it goes on where time does not count: two nodes that write the same do the same. What
    /// is left out beside times is what only reads and leases go by, and a handing over that is under way.
    pub fn write_untimed(&self, spelling: &Spelling<'_>, bytes: &mut Vec<u8>) {
        let name = spelling.name;
        let mut write = |state: HardState| {
            put_number(bytes, state.term);
            bytes.push(state.voted_for.map_or(0, name));
        };
        write(self.hard_state);
        write(self.durable);
        bytes.extend([self.role() as u8, u8::from(self.timer.due().is_some()), self.leader().map_or(0, name)]);
        if let State::PreCandidate { ballot, .. } | State::Candidate { ballot, .. } = &self.state {
            ballot.write(name, bytes);
        }
        if self.config.replication.is_some() {
            self.write_log_untimed(spelling, bytes);
        }
    }

    fn write_log_untimed(&self, spelling: &Spelling<'_>, bytes: &mut Vec<u8>) {
        put_number(bytes, self.log.len() as u64);
        for entry in self.log.entries_from(self.log.base().last_index + 1) {
            put_number(bytes, entry.term);
            put_number(bytes, (spelling.entry)(entry));
        }
        put_number(bytes, self.unwritten_from);
        put_number(bytes, self.durable_index);
        put_number(bytes, self.commit_index);
        put_number(bytes, self.writes.len() as u64);
        self.writes.iter().for_each(|write| put_number(bytes, write.last_index));
        match &self.state {
            State::Follower { leader: Some(leader) } => {
                put_number(bytes, leader.vouched);
                put_number(bytes, leader.acknowledged);
                put_number(bytes, spelling.rounds.written(self.term(), self.id, leader.round));
            }
            State::Leader(lead) => {
                if matches!(spelling.rounds, Rounds::Kept) {
                    put_number(bytes, lead.round);
                }
                let written = |(id, peer): (NodeId, &Progress)| {
                    let mut bytes = vec![(spelling.name)(id)];
                    peer.write_untimed(spelling.rounds, &mut bytes);
                    bytes
                };
                let mut peers: Vec<_> = lead.progress.iter().map(written).collect();
                // By all that is written, for names need not differ.
                peers.sort_unstable();
                peers.iter().for_each(|peer| bytes.extend_from_slice(peer));
            }
            _ => {}
        }
    }

    /// Whether this node, as the leader of the term, has stepped back for a peer since it sent a round. Of all rounds this
    /// is what decides how it goes on: a refusal that came with an older one is old news.
    pub fn has_stepped_back(&self, term: Term, peer: NodeId, round: u64) -> bool {
        match &self.state {
            State::Leader(lead) if self.term() == term => {
                lead.progress.get(peer).is_some_and(|progress| progress.has_stepped_back(round))
            }
            _ => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_told_apart_whatever_follows() {
        let written = |numbers: &[u64]| {
            let mut bytes = Vec::new();
            numbers.iter().for_each(|number| put_number(&mut bytes, *number));
            bytes
        };
        assert_eq!((written(&[5]), written(&[0x7f]), written(&[0x80])), (vec![5], vec![0x7f], vec![0x80, 1]));
        assert_ne!(written(&[1, 0x80]), written(&[0x81, 1]));
        assert_eq!(written(&[u64::MAX]).len(), 10);
    }
}
