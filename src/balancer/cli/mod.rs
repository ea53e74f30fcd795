//! The command line of `load-balancer`.
//!
//! The addresses go to stdout, in a line that a script can read; what becomes of backends goes to stderr.

mod cores;

use std::cell::RefCell;
use std::future::pending;
use std::io;
use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::rc::{Rc, Weak};

use clap::Parser;
#[cfg(test)]
use clap::error::ErrorKind;

use tokio::sync::watch;

use super::admin::{self, Counts, View};
use super::config::{Backend, Config, Origin};
use super::event::Event;
use super::file::File;
use super::policy::BackendId;
use super::server;
use super::shared::{Rngs, Shared};
use crate::events::Sink;
use crate::net::real::{RealNet, listen_apart};
use crate::net::signals::{reload_signal, shutdown_signal};
use crate::net::{Listener, Net};
use crate::rng::fresh_seed;
use crate::service::{self, Teller};
use cores::{Cores, Told};

const LISTEN: &str = "127.0.0.1:8080";

/// Spreads HTTP requests over backends, and goes around those that fail
#[derive(Clone, Debug, Parser)]
#[command(name = "load-balancer", version = crate::VERSION)]
pub struct Options {
    /// Where clients connect, as host:port; with port 0 a free one is chosen [default: 127.0.0.1:8080, or the file's]
    #[arg(long, value_name = "ADDR")]
    listen: Option<String>,
    #[arg(long, help = "A backend, as a URL such as http://127.0.0.1:8081; once for each", value_name = "URL", value_parser = Origin::parse, required_unless_present = "config", conflicts_with = "config")]
    backend: Vec<Origin>,
    /// Settings as TOML, read again at SIGHUP
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Where to tell of itself: /metrics, /backends and /healthz [default: nowhere, or the file's]
    #[arg(long, value_name = "ADDR")]
    admin: Option<String>,
    /// How many threads serve clients, each with connections and health checks of its own
    #[arg(long, value_name = "N", default_value = "1")]
    threads: NonZeroUsize,
    /// Tell what happens as lines of JSON on stdout; on one thread
    #[arg(long, conflicts_with = "threads")]
    events: bool,
}

impl Options {
    /// Reads the command line, and exits with a message where it makes no sense.
    pub fn from_command_line() -> Self {
        Self::parse()
    }
}

/// Runs a balancer until SIGINT or SIGTERM.
pub async fn run(options: Options) -> io::Result<ExitCode> {
    let (shutdown, mut reloads) = (shutdown_signal()?, reload_signal()?);
    let (file, config) = match settings(&options) {
        Ok(settings) => settings,
        Err(message) => {
            service::note(format_args!("error: {message}"));
            return Ok(ExitCode::from(2));
        }
    };
    let threads = options.threads.get();
    let address = options.listen.as_deref().or(file.listen.as_deref()).unwrap_or(LISTEN);
    let (listener, others) = if threads == 1 {
        (RealNet.listen(address).await?, Vec::new())
    } else {
        let mut listeners = listen_apart(address, threads).await?;
        (listeners.remove(0).open()?, listeners)
    };
    let pages = match options.admin.as_ref().or(file.admin.as_ref()) {
        Some(address) => Some(RealNet.listen(address).await?),
        None => None,
    };
    let counts = Counts::default();
    let seed = fresh_seed();
    let config = config.part_of(threads);
    let itself = Rc::new(RefCell::new(Weak::new()));
    let sink = sink(counts.clone(), options.events.then(|| itself.clone()));
    let shared = Shared::new(RealNet, config.clone(), Rngs::of(seed), sink).map_err(io::Error::other)?;
    *itself.borrow_mut() = Rc::downgrade(&shared);
    let (tell, told) = watch::channel(Told { config, ends: false });
    let mut cores = Cores::start(others, &told, seed)?;
    announce(&listener, pages.as_ref())?;
    let views = cores.views();
    let viewed = shared.clone();
    let view = move || views().iter().fold(View::of(&viewed, &counts), View::and);
    let (telling, reloading) = (tell.clone(), shared.clone());
    let ending = async move {
        shutdown.await;
        tell.send_modify(|told| told.ends = true);
    };
    let pages = async {
        match pages {
            Some(pages) => admin::serve::<RealNet>(pages, view).await,
            None => pending().await,
        }
    };
    let reloaded = async {
        loop {
            reloads.next().await;
            if let Some(config) = reload(&reloading, options.config.as_deref(), threads) {
                telling.send_modify(|told| told.config = config);
            }
        }
    };
    let lost = async {
        cores.ended().await;
        if told.borrow().ends { pending().await } else { Err(io::Error::other("a thread of the balancer has ended")) }
    };
    tokio::select! {
        biased;
        served = server::serve(shared, listener, ending) => served?,
        () = pages => {}
        () = reloaded => {}
        lost = lost => lost?,
    }
    cores.join()?;
    Ok(ExitCode::SUCCESS)
}

fn settings(options: &Options) -> Result<(File, Config), String> {
    let Some(path) = &options.config else {
        let backends = options.backend.iter().map(|origin| Backend { origin: origin.clone(), weight: 1 });
        let config = Config::new(backends.collect());
        config.validate().map_err(|error| error.to_string())?;
        return Ok((File::default(), config));
    };
    read(path)
}

fn read(path: &Path) -> Result<(File, Config), String> {
    let text = std::fs::read_to_string(path).map_err(|error| format!("cannot read {}: {error}", path.display()))?;
    File::parse(&path.display().to_string(), &text).map_err(|error| error.to_string())
}

/// Takes the file's settings as they are now, and returns each thread's part. What is wrong is told, and the old ones hold.
fn reload(shared: &Rc<Shared<RealNet>>, path: Option<&Path>, threads: usize) -> Option<Config> {
    let Some(path) = path else {
        service::log("SIGHUP: there is no file to read again");
        return None;
    };
    let taken = read(path).and_then(|(_, config)| {
        let config = config.part_of(threads);
        shared.configure(config.clone()).map(|()| config).map_err(|error| error.to_string())
    });
    match &taken {
        Ok(_) => service::log(format_args!("{} is read again, and holds", path.display())),
        Err(error) => service::log(format_args!("error: {error}; the settings stay as they were")),
    }
    taken.ok()
}

fn announce(listener: &impl Listener, pages: Option<&impl Listener>) -> io::Result<()> {
    let pages = match pages {
        Some(pages) => format!(", pages on http://{}", pages.local_addr()?),
        None => String::new(),
    };
    service::announce(format_args!("{}{pages}", listener.local_addr()?));
    Ok(())
}

/// The balancer, once there is one.
type Itself = Rc<RefCell<Weak<Shared<RealNet>>>>;

/// Counts what happens, and tells it: all of it if the balancer is given, to say what its backends are called.
fn sink(counts: Counts, told: Option<Itself>) -> Sink<Event> {
    let teller = Teller::default();
    Sink::new(move |event| {
        counts.take(event);
        if let Some(itself) = &told {
            let told = event.told(&|id| name(itself, event, id));
            told.into_iter().for_each(|(name, fields)| teller.tell(name, fields, None::<()>));
        }
        if let Event::Policy { .. } | Event::Draining { .. } | Event::DrainCut { .. } = event {
            service::log(event);
        }
    })
}

/// The host that a backend is on. One that is gone is known by the event alone.
fn name(itself: &Itself, event: &Event, id: BackendId) -> String {
    let of_event = if let Event::Policy { origin, .. } = event { origin.clone() } else { None };
    let origin = of_event.or_else(|| itself.borrow().upgrade().and_then(|shared| shared.origin(id)));
    let host = origin.as_ref().and_then(|origin| service::host_and_port(&origin.address));
    host.map_or_else(|| id.to_string(), |(host, _)| host.to_owned())
}

/// What clap says of a command line that makes no sense, for tests.
#[cfg(test)]
fn refused(line: &str) -> (ErrorKind, String) {
    let error = Options::try_parse_from(line.split_whitespace()).expect_err("it makes no sense");
    (error.kind(), error.to_string())
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    use super::*;

    #[test]
    fn the_command_line_is_consistent() {
        Options::command().debug_assert();
    }

    #[test]
    fn a_balancer_needs_backends_from_one_place() {
        assert_eq!(refused("load-balancer").0, ErrorKind::MissingRequiredArgument);
        let both = refused("load-balancer --config a.toml --backend http://a");
        assert_eq!(both.0, ErrorKind::ArgumentConflict);
        let (_, message) = refused("load-balancer --backend localhost:80");
        assert!(message.contains("does not begin with http://"), "{message}");
    }
}
