//! A failure made small: delta debugging over the script that its run comes to.
//!
//! What the seed drew is first written out ([`resolve`]), as a [`Plan`]. Parts are then taken out and made simpler, and
//! each try is a real run that must break the same invariant: Zeller and Hildebrandt, *Simplifying and Isolating
//! Failure-Inducing Input*, 2002. It goes round until nothing can be taken out of what is left.
//!
//! **Invariant:** what comes out depends on the run and on how many tries are allowed, never on how many are made at once.

mod failing;
mod options;
mod plan;
mod report;
mod resolve;
mod simpler;

use std::collections::BTreeSet;
use std::ops::Range;

use xxhash_rust::xxh3::xxh3_64;

pub use failing::{Attempt, Failing};
pub use options::Ground;
pub use plan::Plan;
pub use report::{ShrinkReport, SizeReport};
pub use resolve::resolve;

use super::watcher::JobError;
use crate::sim::Finding;

/// How many parts are tried to be left out in one round.
const BATCH: usize = 16;

/// Where tries are made.
pub trait Trials {
    /// Runs these scripts and finds the first, in their order, that breaks the invariant, and what it finds.
    fn first(&mut self, scripts: &[String]) -> Result<Option<(usize, Finding)>, JobError>;

    /// Whether no more tries are to be made.
    fn is_over(&self) -> bool;
}

/// What is told while it goes on.
#[derive(Clone, Debug)]
pub struct Progress<'a> {
    /// What is being tried.
    pub stage: &'static str,
    /// The smallest so far.
    pub best: &'a Plan,
}

/// A failure on its way to being small.
pub struct Shrinker<'a> {
    trials: &'a mut dyn Trials,
    ground: Ground,
    best: Plan,
    finding: Finding,
    /// Hashes of the scripts that were tried: none is tried twice, so that it comes to an end.
    tried: BTreeSet<u64>,
    told: &'a mut dyn FnMut(&Progress<'_>),
}

/// What is left.
#[derive(Clone, Debug)]
pub struct Shrunk {
    /// What it began with.
    pub from: Plan,
    /// What it came to.
    pub plan: Plan,
    /// What its run finds.
    pub finding: Finding,
    /// Whether nothing more can be taken out.
    pub is_minimal: bool,
}

/// Shrinks the first of `starts` that breaks the invariant; none if none does.
pub fn shrink(
    starts: &[Plan],
    ground: Ground,
    trials: &mut dyn Trials,
    told: &mut dyn FnMut(&Progress<'_>),
) -> Result<Option<Shrunk>, JobError> {
    let texts: Vec<String> = starts.iter().map(Plan::text).collect();
    let Some((place, finding)) = trials.first(&texts)? else { return Ok(None) };
    let from = starts[place].clone();
    let mut shrinker = Shrinker { trials, ground, best: from.clone(), finding, tried: BTreeSet::new(), told };
    shrinker.tried.insert(xxh3_64(texts[place].as_bytes()));
    let is_minimal = shrinker.run()?;
    let Shrinker { best, finding, .. } = shrinker;
    Ok(Some(Shrunk { from, plan: best, finding, is_minimal }))
}

impl Shrinker<'_> {
    /// Goes round until nothing changes; `false`: until it was over.
    fn run(&mut self) -> Result<bool, JobError> {
        loop {
            let before = self.best.text();
            self.stage("time", Self::cut_short)?;
            self.stage("packets", |shrinker| {
                shrinker.thin(
                    |plan| plan.packets.len(),
                    |plan, range| {
                        plan.packets.drain(range);
                    },
                )
            })?;
            self.stage("steps", |shrinker| {
                shrinker.thin(
                    |plan| plan.steps.len(),
                    |plan, range| {
                        plan.steps.drain(range);
                    },
                )
            })?;
            self.stage("size", Self::smaller)?;
            self.stage("options", Self::plainer)?;
            self.stage("details", Self::rounder)?;
            if self.trials.is_over() {
                return Ok(false);
            }
            if self.best.text() == before {
                return Ok(true);
            }
        }
    }

    fn stage(
        &mut self,
        stage: &'static str,
        pass: impl FnOnce(&mut Self) -> Result<(), JobError>,
    ) -> Result<(), JobError> {
        if self.trials.is_over() {
            return Ok(());
        }
        (self.told)(&Progress { stage, best: &self.best });
        pass(self)
    }

    /// Takes the first of these that breaks the invariant, if one does.
    fn take_first(&mut self, candidates: &[Plan]) -> Result<Option<usize>, JobError> {
        let mut seen = BTreeSet::new();
        let texts = candidates.iter().enumerate().map(|(place, plan)| (place, plan.text()));
        let fresh = texts.filter(|(_, text)| {
            let hash = xxh3_64(text.as_bytes());
            !self.tried.contains(&hash) && seen.insert(hash)
        });
        let (places, texts): (Vec<usize>, Vec<String>) = fresh.unzip();
        if texts.is_empty() || self.trials.is_over() {
            return Ok(None);
        }
        let found = self.trials.first(&texts)?;
        let judged = match &found {
            Some((place, _)) => place + 1,
            None if self.trials.is_over() => 0,
            None => texts.len(),
        };
        self.tried.extend(texts[..judged].iter().map(|text| xxh3_64(text.as_bytes())));
        let Some((place, finding)) = found else { return Ok(None) };
        self.best = candidates[places[place]].clone();
        self.finding = finding;
        Ok(Some(places[place]))
    }

    /// Takes one change after the other for as long as one of those that there are then does.
    fn take_all(&mut self, changes: impl Fn(&Self) -> Vec<Plan>) -> Result<(), JobError> {
        while self.take_first(&changes(self))?.is_some() {}
        Ok(())
    }

    /// Takes out parts of a list: all of it, halves, quarters, down to single ones.
    fn thin(
        &mut self,
        length: impl Fn(&Plan) -> usize,
        take_out: impl Fn(&mut Plan, Range<usize>),
    ) -> Result<(), JobError> {
        let mut size = length(&self.best);
        while size > 0 {
            let mut from = 0;
            while from < length(&self.best) {
                let end = length(&self.best);
                // A few at a time: a long script takes longer to write than to run.
                let starts: Vec<usize> = (from..end).step_by(size).take(BATCH).collect();
                let without = |start: &usize| {
                    let mut plan = self.best.clone();
                    take_out(&mut plan, *start..(start + size).min(end));
                    plan
                };
                let candidates: Vec<Plan> = starts.iter().map(without).collect();
                match self.take_first(&candidates)? {
                    Some(place) => from = starts[place],
                    None if self.trials.is_over() => return Ok(()),
                    None => from += size * starts.len(),
                }
            }
            size /= 2;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests;
