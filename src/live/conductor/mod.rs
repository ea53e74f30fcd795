//! The conductor: it brings up hosts and relay, lets the script's steps fire, takes everything down, and ends it all.
//!
//! Time zero is when every host is ready; what happened before stands at zero. Steps that change the network are
//! carried out by the relay ([`steps`]), those that change hosts by their keepers ([`hosts`]).

mod end;
mod hosts;
mod steps;

use std::collections::{BTreeMap, VecDeque};
use std::path::PathBuf;
use std::sync::atomic::Ordering;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::time::Duration;

use bytes::Bytes;

use crate::rng::Seed;
use crate::script::{Action, Script, Step, show_duration};
use crate::sim::cuts::Cuts;
use crate::sim::deeds::Deeds;
use crate::sim::recorder::Recorder;
use crate::sim::schedule::Schedule;
use crate::sim::trace::{HostId, What};
use crate::sim::{Heard, System, Witness, drawn_steps, settled_steps};

use super::expect::{Exit, Expected};
use super::keeper::{self, Stream};
use super::leftovers::Place;
use super::plan::{self, Expectation, HostPlan, Plan, Ready};
use super::relay::{self, Design, Relay};
use super::wall::{self, Clock};
use super::{LiveError, Lived, Options};
use hosts::Host;

/// How long the conductor sleeps between two looks, at most.
const LOOK: Duration = Duration::from_millis(1);
/// How many of the last lines are kept.
const LAST_LINES: usize = 20;

/// What the conductor hears.
enum Event {
    Relay(relay::Told),
    /// Of the host at a place, in its generation of namespaces.
    Keeper {
        host: usize,
        generation: u32,
        told: keeper::Told,
    },
    Line {
        host: usize,
        at: Duration,
        stream: Stream,
        line: String,
    },
}

/// Makes a live run.
pub(super) fn conduct(
    system: &'static dyn System,
    plan: Plan,
    script: &Script,
    seed: Seed,
    options: &Options<'_>,
) -> Result<Lived, LiveError> {
    let clock = Clock::start();
    let mut conductor = Conductor::new(system, plan, script, seed, options, clock)?;
    let over_at = match conductor.become_ready()? {
        None => {
            conductor.run()?;
            conductor.now()
        }
        Some(doubt) => {
            conductor.recorder.doubt = Some(doubt);
            Duration::ZERO
        }
    };
    conductor.finish(over_at)
}

struct Conductor<'a> {
    script: &'a Script,
    options: &'a Options<'a>,
    clock: Clock,
    /// When the run's time began, by the clock.
    zero: Duration,
    hosts: Vec<Host>,
    plans: Vec<HostPlan>,
    packet_bytes_max: u32,
    ready_within: Duration,
    expected: Vec<Expected>,
    observer: Option<keeper::Keeper>,
    relay: Option<Relay>,
    recorder: Recorder,
    schedule: Schedule,
    deeds: Deeds,
    cuts: Cuts,
    events: Receiver<Event>,
    sender: Sender<Event>,
    /// The record of each packet's sending.
    sent: BTreeMap<u64, u64>,
    packets: BTreeMap<u64, Bytes>,
    last_lines: VecDeque<(String, String)>,
    place: Place,
    witness: Option<Box<dyn Witness>>,
    /// Since when nothing that steps did has been in force and every host has run.
    healed: Option<Duration>,
    seed: Seed,
    /// Whether the run is over: what ends now is ended by the run.
    is_over: bool,
}

impl<'a> Conductor<'a> {
    fn new(
        system: &'static dyn System,
        plan: Plan,
        script: &'a Script,
        seed: Seed,
        options: &'a Options<'a>,
        clock: Clock,
    ) -> Result<Self, LiveError> {
        let unable = |what: &str, error: std::io::Error| LiveError::Unable(format!("{what}: {error}"));
        let place = Place::new().map_err(|error| unable("no directory can be made", error))?;
        let Plan { hosts: plans, packets, expectations, ready_within, namer, mut witness, notes } = plan;
        let names: Vec<String> = plans.iter().map(|plan| plan.name.clone()).collect();
        let steps = drawn_steps(system, script, &names, seed);
        // The disks of real processes are in nobody's hand, nor is what only a system can do.
        let drawn: Vec<Step> =
            steps.into_iter().filter(|step| !matches!(step.action, Action::Disk { .. } | Action::System(_))).collect();
        let schedule = Schedule::new(settled_steps(script, seed), drawn);
        let (sender, events) = channel();
        let mut recorder = Recorder::new(options.keep_records);
        witness.as_mut().and_then(|witness| witness.watcher()).into_iter().for_each(|watcher| recorder.watch(watcher));
        recorder.notes = notes;
        let mut conductor = Self {
            script,
            options,
            clock,
            zero: Duration::MAX,
            hosts: Vec::new(),
            packet_bytes_max: plan::packet_bytes_max(packets),
            ready_within,
            expected: expectations.into_iter().map(Expected::new).collect(),
            observer: None,
            relay: None,
            recorder,
            deeds: Deeds::new(schedule.len()),
            schedule,
            cuts: Cuts::default(),
            events,
            sender,
            sent: BTreeMap::new(),
            packets: BTreeMap::new(),
            last_lines: VecDeque::new(),
            place,
            witness,
            healed: None,
            seed,
            is_over: false,
            plans,
        };
        let devices = conductor.build_hosts()?;
        let design = Design {
            clock,
            seed,
            addresses: (0..names.len()).map(plan::address).collect(),
            names,
            devices,
            network: script.network.clone(),
            links: script.links.clone(),
            packets: script.packets.clone(),
            steps: conductor.schedule.len(),
            namer,
        };
        let sender = conductor.sender.clone();
        let told = move |told| {
            let _ = sender.send(Event::Relay(told));
        };
        conductor.relay = Some(Relay::start(design, told).map_err(|error| unable("the relay cannot start", error))?);
        Ok(conductor)
    }

    /// The run's time.
    fn now(&self) -> Duration {
        self.clock.now().saturating_sub(self.zero)
    }

    /// A time of the clock as one of the run.
    fn since(&self, at: Duration) -> Duration {
        at.saturating_sub(self.zero)
    }

    fn relay(&self) -> &Relay {
        self.relay.as_ref().expect("it works until the end")
    }

    fn check_interruption(&self) -> Result<(), LiveError> {
        if self.options.interrupted.load(Ordering::Relaxed) { Err(LiveError::Interrupted) } else { Ok(()) }
    }

    /// Starts the services, and waits until all are ready; then the workloads. Otherwise: why nothing can begin.
    fn become_ready(&mut self) -> Result<Option<String>, LiveError> {
        let waits = |name: &str, script: &Script| script.waiting.iter().any(|pattern| pattern.matches(name));
        let starts: Vec<(usize, bool)> = (0..self.plans.len())
            .filter(|host| !waits(&self.plans[*host].name, self.script))
            .map(|host| (host, self.plans[host].workload))
            .collect();
        let services: Vec<usize> = starts.iter().filter(|(_, workload)| !workload).map(|(host, _)| *host).collect();
        for last in [false, true] {
            let these: Vec<usize> = services.iter().copied().filter(|host| self.plans[*host].last == last).collect();
            if let Some(doubt) = self.bring_up(&these)? {
                return Ok(Some(doubt));
            }
        }
        self.zero = self.clock.now();
        self.recorder.record(Duration::ZERO, None, None, What::Event { name: "ready", fields: Vec::new() });
        for (host, _) in starts.iter().filter(|(_, workload)| *workload) {
            self.start(*host)?;
        }
        Ok(None)
    }

    /// Starts these services, and waits until they are ready. Otherwise: why nothing can begin.
    fn bring_up(&mut self, services: &[usize]) -> Result<Option<String>, LiveError> {
        for host in services {
            self.start(*host)?;
            self.await_ready(*host)?;
        }
        let patience = Clock::start();
        loop {
            self.check_interruption()?;
            self.drain();
            let unready = services.iter().find(|host| !self.hosts[**host].is_ready);
            let died = services.iter().find(|host| self.hosts[**host].exit.is_some() && !self.hosts[**host].is_ready);
            if let Some(host) = died {
                let exit = self.hosts[*host].exit.map_or(String::new(), Exit::words);
                return Ok(Some(format!(
                    "{} {exit} before it was ready{}",
                    self.plans[*host].name,
                    self.last_line(*host)
                )));
            }
            let Some(host) = unready else { return Ok(None) };
            if patience.now() > self.ready_within {
                let within = show_duration(self.ready_within);
                let name = &self.plans[*host].name;
                return Ok(Some(format!("{name} was not ready within {within}{}", self.last_line(*host))));
            }
            wall::sleep(LOOK);
        }
    }

    fn await_ready(&mut self, host: usize) -> Result<(), LiveError> {
        let address = plan::address(host);
        let order = match &self.plans[host].ready {
            None => {
                self.hosts[host].is_ready = true;
                return Ok(());
            }
            Some(Ready::Line(_)) => return Ok(()),
            Some(Ready::Port(port)) => keeper::Order::Await { address, port: *port, url: None },
            Some(Ready::Url(url)) => keeper::Order::Await { address, port: url.port, url: Some(url.clone()) },
        };
        self.order(host, &order)
    }

    /// `: its last line was …`
    fn last_line(&self, host: usize) -> String {
        let name = &self.plans[host].name;
        let line = self.last_lines.iter().rev().find(|(of, line)| of == name && !line.trim().is_empty());
        line.map_or(String::new(), |(_, line)| format!(": its last line was `{}`", line.trim()))
    }

    /// Until the time is up, the work and the steps are done, or something is found.
    fn run(&mut self) -> Result<(), LiveError> {
        loop {
            self.check_interruption()?;
            self.drain();
            let now = self.now();
            self.fire_due(now)?;
            self.probe_due(now)?;
            self.check_times(now)?;
            self.look_for_calm(now);
            if self.recorder.found.is_some() || now >= self.script.duration || self.is_done() {
                return Ok(());
            }
            let next = self.schedule.next_at(now, self.recorder.next_number()).unwrap_or(self.script.duration);
            wall::sleep(
                next.min(self.script.duration).saturating_sub(self.now()).clamp(Duration::from_micros(50), LOOK),
            );
        }
    }

    /// Remembers since when the run has been healed, in a simulated run's sense of it.
    fn look_for_calm(&mut self, now: Duration) {
        let is_healed = || {
            let is_well = |host: &Host| host.is_running() || host.is_unstarted();
            self.schedule.is_over() && self.cuts.is_empty() && !self.deeds.stand() && self.hosts.iter().all(is_well)
        };
        if self.healed.is_none() && is_healed() {
            self.healed = Some(now);
        }
    }

    /// Whether every workload has ended, every step fired, and everything was asked for that is asked for at a time.
    fn is_done(&self) -> bool {
        let mut workloads = self.plans.iter().zip(&self.hosts).filter(|(plan, _)| plan.workload).peekable();
        let asked =
            |expected: &Expected| expected.is_asked || !matches!(expected.what, Expectation::Probe { at: Some(_), .. });
        workloads.peek().is_some()
            && workloads.all(|(_, host)| host.exit.is_some())
            && self.schedule.is_over()
            && self.expected.iter().all(asked)
    }

    /// Takes in all that was heard so far.
    fn drain(&mut self) {
        while let Ok(event) = self.events.try_recv() {
            match event {
                Event::Relay(told) => self.relayed(told),
                Event::Keeper { host, generation, told } => self.kept(host, generation, told),
                Event::Line { host, at, stream, line } => self.printed(host, at, stream, line),
            }
        }
    }

    fn relayed(&mut self, told: relay::Told) {
        let sent = |conductor: &Self, packet: &u64| conductor.sent.get(packet).copied().map(Into::into);
        match told {
            relay::Told::Sent { at, packet, wire, is_again } => {
                let (id, from) = (packet.id, packet.from);
                let does_something = !packet.payload.is_empty() && !is_again;
                let at = self.since(at);
                if does_something {
                    self.hosts[usize::from(from.0)].active = at;
                }
                let record = self.recorder.sent(at, None, &packet);
                self.sent.insert(id, record);
                match (is_again, &self.witness) {
                    (true, None) => self.recorder.counters.add("tcp segments sent again", 1),
                    // As simulated runs of the same script count them: each transmission once.
                    (true, Some(_)) => {
                        self.recorder.packets.sent -= 1;
                        self.recorder.packets.retransmitted += 1;
                    }
                    (false, _) => {}
                }
                if self.options.keep_packets {
                    self.packets.insert(id, wire);
                }
            }
            relay::Told::Lost { at, packet, reason } => {
                let (at, cause) = (self.since(at), sent(self, &packet));
                self.recorder.record(at, None, cause, What::Lost { packet, attempt: 0, reason });
            }
            relay::Told::Duplicated { at, packet, copy } => {
                let (at, cause) = (self.since(at), sent(self, &packet));
                let record = self.recorder.record(at, None, cause, What::Duplicated { packet, copy });
                self.sent.insert(copy, record);
            }
            relay::Told::Corrupted { at, packet, bit } => {
                let (at, cause) = (self.since(at), sent(self, &packet));
                self.recorder.record(at, None, cause, What::Corrupted { packet, bit });
            }
            relay::Told::Held { at, packet } => {
                let (at, cause) = (self.since(at), sent(self, &packet));
                self.recorder.record(at, None, cause, What::Held { packet });
            }
            relay::Told::Released { at, packet } => {
                let (at, cause) = (self.since(at), sent(self, &packet));
                self.recorder.record(at, None, cause, What::Released { packet });
            }
            relay::Told::Delivered { at, packet, to } => {
                let at = self.since(at);
                let cause = self.sent.remove(&packet).unwrap_or_default();
                self.recorder.delivered(at, to, cause, (packet, 0));
            }
        }
    }

    fn printed(&mut self, host: usize, at: Duration, stream: Stream, line: String) {
        let at = self.since(at);
        let name = self.plans[host].name.clone();
        self.options.show.into_iter().for_each(|show| show(&name, &line));
        self.hosts[host].active = at;
        if let Some(Ready::Line(pattern)) = &self.plans[host].ready
            && pattern.regex.is_match(line.as_bytes())
        {
            self.hosts[host].is_ready = true;
        }
        if self.hear(host, at, &line) {
            return;
        }
        if self.witness.is_none() {
            self.recorder.counters.add("lines", 1);
        }
        let what = if stream == Stream::Out { "line" } else { "line to stderr" };
        let fields = vec![("text", line.as_str().into())];
        self.recorder.record(at, Some(id(host)), None, What::Event { name: what, fields });
        self.expected.iter_mut().for_each(|expected| expected.line(host, &line));
        if self.last_lines.len() == LAST_LINES {
            self.last_lines.pop_front();
        }
        self.last_lines.push_back((name, line));
    }

    /// Lets the witness hear a line. `true`: it told an event.
    fn hear(&mut self, host: usize, at: Duration, line: &str) -> bool {
        let number = self.recorder.next_number();
        let Some(witness) = &mut self.witness else { return false };
        let Some(heard) = witness.line(&self.plans[host].name, (at, number), line) else { return false };
        let Heard { name, fields, counts, work, time } = heard;
        if let Some(name) = name {
            self.recorder.record(at, Some(id(host)), None, What::Event { name, fields });
        }
        counts.into_iter().for_each(|(name, more)| self.recorder.counters.add(name, more));
        time.into_iter().for_each(|(name, value)| self.recorder.time(name, value));
        if work > 0 {
            self.recorder.worked(Some(id(host)), work, at);
        }
        true
    }

    /// Lets the witness know that a host's process is gone.
    fn tell_end(&mut self, host: usize, at: Duration) {
        let number = self.recorder.next_number();
        self.witness.iter_mut().for_each(|witness| witness.ended(&self.plans[host].name, (at, number)));
    }

    /// Asks for what is to be asked for by now.
    fn probe_due(&mut self, now: Duration) -> Result<(), LiveError> {
        self.probe(|at| at.is_some_and(|at| at <= now))
    }

    fn probe(&mut self, is_due: impl Fn(Option<Duration>) -> bool) -> Result<(), LiveError> {
        let (expected, observer) = (&mut self.expected, &mut self.observer);
        let Some(observer) = observer else { return Ok(()) };
        for (number, expected) in expected.iter_mut().enumerate() {
            if let Expectation::Probe { url, host, at, .. } = &expected.what
                && !expected.is_asked
                && is_due(*at)
            {
                let address = plan::address(*host);
                expected.is_asked = true;
                let order = keeper::Order::Probe { number, url: url.clone(), address };
                observer.order(&order).map_err(|error| LiveError::Unable(format!("the observer is gone: {error}")))?;
            }
        }
        Ok(())
    }

    fn directory(&self, host: usize) -> PathBuf {
        let plan = &self.plans[host];
        plan.directory.clone().unwrap_or_else(|| self.place.path().join(&plan.name))
    }
}

fn id(host: usize) -> HostId {
    HostId(u16::try_from(host).expect("there are not so many hosts"))
}
