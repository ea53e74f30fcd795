//! A client's stream with an [`Inspector`] on it, for hyper to serve.
//!
//! hyper reads from [`Guarded`] and sees right requests only. After a rejection it sees the stream end, or an error where
//! the body of the last request is broken. It answers what came before, and its connection ends. The driver then takes the
//! stream out of the [`Handle`], writes the [`response`], and closes:
//!
//! ```ignore
//! let (guarded, handle) = guard(stream, limits);
//! let ended = http1::Builder::new()
//!     .half_close(true)
//!     .auto_date_header(false)
//!     .serve_connection(TokioIo::new(guarded), service) // counts the answers that it has returned
//!     .await;
//! let (stream, unread) = handle.release().expect("it is taken once");
//! if let Some(rejection) = handle.unanswered_rejection(answers) {
//!     timeout(linger, answer_and_close(stream, &response(&rejection), idle)).await;
//! }
//! ```
//!
//! - `half_close(true)` is needed. Without it hyper gives up the request that it is answering as soon as it sees the end of
//!   the stream. With it hyper does not look whether the client is still there: [`Handle::poll_end`] does.
//! - hyper shuts nothing down: [`Guarded`] only flushes, and the stream is in the [`Handle`] also when hyper's connection
//!   has ended in an error and dropped what it had.
//! - A request for an upgrade is the last that hyper sees until [`Handle::declined`], to be called before an answer other
//!   than 101 is returned. After a 101 and the end of hyper's connection, [`Handle::upgraded`] and [`Handle::release`] give
//!   the tunnel and what the client has sent into it.

use std::cell::RefCell;
use std::io::{self, IoSlice};
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, Waker, ready};
use std::time::Duration;

use bytes::{Buf as _, Bytes, BytesMut};
use hyper::StatusCode;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _, ReadBuf};
use tokio::time::timeout;

use super::framing::{During, Inspector, Limits, Phase, Rejection};

/// Bytes that are read before hyper asks for them, or while the answer to an upgrade is awaited. Above it the client waits.
const AHEAD_BYTES_MAX: usize = 64 << 10;

/// The side of a client's stream that hyper has.
#[derive(Debug)]
pub struct Guarded<S>(Rc<RefCell<Shared<S>>>);

/// The side of a client's stream that the driver has. Clones are the same handle.
#[derive(Debug)]
pub struct Handle<S>(Rc<RefCell<Shared<S>>>);

#[derive(Debug)]
struct Shared<S> {
    stream: Option<S>,
    inspector: Inspector,
    /// What has passed, and hyper has not read.
    out: BytesMut,
    /// How the client's side of the stream ended.
    end: Option<Result<(), io::ErrorKind>>,
    /// Who reads, and waits.
    reader: Option<Waker>,
    bytes_in: u64,
    bytes_out: u64,
}

/// Puts an inspector on a client's stream.
pub fn guard<S>(stream: S, limits: Limits) -> (Guarded<S>, Handle<S>) {
    let shared = Rc::new(RefCell::new(Shared {
        stream: Some(stream),
        inspector: Inspector::new(limits),
        out: BytesMut::new(),
        end: None,
        reader: None,
        bytes_in: 0,
        bytes_out: 0,
    }));
    (Guarded(Rc::clone(&shared)), Handle(shared))
}

impl<S> Clone for Handle<S> {
    fn clone(&self) -> Self {
        Self(Rc::clone(&self.0))
    }
}

impl<S> Handle<S> {
    /// Where the connection is, by what the client has sent.
    pub fn phase(&self) -> Phase {
        self.0.borrow().inspector.phase()
    }

    /// How many requests were let through, the heads at least.
    pub fn requests(&self) -> u64 {
        self.0.borrow().inspector.requests()
    }

    /// Bytes that came from the client.
    pub fn bytes_in(&self) -> u64 {
        self.0.borrow().bytes_in
    }

    /// Bytes that hyper has written to the client.
    pub fn bytes_out(&self) -> u64 {
        self.0.borrow().bytes_out
    }

    /// Why the client was refused, if it was.
    pub fn rejection(&self) -> Option<Rejection> {
        self.0.borrow().inspector.rejection()
    }

    /// The rejection that is to be answered now that hyper's connection has ended, where `answers` responses were returned
    /// to it. There is none where the last request has an answer already, although its body is broken, or where an earlier
    /// one was never answered: another answer would be taken for that one's. Not to be asked after an answer that said
    /// `Connection: close`.
    pub fn unanswered_rejection(&self, answers: u64) -> Option<Rejection> {
        let rejection = self.rejection()?;
        let broken = u64::from(rejection.during == During::Body);
        (answers + broken == self.requests()).then_some(rejection)
    }

    /// The answer to the upgrade was 101.
    pub fn upgraded(&self) {
        self.0.borrow_mut().with_inspector(Inspector::upgraded);
    }

    /// The answer to the upgrade is another than 101: what the client has sent since is its next request.
    pub fn declined(&self) {
        // A rejection stays in the inspector, where the reader finds it.
        self.0.borrow_mut().with_inspector(|inspector, out| {
            let _ = inspector.declined(out);
        });
    }

    /// The stream, and what was let through and hyper has not read: once [upgraded](Self::upgraded), the beginning of the
    /// tunnel. `None`: it was taken before. hyper's side is broken from then on.
    pub fn release(&self) -> Option<(S, Bytes)> {
        let shared = &mut *self.0.borrow_mut();
        shared.wake_reader();
        Some((shared.stream.take()?, shared.out.split().freeze()))
    }
}

impl<S: AsyncRead + Unpin> Handle<S> {
    /// Waits for the end of what the client sends: an error if it has gone, for certain; `Ok` if it has closed its side,
    /// and may still be reading. What comes in between is kept for hyper, up to a limit: of a client that sends more than
    /// that ahead, the end is not seen. To be polled in the task of hyper's connection, whose waker it takes the place of.
    pub fn poll_end(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let shared = &mut *self.0.borrow_mut();
        let mut bytes = [0; 1024];
        loop {
            if let Some(end) = shared.end {
                return Poll::Ready(end.map_err(io::Error::from));
            }
            if !shared.may_read_ahead() || shared.out.len() + shared.inspector.held_bytes() >= AHEAD_BYTES_MAX {
                return Poll::Pending;
            }
            let mut buf = ReadBuf::new(&mut bytes);
            // An error is the end too, and was kept.
            let _ = ready!(shared.poll_stream(cx, &mut buf));
            // A rejection stays in the inspector, where the reader finds it.
            let _ = shared.inspector.take_in(buf.filled(), &mut shared.out);
            shared.wake_reader();
        }
    }
}

impl<S> Shared<S> {
    fn with_inspector(&mut self, tell: impl FnOnce(&mut Inspector, &mut BytesMut)) {
        tell(&mut self.inspector, &mut self.out);
        self.wake_reader();
    }

    fn wake_reader(&mut self) {
        if let Some(reader) = self.reader.take() {
            reader.wake();
        }
    }

    fn may_read_ahead(&self) -> bool {
        self.stream.is_some() && self.inspector.phase() != Phase::Rejected
    }

    fn stream(&mut self) -> io::Result<&mut S> {
        self.stream.as_mut().ok_or_else(|| io::ErrorKind::NotConnected.into())
    }
}

impl<S: AsyncRead + Unpin> Shared<S> {
    /// Reads from the stream itself, and remembers its end.
    fn poll_stream(&mut self, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let before = buf.filled().len();
        let read = ready!(Pin::new(self.stream()?).poll_read(cx, buf));
        let bytes = buf.filled().len() - before;
        self.bytes_in += bytes as u64;
        match &read {
            Err(error) => self.end = Some(Err(error.kind())),
            Ok(()) if bytes == 0 => self.end = Some(Ok(())),
            Ok(()) => {}
        }
        Poll::Ready(read)
    }

    fn poll_read(&mut self, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        loop {
            if buf.remaining() == 0 {
                return Poll::Ready(Ok(()));
            }
            if !self.out.is_empty() {
                let bytes = self.out.len().min(buf.remaining());
                buf.put_slice(&self.out[..bytes]);
                self.out.advance(bytes);
                return Poll::Ready(Ok(()));
            }
            if let Some(rejection) = self.inspector.rejection() {
                return Poll::Ready(match rejection.during {
                    During::Head => Ok(()),
                    During::Body => Err(io::Error::new(io::ErrorKind::InvalidData, rejection)),
                });
            }
            if let Some(end) = self.end {
                return Poll::Ready(end.map_err(io::Error::from));
            }
            if self.inspector.phase() == Phase::Upgrade && self.inspector.held_bytes() >= AHEAD_BYTES_MAX {
                return self.wait(cx);
            }
            // Read to where hyper wants it, what does not pass is cut off again: most reads need no copy.
            let before = buf.filled().len();
            match self.poll_stream(cx, buf) {
                Poll::Ready(Ok(())) => {}
                Poll::Ready(Err(error)) => return Poll::Ready(Err(error)),
                Poll::Pending => return self.wait(cx),
            }
            let passed = self.inspect(&buf.filled()[before..]);
            buf.set_filled(before + passed);
            if passed > 0 {
                return Poll::Ready(Ok(()));
            }
        }
    }

    /// How many bytes from the beginning of `input` pass. A rejection stays in the inspector.
    fn inspect(&mut self, input: &[u8]) -> usize {
        if self.inspector.is_holding() {
            let _ = self.inspector.take_in(input, &mut self.out);
            0
        } else {
            self.inspector.take_in_place(input).0
        }
    }

    fn wait<T>(&mut self, cx: &Context<'_>) -> Poll<T> {
        if !self.reader.as_ref().is_some_and(|reader| reader.will_wake(cx.waker())) {
            self.reader = Some(cx.waker().clone());
        }
        Poll::Pending
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Guarded<S> {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        self.0.borrow_mut().poll_read(cx, buf)
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Guarded<S> {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        let shared = &mut *self.0.borrow_mut();
        let bytes = ready!(Pin::new(shared.stream()?).poll_write(cx, buf))?;
        shared.bytes_out += bytes as u64;
        Poll::Ready(Ok(bytes))
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let shared = &mut *self.0.borrow_mut();
        let bytes = ready!(Pin::new(shared.stream()?).poll_write_vectored(cx, bufs))?;
        shared.bytes_out += bytes as u64;
        Poll::Ready(Ok(bytes))
    }

    fn is_write_vectored(&self) -> bool {
        self.0.borrow().stream.as_ref().is_some_and(AsyncWrite::is_write_vectored)
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(self.0.borrow_mut().stream()?).poll_flush(cx)
    }

    /// Only flushes: whoever has the handle closes the stream, after an answer of its own if one is due.
    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.poll_flush(cx)
    }
}

/// The answer to a request that was refused, as bytes: the last on its connection (RFC 9112 §9.6).
pub fn response(rejection: &Rejection) -> Bytes {
    let status = StatusCode::from_u16(rejection.status).expect("a rejection has a status code");
    let phrase = status.canonical_reason().unwrap_or("");
    // RFC 9110 §15.5.6.
    let allow = match status {
        StatusCode::METHOD_NOT_ALLOWED => "Allow: GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS, TRACE\r\n",
        _ => "",
    };
    let body = format!("{}.\n", rejection.reason);
    Bytes::from(format!(
        "HTTP/1.1 {} {phrase}\r\nConnection: close\r\n{allow}Content-Type: text/plain\r\nContent-Length: {}\r\n\r\n{body}",
        status.as_str(),
        body.len(),
    ))
}

/// Writes the last answer, ends this side of the stream, and lets the client finish: a stream that is closed while bytes
/// of the client are unread is reset, and the client may never read the answer (RFC 9112 §9.6). It ends with the client's
/// side, or when nothing has come for `idle`; how long it may take in all is the caller's to say.
pub async fn answer_and_close<S: AsyncRead + AsyncWrite + Unpin>(
    mut stream: S,
    answer: &[u8],
    idle: Duration,
) -> io::Result<()> {
    stream.write_all(answer).await?;
    stream.shutdown().await?;
    let mut unread = [0; 16 << 10];
    while timeout(idle, stream.read(&mut unread)).await?? > 0 {}
    Ok(())
}

#[cfg(test)]
mod tests;
