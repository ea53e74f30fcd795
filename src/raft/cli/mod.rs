//! The command line of `raft-node`: a member of a cluster on real sockets, or a whole cluster to look at.
//!
//! The addresses go to stdout, in a line that a script can read; changes of role go to stderr. A cluster to look at
//! writes to stdout only.

mod lines;
mod local;
mod options;
mod screen;

use std::cell::RefCell;
use std::fmt::Display;
use std::io;
use std::process::ExitCode;
use std::time::Duration;

use tokio::sync::mpsc;

use self::lines::{Change, Narrator};
pub use self::local::local;
pub use self::options::{Job, LocalOptions, Node, NodeOptions, Options, Peers, ProtocolOptions};
use super::NodeId;
use super::server::{self, Event, ServeError};
use super::status::{self, Board, rfc3339};
use crate::disk::real::RealDisk;
use crate::events::Sink;
use crate::net::real::RealNet;
use crate::net::signals::shutdown_signal;
use crate::net::{Listener, Net, Socket};
use crate::rng::fresh_seed;
use crate::service;

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
    announce(&socket, listener.as_ref())?;
    let board = Board::new(wall_clock);
    let (events, rng) = (sink(id, board.clone()), fresh_seed().stream("raft-node"));
    let (_commands, commanded) = mpsc::unbounded_channel();
    let served = server::serve(&RealNet, socket, disk, settings, rng, commanded, events, shutdown);
    let told = async {
        match listener {
            Some(listener) => status::serve::<RealNet>(listener, board.clone()).await,
            None => std::future::pending().await,
        }
    };
    tokio::select! {
        biased;
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

fn announce(socket: &impl Socket, status: Option<&impl Listener>) -> io::Result<()> {
    let status = match status {
        Some(listener) => format!(", status on http://{}", listener.local_addr()?),
        None => String::new(),
    };
    service::announce(format_args!("{}{status}", socket.local_addr()?));
    Ok(())
}

fn sink(id: NodeId, board: Board) -> Sink<Event> {
    let narrator = RefCell::new(Narrator::default());
    Sink::new(move |event| {
        board.take(event);
        match narrator.borrow_mut().tell(event) {
            Some(Change::Follows { leader, term }) => line(id, format_args!("follows {leader} (term {term})")),
            Some(Change::Other(change)) => line(id, change),
            None => {}
        }
    })
}

/// A line about a node to stderr, if there is one, behind the time of day, UTC.
fn line(id: NodeId, text: impl Display) {
    let time = rfc3339(wall_clock());
    let time = time.split_once('T').map_or(time.as_str(), |(_, time)| time);
    service::note(format_args!("{time} {id} {text}"));
}

#[allow(clippy::disallowed_types, reason = "a person reads the times; nothing that a node does depends on them")]
fn wall_clock() -> Duration {
    std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default()
}
