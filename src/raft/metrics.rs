//! What a node did, in numbers, as Prometheus reads them.

use std::collections::BTreeMap;

use super::codec::Rejected;
use super::server::Event;
use super::{LogIndex, Message, NodeId, Role, Status};
use crate::pages::exposition::Exposition;

const ROLES: [Role; 4] = [Role::Follower, Role::PreCandidate, Role::Candidate, Role::Leader];

/// Counts, since the node's start. Each name that a label can have is there from the beginning, with a 0.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Metrics {
    elections_started: u64,
    elections_won: u64,
    step_downs: u64,
    sent: BTreeMap<&'static str, u64>,
    received: BTreeMap<&'static str, u64>,
    rejected: BTreeMap<&'static str, u64>,
    send_failures: u64,
    receive_failures: u64,
    persists: u64,
    /// The log, where one is replicated.
    log: Option<LogNow>,
}

/// What a node with a log tells of it, beside its [`Status`].
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct LogNow {
    /// The last entry that was given to the state machine.
    pub(super) applied: LogIndex,
    /// Of a leader: up to where each peer's log is its own, as it knows.
    pub(super) matched: BTreeMap<NodeId, LogIndex>,
}

impl Default for Metrics {
    fn default() -> Self {
        let zeros = |names: &[&'static str]| names.iter().map(|name| (*name, 0)).collect();
        Self {
            elections_started: 0,
            elections_won: 0,
            step_downs: 0,
            sent: zeros(&Message::NAMES),
            received: zeros(&Message::NAMES),
            rejected: zeros(&Rejected::NAMES),
            send_failures: 0,
            receive_failures: 0,
            persists: 0,
            log: None,
        }
    }
}

impl Metrics {
    /// Counts an event.
    pub fn count(&mut self, event: &Event) {
        use super::Event as Core;
        self.note_log(event);
        let count = match event {
            Event::Core(Core::BecameCandidate { .. }) => &mut self.elections_started,
            Event::Core(Core::BecameLeader { .. }) => &mut self.elections_won,
            Event::Core(Core::SteppedDown { .. }) => &mut self.step_downs,
            Event::Sending { message, .. } => self.sent.entry(message.name()).or_default(),
            Event::Received { message, .. } => self.received.entry(message.name()).or_default(),
            Event::Rejected { why, .. } => self.rejected.entry(why.name()).or_default(),
            Event::SendFailed { .. } => &mut self.send_failures,
            Event::SocketError { .. } => &mut self.receive_failures,
            Event::Persisted(_) => &mut self.persists,
            _ => return,
        };
        *count += 1;
    }

    fn note_log(&mut self, event: &Event) {
        use super::Event as Core;
        match event {
            Event::LoadedLog { .. } => self.log = Some(LogNow::default()),
            Event::Applied { index, .. } => self.log.iter_mut().for_each(|log| log.applied = *index),
            Event::Core(Core::Progressed { peer, match_index, .. }) => {
                self.log.iter_mut().for_each(|log| _ = log.matched.insert(*peer, *match_index));
            }
            Event::Core(core) if core.is_new_role() => self.log.iter_mut().for_each(|log| log.matched.clear()),
            _ => {}
        }
    }

    /// The log, where one is replicated.
    pub(super) fn log(&self) -> Option<&LogNow> {
        self.log.as_ref()
    }

    /// All counts, with the node as it is now.
    pub fn text(&self, now: &Status) -> String {
        let mut page = Exposition::default();
        page.gauge("raft_term", "The term that the node is in.", now.term);
        let roles = ROLES.map(|role| (role.name(), u64::from(role == now.role)));
        page.family("raft_role", "gauge", "1 for the role that the node has, 0 for the others.", "role", roles);
        page.gauge("raft_is_leader", "Whether the node is the leader of its term.", (now.role == Role::Leader).into());
        page.gauge("raft_has_leader", "Whether the node knows the leader of its term.", now.leader.is_some().into());
        page.counter(
            "raft_elections_started_total",
            "Elections in which the node was a candidate.",
            self.elections_started,
        );
        page.counter("raft_elections_won_total", "Elections that the node won.", self.elections_won);
        page.counter("raft_step_downs_total", "Times that the node gave up its lead.", self.step_downs);
        let help = "Messages that the node sent or could not send, by their type.";
        page.family("raft_messages_sent_total", "counter", help, "message", pairs(&self.sent));
        let help = "Messages from members that came in, by their type.";
        page.family("raft_messages_received_total", "counter", help, "message", pairs(&self.received));
        let help = "Datagrams that were dropped, by the reason.";
        page.family("raft_datagrams_rejected_total", "counter", help, "reason", pairs(&self.rejected));
        page.counter("raft_send_failures_total", "Messages that could not be sent.", self.send_failures);
        page.counter("raft_receive_failures_total", "Times that the socket failed to receive.", self.receive_failures);
        page.counter("raft_persists_total", "Times that term and vote were written to disk.", self.persists);
        self.log.iter().for_each(|log| log.write(now, &mut page));
        page.text()
    }
}

impl LogNow {
    fn write(&self, now: &Status, page: &mut Exposition) {
        let last = now.log.last_index;
        page.gauge("raft_log_last_index", "The last entry of the node's log.", last);
        page.gauge("raft_log_durable_index", "The last entry that is on the node's disk.", now.durable);
        page.gauge("raft_commit_index", "The last entry that the node knows to be committed.", now.commit);
        page.gauge("raft_applied_index", "The last entry that the state machine was given.", self.applied);
        let names: Vec<(String, LogIndex)> =
            self.matched.iter().map(|(peer, index)| (peer.0.to_string(), *index)).collect();
        let matched = names.iter().map(|(peer, index)| (peer.as_str(), *index));
        let help = "Of a leader: up to where each peer has its log, as it knows.";
        page.family("raft_peer_match_index", "gauge", help, "peer", matched.clone());
        let help = "Of a leader: how many entries each peer is behind.";
        let lag = matched.map(|(peer, index)| (peer, last.saturating_sub(index)));
        page.family("raft_peer_lag", "gauge", help, "peer", lag);
    }
}

fn pairs(counts: &BTreeMap<&'static str, u64>) -> impl Iterator<Item = (&'static str, u64)> {
    counts.iter().map(|(name, count)| (*name, *count))
}

#[cfg(test)]
mod tests {
    use std::io;
    use std::time::Duration;

    use super::super::message::TimeoutNow;
    use super::super::{HardState, LogPosition, NodeId};
    use super::*;

    const N1: NodeId = NodeId(1);

    fn leader() -> Status {
        Status {
            id: N1,
            role: Role::Leader,
            term: 7,
            voted_for: Some(N1),
            leader: Some(N1),
            since: Duration::ZERO,
            timer_at: None,
            log: LogPosition::default(),
            commit: 0,
            durable: 0,
        }
    }

    fn has(text: &str, line: &str) -> bool {
        text.lines().any(|is| is == line)
    }

    #[test]
    fn every_series_is_there_before_anything_was_counted() {
        let text = Metrics::default().text(&leader());
        for line in [
            "# TYPE raft_term gauge",
            "raft_term 7",
            "raft_role{role=\"follower\"} 0",
            "raft_role{role=\"pre-candidate\"} 0",
            "raft_role{role=\"leader\"} 1",
            "raft_is_leader 1",
            "raft_has_leader 1",
            "# TYPE raft_elections_won_total counter",
            "raft_elections_won_total 0",
            "raft_messages_sent_total{message=\"AppendEntries\"} 0",
            "raft_datagrams_rejected_total{reason=\"misdirected\"} 0",
        ] {
            assert!(has(&text, line), "`{line}` is not in\n{text}");
        }
        let alone = Status { role: Role::Follower, leader: None, ..leader() };
        let text = Metrics::default().text(&alone);
        assert!(has(&text, "raft_is_leader 0") && has(&text, "raft_has_leader 0"), "{text}");
    }

    #[test]
    fn the_text_is_of_the_format() {
        let text = Metrics::default().text(&leader());
        assert!(text.ends_with('\n'));
        let mut name = "";
        for lines in text.lines().collect::<Vec<_>>().windows(2) {
            if let Some((of, help)) = lines[0].strip_prefix("# HELP ").and_then(|line| line.split_once(' ')) {
                assert!(help.ends_with('.') && lines[1].starts_with(&format!("# TYPE {of} ")), "{lines:?}");
                assert_eq!(of.ends_with("_total"), lines[1].ends_with(" counter"), "{lines:?}");
                name = of;
            } else if !lines[0].starts_with('#') {
                let (series, value) = lines[0].rsplit_once(' ').expect("a value");
                assert!(series.split('{').next() == Some(name) && value.parse::<u64>().is_ok(), "{lines:?}");
            }
        }
    }

    #[test]
    fn each_event_is_counted_where_it_belongs() {
        use super::super::event::StepDown;
        let message = Message::TimeoutNow(TimeoutNow { term: 1 });
        let from = "127.0.0.1:1".parse().expect("an address");
        let mut metrics = Metrics::default();
        for event in [
            Event::Core(super::super::Event::BecameCandidate { term: 7, transfer: false }),
            Event::Core(super::super::Event::BecameLeader { term: 7, voters: vec![N1] }),
            Event::Core(super::super::Event::SteppedDown { term: 6, why: StepDown::HigherTerm }),
            Event::Core(super::super::Event::BecamePreCandidate { term: 6 }),
            Event::Sending { to: NodeId(2), message: message.clone() },
            Event::Received { from: NodeId(2), message: std::rc::Rc::new(message) },
            Event::Rejected { from, why: Rejected::Forged },
            Event::SendFailed { to: NodeId(2), why: io::ErrorKind::HostUnreachable },
            Event::SocketError { why: io::ErrorKind::Other },
            Event::Persisted(HardState::default()),
            Event::Stepped { status: leader(), now: Duration::ZERO, done: Duration::ZERO, deadline: None },
        ] {
            metrics.count(&event);
        }
        let (before, after) = (Metrics::default().text(&leader()), metrics.text(&leader()));
        let counted: Vec<_> = after.lines().filter(|line| !before.lines().any(|was| was == *line)).collect();
        assert_eq!(
            counted,
            [
                "raft_elections_started_total 1",
                "raft_elections_won_total 1",
                "raft_step_downs_total 1",
                "raft_messages_sent_total{message=\"TimeoutNow\"} 1",
                "raft_messages_received_total{message=\"TimeoutNow\"} 1",
                "raft_datagrams_rejected_total{reason=\"forged\"} 1",
                "raft_send_failures_total 1",
                "raft_receive_failures_total 1",
                "raft_persists_total 1",
            ]
        );
    }
}
