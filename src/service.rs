//! What the command lines of the services on real sockets share.
//!
//! Data goes to stdout, everything about it to stderr, and neither being closed is an error worth a panic.

use std::cell::Cell;
use std::fmt::Display;
use std::future::Future;
use std::io::{self, Write};
use std::process::ExitCode;
use std::rc::Rc;
use std::time::Duration;

use serde::Serialize;
use tokio::sync::Notify;
use tracing::level_filters::LevelFilter;

use crate::events::{Line, Value};
use crate::net::real;

/// The longest duration that a command line takes.
const DURATION_MAX: Duration = Duration::from_hours(365 * 24);

/// Runs a service to its end, which is the process's: an error is told on stderr, and its exit code is 1.
pub fn run(service: impl Future<Output = io::Result<ExitCode>>) -> ExitCode {
    real::run(service).flatten().unwrap_or_else(|error| {
        note(format_args!("error: {error}"));
        ExitCode::FAILURE
    })
}

/// Sends log lines up to this level to stderr.
pub fn log_to_stderr(level: LevelFilter) {
    tracing_subscriber::fmt().with_writer(io::stderr).with_max_level(level).init();
}

/// Tells on stdout where a service listens; with port 0 nobody could know otherwise.
pub fn announce(addr: impl Display) {
    Stdout::default().print_line(format_args!("listening on {addr}"));
}

/// Reads an address of a command line, `host:port`: what is wrong with another is told before anything begins.
pub fn parse_address(text: &str) -> Result<String, String> {
    let form = "write it as host:port, like 127.0.0.1:8080";
    host_and_port(text).map(|_| text.to_owned()).ok_or_else(|| form.to_owned())
}

/// The two parts of `host:port`; an IPv6 address stands in brackets.
pub fn host_and_port(text: &str) -> Option<(&str, u16)> {
    let (host, port) = text.rsplit_once(':')?;
    let is_bare_ipv6 = host.contains(':') && !(host.starts_with('[') && host.ends_with(']'));
    let is_host = !host.is_empty() && !is_bare_ipv6 && !host.contains(char::is_whitespace);
    port.parse().ok().filter(|_| is_host).map(|port| (host, port))
}

/// Prints a line to stderr, if there is one.
pub fn note(text: impl Display) {
    _ = writeln!(io::stderr(), "{text}");
}

/// Prints a line to stderr behind the time at which it is said, in UTC.
pub fn log(text: impl Display) {
    note(format_args!("{} {text}", humantime::format_rfc3339_millis(wall_clock())));
}

/// The time since 1970, for what is told of a service.
pub fn since_1970() -> Duration {
    wall_clock().duration_since(std::time::UNIX_EPOCH).unwrap_or_default()
}

#[allow(clippy::disallowed_types, reason = "a person reads the times; nothing that a service does depends on them")]
fn wall_clock() -> std::time::SystemTime {
    std::time::SystemTime::now()
}

/// Stdout until nobody reads it any more.
#[derive(Debug, Default)]
pub struct Stdout {
    is_closed: Cell<bool>,
    closing: Notify,
}

impl Stdout {
    /// Prints a line.
    pub fn print_line(&self, text: impl Display) {
        self.write(|stdout| writeln!(stdout, "{text}"));
    }

    /// Prints these bytes, one slice behind the other.
    pub fn print_bytes(&self, slices: &[&[u8]]) {
        self.write(|stdout| slices.iter().try_for_each(|bytes| stdout.write_all(bytes)));
    }

    /// Resolves, for one who waits, when nobody reads stdout any more.
    pub async fn closed(&self) {
        self.closing.notified().await;
    }

    fn write(&self, write: impl FnOnce(&mut io::StdoutLock<'_>) -> io::Result<()>) {
        if self.is_closed.get() {
            return;
        }
        let mut stdout = io::stdout().lock();
        if write(&mut stdout).and_then(|()| stdout.flush()).is_err() {
            self.is_closed.set(true);
            self.closing.notify_one();
        }
    }
}

/// Tells events on stdout, a [`Line`] each.
#[derive(Clone, Debug, Default)]
pub struct Teller {
    stdout: Rc<Stdout>,
    last_ns: Rc<Cell<u64>>,
}

impl Teller {
    /// Prints there.
    pub fn new(stdout: Rc<Stdout>) -> Self {
        Self { stdout, last_ns: Rc::default() }
    }

    /// Tells an event with its fields, and what checks go by.
    pub fn tell<F: Serialize>(
        &self,
        event: &str,
        fields: impl IntoIterator<Item = (&'static str, Value)>,
        fact: Option<F>,
    ) {
        let now_ns = u64::try_from(since_1970().as_nanos()).unwrap_or(u64::MAX);
        self.last_ns.set(self.last_ns.get().max(now_ns));
        let line = Line { fact, ..Line::named(self.last_ns.get(), event, fields) };
        serde_json::to_string(&line).into_iter().for_each(|line| self.stdout.print_line(line));
    }
}

/// A duration as `500ms`, `5s` or `1m 30s`: more than zero and at most a year.
pub fn parse_duration(text: &str) -> Result<Duration, String> {
    let duration = humantime::parse_duration(text).map_err(|error| format!("{error}; write it as 500ms, 5s or 2m"))?;
    if duration.is_zero() || duration > DURATION_MAX {
        return Err("a duration is more than zero and at most a year".to_owned());
    }
    Ok(duration)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_read_as_people_write_them() {
        assert_eq!(parse_duration("500ms"), Ok(Duration::from_millis(500)));
        assert_eq!(parse_duration("1m 30s"), Ok(Duration::from_secs(90)));
        for bad in ["0s", "5", "-1s", "2y", "soon"] {
            assert!(parse_duration(bad).is_err(), "{bad}");
        }
    }
}
