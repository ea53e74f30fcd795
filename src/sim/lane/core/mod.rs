//! The core lane: a queue of what is due, and hosts that are polled when they have something to do.
//!
//! No time passes that nothing happens in: the queue says when the next packet is due, each host when it wants to be
//! woken, the schedule when its next step is. What is simulated in between are the ticks of the turmoil lane in which
//! that lane would have found nothing to do.
//!
//! A step here is what it is there. Hosts run first, one after the other in their order, with what arrived at the end of
//! the step before; then the script's steps fire; then packets arrive that are due by the end of it, link by link. Times
//! that a host waits for are rounded up to whole milliseconds, as tokio's are. So the two lanes make the same trace.
//!
//! What is not here is what a queue of datagrams cannot say: streams, sockets of the operating system's, tasks.

mod host;
mod socket;
mod wakes;

use std::cell::RefCell;
use std::net::{IpAddr, Ipv4Addr};
use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, Wake, Waker};
use std::time::Duration;

use crate::sim::causality::{Thread, because};
use crate::sim::control::{Control, End, Runs, Start, Wanted};
use crate::sim::host::HostResult;
use crate::sim::shared::Shared;
use crate::sim::ticks::{count_down, nanos};
use crate::sim::trace::HostId;

use super::Lane;
use wakes::{Alarm, Wakes};

pub use host::{CoreHost, CoreTime};
pub use socket::{CoreNet, CoreSocket, Datagram};

/// A host's root future in this lane.
pub(in crate::sim) type Life = Pin<Box<dyn Future<Output = HostResult>>>;

/// Makes a host's root future, at its start and at every restart.
pub(in crate::sim) type CoreFactory = Box<dyn FnMut(CoreHost) -> Life>;

pub(in crate::sim) struct CoreLane {
    shared: Rc<Shared>,
    actors: Vec<Actor>,
    wakes: Wakes,
    /// In nanoseconds.
    tick: u64,
}

/// A host with what runs it.
struct Actor {
    runner: Runner,
    process: Option<Process>,
    stir: Arc<Stir>,
    waker: Waker,
}

/// Runs a host's processes.
struct Runner {
    control: Rc<Control>,
    factory: RefCell<CoreFactory>,
    alarm: Alarm,
}

struct Process {
    life: Life,
    thread: Thread<Duration>,
}

/// Whether something but time and packets has come up for a host.
#[derive(Default)]
struct Stir(AtomicBool);

impl Wake for Stir {
    fn wake(self: Arc<Self>) {
        self.0.store(true, Ordering::Relaxed);
    }
}

impl Runs for Runner {
    type Process = Process;

    fn launch(&self, start: Start) -> Process {
        let record = start.record;
        let host = CoreHost::new(&self.control, start, self.alarm.clone());
        let life = because(Some(record.into()), || (self.factory.borrow_mut())(host));
        Process { life, thread: Thread::new(Some(record.into()), self.control.shared.now()) }
    }

    fn run(&self, process: &mut Process, cx: &mut Context<'_>) -> Option<End> {
        // Whatever waits for a time says so again when it is polled.
        self.alarm.forget();
        let Process { life, thread } = process;
        match thread.poll(life.as_mut(), cx, || self.control.shared.now()) {
            Poll::Ready(result) => {
                let result = result.map_err(|error| error.to_string());
                Some(End { result, cause: thread.last() })
            }
            Poll::Pending => None,
        }
    }
}

impl CoreLane {
    pub(in crate::sim) fn new(shared: Rc<Shared>, tick: Duration) -> Self {
        let wakes = Wakes::new(shared.names.len());
        Self { shared, actors: Vec::new(), wakes, tick: nanos(tick) }
    }

    /// The address of a host, as turmoil gives them out.
    pub(in crate::sim) fn address(host: HostId) -> IpAddr {
        let [high, low] = (host.0 + 1).to_be_bytes();
        Ipv4Addr::new(192, 168, high, low).into()
    }

    pub(in crate::sim) fn add_host(&mut self, control: Rc<Control>, factory: CoreFactory) {
        let stir = Arc::new(Stir::default());
        let waker = Waker::from(stir.clone());
        let host = control.id;
        let alarm = Alarm::new(host, self.wakes.clone());
        let runner = Runner { control, factory: RefCell::new(factory), alarm };
        self.actors.push(Actor { runner, process: None, stir, waker });
        self.wakes.make_ready(host);
    }

    /// Runs one host from a time to the end of the step, or to when it has nothing to do any more.
    fn run_host(&mut self, host: usize, from: Duration, (start, end): (u64, u64)) {
        let Actor { runner, process, waker, .. } = &mut self.actors[host];
        let mut cx = Context::from_waker(waker);
        let mut at = self.wakes.of(host);
        while at < end {
            self.shared.set_clock(if at > start { Duration::from_nanos(at) } else { from });
            runner.control.turn(runner, process, &mut cx);
            // One that stands still or is dead is not woken by time. When that changes, it is stirred.
            if process.is_none() || runner.control.wanted() != Wanted::Running {
                runner.alarm.forget();
            }
            at = self.wakes.of(host);
        }
    }
}

impl Lane for CoreLane {
    fn next_step(&mut self, now: Duration, tick: Duration) -> Option<Duration> {
        let soonest = now + tick;
        if self.wakes.any_ready() {
            return Some(soonest);
        }
        let woken = self.wakes.first().map(|at| count_down(at, self.tick) + 1);
        let due = self.shared.wire.borrow().next_due();
        let next = if let (Some(woken), Some(due)) = (woken, due) { woken.min(due) } else { woken.or(due)? };
        Some(Duration::from_nanos(next.saturating_mul(self.tick)).max(soonest))
    }

    fn run_hosts(&mut self, from: Duration, to: Duration) -> Result<(), String> {
        let (start, end) = (nanos(from), nanos(to));
        self.shared.wire.borrow_mut().begin_step(end, self.tick);
        self.wakes.begin_step();
        for host in 0..self.actors.len() {
            if self.wakes.of(host) < end {
                self.run_host(host, from, (start, end));
            }
        }
        Ok(())
    }

    fn absorb(&mut self, _: Duration) {}

    fn disturbed(&mut self) {
        self.shared.wire.borrow_mut().queue_again();
        for host in 0..u16::try_from(self.actors.len()).expect("hosts are numbered in 16 bits") {
            if self.actors[usize::from(host)].stir.0.swap(false, Ordering::Relaxed) {
                self.wakes.make_ready(HostId(host));
            }
        }
    }

    fn carry(&mut self, now: Duration) {
        let Self { shared, wakes, .. } = self;
        let mut wire = shared.wire.borrow_mut();
        wire.arriving();
        while let Some(host) = wire.arrives(shared, now) {
            wakes.make_ready(host);
        }
    }

    fn crash(&mut self, host: HostId) {
        let actor = &mut self.actors[usize::from(host.0)];
        actor.process = None;
        actor.runner.alarm.forget();
    }

    fn boot(&mut self, host: HostId) {
        self.wakes.make_ready(host);
    }
}
