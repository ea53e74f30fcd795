//! Which step fires when.
//!
//! Steps are in lanes: the script's own, and those that chaos drew. In a lane, a step waits for the one before it. Steps
//! that fire after a record are in none.

use std::time::Duration;

use crate::rng::{Seed, between};
use crate::script::{Action, Step, Trigger};

use super::crash::CrashPoint;
use super::links::named;
use super::trace::{HostId, nanos};

/// The steps with the times that this seed draws for those which may fire later than they say, in whole ticks.
pub(crate) fn settle(steps: &[Step], seed: Seed, tick: Duration) -> Vec<Step> {
    let settled = steps.iter().enumerate().map(|(index, step)| {
        let mut step = step.clone();
        let spread = std::mem::take(&mut step.spread);
        if !spread.is_zero() {
            // Each has a stream of its own, so that a range in one step does not move the times of the others.
            let mut rng = seed.stream(&format!("time of step {index}"));
            let ticks = between(&mut rng, 0, nanos(spread) / nanos(tick));
            let later = Duration::from_nanos(ticks * nanos(tick));
            if let Trigger::At(time) | Trigger::After(time) = &mut step.trigger {
                *time += later;
            }
        }
        step
    });
    settled.collect()
}

/// The steps of a run and how far they are.
pub(crate) struct Schedule {
    steps: Vec<Step>,
    /// How many of them are the script's own; the others were drawn.
    scripted: usize,
    lanes: [Lane; 2],
    /// Steps that fire after a record: its number, and the step; the next one last.
    at_records: Vec<(u64, usize)>,
    /// Steps in force that end by themselves: the time, and the step.
    ends: Vec<(Duration, usize)>,
}

struct Lane {
    steps: Vec<usize>,
    next: usize,
    /// When the step before fired.
    last: Duration,
}

/// What is to be done now.
#[derive(Debug, PartialEq)]
pub(crate) enum Due {
    Begin(usize),
    End(usize),
}

impl Schedule {
    /// The script's steps and the ones that chaos drew, in time order each.
    pub(crate) fn new(scripted: Vec<Step>, drawn: Vec<Step>) -> Self {
        let middle = scripted.len();
        let steps: Vec<Step> = scripted.into_iter().chain(drawn).collect();
        let record = |step: &Step| if let Trigger::Record(number) = step.trigger { Some(number) } else { None };
        let lane = |steps: &[Step], range: std::ops::Range<usize>| {
            let steps = range.filter(|&index| record(&steps[index]).is_none()).collect();
            Lane { steps, next: 0, last: Duration::ZERO }
        };
        let lanes = [lane(&steps, 0..middle), lane(&steps, middle..steps.len())];
        let at_records = steps.iter().enumerate().filter_map(|(index, step)| Some((record(step)?, index)));
        let mut at_records: Vec<_> = at_records.collect();
        at_records.sort_by_key(|point| std::cmp::Reverse(*point));
        Self { steps, scripted: middle, lanes, at_records, ends: Vec::new() }
    }

    /// Who dies after which record.
    pub(crate) fn crash_points(&self, hosts: &[String]) -> Vec<CrashPoint> {
        let point = |(record, index): &(u64, usize)| {
            let (Action::Kill(patterns) | Action::Power(patterns)) = &self.steps[*index].action else { return None };
            let ids = hosts.iter().zip(0_u16..).filter(|(name, _)| named(patterns, name)).map(|(_, id)| HostId(id));
            let power = matches!(self.steps[*index].action, Action::Power(_));
            Some(CrashPoint { record: *record, hosts: ids.collect(), power })
        };
        self.at_records.iter().filter_map(point).collect()
    }

    /// The next step that fires because so many records were made.
    pub(crate) fn pop_at_record(&mut self, now: Duration, records: u64) -> Option<usize> {
        let (_, index) = self.at_records.pop_if(|(record, _)| *record < records)?;
        self.ends.extend(self.steps[index].lasts.map(|lasts| (now + lasts, index)));
        Some(index)
    }

    /// How many steps there are.
    pub(crate) fn len(&self) -> usize {
        self.steps.len()
    }

    /// Whether the step at a place is the script's own.
    pub(crate) fn is_scripted(&self, index: usize) -> bool {
        index < self.scripted
    }

    pub(crate) fn step(&self, index: usize) -> &Step {
        &self.steps[index]
    }

    /// The step at a place is for these hosts, since it fired.
    pub(crate) fn cast(&mut self, index: usize, action: Action) {
        self.steps[index].action = action;
    }

    /// The next thing to do at `now`, if there is one. `holds` tells whether the system is in a state.
    pub(crate) fn pop(&mut self, now: Duration, holds: &dyn Fn(&str) -> bool) -> Option<Due> {
        let ending = (0..self.ends.len()).filter(|&i| self.ends[i].0 <= now).min_by_key(|&i| self.ends[i]);
        if let Some(index) = ending {
            return Some(Due::End(self.ends.remove(index).1));
        }
        for lane in &mut self.lanes {
            let Some(&index) = lane.steps.get(lane.next) else { continue };
            let fires = match &self.steps[index].trigger {
                Trigger::At(at) => *at <= now,
                Trigger::After(wait) => lane.last + *wait <= now,
                Trigger::When(state) => holds(state),
                Trigger::Record(_) => false,
            };
            if fires {
                lane.next += 1;
                lane.last = now;
                if let Some(lasts) = self.steps[index].lasts {
                    self.ends.push((now + lasts, index));
                }
                return Some(Due::Begin(index));
            }
        }
        None
    }

    /// The next time at which something is to be done, as far as that follows from times and from the records that were
    /// made. What waits for a state is asked for at the end of each step, and states change in no other.
    pub(crate) fn next_at(&self, now: Duration, records: u64) -> Option<Duration> {
        let in_lane = |lane: &Lane| match self.steps[*lane.steps.get(lane.next)?].trigger {
            Trigger::At(at) => Some(at),
            Trigger::After(wait) => Some(lane.last + wait),
            Trigger::When(_) | Trigger::Record(_) => None,
        };
        let made = self.at_records.last().is_some_and(|(record, _)| *record < records);
        let ends = self.ends.iter().map(|(at, _)| *at);
        self.lanes.iter().filter_map(in_lane).chain(ends).chain(made.then_some(now)).min()
    }

    /// Forgets when these steps would end: they have been ended.
    pub(crate) fn ended(&mut self, ended: impl Fn(&Step) -> bool) {
        let steps = &self.steps;
        self.ends.retain(|(_, index)| !ended(&steps[*index]));
    }

    /// Whether every step has fired, and all that end by themselves have.
    #[inline]
    pub(crate) fn is_over(&self) -> bool {
        let is_done = |lane: &Lane| lane.next == lane.steps.len();
        self.ends.is_empty() && self.at_records.is_empty() && self.lanes.iter().all(is_done)
    }

    /// The first step that has not fired.
    pub(crate) fn unfired(&self) -> Option<(usize, &Step)> {
        let in_lane = self.lanes.iter().find_map(|lane| lane.steps.get(lane.next).copied());
        let index = in_lane.or_else(|| self.at_records.last().map(|(_, index)| *index))?;
        Some((index, &self.steps[index]))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::script::Action;

    fn step(trigger: Trigger, lasts: Option<u64>) -> Step {
        let lasts = lasts.map(Duration::from_millis);
        Step { trigger, spread: Duration::ZERO, action: Action::Heal, lasts, may_be_inert: false, line: 0 }
    }

    fn ms(value: u64) -> Duration {
        Duration::from_millis(value)
    }

    #[test]
    fn steps_of_a_lane_wait_for_each_other_and_end_by_themselves() {
        let scripted = vec![
            step(Trigger::When("leader".into()), None),
            step(Trigger::After(ms(5)), Some(10)),
            step(Trigger::At(ms(3)), None),
        ];
        let mut schedule = Schedule::new(scripted, vec![step(Trigger::At(ms(1)), None)]);
        let mut seen = Vec::new();
        for now in 0..30 {
            let leader = now >= 4;
            while let Some(due) = schedule.pop(ms(now), &|state| state == "leader" && leader) {
                seen.push((now, due));
            }
        }
        let expected =
            [(1, Due::Begin(3)), (4, Due::Begin(0)), (9, Due::Begin(1)), (9, Due::Begin(2)), (19, Due::End(1))];
        assert_eq!(seen, expected);
        assert!(schedule.is_over());
    }

    #[test]
    fn each_seed_draws_a_time_of_a_range_in_whole_ticks() {
        let range = |from| Step { spread: ms(4), ..step(Trigger::After(ms(from)), None) };
        let steps = [step(Trigger::At(ms(1)), None), range(10), range(10)];
        let mut drawn = std::collections::BTreeMap::<_, u32>::new();
        for seed in 0..1000 {
            let settled = settle(&steps, Seed(seed), ms(2));
            assert_eq!(settled, settle(&steps, Seed(seed), ms(2)));
            assert_eq!(settled[0], steps[0]);
            let times = [1, 2].map(|index: usize| match settled[index].trigger {
                Trigger::After(time) => time.as_millis(),
                ref other => panic!("{other}"),
            });
            *drawn.entry(times).or_default() += 1;
            let alone = settle(&[steps[0].clone(), steps[0].clone(), range(10)], Seed(seed), ms(2));
            assert_eq!(alone[2], settled[2], "a range moves the time of another step");
        }
        let pairs: Vec<_> = drawn.keys().copied().collect();
        let all: Vec<_> = [10, 12, 14].into_iter().flat_map(|one| [10, 12, 14].map(|two| [one, two])).collect();
        assert_eq!(pairs, all);
        assert!(drawn.values().all(|count| (80..145).contains(count)), "{drawn:?}");
    }

    #[test]
    fn a_step_that_waits_for_ever_is_named() {
        let mut schedule = Schedule::new(vec![step(Trigger::When("never".into()), None)], Vec::new());
        assert_eq!(schedule.pop(ms(1000), &|_| false), None);
        assert_eq!(schedule.unfired().map(|(index, _)| index), Some(0));
    }
}
