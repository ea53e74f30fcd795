//! What each link does at this moment: settings by direction, cuts, holds and drops.
//!
//! A link's settings are the script's `[network]`, then each `[[link]]` rule, then each link change of a step that is
//! in force, field by field; the last one wins. They are laid out as a table by (sender, receiver) whenever one of
//! them changes, so that a packet costs one look-up.

use std::time::Duration;

use crate::rng::Seed;
use crate::script::{Burst, HostPattern, Latency, LinkRule, LinkSettings, MessageRule, Reorder};

use super::latency::{self, Sampler};
use super::trace::{HostId, LossReason};

/// What a draw is for; part of its key.
#[derive(Clone, Copy)]
pub(crate) enum Purpose {
    Loss = 1,
    BurstMove = 2,
    BurstLoss = 3,
    Latency = 4,
    Duplicate = 5,
    Corrupt = 6,
    CorruptBit = 7,
    Reorder = 8,
    ReorderExtra = 9,
    Ack = 10,
    DiskSync = 11,
}

/// One direction of a link.
#[derive(Clone, Debug)]
struct Direction {
    latency: Sampler,
    loss: f64,
    burst: Option<Burst>,
    /// Whether datagrams may be copied, corrupted or held back.
    meddles: bool,
    duplicate: f64,
    corrupt: f64,
    reorder: Option<Reorder>,
    /// How many cuts are in force.
    cuts: u32,
    /// The next packet's number.
    packets: u64,
    /// The next transmission's number.
    transmissions: u64,
    /// Whether the burst chain is in its bad state.
    bad: bool,
}

/// A hold or drop in force.
struct Rule {
    step: usize,
    rule: MessageRule,
    holds: bool,
    left: u64,
}

/// What a rule says to a packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Ruling {
    Pass,
    Hold,
    Drop,
}

/// All links.
pub(crate) struct Links {
    seed: Seed,
    names: Vec<String>,
    base: LinkSettings,
    rules: Vec<LinkRule>,
    changes: Vec<(usize, LinkRule)>,
    table: Vec<Direction>,
    messages: Vec<Rule>,
}

impl Links {
    pub(crate) fn new(seed: Seed, names: Vec<String>, base: LinkSettings, rules: Vec<LinkRule>) -> Self {
        let blank = Direction {
            latency: Latency::DEFAULT.into(),
            loss: 0.0,
            burst: None,
            meddles: false,
            duplicate: 0.0,
            corrupt: 0.0,
            reorder: None,
            cuts: 0,
            packets: 0,
            transmissions: 0,
            bad: false,
        };
        let table = vec![blank; names.len() * names.len()];
        let mut links = Self { seed, names, base, rules, changes: Vec::new(), table, messages: Vec::new() };
        links.lay_out();
        links
    }

    #[inline]
    fn direction(&mut self, from: HostId, to: HostId) -> &mut Direction {
        let index = usize::from(from.0) * self.names.len() + usize::from(to.0);
        &mut self.table[index]
    }

    /// Takes a step's link change into force.
    pub(crate) fn change(&mut self, step: usize, rule: LinkRule) {
        self.changes.push((step, rule));
        self.lay_out();
    }

    /// Ends a step's link change.
    pub(crate) fn unchange(&mut self, step: usize) {
        self.changes.retain(|(of, _)| *of != step);
        self.lay_out();
    }

    /// Ends all link changes, holds and drops of steps. Cuts are counted by whoever made them.
    pub(crate) fn heal(&mut self) {
        self.changes.clear();
        self.messages.clear();
        self.lay_out();
    }

    /// Whether a link change, hold or drop of a step is in force. A drop that has lost all that it was for is not; a
    /// hold keeps what it has.
    pub(crate) fn is_changed(&self) -> bool {
        !self.changes.is_empty() || self.messages.iter().any(|rule| rule.holds || rule.left > 0)
    }

    fn lay_out(&mut self) {
        let count = self.names.len();
        let mut table = std::mem::take(&mut self.table);
        for (index, direction) in table.iter_mut().enumerate() {
            let (from, to) = (&self.names[index / count], &self.names[index % count]);
            let mut settings = self.base.clone();
            let in_force = self.rules.iter().chain(self.changes.iter().map(|(_, rule)| rule));
            for rule in in_force.filter(|rule| applies(rule, from, to)) {
                overlay(&mut settings, &rule.settings);
            }
            direction.latency = settings.latency.unwrap_or(Latency::DEFAULT).into();
            direction.loss = settings.loss.unwrap_or(0.0);
            direction.burst = settings.burst;
            direction.duplicate = settings.duplicate.unwrap_or(0.0);
            direction.corrupt = settings.corrupt.unwrap_or(0.0);
            direction.reorder = settings.reorder;
            let meddling = [direction.duplicate, direction.corrupt].iter().any(|chance| *chance > 0.0);
            direction.meddles = meddling || direction.reorder.is_some();
        }
        self.table = table;
    }

    /// Cuts one direction once more.
    pub(crate) fn cut(&mut self, from: HostId, to: HostId) {
        self.direction(from, to).cuts += 1;
    }

    /// Takes back one cut of a direction.
    pub(crate) fn uncut(&mut self, from: HostId, to: HostId) {
        let cuts = &mut self.direction(from, to).cuts;
        *cuts = cuts.checked_sub(1).expect("a cut is taken back once");
    }

    pub(crate) fn is_cut(&mut self, from: HostId, to: HostId) -> bool {
        self.direction(from, to).cuts > 0
    }

    /// The number of the next packet of this direction.
    #[inline]
    pub(crate) fn next_packet(&mut self, from: HostId, to: HostId) -> u64 {
        let direction = self.direction(from, to);
        direction.packets += 1;
        direction.packets - 1
    }

    /// Whether a transmission of packet `number` is lost on the way, and why.
    pub(crate) fn loses(&mut self, from: HostId, to: HostId, number: u64, attempt: u32) -> Option<LossReason> {
        let seed = self.seed;
        let direction = self.direction(from, to);
        let turn = direction.transmissions;
        direction.transmissions += 1;
        if direction.cuts > 0 {
            return Some(LossReason::Partition);
        }
        if let Some(burst) = direction.burst {
            let chance = if direction.bad { burst.leave } else { burst.enter };
            if hits(seed, Purpose::BurstMove, from, to, turn, 0, chance) {
                direction.bad = !direction.bad;
            }
            if direction.bad && hits(seed, Purpose::BurstLoss, from, to, turn, 0, burst.loss) {
                return Some(LossReason::Burst);
            }
        }
        hits(seed, Purpose::Loss, from, to, number, attempt, direction.loss).then_some(LossReason::Loss)
    }

    /// The latency of a transmission.
    pub(crate) fn latency(&mut self, from: HostId, to: HostId, number: u64, attempt: u32) -> Duration {
        let unit = unit(self.seed, Purpose::Latency, from, to, number, attempt);
        self.direction(from, to).latency.sample(unit)
    }

    /// The latency of the acknowledgement of packet `number` of the other direction.
    pub(crate) fn ack_latency(&mut self, from: HostId, to: HostId, number: u64) -> Duration {
        let unit = unit(self.seed, Purpose::Ack, from, to, number, 0);
        self.direction(from, to).latency.sample(unit)
    }

    /// Whether a datagram may be copied, corrupted or held back by the link.
    #[inline]
    pub(crate) fn meddles(&mut self, from: HostId, to: HostId) -> bool {
        self.direction(from, to).meddles
    }

    /// By how much longer a datagram is held back, if it is one to be reordered.
    #[inline]
    pub(crate) fn held_back(&mut self, from: HostId, to: HostId, number: u64) -> Option<Duration> {
        let seed = self.seed;
        let reorder = self.direction(from, to).reorder.as_ref()?;
        hits(seed, Purpose::Reorder, from, to, number, 0, reorder.chance)
            .then(|| latency::sample(&reorder.extra, unit(seed, Purpose::ReorderExtra, from, to, number, 0)))
    }

    /// Whether the network makes a copy of a datagram.
    #[inline]
    pub(crate) fn duplicates(&mut self, from: HostId, to: HostId, number: u64) -> bool {
        let chance = self.direction(from, to).duplicate;
        hits(self.seed, Purpose::Duplicate, from, to, number, 0, chance)
    }

    /// Which of a datagram's `bits` bits is flipped, if one is.
    #[inline]
    pub(crate) fn corrupts(&mut self, from: HostId, to: HostId, number: u64, bits: u64) -> Option<u64> {
        let chance = self.direction(from, to).corrupt;
        let hit = bits > 0 && hits(self.seed, Purpose::Corrupt, from, to, number, 0, chance);
        hit.then(|| self.seed.draw(&key(Purpose::CorruptBit, from, to, number, 0)) % bits)
    }

    /// Takes a step's hold or drop into force.
    pub(crate) fn add_rule(&mut self, step: usize, rule: MessageRule, holds: bool) {
        let left = rule.count.unwrap_or(u64::MAX);
        self.messages.push(Rule { step, rule, holds, left });
    }

    /// Ends a step's hold or drop.
    pub(crate) fn remove_rule(&mut self, step: usize) {
        self.messages.retain(|rule| rule.step != step);
    }

    /// Ends all holds.
    pub(crate) fn remove_holds(&mut self) {
        self.messages.retain(|rule| !rule.holds);
    }

    /// Whether a rule in force asks for packets by their messages' names.
    pub(crate) fn needs_names(&self) -> bool {
        self.messages.iter().any(|rule| rule.rule.message.is_some())
    }

    /// What the rules in force say to a packet; the first that matches counts, and its step is named.
    #[inline]
    pub(crate) fn rule(&mut self, from: HostId, to: HostId, message: Option<&str>) -> (Ruling, usize) {
        if self.messages.is_empty() { (Ruling::Pass, 0) } else { self.first_rule(from, to, message) }
    }

    fn first_rule(&mut self, from: HostId, to: HostId, message: Option<&str>) -> (Ruling, usize) {
        let (from, to) = (&self.names[usize::from(from.0)], &self.names[usize::from(to.0)]);
        let matching = self.messages.iter_mut().find(|rule| {
            let asked = rule.rule.message.as_deref();
            rule.left > 0
                && named(&rule.rule.from, from)
                && named(&rule.rule.to, to)
                && (asked.is_none() || asked == message)
        });
        let Some(rule) = matching else { return (Ruling::Pass, 0) };
        rule.left -= 1;
        (if rule.holds { Ruling::Hold } else { Ruling::Drop }, rule.step)
    }
}

fn applies(rule: &LinkRule, from: &str, to: &str) -> bool {
    let there = named(&rule.from, from) && named(&rule.to, to);
    there || rule.both_ways && named(&rule.from, to) && named(&rule.to, from)
}

/// Whether one of the patterns names the host.
pub(crate) fn named(patterns: &[HostPattern], host: &str) -> bool {
    patterns.iter().any(|pattern| pattern.matches(host))
}

fn overlay(settings: &mut LinkSettings, over: &LinkSettings) {
    let LinkSettings { latency, loss, burst, duplicate, corrupt, reorder } = over;
    settings.latency = latency.or(settings.latency);
    settings.loss = loss.or(settings.loss);
    settings.burst = burst.or(settings.burst);
    settings.duplicate = duplicate.or(settings.duplicate);
    settings.corrupt = corrupt.or(settings.corrupt);
    if reorder.is_some() {
        settings.reorder.clone_from(reorder);
    }
}

#[inline]
fn key(purpose: Purpose, from: HostId, to: HostId, number: u64, attempt: u32) -> [u64; 4] {
    [purpose as u64, u64::from(from.0) << 16 | u64::from(to.0), number, u64::from(attempt)]
}

#[inline]
fn unit(seed: Seed, purpose: Purpose, from: HostId, to: HostId, number: u64, attempt: u32) -> f64 {
    seed.draw_unit(&key(purpose, from, to, number, attempt))
}

#[inline]
fn hits(seed: Seed, purpose: Purpose, from: HostId, to: HostId, number: u64, attempt: u32, chance: f64) -> bool {
    chance > 0.0 && unit(seed, purpose, from, to, number, attempt) < chance
}
