//! What messages say of logs.

use std::rc::Rc;

use super::history::EntryId;
use super::{LogCheck, R11, R14, broken};
use crate::check::consensus::{Checked, Seen};
use crate::raft::message::{AppendEntries, AppendEntriesResponse};
use crate::raft::{Message, NodeId};

impl LogCheck {
    /// A node takes in a message.
    pub(super) fn received(&mut self, id: NodeId, from: NodeId, message: &Rc<Message>) {
        let node = self.node(id);
        node.request = Some(message.clone());
        if let Message::AppendEntries(append) = &**message
            && append.term >= node.term
        {
            // One that comes after an entry that is not there vouches for nothing.
            let fits = node.log.term_at(append.prev_log_index) == Some(append.prev_log_term);
            let vouched = if fits { append.prev_log_index + append.entries.len() as u64 } else { 0 };
            let (term, by, before) = node.vouched;
            let goes_on = term == append.term && by.is_none_or(|by| by == from);
            node.vouched = (append.term, Some(from), if goes_on { before.max(vouched) } else { vouched });
        }
    }

    pub(super) fn sending(&mut self, id: NodeId, seen: Seen, to: NodeId, message: &Message) -> Checked {
        match message {
            Message::AppendEntries(append) => self.appending(id, seen, append),
            Message::AppendEntriesResponse(answer) if answer.success => self.acknowledging(id, seen, to, answer),
            _ => Ok(()),
        }
    }

    /// R13 and R14.
    fn appending(&mut self, id: NodeId, seen: Seen, append: &AppendEntries) -> Checked {
        let node = self.nodes.get_mut(id).expect("only members are watched");
        let (prev, prev_term) = (append.prev_log_index, append.prev_log_term);
        let is_true = match node.log.term_at(prev) {
            Some(term) => term == prev_term,
            // It sends before it writes.
            None => self.history.existed(prev, prev_term),
        };
        if !is_true {
            let text = format!("{id} says that its entry {prev} is of term {prev_term}, and it is not");
            return broken(R14, seen, text);
        }
        if append.leader_commit > node.commit {
            let (says, is) = (append.leader_commit, node.commit);
            return broken(
                R14,
                seen,
                format!("{id} says that it has committed up to entry {says}, and has up to {is}"),
            );
        }
        let mut after = prev_term;
        for (index, entry) in (prev + 1..).zip(&append.entries) {
            let own_id = EntryId::from(entry);
            if node.log.get(index).is_some_and(|own| *own != own_id) {
                return broken(R14, seen, format!("{id} sends an entry {index} that is not the one in its log"));
            }
            self.history.exists(id, seen, index, entry, after)?;
            after = entry.term;
        }
        node.has_sent(prev + append.entries.len() as u64);
        Ok(())
    }

    /// R11.
    fn acknowledging(&mut self, id: NodeId, seen: Seen, to: NodeId, answer: &AppendEntriesResponse) -> Checked {
        let node = self.node(id);
        let (term, by, vouched) = node.vouched;
        let index = answer.match_index;
        let is_vouched = index <= vouched && term == answer.term && by == Some(to);
        if !is_vouched && index > 0 {
            let text = format!(
                "{id} acknowledges entry {index} to {to} in term {}, whose messages vouched for entry {vouched}",
                answer.term
            );
            return broken(R11, seen, text);
        }
        let durable = node.file_matches();
        if index > durable {
            let text = format!("{id} acknowledges entry {index}, and its log is durable up to entry {durable}");
            return broken(R11, seen, text);
        }
        let acknowledged = self.acknowledged.entry((answer.term, id)).or_default();
        *acknowledged = index.max(*acknowledged);
        Ok(())
    }
}
