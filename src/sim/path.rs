//! One direction of a link by itself: what would become of its packets, one after the other.

use std::time::Duration;

use crate::rng::Seed;
use crate::script::Script;

use super::deeds::Deeds;
use super::links::Links;
use super::trace::HostId;

/// What becomes of the packets from one host to another, as a run of a script and a seed has it before any step: for whoever
/// makes a network of another kind behave like that one. `benches/twin` does so with this machine's kernel.
pub struct Path {
    links: Links,
    ends: (HostId, HostId),
}

impl Path {
    /// The path from one of these hosts to another; `None` if it is not among them.
    pub fn new(script: &Script, seed: Seed, hosts: &[String], from: &str, to: &str) -> Option<Self> {
        let place = |name: &str| {
            let place = hosts.iter().position(|host| host == name)?;
            Some(HostId(u16::try_from(place).ok()?))
        };
        let ends = (place(from)?, place(to)?);
        let links = Links::new(seed, hosts.to_vec(), script.network.clone(), script.links.clone(), Deeds::default());
        Some(Self { links, ends })
    }

    /// How long the next packet takes; `None`: it is lost.
    pub fn next_packet(&mut self) -> Option<Duration> {
        let (from, to) = self.ends;
        let number = self.links.next_packet(from, to);
        let lost = self.links.loses(from, to, number, 0).is_some();
        (!lost).then(|| self.links.latency(from, to, number, 0))
    }
}
