//! The TCP echo service on real sockets.

use std::io;
use std::process::ExitCode;

use clap::Parser;
use stormglass::echo::cli::{self, Screen, SendArgs};
use stormglass::echo::{tcp, tcp_client};
use stormglass::events::Sink;
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
    },
    /// Send lines, print the answers to stdout and times and losses to stderr
    Send(SendArgs),
}

async fn serve(listen: &str, options: tcp::ServeOptions) -> io::Result<ExitCode> {
    let shutdown = shutdown_signal()?;
    let listener = RealNet.listen(listen).await?;
    service::announce(Listener::local_addr(&listener)?);
    let summary = tcp::serve::<RealNet>(listener, options, Sink::none(), shutdown).await?;
    service::note(summary);
    Ok(ExitCode::SUCCESS)
}

async fn send(args: &SendArgs) -> io::Result<ExitCode> {
    let screen = Screen::new(&args.to, b"\n");
    let (stop, rng) = (screen.stop(shutdown_signal()?), fresh_seed().stream("tcp-echo"));
    let summary = tcp_client::run(&RealNet, &args.to, args.source(), &args.tcp(), rng, screen.sink(), stop).await?;
    Ok(cli::finish(&summary))
}

fn main() -> ExitCode {
    let command = Command::parse();
    service::log_to_stderr(LevelFilter::INFO);
    match command {
        Command::Serve { listen, options } => service::run(serve(&listen, options)),
        Command::Send(args) => service::run(send(&args)),
    }
}
