//! Takes down the records of a run: numbers them, hashes them, counts them, shows them to the checks, and keeps them
//! if asked to.

use std::collections::BTreeMap;
use std::time::Duration;

use super::faults::families;
use super::hasher::{Hasher, Head};
use super::outcome::{Fact, Finding, InertStep, PacketCounts, Quantiles, Verdict};
use super::schedule::Schedule;
use super::trace::{Cause, HostId, Packet, Record, TraceHash, What, Why, nanos};

/// Looks at every record as it is made; what it finds ends the run.
pub(crate) type Watcher = Box<dyn FnMut(&Record) -> Option<Breach>>;

/// An invariant that a check found broken.
#[derive(Clone, Debug)]
pub struct Breach {
    /// The invariant's name.
    pub invariant: String,
    /// One sentence.
    pub message: String,
    /// The facts that contradict each other, oldest first.
    pub facts: Vec<Fact>,
}

impl Breach {
    /// A breach without further facts.
    pub fn new(invariant: impl Into<String>, message: impl Into<String>) -> Self {
        Self { invariant: invariant.into(), message: message.into(), facts: Vec::new() }
    }

    /// Adds a fact that led to it.
    #[must_use]
    pub fn fact(mut self, at: Duration, record: u64, text: impl Into<String>) -> Self {
        self.facts.push(Fact { at, record, text: text.into() });
        self
    }
}

/// What systems count, by name.
#[derive(Default)]
pub(crate) struct Counters(Vec<(&'static str, u64)>);

impl Counters {
    #[inline]
    pub(crate) fn add(&mut self, name: &'static str, more: u64) {
        match self.0.first_mut() {
            // A name is mostly the same text, so that its place tells it; that of another text may be another.
            Some((first, count)) if std::ptr::eq(*first, name) => *count += more,
            _ => self.add_behind(name, more),
        }
    }

    fn add_behind(&mut self, name: &'static str, more: u64) {
        let known = self.0.iter().position(|(known, _)| std::ptr::eq(*known, name) || *known == name);
        let Some(place) = known else { return self.0.push((name, more)) };
        self.0[place].1 += more;
        // What is counted often comes to stand where it is found soon.
        if place > 0 {
            self.0.swap(place, place - 1);
        }
    }

    pub(crate) fn get(&self, name: &str) -> Option<u64> {
        self.0.iter().find(|(known, _)| *known == name).map(|(_, count)| *count)
    }

    pub(crate) fn all(&self) -> BTreeMap<String, u64> {
        self.0.iter().map(|(name, count)| ((*name).to_owned(), *count)).collect()
    }
}

pub(crate) struct Recorder {
    hasher: Hasher,
    next: u64,
    last: Duration,
    /// The same in nanoseconds.
    last_nanos: u64,
    kept: Option<Vec<Record>>,
    watchers: Vec<Watcher>,
    watchers_of_the_unusual: Vec<Watcher>,
    pub(crate) packets: PacketCounts,
    pub(crate) faults: BTreeMap<String, u64>,
    pub(crate) inert: BTreeMap<String, u64>,
    pub(crate) counters: Counters,
    times: BTreeMap<&'static str, Vec<Duration>>,
    pub(crate) work: u64,
    /// When each host last completed some of it, and when it last did anything.
    worked: BTreeMap<HostId, Duration>,
    heard: Vec<Duration>,
    pub(crate) found: Option<Verdict>,
    /// What else there is to know of the run.
    pub(crate) notes: Vec<String>,
    /// Why the run says nothing, if somebody says so.
    pub(crate) doubt: Option<String>,
}

impl Recorder {
    /// The steps of the script among those that did nothing; those that chaos drew are counted.
    pub(crate) fn inert_steps(
        &mut self,
        schedule: &Schedule,
        inert: impl IntoIterator<Item = usize>,
    ) -> Vec<InertStep> {
        let mut steps = Vec::new();
        for index in inert {
            let step = schedule.step(index);
            for family in families(&step.action) {
                *self.inert.entry(family.to_owned()).or_default() += 1;
            }
            if schedule.is_scripted(index) {
                let (line, allowed) = (step.line as u64, step.may_be_inert);
                steps.push(InertStep { step: index as u64 + 1, line, text: step.to_string(), allowed });
            }
        }
        steps
    }

    pub(crate) fn new(keep: bool) -> Self {
        Self {
            hasher: Hasher::new(),
            next: 0,
            last: Duration::ZERO,
            last_nanos: 0,
            kept: keep.then(Vec::new),
            watchers: Vec::new(),
            watchers_of_the_unusual: Vec::new(),
            packets: PacketCounts::default(),
            faults: BTreeMap::new(),
            inert: BTreeMap::new(),
            counters: Counters::default(),
            times: BTreeMap::new(),
            work: 0,
            worked: BTreeMap::new(),
            heard: Vec::new(),
            found: None,
            notes: Vec::new(),
            doubt: None,
        }
    }

    /// Whether records are looked at by anyone but the hash.
    pub(crate) fn keeps(&self) -> bool {
        self.kept.is_some()
    }

    /// Shows a watcher every record from now on.
    pub(crate) fn watch(&mut self, watcher: Watcher) {
        self.watchers.push(watcher);
    }

    /// Shows a watcher all but that packets were sent and delivered, which is most of what there is.
    pub(crate) fn watch_the_unusual(&mut self, watcher: Watcher) {
        self.watchers_of_the_unusual.push(watcher);
    }

    /// Work was completed.
    pub(crate) fn worked(&mut self, host: Option<HostId>, more: u64, at: Duration) {
        self.work += more;
        if let Some(host) = host {
            self.worked.insert(host, at);
        }
    }

    /// When a host last completed some work.
    pub(crate) fn last_work(&self, host: HostId) -> Option<Duration> {
        self.worked.get(&host).copied()
    }

    /// When a host last did anything that has a record.
    pub(crate) fn last_heard(&self, host: HostId) -> Option<Duration> {
        self.heard.get(usize::from(host.0)).copied()
    }

    /// The number that the next record gets.
    pub(crate) fn next_number(&self) -> u64 {
        self.next
    }

    /// Takes down what happened, and returns the record's number. Times never go back: what is noticed late is
    /// written at the time of the record before it.
    pub(crate) fn record(&mut self, at: Duration, host: Option<HostId>, cause: Option<Cause>, what: What) -> u64 {
        let record = self.written(at, host, cause, what);
        let number = record.number;
        self.count(&record.what);
        if let Some(kept) = &mut self.kept {
            kept.push(record.clone());
        }
        if !matches!(record.what, What::Sent(_) | What::Delivered { .. }) {
            let watchers = std::mem::take(&mut self.watchers_of_the_unusual);
            self.watchers_of_the_unusual = self.show(&record, watchers);
        }
        if !self.watchers.is_empty() {
            let watchers = std::mem::take(&mut self.watchers);
            self.watchers = self.show(&record, watchers);
        }
        number
    }

    /// Takes down that a packet was sent. Sent and delivered is most of what happens: where only the hash looks at it, no
    /// record is made.
    pub(crate) fn sent(&mut self, at: Duration, cause: Option<Cause>, packet: &Packet) -> u64 {
        if self.is_looked_at() {
            return self.record(at, Some(packet.from), cause, What::Sent(Box::new(packet.clone())));
        }
        self.packets.sent += 1;
        let head = self.head(at, Some(packet.from), cause);
        self.hasher.sent(&head, packet);
        head.number
    }

    /// Takes down that a packet has arrived.
    pub(crate) fn delivered(&mut self, at: Duration, host: HostId, cause: u64, (packet, attempt): (u64, u32)) -> u64 {
        let (host, cause) = (Some(host), Some(cause.into()));
        if self.is_looked_at() {
            return self.record(at, host, cause, What::Delivered { packet, attempt });
        }
        self.packets.delivered += 1;
        let head = self.head(at, host, cause);
        self.hasher.delivered(&head, packet, attempt);
        head.number
    }

    /// Whether somebody sees every record.
    fn is_looked_at(&self) -> bool {
        self.kept.is_some() || !self.watchers.is_empty()
    }

    #[inline]
    fn head(&mut self, at: Duration, host: Option<HostId>, cause: Option<Cause>) -> Head {
        let number = self.next;
        self.next += 1;
        if at > self.last {
            (self.last, self.last_nanos) = (at, nanos(at));
        }
        Head { number, at: self.last_nanos, host, cause }
    }

    /// The next record, which is in the hash now.
    fn written(&mut self, at: Duration, host: Option<HostId>, cause: Option<Cause>, what: What) -> Record {
        let head = self.head(at, host, cause);
        self.hasher.update(&head, &what);
        if let Some(host) = host {
            self.hears(host);
        }
        Record { number: head.number, at: self.last, host, cause, what }
    }

    fn hears(&mut self, host: HostId) {
        let place = usize::from(host.0);
        if place >= self.heard.len() {
            self.heard.resize(place + 1, Duration::ZERO);
        }
        self.heard[place] = self.last;
    }

    fn show(&mut self, record: &Record, mut watchers: Vec<Watcher>) -> Vec<Watcher> {
        for watcher in &mut watchers {
            if let Some(breach) = watcher(record) {
                self.breach(record.at, record.host, Some(record.number.into()), breach);
            }
        }
        watchers
    }

    fn count(&mut self, what: &What) {
        let packets = &mut self.packets;
        match what {
            What::Sent(_) => packets.sent += 1,
            What::Lost { .. } => packets.lost += 1,
            What::Retransmitted { again, .. } => {
                packets.retransmitted += 1;
                match again.why {
                    Why::Fast => packets.fast += 1,
                    Why::Probe => packets.probes += 1,
                    Why::Timeout | Why::AfterTimeout | Why::Asked => packets.timeouts += 1,
                }
            }
            What::Duplicated { .. } => packets.duplicated += 1,
            What::Corrupted { .. } => packets.corrupted += 1,
            What::Delivered { .. } => packets.delivered += 1,
            _ => {}
        }
    }

    /// Writes a breach down. The first one is the verdict.
    pub(crate) fn breach(&mut self, at: Duration, host: Option<HostId>, cause: Option<Cause>, breach: Breach) {
        let Breach { invariant, message, facts } = breach;
        let what = What::Violated { invariant: invariant.clone(), message: message.clone() };
        let record = self.written(at, host, cause, what);
        let finding = Finding { invariant, at: record.at, record: record.number, message, facts };
        if let Some(kept) = &mut self.kept {
            kept.push(record);
        }
        if self.found.is_none() {
            let panicked = finding.invariant == "panic";
            self.found = Some(if panicked { Verdict::Panic(finding) } else { Verdict::Violation(finding) });
        }
    }

    pub(crate) fn time(&mut self, name: &'static str, value: Duration) {
        self.times.entry(name).or_default().push(value);
    }

    pub(crate) fn hash(&self) -> TraceHash {
        self.hasher.finish()
    }

    pub(crate) fn take_records(&mut self) -> Option<Vec<Record>> {
        self.kept.take()
    }

    /// The times that were told, in order, by name.
    pub(crate) fn take_times(&mut self) -> BTreeMap<String, Vec<Duration>> {
        let times = std::mem::take(&mut self.times);
        let sorted = |(name, mut values): (&str, Vec<Duration>)| {
            values.sort_unstable();
            (name.to_owned(), values)
        };
        times.into_iter().map(sorted).collect()
    }
}

/// What times come to.
pub(crate) fn quantiles(samples: &BTreeMap<String, Vec<Duration>>) -> BTreeMap<String, Quantiles> {
    samples.iter().map(|(name, values)| (name.clone(), quantiles_of(values))).collect()
}

/// Of values that are sorted.
fn quantiles_of(values: &[Duration]) -> Quantiles {
    // Nearest rank: the least value that at least this share of all values does not exceed.
    let rank = |percent: usize| values[(values.len() * percent).div_ceil(100).max(1) - 1];
    Quantiles { count: values.len() as u64, min: rank(0), p50: rank(50), p99: rank(99), max: rank(100) }
}

#[cfg(test)]
mod tests {
    use std::net::SocketAddr;

    use bytes::Bytes;

    use super::*;
    use crate::sim::trace::PacketKind;

    #[test]
    fn quantiles_are_by_nearest_rank() {
        let mut recorder = Recorder::new(false);
        (1..=200).rev().for_each(|ms| recorder.time("it", Duration::from_millis(ms)));
        let got = quantiles(&recorder.take_times())["it"];
        let ms = [got.min, got.p50, got.p99, got.max].map(|d| d.as_millis());
        assert_eq!((got.count, ms), (200, [1, 100, 198, 200]));
    }

    #[test]
    fn the_hash_is_the_same_whether_records_are_made_or_not() {
        let hash = |keep: bool| {
            let mut recorder = Recorder::new(keep);
            let here = SocketAddr::from(([192, 168, 0, 1], 7000));
            for (number, to) in (0..500).zip([0, 1, 2].map(HostId).into_iter().cycle()) {
                let at = Duration::from_micros(number);
                let payload = Bytes::from(vec![7; usize::from(to.0)]);
                let (from, kind) = (HostId(1), PacketKind::Data(number));
                let packet =
                    Packet { id: number, from, to, src: here, dst: here, kind, payload, tcp: None, label: None };
                let record = recorder.sent(at, Some((number / 2).into()), &packet);
                recorder.delivered(at, to, record, (number, 3));
                // Longer than what is hashed at once.
                let message = "long".repeat(if number % 100 == 0 { 1_000 } else { 1 });
                recorder.record(at, None, None, What::Failed { message });
            }
            recorder.hash()
        };
        assert_eq!(hash(true), hash(false));
    }

    #[test]
    fn every_field_of_a_record_is_in_the_hash() {
        let record = |at: u64, host: u16, cause: Option<(u64, bool)>, attempt: u32| {
            let mut recorder = Recorder::new(false);
            let what = What::Delivered { packet: 1, attempt };
            let cause = cause.map(|(record, timer)| Cause { record, timer });
            recorder.record(Duration::from_nanos(at), Some(HostId(host)), cause, what);
            recorder.hash()
        };
        let base = record(5, 1, Some((3, false)), 0);
        assert_eq!(base, record(5, 1, Some((3, false)), 0));
        for other in [
            record(6, 1, Some((3, false)), 0),
            record(5, 2, Some((3, false)), 0),
            record(5, 1, Some((4, false)), 0),
            record(5, 1, Some((3, true)), 0),
            record(5, 1, None, 0),
            record(5, 1, Some((3, false)), 1),
        ] {
            assert_ne!(base, other);
        }
    }
}
