//! `verify`: one run in two fresh processes.
//!
//! What is judged is that both are the same, not what they came to: two runs with the same violation are fine.

use std::fmt::Write as _;

use super::args::{LaneArg, LaneName, SetArgs, VerifyArgs};
use super::out::Out;
use super::{Shell, leaks, run};
use crate::explore::leak::Leak;
use crate::explore::verify::{Differs, Verified, differing_part, verify as verify_run};
use crate::report::judgement::Exit;
use crate::report::style::{BAD, GOOD, paint};
use crate::report::{json, text};

pub(super) fn verify(shell: &Shell, args: &VerifyArgs, out: &mut Out) -> anyhow::Result<Exit> {
    let chosen = shell.choose(&args.sim, &args.set)?;
    let seed = super::seed(args.seed.seed)?;
    let name = format!("{} seed={seed}", chosen.sim.title());
    let in_lane = |lane| {
        let set = SetArgs { lane: LaneArg { lane: Some(lane) }, ..args.set.clone() };
        anyhow::Ok(shell.choose(&args.sim, &set)?.job(seed))
    };
    let jobs = if args.lanes {
        [in_lane(LaneName::Turmoil)?, in_lane(LaneName::Core)?]
    } else {
        [chosen.job(seed), chosen.job(seed)]
    };
    let how = if args.lanes { "in both lanes" } else { "in two fresh processes" };
    let exit = match verify_run(&Shell::launch(&args.watching)?, [&jobs[0], &jobs[1]])? {
        Verified::Same(same) => {
            let report = run::report(&shell.program, &chosen, seed, &same.ran);
            let thread =
                same.leaks.as_ref().and_then(|leaks| leaks.moved.iter().find(|(leak, _)| *leak == Leak::Thread));
            let hash = report.hash.as_deref().unwrap_or_default();
            let told = format!("{name}: same hash {how}: {hash}");
            if thread.is_some() {
                out.line(&format!(
                    "{} {name}: not deterministic: it is another when its threads are late",
                    paint(BAD, "FAIL")
                ))?;
            } else {
                out.line(&format!("{} {told}", paint(GOOD, "OK")))?;
            }
            if !report.as_expected {
                out.line(&format!("both came to the same: {}", text::failure_line(&report)))?;
            }
            if let Some(leaks) = &same.leaks {
                out.rows(&leaks::held(leaks, out.columns()))?;
            }
            if thread.is_some() { Exit::NotDeterministic } else { Exit::Expected }
        }
        Verified::Cut(ran) => {
            out.rows(&text::verdict(&run::report(&shell.program, &chosen, seed, &ran)))?;
            Exit::Found
        }
        Verified::Differs(differs) => {
            let sim = &chosen.sim;
            let call = if args.lanes { " verify --lanes " } else { " verify " };
            let reproduce = json::reproduce(&shell.program, &sim.name, &sim.set, seed).replacen(" run ", call, 1);
            out.rows(&difference(&name, &differs, out.columns()))?;
            if let Some(leaks) = &differs.leaks {
                out.rows(&leaks::differing(leaks))?;
            }
            out.line(&format!("reproduce: {reproduce}"))?;
            Exit::NotDeterministic
        }
    };
    out.flush()?;
    Ok(exit)
}

fn difference(name: &str, differs: &Differs, columns: usize) -> String {
    let [one, other] = &differs.outcomes;
    let mut text = format!("{} {name}: not deterministic: ", paint(BAD, "FAIL"));
    if one.hash == other.hash {
        let (part, how) = differing_part(one, other).unwrap_or_default();
        let _ = writeln!(text, "two runs have the same records, but their {part} differ: {}", how.join("; "));
    } else {
        let _ = writeln!(text, "two runs have the hashes {} and {}", one.hash, other.hash);
    }
    match &differs.difference {
        Some(difference) => text += &leaks::records(difference, columns),
        None => text += "the difference was not seen again with the records kept\n",
    }
    text
}
