//! Sockets with tokio's names: the operating system's outside a run, simulated ones inside.
//!
//! A service that uses `tokio::net` is moved into the testbed by changing its imports:
//!
//! ```text
//! use tokio::net::{TcpListener, UdpSocket};        use stormglass::sockets::{TcpListener, UdpSocket};
//! ```
//!
//! Which of the two a socket is, is decided when it is made: by a host that runs in the testbed, or by anybody else. Both
//! are in one build, and both are `Send`. In a run, names are those of its hosts, and a host has one address. A host that
//! uses them is best a [process](crate::sim::Setup::process), where it may also use `tokio::spawn`.
//!
//! Signatures and errors are tokio's; what each function does is told there. In a run:
//!
//! | of tokio's | here |
//! |---|---|
//! | `connect`, `bind`, `accept`, reading, writing, `peek`, `ready`, `try_…`, `poll_…`, both ways of splitting | the same |
//! | `set_linger` of no time, `set_zero_linger` | closing sends a reset |
//! | `set_nodelay`, `set_quickack`, `set_ttl`, any other `set_linger` | kept, and nothing else: Nagle's algorithm is always off, closing never waits |
//! | `UdpSocket::connect` | the socket hears its peer alone; that nobody listens there it never hears |
//! | `from_std`, `into_std` | an error, or the operating system's socket |
//! | `TcpSocket`, `try_io`, `async_io`, file descriptors, broadcast, multicast, `tos`, `bind_device`, `SO_REUSEPORT`, Unix sockets, IPv6 | missing |
//!
//! **Invariant:** a socket is never both: what is made in a run never reaches the operating system's network.

mod addr;
pub mod tcp;
mod udp;

pub use addr::{ToSocketAddrs, lookup_host};
pub use tcp::{TcpListener, TcpStream};
pub use udp::UdpSocket;
