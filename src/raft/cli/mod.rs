//! The command line of `raft-node`: a member of a cluster on real sockets, or a whole cluster to look at.
//!
//! The addresses go to stdout, in a line that a script can read; changes of role go to stderr. A cluster to look at
//! writes to stdout only.

mod kv;
mod lines;
mod local;
mod options;
mod screen;
mod tell;
mod writes;

use std::cell::RefCell;
use std::fmt::Display;
use std::io;
use std::net::{Ipv4Addr, Ipv6Addr};
use std::process::ExitCode;
use std::time::Duration;

use tokio::sync::mpsc;

pub use self::kv::kv;
use self::lines::{Change, Narrator};
pub use self::local::local;
pub use self::options::{Job, KvCall, LocalOptions, Node, NodeOptions, Options, Peers, ProtocolOptions};
use self::tell::Teller;
use super::NodeId;
use super::caller::Servers;
use super::client::Patience;
use super::front::Front;
use super::server::{self, Command, Event, ServeError, Settings};
use super::status::{self, Board, rfc3339};
use crate::disk::real::RealDisk;
use crate::events::Sink;
use crate::net::real::RealNet;
use crate::net::signals::shutdown_signal;
use crate::net::{Listener, Net, Socket};
use crate::rng::fresh_seed;
use crate::service::{self, Stdout, since_1970};

/// How long the store's front waits for an answer of the cluster.
const FRONT_PATIENCE: Duration = Duration::from_secs(5);

/// Runs a member until SIGINT or SIGTERM.
pub async fn node(node: Node) -> io::Result<ExitCode> {
    let Node { options, settings } = node;
    let (id, shutdown) = (settings.id, shutdown_signal()?);
    let (disk, _alone) = RealDisk::open_alone(&options.data)?;
    let socket = RealNet.bind(&options.listen).await?;
    let listener = match &options.status {
        Some(address) => Some(RealNet.listen(address).await?),
        None => None,
    };
    let store = match &options.kv {
        Some(address) => Some(RealNet.listen(address).await?),
        None => None,
    };
    announce(&socket, listener.as_ref(), store.as_ref())?;
    let front = front(&settings, &socket)?;
    let board = Board::new(since_1970);
    let (events, rng) = (sink(id, board.clone(), options.events), fresh_seed().stream("raft-node"));
    let (commands, commanded) = mpsc::unbounded_channel();
    if let Some(timeout) = options.first_timeout {
        let _ = commands.send(Command::PinNextTimeout(timeout));
    }
    let served = server::serve(&RealNet, socket, disk, settings, rng, commanded, events, shutdown);
    let told = async {
        match listener {
            Some(listener) => status::serve::<RealNet>(listener, board.clone()).await,
            None => std::future::pending().await,
        }
    };
    let fronted = async {
        match store {
            Some(listener) => front.serve(listener).await,
            None => std::future::pending().await,
        }
    };
    tokio::select! {
        biased;
        () = fronted => {}
        served = served => served.map_err(|error| ended(id, &options, &error))?,
        () = told => {}
    }
    if let Some((role, term)) = board.role() {
        line(id, format_args!("ends as {role} in term {term}"));
    }
    Ok(ExitCode::SUCCESS)
}

fn ended(id: NodeId, options: &NodeOptions, error: &ServeError) -> io::Error {
    io::Error::other(match error {
        ServeError::Disk(error) => format!("{id} cannot go on with its directory {}: {error}", options.data.display()),
        error => error.to_string(),
    })
}

/// The store's front, which calls the cluster as any client does, its own node too.
fn front(settings: &Settings, socket: &impl Socket) -> io::Result<Front<RealNet>> {
    let mut own = socket.local_addr()?;
    if own.ip().is_unspecified() {
        own.set_ip(if own.is_ipv4() { Ipv4Addr::LOCALHOST.into() } else { Ipv6Addr::LOCALHOST.into() });
    }
    let mut addresses = settings.peers.clone();
    addresses.insert(settings.id, own.to_string());
    let servers = Servers { codec: settings.codec.clone(), addresses };
    let patience = Patience { retry: settings.config.election_timeout_max, deadline: FRONT_PATIENCE };
    Ok(Front::new(RealNet, settings.id, servers, patience, fresh_seed().stream("raft-front")))
}

fn announce(socket: &impl Socket, status: Option<&impl Listener>, store: Option<&impl Listener>) -> io::Result<()> {
    let status = match status {
        Some(listener) => format!(", status on http://{}", listener.local_addr()?),
        None => String::new(),
    };
    let store = match store {
        Some(listener) => format!(", store on http://{}/kv/", listener.local_addr()?),
        None => String::new(),
    };
    service::announce(format_args!("{}{status}{store}", socket.local_addr()?));
    Ok(())
}

fn sink(id: NodeId, board: Board, tells_events: bool) -> Sink<Event> {
    let narrator = RefCell::new(Narrator::default());
    let (teller, stdout) = (Teller::default(), Stdout::default());
    Sink::new(move |event| {
        board.take(event);
        if tells_events {
            let now_ns = u64::try_from(since_1970().as_nanos()).unwrap_or(u64::MAX);
            teller.line(event, now_ns).into_iter().for_each(|line| stdout.print_line(line));
        }
        match narrator.borrow_mut().tell(event) {
            Some(Change::Follows { leader, term }) => line(id, format_args!("follows {leader} (term {term})")),
            Some(Change::Other(change)) => line(id, change),
            None => {}
        }
    })
}

/// A line about a node to stderr, if there is one, behind the time of day, UTC.
fn line(id: NodeId, text: impl Display) {
    let time = rfc3339(since_1970());
    let time = time.split_once('T').map_or(time.as_str(), |(_, time)| time);
    service::note(format_args!("{time} {id} {text}"));
}
