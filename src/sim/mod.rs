//! The testbed: a run from script and seed to verdict.
//!
//! [`run`] reads: the system sets up its hosts ([`setup`]), steps are laid out ([`schedule`], [`chaos`]), the world is
//! stepped ([`world`]) in one of two [lanes](lane) with every packet in the testbed's hand ([`wire`]), everything is taken down ([`recorder`],
//! [`trace`]), and the verdict is given ([`judge`]). [`net`] and [`disk`] are its side of the seams.
//!
//! **Invariant:** the testbed knows the [`System`] trait, never a host.

mod calm;
pub(crate) mod causality;
mod chaos;
mod control;
mod coverage;
mod crash;
pub(crate) mod cuts;
pub(crate) mod deeds;
pub mod disk;
mod drawn;
pub(crate) mod fates;
pub(crate) mod faults;
pub(crate) mod flight;
mod hasher;
pub(crate) mod host;
mod judge;
pub(crate) mod kernel;
mod lane;
mod latency;
pub(crate) mod links;
pub mod meaning;
pub mod net;
pub mod outcome;
mod outside;
mod panics;
mod path;
pub(crate) mod platter;
mod process;
mod processes;
pub(crate) mod recorder;
mod rto;
pub(crate) mod schedule;
mod setup;
pub(crate) mod shared;
pub(crate) mod socket;
mod system;
mod ticks;
pub mod trace;
mod validate;
mod wire;
mod world;

use std::rc::Rc;
use std::time::Duration;

use crate::held;
use crate::rng::{Rng, Seed};
use crate::script::{Script, ScriptError, Step};

pub use calm::Calm;
pub use deeds::Deed;
pub use drawn::{Drawn, drawn};
pub use host::{Host, HostResult};
pub use lane::core::{CoreHost, CoreNet, CoreSocket, CoreTime, Datagram, WaitEnd};
pub(crate) use latency::sample;
pub use outcome::{Fact, Finding, InertStep, Outcome, PacketCounts, Quantiles, Verdict};
pub use path::Path;
pub use processes::{Ending, Heard, Judgement, PacketBytes, Part, Process, Processes, Tell, Watcher, Witness};
pub use recorder::Breach;
pub use setup::{Report, Setup};
pub use shared::{Events, LogContext, SendEvents, log_context};
pub use system::{PlantedBug, Size, System, WeakerCheck};

/// Simulated time zero, in seconds since 1970: the same in every run.
pub const EPOCH_SECONDS: u64 = 1_767_225_600;

/// What is to be known of a run beyond its outcome.
#[derive(Clone, Default)]
pub struct RunOptions {
    /// Whether the records are kept, for [`Outcome::trace`].
    pub keep_records: bool,
    /// Somebody who watches it, to notice when it stands still.
    pub watch: Option<Rc<dyn Watch>>,
}

/// Watches a run from inside. It can change nothing.
pub trait Watch {
    /// A step of the simulation is over; simulated time is now `at`.
    fn stepped(&self, at: Duration) {
        let _ = at;
    }

    /// A host is about to be polled.
    fn polls(&self, at: Duration, host: &str) {
        let _ = (at, host);
    }
}

/// Why a run could not begin.
#[derive(Debug, thiserror::Error)]
pub enum RunError {
    /// The script is wrong.
    #[error(transparent)]
    Script(#[from] ScriptError),
    /// The build lets `select!` draw from the operating system's entropy, and the system may use it.
    #[error(
        "this build is not deterministic for the system `{system}`: tokio's `select!` and `watch` are seeded only under \
         `--cfg tokio_unstable`\n\
         add to .cargo/config.toml:\n\n  [build]\n  rustflags = [\"--cfg\", \"tokio_unstable\"]\n\n\
         or, where RUSTFLAGS is set (it overrides that file): RUSTFLAGS=\"$RUSTFLAGS --cfg tokio_unstable\"\n\
         or, if its hosts use no `select!` without `biased;` and no `watch` that several tasks wait for, declare it in its \
         System:\n\n  fn draws_from_tokio(&self) -> bool {{ false }}"
    )]
    Unseeded {
        /// The system's name.
        system: &'static str,
    },
    /// Its hosts are real processes.
    #[error("{script}: its hosts are real processes, which no simulated run has: `stormglass live` runs them")]
    OnlyLive {
        /// The script's path.
        script: String,
    },
}

/// Runs a script with a seed. The same script and seed give the same run, byte for byte.
pub fn run(
    system: &'static dyn System,
    script: &Script,
    seed: Seed,
    options: &RunOptions,
) -> Result<Outcome, RunError> {
    if system.runs_only_live() {
        return Err(RunError::OnlyLive { script: script.source.path.clone() });
    }
    if system.draws_from_tokio() && !cfg!(tokio_unstable) {
        return Err(RunError::Unseeded { system: system.name() });
    }
    // Before the system builds anything: the keys of its maps are the run's too.
    let _held = held::begin(seed, Duration::from_secs(EPOCH_SECONDS), shared::simulated);
    let setup = Setup::built(system, script, seed)?;
    let (lane, patience) = (setup.lane(), system.patience(&setup)?);
    let Setup { parts, watchers, watchers_of_the_unusual, end_checks, .. } = setup;

    let names: Vec<String> = parts.hosts.iter().map(|host| host.name.clone()).collect();
    let schedule = schedule::Schedule::new(settled_steps(script, seed), drawn_steps(system, script, &names, seed));
    let deeds = deeds::Deeds::new(schedule.len());
    let links = links::Links::new(seed, names.clone(), script.network.clone(), script.links.clone(), deeds.clone());
    let labeller = Box::new(|packet: &trace::Packet| system.label(packet));
    let fates = fates::Fates::new(&script.packets, &names);
    let wire = wire::Wire::new(links, fates, script.tcp, script.udp_buffer_bytes, labeller);
    let mut recorder = recorder::Recorder::new(options.keep_records);
    let coverage = coverage::Coverage::watch(system, &names, &mut recorder);
    watchers.into_iter().for_each(|watcher| recorder.watch(watcher));
    watchers_of_the_unusual.into_iter().for_each(|watcher| recorder.watch_the_unusual(watcher));

    let crashes = crash::Crashes::new(schedule.crash_points(&names));
    let shared = shared::Shared::new(names, script, recorder, wire, crashes, deeds, lane);
    let _captures = panics::Capture::begin();
    let _logs = shared::LogGuard::new(&shared);
    let mut world = world::World::new(script, seed, shared, schedule, parts, options);
    world.run();
    let mut outcome = judge::judge(&world, script, end_checks, patience);
    outcome.coverage = coverage.borrow().pairs();
    Ok(outcome)
}

/// The script's own steps, with the times that this seed draws for those which may fire later than they say.
pub fn settled_steps(script: &Script, seed: Seed) -> Vec<Step> {
    schedule::settle(&script.steps, seed, script.tick)
}

/// The steps that a script's chaos comes to with this seed: none if it has no chaos.
pub fn drawn_steps(system: &dyn System, script: &Script, hosts: &[String], seed: Seed) -> Vec<Step> {
    let operate = |rng: &mut Rng| system.operate(hosts, rng);
    script.chaos.as_ref().map(|chaos| chaos::draw(chaos, hosts, seed, &operate)).unwrap_or_default()
}
