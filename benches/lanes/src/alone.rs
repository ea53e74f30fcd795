//! The same core with a queue and nothing else: no driver, no bytes, no records, no hash, no checks. Nothing that steps this
//! core from event to event can be quicker by much, whatever else it leaves out.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap};
use std::time::{Duration, Instant};

use stormglass::raft::{Core, HardState, Input, LogPosition, Message, NodeId, Output};
use stormglass::rng::Seed;

use crate::{Made, NODES, SEED, config};

/// The purposes of draws.
const LOSS: u64 = 1;
const LATENCY: u64 = 2;

#[derive(Default)]
struct Network {
    /// When each message arrives, and its number.
    due: BinaryHeap<Reverse<(Duration, u64)>>,
    messages: BTreeMap<u64, (NodeId, NodeId, Message)>,
    sent: u64,
}

impl Network {
    fn send(&mut self, now: Duration, from: NodeId, to: NodeId, message: Message) {
        let number = self.sent;
        self.sent += 1;
        if Seed(SEED).draw_unit(&[LOSS, from.0, to.0, number]) < 0.01 {
            return;
        }
        let share = Seed(SEED).draw_unit(&[LATENCY, from.0, to.0, number]);
        let latency = Duration::from_millis(1) + Duration::from_nanos((4e6 * share) as u64);
        self.due.push(Reverse((now + latency, number)));
        self.messages.insert(number, (from, to, message));
    }
}

pub fn simulate(seconds: u64) -> Made {
    let began = Instant::now();
    let core = |id: NodeId| {
        let rng = Seed(SEED).stream(&format!("host {id} 0"));
        Core::new(id, config(NODES), HardState::default(), LogPosition::default(), rng, Duration::ZERO)
            .expect("the settings make sense")
    };
    let mut cores: Vec<Core> = (1..=NODES).map(NodeId).map(core).collect();
    let (mut network, until) = (Network::default(), Duration::from_secs(seconds));
    loop {
        let timers = cores.iter().enumerate().filter_map(|(place, core)| Some((core.deadline()?, place)));
        let (deadline, place) = timers.min().expect("somebody waits for a time");
        let arrival = network.due.peek().map(|Reverse((at, _))| *at).filter(|at| *at <= deadline);
        let now = arrival.unwrap_or(deadline);
        if now > until {
            break;
        }
        let (place, input) = if arrival.is_some() {
            let Reverse((_, number)) = network.due.pop().expect("it was there");
            let (from, to, message) = network.messages.remove(&number).expect("it is on its way");
            (usize::try_from(to.0 - 1).expect("a small cluster"), Input::Message { from, message })
        } else {
            (place, Input::Tick)
        };
        let mut outputs = cores[place].step(now, input);
        let from = cores[place].id();
        for output in outputs.drain(..) {
            if let Output::Send { to, message } = output {
                network.send(now, from, to, message);
            }
        }
        cores[place].reuse(outputs);
    }
    Made { messages: network.sent, wall: began.elapsed() }
}
