//! The log and the state machine of the store over openraft: both in memory, and the log on a file as well if it is asked for.

use std::collections::BTreeMap;
use std::fmt::Debug;
use std::fs::File;
use std::io::{self, Cursor, Write as _};
use std::ops::RangeBounds;
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, mpsc};
use std::thread;

use openraft::storage::{LogFlushed, RaftLogStorage, RaftStateMachine};
use openraft::{
    EntryPayload, LogId, LogState, RaftLogReader, RaftSnapshotBuilder, Snapshot, SnapshotMeta, StorageError,
    StorageIOError, StoredMembership, Vote,
};
use serde::{Deserialize, Serialize};

/// A command.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Write {
    pub key: String,
    pub value: Vec<u8>,
}

openraft::declare_raft_types!(pub Types: D = Write, R = (), Node = ());


type Entry = openraft::Entry<Types>;
type Stored<T> = Result<T, StorageError<u64>>;

#[derive(Default)]
struct Kept {
    vote: Option<Vote<u64>>,
    entries: BTreeMap<u64, Entry>,
}

/// What is to be on the disk, and who is told then.
type Job = (Vec<u8>, Box<dyn FnOnce(io::Result<()>) + Send>);

#[derive(Clone)]
pub struct Log {
    kept: Arc<Mutex<Kept>>,
    /// To the thread that writes; without a file nobody waits for one.
    disk: Option<mpsc::Sender<Job>>,
}

impl Log {
    pub fn new(path: Option<&Path>) -> io::Result<Self> {
        let disk = path.map(File::create).transpose()?.map(|file| {
            let (jobs, taken) = mpsc::channel();
            thread::spawn(move || write_all(file, &taken));
            jobs
        });
        Ok(Self { kept: Arc::default(), disk })
    }

    fn kept(&self) -> MutexGuard<'_, Kept> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn save(&self, bytes: Vec<u8>, then: impl FnOnce(io::Result<()>) + Send + 'static) {
        match &self.disk {
            None => then(Ok(())),
            // Whoever writes lives as long as this.
            Some(disk) => drop(disk.send((bytes, Box::new(then)))),
        }
    }
}

/// Writes what there is and syncs once for all of it: what comes meanwhile is the next batch.
fn write_all(mut file: File, jobs: &mpsc::Receiver<Job>) {
    while let Ok(first) = jobs.recv() {
        let batch: Vec<Job> = std::iter::once(first).chain(jobs.try_iter()).collect();
        let bytes: Vec<u8> = batch.iter().flat_map(|(bytes, _)| bytes.iter().copied()).collect();
        let done = file.write_all(&bytes).and_then(|()| file.sync_data());
        for (_, then) in batch {
            then(done.as_ref().map(|()| ()).map_err(|error| io::Error::from(error.kind())));
        }
    }
}

fn bytes(what: &impl Serialize) -> io::Result<Vec<u8>> {
    postcard::to_stdvec(what).map_err(io::Error::other)
}

impl RaftLogReader<Types> for Log {
    async fn try_get_log_entries<R: RangeBounds<u64> + Clone + Debug>(&mut self, range: R) -> Stored<Vec<Entry>> {
        Ok(self.kept().entries.range(range).map(|(_, entry)| entry.clone()).collect())
    }
}

impl RaftLogStorage<Types> for Log {
    type LogReader = Self;

    async fn get_log_state(&mut self) -> Stored<LogState<Types>> {
        let last_log_id = self.kept().entries.last_key_value().map(|(_, entry)| entry.log_id);
        Ok(LogState { last_purged_log_id: None, last_log_id })
    }

    async fn get_log_reader(&mut self) -> Self {
        self.clone()
    }

    async fn save_vote(&mut self, vote: &Vote<u64>) -> Stored<()> {
        let (told, heard) = tokio::sync::oneshot::channel();
        let saved = bytes(vote).map_err(|error| StorageIOError::write_vote(&error))?;
        self.save(saved, |done| _ = told.send(done));
        let done = heard.await.unwrap_or_else(|error| Err(io::Error::other(error)));
        done.map_err(|error| StorageIOError::write_vote(&error))?;
        self.kept().vote = Some(*vote);
        Ok(())
    }

    async fn read_vote(&mut self) -> Stored<Option<Vote<u64>>> {
        Ok(self.kept().vote)
    }

    async fn append<I>(&mut self, entries: I, flushed: LogFlushed<Types>) -> Stored<()>
    where
        I: IntoIterator<Item = Entry> + Send,
        I::IntoIter: Send,
    {
        let entries: Vec<Entry> = entries.into_iter().collect();
        let saved = bytes(&entries).map_err(|error| StorageIOError::write_logs(&error))?;
        self.kept().entries.extend(entries.into_iter().map(|entry| (entry.log_id.index, entry)));
        self.save(saved, |done| flushed.log_io_completed(done));
        Ok(())
    }

    async fn truncate(&mut self, from: LogId<u64>) -> Stored<()> {
        self.kept().entries.split_off(&from.index);
        Ok(())
    }

    async fn purge(&mut self, to: LogId<u64>) -> Stored<()> {
        let mut kept = self.kept();
        kept.entries = kept.entries.split_off(&(to.index + 1));
        Ok(())
    }
}

#[derive(Default)]
pub struct Machine {
    values: BTreeMap<String, Vec<u8>>,
    applied: Option<LogId<u64>>,
    members: StoredMembership<u64, ()>,
}

impl RaftStateMachine<Types> for Machine {
    type SnapshotBuilder = Self;

    async fn applied_state(&mut self) -> Stored<(Option<LogId<u64>>, StoredMembership<u64, ()>)> {
        Ok((self.applied, self.members.clone()))
    }

    async fn apply<I>(&mut self, entries: I) -> Stored<Vec<()>>
    where
        I: IntoIterator<Item = Entry> + Send,
        I::IntoIter: Send,
    {
        let mut answers = Vec::new();
        for Entry { log_id, payload } in entries {
            self.applied = Some(log_id);
            match payload {
                EntryPayload::Blank => {}
                EntryPayload::Normal(Write { key, value }) => _ = self.values.insert(key, value),
                EntryPayload::Membership(members) => self.members = StoredMembership::new(Some(log_id), members),
            }
            answers.push(());
        }
        Ok(answers)
    }

    async fn get_snapshot_builder(&mut self) -> Self {
        Self::default()
    }

    async fn begin_receiving_snapshot(&mut self) -> Stored<Box<Cursor<Vec<u8>>>> {
        Ok(Box::default())
    }

    async fn install_snapshot(&mut self, _: &SnapshotMeta<u64, ()>, _: Box<Cursor<Vec<u8>>>) -> Stored<()> {
        Ok(())
    }

    async fn get_current_snapshot(&mut self) -> Stored<Option<Snapshot<Types>>> {
        Ok(None)
    }
}

impl RaftSnapshotBuilder<Types> for Machine {
    async fn build_snapshot(&mut self) -> Stored<Snapshot<Types>> {
        Err(StorageIOError::read_snapshot(None, &io::Error::other("none is made here")).into())
    }
}
