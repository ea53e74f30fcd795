//! What became of each transmission, in words: a packet's comment.

use std::collections::BTreeMap;
use std::time::Duration;

use super::super::records::{RecordLine, WhatLine};
use super::super::show::why_again;
use super::super::style::span;
use crate::script::roles::Cast;
use crate::sim::trace::LossReason;

/// All packets of a run, by their numbers.
pub(super) struct Fates(BTreeMap<u64, Life>);

/// One packet from its sending to its end.
#[derive(Default)]
struct Life {
    /// The hosts that it goes from and to.
    ends: (String, String),
    is_syn: bool,
    /// Its message's name and what else the system says of it.
    words: String,
    /// When and in which record each transmission left.
    left: Vec<(u64, u64)>,
    /// What became of each transmission.
    became: BTreeMap<u32, End>,
    /// What else happened to it, in words.
    notes: Vec<String>,
}

enum End {
    Arrived { t_ns: u64, record: u64 },
    Lost { why: String, record: u64 },
}

impl Fates {
    pub(super) fn new(records: &[RecordLine]) -> Self {
        let mut lives: BTreeMap<u64, Life> = BTreeMap::new();
        let mut parted = BTreeMap::new();
        for record in records {
            take_in(&mut lives, &mut parted, record);
        }
        Self(lives)
    }

    /// The comment of one transmission, which left in this record.
    pub(super) fn comment(&self, record: &RecordLine, packet: u64, attempt: u32) -> String {
        let mut parts = vec![format!("record {}", record.n)];
        let Some(life) = self.0.get(&packet) else { return parts.join("; ") };
        parts.extend([life.words.clone()].into_iter().filter(|words| !words.is_empty()));
        if let WhatLine::Retransmitted { why, .. } = &record.what {
            parts.push(format!("sent again: {}", why_again(why)));
        }
        parts.push(life.fate(record, attempt));
        parts.extend(life.notes.iter().cloned());
        parts.join("; ")
    }
}

impl Life {
    /// Whether a partition, or a cut, keeps its two hosts apart.
    fn is_cut_by(&self, action: &str) -> bool {
        let (from, to) = (self.ends.0.as_str(), self.ends.1.as_str());
        if let Some((before, behind)) = action.strip_prefix("cut ").and_then(|hosts| hosts.split_once(" -> ")) {
            let leads = |from: &str, to: &str| is_among(before, from) && is_among(behind, to);
            // The answer to a SYN goes the other way.
            return leads(from, to) || self.is_syn && leads(to, from);
        }
        let groups = || action.split('[').skip(1).map(|group| group.split(']').next().unwrap_or_default());
        let group_of = |host: &str| groups().position(|group| is_among(group, host));
        matches!((group_of(from), group_of(to)), (Some(one), Some(other)) if one != other)
    }

    fn fate(&self, record: &RecordLine, attempt: u32) -> String {
        match self.became.get(&attempt) {
            Some(End::Arrived { t_ns, record: arrival }) => {
                let took = span(Duration::from_nanos(t_ns - record.t_ns));
                if attempt == 0 {
                    return format!("arrived after {took}, record {arrival}");
                }
                let first = self.left.first().map_or(record.t_ns, |(t_ns, _)| *t_ns);
                let late = span(Duration::from_nanos(t_ns - first));
                format!(
                    "late: retransmitted {}, arrived {late} after it was first sent, record {arrival}",
                    times(attempt)
                )
            }
            Some(End::Lost { why, record }) => {
                let next = usize::try_from(attempt + 1).ok().and_then(|next| self.left.get(next));
                let again = next.map_or(String::new(), |(_, record)| format!("; sent again in record {record}"));
                format!("lost: {why}, record {record}{again}")
            }
            None => "under way when the run ended".to_owned(),
        }
    }
}

/// Whether a host is among names as scripts write them, where `*` stands for any ending.
fn is_among(names: &str, host: &str) -> bool {
    let is_named = |name: &str| name.strip_suffix('*').map_or(name == host, |start| host.starts_with(start));
    names.split_whitespace().any(is_named)
}

fn times(count: u32) -> String {
    match count {
        1 => "once".to_owned(),
        2 => "twice".to_owned(),
        _ => format!("{count} times"),
    }
}

fn take_in(lives: &mut BTreeMap<u64, Life>, parted: &mut BTreeMap<usize, String>, record: &RecordLine) {
    let n = record.n;
    let mut note = |packet: u64, text: String| lives.entry(packet).or_default().notes.push(text);
    match &record.what {
        WhatLine::Fault { step, action } => {
            if action.starts_with("partition") || action.starts_with("cut") {
                parted.insert(*step, Cast::taken_off(action).to_owned());
            } else if action.starts_with("heal") {
                parted.clear();
            }
        }
        WhatLine::FaultEnded { step, .. } => _ = parted.remove(step),
        WhatLine::Sent(sent) => {
            let said = [&sent.label, &sent.detail].into_iter().flatten();
            let words: Vec<&str> = said.map(String::as_str).filter(|words| !words.is_empty()).collect();
            let life = lives.entry(sent.packet).or_default();
            (life.words, life.left) = (words.join(" "), vec![(record.t_ns, n)]);
            life.ends = (sent.from.clone(), sent.to.clone());
            life.is_syn = sent.transport == "tcp-syn";
        }
        WhatLine::Retransmitted { packet, .. } => lives.entry(*packet).or_default().left.push((record.t_ns, n)),
        WhatLine::Delivered { packet, attempt } => {
            let end = End::Arrived { t_ns: record.t_ns, record: n };
            lives.entry(*packet).or_default().became.insert(*attempt, end);
        }
        WhatLine::Lost { packet, attempt, reason } => {
            let life = lives.entry(*packet).or_default();
            let steps: Vec<String> =
                parted.iter().filter(|(_, action)| life.is_cut_by(action)).map(|(step, _)| step.to_string()).collect();
            let why = match (reason, steps.as_slice()) {
                (LossReason::Partition, [step]) => format!("partition, step {step}"),
                (LossReason::Partition, [_, ..]) => format!("partition, steps {}", steps.join(" and ")),
                _ => reason.to_string(),
            };
            life.became.insert(*attempt, End::Lost { why, record: n });
        }
        WhatLine::GivenUp { packet, attempts } => note(*packet, format!("given up after {attempts} tries, record {n}")),
        WhatLine::Corrupted { packet, bit } => note(*packet, format!("bit {bit} flipped on its way, record {n}")),
        WhatLine::Held { packet } => note(*packet, format!("held by the script, record {n}")),
        WhatLine::Released { packet } => note(*packet, format!("released, record {n}")),
        WhatLine::Duplicated { packet, copy } => {
            note(*packet, format!("the network made a copy of it, packet {copy}"));
            let original = lives.get(packet).map(|life| (life.words.clone(), life.ends.clone()));
            let life = lives.entry(*copy).or_default();
            (life.words, life.ends) = original.unwrap_or_default();
            life.left = vec![(record.t_ns, n)];
            life.notes.push(format!("a copy of packet {packet}, made by the network and not by its sender"));
        }
        _ => {}
    }
}
