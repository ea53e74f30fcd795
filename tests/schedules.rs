//! Laws of every run, over generated fault schedules: packets add up, times never go back, causes come before what they
//! caused, the same seed gives the same run, and the checks of echo hold.

use std::fmt::Write as _;
use std::time::Duration;

use proptest::prelude::*;
use proptest::test_runner::FileFailurePersistence;
use stormglass::rng::Seed;
use stormglass::script::Script;
use stormglass::sim::trace::What;
use stormglass::sim::{Outcome, RunOptions, Verdict, run};
use stormglass::systems::echo::Echo;

/// One step of a script, as text.
fn step() -> impl Strategy<Value = String> {
    let host = prop::sample::select(vec!["server", "c1", "c2"]);
    let action = prop_oneof![
        Just("partition = [['server', 'c1'], ['c2']]".to_owned()),
        Just("partition = [['server'], ['c*']]".to_owned()),
        (host.clone(), host.clone())
            .prop_filter("another", |(a, b)| a != b)
            .prop_map(|(a, b)| format!("cut = {{ from = '{a}', to = '{b}' }}")),
        Just("kill = 'server'".to_owned()),
        Just("power = 'server'".to_owned()),
        host.prop_map(|host| format!("pause = '{host}'")),
        (0_u32..60).prop_map(|loss| format!("link = {{ between = ['*'], loss = 0.{loss:02} }}")),
        (1_u32..200).prop_map(|ms| format!("link = {{ between = ['*'], latency = '0ms..{ms}ms' }}")),
        Just("hold = { message = 'answer', count = 5 }".to_owned()),
        Just("drop = { message = 'request', count = 3 }".to_owned()),
    ];
    (0_u32..4000, 1_u32..2000, action)
        .prop_map(|(at, lasts, action)| format!("at = '{at}ms'\n{action}\nfor = '{lasts}ms'\nmay_be_inert = true"))
}

fn script() -> impl Strategy<Value = String> {
    let transport = prop::sample::select(vec!["tcp", "udp"]);
    let weather = (0_u32..30, 0_u32..30, 0_u32..10, 1_u32..30);
    (transport, weather, prop::collection::vec(step(), 0..8)).prop_map(|(transport, weather, mut steps)| {
        steps.sort_by_key(|step| at_of(step));
        let (loss, duplicate, corrupt, latency) = weather;
        let mut text = format!(
            "about = 'generated'\nsystem = 'echo'\nduration = '600s'\n\
             [echo]\ntransport = '{transport}'\nclients = 2\nrequests = 60\ninterval = '50ms'\npipeline = 3\n\
             timeout = '300ms'\nretries = 2000\n\
             [network]\nlatency = '1ms..{latency}ms'\nloss = 0.{loss:02}\nduplicate = 0.{duplicate:02}\ncorrupt = 0.{corrupt:02}\n"
        );
        for step in steps {
            let _ = writeln!(text, "[[step]]\n{step}");
        }
        text
    })
}

fn at_of(step: &str) -> u32 {
    let digits: String = step.chars().skip_while(|c| !c.is_ascii_digit()).take_while(char::is_ascii_digit).collect();
    digits.parse().expect("a step begins with its time")
}

fn simulate(text: &str, seed: u64, keep_records: bool) -> Outcome {
    let script = Script::parse("generated.toml", text).unwrap_or_else(|error| panic!("{error}"));
    let options = RunOptions { keep_records, watch: None };
    run(&Echo, &script, Seed(seed), &options).unwrap_or_else(|error| panic!("{error}"))
}

/// What is true of every run.
fn assert_laws(outcome: &Outcome) {
    let p = outcome.packets;
    assert_eq!(p.sent + p.retransmitted + p.duplicated, p.delivered + p.lost + p.in_flight, "{p:?}");
    let records = &outcome.trace.as_ref().expect("the records are kept").records;
    assert_eq!(records.len() as u64, outcome.records);
    let mut last = Duration::ZERO;
    for (record, number) in records.iter().zip(0..) {
        assert_eq!(record.number, number);
        assert!(record.at >= last, "record {number} goes back in time");
        assert!(record.cause.is_none_or(|cause| cause.record < number), "record {number} comes before its cause");
        last = record.at;
    }
    let delivered = records.iter().filter(|record| matches!(record.what, What::Delivered { .. })).count();
    assert_eq!(delivered as u64, p.delivered);
}

proptest! {
    #![proptest_config(ProptestConfig {
        cases: crate::by_day(24, 2_000),
        failure_persistence: Some(Box::new(FileFailurePersistence::Direct("seeds/proptest/schedules.txt"))),
        ..ProptestConfig::default()
    })]

    #[test]
    fn laws_hold_under_any_schedule(text in script(), seed in 0..1_000_000_u64) {
        let outcome = simulate(&text, seed, true);
        assert_laws(&outcome);
        prop_assert_eq!(&outcome.verdict, &Verdict::Pass, "seed {} of\n{}", seed, text);
        let again = simulate(&text, seed, false);
        prop_assert_eq!(outcome.hash, again.hash, "seed {} of\n{}", seed, text);
    }
}
