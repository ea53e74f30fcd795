//! What real processes tell, as the testbed has it.

use std::collections::BTreeSet;
use std::sync::{Mutex, PoisonError};

/// Names of events and fields, of which there are few: kept for as long as the program runs.
pub(super) fn interned(name: String) -> &'static str {
    static NAMES: Mutex<BTreeSet<&'static str>> = Mutex::new(BTreeSet::new());
    let mut names = NAMES.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(known) = names.get(name.as_str()) {
        return known;
    }
    let kept: &'static str = name.leak();
    names.insert(kept);
    kept
}
