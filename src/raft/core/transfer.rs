//! Handing over the lead (dissertation §3.10): the successor is told to campaign at once.

use super::role::Transfer;
use super::{Core, State};
use crate::raft::event::{Event, Ignored, TransferRefusal};
use crate::raft::message::{Message, TimeoutNow};
use crate::raft::{NodeId, Role};

impl Core {
    pub(super) fn on_transfer(&mut self, to: NodeId) {
        let is_peer = self.is_peer(to);
        let abort_at = self.now + self.config.election_timeout_max;
        let State::Leader(lead) = &mut self.state else {
            return self.emit(Event::TransferRefused { to, why: TransferRefusal::NotLeader });
        };
        if !is_peer {
            return self.emit(Event::TransferRefused { to, why: TransferRefusal::NotAPeer });
        }
        if lead.transfer.as_ref().is_some_and(|transfer| transfer.to == to) {
            return;
        }
        let before = lead.transfer.replace(Transfer { to, abort_at, told: false });
        if let Some(before) = before {
            self.emit(Event::TransferAborted { to: before.to });
        }
        self.emit(Event::TransferStarted { to });
        self.tell_successor();
    }

    /// Sends `TimeoutNow` once the successor's log is the leader's: it could not win before. The answer to each
    /// heartbeat is an occasion to send it again, should it have been lost.
    pub(super) fn tell_successor(&mut self) {
        let last_index = if planted!(self, SuccessorBehind) { 0 } else { self.last_log().last_index };
        let (term, resend) = (self.term(), self.config.resend);
        let State::Leader(lead) = &mut self.state else { return };
        let Some(transfer) = &mut lead.transfer else { return };
        let to = transfer.to;
        if lead.progress.get(to).is_none_or(|peer| peer.match_index < last_index) || (transfer.told && !resend) {
            return;
        }
        transfer.told = true;
        lead.gave_up_lease = true;
        self.send(to, Message::TimeoutNow(TimeoutNow { term }));
    }

    pub(super) fn abort_late_transfer(&mut self) {
        let State::Leader(lead) = &mut self.state else { return };
        if let Some(transfer) = lead.transfer.take_if(|transfer| transfer.abort_at <= self.now) {
            self.emit(Event::TransferAborted { to: transfer.to });
        }
    }

    /// Campaigns at once, without a pre-vote, since the leader knows of it. A duplicate comes in an older term.
    pub(super) fn on_timeout_now(&mut self, from: NodeId, message: TimeoutNow) {
        if message.term < self.term() && !planted!(self, StaleTimeoutNow) {
            return self.ignore(from, &Message::TimeoutNow(message), Ignored::Stale);
        }
        if message.term > self.term() {
            self.learn_term(from, message.term);
        }
        if self.role() == Role::Leader {
            return self.ignore(from, &Message::TimeoutNow(message), Ignored::Rival);
        }
        self.start_election(true);
    }
}
