//! A client over hyper, one connection at a time.

use std::time::Duration;

use anyhow::{Context, Result, bail};
use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::client::conn::http1::{self, SendRequest};
use hyper::{Method, Request, StatusCode};
use hyper_util::rt::TokioIo;
use stormglass::sockets::TcpStream;
use tokio::time::timeout;

const PATIENCE: Duration = Duration::from_millis(400);

/// A client of one server, which connects when it has to.
pub struct Client {
    server: String,
    connection: Option<SendRequest<Full<Bytes>>>,
}

impl Client {
    /// `server`: host and port.
    pub fn new(server: impl Into<String>) -> Self {
        Self { server: server.into(), connection: None }
    }

    /// Writes.
    pub async fn put(&mut self, key: &str, version: u64, value: &str) -> Result<()> {
        let path = format!("/kv/{key}?version={version}");
        match self.ask(Method::PUT, &path, value).await? {
            (StatusCode::NO_CONTENT, _) => Ok(()),
            (status, _) => bail!("the answer is {status}"),
        }
    }

    /// Reads a version and a value.
    pub async fn get(&mut self, key: &str) -> Result<Option<(u64, String)>> {
        match self.ask(Method::GET, &format!("/kv/{key}"), "").await? {
            (StatusCode::NOT_FOUND, _) => Ok(None),
            (StatusCode::OK, body) => {
                let (version, value) = body.split_once(' ').context("the answer has no version")?;
                Ok(Some((version.parse()?, value.to_owned())))
            }
            (status, _) => bail!("the answer is {status}"),
        }
    }

    /// Asks with a deadline; a connection on which something went wrong is not used again.
    async fn ask(&mut self, method: Method, path: &str, body: &str) -> Result<(StatusCode, String)> {
        let answer = timeout(PATIENCE, self.exchange(method, path, body)).await;
        match answer {
            Ok(Ok(answer)) => Ok(answer),
            Ok(Err(error)) => {
                self.connection = None;
                Err(error)
            }
            Err(late) => {
                self.connection = None;
                Err(late.into())
            }
        }
    }

    async fn exchange(&mut self, method: Method, path: &str, body: &str) -> Result<(StatusCode, String)> {
        let connection = match &mut self.connection {
            Some(connection) if !connection.is_closed() => connection,
            known => known.insert(connect(&self.server).await?),
        };
        connection.ready().await?;
        let body = Full::new(Bytes::copy_from_slice(body.as_bytes()));
        let request = Request::builder().method(method).uri(path).header("host", &self.server).body(body)?;
        let answer = connection.send_request(request).await?;
        let status = answer.status();
        let body = answer.into_body().collect().await?.to_bytes();
        Ok((status, String::from_utf8_lossy(&body).into_owned()))
    }
}

async fn connect(server: &str) -> Result<SendRequest<Full<Bytes>>> {
    let stream = TcpStream::connect(server).await?;
    stream.set_nodelay(true)?;
    let (requests, connection) = http1::handshake(TokioIo::new(stream)).await?;
    // It ends with its last request, or with an error that the request is told of too.
    tokio::spawn(async move { _ = connection.await });
    Ok(requests)
}
