//! The election as dialogues. The cases are those of the tests of etcd's raft, of canonical/raft and of CCF that are
//! about elections, and what the paper and the dissertation demand beyond them; then the log's.

mod durability;
mod election;
mod leadership;
mod log;
mod pipeline;
mod pre_vote;
mod quorum;
mod reads;
mod timer;
mod transfer;
mod votes;

use super::event::{Ignored, Refusal, StepDown, TransferRefusal};
use super::message::{AppendEntries, AppendEntriesResponse, Conflict, PreVoteResponse, RequestVoteResponse};
use super::testing::{
    Cluster, entries, heard, heartbeat, ms, n, pre_vote, request_vote, request_vote_with_log, timeout_now, vote,
};
use super::{Core, Declined, Event, HardState, Input, LogPosition, Message, Output, ReadBy, Role, Term};
