//! What Raft promises, checked at every event and over all that ever happened: crashes reset nothing here.
//!
//! | id | what must hold of elections |
//! |---|---|
//! | E1 | A term has one leader, **over history**: whoever becomes leader of a term, or sends `AppendEntries` in it, is the only one that ever did. Comparing the leaders of one moment misses two leaders of a term at different times. |
//! | E2 | A vote of a server in a term never changes, across crashes too. It counts from when it leaves, or its whole write has completed. |
//! | E3 | A granted vote leaves only when term and vote are durable; a `RequestVote` only when its own are. |
//! | E4 | The durable term never falls, and the term in memory is never below it. |
//! | E5 | A message's term is at most its sender's. |
//! | E6 | A leader has the votes of a majority of all members in its term. |
//! | E7 | Roles change only as they may, and a candidacy raises the term by one. |
//! | E8 | A leader has voted for itself; everybody else has an election timer armed, due within the largest timeout. |
//!
//! | id | what must come about |
//! |---|---|
//! | L1 | Once nothing disturbs them, the members have a leader within 10 times the largest election timeout, 30 times if only a bare majority is alive. |
//! | L2 | Once a majority follows one, nobody is in a higher term and nothing disturbs them, no term changes; and at all times, whoever grants its vote, or hears its leader, waits for at least the least election timeout. |
//! | L3 | With check-quorum, a leader that no majority answers steps down within twice the largest timeout. That no leader comes without a majority is E6. |
//! | L5 | A healthy, connected majority keeps its leader, whatever becomes of the others: from a time that a script names, the lead does not change. |
//! | L6 | Messages are few: at most 30 for an election among 3 (`5 n (n − 1)` for each term that it takes), and, idle, `2 (n − 1)` for each heartbeat and a little. |
//!
//! The check knows nodes' events and messages, and nothing of faults: it is told when a node's process has ended, and
//! since when nothing is disturbed.

mod election;
mod history;
mod liveness;
mod patience;

use std::time::Duration;

use crate::raft::server::Event;
use crate::raft::{Config, Event as CoreEvent, Message, NodeId, Status};
use crate::sim::Breach;

pub use history::E1;
pub use liveness::{Agreement, LEADERS_OF_ONE_MOMENT, Lead};

/// When and in which record something was seen.
pub type Seen = (Duration, u64);

/// Which of the checks are made. Fewer than all are for a comparison with what others check.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Scope {
    /// All of them.
    #[default]
    All,
    /// What must hold, E1 to E8, and not what must come about.
    Safety,
    /// One leader per term over history, E1, and nothing else.
    OneLeaderPerTerm,
    /// That no two nodes lead the same term at the same moment: what most test suites look at.
    LeadersOfOneMoment,
}

/// Watches the nodes of one cluster.
#[derive(Clone)]
pub struct RaftCheck {
    scope: Scope,
    election: election::Election,
    liveness: liveness::Liveness,
    patience: patience::Patience,
}

impl RaftCheck {
    /// A check of a cluster in which every node has these settings.
    pub fn new(config: &Config, scope: Scope) -> Self {
        Self {
            scope,
            election: election::Election::new(config),
            liveness: liveness::Liveness::new(config),
            patience: patience::Patience::new(config),
        }
    }

    /// Takes in an event of a node.
    #[inline]
    pub fn event(&mut self, id: NodeId, seen: Seen, event: &Event) -> Option<Box<Breach>> {
        if self.scope == Scope::All { self.all(id, seen, event) } else { self.narrowed(id, seen, event) }
    }

    /// The same, whatever the scope is: apart from it, since most runs make all checks.
    fn narrowed(&mut self, id: NodeId, seen: Seen, event: &Event) -> Option<Box<Breach>> {
        match self.scope {
            Scope::All => self.all(id, seen, event),
            Scope::Safety => self.election.event(id, seen, event).err(),
            Scope::OneLeaderPerTerm => {
                let breach = self.election.event(id, seen, event).err();
                self.liveness.follow(seen, event);
                breach.filter(|breach| breach.invariant == history::E1)
            }
            Scope::LeadersOfOneMoment => {
                let changed = self.liveness.follow(seen, event);
                changed.then(|| self.liveness.rivals(seen))?.map(Box::new)
            }
        }
    }

    /// Each kind of event goes to those only who ask for it: there are several for each message.
    #[inline]
    fn all(&mut self, id: NodeId, seen: Seen, event: &Event) -> Option<Box<Breach>> {
        match event {
            Event::Received { from, message } => {
                self.received(id, seen, *from, message);
                None
            }
            Event::Sending { to, message } => self.sending(id, seen, *to, message),
            Event::Stepped { status, now } => self.stepped(seen, status, *now),
            Event::Core(CoreEvent::TimerArmed { .. }) => None,
            Event::Core(core) => {
                let broken = self.election.event(id, seen, event).err();
                broken.or_else(|| {
                    self.patience.core(id, seen, core);
                    self.liveness.core(id, seen, core)
                })
            }
            _ => self.election.event(id, seen, event).err(),
        }
    }

    /// Takes in that a node received a message.
    #[inline]
    fn received(&mut self, id: NodeId, seen: Seen, from: NodeId, message: &Message) {
        match message {
            Message::AppendEntries(append) => self.patience.heard_leader(id, from, append.term, seen),
            Message::AppendEntriesResponse(answer) => self.liveness.answered(id, from, answer.term, seen),
            _ => {}
        }
    }

    /// Takes in that a message is about to leave a node.
    #[inline]
    fn sending(&mut self, id: NodeId, seen: Seen, to: NodeId, message: &Message) -> Option<Box<Breach>> {
        self.liveness.sending(seen.0);
        self.election.sending(id, seen, to, message).err()
    }

    /// Takes in what a node is after a step.
    #[inline]
    fn stepped(&mut self, seen: Seen, status: &Status, now: Duration) -> Option<Box<Breach>> {
        if let Err(breach) = self.election.stepped(seen, status, now) {
            return Some(breach);
        }
        if let Some(breach) = self.patience.stepped(seen, status, now) {
            return Some(breach);
        }
        self.liveness.stepped(seen, status)
    }

    /// A node's process has ended: it leads nobody any more. What it did still holds.
    pub fn down(&mut self, id: NodeId, seen: Seen) {
        self.patience.down(id);
        self.liveness.down(id, seen);
    }

    /// A node's election timeout may be this long, as a script has it.
    pub fn allow_timeout(&mut self, id: NodeId, timeout: Duration) {
        self.election.allow_timeout(id, timeout);
        self.patience.allow_timeout(id, timeout);
    }

    /// From now on nothing disturbs the nodes, and all are alive that ever will be. `lossless`: no message is lost either.
    pub fn calm(&mut self, at: Duration, lossless: bool) {
        self.liveness.calm(at, lossless);
    }

    /// From this time on the lead must not change (L5).
    pub fn stable_from(&mut self, at: Duration) {
        self.liveness.stable_from(at);
    }

    /// The run is over: what should have come about by now has.
    pub fn at_end(&self, at: Duration) -> Option<Breach> {
        (self.scope == Scope::All).then(|| self.liveness.at_end(at))?
    }

    /// What the nodes agree on.
    pub fn agreement(&self) -> &Agreement {
        self.liveness.agreement()
    }

    /// How often that was found out anew: as long as this is the same, [`agreement`](Self::agreement) is.
    pub fn agreed(&self) -> u64 {
        self.liveness.agreed()
    }

    /// Writes all that E1 to E8 go by but when it was seen: two checks that write the same judge the same. `name` gives a
    /// node's name.
    pub fn write_memory(&self, name: &dyn Fn(NodeId) -> u8, bytes: &mut Vec<u8>) {
        self.election.write_memory(name, bytes);
    }

    /// A node, as it last told of itself, if it is alive.
    pub fn status(&self, id: NodeId) -> Option<&Status> {
        self.liveness.status(id)
    }
}
