//! Members that gossip over UDP: a service of datagrams and tasks, moved into the testbed by its imports.
//!
//! | file | is |
//! |---|---|
//! | `service.rs` | the service, as one writes it; of the testbed's it has its imports of sockets and disks |
//! | `sim.rs` | the hosts, the check; `sims/chaos.toml` is the script |
//! | `bin/gossip-member.rs` | the same service on real sockets |
//! | `main.rs` | the command line: `cargo run -- run gossip/chaos --seed 7` |

pub mod service;
pub mod sim;
