//! Histories that are linearizable and that are not.

use std::time::Duration;

use proptest::prelude::*;
use todc_utils::{Action, History, Specification, WGLChecker};

use super::*;

/// Draws numbers, by splitmix64.
struct Dice(u64);

impl Dice {
    fn below(&mut self, many: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut bits = self.0;
        bits = (bits ^ (bits >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        bits = (bits ^ (bits >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (bits ^ (bits >> 31)) % many
    }
}

fn b(text: &str) -> Bytes {
    Bytes::copy_from_slice(text.as_bytes())
}

fn put(value: &str) -> Operation {
    Operation::Put { key: b("k"), value: b(value) }
}

fn get() -> Operation {
    Operation::Get { key: b("k") }
}

fn value(text: &str) -> Answer {
    Answer::Value(Some(b(text)))
}

fn call(operation: Operation, began: u64, ended: u64, answer: Answer) -> Call {
    Call { operation, began, ended: Some((ended, answer)) }
}

fn open(operation: Operation, began: u64) -> Call {
    Call { operation, began, ended: None }
}

fn wrong(history: &[Call]) -> NotLinearizable {
    match check(history) {
        Err(Trouble::NotLinearizable(wrong)) => *wrong,
        other => panic!("it is not linearizable, and {other:?}"),
    }
}

#[test]
fn calls_one_after_the_other_are_what_the_store_does() {
    let history = [
        call(get(), 1, 2, Answer::Value(None)),
        call(put("x"), 3, 4, Answer::Done),
        call(get(), 5, 6, value("x")),
        call(Operation::Append { key: b("k"), value: b("y") }, 7, 8, Answer::Done),
        call(get(), 9, 10, value("xy")),
        call(Operation::Delete { key: b("k") }, 11, 12, Answer::Done),
        call(get(), 13, 14, Answer::Value(None)),
    ];
    assert_eq!(check(&history), Ok(()));
}

#[test]
fn a_read_of_what_was_overwritten_has_no_place() {
    let history =
        [call(put("x"), 1, 2, Answer::Done), call(put("y"), 3, 4, Answer::Done), call(get(), 5, 6, value("x"))];
    let NotLinearizable { key, prefix, holds, stuck, needed } = wrong(&history);
    assert_eq!((key, prefix, holds), (b("k"), vec![0, 1], Some(b("y"))));
    assert_eq!((stuck, needed), (2, Some(Some(b("x")))));
}

#[test]
fn calls_at_once_may_come_in_any_order_and_two_reads_see_the_same_one() {
    let both = |first: &str, second: &str| {
        [
            call(put("x"), 1, 9, Answer::Done),
            call(put("y"), 2, 10, Answer::Done),
            call(get(), 3, 4, value(first)),
            call(get(), 5, 6, value(second)),
        ]
    };
    assert_eq!(check(&both("x", "y")), Ok(()));
    assert_eq!(check(&both("y", "x")), Ok(()));
    let again = [&both("x", "y")[..], &[call(get(), 7, 8, value("x"))]].concat();
    wrong(&again);
}

#[test]
fn a_call_without_an_answer_may_take_effect_late_and_need_not() {
    let history = |seen: Answer| [open(put("x"), 1), call(get(), 2, 3, Answer::Value(None)), call(get(), 4, 5, seen)];
    assert_eq!(check(&history(value("x"))), Ok(()));
    assert_eq!(check(&history(Answer::Value(None))), Ok(()));
    wrong(&history(value("y")));
    let back = [
        open(put("x"), 1),
        call(get(), 2, 3, value("x")),
        call(put("y"), 4, 5, Answer::Done),
        call(get(), 6, 7, value("x")),
    ];
    wrong(&back);
}

#[test]
fn a_swap_says_what_was_there() {
    let cas = |expected: Option<&str>, value: &str| Operation::Cas {
        key: b("k"),
        expected: expected.map(b),
        value: b(value),
    };
    let at_once = |second| {
        [call(cas(None, "x"), 1, 3, Answer::Swapped(true)), call(cas(None, "y"), 2, 4, Answer::Swapped(second))]
    };
    assert_eq!(check(&at_once(false)), Ok(()));
    wrong(&at_once(true));
}

#[test]
fn what_was_refused_took_no_effect() {
    use crate::raft::kv::Failure;
    let history = [call(put("x"), 1, 2, Answer::Failed(Failure::NoSession)), call(get(), 3, 4, Answer::Value(None))];
    assert_eq!(check(&history), Ok(()));
    wrong(&[history[0].clone(), call(get(), 3, 4, value("x"))]);
}

#[test]
fn a_scan_is_a_read_of_each_key_that_it_could_see() {
    let at = |key: &str| Operation::Put { key: b(key), value: b("x") };
    let scan = |prefix: &str, limit| Operation::Scan { prefix: b(prefix), limit };
    let found = |keys: &[&str]| Answer::Pairs(keys.iter().map(|key| (b(key), b("x"))).collect());
    let writes =
        [call(at("a1"), 1, 2, Answer::Done), call(at("a2"), 3, 4, Answer::Done), call(at("b"), 5, 6, Answer::Done)];
    let with = |scan: Operation, found: Answer| check(&[&writes[..], &[call(scan, 7, 8, found)]].concat());
    assert_eq!(with(scan("a", 9), found(&["a1", "a2"])), Ok(()));
    assert_eq!(with(scan("a", 1), found(&["a1"])), Ok(()));
    assert!(with(scan("a", 9), found(&["a1"])).is_err(), "it missed a2");
    assert!(with(scan("", 9), found(&["a1", "a2", "b", "c"])).is_err(), "nobody wrote c");
}

/// A history of a store that is right: each call takes effect at a moment between its beginning and its end.
/// So many of a thousand calls get no answer.
fn right(seed: u64, clients: usize, calls: usize, keys: u64, unanswered: u64) -> Vec<Call> {
    let mut dice = Dice(seed);
    let mut store: BTreeMap<Bytes, Bytes> = BTreeMap::new();
    let mut history: Vec<Call> = Vec::new();
    let mut under_way: Vec<Option<(usize, Option<Answer>)>> = vec![None; clients];
    let mut moment = 0;
    while history.len() < calls || under_way.iter().any(Option::is_some) {
        moment += 1;
        let client = usize::try_from(dice.below(clients as u64)).expect("few clients");
        match &mut under_way[client] {
            None if history.len() < calls => {
                let key = b(&format!("k{}", dice.below(keys)));
                let value = b(&format!("{}", if keys > 2 { moment } else { dice.below(4) }));
                let operation = match dice.below(6) {
                    0 | 1 => Operation::Get { key },
                    2 => Operation::Put { key, value },
                    3 => Operation::Delete { key },
                    4 => Operation::Append { key, value },
                    _ => Operation::Cas { key, expected: Some(b("1")), value },
                };
                history.push(open(operation, moment));
                under_way[client] = Some((history.len() - 1, None));
            }
            None => {}
            Some((place, answer @ None)) => {
                let operation = history[*place].operation.clone();
                if dice.below(1000) < unanswered {
                    under_way[client] = None;
                } else {
                    *answer = Some(execute(&mut store, &operation));
                }
            }
            Some((place, Some(answer))) => {
                history[*place].ended = Some((moment, answer.clone()));
                under_way[client] = None;
            }
        }
    }
    history
}

fn execute(store: &mut BTreeMap<Bytes, Bytes>, operation: &Operation) -> Answer {
    match operation {
        Operation::Get { key } => Answer::Value(store.get(key).cloned()),
        Operation::Put { key, value } => {
            store.insert(key.clone(), value.clone());
            Answer::Done
        }
        Operation::Delete { key } => {
            store.remove(key);
            Answer::Done
        }
        Operation::Append { key, value } => {
            let before = store.get(key).cloned().unwrap_or_default();
            store.insert(key.clone(), [&before[..], value].concat().into());
            Answer::Done
        }
        Operation::Cas { key, expected, value } => {
            let is_there = store.get(key) == expected.as_ref();
            if is_there {
                store.insert(key.clone(), value.clone());
            }
            Answer::Swapped(is_there)
        }
        Operation::Scan { .. } => Answer::Pairs(Vec::new()),
    }
}

#[test]
fn a_long_history_of_many_clients_takes_less_than_a_second() {
    for keys in [3, 10] {
        let mut history = right(keys, 20, 1000, keys, 2);
        let began = tokio::time::Instant::now();
        assert_eq!(check(&history), Ok(()));
        let last =
            history.iter().rposition(|call| matches!(call.operation, Operation::Get { .. }) && call.ended.is_some());
        history[last.expect("some read")].ended.as_mut().expect("it ended").1 = value("never written");
        assert!(matches!(check(&history), Err(Trouble::NotLinearizable(_))));
        assert!(began.elapsed() < Duration::from_secs(1), "{:?} with {keys} keys", began.elapsed());
    }
}

/// Tries every order of the calls at one key.
fn any_order(calls: &[AtKey], left: &mut Vec<usize>, holds: Option<&Bytes>) -> bool {
    if left.iter().all(|call| calls[*call].ended.is_none()) {
        return true;
    }
    let first_end = left.iter().filter_map(|call| calls[*call].ended).min().unwrap_or(u64::MAX);
    for place in 0..left.len() {
        let call = left[place];
        if calls[call].began > first_end {
            continue;
        }
        if let Some(after) = calls[call].act.after(holds) {
            left.remove(place);
            let found = any_order(calls, left, after.as_ref());
            left.insert(place, call);
            if found {
                return true;
            }
        }
    }
    false
}

/// The whole store, as another's checker takes it: no key by itself, and nothing of this crate's machine.
struct Store;

impl Specification for Store {
    type State = BTreeMap<Bytes, Bytes>;
    /// What was called, and what it answered where that is known.
    type Operation = (Operation, Option<Answer>);

    fn init() -> Self::State {
        BTreeMap::new()
    }

    fn apply((operation, answered): &Self::Operation, store: &Self::State) -> (bool, Self::State) {
        let mut after = store.clone();
        let answer = match operation {
            Operation::Get { key } => Answer::Value(store.get(key).cloned()),
            Operation::Put { key, value } => {
                after.insert(key.clone(), value.clone());
                Answer::Done
            }
            Operation::Delete { key } => {
                after.remove(key);
                Answer::Done
            }
            Operation::Append { key, value } => {
                let before = after.remove(key).unwrap_or_default();
                after.insert(key.clone(), [before, value.clone()].concat().into());
                Answer::Done
            }
            Operation::Cas { key, expected, value } => {
                let is_there = store.get(key) == expected.as_ref();
                if is_there {
                    after.insert(key.clone(), value.clone());
                }
                Answer::Swapped(is_there)
            }
            Operation::Scan { .. } => unreachable!("these are left out"),
        };
        let fits = answered.as_ref().is_none_or(|answered| *answered == answer);
        if fits { (true, after) } else { (false, store.clone()) }
    }
}

/// What the other checker says: of calls without an answer it is told in turn that they took effect, and that they did not.
fn others_say(history: &[Call]) -> bool {
    let open: Vec<usize> = (0..history.len()).filter(|place| history[*place].ended.is_none()).collect();
    (0..1_u32 << open.len()).any(|taken| {
        let is_in = |place: &usize| open.iter().position(|open| open == place).is_none_or(|bit| taken >> bit & 1 == 1);
        let mut moments = Vec::new();
        for place in (0..history.len()).filter(is_in) {
            let Call { operation, began, ended } = &history[place];
            let (end, answer) = ended.clone().map_or((u64::MAX, None), |(end, answer)| (end, Some(answer)));
            moments.push((*began, place, Action::Call((operation.clone(), answer.clone()))));
            moments.push((end, place, Action::Response((operation.clone(), answer))));
        }
        moments.sort_by_key(|(at, place, _)| (*at, *place));
        let actions: Vec<_> = moments.into_iter().map(|(_, place, action)| (place, action)).collect();
        actions.is_empty() || WGLChecker::<Store>::is_linearizable(History::from_actions(actions))
    })
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn it_says_what_trying_every_order_says(seed in any::<u64>(), spoilt in prop::option::of((0..9_usize, 0..4_u32))) {
        let mut history = right(seed, 4, 9, 2, 100);
        if let Some((place, value)) = spoilt
            && let Some((_, answer)) = &mut history[place].ended
        {
            *answer = match &*answer {
                Answer::Value(_) => Answer::Value(Some(b(&value.to_string()))),
                Answer::Swapped(swapped) => Answer::Swapped(!swapped),
                other => other.clone(),
            };
        }
        let expected = by_key(&history).values().all(|calls| any_order(calls, &mut (0..calls.len()).collect(), None));
        prop_assert_eq!(check(&history).is_ok(), expected);
        prop_assert_eq!(check(&history).is_ok(), others_say(&history), "todc-utils says otherwise");
        if spoilt.is_none() {
            prop_assert!(expected, "it is right");
        }
    }
}
