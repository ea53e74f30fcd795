//! What is written down of what hosts tell: records, counters and times, the same of a simulated run and of a live one.

use std::time::Duration;

use crate::check::balancer::{End, Phase, Request};
use crate::events::Value;
use crate::sim::Events;

use super::{ANSWERS_BY, LATENCY_BY_PHASE};

/// Where it is written.
pub(super) trait Book {
    /// An event, and the number of its record.
    fn event(&mut self, name: &'static str, fields: Vec<(&'static str, Value)>) -> u64;
    fn count(&mut self, counter: &'static str);
    fn work(&mut self);
    fn time(&mut self, name: &'static str, time: Duration);
}

impl Book for &Events {
    fn event(&mut self, name: &'static str, fields: Vec<(&'static str, Value)>) -> u64 {
        Events::event(self, name, fields)
    }

    fn count(&mut self, counter: &'static str) {
        Events::count(self, counter, 1);
    }

    fn work(&mut self) {
        Events::work(self, 1);
    }

    fn time(&mut self, name: &'static str, time: Duration) {
        Events::time(self, name, time);
    }
}

/// The counter of what the balancer tells, by its name.
pub(super) fn counter(event: &str) -> Option<&'static str> {
    Some(match event {
        "ejected" => "ejections",
        "goes-again" => "requests renewed",
        "over-limit" => "answers over limit",
        "readmitted" => "readmissions",
        "rejected" => "rejected",
        "retry-refused" => "retries refused",
        "switches" => "switches",
        "tries-again" => "retries",
        "unhealthy" => "found unhealthy",
        _ => return None,
    })
}

/// A backend begins to work on a request.
pub(super) fn executes(book: &mut impl Book, method: &str, id: &str) -> u64 {
    let record = book.event("executes", vec![("request", id.into()), ("method", method.into())]);
    book.count("executions");
    record
}

/// A client sends a request.
pub(super) fn sends(book: &mut impl Book, request: &Request) -> u64 {
    let method = if request.is_post { "POST" } else { "GET" };
    let record = book.event("request", vec![("request", request.id.clone().into()), ("method", method.into())]);
    book.count("requests");
    record
}

/// A client's request has come to its end.
pub(super) fn ends(book: &mut impl Book, request: &Request, took: Duration, end: &End) -> u64 {
    let mut fields: Vec<(&'static str, Value)> =
        vec![("request", request.id.clone().into()), ("end", end.to_string().into())];
    if let End::Answered { backend: Some(backend), .. } = end {
        fields.push(("backend", backend.clone().into()));
    }
    fields.push(("ms", u64::try_from(took.as_millis()).expect("a short time").into()));
    let record = book.event("answer", fields);
    if end.is_success() {
        book.count("answers");
        book.work();
        let number = end.backend().and_then(|name| name.strip_prefix('b')?.parse::<usize>().ok());
        if let Some(by) = number.and_then(|number| ANSWERS_BY.get(number.checked_sub(1)?)) {
            book.count(by);
        }
        book.time("latency", took);
    } else {
        book.count("lost");
        book.count(if request.is_post { "lost POSTs" } else { "lost GETs" });
        book.count(end.counter());
    }
    record
}

/// The name of the latencies of a part of a run.
pub(super) fn latency(phase: Phase) -> &'static str {
    LATENCY_BY_PHASE[phase as usize]
}
