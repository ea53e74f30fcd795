//! What must come about in some run of a sweep.

use std::collections::BTreeMap;

use super::super::document::Document;
use super::super::document::Part::Key;
use super::super::{Comparison, ScriptError, Sometimes};

pub(super) fn build(
    document: &Document<'_>,
    raw: BTreeMap<String, BTreeMap<String, Comparison>>,
) -> Result<Vec<Sometimes>, ScriptError> {
    raw.into_iter().map(|(name, counters)| one(document, name, counters)).collect()
}

fn one(
    document: &Document<'_>,
    name: String,
    counters: BTreeMap<String, Comparison>,
) -> Result<Sometimes, ScriptError> {
    let at = [Key("sometimes"), Key(&name)];
    if name.trim().is_empty() {
        let error = document.error_at(&at, "it has no name");
        return Err(error.with_expected("a few words, such as \"a retry succeeds\""));
    }
    if counters.is_empty() {
        let error = document.error_at(&at, "every run shows this");
        return Err(error.with_expected("bounds on counters, such as { retries = \"> 0\" }"));
    }
    Ok(Sometimes { name, counters })
}
