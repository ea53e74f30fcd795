//! At most one leader per term, and all else that Raft promises, over generated clusters, timings and fault schedules.
//!
//! A failure shrinks to the smallest script that still fails, which is saved as one that anybody can run.

use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};

use proptest::prelude::*;
use proptest::test_runner::{Config, FileFailurePersistence, RngSeed, TestError, TestRunner};
use stormglass::rng::Seed;
use stormglass::script::{Lane, Script};
use stormglass::sim::{Finding, RunOptions, Verdict, run};
use stormglass::systems::raft::Raft;

/// How many cases, by day and by night.
const CASES: [u32; 2] = [80, 20_000];

/// One case in so many is made in both lanes; the others in the core lane, which is quicker.
const IN_BOTH_LANES: u64 = 4;

/// Every case is the same on every machine; a failure is kept as a seed.
fn settings() -> Config {
    Config { cases: crate::by_day(CASES[0], CASES[1]), rng_seed: RngSeed::Fixed(2014), ..Config::default() }
}

/// One step of a script, as text, and when it fires, in milliseconds.
fn step(nodes: u32) -> impl Strategy<Value = (u32, String)> {
    let node = move || (1..=nodes).prop_map(|id| format!("n{id}"));
    let message = prop::sample::select(vec!["RequestVote", "RequestVoteResponse", "AppendEntries", "PreVote"]);
    let action = prop_oneof![
        node().prop_map(|node| format!("kill = '{node}'")),
        node().prop_map(|node| format!("power = '{node}'")),
        node().prop_map(|node| format!("pause = '{node}'")),
        (1..nodes).prop_map(move |last| {
            let group =
                |ids: std::ops::RangeInclusive<u32>| ids.map(|id| format!("'n{id}'")).collect::<Vec<_>>().join(", ");
            format!("partition = [[{}], [{}]]", group(1..=last), group(last + 1..=nodes))
        }),
        (node(), node())
            .prop_filter("another", |(from, to)| from != to)
            .prop_map(|(from, to)| format!("cut = {{ from = '{from}', to = '{to}' }}")),
        (1_u32..60).prop_map(|loss| format!("link = {{ between = ['*'], loss = 0.{loss:02} }}")),
        (1_u32..300).prop_map(|ms| format!("link = {{ between = ['*'], latency = '0ms..{ms}ms' }}")),
        (1_u32..50).prop_map(|chance| format!("link = {{ between = ['*'], duplicate = 0.{chance:02} }}")),
        (node(), 1_u32..80).prop_map(|(node, ms)| format!("disk = {{ hosts = '{node}', sync = '0ms..{ms}ms' }}")),
        (message.clone(), 1_u32..6)
            .prop_map(|(name, count)| format!("hold = {{ message = '{name}', count = {count} }}")),
        (message, 1_u32..6).prop_map(|(name, count)| format!("drop = {{ message = '{name}', count = {count} }}")),
    ];
    (0_u32..4000, 1_u32..2000, action).prop_map(|(at, lasts, action)| {
        (at, format!("[[step]]\nat = '{at}ms'\n{action}\nmay_be_inert = true\nfor = '{lasts}ms'\n"))
    })
}

/// A script in which everything heals at 6 s at the latest, and an election then has the time that it may take.
fn script() -> impl Strategy<Value = String> {
    let options = (2_u32..=5, any::<[bool; 4]>(), 0_u32..6, 1_u32..12, 0_u32..8);
    options.prop_flat_map(|options| {
        prop::collection::vec(step(options.0), 0..10).prop_map(move |mut steps| {
            steps.sort_by_key(|(at, _)| *at);
            let (nodes, [pre_vote, check_quorum, leader_stickiness, resend], drift, latency, sync) = options;
            let mut text = format!(
                "about = 'A schedule that a property test has generated.'\nsystem = 'raft'\nduration = '16s'\n\n\
                 [raft]\nnodes = {nodes}\npre_vote = {pre_vote}\ncheck_quorum = {check_quorum}\n\
                 leader_stickiness = {leader_stickiness}\nresend = {resend}\nclock_drift = 0.0{drift}\n\n\
                 [network]\nlatency = '1ms..{latency}ms'\n\n[disk]\nsync = '0ms..{sync}ms'\n"
            );
            for (_, step) in steps {
                let _ = write!(text, "\n{step}");
            }
            text
        })
    })
}

/// What a run finds, if it does not pass.
fn found(text: &str, seed: u64) -> Option<Finding> {
    let script = Script::parse("generated.toml", text).unwrap_or_else(|error| panic!("{error}"));
    let in_lane = |lane| {
        let script = Script { lane: Some(lane), ..script.clone() };
        run(&Raft, &script, Seed(seed), &RunOptions::default()).unwrap_or_else(|error| panic!("{error}"))
    };
    let outcome = in_lane(Lane::Core);
    if seed.is_multiple_of(IN_BOTH_LANES) {
        let turmoil = in_lane(Lane::Turmoil);
        let same = (turmoil.hash, &turmoil.verdict) == (outcome.hash, &outcome.verdict);
        assert!(same, "the lanes make {} and {} of seed {seed} of\n{text}", turmoil.hash, outcome.hash);
    }
    match outcome.verdict {
        Verdict::Pass => None,
        Verdict::Inconclusive { reason } => panic!("{reason}: seed {seed} of\n{text}"),
        verdict => verdict.finding().cloned(),
    }
}

/// The smallest script, and its seed, that shows what `cases` of the scripts show; `None`: nothing.
fn smallest(config: Config, change: impl Fn(&str) -> String) -> Option<(String, u64)> {
    let mut runner = TestRunner::new(config);
    let outcome = runner.run(&(script(), 0..1_000_000_u64), |(text, seed)| match found(&change(&text), seed) {
        None => Ok(()),
        Some(finding) => Err(TestCaseError::fail(finding.to_string())),
    });
    match outcome {
        Ok(()) => None,
        Err(TestError::Fail(_, (text, seed))) => Some((change(&text), seed)),
        Err(TestError::Abort(why)) => panic!("the runner gave up: {why}"),
    }
}

/// Saves a script, and says how to run it and how to make it smaller than a generator can.
fn save(folder: &Path, text: &str, seed: u64) -> (PathBuf, String) {
    fs::create_dir_all(folder).expect("a folder for scripts that fail");
    let path = folder.join(format!("elections-{seed}.toml"));
    fs::write(&path, text).expect("a script can be written");
    let call = |name: &str| format!("stormglass {name} {} --seed {seed}", path.display());
    let calls = format!("{}\nshrink:    {}", call("run"), call("shrink"));
    (path, calls)
}

#[test]
fn one_leader_per_term_under_any_schedule() {
    let config = Config {
        failure_persistence: Some(Box::new(FileFailurePersistence::Direct("seeds/proptest/elections.txt"))),
        ..settings()
    };
    if let Some((text, seed)) = smallest(config, str::to_owned) {
        let finding = found(&text, seed).expect("it failed before");
        let (_, call) = save(Path::new(env!("CARGO_TARGET_TMPDIR")), &text, seed);
        panic!("{finding}\nreproduce: {call}\n\n{text}");
    }
}

/// The property is worth something if it finds what is wrong, and the script that it saves shows it again.
#[cfg(feature = "planted-bugs")]
#[test]
fn a_planted_bug_is_found_and_its_script_shows_it_again() {
    for bug in ["leader-votes-again", "half-is-a-quorum", "reply-before-sync"] {
        let config = Config { failure_persistence: None, max_shrink_iters: 200, ..settings() };
        let planted = |text: &str| text.replace("[raft]\n", &format!("[raft]\nbug = '{bug}'\n"));
        let (text, seed) = smallest(config, planted).unwrap_or_else(|| panic!("{bug} was not found"));
        let folder = tempfile::tempdir().expect("a folder");
        let (path, call) = save(folder.path(), &text, seed);
        let again = fs::read_to_string(path).expect("the script was saved");
        let finding = found(&again, seed).expect("the saved script shows it");
        println!("{bug}: {finding}\n{} steps left: {call}", again.matches("[[step]]").count());
    }
}
