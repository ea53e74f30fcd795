//! The same Raft nodes over bare turmoil, in the testbed's two lanes, and over madsim, by turns in one process.
//!
//! Five nodes, heartbeats every 50 ms, latencies of 1 to 5 ms, 1 % loss. The testbed checks all invariants and hashes every
//! record; bare turmoil and madsim check and record nothing, and turmoil loses nothing, for its loss breaks links. On madsim
//! each datagram is signed and verified, as on a wire; the project's driver knows a repeated one again. The last row is what
//! remains when all is left out but the core and a queue. A second table has a replicated log and its clients, in the testbed's
//! lanes.

mod alone;
mod bare;
mod clients;
mod peer;

use std::time::{Duration, Instant};

use stormglass::raft::{Config, NodeId};
use stormglass::rng::Seed;
use stormglass::script::{Lane, Script};
use stormglass::sim::{RunOptions, run};
use stormglass::systems::raft::Raft;

const NODES: u64 = 5;
const SEED: u64 = 7;
const HEARTBEAT: Duration = Duration::from_millis(50);
const PORT: u16 = 7000;

/// What a variant came to: messages that were sent, and the wall time.
struct Made {
    messages: u64,
    wall: Duration,
}

fn config(nodes: u64) -> Config {
    let mut config = Config::new((1..=nodes).map(NodeId));
    config.heartbeat = HEARTBEAT;
    config
}

/// The testbed, in one of its lanes: messages, records, and the wall time.
fn testbed(lane: Lane, nodes: u64, seconds: u64) -> (Made, u64) {
    let text = format!(
        "about = 'a benchmark'\nsystem = 'raft'\nduration = '{seconds}s'\n[raft]\nnodes = {nodes}\nheartbeat = '50ms'\n\
         [network]\nlatency = '1ms..5ms'\nloss = 0.01\n[expect]\nleader = 'any'\n"
    );
    let script = Script::parse("bench.toml", &text).expect("the script is right");
    let script = Script { lane: Some(lane), ..script };
    let began = Instant::now();
    let outcome = run(&Raft, &script, Seed(SEED), &RunOptions::default()).expect("the run begins");
    let wall = began.elapsed();
    assert_eq!(outcome.simulated, Duration::from_secs(seconds), "{:?}", outcome.verdict);
    (Made { messages: outcome.packets.sent, wall }, outcome.records)
}

fn variants() -> [(&'static str, fn(u64) -> Made); 5] {
    [
        ("bare turmoil", bare::simulate),
        ("turmoil lane", |seconds| testbed(Lane::Turmoil, NODES, seconds).0),
        ("madsim", peer::simulate),
        ("core lane", |seconds| testbed(Lane::Core, NODES, seconds).0),
        ("core alone", alone::simulate),
    ]
}

fn median(values: &mut [f64]) -> f64 {
    values.sort_unstable_by(f64::total_cmp);
    values[values.len() / 2]
}

/// The table: by turns, so that whatever else the machine does meets all of them.
fn compare(rounds: usize, seconds: u64) {
    let mut rates = [const { Vec::new() }; 5];
    let mut messages = [0; 5];
    for round in 0..=rounds {
        for (place, (_, simulate)) in variants().into_iter().enumerate() {
            let made = simulate(seconds);
            messages[place] = made.messages;
            // The first round warms up.
            if round > 0 {
                rates[place].push(seconds as f64 / made.wall.as_secs_f64());
            }
        }
    }
    let base = median(&mut rates[0].clone());
    let peer = median(&mut rates[2].clone());
    println!("{NODES} nodes, {seconds} simulated seconds, medians of {rounds} rounds\n");
    println!("{:14} {:>14} {:>12} {:>14} {:>11}", "", "sim s / wall s", "messages", "x bare turmoil", "x madsim");
    for (place, (name, _)) in variants().into_iter().enumerate() {
        let rate = median(&mut rates[place]);
        println!("{name:14} {rate:14.0} {:12} {:14.2} {:11.2}", messages[place], rate / base, rate / peer);
    }
}

/// What a record costs in the core lane, by the number of nodes and by the simulated time.
fn flatness(rounds: usize) {
    println!("\nthe core lane, nanoseconds a record, medians of {rounds} rounds; peak memory of the process so far\n");
    let sizes = [(3, 600), (5, 600), (9, 600), (31, 100), (101, 20), (5, 10), (5, 100), (5, 1_000), (5, 10_000)];
    println!("{:>6} {:>10} {:>12} {:>10} {:>10}", "nodes", "simulated", "records", "ns/record", "peak");
    for (nodes, seconds) in sizes {
        // Short runs are made often enough to be measured.
        let repeats = (2_000 / (seconds * nodes)).max(1);
        let mut costs = Vec::new();
        let mut records = 0;
        for _ in 0..rounds {
            let mut wall = Duration::ZERO;
            for _ in 0..repeats {
                let (made, made_records) = testbed(Lane::Core, nodes, seconds);
                wall += made.wall;
                records = made_records;
            }
            costs.push(wall.as_secs_f64() * 1e9 / (records * repeats) as f64);
        }
        println!("{nodes:6} {seconds:8} s {records:12} {:10.0} {:>10}", median(&mut costs), peak());
    }
}

/// The most memory that the process has had, as the kernel says.
fn peak() -> String {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    let kib = line.and_then(|line| line.trim().trim_end_matches(" kB").parse::<u64>().ok());
    kib.map_or("unknown".to_owned(), |kib| format!("{:.1} MiB", kib as f64 / 1024.0))
}

fn main() {
    let mut arguments = std::env::args().skip(1).map(|argument| argument.parse::<u32>().expect("a number"));
    let rounds = arguments.next().map_or(5, |rounds| rounds as usize);
    let seconds = arguments.next().map_or(600, u64::from);
    flatness(rounds);
    println!();
    compare(rounds, seconds);
    println!();
    clients::compare(rounds, (seconds / 30).max(1));
}
