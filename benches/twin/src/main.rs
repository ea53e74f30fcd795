//! Both ends of each experiment, on real sockets and in the testbed.
//!
//! `peer serve` and `peer echo|connect|bulk|udp` run Stormglass's own echo servers and clients, and a bulk transfer, on the
//! kernel's sockets. `peer fates SCRIPT SEED FROM TO COUNT FILE` writes what becomes of the packets of one direction of a link.
//! `peer idle HOSTS MS` says how long turmoil alone takes for so many hosts that do nothing, in ticks of a millisecond.
//! Anything else is Stormglass's command line with one more system: `peer run bulk/loss --seed 1`.
use std::cell::{Cell, RefCell};
use std::future::pending;
use std::io;
use std::process::ExitCode;
use std::rc::Rc;
use std::time::Duration;

use bytes::Bytes;
use stormglass::echo::client::Messages;
use stormglass::echo::{Event, tcp, tcp_client, udp, udp_client};
use stormglass::events::Sink;
use stormglass::net::real::{RealNet, run};
use stormglass::net::{Listener, Net};
use stormglass::rng::Seed;
use stormglass::script::ScriptError;
use stormglass::sim::{HostResult, Setup, System};
use stormglass::systems::echo::Echo;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::task::{JoinSet, spawn_local};
use tokio::time::{Instant, sleep, timeout};

/// Takes `bytes` on each connection, then says so.
async fn sink<N: Net>(net: N, addr: &str, bytes: u64) -> io::Result<()> {
    let mut listener = net.listen(addr).await?;
    loop {
        let (mut stream, _) = listener.accept().await?;
        spawn_local(N::task(async move {
            let (mut left, mut buffer) = (bytes, vec![0; 65536]);
            while left > 0 {
                match stream.read(&mut buffer).await {
                    Ok(0) | Err(_) => return,
                    Ok(count) => left -= (count as u64).min(left),
                }
            }
            if stream.write_all(b"done\n").await.is_ok() {
                let _ = timeout(Duration::from_secs(60), stream.read(&mut buffer)).await;
            }
        }));
    }
}

/// Sends `bytes` and returns how long it took from the open connection to the word that they are there.
async fn pour<N: Net>(net: &N, to: &str, bytes: u64) -> io::Result<Duration> {
    let mut stream = net.connect(to).await?;
    let started = Instant::now();
    stream.write_all(&vec![b'x'; usize::try_from(bytes).expect("it fits")]).await?;
    let mut answer = [0; 5];
    stream.read_exact(&mut answer).await?;
    let took = started.elapsed();
    let _ = stream.shutdown().await;
    Ok(took)
}

struct Bulk;

#[derive(serde::Deserialize)]
#[serde(deny_unknown_fields)]
struct Options {
    bytes: u64,
}

impl System for Bulk {
    fn name(&self) -> &'static str {
        "bulk"
    }
    fn about(&self) -> &'static str {
        "one transfer one way"
    }
    fn sims(&self) -> &'static [(&'static str, &'static str)] {
        &[(
            "loss",
            "about = \"one transfer\"\nsystem = \"bulk\"\nduration = \"30m\"\n[bulk]\nbytes = 2000000\n[network]\nlatency = \"1ms..5ms\"\nloss = 0.1\n",
        )]
    }
    fn build(&self, setup: &mut Setup<'_>) -> Result<(), ScriptError> {
        let Options { bytes } = setup.section()?;
        setup.host("server", move |host| async move { Ok(sink(host.net, "0.0.0.0:8081", bytes).await?) });
        setup.workload("c1", move |host| async move {
            let took = pour(&host.net, "server:8081", bytes).await?;
            host.events.time("bulk", took);
            host.events.work(1);
            HostResult::Ok(())
        });
        Ok(())
    }
}

/// CLOCK_MONOTONIC, as the relay says it.
fn monotonic() -> f64 {
    let text = format!("{:?}", std::time::Instant::now());
    let mut numbers = text.split(|c: char| !c.is_ascii_digit()).filter(|part| !part.is_empty());
    let mut next = || numbers.next().and_then(|part| part.parse::<f64>().ok()).expect("an Instant has two numbers");
    next() + next() / 1e9
}

fn arg<T: std::str::FromStr>(args: &[String], name: &str, default: T) -> T {
    let at = args.iter().position(|arg| arg == name);
    at.and_then(|at| args.get(at + 1)?.parse().ok()).unwrap_or(default)
}

async fn serve(args: &[String]) -> io::Result<()> {
    let addr: String = arg(args, "--listen", "0.0.0.0".to_owned());
    let bytes = arg(args, "--bytes", 2_000_000);
    let tcp = tcp::ServeOptions { line_bytes_max: 1 << 20, ..Default::default() };
    let listener = RealNet.listen(&format!("{addr}:8080")).await?;
    let socket = RealNet.bind(&format!("{addr}:8080")).await?;
    println!("ready");
    let bulk = format!("{addr}:8081");
    let all = sink(RealNet, &bulk, bytes);
    tokio::select! {
        ended = tcp::serve::<RealNet>(listener, tcp, Sink::none(), pending()) => { ended?; }
        ended = udp::serve::<RealNet>(socket, udp::ServeOptions::default(), Sink::none(), pending()) => { ended?; }
        ended = all => ended?,
    }
    Ok(())
}

/// One client; its lines are `a CLIENT ID AT RTT_MS` for an answer, `c CLIENT MS` for a connect, `t CLIENT MS` for all
/// until the last answer.
async fn client(what: String, number: u64, args: Rc<Vec<String>>, out: Rc<RefCell<Vec<String>>>) -> io::Result<()> {
    let to: String = arg(&args, "--to", String::new());
    let requests: u64 = arg(&args, "--requests", 100);
    let size: usize = arg(&args, "--size", 32);
    let interval: f64 = arg(&args, "--interval", 20.0);
    let rate = (interval > 0.0).then(|| 1000.0 / interval);
    let pipeline = arg(&args, "--pipeline", 1);
    let line = move |id: u64| Bytes::from(format!("{:x<1$}", format!("c{number}/{id} "), size));
    let messages = Messages((0..requests).map(line));
    let started = Instant::now();
    let told = out.clone();
    let last = Rc::new(Cell::new(None));
    let answered = last.clone();
    let sink = Sink::new(move |event: &Event| match event {
        Event::Answered { id, rtt, .. } => {
            answered.set(Some(started.elapsed()));
            told.borrow_mut().push(format!("a {number} {id} {:.6} {:.3}", monotonic(), rtt.as_secs_f64() * 1e3));
        }
        Event::Connected => told.borrow_mut().push(format!("c {number} {:.3}", started.elapsed().as_secs_f64() * 1e3)),
        Event::Retry { .. } => told.borrow_mut().push(format!("r {number}")),
        Event::ConnectFailed { .. }
        | Event::Disconnected { why: stormglass::echo::Disconnected::Timeout }
        | Event::GaveUp { .. } => {
            told.borrow_mut().push(format!("x {number} {event:?}"));
        }
        _ => {}
    });
    match what.as_str() {
        "echo" => {
            let limit = Duration::from_secs(90);
            let options = tcp_client::Options {
                pipeline,
                rate,
                timeout: limit,
                connect_timeout: limit,
                retries: 20,
                ..Default::default()
            };
            tcp_client::run(&RealNet, &to, messages, &options, Seed(number).stream("client"), sink, pending()).await?;
        }
        "udp" => {
            let options = udp_client::Options {
                pipeline,
                rate,
                timeout: Duration::from_millis(100),
                retries: 50,
                ..Default::default()
            };
            udp_client::run(&RealNet, &to, messages, &options, sink, pending()).await?;
        }
        "connect" => {
            let stream = timeout(Duration::from_secs(arg(&args, "--limit", 40)), RealNet.connect(&to)).await;
            let ms = started.elapsed().as_secs_f64() * 1e3;
            out.borrow_mut().push(if matches!(stream, Ok(Ok(_))) {
                format!("c {number} {ms:.3}")
            } else {
                format!("x {number} {ms:.3}")
            });
            sleep(Duration::from_millis(50)).await;
        }
        "bulk" => {
            let took = pour(&RealNet, &to, arg(&args, "--bytes", 2_000_000)).await?;
            out.borrow_mut().push(format!("b {number} {:.3}", took.as_secs_f64() * 1e3));
        }
        other => return Err(io::Error::other(format!("what is {other}?"))),
    }
    let took = last.get().unwrap_or_else(|| started.elapsed());
    out.borrow_mut().push(format!("t {number} {:.3}", took.as_secs_f64() * 1e3));
    Ok(())
}

async fn clients(what: String, args: Vec<String>) -> io::Result<()> {
    let (count, stagger) = (arg(&args, "--clients", 3_u64), arg(&args, "--stagger", 0.5_f64));
    let (args, out, failed) = (Rc::new(args), Rc::new(RefCell::new(Vec::new())), Rc::new(Cell::new(0)));
    println!("start {:.6}", monotonic());
    let mut all = JoinSet::new();
    for number in 0..count {
        let (what, args, out, failed) = (what.clone(), args.clone(), out.clone(), failed.clone());
        all.spawn_local(async move {
            sleep(Duration::from_secs_f64(stagger * number as f64 / 1e3)).await;
            if let Err(error) = client(what, number, args, out).await {
                eprintln!("{number}: {error}");
                failed.set(failed.get() + 1);
            }
        });
    }
    while all.join_next().await.is_some() {}
    println!("{}\nend {} failed", out.borrow().join("\n"), failed.get());
    Ok(())
}

/// What the relay does to packets: drawn by the engine, from a script and a seed.
fn fates(args: &[String]) -> Result<(), Box<dyn std::error::Error>> {
    let [script, seed, from, to, count, file] = args else { return Err("fates SCRIPT SEED FROM TO COUNT FILE".into()) };
    let text = std::fs::read_to_string(script)?;
    let script = stormglass::script::Script::parse(script, &text)?;
    let hosts = [from.clone(), to.clone()];
    let mut path = stormglass::sim::Path::new(&script, Seed(seed.parse()?), &hosts, from, to).expect("both are hosts");
    let mut bytes = Vec::new();
    for _ in 0..count.parse::<u64>()? {
        let nanos = path.next_packet().map_or(-1, |latency| i64::try_from(latency.as_nanos()).expect("it is short"));
        bytes.extend_from_slice(&nanos.to_le_bytes());
    }
    Ok(std::fs::write(file, bytes)?)
}

/// How long turmoil takes for hosts that do nothing.
fn idle(hosts: u64, millis: u64) {
    let mut sim =
        turmoil::Builder::new().tick_duration(Duration::from_millis(1)).simulation_duration(Duration::MAX).build();
    for number in 0..hosts {
        sim.host(format!("h{number}"), || async { pending().await });
    }
    let started = std::time::Instant::now();
    for _ in 0..millis {
        sim.step().expect("nothing fails");
    }
    println!("{hosts} idle hosts, {millis} ms simulated: {:.2} s", started.elapsed().as_secs_f64());
}

fn main() -> ExitCode {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let what = args.first().cloned().unwrap_or_default();
    if what == "fates" {
        return fates(&args[1..]).map_or_else(
            |error| {
                eprintln!("{error}");
                ExitCode::FAILURE
            },
            |()| ExitCode::SUCCESS,
        );
    }
    if let ("idle", [_, hosts, millis]) = (what.as_str(), args.as_slice()) {
        idle(hosts.parse().expect("a number"), millis.parse().expect("a number"));
        return ExitCode::SUCCESS;
    }
    let ended = match what.as_str() {
        "serve" => run(serve(&args)),
        "echo" | "connect" | "bulk" | "udp" => run(clients(what, args)),
        _ => return stormglass::cli::main(&[&Echo, &Bulk]),
    };
    match ended {
        Ok(Ok(())) => ExitCode::SUCCESS,
        Ok(Err(error)) | Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}
