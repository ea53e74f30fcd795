//! A backend: an HTTP server with a few workers and a queue before them, which can be unwell.

use std::cell::{Cell, RefCell};
use std::error::Error as _;
use std::future::pending;
use std::net::SocketAddr;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use http_body_util::BodyExt as _;
use hyper::body::{Body, Frame, Incoming, SizeHint};
use hyper::header::{CONTENT_LENGTH, EXPECT, HeaderValue, TRANSFER_ENCODING, USER_AGENT};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use rand::Rng as _;
use tokio::io::AsyncWriteExt as _;
use tokio::sync::Semaphore;
use tokio::task::{JoinSet, spawn_local};
use tokio::time::{Instant, sleep, sleep_until};

use crate::balancer::checks::AGENT;
use crate::check::balancer::{content, digest};
use crate::net::Listener;
use crate::net::Net;
use crate::rng::{Rng, unit};
use crate::script::{Chance, TimeSpan};
use crate::sim::{HostResult, sample};
use crate::watched;

use super::place::{Place, Told};
use super::shape;
use super::{BACKEND_PORT, HOP_HEADER, ID_HEADER, NAME_HEADER, say_to_the_next_hop};

/// How long a connection is kept at least that has not carried a request yet.
const FRESH: Duration = Duration::from_secs(1);

/// One incarnation of a backend.
pub(super) struct Backend<P> {
    place: P,
    rng: RefCell<Rng>,
    workers: Rc<Semaphore>,
    waiting: Cell<usize>,
}

/// The requests of one connection.
#[derive(Clone, Copy)]
struct Asked {
    /// Those that are being answered.
    open: u64,
    /// When the last one came or was answered.
    last: Instant,
    /// There was none yet.
    is_fresh: bool,
}

/// What becomes of a request, drawn when it comes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fate {
    Served,
    Fails,
    Hangs,
    Closes,
    Cut,
    Contradicts,
}

/// A backend's life, from a start to its end; `listening` is called once it listens.
pub(super) async fn serve<P: Place>(place: P, listening: impl FnOnce(SocketAddr)) -> HostResult {
    let mut listener = place.net().listen(&format!("0.0.0.0:{BACKEND_PORT}")).await?;
    listening(listener.local_addr()?);
    let mut stopped = place.stopped();
    let for_connections = stopped.clone();
    let backend = Rc::new(Backend {
        workers: Rc::new(Semaphore::new(place.options().workers)),
        waiting: Cell::new(0),
        rng: RefCell::new(place.rng()),
        place,
    });
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            biased;
            Ok(()) = stopped.wait_for(|stopped| *stopped) => break,
            Some(_) = connections.join_next() => {}
            accepted = listener.accept() => {
                let (stream, _) = accepted?;
                connections.spawn_local(P::Net::task(backend.clone().converse(stream, for_connections.clone())));
            }
        }
    }
    drop(listener);
    while connections.join_next().await.is_some() {}
    Ok(())
}

impl<P: Place> Backend<P> {
    async fn converse(self: Rc<Self>, stream: <P::Net as Net>::Stream, mut stopped: watched::Receiver<bool>) {
        if let Some(shape) = self.place.options().shapes.get(self.place.host()) {
            let ended = tokio::select! {
                biased;
                Ok(()) = stopped.wait_for(|stopped| *stopped) => Ok(()),
                ended = shape::converse(&self, shape, stream) => ended,
            };
            if let Err(error) = ended {
                tracing::debug!(%error, "a connection has ended");
            }
            return;
        }
        let asked = Rc::new(Cell::new(Asked { open: 0, last: Instant::now(), is_fresh: true }));
        let service = service_fn(|request| {
            let (backend, asked) = (self.clone(), asked.clone());
            asked.set(Asked { open: asked.get().open + 1, last: Instant::now(), is_fresh: false });
            Box::pin(async move {
                let answer = backend.answer(request).await;
                asked.set(Asked { open: asked.get().open - 1, last: Instant::now(), is_fresh: false });
                answer
            })
        });
        let mut connection =
            http1::Builder::new().auto_date_header(false).serve_connection(TokioIo::new(stream), service);
        let ended = tokio::select! {
            biased;
            Ok(()) = stopped.wait_for(|stopped| *stopped) => None,
            ended = &mut connection => Some(ended),
            is_fresh = self.kept_too_long(&asked) => {
                self.place.tell(Told::Closes { is_fresh });
                None
            }
        };
        let ended = if let Some(ended) = ended {
            ended
        } else {
            Pin::new(&mut connection).graceful_shutdown();
            (&mut connection).await
        };
        let Err(error) = ended else { return };
        // Whoever is at the other end goes away when it likes.
        tracing::debug!(%error, "a connection has ended");
        let gone = error.source().and_then(|error| error.downcast_ref::<Gone>());
        if let Some(Gone { last_words }) = gone.filter(|gone| !gone.last_words.is_empty()) {
            let mut stream = connection.into_parts().io.into_inner();
            // Nobody may hear them.
            _ = stream.write_all(last_words).await;
            _ = stream.shutdown().await;
        }
    }

    /// Resolves when a connection has been idle for as long as the backend keeps one: whether it never carried anything.
    async fn kept_too_long(&self, asked: &Cell<Asked>) -> bool {
        let Some(TimeSpan(keep_alive)) = self.place.options().keep_alive else { return pending().await };
        loop {
            let Asked { open, last, is_fresh } = asked.get();
            // It is about what comes next; for a first request a server waits longer.
            let keep_alive = if is_fresh { keep_alive.max(FRESH) } else { keep_alive };
            if open == 0 && last.elapsed() >= keep_alive {
                return is_fresh;
            }
            sleep_until(if open == 0 { last } else { Instant::now() } + keep_alive).await;
        }
    }

    async fn answer(self: Rc<Self>, request: Request<Incoming>) -> Result<Response<Content>, Gone> {
        if request.headers().get(USER_AGENT).is_some_and(|agent| agent == AGENT) {
            return Ok(self.health());
        }
        let (parts, body) = request.into_parts();
        let id = parts.headers.get(ID_HEADER).and_then(|id| id.to_str().ok()).unwrap_or_default().to_owned();
        self.takes(&id);
        if parts.headers.contains_key(EXPECT) {
            // hyper does, as the body is read.
            self.continues(&id);
        }
        let body = body.collect().await;
        self.has_taken(&id);
        let body = body.map_err(|_| Gone::default())?.to_bytes();
        if parts.headers.contains_key(HOP_HEADER) {
            let text = format!("{} gets what a client said to the balancer alone", self.name());
            self.place.tell(Told::OneHop { text });
        }
        if self.waiting.get() >= self.place.options().queue {
            self.place.tell(Told::Misbehaves);
            return Ok(self.response(
                StatusCode::SERVICE_UNAVAILABLE,
                &id,
                b"too many requests wait\n".to_vec(),
                false,
            ));
        }
        self.waiting.set(self.waiting.get() + 1);
        // A worker does its work whether or not anybody still waits for it.
        let work = spawn_local(P::Net::task(self.clone().work(parts.method, id.clone(), body)));
        match work.await.map_err(|_| Gone::default())? {
            Fate::Served => Ok(self.response(StatusCode::OK, &id, self.content(&id), false)),
            Fate::Cut => Ok(self.response(StatusCode::OK, &id, self.content(&id), true)),
            Fate::Fails => {
                Ok(self.response(StatusCode::INTERNAL_SERVER_ERROR, &id, b"something is wrong here\n".to_vec(), false))
            }
            Fate::Closes => Err(Gone::default()),
            Fate::Contradicts => Err(Gone { last_words: self.contradiction(&id) }),
            Fate::Hangs => pending().await,
        }
    }

    /// What one worker does for a request, once one is free.
    async fn work(self: Rc<Self>, method: Method, id: String, body: Bytes) -> Fate {
        let workers = self.workers.clone();
        let worker = workers.acquire().await;
        self.waiting.set(self.waiting.get() - 1);
        let condition = self.place.condition();
        let (fate, service) = {
            let mut rng = self.rng.borrow_mut();
            let mut hits = |chance: Option<Chance>| {
                let drawn = unit(rng.random());
                chance.is_some_and(|chance| drawn < chance.0)
            };
            // Each is drawn whether or not it counts, so that one does not move the others.
            let drawn = [condition.fail, condition.hang, condition.close, condition.cut].map(&mut hits);
            let fate = match drawn {
                [true, ..] => Fate::Fails,
                [_, true, ..] => Fate::Hangs,
                [_, _, true, _] => Fate::Closes,
                [.., true] => Fate::Cut,
                // Drawn only where it is asked for: runs without it are what they were before there was such a thing.
                _ if condition.contradict.is_some() && hits(condition.contradict) => Fate::Contradicts,
                _ => Fate::Served,
            };
            let slower = condition.slow.map_or_else(Default::default, |slow| sample(&slow, unit(rng.random())));
            if fate != Fate::Served || condition.slow.is_some() {
                self.place.felt();
            }
            (fate, sample(&self.place.options().service, unit(rng.random())) + slower)
        };
        self.place.tell(Told::Executes { method: method.to_string(), id, body: digest(&body) });
        sleep(service).await;
        drop(worker);
        fate
    }

    /// An answer that ends in one place for who reads its length and in another for who reads its chunks.
    fn contradiction(&self, id: &str) -> Vec<u8> {
        let content = String::from_utf8(self.content(id)).expect("it is text");
        let (length, name) = (content.len(), self.name());
        format!(
            "HTTP/1.1 200 OK\r\n{CONTENT_LENGTH}: {}\r\n{TRANSFER_ENCODING}: chunked\r\n{NAME_HEADER}: {name}\r\n\
             {ID_HEADER}: {id}\r\n\r\n{length:x}\r\n{content}\r\n0\r\n\r\n",
            length / 2
        )
        .into_bytes()
    }

    fn health(&self) -> Response<Content> {
        let is_well = !self.place.condition().unhealthy;
        if !is_well {
            self.place.felt();
        }
        let status = if is_well { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
        self.response(status, "", Vec::new(), false)
    }

    /// Its name.
    pub(super) fn name(&self) -> &str {
        self.place.host()
    }

    /// The head of a request is here.
    pub(super) fn takes(&self, id: &str) {
        self.place.tell(Told::Takes { id: id.to_owned() });
    }

    /// So is all of it, or there is no more.
    pub(super) fn has_taken(&self, id: &str) {
        self.place.tell(Told::HasTaken { id: id.to_owned() });
    }

    /// It says 100 to a client that waits for it.
    pub(super) fn continues(&self, id: &str) {
        self.place.tell(Told::Continues { id: id.to_owned() });
    }

    /// It answers a request before it has the body, which a client that waits for 100 is then not to send.
    pub(super) fn answers_early(&self, id: &str, status: u16, is_unseen: bool) {
        self.place.tell(Told::AnswersEarly { id: id.to_owned(), status, is_unseen });
    }

    /// Something of the body comes of a request that was answered.
    pub(super) fn gets_body(&self, id: &str) {
        self.place.tell(Told::GetsBody { id: id.to_owned() });
    }

    /// A client's bytes come in another protocol.
    pub(super) fn is_in_tunnel(&self, id: &str, protocol: &str) {
        self.place.tell(Told::InTunnel { id: id.to_owned(), protocol: protocol.to_owned() });
    }

    /// Executes a request that has come whole.
    pub(super) async fn executes(&self, method: &Method, id: &str, body: u64) {
        let service = sample(&self.place.options().service, unit(self.rng.borrow_mut().random()));
        self.place.tell(Told::Executes { method: method.to_string(), id: id.to_owned(), body });
        sleep(service).await;
    }

    pub(super) fn content(&self, id: &str) -> Vec<u8> {
        content(id, self.name(), usize::try_from(self.place.options().size.0).expect("at most a few MiB"))
    }

    fn response(&self, status: StatusCode, id: &str, body: Vec<u8>, is_cut: bool) -> Response<Content> {
        let length = body.len();
        let mut response = Response::new(Content { left: Some(Bytes::from(body)), is_cut });
        *response.status_mut() = status;
        let headers = response.headers_mut();
        headers.insert(CONTENT_LENGTH, HeaderValue::from(length));
        headers.insert(NAME_HEADER, HeaderValue::from_str(self.name()).expect("a host's name is plain"));
        say_to_the_next_hop(headers);
        if let Ok(id) = HeaderValue::from_str(id) {
            headers.insert(ID_HEADER, id);
        }
        response
    }
}

/// The connection ends here, without an answer that hyper would give.
#[derive(Debug, Default, thiserror::Error)]
#[error("the backend closes")]
struct Gone {
    /// What is still sent.
    last_words: Vec<u8>,
}

/// A body, whole or not.
struct Content {
    left: Option<Bytes>,
    is_cut: bool,
}

impl Body for Content {
    type Data = Bytes;
    type Error = Gone;

    fn poll_frame(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Gone>>> {
        match self.left.take() {
            Some(whole) if self.is_cut => Poll::Ready(Some(Ok(Frame::data(whole.slice(..whole.len() / 2))))),
            Some(whole) => Poll::Ready(Some(Ok(Frame::data(whole)))),
            None if self.is_cut => Poll::Ready(Some(Err(Gone::default()))),
            None => Poll::Ready(None),
        }
    }

    fn is_end_stream(&self) -> bool {
        self.left.as_ref().is_none_or(Bytes::is_empty) && !self.is_cut
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.left.as_ref().map_or(0, Bytes::len) as u64)
    }
}
