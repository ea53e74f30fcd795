//! The state machine of a node, and who waits for it.

use std::collections::{BTreeMap, VecDeque};
use std::net::SocketAddr;

use crate::raft::kv::{Answer, Answers, Asker, Command, Machine, Operation, Outcome};
use crate::raft::request::{Ask, Consistency, Reply, Request, Response};
use crate::raft::{Declined, Entry, Input, LogIndex, NodeId, ReadBy};

/// The most clients that wait at once: who comes then is told that the node is busy.
const WAITING_MAX: usize = 65_536;

/// Whom a response is for.
#[derive(Clone, Copy, Debug)]
pub(super) struct Reader {
    pub(super) client: NodeId,
    pub(super) address: SocketAddr,
    /// Its request.
    pub(super) number: u64,
}

pub(super) struct Service {
    id: NodeId,
    machine: Machine,
    /// Who waits for an entry to be applied.
    waiting: BTreeMap<Answers, Reader>,
    /// Reads that wait until it is known that the node leads.
    reads: BTreeMap<u64, (Reader, Operation)>,
    reads_asked: u64,
    /// For whom the step at hand has a command replicated.
    proposing: Option<Answers>,
    responses: VecDeque<(Reader, Response)>,
    #[cfg(feature = "planted-bugs")]
    config: crate::raft::planted::Planted,
}

#[cfg(feature = "planted-bugs")]
impl Service {
    /// Has the node's state machine run with a bug.
    pub(super) fn planted(mut self, bug: Option<crate::raft::planted::Bug>) -> Self {
        self.config.bug = bug;
        self.machine.plant(bug);
        self
    }
}

impl Service {
    pub(super) fn new(id: NodeId) -> Self {
        Self {
            id,
            machine: Machine::default(),
            waiting: BTreeMap::new(),
            reads: BTreeMap::new(),
            reads_asked: 0,
            proposing: None,
            responses: VecDeque::new(),
            #[cfg(feature = "planted-bugs")]
            config: crate::raft::planted::Planted::default(),
        }
    }

    pub(super) fn applied(&self) -> LogIndex {
        self.machine.applied()
    }

    pub(super) fn digest(&self) -> u64 {
        self.machine.digest()
    }

    pub(super) fn next_response(&mut self) -> Option<(Reader, Response)> {
        self.responses.pop_front()
    }

    fn respond(&mut self, to: Reader, reply: Reply) {
        self.responses.push_back((to, Response { number: to.number, reply }));
    }

    /// A request has come. What the core is to be told of it, if anything.
    pub(super) fn request(&mut self, from: Reader, request: &Request, leader: Option<NodeId>) -> Option<Input> {
        self.proposing = None;
        #[cfg(feature = "planted-bugs")]
        if planted!(self, ExpiryLocal) && request.number % 16 == 0 {
            self.machine.expire();
        }
        let asker = Asker { client: from.client.0, request: from.number };
        if let Ask::Read { operation, .. } = &request.ask
            && !operation.is_read()
        {
            // Whoever asks so would have a write take effect as often as it is asked for.
            let answer = Answer::Failed(crate::raft::kv::Failure::NoSession);
            self.respond(from, Reply::Answered { answer, index: self.applied() });
            return None;
        }
        if let Ask::Read { consistency: Consistency::Stale, operation } = &request.ask {
            let reply = Reply::Answered { answer: self.machine.read(operation), index: self.applied() };
            self.respond(from, reply);
            return None;
        }
        if leader != Some(self.id) {
            self.respond(from, Reply::NotLeader { leader });
            return None;
        }
        if self.waiting.len() + self.reads.len() >= WAITING_MAX {
            self.respond(from, Reply::Busy);
            return None;
        }
        match &request.ask {
            Ask::Open => self.propose(from, Answers::Asker(asker), &Command::Open { asker }),
            Ask::Execute { session, serial, operation } => {
                let (session, serial) = (*session, *serial);
                let command = Command::Execute { session, serial, operation: operation.clone() };
                self.propose(from, Answers::Serial { session, serial }, &command)
            }
            Ask::Read { consistency: Consistency::Log, operation } => {
                let command = Command::Query { asker, operation: operation.clone() };
                self.propose(from, Answers::Asker(asker), &command)
            }
            Ask::Read { consistency, operation } => {
                let by = if *consistency == Consistency::Lease { ReadBy::Lease } else { ReadBy::Index };
                self.reads_asked += 1;
                self.reads.insert(self.reads_asked, (from, operation.clone()));
                Some(Input::Read { id: self.reads_asked, by })
            }
        }
    }

    /// A command that waits to be applied already need not be replicated again: whoever asked last is answered.
    fn propose(&mut self, from: Reader, answers: Answers, command: &Command) -> Option<Input> {
        if self.waiting.insert(answers, from).is_some() {
            return None;
        }
        self.proposing = Some(answers);
        Some(Input::Propose { commands: vec![command.bytes()] })
    }

    /// No client waits for what is proposed next.
    pub(super) fn nobody_asks(&mut self) {
        self.proposing = None;
    }

    /// The core does not replicate what it was given in this step.
    pub(super) fn declined(&mut self, why: Declined) {
        let Some(reader) = self.proposing.take().and_then(|answers| self.waiting.remove(&answers)) else { return };
        let reply = match why {
            Declined::NotLeader { leader } => Reply::NotLeader { leader },
            Declined::HandingOver { .. } | Declined::Busy | Declined::NoLog => Reply::Busy,
        };
        self.respond(reader, reply);
    }

    /// The node does not lead any more: whether what waits will be applied, it does not know.
    pub(super) fn deposed(&mut self) {
        for reader in std::mem::take(&mut self.waiting).into_values() {
            self.respond(reader, Reply::NotLeader { leader: None });
        }
    }

    /// A read can be served now, or not at all.
    pub(super) fn read(&mut self, id: u64, outcome: Result<LogIndex, Declined>) {
        let Some((reader, operation)) = self.reads.remove(&id) else { return };
        let reply = match outcome {
            Ok(index) => {
                assert!(self.applied() >= index, "what is committed is applied before it is read");
                Reply::Answered { answer: self.machine.read(&operation), index: self.applied() }
            }
            Err(Declined::NotLeader { leader }) => Reply::NotLeader { leader },
            Err(_) => Reply::Busy,
        };
        self.respond(reader, reply);
    }

    /// Gives the state machine the next entry.
    pub(super) fn apply(&mut self, index: LogIndex, entry: &Entry) {
        let Some((answers, outcome)) = self.machine.apply(index, entry.command()) else { return };
        let Some(reader) = self.waiting.remove(&answers) else { return };
        let reply = match outcome {
            Outcome::Opened(session) => Reply::Opened { session },
            Outcome::Executed(answer) => Reply::Answered { answer, index },
        };
        self.respond(reader, reply);
    }
}
