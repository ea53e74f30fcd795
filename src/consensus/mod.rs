//! What a Raft tells of itself, whoever wrote it: a small vocabulary, and nothing of how it is built.
//!
//! A host of any Raft tells [`Fact`]s, as many kinds of them as it has. [`check::consensus`](crate::check::consensus) holds
//! them to what Raft promises. What a system cannot tell it says once ([`Part`]), and what is then not checked is said in
//! every run. Terms and names are those of the paper (Ongaro and Ousterhout 2014).
//!
//! | fact | when |
//! |---|---|
//! | [`Loaded`](Fact::Loaded) | the process starts, with this from its disk |
//! | [`Persisted`](Fact::Persisted) | this is on its disk now, synced |
//! | [`Entered`](Fact::Entered) | its term in memory grew; who tells [`Is`](Fact::Is) after each step need not |
//! | [`Became`](Fact::Became) | it took on a role; who tells [`Is`](Fact::Is) after each step need not |
//! | [`Is`](Fact::Is) | this is what it is, at rest, after a step |
//! | [`Sending`](Fact::Sending) | a message is about to leave |
//! | [`Answered`](Fact::Answered) | a leader took in that a follower heard it |
//! | [`Applied`](Fact::Applied) | an entry of the log was applied |

pub(crate) mod by_node;

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::events::Value;

/// A term (§5.1), counted from 1; 0 is that of a server that has seen none.
pub type Term = u64;

/// The index of a log entry, counted from 1; 0 stands before the first.
pub type LogIndex = u64;

/// A member of a cluster, shown as `n1`: hosts with these names read best. 0 is nobody's.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct NodeId(pub u64);

impl fmt::Display for NodeId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "n{}", self.0)
    }
}

/// What must survive a crash (figure 2, "Persistent state on all servers"), the log aside. Its default is a new node's.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct HardState {
    /// `currentTerm`: the latest term the server has seen.
    pub term: Term,
    /// `votedFor`: whom it voted for in this term.
    pub voted_for: Option<NodeId>,
}

/// The part that a server has in the protocol.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Role {
    /// Answers, and waits for a leader's silence.
    Follower,
    /// Asks whether it could win an election.
    PreCandidate,
    /// Asks for votes.
    Candidate,
    /// Leads its term.
    Leader,
}

impl Role {
    /// The role in a trace.
    pub fn name(self) -> &'static str {
        match self {
            Self::Follower => "follower",
            Self::PreCandidate => "pre-candidate",
            Self::Candidate => "candidate",
            Self::Leader => "leader",
        }
    }
}

impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// Something that a node tells of itself, at the moment at which it is so.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Fact {
    /// The process starts, as a follower, with what its disk had.
    Loaded(HardState),
    /// This is durable now.
    Persisted(HardState),
    /// Its term in memory grew.
    Entered {
        /// The term that it is in now.
        term: Term,
    },
    /// It took on a role. Who tells this tells it of every change.
    Became {
        /// The role.
        role: Role,
        /// The term that it is in now.
        term: Term,
        /// Of a candidate: its leader, or an operator, told it to campaign, and no timer ran out.
        asked: bool,
    },
    /// What it is, at rest. What it became meanwhile follows from it, where it does not say so itself; several changes may
    /// lie between two of these.
    Is {
        /// Its role.
        role: Role,
        /// Its term.
        term: Term,
        /// The leader of its term, itself included, where it knows one.
        leader: Option<NodeId>,
    },
    /// A message is about to leave. Questions before an election (pre-votes) need not be told, for their term may be one
    /// that nobody is in.
    Sending {
        /// Its receiver.
        to: NodeId,
        /// The term that it is of.
        term: Term,
        /// What it says.
        says: Says,
    },
    /// A leader took in a follower's answer to what it sent in this term: the follower heard it.
    Answered {
        /// The follower.
        by: NodeId,
        /// The term.
        term: Term,
    },
    /// An entry of the log was applied to the state machine.
    Applied {
        /// Its index.
        index: LogIndex,
        /// The term in which a leader took it on.
        term: Term,
        /// A hash of its content, the same at every node.
        hash: u64,
    },
}

/// What a message says that the checks ask for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Says {
    /// It grants its receiver the sender's vote.
    Vote,
    /// It asks for a vote, as one does who has voted for itself.
    Candidacy,
    /// What only the leader of a term says: entries, a heartbeat, a snapshot.
    Lead,
    /// Anything else.
    Other,
}

impl fmt::Display for Says {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Vote => "a vote",
            Self::Candidacy => "a request for a vote",
            Self::Lead => "a leader's message",
            Self::Other => "a message",
        })
    }
}

/// A part of the vocabulary, which a system has or does not have.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[repr(u8)]
pub enum Part {
    /// What is durable: [`Fact::Loaded`] and [`Fact::Persisted`].
    Durable,
    /// What a node is: [`Fact::Became`], or [`Fact::Is`].
    Roles,
    /// Whom it follows: the leader in [`Fact::Is`].
    Leader,
    /// Votes that leave: [`Says::Vote`] and [`Says::Candidacy`].
    Votes,
    /// A leader's messages: [`Says::Lead`].
    Leads,
    /// Each and every message: [`Says::Other`] besides.
    Messages,
    /// [`Fact::Answered`].
    Answers,
    /// [`Fact::Applied`].
    Applied,
}

impl Part {
    /// All of them.
    pub const ALL: [Self; 8] = [
        Self::Durable,
        Self::Roles,
        Self::Leader,
        Self::Votes,
        Self::Leads,
        Self::Messages,
        Self::Answers,
        Self::Applied,
    ];

    /// What is told, as a sentence has it: "it is not told …".
    pub fn name(self) -> &'static str {
        match self {
            Self::Durable => "what is durable",
            Self::Roles => "what role a node has",
            Self::Leader => "whom a node follows",
            Self::Votes => "which votes leave",
            Self::Leads => "what leaders send",
            Self::Messages => "of every message",
            Self::Answers => "which followers answer",
            Self::Applied => "what is applied",
        }
    }
}

impl Fact {
    /// A node became this, by itself.
    pub fn became(role: Role, term: Term) -> Self {
        Self::Became { role, term, asked: false }
    }

    /// Its name in a trace.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Loaded(_) => "loaded",
            Self::Persisted(_) => "persisted",
            Self::Entered { .. } => "entered-term",
            Self::Became { role, .. } | Self::Is { role, .. } => match role {
                Role::Follower => "became-follower",
                Role::PreCandidate => "became-pre-candidate",
                Role::Candidate => "became-candidate",
                Role::Leader => "became-leader",
            },
            Self::Sending { .. } => "sending",
            Self::Answered { .. } => "answered",
            Self::Applied { .. } => "applied",
        }
    }

    /// Its fields in a trace, in order. A node is its [`NodeId`] as text, `none` where there is none; a hash is 16
    /// hexadecimal digits.
    pub fn fields(&self) -> Vec<(&'static str, Value)> {
        let maybe = |id: Option<NodeId>| Value::from(id.map_or_else(|| "none".to_owned(), |id| id.to_string()));
        match *self {
            Self::Loaded(state) | Self::Persisted(state) => {
                vec![("term", state.term.into()), ("voted_for", maybe(state.voted_for))]
            }
            Self::Entered { term } => vec![("term", term.into())],
            Self::Became { term, asked, role } => {
                let asked = (role == Role::Candidate).then(|| ("asked", asked.into()));
                [("term", term.into())].into_iter().chain(asked).collect()
            }
            Self::Is { term, leader, .. } => vec![("term", term.into()), ("leader", maybe(leader))],
            Self::Sending { to, term, says } => {
                vec![("to", maybe(Some(to))), ("term", term.into()), ("says", says.to_string().into())]
            }
            Self::Answered { by, term } => vec![("by", maybe(Some(by))), ("term", term.into())],
            Self::Applied { index, term, hash } => {
                vec![("index", index.into()), ("term", term.into()), ("hash", format!("{hash:016x}").into())]
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fact_is_shown_by_its_name_and_its_fields() {
        let shown = |fact: Fact| {
            let fields: Vec<_> = fact.fields().iter().map(|(name, value)| format!("{name}={value}")).collect();
            format!("{} {}", fact.name(), fields.join(" "))
        };
        assert_eq!(shown(Fact::became(Role::Leader, 3)), "became-leader term=3");
        let asked = Fact::Became { role: Role::Candidate, term: 3, asked: true };
        assert_eq!(shown(asked), "became-candidate term=3 asked=true");
        assert_eq!(shown(Fact::Persisted(HardState::default())), "persisted term=0 voted_for=none");
        let applied = Fact::Applied { index: 7, term: 2, hash: 255 };
        assert_eq!(shown(applied), "applied index=7 term=2 hash=00000000000000ff");
    }

    #[test]
    fn parts_stand_at_their_places() {
        assert!(Part::ALL.iter().enumerate().all(|(place, part)| *part as usize == place));
    }
}
