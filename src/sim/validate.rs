//! Whether everything that a script names exists in its run: hosts, roles, states, messages and counters.
//!
//! What is named and does not exist would be a step that does nothing, or a bound that always holds. It is an error that
//! points at the name and lists those that exist.

use crate::script::document::Part::{self, Index, Key};
use crate::script::error::nearest;
use crate::script::{Action, Family, HostPattern, Lane, ScriptError, SystemAction, Trigger};

use super::outcome::PacketCounts;
use super::setup::{Life, Plan, Setup};
use super::system::System;

/// A table without keys.
#[derive(serde::Deserialize)]
#[serde(deny_unknown_fields)]
struct Nothing {}

/// What is counted as a fault and is no family of chaos.
const OTHER_FAULTS: [&str; 3] = ["hold", "drop", "packet"];

impl Setup<'_> {
    /// Whether everything that the script names exists.
    pub(crate) fn validate(&self, system: &dyn System) -> Result<(), ScriptError> {
        let script = self.script();
        let fits = |plan: &Plan| match self.lane() {
            Lane::Turmoil => matches!(plan.life, Life::Turmoil(_) | Life::Process(..)),
            Lane::Core => matches!(plan.life, Life::Core(_)),
        };
        if !self.parts.hosts.iter().all(fits) {
            let message = format!("system `{}` has no hosts for the lane {}", script.system, self.lane());
            return Err(script.error_in_lane(&message));
        }
        // What a system does not read, it does not know: nothing is ignored silently.
        if !self.read[0].get() {
            script.section.read::<Nothing>()?;
        }
        if !self.read[1].get() {
            script.expect.section.read::<Nothing>()?;
        }
        self.known(&[Key("waiting")], &script.waiting)?;
        for (index, rule) in script.links.iter().enumerate() {
            self.known(&[Key("link"), Index(index)], rule.from.iter().chain(&rule.to))?;
        }
        for (index, step) in script.steps.iter().enumerate() {
            self.known_in_step(system, &[Key("step"), Index(index)], &step.action)?;
            if let Trigger::When(state) = &step.trigger {
                self.known_state(&[Key("step"), Index(index), Key("when")], state)?;
            }
        }
        for (index, rule) in script.packets.iter().enumerate() {
            let place = [Key("packet"), Index(index)];
            self.known(&place, [&rule.from, &rule.to])?;
            self.known_message(system, &place, rule.message.as_deref())?;
        }
        if let Some(chaos) = &script.chaos {
            self.known(&[Key("chaos"), Key("hosts")], &chaos.hosts)?;
        }
        for name in script.expect.counters.keys() {
            self.known_counter(system, &[Key("expect"), Key("counters"), Key(name)], name)?;
        }
        for sometimes in &script.sometimes {
            for name in sometimes.counters.keys() {
                self.known_counter(system, &[Key("sometimes"), Key(&sometimes.name), Key(name)], name)?;
            }
        }
        Ok(())
    }

    fn known_in_step(&self, system: &dyn System, place: &[Part<'_>], action: &Action) -> Result<(), ScriptError> {
        match action {
            Action::Hold(rule) | Action::Drop(rule) => self.known_message(system, place, rule.message.as_deref())?,
            Action::System(SystemAction { section, .. }) if self.parts.actor.is_none() => {
                let message = format!("system `{}` has no steps of its own", self.script().system);
                return Err(section.error_of_table(message));
            }
            _ => {}
        }
        let patterns = || action.hosts().into_iter().flatten();
        for pattern in patterns() {
            if let Some((role, _)) = pattern.role() {
                self.known_role(place, action, pattern, role)?;
            }
        }
        self.known(place, patterns().filter(|pattern| pattern.role().is_none()))
    }

    fn known_role(
        &self,
        place: &[Part<'_>],
        action: &Action,
        pattern: &HostPattern,
        role: &str,
    ) -> Result<(), ScriptError> {
        let (parts, HostPattern(written)) = (matches!(action, Action::Partition(_) | Action::Cut { .. }), pattern);
        if pattern.is_others() && parts {
            return Ok(());
        }
        let roles: Vec<&str> = self.parts.roles.iter().map(|(name, _)| *name).collect();
        if roles.contains(&role) {
            return Ok(());
        }
        let system = &self.script().system;
        let message = if pattern.is_others() {
            "`@others` is for a group of a partition, or an end of a cut".to_owned()
        } else if roles.is_empty() {
            format!("system `{system}` has no role `{written}`, nor any other: name hosts")
        } else {
            let roles: Vec<String> = roles.iter().map(|role| format!("@{role}, @any-{role}")).collect();
            format!("system `{system}` has no role `{written}`: they are {}", roles.join(", "))
        };
        Err(self.unknown(place, written, &message, nearest(role, roles).map(|role| format!("@{role}"))))
    }

    fn known<'p>(
        &self,
        place: &[Part<'_>],
        patterns: impl IntoIterator<Item = &'p HostPattern>,
    ) -> Result<(), ScriptError> {
        let is_known = |pattern: &HostPattern| self.parts.hosts.iter().any(|host| pattern.matches(&host.name));
        let Some(HostPattern(name)) = patterns.into_iter().find(|pattern| !is_known(pattern)) else { return Ok(()) };
        let names = self.host_names();
        let message = if name.starts_with('@') {
            format!("`{name}`: hosts are named by their roles only in steps")
        } else {
            format!("no host of this run is called `{name}`: they are {}", names.join(", "))
        };
        Err(self.unknown(place, name, &message, nearest(name, names.iter().map(String::as_str)).map(str::to_owned)))
    }

    fn known_state(&self, place: &[Part<'_>], state: &str) -> Result<(), ScriptError> {
        let names: Vec<&str> = self.parts.states.iter().map(|(name, _)| *name).collect();
        if names.contains(&state) {
            return Ok(());
        }
        let system = &self.script().system;
        let message = if names.is_empty() {
            format!("system `{system}` has no state `{state}`, nor any other: use `at` or `after`")
        } else {
            format!("system `{system}` has no state `{state}`: expected one of {}", names.join(", "))
        };
        Err(self.unknown(place, state, &message, nearest(state, names).map(str::to_owned)))
    }

    /// A name that no packet has is one that nothing waits for.
    fn known_message(&self, system: &dyn System, place: &[Part<'_>], message: Option<&str>) -> Result<(), ScriptError> {
        let (Some(name), Some(names)) = (message, system.messages()) else { return Ok(()) };
        if names.contains(&name) {
            return Ok(());
        }
        let message =
            format!("no packet of system `{}` is called `{name}`: they are {}", self.script().system, names.join(", "));
        Err(self.unknown(place, name, &message, nearest(name, names).map(str::to_owned)))
    }

    /// A counter that no run can have is 0 for ever, and every bound that 0 is within would hold.
    fn known_counter(&self, system: &dyn System, place: &[Part<'_>], name: &str) -> Result<(), ScriptError> {
        let own = system.counters();
        let of_faults = || Family::EVERY.iter().map(|family| family.name()).chain(OTHER_FAULTS);
        let is_known = match name.split_once('.') {
            Some(("faults" | "inert" | "acted", fault)) => of_faults().any(|known| known == fault),
            Some(("packets", _)) => PacketCounts::NAMES.contains(&name),
            _ => own.as_ref().is_none_or(|own| own.contains(&name)),
        };
        if is_known {
            return Ok(());
        }
        let mut names: Vec<String> =
            own.iter().flatten().chain(&PacketCounts::NAMES).map(ToString::to_string).collect();
        let kinds = ["faults", "inert", "acted"];
        let of_kind = kinds.iter().flat_map(|kind| of_faults().map(move |fault| format!("{kind}.{fault}")));
        let all: Vec<String> = names.iter().cloned().chain(of_kind).collect();
        names.push("and faults.F, inert.F, acted.F of a fault F such as kill".to_owned());
        let system = &self.script().system;
        let message = format!("no run of system `{system}` counts `{name}`: the counters are {}", names.join(", "));
        let nearest = nearest(name, all.iter().map(String::as_str)).map(str::to_owned);
        Err(self.script().error_at_key(place, &message).with_hint_of(nearest))
    }

    /// An error about a name, which points at it.
    fn unknown(&self, place: &[Part<'_>], name: &str, message: &str, nearest: Option<String>) -> ScriptError {
        self.script().error_at_text(place, name, message).with_hint_of(nearest)
    }
}
