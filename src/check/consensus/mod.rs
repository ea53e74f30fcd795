//! What any Raft promises, checked at every [fact](crate::consensus::Fact) and over all that ever happened: crashes reset
//! nothing here.
//!
//! | id | what must hold | goes by |
//! |---|---|---|
//! | E1 | A term has one leader, **over history**: whoever becomes leader of a term, or sends what only its leader sends, is the only one that ever did. Comparing the leaders of one moment misses two leaders of a term at different times. | roles, or leaders' messages |
//! | E2 | A vote of a server in a term never changes, across crashes too. It counts from when it leaves, or its whole write has completed. | what is durable, or votes |
//! | E3 | No message at all leaves in a term that is not durable at its sender; a vote only when the vote is too, or was in its own term. | what is durable, and messages |
//! | E4 | The durable term never falls, and the term in memory is never below it. | what is durable, or roles |
//! | E5 | A message's term is at most its sender's. | roles, and messages |
//! | E6 | A leader has the votes of a majority of all members in its term. | roles, and votes or what is durable |
//! | E7 | Roles change only as they may, a candidacy raises the term, and a role other than follower is one of the term that it was taken on in. | roles |
//! | E8 | A leader has voted for itself. | roles, and votes or what is durable |
//! | E10 | Whom a node follows in a term is the leader of that term in history. | whom it follows |
//! | S1 | One content an index: whatever two nodes apply at an index of the log, or one node before and after a restart, is the same entry, of the same term. | what is applied |
//! | L1 | Once nothing disturbs them, the members have a leader within 10 times the largest election timeout, and more where links and disks make elections fail often (30 times and more if only a bare majority is alive). | roles |
//! | L2 | Once a majority follows one, nobody is in a higher term and nothing disturbs them, no election begins, and the leader stays. | roles |
//! | L3 | With check-quorum, a leader that no majority answers steps down within twice the largest timeout. | roles and answers |
//! | L5 | A healthy, connected majority keeps its leader, whatever becomes of the others: from a time that a script names, the lead does not change. | roles |
//! | L6 | Messages are few: at most 30 for an election among 3 (`5 n (n − 1)` for each term that it takes, times how often a question is asked until its answer can be there), and, idle, `2 (n − 1)` for each heartbeat and a little. | every message |
//!
//! Each check runs on what it is given. A system says once what it [lacks](Settings::lacks) and what it does not
//! [promise](Settings::exempt); [`Check::unchecked`] says, in every run, what was not checked for that, or because nothing of
//! the kind was told. The bounds of L1, L2, L3 and L6 follow from the settings and from what links, disks and clocks do
//! ([`Conditions`]).
//!
//! What a system promises to tell and does not is taken at its word: a leader nobody of whose votes was told has none.
//!
//! The check knows facts, and nothing of faults: it is told when a node's process has ended, and since when nothing is
//! disturbed. [`Watch`](crate::systems::consensus::Watch) tells it that in a run.

mod applied;
mod conditions;
mod election;
mod given;
mod history;
mod liveness;
#[cfg(test)]
mod tests;

use std::sync::Arc;
use std::time::Duration;

use crate::consensus::{Fact, NodeId, Role, Term};
use crate::sim::Breach;

pub use conditions::{Conditions, unelectable};
pub(in crate::check) use election::{E8, Election, now};
pub use given::Settings;
pub use history::E1;
pub(in crate::check) use history::{Checked, E2, E10};
pub(in crate::check) use liveness::Liveness;
pub use liveness::{Agreement, LEADERS_OF_ONE_MOMENT, Lead};

/// What two contents of one index break.
pub const S1: &str = "S1 one content an index";

/// When and in which record something was seen.
pub type Seen = (Duration, u64);

/// A node at rest, as it last told of itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct State {
    /// What it is.
    pub role: Role,
    /// Its term.
    pub term: Term,
    /// The leader of its term, where it knows one.
    pub leader: Option<NodeId>,
}

/// Watches the nodes of one cluster.
#[derive(Clone)]
pub struct Check {
    pub(in crate::check) election: Election,
    pub(in crate::check) liveness: Liveness,
    contents: applied::Contents,
    exempt: Arc<[String]>,
    given: given::Given,
}

impl Check {
    /// A check of a cluster with these settings, and of what its links, disks and clocks let come about.
    pub fn new(settings: &Settings, conditions: &Conditions) -> Self {
        Self {
            election: Election::new(settings),
            liveness: Liveness::new(settings, conditions),
            contents: applied::Contents::default(),
            exempt: settings.exempt.keys().cloned().collect(),
            given: given::Given::new(settings),
        }
    }

    /// Takes in a fact of a node.
    ///
    /// # Panics
    /// If the node is no member.
    #[inline]
    pub fn tell(&mut self, id: NodeId, seen: Seen, fact: &Fact) -> Option<Box<Breach>> {
        self.given.saw(fact);
        match *fact {
            Fact::Is { role, term, leader } => self.rests(id, seen, State { role, term, leader }),
            Fact::Applied { index, term, hash } => {
                let found = self.contents.applied(id, seen, index, term, hash).err()?;
                (!is_of(&self.exempt, S1)).then_some(found)
            }
            _ => {
                let broken = self.election.tell(id, seen, fact).err();
                let late = self.liveness.tell(id, seen, fact);
                broken.or(late)
            }
        }
    }

    /// It was told what a node is, and whom it follows, by other means than a fact.
    #[inline]
    pub(in crate::check) fn is_given(&mut self, leader: Option<NodeId>) {
        self.given.saw(&Fact::Is { role: Role::Follower, term: 0, leader });
    }

    /// Takes in a fact of a node, and holds it to what must be so of all that ever happened, whatever the time is: E1 to E7,
    /// E10 and S1. For facts that were gathered where times are nobody's to judge.
    pub fn keeps_history(&mut self, id: NodeId, seen: Seen, fact: &Fact) -> Option<Box<Breach>> {
        self.given.saw(fact);
        match *fact {
            Fact::Is { role, term, leader } => {
                let passed = self.election.passed(id, role, term);
                if let Some(term) = passed.entered {
                    self.election.entered(id, seen, term);
                }
                let became = passed.became.map_or(Ok(()), |(role, term)| self.election.is_found(id, seen, role, term));
                let stands = became.and_then(|()| self.election.stands(id, seen, role, term));
                stands.and_then(|()| self.election.follows(id, seen, leader, term)).err()
            }
            Fact::Applied { index, term, hash } => {
                let found = self.contents.applied(id, seen, index, term, hash).err()?;
                (!is_of(&self.exempt, S1)).then_some(found)
            }
            _ => self.election.tell(id, seen, fact).err(),
        }
    }

    /// A node is this, at rest: what it has gone through and did not tell comes first.
    fn rests(&mut self, id: NodeId, seen: Seen, state: State) -> Option<Box<Breach>> {
        let State { role, term, leader } = state;
        let broken = self.catch_up(id, seen, state).or_else(|| {
            let stands = self.election.stands(id, seen, role, term);
            stands.and_then(|()| self.election.follows(id, seen, leader, term)).err()
        });
        broken.or_else(|| self.liveness.rests(id, seen, state))
    }

    /// Takes in what lies between what a node last told of itself and what it is now.
    #[inline]
    pub(in crate::check) fn catch_up(&mut self, id: NodeId, seen: Seen, state: State) -> Option<Box<Breach>> {
        let passed = self.election.passed(id, state.role, state.term);
        if let Some(term) = passed.entered {
            self.election.entered(id, seen, term);
            self.liveness.tell(id, seen, &Fact::Entered { term });
        }
        let (role, term) = passed.became?;
        let broken = self.election.is_found(id, seen, role, term).err();
        broken.or_else(|| self.liveness.becomes(id, seen, role, term, false).map(Box::new))
    }

    /// A node's process has ended: it leads nobody any more. What it did still holds.
    pub fn down(&mut self, id: NodeId, seen: Seen) {
        self.election.down(id);
        self.liveness.down(id, seen);
    }

    /// From now on nothing disturbs the nodes, and all are alive that ever will be.
    pub fn calm(&mut self, at: Duration) {
        self.liveness.calm(at);
    }

    /// From this time on the lead must not change (L5).
    pub fn stable_from(&mut self, at: Duration) {
        self.liveness.stable_from(at);
    }

    /// What is not checked under the conditions of the run, and why, a sentence each.
    pub fn unbounded(&self) -> Vec<String> {
        self.liveness.unchecked()
    }

    /// All that is not checked: for what the system lacks or does not promise, for what it never told up to now, and under
    /// the conditions of the run; and why, a sentence each.
    pub fn unchecked(&self) -> Vec<String> {
        self.given.unchecked().into_iter().chain(self.unbounded()).collect()
    }

    /// How long after the nodes were [left alone](Self::calm) a majority is to have a leader; `None`: nobody can tell.
    pub fn election_time(&self) -> Option<Duration> {
        self.liveness.election_time()
    }

    /// The run is over: what should have come about by now has.
    pub fn at_end(&self, at: Duration) -> Option<Breach> {
        self.liveness.at_end(at)
    }

    /// What the nodes agree on.
    pub fn agreement(&self) -> &Agreement {
        self.liveness.agreement()
    }

    /// How often that was found out anew: as long as this is the same, [`agreement`](Self::agreement) is.
    pub fn agreed(&self) -> u64 {
        self.liveness.agreed()
    }

    /// A node, as it last told of itself, if it is alive.
    pub fn state(&self, id: NodeId) -> Option<State> {
        self.liveness.state(id)
    }

    /// Writes all that E1 to E8 and E10 go by but when it was seen: two checks that write the same judge the same. `name`
    /// gives a node's name.
    pub fn write_memory(&self, name: &dyn Fn(NodeId) -> u8, bytes: &mut Vec<u8>) {
        self.election.write_memory(name, bytes);
    }
}

/// Whether an invariant is one of those, by the beginnings of their names.
fn is_of(ids: &[String], invariant: &str) -> bool {
    ids.iter().any(|id| invariant.split(' ').next() == Some(id))
}
