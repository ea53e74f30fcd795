//! Steps put into effect, and taken back: as a simulated run does it, by relay and keepers.

use std::time::Duration;

use rand::Rng as _;

use crate::script::roles::Cast;
use crate::script::{Action, HostPattern};
use crate::sim::faults::{families, stands};
use crate::sim::links::named;
use crate::sim::schedule::Due;
use crate::sim::trace::{HostId, What};

use super::super::LiveError;
use super::super::relay::Order;
use super::{Conductor, id};

impl Conductor<'_> {
    /// Does what is due now.
    pub(super) fn fire_due(&mut self, now: Duration) -> Result<(), LiveError> {
        loop {
            let witness = &self.witness;
            let holds = |state: &str| witness.as_ref().is_some_and(|witness| witness.holds(state));
            match self.schedule.pop(now, &holds) {
                Some(Due::Begin(index)) => self.begin(index)?,
                Some(Due::End(index)) => self.end(index)?,
                None => return Ok(()),
            }
        }
    }

    fn begin(&mut self, index: usize) -> Result<(), LiveError> {
        let mut step = self.schedule.step(index).clone();
        let now = self.now();
        let cast = self.cast(index, &mut step.action);
        let action = format!("{}{cast}", step.action);
        self.recorder.record(now, None, None, What::Fault { step: index + 1, action });
        for name in families(&step.action) {
            *self.recorder.faults.entry(name.to_owned()).or_default() += 1;
        }
        self.deeds.begin(index);
        let stands = step.lasts.is_some() || stands(&step.action);
        if step.action.is_for_nobody() {
            self.deeds.done(index, false);
            return Ok(());
        }
        self.put_into_effect(index, step.action)?;
        self.deeds.done(index, stands);
        Ok(())
    }

    /// Puts those who have the roles that an action names in the place of these.
    fn cast(&mut self, index: usize, action: &mut Action) -> Cast {
        let mut cast = Cast::default();
        if action.has_roles() {
            let (witness, mut rng) = (&self.witness, self.seed.stream(&format!("roles of step {index}")));
            let mut who = |role: &str, any: bool| {
                let hosts = witness.as_ref().map(|witness| witness.who(role)).unwrap_or_default();
                if !any || hosts.is_empty() { hosts } else { vec![hosts[rng.random_range(0..hosts.len())].clone()] }
            };
            let names: Vec<String> = self.plans.iter().map(|plan| plan.name.clone()).collect();
            action.cast(&names, &mut cast, &mut who);
            self.schedule.cast(index, action.clone());
        }
        cast
    }

    /// What real processes cannot do was not tried, and a run that did not try it says nothing.
    fn cannot(&mut self, step: usize, action: &Action) -> bool {
        let doubt = format!("step {} ({action}) is none that real processes can take", step + 1);
        self.recorder.doubt.get_or_insert(doubt);
        true
    }

    fn put_into_effect(&mut self, step: usize, action: Action) -> Result<(), LiveError> {
        let acted = match action {
            Action::Partition(groups) => {
                let groups: Vec<Vec<usize>> = groups.iter().map(|group| self.named(group)).collect();
                for (nth, group) in groups.iter().enumerate() {
                    for other in groups.iter().skip(nth + 1) {
                        self.cut(step, group, other);
                        self.cut(step, other, group);
                    }
                }
                false
            }
            Action::Cut { from, to } => {
                let (from, to) = (self.named(&from), self.named(&to));
                self.cut(step, &from, &to);
                false
            }
            Action::Heal => self.heal(step),
            Action::Link(rule) => self.told(Order::Change { step, rule }),
            Action::Hold(rule) => self.told(Order::AddRule { step, rule, holds: true }),
            Action::Drop(rule) => self.told(Order::AddRule { step, rule, holds: false }),
            Action::Release => self.told(Order::Release { step }),
            Action::Kill(hosts) => self.each(&hosts, Self::kill)?,
            Action::Power(hosts) => self.each(&hosts, |conductor, host| Ok(conductor.power(host)))?,
            Action::Pause(hosts) => self.each(&hosts, Self::pause)?,
            Action::Resume(hosts) => self.each(&hosts, Self::resume)?,
            Action::Restart(hosts) => self.each(&hosts, Self::restart)?,
            Action::System(ref own) if self.witness.as_ref().is_some_and(|witness| witness.is_done(step, own)) => true,
            Action::Disk { .. } | Action::System(_) => self.cannot(step, &action),
        };
        if acted {
            self.deeds.acted(step);
        }
        Ok(())
    }

    fn end(&mut self, index: usize) -> Result<(), LiveError> {
        let action = self.schedule.step(index).action.clone();
        let now = self.now();
        self.recorder.record(now, None, None, What::FaultEnded { step: index + 1, action: action.to_string() });
        match action {
            Action::Partition(_) | Action::Cut { .. } => self.uncut(index),
            Action::Link(_) => _ = self.told(Order::Unchange { step: index }),
            Action::Hold(_) | Action::Drop(_) => _ = self.told(Order::RemoveRule { step: index }),
            Action::Kill(hosts) | Action::Power(hosts) => {
                let any = self.each(&hosts, Self::revive)?;
                any.then(|| self.deeds.acted(index));
            }
            Action::Pause(hosts) => _ = self.each(&hosts, Self::resume)?,
            _ => {}
        }
        self.deeds.over(index);
        Ok(())
    }

    /// Every partition, cut, hold, drop and change of links of the steps ends. `true`: there was a cut; of the others, the
    /// relay knows.
    fn heal(&mut self, step: usize) -> bool {
        let steps = self.cuts.steps();
        let any = !steps.is_empty();
        steps.into_iter().for_each(|step| self.uncut(step));
        self.schedule.ended(|step| !matches!(step.action, Action::Kill(_) | Action::Power(_) | Action::Pause(_)));
        for index in 0..self.schedule.len() {
            let action = &self.schedule.step(index).action;
            if stands(action) {
                self.deeds.over(index);
            }
        }
        self.told(Order::Heal { step });
        any
    }

    fn cut(&mut self, step: usize, from: &[usize], to: &[usize]) {
        for (from, to) in from.iter().flat_map(|from| to.iter().map(|to| (id(*from), id(*to)))) {
            if from != to {
                self.told(Order::Cut { step, from, to });
                self.cuts.made(step, from, to);
            }
        }
    }

    fn uncut(&mut self, step: usize) {
        let cuts: Vec<(HostId, HostId)> = self.cuts.taken_back(step);
        cuts.into_iter().for_each(|(from, to)| _ = self.told(Order::Uncut { step, from, to }));
    }

    /// Lets the relay do it, which says itself whether it did anything.
    fn told(&self, order: Order) -> bool {
        self.relay().order(order);
        false
    }

    /// Does it to each of these hosts. `true`: it did something to one of them.
    fn each(
        &mut self,
        patterns: &[HostPattern],
        act: impl Fn(&mut Self, usize) -> Result<bool, LiveError>,
    ) -> Result<bool, LiveError> {
        let mut any = false;
        for host in self.named(patterns) {
            any |= act(self, host)?;
        }
        Ok(any)
    }

    fn named(&self, patterns: &[HostPattern]) -> Vec<usize> {
        (0..self.plans.len()).filter(|host| named(patterns, &self.plans[*host].name)).collect()
    }
}
