//! Who takes down what a client calls: the cluster of a simulated run, or whoever reads what a process tells.

use std::rc::Rc;
use std::time::Duration;

use crate::events::Value;
use crate::raft::NodeId;
use crate::raft::client::Outcome;
use crate::raft::kv::Operation;
use crate::raft::request::Consistency;
use crate::sim::Events;

use super::{Call, Cluster};

/// Takes down one client's calls, one after the other.
pub(super) trait Book {
    /// The time of the run.
    fn now(&self) -> Duration;
    /// A call begins.
    fn calls(&mut self, client: NodeId, operation: &Operation, consistency: Consistency);
    /// It is over. It was to begin at `was_due`, at the latest when it did.
    fn returns(&mut self, client: NodeId, was_due: Duration, outcome: &Outcome);
    /// Is called for each datagram that is none of the cluster's.
    fn rejects(&self) -> Rc<dyn Fn()>;
}

/// The record of a call that begins: an event's name, and its fields.
pub(super) fn called(operation: &Operation) -> (&'static str, Vec<(&'static str, Value)>) {
    let key = String::from_utf8_lossy(operation.key()).into_owned();
    ("called", vec![("operation", operation.name().into()), ("key", key.into())])
}

/// How a call ended, in a word, and what counts it.
pub(super) fn counted(outcome: &Outcome) -> (&'static str, &'static str) {
    match outcome {
        Outcome::Answered { .. } => ("answered", "calls answered"),
        Outcome::Unknown => ("unknown", "calls unknown"),
        Outcome::NotDone(_) => ("not-done", "calls not done"),
    }
}

/// The record of a call that is over.
pub(super) fn returned(outcome: &Outcome) -> (&'static str, Vec<(&'static str, Value)>) {
    ("returned", vec![("outcome", counted(outcome).0.into())])
}

/// In a simulated run.
pub(super) struct InRun {
    cluster: Rc<Cluster>,
    events: Events,
    /// The call that is under way.
    place: usize,
}

impl InRun {
    pub(super) fn new(cluster: Rc<Cluster>, events: Events) -> Self {
        Self { cluster, events, place: 0 }
    }
}

impl Book for InRun {
    fn now(&self) -> Duration {
        self.events.now()
    }

    fn calls(&mut self, client: NodeId, operation: &Operation, consistency: Consistency) {
        let (name, fields) = called(operation);
        let record = self.events.event(name, fields);
        let mut calls = self.cluster.calls.borrow_mut();
        let began = (calls.moment(), self.events.now(), record);
        calls.all.push(Call { client: client.0, operation: operation.clone(), consistency, began, ended: None });
        self.place = calls.all.len() - 1;
    }

    fn returns(&mut self, _: NodeId, was_due: Duration, outcome: &Outcome) {
        self.events.count(counted(outcome).1, 1);
        let is_answered = matches!(outcome, Outcome::Answered { .. });
        if is_answered {
            self.events.work(1);
        }
        let (name, fields) = returned(outcome);
        let record = self.events.event(name, fields);
        let mut calls = self.cluster.calls.borrow_mut();
        let ended = (calls.moment(), self.events.now(), record);
        let call = &mut calls.all[self.place];
        if is_answered {
            self.cluster.answered.set(self.cluster.answered.get() + 1);
            self.events.time("calls", ended.1 - was_due.min(call.began.1));
        }
        call.ended = Some((ended, outcome.clone()));
    }

    fn rejects(&self) -> Rc<dyn Fn()> {
        let events = self.events.clone();
        Rc::new(move || events.count("rejected datagrams", 1))
    }
}
