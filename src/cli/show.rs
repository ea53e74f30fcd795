//! `show`: a run in the terminal, record by record. Its exit code is that of `run`.

use std::collections::BTreeSet;
use std::time::Duration;

use super::Shell;
use super::args::{ShowArgs, View};
use super::out::Out;
use super::report::Made;
use crate::report::judgement::Exit;
use crate::report::lanes::Lanes;
use crate::report::recording::{Meanings, Recording};
use crate::report::records::{RecordLine, ShowLine, WhatLine};
use crate::report::show::Lines;
use crate::report::style::{DIM, STRONG, counted, paint};
use crate::report::text::drawn_text;
use crate::report::topics::Selection;
use crate::report::why;

/// How much of what led to a violation is shown with it: the last steps of the path.
const STEPS_MAX: usize = 16;

pub(super) fn show(shell: &Shell, args: &ShowArgs, out: &mut Out) -> anyhow::Result<Exit> {
    let made = shell.record(&args.run, args.seed.seed, &args.set, &args.watching)?;
    let (run, meaning) = (&made.recording, shell.meaning(&made));
    let selection = selection(args, run)?;
    let chosen = selection.choose(run, &*meaning)?;
    if args.json {
        print_json(run, &chosen, out)?;
        return Ok(made.exit);
    }
    if args.follow.is_none() && !args.no_pager {
        out.page();
    }
    head(run, out)?;
    if let Some(record) = args.why {
        print_path(run, record, usize::MAX, out)?;
    } else {
        let shown = Shown { run, chosen: &chosen, follow: args.follow };
        shown.print(args.view, &*meaning, out)?;
        foot(&made, &selection, &chosen, out)?;
    }
    out.flush()?;
    Ok(made.exit)
}

fn selection(args: &ShowArgs, run: &Recording) -> anyhow::Result<Selection> {
    let records = run.records.len() as u64;
    for (option, record) in [("--around", args.around), ("--why", args.why)] {
        if let Some(record) = record.filter(|record| *record >= records) {
            anyhow::bail!("{option} {record}: the records of this run are 0 to {}", records.saturating_sub(1));
        }
    }
    let range = args.around.map(|record| (record.saturating_sub(args.context), record.saturating_add(args.context)));
    Ok(Selection { hosts: args.host.clone(), only: args.only.clone(), range })
}

fn print_json(run: &Recording, chosen: &BTreeSet<u64>, out: &mut Out) -> anyhow::Result<()> {
    out.json(&ShowLine::Header(run.header.clone()))?;
    for record in run.records.iter().filter(|record| chosen.contains(&record.n)) {
        out.json(record)?;
    }
    out.json(&ShowLine::End(run.end.clone()))?;
    out.flush()
}

/// Which run it is, and its hosts.
fn head(run: &Recording, out: &mut Out) -> anyhow::Result<()> {
    let words: Vec<&str> =
        [run.header.sim.as_str()].into_iter().chain(run.header.set.iter().map(String::as_str)).collect();
    out.line(&format!("{}  seed {}", paint(STRONG, words.join("  ")), paint(STRONG, run.header.seed)))?;
    for drawn in &run.header.drawn {
        out.rows(&format!("{}\n", paint(DIM, format_args!("  drawn: {}", drawn_text(drawn)))))?;
    }
    for host in run.hosts() {
        out.line(&paint(DIM, format_args!("  {} is {}", host.name, host.addr)))?;
    }
    Ok(())
}

/// How it ended, what led to that, and what was left out.
fn foot(made: &Made, selection: &Selection, chosen: &BTreeSet<u64>, out: &mut Out) -> anyhow::Result<()> {
    let run = &made.recording;
    if !selection.is_all() {
        let (shown, all) = (chosen.len() as u64, run.records.len() as u64);
        out.line(&paint(DIM, format_args!("{} of {} shown", shown, counted(all, "record", "records"))))?;
    }
    out.rows(&made.verdict)?;
    let violated = run.records.iter().find(|record| matches!(record.what, WhatLine::Violated { .. }));
    if let Some(violated) = violated {
        out.line(&paint(STRONG, "what led to it:"))?;
        print_path(run, violated.n, STEPS_MAX, out)?;
    }
    Ok(())
}

/// The path of causes that leads to a record, its last steps.
fn print_path(run: &Recording, record: u64, steps_max: usize, out: &mut Out) -> anyhow::Result<()> {
    let path = why::path(run, record);
    let left_out = path.len().saturating_sub(steps_max);
    if left_out > 0 {
        let steps = counted(left_out as u64, "step", "steps");
        let whole = format!("{steps} before: show … --why {record}");
        out.line(&paint(DIM, format_args!("          {whole}")))?;
    } else if let Some(first) = path.first() {
        out.line(&paint(DIM, format_args!("          {}", why::origin(first))))?;
    }
    let wanted: BTreeSet<u64> = path[left_out..].iter().map(|record| record.n).collect();
    let mut lines = Lines::new(run.hosts(), out.columns());
    for record in &run.records {
        if wanted.contains(&record.n) {
            out.line(&lines.line(record))?;
        } else {
            lines.see(record);
        }
    }
    Ok(())
}

/// What is shown of a run, and when.
struct Shown<'a> {
    run: &'a Recording,
    chosen: &'a BTreeSet<u64>,
    follow: Option<f64>,
}

impl Shown<'_> {
    fn print(&self, view: Option<View>, meaning: &Meanings<'_>, out: &mut Out) -> anyhow::Result<()> {
        let wants_lanes = view.map_or(out.is_terminal(), |view| view == View::Lanes);
        let lanes = if wants_lanes { Lanes::new(self.run, meaning, out.columns()) } else { None };
        match lanes {
            Some(lanes) => self.print_lanes(lanes, out),
            None if view == Some(View::Lanes) => {
                let (hosts, columns) = (self.run.hosts().len(), out.columns());
                anyhow::bail!(
                    "{hosts} lanes and their text need more than {columns} columns: widen the terminal, or `--view list`"
                )
            }
            None => self.print_list(out),
        }
    }

    fn print_lanes(&self, mut lanes: Lanes<'_>, out: &mut Out) -> anyhow::Result<()> {
        out.line(&paint(DIM, format_args!("  {}", lanes.legend())))?;
        let mut before = None;
        for record in &self.run.records {
            let is_shown = self.chosen.contains(&record.n);
            if is_shown {
                self.wait(&mut before, record, out)?;
            }
            out.text(&lanes.record(record, is_shown))?;
            if out.is_closed() {
                break;
            }
        }
        Ok(())
    }

    fn print_list(&self, out: &mut Out) -> anyhow::Result<()> {
        let mut lines = Lines::new(self.run.hosts(), out.columns());
        let mut before = None;
        for record in &self.run.records {
            if !self.chosen.contains(&record.n) {
                lines.see(record);
                continue;
            }
            self.wait(&mut before, record, out)?;
            out.rows(&format!("{}\n", lines.line(record)))?;
            if out.is_closed() {
                break;
            }
        }
        Ok(())
    }

    /// With `--follow`: shows what there is, and waits for as long as nothing happens, at the speed that was asked for.
    #[allow(clippy::disallowed_methods, reason = "a person watches: the wall clock is meant")]
    fn wait(&self, before: &mut Option<u64>, record: &RecordLine, out: &mut Out) -> anyhow::Result<()> {
        let Some(speed) = self.follow else { return Ok(()) };
        let passed = Duration::from_nanos(record.t_ns - before.replace(record.t_ns).unwrap_or(record.t_ns));
        if !passed.is_zero() {
            out.flush()?;
            let wait = Duration::try_from_secs_f64(passed.as_secs_f64() / speed).unwrap_or(Duration::MAX);
            std::thread::sleep(wait);
        }
        Ok(())
    }
}
