//! The header of a segment, and the records in it.
//!
//! ```text
//!  header   magic "SGLG" | version 1 | cluster 8 | node 8 | first index 8 | term before it 8 | checksum 8
//!  record   length 4 | checksum 8 | index 8 | term 8 | kind 1 | command …
//! ```
//!
//! Numbers have their least byte first. A record's length counts what follows its checksum, and its checksum is the XXH3
//! of the length and of all that.

use bytes::{Buf, BufMut, Bytes};
use xxhash_rust::xxh3::{Xxh3, xxh3_64};

use crate::raft::config::COMMAND_BYTES_MAX;
use crate::raft::log::{Entry, Payload};
use crate::raft::{ClusterId, LogIndex, LogPosition, NodeId};

/// What a header takes.
pub const HEADER_BYTES: usize = 45;

const MAGIC: &[u8; 4] = b"SGLG";
const VERSION: u8 = 1;
const FRAME_BYTES: usize = 12;
const FIXED_BYTES: usize = 17;

/// Whose a segment is, and where it begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Header {
    pub(super) cluster: ClusterId,
    pub(super) id: NodeId,
    /// The last entry before it.
    pub(super) base: LogPosition,
}

impl Header {
    pub(super) fn bytes(&self) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(HEADER_BYTES);
        bytes.put_slice(MAGIC);
        bytes.put_u8(VERSION);
        for number in [self.cluster.0, self.id.0, self.base.last_index + 1, self.base.last_term] {
            bytes.put_u64_le(number);
        }
        bytes.put_u64_le(xxh3_64(&bytes));
        bytes
    }

    pub(super) fn parse(bytes: &[u8]) -> Result<Self, String> {
        let Some((mut header, checksum)) = bytes.get(..HEADER_BYTES).and_then(|all| all.split_last_chunk::<8>()) else {
            return Err(format!("it has {} bytes, fewer than the {HEADER_BYTES} of its header", bytes.len()));
        };
        if !header.starts_with(MAGIC) {
            return Err("it does not begin as a log does".to_owned());
        }
        if xxh3_64(header) != u64::from_le_bytes(*checksum) {
            return Err("the checksum of its header does not match".to_owned());
        }
        header.advance(MAGIC.len());
        let version = header.get_u8();
        if version != VERSION {
            return Err(format!("it has version {version}, and this program reads version {VERSION}"));
        }
        let (cluster, id) = (ClusterId(header.get_u64_le()), NodeId(header.get_u64_le()));
        let (first, last_term) = (header.get_u64_le(), header.get_u64_le());
        let last_index = first.checked_sub(1).ok_or("its first index is 0, and indexes count from 1")?;
        Ok(Self { cluster, id, base: LogPosition { last_index, last_term } })
    }
}

/// Adds a record.
pub(super) fn put(bytes: &mut Vec<u8>, index: LogIndex, entry: &Entry) {
    let (kind, command): (u8, &[u8]) = match &entry.payload {
        Payload::Blank => (0, &[]),
        Payload::Command(command) => (1, command),
    };
    let length = u32::try_from(FIXED_BYTES + command.len()).expect("commands are bounded");
    let start = bytes.len();
    bytes.put_u32_le(length);
    bytes.put_u64_le(0);
    bytes.put_u64_le(index);
    bytes.put_u64_le(entry.term);
    bytes.put_u8(kind);
    bytes.put_slice(command);
    let checksum = checksum(length, &bytes[start + FRAME_BYTES..]);
    bytes[start + 4..start + FRAME_BYTES].copy_from_slice(&checksum.to_le_bytes());
}

fn checksum(length: u32, payload: &[u8]) -> u64 {
    let mut hasher = Xxh3::new();
    hasher.update(&length.to_le_bytes());
    hasher.update(payload);
    hasher.digest()
}

/// The record that `bytes` begin with, and how long it is; `None`: there is none that is whole and undamaged.
pub(super) fn take(bytes: &[u8]) -> Option<(LogIndex, Entry, usize)> {
    let (mut frame, rest) = bytes.split_at_checked(FRAME_BYTES)?;
    let (length, expected) = (frame.get_u32_le(), frame.get_u64_le());
    let size =
        usize::try_from(length).ok().filter(|size| (FIXED_BYTES..=FIXED_BYTES + COMMAND_BYTES_MAX).contains(size))?;
    let mut payload = rest.get(..size)?;
    if checksum(length, payload) != expected {
        return None;
    }
    let (index, term, kind) = (payload.get_u64_le(), payload.get_u64_le(), payload.get_u8());
    let payload = match (kind, payload) {
        (0, []) => Payload::Blank,
        (1, command) => Payload::Command(Bytes::copy_from_slice(command)),
        _ => return None,
    };
    Some((index, Entry { term, payload }, FRAME_BYTES + size))
}

/// Where the first whole record is at or after an offset.
pub(super) fn find(bytes: &[u8], from: usize) -> Option<usize> {
    (from..bytes.len()).find(|at| take(&bytes[*at..]).is_some())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn entry() -> impl Strategy<Value = Entry> {
        let command = prop::collection::vec(any::<u8>(), 0..40).prop_map(|command| Payload::Command(command.into()));
        (0..9_u64, prop_oneof![Just(Payload::Blank), command]).prop_map(|(term, payload)| Entry { term, payload })
    }

    #[test]
    fn the_layout_stays_what_it_is() {
        let base = LogPosition { last_index: 6, last_term: 2 };
        let header = Header { cluster: ClusterId(9), id: NodeId(3), base };
        let bytes = header.bytes();
        let numbers = b"\x09\0\0\0\0\0\0\0\x03\0\0\0\0\0\0\0\x07\0\0\0\0\0\0\0\x02\0\0\0\0\0\0\0";
        assert_eq!(bytes[..37], [b"SGLG\x01".as_slice(), numbers].concat());
        assert_eq!((bytes.len(), Header::parse(&bytes)), (HEADER_BYTES, Ok(header)));
        let mut record = Vec::new();
        put(&mut record, 7, &Entry { term: 2, payload: Payload::Command(Bytes::from_static(b"x")) });
        assert_eq!(record[..4], *b"\x12\0\0\0");
        assert_eq!(record[12..], *b"\x07\0\0\0\0\0\0\0\x02\0\0\0\0\0\0\0\x01x");
    }

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

        #[test]
        fn a_record_is_read_back_and_none_that_is_damaged(
            index in 1..9_u64,
            entry in entry(),
            after in prop::collection::vec(any::<u8>(), 0..20),
            at in any::<prop::sample::Index>(),
            flip in 1..=255_u8,
        ) {
            let mut bytes = Vec::new();
            put(&mut bytes, index, &entry);
            let size = bytes.len();
            bytes.extend(after);
            prop_assert_eq!(take(&bytes), Some((index, entry, size)));
            bytes[at.index(size)] ^= flip;
            prop_assert_eq!(take(&bytes), None);
        }

        #[test]
        fn no_bytes_make_it_panic(bytes in prop::collection::vec(any::<u8>(), 0..80)) {
            let _ = take(&bytes);
            let _ = Header::parse(&bytes);
        }
    }
}
