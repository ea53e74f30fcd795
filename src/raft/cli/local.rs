//! A whole cluster in one process, to look at: each node has a socket and a directory of its own.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::convert::Infallible;
use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::ExitCode;
use std::rc::Rc;
use std::time::Duration;

use tempfile::TempDir;
use tokio::sync::{mpsc, watch};
use tokio::task::JoinHandle;
use tokio::time::{MissedTickBehavior, interval, sleep, timeout};

use super::LocalOptions;
use super::lines::{Narrator, names};
use super::screen::Screen;
use super::writes::{Applied, Writer};
use crate::disk::real::RealDisk;
use crate::events::Sink;
use crate::net::real::RealNet;
use crate::net::signals::shutdown_signal;
use crate::net::{Net, Socket};
use crate::raft::caller::Servers;
use crate::raft::config::Replication;
use crate::raft::post::DATAGRAM_BYTES;
use crate::raft::segments::SEGMENT_BYTES;
use crate::raft::server::{self, Event, Settings};
use crate::raft::{ClockRate, ClusterId, Codec, Config, Event as Core, LogPosition, NodeId, Term};
use crate::rng::fresh_seed;

/// How long until a node that cannot have its port back tries again.
const BIND_PAUSE: Duration = Duration::from_secs(1);

/// A kept directory belongs to a cluster of this name, wherever it is moved.
const KEPT: &str = "local";

/// Runs a cluster until it is time, SIGINT or SIGTERM, or nobody looks at it any more.
pub async fn local(options: LocalOptions) -> io::Result<ExitCode> {
    let shutdown = shutdown_signal()?;
    let (home, name, _temporary) = home(&options)?;
    let ids: Vec<NodeId> = (1..=options.nodes).map(NodeId).collect();
    let (failed, mut failures) = mpsc::unbounded_channel();
    let mut cluster = Cluster {
        config: Config {
            replication: options.write_every.map(|_| Replication::default()),
            ..options.protocol.config(ids.iter().copied())
        },
        codec: Codec::new(ClusterId::named(&name), None),
        home,
        addresses: BTreeMap::new(),
        running: BTreeMap::new(),
        lead: Rc::new(watch::Sender::new(None)),
        screen: Screen::new(&ids),
        failed,
        applied: Rc::default(),
    };
    cluster.start_all(&ids).await?;
    let screen = cluster.screen.clone();
    let mut writer = options.write_every.map(|every| cluster.writer(every));
    let ended = tokio::select! {
        biased;
        () = shutdown => Ok(()),
        () = screen.closed() => Ok(()),
        () = or_never(options.time) => Ok(()),
        Some(error) = failures.recv() => Err(error),
        failed = write(&mut writer) => match failed? {},
        failed = cluster.fail_leaders(options.fail_leader_every) => match failed? {},
    };
    let lead = *cluster.lead.borrow();
    if let (Some(writer), Ok(())) = (writer, &ended) {
        writer.end().await;
    }
    cluster.stop().await;
    match lead {
        Some((id, term)) => screen.line(&[id], format_args!("leads term {term} at the end")),
        None => screen.line(&[], "nobody leads at the end"),
    }
    ended.map(|()| ExitCode::SUCCESS)
}

async fn write(writer: &mut Option<Writer>) -> io::Result<Infallible> {
    match writer {
        Some(writer) => writer.run().await,
        None => std::future::pending().await,
    }
}

/// Where the directories are, the cluster's name, and what removes a temporary place.
fn home(options: &LocalOptions) -> io::Result<(PathBuf, String, Option<TempDir>)> {
    if let Some(kept) = &options.data {
        return Ok((kept.clone(), KEPT.to_owned(), None));
    }
    let temporary = TempDir::with_prefix("raft-node-")?;
    let home = temporary.path().to_owned();
    // Two clusters on one machine may come by each other's ports.
    let name = home.display().to_string();
    Ok((home, name, Some(temporary)))
}

async fn or_never(time: Option<Duration>) {
    match time {
        Some(time) => sleep(time).await,
        None => std::future::pending().await,
    }
}

/// Who leads, and in which term.
type Lead = Option<(NodeId, Term)>;

struct Cluster {
    config: Config,
    codec: Codec,
    home: PathBuf,
    addresses: BTreeMap<NodeId, SocketAddr>,
    running: BTreeMap<NodeId, JoinHandle<()>>,
    lead: Rc<watch::Sender<Lead>>,
    screen: Screen,
    /// Takes the errors of nodes that ended by themselves.
    failed: mpsc::UnboundedSender<io::Error>,
    applied: Applied,
}

impl Cluster {
    async fn start_all(&mut self, ids: &[NodeId]) -> io::Result<()> {
        let mut sockets = Vec::new();
        for id in ids {
            let socket = RealNet.bind("127.0.0.1:0").await?;
            self.addresses.insert(*id, Socket::local_addr(&socket)?);
            sockets.push((*id, socket));
        }
        let ports: Vec<_> = self.addresses.values().map(|address| address.port().to_string()).collect();
        let start = if ids.len() == 1 { "starts on 127.0.0.1, port" } else { "start on 127.0.0.1, ports" };
        self.screen.line(ids, format_args!("{start} {}", ports.join(" ")));
        for (id, socket) in sockets {
            self.start(id, socket, true)?;
        }
        Ok(())
    }

    fn start(&mut self, id: NodeId, socket: <RealNet as Net>::Socket, first: bool) -> io::Result<()> {
        let (disk, alone) = RealDisk::open_alone(self.home.join(id.to_string()))?;
        let others = self.addresses.iter().filter(|(other, _)| **other != id);
        let settings = Settings {
            id,
            config: self.config.clone(),
            codec: self.codec.clone(),
            peers: others.map(|(other, address)| (*other, address.to_string())).collect(),
            log: LogPosition::default(),
            segment_bytes: SEGMENT_BYTES,
            datagram_bytes: DATAGRAM_BYTES,
            clock: ClockRate::default(),
        };
        let (events, failed) = (self.sink(id, first), self.failed.clone());
        let rng = fresh_seed().stream("raft-node");
        let node = async move {
            let (_alone, (_commands, commanded)) = (alone, mpsc::unbounded_channel());
            let never = std::future::pending();
            let served = server::serve(&RealNet, socket, disk, settings, rng, commanded, events, never).await;
            if let Err(error) = served {
                _ = failed.send(io::Error::other(format!("{id} ended: {error}")));
            }
        };
        self.running.insert(id, tokio::task::spawn_local(node));
        Ok(())
    }

    fn sink(&self, id: NodeId, first: bool) -> Sink<Event> {
        let narrator = RefCell::new(Narrator::default());
        let (screen, lead, applied) = (self.screen.clone(), self.lead.clone(), self.applied.clone());
        Sink::new(move |event| {
            match event {
                // That all start has been said.
                Event::Core(Core::Booted { term: 0, .. }) if first => return,
                Event::Core(Core::BecameLeader { term, .. }) => _ = lead.send_replace(Some((id, *term))),
                Event::Applied { index, .. } => _ = applied.borrow_mut().insert(id, *index),
                Event::Core(Core::SteppedDown { term, .. }) => lost(&lead, (id, *term)),
                _ => {}
            }
            if let Some(change) = narrator.borrow_mut().tell(event) {
                screen.change(id, change);
            }
        })
    }

    fn writer(&self, every: Duration) -> Writer {
        let addresses = self.addresses.iter().map(|(id, address)| (*id, address.to_string())).collect();
        let servers = Servers { codec: self.codec.clone(), addresses };
        Writer::new(servers, every, self.config.election_timeout_max, self.screen.clone(), self.applied.clone())
    }

    async fn fail_leaders(&mut self, every: Option<Duration>) -> io::Result<Infallible> {
        let Some(every) = every else { return std::future::pending().await };
        let mut times = interval(every);
        times.set_missed_tick_behavior(MissedTickBehavior::Delay);
        times.tick().await;
        loop {
            times.tick().await;
            let lead = *self.lead.borrow();
            if let Some((id, term)) = lead {
                self.crash(id, term).await;
                self.wait_for_lead_after(term, every).await;
                self.restart(id).await?;
            }
        }
    }

    async fn crash(&mut self, id: NodeId, term: Term) {
        let Some(node) = self.running.remove(&id) else { return };
        node.abort();
        // It has let its socket and its directory go when this is over.
        _ = node.await;
        lost(&self.lead, (id, term));
        self.screen.line(&[id], format_args!("crashes, the leader of term {term}"));
    }

    async fn wait_for_lead_after(&self, term: Term, every: Duration) {
        let patience = every.max(self.config.election_timeout_max * 10);
        let mut lead = self.lead.subscribe();
        let next = lead.wait_for(|lead| lead.is_some_and(|(_, newer)| newer > term));
        if timeout(patience, next).await.is_err() {
            let running = names(self.running.keys());
            self.screen.line(&[], format_args!("no leader without it: running are {}", or_none(&running)));
        }
    }

    async fn restart(&mut self, id: NodeId) -> io::Result<()> {
        let address = self.addresses[&id].to_string();
        loop {
            match RealNet.bind(&address).await {
                Ok(socket) => return self.start(id, socket, false),
                Err(error) => self.screen.line(&[id], format_args!("cannot start again yet: {error}")),
            }
            sleep(BIND_PAUSE).await;
        }
    }

    async fn stop(self) {
        for node in self.running.into_values() {
            node.abort();
            _ = node.await;
        }
    }
}

fn or_none(names: &str) -> &str {
    if names.is_empty() { "none" } else { names }
}

/// Nobody leads any more, unless somebody else does already.
fn lost(lead: &watch::Sender<Lead>, by: (NodeId, Term)) {
    lead.send_if_modified(|lead| {
        let was = *lead == Some(by);
        *lead = lead.filter(|_| !was);
        was
    });
}
