//! Sims inside `cargo test`.

use std::env;
use std::ops::Range;
use std::path::Path;
use std::thread;
use std::time::Duration;

use crate::explore::Library;
use crate::explore::sweep::{SeedRange, Shard};
use crate::held::{Variation, in_fresh_thread};
use crate::report::json::{RunOf, RunReport};
use crate::report::{style, text};
use crate::rng::Seed;
use crate::script::Script;
use crate::sim::System;
use crate::sim::{RunOptions, drawn, run};

/// Runs a sim of `system` with each of `seeds`, and panics at the first that does not end as its script expects, with
/// what was found and the line that runs it again.
///
/// `sim` is `system/name`, in `sims/` or built in, or a path to a script; `@` and a name after it choose a variant.
///
/// Two variables of the environment choose other seeds, for all tests that are called with them: `STORMGLASS_SEED=41`
/// that one alone, `STORMGLASS_SEEDS=0..1000` as many.
pub fn check(system: &'static dyn System, sim: &str, seeds: Range<u64>) {
    let library = Library::new(&[system], Path::new(".")).unwrap_or_else(|error| panic!("{error}"));
    let found = library.find(sim).unwrap_or_else(|error| panic!("{error}"));
    let script = found.script().unwrap_or_else(|error| panic!("{error}"));
    let given = |name: &str| env::var(name).ok().filter(|value| !value.is_empty());
    match chosen(given("STORMGLASS_SEED"), given("STORMGLASS_SEEDS")).unwrap_or_else(|error| panic!("{error}")) {
        Some(seeds) => seeds.iter(Shard::WHOLE).for_each(|seed| check_seed(system, sim, &script, seed)),
        None => seeds.for_each(|seed| check_seed(system, sim, &script, seed)),
    }
}

/// The seeds that the environment chooses, if it does: one alone before many.
fn chosen(one: Option<String>, many: Option<String>) -> Result<Option<SeedRange>, String> {
    if let Some(one) = one {
        let seed = one
            .parse()
            .map_err(|_| format!("STORMGLASS_SEED is `{one}`: a seed is a number from 0 to {}", u64::MAX))?;
        return Ok(Some(SeedRange { first: seed, last: Some(seed) }));
    }
    let Some(many) = many else { return Ok(None) };
    let seeds: SeedRange = many.parse().map_err(|error| format!("STORMGLASS_SEEDS is `{many}`: {error}"))?;
    match seeds.last {
        Some(_) => Ok(Some(seeds)),
        None => Err(format!("STORMGLASS_SEEDS is `{many}`: a test needs seeds that come to an end, as `A..B`")),
    }
}

fn check_seed(system: &'static dyn System, sim: &str, script: &Script, seed: u64) {
    let made = in_fresh_thread(Variation::default(), || run(system, script, Seed(seed), &RunOptions::default()));
    let outcome = made.unwrap_or_else(|error| panic!("{error}")).unwrap_or_else(|error| panic!("{error}"));
    let expected = script.expect.violation.as_deref();
    let drawn = drawn(system, script, Seed(seed)).unwrap_or_else(|error| panic!("{error}"));
    let of = RunOf { program: "", sim, set: &[], script: &script.source.path, seed, expected, drawn: &drawn };
    let mut report = RunReport::new(&of, &outcome.verdict, Some(&outcome), Duration::ZERO);
    if !report.as_expected {
        report.reproduce = reproduce(seed, thread::current().name(), env::var_os("NEXTEST").is_some());
        (report.shrink, report.keep) = (None, None);
        panic!("{}", style::unpainted(&text::verdict(&report)));
    }
}

/// The line that runs a test again with one seed. A test's thread has its name, unless all tests run in one.
fn reproduce(seed: u64, thread: Option<&str>, is_nextest: bool) -> String {
    match (thread.filter(|name| *name != "main"), is_nextest) {
        (Some(test), true) => format!("STORMGLASS_SEED={seed} cargo nextest run -E 'test(={test})'"),
        (None, true) => format!("STORMGLASS_SEED={seed} cargo nextest run"),
        (Some(test), false) => format!("STORMGLASS_SEED={seed} cargo test {test}"),
        (None, false) => format!("STORMGLASS_SEED={seed} cargo test"),
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
        assert!(message.contains("reproduce: STORMGLASS_SEED=41 cargo "), "{message}");
    }

    #[test]
    fn the_environment_chooses_one_seed_or_many() {
        let chosen =
            |one: Option<&str>, many: Option<&str>| super::chosen(one.map(str::to_owned), many.map(str::to_owned));
        let range = |first, last| Ok(Some(SeedRange { first, last: Some(last) }));
        assert_eq!(chosen(None, None), Ok(None));
        assert_eq!(chosen(None, Some("5..8")), range(5, 7));
        assert_eq!(chosen(Some("41"), Some("5..8")), range(41, 41));
        for (one, many, why) in [
            (Some("x"), None, "STORMGLASS_SEED is `x`: a seed is a number"),
            (None, Some("7"), "STORMGLASS_SEEDS is `7`: a range of seeds is written `A..B`"),
            (None, Some("7.."), "STORMGLASS_SEEDS is `7..`: a test needs seeds that come to an end"),
        ] {
            assert!(chosen(one, many).unwrap_err().starts_with(why), "{one:?} {many:?}");
        }
    }

    #[test]
    fn the_line_that_runs_it_again_is_for_the_runner_that_ran_it() {
        assert_eq!(reproduce(7, Some("a::b"), false), "STORMGLASS_SEED=7 cargo test a::b");
        assert_eq!(reproduce(7, Some("a::b"), true), "STORMGLASS_SEED=7 cargo nextest run -E 'test(=a::b)'");
        assert_eq!(reproduce(7, Some("main"), false), "STORMGLASS_SEED=7 cargo test");
    }

    fn check_failing(seed: u64) {
        let text = "about = 'x'\nsystem = 'echo'\nduration = '9s'\n[expect]\ncounters = { 'packets.lost' = '> 0' }";
        let script = Script::parse("test.toml", text).expect("a good script");
        check_seed(&Echo, "test", &script, seed);
    }
}
