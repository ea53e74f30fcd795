//! `figure`: the trials of a published figure, and what they come to.

use std::fs;
use std::ops::ControlFlow;
use std::path::Path;

use anyhow::Context as _;
use indicatif::ProgressBar;

use super::args::{FigureArgs, SetArgs};
use super::out::{self, Out};
use super::{Chosen, Shell, run, sweep};
use crate::explore::figure::{Made, Trials, exit, picture, report};
use crate::explore::pool::{Finish, Results, run_all};
use crate::explore::wall::Stopwatch;
use crate::explore::{Job, JobError, Ran};
use crate::figure::Figure;
#[cfg(feature = "plots")]
use crate::report::figure::svg::draw as draw_svg;
use crate::report::figure::{FigureReport, text};
use crate::report::judgement::Exit;
use crate::report::style::{STRONG, paint};
use crate::report::text::row;
use crate::script::error::nearest;

pub(super) fn figure(shell: &Shell, args: &FigureArgs, out: &mut Out) -> anyhow::Result<Exit> {
    let figures: Vec<Figure> = shell.systems.iter().flat_map(|system| system.figures()).collect();
    let Some(name) = &args.name else { return list(&figures, out) };
    let figure = find(&figures, name, &shell.program)?;
    let trials = args.trials.map_or(figure.trials, Into::into);
    let last = args.seeds_from.checked_add(trials - 1);
    let last = last
        .with_context(|| format!("{trials} trials from seed {} on are more than there are seeds", args.seeds_from))?;
    if let Some(path) = &args.output {
        check_output(path)?;
    }
    let chosen = figure
        .curves
        .iter()
        .map(|curve| shell.choose(curve.sim, &SetArgs { lane: args.lane, ..SetArgs::default() }))
        .collect::<anyhow::Result<Vec<_>>>()?;
    let (seeds, launch) = (args.seeds_from..=last, Shell::launch(&args.watching)?);
    let runs = trials.saturating_mul(chosen.len() as u64);
    let lanes = sweep::lanes(args.jobs.jobs, runs);
    let template = "  {bar:30} {human_pos} of {human_len} trials, {rate} a second, {eta} left";
    let mut measuring = Measuring {
        shell,
        first_seed: args.seeds_from,
        trials: figure.curves.iter().cloned().map(Trials::new).collect(),
        chosen: &chosen,
        bar: if args.json { ProgressBar::hidden() } else { out::bar(runs, template) },
        error: None,
    };
    // All curves grow together, so that an interruption leaves as much of each.
    let jobs: Vec<Job> = chosen.iter().map(|chosen| chosen.job(0)).collect();
    let jobs = seeds.flat_map(move |seed| jobs.clone().into_iter().map(move |job| Job { seed, ..job }));
    let clock = Stopwatch::start();
    let finish = run_all(&launch, jobs, lanes, &mut measuring)?;
    measuring.bar.finish_and_clear();
    if let Some(error) = measuring.error {
        return Err(error.into());
    }
    let interrupted = finish == Finish::Interrupted;
    let made = Made { first_seed: args.seeds_from, trials, interrupted, wall: clock.elapsed() };
    let report = report(figure, &measuring.trials, made);
    let drawn = args.output.as_deref().map(|path| draw(path, figure, &measuring.trials)).transpose()?;
    print(&report, drawn.as_deref(), lanes.get() as u64, args.json, out)?;
    Ok(exit(&report.curves, interrupted))
}

fn list(figures: &[Figure], out: &mut Out) -> anyhow::Result<Exit> {
    let width = figures.iter().map(|figure| figure.name.len()).max().unwrap_or(0);
    for Figure { name, about, .. } in figures {
        out.rows(&format!("  {}  {about}\n", paint(STRONG, format_args!("{name:width$}"))))?;
    }
    if figures.is_empty() {
        out.line("no system of this program has figures")?;
    }
    out.flush()?;
    Ok(Exit::Expected)
}

fn find<'a>(figures: &'a [Figure], name: &str, program: &str) -> anyhow::Result<&'a Figure> {
    figures.iter().find(|figure| figure.name == name).with_context(|| {
        let nearest = nearest(name, figures.iter().map(|figure| figure.name));
        let hint = nearest.map(|name| format!("; did you mean `{name}`?")).unwrap_or_default();
        let names: Vec<_> = figures.iter().map(|figure| format!("`{}`", figure.name)).collect();
        let all =
            if names.is_empty() { "there are none".to_owned() } else { format!("there are {}", names.join(", ")) };
        format!("no figure `{name}`{hint}\n{all}; `{program} figure` shows what they are")
    })
}

#[cfg(not(feature = "plots"))]
fn draw_svg(_: &crate::report::figure::picture::Picture) -> anyhow::Result<String> {
    anyhow::bail!("this build has no feature `plots`")
}

/// Says what is wrong with a picture's path before the trials are made, and not after.
fn check_output(path: &Path) -> anyhow::Result<()> {
    let shown = path.display();
    anyhow::ensure!(
        path.extension().is_some_and(|extension| extension == "svg"),
        "cannot draw {shown}: the picture is SVG, so the name of its file ends in `.svg`"
    );
    anyhow::ensure!(cfg!(feature = "plots"), "cannot draw {shown}: this build has no feature `plots`");
    if let Some(folder) = out::missing_folder(path) {
        anyhow::bail!("cannot draw {shown}: there is no directory {}", folder.display());
    }
    anyhow::ensure!(!path.is_dir(), "cannot draw {shown}: it is a directory");
    Ok(())
}

fn draw(path: &Path, figure: &Figure, trials: &[Trials]) -> anyhow::Result<String> {
    let shown = path.display();
    let drawn = draw_svg(&picture(figure, trials)).map_err(|error| anyhow::anyhow!("cannot draw {shown}: {error}"))?;
    fs::write(path, &drawn).with_context(|| format!("cannot write {shown}"))?;
    Ok(format!("{shown} ({} KiB)", drawn.len().div_ceil(1024)))
}

fn print(report: &FigureReport, drawn: Option<&str>, jobs: u64, json: bool, out: &mut Out) -> anyhow::Result<()> {
    if json {
        out.json(report)?;
    } else {
        let mut head = text::head(report);
        if let Some(drawn) = drawn {
            row(&mut head, "picture", drawn);
        }
        out.rows(&head)?;
        for curve in &report.curves {
            out.text(&text::curve(curve))?;
        }
        out.rows(&text::foot(report, jobs))?;
    }
    out.flush()
}

struct Measuring<'a> {
    shell: &'a Shell,
    first_seed: u64,
    chosen: &'a [Chosen],
    trials: Vec<Trials>,
    bar: ProgressBar,
    error: Option<JobError>,
}

impl Results for Measuring<'_> {
    fn progress(&mut self) {
        self.bar.inc(1);
    }

    fn next(&mut self, index: u64, result: Result<Ran, JobError>) -> ControlFlow<()> {
        let curves = self.chosen.len() as u64;
        let (seed, place) = (self.first_seed + index / curves, usize::try_from(index % curves));
        match (result, place) {
            (Ok(ran), Ok(place)) => {
                let report = run::report(&self.shell.program, &self.chosen[place], seed, &ran);
                self.trials[place].add(&ran, report);
                ControlFlow::Continue(())
            }
            (result, _) => {
                self.error = result.err();
                ControlFlow::Break(())
            }
        }
    }
}
