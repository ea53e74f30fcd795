//! The balancer's settings as TOML: what a file says, and errors that name its line and key.
//!
//! ```toml
//! listen = "0.0.0.0:8080"
//! admin  = "127.0.0.1:9901"
//! policy = "least-connections"
//!
//! [[backend]]
//! url    = "http://10.0.0.1:8080"
//! weight = 2
//!
//! [[backend]]
//! url = "http://10.0.0.2:8080"
//!
//! [checks]
//! path     = "/healthz"
//! interval = "1s"
//! ```
//!
//! All keys but `backend` have defaults, and nothing is ignored: what is not understood is refused.

mod defaults;
mod span;

use std::ops::Range;

use schemars::JsonSchema;
use serde::{Deserialize, Deserializer};
use toml_edit::{Document, Item, TableLike};

use super::config::{self, Config, ConfigError, Forwarding, Network, Origin};
use super::policy::{self, Policy};
use span::Span;

/// The whole file.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct File {
    /// Where clients connect, as `host:port`.
    pub listen: Option<String>,
    /// Where `/metrics`, `/backends` and `/healthz` are served, as `host:port`.
    pub admin: Option<String>,
    /// How a backend is chosen.
    policy: PolicyName,
    /// The most requests that one backend may have in flight.
    backend_in_flight_max: Option<u32>,
    /// Where fewer than this part of the backends is available, all are used; 0 switches it off.
    panic_percent: u32,
    /// Where requests go.
    backend: Vec<Backend>,
    /// Active health checks.
    checks: Checks,
    /// Passive ejection.
    ejection: Ejection,
    /// How the share of a backend that returns grows.
    slow_start: SlowStart,
    /// When a request is tried again.
    retries: Retries,
    /// How long things may take.
    timeouts: Timeouts,
    /// How much is taken in at once.
    limits: Limits,
    /// Headers that are added.
    forwarding: Headers,
}

/// How a backend is chosen.
#[derive(Clone, Copy, Debug, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
enum PolicyName {
    /// In turn, each by its weight.
    #[default]
    RoundRobin,
    /// The least requests in flight for its weight.
    LeastConnections,
    /// The better of two that are drawn, by latency and requests in flight.
    PeakEwma,
}

/// One backend.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Backend {
    /// Where it is: a URL such as `http://127.0.0.1:8081`.
    #[serde(deserialize_with = "origin")]
    #[schemars(with = "String")]
    url: Origin,
    /// Its share, against the others'.
    #[serde(default = "one")]
    weight: u32,
}

/// Active health checks.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
struct Checks {
    /// Whether there are any.
    enabled: bool,
    /// What is asked for, below the backend's own path.
    path: String,
    /// The time between two checks of a backend.
    interval: Span,
    /// How long an answer may take.
    timeout: Span,
    /// So many passed checks in a row make a backend healthy.
    healthy_threshold: u32,
    /// So many failed checks in a row make it unhealthy.
    unhealthy_threshold: u32,
}

/// Passive ejection.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
struct Ejection {
    /// So many failures in a row eject a backend; 0: they do not.
    consecutive_failures: u32,
    /// At this part of failed requests a backend is ejected; 0: at none.
    failure_percent: u32,
    /// The time over which that part is taken.
    window: Span,
    /// With fewer requests in that time, nothing is concluded.
    requests_min: u32,
    /// How long the first ejection lasts; the n-th lasts n times as long.
    time_base: Span,
    /// No ejection lasts longer.
    time_max: Span,
    /// For each such time without one, an ejection is forgotten.
    forgiven_after: Span,
    /// The largest part of the backends that is ejected at a time.
    ejected_percent_max: u32,
    /// Whether any passed check readmits a backend.
    check_readmits: bool,
}

/// How the share of a backend that returns grows.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
struct SlowStart {
    /// The time until it is whole; 0s: at once.
    window: Span,
    /// What it begins with.
    share_percent_min: u32,
}

/// When a request is tried again.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
struct Retries {
    /// How often one request is, at most.
    attempts_max: u32,
    /// The longest wait before the first time; it doubles.
    backoff_base: Span,
    /// No wait is longer.
    backoff_max: Span,
    /// The largest part of the requests that retries may be.
    budget_percent: u32,
    /// The time over which that part is taken, in whole seconds.
    budget_window: Span,
    /// So many retries a second are allowed however few the requests are.
    budget_floor_per_second: u32,
    /// Whether a GET that got 503 is tried again.
    on_503: bool,
}

/// How long things may take.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
struct Timeouts {
    /// For a connection to a backend to open.
    connect: Span,
    /// For a request's head to come.
    head: Span,
    /// Without a byte of a body, either way, or in a tunnel.
    idle: Span,
    /// For a client to send a body, beside what `limits.upload_bytes_per_second_min` gives it.
    upload: Span,
    /// For a backend to say 100 to a client that waits for it before it sends a body.
    expect: Span,
    /// For a backend's answer to begin, from when the whole request was sent.
    answer: Span,
    /// For an answer to begin, all tries together; the upload of a body does not count.
    request: Span,
    /// Between two requests on one connection.
    keep_alive: Span,
    /// For an unused connection to a backend.
    pool: Span,
    /// For a client to read a last answer while it may still be sending.
    linger: Span,
    /// For what is under way to finish when the balancer ends.
    drain: Span,
}

/// How much is taken in at once.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
struct Limits {
    /// Clients' connections.
    connections_max: usize,
    /// Requests.
    in_flight_max: usize,
    /// Unused connections to each backend.
    pool_max: usize,
    /// Bytes of a request's head.
    head_bytes_max: usize,
    /// Headers of a request.
    headers_max: usize,
    /// Bytes of a request's target.
    target_bytes_max: usize,
    /// Bytes of a request's body.
    body_bytes_max: u64,
    /// The rate at which a body has to come at least, in the long run; 0: `timeouts.upload` is all that there is.
    upload_bytes_per_second_min: u64,
    /// Bytes of the head of a backend's answer.
    answer_head_bytes_max: usize,
    /// Headers of a backend's answer.
    answer_headers_max: usize,
}

/// Headers that are added besides `X-Forwarded-*`, and whose `X-Forwarded-*` stay.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
struct Headers {
    /// Proxies before this one, as networks such as `10.0.0.0/8`: their `X-Forwarded-*` stay.
    #[serde(deserialize_with = "networks")]
    #[schemars(with = "Vec<String>")]
    trusted: Vec<Network>,
    /// `Forwarded` (RFC 7239).
    forwarded: bool,
    /// `Via`.
    via: bool,
}

/// Why a file cannot be used: where, and what was expected.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{path}:{line}:{column}: {message}")]
pub struct FileError {
    /// The file.
    pub path: String,
    /// The line, from 1.
    pub line: usize,
    /// The column, from 1, in characters.
    pub column: usize,
    /// What is wrong.
    pub message: String,
}

impl File {
    /// Reads a file's text; `path` is for errors.
    pub fn parse(path: &str, text: &str) -> Result<(Self, Config), FileError> {
        let at = |span: Option<Range<usize>>, message: String| {
            let start = span.map_or(0, |span| span.start).min(text.len());
            let before = &text[..start];
            let line = before.matches('\n').count() + 1;
            let column = before.rsplit('\n').next().unwrap_or_default().chars().count() + 1;
            FileError { path: path.to_owned(), line, column, message }
        };
        let file: Self = toml::from_str(text).map_err(|error| at(error.span(), error.message().to_owned()))?;
        let config = file.config().map_err(|error| at(place(text, &error.key), error.to_string()))?;
        Ok((file, config))
    }

    /// Where requests go.
    pub fn backends(&self) -> Vec<config::Backend> {
        let backends = self.backend.iter();
        backends.map(|backend| config::Backend { origin: backend.url.clone(), weight: backend.weight }).collect()
    }

    /// Sends requests there.
    pub fn set_backends(&mut self, backends: Vec<config::Backend>) {
        self.backend = backends.into_iter().map(|b| Backend { url: b.origin, weight: b.weight }).collect();
    }

    /// The settings that it comes to.
    pub fn config(&self) -> Result<Config, ConfigError> {
        let config = Config {
            backends: self.backends(),
            policy: self.policy()?,
            checks: self.checks.enabled.then(|| self.checks.config()),
            timeouts: self.timeouts.config(),
            retries: self.retries.config()?,
            limits: self.limits.config(),
            forwarding: self.forwarding.config(),
        };
        config.validate()?;
        Ok(config)
    }

    fn policy(&self) -> Result<policy::Settings, ConfigError> {
        let ejection = &self.ejection;
        let rate = policy::FailureRate {
            percent: ejection.failure_percent,
            window: ejection.window.0,
            requests_min: ejection.requests_min,
        };
        let settings = policy::Settings {
            policy: match self.policy {
                PolicyName::RoundRobin => Policy::RoundRobin,
                PolicyName::LeastConnections => Policy::LeastConnections,
                PolicyName::PeakEwma => Policy::PeakEwma,
            },
            in_flight_max: self.backend_in_flight_max,
            panic_percent: self.panic_percent,
            checks: self.checks.enabled.then_some(policy::Checks {
                interval: self.checks.interval.0,
                healthy_threshold: self.checks.healthy_threshold,
                unhealthy_threshold: self.checks.unhealthy_threshold,
            }),
            ejection: policy::Ejection {
                consecutive_failures: Some(ejection.consecutive_failures).filter(|failures| *failures > 0),
                failure_rate: Some(rate).filter(|rate| rate.percent > 0),
                time_base: ejection.time_base.0,
                time_max: ejection.time_max.0,
                forgiven_after: ejection.forgiven_after.0,
                ejected_percent_max: ejection.ejected_percent_max,
                check_readmits: ejection.check_readmits,
            },
            slow_start: Some(&self.slow_start)
                .filter(|slow| !slow.window.0.is_zero())
                .map(|slow| policy::SlowStart { window: slow.window.0, share_percent_min: slow.share_percent_min }),
            latency: policy::Latency::default(),
            #[cfg(feature = "planted-bugs")]
            bug: None,
        };
        settings.validate().map_err(|error| ConfigError::new("ejection", error.to_string()))?;
        Ok(settings)
    }
}

impl Checks {
    fn config(&self) -> config::Checks {
        config::Checks { path: self.path.clone(), timeout: self.timeout.0 }
    }
}

impl Retries {
    fn config(&self) -> Result<config::Retries, ConfigError> {
        let wrong = |error: policy::SettingsError| ConfigError::new("retries", error.to_string());
        let budget = policy::Budget {
            percent: self.budget_percent,
            window: self.budget_window.0,
            floor_per_second: self.budget_floor_per_second,
        };
        policy::RetryBudget::new(budget.clone()).map_err(wrong)?;
        let backoff = policy::Backoff::new(self.backoff_base.0, self.backoff_max.0).map_err(wrong)?;
        Ok(config::Retries { attempts_max: self.attempts_max, backoff, budget, on_503: self.on_503 })
    }
}

impl Timeouts {
    fn config(&self) -> config::Timeouts {
        config::Timeouts {
            connect: self.connect.0,
            head: self.head.0,
            idle: self.idle.0,
            upload: self.upload.0,
            expect: self.expect.0,
            answer: self.answer.0,
            request: self.request.0,
            keep_alive: self.keep_alive.0,
            pool: self.pool.0,
            linger: self.linger.0,
            drain: self.drain.0,
        }
    }
}

impl Limits {
    fn config(&self) -> config::Limits {
        config::Limits {
            connections_max: self.connections_max,
            in_flight_max: self.in_flight_max,
            pool_max: self.pool_max,
            head_bytes_max: self.head_bytes_max,
            headers_max: self.headers_max,
            target_bytes_max: self.target_bytes_max,
            body_bytes_max: self.body_bytes_max,
            upload_bytes_per_second_min: self.upload_bytes_per_second_min,
            answer_head_bytes_max: self.answer_head_bytes_max,
            answer_headers_max: self.answer_headers_max,
        }
    }
}

impl Headers {
    fn config(&self) -> Forwarding {
        Forwarding { trusted: self.trusted.clone(), forwarded: self.forwarded, via: self.via }
    }
}

fn origin<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Origin, D::Error> {
    Origin::parse(&String::deserialize(deserializer)?).map_err(serde::de::Error::custom)
}

fn networks<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<Network>, D::Error> {
    let texts = Vec::<String>::deserialize(deserializer)?;
    texts.iter().map(|text| text.parse().map_err(serde::de::Error::custom)).collect()
}

fn one() -> u32 {
    1
}

/// Where a dotted key stands in a text, or the nearest table around it.
fn place(text: &str, key: &str) -> Option<Range<usize>> {
    let document = Document::parse(text).ok()?;
    let mut table: &dyn TableLike = document.as_table();
    let mut found = None;
    for part in key.split('.') {
        let name = if part == "backends" { "backend" } else { part };
        let Some((key, item)) = table.get_key_value(name) else { break };
        found = key.span().or_else(|| item.span()).or(found);
        match item {
            Item::Table(inner) => {
                found = inner.span().or(found);
                table = inner;
            }
            Item::Value(value) => match value.as_inline_table() {
                Some(inner) => table = inner,
                None => break,
            },
            _ => break,
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    const BACKEND: &str = "[[backend]]\nurl = 'http://127.0.0.1:8081/base/'\nweight = 2\n";

    fn parse(text: &str) -> Result<Config, String> {
        File::parse("lb.toml", text).map(|(_, config)| config).map_err(|error| error.to_string())
    }

    #[test]
    fn a_backend_is_enough_and_the_rest_is_as_the_defaults() {
        let config = parse(BACKEND).unwrap();
        let backend = config::Backend { origin: Origin::parse("http://127.0.0.1:8081/base").unwrap(), weight: 2 };
        assert_eq!(config, Config::new(vec![backend]));
    }

    #[test]
    fn what_is_switched_off_is_not_there() {
        let off = "checks.enabled = false\nslow_start.window = '0s'\n\
                   ejection = { consecutive_failures = 0, failure_percent = 0 }\n";
        let config = parse(&format!("{off}{BACKEND}")).unwrap();
        assert_eq!((config.checks, config.policy.checks, config.policy.slow_start), (None, None, None));
        assert_eq!((config.policy.ejection.consecutive_failures, config.policy.ejection.failure_rate), (None, None));
    }

    #[test]
    fn mistakes_are_told_with_their_place() {
        for (text, message) in [
            ("", "lb.toml:1:1: backends: there is none, and requests have to go somewhere"),
            ("polcy = 'x'", "lb.toml:1:1: unknown field `polcy`, expected one of `listen`"),
            ("policy = 'random'", "lb.toml:1:10: unknown variant `random`, expected one of `round-robin`, `least-"),
            ("[timeouts]\nanswer = '5'", "lb.toml:2:10: `5` is not a time (time unit needed"),
            ("[timeouts]\nanswer = 5", "lb.toml:2:10: invalid type: integer `5`, expected a string"),
            ("[[backend]]\nurl = 'ftp://x'", "lb.toml:2:7: `ftp://x` does not begin with http://"),
            ("[[backend]]\nweight = 1", "lb.toml:1:1: missing field `url`"),
            (&format!("{BACKEND}{BACKEND}"), "lb.toml:1:3: backends: http://127.0.0.1:8081/base is there twice"),
            (&format!("{BACKEND}[timeouts]\nhead = '1s'\nanswer = '0s'"), "lb.toml:6:1: timeouts.answer: it must be"),
            (&format!("limits.headers_max = 0\n{BACKEND}"), "lb.toml:1:8: limits.headers_max: it must be more than 0"),
            (
                "[forwarding]\ntrusted = ['10.0.0.0/99']",
                "lb.toml:2:11: `10.0.0.0/99` does not end with a number of bits",
            ),
            (&format!("panic_percent = 101\n{BACKEND}"), "`panic_percent` is 101 %: take 0 to 100"),
            (&format!("{BACKEND}[retries]\nbackoff_base = '9s'"), "lb.toml:4:1: retries: a backoff from 9s to 250ms"),
            ("a = ", "lb.toml:1:5: "),
        ] {
            let error = parse(text).expect_err(text);
            assert!(error.contains(message), "{text}\n{error}");
        }
    }
}
