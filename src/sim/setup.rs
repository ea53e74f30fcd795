//! Where a system sets up its hosts, workload and checks.

use std::cell::Cell;
use std::collections::BTreeMap;
use std::future::Future;
use std::pin::Pin;
use std::time::Duration;

use serde::de::DeserializeOwned;

use crate::rng::{Rng, Seed};
use crate::script::{Action, Lane, Script, ScriptError, Section, SystemAction};

use super::system::System;

use super::calm::{Calm, Calms};
use super::host::{Factory, Host, HostResult};
use super::lane::core::{CoreFactory, CoreHost};
use super::outcome::PacketCounts;
use super::process::Panics;
use super::recorder::{Breach, Watcher};
use super::shared::Events;
use super::trace::Record;

/// A host to be.
pub(crate) struct Plan {
    pub(crate) name: String,
    pub(crate) life: Life,
    /// Whether the run waits for its end.
    pub(crate) workload: bool,
}

/// How a host's root future is made, by lane.
pub(crate) enum Life {
    Turmoil(Factory),
    /// In a process of its own.
    Process(Factory, Panics),
    Core(CoreFactory),
}

/// A state's name, and whether it holds.
pub(crate) type StateCheck = (&'static str, Box<dyn Fn() -> bool>);

/// A role's name, and who has it.
pub(crate) type RoleCheck = (&'static str, Box<dyn Fn() -> Vec<String>>);

/// Carries out the system's own action of the step at a place.
pub(crate) type Actor = Box<dyn FnMut(usize, &SystemAction, &Events)>;

fn factory<F, R>(mut start: F) -> Factory
where
    F: FnMut(Host) -> R + 'static,
    R: Future<Output = HostResult> + 'static,
{
    Box::new(move |host| -> Pin<Box<dyn Future<Output = HostResult>>> { Box::pin(start(host)) })
}

/// What the world is made of.
#[derive(Default)]
pub(crate) struct Parts {
    pub(crate) hosts: Vec<Plan>,
    pub(crate) states: Vec<StateCheck>,
    pub(crate) roles: Vec<RoleCheck>,
    pub(crate) actor: Option<Actor>,
    pub(crate) calms: Calms,
    pub(crate) done: Option<Box<dyn Fn() -> bool>>,
}

/// A check at the end of the run.
pub(crate) type EndCheck = Box<dyn FnOnce(&Report)>;

/// What a system sets up; see [`crate::sim::System::build`].
pub struct Setup<'a> {
    script: &'a Script,
    seed: Seed,
    lane: Lane,
    /// Whether the system has read its table, and its keys in `[expect]`.
    pub(super) read: [Cell<bool>; 2],
    pub(crate) parts: Parts,
    pub(crate) watchers: Vec<Watcher>,
    pub(crate) watchers_of_the_unusual: Vec<Watcher>,
    pub(crate) end_checks: Vec<EndCheck>,
}

impl<'a> Setup<'a> {
    pub(crate) fn new(system: &dyn System, script: &'a Script, seed: Seed) -> Self {
        let able = if system.script_lacks_in_core_lane(script).is_none() { Lane::Core } else { Lane::Turmoil };
        Self {
            script,
            seed,
            lane: script.lane.unwrap_or(able),
            read: Default::default(),
            parts: Parts::default(),
            watchers: Vec::new(),
            watchers_of_the_unusual: Vec::new(),
            end_checks: Vec::new(),
        }
    }

    /// All that a system sets up for a script, and whether it makes sense.
    pub(crate) fn built(system: &dyn System, script: &'a Script, seed: Seed) -> Result<Self, ScriptError> {
        if script.lane == Some(Lane::Core)
            && let Some(lacking) = system.script_lacks_in_core_lane(script)
        {
            let message = format!("the core lane has no {lacking}, which system `{}` needs", script.system);
            return Err(script.error_in_lane(&message));
        }
        let mut setup = Self::new(system, script, seed);
        system.build(&mut setup)?;
        setup.validate(system)?;
        Ok(setup)
    }

    /// The script that is to run.
    pub fn script(&self) -> &'a Script {
        self.script
    }

    /// The system's own table in the script, in the system's own types. Errors name the line.
    pub fn section<T: DeserializeOwned>(&self) -> Result<T, ScriptError> {
        self.read[0].set(true);
        self.script.section.read()
    }

    /// The system's own keys in `[expect]`.
    pub fn expect<T: DeserializeOwned>(&self) -> Result<T, ScriptError> {
        self.read[1].set(true);
        self.script.expect.section.read()
    }

    /// The system's own table, to name one of its keys in an error.
    pub fn table(&self) -> &'a Section {
        &self.script.section
    }

    /// The run's seed.
    pub fn seed(&self) -> Seed {
        self.seed
    }

    /// Randomness for the setup itself, by label.
    pub fn rng(&self, label: &str) -> Rng {
        self.seed.stream(label)
    }

    /// Adds a host. `start` makes its root future, at its start and at every restart. A host that ends with an error
    /// ends the run with a violation.
    pub fn host<F, R>(&mut self, name: impl Into<String>, start: F)
    where
        F: FnMut(Host) -> R + 'static,
        R: Future<Output = HostResult> + 'static,
    {
        self.add(name.into(), Life::Turmoil(factory(start)), false);
    }

    /// Adds a host whose end the run waits for: a client that has so much to do.
    pub fn workload<F, R>(&mut self, name: impl Into<String>, start: F)
    where
        F: FnMut(Host) -> R + 'static,
        R: Future<Output = HostResult> + 'static,
    {
        self.add(name.into(), Life::Turmoil(factory(start)), true);
    }

    /// Adds a host that is a process of its own: every task that it or a library starts (`tokio::spawn`, a `JoinSet`,
    /// `spawn_local`) is run, paused and killed with it. It ends when its root future does, as a program with its `main`. It
    /// uses the sockets of [`sockets`](crate::sockets), or [`Host::net`]. A panic in a task that nobody is seen to await is
    /// found, unless it [outlives panics](Self::outlives_panics).
    pub fn process<F, R>(&mut self, name: impl Into<String>, start: F)
    where
        F: FnMut(Host) -> R + 'static,
        R: Future<Output = HostResult> + 'static,
    {
        self.add(name.into(), Life::Process(factory(start), Panics::Found), false);
    }

    /// Adds such a host whose end the run waits for.
    pub fn process_workload<F, R>(&mut self, name: impl Into<String>, start: F)
    where
        F: FnMut(Host) -> R + 'static,
        R: Future<Output = HostResult> + 'static,
    {
        self.add(name.into(), Life::Process(factory(start), Panics::Found), true);
    }

    /// Says of a [process](Self::process) that a panic in one of its tasks is its own affair, as it is in life: it is written
    /// down, counted as `panics`, and no more. For a service that looks after its tasks in other tasks, or catches panics
    /// itself: only who awaits a task in the root future is seen to.
    ///
    /// # Panics
    /// If there is no such process.
    pub fn outlives_panics(&mut self, name: &str) {
        let plan = self.parts.hosts.iter_mut().find(|plan| plan.name == name);
        match plan.map(|plan| &mut plan.life) {
            Some(Life::Process(_, panics)) => *panics = Panics::Outlived,
            _ => panic!("no process is called {name}"),
        }
    }

    fn add(&mut self, name: String, life: Life, workload: bool) {
        self.plan(Plan { name, life, workload });
    }

    /// The lane that it is to run in: the script's, or else the core lane where the system can. In [`Lane::Core`] a system adds its hosts by
    /// [`core_host`](Self::core_host).
    pub fn lane(&self) -> Lane {
        self.lane
    }

    /// Adds a host to the core lane. Its root future is polled when a datagram has arrived for it, when a time has come
    /// that it asked [`CoreTime`](super::CoreTime) for, or when it was woken by a step of the script; each time, all
    /// that it waits for is asked again. There is no runtime: tokio's times, sockets and tasks do not work in it.
    pub fn core_host<F, R>(&mut self, name: impl Into<String>, mut start: F)
    where
        F: FnMut(CoreHost) -> R + 'static,
        R: Future<Output = HostResult> + 'static,
    {
        let factory: CoreFactory =
            Box::new(move |host| -> Pin<Box<dyn Future<Output = HostResult>>> { Box::pin(start(host)) });
        self.plan(Plan { name: name.into(), life: Life::Core(factory), workload: false });
    }

    fn plan(&mut self, plan: Plan) {
        assert!(self.parts.hosts.iter().all(|host| host.name != plan.name), "two hosts are called {}", plan.name);
        self.parts.hosts.push(plan);
    }

    /// Gives a state that a step's `when` may name its meaning.
    pub fn state(&mut self, name: &'static str, holds: impl Fn() -> bool + 'static) {
        self.parts.states.push((name, Box::new(holds)));
    }

    /// Gives a role that a step's hosts may name, as `@name` and `@any-name`, its meaning: the hosts that have it just now,
    /// by their names and in an order that follows from the run.
    pub fn role(&mut self, name: &'static str, who: impl Fn() -> Vec<String> + 'static) {
        self.parts.roles.push((name, Box::new(who)));
    }

    /// Gives the script's steps of the system's own their meaning. All of them are read and validated here, before the
    /// run begins: `validate` is given what a step says and its table, to name a key in an error. `carry_out` does it
    /// when the step fires.
    pub fn actions<T: DeserializeOwned + 'static>(
        &mut self,
        mut validate: impl FnMut(&T, &Section) -> Result<(), ScriptError>,
        mut carry_out: impl FnMut(T, &Events) + 'static,
    ) -> Result<(), ScriptError> {
        let mut read = BTreeMap::new();
        for (index, step) in self.script.steps.iter().enumerate() {
            if let Action::System(action) = &step.action {
                let says = action.section.read()?;
                validate(&says, &action.section)?;
                read.insert(index, says);
            }
        }
        self.parts.actor = Some(Box::new(move |index, action, events| {
            // What chaos has drawn is the system's own making.
            let says = read.remove(&index).unwrap_or_else(|| action.section.read().expect("it draws what it can do"));
            carry_out(says, events);
        }));
        Ok(())
    }

    /// The run ends once all steps are done and `done` holds, as it does when all workloads are done.
    pub fn done(&mut self, done: impl Fn() -> bool + 'static) {
        self.parts.done = Some(Box::new(done));
    }

    /// Calls `hook` when the testbed has stopped interfering that far, with the simulated time: at most once, between
    /// two steps of the simulation, [`Calm::Scheduled`] before [`Calm::Healed`]. What was broken for ever is never
    /// healed.
    pub fn calm(&mut self, calm: Calm, hook: impl FnOnce(Duration) + 'static) {
        self.parts.calms.hook(calm, Box::new(hook));
    }

    /// Shows every record to a check as it is made. What it finds ends the run. It must not use [`Events`].
    pub fn watch(&mut self, check: impl FnMut(&Record) -> Option<Breach> + 'static) {
        self.watchers.push(Box::new(check));
    }

    /// The same without that packets were sent and delivered: most records are that, and not to be asked for them makes a
    /// run cheaper.
    pub fn watch_the_unusual(&mut self, check: impl FnMut(&Record) -> Option<Breach> + 'static) {
        self.watchers_of_the_unusual.push(Box::new(check));
    }

    /// Runs a check when the run is over and nothing was found before.
    pub fn at_end(&mut self, check: impl FnOnce(&Report) + 'static) {
        self.end_checks.push(Box::new(check));
    }

    /// The hosts of the run, in order.
    pub fn host_names(&self) -> Vec<String> {
        self.parts.hosts.iter().map(|host| host.name.clone()).collect()
    }
}

/// A run that is over, as its last checks see it.
pub struct Report {
    pub(crate) events: Events,
    pub(crate) simulated: Duration,
    /// Since when it has been [`Calm::Scheduled`] and [`Calm::Healed`].
    pub(crate) calm: [Option<Duration>; 2],
    /// Whether workloads were still at work.
    pub(crate) is_cut_off: bool,
}

impl Report {
    /// The simulated time that passed.
    pub fn simulated(&self) -> Duration {
        self.simulated
    }

    /// Whether the run's end came upon workloads in the middle of their work: then what they still wait for is not lost.
    pub fn is_cut_off(&self) -> bool {
        self.is_cut_off
    }

    /// Since when the testbed had stopped interfering that far; `None`: it never did.
    pub fn calm_since(&self, calm: Calm) -> Option<Duration> {
        match calm {
            Calm::Scheduled => self.calm[0],
            Calm::Healed => self.calm[1],
        }
    }

    /// What a counter came to.
    pub fn counter(&self, name: &str) -> u64 {
        self.events.shared.recorder.borrow().counters.get(name).unwrap_or(0)
    }

    /// What became of the packets.
    pub fn packets(&self) -> PacketCounts {
        self.events.shared.recorder.borrow().packets
    }

    /// Something to be read beside the verdict, in a sentence: a check that was not made, say, and why.
    pub fn note(&self, note: impl Into<String>) {
        self.events.shared.recorder.borrow_mut().notes.push(note.into());
    }

    /// The run says nothing, for this reason. A violation says more than that.
    pub fn inconclusive(&self, reason: impl Into<String>) {
        self.events.shared.recorder.borrow_mut().doubt.get_or_insert(reason.into());
    }

    /// An invariant is broken.
    pub fn violation(&self, invariant: impl Into<String>, message: impl Into<String>) {
        self.events.violation(invariant, message);
    }

    /// An invariant is broken, and these facts show it.
    pub fn breach(&self, breach: Breach) {
        self.events.breach(breach);
    }
}
