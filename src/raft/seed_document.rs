//! The election of the post that this crate began with, as it stands there, behind the core's interface.
//!
//! A node sleeps for its timeout, drawn once; then it is a candidate with one vote and asks everybody; whoever does not
//! lead says yes, to anyone, any number of times; with more votes than half of its peers it leads. There are no terms
//! (here they are all 0), nothing is written to disk, no leader is ever heard of, and a leader's own timer still runs.

use super::core::{Ballot, State};
use super::event::Event;
use super::message::{Message, RequestVote, RequestVoteResponse};
use super::{Core, Input, NodeId, Role};

pub(super) fn step(core: &mut Core, input: &Input) {
    let Input::Message { from, message } = input else {
        if core.timer.is_due(core.now) {
            core.timer.unpin();
            initiate_election(core);
        }
        return;
    };
    match message {
        Message::RequestVote(_) if core.role() != Role::Leader => {
            let vote = RequestVoteResponse { term: 0, vote_granted: true };
            core.emit(Event::VoteGranted { to: *from, term: 0, pre: false });
            core.send(*from, Message::RequestVoteResponse(vote));
        }
        Message::RequestVoteResponse(_) => count(core, *from),
        _ => {}
    }
}

fn initiate_election(core: &mut Core) {
    let mut ballot = Ballot::default();
    ballot.granted.insert(core.id);
    core.state = State::Candidate { ballot, resend_at: None, transfer: false };
    core.emit(Event::BecameCandidate { term: 0, transfer: false });
    core.arm_timer();
    let ask = RequestVote { term: 0, last_log_index: 0, last_log_term: 0, transfer: false };
    for peer in core.peers() {
        core.send(peer, Message::RequestVote(ask.clone()));
    }
}

fn count(core: &mut Core, from: NodeId) {
    let needed = core.peers().len() / 2 + 1;
    let State::Candidate { ballot, .. } = &mut core.state else { return };
    ballot.granted.insert(from);
    let votes = ballot.granted.len();
    core.emit(Event::VoteCounted { from, term: 0, pre: false, votes, needed });
    if votes >= needed {
        // The timer of the document goes on: a leader campaigns against itself when it is due.
        let timer = core.timer.clone();
        core.become_leader();
        core.timer = timer;
    }
}
