//! What axum wants to know of a listener: `axum::serve` takes this one as it takes tokio's. And who sends the requests of
//! reqwest, whose own connector makes tokio's sockets and takes no others.

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use anyhow::{Context, Result};
use axum::Router;
use axum::http::HeaderValue;
use axum::http::header::{DATE, HOST};
use axum::middleware::map_response;
use axum::response::Response;
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use stormglass::sockets;
use tokio::time::timeout;

/// In place of `tokio::net::TcpListener`.
pub struct TcpListener(sockets::TcpListener);

impl TcpListener {
    /// Listens.
    pub async fn bind(addr: impl sockets::ToSocketAddrs) -> io::Result<Self> {
        sockets::TcpListener::bind(addr).await.map(Self)
    }

    /// Where it listens.
    pub fn local_addr(&self) -> io::Result<SocketAddr> {
        self.0.local_addr()
    }
}

impl axum::serve::Listener for TcpListener {
    type Io = sockets::TcpStream;
    type Addr = SocketAddr;

    async fn accept(&mut self) -> (sockets::TcpStream, SocketAddr) {
        loop {
            match self.0.accept().await {
                Ok(accepted) => return accepted,
                // Whatever it is, it is not for ever: axum waits as long with tokio's.
                Err(_) => tokio::time::sleep(Duration::from_secs(1)).await,
            }
        }
    }

    fn local_addr(&self) -> io::Result<SocketAddr> {
        self.0.local_addr()
    }
}

/// The same service without the wall clock: hyper writes the time of day into each answer that has none.
pub fn without_wall_clock(app: Router) -> Router {
    app.layer(map_response(|mut answer: Response| async {
        answer.headers_mut().insert(DATE, HeaderValue::from_static("Thu, 01 Jan 2026 00:00:00 GMT"));
        answer
    }))
}

/// In place of `reqwest::Client::execute`: over a connection of its own, and without redirections and cookies. Requests are
/// built by reqwest, and answers are its own.
pub async fn execute(request: reqwest::Request) -> Result<reqwest::Response> {
    let url = request.url();
    let host = url.host_str().context("the address has no host")?.to_owned();
    let port = url.port_or_known_default().context("the address has no port")?;
    let patience = request.timeout().copied().unwrap_or(Duration::from_secs(30));
    let mut request = hyper::Request::<reqwest::Body>::try_from(request)?;
    request.headers_mut().insert(HOST, format!("{host}:{port}").parse()?);
    // A server wants the path, and only a proxy the whole.
    let path = request.uri().path_and_query().context("the address has no path")?.clone();
    *request.uri_mut() = path.into();
    let asked = async {
        let stream = sockets::TcpStream::connect((host.as_str(), port)).await?;
        let (mut requests, connection) = http1::handshake(TokioIo::new(stream)).await?;
        tokio::spawn(async move { _ = connection.await });
        anyhow::Ok(requests.send_request(request).await?)
    };
    let answer = timeout(patience, asked).await??;
    Ok(answer.map(reqwest::Body::wrap).into())
}
