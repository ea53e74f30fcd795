//! TCP at its limits: the window, resets, the ends of connections, many of them at once.

use std::io::ErrorKind;
use std::time::Duration;

use stormglass::net::{Listener, Net};
use stormglass::sim::trace::{HostId, Record, What};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::{assert_adds_up, ms, note, notes, records, simulate};

#[test]
fn a_writer_waits_for_a_reader_that_does_not_read() {
    let outcome = simulate(2, "duration = '60s'\n[network]\nlatency = '3ms'\n[network.tcp]\nwindow = 10000", |setup| {
        setup.workload("a", |host| async move {
            let mut stream = host.net.connect("b:80").await?;
            for n in 1..=200 {
                stream.write_all(&[7; 1000]).await?;
                note(&host.events, "wrote", n);
            }
            Ok(())
        });
        setup.host("b", |host| async move {
            let mut listener = host.net.listen("0.0.0.0:80").await?;
            let (mut stream, _) = listener.accept().await?;
            tokio::time::sleep(Duration::from_secs(5)).await;
            let mut buffer = vec![0; 1000];
            while stream.read(&mut buffer).await? > 0 {}
            Ok(())
        });
    });
    let wrote = notes(&outcome, "wrote");
    // Ten thousand bytes fit the window, and the send buffer grows with what is sent.
    assert!(wrote[49].0 < ms(100), "fifty thousand bytes fit: {wrote:?}");
    // The reader begins about five seconds in; the word of it takes one latency back.
    assert!(wrote[199].0 >= ms(5003), "two hundred thousand do not: {wrote:?}");
    assert_adds_up(&outcome);
}

#[test]
fn throughput_is_the_window_over_the_round_trip() {
    let outcome =
        simulate(2, "duration = '60s'\n[network]\nlatency = '50ms'\n[network.tcp]\nwindow = 14600", |setup| {
            setup.workload("a", |host| async move {
                let mut stream = host.net.connect("b:80").await?;
                stream.write_all(&vec![7; 146_000]).await?;
                stream.shutdown().await?;
                assert_eq!(stream.read(&mut [0; 1]).await?, 0);
                Ok(())
            });
            setup.host("b", |host| async move {
                let mut listener = host.net.listen("0.0.0.0:80").await?;
                let (mut stream, _) = listener.accept().await?;
                let mut buffer = vec![0; 1 << 16];
                while stream.read(&mut buffer).await? > 0 {}
                note(&host.events, "all", 1);
                Ok(())
            });
        });
    // Eleven windows of ten segments: the first is written when the handshake is done, at 100 ms, each of the others one
    // round trip later; the last is one segment.
    let at = notes(&outcome, "all")[0].0;
    assert!(at >= ms(100 + 10 * 100 + 50) && at <= ms(100 + 10 * 100 + 100), "all read at {at:?}");
}

#[test]
fn a_connection_closed_with_unread_data_is_reset() {
    let outcome = simulate(2, "duration = '60s'\n[network]\nlatency = '3ms'", |setup| {
        setup.workload("a", |host| async move {
            let mut stream = host.net.connect("b:80").await?;
            loop {
                if let Err(error) = stream.write_all(&[7; 1000]).await {
                    note(&host.events, "write error", error.kind() as u64);
                    return Ok(());
                }
                tokio::time::sleep(ms(1)).await;
            }
        });
        setup.host("b", |host| async move {
            let mut listener = host.net.listen("0.0.0.0:80").await?;
            let (stream, _) = listener.accept().await?;
            tokio::time::sleep(ms(50)).await;
            drop(stream);
            std::future::pending().await
        });
    });
    assert_eq!(notes(&outcome, "write error")[0].1, ErrorKind::ConnectionReset as u64);
}

#[test]
fn a_writer_that_waits_for_room_hears_of_a_reset() {
    let outcome = simulate(2, "duration = '60s'\n[network]\nlatency = '3ms'\n[network.tcp]\nwindow = 5000", |setup| {
        setup.workload("a", |host| async move {
            let mut stream = host.net.connect("b:80").await?;
            let error = stream.write_all(&vec![7; 100_000]).await.expect_err("nobody reads it");
            note(&host.events, "write error", error.kind() as u64);
            Ok(())
        });
        setup.host("b", |host| async move {
            let mut listener = host.net.listen("0.0.0.0:80").await?;
            let (stream, _) = listener.accept().await?;
            tokio::time::sleep(ms(100)).await;
            drop(stream);
            std::future::pending().await
        });
    });
    assert_eq!(notes(&outcome, "write error")[0].1, ErrorKind::ConnectionReset as u64);
}

#[test]
fn a_given_up_connection_is_reset_when_its_peer_sends() {
    let rest = "duration = '100s'\n[network]\nlatency = '2ms'\n[network.tcp]\ntries = 2\n\
                [[step]]\nat = '50ms'\npartition = [['a'], ['b']]\nfor = '5s'";
    let outcome = simulate(4, rest, |setup| {
        setup.workload("a", |host| async move {
            let mut stream = host.net.connect("b:80").await?;
            tokio::time::sleep(ms(100)).await;
            stream.write_all(b"lost").await?;
            let error = stream.read(&mut [0; 10]).await.expect_err("it is given up");
            note(&host.events, "gave up", error.kind() as u64);
            tokio::time::sleep(Duration::from_secs(20)).await;
            Ok(())
        });
        setup.host("b", |host| async move {
            let mut listener = host.net.listen("0.0.0.0:80").await?;
            let (mut stream, _) = listener.accept().await?;
            tokio::time::sleep(Duration::from_secs(10)).await;
            stream.write_all(b"are you there?").await?;
            note(&host.events, "asked", 1);
            let error = stream.read(&mut [0; 10]).await.expect_err("the peer is gone");
            note(&host.events, "reset", error.kind() as u64);
            Ok(())
        });
    });
    assert_eq!(notes(&outcome, "gave up")[0].1, ErrorKind::TimedOut as u64);
    let (asked, reset) = (notes(&outcome, "asked")[0].0, notes(&outcome, "reset")[0]);
    assert_eq!(reset, (asked + ms(4), ErrorKind::ConnectionReset as u64), "one round trip later");
    assert_adds_up(&outcome);
}

#[test]
fn a_fin_that_was_lost_comes_again() {
    let rest = "duration = '100s'\n[network]\nlatency = '2ms'\n[[step]]\nat = '10ms'\ncut = { from = 'a', to = 'b' }\nfor = '1s'";
    let outcome = simulate(4, rest, |setup| {
        setup.workload("a", |host| async move {
            let mut stream = host.net.connect("b:80").await?;
            stream.write_all(b"all").await?;
            tokio::time::sleep(ms(50)).await;
            stream.shutdown().await?;
            assert_eq!(stream.read(&mut [0; 10]).await?, 0);
            note(&host.events, "closed", 1);
            Ok(())
        });
        setup.host("b", |host| async move {
            let mut listener = host.net.listen("0.0.0.0:80").await?;
            let (mut stream, _) = listener.accept().await?;
            let mut bytes = Vec::new();
            stream.read_to_end(&mut bytes).await?;
            assert_eq!(bytes, b"all");
            note(&host.events, "end", 1);
            Ok(())
        });
    });
    assert!(notes(&outcome, "end")[0].0 > ms(1010));
    assert_eq!(notes(&outcome, "closed").len(), 1);
}

#[test]
fn thousands_of_connections_one_after_the_other_and_at_once() {
    let outcome = simulate(4, "duration = '100s'\n[network]\nlatency = '1ms'", |setup| {
        setup.workload("a", |host| async move {
            let mut all = Vec::new();
            for _ in 0..500 {
                all.push(host.net.connect("b:80").await?);
            }
            drop(all);
            for _ in 0..500 {
                let mut stream = host.net.connect("b:80").await?;
                stream.write_all(b"x").await?;
                assert_eq!(stream.read(&mut [0; 1]).await?, 1);
                note(&host.events, "echoed", 1);
            }
            Ok(())
        });
        setup.host("b", |host| async move {
            let mut listener = host.net.listen("0.0.0.0:80").await?;
            loop {
                let (mut stream, _) = listener.accept().await?;
                tokio::task::spawn_local(async move {
                    let mut byte = [0; 1];
                    while let Ok(1) = stream.read(&mut byte).await {
                        stream.write_all(&byte).await.expect("the client waits for it");
                    }
                });
            }
        });
    });
    assert_eq!(notes(&outcome, "echoed").len(), 500);
    assert_adds_up(&outcome);
}

/// `b` sends `data` bytes and closes with unread bytes at once, so that a reset follows the data; `a` reads.
fn reset_after_data(rest: &str) -> stormglass::sim::Outcome {
    simulate(3, rest, |setup| {
        setup.workload("a", |host| async move {
            let mut stream = host.net.connect("b:80").await?;
            stream.write_all(b"never read").await?;
            let mut total = 0;
            let mut buffer = [0; 100];
            let ended = loop {
                match tokio::time::timeout(Duration::from_secs(5), stream.read(&mut buffer)).await {
                    Ok(Ok(0)) => break "eof",
                    Ok(Ok(count)) => total += count as u64,
                    Ok(Err(_)) => break "reset",
                    Err(_) => break "silence",
                }
            };
            note(&host.events, "read", total);
            note(&host.events, ended, 1);
            Ok(())
        });
        setup.host("b", |host| async move {
            let mut listener = host.net.listen("0.0.0.0:80").await?;
            let (mut stream, _) = listener.accept().await?;
            tokio::time::sleep(ms(100)).await;
            stream.write_all(b"last words").await?;
            drop(stream);
            std::future::pending().await
        });
    })
}

#[test]
fn a_reset_does_not_overtake_the_data_before_it() {
    for latency in ["2ms", "1ms..50ms"] {
        let outcome = reset_after_data(&format!("duration = '60s'\n[network]\nlatency = '{latency}'"));
        assert_eq!(notes(&outcome, "read")[0].1, 10, "{latency}");
        assert_eq!(notes(&outcome, "reset").len(), 1, "{latency}");
    }
}

#[test]
fn a_reset_that_is_lost_is_not_sent_again() {
    // From 100 ms on nothing of b gets through; who has reset a connection sends nothing again.
    let rest = "duration = '60s'\n[network]\nlatency = '2ms'\n[[step]]\nat = '100ms'\ncut = { from = 'b', to = 'a' }\nfor = '50ms'";
    let outcome = reset_after_data(rest);
    assert_eq!(notes(&outcome, "read")[0].1, 0);
    assert_eq!(notes(&outcome, "silence").len(), 1);
}

#[test]
fn acknowledgements_are_lost_like_anything_else() {
    let rest = "duration = '60s'\n[network]\nlatency = '2ms'\n[[step]]\nat = '50ms'\ncut = { from = 'b', to = 'a' }\nfor = '1s'";
    let outcome = simulate(3, rest, |setup| {
        setup.workload("a", |host| async move {
            let mut stream = host.net.connect("b:80").await?;
            for _ in 0..100 {
                stream.write_all(&[1; 2000]).await?;
                tokio::time::sleep(ms(10)).await;
            }
            Ok(())
        });
        setup.host("b", |host| async move {
            let mut listener = host.net.listen("0.0.0.0:80").await?;
            let (mut stream, _) = listener.accept().await?;
            let mut bytes = Vec::new();
            stream.read_to_end(&mut bytes).await?;
            note(&host.events, "all", bytes.len() as u64);
            Ok(())
        });
        setup.workload("c", |_| async {
            tokio::time::sleep(Duration::from_secs(20)).await;
            Ok(())
        });
    });
    assert_eq!(notes(&outcome, "all")[0].1, 200_000);
    let again = |record: &&Record| record.host == Some(HostId(0)) && matches!(record.what, What::Retransmitted { .. });
    assert!(records(&outcome).iter().filter(again).count() > 0, "it could not know that they had arrived");
}
