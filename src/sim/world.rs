//! One run: its hosts are run in a [lane](super::lane), step by step, and the script's steps fire between two of those.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::rc::Rc;
use std::time::Duration;

use crate::rng::Seed;
use crate::script::{self, Script};

use super::calm::{Calm, Calms};
use super::control::{Control, Wanted};
use super::cuts::Cuts;
use super::lane::Lane;
use super::lane::core::CoreLane;
use super::lane::turmoil::TurmoilLane;
use super::outcome::Verdict;
use super::panics;
use super::platter::Platter;
use super::recorder::Breach;
use super::schedule::Schedule;
use super::setup::{Actor, Life, Parts, Plan, RoleCheck, StateCheck};
use super::shared::Shared;
use super::trace::{HostId, What};
use super::wire::Machine;
use super::{RunOptions, Watch, ticks};

pub(crate) struct World {
    pub(super) lane: Box<dyn Lane>,
    pub(crate) shared: Rc<Shared>,
    pub(crate) schedule: Schedule,
    pub(crate) states: Vec<StateCheck>,
    pub(crate) roles: Vec<RoleCheck>,
    pub(crate) actor: Option<Actor>,
    pub(crate) seed: Seed,
    pub(crate) cuts: Cuts,
    pub(crate) calms: Calms,
    controls: Vec<Rc<Control>>,
    work: Work,
    tick: Duration,
    duration: Duration,
    /// The end of the last tick.
    last_tick: Duration,
    /// Whether there is [nothing to come](Self::nothing_to_come), as far as it is known.
    over: bool,
    now: Duration,
    steps: u64,
    watch: Option<Rc<dyn Watch>>,
}

impl World {
    pub(crate) fn new(
        script: &Script,
        seed: Seed,
        shared: Rc<Shared>,
        schedule: Schedule,
        parts: Parts,
        options: &RunOptions,
    ) -> Self {
        let Parts { hosts, states, roles, actor, calms, done } = parts;
        let (mut controls, mut workloads) = (Vec::new(), Vec::new());
        for (id, Plan { name, workload, .. }) in (0..).map(HostId).zip(&hosts) {
            let waits = script.waiting.iter().any(|pattern| pattern.matches(name));
            let platter = Platter::new(script.disk.sync, shared.deeds.clone());
            let control = Control::new(id, &shared, seed, platter, options.watch.clone(), waits);
            workloads.extend(workload.then(|| control.clone()));
            controls.push(control);
        }
        let lane = lane(script, seed, &shared, hosts, &controls);
        Self {
            lane,
            shared,
            schedule,
            states,
            roles,
            actor,
            seed,
            cuts: Cuts::default(),
            calms,
            controls,
            work: Work { done, workloads },
            tick: script.tick,
            duration: script.duration,
            last_tick: ticks::up(script.duration, script.tick),
            over: false,
            now: Duration::ZERO,
            steps: 0,
            watch: options.watch.clone(),
        }
    }

    pub(crate) fn control(&self, host: HostId) -> &Control {
        &self.controls[usize::from(host.0)]
    }

    pub(crate) fn controls(&self) -> impl Iterator<Item = &Control> {
        self.controls.iter().map(Rc::as_ref)
    }

    pub(crate) fn elapsed(&self) -> Duration {
        self.now
    }

    pub(crate) fn steps(&self) -> u64 {
        self.steps
    }

    /// Runs until something is found, the work and the schedule are done, or the time is up. A panic is a finding, also one
    /// of what a system has the testbed call: its states, roles, actions and hooks.
    pub(crate) fn run(&mut self) {
        if let Err(message) = caught(|| self.run_to_its_end()).flatten() {
            self.shared.current.set(None);
            self.shared.breach(None, Breach::new("panic", format!("in the testbed: {message}")));
        }
    }

    fn run_to_its_end(&mut self) -> Result<(), String> {
        self.fire_due(Duration::ZERO);
        self.look_for_calm(Duration::ZERO);
        while !self.is_over() {
            // Once the script has nothing more to say, the lane may go on by itself.
            let alone = self.lane.goes_alone() && self.over && self.calms.since(Calm::Healed).is_some();
            if alone {
                self.run_alone();
            } else {
                self.step()?;
            }
        }
        Ok(())
    }

    /// One step: the hosts, then the script, then the packets.
    fn step(&mut self) -> Result<(), String> {
        let (from, to) = self.next_step();
        self.shared.set_clock(from);
        self.lane.run_hosts(from, to)?;
        self.steps += 1;
        self.now = to;
        self.shared.set_clock(to);
        self.lane.absorb(to);
        self.fire_due(to);
        self.look_for_calm(to);
        self.lane.carry(to);
        if let Some(watch) = &self.watch {
            watch.stepped(to);
        }
        Ok(())
    }

    /// All steps that are left, of hosts and packets only.
    fn run_alone(&mut self) {
        let Self { lane, shared, now, steps, watch, work, duration, last_tick, .. } = self;
        let (from, last) = (*now, *last_tick);
        let mut after = |at| {
            *steps += 1;
            *now = at;
            if let Some(watch) = watch {
                watch.stepped(at);
            }
            at >= *duration || shared.recorder.borrow().found.is_some() || work.is_done()
        };
        lane.run_alone(from, last, &mut after);
    }

    /// The next tick in which something happens, or the last one.
    fn next_step(&mut self) -> (Duration, Duration) {
        let (now, tick) = (self.now, self.tick);
        let by_itself = self.lane.next_step(now, tick);
        let mut end = self.last_tick;
        if !self.nothing_to_come(now) {
            let records = self.shared.recorder.borrow().next_number();
            let scheduled = self.schedule.next_at(now, records);
            let late = Some(self.shared.wire.borrow().fates.late_until()).filter(|until| *until > now);
            let next = scheduled.into_iter().chain(late).min();
            end = next.map_or(end, |at| ticks::up(at, tick).min(end));
        }
        let to = by_itself.map_or(end, |at| at.min(end)).max(now + tick);
        (to - tick, to)
    }

    fn is_over(&mut self) -> bool {
        if self.shared.recorder.borrow().found.is_some() || self.now >= self.duration {
            return true;
        }
        self.work.is_done() && self.nothing_to_come(self.now)
    }

    /// Says so if the testbed has stopped interfering.
    fn look_for_calm(&mut self, now: Duration) {
        if self.calms.since(Calm::Healed).is_some() || !self.nothing_to_come(now) {
            return;
        }
        self.calms.reached(Calm::Scheduled, now);
        if self.nothing_in_force() {
            self.calms.reached(Calm::Healed, now);
        }
    }

    /// Whether every step has fired, and has ended if it ends by itself, and every packet has met its fate. Once this is
    /// so, it stays so.
    fn nothing_to_come(&mut self, now: Duration) -> bool {
        self.over = self.over || self.schedule.is_over() && self.shared.wire.borrow().fates.are_over(now);
        self.over
    }

    /// Whether the hosts run and their links and disks do what the script says of the whole run. Nobody misses a host
    /// that the script never starts.
    fn nothing_in_force(&self) -> bool {
        let is_well = |control: &Control| {
            (control.wanted() == Wanted::Running && !control.platter().is_changed()) || control.is_unstarted()
        };
        self.cuts.is_empty() && !self.shared.wire.borrow().links.is_changed() && self.controls().all(is_well)
    }

    /// Workloads that are not done.
    pub(crate) fn unfinished(&self) -> impl Iterator<Item = HostId> {
        self.work.unfinished().map(|control| control.id)
    }

    /// Workloads that run and are not done: at the end of a run, there should be none.
    pub(crate) fn starved(&self) -> impl Iterator<Item = HostId> {
        self.unfinished().filter(|host| self.control(*host).wanted() == Wanted::Running)
    }

    /// Ends the run: the verdict, as a record of its own.
    pub(crate) fn record_end(&self, verdict: &Verdict) {
        self.shared.record(None, What::Ended { verdict: verdict.name() });
    }
}

/// What the run is for: when it is done, there is nothing more to run for.
struct Work {
    /// What the system says.
    done: Option<Box<dyn Fn() -> bool>>,
    /// Hosts that come to an end.
    workloads: Vec<Rc<Control>>,
}

impl Work {
    fn unfinished(&self) -> impl Iterator<Item = &Control> {
        self.workloads.iter().map(Rc::as_ref).filter(|control| !control.finished.get())
    }

    fn is_done(&self) -> bool {
        let worked = !self.workloads.is_empty() && self.unfinished().next().is_none();
        worked || self.done.as_ref().is_some_and(|done| done())
    }
}

/// What code comes to, or with which message it panicked.
pub(crate) fn caught<T>(code: impl FnOnce() -> T) -> Result<T, String> {
    catch_unwind(AssertUnwindSafe(code)).map_err(|_| panics::take_message())
}

/// The lane that a script asks for, with all hosts.
fn lane(script: &Script, seed: Seed, shared: &Rc<Shared>, hosts: Vec<Plan>, controls: &[Rc<Control>]) -> Box<dyn Lane> {
    let add_machine = |ip, control: &Control, apart| {
        let machine = Machine { ip, off: control.off.get(), boots: 0, apart, lettered: false };
        shared.wire.borrow_mut().add_machine(machine);
    };
    match shared.lane {
        script::Lane::Turmoil => {
            let mut lane = TurmoilLane::new(shared.clone(), script.tick, seed);
            for (Plan { name, life, .. }, control) in hosts.into_iter().zip(controls) {
                add_machine(lane.address(&name), control, matches!(life, Life::Process(..)));
                match life {
                    Life::Turmoil(factory) => lane.add_host(control.clone(), factory),
                    Life::Process(factory, panics) => lane.add_process(control.clone(), factory, panics),
                    Life::Core(_) => unreachable!("the setup was validated"),
                }
            }
            lane.hold_all();
            Box::new(lane)
        }
        script::Lane::Core => {
            let mut lane = CoreLane::new(shared.clone(), script.tick);
            for (Plan { life, .. }, control) in hosts.into_iter().zip(controls) {
                let Life::Core(factory) = life else { unreachable!("the setup was validated") };
                add_machine(CoreLane::address(control.id), control, false);
                lane.add_host(control.clone(), factory);
            }
            Box::new(lane)
        }
    }
}
