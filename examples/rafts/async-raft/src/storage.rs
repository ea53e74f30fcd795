//! What async-raft asks its user for: a log on a disk, and a state machine.

use std::io::{self, Cursor};
use std::sync::Mutex;

use anyhow::{Context as _, Result};
use async_raft::async_trait::async_trait;
use async_raft::raft::{Entry, EntryPayload, MembershipConfig};
use async_raft::storage::{CurrentSnapshotData, HardState, InitialState};
use async_raft::{AppData, AppDataResponse, RaftStorage};
use serde::{Deserialize, Serialize};
use stormglass::consensus::{self, Fact, NodeId};
use stormglass::disk::{Disk as _, open, replace, seal};
use stormglass::sim::Events;
use stormglass::sim::disk::SimDisk;
use stormglass::systems::consensus::Teller;
use tokio::sync::{mpsc, oneshot};
use tokio::task::spawn_local;

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Command(pub u64);
impl AppData for Command {}

#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Done;
impl AppDataResponse for Done {}

/// What a node has on its disk.
#[derive(Clone, Default, Serialize, Deserialize)]
struct Saved {
    hard_state: Option<HardState>,
    entries: Vec<Entry<Command>>,
}

impl Saved {
    fn durable(&self) -> consensus::HardState {
        let state = self.hard_state.as_ref();
        state.map_or_else(consensus::HardState::default, |state| consensus::HardState {
            term: state.current_term,
            voted_for: state.voted_for.map(NodeId),
        })
    }
}

/// What goes on in the local tasks of a node: its disk and its teller are not `Send`, as async-raft's tasks have to be.
pub enum Local {
    Tell(Fact),
    Save(Vec<u8>, consensus::HardState, oneshot::Sender<io::Result<()>>),
}

/// The log and the hard state, saved as a whole, and a state machine that only tells what it applies: each start applies all
/// of it anew.
pub struct Store {
    id: u64,
    saved: Mutex<Saved>,
    pub local: mpsc::UnboundedSender<Local>,
}

impl Store {
    pub async fn load(id: u64, disk: SimDisk, teller: Teller, events: Events) -> io::Result<Self> {
        let saved: Saved = match disk.read("state").await? {
            Some(bytes) => serde_json::from_slice(open(b"ASYN", 1, &bytes)?)?,
            None => Saved::default(),
        };
        teller.tell(Fact::Loaded(saved.durable()));
        let (local, mut work) = mpsc::unbounded_channel();
        spawn_local(async move {
            while let Some(work) = work.recv().await {
                match work {
                    Local::Tell(fact) => {
                        events.work(u64::from(matches!(fact, Fact::Applied { .. })));
                        teller.tell(fact);
                    }
                    Local::Save(bytes, state, done) => {
                        let saved = replace(&disk, "state", &seal(b"ASYN", 1, &bytes)).await;
                        teller.tell(Fact::Persisted(state));
                        // Who waited may be gone.
                        let _ = done.send(saved);
                    }
                }
            }
        });
        Ok(Self { id, saved: Mutex::new(saved), local })
    }

    pub fn tell(&self, fact: Fact) {
        self.local.send(Local::Tell(fact)).expect("the local task outlives all others");
    }

    async fn change(&self, change: impl FnOnce(&mut Saved)) -> Result<()> {
        let (done, is_done) = oneshot::channel();
        {
            let mut saved = self.saved.lock().expect("nobody panics with it");
            change(&mut saved);
            self.local
                .send(Local::Save(serde_json::to_vec(&*saved)?, saved.durable(), done))
                .ok()
                .context("it ends")?;
        }
        Ok(is_done.await??)
    }

    fn read<T>(&self, read: impl FnOnce(&Saved) -> T) -> T {
        read(&self.saved.lock().expect("nobody panics with it"))
    }

    /// The crate does not say in which term an entry was taken on: none is told.
    fn apply(&self, index: u64, Command(hash): &Command) {
        self.tell(Fact::Applied { index, term: 0, hash: *hash });
    }
}

#[async_trait]
impl RaftStorage<Command, Done> for Store {
    type Snapshot = Cursor<Vec<u8>>;
    type ShutdownError = io::Error;

    async fn get_membership_config(&self) -> Result<MembershipConfig> {
        let member = |entry: &Entry<Command>| match &entry.payload {
            EntryPayload::ConfigChange(change) => Some(change.membership.clone()),
            _ => None,
        };
        let last = self.read(|saved| saved.entries.iter().rev().find_map(member));
        Ok(last.unwrap_or_else(|| MembershipConfig::new_initial(self.id)))
    }
    async fn get_initial_state(&self) -> Result<InitialState> {
        let membership = self.get_membership_config().await?;
        let initial = InitialState::new_initial(self.id);
        let (hard_state, last) = self.read(|saved| (saved.hard_state.clone(), saved.entries.last().cloned()));
        let (last_log_index, last_log_term) = last.map_or((0, 0), |entry| (entry.index, entry.term));
        let hard_state = hard_state.unwrap_or(initial.hard_state);
        Ok(InitialState { last_log_index, last_log_term, last_applied_log: 0, hard_state, membership })
    }
    async fn save_hard_state(&self, state: &HardState) -> Result<()> {
        self.tell(Fact::Entered { term: state.current_term });
        self.change(|saved| saved.hard_state = Some(state.clone())).await
    }
    async fn get_log_entries(&self, start: u64, stop: u64) -> Result<Vec<Entry<Command>>> {
        let within = |entry: &&Entry<Command>| (start..stop).contains(&entry.index);
        Ok(self.read(|saved| saved.entries.iter().filter(within).cloned().collect()))
    }
    async fn delete_logs_from(&self, start: u64, stop: Option<u64>) -> Result<()> {
        let stays = |entry: &Entry<Command>| entry.index < start || stop.is_some_and(|stop| entry.index >= stop);
        self.change(|saved| saved.entries.retain(stays)).await
    }
    async fn append_entry_to_log(&self, entry: &Entry<Command>) -> Result<()> {
        self.replicate_to_log(std::slice::from_ref(entry)).await
    }
    /// Each entry goes where its index says.
    async fn replicate_to_log(&self, entries: &[Entry<Command>]) -> Result<()> {
        let replicate = |saved: &mut Saved| {
            for entry in entries {
                let place = saved.entries.partition_point(|known| known.index < entry.index);
                let is_there = saved.entries.get(place).is_some_and(|known| known.index == entry.index);
                saved.entries.splice(place..place + usize::from(is_there), [entry.clone()]);
            }
        };
        self.change(replicate).await
    }
    async fn apply_entry_to_state_machine(&self, index: &u64, command: &Command) -> Result<Done> {
        self.apply(*index, command);
        Ok(Done)
    }
    async fn replicate_to_state_machine(&self, entries: &[(&u64, &Command)]) -> Result<()> {
        entries.iter().for_each(|(index, command)| self.apply(**index, command));
        Ok(())
    }
    async fn get_current_snapshot(&self) -> Result<Option<CurrentSnapshotData<Self::Snapshot>>> {
        Ok(None)
    }
    async fn do_log_compaction(&self) -> Result<CurrentSnapshotData<Self::Snapshot>> {
        unreachable!("no log is ever compacted here")
    }
    async fn create_snapshot(&self) -> Result<(String, Box<Self::Snapshot>)> {
        unreachable!("no log is ever compacted here")
    }
    async fn finalize_snapshot_installation(
        &self,
        _: u64,
        _: u64,
        _: Option<u64>,
        _: String,
        _: Box<Self::Snapshot>,
    ) -> Result<()> {
        unreachable!("no log is ever compacted here")
    }
}
