//! The service in the testbed: one server, clients that book, one that watches, and what must hold.

use std::cell::Cell;
use std::rc::Rc;
use std::time::Duration;

use futures_util::StreamExt as _;
use stormglass::script::ScriptError;
use stormglass::sim::{Host, HostResult, Setup, System};
use stormglass::sockets::TcpListener;
use tokio::time::{sleep, timeout};
use tonic::transport::Server;

use crate::adapter::{channel, incoming};
use crate::rpc::{Entry, LedgerClient, LedgerServer};
use crate::service::open;

const PATIENCE: Duration = Duration::from_millis(400);

/// The system `ledger`.
pub struct LedgerSystem;

/// The table `[ledger]` of a script.
#[derive(Clone, Copy, serde::Deserialize)]
#[serde(deny_unknown_fields)]
struct Options {
    clients: u64,
    entries: u64,
    /// Whether an entry that is sent again is the same one. If not, it counts as often as it arrives.
    #[serde(default = "yes")]
    ids: bool,
}

fn yes() -> bool {
    true
}

async fn server(host: Host) -> HostResult {
    let (ledger, writer) = open(host.disk.clone()).await?;
    tokio::task::spawn_local(writer);
    let listener = TcpListener::bind("0.0.0.0:50051").await?;
    Server::builder().serve_with_incoming(LedgerServer(ledger), incoming(listener)).await?;
    Ok(())
}

/// Books one entry after the other, each until it is acknowledged.
async fn client(host: Host, Options { entries, ids, .. }: Options, highest: Rc<Cell<u64>>) -> HostResult {
    let mut client = LedgerClient::new(channel("server:50051")?);
    for number in 1..=entries {
        let mut entry = Entry { id: format!("{}-{number}", host.name), amount: 1 };
        let total = loop {
            if !ids {
                entry.id.push('+');
            }
            match timeout(PATIENCE, client.add(entry.clone())).await {
                Ok(Ok(answer)) => break answer.total,
                Ok(Err(_)) | Err(_) => host.events.count("retries", 1),
            }
            sleep(Duration::from_millis(50)).await;
        };
        host.events.event("booked", vec![("number", number.into()), ("total", total.into())]);
        host.events.work(1);
        highest.set(highest.get().max(total));
        sleep(Duration::from_millis(50)).await;
    }
    Ok(())
}

/// Watches the total, over one stream after the other.
async fn watcher(host: Host) -> HostResult {
    let mut client = LedgerClient::new(channel("server:50051")?);
    let mut before = 0;
    loop {
        if let Ok(Ok(mut totals)) = timeout(PATIENCE, client.watch()).await {
            host.events.count("streams", 1);
            while let Some(Ok(now)) = totals.next().await {
                if now.total < before {
                    let message = format!("the total was {before}, and then {}", now.total);
                    host.events.violation("what was booked stays", message);
                }
                before = now.total;
            }
        }
        sleep(Duration::from_millis(50)).await;
    }
}

impl System for LedgerSystem {
    fn name(&self) -> &'static str {
        "ledger"
    }

    fn about(&self) -> &'static str {
        "a ledger over gRPC, with tonic"
    }

    fn sims(&self) -> &'static [(&'static str, &'static str)] {
        &[("chaos", include_str!("../sims/chaos.toml")), ("without-ids", include_str!("../sims/without-ids.toml"))]
    }

    fn counters(&self) -> Option<Vec<&'static str>> {
        Some(vec!["retries", "streams"])
    }

    fn build(&self, setup: &mut Setup<'_>) -> Result<(), ScriptError> {
        let options: Options = setup.section()?;
        let highest = Rc::new(Cell::new(0));
        setup.process("server", server);
        setup.process("watcher", watcher);
        for number in 1..=options.clients {
            let highest = highest.clone();
            setup.process_workload(format!("c{number}"), move |host| client(host, options, highest.clone()));
        }
        setup.at_end(move |report| {
            let (total, made) = (highest.get(), options.clients * options.entries);
            if total != made && !report.is_cut_off() {
                report.violation("each entry counts once", format!("{made} were booked, and the total is {total}"));
            }
        });
        Ok(())
    }
}
