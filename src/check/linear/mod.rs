//! C1: whether a history of calls is linearizable, and if not, which call has no place.
//!
//! A history is linearizable if each call can be given a moment between its beginning and its end at which it took effect,
//! all at once, such that every answer is what a store says to which the calls came one after the other (Herlihy and Wing
//! 1990). A call that got no answer may have taken effect at any moment since it began, or never.
//!
//! A history is linearizable if it is so for each key alone, so keys are searched one by one (Horn and Kroening 2015); a
//! scan counts as a read of each key that it could have seen, at whatever moments. The search is that of Wing and Gong
//! (1993) with Lowe's memory of what was tried (2017): which calls have been given their place, and what the store then
//! holds. What only reads is placed as soon as it can be. It is exponential at worst, and stops after [`STEPS_MAX`] steps.

mod search;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet};

use bytes::Bytes;

use crate::raft::kv::{Answer, Operation};

/// How many calls are tried at most, at one key.
pub const STEPS_MAX: u64 = 2_000_000;

/// A call, as its client saw it. Moments are places in the one order of all beginnings and ends.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Call {
    /// What was called.
    pub operation: Operation,
    /// When it began.
    pub began: u64,
    /// When it ended, and with what answer; `None`: it may have taken effect, or may still.
    pub ended: Option<(u64, Answer)>,
}

/// Why a history is not known to be linearizable.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Trouble {
    /// It is not.
    NotLinearizable(Box<NotLinearizable>),
    /// The search was given up.
    Undecided {
        /// At which key.
        key: Bytes,
    },
}

/// What is wrong with a history.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NotLinearizable {
    /// The key whose calls have no order.
    pub key: Bytes,
    /// The longest beginning of an order that was found, as places of the calls in the history.
    pub prefix: Vec<usize>,
    /// What the store holds after that.
    pub holds: Option<Bytes>,
    /// A call that had ended before anything else could come, and that has no place after the prefix.
    pub stuck: usize,
    /// What the store would have to hold for its answer; `None`: no one value would do.
    #[allow(
        clippy::option_option,
        reason = "whether something is known, and whether there is something: two questions"
    )]
    pub needed: Option<Option<Bytes>>,
}

/// A call at one key.
#[derive(Clone, Debug)]
struct AtKey {
    /// Its place in the whole history.
    place: usize,
    act: Act,
    began: u64,
    /// When it ended; `None`: never.
    ended: Option<u64>,
}

/// What a call does at its key, and what it says that it found.
#[derive(Clone, Debug)]
enum Act {
    /// It found this.
    Found(Option<Bytes>),
    /// It puts this there, or removes it.
    Puts(Option<Bytes>),
    /// It adds this.
    Adds(Bytes),
    /// It puts `value` there if `expected` is there; and whether it was, if that is known.
    Swaps { expected: Option<Bytes>, value: Bytes, swapped: Option<bool> },
}

impl Act {
    /// What the key holds after it, if it can come when the key holds this.
    #[allow(
        clippy::option_option,
        reason = "whether something is known, and whether there is something: two questions"
    )]
    fn after(&self, holds: Option<&Bytes>) -> Option<Option<Bytes>> {
        match self {
            Self::Found(found) => (found.as_ref() == holds).then(|| found.clone()),
            Self::Puts(value) => Some(value.clone()),
            Self::Adds(value) => {
                let before: &[u8] = holds.map_or(&[], |before| before);
                Some(Some([before, value].concat().into()))
            }
            Self::Swaps { expected, value, swapped } => {
                let is_there = expected.as_ref() == holds;
                let fits = swapped.is_none_or(|swapped| swapped == is_there);
                fits.then(|| if is_there { Some(value.clone()) } else { holds.cloned() })
            }
        }
    }

    /// Whether it can come when the key holds this, and changes nothing then, whatever comes later.
    fn only_reads(&self, holds: Option<&Bytes>) -> bool {
        match self {
            Self::Found(found) => found.as_ref() == holds,
            Self::Swaps { expected, swapped: Some(false), .. } => expected.as_ref() != holds,
            _ => false,
        }
    }

    /// What the key would have to hold, where only one value would do.
    #[allow(
        clippy::option_option,
        reason = "whether something is known, and whether there is something: two questions"
    )]
    fn needs(&self) -> Option<Option<Bytes>> {
        match self {
            Self::Found(found) => Some(found.clone()),
            Self::Swaps { expected, swapped: Some(true), .. } => Some(expected.clone()),
            _ => None,
        }
    }
}

/// Whether a history of a store that began empty is linearizable.
pub fn check(history: &[Call]) -> Result<(), Trouble> {
    for (key, calls) in by_key(history) {
        search::search(&calls, STEPS_MAX).map_err(|failed| match failed {
            search::Failed::TooLong => Trouble::Undecided { key: key.clone() },
            search::Failed::No { prefix, holds, stuck } => {
                let prefix = prefix.into_iter().map(|place| calls[place].place).collect();
                let (needed, stuck) = (calls[stuck].act.needs(), calls[stuck].place);
                let found = NotLinearizable { key: key.clone(), prefix, holds, stuck, needed };
                Trouble::NotLinearizable(Box::new(found))
            }
        })?;
    }
    Ok(())
}

/// The calls at each key. Those that say nothing about it are left out.
fn by_key(history: &[Call]) -> BTreeMap<Bytes, Vec<AtKey>> {
    let scanned = |(key, _): &(Bytes, Bytes)| key.clone();
    let keys: BTreeSet<Bytes> = history
        .iter()
        .flat_map(|call| match (&call.operation, &call.ended) {
            (Operation::Scan { .. }, Some((_, Answer::Pairs(pairs)))) => pairs.iter().map(scanned).collect(),
            (Operation::Scan { .. }, _) => Vec::new(),
            (operation, _) => vec![operation.key().clone()],
        })
        .collect();
    let mut calls: BTreeMap<Bytes, Vec<AtKey>> = BTreeMap::new();
    for (place, call) in history.iter().enumerate() {
        let (began, ended) = (call.began, call.ended.as_ref().map(|(at, _)| *at));
        let answer = call.ended.as_ref().map(|(_, answer)| answer);
        for (key, act) in acts(&keys, &call.operation, answer) {
            calls.entry(key).or_default().push(AtKey { place, act, began, ended });
        }
    }
    calls
}

fn acts(keys: &BTreeSet<Bytes>, operation: &Operation, answer: Option<&Answer>) -> Vec<(Bytes, Act)> {
    let one = |act| vec![(operation.key().clone(), act)];
    // What was refused, and what only reads and was not answered, says nothing.
    if let Some(Answer::Failed(_)) = answer {
        return Vec::new();
    }
    match (operation, answer) {
        (Operation::Get { .. }, Some(Answer::Value(value))) => one(Act::Found(value.clone())),
        (Operation::Scan { prefix, limit }, Some(Answer::Pairs(pairs))) => {
            let found: BTreeMap<&Bytes, &Bytes> = pairs.iter().map(|(key, value)| (key, value)).collect();
            // Of one that ended by its limit nothing is known beyond its last key.
            let is_full = pairs.len() as u64 >= u64::from(*limit);
            let last = pairs.last().map(|(key, _)| key).filter(|_| is_full);
            let seen = |key: &&Bytes| key.starts_with(prefix) && *limit > 0 && last.is_none_or(|last| *key <= last);
            let act = |key: &Bytes| (key.clone(), Act::Found(found.get(key).map(|value| (*value).clone())));
            keys.iter().filter(seen).map(act).collect()
        }
        (Operation::Get { .. } | Operation::Scan { .. }, _) => Vec::new(),
        (Operation::Put { value, .. }, _) => one(Act::Puts(Some(value.clone()))),
        (Operation::Delete { .. }, _) => one(Act::Puts(None)),
        (Operation::Append { value, .. }, _) => one(Act::Adds(value.clone())),
        (Operation::Cas { expected, value, .. }, answer) => {
            let swapped = if let Some(Answer::Swapped(swapped)) = answer { Some(*swapped) } else { None };
            one(Act::Swaps { expected: expected.clone(), value: value.clone(), swapped })
        }
    }
}
