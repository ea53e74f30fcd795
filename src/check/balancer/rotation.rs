//! Who may be asked, and whether round robin asks them in turn.

use std::collections::BTreeMap;
use std::time::Duration;

use super::Seen;
use super::starts::Starts;
use crate::balancer::config::Config;
use crate::balancer::policy::{self, Policy};
use crate::sim::Breach;

struct Member {
    is_healthy: bool,
    admission: Admission,
    /// Its share still grows.
    is_starting: bool,
    picks: u64,
}

/// What it has come to by how it served.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Admission {
    Admitted,
    /// Until then, by the latest.
    Ejected(Duration),
    /// One request at a time may show how it is.
    HalfOpen {
        is_probed: bool,
    },
}

impl Member {
    fn new(is_starting: bool) -> Self {
        Self { is_healthy: true, admission: Admission::Admitted, is_starting, picks: 0 }
    }

    fn is_available(&self) -> bool {
        self.is_healthy && self.admission == Admission::Admitted
    }
}

/// The backends by the names of their hosts.
pub(super) struct Rotation {
    /// Whether each is to be asked as often as the others.
    is_even: bool,
    has_slow_start: bool,
    starts: Starts,
    is_panic: bool,
    members: BTreeMap<String, Member>,
    /// Since when who may be asked is who may be asked.
    since: Seen,
    /// When the balancer's process began, which its own times count from.
    epoch: Duration,
}

/// Whether the settings have backends take turns, all alike.
fn is_even(config: &Config) -> bool {
    let weights = config.backends.iter().map(|backend| backend.weight);
    let is_limited = config.policy.in_flight_max.is_some();
    config.policy.policy == Policy::RoundRobin && !is_limited && weights.clone().min() == weights.max()
}

impl Rotation {
    pub(super) fn new(config: &Config, epoch: Duration) -> Self {
        let name = |address: &str| address.split(':').next().unwrap_or_default().to_owned();
        let members = config.backends.iter().map(|backend| (name(&backend.origin.address), Member::new(false)));
        let mut rotation = Self {
            is_even: false,
            has_slow_start: false,
            starts: Starts::new(config, is_even(config)),
            is_panic: false,
            members: members.collect(),
            since: Seen::default(),
            epoch,
        };
        rotation.configure(config);
        rotation
    }

    /// Other settings hold. Who comes and goes with them is told by events.
    pub(super) fn configure(&mut self, config: &Config) {
        self.is_even = is_even(config);
        self.has_slow_start = config.policy.slow_start.is_some();
        self.starts = Starts::new(config, self.is_even);
        self.begin_anew(self.since);
    }

    /// Those who may be asked.
    pub(super) fn available(&self) -> Vec<&str> {
        self.members.iter().filter(|(_, member)| member.is_available()).map(|(name, _)| name.as_str()).collect()
    }

    pub(super) fn configured(&self) -> usize {
        self.members.len()
    }

    /// A backend's standing has changed, or that of all.
    pub(super) fn standing(&mut self, event: &policy::Event, backend: Option<&str>, seen: Seen) {
        use policy::Event as E;
        let has_slow_start = self.has_slow_start;
        if let Some(name) = backend {
            let member = self.members.entry(name.to_owned()).or_insert_with(|| Member::new(has_slow_start));
            match event {
                E::CheckFailed { .. } => member.is_healthy = false,
                E::CheckRecovered { .. } => (member.is_healthy, member.is_starting) = (true, has_slow_start),
                E::Ejected { until, .. } => member.admission = Admission::Ejected(self.epoch + *until),
                E::HalfOpened { .. } => member.admission = Admission::HalfOpen { is_probed: false },
                E::Readmitted { .. } => {
                    (member.admission, member.is_starting) = (Admission::Admitted, has_slow_start);
                }
                E::SlowStartEnded { .. } => member.is_starting = false,
                E::Added { .. } | E::DrainEnded { .. } => member.is_starting = has_slow_start,
                E::DrainBegan { .. } | E::Drained { .. } => drop(self.members.remove(name)),
                E::PanicBegan { .. } | E::PanicEnded { .. } => {}
            }
            match event {
                E::CheckRecovered { .. } | E::Readmitted { .. } => self.starts.begins(name, seen.0),
                _ => self.starts.ends(name),
            }
        }
        match event {
            E::PanicBegan { .. } => self.is_panic = true,
            E::PanicEnded { .. } => self.is_panic = false,
            _ => {}
        }
        self.begin_anew(seen);
    }

    fn begin_anew(&mut self, seen: Seen) {
        self.starts.begin_anew();
        self.begin_turns_anew(seen);
    }

    fn begin_turns_anew(&mut self, seen: Seen) {
        self.since = seen;
        self.members.values_mut().for_each(|member| member.picks = 0);
    }

    /// A request was cancelled: if it was to show how the backend is, another one may.
    pub(super) fn cancelled(&mut self, backend: &str) {
        let admission = self.members.get_mut(backend).map(|member| &mut member.admission);
        if let Some(Admission::HalfOpen { is_probed }) = admission {
            *is_probed = false;
        }
    }

    /// Whether who is asked may be, at this time.
    pub(super) fn may_ask(&mut self, backend: &str, is_probe: bool, at: Duration) -> Option<Breach> {
        let is_overdue = |member: &Member| matches!(member.admission, Admission::Ejected(until) if until < at);
        if let Some((name, _)) = self.members.iter().find(|(_, member)| is_overdue(member)) {
            return Some(Breach::new("an ejection ends in time", format!("{name} was to be probed before now")));
        }
        let (everybody, member) = (self.is_panic, self.members.get_mut(backend)?);
        let wrong = match &mut member.admission {
            Admission::HalfOpen { is_probed } if is_probe => {
                std::mem::replace(is_probed, true).then_some("is probed by a second request")
            }
            _ if is_probe => Some("is probed, and is not half-open"),
            _ => (!everybody && !member.is_available()).then_some("is asked, and is ejected or unhealthy"),
        };
        wrong.map(|wrong| Breach::new("who is avoided is not asked", format!("{backend} {wrong}")))
    }

    /// A backend is asked; `is_special` if not everybody could have been.
    pub(super) fn picked(&mut self, backend: &str, is_special: bool, seen: Seen) -> Option<Breach> {
        if is_special || self.members.values().any(|member| member.is_starting) {
            self.begin_turns_anew(seen);
            let others = self.members.values().filter(|member| member.is_available() && !member.is_starting);
            let others = others.count();
            return if is_special || self.is_panic { None } else { self.starts.picked(backend, others, seen) };
        }
        self.members.get_mut(backend)?.picks += 1;
        let everybody = self.is_panic;
        let asked = self.members.iter().filter(|(_, member)| everybody || member.is_available());
        let counts = asked.clone().map(|(_, member)| member.picks);
        let (least, most) = (counts.clone().min()?, counts.max()?);
        if !self.is_even || most - least <= 1 {
            return None;
        }
        let counts: Vec<String> = asked.map(|(name, member)| format!("{name} {}", member.picks)).collect();
        let text = format!("backends of one weight are asked unevenly: {}", counts.join(", "));
        let breach = Breach::new("round robin is exact", text);
        Some(breach.fact(self.since.0, self.since.1, "from here on they are to be asked in turn"))
    }
}
