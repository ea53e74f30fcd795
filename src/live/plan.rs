//! What a live run is made of, as plain data: hosts with their programs, and what is expected of them.

use std::net::Ipv4Addr;
use std::path::PathBuf;
use std::time::Duration;

use regex::bytes::Regex;

use crate::script::Comparison;
use crate::sim::{PacketBytes, Witness};

use super::http::Url;
use super::relay::Namer;

/// The addresses of all hosts begin with these bits.
pub(super) const PREFIX: u8 = 16;
/// Who asks hosts from outside, by links that no fault touches.
pub(super) const OBSERVER: Ipv4Addr = Ipv4Addr::new(10, 88, 255, 254);
/// How many hosts there are addresses for.
pub(super) const HOSTS_MAX: usize = 1_000;

/// The address of the host at a place.
pub(super) fn address(place: usize) -> Ipv4Addr {
    let [high, low] = u16::try_from(place + 1).expect("there are not so many hosts").to_be_bytes();
    Ipv4Addr::new(10, 88, high, low)
}

/// How long packets are, in bytes.
pub(super) fn packet_bytes_max(packets: PacketBytes) -> u32 {
    match packets {
        PacketBytes::Ethernet => 1_500,
        PacketBytes::Datagrams => 65_535,
    }
}

/// A live run to be.
pub(super) struct Plan {
    pub(super) hosts: Vec<HostPlan>,
    pub(super) packets: PacketBytes,
    pub(super) expectations: Vec<Expectation>,
    /// How long hosts may take to become ready.
    pub(super) ready_within: Duration,
    pub(super) namer: Namer,
    /// Who understands what the hosts say, where they are a system's.
    pub(super) witness: Option<Box<dyn Witness>>,
    /// What is to be read beside the verdict.
    pub(super) notes: Vec<String>,
}

/// One host.
#[derive(Clone, Debug)]
pub(super) struct HostPlan {
    pub(super) name: String,
    /// For the shell; `{dir}`, `{host}`, `{addr}`, `{incarnation}` and `{since}` stand for its own.
    pub(super) command: String,
    pub(super) env: Vec<(String, String)>,
    /// What is in its directory when it starts.
    pub(super) files: Vec<(&'static str, String)>,
    /// A directory that outlives the run; `None`: one that is made for it.
    pub(super) directory: Option<PathBuf>,
    /// Whether it begins once the others are ready, but for workloads.
    pub(super) last: bool,
    /// Whether the run waits for its end.
    pub(super) workload: bool,
    pub(super) ready: Option<Ready>,
    pub(super) memory_bytes_max: Option<u64>,
    /// How long it may run.
    pub(super) time_max: Option<Duration>,
}

/// How it shows that a host is ready.
#[derive(Clone, Debug)]
pub(super) enum Ready {
    Port(u16),
    Line(Pattern),
    Url(Url),
}

/// A regular expression, and how it was written.
#[derive(Clone, Debug)]
pub(super) struct Pattern {
    pub(super) text: String,
    pub(super) regex: Regex,
}

/// What must be so at the end, or at some time.
#[derive(Clone, Debug)]
pub(super) enum Expectation {
    /// The program of a host ends with such a code.
    Exit { host: usize, bound: Comparison },
    /// So many lines of a host's output match.
    Lines { host: usize, pattern: Pattern, bound: Comparison },
    /// Asked from outside, a host answers so. Without a time: at the end.
    Probe { url: Url, host: usize, at: Option<Duration>, status: Comparison, body: Option<Pattern> },
}

impl HostPlan {
    /// Its command, with what stands for its own put in.
    pub(super) fn command_in(&self, directory: &str, address: Ipv4Addr, incarnation: u32, since: Duration) -> String {
        let with = |command: String, (what, by): &(&str, String)| command.replace(what, by);
        let (host, address, incarnation) = (self.name.clone(), address.to_string(), incarnation.to_string());
        let since = since.as_micros().to_string();
        [
            ("{dir}", directory.to_owned()),
            ("{host}", host),
            ("{addr}", address),
            ("{incarnation}", incarnation),
            ("{since}", since),
        ]
        .iter()
        .fold(self.command.clone(), with)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_host_has_an_address_of_its_own_and_none_is_the_observers() {
        let all: Vec<_> = (0..HOSTS_MAX).map(address).collect();
        assert_eq!(
            (all[0], all[254], all[255]),
            ("10.88.0.1".parse().unwrap(), "10.88.0.255".parse().unwrap(), "10.88.1.0".parse().unwrap())
        );
        assert!(!all.contains(&OBSERVER));
    }
}
