//! R1 to R17: what Raft promises of the log, at every event and over all that ever happened. Crashes reset nothing here.
//!
//! | id | what must hold of logs |
//! |---|---|
//! | R1 | A leader never overwrites or deletes entries in its own log. |
//! | R2 | Log matching: what has the same index and term comes after the same. |
//! | R3 | What was committed at an index is never another. |
//! | R4 | Leader completeness: who is elected has every entry that was committed in a lower term. |
//! | R5 | Commit and applied index only rise in a life, and what is applied is committed. |
//! | R6 | Entries are applied in order, each once in a life; equal applied index, equal state. |
//! | R7 | Only an entry of the leader's own term is committed by counting (figure 8). |
//! | R8 | What is committed is durable on a majority when it is. |
//! | R9 | A leader counts itself only for what is durable on its own disk. |
//! | R10 | A match index is never above what that peer acknowledged in this term. |
//! | R11 | An acknowledgement names no more than messages of this term vouched for, and leaves after it is durable. |
//! | R12 | Next index is above the match index, and at most one above the last. |
//! | R13 | What has the same index and term has the same content, over every log that ever was. |
//! | R14 | `AppendEntries` is well formed: what it says of its sender's log is so. |
//! | R15 | A follower's log shrinks only above its commit index, and only because this very message conflicts there. |
//! | R16 | After a restart nothing that was synced is missing, and nothing whose removal was synced is back. |
//! | R17 | A leader's commit index reaches the highest entry of its term that a quorum has. |
//! | C2 | A command takes effect once, and whoever is answered is told what the log, each command of it taken once, comes to. |
//! | C4 | A linearizable read is served by a state that has all that anybody had committed when the leader was asked. |
//! | C5 | A read by lease is served within the lease: the least election timeout, as the fastest clock shows it, from when what a majority answered was sent. |
//! | L4 | Once nothing disturbs them, all that is committed reaches every server that lives. |

mod catching_up;
mod effects;
mod history;
mod memory;
mod messages;
mod node;
mod reads;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::time::Duration;

use self::catching_up::CatchingUp;
use self::effects::Effects;
use self::history::{EntryId, History};
use self::node::Node;
use self::reads::Reads;
use crate::check::consensus::{Checked, Conditions, Seen};
use crate::raft::by_node::ByNode;
use crate::raft::request::Response;
use crate::raft::server::Event;
use crate::raft::{Config, Event as CoreEvent, LogIndex, NodeId, Role, Status, Term};
use crate::sim::Breach;

const R1: &str = "R1 a leader only appends";
const R2: &str = "R2 log matching";
const R3: &str = "R3 committed for ever";
const R4: &str = "R4 leader completeness";
const R5: &str = "R5 indexes only rise";
const R6: &str = "R6 one state for each index";
const R7: &str = "R7 own term by counting";
const R8: &str = "R8 durable on a majority";
const R9: &str = "R9 own disk counts when written";
const R10: &str = "R10 truthful match index";
const R11: &str = "R11 truthful acknowledgement";
const R12: &str = "R12 next above match";
const R13: &str = "R13 one content for each entry";
const R14: &str = "R14 well-formed AppendEntries";
const R15: &str = "R15 cut off for a conflict";
const R16: &str = "R16 nothing synced is lost";
const R17: &str = "R17 commit keeps up";
const C2: &str = "C2 once each";
const C4: &str = "C4 reads are fresh";
const C5: &str = "C5 within the lease";
const L4: &str = "L4 all catch up";

/// Watches the logs of one cluster.
#[derive(Clone)]
pub struct LogCheck {
    quorum: usize,
    nodes: ByNode<Node>,
    history: History,
    /// What each peer acknowledged to the leader of a term.
    acknowledged: BTreeMap<(Term, NodeId), LogIndex>,
    reads: Reads,
    effects: Effects,
    catching_up: CatchingUp,
    /// The clocks are worse than what leases allow for.
    lease_is_unsafe: bool,
    /// What no Raft survives has come about.
    beyond: Option<String>,
}

impl LogCheck {
    /// A check of a cluster in which every node has these settings, and of what its links, disks and clocks let come about.
    pub fn new(config: &Config, conditions: &Conditions) -> Self {
        let lease = config.replication.as_ref().and_then(|replication| replication.lease).map(f64::from);
        Self {
            quorum: config.quorum(),
            nodes: config.members.iter().map(|id| (*id, Node::default())).collect(),
            history: History::default(),
            acknowledged: BTreeMap::new(),
            reads: Reads::new(config),
            effects: Effects::default(),
            catching_up: CatchingUp::new(config, conditions),
            beyond: None,
            lease_is_unsafe: lease.is_some_and(|lease| conditions.drift * 1e6 > lease + 0.5),
        }
    }

    fn node(&mut self, id: NodeId) -> &mut Node {
        self.nodes.get_mut(id).expect("only members are watched")
    }

    /// Takes in an event of a node.
    pub fn event(&mut self, id: NodeId, seen: Seen, event: &Event) -> Checked {
        match event {
            Event::Loaded(state) => {
                self.node(id).starts(state.term);
                Ok(())
            }
            Event::LoadedLog { log, torn } => self.loaded(id, seen, log, torn.is_some()),
            Event::Received { from, message } => {
                self.received(id, *from, message);
                self.reads.received(id, *from, message);
                Ok(())
            }
            Event::Sending { to, message } => {
                self.reads.sending(id, seen.0, *to, message);
                self.sending(id, seen, *to, message)
            }
            Event::Writing(write) => self.writing(id, seen, write),
            Event::Synced { number } => {
                self.node(id).synced(*number);
                Ok(())
            }
            Event::Applied { index, term, digest } => self.applied(id, seen, *index, (*term, *digest)),
            Event::Requested { from, request } => {
                self.reads.requested(id, *from, request, self.history.committed_to());
                Ok(())
            }
            Event::Responding { to, response, applied } => self.responding((id, seen), *to, response, *applied),
            Event::Core(core) => self.core(id, seen, core),
            Event::Stepped { status, .. } => self.stepped(seen, status),
            _ => Ok(()),
        }
    }

    fn core(&mut self, id: NodeId, seen: Seen, event: &CoreEvent) -> Checked {
        match event {
            CoreEvent::BecameLeader { term, .. } => {
                self.node(id).leads(*term);
                self.catching_up.led_since = seen.0;
                self.reads.leads(id);
                self.complete(id, seen, *term)
            }
            CoreEvent::BecameFollower { term, .. }
            | CoreEvent::BecameCandidate { term, .. }
            | CoreEvent::TermRaised { to: term, .. } => {
                self.node(id).is_in(*term);
                Ok(())
            }
            CoreEvent::Committed { index, .. } => self.committed(id, seen, *index),
            CoreEvent::Progressed { peer, match_index, next_index } => {
                self.progressed(id, seen, *peer, *match_index, *next_index)
            }
            _ => Ok(()),
        }
    }

    /// R4.
    fn complete(&mut self, id: NodeId, seen: Seen, term: Term) -> Checked {
        let node = self.nodes.get(id).expect("only members are watched");
        for (index, entry) in self.history.committed() {
            if entry.in_term >= term || node.log.get(index).is_some_and(|own| *own == entry.id) {
                continue;
            }
            let text = format!(
                "{id} is elected in term {term}, and its log has not entry {index} of term {}, which {} committed in \
                 term {}",
                entry.id.term, entry.by, entry.in_term
            );
            let breach = Breach::new(R4, text)
                .fact(entry.seen.0, entry.seen.1, format!("{} committed entry {index}", entry.by))
                .fact(seen.0, seen.1, format!("{id} became leader of term {term}"));
            return Err(Box::new(breach));
        }
        Ok(())
    }

    fn committed(&mut self, id: NodeId, seen: Seen, index: LogIndex) -> Checked {
        let quorum = self.quorum;
        let node = self.nodes.get(id).expect("only members are watched");
        let (before, term, leads) = (node.commit, node.term, node.leads);
        if index <= before {
            return broken(
                R5,
                seen,
                format!("{id} had committed up to entry {before}, and commits up to entry {index}"),
            );
        }
        let Some(last) = node.log.get(index).copied() else {
            let ends = node.log.last_index();
            return broken(R5, seen, format!("{id} commits up to entry {index}, and its log ends with entry {ends}"));
        };
        if leads && last.term != term {
            let text = format!("{id}, the leader of term {term}, commits entry {index} of term {}", last.term);
            return broken(R7, seen, text);
        }
        let durable = self.nodes.iter().filter(|(_, node)| node.file.get(index) == Some(&last)).map(|(id, _)| id);
        let durable: Vec<NodeId> = durable.collect();
        let rises = index > self.history.committed_to();
        if leads && rises && durable.len() < quorum {
            let own = durable.contains(&id);
            let names: Vec<String> = durable.iter().map(ToString::to_string).collect();
            let names = if names.is_empty() { "nobody".to_owned() } else { names.join(" ") };
            let text = format!("{id} commits entry {index} of term {}, which is durable at {names}", last.term);
            // One more would be enough, and it is the one that did not write it.
            return broken(if !own && durable.len() + 1 == quorum { R9 } else { R8 }, seen, text);
        }
        let (_, _, vouched) = node.vouched;
        if !leads && index > vouched && !rises {
            let text = format!(
                "{id} commits up to entry {index}, and what its leader of term {term} said vouches for its log up to entry \
                 {vouched}"
            );
            self.agrees(id, seen, before, index)?;
            return broken(R8, seen, text);
        }
        if !leads && rises {
            let text = format!("{id}, no leader, commits entry {index}, which no leader has committed");
            // Its content may be another than what is committed there, or was never committed.
            self.agrees(id, seen, before, index.min(self.history.committed_to()))?;
            return broken(R8, seen, text);
        }
        self.agrees(id, seen, before, index)?;
        self.node(id).commit = index;
        if rises {
            self.catching_up.rises(seen.0, &self.history);
        }
        Ok(())
    }

    /// R3: what a node commits is what was committed there before, where something was.
    fn agrees(&mut self, id: NodeId, seen: Seen, after: LogIndex, through: LogIndex) -> Checked {
        let node = self.nodes.get(id).expect("only members are watched");
        for index in after + 1..=through {
            let own = *node.log.get(index).expect("it is below the last");
            self.history.commit(index, own, id, node.term, seen)?;
        }
        Ok(())
    }

    /// R5 and R6.
    fn applied(&mut self, id: NodeId, seen: Seen, index: LogIndex, (term, digest): (Term, u64)) -> Checked {
        let node = self.node(id);
        if index != node.applied + 1 {
            let text = format!("{id} applies entry {index} after entry {}", node.applied);
            return broken(R6, seen, text);
        }
        node.applied = index;
        // The core says that it commits before its driver applies.
        if index > node.commit {
            return broken(
                R5,
                seen,
                format!("{id} applies entry {index}, and has committed up to entry {}", node.commit),
            );
        }
        if node.log.get(index).is_none_or(|own| own.term != term) {
            return broken(
                R6,
                seen,
                format!("{id} applies at index {index} an entry of term {term} that is not there"),
            );
        }
        self.history.state(index, digest, id, seen)?;
        let Self { effects, history, .. } = self;
        effects.applied(index, || history.command(index, term));
        Ok(())
    }

    /// C2, C4 and C5 of a response.
    fn responding(
        &mut self,
        (id, seen): (NodeId, Seen),
        to: NodeId,
        response: &Response,
        applied: LogIndex,
    ) -> Checked {
        let Some(asked) = self.reads.asked(to, response.number) else { return Ok(()) };
        self.effects.is_right((id, seen), &asked.request.ask, &response.reply)?;
        Reads::is_fresh((id, seen), asked, &response.reply, applied)?;
        if self.lease_is_unsafe { Ok(()) } else { self.reads.is_leased((id, seen), to, response) }
    }

    /// R10 and R12.
    fn progressed(
        &mut self,
        id: NodeId,
        seen: Seen,
        peer: NodeId,
        match_index: LogIndex,
        next_index: LogIndex,
    ) -> Checked {
        let node = self.node(id);
        let (term, last) = (node.term, node.last_known());
        let before = node.progress.get(peer).copied().unwrap_or(0);
        node.progress.insert(peer, match_index);
        if match_index < before {
            let text = format!("{id} takes the match index of {peer} back from {before} to {match_index}");
            return broken(R10, seen, text);
        }
        if next_index <= match_index || next_index > last + 1 {
            let text = format!(
                "{id} has match index {match_index} and next index {next_index} of {peer}, and its log ends with entry \
                 {last}"
            );
            return broken(R12, seen, text);
        }
        let acknowledged = self.acknowledged.get(&(term, peer)).copied().unwrap_or(0);
        if match_index > acknowledged {
            let text = format!(
                "{id}, the leader of term {term}, has match index {match_index} of {peer}, which acknowledged entry \
                 {acknowledged} in this term"
            );
            return broken(R10, seen, text);
        }
        Ok(())
    }

    /// R17, and that what the node says of itself is what was seen of it.
    fn stepped(&mut self, seen: Seen, status: &Status) -> Checked {
        let quorum = self.quorum;
        let node = self.node(status.id);
        node.request = None;
        self.reads.rests(status.id);
        let node = self.node(status.id);
        if status.role != Role::Leader {
            return Ok(());
        }
        let mut matched: Vec<LogIndex> = node.progress.values().copied().chain([node.file_matches()]).collect();
        matched.sort_unstable_by(|a, b| b.cmp(a));
        let Some(index) = matched.get(quorum - 1).copied() else { return Ok(()) };
        if index > node.commit && node.log.get(index).is_some_and(|entry| entry.term == status.term) {
            let text = format!(
                "a quorum has entry {index} of {}, the leader of term {}, which has committed up to entry {}",
                status.id, status.term, node.commit
            );
            return broken(R17, seen, text);
        }
        Ok(())
    }

    /// A bit of what is on a node's disk has flipped.
    pub fn flipped(&mut self, id: NodeId) {
        self.node(id).is_flipped = true;
    }

    /// A clock has jumped, which no lease allows for.
    pub fn clock_jumped(&mut self) {
        self.lease_is_unsafe |= self.reads.has_lease();
    }

    /// What has come about that no Raft survives, if something has: then what is found is not its fault.
    pub fn beyond(&self) -> Option<&str> {
        self.beyond.as_deref()
    }

    /// A node's process has ended.
    pub fn down(&mut self, id: NodeId) {
        self.node(id).ends();
    }

    /// From now on nothing disturbs the nodes, and all are alive that ever will be.
    pub fn calm(&mut self, at: Duration) {
        self.catching_up.calm(at, &self.nodes, &self.history);
    }

    /// L4, at the end of the run.
    pub fn at_end(&self, at: Duration) -> Option<Breach> {
        let alive = || self.nodes.iter().filter(|(_, node)| node.is_alive);
        if alive().count() < self.quorum || !alive().any(|(_, node)| node.leads) {
            return None;
        }
        self.catching_up.late(at, alive())
    }

    /// What is not checked under the conditions of the run, and why, a sentence each.
    pub fn unchecked(&self) -> Vec<String> {
        let lease = self.lease_is_unsafe.then(|| {
            format!("{C5} is not checked: clocks are off by more than what leases allow for, so that none is safe")
        });
        self.catching_up.unchecked().into_iter().chain(lease).collect()
    }

    /// How many entries are committed.
    pub fn committed_to(&self) -> LogIndex {
        self.history.committed_to()
    }
}

#[cold]
fn broken(invariant: &str, seen: Seen, text: String) -> Checked {
    Err(Box::new(Breach::new(invariant, text.clone()).fact(seen.0, seen.1, text)))
}
