//! TCP: handshake, retransmission, partitions, order. `a` is the client, `b` the server.

use std::time::Duration;

use stormglass::net::{Listener, Net};
use stormglass::sim::trace::{PacketKind, What};
use stormglass::sim::{Host, HostResult, Outcome, Setup};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::{assert_adds_up, assert_share, ms, note, notes, records, simulate};

/// `b` accepts one connection and notes how many bytes it has read, at each read, and how it ended.
async fn sink(host: Host) -> HostResult {
    let mut listener = host.net.listen("0.0.0.0:80").await?;
    loop {
        let (mut stream, _) = listener.accept().await?;
        note(&host.events, "accepted", 0);
        let mut buffer = [0; 4096];
        let mut total = 0;
        loop {
            match stream.read(&mut buffer).await {
                Ok(0) => break note(&host.events, "end", total),
                Ok(count) => {
                    total += count as u64;
                    note(&host.events, "read", total);
                }
                Err(error) => break note(&host.events, "error", error.kind() as u64),
            }
        }
    }
}

/// `a` connects and writes `count` messages of ten bytes, one every `gap`.
async fn source(host: Host, count: u64, gap: Duration) -> HostResult {
    let mut stream = match host.net.connect("b:80").await {
        Ok(stream) => stream,
        Err(error) => {
            note(&host.events, "connect error", error.kind() as u64);
            return Ok(());
        }
    };
    note(&host.events, "connected", 0);
    for n in 0..count {
        if let Err(error) = stream.write_all(format!("word {n:04}\n").as_bytes()).await {
            note(&host.events, "write error", error.kind() as u64);
            return Ok(());
        }
        note(&host.events, "wrote", n);
        tokio::time::sleep(gap).await;
    }
    stream.shutdown().await?;
    // What is left unread is the peer's business: the connection is kept until the end.
    match tokio::time::timeout(Duration::from_mins(50), stream.read(&mut [0; 16])).await {
        Ok(Ok(_)) => note(&host.events, "closed", 0),
        Ok(Err(error)) => note(&host.events, "read error", error.kind() as u64),
        Err(_) => note(&host.events, "forgotten", 0),
    }
    Ok(())
}

fn pair(setup: &mut Setup<'_>, count: u64, gap: Duration) {
    setup.workload("a", move |host| source(host, count, gap));
    setup.host("b", sink);
}

fn run(rest: &str, count: u64, gap: Duration) -> Outcome {
    let outcome = simulate(5, rest, move |setup| pair(setup, count, gap));
    assert_adds_up(&outcome);
    outcome
}

fn kind(kind: std::io::ErrorKind) -> u64 {
    kind as u64
}

/// Retransmissions of data, as (attempt, time since the segment was first sent).
fn retransmissions(outcome: &Outcome) -> Vec<(u32, Duration)> {
    let sent = |wanted: u64| {
        records(outcome).iter().find_map(|record| match &record.what {
            What::Sent(packet) if packet.id == wanted => Some((record.at, packet.kind)),
            _ => None,
        })
    };
    let of = |record: &stormglass::sim::trace::Record| match record.what {
        What::Retransmitted { packet, attempt, .. } => {
            let (at, kind) = sent(packet).expect("it was sent");
            matches!(kind, PacketKind::Data(_) | PacketKind::Syn).then(|| (attempt, record.at - at))
        }
        _ => None,
    };
    records(outcome).iter().filter_map(of).collect()
}

#[test]
fn a_handshake_takes_one_round_trip_whichever_host_comes_first() {
    for server_first in [false, true] {
        let outcome = simulate(1, "duration = '10s'\n[network]\nlatency = '7ms'", move |setup| {
            if server_first {
                setup.host("b", sink);
            }
            setup.workload("a", |host| source(host, 1, ms(1)));
            if !server_first {
                setup.host("b", sink);
            }
        });
        assert_eq!(notes(&outcome, "connected"), [(ms(14), 0)]);
        assert_eq!(notes(&outcome, "read")[0], (ms(21), 10));
    }
    let fractions = run("duration = '10s'\n[network]\nlatency = '2600us'", 1, ms(1));
    assert_eq!(notes(&fractions, "connected"), [(ms(5), 0)], "5.2 ms, seen at the nearest tick");
}

#[test]
fn nothing_listens_so_the_connect_is_refused_after_a_round_trip() {
    let outcome = simulate(1, "duration = '10s'\n[network]\nlatency = '4ms'", |setup| {
        setup.workload("a", |host| source(host, 1, ms(1)));
        setup.host("b", |_| std::future::pending());
    });
    assert_eq!(notes(&outcome, "connect error"), [(ms(8), kind(std::io::ErrorKind::ConnectionRefused))]);
}

#[test]
fn a_lost_segment_comes_again_after_its_timeout_doubled_each_time() {
    // Four transmissions of the first data segment are dropped: 210 ms is one round trip and 200 ms; timers fire up to a
    // tick of the wheel later.
    let rest = "duration = '60s'\n[network]\nlatency = '5ms'\ntcp = { preset = 'plain' }\n\
                [[step]]\nat = '0ms'\ndrop = { from = 'a', to = 'b', message = 'word', count = 4 }";
    let outcome = run(rest, 1, ms(1));
    let got = retransmissions(&outcome);
    assert_eq!(got.iter().map(|(attempt, _)| *attempt).collect::<Vec<_>>(), [1, 2, 3, 4]);
    for ((_, after), expected) in got.iter().zip([210, 630, 1_470, 3_150]) {
        assert!(*after >= ms(expected) && *after <= ms(expected + expected / 20 + 20), "{got:?}");
    }
    assert_eq!(notes(&outcome, "read"), [(ms(10) + got[3].1 + ms(5), 10)]);
}

#[test]
fn a_lost_syn_comes_again_a_second_later_and_another() {
    let rest = "duration = '60s'\n[network]\nlatency = '5ms'\n\
                [[step]]\nat = '0ms'\ndrop = { from = 'a', to = 'b', count = 2 }";
    let outcome = run(rest, 1, ms(1));
    let got = retransmissions(&outcome);
    let [(1, first), (2, second)] = got[..] else { panic!("{got:?}") };
    assert!(first >= ms(1_000) && first <= ms(1_036) && second >= ms(2_000) && second <= ms(2_072), "{got:?}");
    assert_eq!(notes(&outcome, "connected"), [(second + ms(10), 0)]);
}

#[test]
fn what_follows_a_lost_segment_waits_for_it() {
    let rest = "duration = '60s'\n[network]\nlatency = '5ms'\n\
                [[step]]\nat = '0ms'\ndrop = { from = 'a', to = 'b', message = 'word', count = 1 }";
    let outcome = run(rest, 3, ms(20));
    // The second is sent at 30 ms; that it has arrived and the first has not is known at 40, and the first is sent again.
    assert_eq!(notes(&outcome, "read"), [(ms(45), 20), (ms(55), 30)], "head of line");
    assert_eq!((outcome.packets.retransmitted, outcome.packets.fast), (1, 1));
}

#[test]
fn the_share_of_retransmitted_segments_is_the_loss_rate() {
    let outcome = run("duration = '900s'\n[network]\nlatency = '1ms'\nloss = 0.05", 4000, ms(2));
    let first = |record: &&stormglass::sim::trace::Record| matches!(record.what, What::Lost { attempt: 0, .. });
    let lost = records(&outcome).iter().filter(first).count() as u64;
    assert_share(lost, outcome.packets.sent, 0.05);
    assert_eq!(notes(&outcome, "end").last().map(|(_, total)| *total), Some(40_000), "all of it, in the end");
}

#[test]
fn a_connection_survives_a_partition_of_three_seconds() {
    let rest = "duration = '60s'\n[network]\nlatency = '2ms'\n\
                [[step]]\nat = '100ms'\npartition = [['a'], ['b']]\nfor = '3s'";
    let outcome = run(rest, 40, ms(20));
    assert_eq!(notes(&outcome, "end").last().map(|(_, total)| *total), Some(400));
    let reads = notes(&outcome, "read");
    let silence = reads.windows(2).map(|pair| pair[1].0 - pair[0].0).max().unwrap();
    // It was cut at 100 ms; the sixth try of the first segment that was lost is the one that gets through.
    assert!(silence >= ms(3000) && silence <= ms(6400), "silent for {silence:?}");
}

#[test]
fn a_connection_that_outlives_its_tries_times_out_at_its_sender() {
    let rest = "duration = '600s'\n[network]\nlatency = '2ms'\n[network.tcp]\ntries = 3\n\
                [[step]]\nat = '100ms'\npartition = [['a'], ['b']]";
    let outcome = run(rest, 400, ms(20));
    let (at, error) = notes(&outcome, "write error")[0];
    assert_eq!(error, kind(std::io::ErrorKind::TimedOut));
    // Three doublings of 200 ms take 3 s from the first timeout on; it gives up at the timeout after that.
    assert!(at >= ms(100 + 3_000) && at <= ms(7_500), "timed out at {at:?}");
    assert_eq!(notes(&outcome, "end"), [], "an idle peer has not heard of it");
    assert_eq!(notes(&outcome, "error"), []);
}

#[test]
fn a_connect_whose_tries_run_out_times_out() {
    let rest = "duration = '600s'\n[network]\nlatency = '2ms'\n[network.tcp]\nsyn_tries = 2\n\
                [[step]]\nat = '0ms'\npartition = [['a'], ['b']]";
    let outcome = run(rest, 1, ms(1));
    // Four a second apart and two more: sent at 0, 1, 2, 3, 4, 5 and 7 s; given up when the last one's time is over.
    let (at, error) = notes(&outcome, "connect error")[0];
    assert_eq!(error, kind(std::io::ErrorKind::TimedOut));
    assert!(at >= ms(11_000) && at <= ms(11_600), "{at:?}");
}

#[test]
fn an_answer_that_cannot_come_back_is_a_lost_syn() {
    let rest = "duration = '600s'\n[network]\nlatency = '2ms'\n\
                [[step]]\nat = '0ms'\ncut = { from = 'b', to = 'a' }\nfor = '500ms'";
    let outcome = run(rest, 1, ms(1));
    let (at, _) = notes(&outcome, "connected")[0];
    assert!(at >= ms(1_004) && at <= ms(1_040), "either side has tried again: {at:?}");
}

#[test]
fn segments_carry_at_most_1448_bytes_and_arrive_in_order() {
    let outcome = simulate(9, "duration = '60s'\n[network]\nlatency = '1ms..30ms'\nloss = 0.05", |setup| {
        setup.workload("a", |host| async move {
            let mut stream = host.net.connect("b:80").await?;
            let bytes: Vec<u8> = (0..100_000_u32).map(|n| (n % 251) as u8).collect();
            stream.write_all(&bytes).await?;
            stream.shutdown().await?;
            let rest = stream.read(&mut [0; 16]).await?;
            assert_eq!(rest, 0);
            Ok(())
        });
        setup.host("b", |host| async move {
            let mut listener = host.net.listen("0.0.0.0:80").await?;
            let (mut stream, _) = listener.accept().await?;
            let mut bytes = Vec::new();
            stream.read_to_end(&mut bytes).await?;
            let right = bytes.len() == 100_000 && bytes.iter().zip(0_u32..).all(|(b, n)| u32::from(*b) == n % 251);
            note(&host.events, "right", u64::from(right));
            Ok(())
        });
    });
    assert_eq!(notes(&outcome, "right").first().map(|(_, right)| *right), Some(1));
    let longest = records(&outcome).iter().filter_map(|record| match &record.what {
        What::Sent(packet) if matches!(packet.kind, PacketKind::Data(_)) => Some(packet.payload.len()),
        _ => None,
    });
    assert_eq!(longest.max(), Some(1448));
    assert_adds_up(&outcome);
}

#[test]
fn a_segment_with_a_flipped_bit_is_lost() {
    let outcome = run("duration = '60s'\n[network]\nlatency = '2ms'\ncorrupt = 0.1", 200, ms(5));
    let by_checksum = |record: &&stormglass::sim::trace::Record| {
        matches!(record.what, What::Lost { reason: stormglass::sim::trace::LossReason::Checksum, .. })
    };
    assert!(records(&outcome).iter().filter(by_checksum).count() > 8);
    assert_eq!(outcome.packets.corrupted, 0, "what arrives is as it was sent");
    assert_eq!(notes(&outcome, "end").last().map(|(_, total)| *total), Some(2_000));
}

#[test]
fn packets_of_tcps_own_have_names() {
    for (from, to, name) in [("a", "b", "SYN"), ("b", "a", "SYN-ACK"), ("b", "a", "ACK"), ("a", "b", "FIN")] {
        let rest = format!(
            "duration = '60s'\n[network]\nlatency = '2ms'\n\
             [[step]]\nat = '0ms'\ndrop = {{ from = '{from}', to = '{to}', message = '{name}', count = 1 }}"
        );
        let outcome = run(&rest, 3, ms(300));
        let dropped: Vec<u64> = records(&outcome)
            .iter()
            .filter_map(|record| match record.what {
                What::Lost { packet, .. } => Some(packet),
                _ => None,
            })
            .collect();
        let [packet] = dropped[..] else { panic!("{name}: {dropped:?}") };
        let label = records(&outcome).iter().find_map(|record| match &record.what {
            What::Sent(sent) if sent.id == packet => sent.label.clone(),
            _ => None,
        });
        assert_eq!(label.map(|label| label.name).as_deref(), Some(name));
        assert_eq!(notes(&outcome, "end").last().map(|(_, total)| *total), Some(30), "{name}");
    }
}
