//! A backend that answers word for word as its script says: early, in pieces, with what is no HTTP, or with another
//! protocol.

use std::rc::Rc;

use hyper::Method;
use schemars::JsonSchema;
use serde::Deserialize;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::time::sleep;

use crate::balancer::checks::AGENT;
use crate::check::balancer::digest;
use crate::net::Net;
use crate::script::TimeSpan;

use super::backend::Backend;
use super::place::Place;

/// The longest head that is read.
const HEAD_BYTES_MAX: usize = 1 << 20;

/// What a good backend says.
const ORDINARY: &str =
    "HTTP/1.1 200 OK\r\nContent-Length: {length}\r\nX-Backend: {backend}\r\nX-Request-Id: {id}\r\n\r\n{content}";

/// How a backend answers all requests but health checks, in place of what it is asked for.
#[derive(Clone, Debug, PartialEq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Shape {
    /// The answer, word for word, in pieces. In it, `{id}` is the request's, `{backend}` the backend's name, `{content}` a
    /// body as good backends send it and `{length}` its length, `{head}` the request's head as it came and `{head_length}`
    /// its length, and `{fields}` as many headers as `fields` says.
    answer: Pieces,
    /// The time between two pieces.
    #[serde(default)]
    pause: TimeSpan,
    /// How many headers `{fields}` is.
    #[serde(default)]
    fields: usize,
    /// When it is sent.
    #[serde(default)]
    at: At,
    /// What becomes of the connection.
    #[serde(default)]
    then: Then,
    /// Which requests are answered so, by their method; left out, all. The others are served as ever.
    #[serde(default)]
    to: Option<String>,
    /// Whether a client that waits for 100 is told to go on.
    #[serde(default = "yes")]
    continues: bool,
    /// Whether what it does is a fault, for which it may be blamed.
    #[serde(default)]
    pub(super) is_fault: bool,
}

fn yes() -> bool {
    true
}

/// A text, or some.
#[derive(Clone, Debug, PartialEq, Deserialize, JsonSchema)]
#[serde(untagged, expecting = "a text, or a list of texts")]
enum Pieces {
    /// One.
    One(String),
    /// Some.
    Some(Vec<String>),
}

/// When an answer is sent.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
enum At {
    /// When the whole request has come and was executed.
    #[default]
    Request,
    /// As soon as its head has come; it is not executed.
    Head,
}

/// What becomes of a connection after an answer.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
enum Then {
    /// The next request is awaited. After a 101 everything is sent back in capitals.
    #[default]
    Keep,
    /// It ends in order: what comes is read to its end.
    Close,
    /// It is closed with all that has come and was not read.
    Reset,
}

/// What a request's head says, as far as it matters here.
struct Head {
    text: String,
    method: Method,
    id: String,
    length: usize,
    is_chunked: bool,
    expects: bool,
}

/// A connection, and what was read of it too far.
struct Wire<T> {
    stream: T,
    read: Vec<u8>,
}

/// Serves one connection.
pub(super) async fn converse<P: Place>(
    backend: &Rc<Backend<P>>,
    shape: &Shape,
    stream: <P::Net as Net>::Stream,
) -> std::io::Result<()> {
    let mut wire = Wire { stream, read: Vec::new() };
    while let Some(head) = wire.head().await? {
        if head.text.to_ascii_lowercase().contains(&format!("user-agent: {AGENT}")) {
            let well = b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: close\r\n\r\n";
            wire.stream.write_all(well).await?;
            return wire.stream.shutdown().await;
        }
        let is_shaped = shape.to.as_ref().is_none_or(|method| head.method == method.as_str());
        if !is_shaped {
            wire.take_in(backend, &head, true).await?;
            wire.answer(backend, ORDINARY, shape, &head).await?;
            continue;
        }
        let is_early = shape.at == At::Head;
        if !is_early {
            wire.take_in(backend, &head, shape.continues).await?;
        }
        let pieces = match &shape.answer {
            Pieces::One(piece) => std::slice::from_ref(piece),
            Pieces::Some(pieces) => pieces,
        };
        if is_early && head.has_body() {
            backend.answers_early(&head.id, status(&pieces[0]), head.expects);
        }
        for (n, piece) in pieces.iter().enumerate() {
            if n > 0 {
                sleep(shape.pause.0).await;
            }
            wire.answer(backend, piece, shape, &head).await?;
        }
        match shape.then {
            _ if pieces[0].starts_with("HTTP/1.1 101 ") => return wire.echo(backend, &head, &pieces[0]).await,
            Then::Keep if is_early => wire.discard(backend, &head).await?,
            Then::Keep => {}
            Then::Close => {
                wire.stream.shutdown().await?;
                return wire.discard(backend, &head).await;
            }
            Then::Reset => return Ok(()),
        }
    }
    Ok(())
}

fn status(answer: &str) -> u16 {
    answer.split(' ').nth(1).and_then(|status| status.parse().ok()).unwrap_or(0)
}

impl Shape {
    /// Says what makes no sense of it.
    pub(super) fn validate(&self) -> Result<(), String> {
        let is_empty = matches!(&self.answer, Pieces::Some(pieces) if pieces.is_empty());
        match &self.to {
            _ if is_empty => Err("expected at least one piece of an `answer`".to_owned()),
            _ if self.fields > 10_000 => Err("expected at most 10000 `fields`".to_owned()),
            Some(method) if Method::from_bytes(method.as_bytes()).is_err() => Err(format!("`{method}` is no method")),
            _ => Ok(()),
        }
    }
}

impl Head {
    fn read(text: String) -> Option<Self> {
        let method = Method::from_bytes(text.split(' ').next()?.as_bytes()).ok()?;
        let field = |name: &str| {
            let mut lines = text.lines().skip(1).filter_map(|line| line.split_once(':'));
            lines.find(|(is, _)| is.eq_ignore_ascii_case(name)).map(|(_, value)| value.trim().to_owned())
        };
        Some(Self {
            method,
            id: field("x-request-id").unwrap_or_default(),
            length: field("content-length").and_then(|length| length.parse().ok()).unwrap_or(0),
            is_chunked: field("transfer-encoding").is_some(),
            expects: field("expect").is_some(),
            text,
        })
    }

    fn has_body(&self) -> bool {
        self.length > 0 || self.is_chunked
    }
}

impl<T: AsyncRead + AsyncWrite + Unpin> Wire<T> {
    /// Reads more; whether there was any.
    async fn more(&mut self) -> std::io::Result<bool> {
        Ok(self.stream.read_buf(&mut self.read).await? > 0)
    }

    /// The next head; none at the end of the connection, or where it is no HTTP.
    async fn head(&mut self) -> std::io::Result<Option<Head>> {
        loop {
            if let Some(end) = self.read.windows(4).position(|bytes| bytes == b"\r\n\r\n") {
                let rest = self.read.split_off(end + 4);
                let head = std::mem::replace(&mut self.read, rest);
                return Ok(Head::read(String::from_utf8_lossy(&head).into_owned()));
            }
            if self.read.len() > HEAD_BYTES_MAX || !self.more().await? {
                return Ok(None);
            }
        }
    }

    /// Reads a whole request and executes it.
    async fn take_in<P: Place>(
        &mut self,
        backend: &Rc<Backend<P>>,
        head: &Head,
        continues: bool,
    ) -> std::io::Result<()> {
        backend.takes(&head.id);
        if head.expects && continues {
            backend.continues(&head.id);
            self.stream.write_all(b"HTTP/1.1 100 Continue\r\n\r\n").await?;
        }
        let body = if head.is_chunked { self.chunks().await? } else { self.bytes(head.length).await? };
        backend.has_taken(&head.id);
        backend.executes(&head.method, &head.id, digest(&body)).await;
        Ok(())
    }

    async fn bytes(&mut self, count: usize) -> std::io::Result<Vec<u8>> {
        while self.read.len() < count {
            if !self.more().await? {
                return Err(std::io::ErrorKind::UnexpectedEof.into());
            }
        }
        let rest = self.read.split_off(count);
        Ok(std::mem::replace(&mut self.read, rest))
    }

    async fn line(&mut self) -> std::io::Result<Vec<u8>> {
        loop {
            if let Some(end) = self.read.windows(2).position(|bytes| bytes == b"\r\n") {
                return self.bytes(end + 2).await;
            }
            if !self.more().await? {
                return Err(std::io::ErrorKind::UnexpectedEof.into());
            }
        }
    }

    /// A chunked body, its trailers read and dropped.
    async fn chunks(&mut self) -> std::io::Result<Vec<u8>> {
        let mut body = Vec::new();
        loop {
            let line = self.line().await?;
            let size = String::from_utf8_lossy(&line).trim().to_owned();
            let size = usize::from_str_radix(&size, 16).map_err(std::io::Error::other)?;
            if size == 0 {
                while self.line().await? != b"\r\n" {}
                return Ok(body);
            }
            body.extend(self.bytes(size).await?);
            self.line().await?;
        }
    }

    /// Sends a piece of an answer.
    async fn answer<P: Place>(
        &mut self,
        backend: &Backend<P>,
        piece: &str,
        shape: &Shape,
        head: &Head,
    ) -> std::io::Result<()> {
        let content = String::from_utf8(backend.content(&head.id)).expect("it is text");
        let piece = piece
            .replace("{id}", &head.id)
            .replace("{backend}", backend.name())
            .replace("{length}", &content.len().to_string())
            .replace("{content}", &content)
            .replace("{head_length}", &head.text.len().to_string())
            .replace("{head}", &head.text)
            .replace("{fields}", &"X-Many: 1\r\n".repeat(shape.fields));
        self.stream.write_all(piece.as_bytes()).await?;
        self.stream.flush().await
    }

    /// Reads what is left of a request that was answered before it had come.
    async fn discard<P: Place>(&mut self, backend: &Backend<P>, head: &Head) -> std::io::Result<()> {
        let mut left = if head.is_chunked { usize::MAX } else { head.length };
        loop {
            if !self.read.is_empty() && left > 0 {
                backend.gets_body(&head.id);
            }
            let taken = left.min(self.read.len());
            self.read.drain(..taken);
            left -= taken;
            if left == 0 || !self.more().await? {
                return Ok(());
            }
        }
    }

    /// Speaks the other protocol: everything comes back in capitals.
    async fn echo<P: Place>(&mut self, backend: &Backend<P>, head: &Head, answer: &str) -> std::io::Result<()> {
        let protocol = answer.lines().find_map(|line| line.strip_prefix("Upgrade:")).unwrap_or_default().trim();
        loop {
            if !self.read.is_empty() {
                backend.is_in_tunnel(&head.id, protocol);
                let said = std::mem::take(&mut self.read).to_ascii_uppercase();
                self.stream.write_all(&said).await?;
            }
            if !self.more().await? {
                return self.stream.shutdown().await;
            }
        }
    }
}
