//! Options back to what they are by themselves, and less of everything.

use std::time::Duration;

use toml::{Table, Value};

use super::{JobError, Plan, Shrinker};
use crate::rng::Seed;
use crate::script::{Script, Setting};
use crate::sim::Setup;
use crate::sim::System;

/// The system that runs, and the seed.
#[derive(Clone, Copy)]
pub struct Ground {
    /// The system.
    pub system: &'static dyn System,
    /// The seed.
    pub seed: u64,
}

impl Ground {
    /// Lets the system set up what a script says, and looks at it; `None`: the script is none.
    fn look<T>(&self, text: &str, look: impl FnOnce(&Setup<'_>) -> Option<T>) -> Option<T> {
        let script = Script::parse("shrunk.toml", text).ok()?;
        let mut setup = Setup::new(self.system, &script, Seed(self.seed));
        self.system.build(&mut setup).ok()?;
        look(&setup)
    }

    /// The hosts of a script.
    fn hosts(&self, text: &str) -> Option<Vec<String>> {
        self.look(text, |setup| Some(setup.host_names()))
    }

    /// The system's keys that are numbers of things: key, number, and the least that it may be.
    fn sizes(&self, text: &str) -> Vec<(String, u64, u64)> {
        let sizes = self.look(text, |setup| self.system.sizes(setup).ok()).unwrap_or_default();
        sizes.into_iter().map(|size| (size.key.to_owned(), size.value, size.least)).collect()
    }
}

impl Shrinker<'_> {
    /// Ends the run soon after what is found, or earlier if it is found only at the end.
    pub(super) fn cut_short(&mut self) -> Result<(), JobError> {
        self.take_all(|shrinker| {
            let (best, found) = (&shrinker.best, shrinker.finding.at);
            let ends: Vec<Duration> = if found < best.duration {
                let soon = found.max(last_step(best)) + Duration::from_millis(1);
                vec![above(soon, Duration::from_millis(100))]
            } else {
                [8, 4, 2].map(|part| above(best.duration / part, Duration::from_millis(100))).into()
            };
            let ends = ends.into_iter().filter(|end| *end < best.duration);
            ends.map(|duration| Plan { duration, ..best.clone() }).collect()
        })
    }

    /// Fewer hosts, less work.
    pub(super) fn smaller(&mut self) -> Result<(), JobError> {
        self.take_all(|shrinker| {
            let best = &shrinker.best;
            let smaller = |(key, value, least): (String, u64, u64)| {
                fewer(value, least).into_iter().filter_map(move |number| shrinker.with_size(&key, number))
            };
            shrinker.ground.sizes(&best.text()).into_iter().flat_map(smaller).collect()
        })
    }

    fn with_size(&self, key: &str, number: u64) -> Option<Plan> {
        let setting = Setting::new(&format!("{}.{key}", self.best.system), &number.to_string()).ok()?;
        let mut plan = self.best.clone();
        plan.set(&[setting]);
        let bare = Plan { steps: Vec::new(), packets: Vec::new(), ..plan.clone() };
        plan.keep_hosts(&self.ground.hosts(&bare.text())?);
        Some(plan)
    }

    /// Keys left out, so that they are what they are by themselves.
    pub(super) fn plainer(&mut self) -> Result<(), JobError> {
        self.take_all(|shrinker| {
            let best = &shrinker.best;
            // Without its key, a number may be a larger one.
            let sizes = shrinker.ground.sizes(&best.text());
            let is_size = |path: &[&str]| match path {
                [table] => *table == best.system && !sizes.is_empty(),
                [table, key, ..] => *table == best.system && sizes.iter().any(|(size, ..)| size == key),
                [] => true,
            };
            let mut plans = Vec::new();
            let mut without = |path: &[&str]| {
                if is_size(path) {
                    return;
                }
                let mut plan = best.clone();
                plan.remove(path);
                plans.push(plan);
            };
            for (key, value) in &best.rest {
                without(&[key]);
                let Some(table) = value.as_table() else { continue };
                for (inner, value) in table {
                    without(&[key, inner]);
                    let deeper = value.as_table().into_iter().flat_map(Table::keys);
                    deeper.for_each(|deepest| without(&[key, inner, deepest]));
                }
            }
            if let Some(Value::Array(links)) = best.rest.get("link") {
                for place in 0..links.len() {
                    let mut plan = best.clone();
                    if let Some(Value::Array(links)) = plan.rest.get_mut("link") {
                        links.remove(place);
                    }
                    plans.push(plan);
                }
            }
            plans
        })
    }
}

/// When the last step that has a time fires.
fn last_step(plan: &Plan) -> Duration {
    use crate::script::Trigger::At;
    plan.steps
        .iter()
        .filter_map(|step| if let At(at) = step.trigger { Some(at) } else { None })
        .max()
        .unwrap_or_default()
}

/// The least multiple of `unit` that is not below a time.
fn above(time: Duration, unit: Duration) -> Duration {
    let units = time.as_nanos().div_ceil(unit.as_nanos());
    unit * u32::try_from(units).unwrap_or(u32::MAX)
}

/// Smaller numbers, the smallest first.
fn fewer(value: u64, least: u64) -> Vec<u64> {
    let mut numbers = vec![least];
    numbers.extend([16, 8, 4, 2].map(|part| value / part));
    if value <= least + 8 {
        numbers.extend(least..value);
    }
    numbers.push(value.saturating_sub(1));
    numbers.retain(|number| (least..value).contains(number));
    numbers.sort_unstable();
    numbers.dedup();
    numbers
}
