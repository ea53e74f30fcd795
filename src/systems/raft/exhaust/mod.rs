//! The pure core as a [`Model`](crate::model::Model): every order, loss, duplication and crash within bounds, and any armed timer at any time.
//!
//! **Time does not count.** A timer that is armed may run out at any moment, a message may take any time. So what reads the
//! clock (leader stickiness, check-quorum, repeated requests) is switched off, and so is pre-vote; what a bug does to liveness
//! cannot show. The checks are those of every run, [`crate::check::raft`], E1 to E8, and with a log [`crate::check::raft::log`],
//! R1 to R17.
//!
//! **A state** is what every node has in memory (term, vote, role, ballot, the leader it knows, whether its timer is armed)
//! and on disk, the messages in flight, as a multiset, how many crashes and duplicates there were, and what the check
//! remembers: who led each term and whose vote went where, over all time. With a log, also logs, the files that they are
//! written to, what is being written, what leaders know of their peers, and what the check remembers of all that.
//!
//! **A step** is a timer that runs out, or a message that arrives, is lost, or arrives while a copy stays in flight, or a node
//! that loses power and starts again. Power may also be lost within a step, before or right after each write. That it is
//! lost between two sends is nothing of its own: what was not sent is sent, and lost. With a log, a client's command comes to
//! whoever leads, or believes to; what is being written becomes durable, as far as it may be; and when power is lost, any
//! part of it is on disk, and the rest is not.
//!
//! **Rounds** count a leader's messages, without end. All that is ever asked of one is whether the leader has stepped back for
//! the peer since, and what is asked of two is which is greater: so a round is a bit, and which of several that are alike is
//! greater does not show. Of a leader that is none any more, it is nobody's.
//!
//! **Commands** have no names: all that is ever asked of two is whether they are the same, and two of one index and one term
//! are, or R13 was broken on the way.
//!
//! **Symmetry.** The core, the network and the check compare names of nodes for equality alone, and order them only where
//! the order shows in nothing that is kept (who is sent to first). So if a step leads from one state to another, the same
//! step with other names leads from the first with those names to the second with them, and either both break an
//! invariant or neither does. Of all states that are one another with other names it is enough to visit one: nodes are put in
//! the order of what they hold, others' names left out, and the key of a state is the least over all ways to name its nodes
//! that differ in the order of those which hold the same. A test visits all states without this, and finds the same keys.

mod machine;
mod names;
mod node;
mod rehearsal;
mod script;
mod sharing;

use crate::model::{Bounds, Reach, Search, search};

pub(super) fn exhaust(bounds: &Bounds, goes_on: &mut dyn FnMut(usize, usize) -> bool) -> Result<Search, String> {
    let model = machine::RaftModel::new(bounds)?;
    let Bounds { states, scripted, .. } = *bounds;
    Ok(search(&model, Reach { states, scripted }, goes_on))
}

#[cfg(test)]
mod tests;
