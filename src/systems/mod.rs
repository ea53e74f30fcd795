//! Where a host meets the testbed: the systems that come with the crate, a file or folder for each.

pub mod balancer;
pub mod echo;
pub mod raft;

use crate::sim::System;

/// The systems that come with the crate.
pub fn all() -> &'static [&'static dyn System] {
    &[&echo::Echo, &raft::Raft, &balancer::Balancer]
}
