//! The service on real sockets: `kv-server 127.0.0.1:8080 DIRECTORY`.

use anyhow::{Context, Result};
use axum_kv::adapter::TcpListener;
use axum_kv::service::{app, open};
use stormglass::disk::real::RealDisk;

#[tokio::main]
async fn main() -> Result<()> {
    let mut arguments = std::env::args().skip(1);
    let (addr, directory) = arguments.next().zip(arguments.next()).context("usage: kv-server ADDRESS DIRECTORY")?;
    let (store, writer) = open(RealDisk::open(&directory)?).await?;
    let listener = TcpListener::bind(addr.as_str()).await.with_context(|| format!("cannot listen at {addr}"))?;
    println!("listening at {}", listener.local_addr()?);
    let serve = async { axum::serve(listener, app(store)).await };
    tokio::select! {
        served = serve => served?,
        written = writer => written.context("the log cannot be written")?,
        _ = tokio::signal::ctrl_c() => {}
    }
    Ok(())
}
