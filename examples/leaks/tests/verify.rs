//! What `verify` says of a program that holds its clock and entropy.

use std::process::Command;

/// What the program says, and its exit code.
fn verified(sim: &str) -> (String, Option<i32>) {
    let program = env!("CARGO_BIN_EXE_stormglass-leaks");
    let output = Command::new(program).args(["verify", sim, "--seed", "1"]).output().expect("the program starts");
    (String::from_utf8_lossy(&output.stdout).into_owned(), output.status.code())
}

#[test]
fn what_is_held_is_named_each_alone() {
    for (sim, named) in
        [("leaks/clock", "the wall clock"), ("leaks/hash-order", "hash order"), ("leaks/entropy", "entropy")]
    {
        let (said, code) = verified(sim);
        assert!(said.starts_with(&format!("OK {sim} seed=1: same hash")), "{said}");
        assert!(said.contains(&format!("held  {named}: ")) && code == Some(0), "{said}");
        assert_eq!(said.matches("held  ").count(), 1, "{said}");
        assert!(said.contains("leaked text=") && said.contains("         text"), "{said}");
    }
}

#[test]
fn a_thread_is_held_by_nobody() {
    let (said, code) = verified("leaks/thread");
    assert!(said.contains("leak  a thread: ") && code == Some(3), "{said}");
    assert_eq!(verified("leaks/nothing").0.lines().count(), 1);
}
