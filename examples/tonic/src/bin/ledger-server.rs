//! The service on real sockets: `ledger-server 127.0.0.1:50051 DIRECTORY`.

use anyhow::{Context, Result};
use stormglass::disk::real::RealDisk;
use stormglass::sockets::TcpListener;
use tonic::transport::Server;
use tonic_ledger::adapter::incoming;
use tonic_ledger::rpc::LedgerServer;
use tonic_ledger::service::open;

#[tokio::main]
async fn main() -> Result<()> {
    let mut arguments = std::env::args().skip(1);
    let (addr, directory) = arguments.next().zip(arguments.next()).context("usage: ledger-server ADDRESS DIRECTORY")?;
    let (ledger, writer) = open(RealDisk::open(&directory)?).await?;
    let listener = TcpListener::bind(addr.as_str()).await.with_context(|| format!("cannot listen at {addr}"))?;
    println!("listening at {}", listener.local_addr()?);
    tokio::select! {
        served = Server::builder().serve_with_incoming(LedgerServer(ledger), incoming(listener)) => served?,
        written = writer => written.context("the log cannot be written")?,
        _ = tokio::signal::ctrl_c() => {}
    }
    Ok(())
}
