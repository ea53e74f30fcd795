use super::*;

/// RFC 9293, section 3.8.6.1: a closed window is asked after, ever more rarely, and opens when there is room.
#[test]
fn a_closed_window_is_asked_after_until_it_opens() {
    let mut pair = open_pair(Settings { window: Some(10_000), ..linux() }, |_, _| false);
    pair.reads = false;
    assert_eq!(pair.client_writes(&vec![7; 30_000]), 30_000);
    pair.run(5_000 * MS);
    let probes: Vec<u64> = pair
        .sent(true, |kind| kind == Kind::Ack)
        .into_iter()
        .filter(|sent| sent.2 == Some(Why::Probe))
        .map(|sent| sent.0 / MS)
        .collect();
    assert!(probes.len() >= 3, "{probes:?}");
    assert!(probes.windows(3).all(|at| at[2] - at[1] > at[1] - at[0]), "{probes:?}");
    pair.reads = true;
    pair.run(5_000 * MS);
    assert_eq!(pair.got[1].len(), 30_000);
}

/// A window that opens is told at once, not at the next question.
#[test]
fn room_is_told_when_it_is_made() {
    let mut pair = open_pair(Settings { window: Some(10_000), ..linux() }, |_, _| false);
    pair.reads = false;
    pair.client_writes(&vec![7; 30_000]);
    pair.run(50 * MS);
    let before = pair.data().len();
    pair.reads = true;
    pair.read();
    pair.exchange();
    pair.run(2 * LATENCY);
    assert!(pair.data().len() > before);
}

/// A send buffer holds what was written and not acknowledged; a writer waits beyond that.
#[test]
fn a_send_buffer_is_full_at_last() {
    let mut pair = open_pair(linux(), |_, by| by);
    let written = pair.client_writes(&vec![7; 1 << 20]);
    assert!((40_000..60_000).contains(&written), "{written}");
    assert_eq!(pair.client_writes(b"more"), 0);
    assert!(!pair.client.is_writable());
}
