//! What a check of a log remembers, as bytes.

use super::LogCheck;
use crate::raft::untimed::put_number;
use crate::raft::{NodeId, Term};

impl LogCheck {
    /// Writes what R1 to R17 go by and the nodes do not hold themselves, but when and by whom it was seen: of two checks of
    /// nodes that are the same, those that write the same judge the same. `name` gives a node's name, `content` tells
    /// commands apart, and `is_led` says whether somebody leads a term now.
    ///
    /// What the nodes hold themselves is what the check was told of their logs, files, terms and indexes. So is what was
    /// ever in a log, as far as it is in one, on a disk or in flight: the check holds each of them to it. What is nowhere
    /// any more cannot come back, for only the leader of its term could bring it, and nobody leads a term twice (E1, E7).
    /// For the same reason what was acknowledged to a leader counts only while it leads. The state after an entry is
    /// decided by what is committed.
    pub fn write_memory(
        &self,
        name: &dyn Fn(NodeId) -> u8,
        content: &dyn Fn(u64) -> u64,
        is_led: &dyn Fn(Term) -> bool,
        bytes: &mut Vec<u8>,
    ) {
        put_number(bytes, self.history.committed_to());
        for (_, entry) in self.history.committed() {
            [entry.id.term, content(entry.id.hash), entry.in_term].iter().for_each(|number| put_number(bytes, *number));
        }
        let mut vouched: Vec<_> = self.nodes.iter().map(|(id, node)| (name(id), node.vouched)).collect();
        vouched.sort_unstable_by_key(|(name, _)| *name);
        for (_, (term, by, through)) in vouched {
            put_number(bytes, term);
            bytes.push(by.map_or(0, name));
            put_number(bytes, through);
        }
        let led = self.acknowledged.iter().filter(|((term, _), _)| is_led(*term));
        let mut acknowledged: Vec<_> = led.map(|((term, id), index)| (*term, name(*id), *index)).collect();
        acknowledged.sort_unstable();
        put_number(bytes, acknowledged.len() as u64);
        for (term, name, index) in acknowledged {
            put_number(bytes, term);
            bytes.push(name);
            put_number(bytes, index);
        }
    }
}
