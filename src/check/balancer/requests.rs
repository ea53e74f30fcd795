//! Each request on its way: where it was executed, how it ended, and whether it may have ended so.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use super::rotation::Rotation;
use super::{End, Request, Seen};
use crate::balancer::config::Config;
use crate::sim::Breach;
use crate::sim::trace::{PacketKind, Record, What};

/// The host that is the balancer.
pub(super) const BALANCER: &str = "balancer";

/// How much later than its own deadlines the balancer's answer may be there.
const SLACK: Duration = Duration::from_secs(1);

/// A packet that takes longer than this to the balancer or from it counts as a disturbance of that link.
pub(super) const TRANSIT_MAX: Duration = Duration::from_millis(100);

struct Sent {
    seen: Seen,
    is_post: bool,
    body: Option<u64>,
    executions: Vec<(Seen, String)>,
}

/// What a backend has done of late, as the balancer tells.
#[derive(Default)]
struct Service {
    served: Option<Duration>,
    failed: Option<Duration>,
    standing_since: Duration,
}

/// All requests.
pub(super) struct Requests {
    deadline: Duration,
    /// The balancer's own deadline, and how often it may try a request again.
    timeout: Duration,
    tries_max: usize,
    /// Whether a backend may refuse for having too much in flight.
    is_limited: bool,
    sent: BTreeMap<String, Sent>,
    services: BTreeMap<String, Service>,
    retry_refused: Option<Duration>,
    /// When an answer was last not passed on for a limit of the balancer's.
    over_limit: Option<Duration>,
    is_balancer_up: bool,
    balancer_changed: Duration,
    /// When the link between a client and the balancer was last seen to lose, hold or delay a packet, or the client
    /// itself stood still.
    disturbed: BTreeMap<String, Duration>,
    /// Packets between clients and the balancer: the client, and when each was sent.
    packets: BTreeMap<u64, (String, Duration)>,
    /// How long the balancer keeps a connection whose client says nothing.
    keep_alive: Duration,
    /// Resets that clients sent, and whether one was lost: nothing tells the balancer that its client has gone.
    resets: BTreeSet<u64>,
    has_lost_reset: bool,
}

impl Requests {
    pub(super) fn new(config: &Config, deadline: Duration) -> Self {
        let mut requests = Self {
            deadline,
            timeout: Duration::ZERO,
            tries_max: 0,
            is_limited: false,
            sent: BTreeMap::new(),
            services: BTreeMap::new(),
            retry_refused: None,
            over_limit: None,
            is_balancer_up: false,
            balancer_changed: Duration::ZERO,
            disturbed: BTreeMap::new(),
            packets: BTreeMap::new(),
            keep_alive: Duration::ZERO,
            resets: BTreeSet::new(),
            has_lost_reset: false,
        };
        requests.configure(config);
        requests
    }

    pub(super) fn configure(&mut self, config: &Config) {
        self.timeout = config.timeouts.request;
        self.keep_alive = self.keep_alive.max(config.timeouts.keep_alive);
        self.tries_max = config.retries.attempts_max as usize;
        self.is_limited = config.policy.in_flight_max.is_some();
    }

    pub(super) fn balancer_up(&mut self, at: Duration) {
        (self.is_balancer_up, self.balancer_changed) = (true, at);
    }

    pub(super) fn balancer_down(&mut self, at: Duration) {
        (self.is_balancer_up, self.balancer_changed) = (false, at);
    }

    pub(super) fn is_balancer_up(&self) -> bool {
        self.is_balancer_up
    }

    /// Whether the balancer may still keep a connection whose client has gone, when nobody has asked for so long.
    pub(super) fn may_keep_half_open(&self, settle: Duration) -> bool {
        self.has_lost_reset && self.keep_alive >= settle
    }

    pub(super) fn retry_refused(&mut self, at: Duration) {
        self.retry_refused = Some(at);
    }

    pub(super) fn over_limit(&mut self, at: Duration) {
        self.over_limit = Some(at);
    }

    pub(super) fn is_over_limit_since(&self, began: Duration) -> bool {
        self.over_limit.is_some_and(|at| at >= began)
    }

    pub(super) fn standing_changed(&mut self, backend: &str, at: Duration) {
        self.services.entry(backend.to_owned()).or_default().standing_since = at;
    }

    pub(super) fn backend_served(&mut self, backend: &str, at: Duration) {
        self.services.entry(backend.to_owned()).or_default().served = Some(at);
    }

    pub(super) fn backend_failed(&mut self, backend: &str, at: Duration) {
        self.services.entry(backend.to_owned()).or_default().failed = Some(at);
    }

    pub(super) fn began(&self, id: &str) -> Option<Duration> {
        self.sent.get(id).map(|sent| sent.seen.0)
    }

    pub(super) fn sent(&mut self, seen: Seen, request: &Request) {
        let sent = Sent { seen, is_post: request.is_post, body: request.body, executions: Vec::new() };
        self.sent.insert(request.id.clone(), sent);
    }

    pub(super) fn executed(&mut self, seen: Seen, backend: &str, is_post: bool, id: &str, body: u64) -> Option<Breach> {
        const ARRIVES: &str = "a request arrives as it was sent";
        let Some(sent) = self.sent.get_mut(id).filter(|sent| sent.is_post == is_post) else {
            let method = if is_post { "POST" } else { "GET" };
            return Some(Breach::new(ARRIVES, format!("{backend} executes a {method} `{id}`, which nobody has sent")));
        };
        if sent.body.is_some_and(|sent| sent != body) {
            let breach = Breach::new(ARRIVES, format!("{backend} executes {id} with a body that is not its own"));
            return Some(breach.fact(sent.seen.0, sent.seen.1, format!("{id} is sent")));
        }
        let before = sent.executions.first().cloned();
        sent.executions.push((seen, backend.to_owned()));
        let (first, before) = before.filter(|_| is_post)?;
        let breach = Breach::new("a POST runs at most once", format!("{id} is executed again, by {backend}"));
        let breach = breach.fact(first.0, first.1, format!("{before} executes {id}"));
        Some(breach.fact(seen.0, seen.1, format!("{backend} executes {id}")))
    }

    pub(super) fn ended(&mut self, seen: Seen, request: &Request, end: &End, rotation: &Rotation) -> Option<Breach> {
        let sent = self.sent.get(&request.id)?;
        let id = &request.id;
        let breach = |invariant: &str, text: String| {
            let breach = Breach::new(invariant, text).fact(sent.seen.0, sent.seen.1, format!("{id} is sent"));
            breach.fact(seen.0, seen.1, format!("{id} ends: {end}"))
        };
        match end {
            End::Answered { is_mine: false, .. } => {
                Some(breach("an answer belongs to its request", format!("{id} gets an answer that is not its own")))
            }
            End::Answered { status: 200..=299, backend: Some(backend), .. } => {
                let is_executed = sent.executions.iter().any(|(_, by)| by == backend);
                let text = format!("{id} is answered by {backend}, which has not executed it");
                (!is_executed).then(|| breach("an answer belongs to its request", text))
            }
            End::Answered { status: 502..=504, backend: None, .. } if !request.is_post => {
                let witness = self.witness(sent.seen.0, seen.0, rotation)?;
                let text = format!("{id}, a GET, gets {end} from the balancer while {witness} serves all it is given");
                Some(breach("nothing is lost that could be served", text))
            }
            End::Broken | End::Unreachable | End::TimedOut => {
                let since = if *end == End::TimedOut { seen.0 - self.deadline } else { sent.seen.0 };
                if self.is_excused(since, &request.client, end) {
                    return None;
                }
                let text = format!("{id} of {} gets no answer: {end}", request.client);
                Some(breach("every request is answered", text))
            }
            _ => None,
        }
    }

    /// Whether the balancer is not to blame for a request without an answer.
    fn is_excused(&self, since: Duration, client: &str, end: &End) -> bool {
        let is_impatient = *end == End::TimedOut && self.deadline < self.timeout + SLACK;
        let is_disturbed = self.disturbed.get(client).is_some_and(|at| *at >= since);
        is_impatient || is_disturbed || !self.is_balancer_up || self.balancer_changed >= since
    }

    /// A backend that was fit to serve a request that lasted from then until now, and was not asked: it was available
    /// all the time, and has served others meanwhile and failed none.
    fn witness(&self, began: Duration, now: Duration, rotation: &Rotation) -> Option<String> {
        let had_time = now - began < self.timeout / 2;
        let was_refused = self.retry_refused.is_some_and(|at| at >= began);
        if !had_time
            || was_refused
            || self.is_over_limit_since(began)
            || self.is_limited
            || self.balancer_changed >= began
        {
            return None;
        }
        let is_witness = |service: &Service| {
            service.served.is_some_and(|at| at > began)
                && service.failed.is_none_or(|at| at < began)
                && service.standing_since < began
        };
        let available = rotation.available().into_iter();
        let witnesses: Vec<&str> = available.filter(|name| self.services.get(*name).is_some_and(is_witness)).collect();
        // Each try goes to another backend, so that the last one allowed reaches a witness.
        let others = rotation.configured() - witnesses.len();
        let is_reached = others <= self.tries_max;
        witnesses.first().filter(|_| is_reached).map(|name| (*name).to_owned())
    }

    /// Any record: packets between clients and the balancer are followed, and who stands still.
    pub(super) fn record(&mut self, record: &Record, names: &[String]) {
        let name = |host: crate::sim::trace::HostId| names[usize::from(host.0)].as_str();
        match &record.what {
            What::Sent(packet) => {
                let client = match (name(packet.from), name(packet.to)) {
                    (BALANCER, other) | (other, BALANCER) if other.starts_with('c') => other,
                    _ => return,
                };
                self.packets.insert(packet.id, (client.to_owned(), record.at));
                if packet.kind == PacketKind::Rst && name(packet.from) == client {
                    self.resets.insert(packet.id);
                }
            }
            What::Delivered { packet, .. } => {
                if let Some((client, sent)) = self.packets.remove(packet)
                    && record.at - sent > TRANSIT_MAX
                {
                    self.disturbed.insert(client, record.at);
                }
            }
            What::Lost { packet, .. } | What::Held { packet } | What::GivenUp { packet, .. } => {
                self.has_lost_reset |= self.resets.contains(packet);
                if let Some((client, _)) = self.packets.get(packet) {
                    self.disturbed.insert(client.clone(), record.at);
                }
            }
            What::Killed
            | What::PowerLost
            | What::Paused
            | What::Finished
            | What::Failed { .. }
            | What::Panicked { .. }
            | What::Resumed => {
                let Some(host) = record.host.map(name) else { return };
                if host == BALANCER {
                    (self.is_balancer_up, self.balancer_changed) = (record.what == What::Resumed, record.at);
                } else {
                    self.disturbed.insert(host.to_owned(), record.at);
                }
            }
            _ => {}
        }
    }
}
