//! Where a client or a backend is: on a host of a simulated run, or in a process of its own. Its code is one and the same.

use std::borrow::Cow;
use std::rc::Rc;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::check::balancer::{End, Request};
use crate::net::Net;
use crate::rng::Rng;
use crate::sim::Host;
use crate::sim::net::SimNet;
use crate::watched;

use super::ONE_HOP;
use super::fleet::Fleet;
use super::options::{Condition, Options};
use crate::systems::told::interned;

/// What a client or a backend tells.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(super) enum Told {
    /// A client sends a request.
    Sends(Request),
    /// A client's request has come to its end, so long after it was sent.
    Ends { request: Request, took: Duration, end: End },
    /// A backend begins to work on a request, whose body has this digest.
    Executes { method: String, id: String, body: u64 },
    /// A backend has the head of a request.
    Takes { id: String },
    /// A backend has all of a request, or there is no more of it.
    HasTaken { id: String },
    /// A backend says 100.
    Continues { id: String },
    /// A backend answers a request before it has the body, which its client could have kept.
    AnswersEarly { id: String, status: u16, is_unseen: bool },
    /// Something of the body comes of a request that was answered.
    GetsBody { id: String },
    /// A client's bytes come in another protocol.
    InTunnel { id: String, protocol: String },
    /// A backend closes a connection between two requests, or one that never carried any.
    Closes { is_fresh: bool },
    /// A backend does not do what it is there for.
    Misbehaves,
    /// What is of one hop came through.
    OneHop { text: String },
    /// Something is counted.
    Counts(Cow<'static, str>),
}

/// What is around a client or a backend.
pub(super) trait Place: 'static {
    /// Its network.
    type Net: Net;

    /// Its host's name.
    fn host(&self) -> &str;
    fn incarnation(&self) -> u32;
    fn net(&self) -> &Self::Net;
    fn rng(&self) -> Rng;
    fn options(&self) -> &Options;
    /// What is wrong with it.
    fn condition(&self) -> Condition;
    /// A request has felt that.
    fn felt(&self);
    /// Requests a second, of all clients together.
    fn load(&self) -> watched::Receiver<f64>;
    /// Whether it is asked to end.
    fn stopped(&self) -> watched::Receiver<bool>;
    fn now(&self) -> Duration;
    fn tell(&self, told: Told);
}

/// On a host of a simulated run.
pub(super) struct Simulated {
    pub(super) fleet: Rc<Fleet>,
    pub(super) host: Host,
}

impl Place for Simulated {
    type Net = SimNet;

    fn host(&self) -> &str {
        &self.host.name
    }

    fn incarnation(&self) -> u32 {
        self.host.incarnation
    }

    fn net(&self) -> &SimNet {
        &self.host.net
    }

    fn rng(&self) -> Rng {
        self.host.rng.clone()
    }

    fn options(&self) -> &Options {
        &self.fleet.options
    }

    fn condition(&self) -> Condition {
        self.fleet.condition(&self.host.name)
    }

    fn felt(&self) {
        self.fleet.felt(&self.host.name);
    }

    fn load(&self) -> watched::Receiver<f64> {
        self.fleet.load.subscribe()
    }

    fn stopped(&self) -> watched::Receiver<bool> {
        self.fleet.stopped(&self.host.name)
    }

    fn now(&self) -> Duration {
        self.host.events.now()
    }

    fn tell(&self, told: Told) {
        let (fleet, events, name) = (&self.fleet, &self.host.events, self.host.name.as_str());
        let check = || fleet.check.borrow_mut();
        let seen = || (events.now(), events.next_record());
        let breach = match told {
            Told::Sends(request) => return fleet.sends(events, &request),
            Told::Ends { request, took, end } => return fleet.ends(events, &request, took, &end),
            Told::Executes { method, id, body } => {
                return fleet.executes(events, name, &method, &id, body);
            }
            Told::OneHop { text } => return events.violation(ONE_HOP, text),
            Told::Counts(Cow::Borrowed(counter)) => return events.count(counter, 1),
            Told::Counts(Cow::Owned(counter)) => return events.count(interned(counter), 1),
            Told::Takes { id } => return check().takes(name, &id),
            Told::HasTaken { id } => return check().has_taken(name, &id),
            Told::Continues { id } => return check().continues(&id),
            Told::AnswersEarly { id, status, is_unseen } => return check().answers_early(&id, status, is_unseen),
            Told::Closes { is_fresh } => return check().closes(events.now(), name, is_fresh),
            Told::Misbehaves => return check().misbehaves(name),
            Told::GetsBody { id } => check().gets_body(seen(), name, &id),
            Told::InTunnel { id, protocol } => check().is_in_tunnel(seen(), name, &id, &protocol),
        };
        breach.into_iter().for_each(|breach| events.breach(breach));
    }
}
