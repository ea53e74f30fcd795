//! The two judges: active checks, and what came of requests.

use std::time::Duration;

use super::backend::{Admission, Backend};
use super::{BackendId, Backends, Event, Failure, Outcome, Pick, Readmission, Why};

impl Backends {
    /// A request is over, with this outcome. It is no longer in flight.
    #[allow(clippy::needless_pass_by_value, reason = "a pick is finished once")]
    pub fn finished(&mut self, pick: Pick, now: Duration, outcome: Outcome) {
        self.advance(now);
        let Pick { id, is_probe, epoch, .. } = pick;
        let backend = self.backends.get_mut(&id).expect("a backend stays while it has requests in flight");
        assert!(backend.in_flight > 0, "{id}: a request that is over was not in flight");
        if !(planted!(self.settings, InFlightLeak) && matches!(outcome, Outcome::Failure(_))) {
            backend.in_flight -= 1;
        }
        let is_draining = backend.is_draining;
        backend.count(outcome, &self.settings, now);
        // What was picked before an ejection says nothing of the backend that came back.
        if epoch == backend.epoch {
            match &mut backend.admission {
                Admission::Admitted { .. } => self.judge(id, outcome),
                Admission::HalfOpen { is_probed, .. } if is_probe => match outcome {
                    Outcome::Success { .. } => self.readmit(id, Readmission::Probe),
                    Outcome::Failure(failure) => self.eject(id, Why::Probe(failure)),
                    Outcome::Cancelled => *is_probed = false,
                },
                Admission::HalfOpen { .. } | Admission::Ejected { .. } => {}
            }
        }
        // Whatever else changes than a count, an event tells of it.
        if is_draining || self.has_events() {
            self.settle();
        }
    }

    /// An active check of a backend has this result. Ignored where [`Settings::checks`](super::Settings::checks) is
    /// none, or the backend is not configured.
    pub fn checked(&mut self, id: BackendId, now: Duration, result: Result<(), Failure>) {
        self.advance(now);
        let Some(checks) = &self.settings.checks else { return };
        let Some(backend) = self.backends.get_mut(&id).filter(|backend| !backend.is_draining) else { return };
        let is_first = backend.check.last_at.replace(now).is_none();
        if result.is_ok() == backend.check.is_healthy {
            backend.check.against = 0;
        } else {
            backend.check.against += 1;
        }
        let needed = if result.is_ok() { checks.healthy_threshold } else { checks.unhealthy_threshold };
        let turns = backend.check.against >= needed || (is_first && backend.check.against > 0);
        match result {
            Ok(()) if turns => self.recover(id),
            Ok(()) => self.readmit_if_the_check_may(id),
            Err(failure) if turns => {
                backend.check.is_healthy = false;
                backend.check.against = 0;
                self.emit(Event::CheckFailed { id, failure });
            }
            Err(_) => {}
        }
        self.settle();
    }

    /// A backend that was down has come back, and nothing from before is held against it but the count of ejections.
    fn recover(&mut self, id: BackendId) {
        let backend = self.backends.get_mut(&id).expect("it was checked");
        backend.check.is_healthy = true;
        backend.check.against = 0;
        let was_admitted = backend.is_admitted();
        backend.admit(&self.settings, self.now);
        self.emit(Event::CheckRecovered { id });
        if !was_admitted {
            self.emit(Event::Readmitted { id, by: Readmission::Check });
        }
    }

    fn readmit_if_the_check_may(&mut self, id: BackendId) {
        let backend = &self.backends[&id];
        if let Admission::Ejected { why, .. } | Admission::HalfOpen { why, .. } = backend.admission
            && (why.is_unreachable() || self.settings.ejection.check_readmits)
            && backend.check.is_healthy
        {
            self.readmit(id, Readmission::Check);
        }
    }

    /// Counts an outcome of an admitted backend for or against it.
    fn judge(&mut self, id: BackendId, outcome: Outcome) {
        let backend = self.backends.get_mut(&id).expect("it finished a request");
        let failure = match outcome {
            Outcome::Success { .. } => None,
            Outcome::Failure(failure) => Some(failure),
            Outcome::Cancelled => return,
        };
        backend.consecutive = if failure.is_some() { backend.consecutive.saturating_add(1) } else { 0 };
        if let Some(window) = &mut backend.window {
            let counts = window.at(self.now);
            counts.all += 1;
            counts.of_kind += u32::from(failure.is_some());
        }
        if let Some(failure) = failure
            && let Some(why) = self.outlier(&self.backends[&id], failure)
        {
            self.eject_if_there_is_room(id, why);
        }
    }

    /// Why a backend that has just failed is to be ejected, if it is.
    fn outlier(&self, backend: &Backend, last: Failure) -> Option<Why> {
        let settings = &self.settings.ejection;
        if settings.consecutive_failures.is_some_and(|most| backend.consecutive >= most) {
            return Some(Why::Consecutive { failures: backend.consecutive, last });
        }
        let (rate, window) = (settings.failure_rate.as_ref()?, backend.window.as_ref()?);
        let counts = window.at_most(self.now);
        let (failures, requests) = (counts.of_kind, counts.all);
        let is_high = u64::from(failures) * 100 >= u64::from(requests) * u64::from(rate.percent);
        (requests >= rate.requests_min && is_high).then_some(Why::Rate { failures, requests })
    }

    /// **Invariant:** at most the allowed part of the configured backends is ejected at a time, half-open ones
    /// included.
    fn eject_if_there_is_room(&mut self, id: BackendId, why: Why) {
        let backend = self.backends.get_mut(&id).expect("it finished a request");
        // One that is out already must not take the room of another.
        if !backend.is_available() {
            return;
        }
        let after = self.ejected() + 1;
        if after > self.ejected_max() {
            self.backends.get_mut(&id).expect("as before").totals.ejections_withheld += 1;
            return;
        }
        self.eject(id, why);
    }

    fn eject(&mut self, id: BackendId, why: Why) {
        let settings = &self.settings.ejection;
        let backend = self.backends.get_mut(&id).expect("it finished a request");
        if let Admission::Admitted { since } = backend.admission {
            let forgiven = (self.now - since).as_nanos() / settings.forgiven_after.as_nanos();
            backend.ejections = backend.ejections.saturating_sub(u32::try_from(forgiven).unwrap_or(u32::MAX));
        }
        backend.ejections = backend.ejections.saturating_add(1);
        let until = self.now + settings.time_base.saturating_mul(backend.ejections).min(settings.time_max);
        backend.admission = Admission::Ejected { until, why };
        backend.epoch += 1;
        backend.warming_since = None;
        backend.totals.ejections += 1;
        self.emit(Event::Ejected { id, why, until });
    }

    fn readmit(&mut self, id: BackendId, by: Readmission) {
        let backend = self.backends.get_mut(&id).expect("it was ejected");
        backend.admit(&self.settings, self.now);
        self.emit(Event::Readmitted { id, by });
    }

    /// Keeps the invariant when a reload has left fewer backends, or allows less: first come back those that were to
    /// come back first.
    pub(super) fn readmit_excess(&mut self) {
        while self.ejected() > self.ejected_max() {
            let back_at = |(id, backend): (&BackendId, &Backend)| match backend.admission {
                Admission::Ejected { until: at, .. } | Admission::HalfOpen { since: at, .. }
                    if !backend.is_draining =>
                {
                    Some((at, *id))
                }
                _ => None,
            };
            let (_, id) = self.backends.iter().filter_map(back_at).min().expect("there are too many");
            self.readmit(id, Readmission::EjectedPercentMax);
        }
    }

    fn ejected(&self) -> usize {
        self.backends.values().filter(|backend| !backend.is_draining && !backend.is_admitted()).count()
    }

    fn ejected_max(&self) -> usize {
        self.configured() * self.settings.ejection.ejected_percent_max as usize / 100
    }
}
