//! Hosts: their keepers, their programs, and how these end.

use std::fmt::Write as _;
use std::fs;
use std::os::fd::OwnedFd;
use std::path::absolute;
use std::time::Duration;

use crate::script::{ByteSize, show_duration};
use crate::sim::Breach;
use crate::sim::trace::What;

use super::super::LiveError;
use super::super::expect::Exit;
use super::super::keeper::{Ears, Home, Keeper, Order, Program, Stream, Told};
use super::super::plan::{self, Expectation};
use super::super::relay;
use super::super::wall::Clock;
use super::{Conductor, Event, id};

/// Lines that anyone's hosts print.
const LINE_BYTES_MAX: u64 = 1 << 16;
/// Lines that tell an event, payload and all.
const EVENT_BYTES_MAX: u64 = 1 << 28;

/// A host, as it is now.
pub(super) struct Host {
    /// Its namespaces; none while it is without power.
    pub(super) keeper: Option<Keeper>,
    /// Which namespaces of it these are.
    generation: u32,
    state: State,
    /// How many times its program was started.
    starts: u32,
    pub(super) is_ready: bool,
    /// How its program ended by itself, if it did.
    pub(super) exit: Option<Exit>,
    started: Duration,
    /// When it last printed or sent something new.
    pub(super) active: Duration,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// Not yet, no more, or killed.
    Dead,
    Running,
    Paused,
    /// Without power.
    Off,
}

impl Host {
    pub(super) fn is_running(&self) -> bool {
        self.state == State::Running
    }

    pub(super) fn is_unstarted(&self) -> bool {
        self.starts == 0
    }
}

/// Tells the conductor what a keeper and its host say.
#[derive(Clone)]
struct HostEars {
    line_bytes_max: u64,
    host: usize,
    generation: u32,
    clock: Clock,
    sender: std::sync::mpsc::Sender<Event>,
}

impl Ears for HostEars {
    fn told(&self, told: Told) {
        let _ = self.sender.send(Event::Keeper { host: self.host, generation: self.generation, told });
    }

    fn line(&self, stream: Stream, line: String) {
        let _ = self.sender.send(Event::Line { host: self.host, at: self.clock.now(), stream, line });
    }

    fn line_bytes_max(&self) -> u64 {
        self.line_bytes_max
    }
}

impl Conductor<'_> {
    /// Gives every host its namespaces, and the observer, if one is needed. Returns their devices.
    pub(super) fn build_hosts(&mut self) -> Result<Vec<OwnedFd>, LiveError> {
        self.write_names()?;
        let count = self.plans.len();
        let needs_observer = self.expected.iter().any(|expected| matches!(expected.what, Expectation::Probe { .. }));
        let places = 0..count + usize::from(needs_observer);
        // All at once: each takes a while.
        let keepers =
            places.map(|place| Keeper::start(&self.home(place)).map_err(|error| gone(&self.name(place), &error)));
        let keepers = keepers.collect::<Result<Vec<_>, _>>()?;
        let mut devices = Vec::new();
        for (place, mut keeper) in keepers.into_iter().enumerate() {
            devices.push(self.settled(place, 0, &mut keeper)?);
            if place == count {
                self.observer = Some(keeper);
                continue;
            }
            let (generation, starts, is_ready, exit) = (0, 0, false, None);
            let (started, active) = (Duration::ZERO, Duration::ZERO);
            let keeper = Some(keeper);
            self.hosts.push(Host { keeper, generation, state: State::Dead, starts, is_ready, exit, started, active });
        }
        Ok(devices)
    }

    fn settled(&self, host: usize, generation: u32, keeper: &mut Keeper) -> Result<OwnedFd, LiveError> {
        let line_bytes_max = if self.witness.is_some() { EVENT_BYTES_MAX } else { LINE_BYTES_MAX };
        let ears = HostEars { line_bytes_max, host, generation, clock: self.clock, sender: self.sender.clone() };
        keeper.settled(ears).map_err(|why| LiveError::Unable(format!("{}: {why}", self.name(host))))
    }

    fn name(&self, place: usize) -> String {
        self.plans.get(place).map_or("the observer".to_owned(), |plan| plan.name.clone())
    }

    fn home(&self, place: usize) -> Home {
        let plan = self.plans.get(place);
        Home {
            name: plan.map_or("observer".to_owned(), |plan| plan.name.clone()),
            address: plan.map_or(plan::OBSERVER, |_| plan::address(place)),
            prefix: plan::PREFIX,
            packet_bytes_max: self.packet_bytes_max,
            hosts_file: self.place.path().join("hosts"),
            resolver_file: self.place.path().join("resolv.conf"),
        }
    }

    /// What stands in for the files by which names are resolved.
    fn write_names(&self) -> Result<(), LiveError> {
        let mut names = "127.0.0.1 localhost\n".to_owned();
        for (place, plan) in self.plans.iter().enumerate() {
            let _ = writeln!(names, "{} {}", plan::address(place), plan.name);
        }
        let write = |file: &str, text: &str| fs::write(self.place.path().join(file), text);
        let written = write("hosts", &names).and_then(|()| write("resolv.conf", ""));
        written.map_err(|error| LiveError::Unable(format!("the names of hosts cannot be written: {error}")))
    }

    pub(super) fn order(&mut self, host: usize, order: &Order) -> Result<(), LiveError> {
        let name = self.name(host);
        let Some(keeper) = &mut self.hosts[host].keeper else { return Ok(()) };
        keeper.order(order).map_err(|error| gone(&name, &error))
    }

    /// Starts a host's program, in its directory as that is.
    pub(super) fn start(&mut self, host: usize) -> Result<(), LiveError> {
        let directory = self.directory(host);
        let files = &self.plans[host].files;
        let write = |()| files.iter().try_for_each(|(name, text)| fs::write(directory.join(name), text));
        let made = fs::create_dir_all(&directory).and_then(write).and_then(|()| absolute(&directory));
        let directory = made.map_err(|error| {
            LiveError::Unable(format!(
                "{}: its directory {} cannot be made: {error}",
                self.name(host),
                directory.display()
            ))
        })?;
        let (directory, address) = (directory.display().to_string(), plan::address(host));
        let plan = &self.plans[host];
        let incarnation = self.hosts[host].starts;
        let own = [
            ("DIR", directory.clone()),
            ("HOST", plan.name.clone()),
            ("ADDR", address.to_string()),
            ("INCARNATION", incarnation.to_string()),
        ];
        let own = own.into_iter().map(|(name, value)| (format!("STORMGLASS_{name}"), value));
        let program = Program {
            command: plan.command_in(&directory, address, incarnation, self.now()),
            env: own.chain(plan.env.iter().cloned()).collect(),
            memory_bytes_max: plan.memory_bytes_max,
        };
        self.order(host, &Order::Start { incarnation, program })?;
        let now = self.now();
        self.recorder.record(now, Some(id(host)), None, What::Started { incarnation });
        if self.witness.is_none() {
            self.recorder.counters.add("starts", 1);
        }
        let of = &mut self.hosts[host];
        (of.state, of.starts, of.exit, of.started, of.active) = (State::Running, incarnation + 1, None, now, now);
        Ok(())
    }

    /// `true`, here and below: the host was there for it.
    pub(super) fn kill(&mut self, host: usize) -> Result<bool, LiveError> {
        if !matches!(self.hosts[host].state, State::Running | State::Paused) {
            return Ok(false);
        }
        let was_there = self.hosts[host].exit.is_none();
        self.record(host, What::Killed);
        let now = self.now();
        self.tell_end(host, now);
        self.hosts[host].state = State::Dead;
        self.order(host, &Order::Kill)?;
        Ok(was_there)
    }

    pub(super) fn power(&mut self, host: usize) -> bool {
        if self.hosts[host].state == State::Off {
            return false;
        }
        self.record(host, What::PowerLost);
        let now = self.now();
        self.tell_end(host, now);
        // First nothing gets out any more, and then it dies: nobody hears a farewell.
        self.relay().order(relay::Order::Off(id(host)));
        self.hosts[host].state = State::Off;
        self.hosts[host].keeper = None;
        true
    }

    pub(super) fn pause(&mut self, host: usize) -> Result<bool, LiveError> {
        if self.hosts[host].state != State::Running {
            return Ok(false);
        }
        self.record(host, What::Paused);
        self.hosts[host].state = State::Paused;
        self.order(host, &Order::Pause)?;
        Ok(self.hosts[host].exit.is_none())
    }

    pub(super) fn resume(&mut self, host: usize) -> Result<bool, LiveError> {
        if self.hosts[host].state != State::Paused {
            return Ok(false);
        }
        self.record(host, What::Resumed);
        self.hosts[host].state = State::Running;
        self.order(host, &Order::Resume)?;
        Ok(true)
    }

    pub(super) fn restart(&mut self, host: usize) -> Result<bool, LiveError> {
        match self.hosts[host].state {
            State::Running | State::Paused => {
                self.kill(host)?;
            }
            State::Off => self.boot(host)?,
            State::Dead => {}
        }
        self.start(host)?;
        Ok(true)
    }

    /// Restarts it if it is dead or without power. `true`: it was.
    pub(super) fn revive(&mut self, host: usize) -> Result<bool, LiveError> {
        if matches!(self.hosts[host].state, State::Running | State::Paused) { Ok(false) } else { self.restart(host) }
    }

    /// New namespaces for a host that was without power: its kernel has forgotten everything.
    fn boot(&mut self, host: usize) -> Result<(), LiveError> {
        let generation = self.hosts[host].generation + 1;
        let mut keeper = Keeper::start(&self.home(host)).map_err(|error| gone(&self.name(host), &error))?;
        let device = self.settled(host, generation, &mut keeper)?;
        self.relay().order(relay::Order::On(id(host), device));
        let of = &mut self.hosts[host];
        (of.keeper, of.generation, of.state) = (Some(keeper), generation, State::Dead);
        Ok(())
    }

    fn record(&mut self, host: usize, what: What) {
        let now = self.now();
        self.recorder.record(now, Some(id(host)), None, what);
    }

    /// A keeper has told something.
    pub(super) fn kept(&mut self, host: usize, generation: u32, told: Told) {
        if let Told::Probed { number, answer } = told {
            if let Some(expected) = self.expected.get_mut(number) {
                expected.answer = Some(answer);
            }
            return;
        }
        let is_over = self.is_over;
        let Some(of) = self.hosts.get_mut(host).filter(|of| of.generation == generation && !is_over) else { return };
        let is_current =
            |incarnation: u32| incarnation + 1 == of.starts && matches!(of.state, State::Running | State::Paused);
        match told {
            Told::Ready => of.is_ready = true,
            Told::Ended { incarnation, code, signal } if is_current(incarnation) => {
                let exit = code.map(Exit::Code).or(signal.map(Exit::Signal)).unwrap_or(Exit::Code(0));
                of.exit = Some(exit);
                self.ended(host, exit);
            }
            Told::NotStarted { incarnation, why } if is_current(incarnation) => {
                let message = format!("{} could not be started: {why}", self.name(host));
                self.recorder.doubt.get_or_insert(message);
                self.hosts[host].exit = Some(Exit::Code(127));
            }
            Told::Memory { incarnation, bytes } if is_current(incarnation) => {
                let most = self.plans[host].memory_bytes_max.unwrap_or_default();
                let (took, most) = (ByteSize(bytes), ByteSize(most));
                let message = format!("{} took {took} of memory, and may take {most}", self.name(host));
                self.breach(host, Breach::new("memory", message));
            }
            _ => {}
        }
    }

    fn ended(&mut self, host: usize, exit: Exit) {
        if self.witness.is_none() {
            self.recorder.counters.add("ends", 1);
        }
        let now = self.now();
        self.tell_end(host, now);
        let is_expected = self
            .expected
            .iter()
            .any(|expected| matches!(expected.what, Expectation::Exit { host: of, .. } if of == host));
        if exit == Exit::Code(0) {
            self.record(host, What::Finished);
        } else {
            let message = exit.words();
            self.record(host, What::Failed { message: message.clone() });
            // Before all was ready, that is said in another way.
            if !is_expected && self.zero != Duration::MAX {
                let message = format!("{} {message}{}", self.name(host), self.last_line(host));
                self.breach(host, Breach::new("exit", message));
            }
        }
        // A witness says itself what counts as work.
        if self.plans[host].workload && self.witness.is_none() {
            let now = self.now();
            self.recorder.worked(Some(id(host)), 1, now);
        }
    }

    /// Programs that run for longer than they may.
    pub(super) fn check_times(&mut self, now: Duration) -> Result<(), LiveError> {
        for host in 0..self.hosts.len() {
            let of = &self.hosts[host];
            let Some(most) = self.plans[host].time_max else { continue };
            if of.is_running() && of.exit.is_none() && now > of.started + most {
                let message =
                    format!("{} ran for longer than the {} that it may", self.name(host), show_duration(most));
                self.breach(host, Breach::new("time", message));
                self.hosts[host].state = State::Dead;
                self.order(host, &Order::Kill)?;
            }
        }
        Ok(())
    }

    fn breach(&mut self, host: usize, breach: Breach) {
        let now = self.now();
        self.recorder.breach(now, Some(id(host)), None, breach);
    }
}

fn gone(name: &str, error: &std::io::Error) -> LiveError {
    LiveError::Unable(format!("the keeper of {name} is gone: {error}"))
}
