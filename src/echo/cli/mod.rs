//! What the command lines of `tcp-echo` and `udp-echo` share.

mod screen;
mod told;

use std::ffi::OsString;
use std::future::Future;
use std::io;
use std::iter::{Cycle, Take};
use std::os::unix::ffi::OsStringExt;
use std::pin::pin;
use std::process::ExitCode;
use std::rc::Rc;
use std::time::Duration;

use bytes::Bytes;
use tokio::io::{BufReader, Stdin};
use tokio::task::JoinSet;

use super::client::{LinesFrom, Messages, Source};
use super::request::request;
use super::stats::Summary;
use super::{Event, tcp_client, udp_client};
use crate::events::Sink;
use crate::net::signals::shutdown_signal;
use crate::service::{Stdout, Teller, note, parse_address, parse_duration};
use crate::watched::{Receiver, Sender};

use screen::Screen;
pub use told::Told;

/// `send`: messages to a server, and what became of them.
#[derive(Clone, Debug, clap::Args)]
pub struct SendArgs {
    /// The server, as host:port
    #[arg(long, value_name = "ADDR", value_parser = parse_address)]
    pub to: String,
    /// What to send, one message each; lines of stdin without any
    #[arg(value_name = "MESSAGE")]
    pub messages: Vec<OsString>,
    /// Send messages that tell themselves apart instead: this name, a number from 0, and a checksum
    #[arg(long, value_name = "NAME", value_parser = parse_name, requires = "count", conflicts_with = "messages")]
    pub numbered: Option<String>,
    /// The bytes of a numbered message, at least
    #[arg(long, value_name = "BYTES", default_value_t = 0, requires = "numbered")]
    pub size: usize,
    /// Be so many clients at the same time; the names of their messages are NAME.1, NAME.2 and so on
    #[arg(long, value_name = "COUNT", requires = "numbered", value_parser = clap::value_parser!(u64).range(1..))]
    pub clients: Option<u64>,
    /// Tell what happens as lines of JSON on stdout, and print no answers; the exit code is 0 however many there are
    #[arg(long)]
    pub events: bool,
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

/// One of the clients that `send` is.
pub struct Client {
    /// What it sends.
    pub source: Input,
    /// Where it tells what it does.
    pub events: Sink<Event>,
    /// Becomes true when it is to stop.
    pub stop: Receiver<bool>,
}

impl Client {
    /// Resolves when it is to stop.
    pub async fn stopped(mut stop: Receiver<bool>) {
        _ = stop.wait_for(|is_over| *is_over).await;
    }
}

impl SendArgs {
    /// Is as many clients as it was asked for, until all are done or somebody says stop. `terminator` ends an answer, and
    /// is not in its payload.
    pub async fn send<F>(&self, terminator: &'static [u8], run: impl Fn(Client) -> F) -> io::Result<ExitCode>
    where
        F: Future<Output = io::Result<Summary>> + 'static,
    {
        let stdout = Rc::new(Stdout::default());
        let screen = Screen::new(&self.to, terminator, stdout.clone());
        let teller = self.events.then(|| Teller::new(stdout.clone()));
        let (stop, mut all) = (Sender::new(false), JoinSet::new());
        for number in 1..=self.clients.unwrap_or(1) {
            let number = self.clients.map(|_| number);
            let name = self.name(number);
            let source = self.source(name.clone());
            let events =
                teller.as_ref().map_or_else(|| screen.sink(), |teller| told::sink(teller.clone(), name, number));
            all.spawn_local(run(Client { source, events, stop: stop.subscribe() }));
        }
        let (mut signal, mut is_over, mut summary) = (pin!(shutdown_signal()?), false, Summary::default());
        loop {
            tokio::select! {
                biased;
                () = &mut signal, if !is_over => is_over = true,
                () = stdout.closed(), if !is_over => is_over = true,
                ended = all.join_next() => match ended {
                    Some(ended) => summary.join(&ended.map_err(io::Error::other)??),
                    None => break,
                },
            }
            stop.send_replace(is_over);
        }
        note(summary);
        Ok(ExitCode::from(u8::from(summary.unanswered() > 0 && !self.events)))
    }

    /// What a client's numbered messages begin with.
    fn name(&self, number: Option<u64>) -> Option<String> {
        let name = self.numbered.as_ref()?;
        Some(number.map_or_else(|| name.clone(), |number| format!("{name}.{number}")))
    }

    /// The messages, each with a newline at its end, as a person who types them ends them.
    fn source(&self, name: Option<String>) -> Input {
        let count = self.count.unwrap_or(u64::MAX);
        if let Some(name) = name {
            return Input::Numbered { name, next: 0, end: count, size: self.size };
        }
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
    /// Made here.
    Numbered {
        /// What each begins with.
        name: String,
        /// The number of the next.
        next: u64,
        /// The number of none.
        end: u64,
        /// The bytes of each, at least.
        size: usize,
    },
}

impl Source for Input {
    async fn next(&mut self) -> io::Result<Option<Bytes>> {
        match self {
            Self::Given(messages) => messages.next().await,
            Self::Numbered { name, next, end, size } => {
                let number = *next;
                *next += 1;
                Ok((number < *end).then(|| request(name, number, *size)))
            }
            Self::Stdin { left: 0, .. } => Ok(None),
            Self::Stdin { lines, left } => {
                let line = lines.next().await?;
                *left -= 1;
                Ok(line)
            }
        }
    }
}

/// Where a server tells what it does.
pub fn server_events(are_told: bool) -> Sink<Event> {
    if are_told { told::sink(Teller::default(), None, None) } else { Sink::none() }
}

/// Text as the bytes that it is.
pub fn parse_bytes(text: &str) -> Result<Bytes, std::convert::Infallible> {
    Ok(Bytes::copy_from_slice(text.as_bytes()))
}

/// What stands before the number of a message: no space nor newline, by which it ends.
fn parse_name(text: &str) -> Result<String, String> {
    if text.is_empty() || text.contains(char::is_whitespace) {
        return Err("a name is a word without spaces".to_owned());
    }
    Ok(text.to_owned())
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
