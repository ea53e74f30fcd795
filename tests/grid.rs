//! No check fails a Raft that is right: every check over the settings that people have, and the steps that they write.
//!
//! Each case is drawn by its number: links of 0.1 to 300 ms, election timeouts that fit them well, or barely, or are a few
//! times the worst of what they have to outlast; disks of 0 to 100 ms, clocks up to 10 % apart, 1 to 9 nodes, losses of 0 to
//! 20 %, every option on and off, and steps. A run passes, or says why it says nothing. `GRID_CASES=50000` makes so many
//! (`GRID_FROM=…` begins elsewhere), as happens every night.
#![allow(
    clippy::disallowed_types,
    clippy::disallowed_methods,
    missing_docs,
    reason = "threads and the environment are this test's, not a run's"
)]

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;

use rand::Rng as _;
use stormglass::rng::{Rng, Seed};
use stormglass::script::Script;
use stormglass::sim::{RunOptions, Verdict, run};
use stormglass::systems::raft::Raft;

/// Some 20 seconds' worth without optimisation.
const CASES: u64 = 400;

/// Cases that once failed, of many that were made by night.
const FAILED: [u64; 2] = [3_494, 34_147];

/// A number between two, small ones as likely as large ones.
fn log_uniform(rng: &mut Rng, from: f64, to: f64) -> f64 {
    from * (to / from).powf(rng.random_range(0.0..1.0))
}

fn pick<T: Copy>(rng: &mut Rng, of: &[T]) -> T {
    of[rng.random_range(0..of.len())]
}

/// A case: all times in microseconds.
struct Case {
    rng: Rng,
    nodes: u64,
    timeout: (f64, f64),
}

#[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "some seconds")]
fn us(time: f64) -> String {
    format!("{}us", (time as u64).max(1))
}

/// The script of a case.
fn script(case: u64) -> String {
    let mut rng = Seed(case).stream("grid");
    let nodes = rng.random_range(1..=9);
    let latency = log_uniform(&mut rng, 100.0, 300_000.0);
    let spread = pick(&mut rng, &[0.0, 0.0, 0.3, 1.0]);
    let sync = if rng.random_bool(0.5) { 0.0 } else { log_uniform(&mut rng, 100.0, 100_000.0) };
    let drift = if rng.random_bool(0.5) { 0.0 } else { rng.random_range(0.0..0.1) };
    let tick = pick(&mut rng, &[1_000.0, 1_000.0, 2_000.0, 5_000.0]);
    // What an election has to wait for.
    let waits = 2.0 * latency * (1.0 + spread) + 2.0 * sync + 2.0 * tick;
    let least = (waits * pick(&mut rng, &[0.4, 1.1, 1.5, 2.0, 3.0, 5.0, 10.0])).max(10_000.0);
    let most = least * pick(&mut rng, &[1.0, 1.2, 2.0, 2.0, 3.0]);
    let heartbeat = least / pick(&mut rng, &[1.5, 2.0, 3.0, 3.0, 5.0, 10.0]);
    let mut text =
        format!("about = 'case {case} of the grid'\nsystem = 'raft'\nlane = 'core'\ntick = '{}'\n", us(tick));
    let mut case = Case { rng, nodes, timeout: (least, most) };
    let (steps, over) = case.steps();
    let duration = over + most * case.rng.random_range(2.0..40.0);
    let _ = write!(text, "duration = '{}'\n[raft]\nnodes = {nodes}\n", us(duration));
    let _ = writeln!(text, "election_timeout = '{}..{}'\nheartbeat = '{}'", us(least), us(most), us(heartbeat));
    for option in ["pre_vote", "check_quorum", "leader_stickiness", "resend"] {
        let _ = writeln!(text, "{option} = {}", case.rng.random_bool(0.7));
    }
    let _ = writeln!(text, "clock_drift = {drift:.4}");
    if case.rng.random_bool(0.2) {
        text.push_str("logs = 'drawn'\n");
    }
    let _ = writeln!(text, "[network]\nlatency = '{}..{}'", us(latency), us(latency * (1.0 + spread)));
    if case.rng.random_bool(0.5) {
        let _ = writeln!(text, "loss = {:.4}", log_uniform(&mut case.rng, 0.001, 0.2));
    }
    if case.rng.random_bool(0.1) {
        let _ = writeln!(text, "duplicate = {:.4}", log_uniform(&mut case.rng, 0.001, 0.2));
    }
    if case.rng.random_bool(0.1) {
        let _ = writeln!(text, "corrupt = {:.4}", log_uniform(&mut case.rng, 0.001, 0.1));
    }
    if sync > 0.0 {
        let from = if case.rng.random_bool(0.5) { sync } else { 0.0 };
        let _ = writeln!(text, "[disk]\nsync = '{}..{}'", us(from), us(sync));
    }
    text + &steps
}

impl Case {
    fn node(&mut self) -> String {
        format!("'n{}'", self.rng.random_range(1..=self.nodes))
    }

    /// The steps, and when the last is over.
    fn steps(&mut self) -> (String, f64) {
        let (mut text, mut at, mut over) = (String::new(), 0.0, 0.0_f64);
        for _ in 0..pick(&mut self.rng, &[0, 0, 1, 1, 2, 3, 5]) {
            at += self.timeout.1 * self.rng.random_range(0.0..6.0);
            let lasts = self.timeout.1 * log_uniform(&mut self.rng, 0.05, 6.0);
            let (action, ends) = self.action();
            let _ = write!(text, "[[step]]\nat = '{}'\n{action}\nmay_be_inert = true\n", us(at));
            if ends && self.rng.random_bool(0.9) {
                let _ = writeln!(text, "for = '{}'", us(lasts));
            }
            over = at + lasts;
        }
        (text, over)
    }

    /// What a step does, and whether it can be undone after a time.
    fn action(&mut self) -> (String, bool) {
        let (node, nodes) = (self.node(), self.nodes);
        let list = |ids: std::ops::RangeInclusive<u64>| ids.map(|id| format!("'n{id}'")).collect::<Vec<_>>().join(", ");
        let kind = self.rng.random_range(0..11);
        match kind {
            0 => (format!("kill = {node}"), true),
            1 => (format!("power = {node}"), true),
            2 => (format!("pause = {node}"), true),
            3 => ("pause = 'n*'".to_owned(), true),
            4 => (format!("restart = {node}"), false),
            5 | 6 => (format!("raft = {{ transfer_to = {node} }}"), false),
            7 if nodes > 1 => {
                let last = self.rng.random_range(1..nodes);
                (format!("partition = [[{}], [{}]]", list(1..=last), list(last + 1..=nodes)), true)
            }
            8 if nodes > 1 => {
                let alone: Vec<String> = (1..=nodes).map(|id| format!("['n{id}']")).collect();
                (format!("partition = [{}]", alone.join(", ")), true)
            }
            9 if nodes > 1 => {
                let from = self.rng.random_range(1..=nodes);
                let to = 1 + (from + self.rng.random_range(0..nodes - 1)) % nodes;
                (format!("cut = {{ from = 'n{from}', to = 'n{to}' }}"), true)
            }
            _ => (format!("disk = {{ hosts = {node}, sync = '{}' }}", us(self.timeout.1)), true),
        }
    }
}

/// What became of the cases: how many by verdict, and what failed.
#[derive(Default)]
struct Tally {
    verdicts: BTreeMap<String, u64>,
    failures: Vec<String>,
}

fn judge(case: u64) -> (String, Option<String>) {
    let text = script(case);
    let script = Script::parse("grid.toml", &text).unwrap_or_else(|error| panic!("{error}\n{text}"));
    let outcome = run(&Raft, &script, Seed(case), &RunOptions::default());
    let outcome = outcome.unwrap_or_else(|error| panic!("{error}\n{text}"));
    match &outcome.verdict {
        Verdict::Pass => ("pass".to_owned(), None),
        Verdict::Inconclusive { reason } => {
            let words: Vec<&str> = reason.split_whitespace().filter(|word| !word.contains(char::is_numeric)).collect();
            (format!("inconclusive: {}", words.join(" ")), None)
        }
        verdict => {
            let finding = verdict.finding().map(ToString::to_string).unwrap_or_default();
            (finding.chars().take(3).collect(), Some(format!("case {case}: {finding}\n{text}")))
        }
    }
}

fn number(name: &str, otherwise: u64) -> u64 {
    std::env::var(name).map_or(otherwise, |text| text.parse().unwrap_or_else(|_| panic!("{name} is no number: {text}")))
}

#[test]
fn no_check_fails_a_raft_that_is_right() {
    let (from, cases) = (number("GRID_FROM", 0), number("GRID_CASES", CASES));
    for case in FAILED {
        let (_, failure) = judge(case);
        assert!(failure.is_none(), "{failure:?}");
    }
    let (next, tally) = (AtomicU64::new(from), Mutex::new(Tally::default()));
    let jobs = thread::available_parallelism().map_or(1, usize::from);
    thread::scope(|scope| {
        for _ in 0..jobs {
            scope.spawn(|| {
                loop {
                    let case = next.fetch_add(1, Ordering::Relaxed);
                    if case >= from + cases {
                        return;
                    }
                    let (verdict, failure) = judge(case);
                    let mut tally = tally.lock().expect("nobody panics with it");
                    *tally.verdicts.entry(verdict).or_default() += 1;
                    tally.failures.extend(failure);
                }
            });
        }
    });
    let Tally { verdicts, failures } = tally.into_inner().expect("nobody panics with it");
    verdicts.iter().for_each(|(verdict, count)| println!("{count:7} {verdict}"));
    let passed = verdicts.get("pass").copied().unwrap_or_default();
    failures.iter().take(20).for_each(|failure| println!("{failure}"));
    assert!(failures.is_empty(), "{} of {cases} cases fail", failures.len());
    assert!(passed * 10 > cases * 7, "only {passed} of {cases} say anything");
}
