//! `show`: every record of a run. Its exit code is that of `run`.

use super::args::ShowArgs;
use super::out::Out;
use super::{Chosen, Shell, run};
use crate::explore::{Seen, Watcher};
use crate::report::judgement::Exit;
use crate::report::records::{End, Header, HostLine, RecordLine, SCHEMA_VERSION, ShowLine};
use crate::report::show::Lines;
use crate::report::style::{DIM, STRONG, paint};
use crate::report::text;

pub(super) fn show(shell: &Shell, args: &ShowArgs, out: &mut Out) -> anyhow::Result<Exit> {
    let chosen = shell.choose(&args.sim, &args.set)?;
    let seed = super::seed(args.seed.seed)?;
    let mut job = chosen.job(seed);
    job.keep_records = true;
    let mut show = Show { chosen: &chosen, seed, is_json: args.json, out, lines: None, result: Ok(()) };
    let ran = Watcher::new(Shell::launch(&args.watching)?).run(&job, &mut |seen| show.see(seen))?;
    if show.lines.is_none() {
        show.begin(&[], None)?;
    }
    show.result?;
    let report = run::report(&shell.program, &chosen, seed, &ran);
    if args.json {
        out.json(&ShowLine::End(End::new(&report)))?;
    } else {
        out.rows(&text::verdict(&report))?;
    }
    out.flush()?;
    Ok(run::exit(&report))
}

struct Show<'a> {
    chosen: &'a Chosen,
    seed: u64,
    is_json: bool,
    out: &'a mut Out,
    /// Turns records into text, once the hosts are known.
    lines: Option<Lines>,
    result: anyhow::Result<()>,
}

impl Show<'_> {
    fn see(&mut self, seen: Seen) {
        if self.result.is_err() || self.out.is_closed() {
            return;
        }
        self.result = match seen {
            Seen::Finished { outcome, hosts } => self.begin(&hosts, Some(outcome.hash.to_string())),
            Seen::Record(record) => self.record(&record),
            Seen::Time(_) => Ok(()),
        };
    }

    fn begin(&mut self, hosts: &[HostLine], hash: Option<String>) -> anyhow::Result<()> {
        self.lines = Some(Lines::new(hosts, self.out.columns()));
        let sim = &self.chosen.sim;
        if self.is_json {
            let set = sim.set.iter().map(ToString::to_string).collect();
            let (kind, schema, seed) = ("run".to_owned(), SCHEMA_VERSION, self.seed);
            let (sim, system, hosts) = (sim.name.clone(), self.chosen.script.system.clone(), hosts.to_vec());
            return self.out.json(&ShowLine::Header(Header { kind, schema, sim, system, set, seed, hosts, hash }));
        }
        self.out.line(&format!("{}  seed {}", paint(STRONG, sim.title()), paint(STRONG, self.seed)))?;
        for host in hosts {
            self.out.line(&paint(DIM, format_args!("  {} is {}", host.name, host.addr)))?;
        }
        Ok(())
    }

    fn record(&mut self, record: &RecordLine) -> anyhow::Result<()> {
        match &mut self.lines {
            Some(lines) if !self.is_json => self.out.rows(&format!("{}\n", lines.line(record))),
            _ => self.out.json(record),
        }
    }
}
