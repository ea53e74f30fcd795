//! Hosts that are processes of their own: what they started lives and dies with them, and their sockets are what they
//! look like.

#![allow(clippy::disallowed_methods, reason = "what other hosts may not do is what these are for: tasks and threads")]

mod panics;
mod reach;
mod same;
mod sockets;
mod table;

use super::{ms, note, notes, records, simulate};
