//! Details of single faults that a reader need not see: round times, fewer hosts, plainer faults.

use std::time::Duration;

use crate::script::{Action, Fate, HostPattern, Latency, LinkRule, LinkSettings, PacketRule, Step, Trigger, writer};

use super::{JobError, Plan, Shrinker};

/// As many faults as a person reads through.
const FEW: usize = 40;

impl Shrinker<'_> {
    /// Makes single faults simpler, once there are few.
    pub(super) fn rounder(&mut self) -> Result<(), JobError> {
        if self.best.faults() > FEW {
            return Ok(());
        }
        self.take_all(|shrinker| {
            let best = &shrinker.best;
            let of_step = |(place, step): (usize, &Step)| {
                let bounds = neighbours(&best.steps, place);
                simpler_steps(step, bounds).into_iter().map(move |step| {
                    let mut plan = best.clone();
                    plan.steps[place] = step;
                    plan
                })
            };
            let of_packet = |(place, rule): (usize, &PacketRule)| {
                simpler_packets(rule).into_iter().map(move |rule| {
                    let mut plan = best.clone();
                    plan.packets[place] = rule;
                    plan
                })
            };
            let steps = best.steps.iter().enumerate().flat_map(of_step);
            let packets = best.packets.iter().enumerate().flat_map(of_packet);
            let folded = (0..best.steps.len()).filter_map(|place| folded(best, place));
            folded.chain(steps).chain(packets).chain(plainer_times(best)).collect()
        })
    }
}

/// A change of all links from the beginning to the end is what the network is.
fn folded(plan: &Plan, place: usize) -> Option<Plan> {
    let step = &plan.steps[place];
    let (Action::Link(rule), Trigger::At(Duration::ZERO), None) = (&step.action, &step.trigger, step.lasts) else {
        return None;
    };
    let is_all = |patterns: &[HostPattern]| matches!(patterns, [HostPattern(only)] if only == "*");
    let mut plan = plan.clone();
    plan.steps.remove(place);
    let network = plan.rest.entry("network").or_insert_with(|| toml::Table::new().into());
    network.as_table_mut()?.extend(writer::link_settings(&rule.settings));
    (is_all(&rule.from) && is_all(&rule.to)).then_some(plan)
}

/// One time in place of a distribution, in what holds all the time.
fn plainer_times(plan: &Plan) -> Vec<Plan> {
    let mut plans = Vec::new();
    for path in [["network", "latency"], ["disk", "sync"]] {
        let value = plan.table(path[0]).and_then(|table| table.get(path[1]));
        let latency = value.and_then(|value| value.clone().try_into::<Latency>().ok());
        for time in latency.iter().flat_map(single_times) {
            let mut plan = plan.clone();
            if let Some(toml::Value::Table(table)) = plan.rest.get_mut(path[0]) {
                table.insert(path[1].to_owned(), writer::latency(&time));
            }
            plans.push(plan);
        }
    }
    plans
}

/// The times between which a step stays in its order.
fn neighbours(steps: &[Step], place: usize) -> (Duration, Duration) {
    let at = |step: &Step| if let Trigger::At(at) = step.trigger { Some(at) } else { None };
    let before = steps[..place].iter().rev().find_map(at).unwrap_or_default();
    let after = steps[place + 1..].iter().find_map(at).unwrap_or(Duration::MAX);
    (before, after)
}

fn simpler_steps(step: &Step, (before, after): (Duration, Duration)) -> Vec<Step> {
    let mut simpler = Vec::new();
    if let Some(lasts) = step.lasts {
        simpler.push(Step { lasts: None, ..step.clone() });
        simpler.extend(rounded(lasts).map(|lasts| Step { lasts: Some(lasts), ..step.clone() }));
    }
    if let Trigger::At(at) = step.trigger {
        let within = rounded(at).filter(|at| (before..=after).contains(at));
        simpler.extend(within.map(|at| Step { trigger: Trigger::At(at), ..step.clone() }));
    }
    simpler.extend(simpler_actions(&step.action).into_iter().map(|action| Step { action, ..step.clone() }));
    simpler
}

fn simpler_actions(action: &Action) -> Vec<Action> {
    match action {
        Action::Power(hosts) => {
            [Action::Kill(hosts.clone())].into_iter().chain(fewer(hosts).map(Action::Power)).collect()
        }
        Action::Kill(hosts) => fewer(hosts).map(Action::Kill).collect(),
        Action::Pause(hosts) => fewer(hosts).map(Action::Pause).collect(),
        Action::Restart(hosts) => fewer(hosts).map(Action::Restart).collect(),
        Action::Resume(hosts) => fewer(hosts).map(Action::Resume).collect(),
        Action::Partition(groups) => fewer_in_groups(groups).into_iter().map(Action::Partition).collect(),
        Action::Cut { from, to } => {
            let senders = fewer(from).map(|from| Action::Cut { from, to: to.clone() });
            senders.chain(fewer(to).map(|to| Action::Cut { from: from.clone(), to })).collect()
        }
        Action::Disk { hosts, sync, fault } => {
            let (sync, fault) = (*sync, *fault);
            let times = sync.iter().flat_map(single_times).map(Some);
            let less = if fault.is_some() && sync.is_some() { vec![(None, fault), (sync, None)] } else { Vec::new() };
            let changes = times.map(|sync| (sync, fault)).chain(less);
            let plainer = changes.map(|(sync, fault)| Action::Disk { hosts: hosts.clone(), sync, fault });
            fewer(hosts).map(|hosts| Action::Disk { hosts, sync, fault }).chain(plainer).collect()
        }
        Action::Link(rule) => {
            let with = |settings| Action::Link(LinkRule { settings, ..rule.clone() });
            plainer_links(&rule.settings).into_iter().map(with).collect()
        }
        Action::Heal | Action::Hold(_) | Action::Drop(_) | Action::Release | Action::System(_) => Vec::new(),
    }
}

/// A link that does less, or the same in a plainer way.
fn plainer_links(settings: &LinkSettings) -> Vec<LinkSettings> {
    let one_less = [
        LinkSettings { latency: None, ..settings.clone() },
        LinkSettings { loss: None, ..settings.clone() },
        LinkSettings { burst: None, ..settings.clone() },
        LinkSettings { duplicate: None, ..settings.clone() },
        LinkSettings { corrupt: None, ..settings.clone() },
        LinkSettings { reorder: None, ..settings.clone() },
    ];
    let times = settings.latency.iter().flat_map(single_times);
    let plainer = times.map(|latency| LinkSettings { latency: Some(latency), ..settings.clone() });
    let is_something = |less: &LinkSettings| less != settings && *less != LinkSettings::default();
    one_less.into_iter().filter(is_something).chain(plainer).collect()
}

/// One time instead of many.
fn single_times(latency: &Latency) -> Vec<Latency> {
    if let Latency::Constant(time) = latency {
        return rounded(*time).map(Latency::Constant).collect();
    }
    let middle = latency.middle();
    let whole =
        Duration::from_millis(u64::try_from(middle.as_millis()).unwrap_or(u64::MAX)).max(Duration::from_millis(1));
    vec![Latency::Constant(whole)]
}

fn fewer(hosts: &[HostPattern]) -> impl Iterator<Item = Vec<HostPattern>> {
    let count = if hosts.len() > 1 { hosts.len() } else { 0 };
    (0..count).map(|left_out| {
        let mut fewer = hosts.to_vec();
        fewer.remove(left_out);
        fewer
    })
}

fn fewer_in_groups(groups: &[Vec<HostPattern>]) -> Vec<Vec<Vec<HostPattern>>> {
    let mut fewer = Vec::new();
    for (place, group) in groups.iter().enumerate() {
        for host in 0..group.len() {
            let mut groups = groups.to_vec();
            groups[place].remove(host);
            groups.retain(|group| !group.is_empty());
            if groups.len() > 1 {
                fewer.push(groups);
            }
        }
    }
    fewer
}

fn simpler_packets(rule: &PacketRule) -> Vec<PacketRule> {
    let with = |fate| PacketRule { fate, ..rule.clone() };
    // An earlier packet needs less to come before it.
    let earlier = [1, rule.nth / 4, rule.nth / 2, rule.nth - 1].map(|nth| PacketRule { nth, ..rule.clone() });
    let mut simpler: Vec<PacketRule> = earlier.into_iter().filter(|other| (1..rule.nth).contains(&other.nth)).collect();
    simpler.extend(match rule.fate {
        Fate::Latency(latency) => rounded(latency).map(|latency| with(Fate::Latency(latency))).collect::<Vec<_>>(),
        Fate::Duplicate(Some(latency)) => {
            let rounder = rounded(latency).map(|latency| with(Fate::Duplicate(Some(latency))));
            [with(Fate::Duplicate(None))].into_iter().chain(rounder).collect()
        }
        Fate::Lose | Fate::Duplicate(None) | Fate::Corrupt(_) => Vec::new(),
    });
    simpler
}

/// The same time, with one digit that is not 0, or two, down or up: the shortest first. Whole milliseconds.
fn rounded(time: Duration) -> impl Iterator<Item = Duration> {
    let time = u64::try_from(time.as_millis()).unwrap_or(u64::MAX);
    let mut times = Vec::new();
    for digits in 1..=2 {
        let unit = 10_u64.pow(time.checked_ilog10().unwrap_or(0).saturating_sub(digits - 1));
        if time.is_multiple_of(unit) {
            break;
        }
        times.extend([time - time % unit, time - time % unit + unit]);
    }
    times.into_iter().map(Duration::from_millis)
}
