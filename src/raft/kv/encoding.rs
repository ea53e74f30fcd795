//! Commands, operations and answers as bytes: numbers have their least byte first, and what has a length has it before it,
//! in 4 bytes.

use bytes::{Buf, BufMut, Bytes};

use super::{Answer, Asker, Command, Failure, Operation};

impl Command {
    /// The command as it is in an entry.
    pub fn bytes(&self) -> Bytes {
        let mut bytes = Vec::new();
        match self {
            Self::Open { asker } => put_numbers(&mut bytes, 1, &[asker.client, asker.request]),
            Self::Execute { session, serial, operation } => {
                put_numbers(&mut bytes, 2, &[*session, *serial]);
                put_operation(&mut bytes, operation);
            }
            Self::Query { asker, operation } => {
                put_numbers(&mut bytes, 3, &[asker.client, asker.request]);
                put_operation(&mut bytes, operation);
            }
        }
        bytes.into()
    }

    /// The command in an entry; `None`: it is none that this program knows.
    pub fn parse(bytes: &[u8]) -> Option<Self> {
        let mut rest = bytes;
        let kind = rest.try_get_u8().ok()?;
        let (first, second) = (rest.try_get_u64_le().ok()?, rest.try_get_u64_le().ok()?);
        let asker = Asker { client: first, request: second };
        let command = match kind {
            1 => Self::Open { asker },
            2 => Self::Execute { session: first, serial: second, operation: take_operation(&mut rest)? },
            3 => Self::Query { asker, operation: take_operation(&mut rest)? },
            _ => return None,
        };
        rest.is_empty().then_some(command)
    }
}

impl Operation {
    /// The operation as it is in entries and requests.
    pub fn bytes(&self) -> Vec<u8> {
        let mut bytes = Vec::new();
        put_operation(&mut bytes, self);
        bytes
    }

    /// What [`bytes`](Self::bytes) made; `None`: it is no operation.
    pub fn parse(mut bytes: &[u8]) -> Option<Self> {
        take_operation(&mut bytes).filter(|_| bytes.is_empty())
    }
}

impl Answer {
    /// The answer as it is in responses.
    pub fn bytes(&self) -> Vec<u8> {
        let mut bytes = Vec::new();
        put_answer(&mut bytes, self);
        bytes
    }

    /// What [`bytes`](Self::bytes) made; `None`: it is no answer.
    pub fn parse(mut bytes: &[u8]) -> Option<Self> {
        take_answer(&mut bytes).filter(|_| bytes.is_empty())
    }
}

fn put_numbers(bytes: &mut Vec<u8>, kind: u8, numbers: &[u64]) {
    bytes.put_u8(kind);
    numbers.iter().for_each(|number| bytes.put_u64_le(*number));
}

pub(super) fn put_bytes(bytes: &mut Vec<u8>, content: &[u8]) {
    bytes.put_u32_le(u32::try_from(content.len()).expect("keys and values are bounded"));
    bytes.put_slice(content);
}

fn take_bytes(bytes: &mut &[u8]) -> Option<Bytes> {
    let length = usize::try_from(bytes.try_get_u32_le().ok()?).ok()?;
    let (content, rest) = bytes.split_at_checked(length)?;
    *bytes = rest;
    Some(Bytes::copy_from_slice(content))
}

fn put_maybe(bytes: &mut Vec<u8>, content: Option<&Bytes>) {
    bytes.put_u8(content.is_some().into());
    if let Some(content) = content {
        put_bytes(bytes, content);
    }
}

#[allow(clippy::option_option, reason = "whether something is known, and whether there is something: two questions")]
fn take_maybe(bytes: &mut &[u8]) -> Option<Option<Bytes>> {
    match bytes.try_get_u8().ok()? {
        0 => Some(None),
        1 => take_bytes(bytes).map(Some),
        _ => None,
    }
}

/// An operation as it is in entries and requests.
pub(in crate::raft) fn put_operation(bytes: &mut Vec<u8>, operation: &Operation) {
    let kind = match operation {
        Operation::Get { .. } => 1,
        Operation::Put { .. } => 2,
        Operation::Delete { .. } => 3,
        Operation::Cas { .. } => 4,
        Operation::Append { .. } => 5,
        Operation::Scan { .. } => 6,
    };
    bytes.put_u8(kind);
    put_bytes(bytes, operation.key());
    match operation {
        Operation::Get { .. } | Operation::Delete { .. } => {}
        Operation::Put { value, .. } | Operation::Append { value, .. } => put_bytes(bytes, value),
        Operation::Cas { expected, value, .. } => {
            put_maybe(bytes, expected.as_ref());
            put_bytes(bytes, value);
        }
        Operation::Scan { limit, .. } => bytes.put_u32_le(*limit),
    }
}

/// What [`put_operation`] made.
pub(in crate::raft) fn take_operation(bytes: &mut &[u8]) -> Option<Operation> {
    let kind = bytes.try_get_u8().ok()?;
    let key = take_bytes(bytes)?;
    Some(match kind {
        1 => Operation::Get { key },
        2 => Operation::Put { key, value: take_bytes(bytes)? },
        3 => Operation::Delete { key },
        4 => Operation::Cas { key, expected: take_maybe(bytes)?, value: take_bytes(bytes)? },
        5 => Operation::Append { key, value: take_bytes(bytes)? },
        6 => Operation::Scan { prefix: key, limit: bytes.try_get_u32_le().ok()? },
        _ => return None,
    })
}

/// An answer as it is in responses.
pub(in crate::raft) fn put_answer(bytes: &mut Vec<u8>, answer: &Answer) {
    match answer {
        Answer::Value(value) => {
            bytes.put_u8(1);
            put_maybe(bytes, value.as_ref());
        }
        Answer::Done => bytes.put_u8(2),
        Answer::Swapped(swapped) => bytes.put_slice(&[3, (*swapped).into()]),
        Answer::Pairs(pairs) => {
            bytes.put_u8(4);
            bytes.put_u32_le(u32::try_from(pairs.len()).expect("scans are bounded"));
            for (key, value) in pairs {
                put_bytes(bytes, key);
                put_bytes(bytes, value);
            }
        }
        Answer::Failed(failure) => {
            let why = match failure {
                Failure::NoSession => 1,
                Failure::Superseded => 2,
                Failure::TooLong => 3,
            };
            bytes.put_slice(&[5, why]);
        }
    }
}

/// What [`put_answer`] made.
pub(in crate::raft) fn take_answer(bytes: &mut &[u8]) -> Option<Answer> {
    Some(match bytes.try_get_u8().ok()? {
        1 => Answer::Value(take_maybe(bytes)?),
        2 => Answer::Done,
        3 => match bytes.try_get_u8().ok()? {
            swapped @ 0..=1 => Answer::Swapped(swapped == 1),
            _ => return None,
        },
        4 => {
            let count = bytes.try_get_u32_le().ok()?;
            let pairs = (0..count).map(|_| Some((take_bytes(bytes)?, take_bytes(bytes)?)));
            Answer::Pairs(pairs.collect::<Option<_>>()?)
        }
        5 => Answer::Failed(match bytes.try_get_u8().ok()? {
            1 => Failure::NoSession,
            2 => Failure::Superseded,
            3 => Failure::TooLong,
            _ => return None,
        }),
        _ => return None,
    })
}
