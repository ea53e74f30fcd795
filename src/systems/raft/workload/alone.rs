//! A client in a process of its own, of a live run: its code is that of a simulated one.

use std::rc::Rc;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use tokio::time::Instant;

use crate::net::real::{self, RealNet};
use crate::raft::NodeId;
use crate::raft::client::{NotDone, Outcome};
use crate::raft::kv::{Answer, Operation};
use crate::raft::request::Consistency;
use crate::sim::{HostResult, Part, Setup};
use crate::systems::raft::options::Options;

use super::book::{self, Book};
use super::{Call, Calling, Calls, TokioClock};

/// What a client tells.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(in crate::systems::raft) enum Told {
    /// A call begins. The operation is as it is in requests, the consistency by its name.
    Calls { client: u64, operation: Vec<u8>, consistency: String },
    /// It is over. The answer is as it is in responses; it took so long since it was to begin.
    Returns { client: u64, took: Duration, outcome: Came },
    /// A datagram came that is none of the cluster's.
    Rejects,
}

/// What came of a call.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(in crate::systems::raft) enum Came {
    Answered { answer: Vec<u8>, index: u64 },
    Unknown,
    NotDone,
}

impl From<&Outcome> for Came {
    fn from(outcome: &Outcome) -> Self {
        match outcome {
            Outcome::Answered { answer, index } => Self::Answered { answer: answer.bytes(), index: *index },
            Outcome::Unknown => Self::Unknown,
            Outcome::NotDone(_) => Self::NotDone,
        }
    }
}

impl Came {
    fn outcome(&self) -> Option<Outcome> {
        Some(match self {
            Self::Answered { answer, index } => Outcome::Answered { answer: Answer::parse(answer)?, index: *index },
            Self::Unknown => Outcome::Unknown,
            // Why is not of interest to who judges it.
            Self::NotDone => Outcome::NotDone(NotDone::NoAnswer),
        })
    }

    /// What counts it.
    pub(in crate::systems::raft) fn counter(&self) -> &'static str {
        let of = |outcome: &Outcome| book::counted(outcome).1;
        match self {
            Self::Answered { .. } => of(&Outcome::Answered { answer: Answer::Done, index: 0 }),
            Self::Unknown => of(&Outcome::Unknown),
            Self::NotDone => of(&Outcome::NotDone(NotDone::NoAnswer)),
        }
    }
}

/// Plays a client. `None`: it is none.
pub(in crate::systems::raft) fn play(setup: &Setup<'_>, part: Part) -> Option<HostResult> {
    let plan = match setup.section::<Options>().and_then(|options| options.cluster(setup)) {
        Ok(plan) => plan,
        Err(error) => return Some(Err(error.into())),
    };
    let clients = plan.clients.clone()?;
    let caller = clients.callers().into_iter().find(|caller| caller.name() == part.host)?;
    let members = plan.config.members.clone();
    let Part { incarnation, rng, tell, since, .. } = part;
    let life = async move {
        tell("listening", Vec::new(), serde_json::Value::Null);
        let book = Alone { tell, since, began: Instant::now(), called: since };
        let calling = Calling::new(clients, caller, incarnation, rng, book);
        calling.run_over(&RealNet, members, TokioClock::new()).await
    };
    Some(real::run(life).map_err(Into::into).and_then(|ended| ended))
}

struct Alone {
    tell: Rc<crate::sim::Tell>,
    /// How long the run had gone on when this process began.
    since: Duration,
    began: Instant,
    /// When the call that is under way began.
    called: Duration,
}

impl Alone {
    fn tell(&self, (name, fields): (&'static str, Vec<(&'static str, crate::events::Value)>), told: &Told) {
        (self.tell)(name, fields, serde_json::to_value(told).unwrap_or_default());
    }
}

impl Book for Alone {
    fn now(&self) -> Duration {
        self.since + self.began.elapsed()
    }

    fn calls(&mut self, client: NodeId, operation: &Operation, consistency: Consistency) {
        self.called = self.now();
        let consistency = consistency.name().to_owned();
        let told = Told::Calls { client: client.0, operation: operation.bytes(), consistency };
        self.tell(book::called(operation), &told);
    }

    fn returns(&mut self, client: NodeId, was_due: Duration, outcome: &Outcome) {
        let took = self.now().saturating_sub(was_due.min(self.called));
        let told = Told::Returns { client: client.0, took, outcome: outcome.into() };
        self.tell(book::returned(outcome), &told);
    }

    fn rejects(&self) -> Rc<dyn Fn()> {
        let tell = self.tell.clone();
        Rc::new(move || tell("rejected", Vec::new(), serde_json::to_value(Told::Rejects).unwrap_or_default()))
    }
}

/// All calls of which clients told, by their clocks, which are one on one machine; each is given with the time and the
/// number of its record. What was told and cannot be understood is missing.
pub(in crate::systems::raft) fn told(mut all: Vec<(u64, (Duration, u64), Told)>) -> Calls {
    // What is told in the same nanosecond may have been at once: then a call begins before another ends.
    all.sort_by_key(|(t_ns, _, told)| (*t_ns, !matches!(told, Told::Calls { .. })));
    let mut calls = Calls::default();
    for (_, (at, record), told) in all {
        let moment = (calls.moment(), at, record);
        match told {
            Told::Calls { client, operation, consistency } => {
                let known = Consistency::ALL.into_iter().find(|known| known.name() == consistency);
                if let (Some(operation), Some(consistency)) = (Operation::parse(&operation), known) {
                    calls.all.push(Call { client, operation, consistency, began: moment, ended: None });
                }
            }
            Told::Returns { client, outcome, .. } => {
                let open = calls.all.iter_mut().find(|call| call.client == client && call.ended.is_none());
                if let (Some(call), Some(outcome)) = (open, outcome.outcome()) {
                    call.ended = Some((moment, outcome));
                }
            }
            Told::Rejects => {}
        }
    }
    calls
}
