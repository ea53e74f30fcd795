//! Bytes both ways, after an upgrade: each side may end its own direction first.

use std::io;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _, ReadHalf, WriteHalf, split};
use tokio::time::timeout;

/// How much is read at a time, in bytes.
const CHUNK_BYTES: usize = 16 << 10;

/// Copies until both directions have ended, one has failed, or nothing has come either way for `idle`. `to_client` and
/// `to_backend` were read already.
pub async fn run<C, B>(client: C, to_client: Bytes, backend: B, to_backend: Bytes, idle: Duration) -> io::Result<()>
where
    C: AsyncRead + AsyncWrite + Unpin,
    B: AsyncRead + AsyncWrite + Unpin,
{
    let (client_reads, client_writes) = split(client);
    let (backend_reads, backend_writes) = split(backend);
    let moved = std::cell::Cell::new(0_u64);
    let both = async {
        tokio::try_join!(
            copy(client_reads, backend_writes, to_backend, &moved),
            copy(backend_reads, client_writes, to_client, &moved)
        )
    };
    let mut both = std::pin::pin!(both);
    loop {
        let before = moved.get();
        match timeout(idle, &mut both).await {
            Ok(ended) => return ended.map(drop),
            Err(_) if moved.get() == before => return Err(io::ErrorKind::TimedOut.into()),
            Err(_) => {}
        }
    }
}

/// Copies one direction to its end, and ends the other side's with it.
async fn copy<R: AsyncRead, W: AsyncWrite>(
    mut from: ReadHalf<R>,
    mut to: WriteHalf<W>,
    first: Bytes,
    moved: &std::cell::Cell<u64>,
) -> io::Result<()> {
    let mut buffer = BytesMut::from(first.as_ref());
    loop {
        if !buffer.is_empty() {
            moved.set(moved.get() + buffer.len() as u64);
            to.write_all(&buffer).await?;
            to.flush().await?;
            buffer.clear();
        }
        buffer.reserve(CHUNK_BYTES);
        if from.read_buf(&mut buffer).await? == 0 {
            return to.shutdown().await;
        }
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::duplex;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_side_that_has_ended_still_gets_what_the_other_sends() {
        let (mut client, client_side) = duplex(64);
        let (mut backend, backend_side) = duplex(64);
        let idle = Duration::from_secs(9);
        let ends = async {
            client.write_all(b"ping").await.unwrap();
            client.shutdown().await.unwrap();
            let mut got = Vec::new();
            backend.read_to_end(&mut got).await.unwrap();
            assert_eq!(got, b"early ping");
            backend.write_all(b"pong").await.unwrap();
            backend.shutdown().await.unwrap();
            let mut got = Vec::new();
            client.read_to_end(&mut got).await.unwrap();
            assert_eq!(got, b"hello pong");
        };
        let tunnel = run(client_side, Bytes::from("hello "), backend_side, Bytes::from("early "), idle);
        let (ended, ()) = tokio::join!(tunnel, ends);
        ended.unwrap();
    }

    #[tokio::test(start_paused = true)]
    async fn a_tunnel_in_which_nothing_moves_is_closed() {
        let (_client, client_side) = duplex(64);
        let (_backend, backend_side) = duplex(64);
        let ended = run(client_side, Bytes::new(), backend_side, Bytes::new(), Duration::from_secs(9)).await;
        assert_eq!(ended.unwrap_err().kind(), io::ErrorKind::TimedOut);
    }
}
