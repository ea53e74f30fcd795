//! What a node tells, in the trace and in the counters.

use crate::raft::Event as CoreEvent;
use crate::raft::server::Event;
use crate::sim::Events;

/// Writes an event into the trace and counts it.
pub(super) fn record(events: &Events, event: &Event) -> Option<u64> {
    let number = match event {
        Event::Loaded(_)
        | Event::Sending { .. }
        | Event::Received { .. }
        | Event::Commanded(_)
        | Event::Stepped { .. }
        | Event::Core(CoreEvent::Progressed { .. })
        | Event::Writing(_)
        | Event::Synced { .. }
        | Event::Applied { .. }
        | Event::Requested { .. }
        | Event::Responding { .. } => return None,
        Event::LoadedLog { log, torn } => {
            let last = log.last();
            let mut fields = vec![("last_index", last.last_index.into()), ("last_term", last.last_term.into())];
            if let Some(torn) = torn {
                fields.push(("torn_bytes", torn.bytes.into()));
                events.count("torn logs", 1);
            }
            events.event("loaded-log", fields)
        }
        Event::Core(event) => events.event(event.name(), event.fields()),
        Event::Persisted(state) => {
            let voted_for = state.voted_for.map_or("none".to_owned(), |id| id.to_string());
            events.event("persisted", vec![("term", state.term.into()), ("voted_for", voted_for.into())])
        }
        Event::Rejected { from, why } => {
            events.count("rejected datagrams", 1);
            events.event("rejected", vec![("from", from.to_string().into()), ("why", why.name().into())])
        }
        Event::SendFailed { to, why } => {
            events.count("send failures", 1);
            events.event("send-failed", vec![("to", to.to_string().into()), ("why", why.to_string().into())])
        }
        Event::SocketError { why } => events.event("socket-error", vec![("why", why.to_string().into())]),
    };
    if let Event::Core(event) = event {
        count(events, event);
    }
    Some(number)
}

fn count(events: &Events, event: &CoreEvent) {
    match event {
        CoreEvent::BecamePreCandidate { .. } => {
            events.count("pre-votes", 1);
            events.work(1);
        }
        CoreEvent::BecameCandidate { .. } => {
            events.count("elections", 1);
            events.work(1);
        }
        CoreEvent::BecameLeader { .. } => events.count("leaders", 1),
        CoreEvent::SteppedDown { .. } => events.count("step-downs", 1),
        CoreEvent::Truncated { .. } => events.count("truncations", 1),
        CoreEvent::VoteGranted { pre: false, .. } => events.count("votes granted", 1),
        CoreEvent::VoteRefused { pre: false, .. } => events.count("votes refused", 1),
        _ => {}
    }
}
