//! The service in the testbed: one server, clients that write and read, and what must hold.

use std::time::Duration;

use stormglass::script::ScriptError;
use stormglass::sim::{Host, HostResult, Setup, System};
use tokio::time::sleep;

use crate::adapter::{TcpListener, execute, without_wall_clock};
use crate::client::Client;
use crate::service::{app, open};

/// The system `kv`.
pub struct Kv;

/// The table `[kv]` of a script.
#[derive(serde::Deserialize)]
#[serde(deny_unknown_fields)]
struct Options {
    clients: u64,
    writes: u64,
    /// Whether writes have versions. Without them one that is late undoes a later one.
    #[serde(default = "yes")]
    versions: bool,
}

fn yes() -> bool {
    true
}

async fn server(host: Host) -> HostResult {
    let (store, writer) = open(host.disk.clone()).await?;
    tokio::task::spawn_local(writer);
    let listener = TcpListener::bind("0.0.0.0:80").await?;
    axum::serve(listener, without_wall_clock(app(store))).await?;
    Ok(())
}

/// Writes one number after the other, each until it is acknowledged, and reads it back.
async fn client(host: Host, writes: u64, versions: bool) -> HostResult {
    let (key, mut client) = (host.name.clone(), Client::new("server:80"));
    for number in 1..=writes {
        let version = if versions { number } else { 0 };
        while client.put(&key, version, &number.to_string()).await.is_err() {
            host.events.count("retries", 1);
            sleep(Duration::from_millis(50)).await;
        }
        host.events.event("acknowledged", vec![("number", number.into())]);
        // What was given up before may arrive meanwhile.
        sleep(Duration::from_millis(50)).await;
        let read = loop {
            match client.get(&key).await {
                Ok(read) => break read,
                Err(_) => sleep(Duration::from_millis(50)).await,
            }
        };
        let value = read.map(|(_, value)| value).unwrap_or_default();
        if value != number.to_string() {
            let message = format!("{key} wrote {number}, which was acknowledged, and read `{value}`");
            host.events.violation("no acknowledged write is lost", message);
        }
        host.events.work(1);
    }
    // Who asks by reqwest is told the same.
    let asks = reqwest::Client::builder().no_proxy().build()?;
    let last = loop {
        match ask(&asks, &key).await {
            Ok(read) => break read,
            Err(_) => sleep(Duration::from_millis(50)).await,
        }
    };
    if last.split_once(' ').is_none_or(|(_, value)| value != writes.to_string()) {
        let message = format!("{key} wrote {writes} last, and reqwest read `{last}`");
        host.events.violation("no acknowledged write is lost", message);
    }
    Ok(())
}

async fn ask(client: &reqwest::Client, key: &str) -> anyhow::Result<String> {
    let request = client.get(format!("http://server/kv/{key}")).timeout(Duration::from_millis(400)).build()?;
    Ok(execute(request).await?.error_for_status()?.text().await?)
}

impl System for Kv {
    fn name(&self) -> &'static str {
        "kv"
    }

    fn about(&self) -> &'static str {
        "a key-value service over axum, and clients over hyper and reqwest"
    }

    fn sims(&self) -> &'static [(&'static str, &'static str)] {
        &[
            ("chaos", include_str!("../sims/chaos.toml")),
            ("without-versions", include_str!("../sims/without-versions.toml")),
        ]
    }

    fn counters(&self) -> Option<Vec<&'static str>> {
        Some(vec!["retries"])
    }

    fn build(&self, setup: &mut Setup<'_>) -> Result<(), ScriptError> {
        let Options { clients, writes, versions } = setup.section()?;
        setup.process("server", server);
        for number in 1..=clients {
            setup.process_workload(format!("c{number}"), move |host| client(host, writes, versions));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_acknowledged_write_is_lost() {
        stormglass::testing::check(&Kv, "kv/chaos", 0..5);
    }

    #[test]
    fn without_versions_one_is_lost() {
        use stormglass::{rng::Seed, script::Script, sim::RunOptions, sim::Verdict, sim::run};
        let text = include_str!("../sims/without-versions.toml");
        let script = Script::parse("sims/without-versions.toml", text).expect("it is one");
        let is_lost = |seed| {
            let outcome = run(&Kv, &script, Seed(seed), &RunOptions::default()).expect("it runs");
            matches!(outcome.verdict, Verdict::Violation(found) if found.invariant == "no acknowledged write is lost")
        };
        assert!((0..12).any(is_lost), "every second seed shows it");
    }
}
