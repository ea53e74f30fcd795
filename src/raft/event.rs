//! What a core tells of itself: what it became, and why it did or did not do something.

use std::fmt;
use std::time::Duration;

use super::{Fields, LogIndex, NodeId, Role, Term};
use crate::events::Value;

/// Something that happened in a core.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// The node started, as a follower, with what its disk had.
    Booted {
        /// Its durable term.
        term: Term,
        /// Its durable vote in that term.
        voted_for: Option<NodeId>,
        /// When its election timer is due.
        timer_at: Duration,
    },
    /// The node follows, whether or not it knows whom.
    BecameFollower {
        /// The term it is in now.
        term: Term,
        /// What it was before.
        was: Role,
        /// The leader, where it is known.
        leader: Option<NodeId>,
    },
    /// The node asks whether it could win an election.
    BecamePreCandidate {
        /// The term it stays in; the election would be in the next.
        term: Term,
    },
    /// The node campaigns.
    BecameCandidate {
        /// The new term.
        term: Term,
        /// The leader told it to.
        transfer: bool,
    },
    /// The node won.
    BecameLeader {
        /// The term it leads.
        term: Term,
        /// Whose votes it counted, itself included.
        voters: Vec<NodeId>,
    },
    /// A leader gave up its lead; [`Event::BecameFollower`] comes next.
    SteppedDown {
        /// The term it led.
        term: Term,
        /// The reason.
        why: StepDown,
    },
    /// A follower that knew no leader heard from one.
    LeaderFound {
        /// The leader's term.
        term: Term,
        /// The leader.
        leader: NodeId,
    },
    /// The node's term grew, and with it its vote became free.
    TermRaised {
        /// The term before.
        from: Term,
        /// The term now.
        to: Term,
    },
    /// The node is about to send its vote, which is durable; or its pre-vote, which binds it to nothing.
    VoteGranted {
        /// The candidate.
        to: NodeId,
        /// The term of the election.
        term: Term,
        /// It is a pre-vote.
        pre: bool,
    },
    /// The node does not vote for a candidate.
    VoteRefused {
        /// The candidate.
        to: NodeId,
        /// The term of the election.
        term: Term,
        /// It was asked for a pre-vote.
        pre: bool,
        /// The reason.
        why: Refusal,
    },
    /// A candidate counted a vote.
    VoteCounted {
        /// The voter.
        from: NodeId,
        /// The term of the election.
        term: Term,
        /// It is a pre-vote.
        pre: bool,
        /// How many it has, with this one.
        votes: usize,
        /// How many it needs.
        needed: usize,
    },
    /// A candidate was refused a vote.
    VoteDenied {
        /// Who refused.
        from: NodeId,
        /// The term of the election.
        term: Term,
        /// It is a pre-vote.
        pre: bool,
    },
    /// The election timer runs, from now, with a fresh timeout.
    TimerArmed {
        /// When it is due.
        at: Duration,
    },
    /// A leader began to hand over its lead.
    TransferStarted {
        /// The successor.
        to: NodeId,
    },
    /// A transfer was asked for that cannot be.
    TransferRefused {
        /// The successor that was named.
        to: NodeId,
        /// The reason.
        why: TransferRefusal,
    },
    /// The successor did not take over in time: the leader goes on.
    TransferAborted {
        /// The successor.
        to: NodeId,
    },
    /// Entries came to the end of the log, which is not durable yet.
    Appended {
        /// The index of the first of them.
        first: LogIndex,
        /// The index of the last.
        last: LogIndex,
        /// The term of the last.
        term: Term,
    },
    /// The end of the log contradicted the leader's, and was cut off.
    Truncated {
        /// The index of the first entry that is gone.
        from: LogIndex,
    },
    /// The log is durable further than before.
    Durable {
        /// Up to where.
        index: LogIndex,
    },
    /// More of the log is known to be committed.
    Committed {
        /// Up to where.
        index: LogIndex,
        /// The term that the node is in.
        term: Term,
    },
    /// What a leader knows of a peer may have changed.
    Progressed {
        /// The peer.
        peer: NodeId,
        /// `matchIndex`.
        match_index: LogIndex,
        /// `nextIndex`.
        next_index: LogIndex,
    },
    /// A message changed nothing.
    Ignored {
        /// Its sender.
        from: NodeId,
        /// Its name.
        message: &'static str,
        /// Its term.
        term: Term,
        /// The reason.
        why: Ignored,
    },
}

/// Why a leader stepped down.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StepDown {
    /// It learned of a newer term.
    HigherTerm,
    /// It had not heard from a majority for the largest election timeout.
    QuorumLost,
    /// A peer could write what its own disk could not for as long as that.
    DiskStalled,
}

/// Why a vote was not granted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// The candidate's term is over.
    StaleTerm,
    /// The vote of this term is somebody else's.
    AlreadyVoted,
    /// The voter's log is more up to date than the candidate's (§5.4.1).
    StaleLog,
    /// The leader is alive: the voter heard from it a short while ago, or is it.
    LeaderAlive,
}

/// Why a transfer of leadership was not begun.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TransferRefusal {
    /// Only a leader can hand over its lead.
    NotLeader,
    /// The successor is the leader itself, or no member.
    NotAPeer,
}

/// Why a message was ignored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ignored {
    /// The sender is no member, or the node itself.
    NotAPeer,
    /// It belongs to a term that is over.
    Stale,
    /// It answers what the node does not ask (any more).
    NotAsked,
    /// It claims the lead in a term that this node leads.
    Rival,
    /// Its term is beyond [`TERM_MAX`](super::TERM_MAX).
    TermTooHigh,
    /// It contradicts what is committed, which no message of a leader does.
    Contradiction,
}

impl Event {
    /// Whether a node whose election timer ran out becomes this, or does this on the way.
    pub fn is_campaign(&self) -> bool {
        matches!(
            self,
            Self::BecamePreCandidate { .. } | Self::BecameCandidate { transfer: false, .. } | Self::TermRaised { .. }
        )
    }

    /// Whether the node has another role than before.
    pub fn is_new_role(&self) -> bool {
        matches!(
            self,
            Self::BecameFollower { .. }
                | Self::BecamePreCandidate { .. }
                | Self::BecameCandidate { .. }
                | Self::BecameLeader { .. }
        )
    }

    /// The event's name in a trace.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Booted { .. } => "booted",
            Self::BecameFollower { .. } => "became-follower",
            Self::BecamePreCandidate { .. } => "became-pre-candidate",
            Self::BecameCandidate { .. } => "became-candidate",
            Self::BecameLeader { .. } => "became-leader",
            Self::SteppedDown { .. } => "stepped-down",
            Self::LeaderFound { .. } => "leader-found",
            Self::TermRaised { .. } => "term-raised",
            Self::VoteGranted { .. } => "vote-granted",
            Self::VoteRefused { .. } => "vote-refused",
            Self::VoteCounted { .. } => "vote-counted",
            Self::VoteDenied { .. } => "vote-denied",
            Self::TimerArmed { .. } => "timer-armed",
            Self::TransferStarted { .. } => "transfer-started",
            Self::TransferRefused { .. } => "transfer-refused",
            Self::TransferAborted { .. } => "transfer-aborted",
            Self::Appended { .. } => "appended",
            Self::Truncated { .. } => "truncated",
            Self::Durable { .. } => "durable",
            Self::Committed { .. } => "committed",
            Self::Progressed { .. } => "progressed",
            Self::Ignored { .. } => "ignored",
        }
    }

    /// The event's fields in order. A node is its [`NodeId`] as text, `none` where there is none; times are
    /// microseconds on the node's own clock.
    pub fn fields(&self) -> Fields {
        match self {
            Self::Booted { term, voted_for, timer_at } => {
                vec![("term", (*term).into()), ("voted_for", maybe(*voted_for)), ("timer_at_us", micros(*timer_at))]
            }
            Self::BecameFollower { term, was, leader } => {
                vec![("term", (*term).into()), ("was", was.name().into()), ("leader", maybe(*leader))]
            }
            Self::BecamePreCandidate { term } => vec![("term", (*term).into())],
            Self::BecameCandidate { term, transfer } => {
                vec![("term", (*term).into()), ("transfer", (*transfer).into())]
            }
            Self::BecameLeader { term, voters } => {
                let voters: Vec<_> = voters.iter().map(NodeId::to_string).collect();
                vec![("term", (*term).into()), ("voters", voters.join(" ").into())]
            }
            Self::SteppedDown { term, why } => vec![("term", (*term).into()), ("why", why.name().into())],
            Self::LeaderFound { term, leader } => vec![("term", (*term).into()), ("leader", node(*leader))],
            Self::TermRaised { from, to } => vec![("from", (*from).into()), ("to", (*to).into())],
            Self::VoteGranted { to, term, pre } => {
                vec![("to", node(*to)), ("term", (*term).into()), ("pre", (*pre).into())]
            }
            Self::VoteRefused { to, term, pre, why } => {
                vec![("to", node(*to)), ("term", (*term).into()), ("pre", (*pre).into()), ("why", why.name().into())]
            }
            Self::VoteCounted { from, term, pre, votes, needed } => vec![
                ("from", node(*from)),
                ("term", (*term).into()),
                ("pre", (*pre).into()),
                ("votes", (*votes as u64).into()),
                ("needed", (*needed as u64).into()),
            ],
            Self::VoteDenied { from, term, pre } => {
                vec![("from", node(*from)), ("term", (*term).into()), ("pre", (*pre).into())]
            }
            Self::TimerArmed { at } => vec![("at_us", micros(*at))],
            Self::TransferStarted { to } | Self::TransferAborted { to } => vec![("to", node(*to))],
            Self::TransferRefused { to, why } => vec![("to", node(*to)), ("why", why.name().into())],
            Self::Appended { first, last, term } => {
                vec![("first", (*first).into()), ("last", (*last).into()), ("term", (*term).into())]
            }
            Self::Truncated { from } => vec![("from", (*from).into())],
            Self::Durable { index } => vec![("index", (*index).into())],
            Self::Committed { index, term } => vec![("index", (*index).into()), ("term", (*term).into())],
            Self::Progressed { peer, match_index, next_index } => vec![
                ("peer", node(*peer)),
                ("match_index", (*match_index).into()),
                ("next_index", (*next_index).into()),
            ],
            Self::Ignored { from, message, term, why } => vec![
                ("from", node(*from)),
                ("message", (*message).into()),
                ("term", (*term).into()),
                ("why", why.name().into()),
            ],
        }
    }
}

impl fmt::Display for Event {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())?;
        for (name, value) in self.fields() {
            write!(f, " {name}={value}")?;
        }
        Ok(())
    }
}

fn node(id: NodeId) -> Value {
    id.to_string().into()
}

fn maybe(id: Option<NodeId>) -> Value {
    id.map_or_else(|| "none".into(), node)
}

fn micros(at: Duration) -> Value {
    u64::try_from(at.as_micros()).unwrap_or(u64::MAX).into()
}

impl StepDown {
    /// The reason in a trace.
    pub fn name(self) -> &'static str {
        match self {
            Self::HigherTerm => "higher-term",
            Self::QuorumLost => "quorum-lost",
            Self::DiskStalled => "disk-stalled",
        }
    }
}

impl Refusal {
    /// The reason in a trace.
    pub fn name(self) -> &'static str {
        match self {
            Self::StaleTerm => "stale-term",
            Self::AlreadyVoted => "already-voted",
            Self::StaleLog => "stale-log",
            Self::LeaderAlive => "leader-alive",
        }
    }
}

impl TransferRefusal {
    /// The reason in a trace.
    pub fn name(self) -> &'static str {
        match self {
            Self::NotLeader => "not-leader",
            Self::NotAPeer => "not-a-peer",
        }
    }
}

impl Ignored {
    /// The reason in a trace.
    pub fn name(self) -> &'static str {
        match self {
            Self::NotAPeer => "not-a-peer",
            Self::Stale => "stale",
            Self::NotAsked => "not-asked",
            Self::Rival => "rival",
            Self::TermTooHigh => "term-too-high",
            Self::Contradiction => "contradiction",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_event_is_shown_with_its_fields_in_order() {
        let won = Event::BecameLeader { term: 4, voters: vec![NodeId(1), NodeId(3)] };
        assert_eq!(won.to_string(), "became-leader term=4 voters=n1 n3");
        let booted = Event::Booted { term: 0, voted_for: None, timer_at: Duration::from_millis(150) };
        assert_eq!(booted.to_string(), "booted term=0 voted_for=none timer_at_us=150000");
    }
}
