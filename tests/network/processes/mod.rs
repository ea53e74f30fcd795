//! Hosts that are processes of their own: what they started lives and dies with them, and their sockets are what they
//! look like.

mod panics;
mod reach;
mod same;
mod sockets;
mod table;

use super::{ms, note, notes, records, simulate};
