//! Senders and receivers over links that lose and delay.

use std::time::Duration;

use proptest::prelude::*;
use rand::Rng as _;

use super::receiver::{FROM_ALL_MAX, IDLE_MAX, OVERTAKEN};
use super::*;
use crate::raft::NodeId;
use crate::rng::Seed;

const PART_BYTES: usize = 100;

fn at(port: u16) -> SocketAddr {
    SocketAddr::from(([10, 0, 0, 1], port))
}

fn by(port: u16) -> (SocketAddr, NodeId) {
    (at(port), NodeId(port.into()))
}

fn message(length: usize, fill: u64) -> Bytes {
    (0..length).map(|place| (place as u64 * 31).wrapping_add(fill).to_le_bytes()[0]).collect()
}

/// Sends a message over a link that loses parts and requests for them, in turns of a round trip each. How many there
/// were until it was there, and how many parts were sent.
fn turns(whole: &Bytes, seed: u64, loss: f64) -> (u32, usize) {
    let mut rng = Seed(seed).stream("parts");
    let (mut sender, mut receiver) = (Sender::default(), Receiver::default());
    let mut flying = sender.send(at(2), whole.clone(), PART_BYTES);
    let (mut turn, mut sent) = (0, flying.len());
    loop {
        turn += 1;
        assert!(turn < 10_000, "it never comes");
        let now = Duration::from_secs(3) * turn;
        let mut wants = Vec::new();
        for part in std::mem::take(&mut flying) {
            if rng.random_bool(loss) {
                continue;
            }
            match receiver.take(now, by(1), part) {
                Came::Whole(there) => {
                    assert_eq!(there, *whole);
                    return (turn, sent);
                }
                Came::Wants(wanted) => wants.push(wanted),
                Came::Nothing => {}
                Came::Malformed => panic!("nobody changed anything"),
            }
        }
        if wants.is_empty() && receiver.is_idle() {
            // Not one part came: the sender sends it again, in time.
            flying = sender.send(at(2), whole.clone(), PART_BYTES);
        }
        if wants.is_empty() {
            wants = receiver.overdue(now + IDLE_MAX).into_iter().map(|(.., wanted)| wanted).collect();
        }
        for wanted in wants.into_iter().filter(|_| !rng.random_bool(loss)) {
            flying.extend(sender.wanted(at(2), &wanted, PART_BYTES));
        }
        sent += flying.len();
    }
}

#[test]
fn a_message_comes_in_as_many_round_trips_as_windows() {
    assert_eq!(turns(&message(PART_BYTES * 32, 1), 1, 0.0), (1, 32));
    assert_eq!(turns(&message(PART_BYTES * 800 - 1, 1), 1, 0.0), (13, 800));
}

#[test]
fn a_lost_part_costs_a_round_trip_and_is_all_that_is_sent_again() {
    let whole = message(PART_BYTES * 40, 2);
    let (mut sender, mut receiver) = (Sender::default(), Receiver::default());
    let mut parts = sender.send(at(2), whole.clone(), PART_BYTES);
    parts.remove(3);
    for part in parts {
        assert_eq!(receiver.take(Duration::ZERO, by(1), part), Came::Nothing, "it may be overtaken");
    }
    assert_eq!(receiver.deadline(), Some(OVERTAKEN));
    let (.., wants) = receiver.overdue(OVERTAKEN).pop().expect("it asks for what is missing");
    assert_eq!(wants.runs, [(3, 1), (32, 8)]);
    let mut rest = sender.wanted(at(2), &wants, PART_BYTES).into_iter();
    let last = rest.next_back().expect("nine");
    assert!(rest.all(|part| receiver.take(OVERTAKEN, by(1), part) == Came::Nothing));
    assert_eq!(receiver.take(OVERTAKEN, by(1), last), Came::Whole(whole));
}

#[test]
fn where_parts_overtake_each_other_they_are_waited_for_longer() {
    let whole = message(PART_BYTES * 600, 5);
    let (mut sender, mut receiver) = (Sender::default(), Receiver::default());
    let mut flying: Vec<(Duration, Part)> = Vec::new();
    let mut rng = Seed(5).stream("overtaking");
    let mut late = |parts: Vec<Part>, now: Duration, flying: &mut Vec<(Duration, Part)>| {
        flying.extend(parts.into_iter().map(|part| (now + Duration::from_millis(rng.random_range(20..40)), part)));
        flying.sort_by_key(|(at, _)| *at);
    };
    late(sender.send(at(2), whole, PART_BYTES), Duration::ZERO, &mut flying);
    let (mut sent, mut now) = (32, Duration::ZERO);
    let done = loop {
        let next = flying.first().map(|(at, _)| *at);
        let due = receiver.deadline().filter(|at| next.is_none_or(|next| *at < next));
        let wants = if let Some(at) = due {
            now = at;
            receiver.overdue(at).into_iter().map(|(.., wanted)| wanted).collect()
        } else {
            let (at, part) = flying.remove(0);
            now = at.max(now);
            match receiver.take(now, by(1), part) {
                Came::Whole(_) => break now,
                Came::Wants(wanted) => vec![wanted],
                _ => Vec::new(),
            }
        };
        for wanted in wants {
            let parts = sender.wanted(at(2), &wanted, PART_BYTES);
            sent += parts.len();
            late(parts, now, &mut flying);
        }
    };
    assert!(sent < 700 && done < Duration::from_millis(800), "{sent} parts in {done:?}");
}

#[test]
fn what_is_there_already_keeps_nobody_from_asking_for_the_rest() {
    let whole = message(PART_BYTES * 40, 6);
    let (mut sender, mut receiver) = (Sender::default(), Receiver::default());
    for part in sender.send(at(2), whole.clone(), PART_BYTES).into_iter().skip(1) {
        receiver.take(Duration::ZERO, by(1), part);
    }
    let due = receiver.deadline().expect("it waits");
    for part in sender.send(at(2), whole, PART_BYTES).into_iter().skip(1) {
        assert_eq!(receiver.take(due / 2, by(1), part), Came::Nothing);
    }
    assert_eq!(receiver.deadline(), Some(due));
}

#[test]
fn who_asks_in_vain_is_ever_more_patient_and_gives_up() {
    let whole = message(PART_BYTES * 40, 4);
    let (mut sender, mut receiver) = (Sender::default(), Receiver::default());
    let first = sender.send(at(2), whole, PART_BYTES).into_iter().next().expect("there are parts");
    receiver.take(Duration::ZERO, by(1), first);
    let mut asked = Vec::new();
    while let Some(now) = receiver.deadline() {
        assert!(receiver.overdue(now - Duration::from_nanos(1)).is_empty());
        for (address, who, wanted) in receiver.overdue(now) {
            assert_eq!(((address, who), wanted.runs), (by(1), vec![(1, 31)]));
            asked.push(now.as_millis());
        }
    }
    assert_eq!(asked, [20, 60, 140, 300, 620, 1260, 2260, 3260]);
    assert!(receiver.is_idle());
}

#[test]
fn one_that_is_sent_again_goes_on_where_the_first_was_and_begins_nothing_once_it_is_there() {
    let whole = message(PART_BYTES * 4, 3);
    let (mut sender, mut receiver) = (Sender::default(), Receiver::default());
    let first = sender.send(at(2), whole.clone(), PART_BYTES);
    for part in &first[..2] {
        assert_eq!(receiver.take(Duration::ZERO, by(1), part.clone()), Came::Nothing);
    }
    let again = sender.send(at(2), whole.clone(), PART_BYTES);
    assert_eq!(receiver.take(Duration::ZERO, by(1), again[2].clone()), Came::Nothing);
    assert_eq!(receiver.take(Duration::ZERO, by(1), again[3].clone()), Came::Whole(whole));
    assert_eq!(receiver.take(Duration::ZERO, by(1), again[0].clone()), Came::Nothing);
    assert!(receiver.is_idle());
}

#[test]
fn what_fits_nothing_is_malformed_and_strangers_take_little_room() {
    let mut receiver = Receiver::default();
    let part = |id, number, count, length| Part { id, number, count, bytes: message(length, 0) };
    assert_eq!(receiver.take(Duration::ZERO, by(1), part(1, 3, 3, 5)), Came::Malformed);
    assert_eq!(receiver.take(Duration::ZERO, by(1), part(1, 0, 3, 0)), Came::Malformed);
    assert_eq!(receiver.take(Duration::ZERO, by(1), part(1, 0, u32::MAX, 5)), Came::Malformed);
    receiver.take(Duration::ZERO, by(1), part(1, 0, 3, 5));
    assert_eq!(receiver.take(Duration::ZERO, by(1), part(1, 0, 4, 5)), Came::Malformed, "another count");
    for id in 0..500 {
        let port = u16::try_from(id % 300).expect("small");
        receiver.take(Duration::ZERO, by(port), part(id, 0, 3, 5));
    }
    assert!(receiver.assemblies.len() <= FROM_ALL_MAX);
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(40) })]

    #[test]
    fn it_comes_whatever_is_lost_and_not_much_is_sent_twice(
        length in 1..60_000_usize,
        seed in any::<u64>(),
        loss in 0.0..0.3_f64,
    ) {
        let whole = message(length, seed);
        let (_, sent) = turns(&whole, seed, loss);
        let parts = length.div_ceil(PART_BYTES);
        prop_assert!(sent <= parts * 3 + 200, "{} parts for {}", sent, parts);
    }
}
