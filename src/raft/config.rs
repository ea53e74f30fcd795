//! What a node is told of its cluster and its timing, and the errors when it does not fit.

use std::collections::BTreeSet;
use std::error::Error;
use std::fmt;
use std::ops::RangeInclusive;
use std::time::Duration;

use super::NodeId;
#[cfg(feature = "planted-bugs")]
use super::planted::Bug;

/// The most members that a cluster may have. Real ones have 1 to 9.
pub const MEMBERS_MAX: usize = 255;

/// The longest that a command may be, in bytes: a value of 1 MiB, its key, and what says what to do with them.
pub const COMMAND_BYTES_MAX: usize = (1 << 20) + (1 << 13);

/// How a leader sends its log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Replication {
    /// Entries are put into one message as long as they come to at most so many bytes. One entry alone may be longer.
    pub batch_bytes: usize,
    /// The most entries in a message.
    pub batch_entries: usize,
    /// How many messages with entries may be under way to a peer: the window shrinks to the least of them where messages
    /// are lost, and grows to the most of them as they are acknowledged.
    pub window: RangeInclusive<u32>,
    /// The most commands that a leader holds that are not committed: more are declined.
    pub uncommitted_max: usize,
    /// Leaders may answer reads by their lease (dissertation §6.4.1), which followers keep by
    /// [`leader_stickiness`](Config::leader_stickiness): by how much clocks may run fast or slow, in millionths.
    pub lease: Option<u32>,
}

impl Default for Replication {
    fn default() -> Self {
        // A datagram of 1,400 bytes, and in it what a message has beside its entries.
        Self { batch_bytes: 1_280, batch_entries: 256, window: 4..=64, uncommitted_max: 65_536, lease: None }
    }
}

/// The settings of a node. All members of a cluster should have the same.
#[derive(Clone, Debug, PartialEq, Eq)]
#[allow(clippy::struct_excessive_bools, reason = "each is a switch of its own, which a race may need off")]
pub struct Config {
    /// All members of the cluster, this node included.
    pub members: BTreeSet<NodeId>,
    /// The least election timeout: also how long a node that heard from its leader stands by it.
    pub election_timeout_min: Duration,
    /// The largest election timeout: also how long a leader goes on without a majority, and a transfer may take.
    pub election_timeout_max: Duration,
    /// Election timeouts are drawn in steps of this much above the least one.
    pub timeout_resolution: Duration,
    /// The time between a leader's heartbeats, and between the repeated requests of a candidate.
    pub heartbeat: Duration,
    /// Ask whether an election could be won before raising the term for it (dissertation §9.6).
    pub pre_vote: bool,
    /// A leader steps down when it has not heard from a majority for `election_timeout_max` (dissertation §6.2).
    pub check_quorum: bool,
    /// A node that heard from its leader within `election_timeout_min` disregards candidates (dissertation §4.2.3).
    pub leader_stickiness: bool,
    /// A candidate asks silent peers again at each `heartbeat` of its candidacy, for datagrams get lost. Without it
    /// a lost request costs the candidate that vote.
    pub resend: bool,
    /// How the leader's log is replicated; `None`: it is not, and logs stand still. Then there are elections and nothing
    /// else, and no message, no write and no draw is another than with a log.
    pub replication: Option<Replication>,
    /// The bug that this node runs with.
    #[cfg(feature = "planted-bugs")]
    pub bug: Option<Bug>,
}

impl Config {
    /// The paper's timing (timeouts of 150 to 300 ms), a heartbeat of 50 ms, and everything switched on.
    pub fn new(members: impl IntoIterator<Item = NodeId>) -> Self {
        Self {
            members: members.into_iter().collect(),
            election_timeout_min: Duration::from_millis(150),
            election_timeout_max: Duration::from_millis(300),
            timeout_resolution: Duration::from_micros(1),
            heartbeat: Duration::from_millis(50),
            pre_vote: true,
            check_quorum: true,
            leader_stickiness: true,
            resend: true,
            replication: None,
            #[cfg(feature = "planted-bugs")]
            bug: None,
        }
    }

    /// How many members are a majority of all that are configured.
    pub fn quorum(&self) -> usize {
        self.members.len() / 2 + 1
    }

    /// Whether the settings make sense, and for the node `id`.
    pub fn validate(&self, id: NodeId) -> Result<(), ConfigError> {
        let (min, max) = (self.election_timeout_min, self.election_timeout_max);
        if self.members.is_empty() || self.members.len() > MEMBERS_MAX {
            return Err(ConfigError::MemberCount(self.members.len()));
        }
        if self.members.contains(&NodeId(0)) {
            return Err(ConfigError::ZeroId);
        }
        if !self.members.contains(&id) {
            return Err(ConfigError::NotAMember(id));
        }
        if min > max {
            return Err(ConfigError::TimeoutRange { min, max });
        }
        if self.timeout_resolution < Duration::from_micros(1) {
            return Err(ConfigError::Resolution(self.timeout_resolution));
        }
        if self.heartbeat.is_zero() || self.heartbeat >= min {
            return Err(ConfigError::Heartbeat { heartbeat: self.heartbeat, min });
        }
        self.replication.iter().try_for_each(|replication| replication.validate(self.leader_stickiness))
    }
}

impl Replication {
    fn validate(&self, is_sticky: bool) -> Result<(), ConfigError> {
        if self.batch_entries == 0 || self.uncommitted_max == 0 {
            return Err(ConfigError::Nothing);
        }
        let (least, most) = (*self.window.start(), *self.window.end());
        if least == 0 || least > most {
            return Err(ConfigError::Window { least, most });
        }
        match self.lease {
            Some(drift) if drift >= DRIFT_PER_MILLION_MAX => return Err(ConfigError::LeaseDrift(drift)),
            Some(_) if !is_sticky => return Err(ConfigError::LeaseUnsticky),
            _ => {}
        }
        Ok(())
    }
}

/// Clocks that differ by half are no clocks to hold a lease by.
const DRIFT_PER_MILLION_MAX: u32 = 500_000;

/// What is wrong with a [`Config`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ConfigError {
    /// No members, or too many.
    MemberCount(usize),
    /// A member has the id 0, which stands for nobody on the wire and on disk.
    ZeroId,
    /// The node is not among its own cluster's members.
    NotAMember(NodeId),
    /// The least timeout is above the largest.
    TimeoutRange {
        /// The least.
        min: Duration,
        /// The largest.
        max: Duration,
    },
    /// Timeouts cannot be drawn in steps this small.
    Resolution(Duration),
    /// Followers would time out between two heartbeats, or there is no time between them.
    Heartbeat {
        /// The time between heartbeats.
        heartbeat: Duration,
        /// The least election timeout.
        min: Duration,
    },
    /// No entry could be sent.
    Nothing,
    /// The window has no message in it, or its least is above its most.
    Window {
        /// The least.
        least: u32,
        /// The most.
        most: u32,
    },
    /// No clock is as bad as this, in millionths.
    LeaseDrift(u32),
    /// Nobody keeps the lease.
    LeaseUnsticky,
}

impl ConfigError {
    /// Whether it is [`Config::replication`] that makes no sense.
    pub fn is_about_replication(&self) -> bool {
        matches!(self, Self::Nothing | Self::Window { .. } | Self::LeaseDrift(_) | Self::LeaseUnsticky)
    }
}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::MemberCount(count) => {
                write!(f, "a cluster has 1 to {MEMBERS_MAX} members, not {count}: name each of them once")
            }
            Self::ZeroId => f.write_str("a member has the id 0, which stands for nobody: count members from 1"),
            Self::NotAMember(id) => {
                write!(f, "{id} is not among the members: add it, or start the node with its own id")
            }
            Self::TimeoutRange { min, max } => {
                write!(f, "the least election timeout, {min:?}, is above the largest, {max:?}: swap them")
            }
            Self::Resolution(step) => {
                write!(f, "election timeouts cannot be drawn in steps of {step:?}: take 1µs or more")
            }
            Self::Heartbeat { heartbeat, min } => write!(
                f,
                "a heartbeat every {heartbeat:?} does not fit election timeouts from {min:?}: take more than nothing \
                 and less than the least timeout, a third of it for example"
            ),
            Self::Nothing => f.write_str("a leader must be able to send an entry: take 1 or more"),
            Self::Window { least, most } => {
                write!(
                    f,
                    "a window of {least} to {most} messages is none: take 1 or more, and the most not below the least"
                )
            }
            Self::LeaseDrift(drift) => write!(
                f,
                "leases cannot be held by clocks that are {drift} millionths wrong: take less than \
                 {DRIFT_PER_MILLION_MAX}, or read without leases"
            ),
            Self::LeaseUnsticky => f.write_str(
                "leases are kept by followers that stand by their leader: switch leader stickiness on, or read without \
                 leases",
            ),
        }
    }
}

impl Error for ConfigError {}

#[cfg(test)]
mod tests {
    use super::*;

    const N1: NodeId = NodeId(1);

    fn refused(change: impl FnOnce(&mut Config)) -> String {
        let mut config = Config::new([N1, NodeId(2), NodeId(3)]);
        change(&mut config);
        config.validate(N1).expect_err("it does not make sense").to_string()
    }

    #[test]
    fn the_defaults_are_valid_for_every_member_and_nobody_else() {
        let config = Config::new([N1, NodeId(2)]);
        assert_eq!(config.validate(NodeId(2)), Ok(()));
        assert_eq!(config.validate(NodeId(3)), Err(ConfigError::NotAMember(NodeId(3))));
    }

    #[test]
    fn a_quorum_is_more_than_half() {
        let quorum = |n: u64| Config::new((1..=n).map(NodeId)).quorum();
        assert_eq!([1, 2, 3, 4, 5, 9].map(quorum), [1, 2, 2, 3, 3, 5]);
    }

    #[test]
    fn errors_say_what_to_do() {
        assert!(refused(|c| c.members.clear()).contains("1 to 255 members, not 0"));
        assert!(refused(|c| c.members = (1..=256).map(NodeId).collect()).contains("not 256"));
        assert!(refused(|c| c.members.extend([NodeId(0)])).contains("count members from 1"));
        assert!(refused(|c| c.election_timeout_min = Duration::from_secs(1)).contains("swap them"));
        assert!(refused(|c| c.timeout_resolution = Duration::ZERO).contains("1µs or more"));
        assert!(refused(|c| c.heartbeat = Duration::from_millis(150)).contains("less than the least timeout"));
        assert!(refused(|c| c.heartbeat = Duration::ZERO).contains("more than nothing"));
        let replicating = |change: fn(&mut Replication)| {
            refused(|c| {
                let mut replication = Replication::default();
                change(&mut replication);
                c.leader_stickiness = false;
                c.replication = Some(replication);
            })
        };
        assert!(replicating(|r| r.batch_entries = 0).contains("take 1 or more"));
        assert!(replicating(|r| r.window = 0..=4).contains("a window of 0 to 4 messages"));
        assert!(replicating(|r| r.lease = Some(600_000)).contains("600000 millionths wrong"));
        assert!(replicating(|r| r.lease = Some(10_000)).contains("switch leader stickiness on"));
    }
}
