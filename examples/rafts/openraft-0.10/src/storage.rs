//! What openraft asks its user for: its types, a log on a disk, and a state machine.

use std::cell::RefCell;
use std::fmt::Debug;
use std::io;
use std::ops::RangeBounds;
use std::rc::Rc;

use futures_util::{Stream, TryStreamExt as _};
use openraft::alias::{LogIdOf, SnapshotMetaOf, SnapshotOf, StoredMembershipOf};
use openraft::impls::leader_id_std::LeaderId;
use openraft::storage::{EntryResponder, IOFlushed, RaftLogStorage, RaftStateMachine};
use openraft::{EntryPayload, LogState, RaftLogReader, RaftSnapshotBuilder, StoredMembership, TokioRuntime};
use openraft_rt::deterministic_rng::DeterministicRng;
use serde::{Deserialize, Serialize};
use stormglass::consensus::{Fact, HardState, NodeId, Role};
use stormglass::disk::{Disk as _, open, replace, seal};
use stormglass::sim::disk::SimDisk;
use stormglass::systems::consensus::Teller;

/// tokio's runtime, which draws from a seed that its tasks hand on, and not from the operating system's entropy.
pub type Runtime = DeterministicRng<TokioRuntime>;

openraft::declare_raft_types!(
    /// A term has one leader at most, as the paper has it.
    pub Types: D = u64, R = (), Node = (), LeaderId = LeaderId<u64, u64>, AsyncRuntime = Runtime
);

type Entry = openraft::alias::EntryOf<Types>;
type Vote = openraft::alias::VoteOf<Types>;
type LogId = LogIdOf<Types>;

/// What a node has on its disk.
#[derive(Default, Serialize, Deserialize)]
struct Saved {
    vote: Option<Vote>,
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
    fn durable(&self, vote: Option<Vote>) -> HardState {
        let votes = |vote: &Vote| !vote.committed || vote.leader_id.voted_for == self.id.0;
        HardState {
            term: vote.map_or(0, |vote| vote.leader_id.term),
            voted_for: vote.filter(votes).map(|vote| NodeId(vote.leader_id.voted_for)),
        }
    }

    /// A leader's vote is committed: there is no change of role or term without a vote that is saved.
    fn tell_what_it_is(&self, vote: Option<Vote>, otherwise: Role) {
        let leader = vote.filter(|vote| vote.committed).map(|vote| NodeId(vote.leader_id.voted_for));
        let role = if leader == Some(self.id) { Role::Leader } else { otherwise };
        self.teller.tell(Fact::Is { role, term: vote.map_or(0, |vote| vote.leader_id.term), leader });
    }
}

impl RaftLogReader<Types> for Store {
    async fn try_get_log_entries<R: RangeBounds<u64> + Clone + Debug>(&mut self, range: R) -> io::Result<Vec<Entry>> {
        let saved = self.saved.borrow();
        Ok(saved.entries.iter().filter(|entry| range.contains(&entry.log_id.index)).cloned().collect())
    }
    async fn read_vote(&mut self) -> io::Result<Option<Vote>> {
        Ok(self.saved.borrow().vote)
    }
}

impl RaftLogStorage<Types> for Store {
    type LogReader = Self;

    async fn get_log_state(&mut self) -> io::Result<LogState<Types>> {
        let last_log_id = self.saved.borrow().entries.last().map(|entry| entry.log_id);
        Ok(LogState { last_purged_log_id: None, last_log_id })
    }
    async fn get_log_reader(&mut self) -> Self {
        self.clone()
    }
    async fn save_vote(&mut self, vote: &Vote) -> io::Result<()> {
        self.saved.borrow_mut().vote = Some(*vote);
        self.save().await?;
        let is_own = vote.leader_id.voted_for == self.id.0;
        self.tell_what_it_is(Some(*vote), if is_own { Role::Candidate } else { Role::Follower });
        Ok(())
    }
    async fn append<I: IntoIterator<Item = Entry>>(&mut self, entries: I, flushed: IOFlushed<Types>) -> io::Result<()> {
        self.saved.borrow_mut().entries.extend(entries);
        flushed.io_completed(self.save().await);
        Ok(())
    }
    async fn truncate_after(&mut self, last: Option<LogId>) -> io::Result<()> {
        self.saved.borrow_mut().entries.retain(|entry| last.is_some_and(|last| entry.log_id.index <= last.index));
        self.save().await
    }
    async fn purge(&mut self, _: LogId) -> io::Result<()> {
        unreachable!("no log is ever compacted here")
    }
}

/// A state machine that tells what it applies, and has no state: each start applies all of it anew.
pub struct Machine(pub Teller);

impl RaftStateMachine<Types> for Machine {
    type SnapshotData = ();
    type SnapshotBuilder = Self;

    async fn applied_state(&mut self) -> io::Result<(Option<LogId>, StoredMembershipOf<Types>)> {
        Ok((None, StoredMembership::default()))
    }
    async fn apply<S: Stream<Item = io::Result<EntryResponder<Types>>> + Unpin>(&mut self, mut entries: S) -> io::Result<()> {
        while let Some((entry, responder)) = entries.try_next().await? {
            let hash = match entry.payload {
                EntryPayload::Normal(command) => command,
                EntryPayload::Blank | EntryPayload::Membership(_) => 0,
            };
            // Its indices begin with 0.
            let (index, term) = (entry.log_id.index + 1, entry.log_id.leader_id.term);
            self.0.tell(Fact::Applied { index, term, hash });
            if let Some(responder) = responder {
                responder.send(());
            }
        }
        Ok(())
    }
    async fn get_snapshot_builder(&mut self) -> Self {
        unreachable!("no log is ever compacted here")
    }
    async fn install_snapshot(&mut self, _: &SnapshotMetaOf<Types>, (): ()) -> io::Result<()> {
        unreachable!("no log is ever compacted here")
    }
    async fn get_current_snapshot(&mut self) -> io::Result<Option<SnapshotOf<Types, ()>>> {
        Ok(None)
    }
}

impl RaftSnapshotBuilder<Types> for Machine {
    type SnapshotData = ();

    async fn build_snapshot(&mut self) -> io::Result<SnapshotOf<Types, ()>> {
        unreachable!("no log is ever compacted here")
    }
}
