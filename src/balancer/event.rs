//! What a balancer tells of itself.

use std::fmt;
use std::net::SocketAddr;
use std::time::Duration;

use super::config::Origin;
use super::policy::{self, BackendId, Outcome};
use crate::events::Value;

/// An event's fields in order.
pub type Fields = Vec<(&'static str, Value)>;

/// Something that happened in a balancer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// It listens.
    Listening {
        /// Where.
        addr: SocketAddr,
    },
    /// A client has connected.
    Accepted,
    /// A client's connection is over.
    Closed,
    /// A request is taken on: it counts as in flight, and towards the retry budget.
    Began,
    /// A backend is chosen for a request.
    Picked {
        /// The backend.
        id: BackendId,
        /// It was ejected, and this request is to show how it is.
        is_probe: bool,
        /// No other backend was tried for this request before.
        is_first: bool,
    },
    /// A backend is done with a request that it was chosen for.
    Finished {
        /// The backend.
        id: BackendId,
        /// What came of it.
        outcome: Outcome,
    },
    /// A request has its answer's head.
    Answered {
        /// The status.
        status: u16,
        /// How long after its own head.
        after: Duration,
    },
    /// A kept connection turned out to be closed, and the request goes again at once over a fresh one.
    Renewed {
        /// The backend.
        id: BackendId,
    },
    /// A backend's answer does not keep to a limit of the balancer's own, and is not passed on.
    OverLimit {
        /// The backend.
        id: BackendId,
    },
    /// A client and a backend have agreed to speak another protocol, and the balancer carries bytes both ways.
    Switched {
        /// The backend.
        id: BackendId,
    },
    /// A client's bytes are no request that is taken.
    Rejected {
        /// The status of the answer.
        status: u16,
        /// What is wrong.
        reason: &'static str,
    },
    /// Other settings hold.
    Reloaded,
    /// It takes no more connections, and lets those that it has finish.
    Draining {
        /// How many there are.
        connections: usize,
    },
    /// They were cut off.
    DrainCut {
        /// How many there were.
        connections: usize,
    },
    /// A backend's standing has changed.
    Policy {
        /// What has become of it.
        event: policy::Event,
        /// Where it is, if it is about one.
        origin: Option<Origin>,
    },
    /// A request is tried again.
    Retried,
    /// A request is not tried again, since the budget is spent.
    RetryRefused,
}

impl fmt::Display for Event {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Listening { addr } => write!(f, "listens on {addr}"),
            Self::Accepted => f.write_str("a client has connected"),
            Self::Closed => f.write_str("a client's connection is over"),
            Self::Began => f.write_str("takes a request on"),
            Self::Picked { id, is_probe: false, .. } => write!(f, "asks {id}"),
            Self::Picked { id, is_probe: true, .. } => write!(f, "probes {id} with a request"),
            Self::Finished { id, outcome } => write!(f, "{id} is done with a request: {outcome:?}"),
            Self::Answered { status, after } => write!(f, "answered with {status} after {after:?}"),
            Self::Renewed { id } => {
                write!(f, "a kept connection to {id} was closed, and the request goes over a fresh one")
            }
            Self::OverLimit { id } => write!(f, "an answer of {id} is above a limit"),
            Self::Switched { id } => write!(f, "a client and {id} speak another protocol"),
            Self::Rejected { status, reason } => write!(f, "refused with {status}: {reason}"),
            Self::Reloaded => f.write_str("other settings hold"),
            Self::Draining { connections } => write!(f, "ends, with {connections} connections to finish"),
            Self::DrainCut { connections } => write!(f, "cuts {connections} connections off"),
            Self::Policy { event, origin: Some(origin) } => write!(f, "{origin} {event}"),
            Self::Policy { event, origin: None } => write!(f, "{event}"),
            Self::Retried => f.write_str("tries a request again"),
            Self::RetryRefused => f.write_str("does not try a request again: the retry budget is spent"),
        }
    }
}

impl Event {
    /// Its name and fields in a trace; `name` is that of a backend. `None`: there is too much of it to be told.
    pub fn told(&self, name: &dyn Fn(BackendId) -> String) -> Option<(&'static str, Fields)> {
        let backend = |id: &BackendId| vec![("backend", name(*id).into())];
        let connections = |count: &usize| vec![("connections", (*count as u64).into())];
        Some(match self {
            Self::Policy { event, .. } => standing(event, name),
            Self::Picked { id, is_probe, .. } => {
                ("asks", vec![("backend", name(*id).into()), ("probe", (*is_probe).into())])
            }
            Self::Retried => ("tries-again", Vec::new()),
            Self::RetryRefused => ("retry-refused", Vec::new()),
            Self::Rejected { status, reason } => {
                ("rejected", vec![("status", u64::from(*status).into()), ("reason", (*reason).into())])
            }
            Self::Renewed { id } => ("goes-again", backend(id)),
            Self::OverLimit { id } => ("over-limit", backend(id)),
            Self::Switched { id } => ("switches", backend(id)),
            Self::Reloaded => ("reloaded", Vec::new()),
            Self::Draining { connections: count } => ("draining", connections(count)),
            Self::DrainCut { connections: count } => ("drain-cut", connections(count)),
            _ => return None,
        })
    }
}

/// A change of a backend's standing.
fn standing(event: &policy::Event, name: &dyn Fn(BackendId) -> String) -> (&'static str, Fields) {
    use policy::Event as E;
    let (word, more): (&'static str, Fields) = match event {
        E::Added { .. } => ("added", Vec::new()),
        E::DrainBegan { in_flight, .. } => ("removed", vec![("in_flight", u64::from(*in_flight).into())]),
        E::DrainEnded { .. } => ("removal-undone", Vec::new()),
        E::Drained { .. } => ("drained", Vec::new()),
        E::CheckFailed { failure, .. } => ("unhealthy", vec![("why", failure.to_string().into())]),
        E::CheckRecovered { .. } => ("healthy", Vec::new()),
        E::Ejected { why, until, .. } => {
            let until = u64::try_from(until.as_millis()).unwrap_or(u64::MAX);
            ("ejected", vec![("why", why.to_string().into()), ("until_ms", until.into())])
        }
        E::HalfOpened { .. } => ("half-open", Vec::new()),
        E::Readmitted { .. } => ("readmitted", Vec::new()),
        E::SlowStartEnded { .. } => ("full-share", Vec::new()),
        E::PanicBegan { available, configured } | E::PanicEnded { available, configured } => {
            let word = if matches!(event, E::PanicBegan { .. }) { "panic" } else { "panic-over" };
            let more: Fields = vec![
                ("is", word.into()),
                ("available", (*available as u64).into()),
                ("configured", (*configured as u64).into()),
            ];
            ("standing", more)
        }
    };
    let backend = event.id().map(|id| ("backend", Value::from(name(id))));
    (word, backend.into_iter().chain(more).collect())
}
