//! All backends: who is asked next, and what a reload changes.

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use super::backend::{Admission, Backend, Check};
use super::candidate::Candidate;
use super::choice::choose;
use super::rotation::Rotation;
use super::settings::validate_list;
use super::window::Window;
use super::{BackendId, Event, NoBackend, Pick, Policy, Settings, SettingsError};
use crate::rng::Rng;

/// The backends of a balancer, and what is known of each. See the [module](super) for how it is driven.
#[derive(Clone, Debug)]
pub struct Backends {
    pub(super) settings: Settings,
    /// In the order of rotation; those that drain too.
    pub(super) backends: BTreeMap<BackendId, Backend>,
    rotation: Rotation,
    /// That of retries.
    retry_rotation: Rotation,
    pub(super) is_panic: bool,
    /// When the next transition is due that comes with time alone.
    due: Option<Duration>,
    rng: Rng,
    /// Empty between calls: those of each choice are put here, so that no memory is asked for.
    candidates: Vec<Candidate>,
    /// The time of the last call.
    pub(super) now: Duration,
    events: VecDeque<Event>,
}

impl Backends {
    /// The backends of `list` with their weights, from 1 to [`WEIGHT_MAX`](super::WEIGHT_MAX). All are believed
    /// healthy, and none has a slow start. `rng` is drawn from by [`Policy::PeakEwma`](super::Policy::PeakEwma) only.
    pub fn new(settings: Settings, list: &[(BackendId, u32)], now: Duration, rng: Rng) -> Result<Self, SettingsError> {
        settings.validate()?;
        validate_list(list)?;
        let backends = list.iter().map(|&(id, weight)| (id, Backend::new(weight, &settings, now))).collect();
        Ok(Self {
            settings,
            backends,
            rotation: Rotation::default(),
            retry_rotation: Rotation::default(),
            is_panic: false,
            due: None,
            rng,
            candidates: Vec::new(),
            now,
            events: VecDeque::new(),
        })
    }

    /// From `now` on these are the settings and the backends. Those that stay keep all that is known of them. Those
    /// that are gone drain: they are never picked again, and forgotten when nothing is in flight any more. New ones
    /// have a slow start.
    ///
    /// On an error nothing has changed.
    pub fn reconfigure(
        &mut self,
        settings: Settings,
        list: &[(BackendId, u32)],
        now: Duration,
    ) -> Result<(), SettingsError> {
        settings.validate()?;
        validate_list(list)?;
        self.advance(now);
        self.settings = settings;
        self.fit();
        let weights: BTreeMap<_, _> = list.iter().copied().collect();
        for (id, backend) in &mut self.backends {
            if !weights.contains_key(id) && !backend.is_draining {
                backend.is_draining = true;
                self.events.push_back(Event::DrainBegan { id: *id, in_flight: backend.in_flight });
            }
        }
        for (id, weight) in weights {
            self.keep_or_add(id, weight);
        }
        self.readmit_excess();
        self.settle();
        Ok(())
    }

    /// Makes what is known of the backends fit new settings.
    fn fit(&mut self) {
        let span = self.settings.ejection.failure_rate.as_ref().map(|rate| rate.window);
        for (id, backend) in &mut self.backends {
            if span != backend.window.as_ref().map(Window::span) {
                backend.window = span.map(Window::new);
            }
            // Nobody would ever find it healthy again.
            if self.settings.checks.is_none() {
                let check = std::mem::replace(&mut backend.check, Check::unchecked());
                if !check.is_healthy {
                    self.events.push_back(Event::CheckRecovered { id: *id });
                }
            }
        }
    }

    fn keep_or_add(&mut self, id: BackendId, weight: u32) {
        if let Some(backend) = self.backends.get_mut(&id) {
            backend.weight = weight;
            if backend.is_draining {
                backend.is_draining = false;
                self.emit(Event::DrainEnded { id });
            }
        } else {
            let mut backend = Backend::new(weight, &self.settings, self.now);
            backend.warming_since = self.settings.slow_start.as_ref().map(|_| self.now);
            self.backends.insert(id, backend);
            self.emit(Event::Added { id });
        }
    }

    /// A backend for a request, of which those in `tried` have already had an attempt. It counts as in flight from
    /// here.
    ///
    /// A first attempt is made a probe where a backend is half-open and awaits one. A retry is so only where
    /// nobody else is left, for it has failed once already.
    pub fn pick(&mut self, now: Duration, tried: &[BackendId]) -> Result<Pick, NoBackend> {
        self.advance(now);
        let is_retry = !tried.is_empty();
        let probe = self.to_probe(tried);
        let chosen = match probe {
            Some(_) if !is_retry && !self.is_panic => probe,
            _ => self.choose(tried).or(probe),
        };
        chosen.map(|id| self.take(id)).ok_or_else(|| self.why_none(tried))
    }

    fn choose(&mut self, tried: &[BackendId]) -> Option<BackendId> {
        let (settings, now) = (&self.settings, self.now);
        let goes_by_latency = settings.policy == Policy::PeakEwma;
        let candidate = |(id, backend): (&BackendId, &Backend)| Candidate {
            id: *id,
            weight: backend.weight,
            is_warming: backend.warming_since.is_some(),
            share: backend.weight * backend.share_permille(settings, now),
            in_flight: backend.in_flight,
            latency_ns: if goes_by_latency { backend.latency.estimate_ns(now, settings.latency.decay) } else { 0 },
            may: backend.has_room(settings) && !tried.contains(id),
        };
        let mut candidates = std::mem::take(&mut self.candidates);
        candidates.extend(self.backends.iter().filter(|(_, backend)| self.is_usable(backend)).map(candidate));
        let is_shifted = planted!(self.settings, TurnShifted) && candidates.len() < self.configured();
        let rotation = if tried.is_empty() { &mut self.rotation } else { &mut self.retry_rotation };
        if is_shifted {
            _ = choose(self.settings.policy, &candidates, rotation, &mut self.rng);
        }
        let chosen = choose(self.settings.policy, &candidates, rotation, &mut self.rng);
        candidates.clear();
        self.candidates = candidates;
        chosen
    }

    /// The half-open backend that has waited longest for a probe.
    fn to_probe(&self, tried: &[BackendId]) -> Option<BackendId> {
        let waiting = self.backends.iter().filter_map(|(id, backend)| match backend.admission {
            Admission::HalfOpen { since, .. } if backend.awaits_probe() && backend.has_room(&self.settings) => {
                Some((since, *id))
            }
            _ => None,
        });
        waiting.filter(|(_, id)| !tried.contains(id)).min().map(|(_, id)| id)
    }

    fn take(&mut self, id: BackendId) -> Pick {
        let backend = self.backends.get_mut(&id).expect("only known ones are chosen");
        let is_probe = backend.awaits_probe();
        if let Admission::HalfOpen { is_probed, .. } = &mut backend.admission {
            *is_probed |= is_probe;
        }
        backend.in_flight += 1;
        backend.totals.picks += 1;
        backend.totals.probes += u64::from(is_probe);
        Pick { id, is_probe, in_panic: self.is_panic, epoch: backend.epoch }
    }

    fn why_none(&self, tried: &[BackendId]) -> NoBackend {
        let mut usable = self.backends.iter().filter(|(_, backend)| self.is_usable(backend)).peekable();
        if usable.peek().is_none() {
            NoBackend::AllDown { retry_after: self.retry_after(self.now) }
        } else if usable.any(|(id, _)| !tried.contains(id)) {
            NoBackend::Busy
        } else {
            NoBackend::AllTried
        }
    }

    /// Whether a request may go there that is no probe.
    fn is_usable(&self, backend: &Backend) -> bool {
        let is_flooded =
            planted!(self.settings, HalfOpenFloods) && matches!(backend.admission, Admission::HalfOpen { .. });
        backend.is_available() || (self.is_panic && !backend.is_draining) || is_flooded
    }

    /// When the first backend may be available, from `now`; nothing where one is, or awaits a probe's outcome. None
    /// where none is configured, or nothing is known to bring one back. For `Retry-After`: round it up, to a second at
    /// least.
    pub fn retry_after(&self, now: Duration) -> Option<Duration> {
        let configured = self.backends.values().filter(|backend| !backend.is_draining);
        let back_at = configured.filter_map(|backend| match backend.admission {
            _ if !backend.check.is_healthy => {
                let checks = self.settings.checks.as_ref()?;
                let missing = checks.healthy_threshold.saturating_sub(backend.check.against);
                Some(backend.check.last_at? + checks.interval.saturating_mul(missing))
            }
            Admission::Ejected { until, .. } => Some(until),
            Admission::Admitted { .. } | Admission::HalfOpen { .. } => Some(now),
        });
        back_at.min().map(|at| at.saturating_sub(now))
    }

    /// Makes the transitions that time alone brings by `now`. All functions that change anything begin with it.
    pub fn advance(&mut self, now: Duration) {
        assert!(now >= self.now, "time went back from {:?} to {now:?}", self.now);
        self.now = now;
        if self.due.is_none_or(|due| due > now) {
            return;
        }
        for (id, backend) in &mut self.backends {
            if let Admission::Ejected { until, why } = backend.admission
                && until <= now
                && !planted!(self.settings, EjectedForGood)
            {
                backend.admission = Admission::HalfOpen { since: until, why, is_probed: false };
                self.events.push_back(Event::HalfOpened { id: *id });
            }
            if backend.warm_at(&self.settings).is_some_and(|at| at <= now) {
                backend.warming_since = None;
                self.events.push_back(Event::SlowStartEnded { id: *id });
            }
        }
        self.settle();
    }

    /// When [`Backends::advance`] next has something to do, if no other function is called before.
    pub fn next_deadline(&self) -> Option<Duration> {
        self.due
    }

    /// Whether [`Backends::take_events`] has any.
    pub fn has_events(&self) -> bool {
        !self.events.is_empty()
    }

    /// What has happened since the last call, in order.
    pub fn take_events(&mut self) -> Vec<Event> {
        self.events.drain(..).collect()
    }

    /// The settings that hold.
    pub fn settings(&self) -> &Settings {
        &self.settings
    }

    /// Sees to what follows from a change: who is forgotten, whether there is panic, and what time will bring.
    pub(super) fn settle(&mut self) {
        let drained = |backend: &Backend| backend.is_draining && backend.in_flight == 0;
        let gone: Vec<_> = self.backends.iter().filter(|(_, b)| drained(b)).map(|(id, _)| *id).collect();
        for id in gone {
            self.backends.remove(&id);
            self.emit(Event::Drained { id });
        }
        let (available, configured) = (self.available(), self.configured());
        let is_panic =
            available * 100 < configured * self.settings.panic_percent as usize && !planted!(self.settings, NoPanic);
        if is_panic != self.is_panic {
            self.is_panic = is_panic;
            let began = Event::PanicBegan { available, configured };
            self.emit(if is_panic { began } else { Event::PanicEnded { available, configured } });
        }
        let due = |backend: &Backend| {
            let until = if let Admission::Ejected { until, .. } = backend.admission { Some(until) } else { None };
            until.into_iter().chain(backend.warm_at(&self.settings)).min()
        };
        self.due = self.backends.values().filter_map(due).min();
    }

    pub(super) fn available(&self) -> usize {
        self.backends.values().filter(|backend| backend.is_available()).count()
    }

    /// How many requests each backend has just now.
    pub fn loads(&self) -> impl Iterator<Item = (BackendId, u32)> {
        self.backends.iter().map(|(id, backend)| (*id, backend.in_flight))
    }

    /// How many requests are in flight.
    pub fn in_flight(&self) -> u64 {
        self.backends.values().map(|backend| u64::from(backend.in_flight)).sum()
    }

    pub(super) fn configured(&self) -> usize {
        self.backends.values().filter(|backend| !backend.is_draining).count()
    }

    pub(super) fn emit(&mut self, event: Event) {
        self.events.push_back(event);
    }
}
