//! C4: what a read must see.

use std::collections::BTreeMap;

use super::{C4, broken};
use crate::check::consensus::{Checked, Seen};
use crate::raft::request::{Ask, Consistency, Reply, Request, Response};
use crate::raft::{LogIndex, NodeId};

/// Reads that were asked for, and what was committed then.
#[derive(Clone, Debug, Default)]
pub(super) struct Reads(BTreeMap<(NodeId, u64), (LogIndex, Consistency)>);

impl Reads {
    /// A node takes in a request when entries up to this one are committed, by anybody. One that comes twice is two.
    pub(super) fn requested(&mut self, from: NodeId, request: &Request, committed_to: LogIndex) {
        if let Ask::Read { consistency: consistency @ (Consistency::Index | Consistency::Lease), .. } = request.ask {
            let key = (from, request.number);
            // The least that it must see: it may have come twice, and the first be answered.
            self.0.entry(key).or_insert((committed_to, consistency));
            // Clients number their requests upwards, and wait for one at a time.
            let old: Vec<_> = self.0.range((from, 0)..key).map(|(key, _)| *key).rev().skip(16).collect();
            old.into_iter().for_each(|key| {
                self.0.remove(&key);
            });
        }
    }

    pub(super) fn responding(
        &mut self,
        (id, seen): (NodeId, Seen),
        to: NodeId,
        response: &Response,
        applied: LogIndex,
    ) -> Checked {
        let (Reply::Answered { .. }, Some((index, consistency))) =
            (&response.reply, self.0.get(&(to, response.number)))
        else {
            return Ok(());
        };
        if applied >= *index {
            return Ok(());
        }
        let text = format!(
            "{id} serves a read by {} with what it has after entry {applied}, and entry {index} was committed when it was \
             asked",
            consistency.name()
        );
        broken(C4, seen, text)
    }
}
