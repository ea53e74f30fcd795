//! What the state machine does with commands, and with those that come again.

use proptest::prelude::*;

use super::*;

fn b(text: &str) -> Bytes {
    Bytes::copy_from_slice(text.as_bytes())
}

fn put(key: &str, value: &str) -> Operation {
    Operation::Put { key: b(key), value: b(value) }
}

fn get(key: &str) -> Operation {
    Operation::Get { key: b(key) }
}

fn cas(key: &str, expected: Option<&str>, value: &str) -> Operation {
    Operation::Cas { key: b(key), expected: expected.map(b), value: b(value) }
}

fn append(key: &str, value: &str) -> Operation {
    Operation::Append { key: b(key), value: b(value) }
}

fn value(text: &str) -> Answer {
    Answer::Value(Some(b(text)))
}

/// A machine, and a session in it.
struct Store {
    machine: Machine,
    session: u64,
    serial: u64,
}

impl Store {
    fn new() -> Self {
        let mut store = Self { machine: Machine::default(), session: 0, serial: 0 };
        store.session = store.open();
        store
    }

    fn apply(&mut self, command: &Command) -> Outcome {
        let next = self.machine.applied() + 1;
        self.machine.apply(next, Some(&command.bytes())).expect("it is a command").1
    }

    fn open(&mut self) -> u64 {
        match self.apply(&Command::Open { asker: Asker { client: 1, request: 1 } }) {
            Outcome::Opened(session) => session,
            Outcome::Executed(answer) => panic!("{answer:?} is no session"),
        }
    }

    fn execute(&mut self, session: u64, serial: u64, operation: Operation) -> Answer {
        match self.apply(&Command::Execute { session, serial, operation }) {
            Outcome::Executed(answer) => answer,
            Outcome::Opened(session) => panic!("{session} is no answer"),
        }
    }

    fn run(&mut self, operation: Operation) -> Answer {
        self.serial += 1;
        self.execute(self.session, self.serial, operation)
    }
}

#[test]
fn what_is_written_is_read() {
    let mut store = Store::new();
    assert_eq!(store.run(get("a")), Answer::Value(None));
    assert_eq!(store.run(put("a", "1")), Answer::Done);
    assert_eq!(store.run(get("a")), value("1"));
    assert_eq!(store.run(append("a", "2")), Answer::Done);
    assert_eq!(store.run(append("b", "3")), Answer::Done);
    assert_eq!((store.run(get("a")), store.run(get("b"))), (value("12"), value("3")));
    assert_eq!(store.run(Operation::Delete { key: b("a") }), Answer::Done);
    assert_eq!(store.run(get("a")), Answer::Value(None));
}

#[test]
fn a_comparison_decides_whether_a_value_is_written() {
    let mut store = Store::new();
    assert_eq!(store.run(cas("a", Some("1"), "2")), Answer::Swapped(false));
    assert_eq!(store.run(cas("a", None, "1")), Answer::Swapped(true));
    assert_eq!(store.run(cas("a", None, "2")), Answer::Swapped(false));
    assert_eq!(store.run(cas("a", Some("1"), "2")), Answer::Swapped(true));
    assert_eq!(store.run(get("a")), value("2"));
}

#[test]
fn a_scan_finds_what_begins_so_in_order() {
    let mut store = Store::new();
    for key in ["ab", "b", "aa", "a", "ac"] {
        store.run(put(key, "x"));
    }
    let keys = |answer| match answer {
        Answer::Pairs(pairs) => pairs.into_iter().map(|(key, _)| key).collect::<Vec<_>>(),
        other => panic!("{other:?}"),
    };
    let scan = |prefix: &str, limit| Operation::Scan { prefix: b(prefix), limit };
    assert_eq!(keys(store.run(scan("a", 9))), [b("a"), b("aa"), b("ab"), b("ac")]);
    assert_eq!(keys(store.run(scan("a", 2))), [b("a"), b("aa")]);
    assert!(keys(store.run(scan("c", 2))).is_empty());
}

#[test]
fn a_command_that_comes_again_takes_no_effect_again_and_gets_its_answer() {
    let mut store = Store::new();
    let session = store.session;
    assert_eq!(store.execute(session, 1, append("a", "x")), Answer::Done);
    assert_eq!(store.execute(session, 1, append("a", "x")), Answer::Done);
    assert_eq!(store.execute(session, 2, cas("a", Some("x"), "y")), Answer::Swapped(true));
    assert_eq!(store.execute(session, 2, cas("a", Some("x"), "y")), Answer::Swapped(true), "as it did");
    assert_eq!(store.execute(session, 1, append("a", "x")), Answer::Failed(Failure::Superseded));
    assert_eq!(store.execute(session, 3, get("a")), value("y"));
}

#[test]
fn a_command_in_no_session_is_an_error_and_takes_no_effect() {
    let mut store = Store::new();
    assert_eq!(store.execute(77, 1, put("a", "x")), Answer::Failed(Failure::NoSession));
    assert_eq!(store.run(get("a")), Answer::Value(None));
}

#[test]
fn the_session_that_was_used_least_lately_is_closed() {
    let mut store = Store::new();
    let first = store.session;
    let second = store.open();
    store.execute(first, 1, put("a", "x"));
    for _ in 2..SESSIONS_MAX {
        store.open();
    }
    assert_eq!(store.machine.sessions(), SESSIONS_MAX);
    store.open();
    assert_eq!(store.execute(second, 1, put("a", "x")), Answer::Failed(Failure::NoSession));
    assert_eq!(store.execute(first, 1, put("a", "x")), Answer::Done, "it was used after the second");
}

#[test]
fn what_is_too_long_is_refused_and_takes_no_effect() {
    let mut store = Store::new();
    let long = "x".repeat(VALUE_BYTES_MAX);
    assert_eq!(store.run(put("a", &long)), Answer::Done);
    assert_eq!(store.run(append("a", "x")), Answer::Failed(Failure::TooLong));
    assert_eq!(store.run(put(&long, "x")), Answer::Failed(Failure::TooLong));
    assert_eq!(store.run(put("b", &(long + "x"))), Answer::Failed(Failure::TooLong));
    assert_eq!(store.machine.keys(), 1);
}

#[test]
fn what_is_no_command_changes_nothing_but_the_count() {
    let mut machine = Machine::default();
    assert_eq!(machine.apply(1, None), None);
    assert_eq!(machine.apply(2, Some(&b("rubbish"))), None);
    assert_eq!((machine.applied(), machine.keys(), machine.sessions()), (2, 0, 0));
}

fn operation() -> impl Strategy<Value = Operation> {
    let text = || prop::sample::select(vec!["", "a", "ab", "b", "c"]).prop_map(b);
    prop_oneof![
        text().prop_map(|key| Operation::Get { key }),
        (text(), text()).prop_map(|(key, value)| Operation::Put { key, value }),
        text().prop_map(|key| Operation::Delete { key }),
        (text(), prop::option::of(text()), text()).prop_map(|(key, expected, value)| Operation::Cas {
            key,
            expected,
            value
        }),
        (text(), text()).prop_map(|(key, value)| Operation::Append { key, value }),
        (text(), 0..4_u32).prop_map(|(prefix, limit)| Operation::Scan { prefix, limit }),
    ]
}

fn command() -> impl Strategy<Value = Command> {
    let asker = || (0..3_u64, 0..3_u64).prop_map(|(client, request)| Asker { client, request });
    prop_oneof![
        1 => asker().prop_map(|asker| Command::Open { asker }),
        6 => (1..9_u64, 0..5_u64, operation())
            .prop_map(|(session, serial, operation)| Command::Execute { session, serial, operation }),
        1 => (asker(), operation()).prop_map(|(asker, operation)| Command::Query { asker, operation }),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn the_digest_is_that_of_what_is_held(commands in prop::collection::vec(command(), 0..60)) {
        let (mut machine, mut again) = (Machine::default(), Machine::default());
        for (index, command) in (1..).zip(&commands) {
            machine.apply(index, Some(&command.bytes()));
            let expected = machine.values.iter().fold(0, |digest, (key, value)| digest ^ digest_of_pair(key, value))
                ^ machine.sessions.iter().fold(0, |digest, (name, session)| digest ^ digest_of_session(*name, session));
            prop_assert_eq!(machine.digest, expected);
            prop_assert_eq!(machine.by_use.len(), machine.sessions.len());
        }
        for (index, command) in (1..).zip(&commands) {
            again.apply(index, Some(&command.bytes()));
        }
        prop_assert_eq!(machine.digest(), again.digest());
    }

    #[test]
    fn commands_and_answers_are_read_back(command in command(), text in prop::option::of("[a-c]{0,3}")) {
        prop_assert_eq!(Command::parse(&command.bytes()), Some(command));
        let text = text.map(|text| b(&text));
        let pairs = text.iter().map(|text| (text.clone(), b("x"))).collect();
        let mut answers = vec![Answer::Value(text), Answer::Done, Answer::Swapped(true), Answer::Pairs(pairs)];
        answers.extend([Failure::NoSession, Failure::Superseded, Failure::TooLong].map(Answer::Failed));
        for answer in answers {
            let mut bytes = Vec::new();
            put_answer(&mut bytes, &answer);
            prop_assert_eq!(take_answer(&mut bytes.as_slice()), Some(answer));
        }
    }

    #[test]
    fn no_bytes_make_it_panic(bytes in prop::collection::vec(any::<u8>(), 0..60)) {
        let _ = Command::parse(&bytes);
        let _ = take_answer(&mut bytes.as_slice());
        Machine::default().apply(1, Some(&bytes.into()));
    }
}
