//! What the parts of one run share: the clock, the recorder, the network's state, and who is running just now.

use std::cell::{Cell, RefCell};
use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::net::IpAddr;
use std::rc::{Rc, Weak};
use std::sync::Arc;
use std::time::Duration;

use tokio::task::Id as TaskId;

use crate::script::{Lane, Script};

use super::causality;
use super::crash::Crashes;
use super::deeds::{Deed, Deeds};
use super::kernel::Kernel;
use super::outside::Outside;
use super::process::threads::Threads;
use super::recorder::{Breach, Recorder};
use super::trace::{Cause, HostId, Value, What};
use super::wire::Wire;

/// Shared by the testbed, the simulated network and every host of one run.
pub(crate) struct Shared {
    /// The time at which the current step began, or between steps the time that has passed.
    clock: Cell<Duration>,
    pub(crate) lane: Lane,
    /// Whether turmoil has to be asked for the time, since host code can run at other times than the beginning of a step.
    coarse: bool,
    /// The length of a step.
    pub(crate) tick: Duration,
    pub(crate) current: Cell<Option<HostId>>,
    pub(crate) names: Vec<String>,
    pub(crate) recorder: RefCell<Recorder>,
    pub(crate) wire: RefCell<Wire>,
    pub(crate) crashes: Crashes,
    pub(crate) deeds: Deeds,
    /// For each task that is not traced, the record that it took in last during this step.
    causes: RefCell<BTreeMap<TaskId, u64>>,
    /// Whether there is one.
    any_causes: Cell<bool>,
    /// Hosts that use turmoil's own sockets: these wake a task as a timer does, and what it then does has no cause that is
    /// known.
    direct: RefCell<BTreeSet<HostId>>,
    /// The hosts' kernels, which hold this.
    kernels: RefCell<BTreeMap<HostId, Weak<Kernel>>>,
    /// Who used what is the run's in another thread. It is also what tells this run from others.
    pub(crate) outside: Arc<Outside>,
    pub(crate) threads: Threads,
    /// Whose process is being dropped by force.
    dying: Cell<Option<HostId>>,
}

impl Shared {
    pub(crate) fn new(
        names: Vec<String>,
        script: &Script,
        recorder: Recorder,
        wire: Wire,
        crashes: Crashes,
        deeds: Deeds,
        lane: Lane,
    ) -> Rc<Self> {
        Rc::new(Self {
            clock: Cell::new(Duration::ZERO),
            lane,
            coarse: lane == Lane::Turmoil && script.tick > Duration::from_millis(1),
            tick: script.tick,
            current: Cell::new(None),
            names,
            recorder: RefCell::new(recorder),
            wire: RefCell::new(wire),
            crashes,
            deeds,
            causes: RefCell::default(),
            any_causes: Cell::new(false),
            direct: RefCell::default(),
            kernels: RefCell::default(),
            outside: Arc::default(),
            threads: Threads::new(),
            dying: Cell::new(None),
        })
    }

    /// The run of this thread, if there is one.
    pub(crate) fn in_thread() -> Option<Rc<Self>> {
        RUN.with_borrow(Option::clone)
    }

    pub(crate) fn add_kernel(&self, host: HostId, kernel: &Rc<Kernel>) {
        self.kernels.borrow_mut().insert(host, Rc::downgrade(kernel));
    }

    pub(crate) fn kernel(&self, host: HostId) -> Option<Rc<Kernel>> {
        self.kernels.borrow().get(&host)?.upgrade()
    }

    /// Simulated time. tokio's simulated clock moves by whole milliseconds, so at a tick of one millisecond all host
    /// code runs at the beginning of a step.
    #[inline]
    pub(crate) fn now(&self) -> Duration {
        if self.coarse && self.current.get().is_some() {
            turmoil::sim_elapsed().unwrap_or(self.clock.get())
        } else {
            self.clock.get()
        }
    }

    #[inline]
    pub(crate) fn set_clock(&self, at: Duration) {
        self.clock.set(at);
        // A step in which no such task took anything in is the usual one.
        if self.any_causes.take() {
            self.causes.borrow_mut().clear();
        }
    }

    /// The same within a step, in which a process runs at several moments.
    pub(crate) fn set_clock_within(&self, at: Duration) {
        if self.clock.get() != at {
            self.set_clock(at);
        }
    }

    pub(crate) fn name(&self, host: HostId) -> &str {
        &self.names[usize::from(host.0)]
    }

    /// The address of the host of this name.
    pub(crate) fn address(&self, name: &str) -> Option<IpAddr> {
        let place = self.names.iter().position(|host| host == name)?;
        Some(self.wire.borrow().machines[place].ip)
    }

    pub(crate) fn no_host(name: &str) -> io::Error {
        io::Error::new(io::ErrorKind::NotFound, format!("no host of this network is called `{name}`"))
    }

    /// Takes down what happened to the current host, led to by what its current task took in last.
    pub(crate) fn record(&self, host: Option<HostId>, what: What) -> u64 {
        self.record_at(self.now(), host, self.cause(), what)
    }

    /// Takes down what another record led to.
    pub(crate) fn record_caused(&self, host: Option<HostId>, cause: u64, what: What) -> u64 {
        self.record_at(self.now(), host, Some(cause.into()), what)
    }

    pub(crate) fn record_at(&self, at: Duration, host: Option<HostId>, cause: Option<Cause>, what: What) -> u64 {
        self.recorder.borrow_mut().record(at, host, cause, what)
    }

    /// What led to what runs just now.
    #[inline]
    pub(crate) fn cause(&self) -> Option<Cause> {
        if let Some(traced) = causality::current() {
            let is_known = |cause: &Cause| {
                let host = self.current.get().filter(|_| cause.timer);
                host.is_none_or(|host| !self.direct.borrow().contains(&host))
            };
            return traced.filter(is_known);
        }
        self.current.get()?;
        let task = tokio::task::try_id()?;
        self.causes.borrow().get(&task).map(|record| Cause::from(*record))
    }

    /// The current task has taken in what this record brought.
    #[inline]
    pub(crate) fn took_in(&self, record: u64) {
        if causality::continue_with(record.into()) {
            return;
        }
        if let Some(task) = tokio::task::try_id() {
            self.causes.borrow_mut().insert(task, record);
            self.any_causes.set(true);
        }
    }

    /// A host uses turmoil's own sockets.
    pub(crate) fn is_direct(&self, host: HostId) {
        self.direct.borrow_mut().insert(host);
    }

    /// Whether a host is to be dead by now.
    #[inline]
    pub(crate) fn is_doomed(&self, host: HostId) -> bool {
        if !self.crashes.any() {
            return false;
        }
        let Some(power) = self.crashes.doom(host, self.recorder.borrow().next_number()) else { return false };
        if power {
            // What its sockets say when they are dropped goes nowhere.
            self.wire.borrow_mut().machine(host).off = true;
        }
        true
    }

    /// To be called by what a process calls, behind each record: if the process dies there, this does not return.
    #[inline]
    pub(crate) fn crash_point(&self) {
        if self.crashes.any()
            && let Some(host) = self.current.get()
            && self.is_doomed(host)
        {
            self.crashes.die_here();
        }
    }

    /// Drops a host's process by force. No process that is killed runs a destructor: what those of its tasks do is nothing.
    pub(crate) fn by_force(&self, host: HostId, drop: impl FnOnce()) {
        self.dying.set(Some(host));
        drop();
        self.dying.set(None);
    }

    /// Whether a host's process is just being dropped by force.
    #[inline]
    pub(crate) fn is_dying(&self, host: HostId) -> bool {
        self.dying.get() == Some(host)
    }

    /// What a destructor of a process gets that has died, whatever it asks for.
    #[inline]
    pub(crate) fn alive(&self, host: HostId) -> io::Result<()> {
        if self.is_dying(host) {
            return Err(io::Error::new(io::ErrorKind::NotConnected, "its process is dead"));
        }
        Ok(())
    }

    pub(crate) fn breach(&self, host: Option<HostId>, breach: Breach) {
        let at = self.now();
        let cause = self.cause();
        self.recorder.borrow_mut().breach(at, host, cause, breach);
    }
}

/// Through which a host tells the testbed what it does. Clones are the same teller.
#[derive(Clone)]
pub struct Events {
    pub(crate) shared: Rc<Shared>,
    pub(crate) host: Option<HostId>,
}

impl Events {
    /// Whether nobody tells anything: it is a destructor that does, of a process that has died.
    fn is_mute(&self) -> bool {
        self.host.is_some_and(|host| self.shared.is_dying(host))
    }

    /// Writes an event into the trace and returns its record's number.
    pub fn event(&self, name: &'static str, fields: Vec<(&'static str, Value)>) -> u64 {
        if self.is_mute() {
            return self.next_record();
        }
        let record = self.shared.record(self.host, What::Event { name, fields });
        self.shared.crash_point();
        record
    }

    /// Adds to a counter, which the outcome shows and a script's `[expect]` may bound.
    #[inline]
    pub fn count(&self, name: &'static str, more: u64) {
        if !self.is_mute() {
            self.shared.recorder.borrow_mut().counters.add(name, more);
        }
    }

    /// Says that work was completed. A run in which none was is inconclusive.
    pub fn work(&self, more: u64) {
        if !self.is_mute() {
            self.shared.recorder.borrow_mut().worked(self.host, more, self.shared.now());
        }
    }

    /// Adds to a set of times, of which the outcome shows quantiles.
    pub fn time(&self, name: &'static str, value: Duration) {
        if !self.is_mute() {
            self.shared.recorder.borrow_mut().time(name, value);
        }
    }

    /// What led to what the host does just now, where that is known.
    pub fn cause(&self) -> Option<Cause> {
        self.shared.cause()
    }

    /// What the host does next comes of this: of an event that it has just told, or of a timer that it set because of
    /// an earlier record, where it knows better than its task does.
    pub fn continue_with(&self, cause: Cause) {
        causality::continue_with(cause);
    }

    /// For a step of the system's own that is just being carried out, and that does nothing yet, or might do nothing at all:
    /// from now on the system says when it has acted. Without it, such a step counts as one that has.
    pub fn deed(&self) -> Option<Deed> {
        self.shared.deeds.take()
    }

    /// An invariant is broken: the run ends with this step.
    pub fn violation(&self, invariant: impl Into<String>, message: impl Into<String>) {
        self.breach(Breach::new(invariant, message));
    }

    /// An invariant is broken, and these facts show it: the run ends with this step.
    pub fn breach(&self, breach: Breach) {
        if !self.is_mute() {
            self.shared.breach(self.host, breach);
        }
    }

    /// The simulated time since the run began.
    pub fn now(&self) -> Duration {
        self.shared.now()
    }

    /// The same teller, for tasks that may be sent between threads.
    pub fn sendable(&self) -> SendEvents {
        SendEvents { outside: self.shared.outside.clone(), host: self.host }
    }

    /// The number that the next record gets: that of a packet, for who is about to send one.
    pub fn next_record(&self) -> u64 {
        self.shared.recorder.borrow().next_number()
    }
}

/// [`Events`] for what must be `Send`: the state of a web framework's handlers, say. It works in the run's own thread, where
/// all tasks of a host run. In another it does nothing, and the run is found wrong.
#[derive(Clone)]
pub struct SendEvents {
    outside: Arc<Outside>,
    host: Option<HostId>,
}

impl SendEvents {
    fn with<T: Default>(&self, tell: impl FnOnce(&Events) -> T) -> T {
        let here = Shared::in_thread().filter(|shared| Arc::ptr_eq(&shared.outside, &self.outside));
        if let Some(shared) = here {
            return tell(&Events { shared, host: self.host });
        }
        self.host.into_iter().for_each(|host| self.outside.note(host));
        T::default()
    }

    /// As [`Events::event`].
    pub fn event(&self, name: &'static str, fields: Vec<(&'static str, Value)>) -> u64 {
        self.with(|events| events.event(name, fields))
    }

    /// As [`Events::count`].
    pub fn count(&self, name: &'static str, more: u64) {
        self.with(|events| events.count(name, more));
    }

    /// As [`Events::work`].
    pub fn work(&self, more: u64) {
        self.with(|events| events.work(more));
    }

    /// As [`Events::time`].
    pub fn time(&self, name: &'static str, value: Duration) {
        self.with(|events| events.time(name, value));
    }

    /// As [`Events::violation`].
    pub fn violation(&self, invariant: impl Into<String>, message: impl Into<String>) {
        self.with(|events| events.violation(invariant, message));
    }

    /// As [`Events::now`].
    pub fn now(&self) -> Duration {
        self.with(Events::now)
    }
}

/// Where in a run a log line stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogContext {
    /// The simulated time.
    pub at: Duration,
    /// The number of the next record.
    pub record: u64,
    /// The host that runs; `None`: the testbed.
    pub host: Option<String>,
}

thread_local! {
    static RUN: RefCell<Option<Rc<Shared>>> = const { RefCell::new(None) };
}

/// Where the run in this thread stands, if there is one.
pub fn log_context() -> Option<LogContext> {
    RUN.with_borrow(|run| {
        let shared = run.as_ref()?;
        // A line may be logged while a record is being made: it then stands without its number rather than not at all.
        let record = shared.recorder.try_borrow().map_or(0, |recorder| recorder.next_number());
        let host = shared.current.get().map(|host| shared.name(host).to_owned());
        Some(LogContext { at: shared.clock.get(), record, host })
    })
}

/// The simulated time of the run in this thread; zero before it has begun.
pub(crate) fn simulated() -> Duration {
    let now = |run: &RefCell<Option<Rc<Shared>>>| Some(run.try_borrow().ok()?.as_ref()?.now());
    RUN.try_with(now).ok().flatten().unwrap_or_default()
}

/// Makes a run the one that [`log_context`] tells of, until it is dropped.
pub(crate) struct LogGuard;

impl LogGuard {
    pub(crate) fn new(shared: &Rc<Shared>) -> Self {
        RUN.set(Some(shared.clone()));
        Self
    }
}

impl Drop for LogGuard {
    fn drop(&mut self) {
        RUN.set(None);
    }
}
