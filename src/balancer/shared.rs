//! What all connections of a balancer share: the backends, who is in flight, and what may be tried again.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::rc::Rc;
use std::time::Duration;

use hyper::StatusCode;
use tokio::task::AbortHandle;
use tokio::time::{Instant, sleep};

use super::checks::check;
use super::config::{Config, ConfigError, Origin};
use super::event::Event;
use super::policy::{BackendId, Backends, Failure, NoBackend, Outcome, Pick, RetryBudget, Snapshot};
use super::upstream::Upstream;
use crate::events::Sink;
use crate::net::Net;
use crate::rng::{Rng, Seed};

/// The heart of a balancer.
pub struct Shared<N: Net> {
    net: N,
    config: RefCell<Rc<Config>>,
    backends: RefCell<Backends>,
    budget: RefCell<RetryBudget>,
    rng: RefCell<Rng>,
    upstreams: RefCell<BTreeMap<BackendId, Member<N>>>,
    /// Every backend there ever was keeps its id.
    ids: RefCell<BTreeMap<Origin, BackendId>>,
    epoch: Instant,
    events: Sink<Event>,
    in_flight: Cell<usize>,
}

/// What a balancer draws from.
#[derive(Clone, Debug)]
pub struct Rngs {
    /// Which backend.
    pub policy: Rng,
    /// How long before a retry.
    pub backoff: Rng,
}

impl Rngs {
    /// Both of one seed.
    pub fn of(seed: Seed) -> Self {
        Self { policy: seed.stream("policy"), backoff: seed.stream("backoff") }
    }
}

struct Member<N: Net> {
    upstream: Rc<Upstream<N>>,
    checks: AbortHandle,
}

impl<N: Net> Shared<N> {
    /// A balancer that has been configured and has no connection yet. It must be made inside a `LocalSet`: the checks
    /// begin at once.
    pub fn new(net: N, config: Config, rngs: Rngs, events: Sink<Event>) -> Result<Rc<Self>, ConfigError> {
        config.validate()?;
        let budget = RetryBudget::new(config.retries.budget.clone())?;
        let mut ids = BTreeMap::new();
        let list = list(&mut ids, &config);
        // Those that were there from the beginning have no slow start: nobody else could take their share.
        let backends = Backends::new(config.policy.clone(), &list, Duration::ZERO, rngs.policy)?;
        let shared = Rc::new(Self {
            net,
            config: RefCell::new(Rc::new(config)),
            backends: RefCell::new(backends),
            budget: RefCell::new(budget),
            rng: RefCell::new(rngs.backoff),
            upstreams: RefCell::default(),
            ids: RefCell::new(ids),
            epoch: Instant::now(),
            events,
            in_flight: Cell::new(0),
        });
        shared.renew_members(&list);
        Ok(shared)
    }

    /// Takes other settings; those that make no sense are refused, and the old ones hold.
    pub fn configure(self: &Rc<Self>, config: Config) -> Result<(), ConfigError> {
        config.validate()?;
        let budget = RetryBudget::new(config.retries.budget.clone())?;
        let list = list(&mut self.ids.borrow_mut(), &config);
        let now = self.now();
        self.backends.borrow_mut().reconfigure(config.policy.clone(), &list, now)?;
        if config.retries.budget != self.config().retries.budget {
            *self.budget.borrow_mut() = budget;
        }
        *self.config.borrow_mut() = Rc::new(config);
        self.renew_members(&list);
        self.tell();
        self.events.emit(|| Event::Reloaded);
        Ok(())
    }

    /// Brings connections and checks in line with the settings. The checks of all begin anew: theirs may be others.
    fn renew_members(self: &Rc<Self>, list: &[(BackendId, u32)]) {
        let config = self.config();
        let gone = std::mem::take(&mut *self.upstreams.borrow_mut());
        for member in gone.values() {
            member.checks.abort();
        }
        for ((id, _), backend) in list.iter().zip(&config.backends) {
            let upstream = gone.get(id).map_or_else(
                || Rc::new(Upstream::new(self.net.clone(), backend.origin.clone())),
                |member| member.upstream.clone(),
            );
            let checks = N::task(watch(self.clone(), *id, upstream.clone()));
            let checks = tokio::task::spawn_local(checks).abort_handle();
            self.upstreams.borrow_mut().insert(*id, Member { upstream, checks });
        }
    }

    /// The settings that hold.
    pub fn config(&self) -> Rc<Config> {
        self.config.borrow().clone()
    }

    /// The time since the balancer began.
    pub fn now(&self) -> Duration {
        self.epoch.elapsed()
    }

    /// The time from the balancer's beginning to `instant`.
    fn at(&self, instant: Instant) -> Duration {
        instant.saturating_duration_since(self.epoch)
    }

    /// Where it tells what it does.
    pub fn events(&self) -> &Sink<Event> {
        &self.events
    }

    /// Counts a request in that came `now`, unless there are as many as there may be.
    pub fn begin(self: &Rc<Self>, now: Instant) -> Option<InFlight<N>> {
        if self.in_flight.get() >= self.config.borrow().limits.in_flight_max {
            return None;
        }
        self.in_flight.set(self.in_flight.get() + 1);
        self.budget.borrow_mut().request(self.at(now));
        self.events.emit(|| Event::Began);
        Some(InFlight(self.clone()))
    }

    /// How many requests wait for an answer's head.
    pub fn in_flight(&self) -> usize {
        self.in_flight.get()
    }

    /// How many requests are counted as in flight at backends.
    pub fn at_backends(&self) -> u64 {
        self.backends.borrow().in_flight()
    }

    /// A backend for a request, which is sent `now`.
    pub fn pick(self: &Rc<Self>, tried: &[BackendId], now: Instant) -> Result<Ticket<N>, NoBackend> {
        let now = self.at(now);
        let picked = self.backends.borrow_mut().pick(now, tried);
        self.tell();
        let pick = picked?;
        let (id, is_probe, is_first) = (pick.id, pick.is_probe, tried.is_empty());
        self.events.emit(|| Event::Picked { id, is_probe, is_first });
        let upstream = self.upstreams.borrow()[&pick.id].upstream.clone();
        Ok(Ticket { shared: self.clone(), pick: Cell::new(Some(pick)), upstream, began: now, outcome: Cell::new(None) })
    }

    fn finished(&self, pick: Pick, outcome: Outcome, now: Instant) {
        let id = pick.id;
        self.backends.borrow_mut().finished(pick, self.at(now), outcome);
        self.events.emit(|| Event::Finished { id, outcome });
        self.tell();
    }

    /// Takes in the result of an active check.
    pub fn checked(&self, id: BackendId, result: Result<(), Failure>) {
        self.backends.borrow_mut().checked(id, self.now(), result);
        self.tell();
    }

    /// How long to wait before a retry, counted from 1; none where the deadline would be over by then.
    pub fn wait_before(&self, retry: u32, deadline: Instant) -> Option<Duration> {
        let deadline = self.at(deadline);
        self.config().retries.backoff.wait(retry, self.now(), deadline, &mut self.rng.borrow_mut())
    }

    /// Whether the budget has a retry left; if so, it is spent.
    pub fn may_spend_retry(&self) -> bool {
        let may =
            self.budget.borrow_mut().try_spend(self.now()) || planted!(self.config.borrow().policy, UnboundedRetries);
        self.events.emit(|| if may { Event::Retried } else { Event::RetryRefused });
        may
    }

    /// All backends, each with where it is and how many connections to it are kept.
    pub fn snapshot(&self) -> (Snapshot, BTreeMap<BackendId, (Origin, usize)>) {
        let members = self.upstreams.borrow();
        let places = members.iter().map(|(id, member)| (*id, (member.upstream.origin.clone(), member.upstream.idle())));
        (self.backends.borrow().snapshot(self.now()), places.collect())
    }

    /// How many requests each backend has just now.
    pub fn loads(&self) -> Vec<(BackendId, u32)> {
        self.backends.borrow().loads().collect()
    }

    /// Closes what was kept too long, and does what time brings about.
    pub fn tidy(&self) {
        let kept_for = self.config().timeouts.pool;
        for member in self.upstreams.borrow().values() {
            member.upstream.prune(kept_for);
        }
        self.backends.borrow_mut().advance(self.now());
        self.tell();
    }

    fn tell(&self) {
        if !self.backends.borrow().has_events() {
            return;
        }
        let events = self.backends.borrow_mut().take_events();
        for event in events {
            self.events.emit(|| {
                let origin = event.id().and_then(|id| self.origin(id));
                Event::Policy { event, origin }
            });
        }
    }

    /// Where a backend is, or was.
    pub fn origin(&self, id: BackendId) -> Option<Origin> {
        self.ids.borrow().iter().find(|(_, known)| **known == id).map(|(origin, _)| origin.clone())
    }
}

/// Checks a backend for as long as it is one. The first check comes at once: a balancer that starts should know.
async fn watch<N: Net>(shared: Rc<Shared<N>>, id: BackendId, upstream: Rc<Upstream<N>>) {
    loop {
        let config = shared.config();
        let (Some(checks), Some(judged)) = (&config.checks, &config.policy.checks) else { return };
        let result = check(&upstream, &config, checks).await;
        shared.checked(id, result);
        sleep(judged.interval).await;
    }
}

/// The backends of these settings, each by its id: the one that it had before, if it was ever there.
fn list(ids: &mut BTreeMap<Origin, BackendId>, config: &Config) -> Vec<(BackendId, u32)> {
    let mut listed = Vec::new();
    for backend in &config.backends {
        let next = BackendId(u32::try_from(ids.len()).unwrap_or(u32::MAX));
        listed.push((*ids.entry(backend.origin.clone()).or_insert(next), backend.weight));
    }
    listed
}

/// A request that is being answered.
pub struct InFlight<N: Net>(Rc<Shared<N>>);

impl<N: Net> Drop for InFlight<N> {
    fn drop(&mut self) {
        self.0.in_flight.set(self.0.in_flight.get() - 1);
    }
}

/// A request's claim on a backend. Dropped without a word of its outcome, it was cancelled.
pub struct Ticket<N: Net> {
    shared: Rc<Shared<N>>,
    pick: Cell<Option<Pick>>,
    upstream: Rc<Upstream<N>>,
    began: Duration,
    /// What the head of the answer said.
    outcome: Cell<Option<Outcome>>,
}

impl<N: Net> Ticket<N> {
    /// The backend.
    pub fn id(&self) -> BackendId {
        let pick = self.pick.take();
        let id = pick.as_ref().map(|pick| pick.id);
        self.pick.set(pick);
        id.expect("a ticket is handed in once")
    }

    /// Its connections.
    pub fn upstream(&self) -> &Rc<Upstream<N>> {
        &self.upstream
    }

    /// The head of the answer is here, `now`.
    pub fn answered(&self, status: StatusCode, now: Instant) {
        let latency = self.shared.at(now) - self.began;
        let outcome = if status.is_server_error() {
            Outcome::Failure(Failure::Status(status.as_u16()))
        } else {
            Outcome::Success { latency }
        };
        self.outcome.set(Some(outcome));
    }

    /// The backend has failed the request.
    pub fn failed(self, failure: Failure) {
        self.hand_in(Outcome::Failure(failure), Instant::now());
    }

    /// The answer has been passed on whole, `now`.
    pub fn done(self, now: Instant) {
        let outcome = self.outcome.get().unwrap_or(Outcome::Cancelled);
        self.hand_in(outcome, now);
    }

    fn hand_in(&self, outcome: Outcome, now: Instant) {
        if let Some(pick) = self.pick.take() {
            self.shared.finished(pick, outcome, now);
        }
    }
}

impl<N: Net> Drop for Ticket<N> {
    fn drop(&mut self) {
        let Some(pick) = self.pick.take() else { return };
        let is_blamed = planted!(self.shared.config.borrow().policy, CancelledCounts);
        let outcome = if is_blamed { Outcome::Failure(Failure::Reset) } else { Outcome::Cancelled };
        self.shared.finished(pick, outcome, Instant::now());
    }
}
