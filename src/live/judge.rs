//! The verdict over a live run that is over: as that over a simulated one, and that its relay must have kept its times.

use crate::report::style::{count, span};
use crate::script::{Script, show_duration};
use crate::sim::outcome;
use crate::sim::recorder::Recorder;
use crate::sim::schedule::Schedule;
use crate::sim::trace::What;
use crate::sim::{Breach, Finding, InertStep, Verdict};

use super::relay::{Lateness, Summary};

/// What the verdict is over.
pub(super) struct Case<'a> {
    pub(super) script: &'a Script,
    pub(super) schedule: &'a Schedule,
    pub(super) summary: &'a Summary,
    pub(super) inert: &'a [usize],
    /// Workloads that run and are not done, and whether each was still at work.
    pub(super) unfinished: Vec<(String, bool)>,
    /// Expectations that are broken.
    pub(super) broken: Vec<Breach>,
    /// What is counted of simulated runs, and of this one is not.
    pub(super) untold: &'static [&'static str],
}

impl Case<'_> {
    /// Writes down what is broken, and gives the verdict.
    pub(super) fn judge(self, recorder: &mut Recorder, at: std::time::Duration) -> (Verdict, Vec<InertStep>) {
        recorder.packets.in_flight = self.summary.in_flight;
        if self.summary.met > 0 {
            recorder.faults.insert("packet".to_owned(), self.summary.met);
        }
        let starved: Vec<&str> =
            self.unfinished.iter().filter(|(_, works)| !works).map(|(name, _)| name.as_str()).collect();
        let mut breaches = self.broken.clone();
        if !starved.is_empty() {
            let message = format!("{} did not finish in {}", starved.join(", "), show_duration(self.script.duration));
            breaches.insert(0, Breach::new("liveness", message));
        }
        let untold = self.script.expect.counters.keys().filter(|name| self.is_untold(name));
        recorder
            .notes
            .extend(untold.map(|name| format!("the bound on {name} is not checked live: nobody tells of it")));
        // What was not tried is not to be judged.
        if recorder.doubt.is_none() {
            breaches.extend(self.counters(recorder));
        }
        for breach in breaches {
            recorder.breach(at, None, None, breach);
        }
        let inert = recorder.inert_steps(self.schedule, self.inert.iter().copied());
        let verdict = recorder.found.clone().unwrap_or_else(|| self.unless_found(recorder, &inert));
        recorder.record(at, None, None, What::Ended { verdict: verdict.name() });
        (verdict, inert)
    }

    fn is_untold(&self, name: &str) -> bool {
        self.untold.contains(&name)
    }

    fn counters(&self, recorder: &Recorder) -> Option<Breach> {
        let counters = self.script.expect.counters.iter().filter(|(name, _)| !self.is_untold(name));
        counters.into_iter().find_map(|(name, (bound, _))| {
            let Recorder { packets, faults, inert, counters, .. } = recorder;
            let value = outcome::counter(name, packets, [faults, inert], counters.get(name));
            let message = || format!("{name} is {value}, expected {bound}");
            (!bound.holds(value)).then(|| Breach::new(Finding::EXPECTATION, message()))
        })
    }

    /// The verdict over a run in which nothing was broken.
    fn unless_found(&self, recorder: &Recorder, inert: &[InertStep]) -> Verdict {
        match self.doubt(recorder, inert) {
            Some(reason) => Verdict::Inconclusive { reason },
            None => Verdict::Pass,
        }
    }

    fn doubt(&self, recorder: &Recorder, inert: &[InertStep]) -> Option<String> {
        let lateness = &self.summary.lateness;
        if lateness.is_too_much() {
            return Some(too_late(lateness));
        }
        if let Some((index, step)) = self.schedule.unfired() {
            return Some(format!("step {} ({step}) never fired", index + 1));
        }
        if let Some(unmet) = &self.summary.unmet {
            return Some(unmet.clone());
        }
        if let Some((name, _)) = self.unfinished.first() {
            let duration = show_duration(self.script.duration);
            return Some(format!("{name} was still at work: it takes more than a `duration` of {duration}"));
        }
        if let Some(doubt) = &recorder.doubt {
            return Some(doubt.clone());
        }
        if recorder.work == 0 {
            return Some(format!("{}: it has no workload that ended, and no expectation", Verdict::NO_WORK));
        }
        let step = inert.iter().find(|step| !step.allowed)?;
        let InertStep { step, text, .. } = step;
        Some(format!("step {step} ({text}) was inert: it touched no packet, no connection and no process"))
    }
}

fn too_late(lateness: &Lateness) -> String {
    format!(
        "the relay was too late: {} of {} packets were later than the latency that they had to have, and than {} (99 % within {}, most {}); this machine is too busy for it",
        count(lateness.too_late()),
        count(lateness.count()),
        span(Lateness::GRACE),
        span(lateness.quantile(99)),
        span(lateness.most())
    )
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::sim::schedule::Schedule;

    fn judged(case: impl FnOnce(&mut Case<'_>, &mut Recorder)) -> Verdict {
        let script = "about = 'x'\nsystem = 'live'\nduration = '5s'\n[live.hosts]\na = 'true'\n\
                      [expect.counters]\n'packets.lost' = 0\n";
        let script = Script::parse("x.toml", script).expect("a script");
        let (schedule, summary) = (Schedule::new(Vec::new(), Vec::new()), Summary::default());
        let mut recorder = Recorder::new(false);
        recorder.worked(None, 1, Duration::ZERO);
        let (inert, unfinished, broken) = (&[][..], Vec::new(), Vec::new());
        let mut it =
            Case { script: &script, schedule: &schedule, summary: &summary, inert, unfinished, broken, untold: &[] };
        case(&mut it, &mut recorder);
        it.judge(&mut recorder, Duration::from_secs(5)).0
    }

    fn reason(verdict: Verdict) -> String {
        match verdict {
            Verdict::Pass => "pass".to_owned(),
            Verdict::Inconclusive { reason } => reason,
            other => other.finding().expect("a finding").to_string(),
        }
    }

    #[test]
    fn a_run_passes_only_if_something_was_looked_at() {
        assert_eq!(reason(judged(|_, _| {})), "pass");
        let nothing = judged(|_, recorder| recorder.work = 0);
        assert_eq!(reason(nothing), "no work was completed: it has no workload that ended, and no expectation");
    }

    #[test]
    fn a_workload_that_still_works_is_no_failure_and_one_that_stands_still_is() {
        let works = judged(|case, _| case.unfinished = vec![("c1".to_owned(), true)]);
        assert_eq!(reason(works), "c1 was still at work: it takes more than a `duration` of 5s");
        let stands = judged(|case, _| case.unfinished = vec![("c1".to_owned(), false), ("c2".to_owned(), true)]);
        assert_eq!(reason(stands), "liveness: c1 did not finish in 5s");
    }

    #[test]
    fn bounds_and_expectations_are_violations() {
        let lost = judged(|_, recorder| recorder.packets.lost = 2);
        assert_eq!(reason(lost), "expectation: packets.lost is 2, expected = 0");
        let broken = judged(|case, _| case.broken = vec![Breach::new("expectation", "it is so")]);
        assert_eq!(reason(broken), "expectation: it is so");
    }

    #[test]
    fn a_relay_that_was_too_late_makes_a_run_say_nothing() {
        let mut summary = Summary::default();
        for _ in 0..10 {
            summary.lateness.add(Duration::from_millis(30), Duration::from_millis(5));
        }
        let late = too_late(&summary.lateness);
        assert!(late.starts_with("the relay was too late: 10 of 10 packets"), "{late}");
        let held = judged(|case, recorder| {
            let summary: &'static Summary = Box::leak(Box::new(std::mem::take(&mut summary)));
            case.summary = summary;
            let _ = recorder;
        });
        assert_eq!(reason(held), late);
    }
}
