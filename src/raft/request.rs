//! What clients say to a node, and what it says to them.
//!
//! A client is no member: it has an id that no member has, and sends its requests from wherever it is. They are datagrams
//! like those of the members, in the same envelope. A request may be lost and doubled, and so may its response; what a
//! client does about that is [`Client`](super::client::Client)'s.

use bytes::{Buf, BufMut};

use super::kv::{Answer, Operation, put_answer, put_operation, take_answer, take_operation};
use super::{LogIndex, NodeId};

/// What a client wants.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Request {
    /// The client's own number for it: the response has the same.
    pub number: u64,
    /// What it wants.
    pub ask: Ask,
}

/// What can be asked of a node.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Ask {
    /// A session.
    Open,
    /// To do something once.
    Execute {
        /// In which session.
        session: u64,
        /// Its number in the session.
        serial: u64,
        /// What to do.
        operation: Operation,
    },
    /// To read.
    Read {
        /// How fresh it has to be.
        consistency: Consistency,
        /// What to read.
        operation: Operation,
    },
}

/// How it is made sure that a read sees what was written before it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Consistency {
    /// It goes through the log.
    Log,
    /// The leader makes sure that it leads, by a round of heartbeats.
    Index,
    /// The leader goes by its lease, where it has one.
    Lease,
    /// It is not: any node answers with what it has.
    Stale,
}

impl Consistency {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Log, Self::Index, Self::Lease, Self::Stale];

    /// Its name.
    pub fn name(self) -> &'static str {
        match self {
            Self::Log => "log",
            Self::Index => "index",
            Self::Lease => "lease",
            Self::Stale => "stale",
        }
    }
}

/// What a node says to a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Response {
    /// The request's number.
    pub number: u64,
    /// What came of it.
    pub reply: Reply,
}

/// What comes of a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reply {
    /// The session is open.
    Opened {
        /// Its name.
        session: u64,
    },
    /// The operation was executed.
    Answered {
        /// What came of it.
        answer: Answer,
        /// The entry at or after which that was.
        index: LogIndex,
    },
    /// The node does not lead. Whether something that it was asked before will take effect, it does not know.
    NotLeader {
        /// Who does, where it is known.
        leader: Option<NodeId>,
    },
    /// The node does nothing about it just now.
    Busy,
}

impl Request {
    /// Its name in traces.
    pub fn name(&self) -> &'static str {
        "Request"
    }

    /// What it wants, in a few words.
    pub fn detail(&self) -> String {
        match &self.ask {
            Ask::Open => "open a session".to_owned(),
            Ask::Execute { session, serial, operation } => {
                format!("{} {}, session {session} #{serial}", operation.name(), shown(operation.key()))
            }
            Ask::Read { consistency, operation } => {
                format!("{} {}, {}", operation.name(), shown(operation.key()), consistency.name())
            }
        }
    }

    pub(super) fn put(&self, bytes: &mut Vec<u8>) {
        bytes.put_u64_le(self.number);
        match &self.ask {
            Ask::Open => bytes.put_u8(1),
            Ask::Execute { session, serial, operation } => {
                bytes.put_u8(2);
                bytes.put_u64_le(*session);
                bytes.put_u64_le(*serial);
                put_operation(bytes, operation);
            }
            Ask::Read { consistency, operation } => {
                bytes.put_u8(3);
                bytes.put_u8(*consistency as u8);
                put_operation(bytes, operation);
            }
        }
    }

    pub(super) fn take(bytes: &mut &[u8]) -> Option<Self> {
        let number = bytes.try_get_u64_le().ok()?;
        let ask = match bytes.try_get_u8().ok()? {
            1 => Ask::Open,
            2 => {
                let (session, serial) = (bytes.try_get_u64_le().ok()?, bytes.try_get_u64_le().ok()?);
                Ask::Execute { session, serial, operation: take_operation(bytes)? }
            }
            3 => {
                let consistency = *Consistency::ALL.get(usize::from(bytes.try_get_u8().ok()?))?;
                Ask::Read { consistency, operation: take_operation(bytes)? }
            }
            _ => return None,
        };
        Some(Self { number, ask })
    }
}

impl Response {
    /// Its name in traces.
    pub fn name(&self) -> &'static str {
        "Response"
    }

    /// What it says, in a few words.
    pub fn detail(&self) -> String {
        match &self.reply {
            Reply::Opened { session } => format!("session {session}"),
            Reply::Answered { answer, index } => format!("{} at {index}", summary(answer)),
            Reply::NotLeader { leader: Some(leader) } => format!("not the leader: {leader} is"),
            Reply::NotLeader { leader: None } => "not the leader".to_owned(),
            Reply::Busy => "busy".to_owned(),
        }
    }

    pub(super) fn put(&self, bytes: &mut Vec<u8>) {
        bytes.put_u64_le(self.number);
        match &self.reply {
            Reply::Opened { session } => {
                bytes.put_u8(1);
                bytes.put_u64_le(*session);
            }
            Reply::Answered { answer, index } => {
                bytes.put_u8(2);
                bytes.put_u64_le(*index);
                put_answer(bytes, answer);
            }
            Reply::NotLeader { leader } => {
                bytes.put_u8(3);
                bytes.put_u64_le(leader.map_or(0, |leader| leader.0));
            }
            Reply::Busy => bytes.put_u8(4),
        }
    }

    pub(super) fn take(bytes: &mut &[u8]) -> Option<Self> {
        let number = bytes.try_get_u64_le().ok()?;
        let reply = match bytes.try_get_u8().ok()? {
            1 => Reply::Opened { session: bytes.try_get_u64_le().ok()? },
            2 => {
                let index = bytes.try_get_u64_le().ok()?;
                Reply::Answered { answer: take_answer(bytes)?, index }
            }
            3 => {
                let leader = bytes.try_get_u64_le().ok()?;
                Reply::NotLeader { leader: (leader != 0).then_some(NodeId(leader)) }
            }
            4 => Reply::Busy,
            _ => return None,
        };
        Some(Self { number, reply })
    }
}

fn summary(answer: &Answer) -> String {
    match answer {
        Answer::Value(None) => "nothing".to_owned(),
        Answer::Value(Some(value)) => shown(value),
        Answer::Done => "done".to_owned(),
        Answer::Swapped(true) => "swapped".to_owned(),
        Answer::Swapped(false) => "not swapped".to_owned(),
        Answer::Pairs(pairs) => format!("{} pairs", pairs.len()),
        Answer::Failed(failure) => format!("failed: {}", failure.name()),
    }
}

/// A key or a value, as far as it can be read at a glance.
fn shown(bytes: &[u8]) -> String {
    const SHOWN_MAX: usize = 24;
    let start = &bytes[..bytes.len().min(SHOWN_MAX)];
    let more = if start.len() < bytes.len() { format!("… ({} bytes)", bytes.len()) } else { String::new() };
    format!("{}{more}", start.escape_ascii())
}
