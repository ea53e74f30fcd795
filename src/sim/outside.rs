//! Who used what belongs to a run in another thread than the run's.

use std::sync::{Mutex, PoisonError};

use super::trace::HostId;

/// The first host that did. Known in all threads.
#[derive(Default)]
pub(crate) struct Outside(Mutex<Option<HostId>>);

impl Outside {
    pub(crate) fn note(&self, host: HostId) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert(host);
    }

    pub(crate) fn first(&self) -> Option<HostId> {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
