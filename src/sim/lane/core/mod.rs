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
use crate::sim::ticks::{count_down, count_up, nanos};
use crate::sim::trace::HostId;

use super::Lane;
use wakes::{Alarm, Wakes};

pub use host::{CoreHost, CoreTime, WaitEnd};
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
    /// None once it has come to its end.
    life: Option<Life>,
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
        Process { life: Some(life), thread: Thread::new(Some(record.into()), self.control.shared.now()) }
    }

    fn run(&self, process: &mut Process, cx: &mut Context<'_>) -> Option<End> {
        // Whatever waits for a time says so again when it is polled.
        self.alarm.forget();
        let Process { life: Some(life), thread } = process else { return None };
        match thread.poll(life.as_mut(), cx, || self.control.shared.now()) {
            Poll::Ready(result) => {
                process.life = None;
                let result = result.map_err(|error| error.to_string());
                Some(End { result, cause: process.thread.last() })
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

    /// The tick in which something happens next, as far as that is known, and not one of those before the first to come.
    fn next_tick(&self, soonest: u64) -> Option<u64> {
        if self.wakes.any_ready() {
            return Some(soonest);
        }
        let woken = self.wakes.first().map(|at| count_down(at, self.tick) + 1);
        let due = self.shared.wire.borrow().next_due();
        let next = if let (Some(woken), Some(due)) = (woken, due) { woken.min(due) } else { woken.or(due)? };
        Some(next.max(soonest))
    }

    /// Runs the hosts that have something to do in a tick.
    fn run_tick(&mut self, tick: u64) {
        let (start, end) = ((tick - 1) * self.tick, tick * self.tick);
        self.shared.wire.borrow_mut().begin_step(tick, self.tick);
        self.wakes.begin_step();
        let Self { shared, actors, wakes, .. } = self;
        for (actor, wake) in actors.iter_mut().zip(wakes.all()) {
            while wake.get() < end {
                let now = wake.get().max(start);
                wakes.set_now(now);
                shared.set_clock(Duration::from_nanos(now));
                actor.run();
            }
        }
    }
}

impl Actor {
    /// Gives it a turn.
    fn run(&mut self) {
        let Self { runner, process, waker, .. } = self;
        runner.control.turn(runner, process, &mut Context::from_waker(waker));
        // One that stands still or is dead is not woken by time. When that changes, it is stirred.
        if process.is_none() || runner.control.wanted() != Wanted::Running {
            runner.alarm.forget();
        }
    }
}

impl Lane for CoreLane {
    fn next_step(&mut self, now: Duration, tick: Duration) -> Option<Duration> {
        let soonest = count_up(nanos(now + tick), self.tick);
        let next = self.next_tick(soonest)?;
        Some(Duration::from_nanos(next.saturating_mul(self.tick)))
    }

    fn run_hosts(&mut self, _: Duration, to: Duration) -> Result<(), String> {
        self.run_tick(count_up(nanos(to), self.tick));
        Ok(())
    }

    fn goes_alone(&self) -> bool {
        true
    }

    fn run_alone(&mut self, now: Duration, last: Duration, after: &mut dyn FnMut(Duration) -> bool) {
        let mut tick = count_up(nanos(now), self.tick);
        let last = count_up(nanos(last), self.tick);
        loop {
            let soonest = tick + 1;
            tick = self.next_tick(soonest).map_or(last, |next| next.min(last)).max(soonest);
            self.run_tick(tick);
            let end = Duration::from_nanos(tick * self.tick);
            self.shared.set_clock(end);
            self.carry(end);
            if after(end) {
                return;
            }
        }
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
        self.shared.by_force(host, || actor.process = None);
        actor.runner.alarm.forget();
    }

    fn boot(&mut self, host: HostId) {
        self.wakes.make_ready(host);
    }
}
