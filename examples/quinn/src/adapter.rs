//! What quinn wants to know of a socket: [`endpoint`] makes an endpoint over the testbed's.

use std::fmt;
use std::io::{self, IoSliceMut};
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, ready};

use quinn::udp::{RecvMeta, Transmit};
use quinn::{AsyncUdpSocket, Endpoint, EndpointConfig, ServerConfig, TokioRuntime, UdpPoller};
use stormglass::sockets::UdpSocket;
use tokio::io::ReadBuf;

/// An endpoint at a socket: a server's, if it is given how to be one.
pub fn endpoint(socket: UdpSocket, server: Option<ServerConfig>) -> io::Result<Endpoint> {
    let socket = Arc::new(Socket(socket));
    Endpoint::new_with_abstract_socket(EndpointConfig::default(), server, socket, Arc::new(TokioRuntime))
}

#[derive(Debug)]
struct Socket(UdpSocket);

impl AsyncUdpSocket for Socket {
    fn create_io_poller(self: Arc<Self>) -> Pin<Box<dyn UdpPoller>> {
        Box::pin(Writable { socket: self, waiting: Mutex::new(None) })
    }

    fn try_send(&self, transmit: &Transmit<'_>) -> io::Result<()> {
        self.0.try_send_to(transmit.contents, transmit.destination).map(drop)
    }

    fn poll_recv(
        &self,
        cx: &mut Context<'_>,
        buffers: &mut [IoSliceMut<'_>],
        meta: &mut [RecvMeta],
    ) -> Poll<io::Result<usize>> {
        let mut buffer = ReadBuf::new(&mut buffers[0]);
        meta[0].addr = ready!(self.0.poll_recv_from(cx, &mut buffer))?;
        (meta[0].len, meta[0].stride) = (buffer.filled().len(), buffer.filled().len());
        (meta[0].ecn, meta[0].dst_ip) = (None, None);
        Poll::Ready(Ok(1))
    }

    fn local_addr(&self) -> io::Result<SocketAddr> {
        self.0.local_addr()
    }
}

type Waiting = Pin<Box<dyn Future<Output = io::Result<()>> + Send>>;

/// Waits until a socket takes a datagram. Each of a socket's connections has one, and each is woken.
struct Writable {
    socket: Arc<Socket>,
    waiting: Mutex<Option<Waiting>>,
}

impl UdpPoller for Writable {
    fn poll_writable(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let mut waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        let socket = self.socket.clone();
        let wait = waiting.get_or_insert_with(|| Box::pin(async move { socket.0.writable().await }));
        let result = ready!(wait.as_mut().poll(cx));
        *waiting = None;
        Poll::Ready(result)
    }
}

impl fmt::Debug for Writable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Writable").field("socket", &self.socket).finish_non_exhaustive()
    }
}
