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
#[cfg(test)]
mod tests;

use bytes::{Buf, BufMut};

use self::fields::{put_message, take_message};
use super::NodeId;
use super::message::Message;
use super::parts::{Part, PartsWanted};
use super::request::{Request, Response};

/// The version that this program speaks.
pub const VERSION: u8 = 1;

/// The fewest bytes that a cluster key may have.
pub const KEY_BYTES_MIN: usize = 16;

const MAGIC: &[u8; 4] = b"SGRF";
const SIGNED: u8 = 1;
/// The kinds that are not of members among themselves.
const REQUEST: u8 = 32;
const RESPONSE: u8 = 33;
const PART: u8 = 34;
const WANTED: u8 = 35;

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

/// A datagram's content with its ends.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Datagram {
    /// From a member to a member.
    Member(Envelope),
    /// From a client to a member.
    Request {
        /// The client.
        from: NodeId,
        /// The member that it was meant for.
        to: NodeId,
        /// What it wants.
        request: Request,
    },
    /// From a member to a client.
    Response {
        /// The member.
        from: NodeId,
        /// The client that it was meant for.
        to: NodeId,
        /// What the member says.
        response: Response,
    },
    /// A part of a longer one.
    Part {
        /// Its sender.
        from: NodeId,
        /// Its receiver.
        to: NodeId,
        /// The part.
        part: Part,
    },
    /// Asks for parts.
    Wanted {
        /// Its sender.
        from: NodeId,
        /// Its receiver.
        to: NodeId,
        /// Which parts.
        wanted: PartsWanted,
    },
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
        self.seal((envelope.from, envelope.to), |bytes| put_message(bytes, &envelope.message))
    }

    /// A client's datagram.
    pub fn encode_request(&self, from: NodeId, to: NodeId, request: &Request) -> Vec<u8> {
        self.seal((from, to), |bytes| {
            bytes.put_u8(REQUEST);
            request.put(bytes);
        })
    }

    /// A datagram to a client.
    pub fn encode_response(&self, from: NodeId, to: NodeId, response: &Response) -> Vec<u8> {
        self.seal((from, to), |bytes| {
            bytes.put_u8(RESPONSE);
            response.put(bytes);
        })
    }

    /// A part of a longer datagram.
    pub fn encode_part(&self, from: NodeId, to: NodeId, part: &Part) -> Vec<u8> {
        self.seal((from, to), |bytes| {
            bytes.put_u8(PART);
            part.put(bytes);
        })
    }

    /// A datagram that asks for parts.
    pub fn encode_wanted(&self, from: NodeId, to: NodeId, wanted: &PartsWanted) -> Vec<u8> {
        self.seal((from, to), |bytes| {
            bytes.put_u8(WANTED);
            wanted.put(bytes);
        })
    }

    fn seal(&self, (from, to): (NodeId, NodeId), put: impl FnOnce(&mut Vec<u8>)) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(HEADER_BYTES + 40 + TAG_BYTES);
        bytes.put_slice(MAGIC);
        bytes.put_u8(VERSION);
        bytes.put_u8(self.flags);
        bytes.put_u64_le(self.cluster.0);
        bytes.put_u64_le(from.0);
        bytes.put_u64_le(to.0);
        put(&mut bytes);
        let tag = blake3::keyed_hash(&self.key.0, &bytes);
        bytes.put_slice(tag.as_bytes());
        bytes
    }

    /// Whether a datagram says that it is between a client and a member; nothing of it was verified.
    #[inline]
    pub(super) fn claims_client(datagram: &[u8]) -> bool {
        datagram.get(HEADER_BYTES - 1).is_some_and(|kind| [REQUEST, RESPONSE].contains(kind))
    }

    /// Whether a datagram says that it is about parts of another; nothing of it was verified.
    #[inline]
    pub(super) fn claims_part(datagram: &[u8]) -> bool {
        datagram.get(HEADER_BYTES - 1).is_some_and(|kind| [PART, WANTED].contains(kind))
    }

    /// Whom a datagram says that it comes from; nothing of it was verified.
    pub(super) fn claimed_sender(datagram: &[u8]) -> Option<NodeId> {
        const AT: usize = MAGIC.len() + 2 + 8;
        datagram.get(AT..)?.first_chunk().map(|id| NodeId(u64::from_le_bytes(*id)))
    }

    /// The message in a datagram from a member to a member.
    pub fn decode(&self, datagram: &[u8]) -> Result<Envelope, Rejected> {
        match self.decode_any(datagram)? {
            Datagram::Member(envelope) => Ok(envelope),
            _ => Err(Rejected::Malformed("it is not what members say to each other")),
        }
    }

    /// What is in a datagram.
    pub fn decode_any(&self, datagram: &[u8]) -> Result<Datagram, Rejected> {
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
        let unclear = Rejected::Malformed("what the client or the member says cannot be understood");
        let content = match header.get_u8() {
            REQUEST => {
                let request = Request::take(&mut fields).ok_or(unclear)?;
                Datagram::Request { from, to, request }
            }
            RESPONSE => {
                let response = Response::take(&mut fields).ok_or(unclear)?;
                Datagram::Response { from, to, response }
            }
            PART => Datagram::Part { from, to, part: Part::take(&mut fields).ok_or(unclear)? },
            WANTED => Datagram::Wanted { from, to, wanted: PartsWanted::take(&mut fields).ok_or(unclear)? },
            kind => Datagram::Member(Envelope { from, to, message: take_message(kind, &mut fields)? }),
        };
        if !fields.is_empty() {
            return Err(Rejected::Malformed("it goes on after its end"));
        }
        Ok(content)
    }
}
