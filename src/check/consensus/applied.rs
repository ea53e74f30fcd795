//! S1: an index of the log has one content, at every node and for ever.

use std::collections::BTreeMap;

use super::history::Checked;
use super::{S1, Seen};
use crate::consensus::{LogIndex, NodeId, Term};
use crate::sim::Breach;

/// What was applied first at each index, over all time.
#[derive(Clone, Default)]
pub(super) struct Contents(BTreeMap<LogIndex, Content>);

#[derive(Clone, Copy)]
struct Content {
    term: Term,
    hash: u64,
    by: NodeId,
    seen: Seen,
}

impl Contents {
    /// A node applied an entry.
    pub(super) fn applied(&mut self, by: NodeId, seen: Seen, index: LogIndex, term: Term, hash: u64) -> Checked {
        let first = *self.0.entry(index).or_insert(Content { term, hash, by, seen });
        if (first.term, first.hash) == (term, hash) {
            return Ok(());
        }
        let shown = |by: NodeId, term: Term, hash: u64| format!("{by} applied {hash:016x} of term {term}");
        let (before, after) = (shown(first.by, first.term, first.hash), shown(by, term, hash));
        let breach = Breach::new(S1, format!("at index {index}, {before} and {after}"));
        let ((first_at, first_record), (at, record)) = (first.seen, seen);
        Err(Box::new(breach.fact(first_at, first_record, before).fact(at, record, after)))
    }
}
