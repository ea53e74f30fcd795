//! What the echo services tell of themselves.

use std::fmt;
use std::io::ErrorKind;
use std::net::SocketAddr;
use std::time::Duration;

use bytes::Bytes;
use serde::{Deserialize, Serialize};
use xxhash_rust::xxh3::xxh3_64;

use super::serial::{kind, payload};
use crate::events::Value;

/// Something that a server or a client did or met. Payloads of TCP are without the newline that ends their line.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Event {
    /// A server is ready at its address.
    Listening {
        /// The address, with the port that was chosen.
        addr: SocketAddr,
    },
    /// A TCP server took a connection.
    Accepted {
        /// The client.
        peer: SocketAddr,
    },
    /// A TCP server has all the connections it may have: the client got an error line instead.
    Refused {
        /// The client.
        peer: SocketAddr,
    },
    /// A server is about to write this answer.
    Echoed {
        /// The client.
        peer: SocketAddr,
        /// The answer, prefix included.
        #[serde(with = "payload")]
        payload: Bytes,
    },
    /// A TCP client sent a line above the limit: it gets an error line and the connection ends.
    LineTooLong {
        /// The client.
        peer: SocketAddr,
    },
    /// A TCP server ended a connection.
    Closed {
        /// The client.
        peer: SocketAddr,
        /// The reason.
        why: Closed,
    },
    /// What a UDP server or client would have to send is more than a datagram carries: it is not sent.
    Oversize {
        /// Whom it was for.
        peer: SocketAddr,
        /// Its length.
        bytes: usize,
    },
    /// A call on a socket failed, and whoever made it went on.
    SocketError {
        /// The kind of the error.
        #[serde(with = "kind")]
        why: ErrorKind,
    },
    /// A TCP client has a connection.
    Connected,
    /// A TCP client got no connection; [`ErrorKind::TimedOut`] when it took too long.
    ConnectFailed {
        /// The kind of the error.
        #[serde(with = "kind")]
        why: ErrorKind,
    },
    /// A TCP client's connection is over.
    Disconnected {
        /// The reason.
        why: Disconnected,
    },
    /// A client sent a request, for the first time or again.
    Sent {
        /// The request, counted from 0.
        id: u64,
        /// Which time it is, counted from 1.
        attempt: u32,
        /// The request.
        #[serde(with = "payload")]
        payload: Bytes,
    },
    /// A client got the answer to a request.
    Answered {
        /// The request.
        id: u64,
        /// The time since the request was sent first.
        rtt: Duration,
        /// The answer.
        #[serde(with = "payload")]
        payload: Bytes,
    },
    /// A UDP client got one more answer to a request that had its answer.
    Duplicate {
        /// The request.
        id: u64,
        /// The answer.
        #[serde(with = "payload")]
        payload: Bytes,
    },
    /// A UDP client got the answer to a request that it had given up.
    Late {
        /// The request.
        id: u64,
        /// The answer.
        #[serde(with = "payload")]
        payload: Bytes,
    },
    /// A client got something that is not the echo of what it sent.
    Mismatch {
        /// Over TCP the oldest outstanding request, if there is one; over UDP none.
        id: Option<u64>,
        /// What it got.
        #[serde(with = "payload")]
        payload: Bytes,
    },
    /// A UDP client got a datagram from somebody who is not the server.
    Foreign {
        /// The sender.
        from: SocketAddr,
        /// The datagram's length.
        bytes: usize,
    },
    /// A client lost a try of a request and has another.
    Retry {
        /// The request.
        id: u64,
        /// Which time it is sent next, counted from 1.
        attempt: u32,
    },
    /// A client has no more tries for a request.
    GaveUp {
        /// The request.
        id: u64,
    },
}

/// Why a server ended a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Closed {
    /// The client was done, and all its lines are answered.
    Eof,
    /// Nothing moved for the idle timeout.
    Idle,
    /// A line was longer than the limit.
    LineTooLong,
    /// The server was told to stop.
    Shutdown,
    /// The server was told to stop, and this connection was not done at the drain deadline.
    Forced,
    /// The connection failed.
    Error(#[serde(with = "kind")] ErrorKind),
}

/// Why a client's connection is over.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Disconnected {
    /// The client has all its answers.
    Done,
    /// The server closed the connection.
    Eof,
    /// The oldest request had no answer in its time.
    Timeout,
    /// What came is not the echo of what was sent.
    Mismatch,
    /// The connection failed.
    Error(#[serde(with = "kind")] ErrorKind),
}

/// An event's fields in order.
pub type Fields = Vec<(&'static str, Value)>;

impl Event {
    /// The event's name in a trace.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Listening { .. } => "listening",
            Self::Accepted { .. } => "accepted",
            Self::Refused { .. } => "refused",
            Self::Echoed { .. } => "echoed",
            Self::LineTooLong { .. } => "line-too-long",
            Self::Closed { .. } => "closed",
            Self::Oversize { .. } => "oversize",
            Self::SocketError { .. } => "socket-error",
            Self::Connected => "connected",
            Self::ConnectFailed { .. } => "connect-failed",
            Self::Disconnected { .. } => "disconnected",
            Self::Sent { .. } => "sent",
            Self::Answered { .. } => "answered",
            Self::Duplicate { .. } => "duplicate",
            Self::Late { .. } => "late",
            Self::Mismatch { .. } => "mismatch",
            Self::Foreign { .. } => "foreign",
            Self::Retry { .. } => "retry",
            Self::GaveUp { .. } => "gave-up",
        }
    }

    /// The event's fields; a payload is shown by [`digest`].
    pub fn fields(&self) -> Fields {
        match self {
            Self::Connected => vec![],
            Self::Listening { addr } => vec![("addr", addr.to_string().into())],
            Self::Accepted { peer } | Self::Refused { peer } | Self::LineTooLong { peer } => {
                vec![("peer", peer.to_string().into())]
            }
            Self::Echoed { peer, payload } => {
                vec![("peer", peer.to_string().into()), ("payload", digest(payload).into())]
            }
            Self::Closed { peer, why } => vec![("peer", peer.to_string().into()), ("why", why.to_string().into())],
            Self::Oversize { peer, bytes } => {
                vec![("peer", peer.to_string().into()), ("bytes", (*bytes as u64).into())]
            }
            Self::SocketError { why } | Self::ConnectFailed { why } => vec![("why", why.to_string().into())],
            Self::Disconnected { why } => vec![("why", why.to_string().into())],
            Self::Sent { id, attempt, payload } => {
                vec![("id", (*id).into()), ("attempt", u64::from(*attempt).into()), ("payload", digest(payload).into())]
            }
            Self::Answered { id, rtt, payload } => {
                vec![("id", (*id).into()), ("rtt", format!("{rtt:?}").into()), ("payload", digest(payload).into())]
            }
            Self::Duplicate { id, payload } | Self::Late { id, payload } => {
                vec![("id", (*id).into()), ("payload", digest(payload).into())]
            }
            Self::Mismatch { id, payload } => {
                let id = id.map_or_else(|| "none".into(), Value::from);
                vec![("id", id), ("payload", digest(payload).into())]
            }
            Self::Foreign { from, bytes } => vec![("from", from.to_string().into()), ("bytes", (*bytes as u64).into())],
            Self::Retry { id, attempt } => vec![("id", (*id).into()), ("attempt", u64::from(*attempt).into())],
            Self::GaveUp { id } => vec![("id", (*id).into())],
        }
    }
}

/// A payload in few characters: as text when it is short and plain, otherwise by length and hash.
pub fn digest(payload: &[u8]) -> String {
    const TEXT_BYTES_MAX: usize = 32;
    if payload.len() <= TEXT_BYTES_MAX && payload.iter().all(|byte| (b' '..=b'~').contains(byte)) {
        return payload.escape_ascii().to_string();
    }
    format!("{} bytes #{:016x}", payload.len(), xxh3_64(payload))
}

impl fmt::Display for Closed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Eof => f.write_str("the client was done"),
            Self::Idle => f.write_str("idle"),
            Self::LineTooLong => f.write_str("a line was too long"),
            Self::Shutdown => f.write_str("the server stopped"),
            Self::Forced => f.write_str("the server stopped, at its deadline"),
            Self::Error(kind) => write!(f, "{kind}"),
        }
    }
}

impl fmt::Display for Disconnected {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Done => f.write_str("all is answered"),
            Self::Eof => f.write_str("the server closed the connection"),
            Self::Timeout => f.write_str("no answer in time"),
            Self::Mismatch => f.write_str("the answer is not the echo of the request"),
            Self::Error(kind) => write!(f, "{kind}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn short_text_is_shown_and_everything_else_is_hashed() {
        assert_eq!(digest(b"Echo: hello"), "Echo: hello");
        assert_eq!(digest(br"a\b"), r"a\\b");
        assert!(digest(&[0, 255]).starts_with("2 bytes #"));
        assert!(digest(&[b'x'; 33]).starts_with("33 bytes #"));
    }

    #[test]
    fn fields_are_named_and_in_order() {
        let event = Event::Sent { id: 3, attempt: 2, payload: Bytes::from_static(b"hello") };
        assert_eq!(event.name(), "sent");
        let fields = event.fields();
        let shown: Vec<_> = fields.iter().map(|(name, value)| format!("{name}={value}")).collect();
        assert_eq!(shown, ["id=3", "attempt=2", "payload=hello"]);
    }
}
