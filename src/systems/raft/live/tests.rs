//! Tests of what is heard of live runs.

use bytes::Bytes;

use super::*;
use crate::raft::kv::{Answer, Operation};
use crate::rng::Seed;

fn witness(script: &str) -> Result<Processes, ScriptError> {
    let text = format!("about = 'x'\nsystem = 'raft'\nduration = '9s'\n{script}");
    let script = Script::parse("x.toml", &text).expect("a script");
    processes(&Setup::built(&crate::systems::raft::Raft, &script, Seed(0))?)
}

fn tell(witness: &mut dyn Witness, host: &str, t_ns: u64, fact: Fact) {
    let line = Line { t_ns, event: None, fields: indexmap::IndexMap::default(), fact: Some(fact) };
    let line = serde_json::to_string(&line).expect("JSON");
    assert!(witness.line(host, (Duration::from_nanos(t_ns), t_ns), &line).is_some());
}

#[test]
fn a_node_has_the_arguments_of_its_script() {
    let script = "[raft]\nnodes = 2\npre_vote = false\nheartbeat = '40ms'\n[[step]]\nat = '0s'\nraft = { pin = 'n2', timeout = '99ms' }\n";
    let hosts = witness(script).expect("it can be had").hosts;
    let of = |place: usize| hosts[place].arguments.join(" ");
    assert!(
        of(0).starts_with("--id 1 --listen {addr}:7000 --peers 1=n1:7000,2=n2:7000 --data {dir}/raft"),
        "{}",
        of(0)
    );
    assert!(of(0).contains("--heartbeat 40ms --no-pre-vote --events") && of(1).contains("--first-timeout 99ms"));
}

#[test]
fn two_leaders_of_a_term_are_found_in_whatever_order_they_are_heard() {
    for order in [[1, 2], [2, 1]] {
        let mut witness = witness("").expect("it can be had").witness;
        for id in order {
            let host = format!("n{id}");
            tell(&mut *witness, &host, id, Fact::Loaded(crate::consensus::HardState::default()));
        }
        for id in order {
            let host = format!("n{id}");
            let state = crate::consensus::HardState { term: 1, voted_for: Some(NodeId(id)) };
            tell(&mut *witness, &host, 10 + id, Fact::Entered { term: 1 });
            tell(&mut *witness, &host, 12 + id, Fact::Persisted(state));
            tell(&mut *witness, &host, 14 + id, Fact::became(Role::Candidate, 1));
            tell(&mut *witness, &host, 16 + id, Fact::became(Role::Leader, 1));
        }
        let Judgement { breach, notes, .. } = witness.judge(&Ending::default());
        assert!(breach.is_some() && notes[0].contains("not checked live"), "{notes:?}");
    }
}

#[test]
fn states_and_roles_follow_from_what_nodes_are() {
    let mut witness = witness("").expect("it can be had").witness;
    assert!(witness.holds("leaderless") && !witness.holds("leader"));
    let is = |role, leader| Fact::Is { role, term: 4, leader: Some(NodeId(leader)) };
    tell(&mut *witness, "n1", 1, is(Role::Leader, 1));
    tell(&mut *witness, "n2", 2, is(Role::Follower, 1));
    assert!(witness.holds("leader") && !witness.holds("agreed"));
    tell(&mut *witness, "n3", 3, is(Role::Follower, 1));
    assert!(witness.holds("agreed"));
    assert_eq!(
        (witness.who("leader"), witness.who("follower")),
        (vec!["n1".to_owned()], vec!["n2".to_owned(), "n3".to_owned()])
    );
    witness.ended("n1", (Duration::from_nanos(4), 4));
    assert_eq!((witness.holds("agreed"), witness.who("leader")), (false, Vec::new()));
    assert!(witness.line("n1", (Duration::ZERO, 0), "listening on 10.88.0.1:7000").is_none());
}

const STORE: &str = "[raft.clients]\ncount = 2\n";

fn told(witness: &mut dyn Witness, host: &str, t_ns: u64, told: &workload::Told) -> Heard {
    let line = Line { fact: Some(told.clone()), ..Line::named(t_ns, "told", Vec::new()) };
    let line = serde_json::to_string(&line).expect("JSON");
    witness.line(host, (Duration::from_nanos(t_ns), t_ns), &line).expect("it tells something")
}

fn calls(client: u64, operation: &Operation) -> workload::Told {
    workload::Told::Calls { client, operation: operation.bytes(), consistency: "index".to_owned() }
}

fn returns(client: u64, answer: &Answer) -> workload::Told {
    let outcome = workload::Came::Answered { answer: answer.bytes(), index: 3 };
    workload::Told::Returns { client, took: Duration::from_millis(7), outcome }
}

fn put() -> Operation {
    Operation::Put { key: Bytes::from_static(b"k1"), value: Bytes::from_static(b"c1.1") }
}

fn get() -> Operation {
    Operation::Get { key: Bytes::from_static(b"k1") }
}

#[test]
fn clients_are_played_and_their_nodes_replicate() {
    let hosts = witness(STORE).expect("it can be had").hosts;
    let names: Vec<&str> = hosts.iter().map(|host| host.name.as_str()).collect();
    assert_eq!(names, ["n1", "n2", "n3", "c1", "c2"]);
    assert!(hosts[0].arguments.contains(&"--kv={addr}:9000".to_owned()), "{:?}", hosts[0].arguments);
    assert!(hosts[3].program.is_none() && hosts[3].last && hosts[3].arguments[..2] == ["part", "c1"]);
}

#[test]
fn a_read_of_what_was_overwritten_is_found_whatever_is_heard_first() {
    let (early, late) = (calls(7, &put()), returns(7, &Answer::Done));
    for nothing in [Answer::Value(None), Answer::Value(Some(Bytes::from_static(b"c1.1")))] {
        let mut witness = witness(STORE).expect("it can be had").witness;
        // The reader's lines come first, and are of later.
        told(&mut *witness, "c2", 30, &calls(8, &get()));
        let heard = told(&mut *witness, "c2", 40, &returns(8, &nothing));
        assert_eq!((heard.counts, heard.work), (vec![("calls answered", 1)], 1));
        assert_eq!(heard.time, Some(("calls", Duration::from_millis(7))));
        told(&mut *witness, "c1", 10, &early);
        told(&mut *witness, "c1", 20, &late);
        let Judgement { breach, notes, .. } = witness.judge(&Ending::default());
        let is_right = nothing != Answer::Value(None);
        // Nobody leads here, which is found where nothing else is.
        let found = breach.as_ref().map(|breach| breach.invariant.clone()).unwrap_or_default();
        assert_eq!(found.starts_with("C1 "), !is_right, "{found}");
        if !is_right {
            let drawn: Vec<String> =
                breach.iter().flat_map(|breach| &breach.facts).map(|fact| fact.text.clone()).collect();
            // From 10 to 20 and from 30 to 40, in 31 steps of the 30.
            let bar = |before: usize, long: usize, after: usize| {
                format!("[{}├{}┤{}] ", " ".repeat(before), "─".repeat(long), " ".repeat(after))
            };
            assert!(drawn[0].starts_with(&bar(0, 9, 21)) && drawn[0].ends_with("put k1 c1.1 -> done"), "{drawn:#?}");
            assert!(drawn[1].starts_with(&bar(20, 10, 0)) && drawn[1].ends_with("get k1 -> nothing"), "{drawn:#?}");
        }
        assert!(notes.iter().any(|note| note.contains("not checked live: S1")), "{notes:?}");
    }
}

#[test]
fn a_call_that_never_returned_may_have_been_done_or_not() {
    for answer in [Answer::Value(None), Answer::Value(Some(Bytes::from_static(b"c1.1")))] {
        let mut witness = witness(STORE).expect("it can be had").witness;
        told(&mut *witness, "c1", 10, &calls(7, &put()));
        told(&mut *witness, "c2", 30, &calls(8, &get()));
        told(&mut *witness, "c2", 40, &returns(8, &answer));
        let breach = witness.judge(&Ending::default()).breach;
        assert!(breach.is_none_or(|breach| !breach.invariant.starts_with("C1 ")));
    }
}

#[test]
fn commits_count_once_whoever_tells_of_them() {
    let mut witness = witness(STORE).expect("it can be had").witness;
    let mut say = |host: &str, index: u64| {
        let line: Line<Fact> = Line::named(1, "committed", [("index", index.into())]);
        let line = serde_json::to_string(&line).expect("JSON");
        witness.line(host, (Duration::ZERO, 1), &line).expect("it tells an event").counts
    };
    assert_eq!(
        (say("n1", 3), say("n2", 2), say("n3", 5)),
        (vec![("commits", 3)], vec![("commits", 0)], vec![("commits", 2)])
    );
}

#[test]
fn what_nodes_and_clients_have_not_is_refused_with_its_line() {
    for (rest, reason) in [
        ("[raft.clients]\nover = 'http'", "the cluster's own datagrams"),
        ("[raft.replication]\nbatch_entries = 1", "in a way of its own"),
        ("[raft]\nuntil_answered = true\n[raft.clients]", "its time is over"),
    ] {
        let Err(error) = witness(rest) else { panic!("{rest} is not refused") };
        assert!(error.to_string().contains(reason), "{error}");
    }
}
