//! What there is to see of the backends.

use std::time::Duration;

use super::backend::{Admission, Backend};
use super::{BackendId, Backends, Why};

/// All backends at one time.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Snapshot {
    /// Too few backends are available, so that all that are configured are used.
    pub is_panic: bool,
    /// How many may be asked, but for panic.
    pub available: usize,
    /// How many are configured: all but those that drain.
    pub configured: usize,
    /// Every backend in the order of ids, those that drain too.
    pub backends: Vec<BackendStatus>,
}

/// One backend at one time.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BackendStatus {
    /// The backend.
    pub id: BackendId,
    /// Its weight.
    pub weight: u32,
    /// Whether it may be asked, and if not, why.
    pub state: State,
    /// How many requests it has.
    pub in_flight: u32,
    /// How many ejections in a row the time of the next would grow by, before any is forgiven.
    pub ejections_in_a_row: u32,
    /// How many requests it has failed in a row.
    pub consecutive_failures: u32,
    /// The failures and the requests of the failure rate's window; none where there is no window.
    pub rate: Option<(u32, u32)>,
    /// The latency that is believed of it.
    pub latency: Duration,
    /// What it has had and done so far.
    pub totals: Totals,
}

/// Whether a backend may be asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    /// It has its whole share.
    Healthy,
    /// It may be asked, and its share grows.
    SlowStart {
        /// Its share now, in thousandths of its weight.
        share_permille: u32,
        /// When it has all of it.
        until: Duration,
    },
    /// Active checks fail. It may be ejected too.
    Unhealthy,
    /// It is ejected for how it served.
    Ejected {
        /// When it becomes half-open.
        until: Duration,
        /// The reason.
        why: Why,
    },
    /// Its ejection time is over, and a probe decides.
    HalfOpen {
        /// A probe is in flight.
        is_probed: bool,
    },
    /// A reload removed it, and it has requests to finish.
    Draining,
}

/// Counts since a backend was first configured.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Totals {
    /// Requests given to it.
    pub picks: u64,
    /// Those of them that were probes.
    pub probes: u64,
    /// Those that it did.
    pub successes: u64,
    /// Those that it failed.
    pub failures: u64,
    /// Those whose client went away.
    pub cancelled: u64,
    /// How often it was ejected.
    pub ejections: u64,
    /// How often it was not, for too many were.
    pub ejections_withheld: u64,
}

impl Backends {
    /// What there is to see at `now`. Transitions that are due but not yet made by [`Backends::advance`] are not seen.
    pub fn snapshot(&self, now: Duration) -> Snapshot {
        let decay = self.settings.latency.decay;
        let status = |(id, backend): (&BackendId, &Backend)| BackendStatus {
            id: *id,
            weight: backend.weight,
            state: self.state(backend, now),
            in_flight: backend.in_flight,
            ejections_in_a_row: backend.ejections,
            consecutive_failures: backend.consecutive,
            rate: backend.window.as_ref().map(|window| {
                let counts = window.at_most(now);
                (counts.of_kind, counts.all)
            }),
            latency: Duration::from_nanos(backend.latency.estimate_ns(now, decay)),
            totals: backend.totals,
        };
        Snapshot {
            is_panic: self.is_panic,
            available: self.available(),
            configured: self.configured(),
            backends: self.backends.iter().map(status).collect(),
        }
    }

    fn state(&self, backend: &Backend, now: Duration) -> State {
        if backend.is_draining {
            return State::Draining;
        }
        if !backend.check.is_healthy {
            return State::Unhealthy;
        }
        match backend.admission {
            Admission::Ejected { until, why } => State::Ejected { until, why },
            Admission::HalfOpen { is_probed, .. } => State::HalfOpen { is_probed },
            Admission::Admitted { .. } => match backend.warm_at(&self.settings) {
                Some(until) => State::SlowStart { share_permille: backend.share_permille(&self.settings, now), until },
                None => State::Healthy,
            },
        }
    }
}
