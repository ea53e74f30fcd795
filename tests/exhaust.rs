//! `exhaust`, through the command: what it says of the right core, what it refuses, and, with `--features planted-bugs`, that
//! it finds each bug of elections that needs no clock, with a script that breaks the same in a run.

use std::process::{Command, Output};

use serde_json::Value;

fn stormglass(arguments: &str) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_stormglass"));
    command.args(arguments.split_whitespace()).output().expect("the command runs")
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

fn json(arguments: &str) -> (Option<i32>, Value) {
    let output = stormglass(&format!("exhaust raft {arguments} --json"));
    let report = serde_json::from_slice(&output.stdout);
    (output.status.code(), report.unwrap_or_else(|error| panic!("{error}: {}", text(&output.stderr))))
}

#[test]
fn the_right_core_passes_and_every_state_is_visited() {
    let (code, report) = json("--nodes 3 --terms 2 --messages 2");
    println!("{report:#}");
    assert_eq!((code, &report["exhausted"], &report["exit_code"]), (Some(0), &true.into(), &0.into()));
    assert_eq!((&report["states"], &report["depth"]), (&4995.into(), &23.into()));
    assert!(report["violation"].is_null() && report["states_per_second"].as_f64() > Some(0.0));
    let shown = text(&stormglass("exhaust raft --terms 1 --messages 2").stdout);
    assert!(shown.contains("PASS raft: nothing is broken, and no state within the bounds is left"), "{shown}");
}

#[test]
fn the_right_core_keeps_its_log_whatever_is_lost_and_whoever_crashes() {
    let bounds = crate::by_day("--nodes 2 --terms 1 --messages 1", "--nodes 2 --terms 2 --messages 2");
    let (code, report) = json(&format!("{bounds} --entries 1 --crashes 1"));
    println!("{report:#}");
    assert_eq!((code, &report["exhausted"], &report["entries"]), (Some(0), &true.into(), &1.into()));
    let shown = text(&stormglass("exhaust raft --nodes 2 --terms 1 --messages 1 --entries 1").stdout);
    assert!(shown.contains("0 duplicates; a log with 1 entry of clients"), "{shown}");
}

#[test]
fn a_search_that_is_cut_short_is_inconclusive() {
    let (code, report) = json("--states 100");
    assert_eq!((code, &report["exhausted"], &report["states"]), (Some(4), &false.into(), &100.into()));
    let shown = text(&stormglass("exhaust raft --states 100").stdout);
    assert!(shown.contains("INCONCLUSIVE raft: nothing was broken before `--states` was reached"), "{shown}");
}

#[test]
fn mistakes_are_told() {
    let refused = |arguments: &str| {
        let output = stormglass(&format!("exhaust {arguments}"));
        assert_eq!(output.status.code(), Some(2), "{arguments}");
        text(&output.stderr)
    };
    for (arguments, told) in [
        ("raft --nodes 6", "6 nodes: expected 1 to 5"),
        ("raft --nodes 5", "3 messages: expected 4 to 100, for a candidate asks all others at once"),
        ("raft --terms 0", "0 terms: expected 1 to 100"),
        ("raft --entries 101", "101 entries: expected 0 to 100"),
        ("raft --states 0", "invalid value '0' for '--states <N>'"),
        ("raft --check none", "no check `none` for this search: expected `one-leader-per-term`"),
        ("raft -o path.txt", "path.txt: the path of a script ends in `.toml`"),
        ("raft -o nowhere/path.toml", "nowhere/path.toml: there is no folder nowhere"),
        ("echo", "the system `echo` has no model to search"),
        ("rafft", "no system `rafft`"),
    ] {
        let error = refused(arguments);
        assert!(error.contains(told), "{arguments}: {error}");
    }
    let error = refused("raft --bug no-such-bug");
    let expected =
        if cfg!(feature = "planted-bugs") { "no bug `no-such-bug`" } else { "this build has no planted bugs" };
    assert!(error.contains(expected), "{error}");
}

#[cfg(feature = "planted-bugs")]
mod planted {
    use super::*;

    /// Each bug, what it takes, what its shortest path breaks, and how long that is.
    const FOUND: [(&str, &str, &str, usize); 12] = [
        ("step-down-clears-vote", "", "E2 one vote a term", 8),
        ("vote-not-persisted", "", "E3 durable before sent", 1),
        ("reply-before-sync", "", "E3 durable before sent", 1),
        ("stale-vote-counted", "", "E6 elected by a majority", 5),
        ("votes-counted-twice", "--nodes 4 --terms 1 --duplicates 1", "E6 elected by a majority", 4),
        ("half-is-a-quorum", "", "E6 elected by a majority", 1),
        ("leader-votes-again", "", "E2 one vote a term", 4),
        ("term-goes-back", "", "E4 terms never fall", 5),
        ("demoted-timer-unarmed", "", "E8 an armed timer", 8),
        ("seed-document", "", "E7 legal roles", 1),
        ("leader-votes-again", "--check one-leader-per-term", "E1 election safety", 8),
        ("vote-not-persisted", "--check one-leader-per-term --crashes 1", "E1 election safety", 9),
    ];

    /// The bugs of the log that take few states.
    const FOUND_IN_LOGS: [(&str, &str, &str, usize); 5] = [
        ("ack-unsynced", "--entries 1", "R11 truthful acknowledgement", 4),
        ("apply-on-append", "--entries 1", "R9 own disk counts when written", 6),
        ("truncate-after-prev", "--entries 1 --terms 1", "R15 cut off for a conflict", 10),
        ("match-assigned", "--entries 1 --terms 1", "R10 truthful match index", 11),
        ("next-under-match", "--entries 1 --terms 1", "R12 next above match", 11),
    ];

    /// Those that take many: for the night. No script can say the shortest path of the first.
    const FOUND_IN_LOGS_AT_NIGHT: [(&str, &str, &str, usize); 3] = [
        ("commit-old-term", "--entries 1 --scripted", "R7 own term by counting", 13),
        ("ack-own-last", "--entries 1", "R11 truthful acknowledgement", 14),
        ("commit-unmatched", "--entries 1", "R3 committed for ever", 16),
    ];

    #[test]
    fn each_bug_is_found_and_its_script_breaks_the_same_in_a_run() {
        are_found(&FOUND);
    }

    #[test]
    fn each_bug_of_the_log_is_found_and_its_script_breaks_the_same_in_a_run() {
        are_found(&FOUND_IN_LOGS);
        are_found(crate::by_day::<&[_]>(&[], &FOUND_IN_LOGS_AT_NIGHT));
    }

    fn are_found(bugs: &[(&str, &str, &str, usize)]) {
        let folder = tempfile::tempdir().expect("a folder");
        for &(bug, bounds, invariant, depth) in bugs {
            let file = folder.path().join(format!("{bug}.toml"));
            let file = file.to_str().expect("a plain path");
            let (code, report) = json(&format!("{bounds} --bug {bug} -o {file}"));
            let path = &report["violation"];
            assert_eq!((code, &path["invariant"]), (Some(1), &invariant.into()), "{report:#}");
            assert_eq!((&report["depth"], path["steps"].as_array().map(Vec::len)), (&depth.into(), Some(depth)));
            assert_eq!((&path["no_script"], &path["run"]["same"]), (&Value::Null, &true.into()), "{report:#}");
            // Not only by its own word.
            let ran = stormglass(&format!("run {file} --bug {bug} --seed 7 --json"));
            let result: Value = serde_json::from_slice(&ran.stdout).expect("one JSON object");
            assert_eq!(
                (ran.status.code(), &result["violation"]["invariant"]),
                (Some(1), &invariant.into()),
                "{result:#}"
            );
            let right = stormglass(&format!("run {file} --seed 7 --json"));
            assert_ne!(right.status.code(), Some(1), "the right core breaks it too: {}", text(&right.stdout));
        }
    }

    #[test]
    fn the_control_breaks_nothing_whenever_power_is_lost() {
        let (code, report) = json("--bug two-writes --terms 1 --messages 2 --crashes 2");
        assert_eq!((code, &report["exhausted"]), (Some(0), &true.into()), "{report:#}");
    }

    #[test]
    fn the_control_of_the_log_breaks_nothing() {
        let bounds = crate::by_day("--nodes 2 --terms 1 --messages 2", "--nodes 2 --terms 2 --messages 2");
        for bug in ["window-one", "two-writes"] {
            let (code, report) = json(&format!("--bug {bug} --entries 1 {bounds}"));
            assert_eq!((code, &report["exhausted"]), (Some(0), &true.into()), "{bug}: {report:#}");
        }
    }

    /// What these do wrong is when a timer runs out, and here it may at any time.
    #[test]
    fn what_needs_a_clock_breaks_nothing_here() {
        for bug in [
            "candidate-never-concedes",
            "timeout-drawn-once",
            "timer-reset-by-anyone",
            "timer-not-reset-on-grant",
            "repeat-request-refused",
        ] {
            let (code, report) = json(&format!("--bug {bug} --terms 2 --messages 2"));
            assert_eq!((code, &report["exhausted"]), (Some(0), &true.into()), "{bug}: {report:#}");
        }
    }
}
