use super::*;
use crate::tcp::{Algorithm, Failure};

const SMALL: &[u8] = &[7; 100];

/// RFC 8985, section 7: the last segment again after two round trips and the least timeout, as there is only one.
#[test]
fn a_lost_tail_is_probed_for() {
    let mut pair = open_pair(linux(), first_of(&[1]));
    let start = pair.now;
    pair.client_writes(SMALL);
    pair.run(1_000 * MS);
    let data = pair.data();
    assert_eq!(data.iter().map(|sent| sent.2).collect::<Vec<_>>(), [None, Some(Why::Probe)]);
    // 2 * 10 ms and 200 ms is past the timeout of 210 ms, which is the earlier one.
    assert!((210 * MS..228 * MS).contains(&(data[1].0 - start)), "{data:?}");
    assert_eq!(pair.got[1], SMALL);
}

/// RFC 8985, section 7.2: with more than one under way it waits for two round trips only.
#[test]
fn with_two_under_way_the_probe_comes_after_two_round_trips() {
    let mut pair = open_pair(linux(), |sent, by| by && sent.attempt == 0 && matches!(sent.kind, Kind::Data(_)));
    let start = pair.now;
    pair.client_writes(SMALL);
    pair.client_writes(SMALL);
    pair.run(60 * MS);
    let data = pair.data();
    assert_eq!(data[2].2, Some(Why::Probe), "{data:?}");
    assert!((22 * MS..34 * MS).contains(&(data[2].0 - start)), "{data:?}");
    // What the probe brings back says that the first one is lost: RACK.
    assert_eq!(data[3].2, Some(Why::Fast), "{data:?}");
    assert_eq!(pair.got[1].len(), 200);
}

/// RFC 8985, section 6.2: what was sent before something that has arrived is lost a quarter of a round trip later.
#[test]
fn a_gap_is_sent_again_a_quarter_of_a_round_trip_after_what_followed_it() {
    let mut pair = open_pair(linux(), first_of(&[1]));
    let start = pair.now;
    pair.client_writes(SMALL);
    pair.run(2 * MS);
    pair.client_writes(SMALL);
    pair.run(100 * MS);
    let data = pair.data();
    assert_eq!(data.len(), 3, "{data:?}");
    assert_eq!(data[2].2, Some(Why::Fast));
    // Acknowledged at 12 ms; sent at 0, it may be 10 + 2.5 ms late; and the wheel turns by 4 ms.
    assert!((12_500..22 * MS).contains(&(data[2].0 - start)), "{data:?}");
}

/// RFC 5681 and `tcp_rack_reo_wnd`: three segments beyond a gap need no wait.
#[test]
fn three_beyond_a_gap_say_that_it_is_lost() {
    let mut pair = open_pair(linux(), first_of(&[1]));
    let start = pair.now;
    (0..4).for_each(|_| _ = pair.client_writes(&[7; 1_448]));
    pair.run(10 * MS);
    let data = pair.data();
    assert_eq!(data.last().map(|sent| (sent.0 - start, sent.2)), Some((10 * MS, Some(Why::Fast))), "{data:?}");
}

/// RFC 6582: without SACKs three duplicate acknowledgements do.
#[test]
fn without_sacks_three_duplicates_say_so() {
    let settings = Settings { sack: false, ..linux() };
    let mut pair = open_pair(settings, first_of(&[2]));
    (0..6).for_each(|_| _ = pair.client_writes(&[7; 1_448]));
    pair.run(100 * MS);
    let again: Vec<_> = pair.data().into_iter().filter(|sent| sent.1 > 0).collect();
    assert_eq!(again.iter().map(|sent| sent.2).collect::<Vec<_>>(), [Some(Why::Fast)], "{again:?}");
    assert!(pair.log.iter().all(|(_, _, sent)| sent.segment.sacks.is_empty()));
    assert_eq!(pair.got[1].len(), 6 * 1_448);
}

/// RFC 6675: with RACK off, three beyond it.
#[test]
fn without_rack_two_beyond_a_gap_do_not_say_so_and_three_do() {
    let settings = Settings { rack: false, probe: false, ..linux() };
    for (count, why) in [(3, Why::Timeout), (4, Why::Fast)] {
        let mut pair = open_pair(settings.clone(), first_of(&[1]));
        (0..count).for_each(|_| _ = pair.client_writes(&[7; 1_448]));
        pair.run(500 * MS);
        assert_eq!(pair.data().into_iter().find_map(|sent| sent.2), Some(why), "{count}");
    }
}

/// RFC 6298, section 5.5: doubled each time.
#[test]
fn timeouts_double() {
    let settings = Settings { probe: false, ..linux() };
    let mut pair = open_pair(settings, |sent, by| by && matches!(sent.kind, Kind::Data(_)) && sent.attempt < 4);
    let start = pair.now;
    pair.client_writes(SMALL);
    pair.run(10_000 * MS);
    let times: Vec<u64> = pair.data().iter().map(|sent| (sent.0 - start) / MS).collect();
    // 210 ms, then 420, 840, 1680: each late by its place on the wheel.
    for (time, expected) in times.iter().zip([0, 210, 630, 1_470, 3_150]) {
        assert!((expected..expected + 110).contains(time), "{times:?}");
    }
    assert_eq!(pair.got[1], SMALL);
}

/// `tcp_retries2`: 924.6 s for 15, at the timeout after the last one.
#[test]
fn it_gives_up_after_the_time_of_fifteen_doublings() {
    let mut pair = open_pair(linux(), |sent, by| by && matches!(sent.kind, Kind::Data(_)));
    let start = pair.now;
    pair.client_writes(SMALL);
    let gave_up = (0..1_300).find(|_| {
        pair.run(1_000 * MS);
        pair.client.failure() == Some(Failure::TimedOut)
    });
    let gave_up = gave_up.expect("it gives up") * 1_000 * MS + start;
    assert!((924_600 * MS..1_060_000 * MS).contains(&gave_up), "{gave_up}");
    assert!(pair.log.iter().all(|(_, by, sent)| !by || sent.kind != Kind::Rst), "it says nothing");
}

/// RFC 3522 (Eifel) by stamps: what was late was not lost, and the window is what it was.
#[test]
fn a_needless_timeout_is_undone() {
    let mut pair = open_pair(Settings { probe: false, ..linux() }, |_, _| false);
    let (window, ..) = pair.client.vitals();
    pair.latency = 200 * MS;
    pair.client_writes(SMALL);
    pair.run(300 * MS);
    assert_eq!(pair.data().last().and_then(|sent| sent.2), Some(Why::Timeout));
    assert_eq!(pair.client.vitals().0, 1, "one after a timeout");
    pair.run(1_000 * MS);
    assert!(pair.client.vitals().0 >= window, "{:?}", pair.client.vitals());
}

/// `tcp_retrans_collapse`: small ones go again as one.
#[test]
fn small_segments_are_sent_again_as_one() {
    let settings = Settings { probe: false, ..linux() };
    let mut pair = open_pair(settings, first_of(&[1, 2, 3]));
    (0..3).for_each(|_| _ = pair.client_writes(SMALL));
    pair.run(1_000 * MS);
    let again: Vec<_> = pair.log.iter().filter(|(_, by, sent)| *by && sent.attempt > 0).collect();
    assert_eq!(again.len(), 1);
    assert_eq!(again[0].2.segment.payload.len(), 300);
    assert_eq!(pair.got[1].len(), 300);
}

/// RFC 6937 and 9438: a loss takes three tenths of the window.
#[test]
fn a_loss_closes_the_window_by_three_tenths() {
    for (congestion, expected) in [(Algorithm::Cubic, 14), (Algorithm::Reno, 10)] {
        let settings = Settings { congestion, ..linux() };
        let mut pair = open_pair(settings, first_of(&[15]));
        pair.client_writes(&vec![7; 30 * 1_448]);
        pair.run(28 * MS);
        let (window, _, _) = pair.client.vitals();
        assert!(window.abs_diff(expected) <= 2, "{congestion:?}: {window}");
        pair.run(1_000 * MS);
        assert_eq!(pair.got[1].len(), 30 * 1_448);
    }
}

/// Whatever is lost, all of it arrives, in order and once.
#[test]
fn what_is_written_arrives_under_any_loss() {
    for seed in 0..60_u64 {
        let settings = match seed % 4 {
            0 => linux(),
            1 => Settings { sack: false, ..linux() },
            2 => Settings { rack: false, probe: false, congestion: Algorithm::Reno, ..linux() },
            _ => Settings { congestion: Algorithm::Unlimited, window: Some(20_000), delayed_ack: false, ..linux() },
        };
        let mut state = seed * 7_919 + 13;
        let mut pair = pair(settings, move |_, _| {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            (state >> 40) % 100 < 10 + seed % 20
        });
        let bytes: Vec<u8> = (0..60_000_u32).map(|n| (n % 251) as u8).collect();
        let mut written = [0, 0];
        for _ in 0..60_000 {
            if pair.client.is_open() {
                written[0] += pair.client_writes(&bytes[written[0]..]);
            }
            if pair.server.as_ref().is_some_and(Connection::is_open) {
                written[1] += pair.server_writes(&bytes[written[1]..]);
            }
            pair.run(10 * MS);
            if pair.got.iter().all(|got| got.len() == bytes.len()) {
                break;
            }
        }
        assert!(pair.got.iter().all(|got| *got == bytes), "seed {seed}: {:?}", pair.got.each_ref().map(Vec::len));
    }
}
