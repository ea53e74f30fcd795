//! The property must catch every planted bug that breaks an invariant of safety, and must not catch the others: those
//! that only keep a leader from being elected, and the control, which breaks nothing.

use proptest::test_runner::{Config as Settings, TestError, TestRunner};
use stormglass::raft::planted::Bug;

use super::world::World;
use super::{case, runs, settings};

/// The bugs that this property sees, each with the invariants one of which catches it first.
const SEEN: &[(Bug, &[&str])] = &[
    (Bug::StepDownClearsVote, &["E2", "E8"]),
    (Bug::VoteNotPersisted, &["E3"]),
    (Bug::ReplyBeforeSync, &["E3"]),
    (Bug::StaleVoteCounted, &["E6"]),
    (Bug::VotesCountedTwice, &["E6"]),
    (Bug::HalfIsAQuorum, &["E6"]),
    (Bug::LeaderVotesAgain, &["E2", "E8"]),
    (Bug::TermGoesBack, &["E4", "E7"]),
    (Bug::DemotedTimerUnarmed, &["E8"]),
    (Bug::SeedDocument, &["E1", "E3", "E7"]),
];

const CASES: u32 = 5_000;

/// The first violation that the bug leads to.
fn first_violation(bug: Bug) -> Option<String> {
    let mut runner = TestRunner::new(Settings { failure_persistence: None, max_shrink_iters: 0, ..settings(CASES) });
    let outcome = runner.run(&case(), |(setup, actions)| {
        runs(World::with(&setup, |config| config.bug = Some(bug)), &actions).map(drop)
    });
    match outcome {
        Ok(()) => None,
        Err(TestError::Fail(why, _)) => Some(why.to_string()),
        Err(TestError::Abort(why)) => panic!("{bug}: the runner gave up: {why}"),
    }
}

#[test]
fn bugs_of_safety_are_caught_each_by_its_invariant() {
    for (bug, invariants) in SEEN {
        let violation = first_violation(*bug).unwrap_or_else(|| panic!("{bug} was not caught in {CASES} cases"));
        println!("{bug}: {violation}");
        let caught = invariants.iter().any(|invariant| violation.starts_with(invariant));
        assert!(caught, "{bug} was caught by something else: {violation}");
    }
}

#[test]
fn bugs_of_liveness_and_the_control_are_not() {
    for bug in Bug::ALL.iter().filter(|bug| SEEN.iter().all(|(seen, _)| seen != *bug)) {
        assert_eq!(first_violation(*bug), None, "{bug}");
    }
}
