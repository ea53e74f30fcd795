//! The echo services in the testbed: one server, some clients that send numbered requests and try again.

use std::cell::RefCell;
use std::future::pending;
use std::rc::Rc;
use std::time::Duration;

use bytes::Bytes;
use indexmap::IndexMap;
use schemars::{JsonSchema, Schema, schema_for};
use serde::Deserialize;

use crate::check::echo::{EchoCheck, Transport};
use crate::echo::request::key;
use crate::echo::{Disconnected, Event, tcp, udp};
use crate::events::{Sink, Value};
use crate::net::{DATAGRAM_BYTES_MAX, Net};
use crate::script::{ByteSize, Latency, Script, ScriptError, Sometimes, TimeSpan};
use crate::sim::meaning::Meaning;
use crate::sim::net::SimNet;
use crate::sim::trace::{HostId, Label, Packet, TCP_MESSAGES, What};
use crate::sim::{Breach, Calm, Events, Host, HostResult, Report, Setup, sample};

use crate::sim::{Size, System};

mod clients;

/// The echo services.
pub struct Echo;

const PORT: u16 = 8080;

/// How many requests a client sends that is not told how many, in a run that is long enough.
const REQUESTS: u64 = 100;

/// All that is counted.
const COUNTERS: [&str; 11] = [
    "answers",
    "connections lost",
    "duplicate answers",
    "garbled answers",
    "given up",
    "late answers",
    "oversize answers",
    "refusals",
    "requests",
    "retries",
    "retries answered",
];

macro_rules! sims {
    ($($name:literal),* $(,)?) => {
        &[$(($name, include_str!(concat!("../../sims/echo/", $name, ".toml")))),*]
    };
}

impl System for Echo {
    fn name(&self) -> &'static str {
        "echo"
    }

    fn about(&self) -> &'static str {
        "a TCP or UDP echo server and clients that try again"
    }

    fn sims(&self) -> &'static [(&'static str, &'static str)] {
        sims![
            "chaos",
            "tcp-chaos",
            "tcp-crowd",
            "tcp-loss",
            "tcp-partition-heals",
            "tcp-quiet",
            "tcp-server-crash",
            "tcp-slow-reader",
            "udp-burst-loss",
            "udp-duplicates",
            "udp-loss",
            "udp-oversize",
            "udp-quiet",
            "udp-reorder",
        ]
    }

    fn lacks_in_core_lane(&self) -> Option<&'static str> {
        Some("TCP, nor tasks")
    }

    fn draws_from_tokio(&self) -> bool {
        false
    }

    fn section_schema(&self) -> Schema {
        schema_for!(Options)
    }

    fn states(&self) -> &'static [&'static str] {
        &["answering", "half-done"]
    }

    fn messages(&self) -> Option<Vec<&'static str>> {
        Some(["request", "answer"].into_iter().chain(TCP_MESSAGES).collect())
    }

    fn counters(&self) -> Option<Vec<&'static str>> {
        Some(COUNTERS.to_vec())
    }

    fn label(&self, packet: &Packet) -> Option<Label> {
        if packet.payload.is_empty() {
            return None;
        }
        let name = if packet.dst.port() == PORT { "request" } else { "answer" };
        // A segment may begin in the middle of a line: then there is no saying whose it is.
        let line = packet.payload.split(|byte| *byte == b'\n').next().unwrap_or_default();
        let known = (0..line.len().min(16)).find_map(|skipped| key(&line[skipped..]));
        let detail = known.map(|(client, number)| format!("{client}/{number}")).unwrap_or_default();
        Some(Label { name: name.to_owned(), detail })
    }

    fn sizes(&self, setup: &Setup<'_>) -> Result<Vec<Size>, ScriptError> {
        let options = Options::read(setup)?;
        let Options { clients, pipeline, .. } = options;
        let size = |key, value| Size { key, value, least: 1 };
        Ok(vec![size("clients", clients), size("requests", options.requests()), size("pipeline", pipeline as u64)])
    }

    fn patience(&self, setup: &Setup<'_>) -> Result<Duration, ScriptError> {
        let Options { timeout, .. } = setup.section()?;
        Ok(timeout.0 * 2)
    }

    fn meaning(&self, event: &str, fields: &IndexMap<String, Value>) -> Option<Meaning> {
        let id = fields.get("id")?;
        // Clients that share a host number their requests each by itself.
        let request = fields.get("client").map_or_else(|| format!("request {id}"), |nth| format!("request {nth}/{id}"));
        match event {
            "sent" => Some(Meaning::Begins { request }),
            "answered" => Some(Meaning::Ends { request, failure: None }),
            "gave-up" => Some(Meaning::Ends { request, failure: Some("given up".to_owned()) }),
            _ => None,
        }
    }

    fn sometimes(&self, script: &Script) -> Vec<Sometimes> {
        if script.chaos.is_none() {
            return Vec::new();
        }
        let mut all = vec![Sometimes::counted("a retry is answered", "retries answered")];
        match script.section.read::<Options>() {
            Ok(Options { transport: TransportName::Tcp, .. }) => {
                all.push(Sometimes::counted("a connection is lost", "connections lost"));
                all.push(Sometimes::counted("a segment is sent again", "packets.retransmitted"));
            }
            _ => all.push(Sometimes::counted("an answer comes twice", "duplicate answers")),
        }
        all
    }

    fn build(&self, setup: &mut Setup<'_>) -> Result<(), ScriptError> {
        let options = Options::read(setup)?;
        let expect: Expect = setup.expect()?;
        options.validate(setup)?;
        let prefix = Bytes::from(options.prefix.clone());
        let check = Rc::new(RefCell::new(EchoCheck::new(options.transport.into(), prefix)));
        let refusal = options.refusal();
        let tried_for = options.timeout.0 * (options.retries + 1);
        refusal.iter().for_each(|refusal| check.borrow_mut().refused_with(refusal.clone()));

        let (of_server, server_check) = (options.clone(), check.clone());
        setup.host("server", move |host| serve(host, of_server.clone(), server_check.clone()));
        let mut left = options.clients;
        for number in 1..=options.clients.div_ceil(options.clients_per_host) {
            let here = left.min(options.clients_per_host);
            left -= here;
            let (of_client, client_check) = (options.clone(), check.clone());
            setup.workload(format!("c{number}"), move |host| {
                clients::send(host, here, of_client.clone(), client_check.clone())
            });
        }

        let watched = check.clone();
        setup.watch(move |record| {
            let mut check = watched.borrow_mut();
            check.record(record);
            // The server is host 0, then come the clients' hosts.
            if let (Some(HostId(number @ 1..)), What::Killed | What::PowerLost) = (record.host, &record.what) {
                check.died(&format!("c{number}"));
            }
            None
        });
        let (answering, half) = (check.clone(), check.clone());
        setup.state("answering", move || answering.borrow().answers() > 0);
        let half_of_all = usize::try_from(options.clients * options.requests() / 2).unwrap_or(usize::MAX);
        setup.state("half-done", move || half.borrow().answers() >= half_of_all);
        setup.at_end(move |report| {
            // What is too long is answered by a refusal, if that gets through: there is nothing to expect of it by default.
            if refusal.is_none() || expect.answered.is_some() {
                expect.check(report, &check.borrow(), tried_for);
            }
        });
        Ok(())
    }
}

/// The table `[echo]` of a script: an echo server and its clients.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
struct Options {
    /// What carries requests and answers.
    transport: TransportName,
    /// How many clients there are: they are called c1, c2 and so on, the server is called server.
    clients: u64,
    /// How many clients share a host, with its name, address and faults. Many hosts are slow to simulate, many clients of
    /// a host are not.
    clients_per_host: u64,
    /// How many requests each client sends; left out, 100, or as many as half of a shorter run has the time for.
    requests: Option<u64>,
    /// The time between two requests of a client. `"0s"`: as fast as answers come.
    interval: TimeSpan,
    /// The bytes of a request, at least; its name and checksum take some twenty.
    size: ByteSize,
    /// How many requests of a client may wait for an answer at the same time.
    pipeline: usize,
    /// How long a client waits for an answer before it tries again.
    timeout: TimeSpan,
    /// How often a client tries a request again.
    retries: u32,
    /// How long a client waits before each read of a TCP connection.
    read_delay: Option<TimeSpan>,
    /// What the server puts before its answers.
    prefix: String,
    /// The longest line the TCP server accepts.
    max_line: ByteSize,
    /// How long a TCP connection may be idle.
    idle_timeout: TimeSpan,
    /// How many TCP connections the server takes at the same time.
    max_connections: usize,
}

impl Default for Options {
    fn default() -> Self {
        let server = tcp::ServeOptions::default();
        Self {
            transport: TransportName::Tcp,
            clients: 3,
            clients_per_host: 1,
            requests: None,
            interval: TimeSpan(Duration::from_millis(20)),
            size: ByteSize(32),
            pipeline: 1,
            timeout: TimeSpan(Duration::from_secs(1)),
            retries: 20,
            read_delay: None,
            prefix: "Echo: ".to_owned(),
            max_line: ByteSize(server.line_bytes_max as u64),
            idle_timeout: TimeSpan(server.idle_timeout),
            max_connections: server.connections_max,
        }
    }
}

/// A transport, as scripts name it.
#[derive(Clone, Copy, Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
enum TransportName {
    Tcp,
    Udp,
}

impl From<TransportName> for Transport {
    fn from(name: TransportName) -> Self {
        match name {
            TransportName::Tcp => Self::Tcp,
            TransportName::Udp => Self::Udp,
        }
    }
}

impl Options {
    /// Those of a script, with as many requests as the run has the time for where it does not say how many.
    fn read(setup: &Setup<'_>) -> Result<Self, ScriptError> {
        let mut options: Self = setup.section()?;
        let script = setup.script();
        let way = sample(&script.network.latency.unwrap_or(Latency::DEFAULT), 0.9);
        let under_way = u32::try_from(options.pipeline).unwrap_or(u32::MAX).max(1);
        let each = options.interval.0.max(way * 2 / under_way);
        let fit = (script.duration / 2).as_nanos().checked_div(each.as_nanos());
        let fit = fit.and_then(|fit| u64::try_from(fit).ok()).unwrap_or(REQUESTS).clamp(1, REQUESTS);
        options.requests.get_or_insert(fit);
        Ok(options)
    }

    fn requests(&self) -> u64 {
        self.requests.unwrap_or(REQUESTS)
    }

    fn validate(&self, setup: &Setup<'_>) -> Result<(), ScriptError> {
        let table = setup.table();
        if !(1..=1000).contains(&self.clients) {
            return Err(table.error("clients", "expected between 1 and 1000 clients"));
        }
        if self.clients_per_host == 0 {
            return Err(table.error("clients_per_host", "expected at least 1"));
        }
        if !(1..=1_000_000).contains(&self.requests()) {
            return Err(table.error("requests", "expected between 1 and 1000000 requests"));
        }
        if self.pipeline == 0 {
            return Err(table.error("pipeline", "expected at least 1"));
        }
        if self.prefix.contains('\n') {
            return Err(table.error("prefix", "expected a text without a newline"));
        }
        let udp = matches!(self.transport, TransportName::Udp);
        if udp && self.size.0 > DATAGRAM_BYTES_MAX as u64 {
            let message = format!("expected at most {DATAGRAM_BYTES_MAX} bytes: a datagram carries no more");
            return Err(table.error("size", message));
        }
        if self.size.0 > 16 << 20 {
            return Err(table.error("size", "expected at most 16MiB"));
        }
        Ok(())
    }

    /// What the server answers to requests that are longer than it takes; `None`: they are not.
    fn refusal(&self) -> Option<Bytes> {
        let is_too_long = matches!(self.transport, TransportName::Tcp) && self.size.0 > self.max_line.0;
        is_too_long.then(|| tcp::refusal(usize::try_from(self.max_line.0).unwrap_or(usize::MAX)).into())
    }

    /// Requests per second.
    fn rate(&self) -> Option<f64> {
        (!self.interval.0.is_zero()).then(|| 1.0 / self.interval.0.as_secs_f64())
    }
}

/// The keys of `[expect]` that are of this system.
#[derive(Clone, Copy, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct Expect {
    answered: Option<Share>,
}

/// How many of the requests must be answered in the end.
#[derive(Clone, Copy, Debug, Default, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Share {
    /// Each of them: what clients that try again may expect of a network that heals.
    #[default]
    All,
    /// At least one.
    Some,
    /// Not a single one.
    None,
}

impl Expect {
    /// `tried_for`: for how long a client tries a request.
    fn check(self, report: &Report, check: &EchoCheck, tried_for: Duration) {
        let (sent, answered) = (report.counter("requests"), report.counter("answers"));
        match self.answered.unwrap_or_default() {
            Share::All if report.is_cut_off() => {}
            Share::All => {
                let lost = check.totals().find(|(_, sent, answered)| sent != answered);
                let Some((client, sent, answered)) = lost else { return };
                let mut text = format!("{client} sent {sent} requests and got {answered} answered");
                if self.answered.is_none() {
                    if report.calm_since(Calm::Healed).is_none_or(|calm| calm >= tried_for) {
                        let why = "what was broken stayed so for longer than a request is tried";
                        return report.note(format!("that every client is served is not checked: {why}; {text}"));
                    }
                    text +=
                        "; all are expected unless the script says another `answered` in [expect], such as \"some\"";
                }
                report.breach(Breach::new("every client is served", text));
            }
            Share::Some if answered == 0 => {
                report.violation("a client is served", format!("none of {sent} requests was answered"));
            }
            Share::None if answered > 0 => {
                report.violation("no client is served", format!("{answered} of {sent} requests were answered"));
            }
            Share::Some | Share::None => {}
        }
    }
}

type SharedCheck = Rc<RefCell<EchoCheck>>;

async fn serve(host: Host, options: Options, check: SharedCheck) -> HostResult {
    let events = host.events.clone();
    let sink = Sink::new(move |event: &Event| {
        record(&events, event, None);
        let breach = check.borrow_mut().server(event);
        breach.into_iter().for_each(|breach| events.breach(breach));
    });
    let address = format!("0.0.0.0:{PORT}");
    let prefix = Bytes::from(options.prefix.clone());
    match options.transport {
        TransportName::Tcp => {
            let options = tcp::ServeOptions {
                prefix,
                line_bytes_max: usize::try_from(options.max_line.0)?,
                idle_timeout: options.idle_timeout.0,
                connections_max: options.max_connections,
                ..Default::default()
            };
            tcp::serve::<SimNet>(host.net.listen(&address).await?, options, sink, pending()).await?;
        }
        TransportName::Udp => {
            let options = udp::ServeOptions { prefix, ..Default::default() };
            udp::serve::<SimNet>(host.net.bind(&address).await?, options, sink, pending()).await?;
        }
    }
    Ok(())
}

/// Writes a host's event into the trace and counts it; `client`: which of the host's clients it is of, if there are several.
fn record(events: &Events, event: &Event, client: Option<u64>) -> u64 {
    let mut fields = event.fields();
    client.into_iter().for_each(|number| fields.push(("client", Value::from(number))));
    let number = events.event(event.name(), fields);
    match event {
        Event::Sent { attempt: 1, .. } => events.count("requests", 1),
        // To refuse what is too long is what is asked of the server then.
        Event::LineTooLong { .. } => {
            events.count("refusals", 1);
            events.work(1);
        }
        Event::Answered { rtt, .. } => {
            events.count("answers", 1);
            events.work(1);
            events.time("rtt", *rtt);
        }
        Event::Retry { .. } => events.count("retries", 1),
        Event::GaveUp { .. } => events.count("given up", 1),
        Event::Duplicate { .. } => events.count("duplicate answers", 1),
        Event::Late { .. } => events.count("late answers", 1),
        Event::Mismatch { payload, .. } if payload.starts_with(b"error: line longer than ") => {}
        Event::Mismatch { .. } => events.count("garbled answers", 1),
        // Counting what cannot be sent is what is asked of the server then.
        Event::Oversize { .. } => {
            events.count("oversize answers", 1);
            events.work(1);
        }
        Event::Disconnected { why: Disconnected::Done } => {}
        Event::Disconnected { .. } | Event::ConnectFailed { .. } => events.count("connections lost", 1),
        _ => {}
    }
    number
}
