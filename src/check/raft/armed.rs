//! E8 in full: what a leader keeps of its vote, and that everybody else waits for somebody.

use std::time::Duration;

use crate::check::consensus::{Checked, E8, Seen, now};
use crate::raft::by_node::ByNode;
use crate::raft::{Config, NodeId, Role, Status};
use crate::sim::Breach;

#[derive(Clone)]
pub(super) struct Armed {
    timeout_max: Duration,
    /// The longest election timeout that a node was ever told to have, where that is beyond the settings'.
    allowed: ByNode<Duration>,
}

impl Armed {
    pub(super) fn new(config: &Config) -> Self {
        Self { timeout_max: config.election_timeout_max, allowed: ByNode::default() }
    }

    pub(super) fn allow_timeout(&mut self, id: NodeId, timeout: Duration) {
        let before = self.allowed.get(id).copied().unwrap_or_default();
        self.allowed.insert(id, before.max(timeout));
    }

    /// A node is this after a step, when its clock shows `shown`; it took on its role when `role_seen` says.
    #[inline]
    pub(super) fn stepped(&self, seen: Seen, status: &Status, shown: Duration, role_seen: Seen) -> Checked {
        let Status { id, role, term, voted_for, timer_at, .. } = *status;
        let (at, record) = role_seen;
        if role == Role::Leader && voted_for != Some(id) {
            let voted_for = voted_for.map_or("nobody".to_owned(), |id| id.to_string());
            let text = format!("{id} leads term {term} and its vote is {voted_for}'s");
            let breach = Breach::new(E8, text).fact(at, record, format!("{id} became leader"));
            return now(breach, seen, format!("its vote is {voted_for}'s"));
        }
        let due_max = shown + self.timeout_max.max(self.allowed.get(id).copied().unwrap_or_default());
        if role != Role::Leader && timer_at.is_none_or(|at| at > due_max) {
            let timer = timer_at.map_or("off".to_owned(), |at| format!("due in {:?}", at.saturating_sub(shown)));
            let text = format!("{id} is a {role} of term {term} and its election timer is {timer}");
            let breach = Breach::new(E8, text).fact(at, record, format!("{id} became a {role}"));
            return now(breach, seen, format!("its election timer is {timer}"));
        }
        Ok(())
    }
}
