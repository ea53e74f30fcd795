//! A path as a script: a step each 10 ms, each timer pinned to run out at its step, each message as late as its arrival is.
//!
//! What the path does not deliver takes longer than the run lasts, and no timer that is not pinned runs out in it. So the
//! script says what happens, and nothing else does.

use std::fmt::Write as _;
use std::time::Duration;

use toml::{Table, Value};

use super::machine::{Action, ELECTION_TIMEOUT, Envelope, HEARTBEAT, RaftModel, State, id_of};
use crate::model::{Broken, Model as _};
use crate::script::{Fate, HostPattern, PacketRule, TimeSpan, writer};

/// From one step of the path to the next.
const STEP: Duration = Duration::from_millis(10);
/// How long before its step a timer is pinned, and power is lost.
const BEFORE: Duration = Duration::from_millis(5);

/// The path as a script, or why it cannot be one.
pub(super) fn write(model: &RaftModel, path: &[Action], broken: &Broken) -> Result<String, String> {
    let mut rehearsal =
        Rehearsal { state: model.start(), flights: Vec::new(), now: Duration::ZERO, steps: String::new() };
    for (number, action) in path.iter().enumerate() {
        rehearsal
            .perform(model, action)
            .map_err(|why| format!("step {} is more than a script can say: {why}", number + 1))?;
    }
    let packets = rehearsal.packets()?;
    let mut text = "#:schema ../schema.json\n".to_owned();
    let duration = rehearsal.now + STEP * 10;
    text += &writer::keys([
        ("about", format!("Breaks {}: no shorter path does.", broken.invariant).into()),
        ("system", "raft".into()),
        ("duration", time(duration)),
    ]);
    let _ = write!(text, "\n{}", writer::table("[raft]", &section(model)));
    let _ = write!(text, "\n# What is not said below to arrive is too late for this run.\n");
    text += &writer::table("[network]", &Table::from_iter([("latency".to_owned(), time(ELECTION_TIMEOUT))]));
    let _ = writeln!(text);
    for (number, action) in path.iter().enumerate() {
        let at = TimeSpan(STEP * (u32::try_from(number).unwrap_or(u32::MAX).saturating_add(1)));
        let _ = writeln!(text, "# {at}: {}", model.tell(action));
    }
    text += &rehearsal.steps;
    text += &packets;
    let _ = write!(text, "\n{}", writer::table("[expect]", &Table::from_iter([("leader".to_owned(), "any".into())])));
    Ok(text)
}

fn section(model: &RaftModel) -> Table {
    let mut table = Table::new();
    let mut put = |key: &str, value: Value| table.insert(key.to_owned(), value);
    put("nodes", i64::try_from(model.bounds.nodes).expect("few nodes").into());
    put("election_timeout", time(ELECTION_TIMEOUT));
    put("heartbeat", time(HEARTBEAT));
    for key in ["pre_vote", "check_quorum", "leader_stickiness", "resend"] {
        put(key, false.into());
    }
    if let Some(check) = &model.bounds.check {
        put("check", check.as_str().into());
    }
    table
}

fn time(time: Duration) -> Value {
    Value::String(TimeSpan(time).to_string())
}

/// The path, walked again with the times that its script gives it.
struct Rehearsal {
    state: State,
    flights: Vec<Flight>,
    now: Duration,
    /// The `[[step]]`s so far.
    steps: String,
}

/// A message that was sent.
struct Flight {
    envelope: Envelope,
    /// Which of its name and link it is, from 1.
    nth: u64,
    sent: Duration,
    arrivals: Vec<Duration>,
    is_gone: bool,
}

impl Rehearsal {
    fn perform(&mut self, model: &RaftModel, action: &Action) -> Result<(), &'static str> {
        self.now += STEP;
        for node in &mut self.state.nodes {
            node.clock = self.now;
        }
        match action {
            Action::Wake { cut: Some(_), .. } | Action::Deliver { cut: Some(_), .. } => {
                return Err("power is lost in the middle of it, and where that is, only its run's records tell");
            }
            Action::Wake { node, .. } => self.pin(*node)?,
            Action::Deliver { envelope, copied, .. } => {
                let now = self.now;
                let flight = self.flight(envelope);
                flight.arrivals.push(now);
                flight.is_gone = !copied;
            }
            Action::Lose { envelope } => self.flight(envelope).is_gone = true,
            Action::Crash { node } => {
                let entries = [("power".to_owned(), id_of(*node).to_string().into()), ("for".to_owned(), time(BEFORE))];
                self.step(Table::from_iter(entries));
            }
        }
        let before = self.state.flying.len()
            - usize::from(matches!(action, Action::Deliver { copied: false, .. } | Action::Lose { .. }));
        // The last step breaks what it is about, and nothing of it is needed.
        let Ok(Some(next)) = model.next(&self.state, action) else { return Ok(()) };
        self.state = next;
        for envelope in self.state.flying[before..].iter().cloned() {
            let is_like = |flight: &&Flight| {
                let Envelope { from, to, ref message } = flight.envelope;
                (from, to, message.name()) == (envelope.from, envelope.to, envelope.message.name())
            };
            let nth = self.flights.iter().filter(is_like).count() as u64 + 1;
            self.flights.push(Flight { envelope, nth, sent: self.now, arrivals: Vec::new(), is_gone: false });
        }
        Ok(())
    }

    /// Has the timer of a node run out now.
    fn pin(&mut self, node: usize) -> Result<(), &'static str> {
        let core = &mut self.state.nodes[node].core;
        let due = core.status().timer_at.ok_or("a leader wakes, and heartbeats have one interval for all")?;
        // A pinned timeout lasts until it has run out, so each that runs has the length of the settings.
        let timeout = self.now - (due - ELECTION_TIMEOUT);
        core.pin_next_timeout(timeout);
        let pin = [("pin".to_owned(), id_of(node).to_string().into()), ("timeout".to_owned(), time(timeout))];
        self.step(Table::from_iter([("raft".to_owned(), Value::Table(Table::from_iter(pin)))]));
        Ok(())
    }

    fn step(&mut self, action: Table) {
        let mut table = Table::from_iter([("at".to_owned(), time(self.now - BEFORE))]);
        table.extend(action);
        let _ = write!(self.steps, "\n{}", writer::table("[[step]]", &table));
    }

    /// The first of these messages that is still in flight.
    fn flight(&mut self, envelope: &Envelope) -> &mut Flight {
        let flying = |flight: &&mut Flight| !flight.is_gone && flight.envelope == *envelope;
        self.flights.iter_mut().find(flying).expect("what arrives was sent")
    }

    /// The `[[packet]]`s: the messages that arrive.
    fn packets(&self) -> Result<String, String> {
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
