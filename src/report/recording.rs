//! A run that was recorded whole: which one it was, what it came to, and every record. What shows a run is made from this,
//! whether it was made just now or saved by `show --json`.

use std::collections::BTreeMap;

use indexmap::IndexMap;
use serde::de::DeserializeOwned;
use serde_json::Value as Json;

use super::json::{RunReport, live_again, reproduce};
use super::records::{End, Header, HostLine, RecordLine, SCHEMA_VERSION, WhatLine};
use crate::events::Value;
use crate::sim::meaning::Meaning;

/// A run with all its records.
#[derive(Clone, Debug)]
pub struct Recording {
    /// What the script says of it; empty if that was not saved.
    pub about: String,
    /// The effective options, each with its name; empty if they were not saved.
    pub settings: Vec<(String, String)>,
    /// Which run it is.
    pub header: Header,
    /// What it came to.
    pub end: End,
    /// How it is made again.
    pub reproduce: String,
    /// Its records, in order: the number of each is its place.
    pub records: Vec<RecordLine>,
}

/// Why a saved run cannot be read.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("line {line}: {message}")]
pub struct ReadError {
    /// The line, from 1.
    pub line: usize,
    /// What is wrong with it, and what was expected.
    pub message: String,
}

impl Recording {
    /// The hosts.
    pub fn hosts(&self) -> &[HostLine] {
        &self.header.hosts
    }

    /// Reads what `show --json` printed. `program` is the command's name, for the line that makes the run again.
    pub fn read(text: &str, program: &str) -> Result<Self, ReadError> {
        let mut lines = text.lines().enumerate().map(|(at, line)| (at + 1, line));
        let first = lines.next().unwrap_or((1, ""));
        let header: Header = understand(first, "run", "the first line is the run's header, of `show --json`")?;
        if header.schema != SCHEMA_VERSION {
            let message = format!("its schema is {}, and this program reads {SCHEMA_VERSION}", header.schema);
            return Err(ReadError { line: 1, message });
        }
        let mut records: Vec<RecordLine> = Vec::new();
        let mut end = None;
        for (line, text) in lines {
            let wrong = |message: String| ReadError { line, message };
            if end.is_some() {
                return Err(wrong("the run has ended, and this comes after it".to_owned()));
            }
            if kind(text).as_deref() == Some("end") {
                end = Some(understand::<End>((line, text), "end", "the last line says how the run ended")?);
                continue;
            }
            let record: RecordLine =
                serde_json::from_str(text).map_err(|error| wrong(format!("no record: {error}")))?;
            let number = records.len() as u64;
            if record.n != number {
                return Err(wrong(format!("record {} stands where record {number} must", record.n)));
            }
            if record.cause.is_some_and(|cause| cause >= number) {
                return Err(wrong(format!("record {number} is said to come of one that is not before it")));
            }
            records.push(record);
        }
        let last = text.lines().count();
        let cut = || ReadError {
            line: last,
            message: "the file is cut short: its last line must say how the run ended".to_owned(),
        };
        let end = end.ok_or_else(cut)?;
        if end.records != records.len() as u64 {
            let message = format!("the run had {} records, and the file has {}", end.records, records.len());
            return Err(ReadError { line: last, message });
        }
        let again = if header.live { live_again } else { reproduce };
        let reproduce = again(program, &header.sim, &header.set, header.seed);
        Ok(Self { about: String::new(), settings: Vec::new(), header, end, reproduce, records })
    }

    /// A run that was made now.
    pub fn new(header: Header, report: &RunReport, records: Vec<RecordLine>) -> Self {
        let (end, reproduce) = (End::new(report), report.reproduce.clone());
        Self { about: String::new(), settings: Vec::new(), header, end, reproduce, records }
    }

    /// What each host was from when on, as `meaning` tells it from the events.
    pub fn states(&self, meaning: &Meanings<'_>) -> Vec<StateChange> {
        let mut changes = Vec::new();
        for (record, host, told) in self.told(meaning) {
            if let Meaning::State { of, state, detail } = told {
                let host = of.unwrap_or_else(|| host.to_owned());
                changes.push(StateChange { record, host, state, detail });
            }
        }
        changes
    }

    /// What the numbers of each host were from when on, as `meaning` tells it from the events.
    pub fn gauges(&self, meaning: &Meanings<'_>) -> Vec<GaugeChange> {
        let change = |(record, host, told): (u64, &str, Meaning)| match told {
            Meaning::Gauge { name, value } => Some(GaugeChange { record, host: host.to_owned(), name, value }),
            _ => None,
        };
        self.told(meaning).filter_map(change).collect()
    }

    /// The workload, as `meaning` tells it from the events, in the order in which requests began.
    pub fn requests(&self, meaning: &Meanings<'_>) -> Vec<RequestSpan> {
        let mut spans: Vec<RequestSpan> = Vec::new();
        let mut open: BTreeMap<(&str, String), usize> = BTreeMap::new();
        for (record, host, told) in self.told(meaning) {
            match told {
                Meaning::State { .. } | Meaning::Gauge { .. } => {}
                Meaning::Begins { request } => {
                    open.entry((host, request.clone())).or_insert_with(|| {
                        let host = host.to_owned();
                        spans.push(RequestSpan { begin: record, end: None, host, name: request, failure: None });
                        spans.len() - 1
                    });
                }
                Meaning::Ends { request, failure } => {
                    if let Some(place) = open.remove(&(host, request)) {
                        (spans[place].end, spans[place].failure) = (Some(record), failure);
                    }
                }
            }
        }
        spans
    }

    /// What the events say, each with its record and host.
    fn told<'a>(&'a self, meaning: &'a Meanings<'a>) -> impl Iterator<Item = (u64, &'a str, Meaning)> {
        self.records.iter().filter_map(move |record| match (&record.what, &record.host) {
            (WhatLine::Event { name, fields }, Some(host)) => {
                meaning(name, fields).map(|told| (record.n, host.as_str(), told))
            }
            _ => None,
        })
    }
}

/// Tells what an event means: a system's own, [`crate::sim::System::meaning`].
pub type Meanings<'a> = dyn Fn(&str, &IndexMap<String, Value>) -> Option<Meaning> + 'a;

/// From a record on, a host is something else.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StateChange {
    /// The record.
    pub record: u64,
    /// The host.
    pub host: String,
    /// What it is, in a word: `leader`.
    pub state: String,
    /// What else there is to say: `term 3`. May be empty.
    pub detail: String,
}

/// From a record on, a number of a host is another.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GaugeChange {
    /// The record.
    pub record: u64,
    /// The host.
    pub host: String,
    /// What it counts.
    pub name: String,
    /// How much.
    pub value: u64,
}

/// A request of the workload, from the record that began it to the one that ended it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RequestSpan {
    /// The record that began it.
    pub begin: u64,
    /// The record that ended it; `None`: it was open when the run ended.
    pub end: Option<u64>,
    /// Whose it is.
    pub host: String,
    /// What it is called: `request 25`.
    pub name: String,
    /// How it failed; `None`: it did not, or it is open.
    pub failure: Option<String>,
}

fn kind(line: &str) -> Option<String> {
    let value: Json = serde_json::from_str(line).ok()?;
    value.get("kind")?.as_str().map(ToOwned::to_owned)
}

/// A line of a kind of its own.
fn understand<T: DeserializeOwned>((line, text): (usize, &str), expected: &str, says: &str) -> Result<T, ReadError> {
    let wrong = |message: String| ReadError { line, message };
    if kind(text).as_deref() != Some(expected) {
        return Err(wrong(format!("{says}, and has \"kind\": \"{expected}\"")));
    }
    serde_json::from_str(text).map_err(|error| wrong(format!("{says}: {error}")))
}

#[cfg(test)]
mod tests {
    use super::*;

    const HEADER: &str =
        r#"{"kind":"run","schema":1,"sim":"a/b","system":"a","set":["x=1"],"seed":7,"hosts":[],"hash":null}"#;
    const END: &str =
        r#"{"kind":"end","verdict":"pass","exit_code":0,"records":2,"sim_ms":1.0,"violation":null,"reason":null}"#;

    fn event(n: u64, name: &str) -> String {
        format!(r#"{{"n":{n},"t_ns":{n},"host":"c1","cause":null,"kind":"event","name":"{name}","fields":{{"id":3}}}}"#)
    }

    fn saved(lines: &[&str]) -> Result<Recording, String> {
        Recording::read(&lines.join("\n"), "stormglass").map_err(|error| error.to_string())
    }

    fn meaning(name: &str, fields: &IndexMap<String, Value>) -> Option<Meaning> {
        let request = format!("request {}", fields.get("id")?);
        Some(match name {
            "asked" => Meaning::Begins { request },
            _ => Meaning::Ends { request, failure: Some(name.to_owned()) },
        })
    }

    #[test]
    fn a_saved_run_is_read_and_its_requests_are_paired() {
        let run = saved(&[HEADER, &event(0, "asked"), &event(1, "refused"), END]).unwrap();
        assert_eq!(run.reproduce, "stormglass run a/b --set x=1 --seed 7");
        let failure = Some("refused".to_owned());
        let span = RequestSpan { begin: 0, end: Some(1), host: "c1".to_owned(), name: "request 3".to_owned(), failure };
        assert_eq!(run.requests(&meaning), [span]);
        assert_eq!((run.states(&meaning), run.gauges(&meaning)), (vec![], vec![]));
        let gauge = |name: &str, _: &IndexMap<String, Value>| {
            (name == "refused").then(|| Meaning::Gauge { name: "refusals".to_owned(), value: 3 })
        };
        let change = GaugeChange { record: 1, host: "c1".to_owned(), name: "refusals".to_owned(), value: 3 };
        assert_eq!(run.gauges(&gauge), [change]);
    }

    #[test]
    fn what_is_wrong_with_a_saved_run_is_said_with_its_line() {
        let (first, second) = (event(0, "asked"), event(1, "asked"));
        let newer = HEADER.replace("\"schema\":1", "\"schema\":9");
        let cause = second.replace("\"cause\":null", "\"cause\":1");
        for (lines, reason) in [
            (&[][..], "line 1: the first line is the run's header"),
            (&[END], "line 1: the first line is the run's header"),
            (&[&newer], "line 1: its schema is 9, and this program reads 1"),
            (&[HEADER, &first], "line 2: the file is cut short"),
            (&[HEADER, &first, &first[..20]], "line 3: no record: EOF"),
            (&[HEADER, &first, &first, END], "line 3: record 0 stands where record 1 must"),
            (&[HEADER, &first, &cause, END], "line 3: record 1 is said to come of one that is not before it"),
            (&[HEADER, &first, END], "line 3: the run had 2 records, and the file has 1"),
            (&[HEADER, &first, &second, END, END], "line 5: the run has ended"),
        ] {
            let error = saved(lines).unwrap_err();
            assert!(error.starts_with(reason), "{error}");
        }
    }
}
