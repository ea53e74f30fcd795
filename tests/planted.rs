//! Every planted bug that breaks a promise of safety is caught in `raft/chaos`, by an invariant that it is known to break;
//! the control, which breaks nothing, is not. Run it with `cargo test --features planted-bugs --test planted`.
#![cfg(feature = "planted-bugs")]

use stormglass::raft::planted::Bug;
use stormglass::rng::Seed;
use stormglass::script::Script;
use stormglass::sim::{RunOptions, run};
use stormglass::systems::raft::Raft;

const CHAOS: &str = include_str!("../sims/raft/chaos.toml");

/// Each was caught within 30 seeds when this was written.
const SEEDS: u64 = 100;

/// What each bug breaks first, one or the other by seed. The last two break several at once.
const CAUGHT_BY: &[(Bug, &[&str])] = &[
    (Bug::StepDownClearsVote, &["E1", "E2"]),
    (Bug::VoteNotPersisted, &["E2", "E3", "E4"]),
    (Bug::ReplyBeforeSync, &["E3"]),
    (Bug::StaleVoteCounted, &["E1", "E6"]),
    (Bug::VotesCountedTwice, &["E1", "E6"]),
    (Bug::HalfIsAQuorum, &["E1", "E6"]),
    (Bug::LeaderVotesAgain, &["E2", "E8"]),
    (Bug::DemotedTimerUnarmed, &["E8"]),
    (Bug::TermGoesBack, &["E4", "E7"]),
    (Bug::SeedDocument, &["E1", "E3", "E7"]),
];

/// The first seed in which the bug is caught, and the invariant. `check`: which checks are made.
fn caught(bug: Bug, check: &str, seeds: u64) -> Option<(u64, String)> {
    let settings = format!("[raft]\nbug = \"{bug}\"\ncheck = \"{check}\"\n");
    let text = CHAOS.replace("[raft]\n", &settings);
    let script = Script::parse("chaos.toml", &text).expect("the script is right");
    (0..seeds).find_map(|seed| {
        let outcome = run(&Raft, &script, Seed(seed), &RunOptions::default()).expect("it runs");
        outcome.verdict.finding().map(|finding| (seed, finding.invariant.clone()))
    })
}

#[test]
fn bugs_of_safety_are_caught_in_chaos() {
    for (bug, invariants) in CAUGHT_BY {
        let (seed, invariant) = caught(*bug, "all", SEEDS).unwrap_or_else(|| panic!("{bug}: not in {SEEDS} seeds"));
        println!("{bug}: {invariant}, seed {seed}");
        let known = invariants.iter().any(|known| invariant.starts_with(known));
        assert!(known, "{bug} was caught by {invariant}, seed {seed}");
    }
}

/// Two leaders of one term at different times: only a check over history sees them.
#[test]
fn history_sees_what_a_moment_does_not() {
    let seen = |check| caught(Bug::SeedDocument, check, 5).map(|(_, invariant)| invariant);
    assert_eq!(seen("one-leader-per-term").as_deref(), Some("E1 election safety"));
    let (mut by_history, mut by_moment) = (0, 0);
    for (bug, _) in CAUGHT_BY {
        by_history += u64::from(caught(*bug, "one-leader-per-term", 40).is_some());
        by_moment += u64::from(caught(*bug, "leaders-of-one-moment", 40).is_some());
    }
    println!(
        "of {} bugs, history shows {by_history} as two leaders of a term, and a moment {by_moment}",
        CAUGHT_BY.len()
    );
    assert!(by_history > by_moment, "{by_history} and {by_moment}");
}

#[test]
fn the_control_is_not_caught() {
    assert_eq!(caught(Bug::TwoWrites, "all", SEEDS), None);
}
