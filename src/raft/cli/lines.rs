//! A node's changes as lines for a person.

use std::collections::BTreeMap;

use crate::raft::event::StepDown;
use crate::raft::server::Event;
use crate::raft::{Event as Core, NodeId, Role, Term};

/// What an event changed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Change {
    /// The node knows whom to follow.
    Follows {
        /// The leader.
        leader: NodeId,
        /// Its term.
        term: Term,
    },
    /// Anything else, behind the node's name.
    Other(String),
}

/// Picks what is worth a line out of one node's events. What does not change is told once.
#[derive(Debug, Default)]
pub(super) struct Narrator {
    last: Option<Change>,
    silent: BTreeMap<NodeId, std::io::ErrorKind>,
}

impl Narrator {
    /// The change that an event is, if it is one.
    pub(super) fn tell(&mut self, event: &Event) -> Option<Change> {
        let change = match event {
            Event::Core(core) => role_change(core)?,
            Event::SendFailed { to, why } if self.silent.insert(*to, *why) != Some(*why) => {
                return Some(Change::Other(format!("cannot send to {to}: {why}")));
            }
            Event::SocketError { why } => Change::Other(format!("cannot receive: {why}")),
            Event::Received { from, .. } => {
                self.silent.remove(from);
                return None;
            }
            _ => return None,
        };
        if self.last.as_ref() == Some(&change) {
            return None;
        }
        self.last = Some(change.clone());
        Some(change)
    }
}

fn role_change(event: &Core) -> Option<Change> {
    Some(Change::Other(match event {
        Core::Booted { term: 0, .. } => "starts as a new follower".to_owned(),
        Core::Booted { term, voted_for, .. } => {
            let vote = voted_for.map_or_else(|| "nobody".to_owned(), |id| id.to_string());
            format!("starts again, as a follower in term {term} (voted for {vote})")
        }
        Core::LeaderFound { term, leader } | Core::BecameFollower { term, leader: Some(leader), .. } => {
            return Some(Change::Follows { leader: *leader, term: *term });
        }
        // A leader has said that it stepped down, and a follower stays one.
        Core::BecameFollower { was: Role::Leader | Role::Follower, .. } => return None,
        Core::BecameFollower { term, was, .. } => format!("became follower in term {term}, no longer {was}"),
        Core::BecamePreCandidate { term } => format!("became pre-candidate in term {term}"),
        Core::BecameCandidate { term, .. } => format!("became candidate in term {term}"),
        Core::BecameLeader { term, voters } => {
            format!("became leader of term {term} (votes: {})", names(voters))
        }
        Core::SteppedDown { term, why } => {
            let why = match why {
                StepDown::HigherTerm => "there is a newer term",
                StepDown::QuorumLost => "no majority answers",
                StepDown::DiskStalled => "its disk stands still",
            };
            format!("stepped down as leader of term {term}: {why}")
        }
        _ => return None,
    }))
}

/// Nodes, as `n1 n2 n5`.
pub(super) fn names<'a>(ids: impl IntoIterator<Item = &'a NodeId>) -> String {
    ids.into_iter().map(NodeId::to_string).collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use std::io::ErrorKind;

    use super::*;
    use crate::raft::Message;
    use crate::raft::message::TimeoutNow;

    fn other(text: &str) -> Change {
        Change::Other(text.to_owned())
    }

    #[test]
    fn a_line_comes_with_a_change_and_not_again() {
        let mut narrator = Narrator::default();
        let mut tell = |core| narrator.tell(&Event::Core(core));
        assert_eq!(tell(Core::BecamePreCandidate { term: 2 }), Some(other("became pre-candidate in term 2")));
        assert_eq!(tell(Core::BecamePreCandidate { term: 2 }), None, "it asks again");
        assert_eq!(tell(Core::BecameCandidate { term: 3, transfer: false }), Some(other("became candidate in term 3")));
        let voters = vec![NodeId(1), NodeId(2)];
        assert_eq!(tell(Core::BecameLeader { term: 3, voters }), Some(other("became leader of term 3 (votes: n1 n2)")));
        let why = StepDown::QuorumLost;
        assert_eq!(
            tell(Core::SteppedDown { term: 3, why }),
            Some(other("stepped down as leader of term 3: no majority answers"))
        );
        assert_eq!(tell(Core::BecameFollower { term: 3, was: Role::Leader, leader: None }), None);
        let follows = Some(Change::Follows { leader: NodeId(2), term: 4 });
        assert_eq!(tell(Core::LeaderFound { term: 4, leader: NodeId(2) }), follows);
        assert_eq!(tell(Core::TermRaised { from: 3, to: 4 }), None);
    }

    #[test]
    fn a_peer_that_cannot_be_sent_to_is_named_once_until_it_is_heard() {
        let mut narrator = Narrator::default();
        let failed = || Event::SendFailed { to: NodeId(2), why: ErrorKind::HostUnreachable };
        assert_eq!(narrator.tell(&failed()), Some(other("cannot send to n2: host unreachable")));
        assert_eq!(narrator.tell(&failed()), None);
        let message = Message::TimeoutNow(TimeoutNow { term: 1 });
        assert_eq!(narrator.tell(&Event::Received { from: NodeId(2), message: std::rc::Rc::new(message) }), None);
        assert!(narrator.tell(&failed()).is_some());
    }
}
