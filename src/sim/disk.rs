//! The disk of a simulated machine.
//!
//! It holds what POSIX promises and no more: a kill keeps all that was written; a power loss keeps the content of a file
//! as of its last sync, under the names as of the directory's last sync. A file that was renamed and never synced is
//! therefore empty after a power loss, which [`crate::disk::replace`] avoids by its order. Writes themselves are not cut
//! in two, neither by a kill nor by a power loss: what was not synced is gone whole, unless a step of the script has it torn.
//! Such steps ([`DiskFault`](crate::script::DiskFault)) have disks fail in other ways, too.
//!
//! Reads and writes take no time. A sync, of a file or of the directory, waits for the disk's latency and is done at the
//! end of it, so that whoever dies meanwhile has synced nothing. Latencies are drawn one by one, from the host, its
//! incarnation and the sync's number, and are rounded up to whole milliseconds as all of tokio's times. Syncs do not wait
//! for one another.

use std::cell::Cell;
use std::future::Future;
use std::io;
use std::rc::Rc;
use std::time::Duration;

use crate::rng::Seed;
use crate::sim::causality::carried;
use crate::sim::control::Control;
use crate::sim::platter::Platter;
use crate::sim::shared::Shared;
use crate::sim::trace::HostId;

use crate::disk::{Disk, cannot, checked};

/// How long until it is looked again whether syncs hang.
const HANGS_FOR: Duration = Duration::from_millis(1);

/// Lets simulated time pass, as a lane has it.
pub trait Wait: Clone + 'static {
    /// Is ready after so much time, rounded up to whole milliseconds.
    fn wait(&self, time: Duration) -> impl Future<Output = ()>;
}

/// Time is that of the tokio runtime of this host.
#[derive(Clone, Copy, Debug)]
pub struct Tokio;

impl Wait for Tokio {
    async fn wait(&self, time: Duration) {
        tokio::time::sleep(time).await;
    }
}

/// The disk as one process of a simulated host sees it.
#[derive(Clone)]
pub struct SimDisk<W = Tokio> {
    platter: Rc<Platter>,
    shared: Rc<Shared>,
    draws: Rc<Draws>,
    time: W,
}

/// Where the latencies come from.
struct Draws {
    seed: Seed,
    host: HostId,
    incarnation: u32,
    syncs: Cell<u64>,
}

impl<W: Wait> SimDisk<W> {
    pub(crate) fn new(control: &Control, incarnation: u32, time: W) -> Self {
        let Control { id: host, shared, seed, .. } = control;
        let draws = Draws { seed: *seed, host: *host, incarnation, syncs: Cell::new(0) };
        Self { platter: control.platter().clone(), shared: shared.clone(), draws: Rc::new(draws), time }
    }

    /// The disk, for a process that lives.
    fn platter(&self) -> io::Result<&Platter> {
        self.shared.alive(self.draws.host)?;
        Ok(&self.platter)
    }

    /// Whether the disk was empty when this process started, and had not been: a step has done that.
    pub fn was_emptied(&self) -> bool {
        self.platter.was_emptied()
    }

    /// Whether a bit of what is on the disk has flipped.
    pub fn was_flipped(&self) -> bool {
        self.platter.was_flipped()
    }

    async fn wait(&self) {
        let number = self.draws.syncs.get();
        self.draws.syncs.set(number + 1);
        let Draws { seed, host, incarnation, .. } = *self.draws;
        let latency = self.platter.latency(seed, host, incarnation, number);
        if !latency.is_zero() {
            carried(self.time.wait(latency)).await;
        }
        while self.platter.hangs() {
            carried(self.time.wait(HANGS_FOR)).await;
        }
    }
}

impl<W: Wait> Disk for SimDisk<W> {
    async fn read(&self, name: &str) -> io::Result<Option<Vec<u8>>> {
        Ok(self.platter()?.read(checked(name)?))
    }

    async fn write(&self, name: &str, bytes: &[u8]) -> io::Result<()> {
        self.platter()?.write(checked(name)?, bytes).map_err(|error| cannot("write", name, &error))
    }

    async fn append(&self, name: &str, bytes: &[u8]) -> io::Result<()> {
        self.platter()?.append(checked(name)?, bytes).map_err(|error| cannot("append to", name, &error))
    }

    async fn truncate(&self, name: &str, length: u64) -> io::Result<()> {
        let length =
            usize::try_from(length).map_err(|_| cannot("truncate", name, &io::ErrorKind::FileTooLarge.into()))?;
        self.platter()?.truncate(checked(name)?, length).map_err(|error| cannot("truncate", name, &error))
    }

    async fn sync(&self, name: &str) -> io::Result<()> {
        checked(name)?;
        self.wait().await;
        self.platter()?.sync(name).map_err(|error| cannot("sync", name, &error))
    }

    async fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        let renamed = self.platter()?.rename(checked(from)?, checked(to)?);
        renamed.map_err(|error| cannot(&format!("rename to {to}"), from, &error))
    }

    async fn sync_dir(&self) -> io::Result<()> {
        self.wait().await;
        self.platter()?.sync_dir();
        Ok(())
    }

    async fn remove(&self, name: &str) -> io::Result<()> {
        self.platter()?.remove(checked(name)?).map_err(|error| cannot("remove", name, &error))
    }

    async fn list(&self) -> io::Result<Vec<String>> {
        Ok(self.platter()?.list())
    }
}
