//! What each link does at this moment: settings by direction, cuts, holds and drops.
//!
//! A link's settings are the script's `[network]`, then each `[[link]]` rule, then each link change of a step that is
//! in force, field by field; the last one wins. They are laid out as a table by (sender, receiver) whenever one of
//! them changes, so that a packet costs one look-up.

use std::time::Duration;

use crate::rng::Seed;
use crate::script::{Burst, HostPattern, Latency, LinkRule, LinkSettings, MessageRule, Reorder};

use super::deeds::Deeds;
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
    Ticks = 12,
    Runtime = 13,
    DiskTear = 14,
    DiskFlip = 15,
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
    /// Which step each of these is by, if it is by one.
    by: By,
    /// The steps whose cuts are in force.
    cuts: Vec<usize>,
    /// The next packet's number.
    packets: u64,
    /// The next transmission's number.
    transmissions: u64,
    /// Whether the burst chain is in its bad state.
    bad: bool,
}

/// Which step a direction's settings are by, each where it is by one.
#[derive(Clone, Copy, Debug, Default)]
struct By {
    latency: Option<usize>,
    loss: Option<usize>,
    burst: Option<usize>,
    duplicate: Option<usize>,
    corrupt: Option<usize>,
    reorder: Option<usize>,
}

impl By {
    /// A step's settings lie on top.
    fn overlay(&mut self, settings: &LinkSettings, step: Option<usize>) {
        let LinkSettings { latency, loss, burst, duplicate, corrupt, reorder } = settings;
        let set = [
            (&mut self.latency, latency.is_some()),
            (&mut self.loss, loss.is_some()),
            (&mut self.burst, burst.is_some()),
            (&mut self.duplicate, duplicate.is_some()),
            (&mut self.corrupt, corrupt.is_some()),
            (&mut self.reorder, reorder.is_some()),
        ];
        set.into_iter().filter(|(_, is_set)| *is_set).for_each(|(by, _)| *by = step);
    }
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
    deeds: Deeds,
}

impl Links {
    pub(crate) fn new(seed: Seed, names: Vec<String>, base: LinkSettings, rules: Vec<LinkRule>, deeds: Deeds) -> Self {
        let blank = Direction {
            latency: Latency::DEFAULT.into(),
            loss: 0.0,
            burst: None,
            meddles: false,
            duplicate: 0.0,
            corrupt: 0.0,
            reorder: None,
            by: By::default(),
            cuts: Vec::new(),
            packets: 0,
            transmissions: 0,
            bad: false,
        };
        let table = vec![blank; names.len() * names.len()];
        let mut links = Self { seed, names, base, rules, changes: Vec::new(), table, messages: Vec::new(), deeds };
        links.lay_out();
        links
    }

    #[inline]
    fn place(&self, from: HostId, to: HostId) -> usize {
        usize::from(from.0) * self.names.len() + usize::from(to.0)
    }

    #[inline]
    fn direction(&mut self, from: HostId, to: HostId) -> &mut Direction {
        let place = self.place(from, to);
        &mut self.table[place]
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
    /// `true`: there was one.
    pub(crate) fn heal(&mut self) -> bool {
        let any = self.is_changed();
        self.changes.clear();
        self.messages.clear();
        self.lay_out();
        any
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
            direction.by = By::default();
            let of_script = self.rules.iter().map(|rule| (None, rule));
            let in_force = of_script.chain(self.changes.iter().map(|(step, rule)| (Some(*step), rule)));
            for (step, rule) in in_force.filter(|(_, rule)| applies(rule, from, to)) {
                overlay(&mut settings, &rule.settings);
                direction.by.overlay(&rule.settings, step);
            }
            direction.latency = settings.latency.unwrap_or(Latency::DEFAULT).into();
            direction.loss = settings.loss.unwrap_or(0.0);
            direction.burst = settings.burst;
            direction.duplicate = settings.duplicate.unwrap_or(0.0);
            direction.corrupt = settings.corrupt.unwrap_or(0.0);
            direction.reorder = settings.reorder;
            let meddling = [direction.duplicate, direction.corrupt].iter().any(|chance| *chance > 0.0);
            let By { duplicate, corrupt, reorder, .. } = direction.by;
            let by_steps = duplicate.or(corrupt).or(reorder).is_some();
            direction.meddles = meddling || direction.reorder.is_some() || by_steps;
        }
        self.table = table;
    }

    /// Cuts one direction once more, for a step.
    pub(crate) fn cut(&mut self, step: usize, from: HostId, to: HostId) {
        self.direction(from, to).cuts.push(step);
    }

    /// Takes back one cut of a direction.
    pub(crate) fn uncut(&mut self, step: usize, from: HostId, to: HostId) {
        let cuts = &mut self.direction(from, to).cuts;
        let place = cuts.iter().position(|of| *of == step).expect("a cut is taken back once");
        cuts.swap_remove(place);
    }

    /// Whether a packet that is to go in this direction is stopped by a cut.
    pub(crate) fn is_cut(&mut self, from: HostId, to: HostId) -> bool {
        let cuts = &self.table[self.place(from, to)].cuts;
        cuts.iter().for_each(|step| self.deeds.acted(*step));
        !cuts.is_empty()
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
        let place = self.place(from, to);
        let Self { seed, deeds, table, .. } = self;
        let (seed, direction) = (*seed, &mut table[place]);
        let turn = direction.transmissions;
        direction.transmissions += 1;
        if !direction.cuts.is_empty() {
            self.is_cut(from, to);
            return Some(LossReason::Partition);
        }
        if let Some(burst) = direction.burst {
            let chance = if direction.bad { burst.leave } else { burst.enter };
            if hits(seed, Purpose::BurstMove, from, to, turn, 0, chance) {
                direction.bad = !direction.bad;
            }
            let lost = direction.bad && hits(seed, Purpose::BurstLoss, from, to, turn, 0, burst.loss);
            if felt(deeds, direction.by.burst, lost, burst.enter.min(burst.loss)) {
                return Some(LossReason::Burst);
            }
        }
        let lost = hits(seed, Purpose::Loss, from, to, number, attempt, direction.loss);
        felt(deeds, direction.by.loss, lost, direction.loss).then_some(LossReason::Loss)
    }

    /// The latency of a transmission.
    pub(crate) fn latency(&mut self, from: HostId, to: HostId, number: u64, attempt: u32) -> Duration {
        let unit = unit(self.seed, Purpose::Latency, from, to, number, attempt);
        self.takes(from, to, unit)
    }

    /// The latency of the acknowledgement of packet `number` of the other direction.
    pub(crate) fn ack_latency(&mut self, from: HostId, to: HostId, number: u64) -> Duration {
        let unit = unit(self.seed, Purpose::Ack, from, to, number, 0);
        self.takes(from, to, unit)
    }

    #[inline]
    fn takes(&mut self, from: HostId, to: HostId, unit: f64) -> Duration {
        let direction = self.direction(from, to);
        let (by, latency) = (direction.by.latency, direction.latency.sample(unit));
        by.into_iter().for_each(|step| self.deeds.acted(step));
        latency
    }

    /// Whether a datagram may be copied, corrupted or held back by the link.
    #[inline]
    pub(crate) fn meddles(&mut self, from: HostId, to: HostId) -> bool {
        self.direction(from, to).meddles
    }

    /// By how much longer a datagram is held back, if it is one to be reordered.
    #[inline]
    pub(crate) fn held_back(&mut self, from: HostId, to: HostId, number: u64) -> Option<Duration> {
        let (seed, direction) = (self.seed, &self.table[self.place(from, to)]);
        let reorder = direction.reorder.as_ref()?;
        let hit = hits(seed, Purpose::Reorder, from, to, number, 0, reorder.chance);
        felt(&self.deeds, direction.by.reorder, hit, reorder.chance)
            .then(|| latency::sample(&reorder.extra, unit(seed, Purpose::ReorderExtra, from, to, number, 0)))
    }

    /// Whether the network makes a copy of a datagram.
    #[inline]
    pub(crate) fn duplicates(&mut self, from: HostId, to: HostId, number: u64) -> bool {
        let direction = self.direction(from, to);
        let (chance, by) = (direction.duplicate, direction.by.duplicate);
        let hit = hits(self.seed, Purpose::Duplicate, from, to, number, 0, chance);
        felt(&self.deeds, by, hit, chance)
    }

    /// Which of a datagram's `bits` bits is flipped, if one is.
    #[inline]
    pub(crate) fn corrupts(&mut self, from: HostId, to: HostId, number: u64, bits: u64) -> Option<u64> {
        let direction = self.direction(from, to);
        let (chance, by) = (direction.corrupt, direction.by.corrupt);
        let hit = bits > 0 && hits(self.seed, Purpose::Corrupt, from, to, number, 0, chance);
        felt(&self.deeds, by, hit, chance)
            .then(|| self.seed.draw(&key(Purpose::CorruptBit, from, to, number, 0)) % bits)
    }

    /// Whether a bit of a segment's transmission is flipped.
    pub(crate) fn spoils(&mut self, from: HostId, to: HostId, number: u64, attempt: u32) -> bool {
        let chance = self.direction(from, to).corrupt;
        chance > 0.0 && hits(self.seed, Purpose::Corrupt, from, to, number, attempt, chance)
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

    /// Ends all holds. `true`: there was one.
    pub(crate) fn remove_holds(&mut self) -> bool {
        let before = self.messages.len();
        self.messages.retain(|rule| !rule.holds);
        self.messages.len() < before
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
        self.deeds.acted(rule.step);
        (if rule.holds { Ruling::Hold } else { Ruling::Drop }, rule.step)
    }
}

fn applies(rule: &LinkRule, from: &str, to: &str) -> bool {
    let there = named(&rule.from, from) && named(&rule.to, to);
    there || rule.both_ways && named(&rule.from, to) && named(&rule.to, from)
}

/// What a chance came to, which a step may have set: it has done something if it hit, or if none is what it sets.
#[inline]
fn felt(deeds: &Deeds, by: Option<usize>, hit: bool, chance: f64) -> bool {
    if let Some(step) = by
        && (hit || chance <= 0.0)
    {
        deeds.acted(step);
    }
    hit
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
