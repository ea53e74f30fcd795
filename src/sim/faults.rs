//! Steps put into effect, and taken back.

use std::time::Duration;

use rand::Rng as _;

use crate::script::roles::Cast;
use crate::script::{Action, Family, HostPattern, LinkSettings, Step, Trigger};

use super::causality;
use super::control::Wanted;
use super::links::named;
use super::platter::DiskChange;
use super::recorder::Breach;
use super::schedule::Due;
use super::shared::Events;
use super::trace::{HostId, What};
use super::world::World;

impl World {
    /// Does what is due now.
    pub(crate) fn fire_due(&mut self, now: Duration) {
        // Nothing is left to do in most steps of most runs.
        if self.schedule.is_over() {
            return;
        }
        let mut disturbed = self.fire_at_records(now);
        loop {
            let states = &self.states;
            let holds = |state: &str| states.iter().any(|(name, holds)| *name == state && holds());
            match self.schedule.pop(now, &holds) {
                Some(Due::Begin(index)) => self.begin(index, now),
                Some(Due::End(index)) => self.end(index, now),
                None => break,
            }
            disturbed = true;
        }
        if disturbed {
            self.lane.disturbed();
        }
    }

    /// Does what is due after a record. `true`: something was.
    fn fire_at_records(&mut self, now: Duration) -> bool {
        let mut any = false;
        loop {
            let records = self.shared.recorder.borrow().next_number();
            let Some(index) = self.schedule.pop_at_record(now, records) else { return any };
            any = true;
            self.begin(index, now);
            if let Action::Kill(hosts) | Action::Power(hosts) = self.schedule.step(index).action.clone() {
                self.hosts(&hosts).into_iter().for_each(|host| self.shared.crashes.done(host, records));
            }
        }
    }

    fn begin(&mut self, index: usize, now: Duration) {
        let Step { mut action, trigger, lasts, .. } = self.schedule.step(index).clone();
        let cause = if let Trigger::Record(number) = trigger { Some(number.into()) } else { None };
        let cast = self.cast(index, &mut action);
        let what = What::Fault { step: index + 1, action: format!("{action}{cast}") };
        let record = self.shared.record_at(self.shared.now(), None, cause, what);
        self.count(&action);
        let deeds = self.shared.deeds.clone();
        deeds.begin(index);
        if !action.is_for_nobody() {
            let stands = lasts.is_some() || stands(&action);
            causality::because(Some(record.into()), || self.put_into_effect(index, action, now));
            return deeds.done(index, stands);
        }
        deeds.done(index, false);
    }

    /// Puts those who have the roles that an action names in the place of these, once for as long as it stands.
    fn cast(&mut self, index: usize, action: &mut Action) -> Cast {
        let mut cast = Cast::default();
        if action.has_roles() {
            let (roles, mut rng) = (&self.roles, self.seed.stream(&format!("roles of step {index}")));
            let mut who = |role: &str, any: bool| {
                let hosts = roles.iter().find(|(name, _)| *name == role).map(|(_, who)| who()).unwrap_or_default();
                if !any || hosts.is_empty() { hosts } else { vec![hosts[rng.random_range(0..hosts.len())].clone()] }
            };
            action.cast(&self.shared.names, &mut cast, &mut who);
            self.schedule.cast(index, action.clone());
        }
        cast
    }

    fn put_into_effect(&mut self, index: usize, action: Action, now: Duration) {
        let deeds = self.shared.deeds.clone();
        let mut any = false;
        match action {
            Action::Partition(groups) => {
                let groups: Vec<Vec<HostId>> = groups.iter().map(|group| self.hosts(group)).collect();
                for (nth, group) in groups.iter().enumerate() {
                    for other in groups.iter().skip(nth + 1) {
                        self.cut(index, group, other, now);
                        self.cut(index, other, group, now);
                    }
                }
            }
            Action::Cut { from, to } => {
                let (from, to) = (self.hosts(&from), self.hosts(&to));
                self.cut(index, &from, &to, now);
            }
            Action::Heal => any = self.heal(now),
            Action::Link(rule) => self.shared.wire.borrow_mut().links.change(index, rule),
            Action::Disk { hosts, sync, fault } => {
                let change = DiskChange { step: index, sync, fault };
                self.hosts(&hosts).into_iter().for_each(|host| self.control(host).change_disk(&change));
            }
            Action::Kill(hosts) => any = self.any(&hosts, Self::kill),
            Action::Power(hosts) => any = self.any(&hosts, Self::power),
            Action::Pause(hosts) => any = self.any(&hosts, Self::pause),
            Action::Resume(hosts) => any = self.any(&hosts, Self::resume),
            Action::Restart(hosts) => any = self.any(&hosts, Self::restart),
            Action::Hold(rule) => self.shared.wire.borrow_mut().links.add_rule(index, rule, true),
            Action::Drop(rule) => self.shared.wire.borrow_mut().links.add_rule(index, rule, false),
            Action::Release => {
                let mut wire = self.shared.wire.borrow_mut();
                any = wire.links.remove_holds();
                any |= wire.release(&self.shared, None, now);
            }
            Action::System(action) => {
                // Unless the system says itself what comes of it.
                deeds.current_acted();
                let events = Events { shared: self.shared.clone(), host: None };
                self.actor.iter_mut().for_each(|act| act(index, &action, &events));
            }
        }
        if any {
            deeds.acted(index);
        }
    }

    fn end(&mut self, index: usize, now: Duration) {
        let action = self.schedule.step(index).action.clone();
        let record = self.shared.record(None, What::FaultEnded { step: index + 1, action: action.to_string() });
        causality::because(Some(record.into()), || self.take_back(index, action, now));
        self.shared.deeds.over(index);
    }

    fn take_back(&mut self, index: usize, action: Action, now: Duration) {
        match action {
            Action::Partition(_) | Action::Cut { .. } => self.uncut(index),
            Action::Link(_) => self.shared.wire.borrow_mut().links.unchange(index),
            Action::Disk { hosts, .. } => {
                let hosts = self.hosts(&hosts);
                hosts.iter().for_each(|host| self.control(*host).platter().unchange(index));
                self.look_after(hosts);
            }
            Action::Kill(hosts) | Action::Power(hosts) => {
                let is_dead = |world: &Self, host| world.control(host).wanted() == Wanted::Dead;
                if self.any(&hosts, |world, host| is_dead(world, host) && world.restart(host)) {
                    self.shared.deeds.acted(index);
                }
            }
            Action::Pause(hosts) => _ = self.any(&hosts, Self::resume),
            Action::Hold(_) => {
                let mut wire = self.shared.wire.borrow_mut();
                wire.links.remove_rule(index);
                wire.release(&self.shared, Some(index), now);
            }
            Action::Drop(_) => self.shared.wire.borrow_mut().links.remove_rule(index),
            Action::Heal | Action::Resume(_) | Action::Restart(_) | Action::Release | Action::System(_) => {}
        }
    }

    /// Every partition, cut, hold, drop, and change of links and disks, of the steps ends. `true`: there was one.
    fn heal(&mut self, now: Duration) -> bool {
        let steps: Vec<usize> = self.cuts.steps();
        let mut any = !steps.is_empty();
        steps.into_iter().for_each(|step| self.uncut(step));
        self.schedule.ended(|step| {
            let of_hosts = matches!(step.action, Action::Kill(_) | Action::Power(_) | Action::Pause(_));
            !of_hosts
        });
        for index in 0..self.schedule.len() {
            let action = &self.schedule.step(index).action;
            if stands(action) && !matches!(action, Action::System(_)) {
                self.shared.deeds.over(index);
            }
        }
        self.controls().for_each(|control| any |= control.platter().heal());
        let all: Vec<HostId> = self.controls().map(|control| control.id).collect();
        self.look_after(all);
        let mut wire = self.shared.wire.borrow_mut();
        any |= wire.links.heal();
        any | wire.release(&self.shared, None, now)
    }

    /// Somebody looks after a machine whose disk failed, as after one that died: it starts again.
    fn look_after(&mut self, hosts: Vec<HostId>) {
        for host in hosts {
            if self.control(host).failed_by_disk() {
                self.restart(host);
            }
        }
    }

    fn cut(&mut self, step: usize, from: &[HostId], to: &[HostId], now: Duration) {
        for (from, to) in from.iter().flat_map(|from| to.iter().map(|to| (*from, *to))) {
            if from != to {
                self.shared.wire.borrow_mut().cut(&self.shared, step, (from, to), now);
                self.cuts.made(step, from, to);
            }
        }
    }

    fn uncut(&mut self, step: usize) {
        for (from, to) in self.cuts.taken_back(step) {
            self.shared.wire.borrow_mut().links.uncut(step, from, to);
        }
    }

    /// `true`, here and below: the host was there for it.
    fn kill(&mut self, host: HostId) -> bool {
        if self.control(host).wanted() == Wanted::Dead {
            return false;
        }
        let record = self.shared.record(Some(host), What::Killed);
        self.control(host).led_by(record.into());
        self.control(host).want(Wanted::Dead);
        self.look_for_survivors(host, "killed");
        !self.control(host).finished.get()
    }

    /// A fault is to reach all that the process does: what it does not reach is found.
    fn look_for_survivors(&self, host: HostId, what: &str) {
        let survivors = self.lane.out_of_reach(host);
        if !survivors.is_empty() {
            let name = self.shared.name(host);
            let message = format!("{name} was {what}, and {} of it goes on", survivors.join(" and "));
            self.shared.breach(Some(host), Breach::new("out of reach", message));
        }
    }

    fn power(&mut self, host: HostId) -> bool {
        if self.control(host).off.get() {
            return false;
        }
        self.shared.record(Some(host), What::PowerLost);
        self.look_for_survivors(host, "without power");
        {
            let mut wire = self.shared.wire.borrow_mut();
            let machine = wire.machine(host);
            machine.off = true;
            machine.boots += 1;
        }
        self.control(host).power_lost();
        self.lane.crash(host);
        true
    }

    fn pause(&mut self, host: HostId) -> bool {
        if self.control(host).wanted() != Wanted::Running {
            return false;
        }
        self.shared.record(Some(host), What::Paused);
        self.look_for_survivors(host, "paused");
        self.control(host).want(Wanted::Paused);
        !self.control(host).finished.get()
    }

    fn resume(&mut self, host: HostId) -> bool {
        if self.control(host).wanted() != Wanted::Paused {
            return false;
        }
        self.shared.record(Some(host), What::Resumed);
        self.control(host).want(Wanted::Running);
        true
    }

    fn restart(&mut self, host: HostId) -> bool {
        let mut cause = self.shared.cause();
        if self.control(host).wanted() != Wanted::Dead {
            cause = Some(self.shared.record(Some(host), What::Killed).into());
            self.look_for_survivors(host, "started anew");
        }
        cause.into_iter().for_each(|cause| self.control(host).led_by(cause));
        self.control(host).start();
        if self.control(host).off.replace(false) {
            self.shared.wire.borrow_mut().machine(host).off = false;
            self.lane.boot(host);
        }
        true
    }

    /// Does it to each of these hosts. `true`: it did something to one of them.
    fn any(&mut self, patterns: &[HostPattern], mut act: impl FnMut(&mut Self, HostId) -> bool) -> bool {
        let done = self.hosts(patterns).into_iter().filter(|host| act(self, *host));
        // Each of them, and not only up to the first.
        done.count() > 0
    }

    fn hosts(&self, patterns: &[HostPattern]) -> Vec<HostId> {
        let all = self.shared.names.iter().zip(0_u16..);
        all.filter(|(name, _)| named(patterns, name)).map(|(_, id)| HostId(id)).collect()
    }

    fn count(&mut self, action: &Action) {
        let mut recorder = self.shared.recorder.borrow_mut();
        for name in families(action) {
            *recorder.faults.entry(name.to_owned()).or_default() += 1;
        }
    }
}

/// Whether an action stands until it is taken back, and can do something for so long.
pub(crate) fn stands(action: &Action) -> bool {
    match action {
        Action::Partition(_)
        | Action::Cut { .. }
        | Action::Link(_)
        | Action::Disk { .. }
        | Action::Hold(_)
        | Action::Drop(_)
        | Action::System(_) => true,
        Action::Kill(_)
        | Action::Power(_)
        | Action::Pause(_)
        | Action::Heal
        | Action::Resume(_)
        | Action::Restart(_)
        | Action::Release => false,
    }
}

/// Under which names a fault is counted.
pub(crate) fn families(action: &Action) -> Vec<&'static str> {
    match action {
        Action::Partition(_) => vec![Family::Partition.name()],
        Action::Cut { .. } => vec![Family::OneWay.name()],
        Action::Disk { sync, fault, .. } => {
            let slow = sync.map(|_| Family::Disk.name());
            slow.into_iter().chain(fault.map(|_| Family::BadDisk.name())).collect()
        }
        Action::Kill(_) => vec![Family::Kill.name()],
        Action::Power(_) => vec![Family::Power.name()],
        Action::Pause(_) => vec![Family::Pause.name()],
        Action::Hold(_) => vec!["hold"],
        Action::Drop(_) => vec!["drop"],
        Action::Link(rule) => weather(&rule.settings),
        Action::Heal | Action::Resume(_) | Action::Restart(_) | Action::Release | Action::System(_) => Vec::new(),
    }
}

fn weather(settings: &LinkSettings) -> Vec<&'static str> {
    let LinkSettings { latency, loss, burst, duplicate, corrupt, reorder } = settings;
    let set = [
        (Family::Latency, latency.is_some()),
        (Family::Loss, loss.is_some()),
        (Family::Burst, burst.is_some()),
        (Family::Duplicate, duplicate.is_some()),
        (Family::Corrupt, corrupt.is_some()),
        (Family::Reorder, reorder.is_some()),
    ];
    set.into_iter().filter(|(_, set)| *set).map(|(family, _)| family.name()).collect()
}
