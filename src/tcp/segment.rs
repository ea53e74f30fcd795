//! What goes over the wire.

use super::Micros;

/// A TCP segment. Sequence numbers begin at 0 with the SYN, so that the first byte of data has number 1.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[allow(clippy::struct_excessive_bools, reason = "they are the header's flags")]
pub struct Segment {
    /// Opens a connection.
    pub syn: bool,
    /// Ends one direction.
    pub fin: bool,
    /// Ends the connection by force.
    pub rst: bool,
    /// Ends what was written at once.
    pub psh: bool,
    /// The number of the first byte.
    pub seq: u64,
    /// The next number that is expected of the other end.
    pub ack: Option<u64>,
    /// How many bytes the other end may send beyond `ack`.
    pub window: u64,
    /// What has arrived beyond `ack`: from, to (RFC 2018). If the first one lies before `ack` or within the second, it is
    /// what has arrived twice (RFC 2883).
    pub sacks: Vec<(u64, u64)>,
    /// When it left, by its sender's clock (RFC 7323).
    pub stamp: Micros,
    /// The stamp of the segment that is acknowledged.
    pub echo: Option<Micros>,
    /// The data.
    pub payload: Vec<u8>,
}

impl Segment {
    /// How many numbers it takes.
    pub fn length(&self) -> u64 {
        self.payload.len() as u64 + u64::from(self.syn) + u64::from(self.fin)
    }

    /// The number behind its last one.
    pub fn end(&self) -> u64 {
        self.seq + self.length()
    }
}

/// What a segment is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    /// Opens a connection.
    Syn,
    /// Answers a SYN.
    SynAck,
    /// Data; counted by direction, from 1.
    Data(u64),
    /// An acknowledgement that rides on nothing.
    Ack,
    /// Ends one direction; counted like data.
    Fin(u64),
    /// Ends the connection by force.
    Rst,
}

/// Why a segment is sent that was sent before.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Why {
    /// Later segments have arrived: fast retransmission.
    Fast,
    /// Nothing was heard for two round trips: tail loss probe.
    Probe,
    /// Nothing was heard for longer.
    Timeout,
    /// It was sent before a timeout, and is lost with what the timeout was of.
    AfterTimeout,
    /// The other end asked again: a SYN that has been answered came once more.
    Asked,
}

impl Why {
    /// Its name in data.
    pub fn name(self) -> &'static str {
        match self {
            Self::Fast => "fast",
            Self::Probe => "probe",
            Self::Timeout => "timeout",
            Self::AfterTimeout => "after-timeout",
            Self::Asked => "asked",
        }
    }
}

/// A segment that leaves.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Transmission {
    /// What goes over the wire.
    pub segment: Segment,
    /// What it is for.
    pub kind: Kind,
    /// How often it was sent before.
    pub attempt: u32,
    /// Why it is sent: again, or ahead of its turn. `None`: it is its turn.
    pub why: Option<Why>,
}
