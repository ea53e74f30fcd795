//! Steps that only the system understands.

use std::cell::Cell;
use std::rc::Rc;

use serde::Deserialize;
use stormglass::rng::Seed;
use stormglass::script::Script;
use stormglass::sim::trace::What;
use stormglass::sim::{RunOptions, Setup, run};

use super::{Bench, ms, note, notes, records, simulate};

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Add {
    add: u64,
}

/// A host that waits, and steps that add to a number.
fn adder(setup: &mut Setup<'_>) {
    setup.host("n1", |_| std::future::pending());
    let total = Rc::new(Cell::new(0));
    let seen = total.clone();
    setup.state("three", move || seen.get() >= 3);
    let small = |says: &Add, table: &stormglass::script::Section| match says.add {
        0..10 => Ok(()),
        _ => Err(table.error("add", "this is too much")),
    };
    let added = setup.actions(small, move |says: Add, events| {
        total.set(total.get() + says.add);
        note(events, "total", total.get());
    });
    added.unwrap_or_else(|error| panic!("{error}"));
}

#[test]
fn they_are_carried_out_when_they_fire() {
    let rest = "duration = '1s'\n[[step]]\nat = '10ms'\nbench = { add = 2 }\n[[step]]\nwhen = 'three'\nkill = 'n1'\n\
                [chaos]\nuntil = '100ms'\nfamilies = ['loss']\n";
    let outcome = simulate(1, rest, adder);
    assert_eq!(notes(&outcome, "total"), [(ms(10), 2)]);
    let rest = "duration = '1s'\n[[step]]\nat = '10ms'\nbench = { add = 2 }\n[[step]]\nwhen = 'three'\nkill = 'n1'\n\
                [[step]]\nbench = { add = 5 }\n";
    assert_eq!(notes(&simulate(1, rest, adder), "total"), [(ms(10), 2)], "a step waits for the one before it");
    let rest = "duration = '1s'\n[[step]]\nat = '10ms'\nbench = { add = 2 }\n[[step]]\nafter = '5ms'\nbench.add = 1\n\
                [[step]]\nwhen = 'three'\nkill = 'n1'\n";
    let outcome = simulate(1, rest, adder);
    assert_eq!(notes(&outcome, "total"), [(ms(10), 2), (ms(15), 3)]);
    let faults: Vec<String> = records(&outcome)
        .iter()
        .filter_map(|record| match &record.what {
            What::Fault { step, action } => Some(format!("{} {step} {action}", record.at.as_millis())),
            _ => None,
        })
        .collect();
    assert_eq!(faults, ["10 1 bench add = 2", "15 2 bench add = 1", "15 3 kill n1"]);
    let counted: Vec<_> = outcome.faults.iter().map(|(name, count)| (name.as_str(), *count)).collect();
    assert_eq!(counted, [("kill", 1)], "what a system does to itself is no fault");
    assert_eq!(outcome.hash, simulate(1, rest, adder).hash);
}

/// The error of a run that may not begin.
fn refusal(step: &str, build: impl Fn(&mut Setup<'_>) + Sync + 'static) -> String {
    let text = format!("about = 'a test'\nsystem = 'bench'\nduration = '1s'\n[[step]]\nheal = true\n[[step]]\n{step}");
    let script = Script::parse("test.toml", &text).unwrap_or_else(|error| panic!("{error}"));
    let system: &'static Bench<_> = Box::leak(Box::new(Bench(build)));
    match run(system, &script, Seed(1), &RunOptions::default()) {
        Ok(outcome) => panic!("it ran: {outcome:?}"),
        Err(error) => error.to_string(),
    }
}

#[test]
fn a_system_without_steps_of_its_own_refuses_them() {
    let error = refusal("at = '5ms'\nbench = { add = 1 }", |setup| setup.host("n1", |_| std::future::pending()));
    let expected = "test.toml:8:9: `bench` in [[step]] number 2: system `bench` has no steps of its own\n";
    assert!(error.starts_with(expected), "{error}");
}

#[test]
fn they_are_validated_before_the_run_begins() {
    // A bench cannot pass its error on: what it would have passed is what it panics with.
    for (step, expected) in [
        ("bench = { add = 10 }", "test.toml:7:17: `bench.add` in [[step]] number 2: this is too much\n"),
        ("at = '999ms'\nbench = { ad = 1 }", "test.toml:8:11: unknown key `ad` in `bench` in [[step]] number 2\n"),
    ] {
        let refused = std::panic::catch_unwind(|| refusal(step, adder)).expect_err("it is refused");
        let message = refused.downcast::<String>().expect("a text");
        assert!(message.starts_with(expected), "{message}");
    }
}
