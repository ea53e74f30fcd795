//! `[[step]]`.

use std::time::Duration;

use schemars::JsonSchema;
use serde::Deserialize;
use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::super::document::Part::{self, Index, Key};
use super::super::document::{Document, keep};
use super::super::error::one_of;
use super::super::show::own_action;
use super::super::units::{TimeSpan, show_duration};
use super::super::{
    Action, DiskFault, HostPattern, Latency, MessageRule, ScriptError, Section, Step, SystemAction, TimeRange, Trigger,
};
use super::hosts::{Hosts, Table, True};
use super::network::{RawLink, check_ends};

/// The keys that are actions, in the order in which errors list them.
pub(crate) const ACTIONS: [&str; 13] = [
    "partition",
    "cut",
    "heal",
    "link",
    "disk",
    "kill",
    "power",
    "pause",
    "resume",
    "restart",
    "hold",
    "drop",
    "release",
];

/// The actions that can be undone after a while.
pub(crate) const UNDOABLE: [&str; 9] = ["partition", "cut", "link", "disk", "kill", "power", "pause", "hold", "drop"];

/// The actions that can happen in the middle of a tick.
const AT_RECORDS: [&str; 2] = ["kill", "power"];

/// The keys that are no actions.
pub(crate) const MODIFIERS: [&str; 6] = ["at", "after", "when", "record", "for", "may_be_inert"];

/// Whether a key means the same in the steps of every script, so that no system can have it as its name.
pub(super) fn is_own_key(key: &str) -> bool {
    MODIFIERS.contains(&key) || ACTIONS.contains(&key)
}

/// Takes out of each step what the system reads itself.
pub(super) fn remove_system_actions(root: &mut DeTable<'_>, system: &str) {
    if let Some(DeValue::Array(steps)) = root.get_mut("step").map(Spanned::get_mut) {
        for step in steps.iter_mut() {
            if let DeValue::Table(keys) = step.get_mut() {
                keep(keys, |key| key != system);
            }
        }
    }
}

/// One step: exactly one action, and at most one of `at`, `after`, `when` and `record`. Without those, it follows the step
/// before at once.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "Step")]
pub(super) struct RawStep {
    /// When: at this time of the run. Of a range, each seed draws a time.
    at: Option<TimeRange>,
    /// When: this long after the step before it. Of a range, each seed draws a time.
    after: Option<TimeRange>,
    /// When: after the step before it, once the system is in the state of this name.
    #[schemars(length(min = 1))]
    when: Option<String>,
    /// When, of hosts that die or lose power: right after the record of this number, as `show` counts them, be it in the
    /// middle of a tick. Such a step waits for no other, and no other waits for it.
    record: Option<u64>,
    /// Undoes the action after this time: heals, resumes, restarts, releases.
    #[serde(rename = "for")]
    lasts: Option<TimeSpan>,
    /// Whether it may do nothing. Without it, a run is inconclusive in which the step touched no packet, no connection and no
    /// process while it stood.
    may_be_inert: Option<True>,
    /// Two or more groups of hosts that do not reach each other. Hosts of no group are untouched.
    #[schemars(length(min = 2))]
    partition: Option<Vec<Hosts>>,
    /// Cuts links one way.
    cut: Option<Table<RawCut>>,
    /// Ends every partition, cut, hold, drop, and change of links and disks, of the steps before.
    heal: Option<True>,
    /// Changes what links do.
    link: Option<Table<RawLink>>,
    /// Changes how long disks take, or has them fail.
    disk: Option<Table<RawDiskChange>>,
    /// The processes die: their peers see their connections end, their disks keep what was written.
    kill: Option<Hosts>,
    /// The machines lose power: their peers see nothing, what was not synced to disk is lost.
    power: Option<Hosts>,
    /// The processes stand still.
    pause: Option<Hosts>,
    /// Processes that stood still go on.
    resume: Option<Hosts>,
    /// Dead or waiting hosts start. One that runs is killed first.
    restart: Option<Hosts>,
    /// Packets that match wait until they are released.
    hold: Option<Table<RawMessages>>,
    /// Packets that match are lost.
    drop: Option<Table<RawMessages>>,
    /// Ends every hold: what waited goes on its way.
    release: Option<True>,
}

/// Links to cut: no packet passes, but the way back stays open.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "Cut")]
struct RawCut {
    /// The senders.
    from: Hosts,
    /// The receivers.
    to: Hosts,
}

/// What some disks do instead of what [disk] says.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "DiskChange", extend("anyOf" = [{ "required": ["sync"] }, { "required": ["fault"] }]))]
struct RawDiskChange {
    /// The hosts. Without it: all.
    hosts: Option<Hosts>,
    /// How long a sync takes, of a file or of the directory; rounded up to whole milliseconds.
    sync: Option<Latency>,
    /// How they fail.
    fault: Option<DiskFault>,
}

/// Which packets are held or dropped.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "Messages")]
struct RawMessages {
    /// The senders. Without it: all hosts.
    from: Option<Hosts>,
    /// The receivers. Without it: all hosts.
    to: Option<Hosts>,
    /// The message, by the name that the system gives its packets. Without it: every packet.
    #[schemars(length(min = 1))]
    message: Option<String>,
    /// How many packets. Without it: all, until it ends.
    #[schemars(range(min = 1))]
    count: Option<u64>,
}

impl RawStep {
    /// The step of this index, if the table makes one.
    pub(super) fn into_step(
        mut self,
        document: &Document<'_>,
        index: usize,
        system: &str,
        duration: Duration,
    ) -> Result<Step, ScriptError> {
        let here = Here { document, path: [Key("step"), Index(index)] };
        let (trigger, spread) = self.take_trigger(&here, duration)?;
        let lasts = self.lasts.take();
        let may_be_inert = self.may_be_inert.is_some();
        let mut actions = self.into_actions(&here)?;
        actions.extend(here.system_action(index, system)?.map(|action| (system, action)));
        let (name, action) = match (actions.pop(), actions.pop()) {
            (Some(action), None) => action,
            (None, _) => {
                return Err(here.error("it has no action").with_expected(one_of(ACTIONS.into_iter().chain([system]))));
            }
            (Some((second, _)), Some((first, _))) => {
                let error = here.error(&format!("it has two actions, `{first}` and `{second}`"));
                let hint = "make each a step: one without `at`, `after` and `when` follows the step before it at once";
                return Err(error.with_expected("one action").with_hint(hint));
            }
        };
        if lasts.is_some() && !UNDOABLE.contains(&name) {
            let error = here.error_at("for", &format!("`{name}` is not undone after a time"));
            return Err(error.with_expected(format!("it with {}", one_of(UNDOABLE))));
        }
        if matches!(trigger, Trigger::Record(_)) && !AT_RECORDS.contains(&name) {
            let error = here.error_at("record", &format!("`{name}` has to wait for the end of a tick"));
            return Err(error.with_expected(format!("`record` with {}", one_of(AT_RECORDS))));
        }
        if matches!(trigger, Trigger::Record(_)) && action.has_roles() {
            let error = here.error_at(name, "who has a role is known at the end of a tick, and not in its middle");
            return Err(error.with_expected("hosts by their names"));
        }
        if lasts.is_some_and(|TimeSpan(lasts)| lasts.is_zero()) {
            return Err(here.error_at("for", "it would end when it begins").with_expected("a time above 0"));
        }
        let line = document.line_at(&here.path);
        Ok(Step { trigger, spread, action, lasts: lasts.map(Duration::from), may_be_inert, line })
    }

    /// The trigger, and how much later the step may fire.
    fn take_trigger(&mut self, here: &Here<'_>, duration: Duration) -> Result<(Trigger, Duration), ScriptError> {
        let record = self.record.take();
        match (self.at.take(), self.after.take(), self.when.take()) {
            (None, None, None) if record.is_some() => Ok((Trigger::Record(record.unwrap_or_default()), Duration::ZERO)),
            (at, after, when) if record.is_some() => {
                let given = [(at.is_some(), "`at`"), (after.is_some(), "`after`"), (when.is_some(), "`when`")];
                let given = given.iter().find(|(given, _)| *given).map_or("", |(_, name)| *name);
                let error = here.error(&format!("it has {given} and `record`"));
                Err(error.with_expected("at most one of `at`, `after`, `when`, `record`"))
            }
            (None, None, None) => Ok((Trigger::After(Duration::ZERO), Duration::ZERO)),
            (Some(at), None, None) if at.max < duration => Ok((Trigger::At(at.min), at.spread())),
            (Some(at), None, None) => {
                let error = here.error_at("at", &format!("{} is not within the run", show_duration(at.max)));
                Err(error.with_expected(format!("a time below the duration, {}", show_duration(duration))))
            }
            (None, Some(after), None) => Ok((Trigger::After(after.min), after.spread())),
            (None, None, Some(when)) if when.trim().is_empty() => {
                Err(here.error_at("when", "the text is empty").with_expected("the name of a state of the system"))
            }
            (None, None, Some(when)) => Ok((Trigger::When(when), Duration::ZERO)),
            (at, after, when) => {
                let given = [(at.is_some(), "`at`"), (after.is_some(), "`after`"), (when.is_some(), "`when`")];
                let given: Vec<&str> = given.iter().filter(|(given, _)| *given).map(|(_, name)| *name).collect();
                let error = here.error(&format!("it has {}", given.join(" and ")));
                Err(error.with_expected("at most one of `at`, `after`, `when`, `record`"))
            }
        }
    }

    fn into_actions<'n>(self, here: &Here<'_>) -> Result<Vec<(&'n str, Action)>, ScriptError> {
        let hosts = |name, hosts: Option<Hosts>, action: fn(Vec<HostPattern>) -> Action| {
            hosts.map(|hosts| (name, action(hosts.into())))
        };
        let partition = self.partition.map(|groups| here.partition(groups)).transpose()?;
        let cut = self.cut.map(|Table(cut)| here.cut(cut)).transpose()?;
        let link = self.link.map(|Table(link)| link.into_rule(here.document, &here.path_to("link"))).transpose()?;
        let disk = self.disk.map(|Table(change)| here.disk(change)).transpose()?;
        let hold = self.hold.map(|Table(rule)| here.messages("hold", rule)).transpose()?;
        let drop = self.drop.map(|Table(rule)| here.messages("drop", rule)).transpose()?;
        let actions = [
            partition.map(|groups| ("partition", Action::Partition(groups))),
            cut.map(|cut| ("cut", cut)),
            self.heal.map(|True| ("heal", Action::Heal)),
            link.map(|mut rule| {
                rule.line = here.document.line_at(&here.path);
                ("link", Action::Link(rule))
            }),
            disk.map(|disk| ("disk", disk)),
            hosts("kill", self.kill, Action::Kill),
            hosts("power", self.power, Action::Power),
            hosts("pause", self.pause, Action::Pause),
            hosts("resume", self.resume, Action::Resume),
            hosts("restart", self.restart, Action::Restart),
            hold.map(|rule| ("hold", Action::Hold(rule))),
            drop.map(|rule| ("drop", Action::Drop(rule))),
            self.release.map(|True| ("release", Action::Release)),
        ];
        Ok(actions.into_iter().flatten().collect())
    }
}

/// A step's place in the document.
struct Here<'d> {
    document: &'d Document<'d>,
    path: [Part<'d>; 2],
}

impl<'d> Here<'d> {
    fn path_to(&self, key: &'d str) -> [Part<'d>; 3] {
        [self.path[0], self.path[1], Key(key)]
    }

    fn error(&self, message: &str) -> ScriptError {
        self.document.error_at(&self.path, message)
    }

    fn error_at(&self, key: &str, message: &str) -> ScriptError {
        self.document.error_at(&[self.path[0], self.path[1], Key(key)], message)
    }

    /// What the system itself is to do at this step, if the step has a key of its name.
    fn system_action(&self, index: usize, system: &str) -> Result<Option<Action>, ScriptError> {
        let path = [self.path[0], self.path[1], Key(system)];
        match self.document.value(&path).map(Spanned::get_ref) {
            None => Ok(None),
            Some(DeValue::Table(table)) => {
                let section = Section::of_step(self.document.source(), index, system);
                Ok(Some(Action::System(SystemAction { section, shown: own_action(system, table) })))
            }
            Some(_) => {
                let error = self.document.error_at(&path, "this is not a table");
                Err(error
                    .with_expected(format!("what the system is to do, such as `{system} = {{ key = \"value\" }}`")))
            }
        }
    }

    fn partition(&self, groups: Vec<Hosts>) -> Result<Vec<Vec<HostPattern>>, ScriptError> {
        if groups.len() < 2 {
            let error = self.error_at("partition", "one group is cut off from nobody");
            return Err(error.with_expected("two or more groups, such as [[\"n1\"], [\"n2\", \"n3\"]]"));
        }
        for (index, group) in groups.iter().enumerate() {
            let others = groups[..index].iter().flat_map(Hosts::patterns);
            let shared = others.flat_map(|other| group.patterns().iter().map(move |host| (other, host)));
            if let Some((other, host)) = shared.into_iter().find(|(other, host)| overlap(other, host)) {
                let message = match (&host.0, &other.0) {
                    (host, other) if host == other => format!("`{host}` is in two groups"),
                    (host, other) => format!("`{host}` and `{other}` of another group can be the same host"),
                };
                let path = [self.path[0], self.path[1], Key("partition"), Index(index)];
                return Err(self.document.error_at(&path, &message));
            }
        }
        Ok(groups.into_iter().map(Vec::from).collect())
    }

    fn cut(&self, cut: RawCut) -> Result<Action, ScriptError> {
        check_ends(self.document, &self.path_to("cut"), &cut.from, &cut.to)?;
        Ok(Action::Cut { from: cut.from.into(), to: cut.to.into() })
    }

    fn disk(&self, RawDiskChange { hosts, sync, fault }: RawDiskChange) -> Result<Action, ScriptError> {
        if sync.is_none() && fault.is_none() {
            let error = self.error_at("disk", "it changes nothing");
            return Err(error.with_expected("`sync`, `fault`, or both"));
        }
        Ok(Action::Disk { hosts: hosts.unwrap_or_else(Hosts::all).into(), sync, fault })
    }

    fn messages(&self, name: &'d str, rule: RawMessages) -> Result<MessageRule, ScriptError> {
        let RawMessages { from, to, message, count } = rule;
        let (from, to) = (from.unwrap_or_else(Hosts::all), to.unwrap_or_else(Hosts::all));
        check_ends(self.document, &self.path_to(name), &from, &to)?;
        let at = |key| [self.path[0], self.path[1], Key(name), Key(key)];
        if message.as_ref().is_some_and(|message| message.trim().is_empty()) {
            let error = self.document.error_at(&at("message"), "the text is empty");
            return Err(error.with_expected("the name of a message, or no such key for every packet"));
        }
        if count == Some(0) {
            let error = self.document.error_at(&at("count"), "0 packets are none");
            return Err(error.with_expected("at least 1, or no such key for all packets"));
        }
        Ok(MessageRule { from: from.into(), to: to.into(), message, count })
    }
}

/// A step waits for the one before it, so that a time which has passed by then would not be the time at which it fires.
pub(super) fn check_order(document: &Document<'_>, steps: &[Step]) -> Result<(), ScriptError> {
    // The latest time at which the step before may fire, as far as that follows from times.
    let mut before: Option<(usize, Duration)> = None;
    for (index, step) in steps.iter().enumerate() {
        let latest = before.map_or(Duration::ZERO, |(_, latest)| latest);
        let latest = match step.trigger {
            Trigger::At(at) => {
                if let Some((waited_for, latest)) = before.filter(|(_, latest)| *latest > at) {
                    let (at, latest) = (show_duration(at), show_duration(latest));
                    let message = format!(
                        "it waits for step {}, which may fire as late as {latest}, and not at {at}",
                        waited_for + 1
                    );
                    let error = document.error_at(&[Key("step"), Index(index), Key("at")], &message);
                    return Err(error.with_expected("steps in the order in which they fire"));
                }
                at + step.spread
            }
            Trigger::After(wait) => latest + wait + step.spread,
            Trigger::When(_) => latest,
            Trigger::Record(_) => continue,
        };
        before = Some((index, latest));
    }
    Ok(())
}

/// Whether a host could have both names.
fn overlap(one: &HostPattern, other: &HostPattern) -> bool {
    match (one.0.strip_suffix('*'), other.0.strip_suffix('*')) {
        (Some(one), Some(other)) => one.starts_with(other) || other.starts_with(one),
        _ => one.matches(&other.0) || other.matches(&one.0),
    }
}
