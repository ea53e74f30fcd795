//! openraft in the testbed: a Raft of somebody else's that is a set of tasks, over a runtime, a storage and a network of its
//! user's. The first two are in `storage.rs`, with what is told of them; the network, over TCP, is here.
//!
//! ```sh
//! cargo run -- sweep openraft/quiet --seeds 0..1000
//! cargo run -- sweep openraft/chaos --seeds 0..200
//! cargo run -- replay
//! cargo test
//! ```

mod storage;

use std::collections::BTreeSet;
use std::io;
use std::iter::repeat;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use openraft::error::{InstallSnapshotError, RPCError, RaftError, Unreachable};
use openraft::network::{Backoff, RPCOption, RaftNetwork, RaftNetworkFactory};
use openraft::raft::{
    AppendEntriesRequest, AppendEntriesResponse, InstallSnapshotRequest, InstallSnapshotResponse, VoteRequest,
    VoteResponse,
};
use openraft::{Config, Raft};
use serde::{Deserialize, Serialize, de::DeserializeOwned};
use storage::{Machine, SEED, Store, Types};
use stormglass::check::consensus::Settings;
use stormglass::consensus::{Fact, NodeId, Part, Says};
use stormglass::rng::between;
use stormglass::script::ScriptError;
use stormglass::sim::{Host, HostResult, Setup, System};
use stormglass::sockets::{TcpListener, TcpStream};
use stormglass::systems::consensus::{Teller, Watch, conditions};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::task::spawn_local;
use tokio::time::{interval, timeout};

/// As openraft has it where nothing else is said, and as its timeouts are the paper's then.
const HEARTBEAT: Duration = Duration::from_millis(50);

/// A question. Each has a connection of its own, on which its answer comes.
#[derive(Serialize, Deserialize)]
enum Ask {
    Append(Entries),
    Vote(VoteRequest<u64>),
}

/// The way from a node to another.
struct Client(Teller, u64);

impl Client {
    async fn ask<A: DeserializeOwned>(&self, says: Says, term: u64, ask: Ask, ttl: Duration) -> Result<A, Unreachable> {
        self.0.tell(Fact::Sending { to: NodeId(self.1), term, says });
        let asked = async {
            let mut stream = TcpStream::connect((format!("n{}", self.1), 7000)).await?;
            say(&mut stream, &ask).await?;
            heard(&mut stream).await
        };
        let answer = timeout(ttl, asked).await.unwrap_or_else(|late| Err(late.into()));
        answer.map_err(|error: io::Error| Unreachable::new(&error))
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

impl RaftNetworkFactory<Types> for Client {
    type Network = Self;

    async fn new_client(&mut self, target: u64, (): &()) -> Self {
        Self(self.0.clone(), target)
    }
}

type Entries = AppendEntriesRequest<Types>;
type Answer<T, E = RaftError<u64>> = Result<T, RPCError<u64, (), E>>;
type Installed = Answer<InstallSnapshotResponse<u64>, RaftError<u64, InstallSnapshotError>>;

impl RaftNetwork<Types> for Client {
    async fn append_entries(&mut self, rpc: Entries, option: RPCOption) -> Answer<AppendEntriesResponse<u64>> {
        Ok(self.ask(Says::Lead, rpc.vote.leader_id.term, Ask::Append(rpc), option.hard_ttl()).await?)
    }
    async fn vote(&mut self, rpc: VoteRequest<u64>, option: RPCOption) -> Answer<VoteResponse<u64>> {
        Ok(self.ask(Says::Candidacy, rpc.vote.leader_id.term, Ask::Vote(rpc), option.hard_ttl()).await?)
    }
    async fn install_snapshot(&mut self, _: InstallSnapshotRequest<Types>, _: RPCOption) -> Installed {
        unreachable!("no log is ever compacted here")
    }
    fn backoff(&self) -> Backoff {
        Backoff::new(repeat(HEARTBEAT))
    }
}

/// A node from its start to its death.
async fn live(teller: Teller, Host { disk, mut rng, .. }: Host, id: u64, nodes: u64) -> HostResult {
    let listener = TcpListener::bind("0.0.0.0:7000").await?;
    let store = Store::load(NodeId(id), disk, teller.clone()).await?;
    let (machine, network, config) = (Machine(teller.clone()), Client(teller.clone(), id), Config::default());
    let raft = Raft::new(id, Arc::new(config.validate()?), network, store, machine);
    let raft = SEED.scope(between(&mut rng, 0, u64::MAX), raft).await?;
    // Refused by one that has a log already.
    let _ = raft.initialize((1..=nodes).collect::<BTreeSet<_>>()).await;
    let mut commands = interval(Duration::from_millis(40));
    loop {
        tokio::select! {
            biased;
            accepted = listener.accept() => {
                let (raft, teller, (stream, _)) = (raft.clone(), teller.clone(), accepted?);
                // Who gets no answer asks again.
                spawn_local(async { answer(raft, teller, stream).await.unwrap_or_default() });
            }
            // Refused by whoever does not lead.
            _ = commands.tick() => drop(raft.client_write_ff(between(&mut rng, 2, u64::MAX)).await),
        }
    }
}

async fn answer(raft: Raft<Types>, teller: Teller, mut stream: TcpStream) -> HostResult {
    match heard(&mut stream).await? {
        Ask::Append(rpc) => say(&mut stream, &raft.append_entries(rpc).await?).await?,
        Ask::Vote(rpc) => {
            let to = NodeId(rpc.vote.leader_id.voted_for().unwrap_or_default());
            let answer = raft.vote(rpc).await?;
            let says = if answer.vote_granted { Says::Vote } else { Says::Other };
            teller.tell(Fact::Sending { to, term: answer.vote.leader_id.term, says });
            say(&mut stream, &answer).await?;
        }
    }
    Ok(())
}

struct Openraft;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Options {
    nodes: u64,
}

impl System for Openraft {
    fn name(&self) -> &'static str {
        "openraft"
    }
    fn about(&self) -> &'static str {
        "openraft, a Raft of many tasks: a leader with commands, over TCP"
    }
    fn sims(&self) -> &'static [(&'static str, &'static str)] {
        &[("chaos", include_str!("../sims/chaos.toml")), ("quiet", include_str!("../sims/quiet.toml"))]
    }
    fn build(&self, setup: &mut Setup<'_>) -> Result<(), ScriptError> {
        let Options { nodes } = setup.section()?;
        let members = || (1..=nodes).map(NodeId);
        let usual = Settings::new(members());
        let settings = Settings {
            // A leader's lease comes on top, and twice the largest timeout where another's log was greater.
            election_timeout: (usual.election_timeout.0, usual.election_timeout.1 * 4),
            ..usual
        }
        .lacks(Part::Messages, "the answer to entries has no term")
        .lacks(Part::Answers, "what a leader takes in is its own affair")
        .exempt("E7", "a leader that starts anew goes on with its lead, for it has saved that it won");
        let mut conditions = conditions::of(setup.script(), 0.0, true);
        // A connection is made first.
        conditions.latency.1 *= 3;
        let watch = Watch::under(setup, &settings, &conditions);
        for id in members() {
            let watch = watch.clone();
            setup.process(id.to_string(), move |host| live(watch.node(id, &host), host, id.0, nodes));
        }
        Ok(())
    }
}

fn main() -> ExitCode {
    stormglass::cli::main(&[&Openraft])
}

#[test]
fn nodes_whose_timeouts_are_alike_never_elect() {
    use stormglass::{rng::Seed, script::Script, sim::RunOptions, sim::Verdict, sim::run};
    let kept = Script::parse("kept.toml", include_str!("../seeds/shrunk/timeouts-drawn-once.toml")).expect("it is one");
    let verdict = run(&Openraft, &kept, Seed(12), &RunOptions::default()).expect("it runs").verdict;
    assert!(matches!(verdict, Verdict::Violation(found) if found.invariant.starts_with("L1")));
}
