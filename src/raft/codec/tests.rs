//! What is written is read back, and nothing else is taken in.

use proptest::prelude::*;

use super::*;
use crate::raft::TERM_MAX;
use crate::raft::kv::{Answer, Operation};
use crate::raft::log::{Entry, Payload};
use crate::raft::message::{
    AppendEntries, AppendEntriesResponse, Conflict, PreVote, PreVoteResponse, RequestVote, RequestVoteResponse,
    TimeoutNow,
};
use crate::raft::request::{Ask, Consistency, Reply};

const CLUSTER: ClusterId = ClusterId(7);

fn plain() -> Codec {
    Codec::new(CLUSTER, None)
}

fn signed(secret: &[u8]) -> Codec {
    Codec::new(CLUSTER, Some(ClusterKey::new(secret).expect("it is long enough")))
}

fn number() -> impl Strategy<Value = u64> {
    prop_oneof![0..10_u64, Just(TERM_MAX), 0..=TERM_MAX]
}

fn entries() -> impl Strategy<Value = Vec<Entry>> {
    let command = prop::collection::vec(any::<u8>(), 0..20).prop_map(|command| Payload::Command(command.into()));
    let entry =
        (number(), prop_oneof![Just(Payload::Blank), command]).prop_map(|(term, payload)| Entry { term, payload });
    prop::collection::vec(entry, 0..4).prop_map(|mut entries| {
        entries.sort_by_key(|entry| entry.term);
        entries
    })
}

fn message() -> impl Strategy<Value = Message> {
    let conflict = (number(), number(), number());
    let conflict = conflict.prop_map(|(rejected, term, first_index)| Conflict { rejected, term, first_index });
    let fields = (number(), number(), number(), number(), any::<bool>(), entries(), prop::option::of(conflict));
    (1..=7_u8, fields).prop_map(|(kind, (term, a, b, c, yes, entries, conflict))| match kind {
        1 => Message::PreVote(PreVote { term, last_log_index: a, last_log_term: b }),
        2 => Message::PreVoteResponse(PreVoteResponse { term, request_term: a, vote_granted: yes }),
        3 => Message::RequestVote(RequestVote { term, last_log_index: a, last_log_term: b, transfer: yes }),
        4 => Message::RequestVoteResponse(RequestVoteResponse { term, vote_granted: yes }),
        5 => Message::AppendEntries(AppendEntries {
            term: entries.last().map_or(term, |last| last.term.max(term)),
            prev_log_index: a,
            prev_log_term: entries.first().map_or(b, |first| first.term.min(b)),
            entries,
            leader_commit: c,
            round: b,
        }),
        6 => Message::AppendEntriesResponse(AppendEntriesResponse {
            term,
            success: yes,
            match_index: a,
            round: b,
            conflict,
        }),
        _ => Message::TimeoutNow(TimeoutNow { term }),
    })
}

fn envelope() -> impl Strategy<Value = Envelope> {
    (1..9_u64, 1..9_u64, message()).prop_map(|(from, to, message)| Envelope {
        from: NodeId(from),
        to: NodeId(to),
        message,
    })
}

fn ask() -> Envelope {
    let message = Message::TimeoutNow(TimeoutNow { term: 3 });
    Envelope { from: NodeId(1), to: NodeId(2), message }
}

#[test]
fn who_has_no_right_to_be_heard_is_told_apart() {
    let (plain, keyed) = (plain(), signed(b"correct horse battery"));
    let datagram = keyed.encode(&ask());
    assert_eq!(keyed.decode(&datagram), Ok(ask()));
    assert_eq!(plain.decode(&datagram), Err(Rejected::Forged), "a signed one needs the key");
    assert_eq!(keyed.decode(&plain.encode(&ask())), Err(Rejected::Forged), "an unsigned one proves nothing");
    assert_eq!(signed(b"another horse battery").decode(&datagram), Err(Rejected::Forged));
    let elsewhere = Codec::new(ClusterId(8), None);
    assert_eq!(plain.decode(&elsewhere.encode(&ask())), Err(Rejected::Foreign));
    let mut newer = datagram;
    newer[4] = 2;
    assert_eq!(keyed.decode(&newer), Err(Rejected::Version(2)));
    assert_eq!(plain.decode(b"hello"), Err(Rejected::Malformed("it is shorter than any message")));
    assert_eq!(plain.decode(&[b'x'; 200]), Err(Rejected::Malformed("it does not begin as a message does")));
}

#[test]
fn a_datagram_that_is_well_sealed_and_wrong_inside_is_malformed() {
    let codec = plain();
    let reseal = |change: &dyn Fn(&mut Vec<u8>)| {
        let mut bytes = codec.encode(&ask());
        bytes.truncate(bytes.len() - TAG_BYTES);
        change(&mut bytes);
        let tag = blake3::keyed_hash(&codec.key.0, &bytes);
        bytes.put_slice(tag.as_bytes());
        codec.decode(&bytes).expect_err("it is wrong").to_string()
    };
    assert_eq!(reseal(&|bytes| bytes[30] = 99), "it is malformed: it is of no kind that there is");
    assert_eq!(reseal(&|bytes| bytes.truncate(34)), "it is malformed: it ends before its end");
    assert_eq!(reseal(&|bytes| bytes.push(0)), "it is malformed: it goes on after its end");
    assert!(reseal(&|bytes| bytes[38] = 0xff).contains("its term is beyond"));
    let unsure = |bytes: &mut Vec<u8>| {
        bytes[30] = 4;
        bytes.push(2);
    };
    assert_eq!(reseal(&unsure), "it is malformed: a yes or no is neither");
}

#[test]
fn a_short_secret_is_no_key_and_a_key_does_not_show_itself() {
    assert_eq!(ClusterKey::new(b"fifteen bytes.."), None);
    let key = ClusterKey::new(b"sixteen bytes...").expect("it is long enough");
    assert_eq!(format!("{key:?}"), "ClusterKey(secret)");
}

#[test]
fn the_layout_stays_what_it_is() {
    let datagram = plain().encode(&ask());
    let expected = b"SGRF\x01\x00\x07\0\0\0\0\0\0\0\x01\0\0\0\0\0\0\0\x02\0\0\0\0\0\0\0\x07\x03\0\0\0\0\0\0\0";
    assert_eq!(datagram[..datagram.len() - TAG_BYTES], expected[..]);
}

#[test]
fn what_clients_say_is_told_apart_and_read_back() {
    let key = bytes::Bytes::from_static(b"k");
    let request =
        Request { number: 7, ask: Ask::Read { consistency: Consistency::Lease, operation: Operation::Get { key } } };
    let datagram = plain().encode_request(NodeId(900), NodeId(2), &request);
    assert!(Codec::claims_client(&datagram) && !Codec::claims_client(&plain().encode(&ask())));
    assert_eq!(plain().decode_any(&datagram), Ok(Datagram::Request { from: NodeId(900), to: NodeId(2), request }));
    assert!(matches!(plain().decode(&datagram), Err(Rejected::Malformed(_))), "members do not say that");
    for reply in [
        Reply::Opened { session: 3 },
        Reply::Answered { answer: Answer::Done, index: 9 },
        Reply::NotLeader { leader: Some(NodeId(3)) },
        Reply::NotLeader { leader: None },
        Reply::Busy,
    ] {
        let response = Response { number: 7, reply };
        let datagram = plain().encode_response(NodeId(2), NodeId(900), &response);
        let expected = Datagram::Response { from: NodeId(2), to: NodeId(900), response };
        assert_eq!(plain().decode_any(&datagram), Ok(expected));
        assert!(plain().decode_any(&datagram[..datagram.len() - 1]).is_err());
    }
}

#[test]
fn what_elections_say_is_as_short_as_it_was_before_there_was_a_log() {
    let length = |message| {
        let envelope = Envelope { message, ..ask() };
        plain().encode(&envelope).len() - HEADER_BYTES - TAG_BYTES
    };
    let mut append =
        AppendEntries { term: 3, prev_log_index: 7, prev_log_term: 2, entries: Vec::new(), leader_commit: 0, round: 0 };
    assert_eq!(length(Message::AppendEntries(append.clone())), 36);
    append.entries.push(Entry { term: 3, payload: Payload::Command(vec![0; 10].into()) });
    assert_eq!(length(Message::AppendEntries(append)), 44 + Entry::FRAME_BYTES + 10);
    let answer = AppendEntriesResponse { term: 3, success: true, match_index: 7, round: 0, conflict: None };
    assert_eq!(length(Message::AppendEntriesResponse(answer.clone())), 17);
    assert_eq!(length(Message::AppendEntriesResponse(AppendEntriesResponse { round: 9, ..answer })), 26);
}

#[test]
fn entries_out_of_the_order_of_their_terms_are_malformed() {
    for (prev_log_term, terms) in [(2, vec![1]), (1, vec![2, 1]), (1, vec![4])] {
        let entries = terms.into_iter().map(|term| Entry { term, payload: Payload::Blank }).collect();
        let append = AppendEntries { term: 3, prev_log_index: 7, prev_log_term, entries, leader_commit: 0, round: 1 };
        let datagram = plain().encode(&Envelope { message: Message::AppendEntries(append), ..ask() });
        let why = plain().decode(&datagram).expect_err("no log is so").to_string();
        assert_eq!(why, "it is malformed: its entries are not in the order of their terms");
    }
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn what_was_encoded_is_decoded(envelope in envelope()) {
        for codec in [plain(), signed(b"correct horse battery")] {
            prop_assert_eq!(codec.decode(&codec.encode(&envelope)), Ok(envelope.clone()));
        }
    }

    #[test]
    fn a_damaged_datagram_is_never_taken_in(
        envelope in envelope(),
        at in any::<prop::sample::Index>(),
        flip in 1..=255_u8,
    ) {
        let datagram = plain().encode(&envelope);
        prop_assert!(plain().decode(&datagram[..at.index(datagram.len())]).is_err());
        let mut damaged = datagram.clone();
        damaged[at.index(datagram.len())] ^= flip;
        prop_assert!(plain().decode(&damaged).is_err());
    }

    #[test]
    fn no_bytes_make_it_panic(kind in 0..13_u8, bytes in prop::collection::vec(any::<u8>(), 0..80)) {
        let _ = plain().decode(&bytes);
        let _ = take_message(kind, &mut bytes.as_slice());
    }
}
