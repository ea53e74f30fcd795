//! A host's process under its supervisor, so that it can be killed, paused and started again.
//!
//! The process (a root future and the tasks it spawns) runs in a `LocalSet` of its own, nested in turmoil's. The
//! supervisor polls that set, or does not: a paused process is not polled and finds all its deadlines past when it
//! goes on, as after a long stop of a real one; a killed one is dropped, so that its sockets close. The machine's
//! [kernel](super::kernel) goes on while the process stands still.

use std::cell::{Cell, RefCell};
use std::error::Error;
use std::future::{Future, poll_fn};
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::runtime::Handle;
use tokio::task::{JoinHandle, LocalSet};

use crate::rng::Rng;
use crate::sim::disk::{SimDisk, Tokio};
use crate::sim::net::SimNet;

use super::causality::{self, Traced};
use super::control::{Control, End, Runs, Start};
use super::kernel::Kernel;
use super::kernel::post::PostOffice;
use super::panics;
use super::process::threads::{self, Mark};
use super::shared::Events;
use super::trace::Cause;

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

impl Host {
    /// The simulated time since the run began.
    pub fn now(&self) -> Duration {
        self.events.now()
    }
}

/// A process: its root future, and the tasks that it spawned.
pub(crate) struct Process {
    tasks: LocalSet,
    root: Option<JoinHandle<HostResult>>,
    /// What led to the end of the root.
    ended_by: Rc<Cell<Option<Cause>>>,
    /// Behind the tasks: what they have left open is closed.
    _open: Open,
}

/// Whatever a process has open in its kernel.
struct Open(Rc<Kernel>);

impl Drop for Open {
    fn drop(&mut self) {
        self.0.close_all();
    }
}

/// Runs a host's processes within turmoil's runtime for it.
pub(crate) struct Supervisor {
    control: Rc<Control>,
    factory: RefCell<Factory>,
    pub(crate) kernel: Rc<Kernel>,
    /// Turmoil's runtime for the host, once it has run.
    runtime: RefCell<Option<Handle>>,
    /// By which threads of its like are known.
    mark: Mark,
}

impl Supervisor {
    pub(crate) fn new(control: Rc<Control>, factory: Factory, mark: Mark) -> Rc<Self> {
        let kernel = Kernel::new(&control.shared, control.id, control.seed, false);
        Rc::new(Self { control, factory: RefCell::new(factory), kernel, runtime: RefCell::default(), mark })
    }

    /// The future that turmoil runs for this host.
    pub(crate) async fn supervise(self: Rc<Self>) -> turmoil::Result {
        // The socket belongs to what turmoil runs, and goes with that.
        let _carrier = self.kernel.boot().await?;
        let mut office = PostOffice::default();
        *self.runtime.borrow_mut() = Some(Handle::current());
        let mut process: Option<Process> = None;
        poll_fn(|cx| {
            self.kernel.turn(cx.waker());
            self.control.turn(&*self, &mut process, cx);
            if self.kernel.has_post()
                && let Err(error) = self.kernel.hand_over(&mut office)
            {
                return Poll::Ready(Err(error));
            }
            Poll::Pending
        })
        .await?;
        Ok(())
    }

    /// What of its process no fault reaches: tasks of turmoil's runtime, and threads of hosts like this one.
    pub(crate) fn out_of_reach(&self) -> Vec<String> {
        let tasks = self.runtime.borrow().as_ref().map_or(0, |runtime| runtime.metrics().num_alive_tasks());
        let tasks = tasks.saturating_sub(self.kernel.on_the_way_to_itself());
        let tasks = Some(tasks).filter(|tasks| *tasks > 0).map(|tasks| {
            let are = if tasks == 1 { "one task" } else { &format!("{tasks} tasks") };
            format!("{are} of `tokio::spawn`, for which a host has to be added by Setup::process,")
        });
        tasks.into_iter().chain(threads::named(&self.control.shared.threads.of(self.mark))).collect()
    }
}

impl Runs for Supervisor {
    type Process = Process;

    fn launch(&self, start: Start) -> Process {
        let Start { name, incarnation, record, ip, rng, events } = start;
        let Control { id, shared, .. } = &*self.control;
        let host = Host {
            name,
            incarnation,
            net: SimNet { shared: shared.clone(), host: *id, ip, kernel: self.kernel.clone() },
            disk: SimDisk::new(&self.control, incarnation, Tokio),
            rng,
            events,
        };
        let tasks = local_set();
        let life = causality::because(Some(record.into()), || (self.factory.borrow_mut())(host));
        let ended_by = Rc::new(Cell::new(None));
        let end = ended_by.clone();
        let life = async move {
            let result = life.await;
            end.set(causality::current().flatten());
            result
        };
        let root = tasks.spawn_local(Traced::new(life, Some(record.into())));
        Process { tasks, root: Some(root), ended_by, _open: Open(self.kernel.clone()) }
    }

    fn run(&self, process: &mut Process, cx: &mut Context<'_>) -> Option<End> {
        // Tasks that the root has left behind go on: whether any do, the set's own end, is of no interest.
        let _ = Pin::new(&mut process.tasks).poll(cx);
        panics::go_on();
        // The root's own result is ready: polling its handle takes it out and wakes nobody.
        let mut root = process.root.take_if(|root| root.is_finished())?;
        let result = match Pin::new(&mut root).poll(cx) {
            Poll::Ready(Ok(result)) => result.map_err(|error| error.to_string()),
            Poll::Ready(Err(error)) => Err(error.to_string()),
            Poll::Pending => unreachable!("a finished task has its result"),
        };
        Some(End { result, cause: process.ended_by.get() })
    }
}

/// A set of tasks in which a panic is not swallowed, where tokio can be told so. Else the tasks see to it themselves.
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
