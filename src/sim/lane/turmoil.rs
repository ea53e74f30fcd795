//! The turmoil lane: turmoil's simulation, stepped, with the testbed's hand on every packet between the steps.

use std::net::IpAddr;
use std::rc::Rc;
use std::time::{Duration, UNIX_EPOCH};

use crate::rng::Seed;
use crate::sim::EPOCH_SECONDS;
use crate::sim::control::Control;
use crate::sim::flight::State;
use crate::sim::host::{Factory, Supervisor};
use crate::sim::kernel::Kernel;
use crate::sim::panics;
use crate::sim::process::threads::Mark;
use crate::sim::process::{Panics, Process, Runner};
use crate::sim::shared::Shared;
use crate::sim::trace::HostId;

use super::Lane;

pub(in crate::sim) struct TurmoilLane {
    sim: turmoil::Sim<'static>,
    shared: Rc<Shared>,
    tick: Duration,
    machines: Vec<Machine>,
    /// By which threads are known that hosts within turmoil have started.
    mark: Mark,
    any_within: bool,
}

/// What runs on a machine.
enum Machine {
    /// A process within turmoil's runtime for the host.
    Within(Rc<Supervisor>),
    /// A process with a runtime of its own; turmoil carries what it sends.
    Apart(Runner, Option<Process>),
}

impl Machine {
    fn kernel(&self) -> &Rc<Kernel> {
        match self {
            Self::Within(supervisor) => &supervisor.kernel,
            Self::Apart(runner, _) => runner.kernel(),
        }
    }
}

impl TurmoilLane {
    pub(in crate::sim) fn new(shared: Rc<Shared>, tick: Duration, seed: Seed) -> Self {
        let mark = Mark::fresh();
        shared.threads.set(mark);
        Self { sim: simulation(tick, seed), shared, tick, machines: Vec::new(), mark, any_within: false }
    }

    /// The address that a host of this name has, or will have.
    pub(in crate::sim) fn address(&self, name: &str) -> IpAddr {
        self.sim.lookup(name)
    }

    pub(in crate::sim) fn add_host(&mut self, control: Rc<Control>, factory: Factory) {
        let name = self.shared.name(control.id).to_owned();
        let supervisor = Supervisor::new(control, factory, self.mark);
        let supervised = supervisor.clone();
        self.sim.host(name, move || supervised.clone().supervise());
        self.machines.push(Machine::Within(supervisor));
        self.any_within = true;
    }

    pub(in crate::sim) fn add_process(&mut self, control: Rc<Control>, factory: Factory, panics: Panics) {
        let name = self.shared.name(control.id).to_owned();
        let runner = Runner::new(control, factory, panics);
        let kernel = runner.kernel().clone();
        self.sim.host(name, move || kernel.clone().carry());
        self.machines.push(Machine::Apart(runner, None));
    }

    /// Runs the processes that have runtimes of their own. What they send is on turmoil's links with this step.
    fn run_apart(&mut self, from: Duration) {
        for machine in &mut self.machines {
            if let Machine::Apart(runner, process) = machine {
                runner.turn(process);
                self.shared.set_clock_within(from);
                if runner.kernel().has_post() {
                    runner.kernel().wake();
                }
            }
        }
        if self.any_within {
            self.shared.threads.set(self.mark);
        }
    }

    /// From now on no packet moves but by the testbed's hand.
    pub(in crate::sim) fn hold_all(&self) {
        let ips: Vec<IpAddr> = self.shared.wire.borrow().machines.iter().map(|machine| machine.ip).collect();
        for (nth, a) in ips.iter().enumerate() {
            for b in &ips[nth + 1..] {
                self.sim.hold(*a, *b);
            }
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
}

impl Lane for TurmoilLane {
    fn next_step(&mut self, now: Duration, tick: Duration) -> Option<Duration> {
        Some(now + tick)
    }

    fn run_hosts(&mut self, from: Duration, _: Duration) -> Result<(), String> {
        self.run_apart(from);
        self.sim.step().map_err(|error| error.to_string())?;
        panics::go_on();
        Ok(())
    }

    /// Takes up the packets that turmoil's links have got since the last look: what was sent in the step before `now`.
    fn absorb(&mut self, now: Duration) {
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

    fn disturbed(&mut self) {}

    fn carry(&mut self, now: Duration) {
        let due = self.shared.wire.borrow_mut().advance_all(&self.shared, now, self.tick);
        if due {
            self.hand_over();
        }
        for (from, to) in self.shared.wire.borrow_mut().take_dead_directions() {
            // Nothing of this direction is alive: partition empties it, and hold makes it what it was.
            self.sim.partition_oneway(from, to);
            self.sim.hold(from, to);
        }
        let horizon = now + self.tick / 2;
        for (place, machine) in self.machines.iter().enumerate() {
            let kernel = machine.kernel();
            let mut wire = self.shared.wire.borrow_mut();
            let lettered = std::mem::take(&mut wire.machines[place].lettered);
            if lettered || !wire.mail[place].is_empty() || kernel.is_due(horizon) {
                drop(wire);
                kernel.wake();
            }
        }
    }

    fn crash(&mut self, host: HostId) {
        let machine = &mut self.machines[usize::from(host.0)];
        machine.kernel().power_lost();
        self.shared.by_force(host, || {
            if let Machine::Apart(runner, process) = machine {
                *process = None;
                runner.kernel().power_lost();
            }
            self.sim.crash(self.shared.name(host).to_owned());
        });
        // What its sockets emitted while they were dropped is found on the links and goes nowhere.
        self.absorb(self.sim.elapsed());
    }

    fn out_of_reach(&self, host: HostId) -> Vec<String> {
        match &self.machines[usize::from(host.0)] {
            Machine::Within(supervisor) => supervisor.out_of_reach(),
            Machine::Apart(runner, process) => runner.out_of_reach(process.as_ref()),
        }
    }

    fn boot(&mut self, host: HostId) {
        let name = self.shared.name(host).to_owned();
        if !self.sim.is_host_running(name.as_str()) {
            self.sim.bounce(name);
        }
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
