//! What no fault reaches is noticed.

use std::sync::mpsc;
use std::thread;

use stormglass::net::{Net as _, Socket as _};
use stormglass::sim::{Host, HostResult, Outcome, Setup, Verdict};
use stormglass::sockets::UdpSocket;
use tokio::time::sleep;

use super::{ms, note, notes, simulate};

const KILL: &str = "[[step]]\nat = '100ms'\nkill = 'n1'";

/// `n1` lives so, and is killed if the script says so; `n2` does the run's work.
fn run<R: Future<Output = HostResult> + 'static>(
    step: &str,
    life: impl Fn(Host) -> R + Copy + Send + Sync + 'static,
) -> Outcome {
    simulate(1, &format!("duration = '1s'\n{step}"), move |setup: &mut Setup<'_>| {
        setup.process("n1", life);
        setup.process_workload("n2", async |host: Host| {
            sleep(ms(500)).await;
            host.events.work(1);
            Ok(())
        });
    })
}

fn found(outcome: &Outcome) -> String {
    match &outcome.verdict {
        Verdict::Violation(finding) if finding.invariant == "out of reach" => finding.message.clone(),
        other => panic!("{other:?}"),
    }
}

/// A thread that goes on for as long as the host's process lives, and a little longer.
fn thread() -> mpsc::Sender<()> {
    let (end, ended) = mpsc::channel();
    let worker = thread::Builder::new().name("worker".to_owned());
    worker
        .spawn(move || {
            let _ = ended.recv();
            thread::sleep(ms(50));
        })
        .expect("a thread");
    end
}

async fn with_a_thread(_: Host) -> HostResult {
    let _end = thread();
    std::future::pending().await
}

async fn with_blocking_work(_: Host) -> HostResult {
    let (_end, ended) = mpsc::channel::<()>();
    tokio::task::spawn_blocking(move || _ = ended.recv());
    std::future::pending().await
}

#[test]
#[cfg(target_os = "linux")]
fn a_thread_is_noticed_by_every_fault_on_its_host() {
    for fault in ["kill", "power", "pause", "restart"] {
        let outcome = run(&format!("[[step]]\nat = '100ms'\n{fault} = 'n1'"), with_a_thread);
        assert!(found(&outcome).contains("and a thread (`worker`) of it goes on"), "{fault}: {}", found(&outcome));
    }
    assert_eq!(run("", with_a_thread).verdict, Verdict::Pass, "without a fault it is its own affair");
    let other = run("[[step]]\nat = '100ms'\nkill = 'n2'\nfor = '10ms'", with_a_thread);
    assert_eq!(other.verdict, Verdict::Pass, "the fault is on another host");
}

/// Turmoil has a task of its own for each datagram to the same host: neither may it be taken for one of the host's, nor one
/// of the host's for it.
#[test]
fn what_a_host_sends_itself_is_no_task_that_goes_on() {
    async fn talks_to_itself(host: Host) -> HostResult {
        let socket = host.net.bind("0.0.0.0:7000").await?;
        let own = socket.local_addr()?;
        loop {
            for _ in 0..3 {
                socket.send_to(b"me", own).await?;
            }
            sleep(ms(1)).await;
        }
    }
    #[allow(clippy::disallowed_methods, reason = "that is what is to be found")]
    async fn leaves_a_task(host: Host) -> HostResult {
        tokio::spawn(std::future::pending::<()>());
        talks_to_itself(host).await
    }
    let of_turmoil = |tasks: bool| {
        simulate(1, &format!("duration = '1s'\n{KILL}"), move |setup: &mut Setup<'_>| {
            if tasks {
                setup.host("n1", leaves_a_task);
            } else {
                setup.host("n1", talks_to_itself);
            }
            setup.process_workload("n2", async |host: Host| {
                sleep(ms(500)).await;
                host.events.work(1);
                Ok(())
            });
        })
    };
    assert_eq!(of_turmoil(false).verdict, Verdict::Pass);
    assert!(found(&of_turmoil(true)).contains("one task of `tokio::spawn`"));
}

#[test]
fn blocking_work_that_goes_on_is_noticed() {
    let outcome = run(KILL, with_blocking_work);
    assert!(found(&outcome).contains("1 of `spawn_blocking`"), "{}", found(&outcome));
    assert_eq!(run("", with_blocking_work).verdict, Verdict::Pass);
}

#[test]
fn blocking_work_that_is_done_takes_no_time_and_is_no_finding() {
    let outcome = run(KILL, async |host: Host| {
        let answer = tokio::task::spawn_blocking(|| {
            thread::sleep(ms(20));
            42
        });
        note(&host.events, "answer", answer.await?);
        std::future::pending().await
    });
    assert_eq!(outcome.verdict, Verdict::Pass);
    assert_eq!(notes(&outcome, "answer"), [(ms(0), 42)]);
}

#[test]
fn a_host_within_turmoil_has_no_tasks_of_its_own() {
    let life = async |_: Host| -> HostResult {
        tokio::spawn(std::future::pending::<()>());
        std::future::pending().await
    };
    for fault in ["kill", "pause", "restart"] {
        let rest = format!("duration = '1s'\n[[step]]\nat = '100ms'\n{fault} = 'n1'");
        let outcome = simulate(1, &rest, move |setup| setup.host("n1", life));
        assert!(found(&outcome).contains("one task of `tokio::spawn`"), "{}", found(&outcome));
        assert!(found(&outcome).contains("Setup::process"), "{}", found(&outcome));
    }
}

#[test]
fn a_thread_has_no_part_in_the_run() {
    let outcome = run("", async |host: Host| {
        let (socket, events) = (UdpSocket::bind("0.0.0.0:9").await?, host.events.sendable());
        let used = thread::spawn(move || {
            events.work(1);
            socket.local_addr().map(|_| ()).expect_err("it is not in the run").to_string()
        });
        assert!(used.join().expect("it is well").contains("another thread"));
        std::future::pending().await
    });
    assert!(found(&outcome).contains("n1 used a simulated socket or its events in a thread"), "{}", found(&outcome));
}

#[test]
fn the_operating_systems_sockets_are_refused() {
    let outcome = run("", async |_| {
        tokio::net::UdpSocket::bind("127.0.0.1:0").await?;
        Ok(())
    });
    assert!(
        matches!(&outcome.verdict, Verdict::Panic(finding) if finding.message.starts_with("n1 panicked: A Tokio 1.x"))
    );
}
