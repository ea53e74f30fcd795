//! What openraft asks its user for: a runtime, a log on a disk, and a state machine.

use std::cell::RefCell;
use std::fmt::Debug;
use std::future::Future;
use std::io::{self, Cursor};
use std::ops::RangeBounds;
use std::rc::Rc;
use std::time::Duration;

use openraft::storage::{LogFlushed, RaftLogStorage, RaftStateMachine};
use openraft::{
    AsyncRuntime, EntryPayload, LogId, LogState, RaftLogReader, RaftSnapshotBuilder, Snapshot, SnapshotMeta,
    StorageError, StorageIOError, StoredMembership, TokioRuntime, Vote,
};
use rand_0_8::{SeedableRng as _, rngs::SmallRng};
use serde::{Deserialize, Serialize};
use stormglass::consensus::{Fact, HardState, NodeId, Role};
use stormglass::disk::{Disk as _, open, replace, seal};
use stormglass::sim::disk::SimDisk;
use stormglass::systems::consensus::Teller;

openraft::declare_raft_types!(pub Types: D = u64, R = (), Node = (), AsyncRuntime = Runtime);

type Entry = openraft::Entry<Types>;
type Stored<T> = Result<T, StorageError<u64>>;

tokio::task_local! {
    /// The seed of a node that is being made: openraft draws then, once, and never again.
    pub static SEED: u64;
}

/// tokio's runtime, which draws from the run's seed and not from the operating system's entropy.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Runtime;

impl AsyncRuntime for Runtime {
    type JoinError = <TokioRuntime as AsyncRuntime>::JoinError;
    type JoinHandle<T: 'static> = <TokioRuntime as AsyncRuntime>::JoinHandle<T>;
    type Sleep = <TokioRuntime as AsyncRuntime>::Sleep;
    type Instant = <TokioRuntime as AsyncRuntime>::Instant;
    type TimeoutError = <TokioRuntime as AsyncRuntime>::TimeoutError;
    type Timeout<R, T: Future<Output = R>> = <TokioRuntime as AsyncRuntime>::Timeout<R, T>;
    type ThreadLocalRng = SmallRng;
    type OneshotSender<T> = <TokioRuntime as AsyncRuntime>::OneshotSender<T>;
    type OneshotReceiver<T> = <TokioRuntime as AsyncRuntime>::OneshotReceiver<T>;
    type OneshotReceiverError = <TokioRuntime as AsyncRuntime>::OneshotReceiverError;

    fn thread_rng() -> SmallRng {
        SmallRng::seed_from_u64(SEED.get())
    }
    fn spawn<T: Future<Output: 'static> + 'static>(future: T) -> Self::JoinHandle<T::Output> {
        TokioRuntime::spawn(future)
    }
    fn sleep(duration: Duration) -> Self::Sleep {
        TokioRuntime::sleep(duration)
    }
    fn sleep_until(deadline: Self::Instant) -> Self::Sleep {
        TokioRuntime::sleep_until(deadline)
    }
    fn timeout<R, F: Future<Output = R>>(duration: Duration, future: F) -> Self::Timeout<R, F> {
        TokioRuntime::timeout(duration, future)
    }
    fn timeout_at<R, F: Future<Output = R>>(deadline: Self::Instant, future: F) -> Self::Timeout<R, F> {
        TokioRuntime::timeout_at(deadline, future)
    }
    fn is_panic(error: &Self::JoinError) -> bool {
        TokioRuntime::is_panic(error)
    }
    fn oneshot<T>() -> (Self::OneshotSender<T>, Self::OneshotReceiver<T>) {
        TokioRuntime::oneshot()
    }
}

/// What a node has on its disk.
#[derive(Default, Serialize, Deserialize)]
struct Saved {
    vote: Vote<u64>,
    entries: Vec<Entry>,
}

/// The log and the vote, saved as a whole.
#[derive(Clone)]
pub struct Store {
    saved: Rc<RefCell<Saved>>,
    id: NodeId,
    disk: SimDisk,
    teller: Teller,
}

impl Store {
    pub async fn load(id: NodeId, disk: SimDisk, teller: Teller) -> io::Result<Self> {
        let saved: Saved = match disk.read("state").await? {
            Some(bytes) => serde_json::from_slice(open(b"OPEN", 1, &bytes)?)?,
            None => Saved::default(),
        };
        let vote = saved.vote;
        let store = Self { saved: Rc::new(RefCell::new(saved)), id, disk, teller };
        store.teller.tell(Fact::Loaded(store.durable(vote)));
        store.tell_what_it_is(vote, Role::Follower);
        Ok(store)
    }

    async fn save(&self) -> io::Result<()> {
        let (bytes, vote) = (serde_json::to_vec(&*self.saved.borrow())?, self.saved.borrow().vote);
        replace(&self.disk, "state", &seal(b"OPEN", 1, &bytes)).await?;
        self.teller.tell(Fact::Persisted(self.durable(vote)));
        Ok(())
    }

    /// A vote that is committed is not whom it votes for but whom it follows.
    fn durable(&self, vote: Vote<u64>) -> HardState {
        let voted_for = vote.leader_id.voted_for().map(NodeId).filter(|voted| !vote.committed || *voted == self.id);
        HardState { term: vote.leader_id.term, voted_for }
    }

    /// A leader's vote is committed: there is no change of role or term without a vote that is saved.
    fn tell_what_it_is(&self, vote: Vote<u64>, otherwise: Role) {
        let voted_for = vote.leader_id.voted_for().map(NodeId);
        let leader = voted_for.filter(|_| vote.committed);
        let role = if leader == Some(self.id) { Role::Leader } else { otherwise };
        self.teller.tell(Fact::Is { role, term: vote.leader_id.term, leader });
    }
}

impl RaftLogReader<Types> for Store {
    async fn try_get_log_entries<R: RangeBounds<u64> + Clone + Debug>(&mut self, range: R) -> Stored<Vec<Entry>> {
        let saved = self.saved.borrow();
        Ok(saved.entries.iter().filter(|entry| range.contains(&entry.log_id.index)).cloned().collect())
    }
}

impl RaftLogStorage<Types> for Store {
    type LogReader = Self;

    async fn get_log_state(&mut self) -> Stored<LogState<Types>> {
        let last_log_id = self.saved.borrow().entries.last().map(|entry| entry.log_id);
        Ok(LogState { last_purged_log_id: None, last_log_id })
    }
    async fn get_log_reader(&mut self) -> Self {
        self.clone()
    }
    async fn save_vote(&mut self, vote: &Vote<u64>) -> Stored<()> {
        self.saved.borrow_mut().vote = *vote;
        self.save().await.map_err(|error| StorageIOError::write_vote(&error))?;
        let is_own = vote.leader_id.voted_for() == Some(self.id.0);
        self.tell_what_it_is(*vote, if is_own { Role::Candidate } else { Role::Follower });
        Ok(())
    }
    async fn read_vote(&mut self) -> Stored<Option<Vote<u64>>> {
        Ok(Some(self.saved.borrow().vote))
    }
    async fn append<I: IntoIterator<Item = Entry>>(&mut self, entries: I, flushed: LogFlushed<Types>) -> Stored<()> {
        self.saved.borrow_mut().entries.extend(entries);
        flushed.log_io_completed(self.save().await);
        Ok(())
    }
    async fn truncate(&mut self, from: LogId<u64>) -> Stored<()> {
        self.saved.borrow_mut().entries.retain(|entry| entry.log_id.index < from.index);
        self.save().await.map_err(|error| StorageIOError::write_logs(&error).into())
    }
    async fn purge(&mut self, _: LogId<u64>) -> Stored<()> {
        unreachable!("no log is ever compacted here")
    }
}

/// A state machine that tells what it applies, and has no state: each start applies all of it anew.
pub struct Machine(pub Teller);

impl RaftStateMachine<Types> for Machine {
    type SnapshotBuilder = Self;

    async fn applied_state(&mut self) -> Stored<(Option<LogId<u64>>, StoredMembership<u64, ()>)> {
        Ok((None, StoredMembership::default()))
    }
    async fn apply<I: IntoIterator<Item = Entry>>(&mut self, entries: I) -> Stored<Vec<()>> {
        let apply = |Entry { log_id, payload }| {
            let hash = match payload {
                EntryPayload::Normal(command) => command,
                EntryPayload::Blank | EntryPayload::Membership(_) => 0,
            };
            // Its indices begin with 0.
            self.0.tell(Fact::Applied { index: log_id.index + 1, term: log_id.leader_id.term, hash });
        };
        Ok(entries.into_iter().map(apply).collect())
    }
    async fn get_snapshot_builder(&mut self) -> Self {
        unreachable!("no log is ever compacted here")
    }
    async fn begin_receiving_snapshot(&mut self) -> Stored<Box<Cursor<Vec<u8>>>> {
        unreachable!("no log is ever compacted here")
    }
    async fn install_snapshot(&mut self, _: &SnapshotMeta<u64, ()>, _: Box<Cursor<Vec<u8>>>) -> Stored<()> {
        unreachable!("no log is ever compacted here")
    }
    async fn get_current_snapshot(&mut self) -> Stored<Option<Snapshot<Types>>> {
        Ok(None)
    }
}

impl RaftSnapshotBuilder<Types> for Machine {
    async fn build_snapshot(&mut self) -> Stored<Snapshot<Types>> {
        unreachable!("no log is ever compacted here")
    }
}
