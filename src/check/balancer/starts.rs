//! The share of a backend that has come back, while its slow start lasts.

use std::collections::BTreeMap;
use std::time::Duration;

use super::Seen;
use crate::balancer::config::Config;
use crate::balancer::policy::SlowStart;
use crate::sim::Breach;

/// Backends in their slow start.
pub(super) struct Starts {
    /// None: there is none, or the policy is another than turns for all alike.
    slow_start: Option<SlowStart>,
    since: BTreeMap<String, Duration>,
    counted: Option<Counted>,
}

/// Turns that were taken among the same backends, one of which is in its slow start.
struct Counted {
    name: String,
    from: Seen,
    /// Its share when the first of them was taken.
    share: f64,
    all: f64,
    own: f64,
}

impl Starts {
    /// `is_even`: the settings have backends take turns, all alike.
    pub(super) fn new(config: &Config, is_even: bool) -> Self {
        let slow_start = config.policy.slow_start.clone().filter(|_| is_even && config.checks.is_some());
        Self { slow_start, since: BTreeMap::new(), counted: None }
    }

    /// A backend was found well, or is admitted again.
    pub(super) fn begins(&mut self, backend: &str, at: Duration) {
        self.since.insert(backend.to_owned(), at);
    }

    /// Its slow start is over, or it is out again.
    pub(super) fn ends(&mut self, backend: &str) {
        self.since.remove(backend);
    }

    /// Who may be asked is no longer who could be, and turns are counted anew.
    pub(super) fn begin_anew(&mut self) {
        self.counted = None;
    }

    /// A turn is taken; `others` have their full share.
    ///
    /// A backend gains its share of one at each turn, and pays for a turn what all gained, so that it has had at most
    /// what it gained and what it may owe.
    pub(super) fn picked(&mut self, backend: &str, others: usize, seen: Seen) -> Option<Breach> {
        let SlowStart { window, share_percent_min } = self.slow_start.as_ref()?;
        let mut starting = self.since.iter();
        let (Some((name, since)), None) = (starting.next(), starting.next()) else { return None };
        let grown = ((seen.0 - *since).as_secs_f64() / window.as_secs_f64()).min(1.0);
        let least = f64::from(*share_percent_min) / 100.0;
        let share = least + (1.0 - least) * grown;
        let fresh = || Counted { name: name.clone(), from: seen, share, all: 0.0, own: 0.0 };
        let counted = self.counted.get_or_insert_with(fresh);
        counted.all += 1.0;
        counted.own += f64::from(u8::from(backend == name));
        let others = others as f64;
        let (paid, gained) = (counted.own * (others + counted.share), counted.all * share);
        if others == 0.0 || paid <= gained + 2.0 * (others + share) {
            return None;
        }
        let (own, all, percent) = (counted.own, counted.all, 100.0 * share);
        let text = format!("{name} has {own} of {all} turns, and its share has grown to {percent:.0} % of another's");
        let breach = Breach::new("a slow start is slow", text).fact(*since, counted.from.1, format!("{name} is back"));
        Some(breach.fact(seen.0, seen.1, format!("{} is asked again", counted.name)))
    }
}
