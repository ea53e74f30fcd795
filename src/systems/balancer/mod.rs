//! The HTTP load balancer in the testbed: clients whose requests come whatever becomes of them, the balancer, and
//! backends that can be unwell, watched by [`crate::check::balancer`].

mod backend;
mod book;
#[cfg(feature = "planted-bugs")]
mod bugs;
mod client;
mod fleet;
mod live;
mod options;
mod place;
mod shape;
mod smuggler;
mod talk;

use std::time::Duration;

use hyper::header::{CONNECTION, HeaderMap, HeaderName, HeaderValue};
use indexmap::IndexMap;
use schemars::{Schema, schema_for};

use crate::balancer::checks::AGENT;
use crate::check::balancer::End;
use crate::events::Value;
use crate::script::{Script, ScriptError, Sometimes};
use crate::sim::meaning::Meaning;
use crate::sim::trace::{Label, Packet, TCP_MESSAGES};
use crate::sim::{Calm, HostResult, Part, Processes, Setup};

#[cfg(feature = "planted-bugs")]
use crate::sim::PlantedBug;
use crate::sim::{Size, System};
use fleet::Fleet;
use options::{Expect, Options, Step};
use place::Simulated;

/// The load balancer.
pub struct Balancer;

const PORT: u16 = 8080;
const BACKEND_PORT: u16 = 8081;
/// Its name and that of the host.
const BALANCER: &str = "balancer";
/// Names a request, in requests and answers.
const ID_HEADER: HeaderName = HeaderName::from_static("x-request-id");
/// Names the backend that answers.
const NAME_HEADER: HeaderName = HeaderName::from_static("x-backend");
/// What a message says to the next hop alone, and names in `Connection`.
const HOP_HEADER: HeaderName = HeaderName::from_static("x-hop");
const ONE_HOP: &str = "what is of one hop stays there";
const BACKENDS_MAX: usize = 9;

const ANSWERS_BY: [&str; BACKENDS_MAX] = [
    "answers by b1",
    "answers by b2",
    "answers by b3",
    "answers by b4",
    "answers by b5",
    "answers by b6",
    "answers by b7",
    "answers by b8",
    "answers by b9",
];

/// What is counted beside [`ANSWERS_BY`] and [`End::COUNTERS`].
const COUNTERS: [&str; 21] = [
    "answers",
    "answers over limit",
    "client retries",
    "conversations",
    "ejections",
    "executions",
    "found unhealthy",
    "lost",
    "lost GETs",
    "lost POSTs",
    "readmissions",
    "rejected",
    "requests",
    "requests renewed",
    "retries",
    "retries refused",
    "slow clients cut off",
    "slow clients told 408",
    "smugglers not told 400",
    "smugglers told 400",
    "switches",
];

/// By [`crate::check::balancer::Phase`].
const LATENCY_BY_PHASE: [&str; 3] = ["latency before", "latency during", "latency since"];

macro_rules! sims {
    ($($name:literal),* $(,)?) => {
        &[$(($name, include_str!(concat!("../../../sims/balancer/", $name, ".toml")))),*]
    };
}

impl System for Balancer {
    fn name(&self) -> &'static str {
        BALANCER
    }

    fn about(&self) -> &'static str {
        "an HTTP load balancer before backends that fail"
    }

    fn sims(&self) -> &'static [(&'static str, &'static str)] {
        sims![
            "all-down-then-back",
            "backend-crash",
            "backend-hangs",
            "broken-answers",
            "burst-at-low-load",
            "chaos",
            "closes-after-request",
            "closes-at-once",
            "closes-idle",
            "contradictions",
            "drain",
            "early-answer",
            "expect-continue",
            "failing-checks",
            "flapping-backend",
            "forwarded-for",
            "gray-failure",
            "half-open",
            "http-1-0",
            "impatient-clients",
            "many-headers",
            "metastable",
            "one-way",
            "packet-loss",
            "reload-under-load",
            "retry-storm",
            "rolling-restart",
            "shortest",
            "slow-client",
            "slow-start",
            "slow-upload",
            "smuggler",
            "steady",
            "streams",
            "thundering-herd",
            "trailers",
            "upgrades",
        ]
    }

    #[cfg(feature = "planted-bugs")]
    fn bugs(&self) -> &'static [PlantedBug] {
        bugs::BUGS
    }

    fn lacks_in_core_lane(&self) -> Option<&'static str> {
        Some("TCP, nor HTTP")
    }

    fn draws_from_tokio(&self) -> bool {
        false
    }

    fn section_schema(&self) -> Schema {
        schema_for!(Options)
    }

    fn step_schema(&self) -> Option<Schema> {
        Some(schema_for!(Step))
    }

    fn states(&self) -> &'static [&'static str] {
        &["answering", "avoiding"]
    }

    fn roles(&self) -> &'static [&'static str] {
        &["busiest"]
    }

    fn messages(&self) -> Option<Vec<&'static str>> {
        Some(["GET", "POST", "health", "answer"].into_iter().chain(TCP_MESSAGES).collect())
    }

    fn counters(&self) -> Option<Vec<&'static str>> {
        Some(COUNTERS.iter().chain(&ANSWERS_BY).chain(&End::COUNTERS).copied().collect())
    }

    fn label(&self, packet: &Packet) -> Option<Label> {
        label(packet)
    }

    fn sizes(&self, setup: &Setup<'_>) -> Result<Vec<Size>, ScriptError> {
        Ok(Options::read(setup)?.sizes())
    }

    fn patience(&self, setup: &Setup<'_>) -> Result<Duration, ScriptError> {
        Ok(setup.section::<Options>()?.deadline.0 * 2)
    }

    fn meaning(&self, event: &str, fields: &IndexMap<String, Value>) -> Option<Meaning> {
        meaning(event, fields)
    }

    fn sometimes(&self, script: &Script) -> Vec<Sometimes> {
        let all = [
            ("a request is tried again", "retries"),
            ("a backend is ejected", "ejections"),
            ("a backend is readmitted", "readmissions"),
            ("a health check fails", "found unhealthy"),
            ("a request is lost", "lost"),
        ];
        let all = all.into_iter().map(|(name, counter)| Sometimes::counted(name, counter));
        script.chaos.iter().flat_map(|_| all.clone()).collect()
    }

    fn processes(&self, setup: &Setup<'_>) -> Option<Result<Processes, ScriptError>> {
        Some(live::processes(setup))
    }

    fn play(&self, setup: &Setup<'_>, part: Part) -> Option<HostResult> {
        live::play(setup, part)
    }

    fn build(&self, setup: &mut Setup<'_>) -> Result<(), ScriptError> {
        let options = Options::read(setup)?;
        let expect: Expect = setup.expect()?;
        expect.validate(&setup.script().expect.section)?;
        let config = options.validate(setup)?;
        let fleet = Fleet::new(options, expect, config);

        let balancing = fleet.clone();
        setup.host(BALANCER, move |host| balancing.clone().balance(host));
        for name in fleet.options.backends() {
            let fleet = fleet.clone();
            setup.host(name, move |host| backend::serve(Simulated { fleet: fleet.clone(), host }, |_| {}));
        }
        for name in fleet.options.clients() {
            let fleet = fleet.clone();
            setup.workload(name, move |host| client::ask(Simulated { fleet: fleet.clone(), host }));
        }
        for name in fleet.options.slow_clients() {
            let fleet = fleet.clone();
            setup.workload(name, move |host| client::dawdle(Simulated { fleet: fleet.clone(), host }));
        }
        for (name, conversation) in fleet.options.talks() {
            let fleet = fleet.clone();
            setup.workload(name, move |host| talk::talk(fleet.clone(), host, conversation.clone()));
        }
        for name in fleet.options.smugglers() {
            let fleet = fleet.clone();
            setup.workload(name, move |host| smuggler::smuggle(fleet.clone(), host));
        }

        let names: Vec<String> = setup.host_names();
        let watching = fleet.clone();
        setup.watch(move |record| {
            watching.check.borrow_mut().record(record, &names);
            None
        });

        let (options, told) = (fleet.options.clone(), fleet.clone());
        let validate = options.clone();
        let sections = setup.script().expect.section.clone();
        setup.actions::<Step>(
            move |step, section| step.order(section, &validate).map(drop),
            move |step, events| {
                let order = step.order(&sections, &options).expect("it was validated before the run");
                told.carry_out(&order, events);
            },
        )?;

        let calmed = fleet.clone();
        setup.calm(Calm::Healed, move |at| calmed.check.borrow_mut().calm(at));
        let (answering, avoiding) = (fleet.clone(), fleet.clone());
        setup.state("answering", move || answering.answers() > 0);
        setup.state("avoiding", move || avoiding.avoids_somebody());
        let busy = fleet.clone();
        setup.role("busiest", move || busy.busiest());
        setup.at_end(move |report| fleet.judge(report));
        Ok(())
    }
}

fn say_to_the_next_hop(headers: &mut HeaderMap) {
    headers.insert(CONNECTION, HeaderValue::from_static("x-hop"));
    headers.insert(HOP_HEADER, HeaderValue::from_static("for you alone"));
}

/// What a segment begins with, in HTTP's words. One that begins in the middle of a message has no name.
fn label(packet: &Packet) -> Option<Label> {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    let (line, headers) = packet.payload.split_at_checked(packet.payload.windows(2).position(|w| w == b"\r\n")?)?;
    let mut words = line.split(|byte| *byte == b' ');
    let (first, second) = (words.next()?, words.next()?);
    let id = headers.split(|byte| *byte == b'\n').find_map(|header| {
        let (name, value) = header.split_at_checked(ID_HEADER.as_str().len())?;
        name.eq_ignore_ascii_case(ID_HEADER.as_str().as_bytes())
            .then(|| text(value.trim_ascii().strip_prefix(b":")?.trim_ascii()).into())?
    });
    let id: String = id.unwrap_or_default();
    if first.starts_with(b"HTTP/1.") {
        return Some(Label { name: "answer".to_owned(), detail: format!("{} {id}", text(second)).trim().to_owned() });
    }
    let is_check = headers.windows(AGENT.len()).any(|bytes| bytes == AGENT.as_bytes());
    let name = match first {
        _ if is_check => "health".to_owned(),
        b"GET" | b"POST" => text(first),
        _ => return None,
    };
    Some(Label { name, detail: format!("{} {id}", text(second)).trim().to_owned() })
}

/// What the balancer holds of its backends, and the clients' requests.
fn meaning(event: &str, fields: &IndexMap<String, Value>) -> Option<Meaning> {
    let text = |key: &str| fields.get(key).map(ToString::to_string);
    let request = || Some(format!("request {}", text("request")?));
    match event {
        "request" => return Some(Meaning::Begins { request: request()? }),
        "answer" => {
            let end = text("end")?;
            let is_success = end.starts_with('2') && end.len() == 3;
            return Some(Meaning::Ends { request: request()?, failure: (!is_success).then_some(end) });
        }
        _ => {}
    }
    let state = match event {
        "added" | "healthy" | "readmitted" | "full-share" | "removal-undone" => "in rotation",
        "unhealthy" | "ejected" | "half-open" | "drained" => event,
        "removed" => "draining",
        _ => return None,
    };
    let detail = text("why").unwrap_or_default();
    Some(Meaning::State { of: Some(text("backend")?), state: state.to_owned(), detail })
}
