//! What becomes of hosts: kill, power loss, pause, restart, a start that waits, an end.

use std::io::ErrorKind;
use std::time::Duration;

use stormglass::net::{Listener, Net, Socket};
use stormglass::sim::trace::What;
use stormglass::sim::{Host, HostResult, Outcome, Verdict};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::{assert_adds_up, ms, note, notes, records, simulate};

/// Accepts connections and answers each byte with the same byte.
async fn server(host: Host) -> HostResult {
    note(&host.events, "up", u64::from(host.incarnation));
    let mut listener = host.net.listen("0.0.0.0:80").await?;
    loop {
        let (mut stream, _) = listener.accept().await?;
        tokio::task::spawn_local(async move {
            let mut byte = [0; 1];
            while let Ok(1) = stream.read(&mut byte).await {
                if stream.write_all(&byte).await.is_err() {
                    return;
                }
            }
        });
    }
}

/// Connects and waits for the end of the connection.
async fn waiter(host: Host) -> HostResult {
    let mut stream = host.net.connect("b:80").await?;
    stream.write_all(b"x").await?;
    stream.read_exact(&mut [0; 1]).await?;
    match stream.read(&mut [0; 1]).await {
        Ok(0) => note(&host.events, "eof", 0),
        Ok(_) => note(&host.events, "data", 0),
        Err(error) => note(&host.events, "broken", error.kind() as u64),
    }
    Ok(())
}

fn of_kind(outcome: &Outcome, wanted: &What) -> Vec<Duration> {
    records(outcome).iter().filter(|record| record.what == *wanted).map(|record| record.at).collect()
}

#[test]
fn a_killed_process_closes_its_connections_and_refuses_new_ones() {
    let rest = "duration = '20s'\n[network]\nlatency = '2ms'\n[[step]]\nat = '100ms'\nkill = 'b'\nfor = '1s'";
    let outcome = simulate(1, rest, |setup| {
        setup.workload("a", waiter);
        setup.workload("c", |host| async move {
            tokio::time::sleep(ms(500)).await;
            let refused = host.net.connect("b:80").await.err().map(|error| error.kind());
            note(&host.events, "refused", u64::from(refused == Some(ErrorKind::ConnectionRefused)));
            tokio::time::sleep(ms(1000)).await;
            let mut stream = host.net.connect("b:80").await?;
            stream.write_all(b"y").await?;
            stream.read_exact(&mut [0; 1]).await?;
            note(&host.events, "served", 1);
            Ok(())
        });
        setup.host("b", server);
    });
    assert_eq!(notes(&outcome, "eof"), [(ms(102), 0)], "its FIN takes one latency");
    assert_eq!(notes(&outcome, "refused"), [(ms(504), 1)]);
    assert_eq!(notes(&outcome, "up"), [(ms(0), 0), (ms(1100), 1)]);
    assert_eq!(notes(&outcome, "served").len(), 1);
    assert_eq!(outcome.verdict, Verdict::Pass);
    assert_adds_up(&outcome);
}

#[test]
fn a_machine_without_power_says_nothing() {
    let rest = "duration = '100s'\n[network]\nlatency = '2ms'\n[[step]]\nat = '100ms'\npower = 'b'\nfor = '3s'";
    let outcome = simulate(1, rest, |setup| {
        setup.workload("a", |host| async move {
            let mut stream = host.net.connect("b:80").await?;
            stream.write_all(b"x").await?;
            stream.read_exact(&mut [0; 1]).await?;
            let silence = tokio::time::timeout(Duration::from_secs(2), stream.read(&mut [0; 1])).await;
            note(&host.events, "silence", u64::from(silence.is_err()));
            stream.write_all(b"y").await?;
            // It is sent again until the machine is back, which knows nothing of this connection.
            let error = stream.read(&mut [0; 1]).await.expect_err("the machine has forgotten the connection");
            note(&host.events, "reset", u64::from(error.kind() == ErrorKind::ConnectionReset));
            Ok(())
        });
        setup.workload("c", |host| async move {
            tokio::time::sleep(ms(500)).await;
            note(&host.events, "connecting", 0);
            host.net.connect("b:80").await?;
            note(&host.events, "connected", 0);
            Ok(())
        });
        setup.host("b", server);
    });
    assert_eq!(notes(&outcome, "silence")[0].1, 1);
    let (at, reset) = notes(&outcome, "reset")[0];
    assert!(reset == 1 && at > ms(3100), "reset at {at:?}");
    // SYNs at 0.5 s and each second from then on: the fourth finds the machine up again.
    let (at, _) = notes(&outcome, "connected")[0];
    assert!(at >= ms(3_504) && at <= ms(3_640), "{at:?}");
    assert_adds_up(&outcome);
}

#[test]
fn a_paused_process_finds_its_deadlines_past_and_its_datagrams_waiting() {
    let rest = "duration = '20s'\n[network]\nlatency = '2ms'\n[[step]]\nat = '95ms'\npause = 'b'\nfor = '500ms'";
    let outcome = simulate(1, rest, |setup| {
        setup.workload("a", |host| async move {
            let socket = host.net.bind("0.0.0.0:9").await?;
            let to = host.net.resolve("b:9").await?;
            for _ in 0..10 {
                socket.send_to(b"tick", to).await?;
                tokio::time::sleep(ms(100)).await;
            }
            Ok(())
        });
        setup.host("b", |host| async move {
            let socket = host.net.bind("0.0.0.0:9").await?;
            let events = host.events.clone();
            tokio::task::spawn_local(async move {
                for n in 1.. {
                    tokio::time::sleep(ms(50)).await;
                    note(&events, "timer", n);
                }
            });
            loop {
                socket.recv_from(&mut [0; 10]).await?;
                note(&host.events, "got", 1);
            }
        });
    });
    let stopped = |at: &Duration| *at > ms(95) && *at < ms(595);
    for name in ["timer", "got"] {
        let during = notes(&outcome, name).into_iter().filter(|(at, _)| stopped(at)).count();
        assert_eq!(during, 0, "{name} while it stood still");
    }
    let woken: Vec<Duration> = notes(&outcome, "got").into_iter().map(|(at, _)| at).collect();
    assert_eq!(woken[..6], [ms(2), ms(595), ms(595), ms(595), ms(595), ms(595)]);
    assert_eq!(of_kind(&outcome, &What::Paused), [ms(95)]);
    assert_eq!(of_kind(&outcome, &What::Resumed), [ms(595)]);
}

#[test]
fn connections_are_accepted_by_the_kernel_of_a_paused_process() {
    let rest = "duration = '20s'\n[network]\nlatency = '2ms'\n[[step]]\nat = '50ms'\npause = 'b'\nfor = '1s'";
    let outcome = simulate(1, rest, |setup| {
        setup.workload("a", |host| async move {
            tokio::time::sleep(ms(100)).await;
            let mut stream = host.net.connect("b:80").await?;
            note(&host.events, "connected", 0);
            stream.write_all(b"x").await?;
            stream.read_exact(&mut [0; 1]).await?;
            note(&host.events, "answered", 0);
            Ok(())
        });
        setup.host("b", server);
    });
    assert_eq!(notes(&outcome, "connected"), [(ms(104), 0)]);
    assert_eq!(notes(&outcome, "answered"), [(ms(1052), 0)]);
}

#[test]
fn a_host_that_waits_is_off_until_it_is_started() {
    let rest = "duration = '20s'\nwaiting = ['b']\n[network]\nlatency = '2ms'\n\
                [[step]]\nat = '2500ms'\nrestart = 'b'";
    let outcome = simulate(1, rest, |setup| {
        setup.workload("a", |host| async move {
            host.net.connect("b:80").await?;
            note(&host.events, "connected", 0);
            Ok(())
        });
        setup.host("b", server);
    });
    assert_eq!(notes(&outcome, "up"), [(ms(2500), 0)]);
    let (at, _) = notes(&outcome, "connected")[0];
    assert!(at >= ms(3_004) && at <= ms(3_120), "the SYN of 3 s: {at:?}");
}

#[test]
fn a_restart_replaces_the_process_that_runs() {
    let rest = "duration = '20s'\n[network]\nlatency = '2ms'\n[[step]]\nat = '100ms'\nrestart = 'b'";
    let outcome = simulate(1, rest, |setup| {
        setup.workload("a", waiter);
        setup.host("b", server);
    });
    assert_eq!(notes(&outcome, "up"), [(ms(0), 0), (ms(100), 1)]);
    assert_eq!(notes(&outcome, "eof"), [(ms(102), 0)]);
}

#[test]
fn a_workload_that_was_killed_begins_anew() {
    let rest = "duration = '20s'\n[[step]]\nat = '100ms'\nkill = 'a'\nfor = '1s'";
    let outcome = simulate(1, rest, |setup| {
        setup.workload("a", |host| async move {
            tokio::time::sleep(ms(500)).await;
            note(&host.events, "done", u64::from(host.incarnation));
            Ok(())
        });
    });
    assert_eq!(notes(&outcome, "done"), [(ms(1600), 1)]);
    assert_eq!(outcome.verdict, Verdict::Pass);
}

#[test]
fn faults_on_hosts_that_are_dead_or_paused_already_change_nothing() {
    let rest = "duration = '20s'\n\
        [[step]]\nat = '10ms'\npause = 'b'\n[[step]]\nat = '20ms'\npause = 'b'\n\
        [[step]]\nat = '30ms'\nkill = 'b'\n[[step]]\nat = '40ms'\nkill = 'b'\nfor = '10ms'\n\
        [[step]]\nat = '60ms'\npower = 'b'\n[[step]]\nat = '70ms'\npower = 'b'\n[[step]]\nat = '80ms'\nkill = 'b'\n\
        [[step]]\nat = '90ms'\nresume = 'b'\n[[step]]\nat = '100ms'\nrestart = 'b'\n[[step]]\nat = '100ms'\npower = 'b'\nfor = '1ms'";
    let outcome = simulate(1, rest, |setup| {
        setup.workload("a", |host| async move {
            tokio::time::sleep(ms(500)).await;
            note(&host.events, "done", 0);
            Ok(())
        });
        setup.host("b", server);
    });
    assert_eq!(of_kind(&outcome, &What::Paused).len(), 1);
    assert_eq!(of_kind(&outcome, &What::Killed).len(), 1);
    assert_eq!(of_kind(&outcome, &What::PowerLost).len(), 2);
    let ups: Vec<Duration> = notes(&outcome, "up").into_iter().map(|(at, _)| at).collect();
    assert_eq!(ups, [ms(0), ms(50), ms(101)]);
}

#[test]
fn a_port_is_free_again_as_soon_as_its_listener_is_dropped() {
    let outcome = simulate(1, "duration = '20s'", |setup| {
        setup.workload("b", |host| async move {
            for _ in 0..3 {
                let listener = host.net.listen("0.0.0.0:80").await?;
                assert_eq!(listener.local_addr()?.port(), 80);
                tokio::time::sleep(ms(5)).await;
            }
            let first = host.net.listen("0.0.0.0:80").await?;
            let second = host.net.listen("0.0.0.0:80").await;
            note(&host.events, "in use", u64::from(second.is_err()));
            drop(first);
            Ok(())
        });
    });
    assert_eq!(notes(&outcome, "in use")[0].1, 1);
    assert_eq!(outcome.verdict, Verdict::Pass);
}
