//! What a balancer is told: plain data, with defaults that serve most, and an error that names what makes no sense.

use std::collections::BTreeSet;
use std::fmt;
use std::time::Duration;

use hyper::Uri;
use hyper::http::uri::Scheme;

pub use super::network::Network;
use super::policy;

/// What any head of an answer has to be given.
const ANSWER_HEAD_BYTES_MIN: usize = 1 << 10;

/// The whole of it.
#[derive(Clone, Debug, PartialEq)]
pub struct Config {
    /// Where requests go; at least one.
    pub backends: Vec<Backend>,
    /// How one of them is chosen, and when one is not to be.
    pub policy: policy::Settings,
    /// Whether backends are asked how they are, and how; how answers are judged is the policy's.
    pub checks: Option<Checks>,
    /// How long things may take.
    pub timeouts: Timeouts,
    /// When a request may be tried again.
    pub retries: Retries,
    /// How much is taken in at once.
    pub limits: Limits,
    /// Which headers tell backends and clients of the balancer.
    pub forwarding: Forwarding,
}

/// A backend.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Backend {
    /// Where it is.
    pub origin: Origin,
    /// Its share, against the others'.
    pub weight: u32,
}

/// An `http` URL without query: whom to connect to, and the path that all requests are put below.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Origin {
    /// `host:port`.
    pub address: String,
    /// Empty, or begins with `/` and does not end with one.
    pub base_path: String,
}

/// Active health checks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Checks {
    /// What is asked for, by GET, below the backend's own path. An answer of 200 to 399 is healthy.
    pub path: String,
    /// How long an answer may take.
    pub timeout: Duration,
}

/// How long each phase of a request may take.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Timeouts {
    /// For a connection to a backend to open.
    pub connect: Duration,
    /// For a request's head to come, from its first byte.
    pub head: Duration,
    /// Without a byte of a body, either way, or in a tunnel.
    pub idle: Duration,
    /// For a client to send a request's body: the time that passes while there is nothing of it to pass on. For what has
    /// come already there is more, by [`Limits::upload_bytes_per_second_min`].
    pub upload: Duration,
    /// For a backend to say `100 Continue` to a client that waits for it. After that the client is told to go on.
    pub expect: Duration,
    /// For a backend's answer to begin, from when the whole request was sent.
    pub answer: Duration,
    /// For an answer to begin, all tries together. The upload of a body does not count.
    pub request: Duration,
    /// Between two requests of a client on one connection.
    pub keep_alive: Duration,
    /// For an unused connection to a backend.
    pub pool: Duration,
    /// For a client to read a last answer before its connection is closed, while it may still be sending.
    pub linger: Duration,
    /// For what is under way to finish when the balancer ends.
    pub drain: Duration,
}

/// Trying again, on another backend where there is one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Retries {
    /// How often a request may be tried again, at most.
    pub attempts_max: u32,
    /// The wait before each.
    pub backoff: policy::Backoff,
    /// How many there may be, against the requests.
    pub budget: policy::Budget,
    /// Whether a GET that got 503 is tried again.
    pub on_503: bool,
}

/// How much is taken in at once.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Clients' connections.
    pub connections_max: usize,
    /// Requests that wait for an answer or get one.
    pub in_flight_max: usize,
    /// Unused connections that are kept to each backend.
    pub pool_max: usize,
    /// Bytes of a request's head.
    pub head_bytes_max: usize,
    /// Headers of a request.
    pub headers_max: usize,
    /// Bytes of a request's target.
    pub target_bytes_max: usize,
    /// Bytes of a request's body.
    pub body_bytes_max: u64,
    /// The least rate at which a body has to come in the long run: so many bytes gain a second beside
    /// [`Timeouts::upload`]. 0: they gain nothing.
    pub upload_bytes_per_second_min: u64,
    /// Bytes of the head of a backend's answer.
    pub answer_head_bytes_max: usize,
    /// Headers of a backend's answer.
    pub answer_headers_max: usize,
}

/// Headers that are added besides `X-Forwarded-For`, `-Host` and `-Proto`, and whose of these three are believed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Forwarding {
    /// Proxies before this one: what they say of whom they forward for, to whom and how stays.
    pub trusted: Vec<Network>,
    /// `Forwarded` (RFC 7239).
    pub forwarded: bool,
    /// `Via` (RFC 9110, 7.6.3).
    pub via: bool,
}

impl Config {
    /// The defaults, over these backends.
    pub fn new(backends: Vec<Backend>) -> Self {
        Self {
            backends,
            policy: policy::Settings::default(),
            checks: Some(Checks::default()),
            timeouts: Timeouts::default(),
            retries: Retries::default(),
            limits: Limits::default(),
            forwarding: Forwarding::default(),
        }
    }

    /// What one of so many threads may take, so that all together take what one balancer may; at least one of each.
    #[must_use]
    pub fn part_of(&self, threads: usize) -> Self {
        let mut part = self.clone();
        let count = u32::try_from(threads).unwrap_or(u32::MAX);
        for most in [&mut part.limits.connections_max, &mut part.limits.in_flight_max, &mut part.limits.pool_max] {
            *most = most.div_ceil(threads);
        }
        part.policy.in_flight_max = part.policy.in_flight_max.map(|most| most.div_ceil(count));
        part.retries.budget.floor_per_second = part.retries.budget.floor_per_second.div_ceil(count);
        part
    }

    /// Whether all of it makes sense.
    pub fn validate(&self) -> Result<(), ConfigError> {
        let mut seen = BTreeSet::new();
        if self.backends.is_empty() {
            return Err(ConfigError::new("backends", "there is none, and requests have to go somewhere"));
        }
        for backend in &self.backends {
            if !seen.insert(&backend.origin) {
                return Err(ConfigError::new("backends", format!("{} is there twice", backend.origin)));
            }
            if backend.weight == 0 {
                let text = format!("{} has the weight 0: give it 1 or more, or leave it out", backend.origin);
                return Err(ConfigError::new("backends", text));
            }
        }
        self.timeouts.validate()?;
        if let Some(checks) = &self.checks {
            checks.validate()?;
        }
        for (key, value) in [
            ("limits.connections_max", self.limits.connections_max),
            ("limits.in_flight_max", self.limits.in_flight_max),
            ("limits.headers_max", self.limits.headers_max),
            ("limits.head_bytes_max", self.limits.head_bytes_max),
            ("limits.target_bytes_max", self.limits.target_bytes_max),
            ("limits.answer_headers_max", self.limits.answer_headers_max),
        ] {
            if value == 0 {
                return Err(ConfigError::new(key, "it must be more than 0"));
            }
        }
        let (key, bytes) = ("limits.answer_head_bytes_max", self.limits.answer_head_bytes_max);
        if bytes < ANSWER_HEAD_BYTES_MIN {
            return Err(ConfigError::new(key, format!("it must be at least {ANSWER_HEAD_BYTES_MIN}")));
        }
        Ok(())
    }
}

impl Timeouts {
    fn validate(&self) -> Result<(), ConfigError> {
        for (key, value) in [
            ("timeouts.connect", self.connect),
            ("timeouts.head", self.head),
            ("timeouts.idle", self.idle),
            ("timeouts.upload", self.upload),
            ("timeouts.answer", self.answer),
            ("timeouts.request", self.request),
            ("timeouts.keep_alive", self.keep_alive),
        ] {
            if value.is_zero() {
                return Err(ConfigError::new(key, "it must be more than 0"));
            }
        }
        Ok(())
    }
}

impl Checks {
    fn validate(&self) -> Result<(), ConfigError> {
        if !self.path.starts_with('/') || self.path.parse::<Uri>().is_err() {
            return Err(ConfigError::new("checks.path", format!("`{}` is not a path such as /healthz", self.path)));
        }
        if self.timeout.is_zero() {
            return Err(ConfigError::new("checks.timeout", "it must be more than 0"));
        }
        Ok(())
    }
}

impl Default for Checks {
    fn default() -> Self {
        Self { path: "/".to_owned(), timeout: Duration::from_secs(1) }
    }
}

impl Default for Timeouts {
    fn default() -> Self {
        Self {
            connect: Duration::from_secs(1),
            head: Duration::from_secs(10),
            idle: Duration::from_secs(30),
            upload: Duration::from_mins(1),
            expect: Duration::from_secs(1),
            answer: Duration::from_secs(30),
            request: Duration::from_mins(1),
            keep_alive: Duration::from_mins(1),
            pool: Duration::from_secs(30),
            linger: Duration::from_secs(10),
            drain: Duration::from_secs(10),
        }
    }
}

impl Default for Retries {
    fn default() -> Self {
        Self { attempts_max: 2, backoff: policy::Backoff::default(), budget: policy::Budget::default(), on_503: false }
    }
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            connections_max: 10_000,
            in_flight_max: 10_000,
            pool_max: 64,
            head_bytes_max: 64 << 10,
            headers_max: 100,
            target_bytes_max: 16 << 10,
            body_bytes_max: 1 << 30,
            upload_bytes_per_second_min: 500,
            answer_head_bytes_max: 64 << 10,
            answer_headers_max: 100,
        }
    }
}

impl Origin {
    /// Reads a URL such as `http://127.0.0.1:8081` or `http://app.internal/base`.
    pub fn parse(url: &str) -> Result<Self, String> {
        let expected = "expected a URL such as http://127.0.0.1:8081 or http://app.internal/base";
        let uri: Uri = url.parse().map_err(|error| format!("`{url}` is not a URL ({error}): {expected}"))?;
        match uri.scheme() {
            Some(scheme) if *scheme == Scheme::HTTP => {}
            Some(scheme) if *scheme == Scheme::HTTPS => {
                return Err(format!("`{url}`: TLS to backends is not supported, {expected}"));
            }
            _ => return Err(format!("`{url}` does not begin with http://: {expected}")),
        }
        let Some(authority) = uri.authority().filter(|authority| !authority.host().is_empty()) else {
            return Err(format!("`{url}` names no host: {expected}"));
        };
        if authority.as_str().contains('@') {
            return Err(format!("`{url}` has a user name, which is of no use to a backend: {expected}"));
        }
        if uri.query().is_some() || url.contains('#') {
            return Err(format!("`{url}` has a query or a fragment, which cannot be joined to requests': {expected}"));
        }
        let has_port = authority.as_str().len() > authority.host().len();
        if has_port && authority.port_u16().is_none_or(|port| port == 0) {
            return Err(format!("`{url}` has no usable port: it goes from 1 to 65535"));
        }
        let port = authority.port_u16().unwrap_or(80);
        let base_path = uri.path().trim_end_matches('/').to_owned();
        Ok(Self { address: format!("{}:{port}", authority.host()), base_path })
    }
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "http://{}{}", self.address, self.base_path)
    }
}

/// A setting that makes no sense.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{key}: {reason}")]
pub struct ConfigError {
    /// The key, as the file has it.
    pub key: String,
    /// What is wrong, and what was expected.
    pub reason: String,
}

impl ConfigError {
    /// What is wrong with a key.
    pub fn new(key: &str, reason: impl Into<String>) -> Self {
        Self { key: key.to_owned(), reason: reason.into() }
    }
}

impl From<policy::SettingsError> for ConfigError {
    fn from(error: policy::SettingsError) -> Self {
        Self::new("policy", error.to_string())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_backend_is_a_url() {
        let parsed = |url: &str| Origin::parse(url).map(|origin| (origin.address, origin.base_path));
        assert_eq!(parsed("http://127.0.0.1:8081"), Ok(("127.0.0.1:8081".to_owned(), String::new())));
        assert_eq!(parsed("http://[::1]:8081/"), Ok(("[::1]:8081".to_owned(), String::new())));
        assert_eq!(parsed("http://app/v1/"), Ok(("app:80".to_owned(), "/v1".to_owned())));
        for (url, reason) in [
            ("127.0.0.1:8081", "does not begin with http://"),
            ("localhost", "does not begin with http://"),
            ("https://a", "TLS to backends is not supported"),
            ("http://", "is not a URL"),
            ("http://a:0", "has no usable port"),
            ("http://a:99999", "has no usable port"),
            ("http://u@a", "has a user name"),
            ("http://a?x", "has a query"),
            ("http://a#x", "has a query or a fragment"),
        ] {
            let error = parsed(url).expect_err(url);
            assert!(error.contains(reason), "{url}: {error}");
        }
    }

    #[test]
    fn threads_share_what_one_balancer_may() {
        let mut config = Config::new(vec![Backend { origin: Origin::parse("http://a").unwrap(), weight: 1 }]);
        config.policy.in_flight_max = Some(5);
        assert_eq!(config.part_of(1), config);
        let part = config.part_of(3);
        assert_eq!((part.limits.connections_max, part.limits.in_flight_max, part.limits.pool_max), (3_334, 3_334, 22));
        assert_eq!((part.policy.in_flight_max, part.retries.budget.floor_per_second), (Some(2), 4));
        assert_eq!(config.part_of(100_000).limits.connections_max, 1);
    }

    #[test]
    fn what_makes_no_sense_is_named() {
        let origin = Origin::parse("http://a").unwrap();
        let backend = Backend { origin, weight: 1 };
        let refused = |change: &dyn Fn(&mut Config)| {
            let mut config = Config::new(vec![backend.clone()]);
            config.validate().expect("the defaults make sense");
            change(&mut config);
            config.validate().expect_err("it makes no sense").to_string()
        };
        assert!(refused(&|c| c.backends.clear()).contains("backends: there is none"));
        assert!(refused(&|c| c.backends.push(backend.clone())).contains("http://a:80 is there twice"));
        assert!(refused(&|c| c.backends[0].weight = 0).contains("weight 0"));
        assert!(refused(&|c| c.timeouts.answer = Duration::ZERO).contains("timeouts.answer: it must be more"));
        assert!(
            refused(&|c| c.checks = Some(Checks { path: "x".to_owned(), ..Checks::default() })).contains("`x` is not")
        );
        assert!(refused(&|c| c.limits.headers_max = 0).contains("limits.headers_max: it must be more"));
        assert!(refused(&|c| c.limits.answer_headers_max = 0).contains("limits.answer_headers_max: it must be more"));
        assert!(
            refused(&|c| c.limits.answer_head_bytes_max = 9).contains("answer_head_bytes_max: it must be at least")
        );
        assert!(refused(&|c| c.timeouts.upload = Duration::ZERO).contains("timeouts.upload: it must be more"));
    }
}
