//! Messages that are being put together.

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::time::Duration;

use bytes::Bytes;
use xxhash_rust::xxh3::xxh3_64;

use super::{COUNT_MAX, MESSAGE_BYTES_MAX, Part, PartsWanted, WINDOW, WINDOW_MAX, WINDOW_MIN};
use crate::raft::NodeId;

/// How long nothing has to come until what is missing is asked for again: at the least, and at the most. In between it is
/// twice what the path takes.
pub(super) const IDLE: Duration = Duration::from_millis(20);
pub(super) const IDLE_MAX: Duration = Duration::from_secs(1);

/// How long after the last part that was asked for the others are waited for, at first.
pub(super) const OVERTAKEN: Duration = Duration::from_millis(1);

/// After asking so often in vain the message is given up.
const ASKED_MAX: u32 = 8;

/// How many messages are put together at a time, of one sender and of all.
const FROM_ONE_MAX: usize = 2;
pub(super) const FROM_ALL_MAX: usize = 64;

/// A message that is being put together.
pub(super) struct Assembly {
    from: SocketAddr,
    /// Who that says it is.
    sender: NodeId,
    id: u64,
    parts: Vec<Option<Bytes>>,
    missing: u32,
    bytes: usize,
    /// The parts before this one were sent or asked for.
    asked: u32,
    window: u32,
    /// When the last part came, or was asked for.
    at: Duration,
    /// When parts were last asked for, if none has come since, and not for the second time: what comes then may be late.
    asked_at: Option<Duration>,
    /// How long nothing has to come until they are asked for again.
    idle: Duration,
    /// How often they were, in vain.
    in_vain: u32,
    /// The last of what was asked for has come: when the rest is taken to be lost.
    lost_at: Option<Duration>,
    /// How long after it that is.
    overtaken: Duration,
    /// What was asked for again when it was last asked, and no part of which has come twice since.
    again: Vec<(u32, u32)>,
}

/// What a part leads to.
#[derive(Debug, PartialEq, Eq)]
pub(in crate::raft) enum Came {
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
pub(in crate::raft) struct Receiver {
    pub(super) assemblies: VecDeque<Assembly>,
    /// What was put together last, so that parts which come twice begin nothing.
    done: VecDeque<(SocketAddr, u64)>,
}

impl Receiver {
    /// A part came.
    pub(in crate::raft) fn take(&mut self, now: Duration, (from, sender): (SocketAddr, NodeId), part: Part) -> Came {
        let Part { id, number, count, bytes } = part;
        if number >= count || bytes.is_empty() || count > COUNT_MAX {
            return Came::Malformed;
        }
        if self.done.contains(&(from, id)) {
            return Came::Nothing;
        }
        let place = self.place(now, (from, sender), id, count);
        let assembly = &mut self.assemblies[place];
        if assembly.parts.len() != count as usize || assembly.bytes + bytes.len() > MESSAGE_BYTES_MAX {
            self.assemblies.remove(place);
            return Came::Malformed;
        }
        if assembly.parts[number as usize].is_some() {
            assembly.came_twice(number);
            return Came::Nothing;
        }
        assembly.heard(now);
        assembly.bytes += bytes.len();
        assembly.missing -= 1;
        assembly.parts[number as usize] = Some(bytes);
        if assembly.missing > 0 {
            return assembly.after(now, number);
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

    fn place(&mut self, now: Duration, (from, sender): (SocketAddr, NodeId), id: u64, count: u32) -> usize {
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
            sender,
            id,
            parts: vec![None; count as usize],
            missing: count,
            bytes: 0,
            asked: count.min(WINDOW),
            window: WINDOW,
            at: now,
            asked_at: None,
            idle: IDLE,
            in_vain: 0,
            lost_at: None,
            overtaken: OVERTAKEN,
            again: Vec::new(),
        });
        self.assemblies.len() - 1
    }

    /// Whether nothing is being put together, as mostly.
    pub(in crate::raft) fn is_idle(&self) -> bool {
        self.assemblies.is_empty()
    }

    /// When something is to be asked for again, if nothing comes before.
    pub(in crate::raft) fn deadline(&self) -> Option<Duration> {
        self.assemblies.iter().map(Assembly::deadline).min()
    }

    /// What is to be asked for again, and of whom. What was asked for often enough is given up.
    pub(in crate::raft) fn overdue(&mut self, now: Duration) -> Vec<(SocketAddr, NodeId, PartsWanted)> {
        let is_due = |assembly: &Assembly| assembly.deadline() <= now;
        self.assemblies.retain(|assembly| !is_due(assembly) || assembly.in_vain < ASKED_MAX);
        let due = self.assemblies.iter_mut().filter(|assembly| is_due(assembly));
        due.map(|assembly| (assembly.from, assembly.sender, assembly.ask_again(now))).collect()
    }
}

impl Assembly {
    /// A part came.
    fn heard(&mut self, now: Duration) {
        if let Some(asked_at) = self.asked_at.take() {
            self.idle = (now.saturating_sub(asked_at) * 2).clamp(IDLE, IDLE_MAX);
        }
        (self.at, self.in_vain) = (now, 0);
    }

    /// One came that is there. It was overtaken and not lost, if it is of those that were asked for again: the sender
    /// repeats the first ones, too.
    fn came_twice(&mut self, number: u32) {
        if self.again.iter().any(|(first, many)| (*first..first + many).contains(&number)) {
            self.again.clear();
            self.overtaken = (self.overtaken * 2).min(self.idle);
        }
    }

    fn deadline(&self) -> Duration {
        let idle = self.at + self.idle;
        self.lost_at.map_or(idle, |at| at.min(idle))
    }

    /// What does not come is lost.
    fn ask_again(&mut self, now: Duration) -> PartsWanted {
        self.window = (self.window / 2).max(WINDOW_MIN);
        if self.lost_at.is_some() {
            return self.ask(now, self.window / 2);
        }
        let wanted = self.ask(now, 0);
        self.asked_at = None;
        self.idle = (self.idle * 2).min(IDLE_MAX);
        self.in_vain += 1;
        wanted
    }

    /// What is to be asked for once this part is there: when all has come that was asked for, more; else nothing.
    fn after(&mut self, now: Duration, number: u32) -> Came {
        let awaited = self.parts[..self.asked as usize].iter().filter(|part| part.is_none()).count();
        if awaited == 0 {
            self.window = (self.window * 2).min(WINDOW_MAX);
            return Came::Wants(self.ask(now, self.window));
        }
        if number + 1 == self.asked {
            self.lost_at = Some(now + self.overtaken);
        }
        Came::Nothing
    }

    /// Asks for what is missing of what was asked for before, and for so many more.
    fn ask(&mut self, now: Duration, more: u32) -> PartsWanted {
        (self.at, self.asked_at, self.lost_at) = (now, Some(now), None);
        let asked_before = self.asked;
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
        let of_before = |(first, many): &(u32, u32)| (*first, (*many).min(asked_before.saturating_sub(*first)));
        self.again = runs.iter().map(of_before).filter(|(_, many)| *many > 0).collect();
        PartsWanted { id: self.id, runs }
    }
}
