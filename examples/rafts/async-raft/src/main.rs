//! async-raft in the testbed: a Raft of somebody else's that is a set of tasks on tokio's threads, over a storage and a
//! network of its user's. The storage is in `storage.rs`; the network, over TCP, is here. The crate has had no releases since
//! 2021, and openraft came of it.
//!
//! Its tasks are `Send`, and the testbed's disk is not: that is used by a local task behind a channel. It draws its timeouts
//! from the operating system's entropy, which is the run's in this program.
//!
//! ```sh
//! cargo run -- sweep async-raft/chaos --seeds 0..200
//! cargo run -- replay
//! cargo test
//! ```

mod storage;

use std::io;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Result;
use async_raft::async_trait::async_trait;
use async_raft::raft::{
    AppendEntriesRequest, AppendEntriesResponse, ClientWriteRequest, InstallSnapshotRequest, InstallSnapshotResponse,
    VoteRequest, VoteResponse,
};
use async_raft::{Config, Raft, RaftNetwork};
use serde::{Deserialize, Serialize, de::DeserializeOwned};
use storage::{Command, Done, Store};
use stormglass::check::consensus::Settings;
use stormglass::consensus::{Fact, NodeId, Part, Says};
use stormglass::rng::between;
use stormglass::script::ScriptError;
use stormglass::sim::{Host, HostResult, Setup, System};
use stormglass::sockets::{TcpListener, TcpStream};
use stormglass::systems::consensus::{Teller, Watch};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::time::{interval, timeout};

stormglass::hold_clock_and_entropy!();

const ELECTION_TIMEOUT_MS: (u64, u64) = (150, 300);
const HEARTBEAT: Duration = Duration::from_millis(50);
/// How often a leader takes on a command.
const COMMANDS: Duration = Duration::from_millis(40);

/// A question. Each has a connection of its own, on which its answer comes.
#[derive(Serialize, Deserialize)]
enum Ask {
    Append(AppendEntriesRequest<Command>),
    Vote(VoteRequest),
}

/// The way from a node to the others.
struct Wire(Arc<Store>);

impl Wire {
    async fn ask<A: DeserializeOwned>(&self, to: u64, ask: Ask) -> Result<A> {
        let (term, says) = match &ask {
            Ask::Append(rpc) => (rpc.term, Says::Lead),
            Ask::Vote(rpc) => (rpc.term, Says::Candidacy),
        };
        let asked = async {
            let mut stream = TcpStream::connect((format!("n{to}"), 7000)).await?;
            self.0.tell(Fact::Sending { to: NodeId(to), term, says });
            say(&mut stream, &ask).await?;
            Ok(heard(&mut stream).await?)
        };
        timeout(Duration::from_millis(ELECTION_TIMEOUT_MS.0), asked).await?
    }
}

async fn say(stream: &mut TcpStream, what: &impl Serialize) -> io::Result<()> {
    stream.write_all(&serde_json::to_vec(what)?).await?;
    stream.shutdown().await
}

async fn heard<T: DeserializeOwned>(stream: &mut TcpStream) -> io::Result<T> {
    let mut bytes = Vec::new();
    stream.read_to_end(&mut bytes).await?;
    Ok(serde_json::from_slice(&bytes)?)
}

#[async_trait]
impl RaftNetwork<Command> for Wire {
    async fn append_entries(&self, to: u64, rpc: AppendEntriesRequest<Command>) -> Result<AppendEntriesResponse> {
        self.ask(to, Ask::Append(rpc)).await
    }
    async fn vote(&self, to: u64, rpc: VoteRequest) -> Result<VoteResponse> {
        self.ask(to, Ask::Vote(rpc)).await
    }
    async fn install_snapshot(&self, _: u64, _: InstallSnapshotRequest) -> Result<InstallSnapshotResponse> {
        unreachable!("no log is ever compacted here")
    }
}

type Node = Raft<Command, Done, Wire, Store>;

/// A node from its start to its death.
async fn live(teller: Teller, host: Host, id: u64, nodes: u64) -> HostResult {
    let Host { disk, mut rng, events, .. } = host;
    let config = Config::build("cluster".to_owned())
        .election_timeout_min(ELECTION_TIMEOUT_MS.0)
        .election_timeout_max(ELECTION_TIMEOUT_MS.1)
        .heartbeat_interval(HEARTBEAT.as_millis() as u64)
        .validate()?;
    let listener = TcpListener::bind("0.0.0.0:7000").await?;
    let store = Arc::new(Store::load(id, disk, teller, events).await?);
    let raft = Node::new(id, Arc::new(config), Arc::new(Wire(store.clone())), store.clone());
    // Refused by one that has a log already.
    let _ = raft.initialize((1..=nodes).collect()).await;
    let mut commands = interval(COMMANDS);
    loop {
        tokio::select! {
            biased;
            accepted = listener.accept() => {
                let (raft, store, (stream, _)) = (raft.clone(), store.clone(), accepted?);
                // Who gets no answer asks again.
                tokio::spawn(async { answer(raft, store, stream).await.unwrap_or_default() });
            }
            _ = commands.tick() => {
                let command = ClientWriteRequest::new(Command(between(&mut rng, 1, u64::MAX)));
                let raft = raft.clone();
                // Refused by whoever does not lead.
                tokio::spawn(async move { raft.client_write(command).await.map_or((), drop) });
            }
        }
    }
}

async fn answer(raft: Node, store: Arc<Store>, mut stream: TcpStream) -> Result<()> {
    match heard(&mut stream).await? {
        Ask::Append(rpc) => {
            let to = NodeId(rpc.leader_id);
            let answer = raft.append_entries(rpc).await?;
            store.tell(Fact::Sending { to, term: answer.term, says: Says::Other });
            say(&mut stream, &answer).await?;
        }
        Ask::Vote(rpc) => {
            let to = NodeId(rpc.candidate_id);
            let answer = raft.vote(rpc).await?;
            let says = if answer.vote_granted { Says::Vote } else { Says::Other };
            store.tell(Fact::Sending { to, term: answer.term, says });
            say(&mut stream, &answer).await?;
        }
    }
    Ok(())
}

struct AsyncRaft;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Options {
    nodes: u64,
}

impl System for AsyncRaft {
    fn name(&self) -> &'static str {
        "async-raft"
    }
    fn about(&self) -> &'static str {
        "async-raft, a Raft of many tasks: a leader with commands, over TCP"
    }
    fn sims(&self) -> &'static [(&'static str, &'static str)] {
        &[("chaos", include_str!("../sims/chaos.toml"))]
    }
    fn build(&self, setup: &mut Setup<'_>) -> Result<(), ScriptError> {
        let Options { nodes } = setup.section()?;
        let members = || (1..=nodes).map(NodeId);
        let metrics = "its metrics come later than what they tell of";
        let settings = Settings::new(members())
            .lacks(Part::Roles, metrics)
            .lacks(Part::Leader, metrics)
            .lacks(Part::Answers, "what a leader takes in is its own affair");
        let watch = Watch::new(setup, &settings);
        for id in members() {
            let watch = watch.clone();
            setup.process(id.to_string(), move |host| live(watch.node(id, &host), host, id.0, nodes));
        }
        Ok(())
    }
}

fn main() -> ExitCode {
    stormglass::cli::main(&[&AsyncRaft])
}

#[test]
fn a_heartbeat_lets_a_node_apply_what_was_never_committed() {
    use stormglass::{check::consensus::S1, rng::Seed, script::Script, sim::RunOptions, sim::Verdict, sim::run};
    let kept = Script::parse("kept.toml", include_str!("../seeds/shrunk/heartbeat-unchecked.toml")).expect("a script");
    let verdict = run(&AsyncRaft, &kept, Seed(0), &RunOptions::default()).expect("it runs").verdict;
    assert!(matches!(verdict, Verdict::Violation(found) if found.invariant == S1));
}
