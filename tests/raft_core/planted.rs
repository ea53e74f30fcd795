//! The property must catch every planted bug that shows in what a step does, and must not catch the others: one for which
//! a disk has to take its time, and the control, which breaks nothing.

use proptest::test_runner::{Config as Settings, TestError, TestRunner};
use stormglass::raft::planted::Bug;

use super::world::World;
use super::{case, runs, settings};

/// The bugs that this property sees, each with the invariants one of which catches it first.
const SEEN: &[(Bug, &[&str])] = &[
    (Bug::StepDownClearsVote, &["E2", "E8"]),
    (Bug::VoteNotPersisted, &["E3"]),
    (Bug::ReplyBeforeSync, &["E3"]),
    (Bug::StaleVoteCounted, &["E6", "E12"]),
    (Bug::VotesCountedTwice, &["E6", "E12"]),
    (Bug::HalfIsAQuorum, &["E6", "E12"]),
    (Bug::LeaderVotesAgain, &["E2", "E8"]),
    (Bug::TermGoesBack, &["E4", "E7"]),
    (Bug::CandidateNeverConcedes, &["E10", "E12"]),
    (Bug::TimeoutDrawnOnce, &["E9"]),
    (Bug::TimerResetByAnyone, &["E9"]),
    (Bug::TimerNotResetOnGrant, &["E9"]),
    (Bug::DemotedTimerUnarmed, &["E8"]),
    (Bug::RepeatRequestRefused, &["E13"]),
    (Bug::StaleAppendResetsTimer, &["E9"]),
    (Bug::FollowsWhoeverIsNewer, &["E8", "E10"]),
    (Bug::NewerTermInAnswerIgnored, &["E11"]),
    (Bug::TermWithoutVoteNotWritten, &["E3"]),
    (Bug::StaleTimeoutNow, &["E12"]),
    (Bug::SuccessorBehind, &["E14"]),
    (Bug::PreVoteIgnoresLog, &["E13"]),
    (Bug::LeaderGrantsPreVotes, &["E13"]),
    (Bug::StaleAppendDeposes, &["E12"]),
    (Bug::HeartbeatsBeginLate, &["E14"]),
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
fn bugs_are_caught_each_by_its_invariant() {
    for (bug, invariants) in SEEN {
        let violation = first_violation(*bug).unwrap_or_else(|| panic!("{bug} was not caught in {CASES} cases"));
        println!("{bug}: {violation}");
        let caught = invariants.iter().any(|invariant| violation.starts_with(&format!("{invariant} ")));
        assert!(caught, "{bug} was caught by something else: {violation}");
    }
}

#[test]
fn a_slow_disk_alone_and_the_control_are_not() {
    // Logs stand still here: bugs of theirs have nothing to show in.
    let of_elections = Bug::ALL.iter().take_while(|bug| **bug != Bug::TruncateAfterPrev).chain(&[Bug::TwoWrites]);
    for bug in of_elections.filter(|bug| SEEN.iter().all(|(seen, _)| seen != *bug)) {
        assert_eq!(first_violation(*bug), None, "{bug}");
    }
}
