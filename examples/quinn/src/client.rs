//! A client, one connection at a time.

use std::time::Duration;

use anyhow::{Context, Result};
use quinn::rustls::pki_types::CertificateDer;
use quinn::{Connection, Endpoint};
use stormglass::sockets::{UdpSocket, lookup_host};
use tokio::time::timeout;

use crate::adapter::endpoint;
use crate::tls;

const PATIENCE: Duration = Duration::from_millis(600);

/// A client of one server, which connects when it has to.
pub struct Client {
    server: String,
    endpoint: Endpoint,
    connection: Option<Connection>,
}

impl Client {
    /// `server`: host and port.
    pub async fn new(server: impl Into<String>, certificate: CertificateDer<'static>) -> Result<Self> {
        let mut endpoint = endpoint(UdpSocket::bind("0.0.0.0:0").await?, None)?;
        endpoint.set_default_client_config(tls::client(certificate)?);
        Ok(Self { server: server.into(), endpoint, connection: None })
    }

    /// Has a record kept. Returns how many there are.
    pub async fn keep(&mut self, record: &str) -> Result<u64> {
        let kept = timeout(PATIENCE, self.exchange(record)).await.map_err(Into::into).and_then(|kept| kept);
        if kept.is_err() {
            // On which something went wrong, that connection is not used again.
            self.connection = None;
        }
        kept
    }

    async fn exchange(&mut self, record: &str) -> Result<u64> {
        let connection = match &mut self.connection {
            Some(connection) => connection,
            none => {
                let addr = lookup_host(self.server.as_str()).await?.next().context("the server has no address")?;
                none.insert(self.endpoint.connect(addr, tls::NAME)?.await?)
            }
        };
        let (mut asks, mut answers) = connection.open_bi().await?;
        asks.write_all(record.as_bytes()).await?;
        asks.finish()?;
        Ok(String::from_utf8(answers.read_to_end(32).await?)?.parse()?)
    }
}
