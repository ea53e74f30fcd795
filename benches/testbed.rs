//! What the testbed costs: its hosts against the same hosts on bare turmoil, in one run, and what a record costs.
//!
//! `cargo bench --bench testbed` runs the variants by turns, so that whatever else the machine does meets all of them,
//! and prints the ratio of their wall times: the median over the turns. The hosts are generic over the seam: on bare
//! turmoil they run through [`Bare`], which does nothing but call `turmoil::net`.

#![allow(clippy::disallowed_types, reason = "a benchmark measures wall time")]

#[path = "shared/bare.rs"]
mod bare;

use std::hint::black_box;
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use criterion::{Criterion, SamplingMode, Throughput};
use stormglass::net::{Listener, Net, Socket};
use stormglass::rng::Seed;
use stormglass::script::{Script, ScriptError};
use stormglass::sim::System;
use stormglass::sim::{RunOptions, Setup, run};
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::time::MissedTickBehavior;

use bare::{Bare, simulation};

const HOSTS: usize = 5;
const SEED: u64 = 7;
/// The testbed's target: at most this many times the wall time of bare turmoil.
const TARGET: f64 = 1.35;

/// What the hosts do.
#[derive(Clone, Copy)]
enum Workload {
    /// Each of five hosts sends 60 bytes to the four others every 50 ms, as Raft's leaders do, and answers each.
    Heartbeats,
    /// Four clients send a line of 32 bytes every 20 ms, and a server answers each.
    Lines,
}

impl Workload {
    fn name(self) -> &'static str {
        match self {
            Self::Heartbeats => "heartbeats over UDP",
            Self::Lines => "lines over TCP",
        }
    }

    /// A host's root future: `received` counts messages.
    async fn host(self, net: impl Net, index: usize, received: Arc<AtomicU64>) -> io::Result<()> {
        match (self, index) {
            (Self::Heartbeats, _) => heartbeats(net, index, &received).await,
            (Self::Lines, 0) => serve(net, received).await,
            (Self::Lines, _) => ask(net, &received).await,
        }
    }
}

fn name(index: usize) -> String {
    format!("n{index}")
}

async fn heartbeats(net: impl Net, index: usize, received: &AtomicU64) -> io::Result<()> {
    let socket = net.bind("0.0.0.0:7000").await?;
    let mut others = Vec::new();
    for other in (0..HOSTS).filter(|other| *other != index) {
        others.push(net.resolve(&format!("{}:7000", name(other))).await?);
    }
    let mut beat = tokio::time::interval(Duration::from_millis(50));
    let mut buffer = [0; 128];
    loop {
        tokio::select! {
            _ = beat.tick() => {
                for other in &others {
                    socket.send_to(&[b'h'; 60], *other).await?;
                }
            }
            got = socket.recv_from(&mut buffer) => {
                let (_, from) = got?;
                received.fetch_add(1, Ordering::Relaxed);
                if buffer[0] == b'h' {
                    socket.send_to(&[b'a'; 60], from).await?;
                }
            }
        }
    }
}

async fn serve(net: impl Net, received: Arc<AtomicU64>) -> io::Result<()> {
    let mut listener = net.listen("0.0.0.0:7000").await?;
    loop {
        let (stream, _) = listener.accept().await?;
        let received = received.clone();
        tokio::task::spawn_local(async move {
            let mut stream = BufReader::new(stream);
            let mut line = String::new();
            while matches!(stream.read_line(&mut line).await, Ok(1..)) {
                received.fetch_add(1, Ordering::Relaxed);
                if stream.write_all(line.as_bytes()).await.is_err() {
                    return;
                }
                line.clear();
            }
        });
    }
}

async fn ask(net: impl Net, received: &AtomicU64) -> io::Result<()> {
    let mut stream = BufReader::new(net.connect("n0:7000").await?);
    let mut turn = tokio::time::interval(Duration::from_millis(20));
    // After a retransmission, the lines that fell behind follow at once.
    turn.set_missed_tick_behavior(MissedTickBehavior::Burst);
    let mut line = String::new();
    loop {
        turn.tick().await;
        stream.write_all(b"one line of thirty-two bytes ab\n").await?;
        line.clear();
        stream.read_line(&mut line).await?;
        received.fetch_add(1, Ordering::Relaxed);
    }
}

/// Runs a workload on bare turmoil, and returns how long that took and how many messages were received.
fn bare(workload: Workload, simulated: Duration) -> (Duration, u64) {
    let received = Arc::new(AtomicU64::new(0));
    let began = Instant::now();
    let mut sim = simulation(SEED);
    for index in 0..HOSTS {
        let received = received.clone();
        sim.host(name(index), move || {
            let received = received.clone();
            async move { Ok(workload.host(Bare::default(), index, received).await?) }
        });
    }
    while sim.elapsed() < simulated {
        sim.step().expect("no host fails");
    }
    (began.elapsed(), received.load(Ordering::Relaxed))
}

/// The testbed's own hosts, of one benchmark.
struct Bench<F>(F);

impl<F: Fn(&mut Setup<'_>) + Sync> System for Bench<F> {
    fn name(&self) -> &'static str {
        "bench"
    }

    fn about(&self) -> &'static str {
        "the hosts of a benchmark"
    }

    fn build(&self, setup: &mut Setup<'_>) -> Result<(), ScriptError> {
        (self.0)(setup);
        Ok(())
    }
}

/// Runs hosts in the testbed, with the trace hash on and no record kept, and returns how long that took.
fn testbed(simulated: Duration, loss: f64, build: impl Fn(&mut Setup<'_>) + Sync + 'static) -> Duration {
    let text = format!(
        "about = \"a benchmark\"\nsystem = \"bench\"\nduration = \"{}ms\"\n[network]\nlatency = \"1ms..5ms\"\nloss = {loss:?}",
        simulated.as_millis(),
    );
    let script = Script::parse("bench.toml", &text).expect("the script is right");
    let system: &'static Bench<_> = Box::leak(Box::new(Bench(build)));
    let began = Instant::now();
    let outcome = run(system, &script, Seed(SEED), &RunOptions::default()).expect("the run begins");
    let took = began.elapsed();
    assert_eq!(outcome.simulated, simulated, "{:?}", outcome.verdict);
    took
}

/// Runs a workload in the testbed, and returns how long that took and how many messages were received.
fn ours(workload: Workload, simulated: Duration, loss: f64) -> (Duration, u64) {
    let received = Arc::new(AtomicU64::new(0));
    let counter = received.clone();
    let took = testbed(simulated, loss, move |setup| {
        for index in 0..HOSTS {
            let received = counter.clone();
            setup.host(name(index), move |host| {
                let received = received.clone();
                async move { Ok(workload.host(host.net, index, received).await?) }
            });
        }
    });
    (took, received.load(Ordering::Relaxed))
}

/// One turn: both worlds do the same work, and what is returned is the testbed's time and its share of bare turmoil's,
/// without loss and with.
fn turn(workload: Workload, simulated: Duration) -> (Duration, [f64; 2]) {
    let (bare_took, bare_received) = bare(workload, simulated);
    let took = [0.0, 0.01].map(|loss| {
        let (took, received) = ours(workload, simulated, loss);
        let work = received as f64 / bare_received as f64;
        assert!((0.98..1.02).contains(&work), "the testbed did {work} times the work of bare turmoil");
        took
    });
    (took[0], took.map(|took| took.as_secs_f64() / bare_took.as_secs_f64()))
}

fn compare(criterion: &mut Criterion, workload: Workload, simulated: Duration) {
    let mut ratios = [Vec::new(), Vec::new()];
    let mut group = criterion.benchmark_group("testbed");
    group.sampling_mode(SamplingMode::Flat).sample_size(11).measurement_time(Duration::from_secs(25));
    group.bench_function(workload.name(), |bencher| {
        bencher.iter_custom(|turns| {
            let mut total = Duration::ZERO;
            for _ in 0..turns {
                let (took, [quiet, lossy]) = turn(workload, simulated);
                total += took;
                ratios[0].push(quiet);
                ratios[1].push(lossy);
            }
            total
        });
    });
    group.finish();
    if let [Some(quiet), Some(lossy)] = ratios.map(median) {
        let (workload, turns) = (workload.name(), "the testbed's wall time over bare turmoil's");
        println!("{workload}: {turns}: {quiet:.2} (with 1 % loss: {lossy:.2}; target: {TARGET})\n");
    }
}

fn median(mut values: Vec<f64>) -> Option<f64> {
    values.sort_unstable_by(f64::total_cmp);
    values.get(values.len() / 2).copied()
}

/// What an event costs that a host tells: its record, numbered, counted and hashed.
fn records(criterion: &mut Criterion) {
    const EVENTS: u64 = 100_000;
    let mut group = criterion.benchmark_group("records");
    group.throughput(Throughput::Elements(EVENTS));
    group.bench_function("event", |bencher| {
        bencher.iter(|| {
            testbed(Duration::from_millis(1), 0.0, |setup| {
                setup.host("teller", |host| async move {
                    for n in 0..EVENTS {
                        host.events.event("told", vec![("n", black_box(n).into())]);
                    }
                    Ok(())
                });
            })
        });
    });
    group.finish();
}

fn main() {
    // `cargo test --benches` only wants to see that it runs.
    let measures = std::env::args().any(|arg| arg == "--bench");
    let simulated = Duration::from_secs(if measures { 60 } else { 2 });
    let mut criterion = Criterion::default()
        .warm_up_time(Duration::from_millis(500))
        .measurement_time(Duration::from_secs(3))
        .without_plots()
        .configure_from_args();
    compare(&mut criterion, Workload::Heartbeats, simulated);
    compare(&mut criterion, Workload::Lines, simulated);
    records(&mut criterion);
    criterion.final_summary();
}
