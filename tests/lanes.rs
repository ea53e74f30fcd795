//! The two lanes are one truth: the same script and seed give the same run in both, record by record. And what is drawn
//! by other seeds has the same distribution.

use std::future::poll_fn;
use std::ops::Range;
use std::task::Poll;
use std::time::Duration;

use stormglass::net::Socket;
use stormglass::rng::Seed;
use stormglass::script::{Lane, Script, ScriptError};
use stormglass::sim::{CoreHost, HostResult, Outcome, RunOptions, Setup, run};
use stormglass::systems::raft::Raft;
use stormglass::{sim::System, systems};

use crate::by_day;

/// How many seeds of each script, and of those whose faults the seed draws, by day and by night.
const SEEDS: [u32; 2] = [1, 20];
const CHAOS_SEEDS: [u32; 2] = [6, 200];

/// Elections in each lane, by day and by night.
const ELECTIONS: [u32; 2] = [600, 10_000];

/// What lasts longer takes seconds in the turmoil lane.
const LONG: Duration = Duration::from_mins(1);

fn in_lane(script: &Script, lane: Lane, seed: u64, keep_records: bool) -> Outcome {
    let script = Script { lane: Some(lane), ..script.clone() };
    let options = RunOptions { keep_records, watch: None };
    run(&Raft, &script, Seed(seed), &options).unwrap_or_else(|error| panic!("{error}"))
}

/// Makes a run in both lanes, and again with all records where they differ, to name the first that does.
fn agree(name: &str, script: &Script, seed: u64) {
    let [turmoil, core] = [Lane::Turmoil, Lane::Core].map(|lane| in_lane(script, lane, seed, false));
    if turmoil.hash != core.hash {
        let records = |lane| in_lane(script, lane, seed, true).trace.expect("the records are kept").records;
        let (turmoil, core) = (records(Lane::Turmoil), records(Lane::Core));
        let first = turmoil.iter().zip(&core).position(|(a, b)| a != b).unwrap_or(turmoil.len().min(core.len()));
        panic!("{name}, seed {seed}: record {first} is {:#?} and {:#?}", turmoil.get(first), core.get(first));
    }
    assert_eq!(turmoil.verdict, core.verdict, "{name}, seed {seed}");
    assert_eq!(turmoil.simulated, core.simulated, "{name}, seed {seed}");
    assert_eq!((turmoil.packets, &turmoil.counters), (core.packets, &core.counters), "{name}, seed {seed}");
    assert_eq!((&turmoil.times, &turmoil.coverage), (&core.times, &core.coverage), "{name}, seed {seed}");
}

fn scripts() -> Vec<(String, Script)> {
    let mut scripts = Vec::new();
    for (name, text) in Raft.sims() {
        let script = Script::parse(name, text).unwrap_or_else(|error| panic!("{error}"));
        for variant in &script.variants {
            let text = variant.apply(text).unwrap_or_else(|error| panic!("{error}"));
            let name = format!("{name}@{}", variant.name);
            let script = Script::parse(&name, &text).unwrap_or_else(|error| panic!("{error}"));
            scripts.push((name, script));
        }
        scripts.push(((*name).to_owned(), script));
    }
    // Those of clients that speak HTTP have one lane.
    scripts.retain(|(_, script)| Raft.script_lacks_in_core_lane(script).is_none());
    scripts
}

#[test]
fn every_script_of_raft_gives_the_same_run_in_both_lanes() {
    // By day those of the figures, which last for minutes, are left to `verify --lanes`.
    let lasts = |script: &Script| std::env::var_os("STORMGLASS_NIGHTLY").is_some() || script.duration <= LONG;
    for (name, script) in scripts().into_iter().filter(|(_, script)| lasts(script)) {
        let [day, night] = if script.chaos.is_some() { CHAOS_SEEDS } else { SEEDS };
        (0..u64::from(by_day(day, night))).for_each(|seed| agree(&name, &script, seed));
    }
}

#[test]
fn a_coarser_tick_gives_the_same_run_in_both_lanes_too() {
    for (name, script) in scripts().into_iter().filter(|(_, script)| script.chaos.is_some()) {
        for milliseconds in [2, 5] {
            let script = Script { tick: Duration::from_millis(milliseconds), ..script.clone() };
            (0..4).for_each(|seed| agree(&format!("{name}, tick {milliseconds} ms"), &script, seed));
        }
    }
}

#[test]
fn where_nothing_happens_no_step_is_made() {
    let (_, script) = scripts().into_iter().find(|(name, _)| name == "simultaneous-boot").expect("it is there");
    let [short, long] = [60, 600].map(|seconds| {
        let script = Script { duration: Duration::from_secs(seconds), ..script.clone() };
        in_lane(&script, Lane::Core, 1, false)
    });
    let ticks = short.simulated.as_millis();
    assert!(u128::from(short.steps) * 2 < ticks, "{} steps in {ticks} ticks", short.steps);
    assert!(long.steps < short.steps * 11, "{} steps, and {} in a tenth of the time", long.steps, short.steps);
}

#[test]
fn what_the_core_lane_does_not_have_is_named() {
    for system in systems::all().iter().filter(|system| system.name() != "raft" && !system.sims().is_empty()) {
        let (name, text) = system.sims()[0];
        let text = format!("lane = 'core'\n{text}");
        let script = Script::parse(name, &text).unwrap_or_else(|error| panic!("{error}"));
        let error = run(*system, &script, Seed(1), &RunOptions::default()).expect_err("it needs TCP").to_string();
        assert!(error.contains("the core lane has no TCP"), "{error}");
        assert!(error.contains(&format!("system `{}`", system.name())), "{error}");
        assert!(error.contains(":1:"), "it names the line: {error}");
    }
}

/// A system of one's own in the core lane: `once` answers one datagram and has come to its end, `asker` asks every 10 ms.
struct Once;

impl System for Once {
    fn name(&self) -> &'static str {
        "once"
    }

    fn about(&self) -> &'static str {
        "a host that comes to its end"
    }

    fn lacks_in_core_lane(&self) -> Option<&'static str> {
        None
    }

    fn build(&self, setup: &mut Setup<'_>) -> Result<(), ScriptError> {
        setup.core_host("once", answer_once);
        setup.core_host("asker", ask);
        Ok(())
    }
}

async fn answer_once(host: CoreHost) -> HostResult {
    let socket = host.net.bind(7000)?;
    let mut buffer = [0; 16];
    let (length, from) = socket.recv_from(&mut buffer).await?;
    socket.send_to(&buffer[..length], from).await?;
    host.events.count("answered", 1);
    Ok(())
}

async fn ask(host: CoreHost) -> HostResult {
    let socket = host.net.bind(7000)?;
    let once = host.net.address("once", 7000)?;
    loop {
        socket.send_to(b"ask", once).await?;
        let until = (host.time.now() + Duration::from_millis(10)).into();
        let mut answers = 0;
        poll_fn(|_| {
            while let Some(datagram) = socket.try_recv() {
                assert_eq!(&datagram.payload()[..], b"ask");
                answers += 1;
                socket.reuse(datagram);
            }
            if host.time.has_come(until) { Poll::Ready(()) } else { Poll::Pending }
        })
        .await;
        host.events.work(answers);
        host.events.count("heard", answers);
    }
}

#[test]
fn a_host_that_has_come_to_its_end_stays_there_until_it_is_started_again() {
    let text = "about = 'a host that ends'\nsystem = 'once'\nlane = 'core'\nduration = '200ms'\n\
                [[step]]\nat = '40ms'\nmay_be_inert = true\npause = 'once'\n[[step]]\nat = '60ms'\nmay_be_inert = true\nresume = 'once'\n\
                [[step]]\nat = '100ms'\nmay_be_inert = true\nkill = 'once'\n[[step]]\nat = '120ms'\nrestart = 'once'\n";
    let script = Script::parse("once.toml", text).unwrap_or_else(|error| panic!("{error}"));
    let made = || run(&Once, &script, Seed(1), &RunOptions::default()).unwrap_or_else(|error| panic!("{error}"));
    let outcome = made();
    assert_eq!(outcome.verdict.name(), "pass", "{:?}", outcome.verdict);
    assert_eq!((outcome.counters["answered"], outcome.counters["heard"]), (2, 2));
    assert!(outcome.packets.lost > 10, "what is sent to a port that nobody has is lost: {:?}", outcome.packets);
    assert_eq!(outcome.hash, made().hash);
}

/// Times to elect the first leader, of seeds that no other lane has.
fn elections(script: &Script, lane: Lane, seeds: Range<u32>) -> Vec<Duration> {
    let elect = |seed| {
        let outcome = in_lane(script, lane, seed, false);
        outcome.times.get("first leader").expect("a leader is elected").max
    };
    seeds.map(u64::from).map(elect).collect()
}

/// The two-sample Kolmogorov-Smirnov statistic: the largest distance between two empirical distributions.
fn distance(mut a: Vec<Duration>, mut b: Vec<Duration>) -> f64 {
    a.sort_unstable();
    b.sort_unstable();
    let below = |sorted: &[Duration], at: Duration| sorted.partition_point(|x| *x <= at) as f64 / sorted.len() as f64;
    a.iter().chain(&b).map(|at| (below(&a, *at) - below(&b, *at)).abs()).fold(0.0, f64::max)
}

#[test]
fn the_time_to_elect_has_one_distribution_in_both_lanes() {
    let (_, script) = scripts().into_iter().find(|(name, _)| name == "availsim").expect("it is there");
    let count = by_day(ELECTIONS[0], ELECTIONS[1]);
    let turmoil = elections(&script, Lane::Turmoil, 0..count);
    let core = elections(&script, Lane::Core, count..2 * count);
    // Beyond c(α)·sqrt(2/n) two samples of one distribution are once in a thousand pairs: c(0.001) = 1.949 (Smirnov).
    let critical = 1.949 * (2.0 / f64::from(count)).sqrt();
    let same = distance(turmoil, core.clone());
    assert!(same < critical, "the lanes are {same} apart, and {critical} is the most");
    // The test can tell: an election that takes 5 % longer is another distribution.
    let slower = core.iter().map(|time| *time + *time / 20).collect();
    assert!(distance(core, slower) > critical, "a difference of 5 % is not seen");
}
