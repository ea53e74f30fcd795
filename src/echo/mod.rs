//! The echo services: a client sends something, the server sends it back behind a prefix.
//!
//! The wire is that of the small Go programs of the post this crate began with. Over TCP a message is one line, and
//! the answer to `hello\n` is `Echo: hello\n`. Over UDP a message is one datagram, and so is its answer. The same
//! clients and servers run on real sockets (`tcp-echo`, `udp-echo`) and in the testbed, where an echo is the simplest
//! thing whose correctness can be checked in full: an answer belongs to a request, and it is the request.
//!
//! # The servers
//!
//! [`tcp::serve`] keeps a task for each connection. It reads a batch of bytes, finds the lines in it, builds all
//! their answers in one buffer and writes that buffer; it does not read while an answer is unwritten. So a client
//! that does not read its answers is stopped by its own full socket and costs the server no more than one line and
//! one batch. A connection ends when its client is done, when it was idle too long, when a line is longer than the
//! limit, or when the server is told to stop; in each case what was answered reaches the client before the close.
//!
//! [`udp::serve`] is one loop over one socket and has no state at all.
//!
//! # The clients
//!
//! [`tcp_client::run`] and [`udp_client::run`] take messages from a [`client::Source`] and number them from 0. Both
//! keep up to `pipeline` of them outstanding, give each a deadline, and try again as often as they may. They differ
//! in what the transport promises:
//!
//! - Over TCP answers come in order, so the oldest request is the one that an answer belongs to, and the one that is
//!   late. A connection that fails is replaced, and what was unanswered is sent again in order.
//! - Over UDP anything may be lost, doubled or overtaken, so an answer is matched by its content: it belongs to the
//!   request whose payload it ends with.
//!
//! A request that is sent twice may be answered twice. That is harmless for an echo, and it is what the checks of the
//! testbed look at.
//!
//! # Events
//!
//! Both sides tell what they do as [`Event`]s through a [`Sink`](crate::events::Sink): the command line prints them,
//! the testbed records and checks them, and a server on its own has no listener and pays a branch.
//!
//! **Invariant:** nothing here knows which network it runs on: only `crate::net`, `crate::rng`, `crate::events`
//! and the parser of `crate::service` are imported, and time is `tokio::time`; the command line alone knows more.

pub mod cli;
pub mod client;
pub mod event;
pub mod lines;
pub mod request;
mod serial;
pub mod stats;
pub mod tcp;
pub mod tcp_client;
mod tcp_connection;
mod tcp_options;
pub mod udp;
pub mod udp_client;

pub use event::{Closed, Disconnected, Event};
