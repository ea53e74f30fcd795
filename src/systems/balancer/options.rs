//! What a script says of a balancer and those around it: its table, its keys in `[expect]`, and its own steps.

use std::collections::BTreeMap;
use std::time::Duration;

use schemars::JsonSchema;
use serde::Deserialize;

use crate::balancer::config::{Backend, Config, Origin};
use crate::balancer::file::File;
use crate::script::{ByteSize, Chance, Latency, ScriptError, Section, TimeSpan};
use crate::sim::Setup;

use super::shape::Shape;
use super::talk::Talk;
use super::{BACKEND_PORT, BACKENDS_MAX};
use crate::sim::Size;

/// The longest body of a request or an answer.
const BODY_BYTES_MAX: u64 = 4 << 20;

/// The table `[balancer]` of a script: a host called `balancer`, backends called b1, b2 and so on, clients called c1, c2
/// and so on, slow clients called s1, s2 and so on, smugglers called x1, x2 and so on, and clients that speak word for word
/// called h1, h2 and so on.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Options {
    /// How many backends there are.
    backends: u64,
    /// How many clients there are.
    clients: u64,
    /// How many slow clients there are: each sends a request's head a byte at a time, over several connections at once.
    slow_clients: u64,
    /// How many smugglers there are: each sends requests that hide another one from whoever reads them in another way.
    smugglers: u64,
    /// Requests a second, of all clients together. They come whether or not earlier ones are answered.
    pub(super) rate: f64,
    /// How the times between two requests of a client are distributed.
    pub(super) arrivals: Arrivals,
    /// For how long requests come, from the start of each client; left out, 10 s, or half of a shorter run, or of what is
    /// left of it after its chaos.
    load_for: Option<TimeSpan>,
    /// How long clients stay after their last answer: whatever is still open by then has leaked. Left out, 2 s, or a
    /// quarter of a shorter run.
    settle: Option<TimeSpan>,
    /// The part of the requests that are POSTs, which must not be executed twice; the others are GETs.
    pub(super) posts: Chance,
    /// How long a client waits for an answer, from when it sends the request.
    pub(super) deadline: TimeSpan,
    /// How often a client tries a GET again that was not answered with 2xx: at once, as naive clients do.
    pub(super) client_retries: u32,
    /// The bytes of an answer's body, at least.
    pub(super) size: ByteSize,
    /// How long a backend works on a request.
    pub(super) service: Latency,
    /// How many requests a backend works on at the same time.
    pub(super) workers: usize,
    /// How many requests may wait for a worker of a backend; one more gets 503. What waits is worked on whether or not
    /// anybody still wants it.
    pub(super) queue: usize,
    /// How long a backend keeps a connection without a request after an answer; left out, for ever.
    pub(super) keep_alive: Option<TimeSpan>,
    /// Backends that answer word for word, by their names.
    pub(super) shapes: BTreeMap<String, Shape>,
    /// Clients that speak word for word.
    talks: Vec<Talk>,
    /// The balancer's settings, as its configuration file has them. Without backends of its own they are all asked,
    /// each with weight 1.
    settings: File,
    /// The planted bug that the balancer runs with, in a build that has them.
    bug: Option<String>,
}

/// How the times between requests are distributed.
#[derive(Clone, Copy, Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub(super) enum Arrivals {
    /// Exponentially: requests know nothing of each other.
    Poisson,
    /// Evenly.
    Constant,
}

impl Default for Options {
    fn default() -> Self {
        let ms = |from, to| Latency::Uniform { min: Duration::from_millis(from), max: Duration::from_millis(to) };
        Self {
            backends: 3,
            clients: 2,
            slow_clients: 0,
            smugglers: 0,
            rate: 100.0,
            arrivals: Arrivals::Poisson,
            load_for: None,
            settle: None,
            posts: Chance(0.2),
            deadline: TimeSpan(Duration::from_secs(5)),
            client_retries: 0,
            size: ByteSize(256),
            service: ms(5, 15),
            workers: 8,
            queue: 64,
            keep_alive: None,
            shapes: BTreeMap::new(),
            talks: Vec::new(),
            settings: File::default(),
            bug: None,
        }
    }
}

const LOAD_FOR: Duration = Duration::from_secs(10);
const SETTLE: Duration = Duration::from_secs(2);

impl Options {
    /// Those of a script, with load for as long as the run has the time for where it does not say how long.
    pub(super) fn read(setup: &Setup<'_>) -> Result<Self, ScriptError> {
        let mut options: Self = setup.section()?;
        let script = setup.script();
        let chaos = script.chaos.as_ref().map_or(Duration::ZERO, |chaos| chaos.until);
        let duration = script.duration.saturating_sub(chaos);
        if options.load_for.is_none() {
            options.settle.get_or_insert(TimeSpan(SETTLE.min(duration / 4)));
        }
        options.load_for.get_or_insert(TimeSpan(LOAD_FOR.min(duration / 2)));
        Ok(options)
    }

    pub(super) fn has_bug(&self) -> bool {
        self.bug.is_some()
    }

    pub(super) fn load_for(&self) -> Duration {
        self.load_for.map_or(LOAD_FOR, |load| load.0)
    }

    pub(super) fn settle(&self) -> Duration {
        self.settle.map_or(SETTLE, |settle| settle.0)
    }

    /// What a failure may be shrunk by.
    pub(super) fn sizes(&self) -> Vec<Size> {
        let size = |key, value, least| Size { key, value, least };
        vec![
            size("backends", self.backends, 1),
            size("clients", self.clients, 1),
            size("slow_clients", self.slow_clients, 0),
            size("smugglers", self.smugglers, 0),
            size("workers", self.workers as u64, 1),
            size("queue", self.queue as u64, 0),
            size("client_retries", u64::from(self.client_retries), 0),
        ]
    }

    /// Says what makes no sense, and gives the balancer's settings.
    pub(super) fn validate(&self, setup: &Setup<'_>) -> Result<Config, ScriptError> {
        let table = setup.table();
        if !(1..=BACKENDS_MAX as u64).contains(&self.backends) {
            return Err(table.error("backends", format!("expected 1 to {BACKENDS_MAX} backends")));
        }
        let clients_min = u64::from(self.talks.is_empty());
        if !(clients_min..=100).contains(&self.clients) {
            return Err(table.error("clients", format!("expected {clients_min} to 100 clients")));
        }
        if self.slow_clients > 100 {
            return Err(table.error("slow_clients", "expected at most 100"));
        }
        if self.smugglers > 100 {
            return Err(table.error("smugglers", "expected at most 100"));
        }
        rate(self.rate).map_err(|message| table.error("rate", message))?;
        if self.load_for().is_zero() {
            return Err(table.error("load_for", "expected more than 0"));
        }
        if self.deadline.0.is_zero() {
            return Err(table.error("deadline", "expected more than 0"));
        }
        if self.workers == 0 {
            return Err(table.error("workers", "expected at least 1"));
        }
        if self.size.0 > BODY_BYTES_MAX {
            return Err(table.error("size", "expected at most 4MiB"));
        }
        for (name, shape) in &self.shapes {
            let place = |message: String| table.error(&format!("shapes.{name}"), message);
            known(&Names::One(name.clone()), self.backends()).map_err(place)?;
            shape.validate().map_err(place)?;
        }
        for talk in &self.talks {
            talk.validate().map_err(|message| table.error("talks", message))?;
        }
        self.find_bug().map_err(|message| table.error("bug", message))?;
        let config = self.config(&self.settings);
        config.map_err(|(key, reason)| table.error(&format!("settings.{key}"), format!("{key}: {reason}")))
    }

    /// The settings that a file comes to; on error, the key and what is wrong with it.
    pub(super) fn config(&self, file: &File) -> Result<Config, (String, String)> {
        let mut file = file.clone();
        if file.backends().is_empty() {
            let all = self.backends().map(|name| Backend { origin: origin(&name), weight: 1 });
            file.set_backends(all.collect());
        }
        #[cfg_attr(not(feature = "planted-bugs"), allow(unused_mut, reason = "the bug's place"))]
        let mut config = file.config().map_err(|error| (error.key, error.reason))?;
        #[cfg(feature = "planted-bugs")]
        (config.policy.bug = self.find_bug().map_err(|message| ("bug".to_owned(), message))?);
        let unknown = config.backends.iter().find(|b| !self.backends().any(|name| origin(&name) == b.origin));
        match unknown {
            Some(backend) => Err(("backend".to_owned(), format!("{} is none of the backends", backend.origin))),
            None => Ok(config),
        }
    }

    #[cfg(feature = "planted-bugs")]
    fn find_bug(&self) -> Result<Option<crate::balancer::planted::Bug>, String> {
        let bug = self.bug.as_ref().map(|name| name.parse());
        bug.transpose().map_err(|error: crate::balancer::planted::UnknownBug| error.to_string())
    }

    #[cfg(not(feature = "planted-bugs"))]
    fn find_bug(&self) -> Result<(), &'static str> {
        let is_planted = self.bug.is_some();
        (!is_planted).then_some(()).ok_or("this build has no planted bugs: build it with `--features planted-bugs`")
    }

    pub(super) fn backends(&self) -> impl Iterator<Item = String> + use<> {
        (1..=self.backends).map(|number| format!("b{number}"))
    }

    pub(super) fn clients(&self) -> impl Iterator<Item = String> + use<> {
        (1..=self.clients).map(|number| format!("c{number}"))
    }

    pub(super) fn slow_clients(&self) -> impl Iterator<Item = String> + use<> {
        (1..=self.slow_clients).map(|number| format!("s{number}"))
    }

    pub(super) fn talks(&self) -> impl Iterator<Item = (String, Talk)> + use<> {
        (1..).map(|number: u64| format!("h{number}")).zip(self.talks.clone())
    }

    pub(super) fn smugglers(&self) -> impl Iterator<Item = String> + use<> {
        (1..=self.smugglers).map(|number| format!("x{number}"))
    }
}

pub(super) fn origin(name: &str) -> Origin {
    Origin::parse(&format!("http://{name}:{BACKEND_PORT}")).expect("a host's name and a port are a URL")
}

fn rate(rate: f64) -> Result<f64, String> {
    if (0.0..=100_000.0).contains(&rate) && rate > 0.0 {
        Ok(rate)
    } else {
        Err("expected more than 0 and at most 100000 requests a second".to_owned())
    }
}

/// The keys of `[expect]` that are of this system.
#[derive(Clone, Copy, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Expect {
    /// Once nothing is disturbed any more, it takes at most this long until requests are served as before.
    pub(super) recovers_within: Option<TimeSpan>,
    /// `false`: it does not come back to what it was, although nothing is disturbed any more.
    pub(super) recovers: Option<bool>,
}

impl Expect {
    pub(super) fn validate(self, section: &Section) -> Result<(), ScriptError> {
        match (self.recovers, self.recovers_within) {
            (Some(true), None) => Err(section.error("recovers", "expected `recovers_within` and a time instead")),
            (Some(_), Some(_)) => Err(section.error("recovers", "expected either this or `recovers_within`")),
            _ => Ok(()),
        }
    }
}

/// A step of the balancer's own: one of `backend`, `load`, `reload` and `stop`.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Step {
    /// Backends that are from now on as the keys beside it say; without any they are well again.
    backend: Option<Names>,
    #[serde(flatten)]
    condition: Condition,
    /// From now on so many requests come a second.
    load: Option<f64>,
    /// The balancer reads its settings again, and they are these.
    reload: Option<Box<File>>,
    /// The balancer, or backends, are asked to end: they take no more connections, and finish what they have.
    stop: Option<Names>,
}

/// What is wrong with a backend. Each part is of the requests; health checks are none.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, JsonSchema)]
#[serde(default)]
pub(super) struct Condition {
    /// The part that is answered with 500.
    pub(super) fail: Option<Chance>,
    /// The part that is never answered.
    pub(super) hang: Option<Chance>,
    /// The part whose connection is closed when the request has been read and executed.
    pub(super) close: Option<Chance>,
    /// The part whose answers end in the middle.
    pub(super) cut: Option<Chance>,
    /// The part whose answers have a length and, beside it, chunks that are twice as long.
    pub(super) contradict: Option<Chance>,
    /// How much longer each takes.
    pub(super) slow: Option<Latency>,
    /// Whether health checks fail.
    pub(super) unhealthy: bool,
}

/// A name, or some.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(untagged, expecting = "a host such as \"b1\", or a list of hosts")]
enum Names {
    /// One.
    One(String),
    /// Some.
    Some(Vec<String>),
}

impl Names {
    fn all(&self) -> &[String] {
        match self {
            Self::One(name) => std::slice::from_ref(name),
            Self::Some(names) => names,
        }
    }
}

/// What a [`Step`] says.
#[derive(Clone, Debug)]
pub(super) enum Order {
    Backends { names: Vec<String>, condition: Condition },
    Load(f64),
    Reload(Box<Config>),
    Stop(Vec<String>),
}

impl Step {
    pub(super) fn order(&self, section: &Section, options: &Options) -> Result<Order, ScriptError> {
        let has_condition = self.condition != Condition::default();
        if has_condition && self.backend.is_none() {
            return Err(section.error_of_table("expected `backend` beside what is wrong with it"));
        }
        match (&self.backend, self.load, &self.reload, &self.stop) {
            (Some(names), None, None, None) => {
                known(names, options.backends()).map_err(|message| section.error("backend", message))?;
                Ok(Order::Backends { names: names.all().to_vec(), condition: self.condition.clone() })
            }
            (None, Some(load), None, None) => {
                rate(load).map(Order::Load).map_err(|message| section.error("load", message))
            }
            (None, None, Some(file), None) => {
                let config = options.config(file).map(Box::new).map(Order::Reload);
                config.map_err(|(key, reason)| section.error(&format!("reload.{key}"), format!("{key}: {reason}")))
            }
            (None, None, None, Some(names)) => {
                let all = options.backends().chain(["balancer".to_owned()]);
                known(names, all).map_err(|message| section.error("stop", message))?;
                Ok(Order::Stop(names.all().to_vec()))
            }
            _ => Err(section.error_of_table("expected one of `backend`, `load`, `reload` and `stop`")),
        }
    }
}

fn known(names: &Names, all: impl Iterator<Item = String>) -> Result<(), String> {
    let all: Vec<String> = all.collect();
    match names.all().iter().find(|name| !all.contains(name)) {
        Some(name) => Err(format!("`{name}` is none of {}", all.join(", "))),
        None if names.all().is_empty() => Err(format!("expected at least one of {}", all.join(", "))),
        None => Ok(()),
    }
}
