//! All tests of the testbed and the command, in one program: `cargo test --test suite NAME::` runs those of one file.

#[path = "assist.rs"]
mod assist;
#[path = "capture.rs"]
mod capture;
#[path = "causality.rs"]
mod causality;
#[path = "cli.rs"]
mod cli;
#[path = "determinism.rs"]
mod determinism;
#[path = "disk/main.rs"]
mod disk;
#[path = "elections.rs"]
mod elections;
#[path = "exhaust.rs"]
mod exhaust;
#[path = "failures.rs"]
mod failures;
#[path = "figures.rs"]
mod figures;
#[path = "imports.rs"]
mod imports;
#[path = "lanes.rs"]
mod lanes;
#[path = "machines.rs"]
mod machines;
#[path = "network/main.rs"]
mod network;
#[path = "page/main.rs"]
mod page;
#[path = "planted.rs"]
mod planted;
#[path = "raft_core/main.rs"]
mod raft_core;
#[path = "reading/main.rs"]
mod reading;
#[path = "readme.rs"]
mod readme;
#[path = "said.rs"]
mod said;
#[path = "schedules.rs"]
mod schedules;
#[path = "schema.rs"]
mod schema;
#[path = "show.rs"]
mod show;
#[path = "sweeps.rs"]
mod sweeps;
#[path = "testing.rs"]
mod testing;
