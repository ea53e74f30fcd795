//! What axum wants to know of a listener. `axum::serve` takes this one as it takes tokio's.

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use axum::Router;
use axum::http::HeaderValue;
use axum::http::header::DATE;
use axum::middleware::map_response;
use axum::response::Response;
use stormglass::sockets;

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
