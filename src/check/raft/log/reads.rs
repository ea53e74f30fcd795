//! C4 and C5: what a read must see, and how long a lease lasts.

use std::collections::{BTreeMap, VecDeque};
use std::rc::Rc;
use std::time::Duration;

use super::{C4, C5, broken};
use crate::check::consensus::{Checked, Seen};
use crate::raft::by_node::ByNode;
use crate::raft::request::{Ask, Consistency, Reply, Request, Response};
use crate::raft::{Config, LogIndex, Message, NodeId};

/// So many requests of a client are remembered: older ones that come late are not checked.
const REMEMBERED: usize = 16;

/// How far clocks may be rounded.
const ROUNDING: Duration = Duration::from_micros(10);

/// Requests, what was committed when they came, and what leaders know of their peers.
#[derive(Clone, Debug, Default)]
pub(super) struct Reads {
    asked: BTreeMap<(NodeId, u64), Asked>,
    /// A majority.
    quorum: usize,
    /// How long a follower stands by its leader, whose clock is the fastest that there may be; `None`: there are no leases.
    lease: Option<Duration>,
    leaders: ByNode<Leader>,
}

/// A request.
#[derive(Clone, Debug)]
pub(super) struct Asked {
    pub(super) request: Rc<Request>,
    /// Up to where entries were committed when it came, by anybody.
    committed_to: LogIndex,
}

/// A node, as far as leases go.
#[derive(Clone, Debug, Default)]
struct Leader {
    /// What it has sent each peer and has no answer to, and when.
    sent: ByNode<VecDeque<(u64, Duration)>>,
    /// When the latest that each has answered was sent.
    confirmed: ByNode<Duration>,
    /// What it was asked in the step at hand.
    just_asked: Vec<(NodeId, u64)>,
}

impl Reads {
    pub(super) fn new(config: &Config) -> Self {
        let drift = config.replication.as_ref().and_then(|replication| replication.lease);
        let fastest = |drift: u32| 1.0 + f64::from(drift) / 1e6;
        Self {
            quorum: config.quorum(),
            lease: drift.map(|drift| config.election_timeout_min.div_f64(fastest(drift))),
            leaders: config.members.iter().map(|id| (*id, Leader::default())).collect(),
            asked: BTreeMap::new(),
        }
    }

    pub(super) fn has_lease(&self) -> bool {
        self.lease.is_some()
    }

    /// A node takes in a request when entries up to this one are committed, by anybody.
    pub(super) fn requested(&mut self, id: NodeId, from: NodeId, request: &Rc<Request>, committed_to: LogIndex) {
        let key = (from, request.number);
        // The least that it must see: it may have come twice, and the first be answered.
        self.asked.entry(key).or_insert_with(|| Asked { request: request.clone(), committed_to });
        // Clients number their requests upwards, and have one call at a time.
        let old: Vec<_> = self.asked.range((from, 0)..key).map(|(key, _)| *key).rev().skip(REMEMBERED).collect();
        old.into_iter().for_each(|key| _ = self.asked.remove(&key));
        if let Some(leader) = self.leaders.get_mut(id) {
            leader.just_asked.push(key);
        }
    }

    /// What a client asked by this number, if it is remembered.
    pub(super) fn asked(&self, from: NodeId, number: u64) -> Option<&Asked> {
        self.asked.get(&(from, number))
    }

    /// C4.
    pub(super) fn is_fresh((id, seen): (NodeId, Seen), asked: &Asked, reply: &Reply, applied: LogIndex) -> Checked {
        let Ask::Read { consistency: consistency @ (Consistency::Index | Consistency::Lease), .. } = &asked.request.ask
        else {
            return Ok(());
        };
        let index = asked.committed_to;
        if applied >= index || !matches!(reply, Reply::Answered { .. }) {
            return Ok(());
        }
        let text = format!(
            "{id} serves a read by {} with what it has after entry {applied}, and entry {index} was committed when it was \
             asked",
            consistency.name()
        );
        broken(C4, seen, text)
    }

    /// A node is elected: what it knew of its peers is over.
    pub(super) fn leads(&mut self, id: NodeId) {
        if let Some(leader) = self.leaders.get_mut(id) {
            let just_asked = std::mem::take(&mut leader.just_asked);
            *leader = Leader { just_asked, ..Leader::default() };
        }
    }

    pub(super) fn sending(&mut self, id: NodeId, at: Duration, to: NodeId, message: &Message) {
        let (Some(_), Message::AppendEntries(append)) = (self.lease, message) else { return };
        let Some(leader) = self.leaders.get_mut(id) else { return };
        if leader.sent.get(to).is_none() {
            leader.sent.insert(to, VecDeque::new());
        }
        let sent = leader.sent.get_mut(to).expect("it is there now");
        // What is sent once more counts from when it was sent first.
        if sent.back().is_none_or(|(round, _)| *round < append.round) {
            sent.push_back((append.round, at));
        }
    }

    pub(super) fn received(&mut self, id: NodeId, from: NodeId, message: &Message) {
        let (Some(_), Message::AppendEntriesResponse(answer)) = (self.lease, message) else { return };
        let Some(leader) = self.leaders.get_mut(id) else { return };
        let Some(sent) = leader.sent.get_mut(from) else { return };
        while let Some((_, at)) = sent.pop_front_if(|(round, _)| *round <= answer.round) {
            leader.confirmed.insert(from, at);
        }
    }

    /// A step of a node is over.
    pub(super) fn rests(&mut self, id: NodeId) {
        if let Some(leader) = self.leaders.get_mut(id) {
            leader.just_asked.clear();
        }
    }

    /// C5: a read by lease that is answered before anybody was asked anything is answered within the lease.
    pub(super) fn is_leased(&self, (id, seen): (NodeId, Seen), to: NodeId, response: &Response) -> Checked {
        let (Some(lease), Some(leader)) = (self.lease, self.leaders.get(id)) else { return Ok(()) };
        let key = (to, response.number);
        let by_lease = self
            .asked
            .get(&key)
            .is_some_and(|asked| matches!(asked.request.ask, Ask::Read { consistency: Consistency::Lease, .. }));
        if !by_lease || !matches!(response.reply, Reply::Answered { .. }) || !leader.just_asked.contains(&key) {
            return Ok(());
        }
        let mut confirmed: Vec<Duration> = leader.confirmed.values().copied().collect();
        confirmed.sort_unstable_by(|a, b| b.cmp(a));
        // The leader is one of the majority.
        let of_majority = match self.quorum.checked_sub(2) {
            None => return Ok(()),
            Some(place) => confirmed.get(place).copied(),
        };
        if of_majority.is_some_and(|at| seen.0 <= at + lease + ROUNDING) {
            return Ok(());
        }
        let (now, lasts) = (seen.0, lease);
        let text = match of_majority {
            Some(at) => format!(
                "{id} serves a read by lease at {now:?}; what a majority has answered was sent at {at:?}, and its lease \
                 lasts {lasts:?} from then"
            ),
            None => format!("{id} serves a read by lease, and no majority has answered it in its term"),
        };
        broken(C5, seen, text)
    }
}
