use super::*;

/// RFC 6928: ten segments at first, and slow start opens by one for each that is acknowledged.
#[test]
fn the_window_is_ten_segments_at_first_and_doubles() {
    let mut pair = open_pair(linux(), |_, _| false);
    pair.client_writes(&vec![7; 45 * 1_448]);
    assert_eq!(pair.data().len(), 10);
    pair.run(2 * LATENCY);
    assert_eq!(pair.data().len(), 10 + 20);
}

/// `HyStart` looks for round trips that get longer: among those of data, and not beside that of a SYN, which was short.
#[test]
fn a_quick_handshake_does_not_end_slow_start() {
    let mut pair = open_pair(linux(), |_, _| false);
    pair.latency = 4 * LATENCY;
    // As much as fits, again and again.
    for _ in 0..10 {
        pair.client_writes(&vec![7; 300 * 1_448]);
        pair.run(pair.latency);
    }
    assert!(pair.client.vitals().0 > 100, "{:?}", pair.client.vitals());
}

/// RFC 1122, section 4.2.3.2: with nothing to ride on it waits for 40 ms, but the first ones do not wait.
#[test]
fn acknowledgements_are_quick_at_first_and_ride_on_answers_then() {
    let mut pair = open_pair(linux(), |_, _| false);
    pair.client_writes(b"ping");
    pair.run(LATENCY);
    assert_eq!(pair.acks().len(), 1, "quick");
    pair.server_writes(b"pong");
    pair.run(20 * MS);
    pair.log.clear();
    pair.client_writes(b"ping");
    pair.run(10 * MS);
    pair.server_writes(b"pong");
    pair.run(20 * MS);
    assert!(pair.acks().is_empty(), "it rode on the answer");
    pair.log.clear();
    let start = pair.now;
    pair.client_writes(b"ping");
    pair.run(100 * MS);
    let waited: Vec<u64> = pair.acks().iter().map(|at| (at - start) / MS).collect();
    assert!(matches!(waited[..], [45..=53]), "{waited:?}");
}

/// Where they do not wait, each segment is acknowledged.
#[test]
fn without_delay_each_segment_is_acknowledged() {
    let mut pair = open_pair(Settings { delayed_ack: false, ..linux() }, |_, _| false);
    for n in 1..=20 {
        pair.client_writes(b"x");
        pair.run(20 * MS);
        assert_eq!(pair.acks().len(), n);
    }
}

/// RFC 2883: what came twice is reported, so that the sender knows that it sent in vain.
#[test]
fn what_came_twice_is_reported() {
    let mut lost = false;
    let mut pair =
        open_pair(linux(), move |sent, by| !by && sent.kind == Kind::Ack && !std::mem::replace(&mut lost, true));
    pair.client_writes(b"hello");
    pair.run(1_000 * MS);
    assert_eq!(pair.data().len(), 2, "the acknowledgement was lost");
    let reports: Vec<_> = pair.log.iter().filter(|(_, by, _)| !by).map(|(_, _, sent)| &sent.segment.sacks).collect();
    assert_eq!(reports[1], &[(1, 6)]);
    assert_eq!(pair.got[1], b"hello");
}
