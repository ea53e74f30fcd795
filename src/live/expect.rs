//! What became of a script's expectations.

use crate::script::Comparison;
use crate::sim::{Breach, Finding};

use super::http::Answer;
use super::plan::{Expectation, HostPlan, Pattern};

/// How a program came to its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Exit {
    Code(i32),
    Signal(i32),
}

impl Exit {
    /// `exited with code 1`
    pub(super) fn words(self) -> String {
        match self {
            Self::Code(code) => format!("exited with code {code}"),
            Self::Signal(signal) => format!("was ended by signal {signal}"),
        }
    }

    fn is_within(self, bound: Comparison) -> bool {
        // As a shell has it.
        let code = match self {
            Self::Code(code) => code,
            Self::Signal(signal) => 128 + signal,
        };
        u64::try_from(code).is_ok_and(|code| bound.holds(code))
    }
}

/// An expectation and what has come of it so far.
pub(super) struct Expected {
    pub(super) what: Expectation,
    /// Lines that match.
    pub(super) lines: u64,
    /// What came back, if it was asked for.
    pub(super) answer: Option<Result<Answer, String>>,
    pub(super) is_asked: bool,
}

impl Expected {
    pub(super) fn new(what: Expectation) -> Self {
        Self { what, lines: 0, answer: None, is_asked: false }
    }

    /// A host has printed a line.
    pub(super) fn line(&mut self, of: usize, line: &str) {
        if let Expectation::Lines { host, pattern, .. } = &self.what
            && *host == of
            && pattern.regex.is_match(line.as_bytes())
        {
            self.lines += 1;
        }
    }

    /// What is broken, now that all is over: `exits` has how each host's program ended by itself.
    pub(super) fn breach(&self, hosts: &[HostPlan], exits: &[Option<Exit>]) -> Option<Breach> {
        let breach = |message: String| Some(Breach::new(Finding::EXPECTATION, message));
        match &self.what {
            Expectation::Exit { host, bound } => {
                let name = &hosts[*host].name;
                match exits[*host] {
                    Some(exit) if exit.is_within(*bound) => None,
                    Some(Exit::Code(code)) => breach(format!("the exit code of {name} is {code}, expected {bound}")),
                    Some(exit) => {
                        breach(format!("the exit code of {name} is none: it {}, expected {bound}", exit.words()))
                    }
                    None => {
                        breach(format!("the exit code of {name} is none: it did not end by itself, expected {bound}"))
                    }
                }
            }
            Expectation::Lines { host, pattern, bound } => {
                let (name, lines) = (&hosts[*host].name, self.lines);
                let message =
                    || format!("the number of lines of {name} like `{}` is {lines}, expected {bound}", pattern.text);
                if bound.holds(lines) { None } else { breach(message()) }
            }
            Expectation::Probe { url, status, body, .. } => match &self.answer {
                None => breach(format!("the answer of {url} is missing: it was not asked for in time")),
                Some(Err(error)) => breach(format!("the answer of {url} is none ({error}), expected status {status}")),
                Some(Ok(answer)) => answered(answer, *status, body.as_ref()).and_then(|(found, expected)| {
                    breach(format!("the answer of {url} is {found}, expected {expected}"))
                }),
            },
        }
    }
}

/// What is wrong with an answer, and what was expected.
fn answered(answer: &Answer, status: Comparison, body: Option<&Pattern>) -> Option<(String, String)> {
    if !status.holds(answer.status.into()) {
        return Some((format!("status {}", answer.status), status.to_string()));
    }
    let pattern = body.filter(|pattern| !pattern.regex.is_match(answer.body.as_bytes()))?;
    let shown: String = answer.body.chars().take(80).collect();
    Some((format!("{:?}", shown.trim_end()), format!("`{}` in it", pattern.text)))
}
