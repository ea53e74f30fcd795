//! What an echo service promises.
//!
//! Every request carries who sent it, its number and a checksum, so that whatever arrives anywhere can be told to be
//! a request, an answer, or something that the network has changed. Then: an answer belongs to a request that was
//! sent, and is its echo; TCP answers come in order and once each; and nothing is multiplied but by the network: a
//! server answers a datagram no more often than it arrived, and a client gets an answer no more often than the network
//! brought it.

use std::collections::BTreeMap;
use std::time::Duration;

use bytes::Bytes;

use crate::echo::Event;
use crate::echo::event::digest;
use crate::echo::request::{Key, key};
use crate::sim::Breach;
use crate::sim::trace::{PacketKind, Record, What, flipped};

/// The transport that an echo service runs over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Transport {
    /// Lines over TCP.
    Tcp,
    /// Datagrams over UDP.
    Udp,
}

/// When and in which record something was seen.
pub type Seen = (Duration, u64);

#[derive(Default)]
struct Client {
    sent: BTreeMap<u64, Seen>,
    answered: BTreeMap<u64, Seen>,
    /// Whether its process died: it waits for nothing any more.
    gone: bool,
}

/// Watches one run.
pub struct EchoCheck {
    transport: Transport,
    prefix: Bytes,
    clients: BTreeMap<String, Client>,
    /// What each datagram that is under way carries, by packet.
    datagrams: BTreeMap<u64, Bytes>,
    /// How often each datagram arrived and was not yet accounted for.
    arrived: BTreeMap<(Side, Key), u64>,
    /// Whether the network has changed a datagram.
    corrupted: bool,
    /// What the server answers instead, if requests are longer than it takes.
    refusal: Option<Bytes>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Side {
    Request,
    Answer,
}

impl EchoCheck {
    /// A check of a service that puts `prefix` before its answers.
    pub fn new(transport: Transport, prefix: Bytes) -> Self {
        Self {
            transport,
            prefix,
            clients: BTreeMap::new(),
            datagrams: BTreeMap::new(),
            arrived: BTreeMap::new(),
            corrupted: false,
            refusal: None,
        }
    }

    /// Requests are longer than the server takes, and this is what it says of such a line.
    pub fn refused_with(&mut self, refusal: Bytes) {
        self.refusal = Some(refusal);
    }

    /// A client's event. `name` is the one in its requests.
    pub fn client(&mut self, name: &str, seen: Seen, event: &Event) -> Option<Breach> {
        match event {
            Event::Sent { id, .. } => {
                self.clients.entry(name.to_owned()).or_default().sent.entry(*id).or_insert(seen);
                None
            }
            Event::Answered { id, payload, .. } => self.answered(name, *id, seen, payload),
            Event::Duplicate { id, payload } | Event::Late { id, payload } => match self.transport {
                Transport::Tcp => Some(self.breach("TCP answers come once", name, *id, "was answered again")),
                Transport::Udp => self.multiplied(Side::Answer, payload, "answer"),
            },
            Event::Mismatch { payload, .. } if self.refusal.as_ref() == Some(payload) => None,
            Event::Mismatch { payload, .. } => {
                let excused = self.transport == Transport::Udp && self.corrupted;
                let text = format!("{name} got {} which no request of its asked for", digest(payload));
                (!excused).then(|| Breach::new("an answer is the echo of a request", text))
            }
            _ => None,
        }
    }

    fn answered(&mut self, name: &str, id: u64, seen: Seen, payload: &Bytes) -> Option<Breach> {
        let client = self.clients.entry(name.to_owned()).or_default();
        if !client.sent.contains_key(&id) {
            return Some(self.breach("an answer belongs to a request", name, id, "was answered before it was sent"));
        }
        if let Some((at, record)) = client.answered.insert(id, seen) {
            let breach = self.breach("an answer comes once", name, id, "was answered twice");
            return Some(breach.fact(at, record, format!("{name} got the answer to request {id}")));
        }
        let last = client.answered.keys().next_back().copied();
        if self.transport == Transport::Tcp && last != Some(id) {
            let text = format!("was answered after request {}", last.unwrap_or_default());
            return Some(self.breach("TCP answers come in order", name, id, &text));
        }
        if self.refusal.as_ref() == Some(payload) {
            return None;
        }
        let echo = payload.strip_prefix(self.prefix.as_ref());
        if echo.and_then(key) != Some((name.to_owned(), id)) {
            let excused = self.transport == Transport::Udp && self.corrupted;
            let text = format!("was answered with {}", digest(payload));
            return (!excused).then(|| self.breach("an answer is the echo of a request", name, id, &text));
        }
        self.multiplied(Side::Answer, payload, "answer")
    }

    /// A server's event.
    pub fn server(&mut self, event: &Event) -> Option<Breach> {
        match event {
            Event::Echoed { payload, .. } => self.multiplied(Side::Request, payload, "request"),
            _ => None,
        }
    }

    /// Takes one arrival of a datagram into account; there must have been one.
    fn multiplied(&mut self, side: Side, answer: &Bytes, what: &str) -> Option<Breach> {
        if self.transport == Transport::Tcp {
            return None;
        }
        let echo = answer.strip_prefix(self.prefix.as_ref())?;
        let key = key(echo)?;
        match self.arrived.get_mut(&(side, key.clone())) {
            Some(left) if *left > 0 => {
                *left -= 1;
                None
            }
            _ => {
                let text = format!("{what} {}/{} was taken in more often than it arrived", key.0, key.1);
                Some(Breach::new("only the network multiplies datagrams", text))
            }
        }
    }

    fn breach(&self, invariant: &str, name: &str, id: u64, text: &str) -> Breach {
        let breach = Breach::new(invariant, format!("request {id} of {name} {text}"));
        match self.clients.get(name).and_then(|client| client.sent.get(&id)) {
            Some((at, record)) => breach.fact(*at, *record, format!("{name} sent request {id}")),
            None => breach,
        }
    }

    /// Any record: datagrams are followed on their way.
    pub fn record(&mut self, record: &Record) {
        match &record.what {
            What::Sent(packet) if packet.kind == PacketKind::Udp => {
                self.datagrams.insert(packet.id, packet.payload.clone());
            }
            What::Duplicated { packet, copy } => {
                if let Some(payload) = self.datagrams.get(packet).cloned() {
                    self.datagrams.insert(*copy, payload);
                }
            }
            What::Corrupted { packet, bit } => {
                self.corrupted = true;
                // Twice the same bit, in a request and in its answer, makes the answer right again.
                if let Some(payload) = self.datagrams.get_mut(packet) {
                    *payload = flipped(payload, *bit);
                }
            }
            What::Lost { packet, .. } => {
                self.datagrams.remove(packet);
            }
            What::Delivered { packet, .. } => {
                let said = self.datagrams.remove(packet).and_then(|payload| self.says(&payload));
                said.into_iter().for_each(|said| *self.arrived.entry(said).or_default() += 1);
            }
            _ => {}
        }
    }

    fn says(&self, payload: &Bytes) -> Option<(Side, Key)> {
        match payload.strip_prefix(self.prefix.as_ref()).and_then(key) {
            Some(key) => Some((Side::Answer, key)),
            None => key(payload).map(|key| (Side::Request, key)),
        }
    }

    /// The clients of a host, or of one incarnation of it, are no more: that of this name, and all that are called after
    /// it, with a dot and a number.
    pub fn died(&mut self, host: &str) {
        let is_of_host =
            |name: &str| name.strip_prefix(host).is_some_and(|rest| rest.is_empty() || rest.starts_with('.'));
        self.clients.iter_mut().filter(|(name, _)| is_of_host(name)).for_each(|(_, client)| client.gone = true);
    }

    /// How many requests were sent and how many answered, by client that did not die.
    pub fn totals(&self) -> impl Iterator<Item = (&str, usize, usize)> {
        let alive = self.clients.iter().filter(|(_, client)| !client.gone);
        alive.map(|(name, client)| (name.as_str(), client.sent.len(), client.answered.len()))
    }

    /// Requests answered so far.
    pub fn answers(&self) -> usize {
        self.clients.values().map(|client| client.answered.len()).sum()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::echo::request::request;

    fn answered(check: &mut EchoCheck, id: u64, payload: &str) -> Option<String> {
        let event = Event::Answered { id, rtt: Duration::ZERO, payload: Bytes::copy_from_slice(payload.as_bytes()) };
        check.client("c1.0", (Duration::ZERO, 9), &event).map(|breach| breach.invariant)
    }

    fn sent(check: &mut EchoCheck, id: u64) -> String {
        let payload = request("c1.0", id, 0);
        let event = Event::Sent { id, attempt: 1, payload: payload.clone() };
        assert!(check.client("c1.0", (Duration::ZERO, id), &event).is_none());
        format!("> {}", String::from_utf8_lossy(&payload))
    }

    fn tcp() -> EchoCheck {
        EchoCheck::new(Transport::Tcp, Bytes::from_static(b"> "))
    }

    #[test]
    fn what_is_broken_is_named() {
        let mut check = tcp();
        let first = sent(&mut check, 0);
        assert_eq!(answered(&mut check, 0, &first), None);
        assert_eq!(answered(&mut check, 0, &first).as_deref(), Some("an answer comes once"));
        assert_eq!(answered(&mut check, 5, &first).as_deref(), Some("an answer belongs to a request"));
        let (second, third) = (sent(&mut check, 1), sent(&mut check, 2));
        assert_eq!(answered(&mut check, 2, &third), None);
        assert_eq!(answered(&mut check, 1, &second).as_deref(), Some("TCP answers come in order"));
        let fourth = sent(&mut check, 3);
        assert_eq!(answered(&mut check, 3, &fourth[2..]).as_deref(), Some("an answer is the echo of a request"));
    }

    #[test]
    fn a_datagram_is_answered_as_often_as_it_arrived() {
        let mut check = EchoCheck::new(Transport::Udp, Bytes::from_static(b"> "));
        let answer = Bytes::from(sent(&mut check, 0));
        let echoed = Event::Echoed { peer: ([127, 0, 0, 1], 1).into(), payload: answer };
        assert!(check.server(&echoed).is_some(), "it has not arrived");
        check.arrived.insert((Side::Request, ("c1.0".to_owned(), 0)), 2);
        assert!(check.server(&echoed).is_none());
        assert!(check.server(&echoed).is_none());
        assert!(check.server(&echoed).is_some(), "it arrived twice");
    }
}
