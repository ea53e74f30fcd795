//! Datagrams that are longer than a network carries whole, in numbered parts.
//!
//! Raft asks of its network that a message arrives whole or not at all. One that the network would cut into IP fragments is
//! lost with any of them, and with as many as a value of a mebibyte has, always. So it goes in parts of its own, and what
//! is lost of them is asked for again: the sender sends the first few, and the receiver asks for the others, some at a time,
//! with those that are missing. A loss costs a round trip, and what is asked for at once shrinks where parts are lost and
//! grows where they are not, so that no buffer on the way has to hold all of it. A part that is overtaken is not lost: one
//! is asked for again a while after the last one came, and that while is longer where parts came twice for it.
//!
//! When nothing comes any more, the receiver asks once more, in twice the time that it took the last time, and then in
//! twice that. A message whose parts still do not come is lost, as any other may be.
//!
//! A message in parts is called by a hash of its bytes: one that is sent again goes on where the first was.

mod receiver;
#[cfg(test)]
mod tests;

use std::collections::VecDeque;
use std::net::SocketAddr;

use bytes::{Buf, BufMut, Bytes};
use xxhash_rust::xxh3::xxh3_64;

pub(super) use self::receiver::{Came, Receiver};
use super::kv::VALUE_BYTES_MAX;

/// The longest message, in bytes: two values of the most that may be, as a compare-and-swap has, in a command, in a message.
pub const MESSAGE_BYTES_MAX: usize = 2 * VALUE_BYTES_MAX + (1 << 16);

/// The most parts that a message has.
const COUNT_MAX: u32 = 4096;

/// How many parts are sent, or asked for, at first, at the least and at the most.
const WINDOW: u32 = 32;
const WINDOW_MIN: u32 = 8;
const WINDOW_MAX: u32 = 64;

/// How many messages are kept to send parts of again, and how many bytes of them.
const KEPT_MAX: usize = 64;
const KEPT_BYTES_MAX: usize = 32 << 20;

/// What a datagram with a part has beside it, sealed as any: its envelope with the kind, id, number and count, and the tag.
pub(in crate::raft) const OVERHEAD_BYTES: usize = 31 + 16 + 32;

/// A part of a message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Part {
    /// Of which message: the hash of its bytes.
    pub id: u64,
    /// Which part, from 0.
    pub number: u32,
    /// How many there are.
    pub count: u32,
    /// The bytes.
    pub bytes: Bytes,
}

/// What a receiver asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PartsWanted {
    /// Of which message.
    pub id: u64,
    /// Which parts: the first of a run, and how many it has.
    pub runs: Vec<(u32, u32)>,
}

impl Part {
    pub(in crate::raft) fn put(&self, bytes: &mut Vec<u8>) {
        bytes.put_u64_le(self.id);
        bytes.put_u32_le(self.number);
        bytes.put_u32_le(self.count);
        bytes.put_slice(&self.bytes);
    }

    pub(in crate::raft) fn take(bytes: &mut &[u8]) -> Option<Self> {
        let (id, number) = (bytes.try_get_u64_le().ok()?, bytes.try_get_u32_le().ok()?);
        let count = bytes.try_get_u32_le().ok()?;
        let bytes = Bytes::copy_from_slice(std::mem::take(bytes));
        Some(Self { id, number, count, bytes })
    }
}

impl PartsWanted {
    pub(in crate::raft) fn put(&self, bytes: &mut Vec<u8>) {
        bytes.put_u64_le(self.id);
        for (first, many) in &self.runs {
            bytes.put_u32_le(*first);
            bytes.put_u32_le(*many);
        }
    }

    pub(in crate::raft) fn take(bytes: &mut &[u8]) -> Option<Self> {
        let id = bytes.try_get_u64_le().ok()?;
        let mut runs = Vec::new();
        while !bytes.is_empty() {
            runs.push((bytes.try_get_u32_le().ok()?, bytes.try_get_u32_le().ok()?));
        }
        Some(Self { id, runs })
    }
}

/// Messages that were sent in parts.
#[derive(Default)]
pub(in crate::raft) struct Sender {
    kept: VecDeque<(SocketAddr, u64, Bytes)>,
    bytes: usize,
}

fn count_of(bytes: usize, part_bytes: usize) -> u32 {
    u32::try_from(bytes.div_ceil(part_bytes)).expect("messages are bounded")
}

fn part(id: u64, whole: &Bytes, number: u32, part_bytes: usize) -> Part {
    let from = number as usize * part_bytes;
    let bytes = whole.slice(from..whole.len().min(from + part_bytes));
    Part { id, number, count: count_of(whole.len(), part_bytes), bytes }
}

impl Sender {
    /// The parts of a message to begin with. `part_bytes`: what one carries.
    pub(in crate::raft) fn send(&mut self, to: SocketAddr, whole: Bytes, part_bytes: usize) -> Vec<Part> {
        let id = xxh3_64(&whole);
        let count = count_of(whole.len(), part_bytes);
        let first = (0..count.min(WINDOW)).map(|number| part(id, &whole, number, part_bytes)).collect();
        if !self.kept.iter().any(|(at, kept, _)| (*at, *kept) == (to, id)) {
            self.bytes += whole.len();
            self.kept.push_back((to, id, whole));
        }
        while self.kept.len() > KEPT_MAX || self.bytes > KEPT_BYTES_MAX {
            let (.., gone) = self.kept.pop_front().expect("there is more than none");
            self.bytes -= gone.len();
        }
        first
    }

    /// The parts that a receiver asks for; none of a message that is not kept any more.
    pub(in crate::raft) fn wanted(&self, by: SocketAddr, wanted: &PartsWanted, part_bytes: usize) -> Vec<Part> {
        let Some((.., whole)) = self.kept.iter().find(|(to, id, _)| (*to, *id) == (by, wanted.id)) else {
            return Vec::new();
        };
        let count = count_of(whole.len(), part_bytes);
        let numbers = wanted.runs.iter().flat_map(|(first, many)| *first..first.saturating_add(*many).min(count));
        numbers.take(WINDOW_MAX as usize * 2).map(|number| part(wanted.id, whole, number, part_bytes)).collect()
    }
}
