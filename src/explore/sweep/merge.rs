//! One sweep of its shards.
//!
//! Shards that belong together have the same sims, the same scripts to the byte, the same seeds, and are all there, once
//! each. Anything else is refused, with the names of the files that do not fit.

use super::report::{SimReport, SweepReport, VERSION};

/// A report, and the name of its file.
pub type Part = (String, SweepReport);

/// Reads a report of a sweep.
pub fn read(name: &str, text: &str) -> Result<Part, String> {
    let value: serde_json::Value =
        serde_json::from_str(text).map_err(|error| format!("{name} is not a result of `sweep --json`: {error}"))?;
    match value.get("version").map(serde_json::Value::as_u64) {
        None => return Err(format!("{name} is not a result of `sweep --json`: it has no version")),
        Some(version) if version != Some(u64::from(VERSION)) => {
            return Err(format!("{name} has version {}, and this program reads version {VERSION}", value["version"]));
        }
        Some(_) => {}
    }
    let report = serde_json::from_value(value)
        .map_err(|error| format!("{name} is not a result of `sweep --json` of version {VERSION}: {error}"))?;
    Ok((name.to_owned(), report))
}

/// Makes one report of all shards of a sweep, in whatever order they come.
pub fn merge(mut parts: Vec<Part>) -> Result<SweepReport, String> {
    let Some((first, like)) = parts.first().cloned() else { return Err("there is nothing to merge".to_owned()) };
    for (name, part) in &parts {
        fits(&first, &like, name, part)?;
    }
    parts.sort_by_key(|(_, part)| part.shard.map(|shard| shard.index));
    complete(&parts)?;
    let mut parts = parts.into_iter().map(|(_, part)| part);
    let Some(mut whole) = parts.next() else { return Err("there is nothing to merge".to_owned()) };
    whole.shard = None;
    for part in parts {
        whole.ended = whole.ended.max(part.ended);
        whole.wall_ms = whole.wall_ms.max(part.wall_ms);
        for (sim, other) in whole.sims.iter_mut().zip(part.sims) {
            sim.add(other);
        }
    }
    whole.exit_code = whole.exit() as u8;
    Ok(whole)
}

/// Whether a part is of the same sweep as the first one.
fn fits(first: &str, like: &SweepReport, name: &str, part: &SweepReport) -> Result<(), String> {
    let differ = |what: &str, one: &str, other: &str| {
        Err(format!(
            "{first} and {name} are not of one sweep: they have other {what}\n  {first}: {one}\n  {name}: {other}"
        ))
    };
    let list = |report: &SweepReport| {
        let title = |sim: &SimReport| {
            std::iter::once(sim.sim.clone()).chain(sim.set.clone()).collect::<Vec<_>>().join(" --set ")
        };
        report.sims.iter().map(title).collect::<Vec<_>>().join(", ")
    };
    let (one, other) = (list(like), list(part));
    if one != other {
        return differ("sims", &one, &other);
    }
    for (one, other) in like.sims.iter().zip(&part.sims) {
        if one.script_hash != other.script_hash {
            let script = |sim: &SimReport| format!("the script of {} has the hash {}", sim.sim, sim.script_hash);
            return differ("scripts", &script(one), &script(other));
        }
        if one.live != other.live {
            let world = |sim: &SimReport| if sim.live { "real processes" } else { "simulated" };
            return differ("hosts", world(one), world(other));
        }
        let names = |sim: &SimReport| sim.sometimes.iter().map(|sometimes| sometimes.name.clone()).collect::<Vec<_>>();
        if names(one) != names(other) {
            return differ("things that must sometimes come about", &names(one).join(", "), &names(other).join(", "));
        }
    }
    if like.range() != part.range() {
        return differ("seeds", &like.range().to_string(), &part.range().to_string());
    }
    let count = |report: &SweepReport| report.shard.map(|shard| shard.count);
    if count(like) != count(part) {
        let shards =
            |count: Option<u64>| count.map_or("all seeds".to_owned(), |count| format!("one of {count} shards"));
        return differ("shards", &shards(count(like)), &shards(count(part)));
    }
    Ok(())
}

/// Whether each shard is there, and once. They come in order.
fn complete(parts: &[Part]) -> Result<(), String> {
    for pair in parts.windows(2) {
        let [(one, report), (other, next)] = pair else { continue };
        if report.shard == next.shard {
            let what = report.shard.map_or("all seeds".to_owned(), |shard| format!("shard {shard}"));
            return Err(format!("{one} and {other} overlap: both have {what}"));
        }
    }
    let shards: Vec<_> = parts.iter().filter_map(|(_, part)| part.shard).collect();
    let Some(count) = shards.first().map(|shard| shard.count) else { return Ok(()) };
    if let Some(shard) = shards.iter().find(|shard| shard.index >= count) {
        return Err(format!("there is no shard {shard}: they are counted from 0"));
    }
    let is_there = |index: &u64| shards.iter().any(|shard| shard.index == *index);
    let missing = count - shards.len() as u64;
    if missing > 0 {
        let some: Vec<_> =
            (0..count).filter(|index| !is_there(index)).take(10).map(|index| format!("{index}/{count}")).collect();
        let more = if missing > some.len() as u64 { " and more" } else { "" };
        let verb = if missing == 1 { "is" } else { "are" };
        return Err(format!("{missing} of {count} shards {verb} missing: {}{more}", some.join(", ")));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;

    use super::*;
    use crate::explore::sweep::{Ended, SeedRange, Shard, SimReport, Sometimes};
    use crate::report::json::{RunOf, RunReport};
    use crate::report::judgement::Exit;
    use crate::sim::trace::TraceHash;
    use crate::sim::{Finding, Verdict};

    /// What one seed comes to: its hash, whether it fails, says nothing or passes, and what it shows.
    type Run = (u64, u8, [bool; 3]);

    fn failing(seed: u64) -> RunReport {
        let of = RunOf { program: "p", sim: "s", set: &[], script: "x", seed, expected: None, drawn: &[] };
        let finding = Finding {
            invariant: "i".to_owned(),
            at: std::time::Duration::ZERO,
            record: 0,
            message: String::new(),
            facts: Vec::new(),
        };
        RunReport::new(&of, &Verdict::Violation(finding), None, std::time::Duration::ZERO)
    }

    /// A sim's report of some seeds, as a tally makes it.
    fn sim(seeds: impl Iterator<Item = u64>, first: u64, runs: &[Run]) -> SimReport {
        let names = ["a", "b", "c"];
        let reached =
            |name: &&str| Sometimes { name: (*name).to_owned(), counters: BTreeMap::new(), seeds: 0, first_seed: None };
        let mut report = SimReport {
            sim: "s".to_owned(),
            set: Vec::new(),
            script_hash: TraceHash(1),
            seeds: 0,
            passed: 0,
            failed: 0,
            inconclusive: 0,
            sim_ms: 0.0,
            hash: Some(TraceHash(0)),
            live: false,
            faults: BTreeMap::new(),
            inert: BTreeMap::new(),
            sometimes: names.iter().map(reached).collect(),
            coverage: BTreeMap::new(),
            failures: Vec::new(),
            not_deterministic: Vec::new(),
        };
        for seed in seeds {
            let (hash, end, shows) = runs[usize::try_from(seed - first).expect("few")];
            report.seeds += 1;
            report.sim_ms += 20.0;
            report.hash = report.hash.map(|sum| TraceHash(sum.0.wrapping_add(hash)));
            match end {
                0 => {
                    report.failed += 1;
                    report.failures.push(failing(seed));
                }
                1 => report.inconclusive += 1,
                _ => report.passed += 1,
            }
            for ((name, shown), reached) in names.iter().zip(shows).zip(&mut report.sometimes) {
                if shown {
                    *report.faults.entry((*name).to_owned()).or_default() += 1;
                    *report.inert.entry((*name).to_owned()).or_default() += seed % 2;
                    report.coverage.entry((*name).to_owned()).or_insert(seed);
                    reached.seeds += 1;
                    reached.first_seed.get_or_insert(seed);
                }
            }
        }
        report
    }

    fn sweep(range: SeedRange, shard: Option<Shard>, runs: &[Run]) -> SweepReport {
        let sim = sim(range.iter(shard.unwrap_or(Shard::WHOLE)), range.first, runs);
        let mut report = SweepReport {
            version: VERSION,
            first_seed: range.first,
            last_seed: range.last,
            shard: shard.map(Into::into),
            ended: Ended::Complete,
            exit_code: 0,
            wall_ms: 1.0,
            sims: vec![sim],
        };
        report.exit_code = report.exit() as u8;
        report
    }

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]
        #[test]
        fn merged_shards_in_any_order_are_the_whole(
            first in 0..1_000_000_u64,
            runs in proptest::collection::vec((any::<u64>(), 0..9_u8, any::<[bool; 3]>()), 1..60),
            count in 1..9_u64,
            turn in 0..9_usize,
        ) {
            let range = SeedRange { first, last: Some(first + runs.len() as u64 - 1) };
            let count = std::num::NonZero::new(count).expect("not 0");
            let shards = (0..count.get()).map(|index| Shard { index, count });
            let mut parts: Vec<Part> = shards
                .map(|shard| (shard.to_string(), sweep(range, Some(shard), &runs)))
                // As files, there and back.
                .map(|(name, report)| read(&name, &serde_json::to_string(&report).expect("JSON")).expect("a result"))
                .collect();
            let places = parts.len();
            parts.rotate_left(turn % places);
            let whole = sweep(range, None, &runs);
            prop_assert_eq!(merge(parts.clone()).expect("they fit"), whole);
            if let Some(left_out) = parts.pop()
                && !parts.is_empty()
            {
                let missing = merge(parts.clone()).expect_err("one is missing");
                prop_assert!(missing.contains(&format!("missing: {}", left_out.0)), "{}", missing);
                parts.push(parts[0].clone());
                prop_assert!(merge(parts).expect_err("one is there twice").contains("overlap"));
            }
        }
    }

    #[test]
    fn simulated_and_live_runs_are_not_of_one_sweep() {
        let part = |index: u64, is_live: bool| {
            let count = std::num::NonZero::new(2).expect("not 0");
            let range = SeedRange { first: 0, last: Some(1) };
            let mut report = sweep(range, Some(Shard { index, count }), &[(7, 2, [true; 3]); 2]);
            if is_live {
                (report.sims[0].live, report.sims[0].hash) = (true, None);
            }
            read(&format!("{index}"), &serde_json::to_string(&report).expect("JSON")).expect("a result")
        };
        assert_eq!(merge(vec![part(0, true), part(1, true)]).expect("they fit").sims[0].hash, None);
        let error = merge(vec![part(0, false), part(1, true)]).expect_err("they do not fit");
        assert!(error.contains("they have other hosts\n  0: simulated\n  1: real processes"), "{error}");
    }

    #[test]
    fn a_sweep_comes_to_the_worst_of_what_it_found() {
        let exit = |ended, runs: &[Run], shard| {
            let range = SeedRange { first: 0, last: Some(runs.len() as u64 - 1) };
            let mut report = sweep(range, shard, runs);
            report.ended = ended;
            report.exit()
        };
        let all = [true; 3];
        let one = Some(Shard { index: 0, count: std::num::NonZero::<u64>::MIN });
        assert_eq!(exit(Ended::Complete, &[(1, 2, all)], None), Exit::Expected);
        assert_eq!(exit(Ended::Time, &[(1, 2, all)], None), Exit::Expected);
        assert_eq!(exit(Ended::Complete, &[(1, 1, all)], one), Exit::Inconclusive);
        assert_eq!(exit(Ended::Complete, &[(1, 2, [true, false, true])], None), Exit::Inconclusive);
        assert_eq!(exit(Ended::Complete, &[(1, 2, [true, false, true])], one), Exit::Expected);
        assert_eq!(exit(Ended::Interrupted, &[(1, 1, all)], None), Exit::Interrupted);
        assert_eq!(exit(Ended::Interrupted, &[(1, 0, all)], None), Exit::Found);
    }
}
