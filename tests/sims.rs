//! Every script in `sims/`, a test each: it passes, and its packets add up. So do its variants, every night and in
//! `.ci/run`; by day each of them is read.

use std::path::Path;

use stormglass::rng::Seed;
use stormglass::script::Script;
use stormglass::sim::{Outcome, RunOptions, System, run};
use stormglass::systems;

datatest_stable::harness! {
    { test = sim, root = "sims", pattern = r"\.toml$" },
}

/// Many are swept every night; `.ci/run` verifies each sim in two processes with another.
const SEEDS: u64 = 1;

#[allow(clippy::needless_pass_by_value, reason = "the harness hands the text over")]
fn sim(path: &Path, text: String) -> datatest_stable::Result<()> {
    let path = path.display().to_string();
    let script = Script::parse(&path, &text)?;
    holds(&script)?;
    for variant in &script.variants {
        let script = Script::parse(&format!("{path}@{}", variant.name), &variant.apply(&text)?);
        let is_night = std::env::var_os("STORMGLASS_NIGHTLY").is_some();
        let holds = script.map_err(Into::into).and_then(|script| if is_night { holds(&script) } else { Ok(()) });
        holds.map_err(|error| format!("variant {}: {error}", variant.name))?;
    }
    Ok(())
}

fn holds(script: &Script) -> datatest_stable::Result<()> {
    let system = systems::all().iter().find(|system| system.name() == script.system).ok_or("no such system")?;
    let once = |seed| run(*system, script, Seed(seed), &RunOptions::default());
    for seed in 0..SEEDS {
        let first = once(seed)?;
        passes(script, &first).map_err(|error| format!("seed {seed}: {error}"))?;
        declares(*system, &first).map_err(|error| format!("seed {seed}: {error}"))?;
        adds_up(&first).map_err(|error| format!("seed {seed}: {error}"))?;
    }
    Ok(())
}

fn passes(script: &Script, outcome: &Outcome) -> Result<(), String> {
    let found = outcome.verdict.finding().map(|finding| finding.invariant.as_str());
    if outcome.verdict.name() == "inconclusive" || found != script.expect.violation.as_deref() {
        return Err(format!("{:?}", outcome.verdict));
    }
    Ok(())
}

/// What is counted is what the system says that it counts: a script that names anything else is refused.
fn declares(system: &dyn System, outcome: &Outcome) -> Result<(), String> {
    let Some(declared) = system.counters() else { return Ok(()) };
    let unknown = outcome.counters.keys().find(|counter| !declared.contains(&counter.as_str()));
    unknown.map_or(Ok(()), |counter| Err(format!("`{counter}` is counted, and `System::counters` does not name it")))
}

fn adds_up(outcome: &Outcome) -> Result<(), String> {
    let packets = &outcome.packets;
    let transmissions = packets.sent + packets.retransmitted + packets.duplicated;
    let fates = packets.delivered + packets.lost + packets.in_flight;
    if packets.sent == 0 || transmissions != fates {
        return Err(format!("{transmissions} transmissions have {fates} fates: {packets:?}"));
    }
    Ok(())
}
