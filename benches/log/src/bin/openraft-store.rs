//! A store over openraft, the least that serves: messages over TCP, a log in memory that may be synced to a file as well,
//! and `PUT /kv/KEY` for clients. For `benches/log-vs-peers.sh`, and for nothing else: it does not read its file again.

#[path = "../storage.rs"]
mod storage;
#[path = "../wire.rs"]
mod wire;

use std::collections::{BTreeMap, BTreeSet};
use std::convert::Infallible;
use std::path::PathBuf;
use std::sync::Arc;

use bytes::Bytes;
use clap::Parser;
use http_body_util::{BodyExt as _, Full};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use openraft::{Config, Raft, SnapshotPolicy};
use tokio::net::{TcpListener, TcpStream};

use storage::{Log, Machine, Types, Write};

/// A store over openraft
#[derive(Parser)]
struct Options {
    #[arg(long)]
    id: u64,
    /// Where members are, in the order of their ids
    #[arg(long, value_delimiter = ',', required = true)]
    peers: Vec<String>,
    /// Where clients are served
    #[arg(long)]
    listen: String,
    /// Sync the log to this file before it counts
    #[arg(long)]
    sync: Option<PathBuf>,
}

async fn answer(raft: &Raft<Types>, id: u64, request: Request<Incoming>) -> anyhow::Result<Response<Full<Bytes>>> {
    let Some(key) = request.uri().path().strip_prefix("/kv/").map(ToOwned::to_owned) else {
        let leads = raft.current_leader().await == Some(id);
        let role = if leads { "leader" } else { "follower" };
        return Ok(Response::new(Full::from(format!("{{\"role\":\"{role}\"}}"))));
    };
    let value = request.into_body().collect().await?.to_bytes();
    let (code, body) = match raft.client_write(Write { key, value: value.to_vec() }).await {
        Ok(_) => (StatusCode::NO_CONTENT, Full::default()),
        Err(error) => (StatusCode::SERVICE_UNAVAILABLE, Full::from(error.to_string())),
    };
    Ok(Response::builder().status(code).body(body)?)
}

async fn converse(raft: Raft<Types>, id: u64, stream: TcpStream) {
    let service = service_fn(move |request| {
        let raft = raft.clone();
        async move {
            let failed = |error: anyhow::Error| {
                let mut response = Response::new(Full::from(error.to_string()));
                *response.status_mut() = StatusCode::BAD_REQUEST;
                response
            };
            Ok::<_, Infallible>(answer(&raft, id, request).await.unwrap_or_else(failed))
        }
    });
    let _ = http1::Builder::new().serve_connection(TokioIo::new(stream), service).await;
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let options = Options::parse();
    let members: BTreeMap<u64, String> = (1..).zip(options.peers.iter().cloned()).collect();
    // A follower that is busy syncing is no leader that is gone.
    let config = Config {
        heartbeat_interval: 100,
        election_timeout_min: 1000,
        election_timeout_max: 2000,
        snapshot_policy: SnapshotPolicy::Never,
        ..Config::default()
    };
    let log = Log::new(options.sync.as_deref())?;
    let network = wire::Network(Arc::new(members.clone()));
    let raft = Raft::new(options.id, Arc::new(config.validate()?), network, log, Machine::default()).await?;
    let peers = TcpListener::bind(&members[&options.id]).await?;
    tokio::spawn(wire::serve(raft.clone(), peers));
    if options.id == 1 {
        raft.initialize(members.keys().copied().collect::<BTreeSet<_>>()).await?;
    }
    let clients = TcpListener::bind(&options.listen).await?;
    loop {
        let (stream, _) = clients.accept().await?;
        stream.set_nodelay(true)?;
        tokio::spawn(converse(raft.clone(), options.id, stream));
    }
}
