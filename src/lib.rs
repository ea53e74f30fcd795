//! Stormglass: a deterministic simulation testbed for network services.
//!
//! Services run as hosts inside a [turmoil](https://docs.rs/turmoil) network. A seed and a script decide every partition,
//! loss, delay and crash, and the same seed gives the same run, byte for byte. The very same host code runs on real
//! sockets. To use it, begin with the [`guide`]; what follows is a map of the code.
//!
//! ```text
//!    real-socket binaries            sims/*.toml + a seed          seeds/*.toml
//!       (src/bin, thin)                      |                          |
//!             |                       cli · testing · explore · report
//!             |                               |
//!             |                       systems   where a host meets the testbed  -->  check   invariants
//!             |                           |        |
//!             +-- the hosts: echo · raft · balancer|
//!             |                           |       sim   the testbed: the trait System, world, wire, faults, trace, verdict
//!          service · pages                |        |
//!                     net · disk · events · consensus · held · watched · rng · script · figure · model   the ground
//!                                    |      |
//!                           tokio::net      std::fs         (turmoil only in sim; sockets: tokio's names, over both)
//! ```
//!
//! - [`net`] is the seam: a small trait for sockets, over the operating system's ([`net::real`]) and the simulated ones
//!   ([`sim::net`]). [`disk`] is the second seam, for files: a directory of this machine ([`disk::real`]) or of a simulated
//!   one, which can lose power ([`sim::disk`]). [`events`] is how a host tells what it does, [`rng`] where all randomness
//!   comes from.
//! - [`sockets`] have tokio's names, and are the operating system's or simulated, as they are made: by them software that
//!   is there already comes into a run.
//! - [`echo`] is a host: TCP and UDP echo, servers and clients. [`raft`] is another: leader elections and a replicated store,
//!   a core without sockets or clocks, the loop that drives it, and `raft-node`, which runs it on real ones.
//!   [`balancer`] is the third: an HTTP load balancer, a pure policy under a proxy over hyper.
//! - [`consensus`] is what any Raft tells of itself, this crate's and those of others.
//! - [`watched`] is a value that tasks wait for, in the same order in every run.
//! - [`held`] is the wall clock and the entropy of a program that gives them to its runs: off unless asked for.
//! - [`service`] is what the binaries on real sockets share: how they begin and end, and what they print where.
//! - `planted` (with the cargo feature `planted-bugs`) is how the wrong versions of a host are listed.
//! - [`script`] reads scripts into plain data.
//! - [`sim`] makes a run of a script and a seed, in one of two lanes ([`guide::lanes`]): it steps turmoil with every packet
//!   in its own hand, or goes from event to event by itself.
//!   Through [`sim::System`] a system meets it.
//! - [`systems`] holds those that come with the crate, a file or folder for each; [`check`] what must hold in them.
//! - [`figure`] is what was published, as plain data that a system declares.
//! - [`model`] visits every state of a small system; a system says what its states and steps are.
//! - `live` (with the cargo feature of that name, on Linux) runs a script on real processes and a real kernel, with the fates that
//!   a simulated run has for packets.
//! - [`explore`] makes many runs, in processes that are watched, and makes failures small; [`report`] shows them; [`cli`] is the command line, public,
//!   so that a program with systems of its own has all of it; [`testing`] runs sims inside `cargo test`.
//!
//! **Invariant:** a host knows `net`, `disk`, `events` and `rng`, a Raft `consensus`, never where it runs; of `service` it knows how a duration is
//! written, and only its command line knows the rest. The testbed knows the trait
//! [`sim::System`], never a host. No top-level module is in a circle of imports. A check knows events and packets, never faults. A report knows traces and verdicts,
//! never hosts. `tests/imports.rs` holds the sources to it.
//!
//! **Invariant:** nothing that a run does depends on anything but its script and its seed. What would break that (clocks,
//! threads, maps in random order, generators from the air) is banned by `.clippy.toml`, and `stormglass verify` compares
//! two processes record by record.
//!
//! **Invariant:** the lanes are one truth: a script and a seed give the same records in both, and the same hash.
//! `tests/lanes.rs` holds every script of Raft to it.
//!
//! **Invariant:** both worlds are in one build. There is no `cfg` for simulation.
//!
//! # Features
//!
//! All of these are on by default. With `default-features = false` one has the testbed: seams, scripts, runs, records,
//! verdicts, the checks of [anyone's Raft](check::consensus) and [`testing`].
//!
//! | feature | gives |
//! |---|---|
//! | `cli` | [`cli`] over systems of one's own: sweeps, shrinking, cases, records and pages |
//! | `captures` | runs as captures for Wireshark (and `cli`) |
//! | `live` | scripts on real processes, on Linux (and `cli`) |
//! | `plots` | figures as pictures (and `cli`) |
//! | `systems` | TCP and UDP echo, Raft and the load balancer: hosts, binaries, and the systems that test them |
//!
//! `planted-bugs` adds the wrong hosts of the ledger, for the testbed's own tests.

// What only other features use is dead in a smaller build; the whole one is held to have nothing dead.
#![cfg_attr(
    not(all(
        feature = "captures",
        feature = "cli",
        feature = "live",
        feature = "plots",
        feature = "systems",
        target_os = "linux"
    )),
    allow(dead_code, unused_imports)
)]

/// The version, and the commit that it was built from where that is known: `0.1.0 (0387e3ec8 2026-11-30)`.
pub const VERSION: &str = env!("STORMGLASS_VERSION");

#[cfg(feature = "systems")]
pub mod balancer;
pub mod check;
#[cfg(feature = "cli")]
pub mod cli;
pub mod consensus;
pub mod disk;
#[cfg(feature = "systems")]
pub mod echo;
pub mod events;
pub mod explore;
pub mod figure;
#[cfg(all(feature = "cli", feature = "systems"))]
pub mod guide;
pub mod held;
#[cfg(all(feature = "live", target_os = "linux"))]
pub mod live;
pub mod model;
pub mod net;
#[cfg(feature = "systems")]
pub mod pages;
#[cfg(feature = "planted-bugs")]
pub mod planted;
#[cfg(feature = "systems")]
pub mod raft;
pub mod report;
pub mod rng;
pub mod script;
#[cfg(feature = "systems")]
pub mod service;
pub mod sim;
pub mod sockets;
pub mod systems;
pub mod tcp;
pub mod testing;
pub mod watched;
