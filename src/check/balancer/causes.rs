//! Whether there was any cause for what is held against a backend.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use super::requests::{BALANCER, TRANSIT_MAX};
use crate::balancer::policy::Failure;
use crate::sim::Breach;
use crate::sim::trace::{HostId, Record, What};

/// How long after a backend closed a connection that carried nothing a request over it may fail.
const CLOSING: Duration = Duration::from_secs(1);

/// Backends with which something is, or once was, wrong.
#[derive(Default)]
pub(super) struct Causes {
    /// Something was wrong with the balancer itself, which excuses all that it holds against anybody.
    is_balancer_disturbed: bool,
    wrong: BTreeSet<String>,
    /// When each last closed a connection between requests, as it may.
    closed: BTreeMap<String, Duration>,
    /// Packets between the balancer and backends: the backend, and when each was sent.
    packets: BTreeMap<u64, (String, Duration)>,
}

impl Causes {
    /// A host does not do what it is there for.
    pub(super) fn misbehaves(&mut self, host: &str) {
        if host == BALANCER {
            self.is_balancer_disturbed = true;
        } else {
            self.wrong.insert(host.to_owned());
        }
    }

    /// A backend closes a connection between two requests.
    pub(super) fn closes(&mut self, backend: &str, at: Duration) {
        self.closed.insert(backend.to_owned(), at);
    }

    /// Whether nothing has been wrong so far with anybody.
    pub(super) fn are_none(&self) -> bool {
        !self.is_balancer_disturbed && self.wrong.is_empty()
    }

    /// Whether nothing has been wrong so far with a backend, nor with the balancer.
    pub(super) fn is_well(&self, backend: &str) -> bool {
        !self.is_balancer_disturbed && !self.wrong.contains(backend)
    }

    /// A backend is blamed for the end of a request. That it was too slow is a matter of patience, and not looked into.
    pub(super) fn blamed(&self, backend: &str, failure: Failure, at: Duration) -> Option<Breach> {
        let is_slow = matches!(failure, Failure::Timeout | Failure::ConnectTimeout);
        let has_closed = self.closed.get(backend).is_some_and(|closed| *closed + CLOSING >= at);
        if is_slow || has_closed || self.is_balancer_disturbed || self.wrong.contains(backend) {
            return None;
        }
        let text = format!("`{failure}` counts against {backend}, with which nothing was ever wrong");
        Some(Breach::new("who is blamed has failed", text))
    }

    /// Any record: packets between the balancer and backends are followed, and who stands still.
    pub(super) fn record(&mut self, record: &Record, names: &[String]) {
        let name = |host: HostId| names[usize::from(host.0)].as_str();
        match &record.what {
            What::Sent(packet) => {
                let backend = match (name(packet.from), name(packet.to)) {
                    (BALANCER, other) | (other, BALANCER) if other.starts_with('b') => other,
                    _ => return,
                };
                self.packets.insert(packet.id, (backend.to_owned(), record.at));
            }
            What::Delivered { packet, .. } => {
                if let Some((backend, sent)) = self.packets.remove(packet)
                    && record.at - sent > TRANSIT_MAX
                {
                    self.wrong.insert(backend);
                }
            }
            What::Lost { packet, .. } | What::Held { packet } | What::GivenUp { packet, .. } => {
                if let Some((backend, _)) = self.packets.get(packet) {
                    self.wrong.insert(backend.clone());
                }
            }
            What::Killed
            | What::PowerLost
            | What::Paused
            | What::Finished
            | What::Failed { .. }
            | What::Panicked { .. } => {
                if let Some(host) = record.host {
                    self.misbehaves(name(host));
                }
            }
            _ => {}
        }
    }
}
