//! The log in memory: entries by index, on top of what is compacted.
//!
//! **Invariant:** indexes have no gap, and terms never fall from one entry to the next.

use std::collections::VecDeque;

use bytes::Bytes;

use super::{LogIndex, LogPosition, Term};

/// One entry of the log (figure 2, `log[]`).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// The term in which the leader received it.
    pub term: Term,
    /// What it says.
    pub payload: Payload,
}

/// What an entry says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Payload {
    /// Nothing: a leader begins its term with it, since only an entry of its own term can be committed by counting (§5.4.2,
    /// §8).
    Blank,
    /// A command for the state machine.
    Command(Bytes),
}

impl Entry {
    /// What an entry takes in a message or in a file beside its command: term (8 bytes), kind (1) and length (4).
    pub const FRAME_BYTES: usize = 13;

    /// How many bytes it takes in a message.
    pub fn size(&self) -> usize {
        Self::FRAME_BYTES + self.command().map_or(0, Bytes::len)
    }

    /// Its command, if it is one.
    pub fn command(&self) -> Option<&Bytes> {
        match &self.payload {
            Payload::Blank => None,
            Payload::Command(command) => Some(command),
        }
    }
}

/// A log. One without entries stands for nothing but its last position: that is what is left of a log that is compacted as a
/// whole, and what elections need where nothing is replicated.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Log {
    /// The last entry that is not kept.
    base: LogPosition,
    entries: VecDeque<Entry>,
}

impl From<LogPosition> for Log {
    fn from(base: LogPosition) -> Self {
        Self { base, entries: VecDeque::new() }
    }
}

impl Log {
    /// A log with these entries after `base`.
    ///
    /// # Panics
    /// A term falls.
    pub fn new(base: LogPosition, entries: impl IntoIterator<Item = Entry>) -> Self {
        let mut log = Self::from(base);
        entries.into_iter().for_each(|entry| {
            log.append(entry);
        });
        log
    }

    /// The last entry, kept or not.
    #[inline]
    pub fn last(&self) -> LogPosition {
        let last_term = self.entries.back().map_or(self.base.last_term, |entry| entry.term);
        LogPosition { last_index: self.base.last_index + self.entries.len() as u64, last_term }
    }

    /// The last entry that is not kept, compacted or never there; index 0 where all are kept.
    pub fn base(&self) -> LogPosition {
        self.base
    }

    /// Whether no entry is kept.
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// How many entries are kept.
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    fn place(&self, index: LogIndex) -> Option<usize> {
        let above = index.checked_sub(self.base.last_index + 1)?;
        usize::try_from(above).ok().filter(|place| *place < self.entries.len())
    }

    /// The entry at an index, where it is kept.
    #[inline]
    pub fn get(&self, index: LogIndex) -> Option<&Entry> {
        self.place(index).map(|place| &self.entries[place])
    }

    /// The term of the entry at an index, where it is known; that before the first entry is 0.
    #[inline]
    pub fn term_at(&self, index: LogIndex) -> Option<Term> {
        if index == self.base.last_index {
            return Some(self.base.last_term);
        }
        self.get(index).map(|entry| entry.term)
    }

    /// The entries from an index on, as far as they are kept.
    pub fn entries_from(&self, first: LogIndex) -> impl Iterator<Item = &Entry> {
        let skipped = first.saturating_sub(self.base.last_index + 1);
        self.entries.iter().skip(usize::try_from(skipped).unwrap_or(usize::MAX))
    }

    /// Adds an entry, and returns its index.
    ///
    /// # Panics
    /// Its term is below that of the last entry.
    pub fn append(&mut self, entry: Entry) -> LogIndex {
        let LogPosition { last_index, last_term } = self.last();
        assert!(entry.term >= last_term, "an entry of term {} cannot follow one of term {last_term}", entry.term);
        self.entries.push_back(entry);
        last_index + 1
    }

    /// Removes the entry at `from` and all after it.
    ///
    /// # Panics
    /// The entry at `from` is not kept any more.
    pub fn truncate(&mut self, from: LogIndex) {
        let kept = from.checked_sub(self.base.last_index + 1).expect("what is compacted is never cut off");
        self.entries.truncate(usize::try_from(kept).unwrap_or(usize::MAX));
    }

    /// Forgets the entries up to an index.
    ///
    /// # Panics
    /// The log ends before it.
    pub fn compact(&mut self, through: LogIndex) {
        if through <= self.base.last_index {
            return;
        }
        let last_term = self.term_at(through).expect("only what is there is compacted");
        let gone = usize::try_from(through - self.base.last_index).expect("they are in memory");
        self.entries.drain(..gone);
        self.base = LogPosition { last_index: through, last_term };
    }

    /// The first index of the entries that have the same term as the one at `index` and are kept; `index` itself, where
    /// that is not kept.
    pub fn first_of_same_term(&self, index: LogIndex) -> LogIndex {
        let Some(place) = self.place(index) else { return index };
        let term = self.entries[place].term;
        let before = self.entries.partition_point(|entry| entry.term < term);
        self.base.last_index + 1 + before as u64
    }

    /// The last index of an entry of this term, where there is one that is kept, or is the base.
    pub fn last_of_term(&self, term: Term) -> Option<LogIndex> {
        let upto = self.entries.partition_point(|entry| entry.term <= term) as u64;
        let last = self.base.last_index + upto;
        (self.term_at(last) == Some(term)).then_some(last)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn log(terms: &[Term]) -> Log {
        Log::new(LogPosition::default(), terms.iter().map(|term| Entry { term: *term, payload: Payload::Blank }))
    }

    #[test]
    fn an_empty_log_knows_the_term_before_its_first_entry() {
        let log = log(&[]);
        assert_eq!((log.last(), log.term_at(0), log.term_at(1)), (LogPosition::default(), Some(0), None));
        let stand_in = Log::from(LogPosition { last_index: 4, last_term: 2 });
        assert_eq!((stand_in.term_at(4), stand_in.term_at(3), stand_in.term_at(5)), (Some(2), None, None));
    }

    #[test]
    fn terms_are_found_by_their_first_and_last_entries() {
        let log = log(&[1, 1, 4, 4, 4, 6]);
        assert_eq!((log.first_of_same_term(5), log.first_of_same_term(2), log.first_of_same_term(6)), (3, 1, 6));
        assert_eq!(
            (log.last_of_term(4), log.last_of_term(5), log.last_of_term(1), log.last_of_term(7)),
            (Some(5), None, Some(2), None)
        );
    }

    #[test]
    #[should_panic(expected = "an entry of term 3 cannot follow one of term 4")]
    fn terms_do_not_fall() {
        log(&[4, 3]);
    }

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

        #[test]
        fn it_is_a_list_whose_beginning_is_forgotten(
            steps in prop::collection::vec((0..3_u8, 0..20_u64), 0..60),
        ) {
            let (mut log, mut list, mut base) = (log(&[]), Vec::<Term>::new(), 0_u64);
            for (what, number) in steps {
                let last = list.len() as u64;
                match what {
                    0 => {
                        let term = list.last().copied().unwrap_or(0).max(number / 4);
                        list.push(term);
                        prop_assert_eq!(log.append(Entry { term, payload: Payload::Blank }), last + 1);
                    }
                    1 if number > base && number <= last => {
                        log.truncate(number);
                        list.truncate(usize::try_from(number - 1).unwrap());
                    }
                    _ if number <= last => {
                        log.compact(number);
                        base = base.max(number);
                    }
                    _ => {}
                }
                let term = |index: u64| index.checked_sub(1).map_or(0, |place| list[usize::try_from(place).unwrap()]);
                let last_index = list.len() as u64;
                prop_assert_eq!(log.last(), LogPosition { last_index, last_term: term(last_index) });
                for index in base..=last_index {
                    prop_assert_eq!(log.term_at(index), Some(term(index)));
                }
                prop_assert!(log.entries_from(base + 1).map(|entry| entry.term).eq(list[usize::try_from(base).unwrap()..].to_vec()));
            }
        }
    }
}
