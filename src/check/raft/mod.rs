//! What Raft promises, checked at every event and over all that ever happened: crashes reset nothing here.
//!
//! | id | what must hold of elections |
//! |---|---|
//! | E1 | A term has one leader, **over history**: whoever becomes leader of a term, or sends `AppendEntries` in it, is the only one that ever did. Comparing the leaders of one moment misses two leaders of a term at different times. |
//! | E2 | A vote of a server in a term never changes, across crashes too. It counts from when it leaves, or its whole write has completed. |
//! | E3 | No message at all leaves in a term that is not durable at its sender; a granted vote only when the vote is too, a `RequestVote` only when the candidate's own is. |
//! | E4 | The durable term never falls, and the term in memory is never below it. |
//! | E5 | A message's term is at most its sender's. |
//! | E6 | A leader has the votes of a majority of all members in its term. |
//! | E7 | Roles change only as they may, a candidacy raises the term by one, and a role other than follower is one of the term that it was taken on in. |
//! | E8 | A leader has voted for itself; everybody else has an election timer armed, due within the largest timeout. |
//! | E9 | An election timer starts afresh by a valid `AppendEntries` of the current term, a granted vote, the node's own campaign, its start, and a step-down from leader, and by nothing else; then with a timeout from the range, drawn anew, that runs from the end of what had to be written. |
//! | E10 | Whom a node follows in a term is the leader of that term in history, and whoever heard it follows it. |
//! | E11 | Who has taken in a newer term is in it when the step ends, a leader as a follower; and nobody is in a term that no message brought and no campaign of its own. Pre-vote requests bring none, and stickiness keeps out what it is to keep out. |
//! | E12 | A role is taken on and laid down for its cause: a campaign because the timer ran out, a majority granted the pre-vote, or the leader said so in this term; a lead for a majority's votes, given up for a newer term or a lost majority. |
//! | E13 | Votes, pre-votes and heartbeats are answered, and answered as figure 2 and the settings say, logs compared. |
//! | E14 | A candidate asks everybody, and again; a leader is heard by everybody at its election and at each heartbeat; a successor is told when its log is the leader's; and nothing is said that nothing calls for. |
//!
//! E9 to E14 hold each step of each node, the input that it took in and all that came of it, against what
//! [figure 2 has due](rules) of a node that was what this one was.
//!
//! | id | what must come about |
//! |---|---|
//! | L1 | Once nothing disturbs them, the members have a leader within 10 times the largest election timeout, and more where links and disks make elections fail often (30 times and more if only a bare majority is alive). |
//! | L2 | Once a majority follows one, nobody is in a higher term and nothing disturbs them, no election begins, and the leader stays: whatever ends a lead has its cause in what was before. |
//! | L3 | With check-quorum, a leader that no majority answers steps down within twice the largest timeout. That no leader comes without a majority is E6. |
//! | L5 | A healthy, connected majority keeps its leader, whatever becomes of the others: from a time that a script names, the lead does not change. |
//! | L6 | Messages are few: at most 30 for an election among 3 (`5 n (n − 1)` for each term that it takes, times how often a question is asked until its answer can be there), and, idle, `2 (n − 1)` for each heartbeat and a little. |
//!
//! The bounds of L1, L2, L3 and L6 follow from the settings and from what links, disks and clocks do ([`Conditions`]);
//! where those leave no room for a bound, it is not checked, and [`RaftCheck::unchecked`] says so.
//!
//! The check knows nodes' events and messages, and nothing of faults: it is told when a node's process has ended, and
//! since when nothing is disturbed.

mod conditions;
mod election;
mod history;
mod liveness;
mod rules;
mod step;

use std::time::Duration;

use crate::raft::server::Event;
use crate::raft::{Config, Event as CoreEvent, Message, NodeId, Status};
use crate::sim::Breach;

pub use conditions::{Conditions, unelectable};
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
    /// What must hold, E1 to E14, and not what must come about.
    Safety,
    /// What must hold over history whatever the time is, E1 to E8 and of E10 that a leader who is followed leads: what a
    /// search of all states goes by.
    History,
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
    steps: step::Steps,
}

impl RaftCheck {
    /// A check of a cluster in which every node has these settings, and of what its links, disks and clocks let come about.
    pub fn new(config: &Config, conditions: &Conditions, scope: Scope) -> Self {
        Self {
            scope,
            election: election::Election::new(config),
            liveness: liveness::Liveness::new(config, conditions),
            steps: step::Steps::new(config),
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
            Scope::Safety => self.safety(id, seen, event).err(),
            Scope::History => self.election.event(id, seen, event).err(),
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

    fn safety(&mut self, id: NodeId, seen: Seen, event: &Event) -> Result<(), Box<Breach>> {
        self.election.event(id, seen, event)?;
        if let Event::Stepped { status, now, done, deadline } = event {
            return self.steps.stepped(seen, status, (*now, *done), *deadline);
        }
        self.steps.event(id, seen, event);
        Ok(())
    }

    /// Each kind of event goes to those only who ask for it: there are several for each message.
    #[inline]
    fn all(&mut self, id: NodeId, seen: Seen, event: &Event) -> Option<Box<Breach>> {
        match event {
            Event::Received { from, message } => {
                self.steps.event(id, seen, event);
                self.received(id, seen, *from, message);
                None
            }
            Event::Sending { to, message } => self.sending(id, seen, *to, message),
            Event::Stepped { status, now, done, deadline } => self.stepped(seen, status, (*now, *done), *deadline),
            Event::Core(CoreEvent::TimerArmed { .. }) => None,
            Event::Core(core) => {
                let broken = self.election.event(id, seen, event).err();
                broken.or_else(|| self.liveness.core(id, seen, core))
            }
            _ => self.safety(id, seen, event).err(),
        }
    }

    /// Takes in that a node received a message.
    #[inline]
    fn received(&mut self, id: NodeId, seen: Seen, from: NodeId, message: &Message) {
        if let Message::AppendEntriesResponse(answer) = message {
            self.liveness.answered(id, from, answer.term, seen);
        }
    }

    /// Takes in that a message is about to leave a node.
    #[inline]
    fn sending(&mut self, id: NodeId, seen: Seen, to: NodeId, message: &Message) -> Option<Box<Breach>> {
        self.liveness.sending(seen.0);
        self.steps.sending(id, to, message);
        self.election.sending(id, seen, to, message).err()
    }

    /// Takes in what a node is after a step.
    #[inline]
    fn stepped(
        &mut self,
        seen: Seen,
        status: &Status,
        (now, done): (Duration, Duration),
        deadline: Option<Duration>,
    ) -> Option<Box<Breach>> {
        if let Err(breach) = self.election.stepped(seen, status, done) {
            return Some(breach);
        }
        if let Err(breach) = self.steps.stepped(seen, status, (now, done), deadline) {
            return Some(breach);
        }
        self.liveness.stepped(seen, status)
    }

    /// A node's process has ended: it leads nobody any more. What it did still holds.
    pub fn down(&mut self, id: NodeId, seen: Seen) {
        self.liveness.down(id, seen);
    }

    /// A node's election timeout may be this long, as a script has it.
    pub fn allow_timeout(&mut self, id: NodeId, timeout: Duration) {
        self.election.allow_timeout(id, timeout);
        self.steps.allow_timeout(id, timeout);
    }

    /// From now on nothing disturbs the nodes, and all are alive that ever will be.
    pub fn calm(&mut self, at: Duration) {
        self.liveness.calm(at);
    }

    /// What is not checked under the conditions of the run, and why, a sentence each.
    pub fn unchecked(&self) -> Vec<String> {
        if self.scope == Scope::All { self.liveness.unchecked() } else { Vec::new() }
    }

    /// How long after the nodes were [left alone](Self::calm) a majority is to have a leader; `None`: nobody can tell.
    pub fn election_time(&self) -> Option<Duration> {
        self.liveness.election_time()
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

    /// Writes all that [`Scope::History`] goes by but when it was seen: two checks that write the same judge the same. `name` gives a
    /// node's name.
    pub fn write_memory(&self, name: &dyn Fn(NodeId) -> u8, bytes: &mut Vec<u8>) {
        self.election.write_memory(name, bytes);
    }

    /// A node, as it last told of itself, if it is alive.
    pub fn status(&self, id: NodeId) -> Option<&Status> {
        self.liveness.status(id)
    }
}
