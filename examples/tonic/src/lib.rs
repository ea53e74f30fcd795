//! A ledger over gRPC: what it takes to bring a service over tonic into the testbed.
//!
//! | file | is |
//! |---|---|
//! | `service.rs` | the service, as one writes it; of the testbed's it has its import of disks |
//! | `rpc.rs` | what a compiler of protobuf writes for `ledger.proto`; none is needed to build this |
//! | `adapter.rs` | what tonic wants to know of a server's and a client's connections: 60 lines, to be copied |
//! | `sim.rs` | the hosts, the clients, the check; `sims/chaos.toml` is the script |
//! | `bin/ledger-server.rs` | the same service on real sockets |
//! | `main.rs` | the command line: `cargo run -- run ledger/chaos --seed 7` |

pub mod adapter;
pub mod rpc;
pub mod service;
pub mod sim;
