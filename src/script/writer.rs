//! Scripts written, as a person would write them: the way back from the plain types.

use std::fmt::Write as _;
use std::time::Duration;

use toml::Value;

use super::{
    Action, Burst, Fate, HostPattern, Latency, LinkRule, LinkSettings, MessageRule, PacketRule, Reorder, Step,
    SystemAction, TimeRange, TimeSpan, Trigger,
};

/// The `[[step]]` that reads as this step.
pub fn step(step: &Step) -> String {
    let mut keys = Keys::default();
    let range = |time: Duration| Value::String(TimeRange::after(time, step.spread).to_string());
    match &step.trigger {
        Trigger::At(time) => keys.put("at", range(*time)),
        Trigger::After(time) if time.is_zero() && step.spread.is_zero() => {}
        Trigger::After(time) => keys.put("after", range(*time)),
        Trigger::When(state) => keys.put("when", state.as_str()),
        Trigger::Record(number) => keys.put("record", whole(*number)),
    }
    let (key, value) = action(&step.action);
    keys.put(&key, value);
    if let Some(lasts) = step.lasts {
        keys.put("for", time(lasts));
    }
    if step.may_be_inert {
        keys.put("may_be_inert", true);
    }
    keys.table("[[step]]")
}

/// The `[[packet]]` that reads as this rule.
pub fn packet(rule: &PacketRule) -> String {
    let PacketRule { from, to, message, nth, attempt, fate } = rule;
    let mut keys = Keys::default();
    keys.put("from", from.0.as_str());
    keys.put("to", to.0.as_str());
    if let Some(message) = message {
        keys.put("message", message.as_str());
    }
    keys.put("nth", whole(*nth));
    if *attempt > 0 {
        keys.put("attempt", i64::from(*attempt));
    }
    match fate {
        Fate::Lose => keys.put("lose", true),
        Fate::Latency(latency) => keys.put("latency", time(*latency)),
        Fate::Duplicate(None) => keys.put("duplicate", true),
        Fate::Duplicate(Some(latency)) => keys.put("duplicate", time(*latency)),
        Fate::Corrupt(bit) => keys.put("corrupt", whole(*bit)),
    }
    keys.table("[[packet]]")
}

/// A table under its header, a key a line, the equals signs under one another.
pub fn table(header: &str, table: &toml::Table) -> String {
    let mut keys = Keys::default();
    table.iter().for_each(|(key, value)| keys.put(key, value.clone()));
    keys.table(header)
}

/// Keys without a header.
pub fn keys<'a>(entries: impl IntoIterator<Item = (&'a str, Value)>) -> String {
    let mut keys = Keys::default();
    entries.into_iter().for_each(|(key, value)| keys.put(key, value));
    keys.lines()
}

/// What a link's settings are as a table.
pub fn link_settings(settings: &LinkSettings) -> toml::Table {
    let LinkSettings { latency: delay, loss, burst, duplicate, corrupt, reorder } = settings;
    let mut table = toml::Table::new();
    let mut put = |key: &str, value: Option<Value>| {
        if let Some(value) = value {
            table.insert(key.to_owned(), value);
        }
    };
    put("latency", delay.map(|delay| latency(&delay)));
    put("loss", loss.map(Value::Float));
    put(
        "burst",
        burst.map(|Burst { enter, leave, loss }| floats(&[("enter", enter), ("leave", leave), ("loss", loss)])),
    );
    put("duplicate", duplicate.map(Value::Float));
    put("corrupt", corrupt.map(Value::Float));
    let reorder = reorder.as_ref().map(|Reorder { chance, extra }| {
        let entries = [("chance", Value::Float(*chance)), ("extra", latency(extra))];
        Value::Table(entries.map(|(key, value)| (key.to_owned(), value)).into_iter().collect())
    });
    put("reorder", reorder);
    table
}

/// A distribution of a time.
pub fn latency(latency: &Latency) -> Value {
    Value::try_from(latency).expect("a latency is text or a table")
}

fn floats(entries: &[(&str, f64)]) -> Value {
    Value::Table(entries.iter().map(|(key, value)| ((*key).to_owned(), Value::Float(*value))).collect())
}

fn time(time: Duration) -> Value {
    Value::String(TimeSpan(time).to_string())
}

/// TOML's whole numbers have 63 bits, and nothing that is counted has more.
fn whole(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

fn hosts(patterns: &[HostPattern]) -> Value {
    match patterns {
        [HostPattern(only)] => Value::String(only.clone()),
        _ => list(patterns),
    }
}

fn list(patterns: &[HostPattern]) -> Value {
    Value::Array(patterns.iter().map(|HostPattern(name)| Value::String(name.clone())).collect())
}

fn action(action: &Action) -> (String, Value) {
    let (key, value) = match action {
        Action::Partition(groups) => ("partition", Value::Array(groups.iter().map(|group| list(group)).collect())),
        Action::Cut { from, to } => ("cut", inline([("from", hosts(from)), ("to", hosts(to))])),
        Action::Heal => ("heal", Value::Boolean(true)),
        Action::Link(rule) => ("link", link(rule)),
        Action::Disk { hosts: whose, sync, fault } => {
            let whose = (!is_all(whose)).then(|| ("hosts", hosts(whose)));
            let sync = sync.as_ref().map(|sync| ("sync", latency(sync)));
            let fault = fault.map(|fault| ("fault", Value::String(fault.name().to_owned())));
            ("disk", inline(whose.into_iter().chain(sync).chain(fault)))
        }
        Action::Kill(whom) => ("kill", hosts(whom)),
        Action::Power(whom) => ("power", hosts(whom)),
        Action::Pause(whom) => ("pause", hosts(whom)),
        Action::Resume(whom) => ("resume", hosts(whom)),
        Action::Restart(whom) => ("restart", hosts(whom)),
        Action::Hold(rule) => ("hold", messages(rule)),
        Action::Drop(rule) => ("drop", messages(rule)),
        Action::Release => ("release", Value::Boolean(true)),
        Action::System(SystemAction { section, .. }) => return (section.name.clone(), section.value()),
    };
    (key.to_owned(), value)
}

fn is_all(patterns: &[HostPattern]) -> bool {
    matches!(patterns, [HostPattern(only)] if only == "*")
}

fn inline<'a>(entries: impl IntoIterator<Item = (&'a str, Value)>) -> Value {
    Value::Table(entries.into_iter().map(|(key, value)| (key.to_owned(), value)).collect())
}

fn link(rule: &LinkRule) -> Value {
    let LinkRule { from, to, settings, .. } = rule;
    // Between the same hosts, one way is both.
    let mut ends =
        if from == to { inline([("between", list(from))]) } else { inline([("from", hosts(from)), ("to", hosts(to))]) };
    if let Value::Table(ends) = &mut ends {
        ends.extend(link_settings(settings));
    }
    ends
}

fn messages(rule: &MessageRule) -> Value {
    let MessageRule { from, to, message, count } = rule;
    let entries = [
        (!is_all(from)).then(|| ("from", hosts(from))),
        (!is_all(to)).then(|| ("to", hosts(to))),
        message.as_ref().map(|message| ("message", Value::String(message.clone()))),
        count.map(|count| ("count", Value::Integer(whole(count)))),
    ];
    inline(entries.into_iter().flatten())
}

/// Keys and their values, each as one line of TOML.
#[derive(Default)]
struct Keys(Vec<(String, String)>);

impl Keys {
    fn put(&mut self, key: &str, value: impl Into<Value>) {
        self.0.push((quoted_key(key), one_line(&value.into())));
    }

    fn lines(&self) -> String {
        let width = self.0.iter().map(|(key, _)| key.chars().count()).max().unwrap_or(0);
        let mut text = String::new();
        for (key, value) in &self.0 {
            let _ = writeln!(text, "{key:width$} = {value}");
        }
        text
    }

    fn table(&self, header: &str) -> String {
        format!("{header}\n{}", self.lines())
    }
}

fn quoted_key(key: &str) -> String {
    toml_edit::Key::new(key).to_string()
}

/// A value on one line, with the spaces that a person puts into it.
fn one_line(value: &Value) -> String {
    match value {
        Value::Array(values) => {
            let values: Vec<String> = values.iter().map(one_line).collect();
            format!("[{}]", values.join(", "))
        }
        Value::Table(table) if table.is_empty() => "{}".to_owned(),
        Value::Table(table) => {
            let entries: Vec<String> =
                table.iter().map(|(key, value)| format!("{} = {}", quoted_key(key), one_line(value))).collect();
            format!("{{ {} }}", entries.join(", "))
        }
        Value::String(text) => toml_edit::Value::from(text.as_str()).to_string(),
        other => other.to_string(),
    }
}
