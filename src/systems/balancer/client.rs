//! Clients: requests that come whether or not earlier ones are answered, and one kind that is slow on purpose.

use std::cell::RefCell;
use std::rc::Rc;
use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt as _, Full};
use hyper::client::conn::http1::{self, SendRequest};
use hyper::header::{HOST, HeaderName, HeaderValue};
use hyper::{Method, Request, Response};
use hyper_util::rt::TokioIo;
use rand::Rng as _;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::task::{JoinSet, spawn_local};
use tokio::time::{Instant, sleep, timeout, timeout_at};

use crate::check::balancer::{End, Request as Asked, content, digest};
use crate::net::Net;
use crate::rng::{Rng, unit};
use crate::sim::HostResult;

use super::options::Arrivals;
use super::place::{Place, Told};
use super::{HOP_HEADER, ID_HEADER, NAME_HEADER, PORT, say_to_the_next_hop};

/// Connections that a slow client keeps open at the same time.
const SLOW_CONNECTIONS: usize = 10;

/// How long a slow client waits between two bytes.
const SLOW_BYTE: Duration = Duration::from_millis(400);

/// One incarnation of a client.
struct Client<P> {
    /// Its name, with the incarnation's number: an incarnation numbers its requests anew.
    name: String,
    place: P,
    /// Connections that are open and carry nothing.
    idle: RefCell<Vec<Sender>>,
}

type Sender = SendRequest<Full<Bytes>>;

/// A client's life.
pub(super) async fn ask<P: Place>(place: P) -> HostResult {
    let name = format!("{}.{}", place.host(), place.incarnation());
    let mut rng = place.rng();
    let end = Instant::now() + place.options().load_for();
    let client = Rc::new(Client { name, place, idle: RefCell::default() });
    let mut requests = JoinSet::new();
    let mut number = 0;
    while timeout_at(end, client.next_arrival(&mut rng)).await.is_ok() {
        let is_post = unit(rng.random()) < client.place.options().posts.0;
        let method = if is_post { Method::POST } else { Method::GET };
        requests.spawn_local(P::Net::task(client.clone().request(number, method)));
        number += 1;
        while requests.try_join_next().is_some() {}
    }
    while requests.join_next().await.is_some() {}
    client.idle.borrow_mut().clear();
    sleep(client.place.options().settle()).await;
    Ok(())
}

impl<P: Place> Client<P> {
    /// Resolves when the next request is due, at whatever rate holds meanwhile.
    async fn next_arrival(&self, rng: &mut Rng) {
        // In units of the mean time between two requests.
        let mut left = match self.place.options().arrivals {
            Arrivals::Poisson => -libm::log(1.0 - unit(rng.random())),
            Arrivals::Constant => 1.0,
        };
        let mut load = self.place.load();
        loop {
            let rate = *load.borrow_and_update() / self.place.options().clients().count() as f64;
            let began = Instant::now();
            tokio::select! {
                biased;
                changed = load.changed() => {
                    left -= began.elapsed().as_secs_f64() * rate;
                    if changed.is_err() || left <= 0.0 {
                        return;
                    }
                }
                () = sleep(Duration::from_secs_f64(left / rate)) => return,
            }
        }
    }

    /// One request, with the tries that it takes.
    async fn request(self: Rc<Self>, number: u64, method: Method) {
        let id = format!("{}/{number}", self.name);
        let tries = if method == Method::GET { self.place.options().client_retries } else { 0 };
        let body = digest(&body(&id, number, &method));
        let asked = Asked {
            client: self.place.host().to_owned(),
            id: id.clone(),
            is_post: method == Method::POST,
            body: Some(body),
            upgrade: None,
        };
        let began = self.place.now();
        self.place.tell(Told::Sends(asked.clone()));
        for attempt in 0..=tries {
            let deadline = self.place.options().deadline.0;
            let answer = timeout(deadline, self.exchange(&id, number, &method)).await;
            let end = answer.unwrap_or(Err(End::TimedOut)).map_or_else(|end| end, |answer| self.judge(&id, answer));
            if end.is_success() || attempt == tries {
                let took = self.place.now() - began;
                return self.place.tell(Told::Ends { request: asked, took, end });
            }
            self.place.tell(Told::Counts("client retries".into()));
        }
    }

    async fn exchange(&self, id: &str, number: u64, method: &Method) -> Result<(Response<()>, Result<Bytes, ()>), End> {
        let mut message = message(id, number, method);
        loop {
            let kept = self.take_idle();
            let is_kept = kept.is_some();
            let mut sender = match kept {
                Some(sender) => sender,
                None => self.connect().await?,
            };
            match sender.try_send_request(message).await {
                Ok(answer) => {
                    let (parts, body) = answer.into_parts();
                    let body = body.collect().await.map(http_body_util::Collected::to_bytes).map_err(drop);
                    if body.is_ok() && !sender.is_closed() {
                        self.idle.borrow_mut().push(sender);
                    }
                    return Ok((Response::from_parts(parts, ()), body));
                }
                // A connection that was kept may have been closed at the other end: nothing was sent then.
                Err(mut error) => match error.take_message() {
                    Some(unsent) if is_kept => message = unsent,
                    _ => return Err(End::Broken),
                },
            }
        }
    }

    fn take_idle(&self) -> Option<Sender> {
        let mut idle = self.idle.borrow_mut();
        idle.retain(|sender| !sender.is_closed());
        let ready = idle.iter().rposition(Sender::is_ready)?;
        Some(idle.remove(ready))
    }

    async fn connect(&self) -> Result<Sender, End> {
        let stream = self.place.net().connect(&format!("balancer:{PORT}")).await.map_err(|_| End::Unreachable)?;
        let (sender, connection) = http1::handshake(TokioIo::new(stream)).await.map_err(|_| End::Broken)?;
        spawn_local(P::Net::task(async move { drop(connection.await) }));
        Ok(sender)
    }

    /// What an answer is worth.
    fn judge(&self, id: &str, (answer, body): (Response<()>, Result<Bytes, ()>)) -> End {
        let text = |name: &HeaderName| answer.headers().get(name).and_then(|value| value.to_str().ok());
        if answer.headers().contains_key(HOP_HEADER) {
            let text = format!("{id} gets what its backend said to the balancer alone");
            self.place.tell(Told::OneHop { text });
        }
        let (status, backend) = (answer.status().as_u16(), text(&NAME_HEADER).map(ToOwned::to_owned));
        let Ok(body) = body else { return End::Cut { status } };
        let is_mine = match &backend {
            Some(name) if answer.status().is_success() => {
                let size = usize::try_from(self.place.options().size.0).expect("at most a few MiB");
                text(&ID_HEADER) == Some(id) && body == content(id, name, size)
            }
            Some(_) => text(&ID_HEADER) == Some(id),
            None => true,
        };
        End::Answered { status, backend, is_mine }
    }
}

/// What a request carries: every other POST nothing, so that it could be tried again by who does not look at its method.
fn body(id: &str, number: u64, method: &Method) -> Vec<u8> {
    if *method == Method::POST && number.is_multiple_of(2) { content(id, "client", 64) } else { Vec::new() }
}

fn message(id: &str, number: u64, method: &Method) -> Request<Full<Bytes>> {
    let mut message = Request::new(Full::new(Bytes::from(body(id, number, method))));
    *message.method_mut() = method.clone();
    *message.uri_mut() = format!("/item/{number}").parse().expect("a number is a path");
    let headers = message.headers_mut();
    headers.insert(HOST, HeaderValue::from_static("service"));
    headers.insert(ID_HEADER, HeaderValue::from_str(id).expect("an id is plain"));
    say_to_the_next_hop(headers);
    message
}

/// A slow client's life: heads that never end, a byte at a time, as slowloris sends them.
pub(super) async fn dawdle<P: Place>(place: P) -> HostResult {
    let place = Rc::new(place);
    let end = Instant::now() + place.options().load_for();
    let mut connections = JoinSet::new();
    for _ in 0..SLOW_CONNECTIONS {
        let place = place.clone();
        connections.spawn_local(P::Net::task(async move {
            loop {
                trickle(&*place).await;
            }
        }));
    }
    tokio::time::sleep_until(end).await;
    connections.shutdown().await;
    Ok(())
}

/// One connection of a slow client, until the balancer has had enough.
async fn trickle<P: Place>(place: &P) {
    let Ok(mut stream) = place.net().connect(&format!("balancer:{PORT}")).await else {
        return sleep(SLOW_BYTE).await;
    };
    let mut answer = [0; 64];
    let head = b"GET / HTTP/1.1\r\nHost: service\r\nX-Filler: ".iter().chain(std::iter::repeat(&b'x'));
    for byte in head {
        tokio::select! {
            biased;
            // An answer, or the end: both say that the balancer waits no longer.
            read = stream.read(&mut answer) => {
                let is_408 = matches!(read, Ok(read) if answer[..read].starts_with(b"HTTP/1.1 408 "));
                let counter = if is_408 { "slow clients told 408" } else { "slow clients cut off" };
                place.tell(Told::Counts(counter.into()));
                return;
            }
            () = sleep(SLOW_BYTE) => {}
        }
        if <P::Net as Net>::Stream::write_all(&mut stream, std::slice::from_ref(byte)).await.is_err() {
            return;
        }
    }
}
