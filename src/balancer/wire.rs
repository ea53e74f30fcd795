//! A backend's stream, for hyper: an answer that is there is read, although the backend reads nothing any more.
//!
//! A backend that answers early and closes resets the connection while the request is still being written. hyper gives up
//! on the first write that fails, and what was answered would be lost. What fails here is only ever read: after a write
//! that has failed for good, the other direction soon ends, behind whatever it still has.

use std::cell::Cell;
use std::io::{self, ErrorKind, IoSlice};
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// A stream whose other end is a backend.
pub struct Wire<S> {
    stream: S,
    heard: Rc<Heard>,
}

/// What is known of a backend's side of a connection.
#[derive(Debug, Default)]
pub struct Heard {
    bytes: Cell<u64>,
    reads_no_more: Cell<bool>,
    /// Nothing more will come.
    is_over: Cell<bool>,
}

impl Heard {
    /// Bytes that have come over the connection.
    pub fn bytes(&self) -> u64 {
        self.bytes.get()
    }
}

impl<S> Wire<S> {
    /// On a stream, with what is to be known of it.
    pub fn new(stream: S) -> (Self, Rc<Heard>) {
        let heard = Rc::new(Heard::default());
        (Self { stream, heard: heard.clone() }, heard)
    }

    /// The stream, for who goes on with it.
    pub fn into_inner(self) -> S {
        self.stream
    }

    /// What becomes of a write: one that nobody reads waits for the other direction, which ends the connection.
    fn written<T>(&self, written: Poll<io::Result<T>>) -> Poll<io::Result<T>> {
        match written {
            Poll::Ready(Err(error)) if is_gone(&error) && !self.heard.is_over.get() => {
                self.heard.reads_no_more.set(true);
                Poll::Pending
            }
            written => written,
        }
    }
}

/// Whether the other end takes nothing any more, and says so.
fn is_gone(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        ErrorKind::BrokenPipe | ErrorKind::ConnectionReset | ErrorKind::ConnectionAborted | ErrorKind::NotConnected
    )
}

impl<S: AsyncRead + Unpin> AsyncRead for Wire<S> {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let before = buf.filled().len();
        let read = Pin::new(&mut self.stream).poll_read(cx, buf);
        let bytes = buf.filled().len() - before;
        self.heard.bytes.set(self.heard.bytes.get() + bytes as u64);
        if let Poll::Ready(read) = &read
            && (read.is_err() || bytes == 0)
        {
            self.heard.is_over.set(true);
        }
        read
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Wire<S> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        if self.heard.reads_no_more.get() && !self.heard.is_over.get() {
            return Poll::Pending;
        }
        let written = Pin::new(&mut self.stream).poll_write(cx, buf);
        self.written(written)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        if self.heard.reads_no_more.get() && !self.heard.is_over.get() {
            return Poll::Pending;
        }
        let written = Pin::new(&mut self.stream).poll_write_vectored(cx, bufs);
        self.written(written)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let flushed = Pin::new(&mut self.stream).poll_flush(cx);
        self.written(flushed)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests {
    use std::task::ready;

    use bytes::Bytes;
    use http_body_util::{BodyExt as _, Full};
    use hyper::Request;
    use hyper::client::conn::http1;
    use hyper_util::rt::TokioIo;

    use super::*;

    /// Takes the head of a request, and then resets; the answer was there before.
    struct Resets {
        answer: &'static [u8],
        writes: u32,
    }

    impl AsyncRead for Resets {
        fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
            if self.writes < 2 {
                cx.waker().wake_by_ref();
                return Poll::Pending;
            }
            let bytes = self.answer.len().min(buf.remaining());
            let (read, rest) = self.answer.split_at(bytes);
            buf.put_slice(read);
            self.answer = rest;
            Poll::Ready(if bytes == 0 { Err(ErrorKind::ConnectionReset.into()) } else { Ok(()) })
        }
    }

    impl AsyncWrite for Resets {
        fn poll_write(mut self: Pin<&mut Self>, _: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
            self.writes += 1;
            Poll::Ready(if self.writes == 1 { Ok(buf.len().min(20)) } else { Err(ErrorKind::BrokenPipe.into()) })
        }

        fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
            Poll::Ready(Ok(()))
        }

        fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
            ready!(self.poll_flush(cx))?;
            Poll::Ready(Ok(()))
        }
    }

    async fn ask(answer: &'static [u8]) -> (hyper::Result<(u16, String)>, u64) {
        let (wire, heard) = Wire::new(Resets { answer, writes: 0 });
        let (mut sender, connection) = http1::handshake(TokioIo::new(wire)).await.expect("nothing is exchanged");
        let request =
            Request::post("/").body(Full::<Bytes>::from("a body that is much longer than what is read of it"));
        let asking = async {
            let answer = sender.send_request(request.expect("it is one")).await?;
            let status = answer.status().as_u16();
            let body = answer.into_body().collect().await?.to_bytes();
            Ok((status, String::from_utf8_lossy(&body).into_owned()))
        };
        let (answer, _) = tokio::join!(asking, connection);
        (answer, heard.bytes())
    }

    #[tokio::test]
    async fn an_answer_is_read_although_the_backend_reads_no_more() {
        let early = b"HTTP/1.1 413 Content Too Large\r\nContent-Length: 3\r\n\r\nno\n";
        let (answer, bytes) = ask(early).await;
        assert_eq!((answer.expect("it is there"), bytes), ((413, "no\n".to_owned()), early.len() as u64));
    }

    #[tokio::test]
    async fn a_reset_without_an_answer_is_the_end() {
        let (answer, bytes) = ask(b"").await;
        assert!(answer.is_err());
        assert_eq!(bytes, 0);
    }
}
