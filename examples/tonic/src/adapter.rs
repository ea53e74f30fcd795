//! What tonic wants to know of connections: a server takes [`incoming`], a client [`channel`].

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use futures_util::{Stream, stream};
use hyper_util::rt::TokioIo;
use stormglass::sockets::{TcpListener, TcpStream};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tonic::transport::server::Connected;
use tonic::transport::{Channel, Endpoint, Uri};
use tower::service_fn;

/// A connection of a server.
pub struct Connection(TcpStream);

impl Connected for Connection {
    type ConnectInfo = ();

    fn connect_info(&self) {}
}

impl AsyncRead for Connection {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_read(cx, buf)
    }
}

impl AsyncWrite for Connection {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.0).poll_write(cx, buf)
    }
    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_flush(cx)
    }
    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_shutdown(cx)
    }
}

/// The connections that a listener accepts.
pub fn incoming(listener: TcpListener) -> impl Stream<Item = io::Result<Connection>> {
    stream::unfold(listener, |listener| async {
        let accepted = listener.accept().await.map(|(stream, _)| Connection(stream));
        Some((accepted, listener))
    })
}

/// A channel to a server, `host:port`, which connects when it has to, and again when its connection is dead.
pub fn channel(server: &str) -> Result<Channel, tonic::transport::Error> {
    let endpoint = Endpoint::from_shared(format!("http://{server}"))?
        .connect_timeout(Duration::from_millis(400))
        .http2_keep_alive_interval(Duration::from_millis(400))
        .keep_alive_timeout(Duration::from_millis(800))
        .keep_alive_while_idle(true);
    let connect = |uri: Uri| async move {
        let addr = (uri.host().unwrap_or_default().to_owned(), uri.port_u16().unwrap_or(80));
        TcpStream::connect(addr).await.map(TokioIo::new)
    };
    Ok(endpoint.connect_with_connector_lazy(service_fn(connect)))
}
