//! What became of each transmission, in words: a packet's comment.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use super::super::records::{RecordLine, WhatLine};
use super::super::style::span;
use crate::sim::trace::LossReason;

/// All packets of a run, by their numbers.
pub(super) struct Fates(BTreeMap<u64, Life>);

/// One packet from its sending to its end.
#[derive(Default)]
struct Life {
    /// Its message's name and what else the system says of it.
    words: String,
    /// When and in which record each transmission left.
    left: Vec<(u64, u64)>,
    /// What became of each transmission.
    ends: BTreeMap<u32, End>,
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
        let mut parted = BTreeSet::new();
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
        parts.push(life.fate(record, attempt));
        parts.extend(life.notes.iter().cloned());
        parts.join("; ")
    }
}

impl Life {
    fn fate(&self, record: &RecordLine, attempt: u32) -> String {
        match self.ends.get(&attempt) {
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

fn times(count: u32) -> String {
    match count {
        1 => "once".to_owned(),
        2 => "twice".to_owned(),
        _ => format!("{count} times"),
    }
}

fn take_in(lives: &mut BTreeMap<u64, Life>, parted: &mut BTreeSet<usize>, record: &RecordLine) {
    let n = record.n;
    let mut note = |packet: u64, text: String| lives.entry(packet).or_default().notes.push(text);
    match &record.what {
        WhatLine::Fault { step, action } => {
            if action.starts_with("partition") || action.starts_with("cut") {
                parted.insert(*step);
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
        }
        WhatLine::Retransmitted { packet, .. } => lives.entry(*packet).or_default().left.push((record.t_ns, n)),
        WhatLine::Delivered { packet, attempt } => {
            let end = End::Arrived { t_ns: record.t_ns, record: n };
            lives.entry(*packet).or_default().ends.insert(*attempt, end);
        }
        WhatLine::Lost { packet, attempt, reason } => {
            let steps: Vec<String> = parted.iter().map(ToString::to_string).collect();
            let why = match (reason, steps.as_slice()) {
                (LossReason::Partition, [step]) => format!("partition, step {step}"),
                (LossReason::Partition, [_, ..]) => format!("partition, steps {}", steps.join(" and ")),
                _ => reason.to_string(),
            };
            lives.entry(*packet).or_default().ends.insert(*attempt, End::Lost { why, record: n });
        }
        WhatLine::GivenUp { packet, attempts } => note(*packet, format!("given up after {attempts} tries, record {n}")),
        WhatLine::Corrupted { packet, bit } => note(*packet, format!("bit {bit} flipped on its way, record {n}")),
        WhatLine::Held { packet } => note(*packet, format!("held by the script, record {n}")),
        WhatLine::Released { packet } => note(*packet, format!("released, record {n}")),
        WhatLine::Duplicated { packet, copy } => {
            note(*packet, format!("the network made a copy of it, packet {copy}"));
            let words = lives.get(packet).map(|life| life.words.clone()).unwrap_or_default();
            let life = lives.entry(*copy).or_default();
            (life.words, life.left) = (words, vec![(record.t_ns, n)]);
            life.notes.push(format!("a copy of packet {packet}, made by the network and not by its sender"));
        }
        _ => {}
    }
}
