//! A member on real sockets: `gossip-member NAME ADDRESS DIRECTORY [SEED…]`, each seed an address of another.

use std::collections::BTreeSet;
use std::time::Duration;

use anyhow::{Context, Result};
use gossip::service::Member;
use stormglass::disk::real::RealDisk;

#[tokio::main]
async fn main() -> Result<()> {
    let mut arguments = std::env::args().skip(1);
    let mut next = || arguments.next().context("usage: gossip-member NAME ADDRESS DIRECTORY [SEED…]");
    let (name, listen, directory) = (next()?, next()?, next()?);
    let disk = RealDisk::open(&directory)?;
    let entropy = u64::from(std::process::id());
    let member = Member::start(&name, &listen, arguments.collect(), &disk, entropy).await?;
    println!("listening at {}", member.addr()?);
    let mut told = BTreeSet::new();
    loop {
        let alive = member.members().into_iter().filter(|(_, known)| known.is_alive());
        let alive: BTreeSet<String> = alive.map(|(name, _)| name).collect();
        if alive != told {
            println!("alive {}", alive.iter().map(String::as_str).collect::<Vec<_>>().join(" "));
            told = alive;
        }
        tokio::select! {
            () = tokio::time::sleep(Duration::from_millis(50)) => {}
            _ = tokio::signal::ctrl_c() => return Ok(()),
        }
    }
}
