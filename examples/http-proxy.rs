//! The least that an HTTP proxy made of hyper can do, for `benches/balancer-vs-peers.sh` to measure ours against: each
//! request goes to the next backend over hyper-util's pooled client, whatever comes of it. No checks, no deadlines, no
//! retries, and what a header says is not looked at.
#![allow(clippy::disallowed_methods, reason = "this measures a real proxy")]

use std::cell::Cell;
use std::io;
use std::net::SocketAddr;
use std::rc::Rc;

use clap::Parser;
use hyper::body::Incoming;
use hyper::http::uri::{Authority, Scheme};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Request, Uri};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use stormglass::net::real;
use tokio::net::TcpListener;

/// Passes HTTP requests on, in turn
#[derive(Parser)]
struct Args {
    /// Where it listens, as in 127.0.0.1:8080
    listen: SocketAddr,
    /// Where requests go, as in 127.0.0.1:8081
    #[arg(required = true)]
    backends: Vec<Authority>,
}

fn main() -> io::Result<()> {
    real::run(serve(Args::parse()))?
}

async fn serve(Args { listen, backends }: Args) -> io::Result<()> {
    let listener = TcpListener::bind(listen).await?;
    println!("listening on {}", listener.local_addr()?);
    let mut connector = HttpConnector::new();
    connector.set_nodelay(true);
    let client: Client<_, Incoming> =
        Client::builder(TokioExecutor::new()).pool_timer(TokioTimer::new()).build(connector);
    let (backends, turn) = (Rc::new(backends), Rc::new(Cell::new(0)));
    loop {
        let (stream, _) = listener.accept().await?;
        stream.set_nodelay(true)?;
        let (client, backends, turn) = (client.clone(), backends.clone(), turn.clone());
        let service = service_fn(move |mut request: Request<Incoming>| {
            turn.set((turn.get() + 1) % backends.len());
            let mut parts = request.uri().clone().into_parts();
            (parts.scheme, parts.authority) = (Some(Scheme::HTTP), Some(backends[turn.get()].clone()));
            *request.uri_mut() = Uri::from_parts(parts).expect("a path below a backend is a URI");
            client.request(request)
        });
        tokio::task::spawn_local(async move {
            // A client may go away at any time.
            _ = http1::Builder::new().serve_connection(TokioIo::new(stream), service).await;
        });
    }
}
