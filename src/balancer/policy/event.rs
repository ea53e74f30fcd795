//! What becomes of backends, told as it happens.

use std::fmt;
use std::time::Duration;

use super::{BackendId, Failure};

/// A change of who may be asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Event {
    /// A reload brought a new backend.
    Added {
        /// The backend.
        id: BackendId,
    },
    /// A reload removed a backend: it is never picked again, but finishes what it has.
    DrainBegan {
        /// The backend.
        id: BackendId,
        /// How many requests it has still to finish.
        in_flight: u32,
    },
    /// A reload brought a backend back that was draining.
    DrainEnded {
        /// The backend.
        id: BackendId,
    },
    /// A removed backend has finished its last request and is forgotten.
    Drained {
        /// The backend.
        id: BackendId,
    },
    /// Active checks found a backend unhealthy.
    CheckFailed {
        /// The backend.
        id: BackendId,
        /// What the last check met.
        failure: Failure,
    },
    /// Active checks found a backend healthy again.
    CheckRecovered {
        /// The backend.
        id: BackendId,
    },
    /// A backend was ejected for how it served, or ejected again for how it served a probe.
    Ejected {
        /// The backend.
        id: BackendId,
        /// The reason.
        why: Why,
        /// When it becomes half-open.
        until: Duration,
    },
    /// A backend's ejection time is over: it may be probed.
    HalfOpened {
        /// The backend.
        id: BackendId,
    },
    /// A backend is no longer ejected.
    Readmitted {
        /// The backend.
        id: BackendId,
        /// What brought it back.
        by: Readmission,
    },
    /// A backend has its full share.
    SlowStartEnded {
        /// The backend.
        id: BackendId,
    },
    /// Too few backends are available: all that are configured are used.
    PanicBegan {
        /// How many are available.
        available: usize,
        /// How many are configured.
        configured: usize,
    },
    /// Enough backends are available again: those alone are used.
    PanicEnded {
        /// How many are available.
        available: usize,
        /// How many are configured.
        configured: usize,
    },
}

impl Event {
    /// The backend that it is about; none: all of them.
    pub fn id(&self) -> Option<BackendId> {
        match *self {
            Self::Added { id }
            | Self::DrainBegan { id, .. }
            | Self::DrainEnded { id }
            | Self::Drained { id }
            | Self::CheckFailed { id, .. }
            | Self::CheckRecovered { id }
            | Self::Ejected { id, .. }
            | Self::HalfOpened { id }
            | Self::Readmitted { id, .. }
            | Self::SlowStartEnded { id } => Some(id),
            Self::PanicBegan { .. } | Self::PanicEnded { .. } => None,
        }
    }
}

/// Without the backend's name, which stands before it.
impl fmt::Display for Event {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Added { .. } => f.write_str("is added"),
            Self::DrainBegan { in_flight, .. } => write!(f, "is removed, with {in_flight} requests to finish"),
            Self::DrainEnded { .. } => f.write_str("is back before it had finished"),
            Self::Drained { .. } => f.write_str("has finished and is gone"),
            Self::CheckFailed { failure, .. } => write!(f, "is unhealthy: {failure}"),
            Self::CheckRecovered { .. } => f.write_str("is healthy again"),
            Self::Ejected { why, .. } => write!(f, "is ejected: {why}"),
            Self::HalfOpened { .. } => f.write_str("may be probed"),
            Self::Readmitted { by, .. } => f.write_str(match by {
                Readmission::Probe => "is readmitted: a probe succeeded",
                Readmission::Check => "is readmitted: a health check passed",
                Readmission::EjectedPercentMax => "is readmitted: too many would be ejected",
            }),
            Self::SlowStartEnded { .. } => f.write_str("has its full share"),
            Self::PanicBegan { available, configured } => {
                write!(f, "panic: {available} of {configured} backends are available, so all are used")
            }
            Self::PanicEnded { available, configured } => {
                write!(f, "panic is over: {available} of {configured} backends are available")
            }
        }
    }
}

/// Why a backend is ejected.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Why {
    /// It failed this often in a row.
    Consecutive {
        /// How many failures.
        failures: u32,
        /// The last of them.
        last: Failure,
    },
    /// It failed too large a part of its requests.
    Rate {
        /// How many failures are in the window.
        failures: u32,
        /// How many requests are in the window.
        requests: u32,
    },
    /// It failed a probe.
    Probe(Failure),
}

impl Why {
    /// Whether there was no connection to the backend, which an active check would see.
    pub fn is_unreachable(self) -> bool {
        match self {
            Self::Consecutive { last, .. } => last.is_unreachable(),
            Self::Rate { .. } => false,
            Self::Probe(failure) => failure.is_unreachable(),
        }
    }
}

impl fmt::Display for Why {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Consecutive { failures, last } => write!(f, "{failures} failures in a row, last: {last}"),
            Self::Rate { failures, requests } => write!(f, "{failures} of {requests} requests failed"),
            Self::Probe(failure) => write!(f, "probe failed: {failure}"),
        }
    }
}

/// What ended an ejection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Readmission {
    /// A probe succeeded.
    Probe,
    /// An active check passed.
    Check,
    /// A reload left more ejected than may be.
    EjectedPercentMax,
}
