//! The end of a run: what is asked last, what is taken down, and what it came to.

use std::collections::BTreeSet;
use std::time::Duration;

use crate::script::Lane;
use crate::sim::recorder::quantiles;
use crate::sim::trace::Trace;
use crate::sim::{Breach, Ending, Judgement, Outcome, Quantiles};

use super::super::expect::{Exit, Expected};
use super::super::judge::Case;
use super::super::plan;
use super::super::relay::{Relay, Summary};
use super::super::wall::{self, Clock};
use super::super::{LiveError, Lived};
use super::{Conductor, LOOK};

/// How long what is asked at the end may take to be answered.
const LAST_ANSWERS: Duration = Duration::from_secs(3);

impl Conductor<'_> {
    /// Asks what is asked at the end, ends everything, and judges it.
    pub(super) fn finish(mut self, over_at: Duration) -> Result<Lived, LiveError> {
        self.is_over = true;
        if self.recorder.found.is_none() && self.recorder.doubt.is_none() {
            self.probe(|_| true)?;
            let patience = Clock::start();
            let is_open = |expected: &Expected| expected.is_asked && expected.answer.is_none();
            while self.expected.iter().any(is_open) && patience.now() < LAST_ANSWERS {
                self.check_interruption()?;
                wall::sleep(LOOK);
                self.drain();
            }
        }
        let mut summary = self.relay.take().map(Relay::end).unwrap_or_default();
        self.drain();
        self.observer = None;
        self.hosts.iter_mut().for_each(|host| host.keeper = None);
        drop(std::mem::take(&mut summary.devices));
        // What was printed last may have been on its way.
        self.drain();
        Ok(self.judged(over_at, summary))
    }

    fn judged(mut self, over_at: Duration, summary: Summary) -> Lived {
        summary.acted.iter().for_each(|step| self.deeds.acted(*step));
        let began = self.zero != Duration::MAX;
        let exits: Vec<Option<Exit>> = self.hosts.iter().map(|host| host.exit).collect();
        let (mut broken, mut unfinished) = (Vec::new(), Vec::new());
        let mut untold: &'static [&'static str] = &[];
        if began && self.recorder.found.is_none() && self.recorder.doubt.is_none() {
            let breach = |expected: &Expected| expected.breach(&self.plans, &exits);
            broken = self.expected.iter().filter_map(breach).collect::<Vec<Breach>>();
            let met = (self.expected.len() - broken.len()) as u64;
            if self.witness.is_none() {
                self.recorder.counters.add("expectations met", met);
            }
            self.recorder.worked(None, met, over_at);
            unfinished = self.unfinished(over_at);
        }
        if let Some(witness) = self.witness.as_mut().filter(|_| began) {
            let is_cut_off = unfinished.iter().any(|(_, works)| *works);
            let ending = Ending { at: over_at, is_cut_off, healed: self.healed };
            let Judgement { breach, doubt, notes, times, untold: of_witness } = witness.judge(&ending);
            untold = of_witness;
            times.into_iter().for_each(|(name, time)| self.recorder.time(name, time));
            self.recorder.notes.extend(notes);
            self.recorder.doubt = self.recorder.doubt.take().or(doubt);
            broken.extend(breach);
        }
        let inert = self.deeds.inert(self.recorder.found.is_some());
        let case = Case {
            script: self.script,
            schedule: &self.schedule,
            summary: &summary,
            inert: &inert,
            unfinished,
            broken,
            untold,
        };
        let (verdict, inert_steps) = case.judge(&mut self.recorder, over_at);
        self.notes(&summary);
        let hosts = self
            .plans
            .iter()
            .enumerate()
            .map(|(place, plan)| (plan.name.clone(), plan::address(place).into()))
            .collect();
        let recorder = &mut self.recorder;
        let samples = recorder.take_times();
        let mut times = quantiles(&samples);
        if summary.lateness.count() > 0 {
            times.insert("relay late".to_owned(), late(&summary));
        }
        let outcome = Outcome {
            verdict,
            hash: recorder.hash(),
            simulated: over_at,
            lane: Lane::Turmoil,
            steps: 0,
            records: recorder.next_number(),
            packets: recorder.packets,
            faults: recorder.faults.clone(),
            inert: recorder.inert.clone(),
            inert_steps,
            counters: recorder.counters.all(),
            times,
            samples,
            notes: recorder.notes.clone(),
            coverage: BTreeSet::new(),
            trace: recorder.take_records().map(|records| Trace { hosts, records }),
        };
        let Summary { lateness, .. } = summary;
        let (packets, last_lines) = (self.packets, self.last_lines.into());
        Lived { outcome, lateness, packets, wall: self.clock.now(), last_lines }
    }

    fn notes(&mut self, summary: &Summary) {
        if summary.stray > 0 {
            let note =
                format!("{} packets were for no host of the run, or not of IPv4: they went nowhere", summary.stray);
            self.recorder.notes.push(note);
        }
    }

    /// Workloads that run and are not done, and whether each did something in the later half of the time in which nothing
    /// was done to the network.
    fn unfinished(&self, over_at: Duration) -> Vec<(String, bool)> {
        let half = over_at / 2;
        let hosts = self.plans.iter().zip(&self.hosts).filter(|(plan, _)| plan.workload);
        let hosts = hosts.filter(|(_, host)| host.exit.is_none() && host.is_running());
        hosts.map(|(plan, host)| (plan.name.clone(), host.active > half)).collect()
    }
}

fn late(summary: &Summary) -> Quantiles {
    let late = &summary.lateness;
    let [min, p50, p99] = [0, 50, 99].map(|percent| late.quantile(percent));
    Quantiles { count: late.count(), min, p50, p99, max: late.most() }
}
