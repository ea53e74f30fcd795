//! A host as the testbed holds it, whichever lane runs it: whether it is to run, and what becomes of its process.
//!
//! A lane brings the process ([`Runs`]); when it lives and when it dies is decided here, so that a kill, a pause and a
//! crash in the middle of a tick are the same in each.

use std::cell::{Cell, RefCell};
use std::net::IpAddr;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::rc::Rc;
use std::task::{Context, Waker};

use crate::rng::{Rng, Seed};

use super::Watch;
use super::causality;
use super::panics;
use super::platter::{DiskChange, Platter};
use super::recorder::Breach;
use super::shared::{Events, Shared};
use super::trace::{Cause, HostId, What};

/// What the testbed wants a host to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Wanted {
    /// Not running.
    Dead,
    Running,
    Paused,
}

/// How a lane runs a host's process.
pub(crate) trait Runs {
    type Process;

    /// Makes the process; nothing of it has run yet.
    fn launch(&self, start: Start) -> Self::Process;

    /// Runs it until it waits for something. `Some`: its root has come to its end.
    fn run(&self, process: &mut Self::Process, cx: &mut Context<'_>) -> Option<End>;

    /// The process is about to be dropped by force.
    fn killed(&self) {}
}

/// What a process begins with.
pub(crate) struct Start {
    pub(crate) name: String,
    pub(crate) incarnation: u32,
    /// The record of the start.
    pub(crate) record: u64,
    pub(crate) ip: IpAddr,
    pub(crate) rng: Rng,
    pub(crate) events: Events,
}

/// How a process came to its end by itself.
pub(crate) struct End {
    pub(crate) result: Result<(), String>,
    /// What led to it.
    pub(crate) cause: Option<Cause>,
}

/// A host, as the testbed holds it.
pub(crate) struct Control {
    pub(crate) id: HostId,
    pub(crate) shared: Rc<Shared>,
    pub(crate) seed: Seed,
    platter: Rc<Platter>,
    watch: Option<Rc<dyn Watch>>,
    wanted: Cell<Wanted>,
    /// Whether the process was run before and there is nothing to do in its turn but to run it again.
    steady: Cell<bool>,
    /// Whether the process that runs is to be replaced by a new one.
    fresh: Cell<bool>,
    incarnation: Cell<u32>,
    /// Whether the root future has ended by itself.
    pub(crate) finished: Cell<bool>,
    /// Whether it has ended because the disk failed.
    failed_by_disk: Cell<bool>,
    /// What led to its last death or start.
    led_by: Cell<Option<Cause>>,
    /// Whether the machine is without power.
    pub(crate) off: Cell<bool>,
    waker: RefCell<Option<Waker>>,
}

impl Control {
    pub(crate) fn new(
        id: HostId,
        shared: &Rc<Shared>,
        seed: Seed,
        platter: Platter,
        watch: Option<Rc<dyn Watch>>,
        waits: bool,
    ) -> Rc<Self> {
        Rc::new(Self {
            id,
            shared: shared.clone(),
            seed,
            platter: Rc::new(platter),
            watch,
            wanted: Cell::new(if waits { Wanted::Dead } else { Wanted::Running }),
            steady: Cell::new(false),
            fresh: Cell::new(false),
            incarnation: Cell::new(0),
            finished: Cell::new(false),
            failed_by_disk: Cell::new(false),
            led_by: Cell::new(None),
            off: Cell::new(waits),
            waker: RefCell::new(None),
        })
    }

    pub(crate) fn wanted(&self) -> Wanted {
        self.wanted.get()
    }

    /// Whether it waits to be started, as the script has it from the beginning.
    pub(crate) fn is_unstarted(&self) -> bool {
        self.off.get() && self.incarnation.get() == 0
    }

    pub(crate) fn platter(&self) -> &Rc<Platter> {
        &self.platter
    }

    /// A step changes the disk.
    pub(crate) fn change_disk(&self, change: &DiskChange) {
        self.platter.change(*change, self.seed, self.id);
    }

    /// Whether the process has ended because the disk failed, as it may.
    pub(crate) fn failed_by_disk(&self) -> bool {
        self.failed_by_disk.get() && self.finished.get() && self.wanted.get() == Wanted::Running
    }

    /// Says what the host is to be from the next step on.
    pub(crate) fn want(&self, wanted: Wanted) {
        self.wanted.set(wanted);
        self.steady.set(false);
        if let Some(waker) = self.waker.borrow_mut().take() {
            waker.wake();
        }
    }

    /// Its next death or start comes of this.
    pub(crate) fn led_by(&self, cause: Cause) {
        self.led_by.set(Some(cause));
    }

    /// Starts the process, in place of the one that runs, if one does.
    pub(crate) fn start(&self) {
        self.fresh.set(true);
        self.finished.set(false);
        self.want(Wanted::Running);
    }

    /// The machine loses power: whatever its sockets emit now goes nowhere.
    pub(crate) fn power_lost(&self) {
        self.off.set(true);
        self.wanted.set(Wanted::Dead);
        self.steady.set(false);
        self.platter.power_lost(self.seed, self.id, self.incarnation.get());
        self.waker.take();
    }

    /// The host's turn in a step: its process is started, run or ended, as it is wanted.
    pub(crate) fn turn<R: Runs>(&self, lane: &R, process: &mut Option<R::Process>, cx: &mut Context<'_>) {
        self.shared.current.set(Some(self.id));
        match process {
            Some(running) if self.steady.get() => {
                if !self.run(lane, running, cx) {
                    self.panicked();
                    *process = None;
                }
            }
            _ => self.take_turn(lane, process, cx),
        }
        self.shared.current.set(None);
    }

    /// Runs the process. `false`: it has panicked, or died in the middle.
    fn run<R: Runs>(&self, lane: &R, running: &mut R::Process, cx: &mut Context<'_>) -> bool {
        if let Some(watch) = &self.watch {
            watch.polls(self.shared.now(), self.shared.name(self.id));
        }
        let ran = catch_unwind(AssertUnwindSafe(|| {
            if let Some(end) = lane.run(running, cx) {
                self.ended(end);
            }
        }));
        causality::left_tasks();
        ran.is_ok()
    }

    fn take_turn<R: Runs>(&self, lane: &R, process: &mut Option<R::Process>, cx: &mut Context<'_>) {
        let wanted = self.wanted.get();
        if wanted == Wanted::Dead || self.fresh.take() {
            causality::because(self.led_by.get(), || self.end_by_force(lane, process));
        }
        let mut waker = self.waker.borrow_mut();
        if !waker.as_ref().is_some_and(|waker| waker.will_wake(cx.waker())) {
            *waker = Some(cx.waker().clone());
        }
        drop(waker);
        if self.shared.is_doomed(self.id) {
            return self.die(lane, process);
        }
        if wanted != Wanted::Running {
            return;
        }
        if process.is_none() {
            if self.finished.get() {
                return;
            }
            *process = Some(lane.launch(self.start_record()));
            if self.shared.is_doomed(self.id) {
                return self.die(lane, process);
            }
        }
        let Some(running) = process else { return };
        let crashes = &self.shared.crashes;
        let lived = crashes.run(|| self.run(lane, running, cx));
        if self.shared.is_doomed(self.id) {
            self.die(lane, process);
        } else if lived {
            self.steady.set(!crashes.any());
        } else {
            self.panicked();
            *process = None;
        }
    }

    /// The process dies where it stands; the step that killed it follows at the end of the tick.
    fn die<R: Runs>(&self, lane: &R, process: &mut Option<R::Process>) {
        self.end_by_force(lane, process);
        panics::take_message();
    }

    fn end_by_force<R: Runs>(&self, lane: &R, process: &mut Option<R::Process>) {
        lane.killed();
        self.shared.by_force(self.id, || *process = None);
    }

    fn start_record(&self) -> Start {
        let incarnation = self.incarnation.get();
        self.incarnation.set(incarnation + 1);
        self.failed_by_disk.set(false);
        self.platter.starts();
        let what = What::Started { incarnation };
        let record = self.shared.record_at(self.shared.now(), Some(self.id), self.led_by.get(), what);
        let name = self.shared.name(self.id).to_owned();
        Start {
            rng: self.seed.stream(&format!("host {name} {incarnation}")),
            ip: self.shared.wire.borrow().machines[usize::from(self.id.0)].ip,
            events: Events { shared: self.shared.clone(), host: Some(self.id) },
            name,
            incarnation,
            record,
        }
    }

    fn ended(&self, End { result, cause }: End) {
        self.finished.set(true);
        causality::because(cause, || match result {
            Ok(()) => {
                self.shared.record(Some(self.id), What::Finished);
            }
            Err(message) => self.failed(&message),
        });
    }

    fn failed(&self, message: &str) {
        self.shared.record(Some(self.id), What::Failed { message: message.to_owned() });
        if self.platter.is_bad() {
            // To end is what a process may do about a disk that a step has spoilt.
            return self.failed_by_disk.set(true);
        }
        let text = format!("{} ended with an error: {message}", self.shared.name(self.id));
        self.shared.breach(Some(self.id), Breach::new("host error", text));
    }

    /// A task of the process has panicked, which goes on.
    pub(crate) fn outlived(&self, message: &str) {
        self.shared
            .record(Some(self.id), What::Event { name: "task panicked", fields: vec![("said", message.into())] });
        self.shared.recorder.borrow_mut().counters.add("panics", 1);
    }

    fn panicked(&self) {
        self.steady.set(false);
        let message = panics::take_message();
        self.finished.set(true);
        self.shared.record(Some(self.id), What::Panicked { message: message.clone() });
        let text = format!("{} panicked: {message}", self.shared.name(self.id));
        self.shared.breach(Some(self.id), Breach::new("panic", text));
    }
}
