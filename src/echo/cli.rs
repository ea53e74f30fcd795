//! What the command lines of `tcp-echo` and `udp-echo` share.

use std::ffi::OsString;
use std::future::Future;
use std::io;
use std::iter::{Cycle, Take};
use std::os::unix::ffi::OsStringExt;
use std::process::ExitCode;
use std::rc::Rc;
use std::time::Duration;

use bytes::Bytes;
use tokio::io::{BufReader, Stdin};

use super::client::{LinesFrom, Messages, Source};
use super::stats::{Milliseconds, Summary};
use super::{Disconnected, Event, tcp_client, udp_client};
use crate::events::Sink;
use crate::service::{Stdout, note, parse_address, parse_duration};

/// `send`: messages to a server, and what became of them.
#[derive(Clone, Debug, clap::Args)]
pub struct SendArgs {
    /// The server, as host:port
    #[arg(long, value_name = "ADDR", value_parser = parse_address)]
    pub to: String,
    /// What to send, one message each; lines of stdin without any
    #[arg(value_name = "MESSAGE")]
    pub messages: Vec<OsString>,
    /// Send this many messages, going round through those given
    #[arg(long, value_parser = clap::value_parser!(u64).range(1..))]
    pub count: Option<u64>,
    /// Messages per second; as fast as answers come in without it
    #[arg(long, value_parser = parse_rate)]
    pub rate: Option<f64>,
    /// How long to wait for an answer [default: 5s over TCP, 1s over UDP]
    #[arg(long, value_name = "DURATION", value_parser = parse_duration)]
    pub timeout: Option<Duration>,
    /// How often to try a message again [default: 0 over TCP, 2 over UDP, of which none follows a refusal]
    #[arg(long, value_name = "COUNT")]
    pub retries: Option<u32>,
    /// Messages that may wait for their answers at the same time
    #[arg(long, value_name = "COUNT", default_value_t = 1, value_parser = parse_pipeline)]
    pub pipeline: usize,
}

impl SendArgs {
    /// The messages, each with a newline at its end, as a person who types them ends them.
    pub fn source(&self) -> Input {
        let count = self.count.unwrap_or(u64::MAX);
        if self.messages.is_empty() {
            return Input::Stdin { lines: LinesFrom::new(BufReader::new(tokio::io::stdin())), left: count };
        }
        let messages: Vec<Bytes> = self.messages.iter().map(|text| with_newline(text.clone().into_vec())).collect();
        let total = self.count.map_or(messages.len(), |count| usize::try_from(count).unwrap_or(usize::MAX));
        Input::Given(Messages(messages.into_iter().cycle().take(total)))
    }

    /// What was asked for, over TCP.
    pub fn tcp(&self) -> tcp_client::Options {
        let defaults = tcp_client::Options::default();
        let timeout = self.timeout.unwrap_or(defaults.timeout);
        tcp_client::Options {
            pipeline: self.pipeline,
            rate: self.rate,
            timeout,
            connect_timeout: timeout,
            retries: self.retries.unwrap_or(defaults.retries),
            ..defaults
        }
    }

    /// What was asked for, over UDP.
    pub fn udp(&self) -> udp_client::Options {
        let defaults = udp_client::Options::default();
        udp_client::Options {
            pipeline: self.pipeline,
            rate: self.rate,
            timeout: self.timeout.unwrap_or(defaults.timeout),
            retries: self.retries.unwrap_or(defaults.retries),
            // Who asks for tries wants them: somebody may begin to listen.
            refusal_is_final: self.retries.is_none(),
        }
    }
}

fn with_newline(mut text: Vec<u8>) -> Bytes {
    text.push(b'\n');
    text.into()
}

/// Where `send` takes its messages from.
pub enum Input {
    /// From the command line.
    Given(Messages<Take<Cycle<std::vec::IntoIter<Bytes>>>>),
    /// From stdin, at most `left` of them.
    Stdin {
        /// The lines.
        lines: LinesFrom<BufReader<Stdin>>,
        /// How many are still to be taken.
        left: u64,
    },
}

impl Source for Input {
    async fn next(&mut self) -> io::Result<Option<Bytes>> {
        match self {
            Self::Given(messages) => messages.next().await,
            Self::Stdin { left: 0, .. } => Ok(None),
            Self::Stdin { lines, left } => {
                let line = lines.next().await?;
                *left -= 1;
                Ok(line)
            }
        }
    }
}

/// Prints what a client does: answers to stdout, as they came; the rest to stderr.
#[derive(Clone)]
pub struct Screen(Rc<State>);

struct State {
    to: String,
    /// What ends an answer and is not in its payload.
    terminator: &'static [u8],
    stdout: Stdout,
}

impl Screen {
    /// For a client of the server at `to`; `terminator` is printed behind each answer.
    pub fn new(to: &str, terminator: &'static [u8]) -> Self {
        Self(Rc::new(State { to: to.to_owned(), terminator, stdout: Stdout::default() }))
    }

    /// Where the client tells what it does.
    pub fn sink(&self) -> Sink<Event> {
        let state = Rc::clone(&self.0);
        Sink::new(move |event| state.print(event))
    }

    /// Resolves at `signal`, or when nobody reads stdout any more.
    pub async fn stop(&self, signal: impl Future<Output = ()>) {
        tokio::select! {
            biased;
            () = signal => {}
            () = self.0.stdout.closed() => {}
        }
    }
}

impl State {
    fn print(&self, event: &Event) {
        let to = &self.to;
        match event {
            Event::Answered { id, rtt, payload } => {
                self.stdout.print_bytes(&[payload, self.terminator]);
                let bytes = payload.len() + self.terminator.len();
                note(format_args!("{bytes} bytes from {to}: seq={id} time={} ms", Milliseconds(*rtt)));
            }
            Event::ConnectFailed { why } => {
                let advice = match why {
                    io::ErrorKind::ConnectionRefused => ": is a server listening there?",
                    io::ErrorKind::InvalidInput => ": write it as host:port, like 127.0.0.1:8080",
                    io::ErrorKind::NotFound => {
                        return note(format_args!("cannot connect to {to}: no host of that name is known"));
                    }
                    _ => "",
                };
                note(format_args!("cannot connect to {to}: {why}{advice}"));
            }
            Event::Disconnected { why } if !matches!(why, Disconnected::Done | Disconnected::Eof) => {
                note(format_args!("the connection to {to} is over: {why}"));
            }
            Event::Retry { id, attempt } => note(format_args!("seq={id}: no answer, attempt {attempt} follows")),
            Event::GaveUp { id } => note(format_args!("seq={id}: no answer, given up")),
            Event::Duplicate { id, .. } => note(format_args!("seq={id}: answered once more")),
            Event::Late { id, .. } => note(format_args!("seq={id}: answered after it was given up")),
            Event::Mismatch { payload, .. } => note(format_args!("{to} answered something else: {}", excerpt(payload))),
            Event::Foreign { from, bytes } => note(format_args!("{bytes} bytes from {from}, who was not asked")),
            Event::SocketError { why: io::ErrorKind::ConnectionRefused } => {
                note(format_args!("{to} refuses datagrams: is a server listening there?"));
            }
            Event::SocketError { why } => note(format_args!("the socket failed: {why}")),
            Event::Oversize { bytes, .. } => note(format_args!(
                "a message of {bytes} bytes is more than a datagram carries: at most {} bytes",
                crate::net::DATAGRAM_BYTES_MAX
            )),
            _ => {}
        }
    }
}

/// The beginning of what was received, fit to be shown.
fn excerpt(payload: &[u8]) -> String {
    const BYTES_MAX: usize = 100;
    let dots = if payload.len() > BYTES_MAX { "…" } else { "" };
    format!("\"{}\"{dots}", payload[..payload.len().min(BYTES_MAX)].escape_ascii())
}

/// Prints the statistics; success if every message was answered, otherwise 1.
pub fn finish(summary: &Summary) -> ExitCode {
    note(summary);
    ExitCode::from(u8::from(summary.unanswered() > 0))
}

/// Text as the bytes that it is.
pub fn parse_bytes(text: &str) -> Result<Bytes, std::convert::Infallible> {
    Ok(Bytes::copy_from_slice(text.as_bytes()))
}

fn parse_rate(text: &str) -> Result<f64, String> {
    match text.parse::<f64>() {
        Ok(rate) if rate > 0.0 && rate.is_finite() => Ok(rate),
        _ => Err("a rate is a number of messages per second above zero, as 10 or 0.5".to_owned()),
    }
}

fn parse_pipeline(text: &str) -> Result<usize, String> {
    match text.parse() {
        Ok(count) if count > 0 => Ok(count),
        _ => Err("a count of at least 1".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rates_and_pipelines_are_above_zero() {
        assert_eq!(parse_rate("0.5"), Ok(0.5));
        assert_eq!(parse_pipeline("8"), Ok(8));
        for bad in ["0", "-1", "NaN", "inf", "x"] {
            assert!(parse_rate(bad).is_err() && parse_pipeline(bad).is_err(), "{bad}");
        }
    }
}
