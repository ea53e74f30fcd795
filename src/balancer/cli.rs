//! The command line of `load-balancer`.
//!
//! The addresses go to stdout, in a line that a script can read; what becomes of backends goes to stderr.

use std::io;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::rc::Rc;

use clap::Parser;
#[cfg(test)]
use clap::error::ErrorKind;

use super::admin::{self, Counts};
use super::config::{Backend, Config, Origin};
use super::event::Event;
use super::file::File;
use super::server;
use super::shared::{Rngs, Shared};
use crate::events::Sink;
use crate::net::real::{RealNet, reload_signal, shutdown_signal};
use crate::net::{Listener, Net};
use crate::rng::fresh_seed;
use crate::service;

const LISTEN: &str = "127.0.0.1:8080";

/// Spreads HTTP requests over backends, and goes around those that fail
#[derive(Clone, Debug, Parser)]
#[command(name = "load-balancer", version)]
pub struct Options {
    /// Where clients connect, as host:port; with port 0 a free one is chosen [default: 127.0.0.1:8080, or the file's]
    #[arg(long, value_name = "ADDR")]
    listen: Option<String>,
    /// A backend, as a URL such as <http://127.0.0.1:8081>; once for each
    #[arg(long, value_name = "URL", value_parser = Origin::parse, required_unless_present = "config", conflicts_with = "config")]
    backend: Vec<Origin>,
    /// Settings as TOML, read again at SIGHUP
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Where to tell of itself: /metrics, /backends and /healthz [default: nowhere, or the file's]
    #[arg(long, value_name = "ADDR")]
    admin: Option<String>,
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
    let listener = RealNet.listen(options.listen.as_deref().or(file.listen.as_deref()).unwrap_or(LISTEN)).await?;
    let pages = match options.admin.as_ref().or(file.admin.as_ref()) {
        Some(address) => Some(RealNet.listen(address).await?),
        None => None,
    };
    announce(&listener, pages.as_ref())?;
    let counts = Counts::default();
    let seed = fresh_seed();
    let rngs = Rngs { policy: seed.stream("policy"), backoff: seed.stream("backoff") };
    let shared = Shared::new(RealNet, config, rngs, sink(counts.clone())).map_err(io::Error::other)?;
    let told = async {
        match pages {
            Some(pages) => admin::serve(pages, shared.clone(), counts).await,
            None => std::future::pending().await,
        }
    };
    let reloaded = async {
        loop {
            reloads.next().await;
            reload(&shared, options.config.as_deref());
        }
    };
    tokio::select! {
        biased;
        served = server::serve(shared.clone(), listener, shutdown) => served?,
        () = told => {}
        () = reloaded => {}
    }
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

/// Takes the file's settings as they are now. What is wrong is told, and the old ones hold.
fn reload(shared: &Rc<Shared<RealNet>>, path: Option<&Path>) {
    let Some(path) = path else {
        return service::note("SIGHUP: there is no file to read again");
    };
    let taken = read(path).and_then(|(_, config)| shared.configure(config).map_err(|error| error.to_string()));
    match taken {
        Ok(()) => service::note(format_args!("{} is read again, and holds", path.display())),
        Err(error) => service::note(format_args!("error: {error}; the settings stay as they were")),
    }
}

fn announce(listener: &impl Listener, pages: Option<&impl Listener>) -> io::Result<()> {
    let pages = match pages {
        Some(pages) => format!(", pages on http://{}", pages.local_addr()?),
        None => String::new(),
    };
    service::announce(format_args!("{}{pages}", listener.local_addr()?));
    Ok(())
}

fn sink(counts: Counts) -> Sink<Event> {
    Sink::new(move |event| {
        counts.take(&event);
        if let Event::Policy { .. } | Event::Draining { .. } | Event::DrainCut { .. } = event {
            service::note(event);
        }
    })
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
