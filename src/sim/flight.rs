//! A packet under way.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::time::Duration;

use bytes::Bytes;

use crate::tcp::Segment;

use super::trace::{HostId, Packet, PacketKind};

/// A packet that lies on a link.
pub(crate) struct Flight {
    pub(crate) packet: Packet,
    /// Its number among the packets of its direction: the key of its draws.
    pub(crate) number: u64,
    /// The record of its sending, or of this transmission's.
    pub(crate) record: u64,
    /// The transmission: 0 is the first.
    pub(crate) attempt: u32,
    /// When this transmission left.
    pub(crate) left: Duration,
    /// The boot of the sending machine.
    pub(crate) boot: u32,
    pub(crate) state: State,
    /// The segment, if the testbed's own TCP sends it: that sends it again by itself.
    pub(crate) segment: Option<Box<Segment>>,
    /// What the script says of this very packet: places among its rules.
    pub(crate) fates: Vec<usize>,
}

impl Flight {
    /// One to be filled in.
    pub(crate) fn empty() -> Self {
        let nowhere = SocketAddr::new(IpAddr::V4(Ipv4Addr::UNSPECIFIED), 0);
        let (from, to, kind) = (HostId(0), HostId(0), PacketKind::Udp);
        Self {
            packet: Packet {
                id: 0,
                from,
                to,
                src: nowhere,
                dst: nowhere,
                kind,
                payload: Bytes::new(),
                tcp: None,
                label: None,
            },
            number: 0,
            record: 0,
            attempt: 0,
            left: Duration::ZERO,
            boot: 0,
            state: State::Dead,
            segment: None,
            fates: Vec::new(),
        }
    }
}

/// Where a packet is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum State {
    /// On its way; arrives when due.
    Travelling { due: Duration },
    /// A SYN that has arrived; its answer is back when due.
    Answered { due: Duration },
    /// A TCP segment that was lost; it is sent again at this time.
    Waiting { at: Duration },
    /// Held back by a step.
    Held { step: usize },
    /// Never to be delivered.
    Dead,
    /// Handed to turmoil for the next step.
    Done,
}
