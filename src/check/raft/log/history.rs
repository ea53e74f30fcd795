//! What was ever in a log, and what was ever committed.

use std::collections::BTreeMap;

use bytes::Bytes;
use xxhash_rust::xxh3::xxh3_64;

use super::{R2, R3, R6, R13};
use crate::check::consensus::{Checked, Seen};
use crate::raft::{Entry, LogIndex, NodeId, Term};
use crate::sim::Breach;

/// An entry, as far as it is compared.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct EntryId {
    pub(super) term: Term,
    pub(super) hash: u64,
}

impl From<&Entry> for EntryId {
    fn from(entry: &Entry) -> Self {
        let hash = entry.command().map_or(0, |command| xxh3_64(command) | 1);
        Self { term: entry.term, hash }
    }
}

/// An entry that was committed.
#[derive(Clone, Debug)]
pub(super) struct Committed {
    pub(super) id: EntryId,
    pub(super) by: NodeId,
    /// The term in which that was.
    pub(super) in_term: Term,
    pub(super) seen: Seen,
}

#[derive(Clone, Debug)]
struct Content {
    hash: u64,
    command: Option<Bytes>,
    /// The term of the entry before it.
    after: Term,
    by: NodeId,
    seen: Seen,
}

#[derive(Clone, Debug, Default)]
pub(super) struct History {
    contents: BTreeMap<(LogIndex, Term), Content>,
    committed: Vec<Committed>,
    /// The state after each entry, and who had it first.
    states: Vec<(u64, NodeId, Seen)>,
}

impl History {
    /// R2 and R13: an entry is, or is to be, in a log, after one of this term.
    pub(super) fn exists(&mut self, by: NodeId, seen: Seen, index: LogIndex, entry: &Entry, after: Term) -> Checked {
        let id = EntryId::from(entry);
        let content = || Content { hash: id.hash, command: entry.command().cloned(), after, by, seen };
        let known = self.contents.entry((index, id.term)).or_insert_with(content);
        let what = if known.hash != id.hash {
            (R13, "another content".to_owned())
        } else if known.after != after {
            (R2, format!("an entry of term {} before it, and not of term {after}", known.after))
        } else {
            return Ok(());
        };
        let text = format!("entry {index} of term {} of {by} has at {} {}", id.term, known.by, what.1);
        let breach = Breach::new(what.0, text)
            .fact(known.seen.0, known.seen.1, format!("{} has entry {index} of term {}", known.by, id.term))
            .fact(seen.0, seen.1, format!("{by} has it too"));
        Err(Box::new(breach))
    }

    /// The command of an entry that was in a log, if it is one.
    pub(super) fn command(&self, index: LogIndex, term: Term) -> Option<&Bytes> {
        self.contents.get(&(index, term))?.command.as_ref()
    }

    /// Whether there was ever such an entry.
    pub(super) fn existed(&self, index: LogIndex, term: Term) -> bool {
        index == 0 && term == 0 || self.contents.contains_key(&(index, term))
    }

    /// The highest index that anybody has committed.
    pub(super) fn committed_to(&self) -> LogIndex {
        self.committed.len() as u64
    }

    pub(super) fn committed(&self) -> impl Iterator<Item = (LogIndex, &Committed)> {
        (1..).zip(&self.committed)
    }

    /// Those after an index.
    pub(super) fn committed_after(&self, index: LogIndex) -> impl Iterator<Item = (LogIndex, &Committed)> {
        let after = usize::try_from(index).ok().and_then(|place| self.committed.get(place..));
        (index + 1..).zip(after.unwrap_or_default())
    }

    /// R3: a node commits this.
    pub(super) fn commit(&mut self, index: LogIndex, id: EntryId, by: NodeId, in_term: Term, seen: Seen) -> Checked {
        let place = usize::try_from(index - 1).expect("few entries");
        let Some(known) = self.committed.get(place) else {
            self.committed.push(Committed { id, by, in_term, seen });
            return Ok(());
        };
        if known.id == id {
            return Ok(());
        }
        let text = format!(
            "{by} commits entry {index} of term {}, and {} has committed another there, of term {}",
            id.term, known.by, known.id.term
        );
        let breach = Breach::new(R3, text)
            .fact(known.seen.0, known.seen.1, format!("{} committed entry {index} of term {}", known.by, known.id.term))
            .fact(seen.0, seen.1, format!("{by} committed entry {index} of term {}", id.term));
        Err(Box::new(breach))
    }

    /// R6: this is the state of a node after an entry.
    pub(super) fn state(&mut self, index: LogIndex, digest: u64, by: NodeId, seen: Seen) -> Checked {
        let place = usize::try_from(index - 1).expect("few entries");
        let Some((known, first, first_seen)) = self.states.get(place) else {
            self.states.push((digest, by, seen));
            return Ok(());
        };
        if *known == digest {
            return Ok(());
        }
        let text = format!("after entry {index} the state of {by} is another than that of {first}");
        let breach = Breach::new(R6, text)
            .fact(first_seen.0, first_seen.1, format!("{first} applied entry {index}: {known:016x}"))
            .fact(seen.0, seen.1, format!("{by} applied entry {index}: {digest:016x}"));
        Err(Box::new(breach))
    }
}
