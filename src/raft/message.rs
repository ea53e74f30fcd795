//! What the members of a cluster say to each other: one struct for each RPC of the paper, and one for its answer.
//!
//! A message says nothing of its sender and its receiver: the envelope does. Where the paper passes `candidateId` or
//! `leaderId`, the sender is meant. Every message carries the term that its sender is in, so that whoever is behind
//! learns of it, whatever else the message says.

use std::fmt;

use super::log::Entry;
use super::{Fields, LogIndex, Term};

/// Asks whether a vote would be granted, before a term is spent on it (dissertation §9.6).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PreVote {
    /// The sender's `currentTerm`. The election that it asks about would be in the term after it.
    pub term: Term,
    /// `lastLogIndex`: the index of the sender's last log entry, 0 when it has none.
    pub last_log_index: LogIndex,
    /// `lastLogTerm`: the term of the sender's last log entry, 0 when it has none.
    pub last_log_term: Term,
}

/// The answer to a [`PreVote`]. Granting binds nobody: nothing is written, and others may be granted the same.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PreVoteResponse {
    /// The answering server's `currentTerm`; a pre-candidate that is behind it becomes its follower.
    pub term: Term,
    /// The [`PreVote::term`] that this answers, so that the answer to an older one is not counted.
    pub request_term: Term,
    /// `voteGranted`: whether the answering server would vote for the sender in the term after `request_term`.
    pub vote_granted: bool,
}

/// Asks for a vote (figure 2, `RequestVote` RPC).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RequestVote {
    /// `term`: the candidate's term.
    pub term: Term,
    /// `lastLogIndex`: the index of the candidate's last log entry, 0 when it has none.
    pub last_log_index: LogIndex,
    /// `lastLogTerm`: the term of the candidate's last log entry, 0 when it has none.
    pub last_log_term: Term,
    /// The leader itself told the candidate to campaign, so a leader that is alive is no reason to disregard the
    /// request (dissertation §4.2.3).
    pub transfer: bool,
}

/// The answer to a [`RequestVote`] (figure 2).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RequestVoteResponse {
    /// `term`: the answering server's `currentTerm`, for the candidate to update itself.
    pub term: Term,
    /// `voteGranted`: the candidate has this server's vote in `term`.
    pub vote_granted: bool,
}

/// Replicates log entries; without entries it is a heartbeat (figure 2, `AppendEntries` RPC).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AppendEntries {
    /// `term`: the leader's term.
    pub term: Term,
    /// `prevLogIndex`: the index of the entry that comes just before the new ones.
    pub prev_log_index: LogIndex,
    /// `prevLogTerm`: the term of that entry.
    pub prev_log_term: Term,
    /// `entries[]`: the entries to store, those that come after that one, in order.
    pub entries: Vec<Entry>,
    /// `leaderCommit`: the leader's `commitIndex`.
    pub leader_commit: LogIndex,
    /// Which of the leader's `AppendEntries` in its term this is, counted from 1, whoever they are for; 0 from a leader
    /// whose log stands still. The answer names it, so that it is known what the answer is caused by.
    pub round: u64,
}

/// The answer to [`AppendEntries`] (figure 2).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AppendEntriesResponse {
    /// `term`: the answering server's `currentTerm`, for a leader that is stale to learn of it.
    pub term: Term,
    /// `success`: the follower's log has the entry at `prevLogIndex` with `prevLogTerm`.
    pub success: bool,
    /// With success, up to where the follower's log is the leader's, and durable: `mmatchIndex` of the dissertation's
    /// specification (appendix B.2). Datagrams are lost and overtaken, so an answer says what it is an answer to.
    pub match_index: LogIndex,
    /// The latest [`AppendEntries::round`] of this leader that the follower had taken in.
    pub round: u64,
    /// Without success, where the logs may meet.
    pub conflict: Option<Conflict>,
}

/// Where a follower's log parts from the leader's (§5.3: the term of the conflicting entry, and the first index it
/// stores for that term).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Conflict {
    /// The `prevLogIndex` that was refused.
    pub rejected: LogIndex,
    /// The term of the follower's entry there; 0: its log ends before.
    pub term: Term,
    /// The first index of that term in the follower's log, as far as it is known; or, where its log ends before, the index
    /// after its last.
    pub first_index: LogIndex,
}

/// The leader tells its successor to campaign at once (dissertation §3.10).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TimeoutNow {
    /// The leader's term.
    pub term: Term,
}

/// Any of the messages.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Message {
    /// See [`PreVote`].
    PreVote(PreVote),
    /// See [`PreVoteResponse`].
    PreVoteResponse(PreVoteResponse),
    /// See [`RequestVote`].
    RequestVote(RequestVote),
    /// See [`RequestVoteResponse`].
    RequestVoteResponse(RequestVoteResponse),
    /// See [`AppendEntries`].
    AppendEntries(AppendEntries),
    /// See [`AppendEntriesResponse`].
    AppendEntriesResponse(AppendEntriesResponse),
    /// See [`TimeoutNow`].
    TimeoutNow(TimeoutNow),
}

impl Message {
    /// Every name that [`name`](Self::name) gives.
    pub const NAMES: [&str; 7] = [
        "PreVote",
        "PreVoteResponse",
        "RequestVote",
        "RequestVoteResponse",
        "AppendEntries",
        "AppendEntriesResponse",
        "TimeoutNow",
    ];

    /// The message's name, as scripts and traces write it.
    pub fn name(&self) -> &'static str {
        match self {
            Self::PreVote(_) => "PreVote",
            Self::PreVoteResponse(_) => "PreVoteResponse",
            Self::RequestVote(_) => "RequestVote",
            Self::RequestVoteResponse(_) => "RequestVoteResponse",
            Self::AppendEntries(_) => "AppendEntries",
            Self::AppendEntriesResponse(_) => "AppendEntriesResponse",
            Self::TimeoutNow(_) => "TimeoutNow",
        }
    }

    /// The term that the sender is in.
    pub fn term(&self) -> Term {
        match self {
            Self::PreVote(m) => m.term,
            Self::PreVoteResponse(m) => m.term,
            Self::RequestVote(m) => m.term,
            Self::RequestVoteResponse(m) => m.term,
            Self::AppendEntries(m) => m.term,
            Self::AppendEntriesResponse(m) => m.term,
            Self::TimeoutNow(m) => m.term,
        }
    }

    /// The fields in order, under the names they have here.
    pub fn fields(&self) -> Fields {
        let mut fields: Fields = vec![("term", self.term().into())];
        match self {
            Self::PreVote(PreVote { last_log_index, last_log_term, .. }) => {
                fields
                    .extend([("last_log_index", (*last_log_index).into()), ("last_log_term", (*last_log_term).into())]);
            }
            Self::RequestVote(m) => fields.extend([
                ("last_log_index", m.last_log_index.into()),
                ("last_log_term", m.last_log_term.into()),
                ("transfer", m.transfer.into()),
            ]),
            Self::PreVoteResponse(m) => {
                fields.extend([("request_term", m.request_term.into()), ("vote_granted", m.vote_granted.into())]);
            }
            Self::RequestVoteResponse(m) => fields.push(("vote_granted", m.vote_granted.into())),
            Self::AppendEntries(m) => {
                fields.extend([
                    ("prev_log_index", m.prev_log_index.into()),
                    ("prev_log_term", m.prev_log_term.into()),
                    ("entries", (m.entries.len() as u64).into()),
                    ("leader_commit", m.leader_commit.into()),
                ]);
                fields.extend((m.round > 0).then(|| ("round", m.round.into())));
            }
            Self::AppendEntriesResponse(m) => {
                fields.extend([("success", m.success.into()), ("match_index", m.match_index.into())]);
                fields.extend((m.round > 0).then(|| ("round", m.round.into())));
                if let Some(conflict) = &m.conflict {
                    fields.extend([
                        ("rejected", conflict.rejected.into()),
                        ("conflict_term", conflict.term.into()),
                        ("conflict_first_index", conflict.first_index.into()),
                    ]);
                }
            }
            Self::TimeoutNow(_) => {}
        }
        fields
    }
}

impl fmt::Display for Message {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())?;
        for (name, value) in self.fields() {
            write!(f, " {name}={value}")?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_is_shown_with_its_fields_in_order() {
        let ask = Message::RequestVote(RequestVote { term: 3, last_log_index: 7, last_log_term: 2, transfer: false });
        assert_eq!(ask.to_string(), "RequestVote term=3 last_log_index=7 last_log_term=2 transfer=false");
        assert!(Message::NAMES.contains(&ask.name()));
    }
}
