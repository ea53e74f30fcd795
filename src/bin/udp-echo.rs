//! The UDP echo service on real sockets.

use std::io;
use std::process::ExitCode;

use clap::Parser;
use stormglass::echo::cli::{self, Client, SendArgs};
use stormglass::echo::{udp, udp_client};
use stormglass::net::real::RealNet;
use stormglass::net::signals::shutdown_signal;
use stormglass::net::{Net, Socket};
use stormglass::service;
use tracing::level_filters::LevelFilter;

/// Echoes datagrams over UDP
#[derive(Parser)]
#[command(name = "udp-echo", version = stormglass::VERSION)]
enum Command {
    /// Answer every datagram with itself behind a prefix
    Serve {
        /// Where to receive, as host:port; with port 0 a free one is chosen
        #[arg(long, value_name = "ADDR", value_parser = service::parse_address, default_value = "127.0.0.1:8081")]
        listen: String,
        #[command(flatten)]
        options: udp::ServeOptions,
        /// Tell what happens as lines of JSON on stdout
        #[arg(long)]
        events: bool,
    },
    /// Send datagrams, print the answers to stdout and times and losses to stderr
    Send(SendArgs),
}

async fn serve(listen: &str, options: udp::ServeOptions, events: bool) -> io::Result<ExitCode> {
    let shutdown = shutdown_signal()?;
    let socket = RealNet.bind(listen).await?;
    service::announce(Socket::local_addr(&socket)?);
    let summary = udp::serve::<RealNet>(socket, options, cli::server_events(events), shutdown).await?;
    service::note(summary);
    Ok(ExitCode::SUCCESS)
}

async fn send(args: &SendArgs) -> io::Result<ExitCode> {
    let client = |Client { source, events, stop }| {
        let (to, options) = (args.to.clone(), args.udp());
        async move { udp_client::run(&RealNet, &to, source, &options, events, Client::stopped(stop)).await }
    };
    args.send(b"", client).await
}

fn main() -> ExitCode {
    let command = Command::parse();
    service::log_to_stderr(LevelFilter::INFO);
    match command {
        Command::Serve { listen, options, events } => service::run(serve(&listen, options, events)),
        Command::Send(args) => service::run(send(&args)),
    }
}
