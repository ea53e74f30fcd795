//! Which records a reader wants to see: by host, by topic, around one of them.

use std::collections::{BTreeMap, BTreeSet};

use super::recording::{Meanings, Recording};
use super::records::{RecordLine, WhatLine};

/// The topics that every run has, and what each is about.
pub const TOPICS: [(&str, &str); 5] = [
    ("faults", "steps of the script or of chaos, and what becomes of processes"),
    ("loss", "lost, late, duplicated, corrupted and held packets"),
    ("packets", "packets sent and received"),
    ("events", "what the hosts tell"),
    ("states", "what the hosts become"),
];

/// What is shown of a run.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Selection {
    /// Records of these hosts, and of packets to and from them; none: of all.
    pub hosts: Vec<String>,
    /// A topic of [`TOPICS`], the system's name (its events), the name of a message or of an event; none: all.
    pub only: Vec<String>,
    /// The records from one number to another, both included.
    pub range: Option<(u64, u64)>,
}

/// A name that nothing in the run has.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("no {what} of this run is called `{name}`: there are {known}")]
pub struct Unknown {
    what: &'static str,
    name: String,
    known: String,
}

impl Selection {
    /// The numbers of the records that are chosen. What was found and how the run ended are always among them.
    pub fn choose(&self, run: &Recording, meaning: &Meanings<'_>) -> Result<BTreeSet<u64>, Unknown> {
        let packets = packets(run);
        self.check_hosts(run)?;
        self.check_topics(run)?;
        let states: BTreeSet<u64> = run.states(meaning).iter().map(|change| change.record).collect();
        let is_wanted = |record: &&RecordLine| {
            let is_near = self.range.is_none_or(|(from, to)| (from..=to).contains(&record.n));
            let is_finding = matches!(record.what, WhatLine::Violated { .. } | WhatLine::Ended { .. });
            let packet = packet_of(&record.what).and_then(|id| packets.get(&id));
            is_near && (is_finding || self.is_at_host(record, packet) && self.is_on_topic(run, record, packet, &states))
        };
        Ok(run.records.iter().filter(is_wanted).map(|record| record.n).collect())
    }

    /// Whether anything is left out.
    pub fn is_all(&self) -> bool {
        *self == Self::default()
    }

    fn check_hosts(&self, run: &Recording) -> Result<(), Unknown> {
        let known: Vec<&str> = run.hosts().iter().map(|host| host.name.as_str()).collect();
        unknown("host", &self.hosts, &known)
    }

    fn check_topics(&self, run: &Recording) -> Result<(), Unknown> {
        let mut known: Vec<&str> = TOPICS.iter().map(|(name, _)| *name).collect();
        known.push(&run.header.system);
        let names: BTreeSet<&str> = run
            .records
            .iter()
            .filter_map(|record| match &record.what {
                WhatLine::Event { name, .. } => Some(name.as_str()),
                WhatLine::Sent(sent) => sent.label.as_deref(),
                _ => None,
            })
            .collect();
        known.extend(names);
        unknown("topic, message or event", &self.only, &known)
    }

    fn is_at_host(&self, record: &RecordLine, packet: Option<&Named<'_>>) -> bool {
        let is_chosen = |name: &str| self.hosts.iter().any(|host| host == name);
        let ends = packet.map(|packet| [packet.from, packet.to]);
        // A step of the script is about hosts that only its text names.
        self.hosts.is_empty()
            || record.host.as_deref().is_some_and(is_chosen)
            || ends.is_some_and(|ends| ends.into_iter().any(is_chosen))
            || record.host.is_none() && ends.is_none()
    }

    fn is_on_topic(
        &self,
        run: &Recording,
        record: &RecordLine,
        packet: Option<&Named<'_>>,
        states: &BTreeSet<u64>,
    ) -> bool {
        let is_topic = |topic: &String| {
            topic == topic_of(&record.what)
                || topic == "states" && states.contains(&record.n)
                || matches!(&record.what, WhatLine::Event { name, .. } if topic == name || *topic == run.header.system)
                || packet.is_some_and(|packet| packet.label == Some(topic.as_str()))
        };
        self.only.is_empty() || self.only.iter().any(is_topic)
    }
}

fn unknown(what: &'static str, names: &[String], known: &[&str]) -> Result<(), Unknown> {
    match names.iter().find(|name| !known.contains(&name.as_str())) {
        Some(name) => Err(Unknown { what, name: name.clone(), known: known.join(", ") }),
        None => Ok(()),
    }
}

/// A packet, by what a reader may name it.
struct Named<'a> {
    from: &'a str,
    to: &'a str,
    label: Option<&'a str>,
}

fn packets(run: &Recording) -> BTreeMap<u64, Named<'_>> {
    let mut packets = BTreeMap::new();
    for record in &run.records {
        match &record.what {
            WhatLine::Sent(sent) => {
                packets.insert(sent.packet, Named { from: &sent.from, to: &sent.to, label: sent.label.as_deref() });
            }
            WhatLine::Duplicated { packet, copy } => {
                if let Some(Named { from, to, label }) = packets.get(packet) {
                    let twin = Named { from, to, label: *label };
                    packets.insert(*copy, twin);
                }
            }
            _ => {}
        }
    }
    packets
}

/// The packet that a record is about.
pub fn packet_of(what: &WhatLine) -> Option<u64> {
    match what {
        WhatLine::Sent(sent) => Some(sent.packet),
        WhatLine::Lost { packet, .. }
        | WhatLine::Retransmitted { packet, .. }
        | WhatLine::GivenUp { packet, .. }
        | WhatLine::Duplicated { packet, .. }
        | WhatLine::Corrupted { packet, .. }
        | WhatLine::Held { packet }
        | WhatLine::Released { packet }
        | WhatLine::Delivered { packet, .. } => Some(*packet),
        _ => None,
    }
}

fn topic_of(what: &WhatLine) -> &'static str {
    match what {
        WhatLine::Sent(_) | WhatLine::Delivered { .. } => "packets",
        WhatLine::Lost { .. }
        | WhatLine::Retransmitted { .. }
        | WhatLine::GivenUp { .. }
        | WhatLine::Duplicated { .. }
        | WhatLine::Corrupted { .. }
        | WhatLine::Held { .. }
        | WhatLine::Released { .. } => "loss",
        WhatLine::Started { .. }
        | WhatLine::Finished
        | WhatLine::Failed { .. }
        | WhatLine::Panicked { .. }
        | WhatLine::Killed
        | WhatLine::PowerLost
        | WhatLine::Paused
        | WhatLine::Resumed
        | WhatLine::Fault { .. }
        | WhatLine::FaultEnded { .. } => "faults",
        WhatLine::Event { .. } => "events",
        WhatLine::Violated { .. } | WhatLine::Ended { .. } => "findings",
    }
}
