//! What turmoil carries for a machine whose process does not run within it.
//!
//! Turmoil's sockets work in its own runtime for the host alone. What a process sends while it runs elsewhere is handed
//! over when turmoil runs that host next, within the same step. What turmoil delivers, the wire has told the kernel of
//! already: it is taken out and thrown away.

use std::collections::BTreeMap;
use std::future::Future;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::pin::pin;
use std::rc::Rc;
use std::task::{Context, Poll, Waker};

use bytes::Bytes;
use turmoil::net::UdpSocket;

use super::Kernel;

/// Something for turmoil to do.
pub(super) enum Parcel {
    /// A port gets a socket.
    Bind(u16),
    /// It loses it.
    Close(u16),
    /// A datagram leaves a port.
    Datagram { port: u16, to: SocketAddr, payload: Bytes },
    /// A segment leaves the machine's carrier.
    Segment { to: SocketAddr, payload: Bytes },
}

/// Turmoil's sockets of a machine, by their ports. They belong to what turmoil runs for the host, and go with that.
#[derive(Default)]
pub(crate) struct PostOffice(BTreeMap<u16, UdpSocket>);

impl Kernel {
    pub(super) fn post(&self, parcel: Parcel) {
        self.outgoing.borrow_mut().push(parcel);
    }

    /// Whether something waits for turmoil to run the host.
    pub(crate) fn has_post(&self) -> bool {
        !self.outgoing.borrow().is_empty()
    }

    /// Hands over what has been posted, in its order. To be called in turmoil's runtime for the host.
    pub(crate) fn hand_over(&self, office: &mut PostOffice) -> io::Result<()> {
        let carrier = self.carrier.borrow().clone();
        for parcel in self.outgoing.take() {
            match parcel {
                Parcel::Bind(port) => {
                    let socket = at_once(UdpSocket::bind((IpAddr::from([0, 0, 0, 0]), port)))?;
                    office.0.insert(port, socket);
                }
                Parcel::Close(port) => drop(office.0.remove(&port)),
                Parcel::Datagram { port, to, payload } => {
                    office.0.get(&port).map_or(Ok(0), |socket| socket.try_send_to(&payload, to))?;
                }
                Parcel::Segment { to, payload } => {
                    carrier.as_ref().map_or(Ok(0), |carrier| carrier.try_send_to(&payload, to))?;
                }
            }
        }
        for socket in office.0.values() {
            throw_away(socket);
        }
        Ok(())
    }

    /// What turmoil runs for a machine whose process runs elsewhere.
    pub(crate) async fn carry(self: Rc<Self>) -> turmoil::Result {
        let carrier = self.boot().await?;
        let mut office = PostOffice::default();
        std::future::poll_fn(|cx| {
            *self.waker.borrow_mut() = Some(cx.waker().clone());
            throw_away(&carrier);
            match self.hand_over(&mut office) {
                Ok(()) => Poll::Pending,
                Err(error) => Poll::Ready(Err(error)),
            }
        })
        .await?;
        Ok(())
    }
}

fn throw_away(socket: &UdpSocket) {
    while socket.try_recv_from(&mut []).is_ok() {}
}

/// What a future comes to that waits for nothing: turmoil's sockets are bound so.
fn at_once<T>(future: impl Future<Output = io::Result<T>>) -> io::Result<T> {
    match pin!(future).poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(result) => result,
        Poll::Pending => Err(io::Error::other("turmoil's socket was not bound at once")),
    }
}
