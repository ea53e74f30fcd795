//! The election as dialogues. The cases are those of the tests of etcd's raft, of canonical/raft and of CCF that are
//! about elections, and what the paper and the dissertation demand beyond them.

mod durability;
mod election;
mod leadership;
mod pre_vote;
mod quorum;
mod timer;
mod transfer;
mod votes;

use super::event::{Ignored, Refusal, StepDown, TransferRefusal};
use super::message::{PreVoteResponse, RequestVoteResponse};
use super::testing::{
    Cluster, heard, heartbeat, ms, n, pre_vote, request_vote, request_vote_with_log, timeout_now, vote,
};
use super::{Core, Event, HardState, Input, LogPosition, Message, Output, Role};
