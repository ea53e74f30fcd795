//! The ledger of planted bugs, through the command: every bug is caught by an invariant that it is known to break, the
//! control is not, and history sees more than a moment. Run it with `cargo test --features planted-bugs --test suite planted::`.
#![cfg(feature = "planted-bugs")]

use std::process::{Command, Output};

use serde_json::Value;

const CHECKS: &str = include_str!("../src/guide/checks.md");

fn stormglass(arguments: &str) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_stormglass"));
    command.args(arguments.split_whitespace()).output().expect("the command runs")
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

#[test]
fn every_bug_is_caught_and_the_control_is_not() {
    let output = stormglass("bugs --lanes --seeds 100 --control-seeds 40 --weaker-seeds 20 --shrink-runs 0 --json");
    let ledger: Value = serde_json::from_slice(&output.stdout).expect("one JSON object");
    assert!(output.status.success(), "{ledger:#}");
    let bugs = ledger["bugs"].as_array().expect("a list");
    assert_eq!(bugs.len(), 65);
    let (mut by_history, mut by_moment) = (0, 0);
    for bug in bugs {
        let is_control = bug["may_break"].as_array().expect("a list").is_empty();
        assert_eq!(bug["found"]["caught_by"].is_null(), is_control, "{bug:#}");
        let name = bug["bug"].as_str().expect("a name");
        let shown =
            CHECKS.lines().find(|line| line.split_whitespace().next() == Some(name)).expect("the guide shows it");
        let found = &bug["found"];
        let told = format!("{} {} ", found["caught_by"].as_str().unwrap_or_default(), found["seeds"]);
        let words = shown.split_whitespace().collect::<Vec<_>>().join(" ");
        assert!(is_control || words.contains(&told), "{told} is not in the guide's\n{shown}");
        // Raft's core lane finds the same, in the same seed.
        let core = &bug["core_lane"];
        assert_eq!(core.is_null(), bug["system"] != "raft", "{bug:#}");
        if !core.is_null() {
            assert_eq!((&core["caught_by"], &core["seeds"]), (&found["caught_by"], &found["seeds"]), "{bug:#}");
        }
        // Only Raft has weaker checks to compare with.
        let [history, moment] = &bug["weaker"].as_array().expect("a list")[..] else { continue };
        by_history += u64::from(!history["caught_by"].is_null());
        by_moment += u64::from(!moment["caught_by"].is_null());
    }
    println!("{by_history} show as two leaders of a term in 20 seeds, {by_moment} at one moment");
    assert!(by_history >= by_moment && by_history > 0, "{by_history} and {by_moment}");
}

/// A ledger in which everything is caught whatever happens would be worth nothing.
#[test]
fn a_bug_that_is_not_caught_fails_the_ledger() {
    let output = stormglass("bugs stale-vote-counted --seeds 2 --weaker-seeds 0");
    let shown = text(&output.stdout);
    assert_eq!(output.status.code(), Some(1), "{shown}");
    assert!(shown.contains("stale-vote-counted  NOT CAUGHT      2"), "{shown}");
    assert!(shown.contains("FAIL 0 of 1 bug caught"), "{shown}");
}

#[test]
fn the_ledger_is_the_same_with_one_job_and_with_many() {
    let ledger = |jobs: u64| {
        let output =
            stormglass(&format!("bugs stale-vote-counted seed-document --lanes --weaker-seeds 3 --json --jobs {jobs}"));
        let mut ledger: Value = serde_json::from_slice(&output.stdout).expect("one JSON object");
        ledger["wall_ms"] = Value::Null;
        for bug in ledger["bugs"].as_array_mut().expect("a list") {
            bug["found"]["wall_ms"] = Value::Null;
            bug["core_lane"]["wall_ms"] = Value::Null;
            bug["weaker"].as_array_mut().expect("a list").iter_mut().for_each(|hunt| hunt["wall_ms"] = Value::Null);
        }
        ledger
    };
    assert_eq!(ledger(1), ledger(4));
}

#[test]
fn a_bug_is_planted_by_its_name() {
    let output = stormglass("run raft/chaos --seed 0 --bug vote-not-persisted");
    let shown = text(&output.stdout);
    assert_eq!(output.status.code(), Some(1), "{shown}");
    assert!(shown.contains("E3 durable before sent"), "{shown}");
    assert!(
        shown.contains("reproduce: stormglass run raft/chaos --set raft.bug=vote-not-persisted --seed 0"),
        "{shown}"
    );
    for (call, reason) in [
        (
            "run raft/chaos --bug vote-not-persistd",
            "no bug `vote-not-persistd` is planted: did you mean `vote-not-persisted`?",
        ),
        ("run echo/chaos --bug vote-not-persisted", "no bugs are planted in the system `echo`"),
        ("bugs off-by-one", "no bug `off-by-one` is planted: expected one of `step-down-clears-vote`"),
    ] {
        let output = stormglass(call);
        let shown = text(&output.stderr);
        assert_eq!(output.status.code(), Some(2), "{call}: {shown}");
        assert!(shown.contains(reason), "{call}: {shown}");
    }
}
