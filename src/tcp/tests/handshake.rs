use super::*;
use crate::tcp::Failure;

fn seconds(times: &[(Micros, u32, Option<Why>)]) -> Vec<u64> {
    times.iter().map(|(at, ..)| (at + 500_000) / 1_000_000).collect()
}

/// RFC 9293, section 3.5.
#[test]
fn a_connection_opens_in_a_round_trip() {
    let mut pair = pair(linux(), |_, _| false);
    pair.run(9_999);
    assert_eq!(pair.client.state(), State::SynSent);
    pair.run(1);
    assert_eq!((pair.client.state(), pair.server().state()), (State::Established, State::SynReceived));
    pair.run(LATENCY);
    assert_eq!(pair.server().state(), State::Established);
    let kinds: Vec<Kind> = pair.log.iter().map(|(_, _, sent)| sent.kind).collect();
    assert_eq!(kinds, [Kind::Syn, Kind::SynAck, Kind::Ack]);
}

/// `tcp_syn_linear_timeouts` and `tcp_syn_retries`: given up at the timeout after the last one.
#[test]
fn syns_are_sent_four_times_a_second_apart_and_then_ever_later() {
    let mut pair = pair(linux(), |_, _| true);
    pair.run(200_000 * MS);
    assert_eq!(seconds(&pair.sent(true, |kind| kind == Kind::Syn)), [0, 1, 2, 3, 4, 5, 7, 11, 19, 36, 70]);
    assert_eq!(pair.client.failure(), Some(Failure::TimedOut));
}

#[test]
fn without_linear_timeouts_six_retries_end_after_127_seconds() {
    let mut pair = pair(Settings { syn_linear: 0, ..linux() }, |_, _| true);
    pair.run(126_999 * MS);
    assert_eq!((pair.client.failure(), pair.log.len()), (None, 7));
    pair.run(10_000 * MS);
    assert_eq!(pair.client.failure(), Some(Failure::TimedOut));
}

/// `tcp_check_req`: a SYN that comes again is answered again; and the answer is sent again by itself.
#[test]
fn a_lost_answer_is_repeated() {
    let mut answers = 0;
    let mut pair = pair(linux(), move |sent, _| {
        answers += u32::from(sent.kind == Kind::SynAck);
        sent.kind == Kind::SynAck && answers == 1
    });
    pair.run(2_000 * MS);
    let answers = pair.sent(false, |kind| kind == Kind::SynAck);
    assert!(pair.client.is_open() && answers.len() >= 2, "{answers:?}");
    assert!((1_000 * MS..1_040 * MS).contains(&answers[1].0), "{answers:?}");
}

/// RFC 6298, section 5.7: the first sample is of the first SYN that came through, a second ago.
#[test]
fn after_a_lost_answer_the_timeout_is_about_three_seconds() {
    let mut lost = false;
    let mut pair = pair(linux(), move |sent, _| sent.kind == Kind::SynAck && !std::mem::replace(&mut lost, true));
    pair.run(2_000 * MS);
    let (_, _, rto) = pair.client.vitals();
    assert!((2_900 * MS..3_200 * MS).contains(&rto), "{rto}");
}

/// RFC 9293, section 3.5.2.
#[test]
fn where_nothing_listens_the_connect_is_refused() {
    let mut pair = pair(linux(), |_, _| false);
    let syn = pair.log[0].2.segment.clone();
    let refusal = Connection::refuse(&syn).unwrap();
    assert_eq!((refusal.kind, refusal.segment.ack), (Kind::Rst, Some(1)));
    pair.client.arrives(&refusal.segment, 10 * MS);
    assert_eq!(pair.client.failure(), Some(Failure::Refused));
    assert_eq!(Connection::refuse(&refusal.segment), None, "a reset has no answer");
}

/// The third step of the handshake is lost: data do instead of it.
#[test]
fn data_end_the_handshake_too() {
    let mut lost = false;
    let mut pair = pair(linux(), move |sent, by| by && sent.kind == Kind::Ack && !std::mem::replace(&mut lost, true));
    pair.run(11 * MS);
    pair.client_writes(b"hello");
    pair.run(LATENCY);
    assert_eq!((pair.server().state(), pair.got[1].as_slice()), (State::Established, b"hello".as_slice()));
}
