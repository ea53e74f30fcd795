//! What a load balancer promises.
//!
//! Every request has an id that backends execute it under and that comes back with the answer, and every body says whose
//! it is. Then, at every event:
//!
//! | invariant | holds |
//! |---|---|
//! | a POST runs at most once | no request that is not idempotent is executed twice, wherever |
//! | an answer belongs to its request | its id, its backend and its body are those of one execution, whole |
//! | a request arrives as it was sent | a backend executes what a client sent, with the body it sent |
//! | every request is answered | by the deadline, with an answer or a clean error, as long as the balancer runs and the client's own link is well |
//! | nothing is lost that could be served | a GET gets no error of the balancer's own while a backend serves all that it is given, unless the retry budget is spent; a POST gets no 502 as long as nothing was wrong with any backend |
//! | who is blamed has failed | a request counts against a backend only if something was wrong with that; too slow is another matter |
//! | a retry has a cause | requests are tried again no more often than backends have failed: a kept connection that turns out closed is no failure |
//! | who is slow is blamed | a backend that has nothing but unfinished uploads is not too slow: their clients are |
//! | an early answer reaches its client | what a backend answers before it has a request's body is what the client gets |
//! | a body that nobody wants stays | a client that waits for 100 sends nothing to a backend that has answered instead |
//! | 100 is the backend's to say | a client hears it when its backend has said it, or has said nothing for as long as is waited |
//! | a tunnel was asked for | bytes go through as they are only after a request for that very protocol |
//! | who is avoided is not asked | but for panic, and for one request at a time to see how it is |
//! | somebody is always asked | a request is handed to a backend, where panic allows it, however many are down |
//! | an ejection ends in time | a backend is probed when its time is over |
//! | a drain takes nothing on | a balancer that is asked to end takes no request on but what is under way by then |
//! | what is of one hop stays there | headers that a message names in `Connection` do not come out at the other side |
//! | round robin is exact | between changes of who is asked, the counts of backends of one weight differ by at most one |
//! | a slow start is slow | a backend that has come back is asked no more often than its share allows, as far as that has grown |
//! | retries stay within the budget | over every window that ends with a retry |
//! | nothing leaks | when nobody asks any more, nothing is in flight and no connection is open, but to a client whose reset was lost, for as long as connections are kept |
//! | service comes back | once nothing is disturbed, the share of successes and the 99th percentile are what they were |
//!
//! The check takes its facts from what clients, backends and the balancer tell, and from packets: [`requests`],
//! [`rotation`], [`starts`], [`retries`], [`causes`], [`recovery`], and [`bodies`] for those of requests.

mod bodies;
mod causes;
mod recovery;
mod requests;
mod retries;
mod rotation;
mod starts;

use std::fmt;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use xxhash_rust::xxh3::xxh3_64;

use crate::balancer::config::Config;
use crate::balancer::event::Event;
use crate::balancer::policy::{self, BackendId, Failure, Outcome};
use crate::sim::Breach;
use crate::sim::trace::Record;

use bodies::Bodies;
use causes::Causes;
pub use recovery::Phase;
use recovery::Recovery;
use requests::Requests;
use retries::Retries;
use rotation::Rotation;

/// How long after a drain began a request may come that was under way by then.
const UNDER_WAY: Duration = Duration::from_millis(500);

/// When and in which record something was seen.
pub type Seen = (Duration, u64);

/// A request, as its client knows it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Request {
    /// The host of the client.
    pub client: String,
    /// Its id, of its own in the run.
    pub id: String,
    /// Whether it must not be executed twice.
    pub is_post: bool,
    /// The [`digest`] of its body; none: nobody knows it.
    pub body: Option<u64>,
    /// The protocol that it asks to switch to, as a request can that may.
    pub upgrade: Option<String>,
}

/// How a request ended for its client.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum End {
    /// With a whole answer.
    Answered {
        /// Its status.
        status: u16,
        /// The backend that it is from; none: the balancer's own.
        backend: Option<String>,
        /// Whether id and body are those of this request.
        is_mine: bool,
    },
    /// With an answer whose body ended early, as the client could see.
    Cut {
        /// Its status.
        status: u16,
    },
    /// The connection ended without an answer.
    Broken,
    /// No connection to the balancer came about.
    Unreachable,
    /// There was none by the deadline.
    TimedOut,
}

impl End {
    /// Whether the client has what it asked for.
    pub fn is_success(&self) -> bool {
        matches!(self, Self::Answered { status: 200..=299, .. })
    }

    /// The backend that answered.
    pub fn backend(&self) -> Option<&str> {
        match self {
            Self::Answered { backend, .. } => backend.as_deref(),
            _ => None,
        }
    }

    /// All that [`counter`](Self::counter) can be.
    pub const COUNTERS: [&str; 9] = [
        "lost with 500",
        "lost with 502",
        "lost with 503",
        "lost with 504",
        "lost with another status",
        "lost, cut short",
        "lost, connection ended",
        "lost, balancer unreachable",
        "lost, timed out",
    ];

    /// The counter for requests that are lost like this.
    pub fn counter(&self) -> &'static str {
        match self {
            Self::Answered { status: 500, .. } => "lost with 500",
            Self::Answered { status: 502, .. } => "lost with 502",
            Self::Answered { status: 503, .. } => "lost with 503",
            Self::Answered { status: 504, .. } => "lost with 504",
            Self::Answered { .. } => "lost with another status",
            Self::Cut { .. } => "lost, cut short",
            Self::Broken => "lost, connection ended",
            Self::Unreachable => "lost, balancer unreachable",
            Self::TimedOut => "lost, timed out",
        }
    }
}

impl fmt::Display for End {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Answered { status, .. } => write!(f, "{status}"),
            Self::Cut { status } => write!(f, "{status}, cut short"),
            Self::Broken => f.write_str("connection ended"),
            Self::Unreachable => f.write_str("unreachable"),
            Self::TimedOut => f.write_str("timed out"),
        }
    }
}

/// A body that says whose it is: at least `size` bytes, each part of which depends on all of it.
pub fn content(id: &str, author: &str, size: usize) -> Vec<u8> {
    let head = format!("{id} {author} ");
    let filling = format!("{:016x}", xxh3_64(head.as_bytes()));
    let room = size.saturating_sub(head.len()).max(filling.len());
    head.bytes().chain(filling.bytes().cycle().take(room)).collect()
}

/// What stands for a body in a comparison.
pub fn digest(body: &[u8]) -> u64 {
    xxh3_64(body)
}

/// Watches one run.
pub struct BalancerCheck {
    requests: Requests,
    rotation: Rotation,
    retries: Retries,
    recovery: Recovery,
    causes: Causes,
    bodies: Bodies,
    /// Clients' connections that the balancer's process has open.
    connections: u64,
    /// Requests that it has handed to backends, and not got back.
    at_backends: u64,
    /// A request that it has taken on and not yet handed to anybody.
    unplaced: Option<Seen>,
    /// Since when it has been asked to end.
    draining: Option<Seen>,
    /// Whether there is somebody to ask however many are down.
    has_panic: bool,
}

impl BalancerCheck {
    /// A check of a balancer with these settings, whose clients wait for so long.
    pub fn new(config: &Config, deadline: Duration) -> Self {
        Self {
            requests: Requests::new(config, deadline),
            rotation: Rotation::new(config, Duration::ZERO),
            retries: Retries::new(config),
            recovery: Recovery::default(),
            causes: Causes::default(),
            bodies: Bodies::new(config),
            connections: 0,
            at_backends: 0,
            unplaced: None,
            draining: None,
            has_panic: false,
        }
    }

    /// The balancer's process starts, and knows nothing of what was before.
    pub fn balancer_started(&mut self, config: &Config, seen: Seen) {
        self.reloaded(config);
        self.rotation = Rotation::new(config, seen.0);
        (self.unplaced, self.draining) = (None, None);
        self.requests.balancer_up(seen.0);
        (self.connections, self.at_backends) = (0, 0);
        self.bodies.forget();
    }

    /// The balancer is told other settings.
    pub fn reloaded(&mut self, config: &Config) {
        self.requests.configure(config);
        self.has_panic = config.policy.panic_percent > 0 && config.policy.in_flight_max.is_none();
        self.rotation.configure(config);
        self.bodies.configure(config);
        self.retries = Retries::new(config);
    }

    /// The balancer's event; `name` is that of a backend's host.
    pub fn balancer(&mut self, seen: Seen, event: &Event, name: &dyn Fn(BackendId) -> String) -> Option<Breach> {
        if !matches!(event, Event::Policy { .. } | Event::Picked { .. })
            && let Some(began) = self.unplaced.take().filter(|_| self.has_panic)
        {
            let breach =
                Breach::new("somebody is always asked", "a request is handed to nobody, though all may be asked");
            return Some(breach.fact(began.0, began.1, "the balancer takes a request on"));
        }
        match event {
            Event::Accepted => self.connections += 1,
            Event::Closed => self.connections = self.connections.saturating_sub(1),
            Event::Began => {
                self.unplaced = Some(seen);
                self.retries.request(seen.0);
                if let Some(draining) = self.draining.filter(|(at, _)| *at + UNDER_WAY < seen.0) {
                    let breach =
                        Breach::new("a drain takes nothing on", "a request is taken on long after the drain began");
                    return Some(breach.fact(draining.0, draining.1, "the balancer is asked to end"));
                }
            }
            Event::Retried => return self.retries.retried(seen),
            Event::RetryRefused => {
                self.requests.retry_refused(seen.0);
                return self.retries.refused(seen);
            }
            Event::OverLimit { .. } => self.requests.over_limit(seen.0),
            Event::Draining { .. } => {
                self.draining = Some(seen);
                self.requests.balancer_down(seen.0);
            }
            Event::DrainCut { .. } => self.requests.balancer_down(seen.0),
            Event::Policy { event, .. } => {
                let backend = event.id().map(name);
                if let (Some(backend), true) = (&backend, changes_availability(event)) {
                    self.requests.standing_changed(backend, seen.0);
                }
                self.rotation.standing(event, backend.as_deref(), seen);
            }
            Event::Picked { id, is_probe, is_first } => {
                self.at_backends += 1;
                self.unplaced = None;
                let name = name(*id);
                self.bodies.picked(&name);
                let breach = self.rotation.may_ask(&name, *is_probe, seen.0);
                return breach.or_else(|| self.rotation.picked(&name, *is_probe || !*is_first, seen));
            }
            Event::Finished { id, outcome } => {
                self.at_backends = self.at_backends.saturating_sub(1);
                let is_theirs = self.bodies.finished(&name(*id));
                match outcome {
                    Outcome::Success { .. } => self.requests.backend_served(&name(*id), seen.0),
                    Outcome::Failure(failure) => {
                        self.retries.failed();
                        self.requests.backend_failed(&name(*id), seen.0);
                        if *failure == Failure::Timeout && is_theirs && self.causes.is_well(&name(*id)) {
                            let text = format!("{} is too slow, and has nothing but unfinished uploads", name(*id));
                            return Some(Breach::new("who is slow is blamed", text));
                        }
                        return self.causes.blamed(&name(*id), *failure, seen.0);
                    }
                    Outcome::Cancelled => self.rotation.cancelled(&name(*id)),
                }
            }
            _ => {}
        }
        None
    }

    /// A client sends a request.
    pub fn sent(&mut self, seen: Seen, request: &Request) {
        self.bodies.sent(seen, request);
        self.requests.sent(seen, request);
    }

    /// A backend has the head of a request.
    pub fn takes(&mut self, backend: &str, id: &str) {
        self.bodies.takes(backend, id);
    }

    /// A backend has all of a request, or there is no more of it.
    pub fn has_taken(&mut self, backend: &str, id: &str) {
        self.bodies.has_taken(backend, id);
    }

    /// A client begins to send a body, or ends.
    pub fn uploads(&mut self, id: &str, begins: bool) {
        self.bodies.uploads(id, begins);
    }

    /// A backend says 100.
    pub fn continues(&mut self, id: &str) {
        self.bodies.continues(id);
    }

    /// A backend answers a request before it has the body; `is_unseen` if it could have told the client to keep it.
    pub fn answers_early(&mut self, id: &str, status: u16, is_unseen: bool) {
        self.bodies.answers_early(id, status, is_unseen);
    }

    /// A backend gets something of the body of a request that it has answered.
    pub fn gets_body(&mut self, seen: Seen, backend: &str, id: &str) -> Option<Breach> {
        self.bodies.gets_body(seen, backend, id)
    }

    /// A backend gets a client's bytes as they are.
    pub fn is_in_tunnel(&mut self, seen: Seen, backend: &str, id: &str, protocol: &str) -> Option<Breach> {
        self.bodies.is_in_tunnel(seen, backend, id, protocol)
    }

    /// A client has the head of an answer.
    pub fn heard(&mut self, seen: Seen, id: &str, status: u16) -> Option<Breach> {
        self.bodies.heard(seen, id, status)
    }

    /// A backend begins to execute a request with a body of this digest.
    pub fn executed(&mut self, seen: Seen, backend: &str, is_post: bool, id: &str, body: u64) -> Option<Breach> {
        self.requests.executed(seen, backend, is_post, id, body)
    }

    /// Something is wrong with a host from now on, for all that is known of it.
    pub fn misbehaves(&mut self, host: &str) {
        self.causes.misbehaves(host);
    }

    /// A backend closes a connection that carries nothing; `is_fresh` if it never has.
    pub fn closes(&mut self, at: Duration, backend: &str, is_fresh: bool) {
        self.causes.closes(backend, at);
        if is_fresh {
            // A request may be on its way that could not know.
            self.causes.misbehaves(backend);
        }
    }

    /// A client's request has come to its end.
    pub fn ended(&mut self, seen: Seen, request: &Request, end: &End) -> Option<Breach> {
        let began = self.requests.began(&request.id)?;
        self.recovery.ended(began, seen.0, end.is_success());
        let is_over_limit = self.requests.is_over_limit_since(began);
        if request.is_post
            && self.causes.are_none()
            && !is_over_limit
            && matches!(end, End::Answered { status: 502, backend: None, .. })
        {
            let text = format!("{}, a POST, gets 502, and nothing was ever wrong with a backend", request.id);
            let breach = Breach::new("nothing is lost that could be served", text);
            return Some(breach.fact(began, seen.1, format!("{} ends: {end}", request.id)));
        }
        self.requests.ended(seen, request, end, &self.rotation)
    }

    /// Any record.
    pub fn record(&mut self, record: &Record, names: &[String]) {
        self.requests.record(record, names);
        self.causes.record(record, names);
        self.recovery.record(record);
    }

    /// From now on nothing is disturbed any more.
    pub fn calm(&mut self, at: Duration) {
        self.recovery.calm(at);
    }

    /// Where in the run a request stands that began at this time.
    pub fn phase(&self, began: Duration) -> Phase {
        self.recovery.phase(began)
    }

    /// How many requests were answered with 2xx so far.
    pub fn successes(&self) -> u64 {
        self.recovery.successes()
    }

    /// Whether there is a backend that is not to be asked, or only to see how it is.
    pub fn avoids_somebody(&self) -> bool {
        self.rotation.available().len() < self.rotation.configured()
    }

    /// What must hold when nobody has asked for `settle`. `counted` is what the balancer itself counts as in flight, and
    /// as in flight at backends, if it runs.
    pub fn at_end(&self, at: Duration, settle: Duration, counted: Option<(u64, u64)>) -> Option<Breach> {
        let has_settled = self.recovery.calm_since().is_some_and(|calm| calm + settle <= at);
        let (in_flight, at_backends) = counted.filter(|_| has_settled && self.requests.is_balancer_up())?;
        let is_open = if self.requests.may_keep_half_open(settle) { 0 } else { self.connections };
        let left = [
            (in_flight, "requests count as in flight"),
            (at_backends, "requests count as in flight at backends"),
            (self.at_backends, "requests were handed to backends and not got back"),
            (is_open, "connections of clients are open"),
        ];
        let (count, what) = left.into_iter().find(|(count, _)| *count > 0)?;
        Some(Breach::new("nothing leaks", format!("nobody has asked for {settle:?}, and {count} {what}")))
    }

    /// Whether requests are served as before, from so long after nothing was disturbed any more.
    pub fn has_recovered(&self, within: Duration) -> Result<(), Breach> {
        self.recovery.has_recovered(within)
    }

    /// Whether requests are not served any more, although nothing is disturbed.
    pub fn has_not_recovered(&self) -> Result<(), Breach> {
        self.recovery.has_not_recovered()
    }
}

/// Whether it is about who may be asked.
fn changes_availability(event: &policy::Event) -> bool {
    !matches!(event, policy::Event::SlowStartEnded { .. })
}

#[cfg(test)]
mod tests;
