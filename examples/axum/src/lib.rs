//! A key-value service over axum: what it takes to bring one's own service into the testbed.
//!
//! | file | is |
//! |---|---|
//! | `service.rs` | the service, as one writes it; of the testbed's it has its imports of sockets and disks |
//! | `client.rs` | a client over hyper, written the same way |
//! | `adapter.rs` | what axum wants to know of a listener, in 30 lines, and who sends the requests of reqwest, in 25: to be copied |
//! | `sim.rs` | the host, the clients, the check; `sims/chaos.toml` is the script |
//! | `bin/kv-server.rs` | the same service on real sockets |
//! | `main.rs` | the command line: `cargo run --release -- run kv/chaos --seed 7` |

pub mod adapter;
pub mod client;
pub mod service;
pub mod sim;
