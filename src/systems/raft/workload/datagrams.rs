//! Clients that speak the cluster's own datagrams, in both lanes.

use std::future::{Future, poll_fn};
use std::io;
use std::net::SocketAddr;
use std::pin::pin;
use std::rc::Rc;
use std::task::Poll;
use std::time::Duration;

use bytes::Bytes;

use super::book::Book;
use super::{Calling, Clock, Transport};
use crate::net::{DATAGRAM_BYTES_MAX, Socket};
use crate::raft::NodeId;
use crate::raft::client::{Client, Outcome, Step};
use crate::raft::codec::Datagram;
use crate::raft::kv::Operation;
use crate::raft::post::{Arrival, DATAGRAM_BYTES, Post};
use crate::raft::request::Consistency;
use crate::systems::raft::codec;

/// A client's socket, and what is sent and received by it.
pub(super) struct Datagrams<S, C> {
    socket: S,
    clock: C,
    id: NodeId,
    servers: Vec<(NodeId, SocketAddr)>,
    client: Client,
    post: Post,
    rejects: Rc<dyn Fn()>,
    buffer: Vec<u8>,
}

/// What a client waited for.
enum Came {
    Datagram(usize, SocketAddr),
    Time,
}

impl<S: Socket, C: Clock> Datagrams<S, C> {
    pub(super) fn new<B: Book>(
        socket: S,
        clock: C,
        id: NodeId,
        servers: Vec<(NodeId, SocketAddr)>,
        calling: &mut Calling<B>,
    ) -> Self {
        let patience = calling.plan.patience();
        let client = Client::new(id, servers.iter().map(|(id, _)| *id), patience, &mut calling.rng);
        let post = Post::new(codec(), id, DATAGRAM_BYTES);
        let (rejects, buffer) = (calling.book.rejects(), vec![0; DATAGRAM_BYTES_MAX]);
        Self { socket, clock, id, servers, client, post, rejects, buffer }
    }

    /// Sends what there is to send. What came of the call, if it is over.
    async fn execute(&mut self, steps: Vec<Step>) -> io::Result<Option<Outcome>> {
        for step in steps {
            match step {
                Step::Send(to, request) => {
                    let datagram = Bytes::from(codec().encode_request(self.id, to, &request));
                    let address = self.servers.iter().find(|(id, _)| *id == to).map(|(_, address)| *address);
                    let address = address.expect("it asks the servers that it was told of");
                    let parts = if self.post.fits(&datagram) {
                        vec![datagram]
                    } else {
                        self.post.split(to, address, &datagram)
                    };
                    for part in parts {
                        send(&self.socket, part, address).await?;
                    }
                }
                Step::Done(outcome) => return Ok(Some(outcome)),
            }
        }
        Ok(None)
    }

    async fn time_has_come(&mut self) -> io::Result<Vec<Step>> {
        for (_, to, wanted) in self.post.overdue(self.clock.now()) {
            send(&self.socket, wanted, to).await?;
        }
        Ok(self.client.tick(self.clock.now()))
    }

    async fn has_come(&mut self, length: usize, from: SocketAddr) -> io::Result<Vec<Step>> {
        let mut replies = Vec::new();
        let arrival = self.post.arrived(self.clock.now(), from, &self.buffer[..length], &mut replies);
        for reply in replies {
            send(&self.socket, reply, from).await?;
        }
        Ok(match arrival {
            Arrival::Itself => {
                take_in(&mut self.client, &*self.rejects, self.clock.now(), self.id, &self.buffer[..length])
            }
            Arrival::Whole(whole) => take_in(&mut self.client, &*self.rejects, self.clock.now(), self.id, &whole),
            Arrival::Nothing | Arrival::Rejected(_) => Vec::new(),
        })
    }
}

impl<S: Socket, C: Clock> Transport for Datagrams<S, C> {
    async fn call(&mut self, operation: Operation, consistency: Consistency) -> io::Result<Outcome> {
        let mut steps = self.client.call(self.clock.now(), operation, consistency);
        loop {
            if let Some(outcome) = self.execute(std::mem::take(&mut steps)).await? {
                return Ok(outcome);
            }
            let deadlines = [self.client.deadline(), self.post.deadline()];
            let wait = deadlines.into_iter().flatten().min().unwrap_or_default().saturating_sub(self.clock.now());
            steps = match next(&self.socket, &self.clock, wait, &mut self.buffer).await? {
                Came::Time => self.time_has_come().await?,
                Came::Datagram(length, from) => self.has_come(length, from).await?,
            };
        }
    }
}

fn take_in(client: &mut Client, rejects: &dyn Fn(), now: Duration, id: NodeId, datagram: &[u8]) -> Vec<Step> {
    match codec().decode_any(datagram) {
        Ok(Datagram::Response { from, to, response }) if to == id => client.respond(now, from, response),
        _ => {
            rejects();
            Vec::new()
        }
    }
}

async fn send<S: Socket>(socket: &S, datagram: Bytes, to: SocketAddr) -> io::Result<()> {
    match socket.send_now(&datagram, to) {
        Some(sent) => sent.map(drop),
        None => socket.send_bytes(datagram, to).await.map(drop),
    }
}

/// The next datagram, unless the time is over before.
async fn next<S: Socket>(socket: &S, clock: &impl Clock, wait: Duration, buffer: &mut [u8]) -> io::Result<Came> {
    let mut received = pin!(socket.recv_from(buffer));
    let mut timer = pin!(clock.wait(wait));
    poll_fn(|cx| {
        if let Poll::Ready(received) = received.as_mut().poll(cx) {
            return Poll::Ready(received.map(|(length, from)| Came::Datagram(length, from)));
        }
        timer.as_mut().poll(cx).map(|()| Ok(Came::Time))
    })
    .await
}
