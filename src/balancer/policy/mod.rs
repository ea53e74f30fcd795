//! Where each request goes, and who may be asked: the decisions of a load balancer, without a socket and without a
//! clock.
//!
//! A driver asks [`Backends::pick`] for a backend, sends the request there, and hands the [`Pick`] back to
//! [`Backends::finished`] with what came of it. It makes the active health checks and tells [`Backends::checked`] their
//! results. It calls [`Backends::advance`] at [`Backends::next_deadline`], and after any call it drains
//! [`Backends::take_events`]. Every function takes `now`, the time since an epoch of the driver's choice, which must
//! not go back.
//!
//! # Who may be asked
//!
//! Two judges work on each backend, and both must be content.
//!
//! - **Active checks.** A number of failed checks in a row makes a backend unhealthy, a number of passed ones healthy
//!   again. A new backend is believed until its first check, which decides alone.
//! - **Passive ejection** (Envoy's outlier detection). Failures in a row eject a backend, and so does a failure rate
//!   over a sliding window. The first is quick but blind to gray failure, where every second answer is good; the second
//!   sees that. The ejection time grows with each ejection and shrinks while the backend stays admitted. When it is
//!   over, the backend is *half-open*: single probes go through, one at a time, and the outcome of one readmits or
//!   ejects again.
//!
//! What ends an ejection early is a check that turns from unhealthy to healthy, for the backend has come back; and any
//! passed check, where the backend could not be reached before and so what the check saw is what was wrong. Other
//! ejections outlast passed checks, unless [`Ejection::check_readmits`] is on: in gray failure the checks pass all the
//! time.
//!
//! Judging may not take the service away. At most [`Ejection::ejected_percent_max`] of the backends are ejected at a
//! time, and where fewer than [`Settings::panic_percent`] are available, all of them are used: *panic*, for then it is
//! more likely that the judges are wrong, or that the few would drown in what all have carried.
//!
//! A backend that returns, or that is new, has a *slow start*: its share grows over a window.
//!
//! # Where a request goes
//!
//! [`Policy`] tells among those who may be asked. Probes come before it and take nobody's turn; in panic alone a
//! probe is whoever's turn it is.
//!
//! **Invariant:** a backend that is not available is picked only in panic, or as a probe.
//!
//! **Invariant:** between two changes of the set of available backends, first attempts under [`Policy::RoundRobin`]
//! with equal weights differ by at most one, where nobody is in slow start or at its in-flight limit. Retries have a
//! rotation of their own, so that they do not shift that of the others.
//!
//! **Invariant:** each backend's count in flight is that of its picks not yet finished.
//!
//! # Trying again
//!
//! [`RetryBudget`] keeps retries from becoming a storm, and [`Backoff`] says how long to wait before one.

mod backend;
mod backends;
mod backoff;
mod budget;
mod candidate;
mod choice;
mod event;
mod health;
mod latency;
mod rotation;
mod settings;
mod snapshot;
#[cfg(test)]
mod tests;
mod window;

use std::error::Error;
use std::fmt;
use std::time::Duration;

pub use backends::Backends;
pub use backoff::Backoff;
pub use budget::{Budget, RetryBudget};
pub use event::{Event, Readmission, Why};
pub use settings::{Checks, Ejection, FailureRate, Latency, Settings, SettingsError, SlowStart, WEIGHT_MAX};
pub use snapshot::{BackendStatus, Snapshot, State, Totals};

/// A backend, for as long as it is configured: a reload that names the same backend gives it the same id.
///
/// Rotation goes by ids, from the least to the largest.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct BackendId(pub u32);

impl fmt::Display for BackendId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "b{}", self.0)
    }
}

/// How a backend is chosen among those that may be asked.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Policy {
    /// In turn. With weights it is nginx's smooth weighted round robin: in each cycle of as many requests as the
    /// weights add up to, each backend gets exactly its weight, spread out.
    #[default]
    RoundRobin,
    /// The least requests in flight for its weight; round robin among equals, as nginx has it.
    LeastConnections,
    /// The power of two choices: of two distinct backends drawn at random, the one with the lower product of its
    /// latency (Finagle's peak EWMA) and its requests in flight, the new one included, for its weight.
    PeakEwma,
}

/// A request's claim on a backend, counted as in flight until it is handed to [`Backends::finished`].
#[derive(Debug, PartialEq, Eq)]
#[must_use = "it is in flight until `Backends::finished` has it back"]
pub struct Pick {
    /// Where the request goes.
    pub id: BackendId,
    /// The backend is half-open, and this request decides whether it is readmitted.
    pub is_probe: bool,
    /// It was picked in panic, among all backends that are configured.
    pub in_panic: bool,
    /// Which of the backend's times in or out of service it belongs to: the outcome says nothing of any other.
    epoch: u64,
}

/// What came of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// The backend did its part. A status below 500 is that, whatever the client makes of it.
    Success {
        /// The time from sending the request to the head of the answer.
        latency: Duration,
    },
    /// The backend did not.
    Failure(Failure),
    /// The client went away first, which says nothing of the backend.
    Cancelled,
}

/// How a backend failed a request or a check.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Failure {
    /// The connection was refused.
    ConnectRefused,
    /// The connection did not come about in time.
    ConnectTimeout,
    /// The connection was reset or closed before the head of the answer.
    Reset,
    /// The answer did not come in time.
    Timeout,
    /// The answer is not HTTP, or not one that may be passed on.
    Malformed,
    /// It switched to a protocol that the request did not ask for.
    Unasked,
    /// The answer's body ended early, or stalled.
    Truncated,
    /// A status of 500 and above; for a check, one that is not the expected.
    Status(u16),
}

impl Failure {
    /// Whether there was no connection, so that no byte of the request can have been read.
    pub fn is_unreachable(self) -> bool {
        matches!(self, Self::ConnectRefused | Self::ConnectTimeout)
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::ConnectRefused => f.write_str("connection refused"),
            Self::ConnectTimeout => f.write_str("connection timed out"),
            Self::Reset => f.write_str("connection closed before the answer"),
            Self::Timeout => f.write_str("no answer in time"),
            Self::Malformed => f.write_str("malformed answer"),
            Self::Unasked => f.write_str("it switched to a protocol that was not asked for"),
            Self::Truncated => f.write_str("answer cut short"),
            Self::Status(status) => write!(f, "status {status}"),
        }
    }
}

/// Why there is no backend for a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NoBackend {
    /// Those that may be asked and were not yet tried have as much in flight as they may.
    Busy,
    /// None may be asked.
    AllDown {
        /// When the first may be back, from now; none where nothing is known to bring one back.
        retry_after: Option<Duration>,
    },
    /// Each that may be asked was tried by this request.
    AllTried,
}

impl fmt::Display for NoBackend {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Busy => f.write_str("every backend has as many requests in flight as it may"),
            Self::AllDown { retry_after: Some(after) } => {
                write!(f, "no backend is available, the first may be in {after:?}")
            }
            Self::AllDown { retry_after: None } => f.write_str("no backend is available"),
            Self::AllTried => f.write_str("every available backend was tried"),
        }
    }
}

impl Error for NoBackend {}
