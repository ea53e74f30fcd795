//! Sims inside `cargo test`.

use std::env;
use std::ops::Range;
use std::path::Path;
use std::thread;
use std::time::Duration;

use crate::explore::Library;
use crate::report::json::{RunOf, RunReport};
use crate::report::text;
use crate::rng::Seed;
use crate::script::Script;
use crate::sim::{RunOptions, run};
use crate::systems::System;

/// Runs a sim of `system` with each of `seeds`, and panics at the first that does not end as its script expects, with
/// what was found and the line that runs it again. With `STORMGLASS_SEED` set, only that seed is run.
///
/// `sim` is `system/name`, in `sims/` or built in, or a path to a script.
pub fn check(system: &'static dyn System, sim: &str, seeds: Range<u64>) {
    let library = Library::new(&[system], Path::new(".")).unwrap_or_else(|error| panic!("{error}"));
    let found = library.find(sim).unwrap_or_else(|error| panic!("{error}"));
    let script = found.script().unwrap_or_else(|error| panic!("{error}"));
    let chosen = env::var("STORMGLASS_SEED").ok().map(|seed| {
        seed.parse().unwrap_or_else(|_| panic!("STORMGLASS_SEED is `{seed}`: expected a number from 0 to {}", u64::MAX))
    });
    match chosen {
        Some(seed) => check_seed(system, sim, &script, seed),
        None => seeds.for_each(|seed| check_seed(system, sim, &script, seed)),
    }
}

fn check_seed(system: &'static dyn System, sim: &str, script: &Script, seed: u64) {
    let outcome = run(system, script, Seed(seed), &RunOptions::default()).unwrap_or_else(|error| panic!("{error}"));
    let expected = script.expect.violation.as_deref();
    let of = RunOf { program: "", sim, set: &[], script: &script.source.path, seed, expected };
    let mut report = RunReport::new(&of, &outcome.verdict, Some(&outcome), Duration::ZERO);
    if !report.as_expected {
        let test = thread::current().name().unwrap_or_default().to_owned();
        report.reproduce = format!("STORMGLASS_SEED={seed} cargo test {test}");
        report.shrink = None;
        panic!("{}", anstream::adapter::strip_str(&text::verdict(&report)));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::systems::echo::Echo;

    #[test]
    fn a_sim_passes() {
        check(&Echo, "echo/udp-loss", 0..3);
    }

    #[test]
    fn a_failure_says_how_to_see_it_again() {
        let caught = std::panic::catch_unwind(|| check_failing(41));
        let message = *caught.expect_err("nothing is lost").downcast::<String>().expect("a text");
        assert!(message.contains("FAIL test seed=41"), "{message}");
        assert!(message.contains("packets.lost is 0, expected > 0"), "{message}");
        assert!(message.contains("STORMGLASS_SEED=41 cargo test"), "{message}");
    }

    fn check_failing(seed: u64) {
        let text = "about = 'x'\nsystem = 'echo'\nduration = '9s'\n[expect]\ncounters = { 'packets.lost' = '> 0' }";
        let script = Script::parse("test.toml", text).expect("a good script");
        check_seed(&Echo, "test", &script, seed);
    }
}
