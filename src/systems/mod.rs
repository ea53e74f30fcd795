//! Where a host meets the testbed: the systems that come with the crate, a file or folder for each, and how
//! [anyone's Raft](consensus) is watched.

#[cfg(feature = "systems")]
pub mod balancer;
pub mod consensus;
#[cfg(feature = "systems")]
pub mod echo;
#[cfg(feature = "systems")]
pub mod raft;
#[cfg(feature = "systems")]
mod told;

#[cfg(feature = "systems")]
use crate::sim::System;

/// The systems that come with the crate.
#[cfg(feature = "systems")]
pub fn all() -> &'static [&'static dyn System] {
    #[cfg(all(feature = "live", target_os = "linux"))]
    return &[&echo::Echo, &raft::Raft, &balancer::Balancer, &crate::live::Live];
    #[cfg(not(all(feature = "live", target_os = "linux")))]
    &[&echo::Echo, &raft::Raft, &balancer::Balancer]
}
