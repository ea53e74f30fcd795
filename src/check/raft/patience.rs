//! L2, at each step: whoever has just granted its vote, or heard its leader, gives it time (raft paper, figure 2, rules
//! for followers).

use std::time::Duration;

use super::Seen;
use super::liveness::L2;
use crate::raft::by_node::ByNode;
use crate::raft::server::Event;
use crate::raft::{Config, Event as CoreEvent, Message, NodeId, Role, Status, Term};
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
    owed: ByNode<Owed>,
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
        self.owed.remove(id);
    }

    pub(super) fn event(&mut self, id: NodeId, seen: Seen, event: &Event) -> Option<Breach> {
        match event {
            Event::Core(CoreEvent::VoteGranted { to, pre: false, .. }) => {
                self.owed.insert(id, Owed::Vote { to: *to, seen });
                None
            }
            Event::Received { from, message: Message::AppendEntries(append) } => {
                self.owed.insert(id, Owed::Heartbeat { from: *from, term: append.term, seen });
                None
            }
            Event::Stepped { status, now } => {
                self.owed.remove(id).and_then(|owed| self.paid(&owed, seen, status, *now))
            }
            _ => None,
        }
    }

    /// `now`: on the node's own clock, as its timer.
    fn paid(&self, owed: &Owed, (at, record): Seen, status: &Status, now: Duration) -> Option<Breach> {
        if let Owed::Heartbeat { from, term, .. } = *owed
            && (status.term != term || status.leader != Some(from))
        {
            return None;
        }
        let least = self.allowed.get(status.id).map_or(self.timeout_min, |allowed| self.timeout_min.min(*allowed));
        let due = status.timer_at.filter(|due| status.role != Role::Leader && *due < now + least)?;
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
