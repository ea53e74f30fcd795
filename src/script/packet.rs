//! What becomes of single packets: the finest fault that a script can name.

use std::time::Duration;

use super::HostPattern;

/// The fate of one packet.
#[derive(Clone, Debug, PartialEq)]
pub struct PacketRule {
    /// Its sender.
    pub from: HostPattern,
    /// Its receiver.
    pub to: HostPattern,
    /// Count only packets that the system calls by this name; `None`: all.
    pub message: Option<String>,
    /// Which of them, from 1. Copies that the network makes do not count, nor does what TCP sends again.
    pub nth: u64,
    /// Which transmission of it: 0 is the first, the others are TCP's retransmissions.
    pub attempt: u32,
    /// What becomes of it.
    pub fate: Fate,
}

/// What becomes of a packet.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Fate {
    /// It is lost. A TCP segment is sent again after its timeout.
    Lose,
    /// It takes so long, whatever the link says.
    Latency(Duration),
    /// A datagram that arrives twice; the time that the copy takes, or what the link says.
    Duplicate(Option<Duration>),
    /// This bit of a datagram is flipped, counted from the lowest of its first byte, and again from there at its end.
    Corrupt(u64),
}

impl PacketRule {
    /// Whether two rules say the same thing, maybe differently, of the same packet.
    pub(super) fn repeats(&self, other: &Self) -> bool {
        let same_kind = std::mem::discriminant(&self.fate) == std::mem::discriminant(&other.fate);
        let which = |rule: &Self| (rule.from.clone(), rule.to.clone(), rule.message.clone(), rule.nth, rule.attempt);
        same_kind && self.nth == other.nth && which(self) == which(other)
    }
}
