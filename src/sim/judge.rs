//! The verdict over a run that is over.

use std::collections::BTreeSet;
use std::rc::Rc;
use std::time::Duration;

use crate::script::Script;

use super::calm::Calm;
use super::outcome::{self, Finding, InertStep, Outcome, Verdict};
use super::recorder::{Breach, Recorder, quantiles};
use super::setup::{EndCheck, Report};
use super::shared::{Events, Shared};
use super::trace::{HostId, Trace};
use super::world::{World, caught};

/// Judges the run and takes out what it came to.
pub(crate) fn judge(world: &World, script: &Script, end_checks: Vec<EndCheck>, patience: Duration) -> Outcome {
    let shared = world.shared.clone();
    shared.recorder.borrow_mut().packets.in_flight = shared.wire.borrow().in_flight();
    let at_work = at_work(world, script, patience);
    for check in end_checks {
        if shared.recorder.borrow().found.is_some() {
            break;
        }
        let events = Events { shared: shared.clone(), host: None };
        let calm = [Calm::Scheduled, Calm::Healed].map(|calm| world.calms.since(calm));
        let report = Report { events, simulated: world.elapsed(), calm, is_cut_off: !at_work.is_empty() };
        if let Err(message) = caught(|| check(&report)) {
            shared.breach(None, Breach::new("panic", format!("in the testbed: {message}")));
        }
    }
    check_threads(&shared);
    check_liveness(world, script, &at_work);
    let inert = {
        let mut recorder = world.shared.recorder.borrow_mut();
        let inert = world.shared.deeds.inert(recorder.found.is_some());
        recorder.inert_steps(&world.schedule, inert)
    };
    check_counters(&shared, script);
    let verdict = verdict(world, &inert);
    world.record_end(&verdict);
    // Hosts that are dropped still write records: the outcome is taken before.
    take_outcome(&shared, world, verdict, inert)
}

/// What was done in a thread of a host's own was not done in the run.
fn check_threads(shared: &Rc<Shared>) {
    if let Some(host) = shared.outside.first() {
        let message = format!(
            "{} used a simulated socket or its events in a thread of its own, which is not part of the run",
            shared.name(host)
        );
        shared.breach(Some(host), Breach::new("out of reach", message));
    }
}

/// Workloads that the run's end has cut off in the middle of their work: they have not failed, the run is too short for
/// them. Failed has who was silent, and completed nothing, in the later half of the time in which nothing was disturbed;
/// and who completed nothing in all of that time, though all was healed. Either must have lasted for as long as somebody
/// may rightly be silent: for `patience`, and where packets were lost for as long as TCP waits to send again.
fn at_work(world: &World, script: &Script, patience: Duration) -> Vec<HostId> {
    let recorder = world.shared.recorder.borrow();
    let may_wait = patience + if recorder.packets.lost > 0 { script.tcp.rto_max } else { Duration::ZERO };
    let healed = world.calms.since(Calm::Healed);
    let calm = healed.or(world.calms.since(Calm::Scheduled)).unwrap_or_default();
    let time = world.elapsed() - calm;
    let is_at_work = |host: &HostId| {
        let (worked, heard) = (recorder.last_work(*host), recorder.last_heard(*host));
        let is_silent = time / 2 > may_wait && worked.max(heard).is_none_or(|at| at <= calm + time / 2);
        let had_time = time > may_wait && healed.is_some_and(|healed| !healed.is_zero());
        !is_silent && (!had_time || worked > Some(calm))
    };
    world.starved().filter(is_at_work).collect()
}

fn check_liveness(world: &World, script: &Script, at_work: &[HostId]) {
    let mut recorder = world.shared.recorder.borrow_mut();
    if recorder.found.is_some() {
        return;
    }
    let name = |host: HostId| world.shared.name(host);
    let duration = crate::script::show_duration(script.duration);
    let starved: Vec<&str> = world.starved().filter(|host| !at_work.contains(host)).map(name).collect();
    if !starved.is_empty() {
        let message = format!("{} did not finish in {duration}", starved.join(", "));
        drop(recorder);
        return world.shared.breach(None, Breach::new("liveness", message));
    }
    if !at_work.is_empty() {
        let (who, are) =
            (at_work.iter().copied().map(name).collect::<Vec<_>>(), if at_work.len() == 1 { "was" } else { "were" });
        let doubt = format!("{} {are} still at work: it takes more than a `duration` of {duration}", who.join(", "));
        recorder.doubt.get_or_insert(doubt);
    }
}

fn check_counters(shared: &Rc<Shared>, script: &Script) {
    if shared.recorder.borrow().found.is_some() {
        return;
    }
    for (name, (bound, _)) in &script.expect.counters {
        let value = counter(shared, name);
        if !bound.holds(value) {
            let message = format!("{name} is {value}, expected {bound}");
            shared.breach(None, Breach::new(Finding::EXPECTATION, message));
            return;
        }
    }
}

fn counter(shared: &Rc<Shared>, name: &str) -> u64 {
    let recorder = shared.recorder.borrow();
    let Recorder { packets, faults, inert, counters, .. } = &*recorder;
    outcome::counter(name, packets, [faults, inert], counters.get(name))
}

fn verdict(world: &World, inert: &[InertStep]) -> Verdict {
    let recorder = world.shared.recorder.borrow();
    if let Some(found) = &recorder.found {
        return found.clone();
    }
    if let Some((index, step)) = world.schedule.unfired() {
        let reason = format!("step {} ({step}) never fired", index + 1);
        return Verdict::Inconclusive { reason };
    }
    if let Some(reason) = world.shared.wire.borrow().fates.unmet() {
        return Verdict::Inconclusive { reason };
    }
    if let Some(reason) = &recorder.doubt {
        return Verdict::Inconclusive { reason: reason.clone() };
    }
    if recorder.work == 0 {
        return Verdict::Inconclusive { reason: Verdict::NO_WORK.to_owned() };
    }
    if let Some(InertStep { step, text, .. }) = inert.iter().find(|step| !step.allowed) {
        let reason = format!("step {step} ({text}) was inert: it touched no packet, no connection and no process");
        return Verdict::Inconclusive { reason };
    }
    Verdict::Pass
}

fn take_outcome(shared: &Rc<Shared>, world: &World, verdict: Verdict, inert_steps: Vec<InertStep>) -> Outcome {
    let mut recorder = shared.recorder.borrow_mut();
    count_packet_fates(&mut recorder, shared);
    let machines = &shared.wire.borrow().machines;
    let hosts = shared.names.iter().zip(machines).map(|(name, machine)| (name.clone(), machine.ip)).collect();
    let samples = recorder.take_times();
    Outcome {
        verdict,
        hash: recorder.hash(),
        simulated: world.elapsed(),
        lane: shared.lane,
        steps: world.steps(),
        records: recorder.next_number(),
        packets: recorder.packets,
        faults: recorder.faults.clone(),
        inert: recorder.inert.clone(),
        inert_steps,
        counters: recorder.counters.all(),
        times: quantiles(&samples),
        samples,
        notes: recorder.notes.clone(),
        coverage: BTreeSet::new(),
        trace: recorder.take_records().map(|records| Trace { hosts, records }),
    }
}

/// Single packets that met the fate that the script has for them.
fn count_packet_fates(recorder: &mut Recorder, shared: &Shared) {
    let met = shared.wire.borrow().fates.met();
    if met > 0 {
        recorder.faults.insert("packet".to_owned(), met);
    }
}
