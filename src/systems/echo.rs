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
use crate::sim::{Calm, Events, Host, HostResult, Processes, Setup, Size, System, sample};

use expect::{Expect, Over, Unmet};

mod clients;
mod expect;
mod live;

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

    fn processes(&self, setup: &Setup<'_>) -> Option<Result<Processes, ScriptError>> {
        Some(live::processes(setup))
    }

    fn build(&self, setup: &mut Setup<'_>) -> Result<(), ScriptError> {
        let options = Options::read(setup)?;
        let expect: Expect = setup.expect()?;
        options.validate(setup)?;
        let prefix = Bytes::from(options.prefix.clone());
        let check = Rc::new(RefCell::new(EchoCheck::new(options.transport.into(), prefix)));
        let refusal = options.refusal();
        let tried_for = options.tried_for();
        refusal.iter().for_each(|refusal| check.borrow_mut().refused_with(refusal.clone()));

        let (of_server, server_check) = (options.clone(), check.clone());
        setup.host("server", move |host| serve(host, of_server.clone(), server_check.clone()));
        for (name, here) in options.client_hosts() {
            let (of_client, client_check) = (options.clone(), check.clone());
            setup.workload(name, move |host| clients::send(host, here, of_client.clone(), client_check.clone()));
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
                let over = Over {
                    requests: report.counter("requests"),
                    answers: report.counter("answers"),
                    is_cut_off: report.is_cut_off(),
                    healed: report.calm_since(Calm::Healed),
                    tried_for,
                };
                match expect.unmet(&over, &check.borrow()) {
                    Some(Unmet::Breach(breach)) => report.breach(breach),
                    Some(Unmet::Note(note)) => report.note(note),
                    None => {}
                }
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

    /// For how long a client tries a request.
    fn tried_for(&self) -> Duration {
        self.timeout.0 * (self.retries + 1)
    }

    /// The hosts of clients: how many are on each.
    fn client_hosts(&self) -> impl Iterator<Item = (String, u64)> {
        let (all, most) = (self.clients, self.clients_per_host);
        (0..all.div_ceil(most)).map(move |nth| (format!("c{}", nth + 1), most.min(all - nth * most)))
    }

    /// Requests per second.
    fn rate(&self) -> Option<f64> {
        (!self.interval.0.is_zero()).then(|| 1.0 / self.interval.0.as_secs_f64())
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
    let Counted { name, work } = counted(event);
    name.into_iter().for_each(|name| events.count(name, 1));
    if work > 0 {
        events.work(work);
    }
    if let Event::Answered { rtt, .. } = event {
        events.time("rtt", *rtt);
    }
    number
}

/// What an event counts, and how much work was done by it.
#[derive(Clone, Copy, Debug, Default)]
struct Counted {
    name: Option<&'static str>,
    work: u64,
}

fn counted(event: &Event) -> Counted {
    let counts = |name| Counted { name: Some(name), work: 0 };
    match event {
        Event::Sent { attempt: 1, .. } => counts("requests"),
        // To refuse what is too long is what is asked of the server then, and so is to count what cannot be sent.
        Event::LineTooLong { .. } => Counted { work: 1, ..counts("refusals") },
        Event::Oversize { .. } => Counted { work: 1, ..counts("oversize answers") },
        Event::Answered { .. } => Counted { work: 1, ..counts("answers") },
        Event::Retry { .. } => counts("retries"),
        Event::GaveUp { .. } => counts("given up"),
        Event::Duplicate { .. } => counts("duplicate answers"),
        Event::Late { .. } => counts("late answers"),
        Event::Mismatch { payload, .. } if payload.starts_with(b"error: line longer than ") => Counted::default(),
        Event::Mismatch { .. } => counts("garbled answers"),
        Event::Disconnected { why: Disconnected::Done } => Counted::default(),
        Event::Disconnected { .. } | Event::ConnectFailed { .. } => counts("connections lost"),
        _ => Counted::default(),
    }
}
