//! A backend to try `load-balancer` with, and to measure it by: it answers whatever it is asked with 64 bytes that say
//! who answers.
#![allow(clippy::disallowed_methods, reason = "a real server")]

use std::convert::Infallible;
use std::io;
use std::net::SocketAddr;

use bytes::Bytes;
use clap::Parser;
use http_body_util::{BodyExt as _, Full};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::{TokioIo, TokioTimer};
use stormglass::net::real;
use tokio::net::TcpListener;

const ANSWER_BYTES: usize = 64;

/// Answers HTTP requests with 64 bytes
#[derive(Parser)]
struct Args {
    /// Where it listens, as in 127.0.0.1:8081
    listen: SocketAddr,
}

fn main() -> io::Result<()> {
    real::run(serve(Args::parse().listen))?
}

async fn serve(addr: SocketAddr) -> io::Result<()> {
    let listener = TcpListener::bind(addr).await?;
    let addr = listener.local_addr()?;
    println!("listening on {addr}");
    let answer = Bytes::from(format!("{:<width$}\n", format!("this is {addr}"), width = ANSWER_BYTES - 1));
    loop {
        let (stream, _) = listener.accept().await?;
        stream.set_nodelay(true)?;
        let answer = answer.clone();
        let service = service_fn(move |request: Request<Incoming>| {
            let answer = answer.clone();
            async move {
                // What a client sends is read, so that its next request is found behind it.
                let read = request.into_body().collect().await;
                Ok::<_, Infallible>(Response::new(Full::new(if read.is_ok() { answer } else { Bytes::new() })))
            }
        });
        tokio::task::spawn_local(async move {
            // A client may go away at any time.
            _ = http1::Builder::new().timer(TokioTimer::new()).serve_connection(TokioIo::new(stream), service).await;
        });
    }
}
