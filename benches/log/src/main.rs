//! Writes to the leader of a replicated store, each client one at a time over a connection of its own, for a while; and what
//! that came to: writes a second, their latencies, and the processor time of the servers for each.

mod etcd;
mod http;

use std::fs;
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail};
use bytes::Bytes;
use clap::{Parser, ValueEnum};

/// Load for a replicated store
#[derive(Parser)]
struct Options {
    /// How the store is spoken to
    #[arg(long)]
    protocol: Protocol,
    /// All of its servers: who leads is asked for
    #[arg(long, value_delimiter = ',', required = true)]
    servers: Vec<String>,
    /// Where each of them says whether it leads, if that is elsewhere
    #[arg(long, value_delimiter = ',')]
    status: Vec<String>,
    /// The servers' processes
    #[arg(long, value_delimiter = ',', required = true)]
    pids: Vec<u32>,
    #[arg(long, default_value_t = 1)]
    clients: usize,
    #[arg(long, default_value_t = 5.0)]
    seconds: f64,
    /// How long is written before anything is counted
    #[arg(long, default_value_t = 1.0)]
    warm_up: f64,
    #[arg(long, default_value_t = 100)]
    value_bytes: usize,
}

#[derive(Clone, Copy, ValueEnum)]
enum Protocol {
    /// `PUT /kv/KEY`; `GET /status` tells who leads
    Http,
    /// etcd's, over gRPC
    Etcd,
}

/// A client of one of the protocols.
enum Client {
    Http(http::Client),
    Etcd(etcd::Client),
}

impl Client {
    async fn put(&mut self, key: String, value: Bytes) -> anyhow::Result<()> {
        match self {
            Self::Http(client) => client.put(&key, value).await,
            Self::Etcd(client) => client.put(key, value).await,
        }
    }
}

/// How long a leader is looked for.
const LEADER_WITHIN: Duration = Duration::from_secs(20);

async fn leader(options: &Options) -> anyhow::Result<String> {
    let began = Instant::now();
    while began.elapsed() < LEADER_WITHIN {
        for (place, server) in options.servers.iter().enumerate() {
            let status = options.status.get(place).unwrap_or(server);
            let leads = match options.protocol {
                Protocol::Http => http::leads(status).await,
                Protocol::Etcd => etcd::leads(status).await,
            };
            if leads.unwrap_or(false) {
                return Ok(server.clone());
            }
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    bail!("none of {:?} leads", options.servers)
}

/// After so many a client gives up.
const FAILURES_MAX: u64 = 100;

/// The latencies of what was answered between two moments, and how many calls failed.
async fn write(mut client: Client, nth: usize, value: Bytes, from: Instant, to: Instant) -> (Vec<Duration>, u64) {
    let (mut latencies, mut failed, mut last) = (Vec::new(), 0, None);
    for number in 0_u64.. {
        let began = Instant::now();
        if began >= to {
            break;
        }
        let done = client.put(format!("c{nth}-{}", number % 100), value.clone()).await;
        let now = Instant::now();
        match done {
            Ok(()) if began >= from && now < to => latencies.push(now - began),
            Ok(()) => {}
            Err(error) => {
                (failed, last) = (failed + 1, Some(error));
                if failed == FAILURES_MAX {
                    break;
                }
            }
        }
    }
    if let Some(error) = last {
        eprintln!("client {nth}: {failed} calls failed, at last: {error:#}");
    }
    (latencies, failed)
}

/// The processor time that processes have had, all their threads and both kinds, in clock ticks.
fn ticks(pids: &[u32]) -> anyhow::Result<u64> {
    let mut sum = 0;
    for pid in pids {
        let path = format!("/proc/{pid}/stat");
        let text = fs::read_to_string(&path).with_context(|| path.clone())?;
        // The name, in parentheses, may have blanks in it; user and system time are the 12th and 13th after it.
        let (_, rest) = text.rsplit_once(')').context("a stat line")?;
        let fields: Vec<&str> = rest.split_whitespace().collect();
        sum += fields[11].parse::<u64>()? + fields[12].parse::<u64>()?;
    }
    Ok(sum)
}

/// How many of them are a second: on Linux it is this on every machine that is known.
const TICKS_A_SECOND: f64 = 100.0;

#[tokio::main(flavor = "current_thread")]
async fn main() -> anyhow::Result<()> {
    let options = Options::parse();
    let leader = leader(&options).await?;
    let mut clients = Vec::new();
    for _ in 0..options.clients {
        clients.push(match options.protocol {
            Protocol::Http => Client::Http(http::Client::connect(&leader).await?),
            Protocol::Etcd => Client::Etcd(etcd::Client::connect(&leader).await?),
        });
    }
    let value = Bytes::from(vec![b'x'; options.value_bytes]);
    let from = Instant::now() + Duration::from_secs_f64(options.warm_up);
    let to = from + Duration::from_secs_f64(options.seconds);
    let tasks: Vec<_> = clients
        .into_iter()
        .enumerate()
        .map(|(nth, client)| tokio::spawn(write(client, nth, value.clone(), from, to)))
        .collect();
    tokio::time::sleep_until(from.into()).await;
    let before = ticks(&options.pids)?;
    tokio::time::sleep_until(to.into()).await;
    let spent = ticks(&options.pids)? - before;
    let (mut latencies, mut failed) = (Vec::new(), 0);
    for task in tasks {
        let (of_one, failures) = task.await?;
        latencies.extend(of_one);
        failed += failures;
    }
    if latencies.is_empty() {
        bail!("nothing was written in {} s, {failed} calls failed", options.seconds);
    }
    latencies.sort_unstable();
    let at = |share: f64| latencies[((latencies.len() - 1) as f64 * share) as usize].as_secs_f64() * 1e3;
    let writes = latencies.len() as f64;
    let (rate, micros) = (writes / options.seconds, spent as f64 / TICKS_A_SECOND / writes * 1e6);
    println!("{rate:.0} {:.3} {:.3} {micros:.0} {failed}", at(0.5), at(0.99));
    Ok(())
}
