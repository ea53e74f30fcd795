//! The wrong Rafts that the checks must catch. Every one of them was real, in the code that its line names.
//!
//! A bug is one marked line or a few in the core, all of them absent from a build without the feature `planted-bugs`.

crate::planted_bugs! {
    "node":
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
    /// Heartbeats of a leader whose term is over start the election timer afresh.
    StaleAppendResetsTimer = "stale-append-resets-timer" from "miniraft-cpp #28, zatt #3, willemt/raft #48",
    /// The election timer runs while a vote is written, and nobody can be heard.
    TimerRunsWhileWriting = "timer-runs-while-writing" from "logcabin #200",
    /// Whoever is in a newer term is taken for its leader.
    FollowsWhoeverIsNewer = "follows-whoever-is-newer" from "etcd #8339",
    /// Newer terms in answers are ignored.
    NewerTermInAnswerIgnored = "newer-term-in-answer-ignored" from "verdi-raft #29, ruaft #7",
    /// A newer term is written only once there is a vote in it.
    TermWithoutVoteNotWritten = "term-without-vote-not-written" from "figure 2: updated on stable storage before responding to RPCs",
    /// A request to take over that comes in a later term is followed all the same.
    StaleTimeoutNow = "stale-timeout-now" from "tikv #18453",
    /// The lead goes to a successor whose log is behind.
    SuccessorBehind = "successor-behind" from "redpanda #2606",
    /// Pre-votes are granted to candidates whose logs are behind.
    PreVoteIgnoresLog = "pre-vote-ignores-log" from "NuRaft #134",
    /// A leader grants pre-votes against itself.
    LeaderGrantsPreVotes = "leader-grants-pre-votes" from "braft #365",
    /// A leader steps down for a heartbeat of an older term.
    StaleAppendDeposes = "stale-append-deposes" from "nats-server #5314",
    /// A new leader waits before its first heartbeat.
    HeartbeatsBeginLate = "heartbeats-begin-late" from "willemt/raft #48",
    /// Another algorithm: no terms, and a vote for anyone from all who do not lead.
    SeedDocument = "seed-document" from "the post that this crate began with",
    /// The control: term and vote in two writes, the term first. Harmless, and not to be caught.
    TwoWrites = "two-writes" from "hashicorp/raft #661",
}
