//! Every way to start a task, under every fault: while the process is dead or stands still nothing of it acts, and behind a
//! restart everything that acts is new.

use std::future::Future;
use std::pin::{Pin, pin};
use std::sync::Mutex;
use std::task::{Context, Waker};
use std::time::Duration;

use stormglass::disk::Disk as _;
use stormglass::sim::trace::{Packet, What};
use stormglass::sim::{Host, HostResult, Outcome, SendEvents, Setup, Verdict};
use stormglass::sockets::{TcpListener, TcpStream, UdpSocket};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::task::{AbortHandle, JoinSet, LocalSet, spawn_local};
use tokio::time::{interval, sleep, timeout};

use super::{ms, notes, records, simulate};

/// What beats: a record and a datagram, each 10 ms.
#[derive(Clone)]
struct Heart {
    events: SendEvents,
    incarnation: u64,
}

impl Heart {
    async fn beat(self) {
        let socket = UdpSocket::bind("0.0.0.0:0").await.expect("any port");
        socket.connect("a:9").await.expect("it is a host");
        loop {
            self.events.event("beat", vec![("n", self.incarnation.into())]);
            socket.send(b"beat").await.expect("it is sent at once");
            sleep(ms(10)).await;
        }
    }

    /// The same over a timer that is kept, and a connection.
    async fn beat_by_interval(self) {
        let mut stream = TcpStream::connect("a:80").await.expect("it listens");
        let mut beats = interval(ms(10));
        while stream.write_all(b"beat").await.is_ok() {
            self.events.event("beat", vec![("n", self.incarnation.into())]);
            beats.tick().await;
        }
    }

    /// The same by timers that run out, each in a task of its own.
    fn beat_by_tasks(self) -> Pin<Box<dyn Future<Output = ()> + Send>> {
        Box::pin(async move {
            self.events.event("beat", vec![("n", self.incarnation.into())]);
            let _ = timeout(ms(10), std::future::pending::<()>()).await;
            tokio::spawn(self.beat_by_tasks());
        })
    }
}

/// A destructor.
struct Finally<F: FnOnce()>(Option<F>);

impl<F: FnOnce()> Drop for Finally<F> {
    fn drop(&mut self) {
        self.0.take().into_iter().for_each(|acts| acts());
    }
}

/// A way to start a task.
type Way = fn(Heart) -> Pin<Box<dyn Future<Output = ()>>>;

const WAYS: [(&str, Way); 17] = [
    ("the root", |heart| Box::pin(heart.beat())),
    ("tokio::spawn", |heart| Box::pin(async move { drop(tokio::spawn(heart.beat())) })),
    ("tokio::spawn, by an interval", |heart| Box::pin(async move { drop(tokio::spawn(heart.beat_by_interval())) })),
    ("tokio::spawn, task by task", |heart| Box::pin(async move { drop(tokio::spawn(heart.beat_by_tasks())) })),
    ("tokio::spawn in a spawned task", |heart| {
        Box::pin(async move { drop(tokio::spawn(async move { drop(tokio::spawn(heart.beat())) })) })
    }),
    ("a JoinSet in a spawned task", |heart| {
        Box::pin(async move {
            tokio::spawn(async move {
                let mut set = JoinSet::new();
                set.spawn(heart.beat());
                set.join_next().await;
            });
        })
    }),
    ("a JoinSet of the root", |heart| {
        Box::pin(async move {
            let mut set = JoinSet::new();
            set.spawn(heart.beat());
            set.join_next().await;
        })
    }),
    ("a JoinSet of the root, local", |heart| {
        Box::pin(async move {
            let mut set = JoinSet::new();
            set.spawn_local(heart.beat());
            set.join_next().await;
        })
    }),
    ("spawn_local", |heart| Box::pin(async move { drop(spawn_local(heart.beat())) })),
    ("spawn_local in a spawned task", |heart| {
        Box::pin(async move { drop(tokio::spawn(async move { drop(spawn_local(heart.beat())) })) })
    }),
    ("tokio::spawn in a local task", |heart| {
        Box::pin(async move { drop(spawn_local(async move { drop(tokio::spawn(heart.beat())) })) })
    }),
    ("tokio::spawn in a destructor", |heart| {
        Box::pin(async move {
            let spawns = Finally(Some(move || drop(tokio::spawn(heart.beat()))));
            tokio::spawn(async move { drop(spawns) });
        })
    }),
    ("a JoinSet handed to another task", |heart| {
        Box::pin(async move {
            let mut set = JoinSet::new();
            set.spawn(heart.beat());
            tokio::spawn(async move { set.join_next().await });
        })
    }),
    ("a handle to abort it in a static", |heart| {
        static HANDLES: Mutex<Vec<AbortHandle>> = Mutex::new(Vec::new());
        Box::pin(async move {
            let task = tokio::spawn(heart.beat());
            HANDLES.lock().expect("nobody panics with it").push(task.abort_handle());
        })
    }),
    ("a LocalSet of its own, in a task", |heart| {
        Box::pin(async move {
            let tasks = LocalSet::new();
            tasks.spawn_local(heart.beat());
            spawn_local(tasks);
        })
    }),
    ("a LocalSet", |heart| Box::pin(async move { LocalSet::new().run_until(heart.beat()).await })),
    ("a handle that was kept", |heart| {
        Box::pin(async move {
            let handle = tokio::runtime::Handle::current();
            tokio::spawn(async move { drop(handle.spawn(heart.beat())) });
        })
    }),
];

/// `b` beats in this way, and is fit from 1 s to 2 s.
fn run(way: Way, step: &str) -> Outcome {
    let rest = format!("duration = '3s'\n[network]\nlatency = '2ms'\n[[step]]\n{step}");
    simulate(1, &rest, move |setup: &mut Setup<'_>| {
        setup.process("a", async |_| listener().await);
        setup.process("b", move |host: Host| async move {
            let heart = Heart { events: host.events.sendable(), incarnation: host.incarnation.into() };
            host.events.work(1);
            way(heart).await;
            std::future::pending().await
        });
    })
}

/// Hears all that comes, datagrams and connections.
async fn listener() -> HostResult {
    let socket = UdpSocket::bind("0.0.0.0:9").await?;
    tokio::spawn(async move { while socket.recv_from(&mut [0; 16]).await.is_ok() {} });
    let listener = TcpListener::bind("0.0.0.0:80").await?;
    loop {
        let (mut stream, _) = listener.accept().await?;
        tokio::spawn(async move { while stream.read(&mut [0; 64]).await.is_ok_and(|length| length > 0) {} });
    }
}

/// What `b` did at which times: beats of the first and of the second incarnation, and packets other than a connection's end.
fn acted(outcome: &Outcome, from: Duration, to: Duration) -> (usize, usize, usize) {
    let beats = |incarnation: u64| {
        let beats = notes(outcome, "beat");
        beats.iter().filter(|(at, n)| (from..to).contains(at) && *n == incarnation).count()
    };
    let is_of_b = |packet: &Packet| packet.from.0 == 1 && packet.payload.starts_with(b"beat");
    let sent = records(outcome).iter().filter(|record| (from..to).contains(&record.at));
    let sent = sent.filter(|record| matches!(&record.what, What::Sent(packet) if is_of_b(packet))).count();
    (beats(0), beats(1), sent)
}

#[test]
fn while_it_is_dead_nothing_acts_and_then_all_is_new() {
    for (name, way) in WAYS {
        for fault in ["at = '1s'\nkill = 'b'\nfor = '1s'", "at = '1s'\npower = 'b'\nfor = '1s'"] {
            let outcome = run(way, fault);
            assert_eq!(outcome.verdict, Verdict::Pass, "{name}: {fault}");
            let (before, none, _) = acted(&outcome, ms(0), ms(1000));
            assert!(before >= 99 && none == 0, "{name}: {fault}: {before} beats before");
            assert_eq!(acted(&outcome, ms(1000), ms(2000)), (0, 0, 0), "{name}: {fault}: while it was dead");
            let (old, new, _) = acted(&outcome, ms(2000), ms(3000));
            assert!(old == 0 && new >= 99, "{name}: {fault}: {old} old and {new} new beats");
        }
    }
}

#[test]
fn a_restart_replaces_all_of_it() {
    for (name, way) in WAYS {
        let outcome = run(way, "at = '1s'\nrestart = 'b'");
        assert_eq!(outcome.verdict, Verdict::Pass, "{name}");
        let (old, new, _) = acted(&outcome, ms(1000), ms(3000));
        assert!(old == 0 && new >= 199, "{name}: {old} old and {new} new beats");
    }
}

#[test]
fn while_it_stands_still_nothing_acts_and_then_it_goes_on() {
    for (name, way) in WAYS {
        let outcome = run(way, "at = '1s'\npause = 'b'\nfor = '1s'");
        assert_eq!(outcome.verdict, Verdict::Pass, "{name}");
        assert_eq!(acted(&outcome, ms(1000), ms(2000)), (0, 0, 0), "{name}: while it stood still");
        let (old, new, _) = acted(&outcome, ms(2000), ms(3000));
        assert!(old >= 99 && new == 0, "{name}: {old} old and {new} new beats");
    }
}

#[test]
fn nothing_acts_behind_the_record_at_which_it_dies() {
    for (name, way) in WAYS {
        let whole = run(way, "at = '2900ms'\nkill = 'b'");
        let is_beat = |what: &What| matches!(what, What::Event { name, .. } if *name == "beat");
        let beats: Vec<u64> =
            records(&whole).iter().filter(|record| is_beat(&record.what)).map(|record| record.number).collect();
        let last = beats[50];
        for fault in ["kill", "power"] {
            let outcome = run(way, &format!("record = {last}\n{fault} = 'b'"));
            let behind = records(&outcome).iter().filter(|record| record.number > last);
            let acts = behind.filter(|record| {
                let sends = matches!(&record.what, What::Sent(packet) if packet.payload.starts_with(b"beat"));
                record.host.is_some_and(|host| host.0 == 1) && (sends || is_beat(&record.what))
            });
            assert_eq!(acts.count(), 0, "{name}: {fault} at record {last}");
            assert_eq!(records(&outcome)[..=50], records(&whole)[..=50], "{name}: the same run until then");
        }
    }
}

/// Says goodbye in every way that there is, as its tasks are dropped.
async fn polite(host: Host) -> HostResult {
    let Host { events, disk, .. } = host;
    let known = disk.read("goodbye").await?;
    events.event("found", vec![("n", u64::from(known.is_some()).into())]);
    events.work(1);
    let socket = UdpSocket::bind("0.0.0.0:0").await?;
    socket.connect("a:9").await?;
    let stream = TcpStream::connect("a:80").await?;
    let goodbye = Finally(Some(move || {
        events.event("beat", vec![("n", 0_u64.into())]);
        events.count("goodbyes", 1);
        events.violation("nobody says goodbye", "who was killed");
        let _ = (socket.try_send(b"beat"), stream.try_write(b"beat"));
        let _ = pin!(disk.append("goodbye", b"beat")).poll(&mut Context::from_waker(Waker::noop()));
    }));
    spawn_local(async move {
        let _goodbye = goodbye;
        std::future::pending::<()>().await;
    });
    sleep(ms(1200)).await;
    Ok(())
}

#[test]
fn no_destructor_of_who_is_killed_does_anything() {
    for apart in [true, false] {
        for fault in ["kill = 'b'\nfor = '900ms'", "power = 'b'\nfor = '900ms'", "restart = 'b'"] {
            let rest = format!("duration = '2s'\n[[step]]\nat = '1s'\n{fault}");
            let outcome = simulate(1, &rest, move |setup: &mut Setup<'_>| {
                setup.process("a", async |_| listener().await);
                if apart { setup.process("b", polite) } else { setup.host("b", polite) }
            });
            assert_eq!(outcome.verdict, Verdict::Pass, "{apart}: {fault}");
            assert_eq!(acted(&outcome, ms(0), ms(2000)), (0, 0, 0), "{apart}: {fault}");
            assert_eq!(outcome.counter("goodbyes"), 0, "{apart}: {fault}");
            assert!(notes(&outcome, "found").iter().all(|(_, found)| *found == 0), "{apart}: {fault}");
        }
    }
}
