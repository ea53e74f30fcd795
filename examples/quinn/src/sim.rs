//! The service in the testbed: one server, clients that have records kept, and what must hold.

use std::cell::Cell;
use std::rc::Rc;
use std::time::Duration;

use quinn::rustls::pki_types::CertificateDer;
use stormglass::disk::Disk as _;
use stormglass::rng::between;
use stormglass::script::ScriptError;
use stormglass::sim::{Host, HostResult, Setup, System};
use stormglass::sockets::UdpSocket;
use tokio::time::sleep;

use crate::adapter::endpoint;
use crate::client::Client;
use crate::service::serve;
use crate::tls::Identity;

/// The system `records`.
pub struct Records;

/// The table `[records]` of a script.
#[derive(serde::Deserialize)]
#[serde(deny_unknown_fields)]
struct Options {
    clients: u64,
    records: u64,
    /// Whether what the server has written is there when it starts anew.
    #[serde(default = "yes")]
    disk: bool,
}

fn yes() -> bool {
    true
}

async fn server(host: Host, identity: Rc<Identity>, keeps_disk: bool) -> HostResult {
    if !keeps_disk {
        host.disk.write("log", b"").await?;
    }
    let endpoint = endpoint(UdpSocket::bind("0.0.0.0:4433").await?, Some(identity.server()?))?;
    Ok(serve(endpoint, host.disk.clone()).await?)
}

/// Has one record after the other kept, each until it is acknowledged. `acknowledged` counts those of all clients.
async fn client(
    host: Host,
    certificate: CertificateDer<'static>,
    records: u64,
    acknowledged: Rc<Cell<u64>>,
) -> HostResult {
    let mut client = Client::new("server:4433", certificate).await?;
    for number in 1..=records {
        let before = acknowledged.get();
        let kept = loop {
            match client.keep(&format!("{} {number}", host.name)).await {
                Ok(kept) => break kept,
                Err(_) => host.events.count("retries", 1),
            }
            sleep(Duration::from_millis(50)).await;
        };
        host.events.event("kept", vec![("number", number.into()), ("records", kept.into())]);
        acknowledged.set(acknowledged.get() + 1);
        if kept <= before {
            let message = format!("{before} records were acknowledged, and with the next there are {kept}");
            host.events.violation("no acknowledged record is lost", message);
        }
        host.events.work(1);
        sleep(Duration::from_millis(50)).await;
    }
    Ok(())
}

impl System for Records {
    fn name(&self) -> &'static str {
        "records"
    }

    fn about(&self) -> &'static str {
        "records that are kept over QUIC, with quinn"
    }

    fn sims(&self) -> &'static [(&'static str, &'static str)] {
        &[("chaos", include_str!("../sims/chaos.toml")), ("without-disk", include_str!("../sims/without-disk.toml"))]
    }

    fn counters(&self) -> Option<Vec<&'static str>> {
        Some(vec!["retries"])
    }

    fn build(&self, setup: &mut Setup<'_>) -> Result<(), ScriptError> {
        let Options { clients, records, disk } = setup.section()?;
        let mut rng = setup.rng("identity");
        let key = std::array::from_fn(|_| between(&mut rng, 0, 255).to_le_bytes()[0]);
        let identity = Rc::new(Identity::new(key).expect("any 32 bytes are a key"));
        let certificate = identity.certificate.clone();
        setup.process("server", move |host| server(host, identity.clone(), disk));
        let acknowledged = Rc::new(Cell::new(0));
        for number in 1..=clients {
            let (certificate, acknowledged) = (certificate.clone(), acknowledged.clone());
            setup.process_workload(format!("c{number}"), move |host| {
                client(host, certificate.clone(), records, acknowledged.clone())
            });
        }
        Ok(())
    }
}
