//! A run that was made, as a script without chance: what the seed drew is written out.
//!
//! Steps get the times at which they fired, those that never did are left out. What links did to single packets at
//! random (loss, bursts, copies, flipped bits, reordering) becomes the fate of just those packets. Latencies stay as they
//! are distributed: they are a function of the packet, so that they are drawn as they were.

use std::collections::BTreeMap;
use std::time::Duration;

use toml::Value;

use super::plan::Plan;
use crate::report::records::{RecordLine, WhatLine};
use crate::script::roles::Cast;
use crate::script::{Action, Fate, HostPattern, LinkSettings, PacketRule, Script, Setting, Step, Trigger, writer};
use crate::sim::trace::LossReason;

/// The random things that a link does to single packets.
const WEATHER: [&str; 5] = ["loss", "burst", "duplicate", "corrupt", "reorder"];

/// Resolves a run. `steps` are all that it had, of these hosts; `fixed` are settings for what else its seed drew. Without
/// `fates`, what links do at random stays as it is.
pub fn resolve(
    script: &Script,
    (steps, hosts): (&[Step], &[String]),
    fixed: &[Setting],
    records: &[RecordLine],
    fates: bool,
) -> Plan {
    let mut plan = Plan::new(script, fired(steps, hosts, records));
    plan.set(fixed);
    if !fates {
        return plan;
    }
    let reordered = is_reordered(script, &plan.steps);
    plan.packets.extend(drawn_fates(records, reordered));
    plan.steps = std::mem::take(&mut plan.steps).into_iter().filter_map(without_weather).collect();
    for key in WEATHER {
        plan.remove(&["network", key]);
    }
    if let Some(Value::Array(links)) = plan.rest.get_mut("link") {
        for link in links.iter_mut().filter_map(Value::as_table_mut) {
            WEATHER.iter().for_each(|key| drop(link.remove(*key)));
        }
        links.retain(|link| link.get("latency").is_some());
        if links.is_empty() {
            plan.rest.remove("link");
        }
    }
    plan
}

/// The steps that fired, in that order, each at its time and for the hosts that had the roles it names.
fn fired(steps: &[Step], hosts: &[String], records: &[RecordLine]) -> Vec<Step> {
    let at = |record: &RecordLine| match &record.what {
        // Steps are counted from 1 in the trace.
        WhatLine::Fault { step, action } => {
            let mut step = steps.get(step.checked_sub(1)?)?.clone();
            step.action.cast(hosts, &mut Cast::of_text(action), &mut |_, _| Vec::new());
            if step.action.is_for_nobody() {
                return None;
            }
            if !matches!(step.trigger, Trigger::Record(_)) {
                step.trigger = Trigger::At(Duration::from_nanos(record.t_ns));
            }
            Some(Step { spread: Duration::ZERO, line: 0, ..step })
        }
        _ => None,
    };
    records.iter().filter_map(at).collect()
}

fn is_reordered(script: &Script, steps: &[Step]) -> bool {
    let of_steps = steps.iter().filter_map(|step| match &step.action {
        Action::Link(rule) => Some(&rule.settings),
        _ => None,
    });
    let of_links = script.links.iter().map(|rule| &rule.settings);
    [&script.network].into_iter().chain(of_links).chain(of_steps).any(|settings| settings.reorder.is_some())
}

/// A step without what links do to single packets; `None`: nothing is left of it.
fn without_weather(mut step: Step) -> Option<Step> {
    if let Action::Link(rule) = &mut step.action {
        rule.settings = LinkSettings { latency: rule.settings.latency, ..LinkSettings::default() };
        if writer::link_settings(&rule.settings).is_empty() {
            return None;
        }
    }
    Some(step)
}

/// How a script names a packet of a run.
#[derive(Clone)]
struct Named {
    from: String,
    to: String,
    message: Option<String>,
    nth: u64,
    /// When its last transmission left, in nanoseconds.
    left: u64,
    is_udp: bool,
}

impl Named {
    fn rule(&self, attempt: u32, fate: Fate) -> PacketRule {
        let (from, to) = (HostPattern(self.from.clone()), HostPattern(self.to.clone()));
        PacketRule { from, to, message: self.message.clone(), nth: self.nth, attempt, fate }
    }
}

/// What chance did to single packets, in the order in which it did.
fn drawn_fates(records: &[RecordLine], reordered: bool) -> Vec<PacketRule> {
    let mut counts: BTreeMap<(String, String, Option<String>), u64> = BTreeMap::new();
    let mut packets: BTreeMap<u64, Named> = BTreeMap::new();
    // A copy is named by what it is a copy of; the place of its rule, and when it left.
    let mut copies: BTreeMap<u64, (usize, u64)> = BTreeMap::new();
    let mut rules = Vec::new();
    for record in records {
        match &record.what {
            WhatLine::Sent(sent) => {
                let message = sent.label.clone();
                let count = counts.entry((sent.from.clone(), sent.to.clone(), message.clone())).or_default();
                *count += 1;
                let nth = *count;
                let nth = match message {
                    Some(_) => {
                        *counts.entry((sent.from.clone(), sent.to.clone(), None)).or_default() += 1;
                        nth
                    }
                    None => nth,
                };
                let (from, to, is_udp) = (sent.from.clone(), sent.to.clone(), sent.transport == "udp");
                packets.insert(sent.packet, Named { from, to, message, nth, left: record.t_ns, is_udp });
            }
            WhatLine::Lost { packet, attempt, reason: LossReason::Loss | LossReason::Burst } => {
                rules.extend(packets.get(packet).map(|named| named.rule(*attempt, Fate::Lose)));
            }
            WhatLine::Duplicated { packet, copy } => {
                if let Some(named) = packets.get(packet) {
                    copies.insert(*copy, (rules.len(), named.left));
                    rules.push(named.rule(0, Fate::Duplicate(None)));
                }
            }
            WhatLine::Corrupted { packet, bit } => {
                rules.extend(packets.get(packet).map(|named| named.rule(0, Fate::Corrupt(*bit))));
            }
            WhatLine::Released { packet } => {
                if let Some(named) = packets.get_mut(packet) {
                    named.left = record.t_ns;
                }
            }
            WhatLine::Delivered { packet, .. } => {
                let took = |left: u64| Duration::from_nanos(record.t_ns.saturating_sub(left));
                if let Some((rule, left)) = copies.get(packet) {
                    rules[*rule].fate = Fate::Duplicate(Some(took(*left)));
                } else if reordered && let Some(named) = packets.get(packet).filter(|named| named.is_udp) {
                    rules.push(named.rule(0, Fate::Latency(took(named.left))));
                }
            }
            _ => {}
        }
    }
    rules
}
