//! What a client does, for a person who looks at it.

use std::io;
use std::rc::Rc;

use super::super::stats::Milliseconds;
use super::super::{Disconnected, Event};
use crate::events::Sink;
use crate::service::{Stdout, note};

/// Prints what a client does: answers to stdout, as they came; the rest to stderr.
pub(super) struct Screen(Rc<State>);

struct State {
    to: String,
    /// What ends an answer and is not in its payload.
    terminator: &'static [u8],
    stdout: Rc<Stdout>,
}

impl Screen {
    /// For a client of the server at `to`; `terminator` is printed behind each answer.
    pub(super) fn new(to: &str, terminator: &'static [u8], stdout: Rc<Stdout>) -> Self {
        Self(Rc::new(State { to: to.to_owned(), terminator, stdout }))
    }

    /// Where the client tells what it does.
    pub(super) fn sink(&self) -> Sink<Event> {
        let state = Rc::clone(&self.0);
        Sink::new(move |event| state.print(event))
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
