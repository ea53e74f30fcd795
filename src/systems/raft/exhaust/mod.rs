//! The pure core as a [`Model`](crate::model::Model): every order, loss, duplication and crash within bounds, and any armed timer at any time.
//!
//! **Time does not count.** A timer that is armed may run out at any moment, a message may take any time. So what reads the
//! clock (leader stickiness, check-quorum, repeated requests) is switched off, and so is pre-vote; what a bug does to liveness
//! cannot show. The check is that of every run, [`crate::check::raft`], E1 to E8.
//!
//! **A state** is what every node has in memory (term, vote, role, ballot, the leader it knows, whether its timer is armed)
//! and on disk, the messages in flight, as a multiset, how many crashes and duplicates there were, and what the check
//! remembers: who led each term and whose vote went where, over all time. Logs stay empty.
//!
//! **A step** is a timer that runs out, or a message that arrives, is lost, or arrives while a copy stays in flight, or a node
//! that loses power and starts again. Power may also be lost within a step, before or right after each write. That it is
//! lost between two sends is nothing of its own: what was not sent is sent, and lost.
//!
//! **Symmetry.** The core, the network and the check compare names of nodes for equality alone, and order them only where
//! the order shows in nothing that is kept (who is sent to first). So if a step leads from one state to another, the same
//! step with other names leads from the first with those names to the second with them, and either both break an
//! invariant or neither does. Of all states that are one another with other names it is enough to visit one: the key of a
//! state is the least over all `nodes!` ways to name its nodes. A test visits all states without this, and finds the same keys.

mod machine;
mod names;
mod script;

use crate::model::{Bounds, Search, search};

pub(super) fn exhaust(bounds: &Bounds, goes_on: &mut dyn FnMut(usize, usize) -> bool) -> Result<Search, String> {
    let model = machine::RaftModel::new(bounds)?;
    Ok(search(&model, bounds.states, goes_on))
}

#[cfg(test)]
mod tests;
