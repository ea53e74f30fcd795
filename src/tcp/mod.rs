//! TCP as Linux has it: one end of a connection as a pure state machine.
//!
//! Segments, what the application does and the time go in; segments and deadlines come out. There are no sockets here, no
//! clock and no randomness: whoever drives two [`Connection`]s decides what becomes of every segment between them.
//!
//! What is modelled is what shows under loss and latency: the handshake and its retries, selective acknowledgements (RFC
//! 2018, 2883), loss detection by time (RACK) and tail loss probes (RFC 8985), the retransmission timeout (RFC 6298) with
//! Linux's variance and its timer wheel, undoing what turned out to be no loss (RFC 3522, 5682), delayed acknowledgements,
//! cubic (RFC 9438) with `HyStart`, proportional rate reduction (RFC 6937), the receive window and its growth, zero window
//! probes, the end by FIN or RST. Every constant is Linux's; none was fitted. The functions of the kernel that a rule was taken
//! from are named where it stands. Nagle's algorithm is off, as this crate's real sockets have it.
//!
//! Left out: explicit congestion notification, pacing and segmentation offload, SACK compression, urgent data, path MTU
//! discovery, keepalive.
//!
//! **Invariant:** no byte is given to the application that was not written at the other end at that place.

mod ack;
mod acks;
mod congestion;
mod connection;
mod input;
mod output;
mod rack;
mod receive;
mod recovery;
mod rtt;
mod scoreboard;
mod segment;
mod settings;
mod timers;
mod wheel;

#[cfg(test)]
mod tests;

pub use connection::{Connection, Failure, State};
pub use segment::{Kind, Segment, Transmission, Why};
pub use settings::{Algorithm, Settings};
pub use wheel::Wheel;

/// A time or a duration in microseconds.
pub type Micros = u64;
