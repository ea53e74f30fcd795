//! How a follower's log becomes its leader's (§5.3).

use super::{Core, State, Write};
use crate::raft::event::{Event, Ignored};
use crate::raft::log::Entry;
use crate::raft::message::{AppendEntries, AppendEntriesResponse, Conflict, Message};
use crate::raft::{LogChange, LogIndex, LogWrite, NodeId, Output};

impl Core {
    /// Figure 2, `AppendEntries` RPC, receiver, steps 2 to 5: the message is from the leader of this term.
    pub(super) fn take_entries(&mut self, from: NodeId, append: &AppendEntries) {
        self.note_round(append.round);
        let prev = append.prev_log_index;
        if !self.agrees_at(append) {
            return self.refuse(from, prev);
        }
        let vouched = prev + append.entries.len() as u64;
        if !self.store(append) {
            return self.ignore(from, &Message::AppendEntries(append.clone()), Ignored::Contradiction);
        }
        self.note_vouched(vouched);
        self.write_log();
        // What this message does not vouch for may be another's, whatever the leader has committed.
        let known = if planted!(self, CommitUnmatched) { self.log.last().last_index } else { vouched };
        let commit = append.leader_commit.min(known);
        if commit > self.commit_index {
            self.commit(commit);
        }
        if planted!(self, AckUnsynced) {
            return self.accept(from, vouched);
        }
        if vouched <= self.durable_index || append.entries.is_empty() {
            self.accept(from, vouched.min(self.durable_index));
        }
    }

    /// Whether this log has the entry before the new ones. What is committed is in every leader's log.
    fn agrees_at(&self, append: &AppendEntries) -> bool {
        let (index, term) = (append.prev_log_index, append.prev_log_term);
        match self.log.term_at(index) {
            Some(known) => known == term,
            None => index <= self.commit_index,
        }
    }

    /// Appends what is not there, and cuts off only what this message contradicts: a message that is late must not take
    /// away what came after it. `false`: it contradicts what is committed.
    fn store(&mut self, append: &AppendEntries) -> bool {
        let mut first_new = None;
        if planted!(self, TruncateAfterPrev) && self.log.last().last_index > append.prev_log_index {
            self.cut_off(append.prev_log_index + 1);
        }
        for (index, entry) in (append.prev_log_index + 1..).zip(&append.entries) {
            if first_new.is_none() {
                match self.log.term_at(index) {
                    Some(term) if term == entry.term => continue,
                    None if index <= self.commit_index => continue,
                    Some(_) if index <= self.commit_index => return false,
                    Some(_) => self.cut_off(index),
                    None => {}
                }
                first_new = Some(index);
            }
            self.append_entry(entry.clone());
        }
        if let Some(first) = first_new {
            let last = self.log.last();
            self.emit(Event::Appended { first, last: last.last_index, term: last.last_term });
        }
        true
    }

    fn cut_off(&mut self, from: LogIndex) {
        self.log.truncate(from);
        self.durable_index = self.durable_index.min(from - 1);
        self.writes.iter_mut().for_each(|write| write.last_index = write.last_index.min(from - 1));
        self.unwritten_from = from;
        self.emit(Event::Truncated { from });
        self.push_write(LogChange::Truncate { from });
    }

    /// Adds an entry to the log in memory; [`write_log`](Self::write_log) has it written.
    pub(super) fn append_entry(&mut self, entry: Entry) {
        self.log.append(entry);
    }

    /// Has the entries written that are not yet.
    pub(super) fn write_log(&mut self) {
        let first = self.unwritten_from;
        let entries: Vec<Entry> = self.log.entries_from(first).cloned().collect();
        if entries.is_empty() {
            return;
        }
        self.unwritten_from = first + entries.len() as u64;
        self.push_write(LogChange::Append { first, entries });
        if planted!(self, ApplyOnAppend) {
            self.advance_commit();
        }
    }

    fn push_write(&mut self, change: LogChange) {
        // What is written is of a term that is durable.
        self.persist();
        self.write_number += 1;
        let (number, last_index) = (self.write_number, self.unwritten_from - 1);
        self.writes.push_back(Write { number, last_index, began: self.now });
        self.outputs.push(Output::Write(LogWrite { number, change }));
    }

    fn note_round(&mut self, round: u64) {
        if let State::Follower { leader: Some(leader) } = &mut self.state {
            leader.round = leader.round.max(round);
        }
    }

    fn note_vouched(&mut self, index: LogIndex) {
        if let State::Follower { leader: Some(leader) } = &mut self.state {
            leader.vouched = leader.vouched.max(index);
        }
    }

    /// What has become durable is acknowledged, as far as the leader of this term vouched for it.
    pub(super) fn acknowledge(&mut self) {
        let State::Follower { leader: Some(leader) } = &self.state else { return };
        let index = leader.vouched.min(self.durable_index);
        if index > leader.acknowledged {
            self.accept(leader.id, index);
        }
    }

    fn accept(&mut self, to: NodeId, match_index: LogIndex) {
        let term = self.term();
        let match_index = if planted!(self, AckOwnLast) { self.durable_index } else { match_index };
        let State::Follower { leader: Some(leader) } = &mut self.state else { return };
        leader.acknowledged = leader.acknowledged.max(match_index);
        let answer = AppendEntriesResponse { term, success: true, match_index, round: leader.round, conflict: None };
        self.send(to, Message::AppendEntriesResponse(answer));
    }

    fn refuse(&mut self, to: NodeId, rejected: LogIndex) {
        let term = self.term();
        let conflict = match self.log.term_at(rejected) {
            Some(of) if !planted!(self, HintOff) => {
                Conflict { rejected, term: of, first_index: self.log.first_of_same_term(rejected) }
            }
            _ => Conflict { rejected, term: 0, first_index: self.log.last().last_index + 1 },
        };
        let State::Follower { leader: Some(leader) } = &self.state else { return };
        let (round, conflict) = (leader.round, Some(conflict));
        let answer = AppendEntriesResponse { term, success: false, match_index: 0, round, conflict };
        self.send(to, Message::AppendEntriesResponse(answer));
    }
}
