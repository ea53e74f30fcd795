//! Datagrams of any length over a network that carries short ones whole: what [`parts`](super::parts) does, with an envelope
//! on each part.

use std::net::SocketAddr;
use std::time::Duration;

use bytes::Bytes;

use super::NodeId;
use super::codec::{Codec, Datagram, Rejected};
use super::parts::{Came, OVERHEAD_BYTES, Receiver, Sender};

/// The longest datagram that no usual path cuts into fragments, in bytes: an Ethernet frame has 1,500, and tunnels take some.
pub const DATAGRAM_BYTES: usize = 1_400;

/// Puts messages into datagrams, and together again.
pub struct Post {
    codec: Codec,
    me: NodeId,
    datagram_bytes: usize,
    sender: Sender,
    receiver: Receiver,
}

/// What a datagram comes to.
pub enum Arrival {
    /// It is a message by itself.
    Itself,
    /// It was the last part of this message.
    Whole(Bytes),
    /// It was about parts, and more will come.
    Nothing,
    /// It makes no sense.
    Rejected(Rejected),
}

impl Post {
    /// For a member or a client, whose datagrams have at most so many bytes.
    pub fn new(codec: Codec, me: NodeId, datagram_bytes: usize) -> Self {
        let datagram_bytes = datagram_bytes.max(OVERHEAD_BYTES + 1);
        Self { codec, me, datagram_bytes, sender: Sender::default(), receiver: Receiver::default() }
    }

    /// The codec.
    pub fn codec(&self) -> &Codec {
        &self.codec
    }

    /// Whether a datagram is short enough to go as it is.
    #[inline]
    pub fn fits(&self, datagram: &Bytes) -> bool {
        datagram.len() <= self.datagram_bytes
    }

    /// The datagrams to send for one that is too long.
    pub fn split(&mut self, to: NodeId, address: SocketAddr, datagram: &Bytes) -> Vec<Bytes> {
        let parts = self.sender.send(address, datagram.clone(), self.datagram_bytes - OVERHEAD_BYTES);
        parts.iter().map(|part| self.codec.encode_part(self.me, to, part).into()).collect()
    }

    /// Takes in a datagram that has arrived; `replies` gets what is to be sent back to where it came from.
    #[inline]
    pub fn arrived(&mut self, now: Duration, from: SocketAddr, datagram: &[u8], replies: &mut Vec<Bytes>) -> Arrival {
        if Codec::claims_part(datagram) {
            return self.part_arrived(now, from, datagram, replies);
        }
        Arrival::Itself
    }

    /// When it wants to be asked what is [`overdue`](Self::overdue), if nothing arrives before.
    #[inline]
    pub fn deadline(&self) -> Option<Duration> {
        if self.receiver.is_idle() { None } else { self.receiver.deadline() }
    }

    /// What is to be sent because parts of messages do not come.
    pub fn overdue(&mut self, now: Duration) -> Vec<(NodeId, SocketAddr, Bytes)> {
        let Self { receiver, codec, me, .. } = self;
        let wants = receiver.overdue(now).into_iter();
        wants.map(|(address, to, wanted)| (to, address, codec.encode_wanted(*me, to, &wanted).into())).collect()
    }

    fn part_arrived(
        &mut self,
        now: Duration,
        address: SocketAddr,
        datagram: &[u8],
        replies: &mut Vec<Bytes>,
    ) -> Arrival {
        match self.codec.decode_any(datagram) {
            Ok(Datagram::Part { from, to, part }) if to == self.me => {
                match self.receiver.take(now, (address, from), part) {
                    Came::Nothing => Arrival::Nothing,
                    Came::Wants(wanted) => {
                        replies.push(self.codec.encode_wanted(self.me, from, &wanted).into());
                        Arrival::Nothing
                    }
                    Came::Whole(whole) => Arrival::Whole(whole),
                    Came::Malformed => Arrival::Rejected(Rejected::Malformed("it is a part that fits no message")),
                }
            }
            Ok(Datagram::Wanted { from, to, wanted }) if to == self.me => {
                let parts = self.sender.wanted(address, &wanted, self.datagram_bytes - OVERHEAD_BYTES);
                replies.extend(parts.iter().map(|part| Bytes::from(self.codec.encode_part(self.me, from, part))));
                Arrival::Nothing
            }
            Ok(_) => Arrival::Rejected(Rejected::Misdirected),
            Err(why) => Arrival::Rejected(why),
        }
    }
}
