//! A state with other names for its nodes, as bytes, and its key.

use xxhash_rust::xxh3::{xxh3_64, xxh3_128};

use super::machine::{Envelope, NODES_MAX, State, id_of, index_of};
use super::node::Node;
use crate::check::raft::RaftCheck;
use crate::check::raft::log::LogCheck;
use crate::raft::message::{AppendEntries, AppendEntriesResponse, RequestVote};
use crate::raft::untimed::{Rounds, Spelling, put_number};
use crate::raft::{Entry, LogChange, Message, NodeId, Role, Term};

/// The new place of each node, by its old one.
pub(super) type Order = Vec<u8>;

/// The name of a node whose own name is not to count: itself, or another.
const ITSELF: u8 = 1;
const ANOTHER: u8 = 2;

/// Writes states, in memory that is used again.
pub(super) struct Speller {
    /// Commands have no names.
    is_reduced: bool,
    bytes: Vec<u8>,
    messages: Vec<u8>,
}

/// The name that a node has.
fn own_name(id: NodeId) -> u8 {
    id.0.to_le_bytes()[0]
}

impl Speller {
    pub(super) fn new(is_reduced: bool) -> Self {
        Self { is_reduced, bytes: Vec::new(), messages: Vec::new() }
    }

    /// The least over all of these orders in which the nodes, each as it is written without the names of others, rise.
    pub(super) fn key(&mut self, state: &State, orders: &[Order]) -> u128 {
        let ranks = if orders.len() > 1 { self.ranks(state) } else { Vec::new() };
        let rises = |order: &&Order| {
            let mut rank_at = [0; NODES_MAX];
            order.iter().zip(&ranks).for_each(|(place, rank)| rank_at[usize::from(*place)] = *rank);
            rank_at[..ranks.len()].is_sorted()
        };
        let keys = orders.iter().filter(rises).map(|order| xxh3_128(self.written(state, order)));
        keys.min().expect("some order rises")
    }

    /// How many nodes are written before each, if others' names do not count.
    fn ranks(&mut self, state: &State) -> Vec<usize> {
        let mut written: Vec<Vec<u8>> = Vec::with_capacity(state.nodes.len());
        for (index, node) in state.nodes.iter().enumerate() {
            let mut bytes = Vec::with_capacity(64);
            let name = |id| if index_of(id) == index { ITSELF } else { ANOTHER };
            let is_old = |term, peer, round| is_old(state, term, peer, round);
            self.put_node(node, &name, Rounds::AreOld(&is_old), &mut bytes);
            written.push(bytes);
        }
        let rank = |bytes| written.iter().filter(|other| *other < bytes).count();
        written.iter().map(rank).collect()
    }

    /// All of a state but times, with the nodes in this order.
    pub(super) fn written(&mut self, state: &State, order: &[u8]) -> &[u8] {
        let mut bytes = std::mem::take(&mut self.bytes);
        bytes.clear();
        let name = |id: NodeId| order[index_of(id)] + 1;
        bytes.extend([state.crashes, state.duplicates, state.proposed]);
        for place in 0..order.len() {
            let index = order.iter().position(|new| usize::from(*new) == place).expect("an order has every place");
            let is_old = |term, peer, round| is_old(state, term, peer, round);
            self.put_node(&state.nodes[index], &name, Rounds::AreOld(&is_old), &mut bytes);
        }
        self.put_messages(state, order, &mut bytes);
        state.check.write_memory(&name, &mut bytes);
        if let Some(check) = &state.log_check {
            let is_led = |term| leader_of(state, term).is_some();
            check.write_memory(&name, &|hash| self.content(hash), &is_led, &mut bytes);
        }
        self.bytes = bytes;
        &self.bytes
    }

    /// What tells a command from others of the same index and term. None does where those are told apart by the check.
    fn content(&self, hash: u64) -> u64 {
        if self.is_reduced { u64::from(hash != 0) } else { hash }
    }

    /// A node with the names that it knows, and with all that is compared with what others hold.
    pub(super) fn node_alone(&mut self, node: &Node) -> &[u8] {
        let mut bytes = std::mem::take(&mut self.bytes);
        bytes.clear();
        let is_reduced = std::mem::replace(&mut self.is_reduced, false);
        self.put_node(node, &own_name, Rounds::Kept, &mut bytes);
        self.is_reduced = is_reduced;
        put_number(&mut bytes, node.core.id().0);
        node.file.writes.iter().for_each(|write| put_number(&mut bytes, write.number));
        self.bytes = bytes;
        &self.bytes
    }

    /// What a check remembers.
    pub(super) fn check_alone(&mut self, check: &RaftCheck) -> &[u8] {
        self.bytes.clear();
        check.write_memory(&own_name, &mut self.bytes);
        &self.bytes
    }

    /// What a check of the log remembers, with what is known of the nodes.
    pub(super) fn log_check_alone(&mut self, check: &LogCheck, of_nodes: &[u8]) -> &[u8] {
        let mut bytes = std::mem::take(&mut self.bytes);
        bytes.clear();
        bytes.extend_from_slice(of_nodes);
        check.write_memory(&own_name, &|hash| hash, &|_| true, &mut bytes);
        self.bytes = bytes;
        &self.bytes
    }

    fn put_node(&self, node: &Node, name: &dyn Fn(NodeId) -> u8, rounds: Rounds<'_>, bytes: &mut Vec<u8>) {
        let entry = |entry: &Entry| self.entry(entry);
        node.core.write_untimed(&Spelling { name, entry: &entry, rounds }, bytes);
        put_number(bytes, node.disk.term);
        bytes.push(node.disk.voted_for.map_or(0, name));
        if node.core.config().replication.is_none() {
            return;
        }
        put_number(bytes, node.file.log.len() as u64);
        node.file.log.entries_from(1).for_each(|entry| self.put_entry(entry, bytes));
        put_number(bytes, node.file.writes.len() as u64);
        for write in &node.file.writes {
            match &write.change {
                LogChange::Append { first, entries } => {
                    [0, *first, entries.len() as u64].iter().for_each(|number| put_number(bytes, *number));
                    entries.iter().for_each(|entry| self.put_entry(entry, bytes));
                }
                LogChange::Truncate { from } => {
                    put_number(bytes, 1);
                    put_number(bytes, *from);
                }
            }
        }
    }

    fn entry(&self, entry: &Entry) -> u64 {
        self.content(entry.command().map_or(0, |command| xxh3_64(command) | 1))
    }

    fn put_entry(&self, entry: &Entry, bytes: &mut Vec<u8>) {
        put_number(bytes, entry.term);
        put_number(bytes, self.entry(entry));
    }

    /// The messages in flight, as a multiset.
    fn put_messages(&mut self, state: &State, order: &[u8], bytes: &mut Vec<u8>) {
        let mut messages = std::mem::take(&mut self.messages);
        messages.clear();
        let mut spans = Vec::with_capacity(state.flying.len());
        for envelope in &state.flying {
            let begin = messages.len();
            self.put_message(state, envelope, order, &mut messages);
            spans.push((begin, messages.len()));
        }
        let part = |(begin, end): (usize, usize)| &messages[begin..end];
        spans.sort_unstable_by(|a, b| part(*a).cmp(part(*b)));
        put_number(bytes, spans.len() as u64);
        spans.into_iter().for_each(|span| bytes.extend_from_slice(part(span)));
        self.messages = messages;
    }

    fn put_message(&self, state: &State, envelope: &Envelope, order: &[u8], bytes: &mut Vec<u8>) {
        let Envelope { from, to, ref message } = *envelope;
        let kind = Message::NAMES.iter().position(|name| *name == message.name()).expect("a known message");
        bytes.extend([order[from], order[to], kind.to_le_bytes()[0]]);
        put_number(bytes, message.term());
        let mut put = |numbers: &[u64]| numbers.iter().for_each(|number| put_number(bytes, *number));
        match &**message {
            Message::RequestVote(RequestVote { last_log_index, last_log_term, transfer, .. }) => {
                put(&[*last_log_index, *last_log_term, u64::from(*transfer)]);
            }
            Message::PreVote(ask) => put(&[ask.last_log_index, ask.last_log_term]),
            Message::PreVoteResponse(answer) => put(&[answer.request_term, u64::from(answer.vote_granted)]),
            Message::RequestVoteResponse(answer) => put(&[u64::from(answer.vote_granted)]),
            Message::AppendEntries(append) => {
                let AppendEntries { term, prev_log_index, prev_log_term, entries, leader_commit, round } = append;
                let is_old = is_old(state, *term, id_of(to), *round);
                put(&[*prev_log_index, *prev_log_term, *leader_commit, u64::from(is_old), entries.len() as u64]);
                entries.iter().for_each(|entry| self.put_entry(entry, bytes));
            }
            Message::AppendEntriesResponse(answer) => {
                let AppendEntriesResponse { term, success, match_index, round, conflict } = answer;
                let is_old = is_old(state, *term, id_of(from), *round);
                put(&[u64::from(*success), *match_index, u64::from(is_old), u64::from(conflict.is_some())]);
                if let Some(conflict) = conflict {
                    put(&[conflict.rejected, conflict.term, conflict.first_index]);
                }
            }
            Message::TimeoutNow(_) => {}
        }
    }
}

/// Who leads a term now.
fn leader_of(state: &State, term: Term) -> Option<&Node> {
    let leads = |node: &&Node| node.core.role() == Role::Leader && node.core.term() == term;
    state.nodes.iter().map(|node| &**node).find(leads)
}

/// Whether a round is from before its leader stepped back for this peer. Of a leader that is none any more all rounds are
/// the same: their answers are nobody's.
fn is_old(state: &State, term: Term, peer: NodeId, round: u64) -> bool {
    leader_of(state, term).is_some_and(|leader| leader.core.has_stepped_back(term, peer, round))
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
