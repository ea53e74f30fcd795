//! The TCP echo service on real sockets.

use std::io;
use std::process::ExitCode;
use std::time::Duration;

use clap::Parser;
use stormglass::echo::cli::{self, Client, SendArgs};
use stormglass::echo::{tcp, tcp_client};
use stormglass::net::real::RealNet;
use stormglass::net::signals::shutdown_signal;
use stormglass::net::{Listener, Net};
use stormglass::rng::fresh_seed;
use stormglass::service;
use tracing::level_filters::LevelFilter;

/// Echoes lines over TCP
#[derive(Parser)]
#[command(name = "tcp-echo", version = stormglass::VERSION)]
enum Command {
    /// Answer every line with itself behind a prefix
    Serve {
        /// Where to listen, as host:port; with port 0 a free one is chosen
        #[arg(long, value_name = "ADDR", value_parser = service::parse_address, default_value = "127.0.0.1:8080")]
        listen: String,
        #[command(flatten)]
        options: tcp::ServeOptions,
        /// Tell what happens as lines of JSON on stdout
        #[arg(long)]
        events: bool,
    },
    /// Send lines, print the answers to stdout and times and losses to stderr
    Send {
        #[command(flatten)]
        args: SendArgs,
        /// Wait for this long before each read, as one who is slow to read
        #[arg(long, value_name = "DURATION", value_parser = service::parse_duration)]
        read_delay: Option<Duration>,
    },
}

async fn serve(listen: &str, options: tcp::ServeOptions, events: bool) -> io::Result<ExitCode> {
    let shutdown = shutdown_signal()?;
    let listener = RealNet.listen(listen).await?;
    service::announce(Listener::local_addr(&listener)?);
    let summary = tcp::serve::<RealNet>(listener, options, cli::server_events(events), shutdown).await?;
    service::note(summary);
    Ok(ExitCode::SUCCESS)
}

async fn send(args: &SendArgs, read_delay: Option<Duration>) -> io::Result<ExitCode> {
    let client = |Client { source, events, stop }| {
        let (to, rng) = (args.to.clone(), fresh_seed().stream("tcp-echo"));
        let options = tcp_client::Options { read_delay, ..args.tcp() };
        async move { tcp_client::run(&RealNet, &to, source, &options, rng, events, Client::stopped(stop)).await }
    };
    args.send(b"\n", client).await
}

fn main() -> ExitCode {
    let command = Command::parse();
    service::log_to_stderr(LevelFilter::INFO);
    match command {
        Command::Serve { listen, options, events } => service::run(serve(&listen, options, events)),
        Command::Send { args, read_delay } => service::run(send(&args, read_delay)),
    }
}
