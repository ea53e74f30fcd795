//! A service of one's own in the testbed: a counter over UDP. A client asks it to add one, and asks again until it
//! hears that it was done; whatever the network does, each addition must count exactly once.
//!
//! `cargo run --release --example counter -- run counter/retries --seed 7`

use std::{cell::Cell, collections::BTreeMap, process::ExitCode, rc::Rc, time::Duration};

use stormglass::net::{Net, Socket};
use stormglass::script::ScriptError;
use stormglass::sim::System;
use stormglass::sim::{Host, HostResult, Setup};
use tokio::time::timeout;

/// The service: it knows nothing of the testbed, and runs on real sockets as well.
async fn serve<N: Net>(net: N, total: Rc<Cell<u64>>) -> HostResult {
    let socket = net.bind("0.0.0.0:7000").await?;
    let mut last = BTreeMap::new();
    let mut buffer = [0; 64];
    loop {
        let (length, from) = socket.recv_from(&mut buffer).await?;
        let Ok(number) = String::from_utf8_lossy(&buffer[..length]).parse::<u64>() else { continue };
        // Copies and repeats of an addition that was made are answered and not made again.
        if last.get(&from).is_none_or(|last| *last < number) {
            last.insert(from, number);
            total.set(total.get() + 1);
        }
        socket.send_to(number.to_string().as_bytes(), from).await?;
    }
}

/// A client: additions are numbered, and repeated until they are answered.
async fn add(host: Host, additions: u64) -> HostResult {
    let socket = host.net.bind("0.0.0.0:0").await?;
    let server = host.net.resolve("server:7000").await?;
    let mut buffer = [0; 64];
    for number in 1..=additions {
        let wanted = number.to_string();
        loop {
            socket.send_to(wanted.as_bytes(), server).await?;
            let answer = timeout(Duration::from_millis(50), socket.recv_from(&mut buffer)).await;
            if matches!(answer, Ok(Ok((length, _))) if buffer[..length] == *wanted.as_bytes()) {
                break;
            }
            host.events.count("repeats", 1);
        }
        host.events.event("added", vec![("number", number.into())]);
        host.events.work(1);
    }
    Ok(())
}

struct Counter;

/// The table `[counter]` of a script.
#[derive(serde::Deserialize)]
#[serde(deny_unknown_fields)]
struct Options {
    clients: u64,
    additions: u64,
}

impl System for Counter {
    fn name(&self) -> &'static str {
        "counter"
    }
    fn about(&self) -> &'static str {
        "a counter over UDP that counts each addition once"
    }
    fn sims(&self) -> &'static [(&'static str, &'static str)] {
        &[("retries", include_str!("retries.toml"))]
    }
    fn build(&self, setup: &mut Setup<'_>) -> Result<(), ScriptError> {
        let Options { clients, additions } = setup.section()?;
        let total = Rc::new(Cell::new(0));
        let counted = total.clone();
        setup.host("server", move |host| serve(host.net, counted.clone()));
        for client in 1..=clients {
            setup.workload(format!("c{client}"), move |host| add(host, additions));
        }
        setup.at_end(move |report| {
            let (made, total) = (clients * additions, total.get());
            if total != made {
                report.violation("each addition counts once", format!("{total} were counted, {made} were made"));
            }
        });
        Ok(())
    }
}

fn main() -> ExitCode {
    stormglass::cli::main(&[&Counter])
}

#[test]
fn each_addition_counts_once() {
    stormglass::testing::check(&Counter, "counter/retries", 0..20);
}
