//! The state machine: keys and values, and the sessions by which a command takes effect once.
//!
//! It is a function of the log: what it is after an entry depends on the entries up to there and on nothing else, sessions
//! included. So all servers that have applied the same have the same [`digest`](Machine::digest).
//!
//! A **session** (dissertation §6.3) is opened by an entry, and called by that entry's index. A client numbers its commands
//! within it from 1, one after the other has been answered; a command that comes again, because its answer was lost, takes
//! no effect again and gets the answer that it got. There are at most [`SESSIONS_MAX`]: the one that was used least lately
//! is closed when another is opened, by the count of entries, which is the only time that all servers share. A command in
//! a session that is closed, or was never opened, is an error and takes no effect: it may have taken effect before.

mod encoding;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;

use bytes::{BufMut, Bytes};
use xxhash_rust::xxh3::xxh3_64;

use self::encoding::put_bytes;
pub(super) use self::encoding::{put_answer, put_operation, take_answer, take_operation};
use super::LogIndex;

/// The most sessions that are open.
pub const SESSIONS_MAX: usize = 4096;

/// The longest key, in bytes.
pub const KEY_BYTES_MAX: usize = 1024;

/// The longest value, in bytes.
pub const VALUE_BYTES_MAX: usize = 1 << 20;

/// The most that a scan answers, in pairs; it ends before they come to more than a value may have.
pub const SCAN_MAX: u32 = 1000;

/// What can be done with a store.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Operation {
    /// Reads a value.
    Get {
        /// Its key.
        key: Bytes,
    },
    /// Writes a value.
    Put {
        /// Its key.
        key: Bytes,
        /// The value.
        value: Bytes,
    },
    /// Removes a key.
    Delete {
        /// The key.
        key: Bytes,
    },
    /// Writes a value if the one that is there is what it is thought to be.
    Cas {
        /// Its key.
        key: Bytes,
        /// What is thought to be there; `None`: nothing.
        expected: Option<Bytes>,
        /// The value.
        value: Bytes,
    },
    /// Adds to the end of a value; one that is not there is empty.
    Append {
        /// Its key.
        key: Bytes,
        /// What is added.
        value: Bytes,
    },
    /// Reads the pairs whose keys begin with something, in the order of their keys.
    Scan {
        /// What they begin with.
        prefix: Bytes,
        /// The most pairs to read.
        limit: u32,
    },
}

impl Operation {
    /// Whether it changes nothing.
    pub fn is_read(&self) -> bool {
        matches!(self, Self::Get { .. } | Self::Scan { .. })
    }

    /// Its name.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Get { .. } => "get",
            Self::Put { .. } => "put",
            Self::Delete { .. } => "delete",
            Self::Cas { .. } => "cas",
            Self::Append { .. } => "append",
            Self::Scan { .. } => "scan",
        }
    }

    /// Its key, or what the keys begin with.
    pub fn key(&self) -> &Bytes {
        match self {
            Self::Get { key }
            | Self::Put { key, .. }
            | Self::Delete { key }
            | Self::Cas { key, .. }
            | Self::Append { key, .. } => key,
            Self::Scan { prefix, .. } => prefix,
        }
    }

    /// How many bytes its key and its values have, about.
    pub fn size(&self) -> u32 {
        let values = match self {
            Self::Get { .. } | Self::Delete { .. } | Self::Scan { .. } => 0,
            Self::Put { value, .. } | Self::Append { value, .. } => value.len(),
            Self::Cas { expected, value, .. } => value.len() + expected.as_ref().map_or(0, Bytes::len),
        };
        u32::try_from(self.key().len() + values).unwrap_or(u32::MAX)
    }

    /// Why no store takes it, if none does.
    pub fn fault(&self) -> Option<Failure> {
        let value = match self {
            Self::Put { value, .. } | Self::Cas { value, .. } | Self::Append { value, .. } => value.len(),
            _ => 0,
        };
        let expected = if let Self::Cas { expected: Some(expected), .. } = self { expected.len() } else { 0 };
        (self.key().len() > KEY_BYTES_MAX || value > VALUE_BYTES_MAX || expected > VALUE_BYTES_MAX)
            .then_some(Failure::TooLong)
    }
}

/// What comes of an operation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Answer {
    /// The value that is there, of a `get`.
    Value(Option<Bytes>),
    /// It is done: a `put`, a `delete` or an `append`.
    Done,
    /// Whether a `cas` wrote.
    Swapped(bool),
    /// The pairs that a `scan` found.
    Pairs(Vec<(Bytes, Bytes)>),
    /// It took no effect.
    Failed(Failure),
}

/// Why an operation took no effect.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Failure {
    /// There is no such session, or there is none any more: whether it took effect before, nobody knows.
    NoSession,
    /// A later command of its session was executed: nobody waits for this one.
    Superseded,
    /// Key or value would be too long.
    TooLong,
}

impl Failure {
    /// The reason in traces and answers.
    pub fn name(self) -> &'static str {
        match self {
            Self::NoSession => "no-session",
            Self::Superseded => "superseded",
            Self::TooLong => "too-long",
        }
    }
}

/// What an entry says to the state machine.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Command {
    /// Opens a session.
    Open {
        /// Who wants it, and by which request: whose answer it is.
        asker: Asker,
    },
    /// Does something once.
    Execute {
        /// In which session.
        session: u64,
        /// Its number in the session.
        serial: u64,
        /// What to do.
        operation: Operation,
    },
    /// Reads, in the order of the log.
    Query {
        /// Whose answer it is.
        asker: Asker,
        /// What to read.
        operation: Operation,
    },
}

/// Names a request by who sends it, and by its number.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Asker {
    /// The client.
    pub client: u64,
    /// The number that it gave the request.
    pub request: u64,
}

/// Whom an applied entry answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Answers {
    /// Who asked this.
    Asker(Asker),
    /// Whoever waits for this command.
    Serial {
        /// The session.
        session: u64,
        /// The number in it.
        serial: u64,
    },
}

/// What came of an applied command.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// The session of this name is open.
    Opened(u64),
    /// An operation was executed, now or when the command came first.
    Executed(Answer),
}

/// A session, as the state machine has it.
#[derive(Clone, Debug)]
struct Session {
    /// The last command that was executed.
    serial: u64,
    answer: Answer,
    /// The entry that it was used by last.
    used: LogIndex,
}

/// The store, after the entries that it was given.
#[derive(Clone, Debug, Default)]
pub struct Machine {
    applied: LogIndex,
    values: BTreeMap<Bytes, Bytes>,
    sessions: BTreeMap<u64, Session>,
    /// Sessions by when they were used last.
    by_use: BTreeMap<LogIndex, u64>,
    digest: u64,
    #[cfg(feature = "planted-bugs")]
    config: super::planted::Planted,
}

#[cfg(feature = "planted-bugs")]
impl Machine {
    /// Has the machine run with a bug.
    pub(super) fn plant(&mut self, bug: Option<super::planted::Bug>) {
        self.config.bug = bug;
    }

    /// Closes the session that was used least lately, whatever others do.
    pub(super) fn expire(&mut self) {
        if let Some((_, oldest)) = self.by_use.pop_first()
            && let Some(closed) = self.sessions.remove(&oldest)
        {
            self.digest ^= digest_of_session(oldest, &closed);
        }
    }
}

impl Machine {
    /// The last entry that it was given.
    pub fn applied(&self) -> LogIndex {
        self.applied
    }

    /// Two machines that hold the same have the same digest: values, sessions and the last entry.
    pub fn digest(&self) -> u64 {
        self.digest ^ xxh3_64(&self.applied.to_le_bytes())
    }

    /// How many sessions are open.
    pub fn sessions(&self) -> usize {
        self.sessions.len()
    }

    /// How many keys there are.
    pub fn keys(&self) -> usize {
        self.values.len()
    }

    /// Takes in the next entry. One that is blank, or that no program of this version has written, changes nothing.
    ///
    /// # Panics
    /// It is not the next.
    pub fn apply(&mut self, index: LogIndex, command: Option<&Bytes>) -> Option<(Answers, Outcome)> {
        assert_eq!(index, self.applied + 1, "entries are applied in order, each once");
        self.applied = index;
        match Command::parse(command?)? {
            Command::Open { asker } => {
                self.open(index);
                Some((Answers::Asker(asker), Outcome::Opened(index)))
            }
            Command::Execute { session, serial, operation } => {
                let answer = self.execute(index, session, serial, &operation);
                Some((Answers::Serial { session, serial }, Outcome::Executed(answer)))
            }
            Command::Query { asker, operation } => {
                Some((Answers::Asker(asker), Outcome::Executed(self.read(&operation))))
            }
        }
    }

    fn open(&mut self, index: LogIndex) {
        if self.sessions.len() >= SESSIONS_MAX
            && let Some((_, oldest)) = self.by_use.pop_first()
            && let Some(closed) = self.sessions.remove(&oldest)
        {
            self.digest ^= digest_of_session(oldest, &closed);
        }
        let session = Session { serial: 0, answer: Answer::Done, used: index };
        self.digest ^= digest_of_session(index, &session);
        self.by_use.insert(index, index);
        self.sessions.insert(index, session);
    }

    fn execute(&mut self, index: LogIndex, name: u64, serial: u64, operation: &Operation) -> Answer {
        let Some(session) = self.sessions.get(&name) else { return Answer::Failed(Failure::NoSession) };
        if serial < session.serial {
            return Answer::Failed(Failure::Superseded);
        }
        let before = digest_of_session(name, session);
        let answer = if serial == session.serial && !planted!(self, RetryTwice) {
            session.answer.clone()
        } else {
            self.run(operation)
        };
        let session = self.sessions.get_mut(&name).expect("it was there");
        self.by_use.remove(&session.used);
        self.by_use.insert(index, name);
        *session = Session { serial, answer: answer.clone(), used: index };
        self.digest ^= before ^ digest_of_session(name, session);
        answer
    }

    fn run(&mut self, operation: &Operation) -> Answer {
        if let Some(failure) = operation.fault() {
            return Answer::Failed(failure);
        }
        match operation {
            Operation::Get { .. } | Operation::Scan { .. } => self.read(operation),
            Operation::Put { key, value } => {
                self.set(key, Some(value.clone()));
                Answer::Done
            }
            Operation::Delete { key } => {
                self.set(key, None);
                Answer::Done
            }
            Operation::Cas { key, expected, value } => {
                let is_there = self.values.get(key) == expected.as_ref();
                if is_there {
                    self.set(key, Some(value.clone()));
                }
                Answer::Swapped(is_there)
            }
            Operation::Append { key, value } => {
                let before: &[u8] = self.values.get(key).map_or(&[], |before| before);
                if before.len() + value.len() > VALUE_BYTES_MAX {
                    return Answer::Failed(Failure::TooLong);
                }
                let whole = [before, value].concat();
                self.set(key, Some(whole.into()));
                Answer::Done
            }
        }
    }

    fn set(&mut self, key: &Bytes, value: Option<Bytes>) {
        if let Some(before) = self.values.get(key) {
            self.digest ^= digest_of_pair(key, before);
        }
        match value {
            Some(value) => {
                self.digest ^= digest_of_pair(key, &value);
                self.values.insert(key.clone(), value);
            }
            None => {
                self.values.remove(key);
            }
        }
    }

    /// Executes what only reads; what does not fails.
    pub fn read(&self, operation: &Operation) -> Answer {
        match operation {
            Operation::Get { key } => Answer::Value(self.values.get(key).cloned()),
            Operation::Scan { prefix, limit } => {
                let from = self.values.range(prefix.clone()..).take_while(|(key, _)| key.starts_with(prefix));
                let limit = usize::try_from((*limit).min(SCAN_MAX)).expect("a small number");
                let mut bytes = 0;
                let fits = |(key, value): &(&Bytes, &Bytes)| {
                    bytes += key.len() + value.len();
                    bytes <= VALUE_BYTES_MAX + KEY_BYTES_MAX
                };
                Answer::Pairs(from.take(limit).take_while(fits).map(|(k, v)| (k.clone(), v.clone())).collect())
            }
            _ => Answer::Failed(Failure::NoSession),
        }
    }
}

fn digest_of_pair(key: &[u8], value: &[u8]) -> u64 {
    let mut bytes = Vec::with_capacity(key.len() + value.len() + 8);
    put_bytes(&mut bytes, key);
    bytes.put_slice(value);
    xxh3_64(&bytes)
}

fn digest_of_session(name: u64, session: &Session) -> u64 {
    let mut bytes = Vec::new();
    [name, session.serial, session.used].into_iter().for_each(|number| bytes.put_u64_le(number));
    put_answer(&mut bytes, &session.answer);
    xxh3_64(&bytes)
}
