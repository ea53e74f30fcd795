//! The log on disk: files of checksummed records, each file a segment of the log, called `log-` and its first index.
//!
//! What may be found at a start, and what is done about it:
//!
//! | found | means | done |
//! |---|---|---|
//! | the last segment ends in the middle of a record, or in bytes that are none | power was lost, or the process killed, while it wrote: nobody was told of it | cut off, and said ([`Torn`]) |
//! | a record that is damaged, and whole ones after it, or a segment after it | what was durable has changed | an error: it may have been acknowledged, and others rely on it |
//! | a segment that does not follow the one before | a file is missing | an error |
//! | a file of another node or cluster | | an error |
//!
//! Damage to the very last record cannot be told from a write that did not end; it is cut off.
//!
//! **Invariant:** when a segment has a successor, it is durable as a whole. A segment after a cut is gone, durably, before
//! the one before it is shortened. So at every moment the files are a log, or one whose end is torn.
//!
//! A write or a sync that fails leaves unknown what is on disk. Whoever meets one stops.

#[cfg(feature = "planted-bugs")]
mod planted;
mod record;
#[cfg(test)]
mod tests;

use std::io;
use std::rc::Rc;

use self::record::{HEADER_BYTES, Header};
use super::{ClusterId, Entry, Log, LogChange, LogIndex, LogPosition, LogWrite, NodeId, Term};
use crate::disk::{Disk, replace};

/// A segment that has so many bytes is followed by another.
pub const SEGMENT_BYTES: u64 = 8 << 20;

const PREFIX: &str = "log-";

/// The log of one node, as its disk has it.
#[derive(Debug)]
pub struct Segments<D> {
    disk: D,
    cluster: ClusterId,
    id: NodeId,
    segment_bytes: u64,
    /// In order; each follows the one before.
    all: Vec<Segment>,
    #[cfg(feature = "planted-bugs")]
    config: super::planted::Planted,
}

/// A file.
#[derive(Debug)]
struct Segment {
    name: String,
    base: LogPosition,
    /// Where each of its records ends, and the entry's term.
    records: Vec<(u64, Term)>,
}

/// What a disk had at a start.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Loaded {
    /// The log. All of it is durable.
    pub log: Log,
    /// What was cut off of it.
    pub torn: Option<Torn>,
}

/// The end of a log that was written in part.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Torn {
    /// The segment.
    pub file: String,
    /// Where it was cut.
    pub at: u64,
    /// How many bytes were cut off.
    pub bytes: u64,
}

impl Segment {
    fn new(base: LogPosition) -> Self {
        Self { name: format!("{PREFIX}{:020}", base.last_index + 1), base, records: Vec::new() }
    }

    fn length(&self) -> u64 {
        self.records.last().map_or(HEADER_BYTES as u64, |(end, _)| *end)
    }

    fn last(&self) -> LogPosition {
        let last_term = self.records.last().map_or(self.base.last_term, |(_, term)| *term);
        LogPosition { last_index: self.base.last_index + self.records.len() as u64, last_term }
    }
}

impl<D: Disk> Segments<D> {
    /// The log that a disk has; that of a new node is empty. What is torn is cut off, and what is read is durable.
    pub async fn load(disk: D, cluster: ClusterId, id: NodeId, segment_bytes: u64) -> io::Result<(Self, Loaded)> {
        Self::of(disk, cluster, id, segment_bytes).read_all().await
    }

    /// The files of a disk that are not read yet.
    pub(in crate::raft) fn of(disk: D, cluster: ClusterId, id: NodeId, segment_bytes: u64) -> Self {
        Self {
            disk,
            cluster,
            id,
            segment_bytes,
            all: Vec::new(),
            #[cfg(feature = "planted-bugs")]
            config: super::planted::Planted::default(),
        }
    }

    /// [`load`](Self::load), for files that are not read yet.
    pub(in crate::raft) async fn read_all(self) -> io::Result<(Self, Loaded)> {
        let mut segments = self;
        let (names, left_over): (Vec<String>, Vec<String>) = segments
            .disk
            .list()
            .await?
            .into_iter()
            .filter(|name| name.starts_with(PREFIX))
            .partition(|name| name[PREFIX.len()..].bytes().all(|byte| byte.is_ascii_digit()));
        for name in left_over {
            segments.disk.remove(&name).await?;
        }
        let (mut log, mut torn) = (Log::default(), None);
        for (place, name) in names.iter().enumerate() {
            let bytes = segments.disk.read(name).await?.unwrap_or_default();
            let is_last = place + 1 == names.len();
            torn = segments.read(name, &bytes, is_last, &mut log).map_err(|why| unusable(name, &why))?;
        }
        if let Some(Torn { file, at, .. }) = torn.as_ref().filter(|_| !planted!(segments, TornTailLeft)) {
            if segments.all.last().is_some_and(|last| last.name == *file) {
                segments.disk.truncate(file, *at).await?;
            } else {
                segments.disk.remove(file).await?;
            }
        }
        #[cfg(feature = "planted-bugs")]
        if planted!(segments, TruncationVolatile) {
            segments.bring_back(&mut log).await?;
        }
        segments.make_durable().await?;
        if segments.all.is_empty() && !names.is_empty() {
            segments.disk.sync_dir().await?;
        }
        Ok((segments, Loaded { log, torn }))
    }

    /// A process that was killed has left what can be read and need not be durable. One whose sync failed has left what no
    /// later sync makes durable, though it can be read: the kernel takes it for written. So it is written anew.
    async fn make_durable(&self) -> io::Result<()> {
        let Some(last) = self.all.last() else { return Ok(()) };
        let bytes = self.disk.read(&last.name).await?.unwrap_or_default();
        replace(&self.disk, &last.name, &bytes).await
    }

    /// Takes in a file, and returns what has to be cut off of it.
    fn read(&mut self, name: &str, bytes: &[u8], is_last: bool, log: &mut Log) -> Result<Option<Torn>, String> {
        let torn = |at: usize| Torn { file: name.to_owned(), at: at as u64, bytes: (bytes.len() - at) as u64 };
        let header = match Header::parse(bytes) {
            Ok(header) => header,
            Err(_) if is_last && !self.all.is_empty() && record::find(bytes, 0).is_none() => return Ok(Some(torn(0))),
            // A node that was cut off while it made its first file has promised nothing yet.
            Err(_) if is_last && bytes.len() < HEADER_BYTES => return Ok(Some(torn(0))),
            Err(why) => return Err(why),
        };
        let Header { cluster, id, base } = header;
        if cluster != self.cluster {
            return Err("it belongs to a node of another cluster".to_owned());
        }
        if id != self.id {
            return Err(format!("it belongs to {id}, and this is {}", self.id));
        }
        if base != log.last() {
            let (first, last) = (base.last_index + 1, log.last());
            return Err(format!(
                "it begins with entry {first} after one of term {}, and the log before it ends with entry {} of term {}",
                base.last_term, last.last_index, last.last_term
            ));
        }
        let mut segment = Segment::new(base);
        if segment.name != name {
            return Err(format!("it begins with entry {}, and its name says another", base.last_index + 1));
        }
        let mut at = HEADER_BYTES;
        while at < bytes.len() {
            let next = log.last().last_index + 1;
            match record::take(&bytes[at..]) {
                Some((index, entry, size)) if index == next && entry.term >= log.last().last_term => {
                    at += size;
                    segment.records.push((at as u64, entry.term));
                    log.append(entry);
                }
                Some((index, entry, _)) => {
                    return Err(format!(
                        "where entry {next} should be, after one of term {}, there is entry {index} of term {}",
                        log.last().last_term,
                        entry.term
                    ));
                }
                None => break,
            }
        }
        let is_whole = at == bytes.len();
        let is_damaged = !is_whole && record::find(bytes, at + 1).is_some();
        #[cfg(feature = "planted-bugs")]
        let is_damaged = is_damaged && !planted!(self, TornTailLeft) && !planted!(self, TornAnywhere);
        if !is_whole && (!is_last || is_damaged) {
            let next = log.last().last_index + 1;
            return Err(format!("entry {next}, at byte {at}, is damaged, and what comes after it is there"));
        }
        self.all.push(segment);
        Ok((!is_whole).then(|| torn(at)))
    }

    /// Makes changes, in order. When this returns they are durable.
    pub async fn write(&mut self, writes: &[Rc<LogWrite>]) -> io::Result<()> {
        let mut bytes = Vec::new();
        for write in writes {
            match &write.change {
                LogChange::Append { first, entries } => self.append(*first, entries, &mut bytes).await?,
                LogChange::Truncate { from } => {
                    self.flush(&mut bytes).await?;
                    self.truncate(*from).await?;
                }
            }
        }
        match self.all.last() {
            Some(last) if !bytes.is_empty() && !planted!(self, SyncErrorIgnored) => {
                self.disk.append_and_sync(&last.name, &bytes).await
            }
            _ => {
                self.flush(&mut bytes).await?;
                self.sync_last().await
            }
        }
    }

    async fn sync_last(&self) -> io::Result<()> {
        let Some(last) = self.all.last() else { return Ok(()) };
        match self.disk.sync(&last.name).await {
            Err(_) if planted!(self, SyncErrorIgnored) => Ok(()),
            synced => synced,
        }
    }

    fn last(&self) -> LogPosition {
        self.all.last().map_or_else(LogPosition::default, Segment::last)
    }

    /// Adds entries to `bytes`, which belong to the end of the last segment and are not written yet.
    async fn append(&mut self, first: LogIndex, entries: &[Entry], bytes: &mut Vec<u8>) -> io::Result<()> {
        assert_eq!(first, self.last().last_index + 1, "{}: the log on disk has no gap", self.id);
        for (index, entry) in (first..).zip(entries) {
            let is_full = |last: &Segment| last.length() >= self.segment_bytes && !last.records.is_empty();
            if self.all.last().is_none_or(is_full) {
                self.flush(bytes).await?;
                self.begin_segment().await?;
            }
            let segment = self.all.last_mut().expect("there is one now");
            let before = bytes.len();
            record::put(bytes, index, entry);
            segment.records.push((segment.length() + (bytes.len() - before) as u64, entry.term));
        }
        Ok(())
    }

    /// The segment before it is durable as a whole from now on.
    async fn begin_segment(&mut self) -> io::Result<()> {
        self.sync_last().await?;
        let base = self.last();
        let segment = Segment::new(base);
        let header = Header { cluster: self.cluster, id: self.id, base };
        self.disk.write(&segment.name, &header.bytes()).await?;
        self.disk.sync_dir().await?;
        self.all.push(segment);
        Ok(())
    }

    async fn truncate(&mut self, from: LogIndex) -> io::Result<()> {
        #[cfg(feature = "planted-bugs")]
        if planted!(self, TruncationVolatile)
            && let Some(last) = self.all.last()
            && let Some(kept) = from.checked_sub(last.base.last_index + 1)
        {
            let kept = usize::try_from(kept).unwrap_or(usize::MAX);
            let end = kept.checked_sub(1).map_or(HEADER_BYTES as u64, |place| last.records[place].0);
            self.keep_uncut(&last.name, end).await?;
        }
        self.cut(from).await
    }

    async fn cut(&mut self, from: LogIndex) -> io::Result<()> {
        let before = self.all.len();
        while self.all.len() > 1 && self.all.last().is_some_and(|last| last.base.last_index + 1 >= from) {
            let gone = self.all.pop().expect("there is more than one");
            self.disk.remove(&gone.name).await?;
        }
        if self.all.len() < before {
            self.disk.sync_dir().await?;
        }
        let Some(last) = self.all.last_mut() else { return Ok(()) };
        let kept = from.checked_sub(last.base.last_index + 1).expect("what is compacted is never cut off");
        last.records.truncate(usize::try_from(kept).unwrap_or(usize::MAX));
        self.disk.truncate(&last.name, last.length()).await
    }

    async fn flush(&mut self, bytes: &mut Vec<u8>) -> io::Result<()> {
        if let (Some(last), false) = (self.all.last(), bytes.is_empty()) {
            self.disk.append(&last.name, bytes).await?;
            bytes.clear();
        }
        Ok(())
    }
}

fn unusable(file: &str, why: &str) -> io::Error {
    let advice = "what it holds may have been acknowledged, so nothing is guessed at: bring the file back, or take the \
                  node out of the cluster and add it anew, under another id";
    io::Error::new(io::ErrorKind::InvalidData, format!("the file `{file}` cannot be used: {why}; {advice}"))
}
