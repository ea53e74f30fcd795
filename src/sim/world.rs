//! One run: turmoil's simulation, stepped, with the testbed's hand on every packet between the steps.

use std::net::IpAddr;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::rc::Rc;
use std::time::{Duration, UNIX_EPOCH};

use crate::rng::Seed;
use crate::script::Script;

use super::calm::{Calm, Calms};
use super::faults::Cuts;
use super::flight::State;
use super::host::{Control, Wanted};
use super::outcome::Verdict;
use super::panics;
use super::platter::Platter;
use super::recorder::Breach;
use super::schedule::Schedule;
use super::setup::{Actor, Parts, Plan, StateCheck};
use super::shared::Shared;
use super::trace::{HostId, What};
use super::wire::Machine;
use super::{EPOCH_SECONDS, RunOptions, Watch};

pub(crate) struct World {
    pub(crate) sim: turmoil::Sim<'static>,
    pub(crate) shared: Rc<Shared>,
    pub(crate) schedule: Schedule,
    pub(crate) states: Vec<StateCheck>,
    pub(crate) actor: Option<Actor>,
    pub(crate) cuts: Cuts,
    pub(crate) calms: Calms,
    done: Option<Box<dyn Fn() -> bool>>,
    controls: Vec<Rc<Control>>,
    workloads: Vec<HostId>,
    tick: Duration,
    duration: Duration,
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
        let Parts { hosts, states, actor, calms, done } = parts;
        let mut world = Self {
            sim: simulation(script.tick, seed),
            shared,
            schedule,
            states,
            actor,
            cuts: Cuts::default(),
            calms,
            done,
            controls: Vec::new(),
            workloads: Vec::new(),
            tick: script.tick,
            duration: script.duration,
            steps: 0,
            watch: options.watch.clone(),
        };
        for (index, plan) in hosts.into_iter().enumerate() {
            let id = HostId(u16::try_from(index).expect("hosts are numbered in 16 bits"));
            world.add_host(id, plan, script, seed);
        }
        world.hold_all();
        world
    }

    fn add_host(&mut self, id: HostId, plan: Plan, script: &Script, seed: Seed) {
        let ip = self.sim.lookup(plan.name.as_str());
        let waits = script.waiting.iter().any(|pattern| pattern.matches(&plan.name));
        self.shared.wire.borrow_mut().add_machine(Machine { ip, off: waits, boots: 0 });
        let platter = Platter::new(script.disk.sync);
        let control = Control::new(id, &self.shared, seed, plan.factory, platter, self.watch.clone(), waits);
        let supervised = control.clone();
        self.sim.host(plan.name, move || supervised.clone().supervise());
        self.controls.push(control);
        if plan.workload {
            self.workloads.push(id);
        }
    }

    fn hold_all(&self) {
        let ips: Vec<IpAddr> = self.shared.wire.borrow().machines.iter().map(|machine| machine.ip).collect();
        for (nth, a) in ips.iter().enumerate() {
            for b in &ips[nth + 1..] {
                self.sim.hold(*a, *b);
            }
        }
    }

    pub(crate) fn control(&self, host: HostId) -> &Control {
        &self.controls[usize::from(host.0)]
    }

    pub(crate) fn controls(&self) -> impl Iterator<Item = &Control> {
        self.controls.iter().map(Rc::as_ref)
    }

    pub(crate) fn elapsed(&self) -> Duration {
        self.sim.elapsed()
    }

    pub(crate) fn steps(&self) -> u64 {
        self.steps
    }

    /// Runs until something is found, the work and the schedule are done, or the time is up.
    pub(crate) fn run(&mut self) {
        self.fire_due(Duration::ZERO);
        self.look_for_calm(Duration::ZERO);
        while !self.is_over() {
            let stepped = catch_unwind(AssertUnwindSafe(|| self.sim.step().map(|_| ()).map_err(|e| e.to_string())));
            let broken = match stepped {
                Ok(Ok(())) => None,
                Ok(Err(error)) => Some(error),
                Err(_) => Some(panics::take_message()),
            };
            if let Some(message) = broken {
                self.shared.current.set(None);
                self.shared.breach(None, Breach::new("panic", format!("in the testbed: {message}")));
                return;
            }
            self.steps += 1;
            let now = self.sim.elapsed();
            self.shared.set_clock(now);
            self.absorb(now);
            self.fire_due(now);
            self.look_for_calm(now);
            self.carry(now);
            self.shared.wire.borrow_mut().acknowledge(now);
            if let Some(watch) = &self.watch {
                watch.stepped(now);
            }
        }
    }

    fn is_over(&self) -> bool {
        if self.shared.recorder.borrow().found.is_some() || self.sim.elapsed() >= self.duration {
            return true;
        }
        let worked = !self.workloads.is_empty() && self.unfinished().next().is_none();
        let done = self.done.as_ref().is_some_and(|done| done());
        (worked || done) && self.nothing_to_come(self.sim.elapsed())
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

    /// Whether every step has fired, and has ended if it ends by itself, and every packet has met its fate.
    fn nothing_to_come(&self, now: Duration) -> bool {
        self.schedule.is_over() && self.shared.wire.borrow().fates.are_over(now)
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
        self.workloads.iter().copied().filter(|host| !self.control(*host).finished.get())
    }

    /// Workloads that run and are not done: at the end of a run, there should be none.
    pub(crate) fn starved(&self) -> impl Iterator<Item = HostId> {
        self.unfinished().filter(|host| self.control(*host).wanted() == Wanted::Running)
    }

    /// Takes up the packets that turmoil's links have got since the last look: what was sent in the step before `now`.
    pub(crate) fn absorb(&self, now: Duration) {
        let left = now.saturating_sub(self.tick);
        self.sim.links(|links| {
            let mut wire = self.shared.wire.borrow_mut();
            for (place, link) in links.enumerate() {
                let known = wire.queues[place].flights.len();
                for sent in link.skip(known) {
                    let flight = wire.take_up(&self.shared, place, sent.pair(), sent.protocol(), left);
                    wire.queues[place].flights.push_back(flight);
                }
            }
        });
    }

    /// Moves all packets on, and hands those over that are due.
    fn carry(&self, now: Duration) {
        let due = self.shared.wire.borrow_mut().advance_all(&self.shared, now, self.tick);
        if due {
            self.hand_over();
        }
        for (from, to) in self.shared.wire.borrow_mut().take_dead_directions() {
            // Nothing of this direction is alive: partition empties it, and hold makes it what it was.
            self.sim.partition_oneway(from, to);
            self.sim.hold(from, to);
        }
    }

    /// Has turmoil deliver in the next step what is done.
    fn hand_over(&self) {
        self.sim.links(|links| {
            let mut wire = self.shared.wire.borrow_mut();
            for (queue, link) in wire.queues.iter_mut().zip(links) {
                if !queue.handing_over {
                    continue;
                }
                for (flight, sent) in queue.flights.iter().zip(link) {
                    if flight.state == State::Done {
                        sent.deliver();
                    }
                }
                queue.flights.retain(|flight| flight.state != State::Done);
            }
        });
    }

    /// Ends the run: the verdict, as a record of its own.
    pub(crate) fn record_end(&self, verdict: &Verdict) {
        self.shared.record(None, What::Ended { verdict: verdict.name() });
    }
}

/// Turmoil with everything set that would otherwise come from the machine.
#[allow(clippy::disallowed_types, reason = "a fixed point in time, not the wall clock")]
fn simulation(tick: Duration, seed: Seed) -> turmoil::Sim<'static> {
    // The capacities are turmoil's in segments and datagrams; the testbed's own, in bytes, are far below them.
    const CAPACITY: usize = 1 << 20;
    turmoil::Builder::new()
        .rng_seed(seed.draw(&[0]))
        .epoch(UNIX_EPOCH + Duration::from_secs(EPOCH_SECONDS))
        .tick_duration(tick)
        .simulation_duration(Duration::MAX)
        .ephemeral_ports(32_768..=65_535)
        .tcp_capacity(CAPACITY)
        .udp_capacity(CAPACITY)
        .build()
}
