//! The seeds of a sweep, and how shards share them.

use std::fmt;
use std::num::NonZero;
use std::str::FromStr;

/// The seeds of a sweep: at least one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SeedRange {
    /// The first.
    pub first: u64,
    /// The last; `None`: they go on for as long as the sweep does.
    pub last: Option<u64>,
}

impl SeedRange {
    /// From one on.
    pub fn from(first: u64) -> Self {
        Self { first, last: None }
    }

    /// How many of them are a shard's, short of one in the whole range of 64 bits; `None`: there is no end.
    pub fn count(self, shard: Shard) -> Option<u64> {
        let skipped = self.last?.checked_sub(self.first)?.checked_sub(shard.index);
        Some(skipped.map_or(0, |left| (left / shard.count).saturating_add(1)))
    }

    /// Those of a shard, in order.
    pub fn iter(self, shard: Shard) -> impl Iterator<Item = u64> + Send + Clone + 'static {
        let last = self.last.unwrap_or(u64::MAX);
        let next = move |seed: &u64| seed.checked_add(shard.count.get());
        std::iter::successors(self.first.checked_add(shard.index), next).take_while(move |seed| *seed <= last)
    }
}

impl fmt::Display for SeedRange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.last {
            Some(last) => write!(f, "{}..={last}", self.first),
            None => write!(f, "{}..", self.first),
        }
    }
}

impl FromStr for SeedRange {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let expected = "a range of seeds is written `A..B`, without B, or `A..=B`, with it";
        let (first, last) = text.split_once("..").ok_or(expected)?;
        let (last, included) = last.strip_prefix('=').map_or((last, false), |last| (last, true));
        let seed = |text: &str| {
            text.trim().parse::<u64>().map_err(|_| format!("`{text}` is not a seed (0 to {}); {expected}", u64::MAX))
        };
        if last.is_empty() && !included {
            return Ok(Self::from(seed(first)?));
        }
        let (first, end) = (seed(first)?, seed(last)?);
        if first > end {
            let dots = if included { "..=" } else { ".." };
            return Err(format!("the range runs backwards: did you mean `{end}{dots}{first}`?"));
        }
        match if included { Some(end) } else { end.checked_sub(1).filter(|last| *last >= first) } {
            Some(last) => Ok(Self { first, last: Some(last) }),
            None => Err(format!("the range is empty: `{first}..={end}` would include {end}")),
        }
    }
}

/// One of several parts of a sweep, numbered from 0: every `count`-th seed, so that shards of a sweep without an end
/// share its seeds too.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Shard {
    /// Which one, less than `count`.
    pub index: u64,
    /// How many there are.
    pub count: NonZero<u64>,
}

impl Shard {
    /// All of it.
    pub const WHOLE: Self = Self { index: 0, count: NonZero::<u64>::MIN };
}

impl fmt::Display for Shard {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.index, self.count)
    }
}

impl FromStr for Shard {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let expected = "a shard is written `I/N`: the I-th of N, counted from 0";
        let (index, count) = text.split_once('/').ok_or(expected)?;
        let number = |text: &str| text.trim().parse().map_err(|_| format!("`{text}` is not a number; {expected}"));
        let (index, count): (u64, u64) = (number(index)?, number(count)?);
        let count = NonZero::new(count).ok_or("there is at least one shard")?;
        if index >= count.get() {
            return Err(format!(
                "there are the shards 0/{count} to {}/{count}: they are counted from 0",
                count.get() - 1
            ));
        }
        Ok(Self { index, count })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_range_is_half_open_unless_it_says_so() {
        let parse = |text: &str| text.parse::<SeedRange>();
        let range = |first, last| SeedRange { first, last: Some(last) };
        assert_eq!(parse("0..200").unwrap(), range(0, 199));
        assert_eq!(parse("5..=5").unwrap(), range(5, 5));
        assert_eq!(parse("5..").unwrap(), SeedRange::from(5));
        assert_eq!(parse("0..=18446744073709551615").unwrap().count(Shard::WHOLE), Some(u64::MAX));
        for (text, reason) in [
            ("7", "is written `A..B`"),
            ("a..b", "`a` is not a seed"),
            ("..5", "`` is not a seed"),
            ("5..=", "`` is not a seed"),
            ("5..5", "the range is empty: `5..=5` would include 5"),
            ("9..3", "runs backwards: did you mean `3..9`"),
            ("0..18446744073709551616", "is not a seed (0 to 18446744073709551615)"),
        ] {
            let error = parse(text).unwrap_err();
            assert!(error.contains(reason), "{text}: {error}");
        }
    }

    #[test]
    fn shards_are_counted_from_0() {
        let parse = |text: &str| text.parse::<Shard>();
        assert_eq!(parse("2/3").unwrap(), Shard { index: 2, count: NonZero::new(3).unwrap() });
        for (text, reason) in [
            ("3/3", "there are the shards 0/3 to 2/3"),
            ("1", "is written `I/N`"),
            ("a/3", "`a` is not a number"),
            ("0/0", "at least one"),
        ] {
            let error = parse(text).unwrap_err();
            assert!(error.contains(reason), "{text}: {error}");
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]
        #[test]
        fn shards_partition_the_seeds(first in 0..=u64::MAX, length in 1..200_u64, count in 1..20_u64) {
            let first = first.min(u64::MAX - length);
            let range = SeedRange { first, last: Some(first + length - 1) };
            let count = NonZero::new(count).expect("not 0");
            let mut all = Vec::new();
            for index in 0..count.get() {
                let shard = Shard { index, count };
                let seeds: Vec<u64> = range.iter(shard).collect();
                prop_assert_eq!(Some(seeds.len() as u64), range.count(shard));
                let open: Vec<u64> = SeedRange::from(first).iter(shard).take(seeds.len()).collect();
                prop_assert_eq!(&open, &seeds);
                all.extend(seeds);
            }
            all.sort_unstable();
            prop_assert_eq!(all, range.iter(Shard::WHOLE).collect::<Vec<_>>());
        }
    }
}
