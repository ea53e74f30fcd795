//! The fates that a script gives to single packets.
//!
//! A packet is named by its link and by its place among the packets that its sender hands to the network, of all or of
//! those with a name. Copies that the network makes, and what TCP sends again, do not count.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::script::{Fate, PacketRule};

use super::trace::{HostId, Packet};

/// A packet's place among all from one host to another, or among those with a name.
type Place = (HostId, HostId, Option<String>);

/// The rules, and how far each is.
#[derive(Default)]
pub(crate) struct Fates {
    rules: Vec<Entry>,
    by_packet: BTreeMap<(Place, u64), Vec<usize>>,
    counts: BTreeMap<Place, u64>,
    /// The rules for packets that there are any for.
    of_packet: BTreeMap<u64, Vec<usize>>,
    needs_names: bool,
    waiting: usize,
    /// When the last packet that was made late has arrived.
    late_until: Duration,
}

struct Entry {
    rule: PacketRule,
    state: State,
}

/// A copy that the script asks for.
pub(crate) struct Twin {
    /// How long it takes; `None`: what the link says.
    pub(crate) latency: Option<Duration>,
}

#[derive(Clone, Copy, PartialEq)]
enum State {
    /// Its packet has not come yet.
    Waiting,
    /// It came, and this became of it.
    Met,
    /// It came, and this cannot become of it.
    Misfit,
}

impl Fates {
    pub(crate) fn new(rules: &[PacketRule], hosts: &[String]) -> Self {
        let id = |name: &str| {
            let place = hosts.iter().position(|host| host == name).expect("the hosts of a script were validated");
            HostId(u16::try_from(place).expect("hosts are numbered in 16 bits"))
        };
        let mut fates = Self { waiting: rules.len(), ..Self::default() };
        for (index, rule) in rules.iter().enumerate() {
            let place = (id(&rule.from.0), id(&rule.to.0), rule.message.clone());
            fates.needs_names |= rule.message.is_some();
            fates.by_packet.entry((place, rule.nth)).or_default().push(index);
            fates.rules.push(Entry { rule: rule.clone(), state: State::Waiting });
        }
        fates
    }

    /// Whether a rule asks for packets by their messages' names.
    pub(crate) fn needs_names(&self) -> bool {
        self.needs_names
    }

    /// Counts a packet that a host hands to the network, and finds what rules there are for it.
    pub(crate) fn count(&mut self, packet: &Packet) -> Vec<usize> {
        if self.rules.is_empty() {
            return Vec::new();
        }
        let mut found = Vec::new();
        let name = packet.label.as_ref().filter(|_| self.needs_names).map(|label| label.name.clone());
        for place in [Some((packet.from, packet.to, None)), name.map(|name| (packet.from, packet.to, Some(name)))] {
            let Some(place) = place else { continue };
            let count = self.counts.entry(place.clone()).or_default();
            *count += 1;
            found.extend(self.by_packet.get(&(place, *count)).into_iter().flatten());
        }
        for index in &found {
            let Entry { rule, state } = &mut self.rules[*index];
            if packet.kind.is_tcp() && matches!(rule.fate, Fate::Duplicate(_) | Fate::Corrupt(_)) {
                *state = State::Misfit;
            }
        }
        if !found.is_empty() {
            self.of_packet.insert(packet.id, found.clone());
        }
        found
    }

    /// The rules for a packet that was counted before.
    pub(crate) fn rules_of(&self, packet: u64) -> Vec<usize> {
        self.of_packet.get(&packet).cloned().unwrap_or_default()
    }

    /// Whether this transmission is lost.
    pub(crate) fn loses(&mut self, rules: &[usize], attempt: u32) -> bool {
        self.meet(rules, attempt, |fate| matches!(fate, Fate::Lose).then_some(())).is_some()
    }

    /// The time that this transmission takes, if a rule says so.
    pub(crate) fn latency(&mut self, rules: &[usize], attempt: u32, now: Duration) -> Option<Duration> {
        let latency = self.meet(rules, attempt, |fate| match fate {
            Fate::Latency(latency) => Some(latency),
            _ => None,
        })?;
        self.late_until = self.late_until.max(now + latency);
        Some(latency)
    }

    /// Whether a datagram is copied, and how long the copy takes.
    pub(crate) fn duplicates(&mut self, rules: &[usize], now: Duration) -> Option<Twin> {
        let copy = self.meet(rules, 0, |fate| match fate {
            Fate::Duplicate(latency) => Some(Twin { latency }),
            _ => None,
        })?;
        self.late_until = self.late_until.max(now + copy.latency.unwrap_or_default());
        Some(copy)
    }

    /// Which of a datagram's bits is flipped.
    pub(crate) fn corrupts(&mut self, rules: &[usize], bits: u64) -> Option<u64> {
        let bit = self.meet(rules, 0, |fate| match fate {
            Fate::Corrupt(bit) if bits > 0 => Some(bit),
            _ => None,
        })?;
        Some(bit % bits)
    }

    fn meet<T>(&mut self, rules: &[usize], attempt: u32, wanted: impl Fn(Fate) -> Option<T>) -> Option<T> {
        for index in rules {
            let Entry { rule, state } = &mut self.rules[*index];
            if rule.attempt == attempt
                && let Some(fate) = wanted(rule.fate)
            {
                if std::mem::replace(state, State::Met) == State::Waiting {
                    self.waiting -= 1;
                }
                return Some(fate);
            }
        }
        None
    }

    /// How many of them have come to pass.
    pub(crate) fn met(&self) -> u64 {
        (self.rules.len() - self.waiting) as u64
    }

    /// Whether all have come to pass, and what was made late has arrived.
    pub(crate) fn are_over(&self, now: Duration) -> bool {
        self.waiting == 0 && self.late_until <= now
    }

    /// When the last packet that was made late so far has arrived.
    pub(crate) fn late_until(&self) -> Duration {
        self.late_until
    }

    /// The first that has not come to pass, and why.
    pub(crate) fn unmet(&self) -> Option<String> {
        let (index, entry) = self.rules.iter().enumerate().find(|(_, entry)| entry.state != State::Met)?;
        let why = if entry.state == State::Misfit {
            "is TCP's, which the network neither copies nor corrupts"
        } else {
            "never came"
        };
        Some(format!("packet {} ({}) {why}", index + 1, entry.rule))
    }
}
