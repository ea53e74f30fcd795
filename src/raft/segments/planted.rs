//! What the planted bugs do to files.

use std::io;

use super::{Segments, record};
use crate::disk::Disk;
use crate::raft::Log;
use crate::raft::planted::Bug;

/// Where the bug keeps what was cut off.
const UNCUT: &str = "uncut";

impl<D: Disk> Segments<D> {
    /// Has the files kept with a bug.
    pub(in crate::raft) fn planted(mut self, bug: Option<Bug>) -> Self {
        self.config.bug = bug;
        self
    }

    /// Keeps what is about to be cut off of a file, from a place on.
    pub(super) async fn keep_uncut(&self, name: &str, at: u64) -> io::Result<()> {
        let bytes = self.disk.read(name).await?.unwrap_or_default();
        let at = usize::try_from(at).unwrap_or(usize::MAX);
        self.disk.write(UNCUT, bytes.get(at..).unwrap_or_default()).await?;
        self.disk.sync(UNCUT).await?;
        self.disk.sync_dir().await
    }

    /// What was cut off is there again.
    pub(super) async fn bring_back(&mut self, log: &mut Log) -> io::Result<()> {
        let Some(bytes) = self.disk.read(UNCUT).await? else { return Ok(()) };
        self.disk.remove(UNCUT).await?;
        let (mut at, mut first, mut entries) = (0, None, Vec::new());
        while let Some((index, entry, size)) = record::take(&bytes[at..]) {
            at += size;
            first = first.or(Some(index));
            entries.push(entry);
        }
        let Some(first) = first.filter(|first| *first <= log.last().last_index) else { return Ok(()) };
        self.cut(first).await?;
        log.truncate(first);
        entries.iter().for_each(|entry| _ = log.append(entry.clone()));
        let mut bytes = Vec::new();
        self.append(first, &entries, &mut bytes).await?;
        self.flush(&mut bytes).await
    }
}
