//! The relay: all packets between the hosts of a live run pass through it, and meet the fates that a simulated run has
//! for them.
//!
//! A thread of its own holds the devices of all hosts. It reads a packet, asks [`Links`] what becomes of it (keyed by the
//! seed, the link, the direction and the packet's number on it: [`carry`]), keeps it until it is due, and writes it to
//! its receiver's device. It waits in `ppoll` until shortly before the next packet is due, and looks at the clock all the
//! time from then on, since the kernel wakes nobody to the microsecond. How late it is all the same is its [`Lateness`].
//!
//! It tells of all it does, with times, and never waits for who hears it.

mod carry;
mod flows;
mod lateness;
mod packet;

use std::io;
use std::net::Ipv4Addr;
use std::num::NonZero;
use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread::JoinHandle;
use std::time::Duration;

use bytes::Bytes;
use rustix::event::{EventfdFlags, PollFd, PollFlags, Timespec, eventfd, poll};

use thread_priority::{
    RealtimeThreadSchedulePolicy, ThreadPriority, ThreadPriorityValue, ThreadSchedulePolicy,
    set_thread_priority_and_policy, thread_native_id,
};

use crate::rng::Seed;
use crate::script::{LinkRule, LinkSettings, MessageRule, PacketRule};
use crate::sim::trace::{HostId, Label, LossReason, Packet};

use super::wall::{self, Clock};
use carry::Carrier;

pub use lateness::Lateness;

/// How long before a packet is due the relay stops sleeping. A sleep is longer than asked by about as much.
const AWAKE: Duration = Duration::from_micros(80);
/// How many packets of one device are read before the clock is looked at again.
const AT_ONCE: usize = 16;
/// Among what is urgent, in percent.
const PRIORITY: u8 = 60;
const PACKET_BYTES_MAX: usize = 1 << 16;

/// Names packets.
pub(super) type Namer = Arc<dyn Fn(&Packet) -> Option<Label> + Send + Sync>;

/// What a relay is made of.
pub(super) struct Design {
    pub(super) clock: Clock,
    pub(super) seed: Seed,
    pub(super) names: Vec<String>,
    pub(super) addresses: Vec<Ipv4Addr>,
    /// The device of each host; behind them the observer's, which is no host.
    pub(super) devices: Vec<OwnedFd>,
    pub(super) network: LinkSettings,
    pub(super) links: Vec<LinkRule>,
    pub(super) packets: Vec<PacketRule>,
    pub(super) steps: usize,
    pub(super) namer: Namer,
}

/// What a relay is told to do. A step is named by its place.
pub(super) enum Order {
    Cut {
        step: usize,
        from: HostId,
        to: HostId,
    },
    Uncut {
        step: usize,
        from: HostId,
        to: HostId,
    },
    Change {
        step: usize,
        rule: LinkRule,
    },
    Unchange {
        step: usize,
    },
    AddRule {
        step: usize,
        rule: MessageRule,
        holds: bool,
    },
    RemoveRule {
        step: usize,
    },
    /// Ends all holds.
    Release {
        step: usize,
    },
    /// Ends all link changes, holds and drops of steps.
    Heal {
        step: usize,
    },
    /// The machine is without power: nothing comes from it or to it.
    Off(HostId),
    /// It has power again, and another device.
    On(HostId, OwnedFd),
    End,
}

/// What a relay tells, each with the time by its clock.
pub(super) enum Told {
    /// A host has sent a packet; it is as it was on the wire.
    Sent {
        at: Duration,
        packet: Box<Packet>,
        wire: Bytes,
        is_again: bool,
    },
    Lost {
        at: Duration,
        packet: u64,
        reason: LossReason,
    },
    Duplicated {
        at: Duration,
        packet: u64,
        copy: u64,
    },
    Corrupted {
        at: Duration,
        packet: u64,
        bit: u64,
    },
    Held {
        at: Duration,
        packet: u64,
    },
    Released {
        at: Duration,
        packet: u64,
    },
    Delivered {
        at: Duration,
        packet: u64,
        to: HostId,
    },
}

/// What there is to say of a relay at its end.
#[derive(Default)]
pub(super) struct Summary {
    pub(super) lateness: Lateness,
    /// Steps that have done something.
    pub(super) acted: Vec<usize>,
    /// Packets that were under way, or held.
    pub(super) in_flight: u64,
    /// The script's fates for single packets: how many came to pass, and the first that did not.
    pub(super) met: u64,
    pub(super) unmet: Option<String>,
    /// Packets that were for no host, or not of IPv4.
    pub(super) stray: u64,
    /// What the relay held: hosts that still live are not to see their network vanish.
    pub(super) devices: Vec<OwnedFd>,
}

/// A relay at work.
pub(super) struct Relay {
    orders: Sender<Order>,
    wake: Arc<OwnedFd>,
    thread: Option<JoinHandle<Summary>>,
}

impl Relay {
    /// Starts one; what it does is told to `told`.
    pub(super) fn start(design: Design, told: impl Fn(Told) + Send + 'static) -> io::Result<Self> {
        let (orders, receiver) = channel();
        let wake = Arc::new(eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK)?);
        for device in &design.devices {
            rustix::io::ioctl_fionbio(device, true)?;
        }
        let woken = wake.clone();
        let thread = wall::thread("relay", move || run(design, &receiver, &woken, &told))?;
        Ok(Self { orders, wake, thread: Some(thread) })
    }

    pub(super) fn order(&self, order: Order) {
        // It lives until it is told to end.
        if self.orders.send(order).is_ok() {
            let _ = rustix::io::write(&*self.wake, &1_u64.to_ne_bytes());
        }
    }

    /// Ends it.
    pub(super) fn end(mut self) -> Summary {
        self.order(Order::End);
        self.thread.take().and_then(|thread| thread.join().ok()).unwrap_or_default()
    }
}

impl Drop for Relay {
    fn drop(&mut self) {
        if let Some(thread) = self.thread.take() {
            self.order(Order::End);
            let _ = thread.join();
        }
    }
}

fn run(design: Design, orders: &Receiver<Order>, wake: &OwnedFd, told: &dyn Fn(Told)) -> Summary {
    // Little work, and late packets are wrong packets. Where it may not go first, it goes when it can.
    let _ = rustix::thread::set_current_timer_slack(NonZero::new(1));
    go_first();
    let clock = design.clock;
    let mut carrier = Carrier::new(design, told);
    let mut buffer = vec![0; PACKET_BYTES_MAX];
    loop {
        carrier.deliver_due();
        let readable = wait(&carrier, clock, wake);
        if readable.first().copied().unwrap_or_default() {
            let mut count = [0; 8];
            let _ = rustix::io::read(wake, &mut count);
            while let Ok(order) = orders.try_recv() {
                if matches!(order, Order::End) {
                    return carrier.summary();
                }
                carrier.obey(order);
            }
        }
        for place in (0..carrier.devices.len()).filter(|place| readable.get(place + 1).copied().unwrap_or_default()) {
            for _ in 0..AT_ONCE {
                match rustix::io::read(&carrier.devices[place], &mut buffer[..]) {
                    Ok(length) if length > 0 => carrier.take(place, &buffer[..length]),
                    _ => break,
                }
            }
        }
    }
}

/// Lets this thread run whenever it can, before all that is not urgent.
fn go_first() {
    let policy = ThreadSchedulePolicy::Realtime(RealtimeThreadSchedulePolicy::Fifo);
    let priority = ThreadPriorityValue::try_from(PRIORITY).map(ThreadPriority::Crossplatform);
    let urgent = priority.map(|priority| set_thread_priority_and_policy(thread_native_id(), priority, policy));
    if !matches!(urgent, Ok(Ok(()))) {
        let _ = rustix::process::setpriority_process(None, -20);
    }
}

/// Waits until there is something to do: for orders, first, and for each device, whether it has something to read.
fn wait(carrier: &Carrier<'_>, clock: Clock, wake: &OwnedFd) -> Vec<bool> {
    let left = carrier.next_due().map(|due| due.saturating_sub(clock.now() + AWAKE));
    let timeout = left.map(|left| Timespec {
        tv_sec: i64::try_from(left.as_secs()).unwrap_or(i64::MAX),
        tv_nsec: left.subsec_nanos().into(),
    });
    // Of a host without power there is nothing to read, but an error for ever: it is not waited for.
    let of = |place: usize, device| if carrier.is_off(place) { wake } else { device };
    let devices = carrier.devices.iter().enumerate();
    let of_devices = devices.map(|(place, device)| PollFd::new(of(place, device), PollFlags::IN));
    let mut fds: Vec<PollFd<'_>> = std::iter::once(PollFd::new(wake, PollFlags::IN)).chain(of_devices).collect();
    match poll(&mut fds, timeout.as_ref()) {
        Ok(_) => fds.iter().map(|fd| fd.revents().contains(PollFlags::IN)).collect(),
        Err(_) => Vec::new(),
    }
}
