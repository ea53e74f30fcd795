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

use std::cell::RefCell;
use std::cmp::Reverse;
use std::collections::BinaryHeap;
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
use crate::sim::ticks;
use crate::sim::trace::HostId;

use super::Lane;
use socket::Mailbox;

pub use host::{CoreHost, CoreTime};
pub use socket::{CoreNet, CoreSocket};

/// A host's root future in this lane.
pub(in crate::sim) type Life = Pin<Box<dyn Future<Output = HostResult>>>;

/// Makes a host's root future, at its start and at every restart.
pub(in crate::sim) type CoreFactory = Box<dyn FnMut(CoreHost) -> Life>;

pub(in crate::sim) struct CoreLane {
    shared: Rc<Shared>,
    actors: Vec<Actor>,
    /// When hosts want to be woken: at most one entry of each is of use, the one that its actor knows of.
    wakes: BinaryHeap<Reverse<(Duration, u16)>>,
    /// Hosts that have something to do in the next step from its beginning.
    ready: Vec<u16>,
}

/// A host with what runs it.
struct Actor {
    runner: Runner,
    process: Option<Process>,
    stir: Arc<Stir>,
    waker: Waker,
    is_ready: bool,
    /// The time of its entry in the queue of wakes.
    queued: Option<Duration>,
}

/// Runs a host's processes.
struct Runner {
    control: Rc<Control>,
    factory: RefCell<CoreFactory>,
    mailbox: Rc<Mailbox>,
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
        let host = CoreHost::new(&self.control, start, self.mailbox.clone());
        let life = because(Some(record.into()), || (self.factory.borrow_mut())(host));
        Process { life, thread: Thread::new(Some(record.into()), self.control.shared.now()) }
    }

    fn run(&self, process: &mut Process, cx: &mut Context<'_>) -> Option<End> {
        // Whatever waits for a time says so again when it is polled.
        self.mailbox.forget_wake();
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
    pub(in crate::sim) fn new(shared: Rc<Shared>) -> Self {
        Self { shared, actors: Vec::new(), wakes: BinaryHeap::new(), ready: Vec::new() }
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
        let runner = Runner { control, factory: RefCell::new(factory), mailbox: Rc::default() };
        self.actors.push(Actor { runner, process: None, stir, waker, is_ready: false, queued: None });
        self.make_ready(host);
    }

    /// The host has something to do from the beginning of the next step.
    fn make_ready(&mut self, HostId(host): HostId) {
        if !std::mem::replace(&mut self.actors[usize::from(host)].is_ready, true) {
            self.ready.push(host);
        }
    }

    /// The first time that a host wants to be woken at. Entries that are out of date are put right on the way.
    fn next_wake(&mut self) -> Option<Duration> {
        loop {
            let Reverse((at, host)) = *self.wakes.peek()?;
            let actor = &mut self.actors[usize::from(host)];
            let wanted = actor.runner.mailbox.wake();
            let is_queued = actor.queued == Some(at);
            if is_queued && wanted == Some(at) {
                return Some(at);
            }
            self.wakes.pop();
            if is_queued {
                actor.queued = wanted;
                self.wakes.extend(wanted.map(|wanted| Reverse((wanted, host))));
            }
        }
    }

    /// Runs one host from a time to the end of the step, or to when it has nothing to do any more.
    fn run_host(&mut self, host: u16, from: Duration, to: Duration) {
        let actor = &mut self.actors[usize::from(host)];
        let woken = actor.runner.mailbox.wake();
        let mut at = if std::mem::take(&mut actor.is_ready) { Some(from) } else { woken.map(|at| at.max(from)) };
        while let Some(now) = at.filter(|at| *at < to) {
            self.shared.set_clock(now);
            let mut cx = Context::from_waker(&actor.waker);
            actor.runner.control.turn(&actor.runner, &mut actor.process, &mut cx);
            // One that stands still or is dead is not woken by time. When that changes, it is stirred.
            if actor.process.is_none() || actor.runner.control.wanted() != Wanted::Running {
                actor.runner.mailbox.forget_wake();
            }
            at = actor.runner.mailbox.wake();
        }
        self.shared.set_clock(from);
        self.queue_wake(host);
    }

    /// Sees to it that the host is woken when it wants to be. A wake that was moved on has its entry moved when that is
    /// met: most are moved on again before.
    fn queue_wake(&mut self, host: u16) {
        let actor = &mut self.actors[usize::from(host)];
        let Some(wanted) = actor.runner.mailbox.wake() else { return };
        if actor.queued.is_none_or(|queued| wanted < queued) {
            actor.queued = Some(wanted);
            self.wakes.push(Reverse((wanted, host)));
        }
    }
}

impl Lane for CoreLane {
    fn next_step(&mut self, now: Duration, tick: Duration) -> Option<Duration> {
        let soonest = now + tick;
        if !self.ready.is_empty() {
            return Some(soonest);
        }
        let woken = self.next_wake().map(|at| ticks::down(at, tick) + tick);
        let due = self.shared.wire.borrow().next_due();
        woken.into_iter().chain(due).min().map(|at| at.max(soonest))
    }

    fn run_hosts(&mut self, from: Duration, to: Duration) -> Result<(), String> {
        self.shared.wire.borrow_mut().begin_step(to, to - from);
        let mut turns = std::mem::take(&mut self.ready);
        while let Some(at) = self.next_wake().filter(|at| *at < to) {
            let Some(Reverse((_, host))) = self.wakes.pop() else { break };
            let actor = &mut self.actors[usize::from(host)];
            actor.queued = None;
            if !actor.is_ready {
                turns.push(host);
            }
            assert!(at >= from, "nobody is woken late");
        }
        turns.sort_unstable();
        for host in &turns {
            self.run_host(*host, from, to);
        }
        // Nobody has become ready meanwhile; the list is kept for its room.
        turns.clear();
        self.ready = turns;
        Ok(())
    }

    fn absorb(&mut self, _: Duration) {}

    fn disturbed(&mut self, now: Duration) {
        self.shared.wire.borrow_mut().queue_again(now);
        for host in 0..u16::try_from(self.actors.len()).expect("hosts are numbered in 16 bits") {
            if self.actors[usize::from(host)].stir.0.swap(false, Ordering::Relaxed) {
                self.make_ready(HostId(host));
            }
        }
    }

    fn carry(&mut self, now: Duration) {
        let shared = self.shared.clone();
        let mut wire = shared.wire.borrow_mut();
        while let Some(flight) = wire.arrives(&shared, now) {
            let packet = flight.packet;
            let actor = &self.actors[usize::from(packet.to.0)];
            actor.runner.mailbox.deliver(packet.dst.port(), packet.payload, packet.src);
            self.make_ready(packet.to);
        }
    }

    fn crash(&mut self, host: HostId) {
        let actor = &mut self.actors[usize::from(host.0)];
        actor.process = None;
        actor.runner.mailbox.forget_wake();
    }

    fn boot(&mut self, host: HostId) {
        self.make_ready(host);
    }
}
