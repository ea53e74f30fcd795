//! A path, walked again as its script has it, with the times that the script gives it.

use std::fmt::Write as _;
use std::rc::Rc;
use std::time::Duration;

use toml::{Table, Value};

use super::machine::{Action, Envelope, RaftModel, State, id_of};
use super::script::time;
use crate::model::Model as _;
use crate::raft::Role;
use crate::script::{Fate, HostPattern, PacketRule, writer};

/// From one step of the path to the next.
pub(super) const STEP: Duration = Duration::from_millis(10);
/// How long before its step a timer is pinned, and power is lost.
const BEFORE: Duration = Duration::from_millis(5);
/// How long after power was lost a disk that hung does so no more: before the node is on again.
const SOON: Duration = Duration::from_millis(1);
/// How many steps of the path the script lasts longer than it.
const STEPS_AFTER: u32 = 10;

/// Whose log is not durable during which steps of the path, counted from 1, though it is written.
struct Hang {
    node: usize,
    begins: u32,
    /// The step in which it is durable, or the node loses power; none of the path.
    ends: Option<(u32, bool)>,
}

pub(super) struct Rehearsal {
    /// What the script comes to.
    state: State,
    /// What the path comes to.
    path: State,
    flights: Vec<Flight>,
    hangs: Vec<Hang>,
    place: u32,
    /// How far each node's clock has jumped ahead.
    ahead: Vec<Duration>,
    length: u32,
    /// The `[[step]]`s so far.
    steps: String,
}

/// A message that was sent.
struct Flight {
    envelope: Rc<Envelope>,
    /// Which of its name and link it is, from 1.
    nth: u64,
    sent: Duration,
    arrivals: Vec<Duration>,
    is_gone: bool,
}

impl Rehearsal {
    pub(super) fn new(model: &RaftModel, path: &[Action]) -> Self {
        let ahead = vec![Duration::ZERO; model.start().nodes.len()];
        let (steps, length) = (String::new(), u32::try_from(path.len()).unwrap_or(u32::MAX));
        let hangs = hangs(model, path);
        Self { state: model.start(), path: model.start(), flights: Vec::new(), hangs, place: 0, ahead, length, steps }
    }

    pub(super) fn steps(&self) -> &str {
        &self.steps
    }

    pub(super) fn duration(&self) -> Duration {
        STEP * (self.length.saturating_add(STEPS_AFTER))
    }

    fn now(&self) -> Duration {
        STEP * self.place
    }

    pub(super) fn perform(&mut self, model: &RaftModel, action: &Action) -> Result<(), &'static str> {
        self.place += 1;
        let now = self.now();
        for (node, ahead) in self.state.nodes.iter_mut().zip(&self.ahead) {
            Rc::make_mut(node).clock = now + *ahead;
        }
        self.begin_hangs();
        let performed = match action {
            Action::Wake { cut: Some(_), .. } | Action::Deliver { cut: Some(_), .. } => {
                return Err("power is lost in the middle of it, and where that is, only its run's records tell");
            }
            Action::Wake { node, leads: true, .. } => self.jump(model, *node, action)?,
            Action::Wake { node, .. } => {
                self.pin(model, *node);
                action.clone()
            }
            Action::Deliver { envelope, copied, cut } => {
                let flight = self.flight(envelope)?;
                flight.arrivals.push(now);
                flight.is_gone = !copied;
                Action::Deliver { envelope: flight.envelope.clone(), copied: *copied, cut: *cut }
            }
            Action::Lose { envelope } => {
                let flight = self.flight(envelope)?;
                flight.is_gone = true;
                Action::Lose { envelope: flight.envelope.clone() }
            }
            Action::Crash { node, .. } => {
                let entries = [("power".to_owned(), id_of(*node).to_string().into()), ("for".to_owned(), time(BEFORE))];
                self.step(now - BEFORE, Table::from_iter(entries));
                Action::Crash { node: *node, kept: 0 }
            }
            Action::Propose { node } => {
                let propose = Table::from_iter([("propose".to_owned(), id_of(*node).to_string().into())]);
                self.step(now, Table::from_iter([("raft".to_owned(), Value::Table(propose))]));
                action.clone()
            }
            // It hung until now, or it was durable at once.
            Action::Sync { .. } => action.clone(),
        };
        if !matches!(action, Action::Sync { .. }) && !self.go(model, &performed) {
            // The last step breaks what it is about, and nothing of it is needed.
            return Ok(());
        }
        self.sync(model);
        if let Ok(Some(next)) = model.next(&self.path, action) {
            self.path = next;
        }
        match action {
            Action::Crash { node, .. } if self.state.nodes[*node].file.log != self.path.nodes[*node].file.log => {
                Err("power is lost while the log is written, and what of it a disk has then, a script cannot say")
            }
            _ => Ok(()),
        }
    }

    /// Takes a step of the script. Whether it breaks nothing.
    fn go(&mut self, model: &RaftModel, action: &Action) -> bool {
        let taken = matches!(action, Action::Deliver { copied: false, .. } | Action::Lose { .. });
        let before = self.state.flying.len() - usize::from(taken);
        let Ok(Some(next)) = model.next(&self.state, action) else { return false };
        self.state = next;
        for envelope in self.state.flying[before..].iter().cloned() {
            let is_like = |flight: &&Flight| {
                let Envelope { from, to, ref message } = *flight.envelope;
                (from, to, message.name()) == (envelope.from, envelope.to, envelope.message.name())
            };
            let nth = self.flights.iter().filter(is_like).count() as u64 + 1;
            self.flights.push(Flight { envelope, nth, sent: self.now(), arrivals: Vec::new(), is_gone: false });
        }
        true
    }

    /// What is written is durable at once, unless the disk hangs.
    fn sync(&mut self, model: &RaftModel) {
        for node in 0..self.state.nodes.len() {
            let hangs = |hang: &Hang| {
                let goes_on = hang.ends.is_none_or(|(ends, _)| self.place < ends);
                hang.node == node && hang.begins <= self.place && goes_on
            };
            let writes = self.state.nodes[node].file.writes.len();
            if writes > 0 && !self.hangs.iter().any(hangs) {
                self.go(model, &Action::Sync { node, writes });
            }
        }
    }

    /// The disks that hang from before this step on.
    fn begin_hangs(&mut self) {
        let place = self.place;
        let begin = |hang: &&Hang| hang.begins == place;
        let begun: Vec<_> = self.hangs.iter().filter(begin).map(|hang| (hang.node, hang.ends)).collect();
        for (node, ends) in begun {
            let at = self.now() - BEFORE;
            let until = match ends {
                Some((step, true)) => STEP * step - BEFORE + SOON,
                Some((step, false)) => STEP * step,
                None => self.duration(),
            };
            let fault = [("hosts", id_of(node).to_string()), ("fault", "sync-hangs".to_owned())];
            let fault = Table::from_iter(fault.map(|(key, value)| (key.to_owned(), Value::String(value))));
            let lasts = [("disk".to_owned(), Value::Table(fault)), ("for".to_owned(), time(until - at))];
            self.step(at, Table::from_iter(lasts));
        }
    }

    /// Has the timer of a node run out now.
    fn pin(&mut self, model: &RaftModel, node: usize) {
        let clock = self.state.nodes[node].clock;
        let core = &mut Rc::make_mut(&mut self.state.nodes[node]).core;
        let due = core.status().timer_at.unwrap_or(clock);
        // A pinned timeout lasts until it has run out, so each that runs has the length of the settings.
        let timeout = clock - (due - model.config.election_timeout_max);
        core.pin_next_timeout(timeout);
        let pin = [("pin".to_owned(), id_of(node).to_string().into()), ("timeout".to_owned(), time(timeout))];
        let pin = ("raft".to_owned(), Value::Table(Table::from_iter(pin)));
        self.step(self.now() - BEFORE, Table::from_iter([pin]));
    }

    /// Has a leader's heartbeat be due now: its clock jumps there, for heartbeats have one interval for all.
    fn jump(&mut self, model: &RaftModel, node: usize, action: &Action) -> Result<Action, &'static str> {
        if !model.replicates() {
            return Err("a leader wakes, and heartbeats have one interval for all");
        }
        let leader = Rc::make_mut(&mut self.state.nodes[node]);
        if leader.core.role() != Role::Leader {
            return Err("a leader wakes which does not lead yet if all that is written is durable at once");
        }
        let due = leader.core.deadline().unwrap_or(leader.clock);
        if due > leader.clock {
            let by = due - leader.clock;
            (leader.clock, self.ahead[node]) = (due, self.ahead[node] + by);
            let jump = [("jump".to_owned(), id_of(node).to_string().into()), ("by".to_owned(), time(by))];
            let jump = ("raft".to_owned(), Value::Table(Table::from_iter(jump)));
            self.step(self.now() - BEFORE, Table::from_iter([jump]));
        }
        Ok(action.clone())
    }

    fn step(&mut self, at: Duration, action: Table) {
        let mut table = Table::from_iter([("at".to_owned(), time(at))]);
        table.extend(action);
        let _ = write!(self.steps, "\n{}", writer::table("[[step]]", &table));
    }

    /// The first of these messages that is still in flight. Which round it is of is another one where more is durable sooner.
    fn flight(&mut self, envelope: &Envelope) -> Result<&mut Flight, &'static str> {
        let flying = |flight: &&mut Flight| !flight.is_gone && *flight.envelope == *envelope;
        let none = "it is a message that is another where what is written is durable at once";
        self.flights.iter_mut().find(flying).ok_or(none)
    }

    /// The `[[packet]]`s: the messages that arrive.
    pub(super) fn packets(&self) -> Result<String, String> {
        let mut text = String::new();
        for Flight { envelope, nth, sent, arrivals, .. } in &self.flights {
            let rule = |fate| {
                let host = |index| HostPattern(id_of(index).to_string());
                let (from, to, message) = (host(envelope.from), host(envelope.to), envelope.message.name().to_owned());
                writer::packet(&PacketRule { from, to, message: Some(message), nth: *nth, attempt: 0, fate })
            };
            let fates = match arrivals[..] {
                [] => vec![],
                [at] => vec![Fate::Latency(at - *sent)],
                [first, second] => vec![Fate::Latency(first - *sent), Fate::Duplicate(Some(second - *sent))],
                _ => return Err("a message arrives three times, and a script copies it once".to_owned()),
            };
            fates.into_iter().for_each(|fate| text = format!("{text}\n{}", rule(fate)));
        }
        Ok(text)
    }
}

/// The disks that have to hang. None does that has to write a term or a vote meanwhile, which would hang too: such a log is
/// durable at once, and whether that matters, the script's run tells.
fn hangs(model: &RaftModel, path: &[Action]) -> Vec<Hang> {
    let (mut state, mut hangs) = (model.start(), Vec::new());
    let mut open: Vec<Option<(u32, bool)>> = vec![None; state.nodes.len()];
    for (place, action) in (1..).zip(path) {
        let next = model.next(&state, action);
        let Ok(Some(next)) = next else { break };
        for (node, open) in open.iter_mut().enumerate() {
            let (before, after) = (&state.nodes[node], &next.nodes[node]);
            let votes = before.disk != after.disk;
            let crashed = matches!(action, Action::Crash { node: crashed, .. } if *crashed == node);
            match (*open, after.file.writes.is_empty()) {
                (None, false) => *open = Some((place, votes)),
                (Some((begins, voted)), false) => *open = Some((begins, voted || votes)),
                (Some((begins, voted)), true) => {
                    // What is durable in the very next step need not hang.
                    if !voted && !votes && (place > begins + 1 || crashed) {
                        hangs.push(Hang { node, begins, ends: Some((place, crashed)) });
                    }
                    *open = None;
                }
                (None, true) => {}
            }
        }
        state = next;
    }
    let never = open.into_iter().enumerate().filter_map(|(node, open)| Some((node, open?)));
    hangs.extend(never.filter(|(_, (_, voted))| !voted).map(|(node, (begins, _))| Hang { node, begins, ends: None }));
    hangs
}
