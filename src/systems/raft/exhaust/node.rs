//! A node with its disk, and what the state machine of it has applied.

use std::collections::VecDeque;
use std::rc::Rc;
use std::time::Duration;

use xxhash_rust::xxh3::xxh3_64_with_seed;

use crate::raft::{Config, Core, Entry, HardState, Log, LogChange, LogIndex, LogPosition, LogWrite, NodeId};
use crate::rng::Seed;

#[derive(Clone)]
pub(super) struct Node {
    pub(super) core: Core,
    pub(super) disk: HardState,
    pub(super) file: File,
    pub(super) clock: Duration,
    applied: (LogIndex, u64),
}

/// The log on disk.
#[derive(Clone, Default)]
pub(super) struct File {
    pub(super) log: Log,
    /// What was given out to be written and is not durable, in order.
    pub(super) writes: VecDeque<Rc<LogWrite>>,
}

impl Node {
    /// A node that starts with what its disk has.
    pub(super) fn boot(id: NodeId, config: &Config, disk: HardState, log: Log, clock: Duration) -> Self {
        let rng = Seed(0).stream("exhaust");
        let given = if config.replication.is_some() { log.clone() } else { LogPosition::default().into() };
        let core = Core::new(id, config.clone(), disk, given, rng, clock).expect("a valid configuration");
        let file = File { log, writes: VecDeque::new() };
        Self { core, disk, file, clock, applied: (0, 0) }
    }

    /// Gives the state machine the next entry, if it is not beyond `through`: its index, its term and the state after it,
    /// which stands for all that was applied.
    pub(super) fn apply(&mut self, through: LogIndex) -> Option<(LogIndex, u64, u64)> {
        let (index, digest) = (self.applied.0 + 1, self.applied.1);
        let entry = self.core.entry(index).filter(|_| index <= through)?;
        let digest = xxh3_64_with_seed(entry.command().map_or(&[], |command| command), digest ^ entry.term);
        self.applied = (index, digest);
        Some((index, entry.term, digest))
    }
}

impl File {
    /// The first of the writes under way becomes durable: its number.
    pub(super) fn sync(&mut self) -> Option<u64> {
        let write = self.writes.pop_front()?;
        match &write.change {
            LogChange::Append { entries, .. } => {
                entries.iter().for_each(|entry: &Entry| _ = self.log.append(entry.clone()));
            }
            LogChange::Truncate { from } => self.log.truncate(*from),
        }
        Some(write.number)
    }
}
