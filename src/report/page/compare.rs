//! Two runs beside each other: the first record that differs, and what differs in their scripts.

use indexmap::IndexMap;
use serde::Serialize;

use super::super::recording::Recording;

/// What differs between two runs.
#[derive(Debug, PartialEq, Eq, Serialize)]
pub(super) struct Comparison {
    /// The first record that is not the same in both, or that only one has; null: all are.
    parts_at: Option<u64>,
    /// Of each option that differs: its name, and its value in one and the other.
    settings: Vec<(String, Option<String>, Option<String>)>,
}

impl Comparison {
    pub(super) fn new(a: &Recording, b: &Recording) -> Self {
        let same = a.records.iter().zip(&b.records).take_while(|(one, other)| one == other).count();
        let is_equal = same == a.records.len() && same == b.records.len();
        Self { parts_at: (!is_equal).then_some(same as u64), settings: differing(&a.settings, &b.settings) }
    }
}

/// What differs between two lists of options. Those that have one name are one option.
fn differing(a: &[(String, String)], b: &[(String, String)]) -> Vec<(String, Option<String>, Option<String>)> {
    let mut names: IndexMap<&str, [Vec<&str>; 2]> = IndexMap::new();
    for (side, settings) in [a, b].into_iter().enumerate() {
        for (name, text) in settings {
            names.entry(name).or_default()[side].push(text);
        }
    }
    let joined = |texts: &[&str]| (!texts.is_empty()).then(|| texts.join("\n"));
    let differing = names.into_iter().filter(|(name, [one, other])| one != other && *name != "script");
    differing.map(|(name, [one, other])| (name.to_owned(), joined(&one), joined(&other))).collect()
}

#[cfg(test)]
mod tests {
    use super::differing;

    #[test]
    fn only_what_differs_is_told() {
        let rows =
            |rows: &[(&str, &str)]| rows.iter().map(|(a, b)| ((*a).to_owned(), (*b).to_owned())).collect::<Vec<_>>();
        let a = rows(&[("script", "a"), ("tcp", "same"), ("steps", "1. heal"), ("steps", "2. kill n1")]);
        let b = rows(&[("script", "b"), ("tcp", "same"), ("set", "raft.nodes=5"), ("steps", "1. heal")]);
        let told = [
            ("steps".to_owned(), Some("1. heal\n2. kill n1".to_owned()), Some("1. heal".to_owned())),
            ("set".to_owned(), None, Some("raft.nodes=5".to_owned())),
        ];
        assert_eq!(differing(&a, &b), told);
    }
}
