//! A host's process under its supervisor, so that it can be killed, paused and started again.
//!
//! The process (a root future and the tasks it spawns) runs in a `LocalSet` of its own, nested in turmoil's. The
//! supervisor polls that set, or does not: a paused process is not polled and finds all its deadlines past when it
//! goes on, as after a long stop of a real one; a killed one is dropped, so that its sockets close. Beside the set
//! run the tasks of the host's "kernel", which go on while the process stands still.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::error::Error;
use std::future::{Future, poll_fn};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, Waker};

use tokio::task::{AbortHandle, JoinHandle, LocalSet};

use crate::disk::sim::SimDisk;
use crate::net::sim::SimNet;
use crate::rng::{Rng, Seed};

use super::Watch;
use super::causality::{self, Traced};
use super::panics;
use super::platter::Platter;
use super::recorder::Breach;
use super::shared::{Events, Shared};
use super::trace::{Cause, HostId, What};

/// What a host's root future comes to.
pub type HostResult = Result<(), Box<dyn Error>>;

/// Makes a host's root future, at its start and at every restart.
pub(crate) type Factory = Box<dyn FnMut(Host) -> Pin<Box<dyn Future<Output = HostResult>>>>;

/// What a host gets when it starts.
pub struct Host {
    /// Its name in the network.
    pub name: String,
    /// How often it has started before.
    pub incarnation: u32,
    /// Its network.
    pub net: SimNet,
    /// Its disk, which outlives it.
    pub disk: SimDisk,
    /// Its randomness, its own in each incarnation.
    pub rng: Rng,
    /// Where it tells what it does.
    pub events: Events,
}

/// What the testbed wants a host to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Wanted {
    /// Not running.
    Dead,
    Running,
    Paused,
}

/// A task's future, shared by the task that polls it and the kernel that ends it.
type Slot = Rc<RefCell<Option<Pin<Box<dyn Future<Output = ()>>>>>>;

/// Tasks that belong to the host's operating system.
#[derive(Default)]
pub struct Kernel {
    next: Cell<u64>,
    new: RefCell<Vec<u64>>,
    tasks: RefCell<BTreeMap<u64, (Slot, Option<AbortHandle>)>>,
}

impl Kernel {
    /// Runs a task beside the process, from the supervisor's next poll on.
    pub(crate) fn spawn(&self, task: impl Future<Output = ()> + 'static) -> u64 {
        let id = self.next.get();
        self.next.set(id + 1);
        self.new.borrow_mut().push(id);
        let slot: Slot = Rc::new(RefCell::new(Some(Box::pin(task))));
        self.tasks.borrow_mut().insert(id, (slot, None));
        id
    }

    /// Ends a task. What it holds is dropped at once: a port that it listened at is free when this returns.
    pub(crate) fn end(&self, id: u64) {
        let task = self.tasks.borrow_mut().remove(&id);
        if let Some((slot, handle)) = task {
            slot.take();
            handle.iter().for_each(AbortHandle::abort);
        }
    }

    fn end_all(&self) {
        let ids: Vec<u64> = self.tasks.borrow().keys().copied().collect();
        ids.into_iter().for_each(|id| self.end(id));
    }

    /// Leaves the tasks to the runtime that runs them, and that is about to be dropped.
    fn forget(&self) {
        self.tasks.take();
    }

    /// Puts new tasks onto turmoil's own `LocalSet`, whose context the supervisor is polled in.
    fn start_new(&self) {
        for id in self.new.take() {
            if let Some((slot, handle)) = self.tasks.borrow_mut().get_mut(&id) {
                let slot = slot.clone();
                let task = poll_fn(move |cx| match &mut *slot.borrow_mut() {
                    Some(task) => task.as_mut().poll(cx),
                    None => Poll::Ready(()),
                });
                *handle = Some(tokio::task::spawn_local(task).abort_handle());
            }
        }
    }
}

struct Process {
    tasks: LocalSet,
    root: Option<JoinHandle<HostResult>>,
    /// What led to the end of the root.
    ended_by: Rc<Cell<Option<Cause>>>,
}

/// A host, as the testbed holds it.
pub(crate) struct Control {
    id: HostId,
    shared: Rc<Shared>,
    seed: Seed,
    factory: RefCell<Factory>,
    watch: Option<Rc<dyn Watch>>,
    kernel: Rc<Kernel>,
    platter: Rc<Platter>,
    wanted: Cell<Wanted>,
    /// Whether the process that runs is to be replaced by a new one.
    fresh: Cell<bool>,
    incarnation: Cell<u32>,
    /// Whether the root future has ended by itself.
    pub(crate) finished: Cell<bool>,
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
        factory: Factory,
        platter: Platter,
        watch: Option<Rc<dyn Watch>>,
        waits: bool,
    ) -> Rc<Self> {
        Rc::new(Self {
            id,
            shared: shared.clone(),
            seed,
            factory: RefCell::new(factory),
            watch,
            kernel: Rc::default(),
            platter: Rc::new(platter),
            wanted: Cell::new(if waits { Wanted::Dead } else { Wanted::Running }),
            fresh: Cell::new(false),
            incarnation: Cell::new(0),
            finished: Cell::new(false),
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

    pub(crate) fn platter(&self) -> &Platter {
        &self.platter
    }

    /// Says what the host is to be from the next step on.
    pub(crate) fn want(&self, wanted: Wanted) {
        self.wanted.set(wanted);
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
        self.kernel.forget();
        self.platter.power_lost();
        self.waker.take();
    }

    /// The future that turmoil runs for this host.
    pub(crate) async fn supervise(self: Rc<Self>) -> turmoil::Result {
        let mut process: Option<Process> = None;
        poll_fn(|cx| {
            self.shared.current.set(Some(self.id));
            let poll = self.poll(&mut process, cx);
            self.shared.current.set(None);
            poll
        })
        .await
    }

    fn poll(&self, process: &mut Option<Process>, cx: &mut Context<'_>) -> Poll<turmoil::Result> {
        let wanted = self.wanted.get();
        if wanted == Wanted::Dead || self.fresh.take() {
            self.kernel.end_all();
            causality::because(self.led_by.get(), || *process = None);
        }
        *self.waker.borrow_mut() = Some(cx.waker().clone());
        if self.shared.is_doomed(self.id) {
            self.die(process);
            return Poll::Pending;
        }
        if wanted != Wanted::Running {
            return Poll::Pending;
        }
        if process.is_none() {
            if self.finished.get() {
                return Poll::Pending;
            }
            *process = Some(self.launch());
            if self.shared.is_doomed(self.id) {
                self.die(process);
                return Poll::Pending;
            }
        }
        if let Some(watch) = &self.watch {
            watch.polls(self.shared.now(), self.shared.name(self.id));
        }
        if let Some(running) = process {
            let crashes = &self.shared.crashes;
            let polled = catch_unwind(AssertUnwindSafe(|| crashes.run(|| self.poll_process(running, cx))));
            crashes.left_process();
            causality::left_tasks();
            if self.shared.is_doomed(self.id) {
                self.die(process);
            } else if polled.is_err() {
                self.panicked();
                *process = None;
            }
        }
        self.kernel.start_new();
        Poll::Pending
    }

    /// The process dies where it stands; the step that killed it follows at the end of the tick.
    fn die(&self, process: &mut Option<Process>) {
        self.kernel.end_all();
        *process = None;
        panics::take_message();
    }

    fn launch(&self) -> Process {
        let incarnation = self.incarnation.get();
        self.incarnation.set(incarnation + 1);
        let what = What::Started { incarnation };
        let started = self.shared.record_at(self.shared.now(), Some(self.id), self.led_by.get(), what);
        let name = self.shared.name(self.id).to_owned();
        let ip = self.shared.wire.borrow().machines[usize::from(self.id.0)].ip;
        let host = Host {
            rng: self.seed.stream(&format!("host {name} {incarnation}")),
            name,
            incarnation,
            net: SimNet { shared: self.shared.clone(), host: self.id, ip, kernel: self.kernel.clone() },
            disk: SimDisk::new(self.platter.clone(), self.seed, self.id, incarnation),
            events: Events { shared: self.shared.clone(), host: Some(self.id) },
        };
        let tasks = local_set();
        let life = causality::because(Some(started.into()), || (self.factory.borrow_mut())(host));
        let ended_by = Rc::new(Cell::new(None));
        let end = ended_by.clone();
        let life = async move {
            let result = life.await;
            end.set(causality::current().flatten());
            result
        };
        let root = tasks.spawn_local(Traced::new(life, Some(started.into())));
        Process { tasks, root: Some(root), ended_by }
    }

    fn poll_process(&self, process: &mut Process, cx: &mut Context<'_>) {
        // Tasks that the root has left behind go on: whether any do, the set's own end, is of no interest.
        let _ = Pin::new(&mut process.tasks).poll(cx);
        let ended = process.root.as_ref().is_some_and(JoinHandle::is_finished);
        if !ended {
            return;
        }
        // The root's own result is ready: polling its handle takes it out and wakes nobody.
        let mut root = process.root.take().expect("it has ended just now");
        self.finished.set(true);
        causality::because(process.ended_by.get(), || match Pin::new(&mut root).poll(cx) {
            Poll::Ready(Ok(Ok(()))) => {
                self.shared.record(Some(self.id), What::Finished);
            }
            Poll::Ready(Ok(Err(error))) => self.failed(&error.to_string()),
            Poll::Ready(Err(error)) => self.failed(&error.to_string()),
            Poll::Pending => unreachable!("a finished task has its result"),
        });
    }

    fn failed(&self, message: &str) {
        self.shared.record(Some(self.id), What::Failed { message: message.to_owned() });
        let text = format!("{} ended with an error: {message}", self.shared.name(self.id));
        self.shared.breach(Some(self.id), Breach::new("host error", text));
    }

    fn panicked(&self) {
        let message = panics::take_message();
        self.finished.set(true);
        self.shared.record(Some(self.id), What::Panicked { message: message.clone() });
        let text = format!("{} panicked: {message}", self.shared.name(self.id));
        self.shared.breach(Some(self.id), Breach::new("panic", text));
    }
}

/// A set of tasks in which a panic is not swallowed.
fn local_set() -> LocalSet {
    #[cfg(not(tokio_unstable))]
    return LocalSet::new();
    #[cfg(tokio_unstable)]
    {
        let mut tasks = LocalSet::new();
        tasks.unhandled_panic(tokio::runtime::UnhandledPanic::ShutdownRuntime);
        tasks
    }
}
