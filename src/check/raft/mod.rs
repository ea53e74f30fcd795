//! What this crate's Raft promises, beyond what [any does](super::consensus), checked at every event and over all that ever
//! happened: crashes reset nothing here.
//!
//! E1 to E7, E10 and L1 to L6 are those of [any Raft](super::consensus), and go by the facts that the nodes tell
//! ([`Event::fact`]). Of this one more is known:
//!
//! | id | what must hold of elections |
//! |---|---|
//! | E8 | A leader has voted for itself; everybody else has an election timer armed, due within the largest timeout. |
//! | E9 | An election timer starts afresh by a valid `AppendEntries` of the current term, a granted vote, the node's own campaign, its start, and a step-down from leader, and by nothing else; then with a timeout from the range, drawn anew, that runs from the end of what had to be written. |
//! | E10 | Whom a node follows in a term is the leader of that term in history, and whoever heard it follows it. |
//! | E11 | Who has taken in a newer term is in it when the step ends, a leader as a follower; and nobody is in a term that no message brought and no campaign of its own. Pre-vote requests bring none, and stickiness keeps out what it is to keep out. |
//! | E12 | A role is taken on and laid down for its cause: a campaign because the timer ran out, a majority granted the pre-vote, or the leader said so in this term; a lead for a majority's votes, given up for a newer term or a lost majority. |
//! | E13 | Votes, pre-votes and heartbeats are answered, and answered as figure 2 and the settings say, logs compared. |
//! | E14 | A candidate asks everybody, and again; a leader is heard by everybody at its election and at each heartbeat; a successor is told when its log is the leader's; and nothing is said that nothing calls for. |
//!
//! What becomes of the log is [`log`]'s: R1 to R17.
//!
//! E9 to E14 hold each step of each node, the input that it took in and all that came of it, against what
//! [figure 2 has due](rules) of a node that was what this one was.
//!
//! Where links, disks and clocks leave no room for a bound, it is not checked, and [`RaftCheck::unchecked`] says so.
//!
//! The check knows nodes' events and messages, and nothing of faults: it is told when a node's process has ended, and
//! since when nothing is disturbed.

mod armed;
pub mod log;
mod rules;
mod step;

use std::time::Duration;

use super::consensus::{self, Check, Checked, Settings, State};
use crate::raft::server::Event;
use crate::raft::{Config, Event as CoreEvent, NodeId, Status};
use crate::sim::Breach;

pub use super::consensus::{Agreement, Conditions, E1, LEADERS_OF_ONE_MOMENT, Lead, Seen};

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

/// What any Raft's check asks of these settings.
fn settings(config: &Config) -> Settings {
    let mut exempt = std::collections::BTreeMap::new();
    if config.replication.is_some() {
        exempt.insert("L6".to_owned(), "what clients want takes messages too".to_owned());
    }
    Settings {
        exempt,
        election_timeout: (config.election_timeout_min, config.election_timeout_max),
        heartbeat: config.heartbeat,
        pre_vote: config.pre_vote,
        check_quorum: config.check_quorum,
        resend: config.resend,
        ..Settings::new(config.members.iter().copied())
    }
}

/// Why nobody can ever be elected, if that is so: the answers to a candidate come when it has given up on them.
pub fn unelectable(config: &Config, conditions: &Conditions) -> Option<String> {
    consensus::unelectable(&settings(config), conditions)
}

/// Watches the nodes of one cluster.
#[derive(Clone)]
pub struct RaftCheck {
    scope: Scope,
    /// A log is replicated, and not only leaders elected.
    replicates: bool,
    anyone: Check,
    armed: armed::Armed,
    /// Where each step is held to what is due of it.
    steps: Option<step::Steps>,
}

impl RaftCheck {
    /// A check of a cluster in which every node has these settings, and of what its links, disks and clocks let come about.
    pub fn new(config: &Config, conditions: &Conditions, scope: Scope) -> Self {
        Self {
            scope,
            replicates: config.replication.is_some(),
            anyone: Check::new(&settings(config), conditions),
            armed: armed::Armed::new(config),
            steps: matches!(scope, Scope::All | Scope::Safety).then(|| step::Steps::new(config)),
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
            Scope::History => self.history(id, seen, event).err(),
            Scope::OneLeaderPerTerm => {
                let breach = self.history(id, seen, event).err();
                self.follow(seen, event);
                breach.filter(|breach| breach.invariant == E1)
            }
            Scope::LeadersOfOneMoment => {
                let changed = self.follow(seen, event);
                changed.then(|| self.anyone.liveness.rivals(seen))?.map(Box::new)
            }
        }
    }

    /// Takes in what a node is now, if that is what the event tells. Says whether anything about it has changed.
    fn follow(&mut self, seen: Seen, event: &Event) -> bool {
        let Event::Stepped { status, .. } = event else { return false };
        self.anyone.liveness.is_now(status.id, seen, state(status))
    }

    fn safety(&mut self, id: NodeId, seen: Seen, event: &Event) -> Checked {
        self.history(id, seen, event)?;
        let Some(steps) = &mut self.steps else { return Ok(()) };
        if let Event::Stepped { status, now, done, deadline } = event {
            return steps.stepped(seen, status, (*now, *done), *deadline);
        }
        steps.event(id, seen, event);
        Ok(())
    }

    /// What must hold over history whatever the time is.
    fn history(&mut self, id: NodeId, seen: Seen, event: &Event) -> Checked {
        match event {
            Event::Stepped { status, done, .. } => self.stands(seen, status, *done),
            _ => event.fact().map_or(Ok(()), |fact| self.anyone.election.tell(id, seen, &fact)),
        }
    }

    /// E4, E7, E8 and E10 of what a node is after a step.
    #[inline]
    fn stands(&mut self, seen: Seen, status: &Status, done: Duration) -> Checked {
        let Status { id, role, term, leader, .. } = *status;
        let election = &mut self.anyone.election;
        election.stands(id, seen, role, term)?;
        self.armed.stepped(seen, status, done, election.role_seen(id))?;
        election.follows(id, seen, leader, term)
    }

    /// Each kind of event goes to those only who ask for it: there are several for each message.
    #[inline]
    fn all(&mut self, id: NodeId, seen: Seen, event: &Event) -> Option<Box<Breach>> {
        let Self { steps: Some(steps), .. } = self else { return None };
        match event {
            Event::Core(CoreEvent::TimerArmed { .. }) => return None,
            Event::Stepped { status, now, done, deadline } => {
                return self.stepped(seen, status, (*now, *done), *deadline);
            }
            Event::Core(CoreEvent::SteppedDown { .. }) => steps.event(id, seen, event),
            Event::Core(_) => {}
            Event::Sending { to, message } => steps.sending(id, *to, message),
            _ => steps.event(id, seen, event),
        }
        self.anyone.tell(id, seen, &event.fact()?)
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
        if let Err(breach) = self.stands(seen, status, done) {
            return Some(breach);
        }
        let due = self.steps.as_mut().map_or(Ok(()), |steps| steps.stepped(seen, status, (now, done), deadline));
        if let Err(breach) = due {
            return Some(breach);
        }
        self.anyone.is_given(status.leader);
        self.anyone.liveness.rests(status.id, seen, state(status))
    }

    /// A node's process has ended: it leads nobody any more. What it did still holds.
    pub fn down(&mut self, id: NodeId, seen: Seen) {
        self.anyone.down(id, seen);
    }

    /// A node's election timeout may be this long, as a script has it.
    pub fn allow_timeout(&mut self, id: NodeId, timeout: Duration) {
        self.armed.allow_timeout(id, timeout);
        self.steps.iter_mut().for_each(|steps| steps.allow_timeout(id, timeout));
    }

    /// From now on nothing disturbs the nodes, and all are alive that ever will be.
    pub fn calm(&mut self, at: Duration) {
        self.anyone.calm(at);
    }

    /// What is not checked under the conditions of the run, and why, a sentence each.
    pub fn unchecked(&self) -> Vec<String> {
        match self.scope {
            Scope::All if self.replicates => self.anyone.unchecked(),
            // Of a log that stands still nothing is applied, and that is no news.
            Scope::All => self.anyone.unbounded(),
            _ => Vec::new(),
        }
    }

    /// How long after the nodes were [left alone](Self::calm) a majority is to have a leader; `None`: nobody can tell.
    pub fn election_time(&self) -> Option<Duration> {
        self.anyone.election_time()
    }

    /// From this time on the lead must not change (L5).
    pub fn stable_from(&mut self, at: Duration) {
        self.anyone.stable_from(at);
    }

    /// The run is over: what should have come about by now has.
    pub fn at_end(&self, at: Duration) -> Option<Breach> {
        (self.scope == Scope::All).then(|| self.anyone.at_end(at))?
    }

    /// What the nodes agree on.
    pub fn agreement(&self) -> &Agreement {
        self.anyone.agreement()
    }

    /// How often that was found out anew: as long as this is the same, [`agreement`](Self::agreement) is.
    pub fn agreed(&self) -> u64 {
        self.anyone.agreed()
    }

    /// Writes all that [`Scope::History`] goes by but when it was seen: two checks that write the same judge the same. `name` gives a
    /// node's name.
    pub fn write_memory(&self, name: &dyn Fn(NodeId) -> u8, bytes: &mut Vec<u8>) {
        self.anyone.write_memory(name, bytes);
    }

    /// A node, as it last told of itself, if it is alive.
    pub fn state(&self, id: NodeId) -> Option<State> {
        self.anyone.state(id)
    }
}

#[inline]
fn state(status: &Status) -> State {
    State { role: status.role, term: status.term, leader: status.leader }
}
