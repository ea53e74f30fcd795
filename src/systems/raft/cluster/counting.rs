//! What is counted and timed of what the nodes tell, and what led to it.

use std::time::Duration;

use super::{Campaign, Cluster, FIRST_CAMPAIGN, FIRST_COMMIT, FIRST_LEADER, FIRST_READ};
use crate::raft::request::{Ask, Consistency};
use crate::raft::server::Event;
use crate::raft::{Event as CoreEvent, LogIndex, Message, NodeId};
use crate::sim::Events;
use crate::sim::trace::Cause;

/// The first command and the first read of a run, at their leader.
#[derive(Default)]
pub(super) struct Firsts {
    /// Who was elected last, and whether its blank entry has yet to come.
    lead: Option<(NodeId, bool)>,
    /// The entry of the command, and when it was appended.
    command: Option<(LogIndex, Duration)>,
    is_committed: bool,
    /// Who asked, its number for it, and when it came.
    read: Option<(NodeId, u64, Duration)>,
    is_read: bool,
}

impl Cluster {
    /// Keeps how long the first command takes from its leader's log to its commit, and the first read to its answer.
    pub(super) fn time_first_calls(&self, events: &Events, id: NodeId, event: &Event) {
        if self.plan.clients.is_none() {
            return;
        }
        let mut firsts = self.firsts.borrow_mut();
        let Firsts { lead, command, is_committed, read, is_read } = &mut *firsts;
        let leads = lead.is_some_and(|(leader, _)| leader == id);
        match event {
            Event::Core(CoreEvent::BecameLeader { .. }) => *lead = Some((id, true)),
            Event::Core(CoreEvent::Appended { first, .. }) if leads => {
                if let Some((_, is_due @ true)) = lead {
                    *is_due = false;
                } else {
                    command.get_or_insert((*first, events.now()));
                }
            }
            Event::Core(CoreEvent::Committed { index, .. }) if leads && !*is_committed => {
                if let Some((_, at)) = command.filter(|(first, _)| index >= first) {
                    events.time(FIRST_COMMIT, events.now() - at);
                    *is_committed = true;
                }
            }
            Event::Requested { from, request } if leads && read.is_none() => {
                if let Ask::Read { consistency: Consistency::Index, .. } = request.ask {
                    *read = Some((*from, request.number, events.now()));
                }
            }
            Event::Responding { to, response, .. } if leads && !*is_read => {
                if let Some((_, _, at)) = read.filter(|(from, number, _)| (from, number) == (to, &response.number)) {
                    events.time(FIRST_READ, events.now() - at);
                    *is_read = true;
                }
            }
            _ => {}
        }
    }

    /// A node's one task serves its election timer and all else: what a campaign comes of is not what the node took in
    /// last, but what made it arm the timer.
    pub(super) fn trace_timer(&self, events: &Events, id: NodeId, core: &CoreEvent) {
        let Some(cause) = events.cause() else { return };
        let is_armed = matches!(core, CoreEvent::TimerArmed { .. });
        if cause.timer && (is_armed || core.is_campaign()) {
            let armed = self.armed.borrow().get(id).copied();
            armed.into_iter().for_each(|record| events.continue_with(Cause { record, timer: true }));
        }
        if is_armed && !cause.timer {
            self.armed.borrow_mut().insert(id, cause.record);
        }
    }

    /// Who is asked again is asked because of the campaign, whatever the candidate took in meanwhile.
    pub(super) fn trace_asking(&self, events: &Events, id: NodeId, message: &Message) {
        let asks = matches!(message, Message::PreVote(_) | Message::RequestVote(_));
        if asks && events.cause().is_some_and(|cause| cause.timer) {
            let armed = self.armed.borrow().get(id).copied();
            armed.into_iter().for_each(|record| events.continue_with(Cause { record, timer: true }));
        }
    }

    /// Counts terms in which several have campaigned and nobody has won, each when somebody campaigns in a newer one.
    pub(super) fn count_split_votes(&self, events: &Events, event: &CoreEvent) {
        let newest = self.newest.get();
        match event {
            CoreEvent::BecameCandidate { term, .. } if *term > newest.term => {
                if newest.candidates > 1 && !newest.is_won {
                    events.count("split votes", 1);
                }
                self.newest.set(Campaign { term: *term, candidates: 1, is_won: false });
            }
            CoreEvent::BecameCandidate { term, .. } if *term == newest.term => {
                self.newest.set(Campaign { candidates: newest.candidates + 1, ..newest });
            }
            CoreEvent::BecameLeader { term, .. } if *term == newest.term => {
                self.newest.set(Campaign { is_won: true, ..newest });
            }
            _ => {}
        }
    }

    /// Counts leaders who campaigned because the leader before them said so.
    pub(super) fn count_handed_over(&self, events: &Events, id: NodeId, event: &CoreEvent) {
        match event {
            CoreEvent::BecameCandidate { term, transfer: true } => self.successor.set(Some((id, *term))),
            CoreEvent::BecameLeader { term, .. } if self.successor.get() == Some((id, *term)) => {
                events.count("leads handed over", 1);
            }
            _ => {}
        }
    }

    /// Keeps how long the nodes took to begin their first campaign, and to elect their first leader.
    pub(super) fn time_firsts(&self, events: &Events, event: &CoreEvent) {
        let (campaigned, elected) = self.first_seen.get();
        match event {
            CoreEvent::BecamePreCandidate { .. } | CoreEvent::BecameCandidate { .. } if !campaigned => {
                events.time(FIRST_CAMPAIGN, events.now());
                self.first_seen.set((true, elected));
            }
            CoreEvent::BecameLeader { .. } if !elected => {
                events.time(FIRST_LEADER, events.now());
                self.first_seen.set((campaigned, true));
            }
            _ => {}
        }
    }
}
