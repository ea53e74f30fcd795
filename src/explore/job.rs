//! What passes between the command and the processes in which its runs happen: jobs one way, messages the other, a
//! line of JSON each.
//!
//! Every message begins with the mark of RFC 7464, the ASCII record separator, so that whatever a host prints to its
//! standard output cannot be taken for one.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::held::Variation;
use crate::report::records::{HostLine, RecordLine};
use crate::sim::Outcome;

/// Stands before each message.
pub(crate) const MARK: u8 = 0x1e;

/// One run that is to be made.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Job {
    /// The script's path, for errors.
    pub path: String,
    /// The script's text.
    pub text: String,
    /// The seed.
    pub seed: u64,
    /// Whether the records are wanted.
    pub keep_records: bool,
    /// Whether each of the system's times is wanted, and not only what they come to.
    #[serde(default)]
    pub keep_times: bool,
    /// From this simulated time on, every poll of a host is announced before it happens.
    pub careful_from: Option<Duration>,
    /// What is to be otherwise than usual, to find out what the run depends on.
    #[serde(default)]
    pub variation: Variation,
    /// Whether to look for threads that the run starts, after each step.
    #[serde(default)]
    pub look_for_threads: bool,
}

/// What a worker tells of a run.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Message {
    /// The worker waits for its first job.
    Ready,
    /// The run goes on.
    Heartbeat {
        /// The simulated time that it has reached.
        at: Duration,
    },
    /// A host is about to be polled.
    Polls {
        /// The simulated time.
        at: Duration,
        /// Its name.
        host: String,
    },
    /// The run is over; records follow if they were wanted.
    Finished {
        /// What it came to.
        outcome: Box<Outcome>,
        /// The wall time that it took.
        wall: Duration,
        /// The hosts, if the records were wanted.
        hosts: Vec<HostLine>,
    },
    /// The run has started threads: their names.
    Threads {
        /// In alphabetical order, each once.
        names: Vec<String>,
    },
    /// One record.
    Record(Box<RecordLine>),
    /// All records were sent: ready for the next job.
    Done,
    /// The run could not begin.
    Refused {
        /// Why, in full.
        message: String,
    },
}
