//! `show` as a person calls it: lanes, lists, what is chosen, and why.

use std::process::{Command, Output, Stdio};

fn show(args: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_stormglass"));
    command.arg("show").args(args).stdin(Stdio::null()).env_remove("STORMGLASS_SEED").env_remove("CLICOLOR_FORCE");
    command.output().expect("the program starts")
}

fn shown(args: &[&str]) -> String {
    let output = show(args);
    assert!(output.status.success(), "{args:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).expect("output is UTF-8")
}

fn refused(args: &[&str]) -> String {
    let output = show(args);
    assert_eq!(output.status.code(), Some(2), "{args:?}");
    String::from_utf8(output.stderr).expect("errors are UTF-8")
}

/// The rows of records, by their numbers.
fn rows(text: &str) -> Vec<(u64, &str)> {
    let number = |line: &str| line.trim_start_matches('▌').split_whitespace().next()?.parse().ok();
    let lines = text.lines().filter(|line| !line.ends_with("shown"));
    lines.filter_map(|line| Some((number(line)?, line))).collect()
}

#[test]
fn lanes_show_every_record_and_who_leads() {
    let text = shown(&["raft/split-vote", "--seed", "7", "--view", "lanes"]);
    let rows = rows(&text);
    let records = rows.last().unwrap().0 + 1;
    assert_eq!(rows.len() as u64, records);
    assert!(rows.iter().zip(0..).all(|((number, _), at)| *number == at));
    let elected = rows.iter().find(|(_, row)| row.contains("became-leader")).unwrap().1;
    assert!(elected.contains('L') && elected.contains('F'), "{elected}");
    assert!(text.contains("C candidate   F follower   L leader"), "{text}");
    assert!(text.lines().all(|line| line.chars().count() <= 120), "a line is too long");
    let request = rows.iter().find(|(_, row)| row.contains("RequestVote term 1")).unwrap().1;
    assert!(request.contains("●╌") && request.contains('▷'), "{request}");
}

#[test]
fn what_is_chosen_is_shown_and_what_is_not_there_is_named() {
    let run = ["echo/tcp-loss", "--seed", "7"];
    let with = |more: &[&'static str]| shown(&[&run[..], more].concat());
    let lost = with(&["--only", "loss"]);
    let kinds = ["lost packet", "sent again", "gave up", "the run is over"];
    assert!(rows(&lost).iter().all(|(_, row)| kinds.iter().any(|kind| row.contains(kind))), "{lost}");
    assert!(rows(&lost).len() > 20, "{lost}");
    let around = rows(&with(&["--around", "100", "--context", "3"])).iter().map(|(n, _)| *n).collect::<Vec<_>>();
    assert_eq!(around, [97, 98, 99, 100, 101, 102, 103]);
    let everything = with(&[]);
    let of_server = with(&["--host", "server", "--only", "events"]);
    assert!(rows(&of_server).len() < rows(&everything).len());
    let json = with(&["--json", "--only", "faults"]);
    assert!(json.lines().count() > 2 && json.lines().all(|line| line.starts_with('{')), "{json}");

    let wrong = |more: &[&'static str]| refused(&[&run[..], more].concat());
    let error = wrong(&["--host", "n9"]);
    assert!(error.contains("no host of this run is called `n9`: there are server, "), "{error}");
    let error = wrong(&["--only", "losses"]);
    assert!(error.contains("`losses`") && error.contains("faults, loss, packets"), "{error}");
    let error = wrong(&["--around", "99999999"]);
    assert!(error.contains("the records of this run are 0 to"), "{error}");
    let error = wrong(&["--follow", "0"]);
    assert!(error.contains("a speed is a number above 0"), "{error}");
}

#[test]
fn why_a_node_leads_is_a_path() {
    let text = shown(&["raft/split-vote", "--seed", "7"]);
    let leader = rows(&text).iter().find(|(_, row)| row.contains("became-leader")).unwrap().0;
    let text = shown(&["raft/split-vote", "--seed", "7", "--why", &leader.to_string()]);
    let rows = rows(&text);
    assert_eq!(rows.last().unwrap().0, leader);
    let in_order =
        ["started", "became-candidate", "sent packet", "got packet", "sent packet", "got packet", "became-leader"];
    let mut left = in_order.iter().peekable();
    for (_, row) in &rows {
        left.next_if(|word| row.contains(**word));
    }
    assert_eq!(left.next(), None, "{text}");
    assert!(text.contains("(timer)"), "{text}");
}

#[test]
fn a_run_is_followed_at_the_speed_that_is_asked_for() {
    let list = shown(&["raft/split-vote", "--seed", "7"]);
    let followed = shown(&["raft/split-vote", "--seed", "7", "--follow", "100000"]);
    assert_eq!(list, followed);
}
