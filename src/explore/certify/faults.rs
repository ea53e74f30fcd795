//! The single faults that could hit a run, and the scripts with each of them.

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use rand::seq::SliceRandom as _;
use toml_edit::{ArrayOfTables, DocumentMut, Item, Table, TableLike, Value};

use crate::report::records::{RecordLine, WhatLine};
use crate::rng::Seed;
use crate::script::{Action, Fate, HostPattern, PacketRule, Step, TimeSpan, Trigger, writer};

/// A kind of fault.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    /// A packet is lost.
    Loss,
    /// A datagram comes twice.
    Duplicate,
    /// A packet is late.
    Delay,
    /// A host dies.
    Crash,
}

impl Kind {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Loss, Self::Duplicate, Self::Delay, Self::Crash];

    /// Several of it.
    pub fn plural(self) -> &'static str {
        match self {
            Self::Loss => "losses",
            Self::Duplicate => "duplicates",
            Self::Delay => "delays",
            Self::Crash => "crash points",
        }
    }
}

/// One fault.
#[derive(Clone, Debug)]
#[allow(clippy::large_enum_variant, reason = "there are some thousands of them, and most are crashes")]
pub enum Fault {
    /// What becomes of one packet.
    Packet(PacketRule),
    /// A host dies after a record.
    Crash(Step),
}

impl Fault {
    /// Its kind.
    pub fn kind(&self) -> Kind {
        match self {
            Self::Crash(_) => Kind::Crash,
            Self::Packet(PacketRule { fate, .. }) => match fate {
                Fate::Lose => Kind::Loss,
                Fate::Latency(_) => Kind::Delay,
                Fate::Duplicate(_) | Fate::Corrupt(_) => Kind::Duplicate,
            },
        }
    }

    /// A script with this fault on top, and another sentence.
    pub fn script(&self, text: &str, about: &str, duration: Duration) -> String {
        let Ok(mut document) = text.parse::<DocumentMut>() else { return text.to_owned() };
        let (key, written) = match self {
            Self::Packet(rule) => ("packet", writer::packet(rule)),
            Self::Crash(step) => ("step", writer::step(step)),
        };
        document.insert("about", Item::Value(Value::from(about)));
        document.insert("duration", Item::Value(Value::from(TimeSpan(duration).to_string())));
        // With one fault more, the script's own need not find anybody: it is not those that are tried.
        allow_inert(&mut document);
        let written = written.parse::<DocumentMut>().unwrap_or_default();
        let tables = written.get(key).and_then(Item::as_array_of_tables);
        let Some(mut table) = tables.and_then(|tables| tables.get(0)).cloned() else { return text.to_owned() };
        table.set_position(None);
        table.decor_mut().set_prefix("\n");
        add(&mut document, key, table);
        document.to_string()
    }
}

fn allow_inert(document: &mut DocumentMut) {
    let allow = |step: &mut dyn TableLike| _ = step.insert("may_be_inert", Item::Value(Value::from(true)));
    match document.get_mut("step") {
        Some(Item::ArrayOfTables(steps)) => steps.iter_mut().for_each(|step| allow(step)),
        Some(Item::Value(Value::Array(steps))) => {
            steps.iter_mut().filter_map(Value::as_inline_table_mut).for_each(|step| allow(step));
        }
        _ => {}
    }
}

/// Puts a table at the end of an array of tables, however that is written.
fn add(document: &mut DocumentMut, key: &str, table: Table) {
    match document.get_mut(key) {
        Some(Item::Value(Value::Array(list))) => list.push(Value::InlineTable(table.into_inline_table())),
        Some(Item::ArrayOfTables(tables)) => tables.push(table),
        _ => {
            let mut tables = ArrayOfTables::new();
            tables.push(table);
            document.insert(key, Item::ArrayOfTables(tables));
        }
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Packet(rule) => write!(f, "{rule}"),
            Self::Crash(step) => write!(f, "{step}"),
        }
    }
}

/// What the faults are like.
#[derive(Clone, Copy, Debug)]
pub struct Terms {
    /// How long a late packet takes.
    pub late: Duration,
    /// How long a dead host is down.
    pub down: Duration,
    /// How long the whole run is, so that there is time to recover.
    pub duration: Duration,
    /// Whether hosts lose power, or only their processes die.
    pub power: bool,
}

/// All single faults of a run: by kind, and in the order of the run.
pub fn all(records: &[RecordLine], terms: Terms) -> Vec<Fault> {
    let packets = packets(records);
    let with = |rule: &PacketRule, fate| Fault::Packet(PacketRule { fate, ..rule.clone() });
    let losses = packets.iter().map(|(rule, _)| with(rule, Fate::Lose));
    let copies = packets.iter().filter(|(_, is_udp)| *is_udp).map(|(rule, _)| with(rule, Fate::Duplicate(None)));
    let delays = packets.iter().map(|(rule, _)| with(rule, Fate::Latency(terms.late)));
    losses.chain(copies).chain(delays).chain(crashes(records, terms)).collect()
}

/// So many of the faults, chosen by the seed, in order: the places of those.
pub fn sample(count: usize, of: usize, seed: Seed) -> Vec<usize> {
    let mut places: Vec<usize> = (0..of).collect();
    places.shuffle(&mut seed.stream("sample of faults"));
    places.truncate(count);
    places.sort_unstable();
    places
}

/// Every packet that a host sent, as a script names it, and whether it is a datagram.
fn packets(records: &[RecordLine]) -> Vec<(PacketRule, bool)> {
    let mut counts: BTreeMap<(&str, &str, Option<&str>), u64> = BTreeMap::new();
    let mut packets = Vec::new();
    for record in records {
        let WhatLine::Sent(sent) = &record.what else { continue };
        let (from, to, message) = (sent.from.as_str(), sent.to.as_str(), sent.label.as_deref());
        let all = counts.entry((from, to, None)).or_default();
        *all += 1;
        let mut nth = *all;
        if message.is_some() {
            let named = counts.entry((from, to, message)).or_default();
            *named += 1;
            nth = *named;
        }
        let (from, to, message) = (HostPattern(from.to_owned()), HostPattern(to.to_owned()), sent.label.clone());
        packets.push((PacketRule { from, to, message, nth, attempt: 0, fate: Fate::Lose }, sent.transport == "udp"));
    }
    packets
}

/// Every crash point.
fn crashes(records: &[RecordLine], terms: Terms) -> Vec<Fault> {
    let mut hosts: Vec<&str> = Vec::new();
    // By host that runs: the tick of its last crash point, and whether it has made a record since.
    let mut running: BTreeMap<&str, Option<(u64, bool)>> = BTreeMap::new();
    let mut points = Vec::new();
    for record in records {
        if let Some(host) = record.host.as_deref() {
            if !hosts.contains(&host) {
                hosts.push(host);
            }
            match record.what {
                WhatLine::Started { .. } => drop(running.insert(host, None)),
                WhatLine::Killed | WhatLine::PowerLost | WhatLine::Finished => drop(running.remove(host)),
                _ => {}
            }
            if let Some(Some((_, has_moved))) = running.get_mut(host) {
                *has_moved = true;
            }
        }
        if matches!(record.what, WhatLine::Ended { .. } | WhatLine::Violated { .. }) {
            break;
        }
        for (host, last) in &mut running {
            if last.is_some_and(|(at, has_moved)| at == record.t_ns && !has_moved) {
                continue;
            }
            *last = Some((record.t_ns, false));
            let whom = vec![HostPattern((*host).to_owned())];
            let action = if terms.power { Action::Power(whom) } else { Action::Kill(whom) };
            let (trigger, lasts) = (Trigger::Record(record.n), Some(terms.down));
            points.push(Fault::Crash(Step {
                trigger,
                spread: Duration::ZERO,
                action,
                lasts,
                may_be_inert: false,
                line: 0,
            }));
        }
    }
    points
}
