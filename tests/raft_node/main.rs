//! `raft-node` as its operators have it: processes, sockets, and files.
#![allow(
    clippy::disallowed_types,
    clippy::disallowed_methods,
    missing_docs,
    reason = "these are real processes: their tests need the wall clock and threads"
)]

mod cluster;
mod elections;
mod http;
mod kv;
#[allow(dead_code, reason = "these tests need a part of it")]
#[path = "../processes/mod.rs"]
mod processes;
mod refusals;
mod slow_disk;
mod storage;
