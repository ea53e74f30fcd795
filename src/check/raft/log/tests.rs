//! Each promise broken, and what is said of it.

use std::rc::Rc;

use bytes::Bytes;

use super::*;
use crate::raft::config::Replication;
use crate::raft::kv::{Answer, Asker, Command, Failure, Operation};
use crate::raft::log::Payload;
use crate::raft::message::{AppendEntries, AppendEntriesResponse};
use crate::raft::request::{Ask, Consistency, Reply, Request, Response};
use crate::raft::{Entry, HardState, Log, LogChange, LogPosition, LogWrite, Message};

const N1: NodeId = NodeId(1);
const N2: NodeId = NodeId(2);
const N3: NodeId = NodeId(3);

/// A check that events are told to, one after the other.
struct Told {
    check: LogCheck,
    number: u64,
    writes: u64,
}

fn entries(shown: &[(Term, &str)]) -> Vec<Entry> {
    let command = |text: &str| Payload::Command(Bytes::copy_from_slice(text.as_bytes()));
    shown.iter().map(|(term, text)| Entry { term: *term, payload: command(text) }).collect()
}

impl Told {
    fn new() -> Self {
        let config = Config::new([N1, N2, N3]);
        let mut told = Self { check: LogCheck::new(&config, &Conditions::default()), number: 0, writes: 0 };
        for id in [N1, N2, N3] {
            told.fine(id, &Event::Loaded(HardState::default()));
            told.fine(id, &Event::LoadedLog { log: Rc::default(), torn: None });
        }
        told
    }

    fn tell(&mut self, id: NodeId, event: &Event) -> Result<(), String> {
        self.number += 1;
        let seen = (Duration::from_millis(self.number), self.number);
        self.check.event(id, seen, event).map_err(|breach| breach.invariant)
    }

    fn fine(&mut self, id: NodeId, event: &Event) {
        self.tell(id, event).unwrap_or_else(|breach| panic!("{breach}: {event:?}"));
    }

    fn core(&mut self, id: NodeId, event: CoreEvent) -> Result<(), String> {
        self.tell(id, &Event::Core(event))
    }

    fn leads(&mut self, id: NodeId, term: Term) -> Result<(), String> {
        self.core(id, CoreEvent::TermRaised { from: term - 1, to: term })?;
        self.core(id, CoreEvent::BecameLeader { term, voters: vec![] })
    }

    fn write(&mut self, id: NodeId, change: LogChange) -> Result<u64, String> {
        self.writes += 1;
        let write = LogWrite { number: self.writes, change };
        self.tell(id, &Event::Writing(Rc::new(write))).map(|()| self.writes)
    }

    fn append(&mut self, id: NodeId, first: LogIndex, shown: &[(Term, &str)]) -> Result<u64, String> {
        self.write(id, LogChange::Append { first, entries: entries(shown) })
    }

    /// Appends, durably.
    fn has(&mut self, id: NodeId, first: LogIndex, shown: &[(Term, &str)]) {
        let number = self.append(id, first, shown).expect("it is fine");
        self.fine(id, &Event::Synced { number });
    }

    fn commit(&mut self, id: NodeId, index: LogIndex) -> Result<(), String> {
        self.core(id, CoreEvent::Committed { index, term: 0 })
    }

    fn hears(&mut self, id: NodeId, from: NodeId, (term, prev): (Term, (LogIndex, Term)), shown: &[(Term, &str)]) {
        let message = Rc::new(appending(term, prev, shown));
        self.fine(id, &Event::Received { from, message });
    }

    fn acknowledge(&mut self, id: NodeId, to: NodeId, term: Term, match_index: LogIndex) -> Result<(), String> {
        let answer = AppendEntriesResponse { term, success: true, match_index, round: 1, conflict: None };
        self.tell(id, &Event::Sending { to, message: Message::AppendEntriesResponse(answer) })
    }

    fn starts_again(&mut self, id: NodeId, term: Term, shown: &[(Term, &str)]) -> Result<(), String> {
        self.fine(id, &Event::Loaded(HardState { term, voted_for: None }));
        let log = Rc::new(Log::new(LogPosition::default(), entries(shown)));
        self.tell(id, &Event::LoadedLog { log, torn: None })
    }
}

fn appending(term: Term, (prev_log_index, prev_log_term): (LogIndex, Term), shown: &[(Term, &str)]) -> Message {
    let (entries, leader_commit, round) = (entries(shown), 0, 1);
    Message::AppendEntries(AppendEntries { term, prev_log_index, prev_log_term, entries, leader_commit, round })
}

fn is(broken: &str, invariant: &str) {
    assert_eq!(broken, invariant);
}

#[test]
fn what_a_right_raft_does_is_fine() {
    let mut told = Told::new();
    told.leads(N1, 1).unwrap();
    let number = told.append(N1, 1, &[(1, "a")]).unwrap();
    told.hears(N2, N1, (1, (0, 0)), &[(1, "a")]);
    told.has(N2, 1, &[(1, "a")]);
    told.acknowledge(N2, N1, 1, 1).unwrap();
    told.core(N1, CoreEvent::Progressed { peer: N2, match_index: 1, next_index: 2 }).unwrap();
    told.fine(N1, &Event::Synced { number });
    told.commit(N1, 1).unwrap();
    told.fine(N1, &Event::Applied { index: 1, term: 1, digest: 7 });
    told.commit(N2, 1).unwrap();
    told.fine(N2, &Event::Applied { index: 1, term: 1, digest: 7 });
    told.starts_again(N2, 1, &[(1, "a")]).unwrap();
    told.hears(N2, N1, (1, (1, 1)), &[]);
    told.commit(N2, 1).unwrap();
    told.fine(N2, &Event::Applied { index: 1, term: 1, digest: 7 });
}

#[test]
fn a_leader_that_cuts_its_log_off_breaks_r1() {
    let mut told = Told::new();
    told.leads(N1, 1).unwrap();
    told.has(N1, 1, &[(1, "a")]);
    is(&told.write(N1, LogChange::Truncate { from: 1 }).unwrap_err(), R1);
}

#[test]
fn the_same_entry_after_others_breaks_r2_and_with_another_content_r13() {
    let mut told = Told::new();
    told.has(N1, 1, &[(1, "a"), (3, "c")]);
    told.has(N2, 1, &[(2, "b")]);
    is(&told.append(N2, 2, &[(3, "c")]).unwrap_err(), R2);
    is(&told.append(N3, 1, &[(1, "x")]).unwrap_err(), R13);
}

#[test]
fn two_contents_at_one_committed_index_break_r3() {
    let mut told = Told::new();
    for id in [N1, N2] {
        told.has(id, 1, &[(1, "a")]);
    }
    told.leads(N1, 1).unwrap();
    told.commit(N1, 1).unwrap();
    told.has(N3, 1, &[(2, "b")]);
    is(&told.commit(N3, 1).unwrap_err(), R3);
}

#[test]
fn a_leader_without_a_committed_entry_breaks_r4() {
    let mut told = Told::new();
    for id in [N1, N2] {
        told.has(id, 1, &[(1, "a")]);
    }
    told.leads(N1, 1).unwrap();
    told.commit(N1, 1).unwrap();
    is(&told.leads(N3, 2).unwrap_err(), R4);
    told.leads(N2, 3).unwrap();
}

#[test]
fn indexes_that_fall_break_r5_and_entries_out_of_order_r6() {
    let mut told = Told::new();
    for id in [N1, N2] {
        told.has(id, 1, &[(1, "a"), (1, "b")]);
    }
    told.leads(N1, 1).unwrap();
    told.commit(N1, 1).unwrap();
    is(&told.commit(N1, 1).unwrap_err(), R5);
    is(&told.commit(N1, 3).unwrap_err(), R5);
    told.fine(N1, &Event::Applied { index: 1, term: 1, digest: 7 });
    is(&told.tell(N1, &Event::Applied { index: 1, term: 1, digest: 7 }).unwrap_err(), R6);
    is(&told.tell(N1, &Event::Applied { index: 2, term: 1, digest: 7 }).unwrap_err(), R5);
    told.hears(N2, N1, (1, (0, 0)), &[(1, "a")]);
    told.commit(N2, 1).unwrap();
    is(&told.tell(N2, &Event::Applied { index: 1, term: 1, digest: 8 }).unwrap_err(), R6);
}

#[test]
fn an_older_entry_that_is_counted_breaks_r7() {
    let mut told = Told::new();
    for id in [N1, N2] {
        told.has(id, 1, &[(1, "a")]);
    }
    told.leads(N1, 2).unwrap();
    is(&told.commit(N1, 1).unwrap_err(), R7);
}

#[test]
fn what_no_majority_has_durably_breaks_r8_or_r9() {
    let mut told = Told::new();
    told.leads(N1, 1).unwrap();
    told.append(N1, 1, &[(1, "a")]).unwrap();
    is(&told.commit(N1, 1).unwrap_err(), R8);
    told.has(N2, 1, &[(1, "a")]);
    is(&told.commit(N1, 1).unwrap_err(), R9);
    is(&told.commit(N2, 1).unwrap_err(), R8);
    told.has(N3, 1, &[(1, "a")]);
    told.commit(N1, 1).unwrap();
}

#[test]
fn a_match_index_that_was_not_acknowledged_breaks_r10_and_next_below_it_r12() {
    let mut told = Told::new();
    told.leads(N1, 1).unwrap();
    told.has(N1, 1, &[(1, "a")]);
    is(&told.core(N1, CoreEvent::Progressed { peer: N2, match_index: 1, next_index: 2 }).unwrap_err(), R10);
    is(&told.core(N1, CoreEvent::Progressed { peer: N2, match_index: 1, next_index: 1 }).unwrap_err(), R12);
    is(&told.core(N1, CoreEvent::Progressed { peer: N3, match_index: 0, next_index: 3 }).unwrap_err(), R12);
}

#[test]
fn a_match_index_that_is_taken_back_breaks_r10() {
    let mut told = Told::new();
    told.leads(N1, 1).unwrap();
    told.has(N1, 1, &[(1, "a")]);
    told.hears(N2, N1, (1, (0, 0)), &[(1, "a")]);
    told.has(N2, 1, &[(1, "a")]);
    told.acknowledge(N2, N1, 1, 1).unwrap();
    told.core(N1, CoreEvent::Progressed { peer: N2, match_index: 1, next_index: 2 }).unwrap();
    is(&told.core(N1, CoreEvent::Progressed { peer: N2, match_index: 0, next_index: 2 }).unwrap_err(), R10);
}

#[test]
fn a_follower_that_commits_what_its_leader_did_not_vouch_for_breaks_r8() {
    let mut told = Told::new();
    for id in [N1, N2, N3] {
        told.has(id, 1, &[(1, "a"), (1, "b")]);
    }
    told.leads(N1, 1).unwrap();
    told.commit(N1, 2).unwrap();
    told.hears(N2, N1, (1, (1, 1)), &[]);
    is(&told.commit(N2, 2).unwrap_err(), R8);
    told.hears(N2, N1, (1, (2, 1)), &[]);
    told.commit(N2, 2).unwrap();
}

#[test]
fn an_acknowledgement_of_what_is_not_durable_or_not_vouched_for_breaks_r11() {
    let mut told = Told::new();
    told.hears(N2, N1, (1, (0, 0)), &[(1, "a"), (1, "b")]);
    told.has(N2, 1, &[(1, "a")]);
    let number = told.append(N2, 2, &[(1, "b")]).unwrap();
    told.acknowledge(N2, N1, 1, 1).unwrap();
    is(&told.acknowledge(N2, N1, 1, 2).unwrap_err(), R11);
    told.fine(N2, &Event::Synced { number });
    told.acknowledge(N2, N1, 1, 2).unwrap();
    told.core(N2, CoreEvent::TermRaised { from: 1, to: 2 }).unwrap();
    told.hears(N2, N3, (2, (1, 1)), &[]);
    told.acknowledge(N2, N3, 2, 1).unwrap();
    is(&told.acknowledge(N2, N3, 2, 2).unwrap_err(), R11);
}

#[test]
fn a_message_that_says_what_is_not_so_breaks_r14() {
    let mut told = Told::new();
    told.leads(N1, 1).unwrap();
    told.has(N1, 1, &[(1, "a")]);
    let mut send = |message| told.tell(N1, &Event::Sending { to: N2, message });
    send(appending(1, (0, 0), &[(1, "a"), (1, "b")])).unwrap();
    is(&send(appending(1, (1, 2), &[])).unwrap_err(), R14);
    is(&send(appending(1, (3, 1), &[])).unwrap_err(), R14);
    is(&send(appending(1, (0, 0), &[(1, "x")])).unwrap_err(), R14);
    is(&told.append(N1, 3, &[(1, "c")]).unwrap_err(), R14);
}

#[test]
fn a_cut_without_a_conflict_breaks_r15() {
    let mut told = Told::new();
    told.has(N2, 1, &[(1, "a"), (1, "b")]);
    told.hears(N2, N1, (2, (0, 0)), &[(1, "a")]);
    is(&told.write(N2, LogChange::Truncate { from: 2 }).unwrap_err(), R15);
    told.hears(N2, N1, (2, (1, 1)), &[(2, "c")]);
    told.write(N2, LogChange::Truncate { from: 2 }).unwrap();
}

#[test]
fn what_was_synced_and_is_missing_or_back_breaks_r16() {
    let mut told = Told::new();
    told.has(N2, 1, &[(1, "a"), (1, "b")]);
    told.append(N2, 3, &[(1, "c")]).unwrap();
    told.starts_again(N2, 1, &[(1, "a"), (1, "b"), (1, "c")]).unwrap();
    is(&told.starts_again(N2, 1, &[(1, "a"), (1, "b")]).unwrap_err(), R16);
    told.hears(N2, N1, (2, (1, 1)), &[(2, "x")]);
    let cut = told.write(N2, LogChange::Truncate { from: 2 }).unwrap();
    told.fine(N2, &Event::Synced { number: cut });
    is(&told.starts_again(N2, 2, &[(1, "a"), (1, "b")]).unwrap_err(), R16);
}

#[test]
fn a_leader_that_does_not_commit_what_a_quorum_has_breaks_r17() {
    let mut told = Told::new();
    told.leads(N1, 1).unwrap();
    told.has(N1, 1, &[(1, "a")]);
    told.hears(N2, N1, (1, (0, 0)), &[(1, "a")]);
    told.has(N2, 1, &[(1, "a")]);
    told.acknowledge(N2, N1, 1, 1).unwrap();
    told.core(N1, CoreEvent::Progressed { peer: N2, match_index: 1, next_index: 2 }).unwrap();
    let status = Status {
        id: N1,
        role: Role::Leader,
        term: 1,
        voted_for: Some(N1),
        leader: Some(N1),
        since: Duration::ZERO,
        timer_at: None,
        log: LogPosition { last_index: 1, last_term: 1 },
        commit: 0,
        durable: 1,
    };
    let (now, done, deadline) = (Duration::ZERO, Duration::ZERO, None);
    let stepped = Event::Stepped { status, now, done, deadline };
    is(&told.tell(N1, &stepped).unwrap_err(), R17);
    told.commit(N1, 1).unwrap();
    told.fine(N1, &stepped);
}

#[test]
fn a_read_that_misses_what_was_committed_breaks_c4() {
    let mut told = Told::new();
    for id in [N1, N2] {
        told.has(id, 1, &[(1, "a")]);
    }
    told.leads(N1, 1).unwrap();
    told.commit(N1, 1).unwrap();
    let client = NodeId(100);
    let mut read = |number, consistency, applied| {
        let operation = Operation::Get { key: Bytes::new() };
        let request = Rc::new(Request { number, ask: Ask::Read { consistency, operation } });
        told.fine(N3, &Event::Requested { from: client, request });
        let reply = Reply::Answered { answer: Answer::Value(None), index: applied };
        told.tell(N3, &Event::Responding { to: client, response: Response { number, reply }, applied })
    };
    is(&read(1, Consistency::Index, 0).unwrap_err(), C4);
    is(&read(2, Consistency::Lease, 0).unwrap_err(), C4);
    read(3, Consistency::Stale, 0).unwrap();
    read(4, Consistency::Index, 1).unwrap();
}

/// Appends these commands at n1, which leads term 1, and has them committed and applied.
fn executed(told: &mut Told, commands: &[Command]) {
    told.leads(N1, 1).unwrap();
    let entry = |command: &Command| Entry { term: 1, payload: Payload::Command(command.bytes()) };
    for id in [N1, N2] {
        let change = LogChange::Append { first: 1, entries: commands.iter().map(entry).collect() };
        let number = told.write(id, change).unwrap();
        told.fine(id, &Event::Synced { number });
    }
    told.commit(N1, commands.len() as u64).unwrap();
    (1..=commands.len() as u64).for_each(|index| told.fine(N1, &Event::Applied { index, term: 1, digest: index }));
}

#[test]
fn an_answer_that_the_log_does_not_come_to_breaks_c2() {
    let mut told = Told::new();
    let key = Bytes::from_static(b"k");
    let append = Operation::Append { key: key.clone(), value: Bytes::from_static(b"x") };
    let execute = Command::Execute { session: 1, serial: 1, operation: append.clone() };
    let asker = Asker { client: 100, request: 1 };
    executed(&mut told, &[Command::Open { asker }, execute.clone(), execute]);
    let client = NodeId(100);
    let mut asks = |number, ask, answer| {
        told.fine(N1, &Event::Requested { from: client, request: Rc::new(Request { number, ask }) });
        let reply = Reply::Answered { answer, index: 3 };
        told.tell(N1, &Event::Responding { to: client, response: Response { number, reply }, applied: 3 })
    };
    let read = || Ask::Read { consistency: Consistency::Index, operation: Operation::Get { key: key.clone() } };
    asks(1, read(), Answer::Value(Some(Bytes::from_static(b"x")))).unwrap();
    is(&asks(2, read(), Answer::Value(Some(Bytes::from_static(b"xx")))).unwrap_err(), C2);
    let ask = |session, serial| Ask::Execute { session, serial, operation: append.clone() };
    asks(3, ask(1, 1), Answer::Done).unwrap();
    is(&asks(4, ask(1, 1), Answer::Failed(Failure::NoSession)).unwrap_err(), C2);
    is(&asks(5, ask(1, 2), Answer::Done).unwrap_err(), C2);
    asks(6, ask(2, 1), Answer::Failed(Failure::NoSession)).unwrap();
}

#[test]
fn a_read_by_lease_after_the_lease_breaks_c5() {
    let replication = Replication { lease: Some(100_000), ..Replication::default() };
    let config = Config { replication: Some(replication), ..Config::new([N1, N2, N3]) };
    let mut told = Told { check: LogCheck::new(&config, &Conditions::default()), number: 0, writes: 0 };
    for id in [N1, N2, N3] {
        told.fine(id, &Event::Loaded(HardState::default()));
        told.fine(id, &Event::LoadedLog { log: Rc::default(), torn: None });
    }
    told.leads(N1, 1).unwrap();
    let sent = Duration::from_millis(told.number + 1);
    told.fine(N1, &Event::Sending { to: N2, message: appending(1, (0, 0), &[]) });
    let read = |told: &mut Told, at: Duration, number| {
        told.number += 1;
        let operation = Operation::Get { key: Bytes::new() };
        let request = Rc::new(Request { number, ask: Ask::Read { consistency: Consistency::Lease, operation } });
        told.fine(N1, &Event::Requested { from: NodeId(100), request });
        let response = Response { number, reply: Reply::Answered { answer: Answer::Value(None), index: 0 } };
        let event = Event::Responding { to: NodeId(100), response, applied: 0 };
        told.check.event(N1, (at, told.number), &event).map_err(|breach| breach.invariant)
    };
    is(&read(&mut told, sent, 1).unwrap_err(), C5);
    let answer = AppendEntriesResponse { term: 1, success: true, match_index: 0, round: 1, conflict: None };
    let message = Rc::new(Message::AppendEntriesResponse(answer));
    told.fine(N1, &Event::Received { from: N2, message });
    // 150 ms, on a clock that is a tenth fast.
    read(&mut told, sent + Duration::from_millis(136), 2).unwrap();
    is(&read(&mut told, sent + Duration::from_millis(137), 3).unwrap_err(), C5);
    let drifting = Conditions { drift: 0.2, ..Conditions::default() };
    assert!(LogCheck::new(&config, &drifting).unchecked()[0].starts_with(C5));
}

#[test]
fn who_stays_behind_though_nothing_is_in_the_way_breaks_l4() {
    let mut told = Told::new();
    for id in [N1, N2] {
        told.has(id, 1, &[(1, "a")]);
    }
    told.leads(N1, 1).unwrap();
    told.commit(N1, 1).unwrap();
    told.hears(N2, N1, (1, (0, 0)), &[(1, "a")]);
    told.commit(N2, 1).unwrap();
    told.check.calm(Duration::from_secs(1));
    assert!(told.check.at_end(Duration::from_millis(1300)).is_none(), "there is time");
    is(&told.check.at_end(Duration::from_mins(1)).expect("n3 has nothing").invariant, L4);
    let mut leaderless = told.check.clone();
    leaderless.down(N1);
    assert!(leaderless.at_end(Duration::from_mins(1)).is_none(), "nobody leads");
    told.check.down(N3);
    assert!(told.check.at_end(Duration::from_mins(1)).is_none(), "the dead catch up with nothing");
}
