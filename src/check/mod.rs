//! What must hold in a run, system by system.
//!
//! **Invariant:** a check knows events and packets, never which faults a script asked for: it would otherwise excuse
//! what it should find.

#[cfg(feature = "systems")]
pub mod balancer;
pub mod consensus;
#[cfg(feature = "systems")]
pub mod echo;
#[cfg(feature = "systems")]
pub mod linear;
#[cfg(feature = "systems")]
pub mod raft;
