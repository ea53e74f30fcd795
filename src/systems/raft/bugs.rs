//! The planted bugs, and where each is to be caught.

use crate::check::raft::{E1, LEADERS_OF_ONE_MOMENT};
use crate::raft::planted::Bug;
use crate::sim::{PlantedBug, WeakerCheck};

const CHAOS: &str = "raft/chaos";
const KV_CHAOS: &str = "raft/kv-chaos";
const DISKS: &str = "raft/kv-bad-disks";
const AFTER_CUT: &str = "raft/kv-restart-after-cut";

/// What each bug breaks first depends on the seed; a bug of liveness has a script in which nothing else is in its way.
pub(super) const BUGS: &[PlantedBug] = &[
    bug(Bug::StepDownClearsVote, CHAOS, &["E2"]),
    bug(Bug::VoteNotPersisted, CHAOS, &["E2", "E3", "E4"]),
    bug(Bug::ReplyBeforeSync, CHAOS, &["E3"]),
    bug(Bug::StaleVoteCounted, CHAOS, &["E6", "E12", "E14"]),
    bug(Bug::VotesCountedTwice, CHAOS, &["E6", "E12"]),
    bug(Bug::HalfIsAQuorum, CHAOS, &["E6", "E12"]),
    bug(Bug::LeaderVotesAgain, CHAOS, &["E2", "E8"]),
    bug(Bug::TermGoesBack, CHAOS, &["E4"]),
    bug(Bug::CandidateNeverConcedes, "raft/candidate-concedes", &["E10", "E12"]),
    bug(Bug::TimeoutDrawnOnce, "raft/split-vote-livelock@redrawn", &["E9"]),
    bug(Bug::TimerResetByAnyone, "raft/deaf-candidate", &["E9"]),
    bug(Bug::TimerNotResetOnGrant, CHAOS, &["E9"]),
    bug(Bug::DemotedTimerUnarmed, CHAOS, &["E8"]),
    bug(Bug::RepeatRequestRefused, "raft/lost-answers", &["E13"]),
    bug(Bug::StaleAppendResetsTimer, CHAOS, &["E9"]),
    bug(Bug::TimerRunsWhileWriting, CHAOS, &["E9"]),
    bug(Bug::FollowsWhoeverIsNewer, CHAOS, &["E8", "E10"]),
    bug(Bug::NewerTermInAnswerIgnored, CHAOS, &["E11"]),
    bug(Bug::TermWithoutVoteNotWritten, CHAOS, &["E3"]),
    bug(Bug::StaleTimeoutNow, CHAOS, &["E12"]),
    bug(Bug::SuccessorBehind, CHAOS, &["E14"]),
    bug(Bug::PreVoteIgnoresLog, CHAOS, &["E13"]),
    bug(Bug::LeaderGrantsPreVotes, CHAOS, &["E13"]),
    bug(Bug::StaleAppendDeposes, CHAOS, &["E12"]),
    bug(Bug::HeartbeatsBeginLate, CHAOS, &["E14"]),
    bug(Bug::SeedDocument, CHAOS, &["E1", "E3", "E7"]),
    bug(Bug::TruncateAfterPrev, KV_CHAOS, &["R15", "R16"]),
    bug(Bug::CommitUnmatched, KV_CHAOS, &["R3", "R8"]),
    bug(Bug::CommitOldTerm, KV_CHAOS, &["R7"]),
    bug(Bug::MatchAssigned, KV_CHAOS, &["R10"]),
    bug(Bug::NextUnderMatch, KV_CHAOS, &["R12"]),
    bug(Bug::AckOwnLast, KV_CHAOS, &["R11"]),
    bug(Bug::HintOff, KV_CHAOS, &["L4"]),
    bug(Bug::AckUnsynced, KV_CHAOS, &["R11"]),
    bug(Bug::SyncErrorIgnored, DISKS, &["R11", "R16"]),
    bug(Bug::TruncationVolatile, AFTER_CUT, &["R16"]),
    bug(Bug::TornTailLeft, DISKS, &["R16"]),
    bug(Bug::TornAnywhere, DISKS, &["R16"]),
    bug(Bug::ReadBeforeOwnTerm, KV_CHAOS, &["C4"]),
    bug(Bug::ReadUnconfirmed, KV_CHAOS, &["C4", "C5"]),
    bug(Bug::LeaseFromAnswer, KV_CHAOS, &["C5"]),
    bug(Bug::RetryTwice, KV_CHAOS, &["C2"]),
    bug(Bug::ExpiryLocal, KV_CHAOS, &["R6"]),
    bug(Bug::ApplyOnAppend, KV_CHAOS, &["R9"]),
    bug(Bug::WindowOne, KV_CHAOS, &[]),
    bug(Bug::TwoWrites, CHAOS, &[]),
];

/// What the test suites of others look at: whether two lead the same term, ever or at once.
pub(super) const WEAKER_CHECKS: &[WeakerCheck] = &[
    WeakerCheck { name: "one-leader-per-term", title: "history", invariant: E1 },
    WeakerCheck { name: "leaders-of-one-moment", title: "moment", invariant: LEADERS_OF_ONE_MOMENT },
];

const fn bug(bug: Bug, sim: &'static str, caught_by: &'static [&'static str]) -> PlantedBug {
    PlantedBug { name: bug.name(), about: bug.about(), source: bug.source(), sim, caught_by }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_bug_is_in_the_ledger_once() {
        let names: Vec<_> = BUGS.iter().map(|bug| bug.name).collect();
        assert_eq!(names, Bug::ALL.iter().map(|bug| bug.name()).collect::<Vec<_>>());
    }
}
