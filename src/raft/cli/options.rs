//! The options of `raft-node`, and what is made of them before anything is begun.

use std::collections::BTreeMap;
use std::fmt::Display;
use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::error::ErrorKind;
use clap::{CommandFactory as _, Parser};
use tracing::level_filters::LevelFilter;

use crate::raft::caller::Servers;
use crate::raft::client::Patience;
use crate::raft::codec::KEY_BYTES_MIN;
use crate::raft::config::Replication;
use crate::raft::kv::{Operation, SCAN_MAX};
use crate::raft::post::DATAGRAM_BYTES;
use crate::raft::request::Consistency;
use crate::raft::segments::SEGMENT_BYTES;
use crate::raft::server::Settings;
use crate::raft::{ClockRate, ClusterId, ClusterKey, Codec, Config, LogPosition, NodeId};
use crate::service::{host_and_port, parse_duration};

/// Elects a leader among a few servers, by Raft
#[derive(Clone, Debug, Parser)]
#[command(name = "raft-node", version = crate::VERSION, args_conflicts_with_subcommands = true, subcommand_negates_reqs = true)]
pub struct Options {
    #[command(subcommand)]
    command: Option<Subcommand>,
    #[command(flatten)]
    node: Option<NodeOptions>,
    // Beside the node's and not among them: clap finds no options there that may be missing as a whole.
    #[command(flatten)]
    wire: WireOptions,
    #[command(flatten)]
    protocol: ProtocolOptions,
}

#[derive(Clone, Debug, clap::Subcommand)]
enum Subcommand {
    /// Watch a whole cluster on this machine elect its leaders, in one process
    Local(LocalOptions),
    /// Read and write the store of a cluster whose members run with --kv
    Kv(KvOptions),
}

/// What there is to be done.
#[derive(Clone, Debug)]
pub enum Job {
    /// Run a member of a cluster.
    Node(Box<Node>),
    /// Run a cluster.
    Local(LocalOptions),
    /// Call a cluster.
    Kv(Box<KvCall>),
}

/// A member of a cluster.
#[derive(Clone, Debug)]
pub struct Node {
    /// Its options.
    pub options: NodeOptions,
    /// What they make of it.
    pub settings: Settings,
}

/// The options of a member.
#[derive(Clone, Debug, clap::Args)]
pub struct NodeOptions {
    /// Which member this is; they are counted from 1
    #[arg(long, value_parser = parse_id)]
    pub id: u64,
    /// Where to receive from the other members, as host:port
    #[arg(long, value_name = "ADDR", value_parser = parse_listen)]
    pub listen: String,
    /// All members, this one too, as 1=host:port,2=host:port,…
    #[arg(long, value_name = "MEMBERS", value_parser = parse_peers)]
    pub peers: Peers,
    /// The directory for term and vote, which must survive; no two members can share one
    #[arg(long, value_name = "DIR")]
    pub data: PathBuf,
    /// Answer GET /status and GET /metrics over HTTP here, as host:port; port 0 takes a free one
    #[arg(long, value_name = "ADDR", value_parser = parse_listen)]
    pub status: Option<String>,
    /// Replicate a store, and serve it over HTTP here, at /kv/KEY; all members have to, or none
    #[arg(long, value_name = "ADDR", value_parser = parse_listen)]
    pub kv: Option<String>,
    /// Tell each event as a line of JSON on stdout, too
    #[arg(long)]
    pub events: bool,
    /// What the first election timeout is, whatever it would be drawn as
    #[arg(long, value_name = "DURATION", value_parser = parse_duration)]
    pub first_timeout: Option<Duration>,
    /// How much to log to stderr, beside the changes of role: off, error, warn, info, debug or trace
    #[arg(long, value_name = "LEVEL", default_value = "warn")]
    pub log: LevelFilter,
}

/// What members and clients of a cluster have the same.
#[derive(Clone, Debug, clap::Args)]
pub struct WireOptions {
    /// The cluster's name; datagrams of clusters with other names are dropped
    #[arg(long, value_name = "NAME", default_value = "raft")]
    pub cluster: String,
    /// A file with the cluster's secret, of 16 bytes or more: only who has it is heard
    #[arg(long, value_name = "FILE")]
    pub cluster_key_file: Option<PathBuf>,
}

impl WireOptions {
    fn codec(&self) -> Result<Codec, String> {
        let key = self.cluster_key_file.as_deref().map(read_key).transpose()?;
        Ok(Codec::new(ClusterId::named(&self.cluster), key))
    }
}

/// The options of a client.
#[derive(Clone, Debug, clap::Args)]
pub struct KvOptions {
    /// All members, as 1=host:port,2=host:port,…
    #[arg(long, value_name = "MEMBERS", value_parser = parse_peers)]
    peers: Peers,
    /// How members write messages.
    #[command(flatten)]
    wire: WireOptions,
    /// How a read is made sure to be fresh: log, index, lease, or stale, which need not be
    #[arg(long, default_value = "index", value_parser = parse_consistency)]
    consistency: Consistency,
    /// Ask again, another member if need be, after this time
    #[arg(long, value_name = "DURATION", default_value = "300ms", value_parser = parse_duration)]
    retry: Duration,
    /// Give up after this time: of what writes it is unknown then whether it was done
    #[arg(long, value_name = "DURATION", default_value = "5s", value_parser = parse_duration)]
    give_up: Duration,
    #[command(subcommand)]
    operation: KvOperation,
}

#[derive(Clone, Debug, clap::Subcommand)]
enum KvOperation {
    /// Print a value
    Get { key: String },
    /// Write a value
    Put { key: String, value: String },
    /// Remove a key
    Delete { key: String },
    /// Write a value if the one that is there is EXPECTED
    Cas { key: String, expected: String, value: String },
    /// Write a value if there is none
    Create { key: String, value: String },
    /// Add to the end of a value
    Append { key: String, value: String },
    /// Print all keys that begin with a prefix, and their values
    Scan {
        #[arg(default_value = "")]
        prefix: String,
    },
}

impl From<KvOperation> for Operation {
    fn from(operation: KvOperation) -> Self {
        match operation {
            KvOperation::Get { key } => Self::Get { key: key.into() },
            KvOperation::Put { key, value } => Self::Put { key: key.into(), value: value.into() },
            KvOperation::Delete { key } => Self::Delete { key: key.into() },
            KvOperation::Cas { key, expected, value } => {
                Self::Cas { key: key.into(), expected: Some(expected.into()), value: value.into() }
            }
            KvOperation::Create { key, value } => Self::Cas { key: key.into(), expected: None, value: value.into() },
            KvOperation::Append { key, value } => Self::Append { key: key.into(), value: value.into() },
            KvOperation::Scan { prefix } => Self::Scan { prefix: prefix.into(), limit: SCAN_MAX },
        }
    }
}

/// A call of a cluster.
#[derive(Clone, Debug)]
pub struct KvCall {
    /// Whom to call.
    pub servers: Servers,
    /// How long to wait.
    pub patience: Patience,
    /// What to do.
    pub operation: Operation,
    /// How fresh a read has to be.
    pub consistency: Consistency,
}

impl KvOptions {
    fn call(self) -> Result<KvCall, String> {
        if self.give_up < self.retry {
            return Err(format!("--give-up {:?} is below --retry {:?}", self.give_up, self.retry));
        }
        Ok(KvCall {
            servers: Servers { codec: self.wire.codec()?, addresses: self.peers.0 },
            patience: Patience { retry: self.retry, deadline: self.give_up },
            operation: self.operation.into(),
            consistency: self.consistency,
        })
    }
}

/// The options of a cluster in one process.
#[derive(Clone, Debug, clap::Args)]
pub struct LocalOptions {
    /// How many members
    #[arg(long, value_name = "COUNT", default_value_t = 5, value_parser = clap::value_parser!(u64).range(1..=9))]
    pub nodes: u64,
    /// Stop after this time; without it, at Ctrl-C
    #[arg(long = "for", value_name = "DURATION", value_parser = parse_duration)]
    pub time: Option<Duration>,
    /// Crash the leader this often, and start it again when there is another
    #[arg(long, value_name = "DURATION", value_parser = parse_duration)]
    pub fail_leader_every: Option<Duration>,
    /// Replicate a store, write to it this often, and show how far the writes have come
    #[arg(long, value_name = "DURATION", value_parser = parse_duration)]
    pub write_every: Option<Duration>,
    /// Keep the members' directories here; without it they are temporary
    #[arg(long, value_name = "DIR")]
    pub data: Option<PathBuf>,
    /// Timing and rules.
    #[command(flatten)]
    pub protocol: ProtocolOptions,
}

/// What all members of a cluster should have the same.
#[derive(Clone, Copy, Debug, clap::Args)]
#[allow(clippy::struct_excessive_bools, reason = "each is a rule that can be switched off")]
pub struct ProtocolOptions {
    /// How long a member waits for its leader, drawn from this range each time
    #[arg(long, value_name = "MIN..MAX", default_value = "150ms..300ms", value_parser = parse_range)]
    pub election_timeout: (Duration, Duration),
    /// The time between a leader's heartbeats
    #[arg(long, value_name = "DURATION", default_value = "50ms", value_parser = parse_duration)]
    pub heartbeat: Duration,
    /// Campaign without asking first whether it could succeed
    #[arg(long)]
    pub no_pre_vote: bool,
    /// Lead on when no majority answers
    #[arg(long)]
    pub no_check_quorum: bool,
    /// Heed candidates also when a leader was heard just now
    #[arg(long)]
    pub no_leader_stickiness: bool,
    /// As a candidate, ask nobody again who has not answered
    #[arg(long)]
    pub no_resend: bool,
}

/// The members of a cluster and where they are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Peers(BTreeMap<NodeId, String>);

impl Options {
    /// What the process was asked to do. Anything that is wrong with that ends it, with exit code 2.
    pub fn job() -> Job {
        let Self { command, node, wire, protocol } = Self::parse();
        let wrong = |why: String| -> ! { Self::command().error(ErrorKind::ValueValidation, why).exit() };
        match (command, node) {
            (Some(Subcommand::Local(options)), _) => {
                let members = (1..=options.nodes).map(NodeId);
                let config = options.protocol.config(members);
                config.validate(NodeId(1)).unwrap_or_else(|error| wrong(error.to_string()));
                Job::Local(options)
            }
            (Some(Subcommand::Kv(options)), _) => Job::Kv(Box::new(options.call().unwrap_or_else(|why| wrong(why)))),
            (None, Some(options)) => {
                let settings = options.settings(&wire, protocol).unwrap_or_else(|why| wrong(why));
                Job::Node(Box::new(Node { options, settings }))
            }
            (None, None) => wrong("neither a node's options nor `local` is given: try `raft-node --help`".to_owned()),
        }
    }
}

impl Job {
    /// The level of what is logged.
    pub fn log_level(&self) -> LevelFilter {
        match self {
            Self::Node(node) => node.options.log,
            Self::Local(_) | Self::Kv(_) => LevelFilter::WARN,
        }
    }
}

impl NodeOptions {
    /// What the node is told at its start.
    fn settings(&self, wire: &WireOptions, protocol: ProtocolOptions) -> Result<Settings, String> {
        let id = NodeId(self.id);
        let mut peers = self.peers.0.clone();
        if peers.remove(&id).is_none() {
            let members: Vec<String> = peers.keys().map(|id| id.0.to_string()).collect();
            return Err(format!(
                "--id {id} is not among --peers, which are {members}: all members are given the same list, each with itself in it",
                id = id.0,
                members = members.join(", "),
            ));
        }
        let mut config = protocol.config(peers.keys().copied().chain([id]));
        config.replication = self.kv.as_ref().map(|_| Replication::default());
        config.validate(id).map_err(|error| error.to_string())?;
        let codec = wire.codec()?;
        Ok(Settings {
            id,
            config,
            codec,
            peers,
            log: LogPosition::default(),
            segment_bytes: SEGMENT_BYTES,
            datagram_bytes: DATAGRAM_BYTES,
            clock: ClockRate::default(),
        })
    }
}

impl ProtocolOptions {
    /// The settings of a cluster of these members.
    pub fn config(&self, members: impl IntoIterator<Item = NodeId>) -> Config {
        let (election_timeout_min, election_timeout_max) = self.election_timeout;
        Config {
            election_timeout_min,
            election_timeout_max,
            heartbeat: self.heartbeat,
            pre_vote: !self.no_pre_vote,
            check_quorum: !self.no_check_quorum,
            leader_stickiness: !self.no_leader_stickiness,
            resend: !self.no_resend,
            ..Config::new(members)
        }
    }
}

fn read_key(path: &Path) -> Result<ClusterKey, String> {
    let wrong = |why: &dyn Display| format!("the cluster key file {} cannot be used: {why}", path.display());
    let bytes = std::fs::read(path).map_err(|error| wrong(&error))?;
    // Editors end a file with a newline, of which nobody thinks as part of the secret.
    let secret = bytes.strip_suffix(b"\n").unwrap_or(&bytes);
    let secret = secret.strip_suffix(b"\r").unwrap_or(secret);
    ClusterKey::new(secret).ok_or_else(|| {
        let bytes = secret.len();
        wrong(&format_args!(
            "its secret has {bytes} bytes, and {KEY_BYTES_MIN} are the least; `openssl rand -hex 32` makes one"
        ))
    })
}

fn parse_id(text: &str) -> Result<u64, String> {
    let id = text.parse().map_err(|_| "an id is a whole number from 1 on, as among the members: 1".to_owned())?;
    if id == 0 { Err("0 stands for nobody: members are counted from 1".to_owned()) } else { Ok(id) }
}

fn parse_peers(text: &str) -> Result<Peers, String> {
    let mut peers = BTreeMap::new();
    for member in text.split(',') {
        let form =
            || format!("`{member}` is no member; write each as id=host:port, as in 1=10.0.0.1:7001,2=10.0.0.2:7001");
        let (id, address) = member.trim().split_once('=').ok_or_else(form)?;
        let id: u64 = id.parse().map_err(|_| form())?;
        if id == 0 {
            return Err(format!("`{member}` has the id 0, which stands for nobody: count members from 1"));
        }
        let (_, port) = host_and_port(address).ok_or_else(form)?;
        if port == 0 {
            return Err(format!(
                "`{member}` has the port 0, to which nothing can be sent: name the port it listens on"
            ));
        }
        if let Some(other) = peers.insert(NodeId(id), address.to_owned()) {
            return Err(format!("the id {id} is given twice, to {other} and to {address}: each member has its own"));
        }
    }
    let mut by_address: BTreeMap<&str, NodeId> = BTreeMap::new();
    for (id, address) in &peers {
        if let Some(other) = by_address.insert(address, *id) {
            return Err(format!("{other} and {id} have the same address, {address}: each member has its own"));
        }
    }
    Ok(Peers(peers))
}

fn parse_consistency(text: &str) -> Result<Consistency, String> {
    let known = Consistency::ALL.into_iter().find(|known| known.name() == text);
    known.ok_or_else(|| "it is log, index, lease or stale".to_owned())
}

fn parse_listen(text: &str) -> Result<String, String> {
    host_and_port(text).map(|_| text.to_owned()).ok_or_else(|| "write it as host:port, like 127.0.0.1:7001".to_owned())
}

fn parse_range(text: &str) -> Result<(Duration, Duration), String> {
    let (min, max) = text.split_once("..").ok_or("write it as 150ms..300ms, the least and the largest")?;
    let (min, max) = (parse_duration(min)?, parse_duration(max)?);
    if min > max {
        return Err(format!("the least, {min:?}, is above the largest, {max:?}: swap them"));
    }
    Ok((min, max))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_line_is_consistent() {
        Options::command().debug_assert();
        let node = ["raft-node", "--id", "1", "--listen", "0.0.0.0:1", "--peers", "1=a:1", "--data", "d"];
        let options = Options::try_parse_from(node).expect("that is a node");
        assert!(options.command.is_none() && options.node.is_some_and(|node| node.id == 1));
        let call = ["raft-node", "kv", "--peers", "1=a:1", "get", "k"];
        assert!(Options::try_parse_from(call).is_ok_and(|options| options.command.is_some()));
    }

    #[test]
    fn members_read_as_people_write_them() {
        let peers = parse_peers("1=10.0.0.1:7001, 12=[::1]:7002,3=raft-3.example:7003").expect("it is well formed");
        let expected = [(1, "10.0.0.1:7001"), (3, "raft-3.example:7003"), (12, "[::1]:7002")];
        assert_eq!(peers.0, expected.map(|(id, address)| (NodeId(id), address.to_owned())).into());
        for (bad, says) in [
            ("", "`` is no member; write each as id=host:port"),
            ("1", "`1` is no member"),
            ("1=", "is no member"),
            ("1=host", "is no member"),
            ("1=:7001", "is no member"),
            ("1=a:7001,", "`` is no member"),
            ("1=a b:7001", "is no member"),
            ("1=::1:7001", "is no member"),
            ("1=a:70000", "is no member"),
            ("n1=a:7001", "`n1=a:7001` is no member"),
            ("-1=a:7001", "is no member"),
            ("0=a:7001", "count members from 1"),
            ("1=a:0", "nothing can be sent"),
            ("1=a:1,1=b:1", "the id 1 is given twice, to a:1 and to b:1"),
            ("1=a:1,2=a:1", "n1 and n2 have the same address, a:1"),
        ] {
            let error = parse_peers(bad).expect_err(bad);
            assert!(error.contains(says), "{bad}: {error}");
        }
    }

    #[test]
    fn a_range_of_timeouts_has_two_ends_in_order() {
        let ms = Duration::from_millis;
        assert_eq!(parse_range("150ms..300ms"), Ok((ms(150), ms(300))));
        assert_eq!(parse_range("1s..1s"), Ok((ms(1000), ms(1000))));
        for (bad, says) in [
            ("150ms", "150ms..300ms"),
            ("300ms..150ms", "swap them"),
            ("0s..1s", "more than zero"),
            ("..", "500ms"),
            ("1..2", "500ms"),
        ] {
            let error = parse_range(bad).expect_err(bad);
            assert!(error.contains(says), "{bad}: {error}");
        }
    }

    #[test]
    fn a_key_is_what_stands_before_the_last_newline() {
        let directory = tempfile::tempdir().expect("a directory");
        let path = directory.path().join("key");
        let read = |content: &str| {
            std::fs::write(&path, content).expect("it can be written");
            read_key(&path)
        };
        let key = ClusterKey::new(b"correct horse battery").expect("it is long enough");
        for content in ["correct horse battery", "correct horse battery\n", "correct horse battery\r\n"] {
            assert_eq!(read(content).as_ref(), Ok(&key));
        }
        assert_ne!(read("correct horse battery\n\n").as_ref(), Ok(&key));
        let error = read("fifteen bytes..\n").expect_err("it is too short");
        assert!(error.contains("key cannot be used: its secret has 15 bytes, and 16 are the least"), "{error}");
        let error = read_key(&directory.path().join("none")).expect_err("there is none");
        assert!(error.contains("none cannot be used: "), "{error}");
    }
}
