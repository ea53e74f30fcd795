//! openraft 0.10 in the testbed, by the scripts of 0.9.25 and with its seeds: `../openraft` has the bug that is mended here.
//! What differs are the interfaces; to read one of the two is to know both.
//!
//! ```sh
//! cargo run -- sweep openraft/quiet --seeds 0..1000
//! cargo run -- sweep openraft/chaos --seeds 0..200
//! cargo run -- replay
//! cargo test
//! ```

mod storage;

use std::collections::BTreeSet;
use std::future::Future;
use std::io;
use std::iter::repeat;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use openraft::alias::{SnapshotOf, VoteOf};
use openraft::errors::{RPCError, ReplicationClosed, StreamingError, Unreachable};
use openraft::network::{Backoff, RPCOption, RaftNetworkFactory, RaftNetworkV2};
use openraft::raft::{AppendEntriesRequest, AppendEntriesResponse, SnapshotResponse, VoteRequest, VoteResponse};
use openraft::{AsyncRuntime as _, Config, Raft};
use serde::{Deserialize, Serialize, de::DeserializeOwned};
use storage::{Machine, Runtime, Store, Types};
use stormglass::check::consensus::Settings;
use stormglass::consensus::{Fact, NodeId, Part, Says};
use stormglass::rng::between;
use stormglass::script::ScriptError;
use stormglass::sim::{Host, HostResult, Setup, System};
use stormglass::sockets::{TcpListener, TcpStream};
use stormglass::systems::consensus::{Teller, Watch, conditions};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::time::{interval, timeout};

/// As openraft has it where nothing else is said, and as its timeouts are the paper's then.
const HEARTBEAT: Duration = Duration::from_millis(50);

type Node = Raft<Types, Machine>;

/// A question. Each has a connection of its own, on which its answer comes.
#[derive(Serialize, Deserialize)]
enum Ask {
    Append(AppendEntriesRequest<Types>),
    Vote(VoteRequest<Types>),
}

/// The way from a node to another.
struct Client(Teller, u64);

type Answer<T> = Result<T, RPCError<Types>>;

impl Client {
    async fn ask<A: DeserializeOwned>(&self, says: Says, term: u64, ask: Ask, ttl: Duration) -> Answer<A> {
        self.0.tell(Fact::Sending { to: NodeId(self.1), term, says });
        let asked = async {
            let mut stream = TcpStream::connect((format!("n{}", self.1), 7000)).await?;
            say(&mut stream, &ask).await?;
            heard(&mut stream).await
        };
        let answer = timeout(ttl, asked).await.unwrap_or_else(|late| Err(late.into()));
        answer.map_err(|error: io::Error| Unreachable::new(&error).into())
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

impl RaftNetworkV2<Types> for Client {
    type SnapshotData = ();

    async fn append_entries(
        &mut self,
        rpc: AppendEntriesRequest<Types>,
        option: RPCOption,
    ) -> Answer<AppendEntriesResponse<Types>> {
        self.ask(Says::Lead, rpc.vote.leader_id.term, Ask::Append(rpc), option.hard_ttl()).await
    }
    async fn vote(&mut self, rpc: VoteRequest<Types>, option: RPCOption) -> Answer<VoteResponse<Types>> {
        self.ask(Says::Candidacy, rpc.vote.leader_id.term, Ask::Vote(rpc), option.hard_ttl()).await
    }
    async fn full_snapshot(
        &mut self,
        _: VoteOf<Types>,
        _: SnapshotOf<Types, ()>,
        _: impl Future<Output = ReplicationClosed> + 'static,
        _: RPCOption,
    ) -> Result<SnapshotResponse<Types>, StreamingError<Types>> {
        unreachable!("no log is ever compacted here")
    }
    fn backoff(&self) -> Option<Backoff> {
        Some(Backoff::new(repeat(HEARTBEAT)))
    }
}

/// A node from its start to its death.
async fn live(teller: Teller, Host { disk, mut rng, .. }: Host, id: u64, nodes: u64) -> HostResult {
    let listener = TcpListener::bind("0.0.0.0:7000").await?;
    let store = Store::load(NodeId(id), disk, teller.clone()).await?;
    let (machine, network, config) = (Machine(teller.clone()), Client(teller.clone(), id), Config::default());
    let raft = Node::new(id, Arc::new(config.validate()?), network, store, machine).await?;
    // Refused by one that has a log already.
    let _ = raft.initialize((1..=nodes).collect::<BTreeSet<_>>()).await;
    let mut commands = interval(Duration::from_millis(40));
    loop {
        tokio::select! {
            biased;
            accepted = listener.accept() => {
                let (raft, teller, (stream, _)) = (raft.clone(), teller.clone(), accepted?);
                // Who gets no answer asks again.
                drop(Runtime::spawn(async { answer(raft, teller, stream).await.unwrap_or_default() }));
            }
            // Refused by whoever does not lead.
            _ = commands.tick() => drop(raft.client_write_ff(between(&mut rng, 2, u64::MAX), None).await),
        }
    }
}

async fn answer(raft: Node, teller: Teller, mut stream: TcpStream) -> HostResult {
    match heard(&mut stream).await? {
        Ask::Append(rpc) => say(&mut stream, &raft.append_entries(rpc).await?).await?,
        Ask::Vote(rpc) => {
            let to = NodeId(rpc.vote.leader_id.voted_for);
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
        "openraft 0.10, a Raft of many tasks: a leader with commands, over TCP"
    }
    fn sims(&self) -> &'static [(&'static str, &'static str)] {
        &[
            ("chaos", include_str!("../sims/chaos.toml")),
            ("quiet", include_str!("../sims/quiet.toml")),
        ]
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
            setup.process(id.to_string(), move |mut host| {
                let seed = between(&mut host.rng, 0, u64::MAX);
                Runtime::scope(seed, live(watch.node(id, &host), host, id.0, nodes))
            });
        }
        Ok(())
    }
}

fn main() -> ExitCode {
    stormglass::cli::main(&[&Openraft])
}

#[test]
fn nodes_whose_timeouts_are_alike_draw_anew() {
    use stormglass::{rng::Seed, script::Script, sim::RunOptions, sim::Verdict, sim::run};
    let kept = include_str!("../../openraft/seeds/shrunk/timeouts-drawn-once.toml");
    let kept = Script::parse("kept.toml", kept).expect("it is one");
    let verdict = run(&Openraft, &kept, Seed(12), &RunOptions::default()).expect("it runs").verdict;
    assert!(matches!(verdict, Verdict::Pass), "{verdict:?}");
}
