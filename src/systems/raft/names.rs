//! What a script may name of a cluster: its counters, and the roles of its nodes.

use super::cluster::Cluster;
use crate::raft::Role;

/// All that is counted.
pub(super) const COUNTERS: [&str; 21] = [
    "calls answered",
    "calls not done",
    "calls unknown",
    "clock jumps",
    "commits",
    "elections",
    "leaders",
    "leads handed over",
    "messages",
    "pre-votes",
    "proposals",
    "rejected datagrams",
    "send failures",
    "split votes",
    "step-downs",
    "terms",
    "torn logs",
    "transfers",
    "truncations",
    "votes granted",
    "votes refused",
];

/// A role, as a script names it. A pre-candidate is a candidate.
pub(super) fn role_name(role: Role) -> &'static str {
    match role {
        Role::Leader => "leader",
        Role::Follower => "follower",
        Role::PreCandidate | Role::Candidate => "candidate",
    }
}

/// The nodes in a role, as far as they live. Of several leaders, that of the newest term: the others do not know yet that
/// they are none.
pub(super) fn who_is(cluster: &Cluster, role: Role) -> Vec<String> {
    let mut those = cluster.states();
    those.retain(|(_, state)| role_name(state.role) == role_name(role));
    if role == Role::Leader {
        let newest = those.iter().map(|(_, state)| state.term).max();
        those.retain(|(_, state)| Some(state.term) == newest);
    }
    those.into_iter().map(|(id, _)| id.to_string()).collect()
}
