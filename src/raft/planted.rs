//! The wrong Rafts that the checks must catch. Every one of them was real, in the code that its line names.
//!
//! A bug is one marked line or a few in the core, all of them absent from a build without the feature `planted-bugs`.

use std::fmt;
use std::str::FromStr;

macro_rules! bugs {
    ($($(#[doc = $about:literal])+ $bug:ident = $name:literal from $source:literal,)+) => {
        /// A bug that a node can be made to run with.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
        pub enum Bug {
            $($(#[doc = $about])+ $bug,)+
        }

        impl Bug {
            /// All of them.
            pub const ALL: &[Self] = &[$(Self::$bug),+];

            /// Its name on the command line.
            pub const fn name(self) -> &'static str {
                match self { $(Self::$bug => $name,)+ }
            }

            /// What is wrong, in a line.
            pub const fn about(self) -> &'static str {
                match self { $(Self::$bug => concat!($($about),+).trim_ascii(),)+ }
            }

            /// Where it was found.
            pub const fn source(self) -> &'static str {
                match self { $(Self::$bug => $source,)+ }
            }
        }
    };
}

bugs! {
    /// A step-down within a term clears the vote of that term.
    StepDownClearsVote = "step-down-clears-vote" from "akka-raft #56, hazelcast #16643, redpanda #14, CCF #5891",
    /// Term and vote are kept in memory only.
    VoteNotPersisted = "vote-not-persisted" from "seaweedfs/raft #9, akka-raft #62",
    /// A vote leaves before it is on disk.
    ReplyBeforeSync = "reply-before-sync" from "figure 2: updated on stable storage before responding to RPCs",
    /// A vote of an older term is counted in this one.
    StaleVoteCounted = "stale-vote-counted" from "xraft #33, little-raft #44",
    /// Votes are counted, not voters.
    VotesCountedTwice = "votes-counted-twice" from "akka-raft #45",
    /// Half of the members are taken for a majority.
    HalfIsAQuorum = "half-is-a-quorum" from "rafter #16",
    /// A leader or a candidate grants the vote of its term to another.
    LeaderVotesAgain = "leader-votes-again" from "DaosRaft #70",
    /// A stale answer takes the term back.
    TermGoesBack = "term-goes-back" from "eliben/raft #14, nebula #2405",
    /// A candidate ignores the leader of its own term.
    CandidateNeverConcedes = "candidate-never-concedes" from "goraft #53",
    /// The election timeout is drawn at the start and never again.
    TimeoutDrawnOnce = "timeout-drawn-once" from "openraft #1838",
    /// Any candidate's request starts the election timer afresh.
    TimerResetByAnyone = "timer-reset-by-anyone" from "raft-rs #14",
    /// A granted vote does not start the election timer afresh.
    TimerNotResetOnGrant = "timer-not-reset-on-grant" from "jgroups-raft #45",
    /// A leader that is deposed has no election timer.
    DemotedTimerUnarmed = "demoted-timer-unarmed" from "redpanda #21345",
    /// A candidate that asks again is refused the vote that it has.
    RepeatRequestRefused = "repeat-request-refused" from "nebula #2419",
    /// Another algorithm: no terms, and a vote for anyone from all who do not lead.
    SeedDocument = "seed-document" from "the post that this crate began with",
    /// The control: term and vote in two writes, the term first. Harmless, and not to be caught.
    TwoWrites = "two-writes" from "hashicorp/raft #661",
}

impl fmt::Display for Bug {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for Bug {
    type Err = UnknownBug;

    fn from_str(name: &str) -> Result<Self, UnknownBug> {
        Self::ALL.iter().copied().find(|bug| bug.name() == name).ok_or_else(|| UnknownBug(name.to_owned()))
    }
}

/// No bug has this name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UnknownBug(pub String);

impl fmt::Display for UnknownBug {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names: Vec<_> = Bug::ALL.iter().map(|bug| bug.name()).collect();
        write!(f, "no planted bug is called '{}': there are {}", self.0, names.join(", "))
    }
}

impl std::error::Error for UnknownBug {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_bug_is_found_by_its_name_and_described() {
        for bug in Bug::ALL {
            assert_eq!(bug.name().parse(), Ok(*bug));
            assert!(bug.about().ends_with('.') && !bug.about().starts_with(' '), "{bug}: {}", bug.about());
            assert!(!bug.source().is_empty());
        }
        let unknown = "off-by-one".parse::<Bug>().expect_err("there is no such bug").to_string();
        assert!(unknown.contains("two-writes"), "{unknown}");
    }
}
