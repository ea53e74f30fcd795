//! A state with other names for its nodes, as bytes.

use super::machine::{Envelope, State, index_of};
use crate::raft::{Message, NodeId};

/// The new place of each node, by its old one.
pub(super) type Order = Vec<u8>;

/// All of a state but times, with the nodes in this order.
pub(super) fn written(state: &State, order: &[u8]) -> Vec<u8> {
    let mut nodes: Vec<Vec<u8>> = vec![Vec::new(); order.len()];
    let name = |id: NodeId| order[index_of(id)] + 1;
    for (index, node) in state.nodes.iter().enumerate() {
        let bytes = &mut nodes[usize::from(order[index])];
        node.core.write_untimed(&name, bytes);
        bytes.extend([small(node.disk.term), node.disk.voted_for.map_or(0, name)]);
    }
    let mut flying: Vec<[u8; 5]> = state.flying.iter().map(|envelope| envelope.written(order)).collect();
    flying.sort_unstable();
    let mut bytes = vec![state.crashes, state.duplicates, small(flying.len() as u64)];
    nodes.into_iter().for_each(|part| bytes.extend(part));
    flying.into_iter().for_each(|part| bytes.extend(part));
    state.check.write_memory(&name, &mut bytes);
    bytes
}

impl Envelope {
    /// Logs are empty here, so a message says no more than this.
    fn written(&self, order: &[u8]) -> [u8; 5] {
        let kind = Message::NAMES.iter().position(|name| *name == self.message.name()).expect("a known message");
        let said = match &self.message {
            Message::PreVoteResponse(answer) => answer.vote_granted,
            Message::RequestVoteResponse(answer) => answer.vote_granted,
            Message::AppendEntriesResponse(answer) => answer.success,
            _ => false,
        };
        [order[self.from], order[self.to], small(kind as u64), small(self.message.term()), u8::from(said)]
    }
}

fn small(number: u64) -> u8 {
    u8::try_from(number).expect("the bounds are small")
}

/// All orders of these places.
pub(super) fn permutations(places: &[u8]) -> Vec<Order> {
    let mut all = vec![vec![]];
    for place in places {
        let longer = |order: &Order| {
            let order = order.clone();
            (0..=order.len()).map(move |at| {
                let mut order = order.clone();
                order.insert(at, *place);
                order
            })
        };
        all = all.iter().flat_map(longer).collect();
    }
    all
}
