//! The network model against closed form: what the script asked for is what was measured.

#![allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "small numbers, of a test's own making")]

mod actions;
mod calm;
mod datagrams;
mod direct;
mod fates;
mod hosts;
mod inert;
mod page;
mod processes;
mod setup;
mod stop;
mod tcp;
mod tcp_limits;

use std::time::Duration;

use stormglass::rng::Seed;
use stormglass::script::{Script, ScriptError};
use stormglass::sim::System;
use stormglass::sim::trace::{Label, Packet, Record, What};
use stormglass::sim::{Events, Outcome, RunOptions, Setup, run};

/// A system made of a closure, for one test.
struct Bench<F>(F);

impl<F: Fn(&mut Setup<'_>) + Sync> System for Bench<F> {
    fn name(&self) -> &'static str {
        "bench"
    }

    fn about(&self) -> &'static str {
        "a test's own hosts"
    }

    /// Datagrams and segments are named after their first word.
    fn label(&self, packet: &Packet) -> Option<Label> {
        let text = std::str::from_utf8(&packet.payload).ok()?;
        let name = text.split_whitespace().next()?.to_owned();
        Some(Label { name, detail: String::new() })
    }

    fn build(&self, setup: &mut Setup<'_>) -> Result<(), ScriptError> {
        (self.0)(setup);
        Ok(())
    }
}

/// Runs hosts under a script: `rest` is what follows the script's first lines.
fn simulate(seed: u64, rest: &str, build: impl Fn(&mut Setup<'_>) + Sync + 'static) -> Outcome {
    let text = format!("about = \"a test\"\nsystem = \"bench\"\n{rest}");
    let script = Script::parse("test.toml", &text).unwrap_or_else(|error| panic!("{error}"));
    let system: &'static Bench<_> = Box::leak(Box::new(Bench(build)));
    let options = RunOptions { keep_records: true, watch: None };
    run(system, &script, Seed(seed), &options).unwrap_or_else(|error| panic!("{error}"))
}

/// Writes into the trace that `name` happened, and how much of it.
fn note(events: &Events, name: &'static str, amount: u64) {
    events.event(name, vec![("n", amount.into())]);
    events.work(1);
}

fn ms(value: u64) -> Duration {
    Duration::from_millis(value)
}

fn records(outcome: &Outcome) -> &[Record] {
    &outcome.trace.as_ref().expect("the records are kept").records
}

/// Times and amounts of the events of this name.
fn notes(outcome: &Outcome, wanted: &str) -> Vec<(Duration, u64)> {
    let of_name = |record: &Record| match &record.what {
        What::Event { name, fields } if *name == wanted => {
            let amount = fields[0].1.to_string().parse().expect("a number");
            Some((record.at, amount))
        }
        _ => None,
    };
    records(outcome).iter().filter_map(of_name).collect()
}

/// The texts of the events of this name.
fn texts(outcome: &Outcome, wanted: &str) -> Vec<String> {
    let of_name = |record: &Record| match &record.what {
        What::Event { name, fields } if *name == wanted => Some(fields[0].1.to_string()),
        _ => None,
    };
    records(outcome).iter().filter_map(of_name).collect()
}

/// Every transmission is accounted for.
fn assert_adds_up(outcome: &Outcome) {
    let p = outcome.packets;
    assert_eq!(p.sent + p.retransmitted + p.duplicated, p.delivered + p.lost + p.in_flight, "{p:?}");
}

/// A share of `n` trials with chance `p` lies within five standard deviations of `p`.
fn assert_share(hits: u64, n: u64, p: f64) {
    let share = hits as f64 / n as f64;
    let sigma = (p * (1.0 - p) / n as f64).sqrt();
    assert!((share - p).abs() <= 5.0 * sigma, "{hits} of {n} is {share}, asked for {p}");
}
