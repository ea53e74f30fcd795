//! What the README shows is what comes.

use std::process::Command;

const README: &str = include_str!("../README.md");

/// The lines that the README shows after `$ call`, up to the end of the block.
fn shown(call: &str) -> Vec<&'static str> {
    let start = format!("$ {call}\n");
    let (_, rest) = README.split_once(&start).unwrap_or_else(|| panic!("the README does not show `{call}`"));
    let block = rest.split("\n```").next().expect("a block has an end");
    block.lines().take_while(|line| !line.starts_with("$ ")).collect()
}

fn stormglass(args: &[&str]) -> String {
    let root = env!("CARGO_MANIFEST_DIR");
    let output = Command::new(env!("CARGO_BIN_EXE_stormglass"))
        .args(args)
        .current_dir(root)
        .env_remove("STORMGLASS_SEED")
        .output()
        .expect("the binary runs");
    String::from_utf8(output.stdout).expect("text")
}

/// The line with wall-clock time is another one each time.
fn steady(line: &&str) -> bool {
    !line.trim_start().starts_with("time ")
}

#[test]
fn the_first_run_is_as_shown() {
    let output = stormglass(&["run", "echo/tcp-loss", "--seed", "7"]);
    let real: Vec<&str> = output.lines().filter(steady).collect();
    let shown: Vec<&str> = shown("stormglass run echo/tcp-loss --seed 7").into_iter().filter(steady).collect();
    assert_eq!(shown, real);
}

#[test]
fn the_packet_is_as_shown() {
    let (_, after) = README.split_once("show echo/tcp-loss --seed 7 | grep '").expect("the README shows a packet");
    let (packet, rest) = after.split_once('\'').expect("a pattern ends");
    let shown: Vec<&str> = rest.lines().skip(1).take_while(|line| *line != "```").collect();
    let output = stormglass(&["show", "echo/tcp-loss", "--seed", "7"]);
    let cut = |line: &str| line.chars().take(110).collect::<String>().trim_end().to_owned();
    let real: Vec<String> = output.lines().filter(|line| line.contains(packet)).map(cut).collect();
    assert!(!real.is_empty());
    assert_eq!(shown, real);
}

#[test]
fn the_race_is_as_shown() {
    let events = ["became-candidate", "became-leader", "majority-follows"];
    let call = format!("stormglass show raft/split-vote --seed 7 | grep -E '{}'", events.join("|"));
    let output = stormglass(&["show", "raft/split-vote", "--seed", "7"]);
    let real: Vec<&str> = output.lines().filter(|line| events.iter().any(|event| line.contains(event))).collect();
    assert!(!real.is_empty());
    assert_eq!(shown(&call), real);
}

/// Measuring takes a minute, so what is compared is what is known before.
#[test]
fn the_figure_is_shown_as_it_is_published() {
    let output = stormglass(&["figure", "availsim", "--trials", "1"]);
    let shown = shown("stormglass figure availsim");
    let is_known = |line: &&str| {
        let rows = ["  source ", "  fitted ", "  published ", "  within "];
        line.contains("  raft/") || line.contains(" p50  ") || rows.iter().any(|row| line.starts_with(row))
    };
    let known: Vec<&str> = output.lines().filter(is_known).collect();
    assert_eq!(known.len(), 10, "{output}");
    assert_eq!(shown.iter().copied().filter(is_known).collect::<Vec<_>>(), known);
    assert!(shown.contains(&"PASS availsim: 8 of 8 bounds hold"));
}

#[test]
fn the_script_is_the_file() {
    let script = include_str!("../sims/echo/tcp-server-crash.toml");
    assert!(README.contains(script), "the README shows another sims/echo/tcp-server-crash.toml");
}

#[test]
fn every_call_is_listed_and_none_else() {
    let help = stormglass(&["--help"]);
    let calls = help.lines().skip_while(|line| !line.starts_with("Commands:")).skip(1);
    let calls: Vec<&str> =
        calls.map_while(|line| line.split_whitespace().next()).filter(|call| *call != "help").collect();
    assert!(calls.len() >= 7, "{help}");
    for call in calls {
        assert!(README.contains(&format!("| `stormglass {call}")), "the README does not list `{call}`");
    }
}

/// The scripts that failures were shrunk to are kept, and their runs are cases of their own.
#[test]
fn the_shrunk_failures_are_as_shown() {
    let kept = |bug: &str| {
        let path = format!("{}/seeds/shrunk/{bug}.toml", env!("CARGO_MANIFEST_DIR"));
        std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{path}: {error}"))
    };
    let script: Vec<String> = kept("stale-vote-counted").lines().map(|line| format!("  {line}")).collect();
    let script: Vec<&str> = script.iter().map(|line| line.trim_end()).collect();
    assert!(README.contains(&script.join("\n")), "the README shows another seeds/shrunk/stale-vote-counted.toml");
    let mut counted = 0;
    for row in README.lines().filter(|line| line.contains(" to ") && line.contains("  raft/")) {
        let bug = row.split_whitespace().next().expect("a name");
        let faults = kept(bug).lines().filter(|line| ["[[step]]", "[[packet]]"].contains(line)).count();
        assert!(row.contains(&format!(" to {faults} ")), "{bug} has {faults} steps and packets left:\n{row}");
        counted += 1;
    }
    assert!(counted >= 15, "{counted} bugs are shown");
}
