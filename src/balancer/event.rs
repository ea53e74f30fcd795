//! What a balancer tells of itself.

use std::net::SocketAddr;

use super::policy;

/// Something that happened in a balancer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// It listens.
    Listening {
        /// Where.
        addr: SocketAddr,
    },
    /// It takes no more connections, and lets those that it has finish.
    Draining {
        /// How many there are.
        connections: usize,
    },
    /// They were cut off.
    DrainCut {
        /// How many there were.
        connections: usize,
    },
    /// A backend's standing has changed.
    Policy(policy::Event),
    /// A request is tried again.
    Retried,
    /// A request is not tried again, since the budget is spent.
    RetryRefused,
}
