//! What a script's links, disks and clocks let come about.

use std::time::Duration;

use crate::check::consensus::Conditions;
use crate::script::{Latency, LinkSettings, Script};
use crate::sim::sample;

/// To write term and vote syncs the file, and then the directory.
const SYNCS: u32 = 2;

/// Nothing that is drawn is beyond what is so rare.
const RARE: f64 = 1e-12;

/// The conditions in which a script's nodes live once its steps are over: those of the worst link, for datagrams. Clocks are wrong by
/// `drift` at most, as a fraction; `same_logs`: everybody can win an election.
pub fn of(script: &Script, drift: f64, same_logs: bool) -> Conditions {
    // A rule for some links leaves the others as they are.
    let links: Vec<&LinkSettings> =
        std::iter::once(&script.network).chain(script.links.iter().map(|rule| &rule.settings)).collect();
    let latencies = || links.iter().map(|settings| settings.latency.unwrap_or(Latency::DEFAULT));
    let least = latencies().map(|latency| sample(&latency, 0.0)).min().unwrap_or_default();
    let most = latencies().map(|latency| sample(&latency, 1.0 - RARE)).max().unwrap_or_default();
    let held = links.iter().filter_map(|settings| settings.reorder.as_ref());
    let held = held.map(|reorder| sample(&reorder.extra, 1.0 - RARE)).max().unwrap_or_default();
    let sync = sample(&script.disk.sync, 1.0 - RARE);
    Conditions {
        latency: (least, most + held),
        write: if sync.is_zero() { Duration::ZERO } else { (sync + script.tick) * SYNCS },
        drift,
        tick: script.tick,
        loss: links.iter().map(|settings| loss(settings)).fold(0.0, f64::max),
        copies: links.iter().any(|settings| settings.duplicate.unwrap_or(0.0) > 0.0),
        same_logs,
    }
}

/// The share of datagrams that a link loses, or spoils.
fn loss(settings: &LinkSettings) -> f64 {
    let burst = settings.burst.map_or(0.0, |burst| {
        let share = if burst.enter + burst.leave > 0.0 { burst.enter / (burst.enter + burst.leave) } else { 0.0 };
        // The first packets of a burst may be all that matter.
        (share * burst.loss).max(f64::MIN_POSITIVE)
    });
    let spared = [settings.loss.unwrap_or(0.0), settings.corrupt.unwrap_or(0.0), burst].map(|lost| 1.0 - lost);
    1.0 - spared.into_iter().product::<f64>()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of_script(rest: &str) -> Conditions {
        let text = format!("about = 'x'\nsystem = 'raft'\nduration = '9s'\n{rest}");
        of(&Script::parse("x.toml", &text).unwrap_or_else(|error| panic!("{error}")), 0.0, true)
    }

    #[test]
    fn conditions_are_those_of_the_worst_link_and_of_the_disks() {
        let ms = Duration::from_millis;
        let usual = of_script("");
        assert_eq!((usual.latency, usual.write, usual.loss), ((ms(1), ms(5)), ms(0), 0.0));
        let slow = of_script(
            "[network]\nlatency = '7ms'\n[[link]]\nbetween = ['n1', 'n2']\nlatency = '60ms'\nloss = 0.1\n\
             [disk]\nsync = '40ms'\n",
        );
        assert_eq!((slow.latency, slow.write), ((ms(7), ms(60)), ms(82)));
        assert!((slow.loss - 0.1).abs() < 1e-9);
        assert!(of_script("[network]\ncorrupt = 0.2\n").loss > 0.19, "what is spoilt is lost");
    }
}
