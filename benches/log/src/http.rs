//! `PUT /kv/KEY` over HTTP/1.1, as `raft-node` and the store over openraft have it.

use anyhow::{Context as _, ensure};
use bytes::Bytes;
use http_body_util::{BodyExt as _, Full};
use hyper::client::conn::http1::{SendRequest, handshake};
use hyper::{Method, Request};
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;

pub struct Client {
    sender: SendRequest<Full<Bytes>>,
    host: String,
}

impl Client {
    pub async fn connect(server: &str) -> anyhow::Result<Self> {
        let stream = TcpStream::connect(server).await.with_context(|| server.to_owned())?;
        stream.set_nodelay(true)?;
        let (sender, connection) = handshake(TokioIo::new(stream)).await?;
        tokio::spawn(connection);
        Ok(Self { sender, host: server.to_owned() })
    }

    async fn ask(&mut self, method: Method, path: &str, body: Bytes) -> anyhow::Result<Bytes> {
        self.sender.ready().await?;
        let request =
            Request::builder().method(method).uri(path).header("host", &self.host).body(Full::new(body))?;
        let response = self.sender.send_request(request).await?;
        let status = response.status();
        let body = response.into_body().collect().await?.to_bytes();
        ensure!(status.is_success(), "{status}: {}", String::from_utf8_lossy(&body));
        Ok(body)
    }

    pub async fn put(&mut self, key: &str, value: Bytes) -> anyhow::Result<()> {
        self.ask(Method::PUT, &format!("/kv/{key}"), value).await.map(drop)
    }
}

/// Whether a server leads, by what it says of itself.
pub async fn leads(status: &str) -> anyhow::Result<bool> {
    let body = Client::connect(status).await?.ask(Method::GET, "/status", Bytes::new()).await?;
    Ok(String::from_utf8_lossy(&body).contains("\"role\":\"leader\""))
}
