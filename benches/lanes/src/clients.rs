//! A replicated log with clients, in the testbed's two lanes, with all invariants on: 3 nodes, and 4 clients that write all
//! the time. A call takes four ways of a millisecond, two of them to the followers and back, so that there are 1,000 committed
//! writes in a simulated second.

use std::time::Instant;

use stormglass::rng::Seed;
use stormglass::script::{Lane, Script};
use stormglass::sim::{RunOptions, run};
use stormglass::systems::raft::Raft;

use crate::{SEED, median};

/// Committed writes in a simulated second, and how many may be missing while the first leader is elected.
const WRITES_A_SECOND: u64 = 1_000;
const MISSING_MAX: f64 = 0.02;

fn script(lane: Lane, seconds: u64) -> Script {
    let text = format!(
        "about = 'a benchmark'\nsystem = 'raft'\nduration = '{seconds}s'\n[raft]\nnodes = 3\n[raft.clients]\ncount = 4\n\
         think = '0ms'\nmix = {{ get = 0, put = 1, delete = 0, cas = 0, append = 0 }}\n[network]\nlatency = '1ms'\n\
         [expect]\nleader = 'any'\n"
    );
    let script = Script::parse("clients.toml", &text).expect("the script is right");
    Script { lane: Some(lane), ..script }
}

/// Committed entries, and the wall time in seconds.
fn simulate(lane: Lane, seconds: u64) -> (u64, f64) {
    let began = Instant::now();
    let outcome = run(&Raft, &script(lane, seconds), Seed(SEED), &RunOptions::default()).expect("the run begins");
    let wall = began.elapsed().as_secs_f64();
    assert!(outcome.verdict.finding().is_none(), "{:?}", outcome.verdict);
    let commits = outcome.counters.get("commits").copied().unwrap_or_default();
    let due = (seconds * WRITES_A_SECOND) as f64;
    let is_due = (commits as f64 / due - 1.0).abs() <= MISSING_MAX;
    assert!(is_due, "{commits} commits in {seconds} simulated seconds, and not {WRITES_A_SECOND} in each");
    (commits, wall)
}

/// The table, by turns.
pub fn compare(rounds: usize, seconds: u64) {
    let lanes = [("turmoil lane", Lane::Turmoil), ("core lane", Lane::Core)];
    let mut walls = [const { Vec::new() }; 2];
    let mut commits = 0;
    for round in 0..=rounds {
        for (place, (_, lane)) in lanes.into_iter().enumerate() {
            let (made, wall) = simulate(lane, seconds);
            commits = made;
            // The first round warms up.
            if round > 0 {
                walls[place].push(wall);
            }
        }
    }
    println!("3 nodes, 4 clients, {seconds} simulated seconds, all invariants on, medians of {rounds} rounds\n");
    println!("{:14} {:>14} {:>12} {:>12}", "", "sim s / wall s", "commits", "us a commit");
    for (place, (name, _)) in lanes.into_iter().enumerate() {
        let wall = median(&mut walls[place]);
        println!("{name:14} {:14.1} {commits:12} {:12.1}", seconds as f64 / wall, wall * 1e6 / commits as f64);
    }
}
