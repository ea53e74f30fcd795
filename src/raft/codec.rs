//! Messages as datagrams, one each: versioned, with the cluster's id, and signed where the cluster has a key.
//!
//! ```text
//!  magic "SGRF" | version 1 | flags 1 | cluster 8 | from 8 | to 8 | kind 1 | fields … | tag 32
//! ```
//!
//! Numbers have their least byte first; fields stand in the order of [`message`](super::message), and a `bool` is a byte of
//! 0 or 1. `AppendEntries` and its answer have a short form, without entries and without what only a log has use for, and
//! a long one. An entry is its term, a byte that says whether it is blank (0) or a command (1), the length of the command
//! in 4 bytes, and the command. The tag is BLAKE3 in its keyed
//! mode over everything before it. With a cluster key it is a MAC: whoever does not have the key can neither make nor
//! change a datagram. Without one the key follows from the cluster's id, and the tag notices accidents only, which UDP's
//! own checksum of 16 bits does not do well enough: one flipped bit in a term can elect a second leader.
//!
//! A datagram that is sent again later by somebody who overheard it is a duplicate, which Raft survives.

mod fields;

use bytes::{Buf, BufMut};

use self::fields::{put_message, take_message};
use super::NodeId;
use super::message::Message;

/// The version that this program speaks.
pub const VERSION: u8 = 1;

/// The fewest bytes that a cluster key may have.
pub const KEY_BYTES_MIN: usize = 16;

const MAGIC: &[u8; 4] = b"SGRF";
const SIGNED: u8 = 1;
const HEADER_BYTES: usize = 31;
const TAG_BYTES: usize = blake3::OUT_LEN;

/// Names a cluster, so that two on one network do not take each other's messages for their own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ClusterId(pub u64);

impl ClusterId {
    /// The id of the cluster with this name.
    pub fn named(name: &str) -> Self {
        Self(xxhash_rust::xxh3::xxh3_64(name.as_bytes()))
    }
}

/// The secret that a cluster's members share. It does not show itself.
#[derive(Clone, PartialEq, Eq)]
pub struct ClusterKey([u8; blake3::KEY_LEN]);

impl ClusterKey {
    /// The key that follows from a secret of [`KEY_BYTES_MIN`] bytes or more; `None`: it has fewer.
    pub fn new(secret: &[u8]) -> Option<Self> {
        (secret.len() >= KEY_BYTES_MIN).then(|| Self(blake3::derive_key("stormglass raft v1 cluster key", secret)))
    }
}

impl std::fmt::Debug for ClusterKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("ClusterKey(secret)")
    }
}

/// A message with its ends.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Envelope {
    /// The sender, which with a cluster key is a holder of it.
    pub from: NodeId,
    /// The receiver that it was meant for.
    pub to: NodeId,
    /// The message.
    pub message: Message,
}

/// Why a datagram was not taken in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, thiserror::Error)]
pub enum Rejected {
    /// It is no message, or not a whole one.
    #[error("it is malformed: {0}")]
    Malformed(&'static str),
    /// It is of a version that this program does not speak.
    #[error("it is of version {0}, and this program speaks version {VERSION}")]
    Version(u8),
    /// It is another cluster's.
    #[error("it belongs to another cluster")]
    Foreign,
    /// Its tag is not what the key makes of its bytes: it was forged, or damaged on its way.
    #[error("its tag does not match: it was made without the cluster's key, or damaged on its way")]
    Forged,
    /// It says that it comes from somebody who is no peer.
    #[error("its sender is not a peer of this node")]
    Stranger,
    /// It was meant for another node.
    #[error("it was meant for another node")]
    Misdirected,
}

impl Rejected {
    /// Every name that [`name`](Self::name) gives.
    pub const NAMES: [&str; 6] = ["malformed", "version", "foreign", "forged", "stranger", "misdirected"];

    /// The reason in traces and metrics.
    pub fn name(self) -> &'static str {
        match self {
            Self::Malformed(_) => "malformed",
            Self::Version(_) => "version",
            Self::Foreign => "foreign",
            Self::Forged => "forged",
            Self::Stranger => "stranger",
            Self::Misdirected => "misdirected",
        }
    }
}

/// Makes datagrams of messages, and messages of datagrams.
#[derive(Clone, Debug)]
pub struct Codec {
    cluster: ClusterId,
    flags: u8,
    key: ClusterKey,
}

impl Codec {
    /// For a cluster, and its key if it has one.
    pub fn new(cluster: ClusterId, key: Option<ClusterKey>) -> Self {
        let flags = if key.is_some() { SIGNED } else { 0 };
        let public = || ClusterKey(blake3::derive_key("stormglass raft v1 no cluster key", &cluster.0.to_le_bytes()));
        Self { cluster, flags, key: key.unwrap_or_else(public) }
    }

    /// The cluster.
    pub fn cluster(&self) -> ClusterId {
        self.cluster
    }

    /// A datagram.
    pub fn encode(&self, envelope: &Envelope) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(HEADER_BYTES + 40 + TAG_BYTES);
        bytes.put_slice(MAGIC);
        bytes.put_u8(VERSION);
        bytes.put_u8(self.flags);
        bytes.put_u64_le(self.cluster.0);
        bytes.put_u64_le(envelope.from.0);
        bytes.put_u64_le(envelope.to.0);
        put_message(&mut bytes, &envelope.message);
        let tag = blake3::keyed_hash(&self.key.0, &bytes);
        bytes.put_slice(tag.as_bytes());
        bytes
    }

    /// Whom a datagram says that it comes from; nothing of it was verified.
    pub(super) fn claimed_sender(datagram: &[u8]) -> Option<NodeId> {
        const AT: usize = MAGIC.len() + 2 + 8;
        datagram.get(AT..)?.first_chunk().map(|id| NodeId(u64::from_le_bytes(*id)))
    }

    /// The message in a datagram.
    pub fn decode(&self, datagram: &[u8]) -> Result<Envelope, Rejected> {
        let short = Rejected::Malformed("it is shorter than any message");
        let (signed, tag) = datagram.split_last_chunk::<TAG_BYTES>().ok_or(short)?;
        let (mut header, mut fields) = signed.split_at_checked(HEADER_BYTES).ok_or(short)?;
        if !header.starts_with(MAGIC) {
            return Err(Rejected::Malformed("it does not begin as a message does"));
        }
        header.advance(MAGIC.len());
        let (version, flags, cluster) = (header.get_u8(), header.get_u8(), ClusterId(header.get_u64_le()));
        if version != VERSION {
            return Err(Rejected::Version(version));
        }
        if cluster != self.cluster {
            return Err(Rejected::Foreign);
        }
        // The comparison takes the same time wherever the difference is.
        if flags != self.flags || blake3::keyed_hash(&self.key.0, signed) != *tag {
            return Err(Rejected::Forged);
        }
        let (from, to) = (NodeId(header.get_u64_le()), NodeId(header.get_u64_le()));
        let message = take_message(header.get_u8(), &mut fields)?;
        if !fields.is_empty() {
            return Err(Rejected::Malformed("it goes on after its end"));
        }
        Ok(Envelope { from, to, message })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::raft::TERM_MAX;
    use crate::raft::log::{Entry, Payload};
    use crate::raft::message::{
        AppendEntries, AppendEntriesResponse, Conflict, PreVote, PreVoteResponse, RequestVote, RequestVoteResponse,
        TimeoutNow,
    };

    const CLUSTER: ClusterId = ClusterId(7);

    fn plain() -> Codec {
        Codec::new(CLUSTER, None)
    }

    fn signed(secret: &[u8]) -> Codec {
        Codec::new(CLUSTER, Some(ClusterKey::new(secret).expect("it is long enough")))
    }

    fn number() -> impl Strategy<Value = u64> {
        prop_oneof![0..10_u64, Just(TERM_MAX), 0..=TERM_MAX]
    }

    fn entries() -> impl Strategy<Value = Vec<Entry>> {
        let command = prop::collection::vec(any::<u8>(), 0..20).prop_map(|command| Payload::Command(command.into()));
        let entry =
            (number(), prop_oneof![Just(Payload::Blank), command]).prop_map(|(term, payload)| Entry { term, payload });
        prop::collection::vec(entry, 0..4).prop_map(|mut entries| {
            entries.sort_by_key(|entry| entry.term);
            entries
        })
    }

    fn message() -> impl Strategy<Value = Message> {
        let conflict = (number(), number(), number());
        let conflict = conflict.prop_map(|(rejected, term, first_index)| Conflict { rejected, term, first_index });
        let fields = (number(), number(), number(), number(), any::<bool>(), entries(), prop::option::of(conflict));
        (1..=7_u8, fields).prop_map(|(kind, (term, a, b, c, yes, entries, conflict))| match kind {
            1 => Message::PreVote(PreVote { term, last_log_index: a, last_log_term: b }),
            2 => Message::PreVoteResponse(PreVoteResponse { term, request_term: a, vote_granted: yes }),
            3 => Message::RequestVote(RequestVote { term, last_log_index: a, last_log_term: b, transfer: yes }),
            4 => Message::RequestVoteResponse(RequestVoteResponse { term, vote_granted: yes }),
            5 => Message::AppendEntries(AppendEntries {
                term: entries.last().map_or(term, |last| last.term.max(term)),
                prev_log_index: a,
                prev_log_term: entries.first().map_or(b, |first| first.term.min(b)),
                entries,
                leader_commit: c,
                round: b,
            }),
            6 => Message::AppendEntriesResponse(AppendEntriesResponse {
                term,
                success: yes,
                match_index: a,
                round: b,
                conflict,
            }),
            _ => Message::TimeoutNow(TimeoutNow { term }),
        })
    }

    fn envelope() -> impl Strategy<Value = Envelope> {
        (1..9_u64, 1..9_u64, message()).prop_map(|(from, to, message)| Envelope {
            from: NodeId(from),
            to: NodeId(to),
            message,
        })
    }

    fn ask() -> Envelope {
        let message = Message::TimeoutNow(TimeoutNow { term: 3 });
        Envelope { from: NodeId(1), to: NodeId(2), message }
    }

    #[test]
    fn who_has_no_right_to_be_heard_is_told_apart() {
        let (plain, keyed) = (plain(), signed(b"correct horse battery"));
        let datagram = keyed.encode(&ask());
        assert_eq!(keyed.decode(&datagram), Ok(ask()));
        assert_eq!(plain.decode(&datagram), Err(Rejected::Forged), "a signed one needs the key");
        assert_eq!(keyed.decode(&plain.encode(&ask())), Err(Rejected::Forged), "an unsigned one proves nothing");
        assert_eq!(signed(b"another horse battery").decode(&datagram), Err(Rejected::Forged));
        let elsewhere = Codec::new(ClusterId(8), None);
        assert_eq!(plain.decode(&elsewhere.encode(&ask())), Err(Rejected::Foreign));
        let mut newer = datagram;
        newer[4] = 2;
        assert_eq!(keyed.decode(&newer), Err(Rejected::Version(2)));
        assert_eq!(plain.decode(b"hello"), Err(Rejected::Malformed("it is shorter than any message")));
        assert_eq!(plain.decode(&[b'x'; 200]), Err(Rejected::Malformed("it does not begin as a message does")));
    }

    #[test]
    fn a_datagram_that_is_well_sealed_and_wrong_inside_is_malformed() {
        let codec = plain();
        let reseal = |change: &dyn Fn(&mut Vec<u8>)| {
            let mut bytes = codec.encode(&ask());
            bytes.truncate(bytes.len() - TAG_BYTES);
            change(&mut bytes);
            let tag = blake3::keyed_hash(&codec.key.0, &bytes);
            bytes.put_slice(tag.as_bytes());
            codec.decode(&bytes).expect_err("it is wrong").to_string()
        };
        assert_eq!(reseal(&|bytes| bytes[30] = 99), "it is malformed: it is of no kind that there is");
        assert_eq!(reseal(&|bytes| bytes.truncate(34)), "it is malformed: it ends before its end");
        assert_eq!(reseal(&|bytes| bytes.push(0)), "it is malformed: it goes on after its end");
        assert!(reseal(&|bytes| bytes[38] = 0xff).contains("its term is beyond"));
        let unsure = |bytes: &mut Vec<u8>| {
            bytes[30] = 4;
            bytes.push(2);
        };
        assert_eq!(reseal(&unsure), "it is malformed: a yes or no is neither");
    }

    #[test]
    fn a_short_secret_is_no_key_and_a_key_does_not_show_itself() {
        assert_eq!(ClusterKey::new(b"fifteen bytes.."), None);
        let key = ClusterKey::new(b"sixteen bytes...").expect("it is long enough");
        assert_eq!(format!("{key:?}"), "ClusterKey(secret)");
    }

    #[test]
    fn the_layout_stays_what_it_is() {
        let datagram = plain().encode(&ask());
        let expected = b"SGRF\x01\x00\x07\0\0\0\0\0\0\0\x01\0\0\0\0\0\0\0\x02\0\0\0\0\0\0\0\x07\x03\0\0\0\0\0\0\0";
        assert_eq!(datagram[..datagram.len() - TAG_BYTES], expected[..]);
    }

    #[test]
    fn what_elections_say_is_as_short_as_it_was_before_there_was_a_log() {
        let length = |message| {
            let envelope = Envelope { message, ..ask() };
            plain().encode(&envelope).len() - HEADER_BYTES - TAG_BYTES
        };
        let mut append = AppendEntries {
            term: 3,
            prev_log_index: 7,
            prev_log_term: 2,
            entries: Vec::new(),
            leader_commit: 0,
            round: 0,
        };
        assert_eq!(length(Message::AppendEntries(append.clone())), 36);
        append.entries.push(Entry { term: 3, payload: Payload::Command(vec![0; 10].into()) });
        assert_eq!(length(Message::AppendEntries(append)), 44 + Entry::FRAME_BYTES + 10);
        let answer = AppendEntriesResponse { term: 3, success: true, match_index: 7, round: 0, conflict: None };
        assert_eq!(length(Message::AppendEntriesResponse(answer.clone())), 17);
        assert_eq!(length(Message::AppendEntriesResponse(AppendEntriesResponse { round: 9, ..answer })), 26);
    }

    #[test]
    fn entries_out_of_the_order_of_their_terms_are_malformed() {
        for (prev_log_term, terms) in [(2, vec![1]), (1, vec![2, 1]), (1, vec![4])] {
            let entries = terms.into_iter().map(|term| Entry { term, payload: Payload::Blank }).collect();
            let append =
                AppendEntries { term: 3, prev_log_index: 7, prev_log_term, entries, leader_commit: 0, round: 1 };
            let datagram = plain().encode(&Envelope { message: Message::AppendEntries(append), ..ask() });
            let why = plain().decode(&datagram).expect_err("no log is so").to_string();
            assert_eq!(why, "it is malformed: its entries are not in the order of their terms");
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

        #[test]
        fn what_was_encoded_is_decoded(envelope in envelope()) {
            for codec in [plain(), signed(b"correct horse battery")] {
                prop_assert_eq!(codec.decode(&codec.encode(&envelope)), Ok(envelope.clone()));
            }
        }

        #[test]
        fn a_damaged_datagram_is_never_taken_in(
            envelope in envelope(),
            at in any::<prop::sample::Index>(),
            flip in 1..=255_u8,
        ) {
            let datagram = plain().encode(&envelope);
            prop_assert!(plain().decode(&datagram[..at.index(datagram.len())]).is_err());
            let mut damaged = datagram.clone();
            damaged[at.index(datagram.len())] ^= flip;
            prop_assert!(plain().decode(&damaged).is_err());
        }

        #[test]
        fn no_bytes_make_it_panic(kind in 0..13_u8, bytes in prop::collection::vec(any::<u8>(), 0..80)) {
            let _ = plain().decode(&bytes);
            let _ = take_message(kind, &mut bytes.as_slice());
        }
    }
}
