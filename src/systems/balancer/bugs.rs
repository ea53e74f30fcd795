//! The planted bugs, and where each is to be caught.

use crate::balancer::planted::Bug;
use crate::sim::PlantedBug;

/// What each bug breaks first depends on the seed.
pub(super) const BUGS: &[PlantedBug] = &[
    bug(Bug::PostRetried, "balancer/closes-after-request", &["a POST runs at most once"]),
    bug(Bug::TurnShifted, "balancer/backend-crash", &["round robin is exact"]),
    bug(Bug::EjectedForGood, "balancer/gray-failure", &["an ejection ends in time"]),
    bug(Bug::NoPanic, "balancer/failing-checks", &["somebody is always asked"]),
    bug(Bug::StaleConnection, "balancer/closes-idle", &["nothing is lost that could be served"]),
    bug(Bug::UnboundedRetries, "balancer/retry-storm", &["retries stay within the budget"]),
    bug(Bug::HopByHopLeak, "balancer/steady", &["what is of one hop stays there"]),
    bug(Bug::SmuggledLength, "balancer/contradictions", &["an answer belongs to its request"]),
    bug(Bug::DrainForgetsIdle, "balancer/drain", &["a drain takes nothing on"]),
    bug(Bug::CancelledCounts, "balancer/impatient-clients", &["who is blamed has failed"]),
    bug(Bug::HalfOpenFloods, "balancer/gray-failure", &["who is avoided is not asked"]),
    bug(Bug::InFlightLeak, "balancer/chaos", &["nothing leaks"]),
    bug(Bug::SlowStartIgnored, "balancer/slow-start", &["a slow start is slow"]),
    bug(Bug::StaleSpendsBudget, "balancer/closes-at-once", &["a retry has a cause"]),
    bug(Bug::UnaskedTunnel, "balancer/upgrades", &["a tunnel was asked for"]),
    bug(Bug::ContinueAtOnce, "balancer/expect-continue", &["100 is the backend's to say"]),
    bug(Bug::EarlyAnswerLost, "balancer/early-answer", &["an early answer reaches its client"]),
    bug(Bug::SlowUploadBlamed, "balancer/slow-upload", &["who is slow is blamed"]),
    bug(Bug::PoolUnused, "balancer/chaos", &[]),
];

const fn bug(bug: Bug, sim: &'static str, caught_by: &'static [&'static str]) -> PlantedBug {
    PlantedBug { name: bug.name(), about: bug.about(), source: bug.source(), sim, caught_by }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_bug_is_in_the_ledger_once() {
        let names: Vec<_> = BUGS.iter().map(|bug| bug.name).collect();
        assert_eq!(names, Bug::ALL.iter().map(|bug| bug.name()).collect::<Vec<_>>());
    }
}
