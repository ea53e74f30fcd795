//! C2: what the log comes to, each command of it taken once, and whether that is what clients are told.
//!
//! Written anew, and not asked of the state machine: what is checked must not do the checking.

use std::collections::BTreeMap;

use bytes::Bytes;

use super::{C2, broken};
use crate::check::consensus::{Checked, Seen};
use crate::raft::kv::{Answer, Command, Failure, KEY_BYTES_MAX, Operation, SCAN_MAX, SESSIONS_MAX, VALUE_BYTES_MAX};
use crate::raft::request::{Ask, Reply};
use crate::raft::{LogIndex, NodeId};

/// What the log comes to, at each of its entries.
#[derive(Clone, Debug, Default)]
pub(super) struct Effects {
    applied: LogIndex,
    /// What each key held, from which entry on.
    values: BTreeMap<Bytes, Vec<(LogIndex, Option<Bytes>)>>,
    /// By session, what was executed in it: at which entry, and what came of it.
    sessions: BTreeMap<u64, BTreeMap<u64, (LogIndex, Answer)>>,
}

impl Effects {
    /// An entry was applied, by somebody; `command` is what it has.
    pub(super) fn applied<'a>(&mut self, index: LogIndex, command: impl FnOnce() -> Option<&'a Bytes>) {
        if index != self.applied + 1 {
            return;
        }
        self.applied = index;
        match command().and_then(|bytes| Command::parse(bytes)) {
            Some(Command::Open { .. }) => _ = self.sessions.insert(index, BTreeMap::new()),
            Some(Command::Execute { session, serial, operation }) => self.execute(index, session, serial, &operation),
            Some(Command::Query { .. }) | None => {}
        }
    }

    fn execute(&mut self, index: LogIndex, session: u64, serial: u64, operation: &Operation) {
        let Some(done) = self.sessions.get(&session) else { return };
        if done.last_key_value().is_some_and(|(last, _)| *last >= serial) {
            return;
        }
        let answer = self.run(index, operation);
        self.sessions.entry(session).or_default().insert(serial, (index, answer));
    }

    fn run(&mut self, index: LogIndex, operation: &Operation) -> Answer {
        if let Some(failure) = operation.fault() {
            return Answer::Failed(failure);
        }
        let before = self.at(operation.key(), index).cloned();
        let (after, answer) = match operation {
            Operation::Get { .. } | Operation::Scan { .. } => return self.read(operation, index),
            Operation::Put { value, .. } => (Some(value.clone()), Answer::Done),
            Operation::Delete { .. } => (None, Answer::Done),
            Operation::Cas { expected, .. } if *expected != before => return Answer::Swapped(false),
            Operation::Cas { value, .. } => (Some(value.clone()), Answer::Swapped(true)),
            Operation::Append { value, .. } => {
                let mut whole = before.map_or_else(Vec::new, |before| before.to_vec());
                whole.extend_from_slice(value);
                if whole.len() > VALUE_BYTES_MAX {
                    return Answer::Failed(Failure::TooLong);
                }
                (Some(whole.into()), Answer::Done)
            }
        };
        self.values.entry(operation.key().clone()).or_default().push((index, after));
        answer
    }

    /// What a key holds after an entry.
    fn at(&self, key: &Bytes, index: LogIndex) -> Option<&Bytes> {
        let versions = self.values.get(key)?;
        // Mostly it is asked for what was written last.
        if let Some((_, value)) = versions.last().filter(|(from, _)| *from <= index) {
            return value.as_ref();
        }
        let place = versions.partition_point(|(from, _)| *from <= index);
        versions.get(place.checked_sub(1)?)?.1.as_ref()
    }

    fn read(&self, operation: &Operation, index: LogIndex) -> Answer {
        match operation {
            Operation::Get { key } => Answer::Value(self.at(key, index).cloned()),
            Operation::Scan { prefix, limit } => {
                let keys = self.values.range(prefix.clone()..).take_while(|(key, _)| key.starts_with(prefix));
                let held = keys.filter_map(|(key, _)| Some((key.clone(), self.at(key, index)?.clone())));
                let mut room = VALUE_BYTES_MAX + KEY_BYTES_MAX;
                let fits = |(key, value): &(Bytes, Bytes)| {
                    let rest = room.checked_sub(key.len() + value.len());
                    room = rest.unwrap_or(0);
                    rest.is_some()
                };
                Answer::Pairs(held.take((*limit).min(SCAN_MAX) as usize).take_while(fits).collect())
            }
            _ => Answer::Failed(Failure::NoSession),
        }
    }

    /// Whether a node may tell a client this.
    pub(super) fn is_right(&self, (id, seen): (NodeId, Seen), ask: &Ask, reply: &Reply) -> Checked {
        if self.sessions.len() >= SESSIONS_MAX {
            // Some are closed for others by now.
            return Ok(());
        }
        match (ask, reply) {
            (Ask::Open, Reply::Opened { session }) if !self.sessions.contains_key(session) => broken(
                C2,
                seen,
                format!("{id} tells a client of a session {session}, which no entry of the log has opened"),
            ),
            (Ask::Read { operation, .. }, Reply::Answered { answer, index }) => {
                let due = self.read(operation, *index);
                if due == *answer {
                    return Ok(());
                }
                let what = format!("{} at {} after entry {index}", operation.name(), shown(operation.key()));
                let text = format!(
                    "{id} answers a client, for a {what}, {}, and the log, each command of it taken once, comes to {}",
                    told(answer),
                    told(&due)
                );
                broken(C2, seen, text)
            }
            (Ask::Execute { session, serial, operation }, Reply::Answered { answer, index }) => {
                let due = self.executed(*session, *serial, *index);
                if due.as_ref() == Some(answer) {
                    return Ok(());
                }
                let due = due.as_ref().map_or("never executed there".to_owned(), told);
                let what = format!("command {serial} of session {session}, a {}", operation.name());
                broken(
                    C2,
                    seen,
                    format!("{id} answers a client, for {what}, {}, and by the log it is {due}", told(answer)),
                )
            }
            _ => Ok(()),
        }
    }

    /// What came of a command, as it is known after an entry.
    fn executed(&self, session: u64, serial: u64, index: LogIndex) -> Option<Answer> {
        let Some(done) = self.sessions.get(&session).filter(|_| session <= index) else {
            return Some(Answer::Failed(Failure::NoSession));
        };
        let last = done.iter().rev().find(|(_, (at, _))| *at <= index);
        match (done.get(&serial).filter(|(at, _)| *at <= index), last) {
            (_, Some((last, _))) if *last > serial => Some(Answer::Failed(Failure::Superseded)),
            (Some((_, answer)), _) => Some(answer.clone()),
            (None, _) => None,
        }
    }
}

fn shown(bytes: &Bytes) -> String {
    const LONGEST: usize = 64;
    let text = bytes.slice(..bytes.len().min(LONGEST)).escape_ascii().to_string();
    if bytes.len() > LONGEST { format!("`{text}…`") } else { format!("`{text}`") }
}

fn told(answer: &Answer) -> String {
    match answer {
        Answer::Value(None) => "nothing".to_owned(),
        Answer::Value(Some(value)) => shown(value),
        Answer::Done => "done".to_owned(),
        Answer::Swapped(true) => "swapped".to_owned(),
        Answer::Swapped(false) => "not swapped".to_owned(),
        Answer::Pairs(pairs) => {
            let pairs: Vec<String> = pairs.iter().map(|(k, v)| format!("{}: {}", shown(k), shown(v))).collect();
            format!("{{ {} }}", pairs.join(", "))
        }
        Answer::Failed(failure) => failure.name().to_owned(),
    }
}
