//! A process of its own: everything that it started lives and dies with it.
//!
//! It has a tokio runtime of its own ([`runtime`]), which is run for one tick between two steps of turmoil. So whatever
//! it started (`tokio::spawn`, a `JoinSet`, a library's tasks, their timers) is run only while the process is: one that is
//! paused is not run, and its clock jumps when it goes on; one that is killed is dropped, in the middle of a tick if need
//! be. Its sockets are ends in memory ([`super::kernel`]), whose other halves turmoil carries.
//!
//! What still is beyond reach are [threads]. They are noticed.
//!
//! **Invariant:** a host behaves in a process of its own as it does in a supervisor ([`super::host`]): the same records at
//! the same times, as far as both can run it.

pub(crate) mod runtime;
pub(crate) mod threads;

use std::cell::{Cell, RefCell};
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::task::JoinHandle;

use super::causality::{self, Traced};
use super::control::{Control, End, Runs, Start};
use super::disk::{SimDisk, Tokio};
use super::host::{Factory, Host, HostResult};
use super::kernel::Kernel;
use super::links::Purpose;
use super::net::SimNet;
use super::panics;
use super::trace::Cause;

use runtime::Runtime;
use threads::Mark;

/// tokio's timers are of whole milliseconds.
const MILLISECOND: Duration = Duration::from_millis(1);

/// What a panic in a task means that nobody was seen to wait for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Panics {
    /// The host is wrong.
    Found,
    /// It sees to it itself, as with tokio's tasks in life.
    Outlived,
}

/// Runs a host's processes.
pub(crate) struct Runner(Rc<Inner>);

struct Inner {
    control: Rc<Control>,
    factory: RefCell<Factory>,
    kernel: Rc<Kernel>,
    panics: Panics,
    /// By which its threads are known.
    mark: Mark,
}

/// A process.
pub(crate) struct Process {
    kernel: Rc<Kernel>,
    /// None once it has come to its end.
    life: Option<Life>,
}

struct Life {
    runtime: Runtime,
    root: JoinHandle<HostResult>,
    /// What led to the end of the root.
    ended_by: Rc<Cell<Option<Cause>>>,
}

impl Runner {
    pub(crate) fn new(control: Rc<Control>, factory: Factory, panics: Panics) -> Self {
        let kernel = Kernel::new(&control.shared, control.id, control.seed, true);
        let factory = RefCell::new(factory);
        Self(Rc::new(Inner { control, factory, kernel, panics, mark: Mark::fresh() }))
    }

    pub(crate) fn kernel(&self) -> &Rc<Kernel> {
        &self.0.kernel
    }

    /// The process's turn in a step.
    pub(crate) fn turn(&self, process: &mut Option<Process>) {
        let Inner { control, kernel, mark, .. } = &*self.0;
        kernel.work();
        threads::expect(*mark);
        control.turn(self, process, &mut Context::from_waker(std::task::Waker::noop()));
    }

    /// What of a process no fault reaches.
    pub(crate) fn out_of_reach(&self, process: Option<&Process>) -> Vec<String> {
        let mut found = Vec::new();
        let blocking = process.and_then(|process| process.life.as_ref()).map_or(0, |life| life.runtime.blocking());
        if blocking > 0 {
            found.push(format!("{blocking} of `spawn_blocking`"));
        }
        found.extend(threads::named(&self.0.control.shared.threads.of(self.0.mark)));
        found
    }
}

impl Runs for Runner {
    type Process = Process;

    fn launch(&self, start: Start) -> Process {
        let Start { name, incarnation, record, ip, rng, events } = start;
        let Control { id, shared, seed, .. } = &*self.0.control;
        let kernel = self.0.kernel.clone();
        let host = Host {
            name,
            incarnation,
            net: SimNet { shared: shared.clone(), host: *id, ip, kernel: kernel.clone() },
            disk: SimDisk::new(&self.0.control, incarnation, Tokio),
            rng,
            events,
        };
        let drawn = seed.draw(&[Purpose::Runtime as u64, u64::from(id.0), u64::from(incarnation)]);
        let runtime = Runtime::new(drawn, shared.now());
        let ended_by = Rc::new(Cell::new(None));
        let (end, inner) = (ended_by.clone(), self.0.clone());
        let life = async move {
            let life = (inner.factory.borrow_mut())(host);
            let result = life.await;
            end.set(causality::current().flatten());
            result
        };
        let root = runtime.start(|| Traced::root(life, Some(record.into())));
        Process { kernel, life: Some(Life { runtime, root, ended_by }) }
    }

    fn run(&self, process: &mut Process, cx: &mut Context<'_>) -> Option<End> {
        let life = process.life.as_mut()?;
        let shared = &self.0.control.shared;
        let (mut at, until) = (shared.now(), shared.now() + shared.tick);
        while !life.root.is_finished() {
            shared.set_clock_within(at);
            life.runtime.run_at(at);
            panics::settle(self.0.panics == Panics::Outlived, |message| {
                self.0.control.outlived(message);
            });
            panics::go_on();
            at += MILLISECOND;
            if at >= until || shared.is_doomed(self.0.control.id) {
                break;
            }
        }
        if !life.root.is_finished() {
            return None;
        }
        let result = match Pin::new(&mut life.root).poll(cx) {
            Poll::Ready(Ok(result)) => result.map_err(|error| error.to_string()),
            Poll::Ready(Err(error)) => Err(error.to_string()),
            Poll::Pending => unreachable!("a finished task has its result"),
        };
        let cause = life.ended_by.get();
        // With its root a process ends, as with the end of `main`.
        causality::because(cause, || process.end());
        Some(End { result, cause })
    }
}

impl Process {
    fn end(&mut self) {
        drop(self.life.take());
        self.kernel.close_all();
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.end();
    }
}
