//! The service on real sockets: `records-server 127.0.0.1:4433 DIRECTORY`. Its certificate is in the directory then.

use std::fs::File;
use std::io::Read as _;
use std::path::Path;

use anyhow::{Context, Result};
use quinn_records::adapter::endpoint;
use quinn_records::service::serve;
use quinn_records::tls::Identity;
use stormglass::disk::real::RealDisk;
use stormglass::sockets::UdpSocket;

#[tokio::main]
async fn main() -> Result<()> {
    let mut arguments = std::env::args().skip(1);
    let (addr, directory) =
        arguments.next().zip(arguments.next()).context("usage: records-server ADDRESS DIRECTORY")?;
    let disk = RealDisk::open(&directory)?;
    let mut key = [0; 32];
    File::open("/dev/urandom")?.read_exact(&mut key)?;
    let identity = Identity::new(key)?;
    std::fs::write(Path::new(&directory).join("certificate.der"), &identity.certificate)?;
    let socket = UdpSocket::bind(addr.as_str()).await.with_context(|| format!("cannot listen at {addr}"))?;
    println!("listening at {}", socket.local_addr()?);
    tokio::select! {
        served = serve(endpoint(socket, Some(identity.server()?))?, disk) => served,
        _ = tokio::signal::ctrl_c() => Ok(()),
    }
}
