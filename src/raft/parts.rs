//! Datagrams that are longer than a network carries whole, in numbered parts.
//!
//! Raft asks of its network that a message arrives whole or not at all. One that the network would cut into IP fragments is
//! lost with any of them, and with as many as a value of a mebibyte has, always. So it goes in parts of its own, and what
//! is lost of them is asked for again: the sender sends the first few, and the receiver asks for the others, some at a time,
//! with those that are missing. A loss costs a round trip, and what is asked for at once shrinks where parts are lost and
//! grows where they are not, so that no buffer on the way has to hold all of it.
//!
//! There is no timer. When nothing comes any more, the next datagram from the same sender (a heartbeat, a request that is
//! asked again) makes the receiver ask once more. A message whose parts do not come is lost as any other may be.
//!
//! A message in parts is called by a hash of its bytes: one that is sent again goes on where the first was.

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::time::Duration;

use bytes::{Buf, BufMut, Bytes};
use xxhash_rust::xxh3::xxh3_64;

/// The longest message, in bytes: a value of the most that may be, in a command, in a message.
pub const MESSAGE_BYTES_MAX: usize = (1 << 20) + (1 << 16);

/// The most parts that a message has.
const COUNT_MAX: u32 = 4096;

/// How many parts are sent, or asked for, at first, at the least and at the most.
const WINDOW: u32 = 32;
const WINDOW_MIN: u32 = 8;
const WINDOW_MAX: u32 = 64;

/// After so long without a part, what is missing is asked for again.
const IDLE: Duration = Duration::from_millis(20);

/// How many messages are put together at a time, of one sender and of all.
const FROM_ONE_MAX: usize = 2;
const FROM_ALL_MAX: usize = 64;

/// How many messages are kept to send parts of again, and how many bytes of them.
const KEPT_MAX: usize = 64;
const KEPT_BYTES_MAX: usize = 32 << 20;

/// What a datagram with a part has beside it, sealed as any: its envelope with the kind, id, number and count, and the tag.
pub(super) const OVERHEAD_BYTES: usize = 31 + 16 + 32;

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
    pub(super) fn put(&self, bytes: &mut Vec<u8>) {
        bytes.put_u64_le(self.id);
        bytes.put_u32_le(self.number);
        bytes.put_u32_le(self.count);
        bytes.put_slice(&self.bytes);
    }

    pub(super) fn take(bytes: &mut &[u8]) -> Option<Self> {
        let (id, number) = (bytes.try_get_u64_le().ok()?, bytes.try_get_u32_le().ok()?);
        let count = bytes.try_get_u32_le().ok()?;
        let bytes = Bytes::copy_from_slice(std::mem::take(bytes));
        Some(Self { id, number, count, bytes })
    }
}

impl PartsWanted {
    pub(super) fn put(&self, bytes: &mut Vec<u8>) {
        bytes.put_u64_le(self.id);
        for (first, many) in &self.runs {
            bytes.put_u32_le(*first);
            bytes.put_u32_le(*many);
        }
    }

    pub(super) fn take(bytes: &mut &[u8]) -> Option<Self> {
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
pub(super) struct Sender {
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
    pub(super) fn send(&mut self, to: SocketAddr, whole: Bytes, part_bytes: usize) -> Vec<Part> {
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
    pub(super) fn wanted(&self, by: SocketAddr, wanted: &PartsWanted, part_bytes: usize) -> Vec<Part> {
        let Some((.., whole)) = self.kept.iter().find(|(to, id, _)| (*to, *id) == (by, wanted.id)) else {
            return Vec::new();
        };
        let count = count_of(whole.len(), part_bytes);
        let numbers = wanted.runs.iter().flat_map(|(first, many)| *first..first.saturating_add(*many).min(count));
        numbers.take(WINDOW_MAX as usize * 2).map(|number| part(wanted.id, whole, number, part_bytes)).collect()
    }
}

/// A message that is being put together.
struct Assembly {
    from: SocketAddr,
    id: u64,
    parts: Vec<Option<Bytes>>,
    missing: u32,
    bytes: usize,
    /// The parts before this one were sent or asked for.
    asked: u32,
    window: u32,
    /// When the last part came, or was asked for.
    at: Duration,
}

/// What a part leads to.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Came {
    /// More are awaited.
    Nothing,
    /// These are to be asked for.
    Wants(PartsWanted),
    /// The message is there.
    Whole(Bytes),
    /// It is no part of any message.
    Malformed,
}

/// Messages that are being put together.
#[derive(Default)]
pub(super) struct Receiver {
    assemblies: VecDeque<Assembly>,
    /// What was put together last, so that parts which come twice begin nothing.
    done: VecDeque<(SocketAddr, u64)>,
}

impl Receiver {
    /// A part came.
    pub(super) fn take(&mut self, now: Duration, from: SocketAddr, part: Part) -> Came {
        let Part { id, number, count, bytes } = part;
        if number >= count || bytes.is_empty() || count > COUNT_MAX {
            return Came::Malformed;
        }
        if self.done.contains(&(from, id)) {
            return Came::Nothing;
        }
        let place = self.place(now, from, id, count);
        let assembly = &mut self.assemblies[place];
        if assembly.parts.len() != count as usize || assembly.bytes + bytes.len() > MESSAGE_BYTES_MAX {
            self.assemblies.remove(place);
            return Came::Malformed;
        }
        assembly.at = now;
        let slot = &mut assembly.parts[number as usize];
        if slot.is_none() {
            assembly.bytes += bytes.len();
            assembly.missing -= 1;
            *slot = Some(bytes);
        }
        if assembly.missing > 0 {
            return assembly.after(number);
        }
        let assembly = self.assemblies.remove(place).expect("it is there");
        if self.done.len() == FROM_ALL_MAX {
            self.done.pop_front();
        }
        self.done.push_back((from, id));
        let parts: Vec<Bytes> = assembly.parts.into_iter().flatten().collect();
        let whole = Bytes::from(parts.concat());
        if xxh3_64(&whole) == id { Came::Whole(whole) } else { Came::Malformed }
    }

    fn place(&mut self, now: Duration, from: SocketAddr, id: u64, count: u32) -> usize {
        if let Some(place) = self.assemblies.iter().position(|at| (at.from, at.id) == (from, id)) {
            return place;
        }
        let of_same: Vec<usize> =
            self.assemblies.iter().enumerate().filter(|(_, at)| at.from == from).map(|(place, _)| place).collect();
        if of_same.len() >= FROM_ONE_MAX {
            self.assemblies.remove(of_same[0]);
        } else if self.assemblies.len() >= FROM_ALL_MAX {
            self.assemblies.pop_front();
        }
        self.assemblies.push_back(Assembly {
            from,
            id,
            parts: vec![None; count as usize],
            missing: count,
            bytes: 0,
            asked: count.min(WINDOW),
            window: WINDOW,
            at: now,
        });
        self.assemblies.len() - 1
    }

    /// Something else came from there: what does not come any more is asked for again.
    pub(super) fn heard(&mut self, now: Duration, from: SocketAddr) -> Vec<PartsWanted> {
        let idle = self.assemblies.iter_mut().filter(|at| at.from == from && now >= at.at + IDLE);
        idle.map(|assembly| {
            assembly.at = now;
            assembly.shrink();
            assembly.ask(0)
        })
        .collect()
    }

    /// Whether nothing is being put together, as mostly.
    pub(super) fn is_idle(&self) -> bool {
        self.assemblies.is_empty()
    }
}

impl Assembly {
    fn shrink(&mut self) {
        self.window = (self.window / 2).max(WINDOW_MIN);
    }

    /// What is to be asked for once this part is there: when the last one came that was asked for, what is missing and
    /// more; else nothing.
    fn after(&mut self, number: u32) -> Came {
        let awaited = self.parts[..self.asked as usize].iter().filter(|part| part.is_none()).count();
        if awaited == 0 {
            self.window = (self.window * 2).min(WINDOW_MAX);
            return Came::Wants(self.ask(self.window));
        }
        if number + 1 == self.asked {
            self.shrink();
            return Came::Wants(self.ask(self.window / 2));
        }
        Came::Nothing
    }

    /// Asks for what is missing of what was asked for before, and for so many more.
    fn ask(&mut self, more: u32) -> PartsWanted {
        let count = u32::try_from(self.parts.len()).expect("messages are bounded");
        self.asked = self.asked.saturating_add(more).min(count);
        let mut runs: Vec<(u32, u32)> = Vec::new();
        for number in (0..self.asked).filter(|number| self.parts[*number as usize].is_none()) {
            let is_full = runs.len() >= WINDOW_MAX as usize;
            match runs.last_mut() {
                Some((first, many)) if *first + *many == number => *many += 1,
                _ if is_full => break,
                _ => runs.push((number, 1)),
            }
        }
        PartsWanted { id: self.id, runs }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use rand::Rng as _;

    use super::*;
    use crate::rng::Seed;

    const PART_BYTES: usize = 100;

    fn at(port: u16) -> SocketAddr {
        SocketAddr::from(([10, 0, 0, 1], port))
    }

    fn message(length: usize, fill: u64) -> Bytes {
        (0..length).map(|place| (place as u64 * 31).wrapping_add(fill).to_le_bytes()[0]).collect()
    }

    /// Sends a message over a link that loses parts and requests for them, in turns of a round trip each. How many there
    /// were until it was there, and how many parts were sent.
    fn turns(whole: &Bytes, seed: u64, loss: f64) -> (u32, usize) {
        let mut rng = Seed(seed).stream("parts");
        let (mut sender, mut receiver) = (Sender::default(), Receiver::default());
        let mut flying = sender.send(at(2), whole.clone(), PART_BYTES);
        let (mut turn, mut sent) = (0, flying.len());
        loop {
            turn += 1;
            assert!(turn < 10_000, "it never comes");
            let now = Duration::from_millis(100) * turn;
            let mut wants = Vec::new();
            for part in std::mem::take(&mut flying) {
                if rng.random_bool(loss) {
                    continue;
                }
                match receiver.take(now, at(1), part) {
                    Came::Whole(there) => {
                        assert_eq!(there, *whole);
                        return (turn, sent);
                    }
                    Came::Wants(wanted) => wants.push(wanted),
                    Came::Nothing => {}
                    Came::Malformed => panic!("nobody changed anything"),
                }
            }
            if wants.is_empty() && receiver.is_idle() {
                // Not one part came: the sender sends it again, in time.
                flying = sender.send(at(2), whole.clone(), PART_BYTES);
            }
            if wants.is_empty() {
                wants = receiver.heard(now + IDLE, at(1));
            }
            for wanted in wants.into_iter().filter(|_| !rng.random_bool(loss)) {
                flying.extend(sender.wanted(at(2), &wanted, PART_BYTES));
            }
            sent += flying.len();
        }
    }

    #[test]
    fn a_message_comes_in_as_many_round_trips_as_windows() {
        assert_eq!(turns(&message(PART_BYTES * 32, 1), 1, 0.0), (1, 32));
        assert_eq!(turns(&message(PART_BYTES * 800 - 1, 1), 1, 0.0), (13, 800));
    }

    #[test]
    fn a_lost_part_costs_a_round_trip_and_is_all_that_is_sent_again() {
        let whole = message(PART_BYTES * 40, 2);
        let (mut sender, mut receiver) = (Sender::default(), Receiver::default());
        let mut parts = sender.send(at(2), whole.clone(), PART_BYTES);
        parts.remove(3);
        let came: Vec<Came> = parts.into_iter().map(|part| receiver.take(Duration::ZERO, at(1), part)).collect();
        let wants = match came.last() {
            Some(Came::Wants(wanted)) => wanted.clone(),
            other => panic!("it asks for what is missing, not {other:?}"),
        };
        assert_eq!(wants.runs, [(3, 1), (32, 8)]);
        let mut rest = sender.wanted(at(2), &wants, PART_BYTES).into_iter();
        let last = rest.next_back().expect("nine");
        assert!(rest.all(|part| receiver.take(Duration::ZERO, at(1), part) == Came::Nothing));
        assert_eq!(receiver.take(Duration::ZERO, at(1), last), Came::Whole(whole));
    }

    #[test]
    fn one_that_is_sent_again_goes_on_where_the_first_was_and_begins_nothing_once_it_is_there() {
        let whole = message(PART_BYTES * 4, 3);
        let (mut sender, mut receiver) = (Sender::default(), Receiver::default());
        let first = sender.send(at(2), whole.clone(), PART_BYTES);
        for part in &first[..2] {
            assert_eq!(receiver.take(Duration::ZERO, at(1), part.clone()), Came::Nothing);
        }
        let again = sender.send(at(2), whole.clone(), PART_BYTES);
        assert_eq!(receiver.take(Duration::ZERO, at(1), again[2].clone()), Came::Nothing);
        assert_eq!(receiver.take(Duration::ZERO, at(1), again[3].clone()), Came::Whole(whole));
        assert_eq!(receiver.take(Duration::ZERO, at(1), again[0].clone()), Came::Nothing);
        assert!(receiver.is_idle());
    }

    #[test]
    fn what_fits_nothing_is_malformed_and_strangers_take_little_room() {
        let mut receiver = Receiver::default();
        let part = |id, number, count, length| Part { id, number, count, bytes: message(length, 0) };
        assert_eq!(receiver.take(Duration::ZERO, at(1), part(1, 3, 3, 5)), Came::Malformed);
        assert_eq!(receiver.take(Duration::ZERO, at(1), part(1, 0, 3, 0)), Came::Malformed);
        assert_eq!(receiver.take(Duration::ZERO, at(1), part(1, 0, u32::MAX, 5)), Came::Malformed);
        receiver.take(Duration::ZERO, at(1), part(1, 0, 3, 5));
        assert_eq!(receiver.take(Duration::ZERO, at(1), part(1, 0, 4, 5)), Came::Malformed, "another count");
        for id in 0..500 {
            let port = u16::try_from(id % 300).expect("small");
            receiver.take(Duration::ZERO, at(port), part(id, 0, 3, 5));
        }
        assert!(receiver.assemblies.len() <= FROM_ALL_MAX);
    }

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(40) })]

        #[test]
        fn it_comes_whatever_is_lost_and_not_much_is_sent_twice(
            length in 1..60_000_usize,
            seed in any::<u64>(),
            loss in 0.0..0.3_f64,
        ) {
            let whole = message(length, seed);
            let (_, sent) = turns(&whole, seed, loss);
            let parts = length.div_ceil(PART_BYTES);
            prop_assert!(sent <= parts * 3 + 200, "{} parts for {}", sent, parts);
        }
    }
}
