//! What a script may expect of how many requests are answered.

use std::time::Duration;

use serde::Deserialize;

use crate::check::echo::EchoCheck;
use crate::sim::Breach;

/// The keys of `[expect]` that are of this system.
#[derive(Clone, Copy, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Expect {
    pub(super) answered: Option<Share>,
}

/// How many of the requests must be answered in the end.
#[derive(Clone, Copy, Debug, Default, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Share {
    /// Each of them: what clients that try again may expect of a network that heals.
    #[default]
    All,
    /// At least one.
    Some,
    /// Not a single one.
    None,
}

/// A run that is over.
#[derive(Clone, Copy, Debug)]
pub(super) struct Over {
    pub(super) requests: u64,
    pub(super) answers: u64,
    /// Whether the end came upon clients in the middle of their work.
    pub(super) is_cut_off: bool,
    /// Since when the testbed had broken nothing any more.
    pub(super) healed: Option<Duration>,
    /// For how long a client tries a request.
    pub(super) tried_for: Duration,
}

/// What comes of an expectation that is not met.
pub(super) enum Unmet {
    Breach(Breach),
    /// It is none of the clients' making.
    Note(String),
}

impl Expect {
    pub(super) fn unmet(self, over: &Over, check: &EchoCheck) -> Option<Unmet> {
        let Over { requests, answers, .. } = over;
        let breach = |invariant, message| Some(Unmet::Breach(Breach::new(invariant, message)));
        match self.answered.unwrap_or_default() {
            Share::All if !over.is_cut_off => self.unserved(over, check),
            Share::Some if *answers == 0 => {
                breach("a client is served", format!("none of {requests} requests was answered"))
            }
            Share::None if *answers > 0 => {
                breach("no client is served", format!("{answers} of {requests} requests were answered"))
            }
            Share::All | Share::Some | Share::None => None,
        }
    }

    /// A client of whose requests one was not answered.
    fn unserved(self, over: &Over, check: &EchoCheck) -> Option<Unmet> {
        let (client, sent, answered) = check.totals().find(|(_, sent, answered)| sent != answered)?;
        let mut text = format!("{client} sent {sent} requests and got {answered} answered");
        if self.answered.is_none() {
            if over.healed.is_none_or(|healed| healed >= over.tried_for) {
                let why = "what was broken stayed so for longer than a request is tried";
                return Some(Unmet::Note(format!("that every client is served is not checked: {why}; {text}")));
            }
            text += "; all are expected unless the script says another `answered` in [expect], such as \"some\"";
        }
        Some(Unmet::Breach(Breach::new("every client is served", text)))
    }
}
