//! What a balancer tells of itself over HTTP: `/metrics` for Prometheus, `/backends` as JSON, `/healthz`.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::rc::Rc;
use std::time::Duration;

use bytes::Bytes;
use http_body_util::Full;
use hyper::{Response, StatusCode};
use serde::Serialize;

use super::config::Origin;
use super::event::Event;
use super::policy::{BackendId, BackendStatus, Outcome, State};
use super::shared::Shared;
use crate::net::Net;
use crate::pages::histogram::Histogram;
use crate::pages::{self, JSON, Pages, TEXT, exposition::CONTENT_TYPE, exposition::Exposition, page};

/// What is said to who asks for something else.
const THERE: &str = "there are /metrics, /backends and /healthz\n";

/// Counts of what a balancer's events tell, since its start. Clones are the same counts.
#[derive(Clone, Debug, Default)]
pub struct Counts(Rc<RefCell<Numbers>>);

#[derive(Clone, Debug, Default)]
struct Numbers {
    connections: u64,
    answers: BTreeMap<u16, u64>,
    rejections: BTreeMap<u16, u64>,
    retries: u64,
    retries_refused: u64,
    reloads: u64,
    renewed: u64,
    over_limit: u64,
    /// From a request's head to its answer's.
    waits: Histogram,
    /// The part of it that each backend took, of those that it answered well.
    latencies: BTreeMap<BackendId, Histogram>,
}

/// What there is to see of a balancer, or of one of its threads, at one time.
#[derive(Clone, Debug, Default)]
pub struct View {
    is_panic: bool,
    available: usize,
    in_flight: u64,
    numbers: Numbers,
    backends: Vec<Row>,
}

/// One backend on the page `/backends`.
#[derive(Clone, Debug, Serialize)]
struct Row {
    url: String,
    weight: u32,
    state: &'static str,
    why: Option<String>,
    share_percent: u32,
    in_flight: u32,
    idle_connections: usize,
    latency_ms: f64,
    requests: u64,
    successes: u64,
    failures: u64,
    cancelled: u64,
    ejections: u64,
    #[serde(skip)]
    latencies: Histogram,
}

impl Counts {
    /// Takes an event in.
    pub fn take(&self, event: &Event) {
        let mut numbers = self.0.borrow_mut();
        match event {
            Event::Accepted => numbers.connections += 1,
            Event::Answered { status, after } => {
                *numbers.answers.entry(*status).or_default() += 1;
                numbers.waits.add(*after);
            }
            Event::Finished { id, outcome: Outcome::Success { latency } } => {
                numbers.latencies.entry(*id).or_default().add(*latency);
            }
            Event::Rejected { status, .. } => *numbers.rejections.entry(*status).or_default() += 1,
            Event::Retried => numbers.retries += 1,
            Event::RetryRefused => numbers.retries_refused += 1,
            Event::Reloaded => numbers.reloads += 1,
            Event::Renewed { .. } => numbers.renewed += 1,
            Event::OverLimit { .. } => numbers.over_limit += 1,
            _ => {}
        }
    }
}

impl Numbers {
    fn add(&mut self, other: &Self) {
        let all = |into: &mut BTreeMap<u16, u64>, from: &BTreeMap<u16, u64>| {
            from.iter().for_each(|(status, count)| *into.entry(*status).or_default() += count);
        };
        all(&mut self.answers, &other.answers);
        all(&mut self.rejections, &other.rejections);
        self.connections += other.connections;
        self.retries += other.retries;
        self.retries_refused += other.retries_refused;
        self.renewed += other.renewed;
        self.over_limit += other.over_limit;
        self.waits.merge(&other.waits);
        // Each thread takes the same settings.
        self.reloads = self.reloads.max(other.reloads);
    }
}

impl Row {
    /// How bad its state is, for who sees it in two.
    fn badness(&self) -> u8 {
        match self.state {
            "healthy" => 0,
            "slow-start" => 1,
            "half-open" => 2,
            "ejected" => 3,
            "unhealthy" => 4,
            _ => 5,
        }
    }

    /// Adds what another thread has of it. Where they do not agree on its state, the worst is shown.
    fn add(&mut self, other: &Self) {
        if other.badness() > self.badness() {
            (self.state, self.why) = (other.state, other.why.clone());
        }
        self.share_percent = self.share_percent.min(other.share_percent);
        self.latency_ms = self.latency_ms.max(other.latency_ms);
        self.in_flight += other.in_flight;
        self.idle_connections += other.idle_connections;
        self.requests += other.requests;
        self.successes += other.successes;
        self.failures += other.failures;
        self.cancelled += other.cancelled;
        self.ejections += other.ejections;
        self.latencies.merge(&other.latencies);
    }
}

impl View {
    /// Of one balancer.
    pub fn of<N: Net>(shared: &Shared<N>, counts: &Counts) -> Self {
        let (snapshot, places) = shared.snapshot();
        let now = shared.now();
        let latencies = counts.0.borrow().latencies.clone();
        let row = |status: &BackendStatus| {
            let latencies = latencies.get(&status.id).cloned().unwrap_or_default();
            Row { latencies, ..row(status, &places, now) }
        };
        Self {
            is_panic: snapshot.is_panic,
            available: snapshot.available,
            in_flight: shared.in_flight() as u64,
            numbers: counts.0.borrow().clone(),
            backends: snapshot.backends.iter().map(row).collect(),
        }
    }

    /// With what another thread has.
    #[must_use]
    pub fn and(mut self, other: &Self) -> Self {
        self.is_panic |= other.is_panic;
        self.in_flight += other.in_flight;
        self.numbers.add(&other.numbers);
        for row in &other.backends {
            match self.backends.iter_mut().find(|known| known.url == row.url) {
                Some(known) => known.add(row),
                None => self.backends.push(row.clone()),
            }
        }
        self
    }

    fn configured(&self) -> usize {
        self.backends.iter().filter(|row| row.state != "draining").count()
    }
}

/// Answers those who ask at `listener`, until the future is dropped.
pub async fn serve<N: Net>(listener: N::Listener, view: impl Fn() -> View + 'static) {
    let there: Pages = Rc::new(move |path| at(&view, path));
    pages::serve::<N>(listener, there, THERE).await;
}

fn at(view: &dyn Fn() -> View, path: &str) -> Option<Response<Full<Bytes>>> {
    match path {
        "/metrics" => Some(page(StatusCode::OK, CONTENT_TYPE, metrics(&view()))),
        "/backends" => {
            let text = serde_json::to_string_pretty(&view().backends).expect("numbers and texts have a JSON form");
            Some(page(StatusCode::OK, JSON, text + "\n"))
        }
        "/healthz" => Some(healthz(&view())),
        _ => None,
    }
}

/// Whether the balancer itself is of use: it is while a backend is.
fn healthz(view: &View) -> Response<Full<Bytes>> {
    let status = if view.available > 0 { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    let panic = if view.is_panic { ", all are used" } else { "" };
    page(status, TEXT, format!("{} of {} backends are available{panic}\n", view.available, view.configured()))
}

fn row(status: &BackendStatus, places: &BTreeMap<BackendId, (Origin, usize)>, now: Duration) -> Row {
    let (origin, idle): (Option<&Origin>, usize) =
        places.get(&status.id).map_or((None, 0), |(origin, idle)| (Some(origin), *idle));
    let left = |until: Duration| format!("{:.1} s left", until.saturating_sub(now).as_secs_f64());
    let (state, why, share_percent) = match status.state {
        State::Healthy => ("healthy", None, 100),
        State::SlowStart { share_permille, until } => ("slow-start", Some(left(until)), share_permille / 10),
        State::Unhealthy => ("unhealthy", Some("health checks fail".to_owned()), 0),
        State::Ejected { until, why } => ("ejected", Some(format!("{why}, {}", left(until))), 0),
        State::HalfOpen { is_probed: true } => ("half-open", Some("a probe is under way".to_owned()), 0),
        State::HalfOpen { is_probed: false } => ("half-open", Some("the next request is a probe".to_owned()), 0),
        State::Draining => ("draining", None, 0),
    };
    Row {
        url: origin.map_or_else(|| "removed".to_owned(), ToString::to_string),
        weight: status.weight,
        state,
        why,
        share_percent,
        in_flight: status.in_flight,
        idle_connections: idle,
        latency_ms: to_the_microsecond(status.latency),
        requests: status.totals.picks,
        successes: status.totals.successes,
        failures: status.totals.failures,
        cancelled: status.totals.cancelled,
        ejections: status.totals.ejections,
        latencies: Histogram::default(),
    }
}

/// Milliseconds, with as many digits as say something.
fn to_the_microsecond(latency: Duration) -> f64 {
    (latency.as_secs_f64() * 1e6).round() / 1e3
}

fn metrics(view: &View) -> String {
    let (mut page, numbers) = (Exposition::default(), &view.numbers);
    page.counter("balancer_connections_total", "Connections of clients.", numbers.connections);
    page.gauge("balancer_requests_in_flight", "Requests that wait for an answer.", view.in_flight);
    let help = "Answers to requests, by their status.";
    page.family("balancer_answers_total", "counter", help, "status", pairs(&numbers.answers));
    let help = "Requests that were refused as wrong, by the status of the answer.";
    page.family("balancer_rejections_total", "counter", help, "status", pairs(&numbers.rejections));
    page.counter("balancer_retries_total", "Requests that were tried again.", numbers.retries);
    let help = "Requests that were not tried again, for the budget was spent.";
    page.counter("balancer_retries_refused_total", help, numbers.retries_refused);
    let help = "Requests that went again at once, for a kept connection was closed.";
    page.counter("balancer_renewed_total", help, numbers.renewed);
    let help = "Answers that are above a limit, and were not passed on.";
    page.counter("balancer_answers_over_limit_total", help, numbers.over_limit);
    let help = "Seconds from a request to its answer, heads alone.";
    page.histogram("balancer_request_duration_seconds", help, None, [("", &numbers.waits)]);
    page.counter("balancer_reloads_total", "Times that other settings were taken.", numbers.reloads);
    let rows = &view.backends;
    let mut family = |name: &str, kind: &str, help: &str, value: fn(&Row) -> u64| {
        page.family(name, kind, help, "backend", rows.iter().map(|row| (&row.url, value(row))));
    };
    family("balancer_backend_up", "gauge", "Whether the backend may be asked.", |row| {
        u64::from(matches!(row.state, "healthy" | "slow-start"))
    });
    family("balancer_backend_in_flight", "gauge", "Requests that the backend has.", |row| u64::from(row.in_flight));
    family("balancer_backend_requests_total", "counter", "Requests given to the backend.", |row| row.requests);
    family("balancer_backend_failures_total", "counter", "Those that it failed.", |row| row.failures);
    family("balancer_backend_ejections_total", "counter", "Times that it was ejected.", |row| row.ejections);
    let help = "Seconds that a backend took to answer, where it answered well.";
    let latencies = rows.iter().map(|row| (&row.url, &row.latencies));
    page.histogram("balancer_backend_duration_seconds", help, Some("backend"), latencies);
    page.text()
}

fn pairs(counts: &BTreeMap<u16, u64>) -> impl Iterator<Item = (u16, u64)> {
    counts.iter().map(|(status, count)| (*status, *count))
}
