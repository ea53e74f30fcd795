//! The last datagram each way with each peer, and what it says: a heartbeat is mostly the same as the one before it, and
//! need be neither signed nor verified again.
//!
//! **Invariant:** what comes out is what [`Codec`] makes of what goes in.

use bytes::Bytes;

use super::by_node::ByNode;
use super::codec::{Codec, Envelope, Rejected};
use super::{Message, NodeId};

/// A codec that remembers.
pub(super) struct Repeats {
    codec: Codec,
    sent: ByNode<(Message, Bytes)>,
    received: ByNode<(Vec<u8>, Envelope)>,
}

impl Repeats {
    pub(super) fn new(codec: Codec) -> Self {
        Self { codec, sent: ByNode::default(), received: ByNode::default() }
    }

    /// The datagram of a message of this node's.
    pub(super) fn encode(&mut self, envelope: &Envelope) -> Bytes {
        if let Some((message, datagram)) = self.sent.get(envelope.to)
            && *message == envelope.message
        {
            return datagram.clone();
        }
        let datagram = Bytes::from(self.codec.encode(envelope));
        self.sent.insert(envelope.to, (envelope.message.clone(), datagram.clone()));
        datagram
    }

    /// The message in a datagram. `is_peer` tells of whom a datagram is remembered: of strangers there may be many.
    pub(super) fn decode(&mut self, datagram: &[u8], is_peer: impl Fn(NodeId) -> bool) -> Result<Envelope, Rejected> {
        if let Some(from) = Codec::claimed_sender(datagram)
            && let Some((known, envelope)) = self.received.get(from)
            && known == datagram
        {
            return Ok(envelope.clone());
        }
        let envelope = self.codec.decode(datagram)?;
        if is_peer(envelope.from) {
            self.received.insert(envelope.from, (datagram.to_vec(), envelope.clone()));
        }
        Ok(envelope)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::raft::ClusterId;
    use crate::raft::message::{RequestVote, TimeoutNow};

    fn envelope() -> impl Strategy<Value = Envelope> {
        let message = (0..3_u64, any::<bool>()).prop_map(|(term, transfer)| {
            if transfer {
                Message::RequestVote(RequestVote { term, last_log_index: 0, last_log_term: 0, transfer })
            } else {
                Message::TimeoutNow(TimeoutNow { term })
            }
        });
        (1..4_u64, 1..4_u64, message).prop_map(|(from, to, message)| Envelope {
            from: NodeId(from),
            to: NodeId(to),
            message,
        })
    }

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

        #[test]
        fn it_says_what_the_codec_says(envelopes in prop::collection::vec((envelope(), 0..400_usize), 1..40)) {
            let codec = Codec::new(ClusterId(7), None);
            let (mut sender, mut receiver) = (Repeats::new(codec.clone()), Repeats::new(codec.clone()));
            for (mut envelope, flipped) in envelopes {
                envelope.from = NodeId(1);
                let datagram = sender.encode(&envelope);
                prop_assert_eq!(&datagram[..], codec.encode(&envelope));
                let mut datagram = datagram.to_vec();
                // Some are damaged on their way, also those that were whole before.
                if let Some(byte) = datagram.get_mut(flipped) {
                    *byte ^= 1;
                }
                let is_peer = |id: NodeId| id == NodeId(1);
                prop_assert_eq!(receiver.decode(&datagram, is_peer), codec.decode(&datagram));
            }
            prop_assert!(receiver.received.len() <= 1);
        }
    }
}
