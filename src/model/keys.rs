//! A set of keys that are hashes: a table with open addressing, for there are millions of them, and nothing but whether one
//! is new is ever asked.

/// The share of places that may be taken, in quarters.
const FULL_QUARTERS: usize = 3;
const PLACES_MIN: usize = 1 << 10;

/// The key 0 stands for a place that is free, and is kept apart.
#[derive(Default)]
pub(super) struct Keys {
    places: Vec<u128>,
    count: usize,
    has_zero: bool,
}

impl Keys {
    /// Whether it is new.
    pub(super) fn insert(&mut self, key: u128) -> bool {
        if key == 0 {
            return !std::mem::replace(&mut self.has_zero, true);
        }
        if self.count * 4 >= self.places.len() * FULL_QUARTERS {
            self.grow();
        }
        let is_new = put(&mut self.places, key);
        self.count += usize::from(is_new);
        is_new
    }

    fn grow(&mut self) {
        let places = vec![0; (self.places.len() * 2).max(PLACES_MIN)];
        let before = std::mem::replace(&mut self.places, places);
        before.into_iter().filter(|key| *key != 0).for_each(|key| _ = put(&mut self.places, key));
    }
}

/// Puts a key where it belongs, or the next place that is free. Whether it was not there.
fn put(places: &mut [u128], key: u128) -> bool {
    let mask = places.len() - 1;
    #[allow(clippy::cast_possible_truncation, reason = "any of its bits will do")]
    let mut at = key as usize & mask;
    loop {
        match places[at] {
            0 => {
                places[at] = key;
                return true;
            }
            known if known == key => return false,
            _ => at = (at + 1) & mask,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn a_key_is_new_once() {
        let (mut keys, mut known) = (Keys::default(), BTreeSet::new());
        for number in 0..20_000_u64 {
            // Few enough to come again, and many that belong to one place.
            let key = u128::from(number * number % 7_919) << if number % 3 == 0 { 64 } else { 0 };
            assert_eq!(keys.insert(key), known.insert(key), "{key}");
        }
        assert!(known.contains(&0) && keys.has_zero);
        assert_eq!(keys.count + 1, known.len());
    }
}
