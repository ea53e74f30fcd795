//! A client without a socket and without a clock: it finds the leader, asks again under its session, and says that it does
//! not know where it cannot know.
//!
//! A command is executed in a session under a number, so that to ask again is safe: it takes effect once, whatever is lost
//! and whoever leads ([`Machine`](super::kv::Machine)). Reads are asked for again as they are. What no answer came to by
//! the deadline is *unknown* if it may still take effect, at any time from then on, and else *not done*.

use std::time::Duration;

use rand::Rng as _;

use super::NodeId;
use super::kv::{Answer, Failure, Operation};
use super::request::{Ask, Consistency, Reply, Request, Response};
use crate::rng::Rng;

/// A request of so many bytes is given twice the time before it is asked again, one of twice as many three times.
const LONG_BYTES: u32 = 1 << 16;

/// How a client asks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Patience {
    /// After so long without a response it asks again, another node if it does not know that this one leads.
    pub retry: Duration,
    /// After so long it gives up.
    pub deadline: Duration,
}

/// What came of a call.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// The cluster answered.
    Answered {
        /// What it answered.
        answer: Answer,
        /// The entry at or after which that was.
        index: u64,
    },
    /// It may have taken effect, or may still.
    Unknown,
    /// It has not taken effect, and will not.
    NotDone(NotDone),
}

/// Why a call was not executed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NotDone {
    /// The cluster refused it.
    Refused(Failure),
    /// Nobody answered in time, and nothing was asked that changes anything.
    NoAnswer,
}

/// A call that is under way.
#[derive(Clone, Debug)]
struct Call {
    operation: Operation,
    /// A read that does not go through the session has this.
    consistency: Option<Consistency>,
    gives_up_at: Duration,
    /// How often it was sent under its session and serial.
    sent: u32,
    /// Its first request; an answer to any since then is as good as one to the last, which may be overtaken by the next
    /// for ever.
    first: u64,
}

/// A client of one cluster. It has one call at a time.
#[derive(Clone, Debug)]
pub struct Client {
    id: NodeId,
    /// In the order in which it tries them.
    servers: Vec<NodeId>,
    patience: Patience,
    /// Who leads, as far as it knows.
    leader: Option<NodeId>,
    /// The place of the server that it tries, where it knows no leader.
    place: usize,
    session: Option<u64>,
    serial: u64,
    number: u64,
    call: Option<Call>,
    again_at: Duration,
    /// How many servers said where to go, one after the other: they may send it in a circle.
    hints: usize,
    /// How many servers it asked until one answered, the last time.
    tries: u32,
}

/// What a client wants done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Step {
    /// Send a request.
    Send(NodeId, Request),
    /// The call is over.
    Done(Outcome),
}

impl Client {
    /// A client that no other of the cluster's clients and members is called like. It tries the servers in an order of its own.
    pub fn new(id: NodeId, servers: impl IntoIterator<Item = NodeId>, patience: Patience, rng: &mut Rng) -> Self {
        let mut servers: Vec<NodeId> = servers.into_iter().collect();
        for place in (1..servers.len()).rev() {
            servers.swap(place, rng.random_range(0..=place));
        }
        let number = rng.random_range(0..u64::MAX / 2);
        Self {
            id,
            servers,
            patience,
            leader: None,
            place: 0,
            session: None,
            serial: 0,
            number,
            call: None,
            again_at: Duration::ZERO,
            hints: 0,
            tries: 0,
        }
    }

    /// Its id.
    pub fn id(&self) -> NodeId {
        self.id
    }

    /// How many servers it asked for the call that was answered last.
    pub fn tries(&self) -> u32 {
        self.tries
    }

    /// When it next wants a [`tick`](Self::tick), while a call is under way.
    pub fn deadline(&self) -> Option<Duration> {
        self.call.as_ref().map(|call| self.again_at.min(call.gives_up_at))
    }

    /// Begins a call. A read of any [`Consistency`] but the log's need not go through the session.
    ///
    /// # Panics
    /// One is under way.
    pub fn call(&mut self, now: Duration, operation: Operation, consistency: Consistency) -> Vec<Step> {
        assert!(self.call.is_none(), "{}: one call at a time", self.id);
        if let Some(failure) = operation.fault() {
            return vec![Step::Done(Outcome::NotDone(NotDone::Refused(failure)))];
        }
        let consistency =
            Some(consistency).filter(|consistency| operation.is_read() && *consistency != Consistency::Log);
        self.serial += u64::from(consistency.is_none());
        self.tries = 0;
        self.hints = 0;
        let first = self.number + 1;
        self.call = Some(Call { operation, consistency, gives_up_at: now + self.patience.deadline, sent: 0, first });
        self.ask(now)
    }

    /// Sends what there is to send now.
    fn ask(&mut self, now: Duration) -> Vec<Step> {
        let Some(call) = &mut self.call else { return Vec::new() };
        self.number += 1;
        self.tries += 1;
        let operation = call.operation.clone();
        self.again_at = now + self.patience.retry * (1 + operation.size() / LONG_BYTES);
        let ask = match (call.consistency, self.session) {
            (Some(consistency), _) => Ask::Read { consistency, operation },
            (None, None) => Ask::Open,
            (None, Some(session)) => {
                call.sent += 1;
                Ask::Execute { session, serial: self.serial, operation }
            }
        };
        let to = self.leader.unwrap_or(self.servers[self.place]);
        vec![Step::Send(to, Request { number: self.number, ask })]
    }

    fn try_next(&mut self) {
        self.leader = None;
        self.hints = 0;
        self.place = (self.place + 1) % self.servers.len();
    }

    /// Time has passed.
    pub fn tick(&mut self, now: Duration) -> Vec<Step> {
        let Some(call) = &self.call else { return Vec::new() };
        if call.gives_up_at <= now {
            let changes = call.sent > 0 && !call.operation.is_read();
            return self.done(if changes { Outcome::Unknown } else { Outcome::NotDone(NotDone::NoAnswer) });
        }
        if self.again_at > now {
            return Vec::new();
        }
        self.try_next();
        self.ask(now)
    }

    fn done(&mut self, outcome: Outcome) -> Vec<Step> {
        self.call = None;
        vec![Step::Done(outcome)]
    }

    /// A node has responded.
    pub fn respond(&mut self, now: Duration, from: NodeId, response: Response) -> Vec<Step> {
        let Some(call) = &self.call else { return Vec::new() };
        let is_last = response.number == self.number;
        let is_ours = (call.first..=self.number).contains(&response.number);
        match response.reply {
            Reply::Opened { session } if is_ours && self.session.is_none() && call.consistency.is_none() => {
                self.know_leader(from);
                (self.session, self.serial) = (Some(session), 1);
                self.ask(now)
            }
            Reply::Answered { answer, index } if is_ours => {
                if call.consistency != Some(Consistency::Stale) {
                    self.know_leader(from);
                }
                self.answered(now, answer, index)
            }
            Reply::NotLeader { leader } if is_last => self.redirected(now, from, leader),
            Reply::Busy if is_last => {
                self.again_at = now + self.patience.retry;
                Vec::new()
            }
            _ => Vec::new(),
        }
    }

    fn know_leader(&mut self, leader: NodeId) {
        self.leader = Some(leader);
        if let Some(place) = self.servers.iter().position(|server| *server == leader) {
            self.place = place;
        }
    }

    fn answered(&mut self, now: Duration, answer: Answer, index: u64) -> Vec<Step> {
        let Some(call) = &self.call else { return Vec::new() };
        let Answer::Failed(failure) = answer else { return self.done(Outcome::Answered { answer, index }) };
        let (was_sent_before, is_read) = (call.sent > 1, call.operation.is_read());
        if failure == Failure::NoSession && call.consistency.is_none() {
            self.session = None;
            // It was executed in no session now. It may have been in one that is closed, if it was sent before.
            if !was_sent_before || is_read {
                let call = self.call.as_mut().expect("it is under way");
                (call.sent, call.first) = (0, self.number + 1);
                return self.ask(now);
            }
            return self.done(Outcome::Unknown);
        }
        self.done(Outcome::NotDone(NotDone::Refused(failure)))
    }

    fn redirected(&mut self, now: Duration, from: NodeId, leader: Option<NodeId>) -> Vec<Step> {
        let leader = leader.filter(|leader| *leader != from && self.servers.contains(leader));
        if let Some(leader) = leader.filter(|_| self.hints < self.servers.len()) {
            self.hints += 1;
            self.know_leader(leader);
            return self.ask(now);
        }
        // Nobody knows a leader: there may be an election. The next one is asked in a while.
        (self.leader, self.hints) = (None, 0);
        self.again_at = now + self.patience.retry / 4;
        // What comes late to the last request must not move it once more.
        self.number += 1;
        Vec::new()
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;
    use crate::rng::Seed;

    fn ms(millis: u64) -> Duration {
        Duration::from_millis(millis)
    }

    fn client() -> Client {
        let patience = Patience { retry: ms(100), deadline: ms(1000) };
        Client::new(NodeId(100), (1..=3).map(NodeId), patience, &mut Seed(1).stream("client"))
    }

    fn put() -> Operation {
        Operation::Put { key: Bytes::from_static(b"k"), value: Bytes::from_static(b"v") }
    }

    fn get() -> Operation {
        Operation::Get { key: Bytes::from_static(b"k") }
    }

    fn sent(steps: &[Step]) -> (NodeId, Request) {
        match steps {
            [Step::Send(to, request)] => (*to, request.clone()),
            other => panic!("one request, not {other:?}"),
        }
    }

    fn outcome(steps: &[Step]) -> Outcome {
        match steps {
            [Step::Done(outcome)] => outcome.clone(),
            other => panic!("it should be over: {other:?}"),
        }
    }

    fn reply(request: &Request, reply: Reply) -> Response {
        Response { number: request.number, reply }
    }

    fn answered(answer: Answer) -> Reply {
        Reply::Answered { answer, index: 9 }
    }

    /// A client with a session that n2 has opened.
    fn opened() -> Client {
        let mut client = client();
        let (_, request) = sent(&client.call(ms(0), put(), Consistency::Log));
        assert_eq!(request.ask, Ask::Open);
        let (to, request) = sent(&client.respond(ms(1), NodeId(2), reply(&request, Reply::Opened { session: 5 })));
        assert_eq!((to, &request.ask), (NodeId(2), &Ask::Execute { session: 5, serial: 1, operation: put() }));
        let done = client.respond(ms(2), NodeId(2), reply(&request, answered(Answer::Done)));
        assert_eq!(outcome(&done), Outcome::Answered { answer: Answer::Done, index: 9 });
        client
    }

    #[test]
    fn a_session_is_opened_once_and_its_commands_are_numbered() {
        let mut client = opened();
        let (to, request) = sent(&client.call(ms(10), put(), Consistency::Log));
        assert_eq!((to, request.ask), (NodeId(2), Ask::Execute { session: 5, serial: 2, operation: put() }));
    }

    #[test]
    fn a_command_is_sent_again_under_the_same_number_until_it_is_unknown() {
        let mut client = opened();
        let (_, first) = sent(&client.call(ms(10), put(), Consistency::Log));
        assert_eq!(client.deadline(), Some(ms(110)));
        let (_, second) = sent(&client.tick(ms(110)));
        assert_eq!(first.ask, second.ask);
        assert!(client.respond(ms(111), NodeId(2), reply(&first, Reply::NotLeader { leader: None })).is_empty());
        assert_eq!(outcome(&client.tick(ms(1010))), Outcome::Unknown);
        assert_eq!(client.deadline(), None);
        assert!(client.respond(ms(1011), NodeId(2), reply(&second, answered(Answer::Done))).is_empty());
    }

    #[test]
    fn a_read_and_a_command_that_was_never_sent_are_not_done() {
        let mut client = client();
        client.call(ms(0), put(), Consistency::Log);
        assert_eq!(
            outcome(&client.tick(ms(1000))),
            Outcome::NotDone(NotDone::NoAnswer),
            "only a session was asked for"
        );
        let mut client = opened();
        client.call(ms(10), get(), Consistency::Log);
        assert_eq!(outcome(&client.tick(ms(1010))), Outcome::NotDone(NotDone::NoAnswer));
    }

    #[test]
    fn whoever_does_not_lead_says_who_does_and_is_not_believed_for_ever() {
        let mut client = client();
        let (to, request) = sent(&client.call(ms(0), get(), Consistency::Index));
        let other = NodeId(to.0 % 3 + 1);
        let (to, request) = sent(&client.respond(ms(1), to, reply(&request, Reply::NotLeader { leader: Some(other) })));
        assert_eq!(to, other);
        let mut last = (to, request);
        for _ in 0..2 {
            let next = NodeId(last.0.0 % 3 + 1);
            last = sent(&client.respond(ms(1), last.0, reply(&last.1, Reply::NotLeader { leader: Some(next) })));
        }
        let next = NodeId(last.0.0 % 3 + 1);
        assert!(client.respond(ms(1), last.0, reply(&last.1, Reply::NotLeader { leader: Some(next) })).is_empty());
        assert_eq!(client.deadline(), Some(ms(26)), "it waits, for they send it in a circle");
    }

    #[test]
    fn all_servers_are_tried() {
        let mut client = client();
        let (mut to, mut request) = sent(&client.call(ms(0), get(), Consistency::Index));
        let mut tried = vec![to];
        for turn in 1..=2 {
            assert!(client.respond(ms(turn), to, reply(&request, Reply::NotLeader { leader: None })).is_empty());
            (to, request) = sent(&client.tick(client.deadline().expect("it waits")));
            tried.push(to);
        }
        tried.sort_unstable();
        assert_eq!(tried, [NodeId(1), NodeId(2), NodeId(3)]);
    }

    #[test]
    fn a_session_that_is_closed_makes_unknown_what_was_sent_before_and_nothing_else() {
        let closed = answered(Answer::Failed(Failure::NoSession));
        let mut client = opened();
        let (_, request) = sent(&client.call(ms(10), put(), Consistency::Log));
        let (to, request) = sent(&client.respond(ms(11), NodeId(2), reply(&request, closed.clone())));
        assert_eq!((to, &request.ask), (NodeId(2), &Ask::Open), "it was sent once, and took no effect");
        let (_, request) = sent(&client.respond(ms(12), NodeId(2), reply(&request, Reply::Opened { session: 7 })));
        assert_eq!(request.ask, Ask::Execute { session: 7, serial: 1, operation: put() });
        let (_, request) = sent(&client.tick(ms(112)));
        assert_eq!(outcome(&client.respond(ms(113), NodeId(2), reply(&request, closed))), Outcome::Unknown);
    }
}
