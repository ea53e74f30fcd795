//! Peak EWMA: a latency that rises at once and falls slowly (Finagle's `PeakEwma`).

use std::time::Duration;

/// A backend's latency as it is believed to be.
///
/// Where the exponential has `e^(-t/decay)`, this has `decay / (decay + t)`: the same to the first order, and in
/// integers.
#[derive(Clone, Copy, Debug)]
pub(super) struct PeakEwma {
    estimate_ns: u64,
    /// When it was that.
    at: Duration,
}

impl PeakEwma {
    pub(super) fn new(initial: Duration, now: Duration) -> Self {
        Self { estimate_ns: nanos(initial), at: now }
    }

    pub(super) fn observe(&mut self, latency: Duration, now: Duration, decay: Duration) {
        let latency_ns = nanos(latency);
        // What has fallen since is below what it was.
        let is_peak = latency_ns >= self.estimate_ns || latency_ns >= self.towards(0, now, decay);
        self.estimate_ns = if is_peak { latency_ns } else { self.towards(latency_ns, now, decay) };
        self.at = now;
    }

    /// Falls towards nothing while nobody asks, so that a backend that was slow is asked again some day. At least 1 µs,
    /// so that the requests in flight always count.
    pub(super) fn estimate_ns(&self, now: Duration, decay: Duration) -> u64 {
        self.towards(0, now, decay).max(1_000)
    }

    fn towards(&self, latency_ns: u64, now: Duration, decay: Duration) -> u64 {
        let (passed, decay) = (u128::from(nanos(now - self.at)), u128::from(nanos(decay)));
        let sum = u128::from(self.estimate_ns) * decay + u128::from(latency_ns) * passed;
        u64::try_from(sum / (decay + passed)).expect("a mean is within what it is the mean of")
    }
}

fn nanos(time: Duration) -> u64 {
    u64::try_from(time.as_nanos()).expect("a time within 500 years")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ms(ms: u64) -> Duration {
        Duration::from_millis(ms)
    }

    #[test]
    fn it_rises_at_once_and_falls_slowly() {
        let decay = ms(10_000);
        let mut latency = PeakEwma::new(ms(30), ms(0));
        latency.observe(ms(900), ms(0), decay);
        assert_eq!(latency.estimate_ns(ms(0), decay), 900_000_000, "a peak counts in full");
        latency.observe(ms(10), ms(10_000), decay);
        assert_eq!(latency.estimate_ns(ms(10_000), decay), 455_000_000, "half of the way after the decay time");
        assert_eq!(latency.estimate_ns(ms(20_000), decay), 227_500_000, "silence lets it fall too");
        assert_eq!(latency.estimate_ns(ms(1_000_000_000_000), decay), 1_000, "but not below a microsecond");
    }
}
