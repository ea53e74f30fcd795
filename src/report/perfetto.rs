//! A run as a trace for Perfetto's viewer (or `chrome://tracing`): the Trace Event Format, in JSON.
//!
//! A host is a process. Its threads are what it is (spans), its messages (a mark where one is sent and one where it is
//! received, with an arrow between them; a lost one is a mark alone) and its requests (spans that may overlap). The testbed
//! is a process too: its spans are faults. Times are simulated, in microseconds; marks of one host that fall on one moment
//! stand a microsecond apart, in the order of their records.

use std::collections::BTreeMap;

use serde_json::{Map, Value as Json, json};

use super::recording::{Meanings, Recording};
use super::records::{RecordLine, SentLine, WhatLine};

/// Threads of a host.
const STATE: u64 = 1;
const MESSAGES: u64 = 2;
const REQUESTS: u64 = 3;

/// The testbed's process; a host's is its place, from 2.
const TESTBED: u64 = 1;

/// How long a mark is, in microseconds.
const MARK_US: f64 = 1.0;

/// The trace, one JSON object.
pub fn trace(run: &Recording, meaning: &Meanings<'_>) -> Json {
    let mut events = Trace::new(run);
    events.name_processes();
    events.states(meaning);
    events.requests(meaning);
    for record in &run.records {
        events.record(record);
    }
    events.open_faults();
    let hash = if run.header.live { Some("live: not deterministic") } else { run.header.hash.as_deref() };
    let about = json!({
        "sim": run.header.sim, "seed": run.header.seed, "hash": hash, "verdict": run.end.verdict,
        "reproduce": run.reproduce,
    });
    json!({ "displayTimeUnit": "ms", "otherData": about, "traceEvents": events.events })
}

struct Trace<'a> {
    run: &'a Recording,
    events: Vec<Json>,
    processes: BTreeMap<&'a str, u64>,
    packets: BTreeMap<u64, &'a SentLine>,
    /// The time of the next mark of each process, at the earliest.
    next_us: BTreeMap<u64, f64>,
    faults: BTreeMap<usize, (f64, String)>,
}

impl<'a> Trace<'a> {
    fn new(run: &'a Recording) -> Self {
        let processes = run.hosts().iter().map(|host| host.name.as_str()).zip(TESTBED + 1..).collect();
        let (packets, next_us, faults) = (BTreeMap::new(), BTreeMap::new(), BTreeMap::new());
        Self { run, events: Vec::new(), processes, packets, next_us, faults }
    }

    fn process(&self, host: Option<&str>) -> u64 {
        host.and_then(|host| self.processes.get(host)).copied().unwrap_or(TESTBED)
    }

    fn name_processes(&mut self) {
        let hosts: Vec<(u64, String)> =
            self.processes.iter().map(|(host, process)| (*process, (*host).to_owned())).collect();
        for (process, name) in [(TESTBED, "testbed".to_owned())].into_iter().chain(hosts) {
            self.meta(process, None, "process_name", &json!({ "name": name }));
            self.meta(process, None, "process_sort_index", &json!({ "sort_index": process }));
            let threads = [(STATE, "state"), (MESSAGES, "messages"), (REQUESTS, "requests")];
            for (thread, name) in threads {
                if process != TESTBED || thread == STATE {
                    let name = if process == TESTBED { "faults and findings" } else { name };
                    self.meta(process, Some(thread), "thread_name", &json!({ "name": name }));
                }
            }
        }
    }

    fn meta(&mut self, process: u64, thread: Option<u64>, name: &str, args: &Json) {
        let mut event = json!({ "ph": "M", "pid": process, "name": name, "args": args });
        if let Some(thread) = thread {
            event["tid"] = thread.into();
        }
        self.events.push(event);
    }

    /// What each host is, from one change to the next, or to the end of its process.
    fn states(&mut self, meaning: &Meanings<'_>) {
        let end = micros(self.run.records.last());
        let mut open: BTreeMap<String, (f64, String, u64)> = BTreeMap::new();
        let mut changes = self.run.states(meaning).into_iter().peekable();
        for record in &self.run.records {
            if let Some(change) = changes.next_if(|change| change.record == record.n) {
                let name = [change.state, change.detail].join(" ").trim_end().to_owned();
                let before = open.insert(change.host.clone(), (micros(Some(record)), name, record.n));
                self.close_state(&change.host, before, micros(Some(record)));
            }
            let is_over = matches!(
                record.what,
                WhatLine::Killed
                    | WhatLine::PowerLost
                    | WhatLine::Finished
                    | WhatLine::Failed { .. }
                    | WhatLine::Panicked { .. }
            );
            if let (true, Some(host)) = (is_over, &record.host) {
                let before = open.remove(host);
                self.close_state(host, before, micros(Some(record)));
            }
        }
        for (host, state) in open {
            self.close_state(&host, Some(state), end);
        }
    }

    fn close_state(&mut self, host: &str, state: Option<(f64, String, u64)>, end_us: f64) {
        // A state of no length was never seen.
        if let Some((begin_us, name, record)) = state.filter(|(begin_us, ..)| *begin_us < end_us) {
            let process = self.process(Some(host));
            self.events.push(json!({
                "ph": "X", "cat": "state", "name": name, "pid": process, "tid": STATE, "ts": begin_us,
                "dur": end_us - begin_us, "args": { "record": record },
            }));
        }
    }

    fn requests(&mut self, meaning: &Meanings<'_>) {
        let at = |record: u64| micros(usize::try_from(record).ok().and_then(|place| self.run.records.get(place)));
        let end = micros(self.run.records.last());
        let mut events = Vec::new();
        for (number, span) in self.run.requests(meaning).into_iter().enumerate() {
            let process = self.process(Some(&span.host));
            let failure = if span.end.is_none() { Some("open when the run ended".to_owned()) } else { span.failure };
            let common = json!({
                "cat": "request", "name": span.name, "id": number, "pid": process, "tid": REQUESTS,
            });
            let mut args = Map::from_iter([("record".to_owned(), span.begin.into())]);
            args.extend(failure.map(|failure| ("failure".to_owned(), failure.into())));
            events.push(with(&common, json!({ "ph": "b", "ts": at(span.begin), "args": args })));
            events.push(with(&common, json!({ "ph": "e", "ts": span.end.map_or(end, at) })));
        }
        self.events.extend(events);
    }

    fn record(&mut self, record: &'a RecordLine) {
        match &record.what {
            WhatLine::Sent(sent) => {
                self.packets.insert(sent.packet, sent);
                self.mark(record, "sent", sent, &format!("{}.0", sent.packet));
            }
            WhatLine::Retransmitted { packet, attempt, .. } => self.marked(record, "sent again", *packet, *attempt),
            WhatLine::Delivered { packet, attempt } => self.marked(record, "received", *packet, *attempt),
            WhatLine::Lost { packet, attempt, reason } => {
                self.marked(record, &format!("lost: {reason}"), *packet, *attempt);
            }
            WhatLine::Duplicated { packet, copy } => {
                if let Some(sent) = self.packets.get(packet).copied() {
                    self.packets.insert(*copy, sent);
                    self.mark(record, "duplicated", sent, &format!("{copy}.0"));
                }
            }
            WhatLine::Fault { step, action } => _ = self.faults.insert(*step, (micros(Some(record)), action.clone())),
            WhatLine::FaultEnded { step, .. } => {
                if let Some(fault) = self.faults.remove(step) {
                    self.fault(*step, fault, micros(Some(record)));
                }
            }
            WhatLine::Violated { invariant, message } => self.events.push(json!({
                "ph": "i", "s": "g", "cat": "violation", "name": format!("{invariant}: {message}"),
                "pid": self.process(record.host.as_deref()), "tid": STATE, "ts": micros(Some(record)),
                "args": { "record": record.n },
            })),
            _ => {}
        }
    }

    fn marked(&mut self, record: &RecordLine, what: &str, packet: u64, attempt: u32) {
        if let Some(sent) = self.packets.get(&packet).copied() {
            self.mark(record, what, sent, &format!("{packet}.{attempt}"));
        }
    }

    /// A mark for one end of a transmission, and the arrow that begins or ends there.
    fn mark(&mut self, record: &RecordLine, what: &str, sent: &SentLine, transmission: &str) {
        let is_arrival = matches!(record.what, WhatLine::Delivered { .. });
        let is_loss = matches!(record.what, WhatLine::Lost { .. });
        let process = self.process(Some(if is_arrival { &sent.to } else { &sent.from }));
        let next = self.next_us.entry(process).or_default();
        let at = next.max(micros(Some(record)));
        *next = at + MARK_US;
        let name = sent.label.as_deref().filter(|label| !label.is_empty()).unwrap_or(&sent.transport);
        let title = if is_loss { format!("{name} lost") } else { name.to_owned() };
        let detail = sent.detail.as_deref().unwrap_or_default();
        self.events.push(json!({
            "ph": "X", "cat": "message", "name": title, "pid": process, "tid": MESSAGES, "ts": at, "dur": MARK_US,
            "args": { "record": record.n, "packet": transmission, "what": what, "detail": detail,
                      "from": sent.from, "to": sent.to },
        }));
        if !is_loss {
            let mut arrow = json!({
                "ph": if is_arrival { "f" } else { "s" }, "cat": "message", "name": name, "id": transmission,
                "pid": process, "tid": MESSAGES, "ts": at,
            });
            if is_arrival {
                arrow["bp"] = "e".into();
            }
            self.events.push(arrow);
        }
    }

    fn fault(&mut self, step: usize, (begin_us, action): (f64, String), end_us: f64) {
        let common = json!({
            "cat": "fault", "name": format!("step {step}: {action}"), "id": format!("fault {step}"), "pid": TESTBED,
            "tid": STATE,
        });
        self.events.push(with(&common, json!({ "ph": "b", "ts": begin_us })));
        self.events.push(with(&common, json!({ "ph": "e", "ts": end_us })));
    }

    /// Faults that did not end by themselves are shown until the run ended, or until a step that heals.
    fn open_faults(&mut self) {
        let end = micros(self.run.records.last());
        let heals = self.faults.values().filter(|(_, action)| action.starts_with("heal")).map(|(at, _)| *at);
        let heals: Vec<f64> = heals.collect();
        for (step, fault) in std::mem::take(&mut self.faults) {
            let is_cut =
                ["partition", "cut", "link", "disk", "hold", "drop"].iter().any(|kind| fault.1.starts_with(kind));
            let healed = heals.iter().copied().filter(|at| *at >= fault.0).fold(end, f64::min);
            let until = if is_cut { healed } else { fault.0 };
            self.fault(step, fault, until);
        }
    }
}

fn with(common: &Json, more: Json) -> Json {
    let mut event = common.clone();
    if let (Some(event), Json::Object(more)) = (event.as_object_mut(), more) {
        event.extend(more);
    }
    event
}

/// A record's time in microseconds, exact to the nanosecond for runs of up to a hundred days.
fn micros(record: Option<&RecordLine>) -> f64 {
    record.map_or(0.0, |record| record.t_ns as f64 / 1e3)
}
