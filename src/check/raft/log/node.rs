//! A node's log in memory and on disk, as it is seen from outside.

use std::collections::VecDeque;
use std::rc::Rc;

use super::history::EntryId;
use super::{LogCheck, R1, R14, R15, R16, broken};
use crate::check::consensus::{Checked, Seen};
use crate::raft::by_node::ByNode;
use crate::raft::message::AppendEntries;
use crate::raft::{Log, LogChange, LogIndex, LogWrite, Message, NodeId, Term};

/// Entries by index, from 1.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Entries(Vec<EntryId>);

impl Entries {
    pub(super) fn last_index(&self) -> LogIndex {
        self.0.len() as u64
    }

    pub(super) fn get(&self, index: LogIndex) -> Option<&EntryId> {
        self.0.get(usize::try_from(index.checked_sub(1)?).ok()?)
    }

    /// The term at an index; before the first entry it is 0.
    pub(super) fn term_at(&self, index: LogIndex) -> Option<Term> {
        if index == 0 { Some(0) } else { self.get(index).map(|entry| entry.term) }
    }

    fn truncate(&mut self, from: LogIndex) {
        self.0.truncate(usize::try_from(from - 1).unwrap_or(usize::MAX));
    }

    fn extend(&mut self, entries: impl IntoIterator<Item = EntryId>) {
        self.0.extend(entries);
    }
}

#[derive(Clone, Default)]
pub(super) struct Node {
    pub(super) is_alive: bool,
    /// A bit of what is on its disk has flipped.
    pub(super) is_flipped: bool,
    pub(super) term: Term,
    pub(super) leads: bool,
    pub(super) log: Entries,
    /// What is durable.
    pub(super) file: Entries,
    /// What was given out to be written and is not durable.
    writes: VecDeque<Rc<LogWrite>>,
    pub(super) commit: LogIndex,
    pub(super) applied: LogIndex,
    /// The match index of each peer, of a leader.
    pub(super) progress: ByNode<LogIndex>,
    /// The last entry that a leader has sent or written in this term.
    sent_to: LogIndex,
    /// Up to where messages of a term vouched for its log: by whom, in which term.
    pub(super) vouched: (Term, Option<NodeId>, LogIndex),
    /// The message that it takes in just now.
    pub(super) request: Option<Rc<Message>>,
}

impl Node {
    pub(super) fn starts(&mut self, term: Term) {
        let (file, writes) = (std::mem::take(&mut self.file), std::mem::take(&mut self.writes));
        *self = Self { is_alive: true, is_flipped: self.is_flipped, term, file, writes, ..Self::default() };
    }

    pub(super) fn ends(&mut self) {
        self.is_alive = false;
        self.leads = false;
        self.request = None;
    }

    pub(super) fn is_in(&mut self, term: Term) {
        self.leads = false;
        if term > self.term {
            self.term = term;
            // A message of the new term may be what brought it.
            if self.vouched.0 < term {
                self.vouched = (term, None, 0);
            }
        }
    }

    pub(super) fn leads(&mut self, term: Term) {
        (self.term, self.leads, self.progress) = (term, true, ByNode::default());
        self.sent_to = self.log.last_index();
    }

    /// Its last entry, written or sent.
    pub(super) fn last_known(&self) -> LogIndex {
        self.log.last_index().max(if self.leads { self.sent_to } else { 0 })
    }

    pub(super) fn has_sent(&mut self, through: LogIndex) {
        self.sent_to = self.sent_to.max(through);
    }

    /// Up to where its log is durable.
    pub(super) fn file_matches(&self) -> LogIndex {
        let mut last = self.file.last_index().min(self.log.last_index());
        while last > 0 && self.file.get(last) != self.log.get(last) {
            last -= 1;
        }
        last
    }

    pub(super) fn synced(&mut self, number: u64) {
        while let Some(write) = self.writes.pop_front_if(|write| write.number <= number) {
            match &write.change {
                LogChange::Append { entries, .. } => self.file.extend(entries.iter().map(EntryId::from)),
                LogChange::Truncate { from } => self.file.truncate(*from),
            }
        }
    }

    /// R16: whether this can be left of what was durable, and of what was being written.
    fn can_be_left(&self, loaded: &Entries) -> Result<(), String> {
        // In what was being written, entries may be cut off, and others come in their place, as far as it went.
        let cut = self.writes.iter().filter_map(|write| match write.change {
            LogChange::Truncate { from } => Some(from),
            LogChange::Append { .. } => None,
        });
        let kept = cut.min().map_or(self.file.last_index(), |from| self.file.last_index().min(from - 1));
        if loaded.last_index() < kept {
            return Err(format!("ends with entry {}, and entry {kept} was durable", loaded.last_index()));
        }
        for index in 1..=loaded.last_index() {
            let is = loaded.get(index);
            let is_old = is == self.file.get(index);
            if !is_old && (index <= kept || !self.was_being_written(index, is)) {
                let was =
                    self.file.get(index).map_or("nothing".to_owned(), |entry| format!("one of term {}", entry.term));
                let is = is.map_or(0, |entry| entry.term);
                return Err(format!("has entry {index} of term {is}, where {was} was durable"));
            }
        }
        Ok(())
    }

    fn was_being_written(&self, index: LogIndex, is: Option<&EntryId>) -> bool {
        self.writes.iter().any(|write| match &write.change {
            LogChange::Append { first, entries } => {
                let place = index.checked_sub(*first).and_then(|place| usize::try_from(place).ok());
                place.and_then(|place| entries.get(place)).map(EntryId::from).as_ref() == is
            }
            LogChange::Truncate { .. } => false,
        })
    }
}

impl LogCheck {
    /// A node has read its log.
    pub(super) fn loaded(&mut self, id: NodeId, seen: Seen, log: &Log, is_torn: bool) -> Checked {
        let node = self.node(id);
        let loaded = Entries(log.entries_from(1).map(EntryId::from).collect());
        let left = node.can_be_left(&loaded);
        // Damage to the very last record cannot be told from a write that did not end.
        if left.is_err() && node.is_flipped && is_torn && loaded.last_index() + 1 == node.file.last_index() {
            let (last, at) = (node.file.last_index(), seen.0);
            self.beyond = Some(format!(
                "a bit flipped in the last entry on the disk of {id}, {last}, which reads like a write that the power cut \
                 off: at {at:?} it was lost; nothing is checked from there on"
            ));
        }
        let node = self.node(id);
        (node.log, node.file) = (loaded.clone(), loaded);
        node.writes.clear();
        if let (Err(why), None) = (left, &self.beyond) {
            return broken(R16, seen, format!("the log that {id} reads {why}"));
        }
        Ok(())
    }

    /// R1, R13, R14 and R15: a node has its log changed.
    pub(super) fn writing(&mut self, id: NodeId, seen: Seen, write: &Rc<LogWrite>) -> Checked {
        let node = self.nodes.get_mut(id).expect("only members are watched");
        match &write.change {
            LogChange::Truncate { from } => {
                if node.leads {
                    return broken(R1, seen, format!("{id}, a leader, cuts off entry {from} of its own log"));
                }
                if *from <= node.commit {
                    let text = format!("{id} cuts off entry {from}, and has committed up to entry {}", node.commit);
                    return broken(R15, seen, text);
                }
                let own = node.log.term_at(*from);
                let conflicts = match node.request.as_deref() {
                    Some(Message::AppendEntries(append)) => {
                        conflicting(append, *from).is_some_and(|term| Some(term) != own)
                    }
                    _ => false,
                };
                if !conflicts || own.is_none() {
                    return broken(R15, seen, format!("{id} cuts off entry {from}, with which no message conflicts"));
                }
                node.log.truncate(*from);
            }
            LogChange::Append { first, entries } => {
                let last = node.log.last_index();
                if *first != last + 1 {
                    let text = format!("{id} appends entry {first} to a log that ends with entry {last}");
                    return broken(R14, seen, text);
                }
                let mut after = node.log.term_at(last).unwrap_or(0);
                for (index, entry) in (*first..).zip(entries) {
                    if node.leads && entry.term != node.term {
                        let text =
                            format!("{id}, the leader of term {}, appends one of term {}", node.term, entry.term);
                        return broken(R14, seen, text);
                    }
                    self.history.exists(id, seen, index, entry, after)?;
                    after = entry.term;
                    node.log.extend([EntryId::from(entry)]);
                }
            }
        }
        node.writes.push_back(write.clone());
        Ok(())
    }
}

/// The term that a message has at an index.
fn conflicting(append: &AppendEntries, index: LogIndex) -> Option<Term> {
    let place = usize::try_from(index.checked_sub(append.prev_log_index + 1)?).ok()?;
    append.entries.get(place).map(|entry| entry.term)
}
