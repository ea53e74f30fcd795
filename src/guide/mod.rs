//! How to use the testbed: scripts, many seeds, what to do with a failure, a service of one's own, the load balancer before real services, and the network that it all runs in.

#[doc = include_str!("scripts.md")]
pub mod scripts {}

#[doc = include_str!("sweeps.md")]
pub mod sweeps {}

#[doc = include_str!("lanes.md")]
pub mod lanes {}

#[doc = include_str!("exhaust.md")]
pub mod exhaust {}

#[doc = include_str!("failures.md")]
pub mod failures {}

#[doc = include_str!("own_service.md")]
pub mod own_service {}

#[doc = include_str!("balancer.md")]
pub mod balancer {}

#[doc = include_str!("report.md")]
pub mod report {}

#[doc = include_str!("network_model.md")]
pub mod network_model {}
