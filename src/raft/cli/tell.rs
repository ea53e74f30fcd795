//! What a node tells as lines of JSON, for whoever runs it: `raft-node --events`.
//!
//! A line has the time in nanoseconds since 1970, and an event of the node's core with its fields, a fact in the words of
//! [any Raft](crate::consensus), or both.

use std::cell::RefCell;

use indexmap::IndexMap;

use crate::consensus::{Fact, Says};
use crate::events::{Line, Value};
use crate::raft::Event as Core;
use crate::raft::server::Event;

/// Makes lines of a node's events. What is as it was is told once.
#[derive(Debug, Default)]
pub(super) struct Teller(RefCell<(u64, Option<Fact>)>);

impl Teller {
    /// The line of an event, if it says something.
    pub(super) fn line(&self, event: &Event, now_ns: u64) -> Option<String> {
        let mut last = self.0.borrow_mut();
        let named = named(event);
        let mut fact = event.fact().filter(is_told);
        if matches!(fact, Some(Fact::Is { .. })) {
            fact = fact.filter(|fact| last.1 != Some(*fact));
            last.1 = fact.or(last.1);
        }
        if named.is_none() && fact.is_none() {
            return None;
        }
        last.0 = last.0.max(now_ns);
        let (event, fields) = named.map_or((None, IndexMap::new()), |(name, fields)| (Some(name.to_owned()), fields));
        serde_json::to_string(&Line { t_ns: last.0, event, fields, fact }).ok()
    }
}

/// A packet's own record tells of most messages.
fn is_told(fact: &Fact) -> bool {
    !matches!(fact, Fact::Sending { says: Says::Other, .. } | Fact::Answered { .. })
}

fn named(event: &Event) -> Option<(&'static str, IndexMap<String, Value>)> {
    let of = |fields: Vec<(&'static str, Value)>| fields.into_iter().map(|(name, value)| (name.to_owned(), value));
    match event {
        // Told for each heartbeat.
        Event::Core(Core::TimerArmed { .. } | Core::Progressed { .. }) => None,
        Event::Core(core) => Some((core.name(), of(core.fields()).collect())),
        Event::Persisted(state) => {
            let fact = Fact::Persisted(*state);
            Some((fact.name(), of(fact.fields()).collect()))
        }
        Event::SendFailed { to, why } => {
            let fields = vec![("to", to.to_string().into()), ("why", why.to_string().into())];
            Some(("send-failed", of(fields).collect()))
        }
        Event::Rejected { from, why } => {
            let fields = vec![("from", from.to_string().into()), ("why", why.name().into())];
            Some(("rejected", of(fields).collect()))
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::consensus::{HardState, NodeId};

    #[test]
    fn a_line_can_be_read_again_and_time_never_falls() {
        let teller = Teller::default();
        let read = |line: Option<String>| serde_json::from_str::<Line<Fact>>(&line.expect("a line")).expect("JSON");
        let voters = vec![NodeId(1), NodeId(2)];
        let line = read(teller.line(&Event::Core(Core::BecameLeader { term: 3, voters }), 9));
        assert_eq!((line.t_ns, line.event.as_deref()), (9, Some("became-leader")));
        assert_eq!(line.fields["term"], Value::Int(3));
        assert_eq!(line.fact, Some(Fact::became(crate::consensus::Role::Leader, 3)));
        let state = HardState { term: 3, voted_for: Some(NodeId(1)) };
        let line = read(teller.line(&Event::Persisted(state), 7));
        assert_eq!((line.t_ns, line.fact), (9, Some(Fact::Persisted(state))));
        assert_eq!(teller.line(&Event::Core(Core::TimerArmed { at: std::time::Duration::ZERO }), 10), None);
    }
}
