//! The process in which runs happen: jobs come in, one after another, and messages go out.
//!
//! It ends when its standard input does, even in the middle of a run that never comes to its end, so that it does not
//! outlive the process that watches it.

use std::cell::{Cell, RefCell};
use std::collections::{BTreeMap, BTreeSet};
use std::io::{self, BufRead, BufWriter, Write};
use std::process::ExitCode;
use std::rc::Rc;
use std::sync::mpsc::{Receiver, channel};
use std::time::Duration;

use super::job::{Job, MARK, Message};
use super::wall::{self, Stopwatch};
use crate::held;
use crate::report::records::{HostLine, RecordLine};
use crate::rng::Seed;
use crate::script::{Script, ScriptError};
use crate::sim::System;
use crate::sim::{self, Outcome, RunOptions, Watch};

/// The wall time between two heartbeats.
const HEARTBEAT: Duration = Duration::from_millis(100);

/// How many steps pass between two looks at the wall clock.
const STEPS_PER_LOOK: u32 = 16;

/// Runs jobs from standard input until it ends.
pub fn serve(systems: &[&'static dyn System]) -> ExitCode {
    let jobs = match read_jobs() {
        Ok(jobs) => jobs,
        Err(error) => {
            eprintln!("error: the worker cannot read its jobs: {error}");
            return ExitCode::from(2);
        }
    };
    let mut parsed = Parsed::default();
    if send(&Message::Ready).is_err() {
        return ExitCode::FAILURE;
    }
    for job in jobs {
        if let Err(error) = work(systems, &job, &mut parsed) {
            // Nobody listens any more.
            let _ = writeln!(io::stderr(), "error: the worker cannot report: {error}");
            return ExitCode::FAILURE;
        }
    }
    ExitCode::SUCCESS
}

/// The jobs, as they come. At the end of the input the whole process ends.
fn read_jobs() -> io::Result<Receiver<Job>> {
    let (sender, jobs) = channel();
    wall::thread("jobs", move || {
        for line in io::stdin().lock().lines().map_while(Result::ok) {
            match serde_json::from_str(&line) {
                Ok(job) => drop(sender.send(job)),
                Err(error) => {
                    let _ = send(&Message::Refused { message: format!("not a job: {error}") });
                }
            }
        }
        std::process::exit(0);
    })?;
    Ok(jobs)
}

/// The last script of each path: a sweep sends the same few again and again.
#[derive(Default)]
struct Parsed(BTreeMap<String, (String, Script)>);

impl Parsed {
    fn script(&mut self, job: &Job) -> Result<&Script, ScriptError> {
        if self.0.get(&job.path).is_none_or(|(text, _)| *text != job.text) {
            let script = Script::parse(&job.path, &job.text)?;
            self.0.insert(job.path.clone(), (job.text.clone(), script));
        }
        Ok(&self.0[&job.path].1)
    }
}

/// Makes one run and tells what came of it.
fn work(systems: &[&'static dyn System], job: &Job, parsed: &mut Parsed) -> io::Result<()> {
    let script = match parsed.script(job) {
        Ok(script) => script,
        Err(error) => return send(&Message::Refused { message: error.to_string() }),
    };
    let Some(system) = systems.iter().find(|system| system.name() == script.system) else {
        let known: Vec<_> = systems.iter().map(|system| system.name()).collect();
        let message = format!("{}: no system `{}` here; there are: {}", job.path, script.system, known.join(", "));
        return send(&Message::Refused { message });
    };
    let clock = Stopwatch::start();
    let made = held::in_fresh_thread(job.variation, || make(*system, script, job, clock))?;
    let (mut outcome, threads) = match made {
        Ok(made) => made,
        Err(message) => return send(&Message::Refused { message }),
    };
    if !threads.is_empty() {
        send(&Message::Threads { names: threads })?;
    }
    let trace = outcome.trace.take().unwrap_or_default();
    if !job.keep_times {
        outcome.samples.clear();
    }
    let hosts = trace.hosts.iter().map(|(name, addr)| HostLine { name: name.clone(), addr: addr.to_string() });
    let finished = Message::Finished { outcome: Box::new(outcome), wall: clock.elapsed(), hosts: hosts.collect() };
    let mut out = BufWriter::with_capacity(1 << 16, io::stdout().lock());
    write(&mut out, &finished)?;
    for record in &trace.records {
        write(&mut out, &Message::Record(Box::new(RecordLine::new(&trace, record))))?;
    }
    write(&mut out, &Message::Done)?;
    out.flush()
}

/// Makes one run, and says which threads it has started, if it is to look for them.
fn make(
    system: &'static dyn System,
    script: &Script,
    job: &Job,
    clock: Stopwatch,
) -> Result<(Outcome, Vec<String>), String> {
    let heart = Heart {
        clock,
        steps: Cell::new(0),
        last: Cell::default(),
        careful_from: job.careful_from,
        threads: job.look_for_threads.then(Threads::begin),
    };
    let heart = Rc::new(heart);
    let options = RunOptions { keep_records: job.keep_records, watch: Some(heart.clone()) };
    let outcome = sim::run(system, script, Seed(job.seed), &options).map_err(|error| error.to_string())?;
    let threads = heart.threads.as_ref().map(|threads| threads.found.take().into_iter().collect());
    Ok((outcome, threads.unwrap_or_default()))
}

/// Looks for threads that a run has started.
struct Threads {
    /// Those that were there before, by their numbers.
    before: BTreeSet<String>,
    /// The names of the others.
    found: RefCell<BTreeSet<String>>,
}

impl Threads {
    fn begin() -> Self {
        Self { before: wall::threads().into_keys().collect(), found: RefCell::default() }
    }

    fn look(&self) {
        let others = wall::threads().into_iter().filter(|(number, _)| !self.before.contains(number));
        self.found.borrow_mut().extend(others.map(|(_, name)| name));
    }
}

fn send(message: &Message) -> io::Result<()> {
    let mut out = io::stdout().lock();
    write(&mut out, message)?;
    out.flush()
}

fn write(out: &mut impl Write, message: &Message) -> io::Result<()> {
    let mut line = vec![MARK];
    serde_json::to_writer(&mut line, message)?;
    line.push(b'\n');
    out.write_all(&line)
}

/// Tells the watching process that the run goes on.
struct Heart {
    clock: Stopwatch,
    steps: Cell<u32>,
    /// The wall time of the last heartbeat.
    last: Cell<Duration>,
    careful_from: Option<Duration>,
    threads: Option<Threads>,
}

impl Heart {
    fn is_careful(&self, at: Duration) -> bool {
        self.careful_from.is_some_and(|from| at >= from)
    }
}

impl Watch for Heart {
    fn stepped(&self, at: Duration) {
        if let Some(threads) = &self.threads {
            threads.look();
        }
        let steps = self.steps.get().wrapping_add(1);
        self.steps.set(steps);
        if !self.is_careful(at) {
            if !steps.is_multiple_of(STEPS_PER_LOOK) {
                return;
            }
            let now = self.clock.elapsed();
            if now < self.last.get() + HEARTBEAT {
                return;
            }
            self.last.set(now);
        }
        if send(&Message::Heartbeat { at }).is_err() {
            std::process::exit(1);
        }
    }

    fn polls(&self, at: Duration, host: &str) {
        if self.is_careful(at) && send(&Message::Polls { at, host: host.to_owned() }).is_err() {
            std::process::exit(1);
        }
    }
}
