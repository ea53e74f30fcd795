//! All randomness, from one seed.
//!
//! Two ways of drawing, for two needs. A [`Seed::stream`] is a generator of its own, by label: the draws of one part
//! do not move those of another. A [`Seed::draw`] is a function of its key alone: the fate of the third attempt of
//! packet 17 stays what it is, whatever else is taken out of the run.
//!
//! **Invariant:** nothing else in the crate builds a generator.

use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{RngCore, SeedableRng};
use xxhash_rust::xxh3::{xxh3_64, xxh3_64_with_seed};

/// The generator that hosts and testbed own: `ChaCha8`, the same on every machine.
pub type Rng = ChaCha8Rng;

/// The seed of a run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Seed(pub u64);

impl Seed {
    /// A generator for the part that `label` names.
    #[allow(clippy::disallowed_methods, reason = "the one place that builds a generator")]
    pub fn stream(self, label: &str) -> Rng {
        let mut rng = ChaCha8Rng::seed_from_u64(self.0);
        rng.set_stream(xxh3_64(label.as_bytes()));
        rng
    }

    /// 64 uniform bits that depend on the seed and `key` only.
    #[inline]
    pub fn draw<const WORDS: usize>(self, key: &[u64; WORDS]) -> u64 {
        xxh3_64_with_seed(key.map(u64::to_le_bytes).as_flattened(), self.0)
    }

    /// A uniform number in `[0, 1)` that depends on the seed and `key` only.
    #[inline]
    pub fn draw_unit<const WORDS: usize>(self, key: &[u64; WORDS]) -> f64 {
        unit(self.draw(key))
    }
}

/// A generator of its own for the part of this number of whoever has `rng`, of which nothing is drawn.
pub fn part(rng: &Rng, number: u64) -> Rng {
    let mut part = rng.clone();
    part.set_stream(xxh3_64_with_seed(&number.to_le_bytes(), rng.get_stream()));
    part
}

/// The top 53 of 64 uniform bits, as a number in `[0, 1)`.
pub fn unit(bits: u64) -> f64 {
    (bits >> 11) as f64 / (1_u64 << 53) as f64
}

/// A uniform number in `low..=high`. One draw, whatever the range is.
pub fn between(rng: &mut Rng, low: u64, high: u64) -> u64 {
    assert!(low <= high, "a range from {low} to {high} is empty");
    let numbers = u128::from(high - low) + 1;
    low + ((u128::from(rng.next_u64()) * numbers) >> 64) as u64
}

/// A fresh seed from the operating system, small enough to be read aloud.
#[allow(clippy::disallowed_methods, reason = "drawn before a run begins, and printed")]
pub fn fresh_seed() -> Seed {
    let mut rng = ChaCha8Rng::from_os_rng();
    Seed(rng.next_u64() % 1_000_000_000)
}
