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
#[cfg(all(feature = "live", target_os = "linux"))]
#[path = "live/main.rs"]
mod live;
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

/// How much a search is given: little by day, where everybody waits for it, and what it takes to be thorough every night,
/// where `STORMGLASS_NIGHTLY` is set.
fn by_day<T>(little: T, much: T) -> T {
    if std::env::var_os("STORMGLASS_NIGHTLY").is_some() { much } else { little }
}
