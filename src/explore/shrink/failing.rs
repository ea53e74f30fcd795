//! From a seed that fails to a small script that does, in worker processes.

use std::ops::ControlFlow;

use super::{Ground, Plan, Progress, Shrunk, Trials, resolve, shrink};
use crate::explore::crew::Crew;
use crate::explore::job::Job;
use crate::explore::watcher::{JobError, Launch, Ran, Seen, Watcher};
use crate::report::records::RecordLine;
use crate::rng::Seed;
use crate::script::{Script, Setting, settings};
use crate::sim::{Finding, Setup, drawn_steps, settled_steps};

/// A run that is to be shrunk.
#[derive(Clone)]
pub struct Failing {
    /// The script's path, for errors.
    pub path: String,
    /// The script's text, without what is set apart.
    pub text: String,
    /// Settings that are no part of what is shrunk: a planted bug.
    pub apart: Vec<Setting>,
    /// Its system, and the seed.
    pub ground: Ground,
}

/// What came of it.
pub enum Attempt {
    /// The run does not break anything, so there is nothing to shrink.
    Unbroken(Box<Ran>),
    /// Written out, it does not break the same: what it was that broke.
    NotAgain(Finding),
    /// It was shrunk, in so many runs.
    Shrunk(Box<Shrunk>, u64),
}

impl Failing {
    /// A job for one of its scripts.
    pub fn job(&self, text: &str) -> Job {
        // What is set apart fitted the script before, and fits its parts.
        let text = settings::apply(text, &self.apart).unwrap_or_else(|_| text.to_owned());
        Job { path: self.path.clone(), text, seed: self.ground.seed, ..Job::default() }
    }

    /// Shrinks it in at most so many runs. `about` heads the script that comes out.
    pub fn shrink(
        &self,
        launch: &Launch,
        crew: &Crew,
        runs_max: u64,
        about: &dyn Fn(&Finding) -> String,
        told: &mut dyn FnMut(&Progress<'_>),
    ) -> Result<Attempt, JobError> {
        let (ran, records) = self.record(launch)?;
        let Some(finding) = ran.verdict().finding().cloned() else { return Ok(Attempt::Unbroken(Box::new(ran))) };
        let starts = self.starts(&records).map_err(JobError::Refused)?;
        let about = about(&finding);
        let starts = starts.into_iter().map(|plan| Plan { about: about.clone(), ..plan });
        let starts: Vec<Plan> = starts.collect();
        let mut trials = InWorkers { failing: self, crew, sought: finding.clone(), runs: 1, runs_max };
        Ok(match shrink(&starts, self.ground, &mut trials, told)? {
            Some(shrunk) => Attempt::Shrunk(Box::new(shrunk), trials.runs),
            None => Attempt::NotAgain(finding),
        })
    }

    /// The run, with its records.
    fn record(&self, launch: &Launch) -> Result<(Ran, Vec<RecordLine>), JobError> {
        let mut records = Vec::new();
        let job = Job { keep_records: true, ..self.job(&self.text) };
        let ran = Watcher::new(launch.clone()).run(&job, &mut |seen| {
            if let Seen::Record(record) = seen {
                records.push(*record);
            }
        })?;
        Ok((ran, records))
    }

    /// A run of it written out: single packets too, or else with what links do at random, or else as it was.
    pub(crate) fn starts(&self, records: &[RecordLine]) -> Result<Vec<Plan>, String> {
        let Ground { system, seed } = self.ground;
        let script = Script::parse(&self.path, &self.text).map_err(|error| error.to_string())?;
        let mut setup = Setup::new(system, &script, Seed(seed));
        // Not `self.text`: a bug that is set apart changes nothing about what is drawn.
        system.build(&mut setup).map_err(|error| error.to_string())?;
        let fixed = system.drawn(&setup).map_err(|error| error.to_string())?;
        let mut steps = settled_steps(&script, Seed(seed));
        let hosts = setup.host_names();
        steps.extend(drawn_steps(system, &script, &hosts, Seed(seed)));
        let resolved = |fixed: &[Setting], fates| resolve(&script, (&steps, &hosts), fixed, records, fates);
        Ok(vec![resolved(&fixed, true), resolved(&fixed, false), resolved(&[], false)])
    }
}

/// Tries are made in worker processes.
struct InWorkers<'a> {
    failing: &'a Failing,
    crew: &'a Crew,
    sought: Finding,
    runs: u64,
    runs_max: u64,
}

impl Trials for InWorkers<'_> {
    fn first(&mut self, scripts: &[String]) -> Result<Option<(usize, Finding)>, JobError> {
        let left = usize::try_from(self.runs_max.saturating_sub(self.runs)).unwrap_or(usize::MAX);
        let jobs: Vec<Job> = scripts.iter().take(left).map(|text| self.failing.job(text)).collect();
        let (mut found, mut error) = (None, None);
        let sought = &self.sought;
        let runs = &mut self.runs;
        self.crew.round(&jobs, &mut |index, result| {
            *runs += 1;
            match result {
                Ok(ran) => match ran.verdict().finding() {
                    Some(finding) if sought.is_same(finding) => found = Some((index, finding.clone())),
                    _ => return ControlFlow::Continue(()),
                },
                // A part of a script need not be one.
                Err(JobError::Refused(_)) => return ControlFlow::Continue(()),
                Err(worker) => error = Some(worker),
            }
            ControlFlow::Break(())
        });
        error.map_or(Ok(found), Err)
    }

    fn is_over(&self) -> bool {
        self.runs >= self.runs_max || self.crew.is_over()
    }
}
