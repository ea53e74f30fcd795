//! L2, at each step: whoever has just granted its vote, or heard its leader, gives it time (raft paper, figure 2, rules
//! for followers).

use std::time::Duration;

use super::Seen;
use super::liveness::L2;
use crate::raft::by_node::ByNode;
use crate::raft::{Config, Event as CoreEvent, NodeId, Role, Status, Term};
use crate::sim::Breach;

/// What a node's present step owes somebody.
#[derive(Clone)]
enum Owed {
    /// It granted its vote.
    Vote { to: NodeId, seen: Seen },
    /// It heard from somebody who leads this term.
    Heartbeat { from: NodeId, term: Term, seen: Seen },
}

#[derive(Clone)]
pub(super) struct Patience {
    timeout_min: Duration,
    /// The shortest election timeout that a node was ever told to have.
    allowed: ByNode<Duration>,
    /// What each owes; whoever ever owed something has its place.
    owed: ByNode<Option<Owed>>,
}

impl Patience {
    pub(super) fn new(config: &Config) -> Self {
        Self { timeout_min: config.election_timeout_min, allowed: ByNode::default(), owed: ByNode::default() }
    }

    pub(super) fn allow_timeout(&mut self, id: NodeId, timeout: Duration) {
        let allowed = self.allowed.get(id).map_or(timeout, |allowed| timeout.min(*allowed));
        self.allowed.insert(id, allowed);
    }

    pub(super) fn down(&mut self, id: NodeId) {
        self.owe(id, None);
    }

    fn owe(&mut self, id: NodeId, owed: Option<Owed>) {
        match self.owed.get_mut(id) {
            Some(place) => *place = owed,
            None => _ = self.owed.insert(id, owed),
        }
    }

    pub(super) fn core(&mut self, id: NodeId, seen: Seen, event: &CoreEvent) {
        if let CoreEvent::VoteGranted { to, pre: false, .. } = event {
            self.owe(id, Some(Owed::Vote { to: *to, seen }));
        }
    }

    /// A node received a heartbeat.
    pub(super) fn heard_leader(&mut self, id: NodeId, from: NodeId, term: Term, seen: Seen) {
        self.owe(id, Some(Owed::Heartbeat { from, term, seen }));
    }

    /// `now`: on the node's own clock, as its timer.
    pub(super) fn stepped(&mut self, seen: Seen, status: &Status, now: Duration) -> Option<Box<Breach>> {
        let owed = self.owed.get_mut(status.id)?.take()?;
        self.paid(&owed, seen, status, now).map(Box::new)
    }

    fn paid(&self, owed: &Owed, (at, record): Seen, status: &Status, now: Duration) -> Option<Breach> {
        if let Owed::Heartbeat { from, term, .. } = *owed
            && (status.term != term || status.leader != Some(from))
        {
            return None;
        }
        let is_early = |due: &Duration, least: Duration| status.role != Role::Leader && *due < now + least;
        let due = status.timer_at.filter(|due| is_early(due, self.timeout_min))?;
        // Who was ever told to have a shorter one may be earlier: seldom worth a look.
        let least = self.allowed.get(status.id).map_or(self.timeout_min, |allowed| self.timeout_min.min(*allowed));
        if !is_early(&due, least) {
            return None;
        }
        let (what, since) = match *owed {
            Owed::Vote { to, seen } => (format!("granted its vote to {to}"), seen),
            Owed::Heartbeat { from, seen, .. } => (format!("heard its leader {from}"), seen),
        };
        let left = due.saturating_sub(now);
        let text = format!(
            "{} {what} in term {} and will campaign {left:?} later, {least:?} is the least",
            status.id, status.term
        );
        let breach = Breach::new(L2, text).fact(since.0, since.1, format!("{} {what}", status.id));
        Some(breach.fact(at, record, format!("its election timer is due in {left:?}")))
    }
}
