//! The fields of messages, one after the other.

use bytes::{Buf, BufMut, Bytes};

use super::Rejected;
use crate::raft::TERM_MAX;
use crate::raft::log::{Entry, Payload};
use crate::raft::message::{
    AppendEntries, AppendEntriesResponse, Conflict, Message, PreVote, PreVoteResponse, RequestVote,
    RequestVoteResponse, TimeoutNow,
};

pub(super) fn put_message(bytes: &mut Vec<u8>, message: &Message) {
    match message {
        Message::PreVote(m) => put(bytes, 1, &[m.term, m.last_log_index, m.last_log_term]),
        Message::PreVoteResponse(m) => {
            put(bytes, 2, &[m.term, m.request_term]);
            bytes.put_u8(m.vote_granted.into());
        }
        Message::RequestVote(m) => {
            put(bytes, 3, &[m.term, m.last_log_index, m.last_log_term]);
            bytes.put_u8(m.transfer.into());
        }
        Message::RequestVoteResponse(m) => {
            put(bytes, 4, &[m.term]);
            bytes.put_u8(m.vote_granted.into());
        }
        Message::AppendEntries(m) if m.round == 0 && m.entries.is_empty() => {
            put(bytes, 5, &[m.term, m.prev_log_index, m.prev_log_term, m.leader_commit]);
            bytes.put_u32_le(0);
        }
        Message::AppendEntries(m) => {
            put(bytes, 8, &[m.term, m.prev_log_index, m.prev_log_term, m.leader_commit, m.round]);
            bytes.put_u32_le(length(m.entries.len()));
            m.entries.iter().for_each(|entry| put_entry(bytes, entry));
        }
        Message::AppendEntriesResponse(m) if m.round == 0 && m.conflict.is_none() => {
            put(bytes, 6, &[m.term, m.match_index]);
            bytes.put_u8(m.success.into());
        }
        Message::AppendEntriesResponse(m) => {
            put(bytes, 9, &[m.term, m.match_index, m.round]);
            bytes.put_u8(m.success.into());
            bytes.put_u8(m.conflict.is_some().into());
            if let Some(Conflict { rejected, term, first_index }) = m.conflict {
                [rejected, term, first_index].into_iter().for_each(|number| bytes.put_u64_le(number));
            }
        }
        Message::TimeoutNow(m) => put(bytes, 7, &[m.term]),
    }
}

/// An entry as it is in messages.
fn put_entry(bytes: &mut Vec<u8>, entry: &Entry) {
    bytes.put_u64_le(entry.term);
    let command: &[u8] = match &entry.payload {
        Payload::Blank => {
            bytes.put_u8(0);
            &[]
        }
        Payload::Command(command) => {
            bytes.put_u8(1);
            command
        }
    };
    bytes.put_u32_le(length(command.len()));
    bytes.put_slice(command);
}

fn put(bytes: &mut Vec<u8>, kind: u8, numbers: &[u64]) {
    bytes.put_u8(kind);
    numbers.iter().for_each(|number| bytes.put_u64_le(*number));
}

fn length(length: usize) -> u32 {
    u32::try_from(length).expect("what a datagram carries is counted in 32 bits")
}

pub(super) fn take_message(kind: u8, fields: &mut &[u8]) -> Result<Message, Rejected> {
    let term = take(fields)?;
    if term > TERM_MAX {
        return Err(Rejected::Malformed("its term is beyond any that a cluster reaches"));
    }
    Ok(match kind {
        1 => Message::PreVote(PreVote { term, last_log_index: take(fields)?, last_log_term: take(fields)? }),
        2 => {
            let (request_term, vote_granted) = (take(fields)?, take_bool(fields)?);
            Message::PreVoteResponse(PreVoteResponse { term, request_term, vote_granted })
        }
        3 => {
            let (last_log_index, last_log_term, transfer) = (take(fields)?, take(fields)?, take_bool(fields)?);
            Message::RequestVote(RequestVote { term, last_log_index, last_log_term, transfer })
        }
        4 => Message::RequestVoteResponse(RequestVoteResponse { term, vote_granted: take_bool(fields)? }),
        5 => {
            let (prev_log_index, prev_log_term, leader_commit) = (take(fields)?, take(fields)?, take(fields)?);
            if fields.try_get_u32_le().map_err(|_| CUT_SHORT)? != 0 {
                return Err(Rejected::Malformed("it has entries and is of a form that has none"));
            }
            let entries = Vec::new();
            let append = AppendEntries { term, prev_log_index, prev_log_term, entries, leader_commit, round: 0 };
            Message::AppendEntries(append)
        }
        6 => {
            let (match_index, success) = (take(fields)?, take_bool(fields)?);
            let answer = AppendEntriesResponse { term, success, match_index, round: 0, conflict: None };
            Message::AppendEntriesResponse(answer)
        }
        7 => Message::TimeoutNow(TimeoutNow { term }),
        8 => {
            let (prev_log_index, prev_log_term, leader_commit) = (take(fields)?, take(fields)?, take(fields)?);
            let (round, entries) = (take(fields)?, take_entries(fields, prev_log_term, term)?);
            let append = AppendEntries { term, prev_log_index, prev_log_term, entries, leader_commit, round };
            Message::AppendEntries(append)
        }
        9 => {
            let (match_index, round, success) = (take(fields)?, take(fields)?, take_bool(fields)?);
            let conflict = if take_bool(fields)? {
                Some(Conflict { rejected: take(fields)?, term: take(fields)?, first_index: take(fields)? })
            } else {
                None
            };
            Message::AppendEntriesResponse(AppendEntriesResponse { term, success, match_index, round, conflict })
        }
        _ => return Err(Rejected::Malformed("it is of no kind that there is")),
    })
}

const CUT_SHORT: Rejected = Rejected::Malformed("it ends before its end");

fn take(fields: &mut &[u8]) -> Result<u64, Rejected> {
    fields.try_get_u64_le().map_err(|_| CUT_SHORT)
}

fn take_bool(fields: &mut &[u8]) -> Result<bool, Rejected> {
    match fields.try_get_u8().map_err(|_| CUT_SHORT)? {
        0 => Ok(false),
        1 => Ok(true),
        _ => Err(Rejected::Malformed("a yes or no is neither")),
    }
}

/// Entries, whose terms rise from that of the entry before them to at most the leader's.
fn take_entries(fields: &mut &[u8], mut term_min: u64, term_max: u64) -> Result<Vec<Entry>, Rejected> {
    let count = fields.try_get_u32_le().map_err(|_| CUT_SHORT)?;
    // Nothing is reserved by a number that anybody could have written there.
    let mut entries = Vec::new();
    for _ in 0..count {
        let entry = take_entry(fields)?;
        if entry.term < term_min || entry.term > term_max {
            return Err(Rejected::Malformed("its entries are not in the order of their terms"));
        }
        term_min = entry.term;
        entries.push(entry);
    }
    Ok(entries)
}

/// What [`put_entry`] made.
fn take_entry(fields: &mut &[u8]) -> Result<Entry, Rejected> {
    let term = take(fields)?;
    let is_command = take_bool(fields)?;
    let bytes = usize::try_from(fields.try_get_u32_le().map_err(|_| CUT_SHORT)?).map_err(|_| CUT_SHORT)?;
    let (command, rest) = fields.split_at_checked(bytes).ok_or(CUT_SHORT)?;
    *fields = rest;
    let payload = match (is_command, command) {
        (true, command) => Payload::Command(Bytes::copy_from_slice(command)),
        (false, []) => Payload::Blank,
        (false, _) => return Err(Rejected::Malformed("a blank entry says something")),
    };
    Ok(Entry { term, payload })
}
