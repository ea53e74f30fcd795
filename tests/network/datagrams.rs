//! Datagrams: latency, loss, bursts, copies, flipped bits, order, partitions, holds.

use std::time::Duration;

use stormglass::net::{Net, Socket};
use stormglass::sim::trace::What;
use stormglass::sim::{Outcome, Setup};

use super::{assert_adds_up, assert_share, ms, note, notes, records, simulate};

/// `a` sends `count` datagrams `m 0`, `m 1` … to `b`, one every `gap`; `b` notes what arrives.
fn stream(setup: &mut Setup<'_>, count: u64, gap: Duration) {
    setup.workload("a", move |host| async move {
        let socket = host.net.bind("0.0.0.0:9").await?;
        let to = host.net.resolve("b:9").await?;
        for n in 0..count {
            note(&host.events, "sent", n);
            socket.send_to(format!("m {n}").as_bytes(), to).await?;
            tokio::time::sleep(gap).await;
        }
        tokio::time::sleep(Duration::from_secs(2)).await;
        Ok(())
    });
    setup.host("b", |host| async move {
        let socket = host.net.bind("0.0.0.0:9").await?;
        let mut buffer = vec![0; 2048];
        loop {
            let (length, _) = socket.recv_from(&mut buffer).await?;
            let text = String::from_utf8_lossy(&buffer[..length]).into_owned();
            match text.strip_prefix("m ").and_then(|n| n.parse().ok()) {
                Some(n) => note(&host.events, "got", n),
                None => note(&host.events, "garbled", 0),
            }
        }
    });
}

fn run(rest: &str, count: u64, gap: Duration) -> Outcome {
    let outcome = simulate(11, rest, move |setup| stream(setup, count, gap));
    assert_adds_up(&outcome);
    outcome
}

#[test]
fn a_datagram_takes_exactly_its_latency() {
    let outcome = run("duration = '60s'\n[network]\nlatency = '3ms'", 50, ms(7));
    let got = notes(&outcome, "got");
    let expected: Vec<_> = (0..50).map(|n| (ms(7 * n + 3), n)).collect();
    assert_eq!(got, expected);
}

#[test]
fn latency_of_less_than_a_tick_is_rounded_up_to_it() {
    let outcome = run("duration = '60s'\n[network]\nlatency = '2300us'", 3, ms(10));
    assert_eq!(notes(&outcome, "got"), [(ms(3), 0), (ms(13), 1), (ms(23), 2)]);
    let wide = run("duration = '60s'\ntick = '5ms'\n[network]\nlatency = '7ms'", 3, ms(10));
    assert_eq!(notes(&wide, "got"), [(ms(10), 0), (ms(20), 1), (ms(30), 2)]);
}

#[test]
fn the_measured_loss_rate_is_the_one_asked_for() {
    for loss in [0.01, 0.1, 0.5] {
        let rest = format!("duration = '60s'\n[network]\nlatency = '1ms'\nloss = {loss}");
        let outcome = run(&rest, 20_000, ms(1));
        assert_share(outcome.packets.lost, 20_000, loss);
        assert_eq!(notes(&outcome, "got").len() as u64, 20_000 - outcome.packets.lost);
    }
}

#[test]
fn bursts_are_as_long_and_as_frequent_as_gilbert_and_elliott_say() {
    let (enter, leave) = (0.02, 0.2);
    let rest = format!(
        "duration = '60s'\n[network]\nlatency = '1ms'\nburst = {{ enter = {enter}, leave = {leave}, loss = 1.0 }}"
    );
    let outcome = run(&rest, 40_000, ms(1));
    let got: Vec<u64> = notes(&outcome, "got").into_iter().map(|(_, n)| n).collect();
    let bursts: Vec<u64> = got.windows(2).map(|pair| pair[1] - pair[0] - 1).filter(|gap| *gap > 0).collect();
    let mean = bursts.iter().sum::<u64>() as f64 / bursts.len() as f64;
    assert!((mean - 1.0 / leave).abs() < 0.6, "mean burst {mean}");
    let share = outcome.packets.lost as f64 / 40_000.0;
    let stationary = enter / (enter + leave);
    assert!((share - stationary).abs() < 0.015, "{share} lost, expected {stationary}");
}

#[test]
fn latency_quantiles_are_those_of_the_distribution() {
    // The asked-for values at 1 %, 50 % and 99 %, in milliseconds; ticks round up by at most one.
    let cases = [
        ("'10ms..30ms'", [10.2, 20.0, 29.8]),
        ("{ mean = '50ms', sd = '5ms' }", [38.4, 50.0, 61.6]),
        ("{ median = '40ms', sigma = 0.3 }", [19.9, 40.0, 80.4]),
        ("{ min = '10ms', median = '20ms', p99 = '80ms' }", [11.4, 20.0, 80.0]),
    ];
    for (latency, expected) in cases {
        let outcome = run(&format!("duration = '60s'\n[network]\nlatency = {latency}"), 20_000, ms(2));
        let sent = notes(&outcome, "sent");
        let mut taken: Vec<f64> = notes(&outcome, "got")
            .into_iter()
            .map(|(at, n)| (at - sent[usize::try_from(n).unwrap()].0).as_secs_f64() * 1e3)
            .collect();
        taken.sort_by(f64::total_cmp);
        for (p, want) in [0.01, 0.5, 0.99].into_iter().zip(expected) {
            let got = taken[(p * taken.len() as f64) as usize];
            assert!(got >= want * 0.95 && got <= want * 1.05 + 1.0, "{latency} at {p}: {got} ms, expected {want}");
        }
    }
}

#[test]
fn copies_and_flipped_bits_come_as_often_as_asked_for() {
    let outcome = run("duration = '60s'\n[network]\nlatency = '1ms'\nduplicate = 0.1\ncorrupt = 0.05", 10_000, ms(1));
    assert_share(outcome.packets.duplicated, 10_000, 0.1);
    assert_share(outcome.packets.corrupted, 10_000, 0.05);
    let got = notes(&outcome, "got").len() + notes(&outcome, "garbled").len();
    assert_eq!(got as u64, 10_000 + outcome.packets.duplicated);
    assert!(!notes(&outcome, "garbled").is_empty());
}

#[test]
fn reordered_datagrams_are_overtaken() {
    let plain = run("duration = '60s'\n[network]\nlatency = '2ms'", 5_000, ms(2));
    let order = |outcome: &Outcome| {
        let got: Vec<u64> = notes(outcome, "got").into_iter().map(|(_, n)| n).collect();
        got.windows(2).filter(|pair| pair[1] < pair[0]).count() as u64
    };
    assert_eq!(order(&plain), 0);
    let mixed = run(
        "duration = '60s'\n[network]\nlatency = '2ms'\nreorder = { chance = 0.05, extra = '3ms..3ms' }",
        5_000,
        ms(2),
    );
    // Each one held back by 3 ms is overtaken by the one 2 ms behind it, unless that is held back too.
    assert_share(order(&mixed), 5_000, 0.05 * 0.95);
}

#[test]
fn a_partition_cuts_what_is_under_way_and_what_is_sent() {
    let rest =
        "duration = '60s'\n[network]\nlatency = '5ms'\n[[step]]\nat = '50ms'\npartition = [['a'], ['b']]\nfor = '30ms'";
    let outcome = run(rest, 20, ms(5));
    let got: Vec<u64> = notes(&outcome, "got").into_iter().map(|(_, n)| n).collect();
    // Datagram 9 left at 45 ms and was to arrive at 50; 16 leaves at 80, as the partition ends.
    let expected: Vec<u64> = (0..9).chain(16..20).collect();
    assert_eq!(got, expected);
    assert_eq!(outcome.packets.lost, 7);
}

#[test]
fn a_cut_is_one_way() {
    let rest = "duration = '60s'\n[network]\nlatency = '1ms'\n[[step]]\nat = '0ms'\ncut = { from = 'b', to = 'a' }";
    assert_eq!(notes(&run(rest, 20, ms(5)), "got").len(), 20);
    let other = "duration = '60s'\n[network]\nlatency = '1ms'\n[[step]]\nat = '0ms'\ncut = { from = 'a', to = 'b' }";
    assert_eq!(notes(&run(other, 20, ms(5)), "got").len(), 0);
}

#[test]
fn a_named_message_is_held_until_it_is_released() {
    let rest = "duration = '60s'\n[network]\nlatency = '2ms'\n\
                [[step]]\nat = '8ms'\nhold = { from = 'a', message = 'm', count = 2 }\n\
                [[step]]\nat = '31ms'\nrelease = true";
    let outcome = run(rest, 6, ms(5));
    let got = notes(&outcome, "got");
    // 2 and 3, sent at 10 and 15 ms, leave at 31 ms.
    assert_eq!(got, [(ms(2), 0), (ms(7), 1), (ms(22), 4), (ms(27), 5), (ms(33), 2), (ms(33), 3)]);
    let dropped = run(
        "duration = '60s'\n[network]\nlatency = '2ms'\n[[step]]\nat = '8ms'\ndrop = { message = 'm' }\nfor = '10ms'",
        6,
        ms(5),
    );
    assert_eq!(notes(&dropped, "got").into_iter().map(|(_, n)| n).collect::<Vec<_>>(), [0, 1, 4, 5]);
    let other = run(
        "duration = '60s'\n[network]\nlatency = '2ms'\n[[step]]\nat = '8ms'\ndrop = { message = 'other' }",
        6,
        ms(5),
    );
    assert_eq!(notes(&other, "got").len(), 6);
}

#[test]
fn a_link_of_its_own_wins_over_the_network() {
    let rest = "duration = '60s'\n[network]\nlatency = '2ms'\n[[link]]\nfrom = 'a'\nto = 'b'\nlatency = '9ms'\n\
                [[step]]\nat = '12ms'\nlink = { between = ['a', 'b'], latency = '20ms' }\nfor = '10ms'";
    let outcome = run(rest, 5, ms(5));
    let got = notes(&outcome, "got");
    assert_eq!(got, [(ms(9), 0), (ms(14), 1), (ms(19), 2), (ms(35), 3), (ms(40), 4)]);
}

#[test]
fn a_full_receive_buffer_loses_what_does_not_fit() {
    let outcome = simulate(3, "duration = '10s'\n[network]\nlatency = '1ms'\nudp_buffer = 1000", |setup| {
        setup.workload("a", |host| async move {
            let socket = host.net.bind("0.0.0.0:9").await?;
            let to = host.net.resolve("b:9").await?;
            for _ in 0..20 {
                socket.send_to(&[b'x'; 100], to).await?;
            }
            tokio::time::sleep(ms(500)).await;
            Ok(())
        });
        setup.host("b", |host| async move {
            let socket = host.net.bind("0.0.0.0:9").await?;
            tokio::time::sleep(ms(100)).await;
            loop {
                socket.recv_from(&mut [0; 200]).await?;
                note(&host.events, "got", 1);
            }
        });
    });
    assert_eq!(notes(&outcome, "got").len(), 10);
    let full = |record: &&stormglass::sim::trace::Record| matches!(&record.what, What::Lost { reason, .. } if reason.to_string() == "receive buffer full");
    assert_eq!(records(&outcome).iter().filter(full).count(), 10);
    assert_adds_up(&outcome);
}

#[test]
fn the_copy_of_a_held_datagram_is_held_too() {
    let rest = "duration = '60s'\n[network]\nlatency = '2ms'\nduplicate = 1.0\n\
                [[step]]\nat = '0ms'\nhold = { message = 'm' }\n[[step]]\nat = '50ms'\nrelease = true";
    let outcome = run(rest, 3, ms(5));
    let got: Vec<Duration> = notes(&outcome, "got").into_iter().map(|(at, _)| at).collect();
    assert_eq!(got, [ms(52); 6]);
}
