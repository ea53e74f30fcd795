//! `merge`: one result of the shards of a sweep.

use super::args::MergeArgs;
use super::out::Out;
use super::swept;
use crate::explore::library::shown;
use crate::explore::sweep::merge;
use crate::report::judgement::Exit;
use crate::report::style::counted;
use crate::report::text;

/// How many failures are shown with their facts; the others get a line each.
const IN_FULL: usize = 10;

pub(super) fn merge(args: &MergeArgs, out: &mut Out) -> anyhow::Result<Exit> {
    args.files.check()?;
    let mut parts = Vec::new();
    for path in &args.results {
        let name = shown(path);
        let text = std::fs::read_to_string(path).map_err(|error| anyhow::anyhow!("cannot read {name}: {error}"))?;
        parts.push(merge::read(&name, &text).map_err(anyhow::Error::msg)?);
    }
    let shards = counted(parts.len() as u64, "shard", "shards");
    let report = merge::merge(parts).map_err(anyhow::Error::msg)?;
    if !args.files.is_json_alone() {
        let failures = report.sims.iter().flat_map(|sim| &sim.failures);
        for (number, failure) in failures.enumerate() {
            let line = || text::failure_line(failure) + "\n";
            out.rows(&if number < IN_FULL { text::verdict(failure) } else { line() })?;
        }
        out.rows(&swept::sims(&report))?;
        out.rows(&swept::whole(&report, None, &format!(" at the longest, in {shards}")))?;
    }
    args.files.write(&report, out)?;
    out.flush()?;
    Ok(report.exit())
}
