//! What crashes never reset: who led each term, and whom everybody voted for in it.

use std::collections::BTreeMap;

use super::Seen;
use crate::consensus::{NodeId, Term};
use crate::sim::Breach;

/// What two leaders of one term break.
pub const E1: &str = "E1 election safety";
pub(in crate::check) const E2: &str = "E2 one vote a term";
pub(super) const E6: &str = "E6 elected by a majority";
pub(in crate::check) const E10: &str = "E10 the leader of the term";

const UNTOLD_VOTES: &str = "; no vote was ever told: a system that cannot tell of votes says that it lacks them";

/// A breach is large and rare.
pub(in crate::check) type Checked = Result<(), Box<Breach>>;

/// Leaders and votes over all time.
#[derive(Clone, Default)]
pub(super) struct History {
    leader_of: BTreeMap<Term, (NodeId, Seen)>,
    /// Who was found to lead last, and in which term: mostly it is asked again.
    leads: Option<(NodeId, Term)>,
    vote_of: BTreeMap<(NodeId, Term), (NodeId, Seen)>,
}

impl History {
    /// Writes who led and who voted for whom.
    pub(super) fn write(&self, name: &dyn Fn(NodeId) -> u8, bytes: &mut Vec<u8>) {
        let leaders = self.leader_of.iter().map(|(term, (leader, _))| (*term, 0, name(*leader)));
        let votes = self.vote_of.iter().map(|((voter, term), (candidate, _))| (*term, name(*voter), name(*candidate)));
        let mut all: Vec<_> = leaders.chain(votes).collect();
        all.sort_unstable();
        for (term, voter, of) in all {
            bytes.extend(term.to_le_bytes());
            bytes.extend([voter, of]);
        }
    }

    /// A node leads a term.
    pub(super) fn leads(&mut self, id: NodeId, term: Term, (at, record): Seen) -> Checked {
        if self.leads == Some((id, term)) {
            return Ok(());
        }
        let (first, (first_at, first_record)) = *self.leader_of.entry(term).or_insert((id, (at, record)));
        if first == id {
            self.leads = Some((id, term));
            return Ok(());
        }
        let breach = Breach::new(E1, format!("term {term} has two leaders, {first} and {id}"));
        Err(Box::new(breach.fact(first_at, first_record, format!("{first} led term {term}")).fact(
            at,
            record,
            format!("{id} leads term {term}"),
        )))
    }

    /// A node follows another in a term.
    #[inline]
    pub(super) fn is_followed(&self, id: NodeId, leader: NodeId, term: Term, (at, record): Seen) -> Checked {
        if self.leads == Some((leader, term)) {
            return Ok(());
        }
        let known = self.leader_of.get(&term);
        let breach = match known {
            Some((known, _)) if *known == leader => return Ok(()),
            Some((known, (at, record))) => {
                let breach = Breach::new(E10, format!("{id} follows {leader} in term {term}, which {known} led"));
                breach.fact(*at, *record, format!("{known} led term {term}"))
            }
            None => Breach::new(E10, format!("{id} follows {leader} in term {term}, which nobody led")),
        };
        Err(Box::new(breach.fact(at, record, format!("{id} follows {leader}"))))
    }

    /// A node's vote in a term counts.
    pub(super) fn votes(&mut self, voter: NodeId, term: Term, candidate: NodeId, (at, record): Seen) -> Checked {
        let entry = self.vote_of.entry((voter, term)).or_insert((candidate, (at, record)));
        let (first, (first_at, first_record)) = *entry;
        if first == candidate {
            return Ok(());
        }
        let breach = Breach::new(E2, format!("{voter} voted twice in term {term}, for {first} and for {candidate}"));
        Err(Box::new(breach.fact(first_at, first_record, format!("{voter} voted for {first} in term {term}")).fact(
            at,
            record,
            format!("{voter} votes for {candidate} in term {term}"),
        )))
    }

    /// A node became leader of a term: a majority of `members` has voted for it.
    pub(super) fn is_elected(
        &self,
        id: NodeId,
        term: Term,
        members: impl Iterator<Item = NodeId>,
        quorum: usize,
        (at, record): Seen,
    ) -> Checked {
        let votes: Vec<_> = members
            .filter_map(|voter| {
                let (candidate, seen) = self.vote_of.get(&(voter, term))?;
                (*candidate == id).then_some((voter, *seen))
            })
            .collect();
        if votes.len() >= quorum {
            return Ok(());
        }
        let hint = if self.vote_of.is_empty() { UNTOLD_VOTES } else { "" };
        let text =
            format!("{id} leads term {term} with {} of the {quorum} votes that are a majority{hint}", votes.len());
        let mut breach = Breach::new(E6, text);
        for (voter, (at, record)) in votes {
            breach = breach.fact(at, record, format!("{voter} voted for {id} in term {term}"));
        }
        Err(Box::new(breach.fact(at, record, format!("{id} became leader of term {term}"))))
    }

    /// Whom a node voted for in a term, if it did, and when.
    pub(super) fn vote(&self, voter: NodeId, term: Term) -> Option<(NodeId, Seen)> {
        self.vote_of.get(&(voter, term)).copied()
    }
}
