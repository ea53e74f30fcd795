//! The cuts that the script's steps made and have not taken back.

use std::collections::BTreeMap;

use super::trace::HostId;

/// Directions that are cut, by the step that cut them.
#[derive(Default)]
pub(crate) struct Cuts(BTreeMap<usize, Vec<(HostId, HostId)>>);

impl Cuts {
    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The steps whose cuts are in force.
    pub(crate) fn steps(&self) -> Vec<usize> {
        self.0.keys().copied().collect()
    }

    pub(crate) fn made(&mut self, step: usize, from: HostId, to: HostId) {
        self.0.entry(step).or_default().push((from, to));
    }

    pub(crate) fn taken_back(&mut self, step: usize) -> Vec<(HostId, HostId)> {
        self.0.remove(&step).unwrap_or_default()
    }
}
