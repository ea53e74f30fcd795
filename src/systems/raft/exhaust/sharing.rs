//! States share what they have in common, so that more of them fit into memory.

use std::collections::BTreeMap;
use std::rc::Rc;

use xxhash_rust::xxh3::xxh3_128;

use super::machine::State;
use super::names::Speller;
use super::node::Node;
use crate::check::raft::RaftCheck;
use crate::check::raft::log::LogCheck;

/// One of each that is alike, by key.
struct Pool<T> {
    all: BTreeMap<u128, Rc<T>>,
    /// Those that nobody else has any more are let go when there are so many.
    full: usize,
}

const FULL_MIN: usize = 1 << 14;

#[derive(Default)]
pub(super) struct Sharing {
    nodes: Pool<Node>,
    checks: Pool<RaftCheck>,
    log_checks: Pool<LogCheck>,
}

impl<T> Default for Pool<T> {
    fn default() -> Self {
        Self { all: BTreeMap::new(), full: FULL_MIN }
    }
}

impl<T> Pool<T> {
    /// The one that is like this one.
    fn share(&mut self, key: u128, one: &mut Rc<T>) {
        if let Some(known) = self.all.get(&key) {
            return one.clone_from(known);
        }
        if self.all.len() >= self.full {
            self.all.retain(|_, one| Rc::strong_count(one) > 1);
            self.full = (self.all.len() * 2).max(FULL_MIN);
        }
        self.all.insert(key, one.clone());
    }
}

impl Sharing {
    /// What is written the same, times left out and nothing else, is the same. What a check of a log knows of nodes is what
    /// they hold, so it goes by their keys.
    pub(super) fn settle(&mut self, mut state: State, speller: &mut Speller) -> State {
        let mut of_nodes = Vec::new();
        for index in 0..state.nodes.len() {
            let key = xxh3_128(speller.node_alone(&state.nodes[index]));
            self.nodes.share(key, &mut state.nodes[index]);
            of_nodes.extend(key.to_le_bytes());
        }
        self.checks.share(xxh3_128(speller.check_alone(&state.check)), &mut state.check);
        if let Some(mut check) = state.log_check.take() {
            let key = xxh3_128(speller.log_check_alone(&check, &of_nodes));
            self.log_checks.share(key, &mut check);
            state.log_check = Some(check);
        }
        state
    }
}
