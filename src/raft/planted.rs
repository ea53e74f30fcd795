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
    /// All that comes after the entry before the new ones is cut off, whether or not it contradicts them.
    TruncateAfterPrev = "truncate-after-prev" from "async-raft <= 0.6.1, hashicorp/raft #113, lerna #152",
    /// A follower commits what its leader has, and not only what this message vouches for.
    CommitUnmatched = "commit-unmatched" from "async-raft, scylladb #9965, tinykv #191",
    /// A leader commits entries of older terms by counting (figure 8).
    CommitOldTerm = "commit-old-term" from "async-raft #106, logcabin #44",
    /// A late answer takes the match index back.
    MatchAssigned = "match-assigned" from "raftos #25, little_raft",
    /// A late refusal takes the next index below what is known to match.
    NextUnderMatch = "next-under-match" from "raft-rs #555, etcd #149",
    /// A follower acknowledges all that it has, whatever the message vouches for.
    AckOwnLast = "ack-own-last" from "CCF #6016, ratis #1519",
    /// The hint of a refusal is always the follower's last entry, and is believed.
    HintOff = "hint-off" from "async-raft #73, cubefs #2376, CCF #2803",
    /// Entries are acknowledged before they are on disk.
    AckUnsynced = "ack-unsynced" from "raft-rs #128, tikv #994",
    /// A sync that failed is forgotten once a later one succeeds.
    SyncErrorIgnored = "sync-error-ignored" from "cockroach #37102",
    /// What was cut off of the log is back after a restart.
    TruncationVolatile = "truncation-volatile" from "etcd #22442, qdrant #1329",
    /// What is written after a torn record is lost at the next restart.
    TornTailLeft = "torn-tail-left" from "neo4j #8726",
    /// Damage in the middle of a log is cut off like a torn end.
    TornAnywhere = "torn-anywhere" from "Protocol-Aware Recovery (FAST 2018), pebble #453",
    /// A leader reads by rounds before it has committed an entry of its own term.
    ReadBeforeOwnTerm = "read-before-own-term" from "etcd #7331, tikv #6340",
    /// A leader reads before its round is answered.
    ReadUnconfirmed = "read-unconfirmed" from "d-engine #381, etcd #741",
    /// A lease runs from when an answer came, and clocks are taken to be right.
    LeaseFromAnswer = "lease-from-answer" from "sofa-jraft #34, tikv #964",
    /// A command that comes again takes effect again.
    RetryTwice = "retry-twice" from "curvine #676, sofa-jraft #1014",
    /// Each server closes sessions when it thinks fit.
    ExpiryLocal = "expiry-local" from "copycat #40, databend #7325",
    /// A leader commits entries that are not on its own disk.
    ApplyOnAppend = "apply-on-append" from "etcd #14370",
    /// A control: one message at a time. Slow, harmless, and not to be caught.
    WindowOne = "window-one" from "figure 2, without pipelining",
    /// The control: term and vote in two writes, the term first. Harmless, and not to be caught.
    TwoWrites = "two-writes" from "hashicorp/raft #661",
}

/// The bug of a part of a node that has no settings of its own.
#[derive(Clone, Debug, Default)]
pub struct Planted {
    /// Which one.
    pub bug: Option<Bug>,
}
