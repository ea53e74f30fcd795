//! The bodies of requests: when they are sent, who waits for whom, and what is said before they have come.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use super::{Request, Seen};
use crate::balancer::config::Config;
use crate::sim::Breach;

/// A request that is on its way.
#[derive(Default)]
struct Sent {
    seen: Seen,
    upgrade: Option<String>,
    /// The backend has told the client to go on.
    is_continued: bool,
    /// What the backend has answered before it had the body, and whether the client waited to be told to send it.
    early: Option<(u16, bool)>,
    /// Its client is not done with the body.
    is_uploading: bool,
}

/// All of them.
pub(super) struct Bodies {
    /// How long a backend may take to say 100.
    expect: Duration,
    sent: BTreeMap<String, Sent>,
    /// Requests that the balancer has handed to each backend, and not got back.
    asked: BTreeMap<String, u64>,
    /// Of those the ones that each backend has begun to take and has not all of.
    taking: BTreeMap<String, BTreeSet<String>>,
}

impl Bodies {
    pub(super) fn new(config: &Config) -> Self {
        let expect = config.timeouts.expect;
        Self { expect, sent: BTreeMap::new(), asked: BTreeMap::new(), taking: BTreeMap::new() }
    }

    pub(super) fn configure(&mut self, config: &Config) {
        self.expect = self.expect.min(config.timeouts.expect);
    }

    /// The balancer's process is a new one.
    pub(super) fn forget(&mut self) {
        self.asked.clear();
        self.taking.clear();
    }

    pub(super) fn sent(&mut self, seen: Seen, request: &Request) {
        self.sent.insert(request.id.clone(), Sent { seen, upgrade: request.upgrade.clone(), ..Sent::default() });
    }

    pub(super) fn picked(&mut self, backend: &str) {
        *self.asked.entry(backend.to_owned()).or_default() += 1;
    }

    /// A backend is done with a request: whether all that it had were uploads whose clients were not done.
    pub(super) fn finished(&mut self, backend: &str) -> bool {
        let asked = self.asked.entry(backend.to_owned()).or_default();
        let is_uploading = |id: &&String| self.sent.get(*id).is_some_and(|sent| sent.is_uploading);
        let uploads = self.taking.get(backend).map_or(0, |taking| taking.iter().filter(is_uploading).count() as u64);
        let are_all = *asked > 0 && uploads >= *asked;
        *asked = asked.saturating_sub(1);
        are_all
    }

    pub(super) fn takes(&mut self, backend: &str, id: &str) {
        self.taking.entry(backend.to_owned()).or_default().insert(id.to_owned());
    }

    pub(super) fn has_taken(&mut self, backend: &str, id: &str) {
        if let Some(taking) = self.taking.get_mut(backend) {
            taking.remove(id);
        }
    }

    fn with(&mut self, id: &str, tell: impl FnOnce(&mut Sent)) {
        if let Some(sent) = self.sent.get_mut(id) {
            tell(sent);
        }
    }

    pub(super) fn uploads(&mut self, id: &str, begins: bool) {
        self.with(id, |sent| sent.is_uploading = begins);
    }

    pub(super) fn continues(&mut self, id: &str) {
        self.with(id, |sent| sent.is_continued = true);
    }

    pub(super) fn answers_early(&mut self, id: &str, status: u16, is_unseen: bool) {
        self.with(id, |sent| sent.early = Some((status, is_unseen)));
    }

    pub(super) fn gets_body(&mut self, seen: Seen, backend: &str, id: &str) -> Option<Breach> {
        let (sent, (status, is_unseen)) = self.sent.get(id).and_then(|sent| Some((sent, sent.early?)))?;
        if !is_unseen {
            return None;
        }
        let text = format!("{backend} has answered {id} with {status} and not with 100, and gets the body");
        let breach = Breach::new("a body that nobody wants stays", text);
        let breach = breach.fact(sent.seen.0, sent.seen.1, format!("{id} is sent without its body"));
        Some(breach.fact(seen.0, seen.1, format!("{backend} gets something of it")))
    }

    pub(super) fn is_in_tunnel(&mut self, seen: Seen, backend: &str, id: &str, protocol: &str) -> Option<Breach> {
        let sent = self.sent.get(id)?;
        let asked = sent.upgrade.as_deref().unwrap_or_default();
        if asked.split(',').any(|asked| asked.trim().eq_ignore_ascii_case(protocol)) {
            return None;
        }
        let text = format!("{backend} speaks `{protocol}` with the client of {id}, which has asked for `{asked}`");
        let breach = Breach::new("a tunnel was asked for", text);
        let breach = breach.fact(sent.seen.0, sent.seen.1, format!("{id} is sent"));
        Some(breach.fact(seen.0, seen.1, format!("{backend} gets bytes that are no request")))
    }

    pub(super) fn heard(&mut self, seen: Seen, id: &str, status: u16) -> Option<Breach> {
        let sent = self.sent.get(id)?;
        let breach = |invariant: &str, text: String| {
            let breach = Breach::new(invariant, text).fact(sent.seen.0, sent.seen.1, format!("{id} is sent"));
            Some(breach.fact(seen.0, seen.1, format!("its client hears {status}")))
        };
        match sent.early {
            _ if status == 100 => {
                let is_right = sent.is_continued || sent.seen.0 + self.expect <= seen.0;
                let text = format!("{id} is told to go on, and no backend has said so");
                if is_right { None } else { breach("100 is the backend's to say", text) }
            }
            Some((early, _)) if early != status => {
                let text =
                    format!("{id} was answered with {early} before its body had come, and its client hears {status}");
                breach("an early answer reaches its client", text)
            }
            _ => None,
        }
    }
}
