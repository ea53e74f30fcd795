//! A script in parts that can be taken out and made simpler, and written as one that a person reads.

use std::time::Duration;

use toml::{Table, Value};

use crate::script::{Action, HostPattern, PacketRule, Script, Setting, Step, TimeSpan, writer};

/// A script in parts.
#[derive(Clone, Debug)]
pub struct Plan {
    /// Its sentence.
    pub about: String,
    /// Its system.
    pub system: String,
    /// How long it runs.
    pub duration: Duration,
    /// Its other keys at the top, as values.
    pub rest: Table,
    /// Its steps.
    pub steps: Vec<Step>,
    /// The fates of single packets.
    pub packets: Vec<PacketRule>,
}

impl Plan {
    /// A script's parts as they are written, without its variants, its chaos, what must sometimes come about, and its
    /// steps, which are given.
    pub fn new(script: &Script, steps: Vec<Step>) -> Self {
        let mut rest: Table = toml::from_str(&script.source.text).unwrap_or_default();
        for key in ["about", "system", "duration", "step", "packet", "chaos", "sometimes", "variant"] {
            rest.remove(key);
        }
        let (about, system, duration) = (script.about.clone(), script.system.clone(), script.duration);
        Self { about, system, duration, rest, steps, packets: script.packets.clone() }
    }

    /// How many faults it has.
    pub fn faults(&self) -> usize {
        self.steps.len() + self.packets.len()
    }

    /// A table at the top.
    pub fn table(&self, name: &str) -> Option<&Table> {
        self.rest.get(name).and_then(Value::as_table)
    }

    /// Puts settings into it.
    pub fn set(&mut self, settings: &[Setting]) {
        for setting in settings {
            let Some((last, way)) = setting.path().split_last() else { continue };
            let mut table = &mut self.rest;
            for part in way {
                let inner = table.entry(part.clone()).or_insert_with(|| Value::Table(Table::new()));
                let Value::Table(inner) = inner else { return };
                table = inner;
            }
            table.insert(last.clone(), setting.to_value());
        }
    }

    /// Takes a key out, and the tables around it that are empty then.
    pub fn remove(&mut self, path: &[&str]) {
        remove(&mut self.rest, path);
    }

    /// Takes out what is said of hosts that there are not.
    pub fn keep_hosts(&mut self, hosts: &[String]) {
        let is_there = |pattern: &HostPattern| hosts.iter().any(|host| pattern.matches(host));
        self.steps = std::mem::take(&mut self.steps).into_iter().filter_map(|step| kept(step, &is_there)).collect();
        self.packets.retain(|rule| is_there(&rule.from) && is_there(&rule.to));
    }

    /// The script.
    pub fn text(&self) -> String {
        let of_tables = |value: &Value| value.as_array().is_some_and(|list| list.iter().all(Value::is_table));
        let mut head = vec![
            ("about", Value::String(self.about.clone())),
            ("system", Value::String(self.system.clone())),
            ("duration", Value::String(TimeSpan(self.duration).to_string())),
        ];
        let plain = self.rest.iter().filter(|(_, value)| !value.is_table() && !of_tables(value));
        head.extend(plain.map(|(key, value)| (key.as_str(), value.clone())));
        let mut parts = vec![writer::keys(head)];
        let expects = |key: &str| key == "expect";
        let tables = || self.rest.iter();
        // The system first, what is expected last.
        let mut names: Vec<&String> = tables().filter(|(_, value)| value.is_table()).map(|(key, _)| key).collect();
        names.sort_by_key(|name| (**name != self.system, expects(name)));
        let table = |name: &String| self.table(name).map(|table| writer::table(&format!("[{name}]"), table));
        parts.extend(names.iter().filter(|name| !expects(name)).filter_map(|name| table(name)));
        for (key, value) in tables().filter(|(_, value)| of_tables(value)) {
            let elements = value.as_array().into_iter().flatten().filter_map(Value::as_table);
            parts.extend(elements.map(|element| writer::table(&format!("[[{key}]]"), element)));
        }
        parts.extend(self.steps.iter().map(writer::step));
        parts.extend(self.packets.iter().map(writer::packet));
        parts.extend(names.into_iter().filter(|name| expects(name)).filter_map(table));
        parts.join("\n")
    }
}

fn remove(table: &mut Table, path: &[&str]) {
    match path {
        [] => {}
        [last] => drop(table.remove(*last)),
        [first, rest @ ..] => {
            if let Some(Value::Table(inner)) = table.get_mut(*first) {
                remove(inner, rest);
                if inner.is_empty() {
                    table.remove(*first);
                }
            }
        }
    }
}

/// A step without the hosts that are not there; `None`: nothing is left of it.
fn kept(mut step: Step, is_there: &impl Fn(&HostPattern) -> bool) -> Option<Step> {
    let some = |patterns: &mut Vec<HostPattern>| {
        patterns.retain(is_there);
        !patterns.is_empty()
    };
    let is_left = match &mut step.action {
        Action::Partition(groups) => {
            groups.retain_mut(some);
            groups.len() > 1
        }
        Action::Cut { from, to } => some(from) && some(to) && from != to,
        Action::Link(rule) => some(&mut rule.from) && some(&mut rule.to),
        Action::Hold(rule) | Action::Drop(rule) => some(&mut rule.from) && some(&mut rule.to),
        Action::Disk { hosts, .. }
        | Action::Kill(hosts)
        | Action::Power(hosts)
        | Action::Pause(hosts)
        | Action::Resume(hosts)
        | Action::Restart(hosts) => some(hosts),
        Action::Heal | Action::Release | Action::System(_) => true,
    };
    is_left.then_some(step)
}
