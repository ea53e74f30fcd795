//! The last datagram each way with each peer, and what it says: a heartbeat is mostly the same as the one before it, and
//! need be neither signed nor verified again.
//!
//! **Invariant:** what comes out is what [`Codec`] makes of what goes in.

use std::rc::Rc;

use bytes::Bytes;

use super::by_node::ByNode;
use super::codec::{Codec, Envelope, Rejected};
use super::{Message, NodeId};

/// A message that has come, with its sender. Clones share it.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Received {
    pub(super) from: NodeId,
    pub(super) message: Rc<Message>,
}

/// A codec that remembers.
pub(super) struct Repeats {
    codec: Codec,
    sent: ByNode<(Message, Bytes)>,
    received: ByNode<(Vec<u8>, Rc<Message>)>,
}

impl Repeats {
    pub(super) fn new(codec: Codec) -> Self {
        Self { codec, sent: ByNode::default(), received: ByNode::default() }
    }

    /// The codec itself, for what is not between members.
    pub(super) fn codec(&self) -> &Codec {
        &self.codec
    }

    /// The datagram of a message of this node's, which is `from`.
    pub(super) fn encode(&mut self, from: NodeId, to: NodeId, message: &Message) -> &Bytes {
        if !self.sent.get(to).is_some_and(|(known, _)| known == message) {
            let envelope = Envelope { from, to, message: message.clone() };
            let datagram = Bytes::from(self.codec.encode(&envelope));
            self.sent.insert(to, (envelope.message, datagram));
        }
        let (_, datagram) = self.sent.get(to).expect("it was sent now or before");
        datagram
    }

    /// The message in a datagram. `welcome` says whether it is one for this node, of one of its peers: of these only is a
    /// datagram remembered, since of strangers there may be many.
    #[inline]
    pub(super) fn decode(
        &mut self,
        datagram: &[u8],
        welcome: impl FnOnce(&Envelope) -> Result<(), Rejected>,
    ) -> Result<Received, Rejected> {
        if let Some(from) = Codec::claimed_sender(datagram)
            && let Some((known, message)) = self.received.get(from)
            && known == datagram
        {
            return Ok(Received { from, message: message.clone() });
        }
        let envelope = self.codec.decode(datagram)?;
        welcome(&envelope)?;
        let (from, message) = (envelope.from, Rc::new(envelope.message));
        self.received.insert(from, (datagram.to_vec(), message.clone()));
        Ok(Received { from, message })
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
                let datagram = sender.encode(envelope.from, envelope.to, &envelope.message).clone();
                prop_assert_eq!(&datagram[..], codec.encode(&envelope));
                let mut datagram = datagram.to_vec();
                // Some are damaged on their way, also those that were whole before.
                if let Some(byte) = datagram.get_mut(flipped) {
                    *byte ^= 1;
                }
                let welcome = |envelope: &Envelope| {
                    if envelope.from == NodeId(1) { Ok(()) } else { Err(Rejected::Stranger) }
                };
                let decoded = receiver.decode(&datagram, welcome);
                let expected = codec.decode(&datagram).and_then(|envelope| welcome(&envelope).map(|()| envelope));
                let expected = expected.map(|Envelope { from, message, .. }| Received { from, message: Rc::new(message) });
                prop_assert_eq!(decoded, expected);
            }
            prop_assert!(receiver.received.len() <= 1);
        }
    }
}
