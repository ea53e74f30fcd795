//! The search for an order at one key.

use std::collections::{BTreeMap, BTreeSet};

use bytes::Bytes;

use super::AtKey;

/// Why no order was found.
#[derive(Debug)]
pub(super) enum Failed {
    /// There is none; places are those of the calls searched.
    No { prefix: Vec<usize>, holds: Option<Bytes>, stuck: usize },
    /// It took too long.
    TooLong,
}

/// What happens to a call, in the order of moments.
#[derive(Clone, Copy)]
enum Moment {
    Begins(usize),
    Ends(usize),
}

/// The moments that are left, as a list that entries are taken out of and put back into. Place 0 is before the first.
struct Left {
    moments: Vec<Moment>,
    next: Vec<usize>,
    before: Vec<usize>,
    /// Where each call ends; 0: never.
    end_of: Vec<usize>,
}

impl Left {
    fn new(calls: &[AtKey]) -> Self {
        let begins = calls.iter().enumerate().map(|(call, at)| (at.began, Moment::Begins(call)));
        let ends = calls.iter().enumerate().filter_map(|(call, at)| Some((at.ended?, Moment::Ends(call))));
        let mut moments: Vec<(u64, Moment)> = begins.chain(ends).collect();
        moments.sort_by_key(|(at, moment)| (*at, matches!(moment, Moment::Ends(_))));
        let moments: Vec<Moment> = moments.into_iter().map(|(_, moment)| moment).collect();
        let count = moments.len();
        let mut end_of = vec![0; calls.len()];
        for (place, moment) in moments.iter().enumerate() {
            if let Moment::Ends(call) = moment {
                end_of[*call] = place + 1;
            }
        }
        Self {
            moments,
            next: (1..=count + 1).collect(),
            before: (0..=count).map(|place: usize| place.saturating_sub(1)).collect(),
            end_of,
        }
    }

    fn get(&self, place: usize) -> Option<Moment> {
        self.moments.get(place.checked_sub(1)?).copied()
    }

    fn take_out(&mut self, place: usize) {
        let (before, next) = (self.before[place], self.next[place]);
        self.next[before] = next;
        if next < self.before.len() {
            self.before[next] = before;
        }
    }

    fn put_back(&mut self, place: usize) {
        let (before, next) = (self.before[place], self.next[place]);
        self.next[before] = place;
        if next < self.before.len() {
            self.before[next] = place;
        }
    }

    /// Takes out a call, by where it begins.
    fn lift(&mut self, begin: usize, call: usize) {
        self.take_out(begin);
        if self.end_of[call] > 0 {
            self.take_out(self.end_of[call]);
        }
    }

    fn unlift(&mut self, begin: usize, call: usize) {
        if self.end_of[call] > 0 {
            self.put_back(self.end_of[call]);
        }
        self.put_back(begin);
    }
}

/// Which calls have been given their place, a bit each.
struct Placed {
    words: Vec<u64>,
    /// So many words at the beginning are full: calls are placed about in the order in which they began.
    full: usize,
    /// From here on all words are empty.
    end: usize,
}

/// The same, to be remembered: in as few words as the calls that were under way at once take.
#[derive(PartialEq, Eq, PartialOrd, Ord)]
struct PlacedThen {
    full: usize,
    rest: Box<[u64]>,
}

impl Placed {
    fn none(calls: usize) -> Self {
        Self { words: vec![0; calls.div_ceil(64)], full: 0, end: 0 }
    }

    fn flip(&mut self, call: usize) {
        let place = call / 64;
        self.words[place] ^= 1 << (call % 64);
        self.full = self.full.min(place);
        while self.words.get(self.full) == Some(&u64::MAX) {
            self.full += 1;
        }
        self.end = self.end.max(place + 1);
        while self.end > 0 && self.words[self.end - 1] == 0 {
            self.end -= 1;
        }
    }

    fn then(&self) -> PlacedThen {
        PlacedThen { full: self.full, rest: self.words.get(self.full..self.end).unwrap_or_default().into() }
    }
}

/// What a key may hold, by number.
#[derive(Default)]
struct Values {
    numbers: BTreeMap<Option<Bytes>, u32>,
    all: Vec<Option<Bytes>>,
}

impl Values {
    fn number(&mut self, value: Option<Bytes>) -> u32 {
        let next = u32::try_from(self.all.len()).expect("few values");
        *self.numbers.entry(value.clone()).or_insert_with(|| {
            self.all.push(value);
            next
        })
    }
}

/// A call that was given its place.
struct PlacedCall {
    /// Where it begins.
    begin: usize,
    call: usize,
    /// What the key held before.
    before: u32,
    /// It only reads, and could as well come here as later: no other place need be tried.
    is_forced: bool,
}

struct Search<'a> {
    calls: &'a [AtKey],
    left: Left,
    values: Values,
    holds: u32,
    placed: Placed,
    tried: BTreeSet<(PlacedThen, u32)>,
    order: Vec<PlacedCall>,
    /// How many that were answered have no place yet.
    answered: usize,
    /// The longest order that was found, what the key holds after it, and what has no place there.
    best: Option<(Vec<usize>, Option<Bytes>, usize)>,
}

/// Finds an order of these calls, of which each begins before it ends.
pub(super) fn search(calls: &[AtKey], steps_max: u64) -> Result<(), Failed> {
    let mut values = Values::default();
    let mut search = Search {
        calls,
        left: Left::new(calls),
        holds: values.number(None),
        values,
        placed: Placed::none(calls.len()),
        tried: BTreeSet::new(),
        order: Vec::new(),
        answered: calls.iter().filter(|call| call.ended.is_some()).count(),
        best: None,
    };
    let mut place = search.settle();
    let mut steps = 0;
    while search.answered > 0 {
        steps += 1;
        if steps > steps_max {
            return Err(Failed::TooLong);
        }
        place = match search.left.get(place) {
            Some(Moment::Begins(call)) if search.place(place, call) => search.settle(),
            Some(Moment::Begins(_)) => search.left.next[place],
            // A call has ended and has no place yet: what was placed last is placed elsewhere.
            Some(Moment::Ends(call)) => search.back(call)?,
            None => unreachable!("a call that was answered has an end"),
        };
    }
    Ok(())
}

impl Search<'_> {
    /// Places all calls that only read and that can come now. Where to go on.
    fn settle(&mut self) -> usize {
        let mut place = self.left.next[0];
        while let Some(Moment::Begins(call)) = self.left.get(place) {
            let next = self.left.next[place];
            if self.calls[call].act.only_reads(self.values.all[self.holds as usize].as_ref()) {
                self.push(place, call, self.holds, true);
            }
            place = next;
        }
        self.left.next[0]
    }

    /// Places a call, unless it cannot come now or that has been tried. Whether it did.
    fn place(&mut self, begin: usize, call: usize) -> bool {
        let Some(after) = self.calls[call].act.after(self.values.all[self.holds as usize].as_ref()) else {
            return false;
        };
        let after = self.values.number(after);
        self.placed.flip(call);
        let is_new = self.tried.insert((self.placed.then(), after));
        self.placed.flip(call);
        if is_new {
            self.push(begin, call, after, false);
        }
        is_new
    }

    fn push(&mut self, begin: usize, call: usize, after: u32, is_forced: bool) {
        self.placed.flip(call);
        self.order.push(PlacedCall { begin, call, before: self.holds, is_forced });
        self.holds = after;
        self.left.lift(begin, call);
        self.answered -= usize::from(self.calls[call].ended.is_some());
    }

    /// Takes back what was placed last. Where to go on.
    fn back(&mut self, stuck: usize) -> Result<usize, Failed> {
        if self.best.as_ref().is_none_or(|(longest, ..)| longest.len() < self.order.len()) {
            let prefix = self.order.iter().map(|placed| placed.call).collect();
            self.best = Some((prefix, self.values.all[self.holds as usize].clone(), stuck));
        }
        while let Some(PlacedCall { begin, call, before, is_forced }) = self.order.pop() {
            self.holds = before;
            self.placed.flip(call);
            self.left.unlift(begin, call);
            self.answered += usize::from(self.calls[call].ended.is_some());
            if !is_forced {
                return Ok(self.left.next[begin]);
            }
        }
        let (prefix, holds, stuck) = self.best.take().expect("it was stuck somewhere");
        Err(Failed::No { prefix, holds, stuck })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

        #[test]
        fn what_is_remembered_is_the_same_for_the_same_calls_alone(
            flips in prop::collection::vec(0..300_usize, 0..400),
            others in prop::collection::vec(0..300_usize, 0..400),
        ) {
            let placed = |flips: &[usize]| {
                let (mut placed, mut set) = (Placed::none(300), BTreeSet::new());
                // Some words are to be full.
                for call in (0..130).chain(flips.iter().copied()) {
                    placed.flip(call);
                    if !set.remove(&call) {
                        set.insert(call);
                    }
                }
                (placed.then(), set)
            };
            let (a, b) = (placed(&flips), placed(&others));
            prop_assert_eq!(a.0 == b.0, a.1 == b.1);
            let mut sorted: Vec<usize> = a.1.iter().copied().collect();
            let afresh = |calls: &[usize]| {
                let mut placed = Placed::none(300);
                calls.iter().for_each(|call| placed.flip(*call));
                placed.then()
            };
            prop_assert!(afresh(&sorted) == a.0);
            sorted.reverse();
            prop_assert!(afresh(&sorted) == a.0);
        }
    }
}
