//! Swarm testing: each seed draws which families of fault exist at all in its run, then how hard each is, then a timed
//! list of ordinary steps.
//!
//! Runs in which everything happens at once hide what a few faults alone would show (Groce et al., Swarm Testing,
//! 2012). What is drawn are steps as a person would write them, so that a run can be shown, and taken apart, as one.

use std::time::Duration;

use rand::Rng as _;

use crate::rng::{Rng, Seed};
use crate::script::{
    Action, Burst, Chaos, DiskFault, Family, HostPattern, Latency, LinkRule, LinkSettings, Reorder, Step, Trigger,
};

use super::latency::sample;
use super::links::named;

/// What is drawn apart from the other faults.
const APART: [Family; 2] = [Family::Operator, Family::BadDisk];

/// What an operator may do to a system at some moment, drawn.
pub(crate) type Operate<'a> = &'a dyn Fn(&mut Rng) -> Vec<Action>;

/// The steps that this seed draws, in time order.
pub(crate) fn draw(chaos: &Chaos, hosts: &[String], seed: Seed, operate: Operate<'_>) -> Vec<Step> {
    let mut steps = draw_faults(chaos, hosts, seed);
    if chaos.families.contains(&Family::Operator) {
        steps.extend(draw_operations(chaos, seed, operate));
        steps.sort_by_key(|step| if let Trigger::At(at) = step.trigger { at } else { Duration::ZERO });
    }
    if chaos.families.contains(&Family::BadDisk) {
        steps.extend(draw_bad_disks(chaos, hosts, seed));
        steps.sort_by_key(|step| if let Trigger::At(at) = step.trigger { at } else { Duration::ZERO });
    }
    steps
}

/// Disks that fail are drawn apart from all else, too. What is lost for good is lost of fewer than half of the hosts only.
fn draw_bad_disks(chaos: &Chaos, hosts: &[String], seed: Seed) -> Vec<Step> {
    let mut rng = seed.stream("bad disks");
    let mut victims: Vec<&String> = hosts.iter().filter(|host| named(&chaos.hosts, host)).collect();
    let mut steps = Vec::new();
    if (!rng.random_bool(0.7) && chaos.families.len() > 1) || victims.is_empty() {
        return steps;
    }
    for place in (1..victims.len()).rev() {
        victims.swap(place, rng.random_range(0..=place));
    }
    let may_be_lost = (victims.len() - 1) / 2;
    let mut at = sample(&chaos.every, rng.random());
    while at < chaos.until {
        let lasts = sample(&chaos.lasts, rng.random()).max(Duration::from_millis(4)).min(chaos.until - at);
        let (place, fault) = (rng.random_range(0..victims.len()), rng.random_range(0..6));
        let victim = vec![HostPattern(victims[place].clone())];
        let disk = |fault| Action::Disk { hosts: victim.clone(), sync: None, fault: Some(fault) };
        match fault {
            0 => steps.push(step(at, disk(DiskFault::SyncFails), lasts)),
            1 => steps.push(step(at, disk(DiskFault::SyncHangs), lasts)),
            2 => steps.push(step(at, disk(DiskFault::NoSpace), lasts)),
            3 if place < may_be_lost => {
                // It is found when the log is read.
                steps.push(step(at, disk(DiskFault::BitFlip), lasts));
                steps.push(step(at, Action::Kill(victim.clone()), lasts));
            }
            _ => {
                steps.push(step(at, disk(DiskFault::TornWrites), lasts));
                steps.push(step(at + lasts / 4, Action::Power(victim.clone()), lasts / 2));
            }
        }
        at += sample(&chaos.every, rng.random()).max(Duration::from_millis(1));
    }
    steps
}

/// An operator knows nothing of faults: what is done is drawn apart from them, so that neither moves the other.
fn draw_operations(chaos: &Chaos, seed: Seed, operate: Operate<'_>) -> Vec<Step> {
    let mut rng = seed.stream("operator");
    let mut steps = Vec::new();
    let is_alone = chaos.families.len() == 1;
    if !rng.random_bool(0.5) && !is_alone {
        return steps;
    }
    let mut at = sample(&chaos.every, rng.random());
    while at < chaos.until {
        let lasts = sample(&chaos.lasts, rng.random()).max(Duration::from_millis(1)).min(chaos.until - at);
        for action in operate(&mut rng) {
            let ends = !matches!(action, Action::System(_));
            steps.push(Step { lasts: ends.then_some(lasts), ..step(at, action, lasts) });
        }
        at += sample(&chaos.every, rng.random()).max(Duration::from_millis(1));
    }
    steps
}

fn draw_faults(chaos: &Chaos, hosts: &[String], seed: Seed) -> Vec<Step> {
    let mut rng = seed.stream("chaos");
    let families: Vec<Family> = chaos.families.iter().copied().filter(|family| !APART.contains(family)).collect();
    let families = draw_families(&families, &mut rng);
    let victims: Vec<&String> = hosts.iter().filter(|host| named(&chaos.hosts, host)).collect();
    let mut steps: Vec<Step> = families
        .iter()
        .filter_map(|family| weather(*family, &mut rng))
        .map(|settings| {
            let everyone = vec![HostPattern("*".into())];
            let rule = LinkRule { from: everyone.clone(), to: everyone, both_ways: false, settings, line: 0 };
            step(Duration::ZERO, Action::Link(rule), chaos.until)
        })
        .collect();
    let blows: Vec<Family> = families.into_iter().filter(|family| strikes(*family)).collect();
    let mut at = sample(&chaos.every, rng.random());
    while at < chaos.until && !blows.is_empty() {
        let family = blows[rng.random_range(0..blows.len())];
        let lasts = sample(&chaos.lasts, rng.random()).max(Duration::from_millis(1)).min(chaos.until - at);
        if let Some(action) = strike(family, hosts, &victims, &mut rng) {
            steps.push(step(at, action, lasts));
        }
        at += sample(&chaos.every, rng.random()).max(Duration::from_millis(1));
    }
    steps
}

fn step(at: Duration, action: Action, lasts: Duration) -> Step {
    Step { trigger: Trigger::At(at), spread: Duration::ZERO, action, lasts: Some(lasts), may_be_inert: false, line: 0 }
}

/// Each family with even odds; one at least.
fn draw_families(allowed: &[Family], rng: &mut Rng) -> Vec<Family> {
    let drawn: Vec<Family> = allowed.iter().copied().filter(|_| rng.random_bool(0.5)).collect();
    if drawn.is_empty() && !allowed.is_empty() {
        return vec![allowed[rng.random_range(0..allowed.len())]];
    }
    drawn
}

/// Whether a family's faults hit at moments, rather than all the time.
fn strikes(family: Family) -> bool {
    matches!(family, Family::Partition | Family::OneWay | Family::Kill | Family::Power | Family::Pause | Family::Disk)
}

/// What a family does to all links, all the time.
fn weather(family: Family, rng: &mut Rng) -> Option<LinkSettings> {
    let mut settings = LinkSettings::default();
    match family {
        Family::Loss => settings.loss = Some(rarely(rng)),
        Family::Burst => {
            let (enter, leave) = (rarely(rng) / 2.0, rng.random_range(0.1..0.6));
            settings.burst = Some(Burst { enter, leave, loss: rng.random_range(0.5..1.0) });
        }
        Family::Latency => {
            let median = Duration::from_micros(rng.random_range(500..40_000));
            let p99 = median * rng.random_range(2..10);
            settings.latency = Some(Latency::Quantiles { min: median / 2, median, p99 });
        }
        Family::Duplicate => settings.duplicate = Some(rarely(rng)),
        Family::Corrupt => settings.corrupt = Some(rarely(rng) / 4.0),
        Family::Reorder => {
            let min = Duration::from_millis(rng.random_range(1..10));
            let extra = Latency::Uniform { min, max: min * rng.random_range(2..8) };
            settings.reorder = Some(Reorder { chance: rarely(rng), extra });
        }
        _ => return None,
    }
    Some(settings)
}

/// A chance between 0.5 % and 30 %, small ones as likely as large ones.
fn rarely(rng: &mut Rng) -> f64 {
    let chance = 0.005 * libm::exp(rng.random_range(0.0..1.0) * libm::log(60.0));
    // Rounded, so that it prints as it is.
    libm::round(chance * 10_000.0) / 10_000.0
}

/// One fault of a family that hits at moments.
fn strike(family: Family, hosts: &[String], victims: &[&String], rng: &mut Rng) -> Option<Action> {
    let victim = |rng: &mut Rng| {
        let index = rng.random_range(0..victims.len());
        vec![HostPattern(victims[index].clone())]
    };
    match family {
        Family::Partition if hosts.len() > 1 => Some(partition(hosts, rng)),
        Family::OneWay if hosts.len() > 1 => {
            let from = rng.random_range(0..hosts.len());
            let to = (from + rng.random_range(1..hosts.len())) % hosts.len();
            let name = |index: usize| vec![HostPattern(hosts[index].clone())];
            Some(Action::Cut { from: name(from), to: name(to) })
        }
        Family::Kill if !victims.is_empty() => Some(Action::Kill(victim(rng))),
        Family::Power if !victims.is_empty() => Some(Action::Power(victim(rng))),
        Family::Pause if !victims.is_empty() => Some(Action::Pause(victim(rng))),
        Family::Disk if !victims.is_empty() => {
            Some(Action::Disk { hosts: victim(rng), sync: Some(slowly(rng)), fault: None })
        }
        _ => None,
    }
}

/// A time around a median between 1 ms and 100 ms, short ones as likely as long ones.
fn slowly(rng: &mut Rng) -> Latency {
    // Of whole tens of microseconds, so that it prints as it is.
    let hundredths = libm::round(50.0 * libm::exp(rng.random_range(0.0..1.0) * libm::log(100.0)));
    #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "between 50 and 5000")]
    let min = Duration::from_micros(hundredths as u64 * 10);
    Latency::Uniform { min, max: min * 3 }
}

/// Two groups: one host alone, or any split.
fn partition(hosts: &[String], rng: &mut Rng) -> Action {
    let alone = rng.random_range(0..hosts.len());
    let any_split = rng.random_bool(0.5);
    let mut groups = vec![Vec::new(), Vec::new()];
    for (index, host) in hosts.iter().enumerate() {
        let second = if any_split { rng.random_bool(0.5) } else { index == alone };
        groups[usize::from(second)].push(HostPattern(host.clone()));
    }
    if let Some(empty) = groups.iter().position(Vec::is_empty) {
        let moved = groups[1 - empty].remove(alone);
        groups[empty].push(moved);
    }
    Action::Partition(groups)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::script::action::SystemAction;

    const NOBODY: Operate<'_> = &|_| Vec::new();

    fn chaos() -> Chaos {
        let ms = Duration::from_millis;
        Chaos {
            families: Family::EVERY.to_vec(),
            hosts: vec![HostPattern("n*".into())],
            every: Latency::Uniform { min: ms(100), max: ms(900) },
            lasts: Latency::Uniform { min: ms(100), max: ms(2000) },
            until: ms(10_000),
            line: 1,
        }
    }

    #[test]
    fn every_fault_is_over_when_chaos_is() {
        let hosts: Vec<String> = ["n1", "n2", "n3", "c1"].map(str::to_owned).into();
        for seed in 0..500 {
            let steps = draw(&chaos(), &hosts, Seed(seed), NOBODY);
            assert!(!steps.is_empty(), "seed {seed} draws nothing");
            for step in &steps {
                let Trigger::At(at) = step.trigger else { panic!("drawn steps have times") };
                assert!(at + step.lasts.expect("drawn steps end") <= chaos().until);
                if let Action::Partition(groups) = &step.action {
                    assert!(groups.iter().all(|group| !group.is_empty()));
                    assert_eq!(groups.iter().map(Vec::len).sum::<usize>(), hosts.len());
                }
                if let Action::Kill(hosts) | Action::Power(hosts) | Action::Pause(hosts) | Action::Disk { hosts, .. } =
                    &step.action
                {
                    assert!(hosts.iter().all(|host| host.0.starts_with('n')));
                }
            }
        }
    }

    #[test]
    fn an_operator_acts_beside_the_faults_and_moves_none_of_them() {
        let hosts: Vec<String> = ["n1", "n2", "n3"].map(str::to_owned).into();
        let operate = |_: &mut Rng| vec![Action::System(SystemAction::new("raft", "{ transfer_to = 'n2' }"))];
        let (mut acts, mut idles) = (0, 0);
        for seed in 0..100 {
            let steps = draw(&chaos(), &hosts, Seed(seed), &operate);
            let (own, faults): (Vec<Step>, Vec<Step>) =
                steps.iter().cloned().partition(|step| matches!(step.action, Action::System(_)));
            assert_eq!(faults, draw(&chaos(), &hosts, Seed(seed), NOBODY));
            assert!(own.iter().all(|step| step.lasts.is_none()));
            assert!(own.iter().all(|step| step.action.to_string() == "raft transfer_to = \"n2\""));
            let at =
                |step: &Step| if let Trigger::At(at) = step.trigger { at } else { panic!("drawn steps have times") };
            assert!(steps.is_sorted_by_key(at), "steps wait for each other");
            *if own.is_empty() { &mut idles } else { &mut acts } += 1;
        }
        assert!(acts > 30 && idles > 30, "{acts} and {idles}");
    }

    #[test]
    fn what_is_drawn_can_be_written_and_read_again() {
        let hosts: Vec<String> = ["n1", "n2", "n3", "c1"].map(str::to_owned).into();
        for seed in 0..100 {
            let steps = draw(&chaos(), &hosts, Seed(seed), NOBODY);
            let written: String = steps.iter().map(crate::script::writer::step).collect();
            let text = format!("about = 'x'\nsystem = 'x'\nduration = '90s'\n{written}");
            let again = crate::script::Script::parse("x.toml", &text).unwrap_or_else(|error| panic!("{error}")).steps;
            let plain = |steps: &[Step]| -> Vec<Step> {
                let plain = |step: &Step| {
                    let mut step = Step { line: 0, ..step.clone() };
                    if let Action::Link(rule) = &mut step.action {
                        (rule.line, rule.both_ways) = (0, rule.from == rule.to);
                    }
                    step
                };
                steps.iter().map(plain).collect()
            };
            assert_eq!(plain(&again), plain(&steps), "{text}");
        }
    }

    #[test]
    fn over_many_seeds_each_family_is_drawn_and_left_out() {
        let hosts: Vec<String> = ["n1", "n2"].map(str::to_owned).into();
        let killed = (0..200).filter(|seed| {
            draw(&chaos(), &hosts, Seed(*seed), NOBODY).iter().any(|step| matches!(step.action, Action::Kill(_)))
        });
        let share = killed.count();
        assert!((40..160).contains(&share), "{share} of 200 seeds kill");
    }

    #[test]
    fn disks_are_as_often_slow_as_very_slow() {
        let hosts = ["n1".to_owned()];
        let only = Chaos { families: vec![Family::Disk], ..chaos() };
        let steps: Vec<Step> = (0..200).flat_map(|seed| draw(&only, &hosts, Seed(seed), NOBODY)).collect();
        let medians = steps.iter().map(|step| match step.action {
            Action::Disk { sync: Some(Latency::Uniform { min, max }), .. } => (min + max) / 2,
            _ => panic!("{step} is no slow disk"),
        });
        let medians: Vec<Duration> = medians.collect();
        let ms = Duration::from_millis;
        assert!(medians.iter().all(|median| (ms(1)..=ms(100)).contains(median)));
        let slow = medians.iter().filter(|median| **median < ms(10)).count();
        assert!((4..6).contains(&(10 * slow / medians.len())), "{slow} of {} are below 10 ms", medians.len());
    }
}
