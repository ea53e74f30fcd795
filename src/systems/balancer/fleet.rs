//! The hosts of one run, and what they share: how they are started, what they tell, and what they are told.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::future::pending;
use std::rc::{Rc, Weak};
use std::time::Duration;

use hyper::Method;
use rand::RngCore as _;
use tokio::sync::mpsc;

use crate::balancer::config::Config;
use crate::balancer::event::Event;
use crate::balancer::policy::BackendId;
use crate::balancer::server;
use crate::balancer::shared::{Rngs, Shared};
use crate::check::balancer::{BalancerCheck, End, Request};
use crate::events::Sink;
use crate::net::Net as _;
use crate::rng::Seed;
use crate::sim::net::SimNet;
use crate::sim::{Deed, Events, Host, HostResult, Report};
use crate::watched;

use super::options::{Condition, Expect, Options, Order};
use super::{PORT, book};

/// All hosts of one run.
pub(super) struct Fleet {
    pub(super) options: Options,
    expect: Expect,
    /// What the balancer starts with: as the last reload has it.
    config: RefCell<Config>,
    pub(super) check: RefCell<BalancerCheck>,
    /// Each with the step that it is by, which has done something once a request has felt it.
    conditions: RefCell<BTreeMap<String, (Condition, Option<Deed>)>>,
    /// Requests a second, of all clients together.
    pub(super) load: watched::Sender<f64>,
    /// Those who can be asked to end.
    stops: RefCell<BTreeMap<String, watched::Sender<bool>>>,
    reloads: RefCell<Option<mpsc::UnboundedSender<Config>>>,
    balancer: RefCell<Weak<Shared<SimNet>>>,
}

impl Fleet {
    pub(super) fn new(options: Options, expect: Expect, config: Config) -> Rc<Self> {
        let load = watched::Sender::new(options.rate);
        let mut check = BalancerCheck::new(&config, options.deadline.0);
        options.shapes.iter().filter(|(_, shape)| shape.is_fault).for_each(|(name, _)| check.misbehaves(name));
        let check = RefCell::new(check);
        Rc::new(Self {
            options,
            expect,
            config: RefCell::new(config),
            check,
            conditions: RefCell::default(),
            load,
            stops: RefCell::default(),
            reloads: RefCell::default(),
            balancer: RefCell::default(),
        })
    }

    /// The balancer's life, from a start to its end.
    pub(super) async fn balance(self: Rc<Self>, mut host: Host) -> HostResult {
        let listener = host.net.listen(&format!("0.0.0.0:{PORT}")).await?;
        let mut stopped = self.stopped(&host.name);
        let (sender, mut reloads) = mpsc::unbounded_channel();
        *self.reloads.borrow_mut() = Some(sender);
        let events = host.events.clone();
        let (telling, told) = (self.clone(), events.clone());
        let sink = Sink::new(move |event: &Event| telling.heard(&told, event));
        let rngs = Rngs::of(Seed(host.rng.next_u64()));
        let config = self.config.borrow().clone();
        self.check.borrow_mut().balancer_started(&config, (events.now(), events.next_record()));
        let shared = Shared::new(host.net.clone(), config, rngs, sink)?;
        *self.balancer.borrow_mut() = Rc::downgrade(&shared);
        let reloading = async {
            while let Some(config) = reloads.recv().await {
                self.check.borrow_mut().reloaded(&config);
                *self.config.borrow_mut() = config.clone();
                if let Err(error) = shared.configure(config) {
                    events.violation("settings that hold together are taken", error.to_string());
                }
            }
            pending::<()>().await;
        };
        let shutdown = async move {
            let _ = stopped.wait_for(|stopped| *stopped).await;
        };
        tokio::select! {
            biased;
            served = server::serve(shared.clone(), listener, shutdown) => served?,
            () = reloading => {}
        }
        Ok(())
    }

    /// A host that can be asked to end has started: whether it is asked to.
    pub(super) fn stopped(&self, host: &str) -> watched::Receiver<bool> {
        let sender = watched::Sender::new(false);
        let receiver = sender.subscribe();
        self.stops.borrow_mut().insert(host.to_owned(), sender);
        receiver
    }

    pub(super) fn condition(&self, backend: &str) -> Condition {
        self.conditions.borrow().get(backend).map(|(condition, _)| condition.clone()).unwrap_or_default()
    }

    /// A request has felt a backend's condition.
    pub(super) fn felt(&self, backend: &str) {
        let conditions = self.conditions.borrow();
        conditions.get(backend).and_then(|(_, deed)| deed.as_ref()).into_iter().for_each(Deed::acted);
    }

    /// Does what a step of the script says.
    pub(super) fn carry_out(&self, order: &Order, events: &Events) {
        match order {
            Order::Backends { names, condition } => {
                let deed = events.deed();
                for name in names {
                    self.check.borrow_mut().misbehaves(name);
                    let before = self.conditions.borrow_mut().insert(name.clone(), (condition.clone(), deed.clone()));
                    // To be well again is felt at once, and by who was unwell.
                    let was_unwell = before.is_some_and(|(before, _)| before != Condition::default());
                    if was_unwell && *condition == Condition::default() {
                        deed.iter().for_each(Deed::acted);
                    }
                }
            }
            Order::Load(rate) => {
                let before = self.load.send_replace(*rate);
                if before.to_bits() == rate.to_bits() {
                    drop(events.deed());
                }
            }
            Order::Reload(config) => {
                let told = self.reloads.borrow().as_ref().is_some_and(|sender| sender.send((**config).clone()).is_ok());
                if !told {
                    // It reads them when it starts.
                    *self.config.borrow_mut() = (**config).clone();
                }
            }
            Order::Stop(names) => {
                let deed = events.deed();
                for name in names {
                    self.check.borrow_mut().misbehaves(name);
                    let told = self
                        .stops
                        .borrow()
                        .get(name)
                        .is_some_and(|stop| stop.has_receivers() && !stop.send_replace(true));
                    if told {
                        deed.iter().for_each(Deed::acted);
                    }
                }
            }
        }
    }

    /// Takes in what the balancer tells: into the trace, the counters and the check.
    fn heard(&self, events: &Events, event: &Event) {
        let name = |id: BackendId| self.name(id);
        let record = event.told(&name).map(|(word, fields)| {
            book::counter(word).into_iter().for_each(|counter| events.count(counter, 1));
            events.event(word, fields)
        });
        let seen = (events.now(), record.unwrap_or_else(|| events.next_record()));
        let breach = self.check.borrow_mut().balancer(seen, event, &name);
        breach.into_iter().for_each(|breach| events.breach(breach));
    }

    /// The host that a backend is.
    fn name(&self, id: BackendId) -> String {
        let origin = self.balancer.borrow().upgrade().and_then(|shared| shared.origin(id));
        origin.map_or_else(
            || format!("b{}", id.0 + 1),
            |origin| origin.address.split(':').next().unwrap_or_default().to_owned(),
        )
    }

    /// A backend begins to work on a request.
    pub(super) fn executes(&self, mut events: &Events, backend: &str, method: &str, id: &str, body: u64) {
        let seen = (events.now(), book::executes(&mut events, method, id));
        let breach = self.check.borrow_mut().executed(seen, backend, method == Method::POST.as_str(), id, body);
        breach.into_iter().for_each(|breach| events.breach(breach));
    }

    /// A client sends a request.
    pub(super) fn sends(&self, mut events: &Events, request: &Request) {
        let seen = (events.now(), book::sends(&mut events, request));
        self.check.borrow_mut().sent(seen, request);
    }

    /// A client's request has come to its end, so long after it was sent.
    pub(super) fn ends(&self, mut events: &Events, request: &Request, took: Duration, end: &End) {
        let record = book::ends(&mut events, request, took, end);
        if end.is_success() {
            events.time(book::latency(self.check.borrow().phase(events.now() - took)), took);
        }
        let breach = self.check.borrow_mut().ended((events.now(), record), request, end);
        breach.into_iter().for_each(|breach| events.breach(breach));
    }

    /// The last checks.
    pub(super) fn judge(&self, report: &Report) {
        if report.is_cut_off() {
            return;
        }
        let counted = self.balancer.borrow().upgrade().map(|shared| (shared.in_flight() as u64, shared.at_backends()));
        let check = self.check.borrow();
        let breach = check.at_end(report.simulated(), self.options.settle(), counted).or_else(|| {
            match (self.expect.recovers_within, self.expect.recovers) {
                (Some(within), _) => check.has_recovered(within.0).err(),
                (None, Some(false)) => check.has_not_recovered().err(),
                _ => None,
            }
        });
        breach.into_iter().for_each(|breach| report.breach(breach));
    }

    /// The backend that has the most requests just now: the first by name of those that have as many; nobody while there is
    /// no balancer.
    pub(super) fn busiest(&self) -> Vec<String> {
        let Some(shared) = self.balancer.borrow().upgrade() else { return Vec::new() };
        let loads = shared.loads().into_iter().map(|(id, in_flight)| (in_flight, self.name(id)));
        let busiest = loads.max_by_key(|(load, name)| (*load, std::cmp::Reverse(name.clone())));
        busiest.map(|(_, name)| name).into_iter().collect()
    }

    pub(super) fn answers(&self) -> u64 {
        self.check.borrow().successes()
    }

    /// Whether there is a backend that is not asked for how it behaved, or was found to be.
    pub(super) fn avoids_somebody(&self) -> bool {
        self.check.borrow().avoids_somebody()
    }
}
