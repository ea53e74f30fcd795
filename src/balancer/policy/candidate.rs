//! A backend that may be asked, as the choice and the rotation see it.

use super::BackendId;

/// What a [`Candidate`]'s share is for each unit of weight, when it has all of it.
pub(super) const FULL_SHARE: u32 = 1000;

/// A backend that may be asked, as the policies see it.
#[derive(Clone, Debug)]
pub(super) struct Candidate {
    pub id: BackendId,
    pub weight: u32,
    /// Its slow start is not over.
    pub is_warming: bool,
    /// Its weight in thousandths, lessened by its slow start. At least 1.
    pub share: u32,
    pub in_flight: u32,
    /// 0 where the policy does not look at it.
    pub latency_ns: u64,
    /// This request may go there: it was not tried, and has room.
    pub may: bool,
}

impl Candidate {
    #[cfg(test)]
    pub(super) fn idle(id: BackendId, weight: u32) -> Self {
        let share = weight * FULL_SHARE;
        Self { id, weight, is_warming: false, share, in_flight: 0, latency_ns: 1_000, may: true }
    }

    /// Whether this one has less of `load` for its share.
    pub(super) fn is_below(&self, other: &Self, load: impl Fn(&Self) -> u128) -> bool {
        load(self) * u128::from(other.share) < load(other) * u128::from(self.share)
    }

    pub(super) fn in_flight(&self) -> u128 {
        u128::from(self.in_flight)
    }

    /// How long the new request would have to wait if all were served in turn.
    pub(super) fn expected_wait(&self) -> u128 {
        u128::from(self.latency_ns) * (u128::from(self.in_flight) + 1)
    }
}
