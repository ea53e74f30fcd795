//! What a seed has drawn: the values of options that the script leaves to it, times of steps, and what its chaos comes to.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::rng::Seed;
use crate::script::{Action, Script, ScriptError, Step, Trigger};

use super::faults::families;
use super::{Setup, System, drawn_steps, settled_steps};

/// Something that the seed of a run drew.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Drawn {
    /// What: a key of the script, a step, or a family of faults.
    pub what: String,
    /// What came of it.
    pub value: String,
    /// What it was drawn from, as the script has it.
    pub from: Option<String>,
}

/// All that a seed draws before a run of a script begins.
///
/// # Errors
/// What is wrong with the script.
pub fn drawn(system: &'static dyn System, script: &Script, seed: Seed) -> Result<Vec<Drawn>, ScriptError> {
    let setup = Setup::built(system, script, seed)?;
    let table: toml::Table = toml::from_str(&script.source.text).unwrap_or_default();
    let mut all = Vec::new();
    for (what, value) in system.drew(&setup)? {
        let mut keys = what.split('.');
        let first = keys.next().and_then(|key| table.get(key));
        let from = keys.fold(first, |value, key| value?.get(key)).map(ToString::to_string);
        all.push(Drawn { what, value, from });
    }
    all.extend(times(script, seed));
    all.extend(chaos(&drawn_steps(system, script, &setup.host_names(), seed)));
    Ok(all)
}

fn times(script: &Script, seed: Seed) -> Vec<Drawn> {
    let settled = settled_steps(script, seed);
    let pairs = (1..).zip(script.steps.iter().zip(settled)).filter(|(_, (step, _))| !step.spread.is_zero());
    let when = |step: &Step| step.to_string().split(": ").next().unwrap_or_default().to_owned();
    pairs
        .map(|(number, (step, settled))| Drawn {
            what: format!("step {number}"),
            value: when(&settled),
            from: Some(when(step)),
        })
        .collect()
}

/// Each family with how hard it is, or how often it strikes.
fn chaos(steps: &[Step]) -> Vec<Drawn> {
    let mut strikes: BTreeMap<&str, u64> = BTreeMap::new();
    let mut all = Vec::new();
    for step in steps {
        debug_assert!(matches!(step.trigger, Trigger::At(_)), "chaos draws times");
        if let Action::Link(rule) = &step.action {
            let value = rule.settings.to_string();
            all.push(Drawn { what: "chaos".to_owned(), value, from: None });
            continue;
        }
        families(&step.action).into_iter().for_each(|family| *strikes.entry(family).or_default() += 1);
    }
    let times = |count| if count == 1 { "once".to_owned() } else { format!("{count} times") };
    all.extend(strikes.into_iter().map(|(family, count)| Drawn {
        what: "chaos".to_owned(),
        value: format!("{family} {}", times(count)),
        from: None,
    }));
    all
}
