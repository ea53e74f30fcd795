//! A node's events in the words of any Raft.

use super::server::Event;
use super::{Event as CoreEvent, Message, Role, Status};
use crate::consensus::{Fact, Says};

impl Event {
    /// What this tells in the vocabulary of any Raft, if it tells anything in it.
    #[inline]
    pub fn fact(&self) -> Option<Fact> {
        match self {
            Self::Core(event) => event.fact(),
            Self::Loaded(state) => Some(Fact::Loaded(*state)),
            Self::Persisted(state) => Some(Fact::Persisted(*state)),
            Self::Sending { to, message } => {
                Some(Fact::Sending { to: *to, term: message.term(), says: message.says() })
            }
            Self::Received { from, message } => match **message {
                Message::AppendEntriesResponse(ref answer) => Some(Fact::Answered { by: *from, term: answer.term }),
                _ => None,
            },
            Self::Stepped { status, .. } => Some(status.fact()),
            // The state after an entry is the same at every node, and the more so the entry.
            Self::Applied { index, term, digest } => Some(Fact::Applied { index: *index, term: *term, hash: *digest }),
            _ => None,
        }
    }
}

impl CoreEvent {
    #[inline]
    fn fact(&self) -> Option<Fact> {
        match *self {
            Self::TermRaised { to, .. } => Some(Fact::Entered { term: to }),
            Self::BecameFollower { term, .. } => Some(Fact::became(Role::Follower, term)),
            Self::BecamePreCandidate { term } => Some(Fact::became(Role::PreCandidate, term)),
            Self::BecameCandidate { term, transfer } => {
                Some(Fact::Became { role: Role::Candidate, term, asked: transfer })
            }
            Self::BecameLeader { term, .. } => Some(Fact::became(Role::Leader, term)),
            _ => None,
        }
    }
}

impl Message {
    /// A pre-vote is of the term that its sender is in.
    #[inline]
    fn says(&self) -> Says {
        match self {
            Self::RequestVote(_) => Says::Candidacy,
            Self::RequestVoteResponse(answer) if answer.vote_granted => Says::Vote,
            Self::AppendEntries(_) | Self::TimeoutNow(_) => Says::Lead,
            _ => Says::Other,
        }
    }
}

impl Status {
    #[inline]
    fn fact(&self) -> Fact {
        Fact::Is { role: self.role, term: self.term, leader: self.leader }
    }
}
