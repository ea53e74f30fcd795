//! The nodes of a cluster as real processes: `raft-node`, which tells its events as lines of JSON.
//!
//! What any Raft promises of its elections is checked over all that the nodes told, in the order of their clocks, which are
//! one and the same on one machine: once the run is over, so that no line is late. What goes by time is not: when a real
//! process gets its turn is the machine's affair.

#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::time::Duration;

use crate::check::consensus::{Check, Lead, Settings};
use crate::check::raft::Scope;
use crate::consensus::{Fact, NodeId, Part, Role};
use crate::events::{Line, Value};
use crate::raft::Config;
use crate::raft::config::Replication;
use crate::script::{Action, Script, ScriptError, SystemAction, Trigger, show_duration};
use crate::sim::{Breach, Ending, Heard, Judgement, PacketBytes, Process, Processes, Setup, Witness};

use super::super::told::interned;
use super::cluster::PORT;
use super::names::role_name;
use super::options::{Expect, Expected, Leader, Options};
use super::orders::{Order, Step};
use super::workload::{self, HTTP_PORT, Judged};

/// The cluster of a script as processes.
pub(super) fn processes(setup: &Setup<'_>) -> Result<Processes, ScriptError> {
    let options: Options = setup.section()?;
    let expect: Expect = setup.expect()?;
    let plan = options.cluster(setup)?;
    let expected = expect.understand(&setup.script().expect.section, &plan.config)?;
    refuse(setup, &plan)?;
    let pins = pins(setup.script(), &plan.config)?;
    let members: Vec<NodeId> = plan.members().collect();
    let hosts = members.iter().map(|id| process(*id, &members, &plan.config, &pins));
    let callers: Vec<String> =
        plan.clients.iter().flat_map(workload::Clients::callers).map(workload::Caller::name).collect();
    let hosts = hosts
        .chain(callers.iter().map(|name| {
            // It calls as soon as it is there.
            Process { last: true, ..Process::played(setup, name.clone(), false) }
        }))
        .collect();
    let settings = Settings {
        election_timeout: (plan.config.election_timeout_min, plan.config.election_timeout_max),
        heartbeat: plan.config.heartbeat,
        pre_vote: plan.config.pre_vote,
        check_quorum: plan.config.check_quorum,
        resend: plan.config.resend,
        ..Settings::new(members.iter().copied())
    };
    let settings = settings.lacks(Part::Messages, "a live node tells of votes and of what leaders send");
    let witness = Cluster {
        check: Check::new(&settings, &plan.conditions),
        members: members.clone(),
        pins: pins.values().map(|(step, _)| *step).collect(),
        expected,
        told: Vec::new(),
        states: BTreeMap::new(),
        first: None,
        term_max: 0,
        commit_max: 0,
        callers,
        called: Vec::new(),
    };
    Ok(Processes { hosts, packets: PacketBytes::Datagrams, witness: Box::new(witness) })
}

/// What `raft-node` has not.
fn refuse(setup: &Setup<'_>, plan: &super::options::Cluster) -> Result<(), ScriptError> {
    let table = setup.table();
    let cannot =
        |key: &str, message: &str| Err(table.error(key, format!("{message}, so that no live run can be made of it")));
    if plan.clients.as_ref().is_some_and(|clients| clients.over.is_http()) {
        return cannot("clients.over", "live, clients speak the cluster's own datagrams");
    }
    if plan.until_answered {
        return cannot("until_answered", "live, a run ends when its time is over");
    }
    if plan.config.replication.as_ref().is_some_and(|own| *own != Replication::default()) {
        return cannot("replication", "`raft-node` replicates in a way of its own");
    }
    if !plan.logs.is_empty() {
        return cannot("logs", "`raft-node` has no log of which some nodes are behind");
    }
    if plan.until_led {
        return cannot("until_led", "live, a run ends when its time is over");
    }
    if plan.config.timeout_resolution != Config::new([]).timeout_resolution {
        return cannot("timeout_resolution", "`raft-node` draws its timeouts in steps of a microsecond");
    }
    if plan.scope != Scope::All {
        return cannot("check", "live, all is checked that can be");
    }
    if plan.clocks.values().any(|rate| *rate != crate::raft::ClockRate::default()) {
        return cannot("clock_drift", "the clocks of real processes are this machine's");
    }
    #[cfg(feature = "planted-bugs")]
    if plan.config.bug.is_some() {
        return cannot("bug", "`raft-node` has no planted bugs");
    }
    Ok(())
}

/// Timeouts that are pinned at the very beginning: a node is told so at its start. The step, and the timeout.
fn pins(script: &Script, config: &Config) -> Result<BTreeMap<NodeId, (usize, Duration)>, ScriptError> {
    let mut pins = BTreeMap::new();
    let mut is_begin = true;
    for (index, step) in script.steps.iter().enumerate() {
        let at_once = matches!(step.trigger, Trigger::At(Duration::ZERO) | Trigger::After(Duration::ZERO));
        is_begin &= at_once && step.spread.is_zero();
        let Action::System(action) = &step.action else { continue };
        let is_pin = matches!(action.section.read::<Step>()?.order(&action.section, config)?, Order::Pin { .. });
        if !is_begin || !is_pin {
            let message =
                "nobody tells a `raft-node` that runs what to do: live, only a `pin` at the very beginning is possible";
            return Err(action.section.error_of_table(message));
        }
        if let Order::Pin { nodes, timeout } = action.section.read::<Step>()?.order(&action.section, config)? {
            pins.extend(nodes.into_iter().map(|id| (id, (index, timeout))));
        }
    }
    Ok(pins)
}

fn process(id: NodeId, members: &[NodeId], config: &Config, pins: &BTreeMap<NodeId, (usize, Duration)>) -> Process {
    let peers: Vec<String> = members.iter().map(|peer| format!("{}={peer}:{PORT}", peer.0)).collect();
    let (min, max) = (config.election_timeout_min, config.election_timeout_max);
    let mut arguments: Vec<String> = [
        ("--id", id.0.to_string()),
        ("--listen", format!("{{addr}}:{PORT}")),
        ("--peers", peers.join(",")),
        ("--data", "{dir}/raft".to_owned()),
        ("--cluster", "simulated".to_owned()),
        ("--election-timeout", format!("{}..{}", show_duration(min), show_duration(max))),
        ("--heartbeat", show_duration(config.heartbeat)),
    ]
    .into_iter()
    .flat_map(|(name, value)| [name.to_owned(), value])
    .collect();
    let switches = [
        ("--no-pre-vote", config.pre_vote),
        ("--no-check-quorum", config.check_quorum),
        ("--no-leader-stickiness", config.leader_stickiness),
        ("--no-resend", config.resend),
    ];
    arguments.extend(switches.into_iter().filter(|(_, on)| !on).map(|(switch, _)| switch.to_owned()));
    if let Some((_, timeout)) = pins.get(&id) {
        arguments.extend(["--first-timeout".to_owned(), show_duration(*timeout)]);
    }
    if config.replication.is_some() {
        arguments.push(format!("--kv={{addr}}:{HTTP_PORT}"));
    }
    arguments.push("--events".to_owned());
    Process {
        name: id.to_string(),
        program: Some("raft-node"),
        arguments,
        files: Vec::new(),
        last: false,
        workload: false,
        ready: None,
    }
}

/// A node, as it last told of itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct State {
    role: Role,
    term: u64,
    leader: Option<NodeId>,
}

struct Cluster {
    check: Check,
    members: Vec<NodeId>,
    /// Steps that were done by the nodes' arguments.
    pins: Vec<usize>,
    expected: Expected,
    /// All that was told: when by the node's clock, by whom, when and where it stands in the trace.
    told: Vec<(u64, NodeId, (Duration, u64), Told)>,
    states: BTreeMap<NodeId, State>,
    /// The first lead that a majority followed, and when.
    first: Option<(Lead, Duration)>,
    term_max: u64,
    commit_max: u64,
    callers: Vec<String>,
    /// What clients told: when by their clocks, when and where it stands in the trace.
    called: Vec<(u64, (Duration, u64), workload::Told)>,
}

enum Told {
    Fact(Fact),
    /// The process is gone.
    Down,
}

impl Cluster {
    fn id(&self, host: &str) -> Option<NodeId> {
        self.members.iter().copied().find(|id| id.to_string() == host)
    }

    /// The lead that a majority follows just now, and whether all do.
    fn lead(&self) -> Option<(Lead, bool)> {
        let mut followers: BTreeMap<(u64, NodeId), usize> = BTreeMap::new();
        for state in self.states.values() {
            if let Some(leader) = state.leader {
                *followers.entry((state.term, leader)).or_default() += 1;
            }
        }
        let (&(term, leader), &count) = followers.iter().max_by_key(|(_, count)| **count)?;
        (count > self.members.len() / 2).then_some((Lead { leader, term }, count == self.members.len()))
    }

    fn is_wanted(&self) -> bool {
        let (lead, first) = (self.lead().map(|(lead, _)| lead), self.first.map(|(lead, _)| lead));
        match self.expected.leader {
            None | Some(Leader::Any) => true,
            Some(Leader::Some) => lead.is_some(),
            Some(Leader::None) => lead.is_none(),
            Some(Leader::Unchanged) => lead.is_some() && lead == first,
            Some(Leader::Changed) => lead.is_some() && lead != first,
            Some(Leader::Node(id)) => lead.is_some_and(|lead| lead.leader == id),
        }
    }

    /// Over all that was told, by the nodes' clocks.
    fn broken(&mut self) -> Option<Breach> {
        // What stands in the same nanosecond stays in the order in which it was heard.
        self.told.sort_by_key(|(t_ns, ..)| *t_ns);
        let mut found = None;
        for (_, id, seen, told) in std::mem::take(&mut self.told) {
            match told {
                Told::Fact(fact) => found = found.or(self.check.keeps_history(id, seen, &fact)),
                Told::Down => self.check.down(id, seen),
            }
        }
        found.map(|breach| *breach)
    }
}

impl Cluster {
    fn count_commits(&mut self, heard: &mut Heard) {
        let index = heard.fields.iter().find(|(field, _)| *field == "index");
        if let (Some("committed"), Some((_, Value::Int(index)))) = (heard.name, index) {
            heard.counts.push(("commits", index.saturating_sub(self.commit_max)));
            self.commit_max = self.commit_max.max(*index);
        }
    }

    /// What a client tells.
    fn told_by_client(&mut self, seen: (Duration, u64), line: &str) -> Option<Heard> {
        let Line { t_ns, event, fields, fact } = Line::<Option<workload::Told>>::read(line)?;
        let mut heard = Heard { name: event.map(interned), ..Heard::default() };
        heard.fields = fields.into_iter().map(|(name, value)| (interned(name), value)).collect();
        let Some(told) = fact.flatten() else { return Some(heard) };
        match &told {
            workload::Told::Calls { .. } => {}
            workload::Told::Returns { took, outcome, .. } => {
                heard.counts.push((outcome.counter(), 1));
                if let workload::Came::Answered { .. } = outcome {
                    heard.work = 1;
                    heard.time = Some(("calls", *took));
                }
            }
            workload::Told::Rejects => heard.counts.push(("rejected datagrams", 1)),
        }
        self.called.push((t_ns, seen, told));
        Some(heard)
    }
}

impl Witness for Cluster {
    fn line(&mut self, host: &str, seen: (Duration, u64), line: &str) -> Option<Heard> {
        if self.callers.iter().any(|caller| caller == host) {
            return self.told_by_client(seen, line);
        }
        let id = self.id(host)?;
        let Line { t_ns, event, fields, fact } = Line::<Fact>::read(line)?;
        let mut heard = Heard::default();
        if let Some(fact) = fact {
            self.told.push((t_ns, id, seen, Told::Fact(fact)));
            if let Fact::Is { role, term, leader } = fact {
                self.states.insert(id, State { role, term, leader });
                heard.counts.push(("terms", term.saturating_sub(self.term_max)));
                self.term_max = self.term_max.max(term);
                if self.first.is_none() {
                    self.first = self.lead().map(|(lead, _)| (lead, seen.0));
                }
            }
        }
        if let Some(event) = event {
            let name = interned(event);
            heard.name = Some(name);
            heard.fields = fields.into_iter().map(|(name, value)| (interned(name), value)).collect();
            count(&mut heard, name);
            self.count_commits(&mut heard);
        }
        Some(heard)
    }

    fn ended(&mut self, host: &str, seen: (Duration, u64)) {
        let Some(id) = self.id(host) else { return };
        self.states.remove(&id);
        // Behind all that it told before.
        let last = self.told.iter().rev().find(|(_, of, ..)| *of == id).map_or(0, |(t_ns, ..)| *t_ns);
        self.told.push((last, id, seen, Told::Down));
    }

    fn holds(&self, state: &str) -> bool {
        match state {
            "leader" => self.lead().is_some(),
            "agreed" => self.lead().is_some_and(|(_, of_all)| of_all),
            _ => self.lead().is_none(),
        }
    }

    fn who(&self, role: &str) -> Vec<String> {
        let mut those: Vec<_> = self.states.iter().filter(|(_, state)| role_name(state.role) == role).collect();
        if role == role_name(Role::Leader) {
            let newest = those.iter().map(|(_, state)| state.term).max();
            those.retain(|(_, state)| Some(state.term) == newest);
        }
        those.into_iter().map(|(id, _)| id.to_string()).collect()
    }

    fn is_done(&self, step: usize, _: &SystemAction) -> bool {
        self.pins.contains(&step)
    }

    fn judge(&mut self, _: &Ending) -> Judgement {
        let mut notes = vec![
            "L1 to L6, and E8, E9, E11 to E14 are not checked live: they go by time, or by each step of a node from inside"
                .to_owned(),
        ];
        notes.extend(self.expected.stable_from.map(|_| "`stable_from` is not checked live: it is L5".to_owned()));
        if !self.callers.is_empty() {
            notes
                .push("R1 to R17, C2, C4 and C5 are not checked live: S1, one content an index, and C1 are".to_owned());
        }
        let (calls, untold) = (workload::told(std::mem::take(&mut self.called)), UNTOLD);
        let (breach, doubt) = match (self.broken(), calls.judge()) {
            (Some(breach), _) | (None, Judged::Broken(breach)) => (Some(breach), None),
            (None, Judged::Undecided(why)) => (None, Some(why)),
            (None, Judged::Holds) => (None, None),
        };
        if breach.is_some() || doubt.is_some() {
            return Judgement { breach, doubt, notes, untold, ..Judgement::default() };
        }
        let shown = |lead: Option<Lead>| match lead {
            Some(Lead { leader, term }) => format!("{leader} in term {term}"),
            None => "nobody".to_owned(),
        };
        if !self.is_wanted() {
            let (lead, first) = (self.lead().map(|(lead, _)| lead), self.first.map(|(lead, _)| lead));
            let message =
                format!("in the end a majority follows {}, and at first it followed {}", shown(lead), shown(first));
            let breach = Some(Breach::new("the leader that is expected", message));
            return Judgement { breach, notes, untold, ..Judgement::default() };
        }
        notes.extend(self.expected.by.map(|_| "`by` is not checked live: it goes by time".to_owned()));
        Judgement { notes, untold, ..Judgement::default() }
    }
}

/// What is counted of simulated runs, and what real nodes do not tell.
const UNTOLD: &[&str] =
    &["clock jumps", "leads handed over", "messages", "proposals", "split votes", "torn logs", "transfers"];

/// What an event counts, as in a simulated run.
fn count(heard: &mut Heard, name: &str) {
    let is_pre = heard.fields.iter().any(|(field, value)| *field == "pre" && value.to_string() == "true");
    match name {
        "became-pre-candidate" => heard.counts.push(("pre-votes", 1)),
        "became-candidate" => heard.counts.push(("elections", 1)),
        "became-leader" => heard.counts.push(("leaders", 1)),
        "stepped-down" => heard.counts.push(("step-downs", 1)),
        "vote-granted" if !is_pre => heard.counts.push(("votes granted", 1)),
        "vote-refused" if !is_pre => heard.counts.push(("votes refused", 1)),
        "rejected" => heard.counts.push(("rejected datagrams", 1)),
        "truncated" => heard.counts.push(("truncations", 1)),
        "send-failed" => heard.counts.push(("send failures", 1)),
        _ => {}
    }
    heard.work = u64::from(["became-pre-candidate", "became-candidate"].contains(&name));
}
