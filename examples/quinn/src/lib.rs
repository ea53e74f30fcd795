//! Records that are kept over QUIC: what it takes to bring a service over quinn into the testbed.
//!
//! | file | is |
//! |---|---|
//! | `service.rs` | the service, as one writes it; of the testbed's it has its import of disks |
//! | `client.rs` | a client, written the same way |
//! | `adapter.rs` | what quinn wants to know of a socket: 70 lines, to be copied |
//! | `tls.rs` | a certificate of the server's own, and what goes with it |
//! | `sim.rs` | the hosts, the clients, the check; `sims/chaos.toml` is the script |
//! | `bin/records-server.rs` | the same service on real sockets |
//! | `main.rs` | the command line: `cargo run -- run records/chaos --seed 7` |
//!
//! quinn's clock is its runtime's, and that of its own `TokioRuntime` is tokio's: it follows simulated time. What it cannot
//! be given are the random bytes of TLS, which the program holds by the macro in `main.rs`.

pub mod adapter;
pub mod client;
pub mod service;
pub mod sim;
pub mod tls;
